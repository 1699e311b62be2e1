"""The journal: writes every accepted edit to the project file, in order, on its own lane.

All access to the store happens on that lane, so that nothing can come between two edits.
Must not know documents or widgets.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

from psygnal import Signal

from samdesk import paths
from samdesk.domain.document import Edit
from samdesk.domain.tasks import Task
from samdesk.formats.project import ImageReference, ProjectStore

from .jobs import Job, Jobs, Lane
from .reconstruction import carry_objects, drop_objects

PROJECT_SUFFIX = ".gpkg"


class Journal:
    """The project file of one document while it is open.

    Attributes
    ----------
    changed : Signal()
        After edits were written, could not be written, or the file has moved.
    """

    changed = Signal()

    def __init__(self, jobs: Jobs, store: ProjectStore) -> None:
        self._lane: Lane = jobs.lane("journal")
        self._store = store
        self._pending: deque[Edit] = deque()

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
        """Accepted edits that are not on disk yet."""
        return len(self._pending)

    def write(self, edit: Edit) -> None:
        """Write an edit soon. One that cannot be written is kept and tried again with the next."""
        if not self.read_only:
            self._pending.append(edit)
            self.retry()

    def retry(self) -> None:
        """Write what is pending."""
        self._lane.submit(self._flush, done=self._told)

    def note_image(self, image: ImageReference) -> None:
        """Remember which image this is about."""
        if not self.read_only:
            self._lane.submit(lambda task: self._store.set_image(image))

    def move(self, path: Path) -> None:
        """Go on in a file of another name; one that was never named goes away. Returns at once.

        Has no title, so that nobody can cancel it half way.
        """

        def move(task: Task) -> None:
            self._flush(task)
            old = self._store
            unnamed = old.path.parent == autosave_dir()
            carry_objects(old.path, path, task, old_goes=unnamed)
            old.save_copy(path)
            moved = ProjectStore.open(path)
            moved.set_image(old.image)
            self._store = moved
            old.close()
            if unnamed:
                old.path.unlink(missing_ok=True)
                drop_objects(old.path)

        self._lane.submit(move, done=self._told)

    def flush(self, timeout: float) -> bool:
        """Wait until all is written; False when something could not be. Blocks for `timeout` s at most."""
        if self._pending:
            self.retry()
        return self._lane.flush(timeout) and not self._pending

    def close(self) -> None:
        """Write what is pending and close the file, when all that was asked before is done."""
        self._lane.submit(self._flush)
        self._lane.submit(lambda task: self._store.close())

    def _flush(self, task: Task) -> None:
        while self._pending:
            self._store.append(self._pending[0])
            self._pending.popleft()

    def _told(self, job: Job[Any]) -> None:
        self.changed.emit()


def autosave_dir() -> Path:
    """The folder of projects that the user did not name."""
    folder = paths.data_dir() / "autosave"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
