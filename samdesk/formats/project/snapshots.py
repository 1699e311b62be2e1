"""Snapshots: copies of a project as it was at some moment, in a folder beside it, thinned with time.

``NAME.snapshots/2026-11-21T14-30-00.gpkg`` is the state at that local time; each is a project
file of its own. Must not know when a copy is made, or documents.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import file_error

from .opening import check_header, examine, reader
from .store import Loaded, ProjectStore

KEPT_LAST = 5
KEPT_DAYS = 7
MOST_BYTES = 2 << 30
"""Of all snapshots of a project together; the newest stays whatever its size."""

_STAMP = "%Y-%m-%dT%H-%M-%S"
_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.gpkg")
_STATE = "SELECT (SELECT ifnull(max(sequence), 0) FROM journal), (SELECT count(*) FROM annotation_attributes)"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of a project.

    Attributes
    ----------
    path : Path
    time : datetime
        Local time of the state that it holds.
    annotations : int
    """

    path: Path
    time: datetime
    annotations: int


def snapshots_dir(project: Path) -> Path:
    """Where the snapshots of a project are."""
    return project.with_name(f"{project.stem}.snapshots")


def keep_snapshot(store: ProjectStore, task: Task, now: datetime | None = None) -> Path | None:
    """Copy the present state, unless it is empty or the newest snapshot holds it already.

    The copy appears whole or not at all. Older ones that are not needed any more are deleted.

    Raises
    ------
    SamdeskError
        When it cannot be written.
    Cancelled
    """
    folder = snapshots_dir(store.path)
    known = _files(folder)
    state = _state(store.path)
    if state is None or not state[1] or (known and _state(known[-1]) == state):
        return None
    path = folder / f"{(now or datetime.now()).strftime(_STAMP)}.gpkg"
    folder.mkdir(exist_ok=True)
    for unfinished in folder.glob(".*.tmp"):  # of a program that was killed: only one writes here
        unfinished.unlink(missing_ok=True)
    store.back_up(path, task)
    for old in superfluous(_files(folder)):
        old.unlink(missing_ok=True)
    return path


def superfluous(files: Sequence[Path]) -> list[Path]:
    """Which of these snapshots, oldest first, are not kept.

    Kept are the last `KEPT_LAST`, and of the last `KEPT_DAYS` days on which there are any the
    last of each, as far as all together are not too large.
    """
    newest_of_day = {path.stem[:10]: path for path in files}
    kept = {*files[-KEPT_LAST:], *list(newest_of_day.values())[-KEPT_DAYS:]}
    total, gone = 0, []
    for path in reversed(files):
        if path in kept:
            total += path.stat().st_size if path.exists() else 0
        if path not in kept or (total > MOST_BYTES and path != files[-1]):
            gone.append(path)
    return gone


def snapshots_of(project: Path) -> list[Snapshot]:
    """The snapshots that can be opened, newest first."""
    found = []
    for path in reversed(_files(snapshots_dir(project))):
        state = _state(path)
        if state is not None:
            found.append(Snapshot(path, datetime.strptime(path.stem, _STAMP), state[1]))
    return found


def newest_good_snapshot(project: Path) -> Snapshot | None:
    """The newest snapshot that is not damaged."""
    for one in snapshots_of(project):
        with suppress(SamdeskError, OSError):
            check_header(one.path)
            examine(one.path)
            return one
    return None


def count_annotations(project: Path) -> int:
    """How many annotations a project file has; 0 when there is none or it cannot be read."""
    state = _state(project) if project.exists() else None
    return state[1] if state else 0


def load_snapshot(path: Path, task: Task) -> Loaded:
    """Read a snapshot.

    Raises
    ------
    SamdeskError
        When it is missing or damaged.
    Cancelled
    """
    with ProjectStore.open(path, read_only=True) as store:
        return store.load(task)


def carry_snapshots(old: Path, new: Path) -> None:
    """Let a project that gets another name keep its snapshots, as far as that can be done."""
    source, target = snapshots_dir(old), snapshots_dir(new)
    with suppress(OSError):
        if not target.exists() and source.is_dir():
            shutil.move(source, target)
        for path in _files(source):
            if not (target / path.name).exists():
                shutil.move(path, target / path.name)


def leave_snapshots(project: Path) -> None:
    """Keep the snapshots of a project that was replaced by another one under a name of their own.

    Raises
    ------
    SamdeskError
        When they cannot be renamed.
    """
    source = snapshots_dir(project)
    try:
        if source.is_dir():
            source.rename(next(one for one in _others(source) if not one.exists()))
    except OSError as error:
        raise file_error(source, error, "renamed") from error


def put_aside(project: Path) -> Path:
    """Rename a damaged project, so that a snapshot can take its place; nothing is deleted."""
    number = 1
    while (aside := project.with_name(f"{project.stem}.damaged{number}{project.suffix}")).exists():
        number += 1
    for suffix in ("-wal", "-edits", ""):
        part = project.with_name(project.name + suffix)
        if part.exists():
            part.replace(aside.with_name(aside.name + suffix))
    project.with_name(project.name + "-shm").unlink(missing_ok=True)
    return aside


def _others(folder: Path) -> Iterator[Path]:
    for number in count(1):
        yield folder.with_name(f"{folder.stem}.replaced{number}{folder.suffix}")


def _files(folder: Path) -> list[Path]:
    """Oldest first."""
    try:
        return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    except OSError:
        return []


def _state(path: Path) -> tuple[int, int] | None:
    """The number of the last edit and the number of annotations; None when it cannot be read."""
    try:
        with closing(reader(path)) as db:
            committed, count = db.execute(_STATE).fetchone()
    except (sqlite3.Error, OSError):
        return None
    return committed, count
