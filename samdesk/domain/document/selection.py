"""`Selection`: which annotations are chosen, in the order they were. Must not know widgets."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from .announce import announcement
from .document import Document
from .edit import Edit


class Selection:
    """Ids of chosen annotations; ids that leave the document leave the selection.

    Attributes
    ----------
    changed : Signal()
        Told after the selection has changed.
    """

    changed = announcement()

    def __init__(self, document: Document) -> None:
        self._document = document
        self._ids: dict[uuid.UUID, None] = {}
        document.changed.connect(self._follow)

    @property
    def ids(self) -> tuple[uuid.UUID, ...]:
        return tuple(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, one: object) -> bool:
        return one in self._ids

    def set(self, ids: Iterable[uuid.UUID]) -> None:
        """Select these and no others; ids that are not in the document are ignored."""
        self._become(self._present(dict.fromkeys(ids)))

    def toggle(self, one: uuid.UUID) -> None:
        """Add to the selection, or take out of it."""
        ids = dict(self._ids)
        if one in ids:
            del ids[one]
        else:
            ids[one] = None
        self._become(self._present(ids))

    def clear(self) -> None:
        self._become({})

    def _present(self, ids: dict[uuid.UUID, None]) -> dict[uuid.UUID, None]:
        here = self._document.snapshot().has(ids)
        return ids if here.all() else {one: None for one, is_here in zip(ids, here, strict=True) if is_here}

    def _become(self, ids: dict[uuid.UUID, None]) -> None:
        if list(ids) != list(self._ids):
            self._ids = ids
            self.changed.emit()

    def _follow(self, edit: Edit) -> None:
        if self._ids and len(edit.before):
            self._become(self._present(self._ids))
