"""Rows of parts of rings of vertices, as offsets into one array. Must not know annotations.

The layout is that of Arrow's nested lists: row k owns parts ``row_parts[k]`` to
``row_parts[k + 1]``, part j owns rings ``part_rings[j]`` to ``part_rings[j + 1]``, ring i owns
vertices ``ring_coords[i]`` to ``ring_coords[i + 1]``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Offsets = NDArray[Any]
"""Increasing from 0; int32 while that holds the last value, else int64."""

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

SHARE_BYTES = 1 << 20
SHARE_PART = 8
"""Chosen rows share their sources' arrays when they are worth `SHARE_BYTES` and at least one
part in `SHARE_PART` of the sources; else they are copied, so that a few rows never keep a
large array alive."""

_BLOCK = 1 << 20
_SAMPLED = 1 << 12

GATHERED = 1 << 18
"""Rows of several sources are gathered so many at a time: all at once would take them three times."""


def ranges(starts: NDArray[Any], counts: NDArray[Any]) -> Rows:
    """``starts[k], starts[k] + 1, ...`` (``counts[k]`` of them) for every k, one after the other."""
    ends = np.cumsum(counts, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    numbers: Rows = np.arange(total, dtype=np.int64) + np.repeat(starts - (ends - counts), counts)
    return numbers


def ends_of(counts: NDArray[Any]) -> Rows:
    """Offsets (n + 1) from counts (n)."""
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def inverse(order: Rows) -> Rows:
    """The permutation that undoes this one: where each of 0..n-1 is in `order`."""
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return places


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The same memory, not to be written through this handle."""
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """The vertices of n rows.

    Attributes
    ----------
    row_parts : ndarray, (n + 1,)
    part_rings : ndarray, (p + 1,)
    ring_coords : ndarray, (r + 1,)
    coords : ndarray, (v, 2) int32
        Steps of 1/GRID px.
    """

    row_parts: Offsets
    part_rings: Offsets
    ring_coords: Offsets
    coords: NDArray[np.int32]

    @classmethod
    def of(
        cls,
        row_parts: NDArray[Any],
        part_rings: NDArray[Any],
        ring_coords: NDArray[Any],
        coords: NDArray[Any],
    ) -> Geometry:
        """Take over arrays of any integer type; equal offsets (simple polygons) become one array."""
        ring_coords = _narrow(ring_coords)
        part_rings = _same_or(ring_coords, _narrow(part_rings))
        row_parts = _same_or(part_rings, _narrow(row_parts))
        vertices = frozen(np.ascontiguousarray(coords, np.int32).reshape(-1, 2))
        return cls(row_parts, part_rings, ring_coords, vertices)

    @classmethod
    def empty(cls) -> Geometry:
        none = np.zeros(1, np.int32)
        return cls.of(none, none, none, np.empty((0, 2), np.int32))

    @classmethod
    def joined(cls, pieces: Sequence[Geometry]) -> Geometry:
        """All rows of all pieces, in this order."""
        if len(pieces) == 1:
            return pieces[0]
        return cls.of(
            _joined_offsets([piece.row_parts for piece in pieces]),
            _joined_offsets([piece.part_rings for piece in pieces]),
            _joined_offsets([piece.ring_coords for piece in pieces]),
            np.concatenate([piece.coords for piece in pieces]),
        )

    def __len__(self) -> int:
        return len(self.row_parts) - 1

    @property
    def sources(self) -> tuple[Geometry, ...]:
        return (self,)

    def at(self, rows: Rows) -> Rows:
        """Where these rows are in the sources, counted through all of them."""
        return rows

    def dense(self) -> Geometry:
        return self

    def arrays(self) -> tuple[NDArray[Any], ...]:
        return self.row_parts, self.part_rings, self.ring_coords, self.coords

    @property
    def row_coords(self) -> Rows:
        """Row k owns vertices ``row_coords[k]`` to ``row_coords[k + 1]``."""
        return self.ring_coords[self.part_rings[self.row_parts]].astype(np.int64)

    def vertices_in(self, rows: Rows) -> int:
        ring_coords, part_rings, row_parts = self.ring_coords, self.part_rings, self.row_parts
        ends = ring_coords[part_rings[row_parts[rows + 1]]]
        return int((ends - ring_coords[part_rings[row_parts[rows]]]).sum(dtype=np.int64))

    def take(self, rows: Rows) -> Geometry:
        """A copy of these rows, in this order."""
        parts, row_parts = _children(self.row_parts, rows)
        rings, part_rings = _children(self.part_rings, parts)
        starts = self.ring_coords[rings].astype(np.int64)
        counts = self.ring_coords[rings + 1] - starts
        return Geometry.of(row_parts, part_rings, ends_of(counts), _copied(self.coords, starts, counts))

    def keep_vertices(self, keep: Mask) -> Geometry:
        return Geometry.of(
            self.row_parts, self.part_rings, ends_of(keep)[self.ring_coords], self.coords[keep]
        )

    def keep_rings(self, keep: Mask) -> Geometry:
        counts = np.diff(self.ring_coords)
        return Geometry.of(
            self.row_parts,
            ends_of(keep)[self.part_rings],
            ends_of(counts[keep]),
            self.coords[np.repeat(keep, counts)],
        )

    def keep_filled_parts(self) -> Geometry:
        """Without the parts that have no ring."""
        keep = np.diff(self.part_rings) > 0
        part_rings = np.concatenate((self.part_rings[:1], self.part_rings[1:][keep]))
        return Geometry.of(ends_of(keep)[self.row_parts], part_rings, self.ring_coords, self.coords)

    def equal_rows(self, other: Geometry) -> Mask:
        """Which rows have the same parts, rings and vertices in both; (n,) bool."""
        mine, theirs = self.arrays(), other.arrays()
        if all(a is b or np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True)):
            return np.ones(len(self), np.bool_)
        equal: Mask = np.diff(self.row_parts) == np.diff(other.row_parts)
        equal &= np.diff(self.part_rings[self.row_parts]) == np.diff(other.part_rings[other.row_parts])
        equal &= np.diff(self.row_coords) == np.diff(other.row_coords)
        rows = np.flatnonzero(equal)
        if not len(rows):
            return equal
        a, b = self.take(rows), other.take(rows)
        same_parts = np.diff(a.part_rings) == np.diff(b.part_rings)
        same_rings = np.diff(a.ring_coords) == np.diff(b.ring_coords)
        same_coords = (a.coords == b.coords).all(axis=1)
        equal[rows] = (
            _all_of(same_parts, a.row_parts)
            & _all_of(same_rings, a.part_rings[a.row_parts])
            & _all_of(same_coords, a.row_coords)
        )
        return equal


