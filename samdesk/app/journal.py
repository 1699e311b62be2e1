"""The journal: keeps every accepted edit at once, and writes it to the project file on its own lane.

An edit is noted beside the project file before anybody shows it, which a kill of the program
cannot undo; the transaction in the file, which a power cut cannot undo, follows on the lane.
Apart from noting, all access to the store happens on that lane, so that nothing can come between
two edits. Must not know documents or widgets.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from psygnal import Signal

from samdesk import paths
from samdesk.domain.document import Edit
from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task
from samdesk.formats.project import (
    ImageReference,
    ProjectStore,
    carry_snapshots,
    keep_snapshot,
    leave_snapshots,
)

from .jobs import Job, Jobs, Lane
from .reconstruction import carry_objects, drop_objects

log = logging.getLogger(__name__)

PROJECT_SUFFIX = ".gpkg"

SNAPSHOT_EVERY_S = 600.0

State = Literal["saved", "saving", "failed"]


@dataclass(frozen=True, slots=True)
class _Pending:
    edit: Edit
    number: int
    is_noted: bool


class Journal:
    """The project file of one document while it is open.

    Attributes
    ----------
    saved_at : float or None
        When the last edit was written, as `time.time` counts.
    changed : Signal()
        After edits were written, could not be written, or the file has moved.
    """

    changed = Signal()

    def __init__(self, jobs: Jobs, store: ProjectStore) -> None:
        self._lane: Lane = jobs.lane("journal")
        self._store = store
        self._pending: deque[_Pending] = deque()
        self._snapshot: Job[Any] | None = None
        self._snapshot_at = -SNAPSHOT_EVERY_S
        self._moving: Callable[[], None] | None = None
        self._move: object | None = None
        self._next_move: Callable[[], None] | None = None
        self._held: dict[str, Any] = {}
        self._is_closed = False
        self._failed = False
        self.saved_at: float | None = None

    @property
    def path(self) -> Path:
        return self._store.path

    @property
    def read_only(self) -> bool:
        return self._store.read_only

    @property
    def reason(self) -> str:
        """Why it is read-only."""
        return self._store.reason

    @property
    def unsaved(self) -> int:
        """Accepted edits that are not in the project file yet."""
        return len(self._pending)

    @property
    def unsafe(self) -> int:
        """Those of them that would not outlive the program either."""
        return sum(not one.is_noted for one in tuple(self._pending))

    @property
    def busy(self) -> bool:
        """Whether something is being written or read for a document."""
        return not self._lane.idle

    @property
    def state(self) -> State:
        """Whether all that was accepted is safe ("saved"), is being written, or could not be written."""
        if self._pending and self._failed:
            return "failed"
        return "saving" if self.unsafe else "saved"

    def write(self, edit: Edit) -> None:
        """Note an edit at once, and write it soon; what cannot be written is tried again with the next."""
        if self.read_only:
            return
        self._keep_snapshot()
        self._pending.append(_Pending(edit, *self._store.accept(edit)))
        self.retry()

    def retry(self) -> None:
        """Write what is pending."""
        self._lane.submit(self._flush, done=self._told)

    def note_image(self, image: ImageReference) -> None:
        """Remember which image this is about."""
        if not self.read_only:
            self._lane.submit(lambda task: self._store.set_image(image))

    def note(self, key: str, value: Any) -> None:
        """Keep a JSON value under a name beside the annotations; a newer one replaces it."""
        if not self.read_only:
            self._lane.submit(lambda task: self._note(key, value), key=f"note {key}")

    def _note(self, key: str, value: Any) -> None:
        if self._moving is not None:  # the old file has been copied already
            self._held[key] = value
        else:
            self._held.pop(key, None)
            self._store.set_meta(key, value)

    def _keep_snapshot(self) -> None:
        """Keep a copy of the state before the first change, and again from time to time."""
        now = time.monotonic()
        if now - self._snapshot_at < SNAPSHOT_EVERY_S:
            return
        self._snapshot_at = now
        self._snapshot = self._lane.submit(self._copy)

    def _copy(self, task: Task) -> None:
        try:
            keep_snapshot(self._store, task)
        except (SamdeskError, OSError) as error:  # which keeps nobody from working
            log.info("no snapshot of %s: %s", self._store.path.name, error)

    def move(self, path: Path, moved: Callable[[], None]) -> None:
        """Go on in a file of another name; one that was never named goes away. Returns at once.

        Has no title, so that nobody can cancel it half way. `moved` is called before any edit is
        kept in the new file only: it notes where the annotations are from now on.
        """
        if self._move is not None:
            self._next_move = partial(self.move, path, moved)
            return
        move = self._move = object()

        def copy(task: Task) -> ProjectStore:
            self._flush(task)
            old = self._store
            carry_objects(old.path, path, task, old_goes=_is_unnamed(old.path))
            old.save_copy(path)
            leave_snapshots(path)
            new = ProjectStore.open(path)
            new.set_image(old.image)
            # until the main thread has changed over, edits are noted beside the old file only
            self._moving = lambda: self._change_over(new, moved)
            return new

        def copied(job: Job[ProjectStore]) -> None:
            self.settle()
            self._end_move(move)
            self._told(job)

        self._lane.submit(copy, done=copied)

    def copy(self, path: Path, copied: Callable[[], None]) -> None:
        """Write all of it to another file, and go on in this one. Returns at once.

        `copied` is called when it is there.
        """

        def write(task: Task) -> None:
            self._flush(task)
            here = self._store
            here.save_copy(path)
            carry_objects(here.path, path, task)
            leave_snapshots(path)

        self._lane.submit(write, done=lambda job: copied() if job.state == "done" else None)

    def settle(self) -> None:
        """Go on in the new file, if a move has made one."""
        if self._moving is not None:
            self._moving()

    def _change_over(self, new: ProjectStore, moved: Callable[[], None]) -> None:
        """On the main thread, so that no edit comes between: a kill finds one of the files whole."""
        waiting = [_Pending(one.edit, *new.accept(one.edit)) for one in self._pending]
        old, self._store = self._store, new
        self._pending = deque(waiting)
        self._moving = None  # only now: what waits must not be written into the old file
        moved()

        def finish(task: Task) -> None:
            old.close(forget=True)
            if _is_unnamed(old.path):
                carry_snapshots(old.path, new.path)
                old.path.unlink(missing_ok=True)
                drop_objects(old.path)
            while self._held:
                new.set_meta(*self._held.popitem())

        self._lane.submit(finish)
        self.retry()
        self._end_move(self._move)

    def _end_move(self, move: object | None) -> None:
        """Do what has waited for a move to end, once."""
        if move is None or move is not self._move:
            return
        waiting, self._move, self._next_move = self._next_move, None, None
        if waiting is not None:
            waiting()
        elif self._is_closed:
            self._shut()

    def flush(self, timeout: float) -> bool:
        """Wait until all is written; False when something could not be. Blocks for `timeout` s at most."""
        self.stop_snapshot()
        deadline = time.monotonic() + timeout
        if self._pending and not self._is_closed:
            self.retry()
        idle = self._lane.flush(timeout)
        while self._moving is not None or (idle and self._move is not None):
            if self._moving is not None:
                self.settle()
            else:  # the copy has failed, which the main thread would be told next
                self._end_move(self._move)
            idle = self._lane.flush(max(deadline - time.monotonic(), 0.1))
        return idle and not self._pending

    def stop_snapshot(self) -> None:
        """Nobody waits for a copy."""
        if self._snapshot is not None:
            self._snapshot.cancel()

    def close(self) -> None:
        """Write what is pending and close the file, when all that was asked before is done.

        A move that is under way ends first: then the new file is closed, and the old one with it.
        """
        self.stop_snapshot()
        self.settle()
        self._is_closed = True
        if self._move is None:
            self._shut()

    def _shut(self) -> None:
        self._lane.submit(self._flush)
        self._lane.submit(lambda task: self._store.close())

    def _flush(self, task: Task) -> None:
        if self._moving is not None:
            return
        while self._pending:
            one = self._pending[0]
            self._store.append(one.edit, one.number)
            self._pending.popleft()
            self.saved_at = time.time()

    def _told(self, job: Job[Any]) -> None:
        self._failed = job.state == "failed"
        self.changed.emit()


def autosave_dir() -> Path:
    """The folder of projects that the user did not name."""
    folder = paths.data_dir() / "autosave"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _is_unnamed(path: Path) -> bool:
    return path.parent == autosave_dir()
