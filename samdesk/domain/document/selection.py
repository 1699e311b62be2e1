"""`Selection`: which annotations are chosen, in the order they were. Must not know widgets."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.columns import IdColumn, id_bytes

from .announce import announcement
from .chunk import IdIndex
from .document import Document
from .edit import Edit
from .snapshot import Ids

_NONE = IdColumn(id_bytes([]))
_FEW = 16


class Selection:
    """Ids of chosen annotations; ids that leave the document leave the selection.

    Kept as a column, so that a million selected annotations cost 16 MB and no time.

    Attributes
    ----------
    changed : Signal()
        Told after the selection has changed.
    """

    changed = announcement()

    def __init__(self, document: Document) -> None:
        self._document = document
        self._ids = _NONE
        document.changed.connect(self._follow)

    @property
    def ids(self) -> IdColumn:
        """In the order they were chosen; a sequence whose items are made on demand."""
        return self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, one: object) -> bool:
        return one in self._ids

    def set(self, ids: Ids) -> None:
        """Select these and no others; ids that are not in the document are ignored.

        Parameters
        ----------
        ids : iterable of UUID, or ndarray (n, 16) uint8
            A column must not name one twice.
        """
        column = ids if isinstance(ids, np.ndarray) else id_bytes(_once(ids))
        here = self._document.snapshot().has(column)
        self._become(column if here.all() else column[here])

    def set_all(self) -> None:
        """Select everything, in list order."""
        self._become(self._document.table().ids)

    def set_known(self, column: NDArray[np.uint8]) -> None:
        """Select these, of which the caller knows that they are in the document, each once.

        Saves looking for a million ids.

        Parameters
        ----------
        column : ndarray, (n, 16) uint8
        """
        self._become(column)

    def is_touched(self, edit: Edit) -> bool:
        """Whether an edit may have changed what is selected; exact when few are selected."""
        if not 0 < len(self._ids) <= _FEW:
            return len(self._ids) > 0
        ids = np.concatenate((edit.before.ids, edit.after.ids))
        return bool((IdIndex(self._ids.column).find(ids) >= 0).any())

    def toggle(self, one: uuid.UUID) -> None:
        """Add to the selection, or take out of it."""
        column = id_bytes([one])
        if one in self._ids:
            self._become(_without(self._ids.column, column))
        elif one in self._document:
            self._become(np.concatenate((self._ids.column, column)))

    def clear(self) -> None:
        self._become(_NONE.column)

    def _become(self, column: NDArray[np.uint8]) -> None:
        if not np.array_equal(column, self._ids.column):
            self._ids = IdColumn(column)
            self.changed.emit()

    def _follow(self, edit: Edit) -> None:
        if not len(self._ids) or not len(edit.before) or edit.keeps_ids:
            return
        left = edit.before.ids[IdIndex(edit.after.ids).find(edit.before.ids) < 0]
        self._become(_without(self._ids.column, left))


def _once(ids: Iterable[uuid.UUID]) -> Iterable[uuid.UUID]:
    return ids if isinstance(ids, IdColumn) else dict.fromkeys(ids)


def _without(column: NDArray[np.uint8], gone: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The column without these ids, in the same order."""
    if not len(gone):
        return column
    if len(gone) <= _FEW:  # without sorting the column
        halves = np.ascontiguousarray(column).view(np.uint64)
        sought = np.ascontiguousarray(gone).view(np.uint64)
        stays = np.ones(len(column), np.bool_)
        for first, second in sought:
            alike = np.flatnonzero(halves[:, 0] == first)
            stays[alike[halves[alike, 1] == second]] = False
        return column[stays]
    return column[IdIndex(gone).find(column) < 0]
