"""A chunk: an immutable table, which of its rows are alive, and how to find them.

Rows are found by id through sorted 64-bit keys, and by place through a loose grid. Both are
built when first asked for and are shared by all later versions of the chunk. Must not know
documents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.columns.ragged import Mask, Rows, ends_of, frozen, ranges
from samdesk.domain.columns.table import Classes, Table
from samdesk.domain.geometry import Bounds, Plane

GRID_FROM = 1 << 15
"""Chunks of fewer rows are searched without a grid."""

_PER_CELL = 4
_BRUTE_PART = 4
_REACH = 0.5001
"""How far, in cells, a box reaches from its middle; a little over half, for rounding."""


def sort_keys(ids: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """64 bits of each id, to search by; ids with equal keys must still be compared."""
    halves = np.ascontiguousarray(ids).view(np.uint64)
    return halves[:, 0] * np.uint64(0x9E3779B97F4A7C15) ^ halves[:, 1]


class IdIndex:
    """From ids to rows."""

    def __init__(self, ids: NDArray[np.uint8]) -> None:
        keys = sort_keys(ids)
        order = np.argsort(keys)
        self._halves = np.ascontiguousarray(ids).view(np.uint64)
        self._rows = order.astype(np.int32 if len(ids) < 2**31 else np.int64)
        self._keys = keys[order]

    def find(self, ids: NDArray[np.uint8]) -> Rows:
        """The row of each id, -1 where there is none; (m,) int64."""
        keys = sort_keys(ids)
        halves = np.ascontiguousarray(ids).view(np.uint64)
        found = np.full(len(ids), -1, np.int64)
        sought = np.argsort(keys)  # many keys are found faster when they come in order
        place = np.searchsorted(self._keys, keys[sought])
        while len(sought):
            inside = place < len(self._keys)
            sought, place = sought[inside], place[inside]
            alike = self._keys[place] == keys[sought]
            sought, place = sought[alike], place[alike]
            rows = self._rows[place]
            same = (self._halves[rows] == halves[sought]).all(axis=1)
            found[sought[same]] = rows[same]
            sought, place = sought[~same], place[~same] + 1
        return found

    @property
    def has_duplicates(self) -> bool:
        """Whether two rows have the same id."""
        alike = np.flatnonzero(self._keys[1:] == self._keys[:-1])
        if not len(alike):
            return False
        # few rows share a key by chance: only those are compared in full
        suspects = self._rows[np.union1d(alike, alike + 1)]
        return len(np.unique(self._halves[suspects], axis=0)) < len(suspects)

    def arrays(self) -> list[NDArray[Any]]:
        return [self._rows, self._keys]


class Grid:
    """From a window to rows: every box is in one cell, that of its middle, on the level of its size.

    Level k has square cells of ``finest * 2**k`` px, at least as large as every box on it, so
    that a window reaches half a cell further at most. Cells list their rows one after the
    other (CSR).
    """

    def __init__(self, bounds: NDArray[np.float32]) -> None:
        low, high = bounds[:, :2].min(axis=0).astype(float), bounds[:, 2:].max(axis=0).astype(float)
        span, n = high - low, len(bounds)
        finest = max(math.sqrt(_PER_CELL * span[0] * span[1] / n), _PER_CELL * float(span.max()) / n, 1e-3)
        levels = 1 + max(0, math.ceil(math.log2(max(float(span.max()) / finest, 1.0))))
        self._bounds = bounds
        self._origin = low
        self._cells = finest * 2.0 ** np.arange(levels)
        self._columns, self._lines = np.floor(span[:, None] / self._cells).astype(np.int64) + 1
        self._first = ends_of(self._columns * self._lines)
        keys = self._keys()
        self._rows = np.argsort(keys, kind="stable").astype(np.int32 if n < 2**31 else np.int64)
        starts = ends_of(np.bincount(keys, minlength=int(self._first[-1])))
        self._starts = starts.astype(self._rows.dtype)

    def _keys(self) -> Rows:
        """The cell of every row, counted through all levels."""
        b = self._bounds
        size = np.maximum(b[:, 2] - b[:, 0], b[:, 3] - b[:, 1]).astype(np.float64)
        with np.errstate(divide="ignore"):
            level = np.ceil(np.log2(size / self._cells[0]))
        level = np.clip(level, 0, len(self._cells) - 1).astype(np.int64)
        cell = self._cells[level]
        column = ((b[:, 0].astype(np.float64) + b[:, 2]) / 2 - self._origin[0]) // cell
        line = ((b[:, 1].astype(np.float64) + b[:, 3]) / 2 - self._origin[1]) // cell
        columns = self._columns[level]
        column = np.clip(column.astype(np.int64), 0, columns - 1)
        line = np.clip(line.astype(np.int64), 0, self._lines[level] - 1)
        keys: Rows = self._first[level] + line * columns + column
        return keys

    def rows_in(self, window: Bounds) -> Rows:
        """The rows whose boxes meet the window, in no order."""
        spans = [self._span(level, window) for level in range(len(self._cells))]
        starts = np.concatenate([span[0] for span in spans])
        counts = np.concatenate([span[1] for span in spans])
        if counts.sum() * _BRUTE_PART > len(self._bounds):
            return np.flatnonzero(meeting(self._bounds, window))
        rows = self._rows[ranges(starts, counts)]
        return rows[meeting(self._bounds[rows], window)].astype(np.int64)

    def _span(self, level: int, window: Bounds) -> tuple[Rows, Rows]:
        """Where the candidates of one level are in `_rows`, one run for each line of cells."""
        cell, columns, lines = float(self._cells[level]), self._columns[level], self._lines[level]

        def cut(low: float, high: float, origin: float, n: int) -> tuple[int, int]:
            first = min(max((low - origin) / cell - _REACH, 0), n)
            last = min(max((high - origin) / cell + _REACH, -1), n - 1)
            return math.floor(first), math.floor(last)

        first_column, last_column = cut(window.x0, window.x1, self._origin[0], columns)
        first_line, last_line = cut(window.y0, window.y1, self._origin[1], lines)
        if last_column < first_column or last_line < first_line:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        line = self._first[level] + np.arange(first_line, last_line + 1) * columns
        starts = self._starts[line + first_column].astype(np.int64)
        return starts, self._starts[line + last_column + 1] - starts

    def arrays(self) -> list[NDArray[Any]]:
        return [self._rows, self._starts]


def meeting(bounds: NDArray[np.float32], window: Bounds) -> Mask:
    """Which boxes (n, 4) meet the window, edges included."""
    x0, y0 = (_rounded(value, -math.inf) for value in (window.x0, window.y0))
    x1, y1 = (_rounded(value, math.inf) for value in (window.x1, window.y1))
    return (bounds[:, 0] <= x1) & (bounds[:, 2] >= x0) & (bounds[:, 1] <= y1) & (bounds[:, 3] >= y0)


def _rounded(value: float, outward: float) -> np.float32:
    """To float32, never inward: else a box far from the origin could be missed."""
    rounded = np.float32(value)
    inward = rounded < value if outward > 0 else rounded > value
    return np.nextafter(rounded, np.float32(outward)) if inward else rounded


class ChunkIndex:
    """What finds the rows of a table; each part is built when first asked for.

    Two threads that ask at once both build it: that costs time, and both results are good.
    """

    __slots__ = ("_bounds", "_box", "_by_id", "_grid", "_ids")

    def __init__(self, table: Table, by_id: IdIndex | None = None) -> None:
        self._ids = table.ids
        self._bounds = table.bounds
        self._box = table.bounding_box()
        self._by_id = by_id
        self._grid: Grid | None = None

    @property
    def by_id(self) -> IdIndex:
        index = self._by_id
        if index is None:
            self._by_id = index = IdIndex(self._ids)
        return index

    def rows_in(self, window: Bounds) -> Rows:
        """Rows, dead or alive, whose boxes meet the window, in no order."""
        if self._box is None or not self._box.intersects(window):
            return np.empty(0, np.int64)
        if len(self._bounds) < GRID_FROM:
            return np.flatnonzero(meeting(self._bounds, window))
        grid = self._grid
        if grid is None:
            self._grid = grid = Grid(self._bounds)
        return grid.rows_in(window)

    def arrays(self) -> list[NDArray[Any]]:
        parts = (self._by_id, self._grid)
        return [array for part in parts if part is not None for array in part.arrays()]


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Rows of a document, ascending in `order`.

    Attributes
    ----------
    table : Table
    alive : ndarray, (n,) bool, or None
        None while every row is alive.
    live : int
        How many are alive; at least 1.
    index : ChunkIndex
    row_nbytes : float
        What one row weighs, on average.
    """

    table: Table
    alive: Mask | None
    live: int
    index: ChunkIndex
    row_nbytes: float

    @classmethod
    def of(cls, table: Table, by_id: IdIndex | None = None) -> Chunk:
        """All rows alive; `by_id` is the index of the table's ids, if it was made already."""
        if (table.order[1:] < table.order[:-1]).any():
            table, by_id = table.take(np.argsort(table.order, kind="stable")), None
        return cls(table, None, len(table), ChunkIndex(table, by_id), table.nbytes / len(table))

    def find(self, ids: NDArray[np.uint8]) -> Rows:
        """The live row of each id, -1 where there is none; (m,) int64."""
        rows = self.find_any(ids)
        return rows if self.alive is None else np.where(self.is_alive(rows), rows, -1)

    def find_any(self, ids: NDArray[np.uint8]) -> Rows:
        """The row of each id, dead or alive, -1 where there is none; (m,) int64."""
        return np.arange(len(ids)) if ids is self.table.ids else self.index.by_id.find(ids)

    def is_alive(self, rows: Rows) -> Mask:
        """Which of these rows are alive; -1 is not."""
        alive: Mask = (rows >= 0) if self.alive is None else (rows >= 0) & self.alive[rows]
        return alive

    def live_rows(self) -> Rows:
        return np.arange(len(self.table)) if self.alive is None else np.flatnonzero(self.alive)

    def live_table(self) -> Table:
        return self.table if self.alive is None else self.table.take(self.live_rows())

    def rows_in(self, window: Bounds, plane: Plane) -> Rows:
        """Live rows on the plane whose boxes meet the window, ascending."""
        rows = self.index.rows_in(window)
        keep = (self.table.z[rows] == plane.z) & (self.table.t[rows] == plane.t)
        if self.alive is not None:
            keep &= self.alive[rows]
        return np.sort(rows[keep])

    def last_row(self) -> int:
        """The live row with the largest `order`."""
        last = len(self.table) - 1
        return last if self.alive is None else last - int(self.alive[::-1].argmax())

    def changed(self, dying: Rows, living: Rows, after: Table, by: Rows) -> Chunk | None:
        """The chunk after live rows died, and `living` (of those, or dead before) live on as in `after`.

        Of the rows `by` of `after`, row by row those of `living`, only class, type and flags may
        differ. Returns None when no row is left.
        """
        table = self.table.overwritten(living, after, by)
        if np.array_equal(dying, living):
            return replace(self, table=table)
        live = self.live - len(dying) + len(living)
        if not live:
            return None
        alive = np.ones(len(table), np.bool_) if self.alive is None else self.alive.copy()
        alive[dying] = False
        alive[living] = True
        return replace(self, table=table, alive=frozen(alive) if live < len(table) else None, live=live)

    def recoded(self, classes: Classes) -> Chunk:
        """The chunk in terms of other classes; rows of a class that is gone become unclassified."""
        if classes == self.table.classes:
            return self
        left = {one.name for one in classes}
        gone = dict.fromkeys(one.name for one in self.table.classes if one.name not in left)
        return replace(self, table=self.table.recoded(classes, gone))

    @property
    def live_nbytes(self) -> float:
        return self.row_nbytes * self.live

    def arrays(self) -> list[NDArray[Any]]:
        alive = [] if self.alive is None else [self.alive]
        return [*self.table.arrays(), *alive, *self.index.arrays()]
