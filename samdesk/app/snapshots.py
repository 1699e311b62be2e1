"""Snapshots of the open document: listing them, coming back to one, and opening one for a damaged project.

Coming back is one undoable step, so the present state is not lost by it. Lives on the main
thread. Must not know widgets.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np

from samdesk.domain.columns.table import with_classes_of
from samdesk.domain.document import Edit
from samdesk.domain.document import Snapshot as State
from samdesk.domain.document.chunk import IdIndex
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import replacing
from samdesk.formats.project import (
    DamagedError,
    Loaded,
    Snapshot,
    load_snapshot,
    newest_good_snapshot,
    put_aside,
    snapshots_of,
)

from .desk import Desk
from .jobs import Job


class Snapshots:
    """The snapshots of one workspace's project."""

    def __init__(self, workspace: Desk) -> None:
        self._workspace = workspace

    def list(self, listed: Callable[[list[Snapshot]], None]) -> None:
        """Find those of the open project, newest first. Returns at once."""
        journal = self._workspace.journal
        if journal is None:
            listed([])
            return
        path = journal.path

        def found(job: Job[list[Snapshot]]) -> None:
            if job.state == "done" and job.result is not None:
                listed(job.result)

        self._workspace.jobs.lane("io").submit(lambda task: snapshots_of(path), done=found)

    def restore(self, snapshot: Snapshot) -> None:
        """Make the document what it was, as one undoable step. Returns at once."""
        w = self._workspace
        document, state, title = w.document, w.document.snapshot(), _title(snapshot)

        def load(task: Task) -> Edit:
            return becoming(state, load_snapshot(snapshot.path, task), title)

        def loaded(job: Job[Edit]) -> None:
            if job.state != "done" or job.result is None or w.document is not document:
                return
            if document.snapshot() is not state:  # it has changed since: compare again
                self.restore(snapshot)
            elif job.result.is_empty:
                w.tell("info", "The annotations are the same as they were then.")
            elif w.do(job.result):
                w.tell(
                    "info", f"The annotations are as they were {when(snapshot.time)}.", "Undo takes it back."
                )

        w.jobs.lane("io").submit(load, title=title, key="restore", done=loaded)

    def look_for(self, project: Path, error: DamagedError) -> None:
        """Note with an error which snapshot could take the place of the project; for the lanes."""
        error.snapshot = newest_good_snapshot(project)

    def offer(self, project: Path, error: DamagedError, reopen: Callable[[], None]) -> None:
        """Ask whether a snapshot shall take the place of a damaged project, which is kept aside."""
        w, snapshot = self._workspace, error.snapshot
        if not isinstance(snapshot, Snapshot) or w.ask is None:
            return
        answer = w.ask.choose(
            f"{project.name} is damaged.",
            f"The newest snapshot is of {when(snapshot.time)} and has {counted(snapshot.annotations)}. "
            "The damaged file is kept under another name.",
            ("Open the Snapshot",),
        )
        if answer != 0:
            return

        def replace(task: Task) -> Path:
            aside = put_aside(project)
            with replacing(project) as fresh:
                shutil.copyfile(snapshot.path, fresh)
            return aside

        def replaced(job: Job[Path]) -> None:
            if job.state == "done" and job.result is not None:
                w.tell(
                    "warning",
                    f"{project.name} is open as it was {when(snapshot.time)}.",
                    f"The damaged file is kept as {job.result.name}.",
                )
                reopen()

        w.jobs.lane("journal").submit(replace, done=replaced)


def becoming(state: State, loaded: Loaded, title: str) -> Edit:
    """The edit after which a document in this state holds what was loaded.

    Only rows that differ are in it.
    """
    now, table = state.table(), loaded.table
    then = table.recoded(with_classes_of(loaded.classes, table.classes))
    same = np.zeros(len(then), np.bool_)
    known = np.flatnonzero(state.has(then.ids))
    if len(known):
        same[known] = state.table(then.ids[known]).same_rows(then.take(known))
    gone = np.flatnonzero(IdIndex(then.ids[same]).find(now.ids) < 0)
    changed = (state.classes, then.classes) if state.classes != then.classes else None
    return Edit(title, now.take(gone), then.take(np.flatnonzero(~same)), changed)


def when(time: datetime) -> str:
    """A moment in words: "today at 14:30", "on 3 November at 09:12"."""
    clock, days = time.strftime("%H:%M"), (datetime.now().date() - time.date()).days
    if days in (0, 1):
        return f"{'today' if days == 0 else 'yesterday'} at {clock}"
    return f"on {time.day} {time.strftime('%B %Y')} at {clock}"


def counted(annotations: int) -> str:
    return "1 annotation" if annotations == 1 else f"{annotations:,} annotations"


def _title(snapshot: Snapshot) -> str:
    return f"Restore the snapshot of {snapshot.time.strftime('%H:%M')}"
