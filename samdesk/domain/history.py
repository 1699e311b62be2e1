"""Undo and redo, bounded by bytes. Must not know what an edit means."""

from __future__ import annotations

from collections import deque

from .columns.table import held_bytes
from .document import Document, Edit
from .document.announce import announcement

__all__ = ["Edit", "History"]

LIMIT_BYTES = 512 << 20

_LARGE = 1 << 20
"""Edits up to this size are counted in full; in larger ones, arrays that the document keeps
anyway count nothing."""


class _Steps:
    """Edits, oldest first, and what they weigh."""

    def __init__(self) -> None:
        self._edits: deque[tuple[Edit, int]] = deque()
        self.small_bytes = 0
        self.large: deque[Edit] = deque()

    def __len__(self) -> int:
        return len(self._edits)

    @property
    def newest(self) -> Edit:
        return self._edits[-1][0]

    @property
    def title(self) -> str:
        return self.newest.title if self._edits else ""

    def push(self, edit: Edit) -> None:
        nbytes = edit.nbytes
        self._edits.append((edit, nbytes))
        if nbytes <= _LARGE:
            self.small_bytes += nbytes
        else:
            self.large.append(edit)

    def pop(self) -> Edit:
        edit, nbytes = self._edits.pop()
        if nbytes <= _LARGE:
            self.small_bytes -= nbytes
        else:
            self.large.pop()
        return edit

    def pop_oldest(self) -> None:
        _, nbytes = self._edits.popleft()
        if nbytes <= _LARGE:
            self.small_bytes -= nbytes
        else:
            self.large.popleft()


class History:
    """The edits that can be taken back and done again.

    Parameters
    ----------
    document : Document
        Should change only through this history while there is something to undo.
    limit_bytes : int
        Memory for edits; the oldest are forgotten beyond it. The newest edit is always kept.

    Attributes
    ----------
    changed : Signal()
        Told after an edit was done, undone, redone or forgotten.
    """

    changed = announcement()

    def __init__(self, document: Document, limit_bytes: int = LIMIT_BYTES) -> None:
        self._document = document
        self._limit_bytes = limit_bytes
        self._done = _Steps()
        self._undone = _Steps()

    @property
    def can_undo(self) -> bool:
        return len(self._done) > 0

    @property
    def can_redo(self) -> bool:
        return len(self._undone) > 0

    @property
    def undo_title(self) -> str:
        """What `undo` would take back; empty when there is nothing."""
        return self._done.title

    @property
    def redo_title(self) -> str:
        """What `redo` would do again; empty when there is nothing."""
        return self._undone.title

    @property
    def limit_bytes(self) -> int:
        return self._limit_bytes

    @limit_bytes.setter
    def limit_bytes(self, limit: int) -> None:
        self._limit_bytes = limit
        if self._forget_oldest():
            self.changed.emit()

    def do(self, edit: Edit) -> None:
        """Apply an edit; an empty one is not kept.

        Raises
        ------
        SamdeskError
            When it does not fit the document; nothing has changed then.
        """
        if edit.is_empty:
            return
        undone, self._undone = self._undone, _Steps()
        # kept before it is applied, so that an edit made by a listener comes after it
        self._done.push(edit)
        try:
            self._document.apply(edit)
        except Exception:
            self._done.pop()
            self._undone = undone
            raise
        self._forget_oldest()
        self.changed.emit()

    def undo(self) -> None:
        """Take the last edit back; does nothing when there is none."""
        if self.can_undo:
            self._move(self._done, self._undone, self._done.newest.inverse())

    def redo(self) -> None:
        """Do the edit again that was taken back last; does nothing when there is none."""
        if self.can_redo:
            self._move(self._undone, self._done, self._undone.newest)

    def clear(self) -> None:
        """Forget everything, as when another file was loaded."""
        self._done, self._undone = _Steps(), _Steps()
        self.changed.emit()

    @property
    def nbytes(self) -> int:
        """Memory that would be free without this history."""
        small = self._done.small_bytes + self._undone.small_bytes
        large = [*self._done.large, *self._undone.large]
        if not large:
            return small
        arrays = {id(array): array for edit in large for array in edit.arrays()}
        for array in self._document.arrays():
            arrays.pop(id(array), None)
        return small + held_bytes(arrays.values()) + sum(edit.attributes_nbytes for edit in large)

    def _move(self, source: _Steps, target: _Steps, edit: Edit) -> None:
        target.push(source.pop())
        try:
            self._document.apply(edit)
        except Exception:
            source.push(target.pop())
            raise
        self.changed.emit()

    def _forget_oldest(self) -> bool:
        before = len(self._done)
        while len(self._done) > 1 and self.nbytes > self._limit_bytes:
            self._done.pop_oldest()
        return len(self._done) < before
