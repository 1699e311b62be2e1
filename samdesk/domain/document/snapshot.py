"""`Snapshot`: the annotations at one moment, for any thread. Must not know how they change."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.columns import Annotation, Table, id_bytes
from samdesk.domain.columns.ragged import Mask, Rows, ends_of, frozen, inverse
from samdesk.domain.columns.table import Classes
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane

from .chunk import Chunk
from .hits import areas, under_point

Ids = Iterable[uuid.UUID] | NDArray[np.uint8]
"""Ids as values, or as a column (n, 16) uint8."""

KEPT_FROM = 1 << 12
"""Where the rows of a table of so many or more are is kept until another one is asked for: what is
done to very many rows asks for the same ones again and again, and finding them takes longest."""


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """Where the rows of a table are.

    Attributes
    ----------
    table : Table
        Handed out as copies only, which do not gather vertices for this one.
    owner, rows : ndarray, (n,) int64
        Chunk number and row there.
    is_whole : bool
        Whether it has all rows, in list order.
    """

    table: Table
    owner: Rows
    rows: Rows
    is_whole: bool


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """All annotations at one moment. Immutable; may be used from any thread.

    Attributes
    ----------
    classes : tuple of AnnotationClass
    chunks : tuple of Chunk
        Largest first; no id is alive in two of them.
    tally : ndarray, (k + 1,) int64
        How many annotations have each class number.
    """

    classes: Classes
    chunks: tuple[Chunk, ...]
    tally: NDArray[np.int64]
    _kept: _Kept | None = None

    @classmethod
    def empty(cls, classes: Classes) -> Snapshot:
        return cls(classes, (), np.zeros(len(classes) + 1, np.int64))

    def __len__(self) -> int:
        return int(self.tally.sum())

    def counts(self) -> dict[str | None, int]:
        """How many annotations each class has, in the order of the classes; None is unclassified."""
        names = [None, *(one.name for one in self.classes)]
        return dict(zip(names, self.tally.tolist(), strict=True))

    # By id

    def has(self, ids: Ids) -> Mask:
        """Which of the ids are here; (n,) bool."""
        return self.locate(as_column(ids))[0] >= 0

    def get(self, one: uuid.UUID) -> Annotation:
        """One annotation by its id; KeyError when there is none."""
        column = id_bytes([one])
        for chunk in self.chunks:
            row = int(chunk.find(column)[0])
            if row >= 0:
                return chunk.table.annotation(row)
        raise KeyError(one)

    def table(self, ids: Ids | None = None) -> Table:
        """All rows in list order, or those of the given ids in the order given.

        A large table shares its vertices with the document.

        Raises
        ------
        SamdeskError
            When an id is not here.
        """
        if ids is not None:
            column = as_column(ids)
            kept = self._kept_for(column)
            if kept is not None:
                return replace(kept.table)
            owner, rows = self.locate(column)
            if (owner < 0).any():
                missing = uuid.UUID(bytes=column[int(np.argmin(owner))].tobytes())
                raise SamdeskError(f"There is no annotation {missing}.", "It may have been deleted.")
            return self._keep(self.rows_at(owner, rows), owner, rows)
        kept = self._kept
        if kept is not None and kept.is_whole:
            return replace(kept.table)
        owner, rows = self._all_places()
        return self._keep(self.rows_at(owner, rows), owner, rows, is_whole=True)

    def _all_places(self) -> tuple[Rows, Rows]:
        """Chunk numbers and rows of all that is alive, in list order."""
        rows = [chunk.live_rows() for chunk in self.chunks]
        owner = np.repeat(np.arange(len(rows)), [len(some) for some in rows])
        orders = [chunk.table.order[some] for chunk, some in zip(self.chunks, rows, strict=True)]
        if len(rows) == 1:
            return owner, rows[0]
        by_order = np.argsort(np.concatenate([np.empty(0, np.int64), *orders]), kind="stable")
        return owner[by_order], np.concatenate([np.empty(0, np.int64), *rows])[by_order]

    def _keep(self, table: Table, owner: Rows, rows: Rows, is_whole: bool = False) -> Table:
        """Remember where the rows of a large table are; returns one that is not kept."""
        if len(table) < KEPT_FROM:
            return table
        # what a snapshot says is the same before and after
        object.__setattr__(self, "_kept", _Kept(table, frozen(owner), frozen(rows), is_whole))
        return replace(table)

    def _kept_for(self, ids: NDArray[np.uint8]) -> _Kept | None:
        """What is kept, if it is of these ids in this order."""
        kept = self._kept
        if kept is None or len(kept.table) != len(ids):
            return None
        return kept if ids is kept.table.ids or np.array_equal(ids, kept.table.ids) else None

    def keep_places(self, before: Snapshot, table: Table, owner: Rows, rows: Rows) -> None:
        """Remember where the rows of a table are, when no row has moved since `before`.

        The caller knows that the table says what these rows say.
        """
        chunks = before.chunks
        if len(chunks) == len(self.chunks) and all(
            new.index is old.index for new, old in zip(self.chunks, chunks, strict=True)
        ):
            kept = before._kept_for(table.ids)
            is_whole = kept is not None and kept.is_whole and np.array_equal(kept.table.order, table.order)
            self._keep(table, owner, rows, is_whole)

    def knows(self, table: Table) -> bool:
        """Whether all rows of a table are here as it says, if that can be told without a look at them."""
        kept = self._kept
        return kept is not None and kept.table.is_made_of(table)

    def locate(self, ids: NDArray[np.uint8]) -> tuple[Rows, Rows]:
        """The chunk number and the row of each id, -1 where there is none; each (n,) int64."""
        kept = self._kept_for(ids)
        if kept is not None:
            return kept.owner, kept.rows
        owner, rows = np.full(len(ids), -1, np.int64), np.full(len(ids), -1, np.int64)
        sought = np.arange(len(ids))
        for number, chunk in enumerate(self.chunks):
            if not len(sought):
                break
            found = chunk.find(ids if len(sought) == len(ids) else ids[sought])
            here = found >= 0
            owner[sought[here]], rows[sought[here]] = number, found[here]
            sought = sought[~here]
        return owner, rows

    def rows_at(self, owner: Rows, rows: Rows) -> Table:
        """The rows at these places, in the order given."""
        used = np.flatnonzero(np.bincount(owner, minlength=1))
        if len(used) < 2:
            return self.chunks[used[0]].table.take(rows) if len(used) else Table.empty(self.classes)
        lengths = [len(chunk.table) for chunk in self.chunks]
        if 2 * len(rows) > sum(lengths):  # nearly all: each is copied twice, not three times
            starts = ends_of(np.array(lengths))[:-1]
            return Table.concat([chunk.table for chunk in self.chunks]).take(starts[owner] + rows)
        joined = Table.concat([self.chunks[k].table.take(rows[owner == k]) for k in used])
        return joined.take(inverse(np.argsort(owner, kind="stable")))

    def last_id(self) -> uuid.UUID | None:
        """The last one in the list; None when the list is empty."""
        lasts = [(chunk.table, chunk.last_row()) for chunk in self.chunks]
        if not lasts:
            return None
        table, row = max(lasts, key=lambda last: int(last[0].order[last[1]]))
        return table.id(row)

    # By place

    def query(self, bounds: Bounds, plane: Plane = Plane()) -> Table:
        """The annotations on a plane whose boxes meet `bounds` (image pixels), in list order."""
        found = [(chunk.table, chunk.rows_in(bounds, plane)) for chunk in self.chunks]
        return self._joined([table.take(rows) for table, rows in found if len(rows)])

    def count(self, bounds: Bounds, plane: Plane = Plane()) -> int:
        """How many annotations `query` would give."""
        return sum(len(chunk.rows_in(bounds, plane)) for chunk in self.chunks)

    def hit(self, x: float, y: float, plane: Plane = Plane(), tolerance: float = 0.0) -> list[uuid.UUID]:
        """What lies under a point, topmost first: smallest area first, then newest first.

        Parameters
        ----------
        x, y, tolerance : float
            Image pixels. Areas are hit inside (not in their holes) or within `tolerance` of
            an edge; lines and points within `tolerance`.
        """
        near = self.query(Bounds(x, y, x, y).expanded(tolerance), plane)
        near = near.take(np.flatnonzero(under_point(near, x, y, tolerance)))
        ranked = np.lexsort((-near.order, areas(near))) if len(near) > 1 else range(len(near))
        return [near.id(int(row)) for row in ranked]

    def _joined(self, tables: list[Table]) -> Table:
        """All rows of all tables, in list order."""
        joined = Table.concat(tables or [Table.empty(self.classes)])
        return joined.take(np.argsort(joined.order, kind="stable"))

    def arrays(self) -> list[NDArray[Any]]:
        """Every array this state keeps alive."""
        return [array for chunk in self.chunks for array in chunk.arrays()]


def as_column(ids: Ids) -> NDArray[np.uint8]:
    """Ids as a column, (n, 16) uint8."""
    return ids if isinstance(ids, np.ndarray) else id_bytes(ids)