@dataclass(frozen=True, slots=True, eq=False)
class SharedGeometry:
    """Rows chosen from other geometries without copying a vertex.

    Attributes
    ----------
    sources : tuple of Geometry
    rows : ndarray, (n,)
        Row numbers counted through all sources.
    """

    sources: tuple[Geometry, ...]
    rows: NDArray[Any]

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, rows: Rows) -> Rows:
        return self.rows[rows].astype(np.int64)

    def dense(self) -> Geometry:
        return gathered(self.sources, self.rows.astype(np.int64))

    def arrays(self) -> tuple[NDArray[Any], ...]:
        return (self.rows, *(array for source in self.sources for array in source.arrays()))


AnyGeometry = Geometry | SharedGeometry


def source_of(geometry: AnyGeometry, row: int) -> tuple[Geometry, int]:
    """The geometry that holds one row, and the row number there."""
    within = int(geometry.at(np.array([row]))[0])
    for source in geometry.sources:
        if within < len(source):
            return source, within
        within -= len(source)
    raise IndexError(row)


def chosen(geometry: AnyGeometry, rows: Rows) -> AnyGeometry:
    """These rows: shared when they are many, else a copy."""
    if len(rows) == len(geometry) and (rows == np.arange(len(rows))).all():
        return geometry
    few = SharedGeometry(geometry.sources, frozen(_narrow(geometry.at(rows))))
    return few if _worth_sharing(few.sources, lambda: _vertices(few)) else few.dense()


def concatenated(pieces: Sequence[AnyGeometry], share: bool = True) -> AnyGeometry:
    """All rows of all pieces: shared when they are many (and `share` allows it), else a copy."""
    sources = tuple(source for piece in pieces for source in piece.sources)
    if not share or not _worth_sharing(sources, lambda: sum(map(_vertices, pieces))):
        return Geometry.joined([piece.dense() for piece in pieces] or [Geometry.empty()])
    rows: list[Rows] = []
    before = 0
    for piece in pieces:
        rows.append(before + piece.at(np.arange(len(piece))))
        before += sum(map(len, piece.sources))
    return SharedGeometry(sources, frozen(_narrow(np.concatenate(rows))))


def gathered(sources: tuple[Geometry, ...], rows: Rows) -> Geometry:
    """A copy of these rows, counted through all sources."""
    if len(sources) == 1:
        return sources[0].take(rows)
    if len(rows) > GATHERED:
        firsts = range(0, len(rows), GATHERED)
        return _poured([gathered(sources, rows[first : first + GATHERED]) for first in firsts])
    owner, rows = _owners(sources, rows)
    pieces = [source.take(rows[owner == k]) for k, source in enumerate(sources)]
    joined = Geometry.joined(pieces)
    order = np.argsort(owner, kind="stable")
    if (order[1:] > order[:-1]).all():
        return joined
    return joined.take(inverse(order))


