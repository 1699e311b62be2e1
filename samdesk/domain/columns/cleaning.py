"""Coordinates onto the grid of the columns, and rings that are valid there.

Works on all rows at once; only what shapely calls invalid is rebuilt one by one. Must not
know annotations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import GRID, Shape, ShapeKind
from samdesk.domain.outline import snap

from .ragged import Geometry, Mask, Rows, ends_of, inverse

LIMIT = (2**31 - 1) // GRID
"""Largest coordinate in px, either sign."""

_VALIDATED_AT_ONCE = 1 << 15
_SNAPPED_AT_ONCE = 1 << 20


@dataclass(slots=True)
class Repairs:
    """What became of rows that could not be kept as they came.

    Attributes
    ----------
    dropped : list of int
        Rows left out: no area (or vertex) is left on the grid, or a coordinate is no number.
    repaired : list of int
        Rows whose rings crossed and were rebuilt.
    """

    dropped: list[int] = field(default_factory=list)
    repaired: list[int] = field(default_factory=list)


def on_grid(coords: NDArray[Any]) -> tuple[NDArray[np.int32], Mask]:
    """Round px to steps of 1/GRID px.

    Returns
    -------
    steps : ndarray, (v, 2) int32
        Integers are taken as steps already.
    bad : ndarray, (v,) bool
        Vertices that are not finite or beyond `LIMIT`; 0 in `steps`.
    """
    coords = coords.reshape(-1, 2)
    if np.issubdtype(coords.dtype, np.integer):
        return coords.astype(np.int32, copy=False), np.zeros(len(coords), np.bool_)
    steps, bad = np.empty(coords.shape, np.int32), np.empty(len(coords), np.bool_)
    for start in range(0, len(coords), _SNAPPED_AT_ONCE):
        block = slice(start, start + _SNAPPED_AT_ONCE)
        with np.errstate(invalid="ignore"):
            bad[block] = ~(np.abs(coords[block]) <= LIMIT).all(axis=1)
        fine = np.where(bad[block, None], 0.0, coords[block].astype(np.float64))
        steps[block] = np.rint(fine * GRID)
    return steps, bad


def refuse(bad: Mask) -> None:
    """Raise when any vertex is bad."""
    if bad.any():
        raise SamdeskError(
            f"{int(bad.sum())} coordinates are not numbers, or lie beyond {LIMIT} px.",
            "Leave out the shapes they belong to.",
        )


def cleaned(geometry: Geometry, kind: NDArray[np.uint8], bad: Mask) -> tuple[Geometry, Rows, Repairs]:
    """Drop what is degenerate on the grid, and rebuild polygons that are invalid there.

    Parameters
    ----------
    geometry : Geometry
        On the grid.
    kind : ndarray, (n,) uint8
        `ShapeKind` of each row.
    bad : ndarray, (v,) bool
        Vertices that make their row useless.

    Returns
    -------
    geometry : Geometry
        Of the rows that are left.
    rows : ndarray, (m,) int64
        Which rows those are.
    repairs : Repairs
    """
    useless = _rows_with(geometry, bad)
    tidy = _without_small_rings(_without_repeats(geometry, kind), kind)
    invalid = np.flatnonzero(kind == ShapeKind.AREA)
    invalid = invalid[_invalid(tidy, invalid)]
    tidy = _rebuilt(tidy, invalid)
    empty = np.diff(tidy.row_parts) == 0
    rows = np.flatnonzero(~(empty | useless))
    repaired = invalid[~(empty | useless)[invalid]]
    repairs = Repairs(np.flatnonzero(empty | useless).tolist(), repaired.tolist())
    return (tidy if len(rows) == len(kind) else tidy.take(rows)), rows, repairs


def _rows_with(geometry: Geometry, bad: Mask) -> Mask:
    return np.diff(ends_of(bad)[geometry.row_coords]) > 0


def _ring_kind(geometry: Geometry, kind: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(kind, np.diff(geometry.part_rings[geometry.row_parts]))


def _without_repeats(geometry: Geometry, kind: NDArray[np.uint8]) -> Geometry:
    """Drop vertices equal to the one before them (in areas, the last one also when it closes the ring)."""
    coords, ends = geometry.coords, geometry.ring_coords
    of_ring = _ring_kind(geometry, kind)
    counts = np.diff(ends)
    keep = np.ones(len(coords), np.bool_)
    keep[1:] = (coords[1:] != coords[:-1]).any(axis=1)
    keep[ends[:-1][counts > 0]] = True
    keep |= np.repeat(of_ring == ShapeKind.POINTS, counts)
    if not keep.all():
        geometry = geometry.keep_vertices(keep)
        coords, ends = geometry.coords, geometry.ring_coords
        counts = np.diff(ends)
    closed = np.flatnonzero((of_ring == ShapeKind.AREA) & (counts > 1))
    closed = closed[(coords[ends[closed]] == coords[ends[closed + 1] - 1]).all(axis=1)]
    if not len(closed):
        return geometry
    keep = np.ones(len(coords), np.bool_)
    keep[ends[closed + 1] - 1] = False
    return geometry.keep_vertices(keep)


def _without_small_rings(geometry: Geometry, kind: NDArray[np.uint8]) -> Geometry:
    """Drop rings of too few vertices, holes whose shell was dropped, and parts without a ring."""
    fewest = np.array([3, 2, 1])[_ring_kind(geometry, kind)]
    keep = np.diff(geometry.ring_coords) >= fewest
    filled = np.diff(geometry.part_rings) > 0
    shells = geometry.part_rings[:-1][filled]
    keep &= np.repeat(keep[shells], np.diff(geometry.part_rings)[filled])
    if keep.all() and filled.all():
        return geometry
    return geometry.keep_rings(keep).keep_filled_parts()


def polygons(geometry: Geometry) -> NDArray[Any]:
    """The rows as shapely MultiPolygons, in px; every ring has at least 3 vertices."""
    offsets = (geometry.ring_coords, geometry.part_rings, geometry.row_parts)
    made: NDArray[Any] = shapely.from_ragged_array(
        shapely.GeometryType.MULTIPOLYGON, geometry.coords / GRID, offsets
    )
    return made


def _blocks(rows: Rows) -> Iterator[Rows]:
    for start in range(0, len(rows), _VALIDATED_AT_ONCE):
        yield rows[start : start + _VALIDATED_AT_ONCE]


def _invalid(geometry: Geometry, areas: Rows) -> Mask:
    invalid = np.zeros(len(areas), np.bool_)
    doubtful = np.flatnonzero(~star_shaped(geometry)[areas])
    for block in _blocks(doubtful):
        invalid[block] = ~shapely.is_valid(polygons(geometry.take(areas[block])))
    return invalid


def star_shaped(geometry: Geometry) -> Mask:
    """Which rows are one ring that runs once around a point and never back; (n,) bool.

    Such a ring cannot cross itself. Most outlines of cells are like that, and this is told in a
    fraction of the time that a general test takes.
    """
    counts = np.diff(geometry.row_coords)
    single: Mask = (np.diff(geometry.row_parts) == 1) & (counts >= 3)
    single[single] &= np.diff(geometry.part_rings)[geometry.row_parts[:-1][single]] == 1
    if not single.any():
        return single
    chosen = geometry if single.all() else geometry.take(np.flatnonzero(single))
    starts, counts = chosen.row_coords[:-1], np.diff(chosen.row_coords)
    coords = chosen.coords.astype(np.int64)
    # whole numbers below 2**30, so that all products are exact
    middle = np.add.reduceat(coords, starts, axis=0) // counts[:, None]
    x, y = (coords - np.repeat(middle, counts, axis=0)).T
    after = np.arange(1, len(coords) + 1)
    after[starts + counts - 1] = starts
    turn = x * y[after] - y * x[after]
    upward = (y <= 0) & (y[after] > 0) | (y > 0) & (y[after] <= 0)
    around = np.add.reduceat(upward.astype(np.int64), starts) == 2
    exact = np.maximum.reduceat(np.maximum(np.abs(x), np.abs(y)), starts) < 1 << 30
    onward = np.minimum.reduceat(turn, starts) > 0
    backward = np.maximum.reduceat(turn, starts) < 0
    single[single] = exact & around & (onward | backward)
    return single


def _rebuilt(geometry: Geometry, invalid: Rows) -> Geometry:
    """The same rows, those in `invalid` with rings that no longer cross."""
    if not len(invalid):
        return geometry
    untouched = np.setdiff1d(np.arange(len(geometry)), invalid)
    repaired = [_of_shape(_repaired(one)) for one in polygons(geometry.take(invalid))]
    joined = Geometry.joined([geometry.take(untouched), *repaired])
    return joined.take(inverse(np.concatenate((untouched, invalid))))


def _repaired(polygon: Any) -> Shape:
    return snap(Shape.from_shapely(polygon))


def _of_shape(shape: Shape) -> Geometry:
    """One row; it has no part when the shape is empty."""
    steps = np.rint(shape.coords * GRID).astype(np.int32)
    return Geometry.of(np.array([0, len(shape.parts) - 1]), shape.parts, shape.rings, steps)