def _poured(pieces: list[Geometry]) -> Geometry:
    """All rows of all pieces, in this order; each piece is let go once it is copied."""
    row_parts = _joined_offsets([piece.row_parts for piece in pieces])
    part_rings = _joined_offsets([piece.part_rings for piece in pieces])
    ring_coords = _joined_offsets([piece.ring_coords for piece in pieces])
    coords = np.empty((int(ring_coords[-1]), 2), np.int32)
    end = len(coords)
    while pieces:
        piece = pieces.pop()
        coords[end - len(piece.coords) : end] = piece.coords
        end -= len(piece.coords)
    return Geometry.of(row_parts, part_rings, ring_coords, coords)


def same_rows(a: AnyGeometry, b: AnyGeometry) -> Mask:
    """Which rows have the same vertices in both; those that share memory are not compared."""
    if a is b:
        return np.ones(len(a), np.bool_)
    everything = np.arange(len(a))
    (source_a, row_a), (source_b, row_b) = _addresses(a), _addresses(b)
    same: Mask = (source_a == source_b) & (row_a == row_b)
    rest = everything[~same]
    if len(rest):
        same[rest] = gathered(a.sources, a.at(rest)).equal_rows(gathered(b.sources, b.at(rest)))
    return same


def _addresses(geometry: AnyGeometry) -> tuple[Rows, Rows]:
    """The identity of the source and the row in it, for every row."""
    owner, rows = _owners(geometry.sources, geometry.at(np.arange(len(geometry))))
    names = np.array([id(source) for source in geometry.sources], np.int64)
    return names[owner], rows


def _worth_sharing(sources: tuple[Geometry, ...], vertices: Callable[[], int]) -> bool:
    held = sum(len(source.coords) for source in sources) * 8
    if held < SHARE_BYTES:
        return False
    wanted = vertices() * 8
    return wanted >= SHARE_BYTES and wanted * SHARE_PART >= held


def _vertices(geometry: AnyGeometry) -> int:
    """How many vertices there are; of very many rows an estimate from every so manyth."""
    if isinstance(geometry, Geometry):
        return len(geometry.coords)
    step = max(1, len(geometry.rows) // _SAMPLED)
    owner, rows = _owners(geometry.sources, geometry.rows[::step])
    return step * sum(source.vertices_in(rows[owner == k]) for k, source in enumerate(geometry.sources))


def _owners(sources: tuple[Geometry, ...], rows: NDArray[Any]) -> tuple[Rows, Rows]:
    """Which source each row is in, and its row number there."""
    starts = ends_of(np.array([len(source) for source in sources], np.int64))
    owner = np.searchsorted(starts, rows, side="right") - 1
    return owner, rows - starts[owner]


def _narrow(offsets: NDArray[Any]) -> NDArray[Any]:
    largest = int(offsets.max()) if len(offsets) else 0
    dtype = np.int32 if largest < 2**31 else np.int64
    return frozen(np.ascontiguousarray(offsets, dtype))


def _same_or(known: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
    return known if np.array_equal(known, new) else new


def _joined_offsets(pieces: list[NDArray[Any]]) -> NDArray[Any]:
    before = np.cumsum([0] + [int(piece[-1]) for piece in pieces[:-1]])
    shifted = [piece[1:] + start for piece, start in zip(pieces, before, strict=True)]
    return np.concatenate([pieces[0][:1], *shifted])


def _children(offsets: Offsets, rows: Rows) -> tuple[Rows, Rows]:
    starts = offsets[rows].astype(np.int64)
    counts = offsets[rows + 1] - starts
    return ranges(starts, counts), ends_of(counts)


def _copied(coords: NDArray[np.int32], starts: Rows, counts: Rows) -> NDArray[np.int32]:
    """The vertices of rings, block by block: the index alone is as large as the vertices."""
    vertices = coords.view(np.int64).ravel()  # both numbers of a vertex in one step
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    if total <= _BLOCK:
        return vertices[ranges(starts, counts)].view(np.int32).reshape(-1, 2)
    out = np.empty(total, np.int64)
    cuts = np.unique(np.searchsorted(ends, np.arange(_BLOCK, total, _BLOCK)) + 1)
    for first, last in zip([0, *cuts], [*cuts, len(ends)], strict=True):
        block = ranges(starts[first:last], counts[first:last])
        begin = int(ends[first - 1]) if first else 0
        out[begin : begin + len(block)] = vertices[block]
    return out.view(np.int32).reshape(-1, 2)


def _all_of(values: Mask, offsets: NDArray[Any]) -> Mask:
    """For every range of the offsets, whether all its values hold; no range may be empty."""
    result: Mask = np.logical_and.reduceat(values, offsets[:-1])
    return result
