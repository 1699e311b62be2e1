"""What the outlines of a table measure: areas, lengths, diameters, for all rows at once.

Vertices are scaled by the pixel size before anything is measured, so that pixels that are not
square are measured right too. Must not know documents, pixels of an image or tables on a screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from samdesk.domain.columns import Table
from samdesk.domain.columns.ragged import Geometry, Rows, ends_of
from samdesk.domain.geometry import GRID, FloatArray, ShapeKind
from samdesk.domain.tasks import Task

Scale = tuple[float, float]
"""The width and the height of a pixel in the unit that is measured in."""

PIXELS: Scale = (1.0, 1.0)

BLOCK = 1 << 16
"""Vertices measured at a time: their coordinates stay in the processor's cache."""

HULL_BLOCK = 1 << 12
"""Rows whose hulls are made at a time; between two blocks a task can be cancelled."""

_HALF_TURN = np.pi
_ROW_APART = 16.0
"""Between the directions of one row and those of the next, in radians: more than any of them is."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A row of the table.

    Attributes
    ----------
    title : str
        The column's name, as QuPath has it, without the unit.
    power : int
        1 for lengths, 2 for areas, 0 for what has no unit.
    hull : bool
        Whether it needs the convex hull, which costs about ten times as much as the others.
    """

    title: str
    power: int = 0
    hull: bool = False


MEASURES: Mapping[str, Measure] = {
    "centroid_x": Measure("Centroid X", 1),
    "centroid_y": Measure("Centroid Y", 1),
    "area": Measure("Area", 2),
    "perimeter": Measure("Perimeter", 1),
    "length": Measure("Length", 1),
    "circularity": Measure("Circularity"),
    "solidity": Measure("Solidity", hull=True),
    "max_diameter": Measure("Max diameter", 1, hull=True),
    "min_diameter": Measure("Min diameter", 1, hull=True),
    "aspect": Measure("Aspect ratio", hull=True),
    "width": Measure("Bounds width", 1),
    "height": Measure("Bounds height", 1),
    "vertices": Measure("Num points"),
    "parts": Measure("Num parts"),
    "holes": Measure("Num holes"),
}
"""All measures, in the order of their columns."""


def column_title(name: str, unit: str = "px") -> str:
    """The name of a measure's column, with its unit: "Area µm^2", "Area px^2", "Solidity"."""
    measure = MEASURES[name]
    if not measure.power:
        return measure.title
    return f"{measure.title} {unit}" + ("^2" if measure.power == 2 else "")


def measured(
    table: Table, names: Iterable[str], scale: Scale = PIXELS, task: Task | None = None
) -> dict[str, FloatArray]:
    """Measure all rows.

    Parameters
    ----------
    table : Table
    names : iterable of str
        Which of `MEASURES`.
    scale : (float, float)
        Width and height of a pixel, in the unit of the results; (1, 1) for px.
    task : Task, optional
        Receives progress, and cancels between two blocks.

    Returns
    -------
    dict of str to ndarray, (n,) float64
        In the order of `MEASURES`. NaN where a measure makes no sense: only areas have area,
        perimeter, circularity and what comes from the hull, only lines have a length.

        - area: holes taken off.
        - perimeter: of shells and holes together, as a ROI's length is in QuPath.
        - centroid: of the area without its holes; of lines weighted by length; of points their mean.
        - circularity: 4 pi area / perimeter^2 of the outer outline alone, holes filled; NaN for
          areas of several parts. 1 for a disc.
        - solidity: area / area of the convex hull.
        - max diameter: the largest distance of two vertices (Feret's diameter); min diameter: the
          smallest distance of two parallel lines that have the shape between them; aspect ratio:
          the one divided by the other.
    """
    wanted = [name for name in MEASURES if name in set(names)]
    task = task or Task()
    found: dict[str, FloatArray] = {}
    hulls = any(MEASURES[name].hull for name in wanted)
    if hulls or not _COUNTS.issuperset(wanted):
        found |= _outlines(table, scale, task, share=0.1 if hulls else 1.0)
    if hulls:
        found |= _hulls(table, found["area"], scale, task)
    if _COUNTS.intersection(wanted):
        found |= _counts(table)
    return {name: found[name] for name in wanted}


_COUNTS = {"vertices", "parts", "holes"}


# Along the outlines


def _outlines(table: Table, scale: Scale, task: Task, share: float) -> dict[str, FloatArray]:
    names = ("centroid_x", "centroid_y", "area", "perimeter", "length", "circularity", "width", "height")
    found = {name: np.full(len(table), np.nan) for name in names}
    geometry = table.geometry
    for first, last in _blocks(geometry):
        task.progress(share * first / len(table), "Measuring outlines")
        rows = slice(first, last)
        for name, values in _outlines_of(geometry, rows, table.kind[rows], scale).items():
            found[name][rows] = values
    return found


def _blocks(geometry: Geometry) -> list[tuple[int, int]]:
    """Rows first to last - 1 of each block."""
    ends = geometry.row_coords
    starts = np.searchsorted(ends, np.arange(0, ends[-1], BLOCK), side="right") - 1
    edges = np.unique(np.append(starts, len(geometry))).tolist()
    return list(pairwise(edges))


def _outlines_of(
    geometry: Geometry, rows: slice, kind: NDArray[np.uint8], scale: Scale
) -> dict[str, FloatArray]:
    parts = geometry.row_parts[rows.start : rows.stop + 1].astype(np.int64)
    rings = geometry.part_rings[parts[0] : parts[-1] + 1].astype(np.int64)
    ends = geometry.ring_coords[rings[0] : rings[-1] + 1].astype(np.int64)
    coords = geometry.coords[ends[0] : ends[-1]]
    parts, rings, ends = parts - parts[0], rings - rings[0], ends - ends[0]
    starts, counts = ends[:-1], np.diff(ends)
    row_rings = rings[parts]
    ring_kind = np.repeat(kind, np.diff(row_rings))
    # about the first vertex of its ring, so that no digits are lost far from 0
    origin = coords[starts]
    step = (scale[0] / GRID, scale[1] / GRID)
    x = (coords[:, 0] - np.repeat(origin[:, 0], counts)) * step[0]
    y = (coords[:, 1] - np.repeat(origin[:, 1], counts)) * step[1]
    # a closed ring comes back to its first vertex, which is (0, 0); an open one stays where it ends
    last = ends[1:] - 1
    closed = ring_kind == ShapeKind.AREA
    next_x, next_y = np.empty_like(x), np.empty_like(y)
    next_x[:-1], next_y[:-1] = x[1:], y[1:]
    next_x[last] = np.where(closed, 0.0, x[last])
    next_y[last] = np.where(closed, 0.0, y[last])

    cross = x * next_y - next_x * y
    middle_x, middle_y = x + next_x, y + next_y
    twice = np.add.reduceat(cross, starts)
    edge = np.sqrt((next_x - x) ** 2 + (next_y - y) ** 2)
    around = np.add.reduceat(edge, starts)
    if closed.all():
        moment_x = np.add.reduceat(middle_x * cross, starts) / 6
        moment_y = np.add.reduceat(middle_y * cross, starts) / 6
        weight = twice / 2
    else:
        line = ring_kind == ShapeKind.LINES
        each = np.repeat(closed, counts)
        by = np.where(each, cross / 6, np.where(np.repeat(line, counts), edge / 2, 0.5))
        points = np.repeat(ring_kind == ShapeKind.POINTS, counts)
        middle_x, middle_y = np.where(points, 2 * x, middle_x), np.where(points, 2 * y, middle_y)
        moment_x = np.add.reduceat(middle_x * by, starts)
        moment_y = np.add.reduceat(middle_y * by, starts)
        weight = np.where(closed, twice / 2, np.where(line, around, counts))

    hole = np.ones(len(starts), np.bool_)
    hole[rings[:-1]] = False
    sign = np.where(weight < 0, -1.0, 1.0) * np.where(hole & closed, -1.0, 1.0)
    first_ring = row_rings[:-1]
    area_of = kind == ShapeKind.AREA
    total = np.add.reduceat(sign * weight, first_ring)
    length = np.add.reduceat(around, first_ring)
    # the centroids of the rings, brought together about the row's first vertex
    row_origin = np.repeat(origin[first_ring], np.diff(row_rings), axis=0)
    shift = (origin - row_origin) * np.array(step)
    with np.errstate(invalid="ignore", divide="ignore"):
        center = [
            origin[first_ring, axis] * step[axis]
            + np.add.reduceat(sign * (moment + shift[:, axis] * weight), first_ring) / total
            for axis, moment in ((0, moment_x), (1, moment_y))
        ]
        outer = np.abs(twice[first_ring]) * (2 * np.pi) / around[first_ring] ** 2
    single = area_of & (np.diff(parts) == 1)
    corners = np.add.reduceat(counts, first_ring)
    low, high = _extremes(coords, np.append(0, np.cumsum(corners))[:-1])
    size = (high - low) * np.array(step)
    return {
        "centroid_x": center[0],
        "centroid_y": center[1],
        "area": np.where(area_of, total, np.nan),
        "perimeter": np.where(area_of, length, np.nan),
        "length": np.where(kind == ShapeKind.LINES, length, np.nan),
        "circularity": np.where(single, outer, np.nan),
        "width": size[:, 0],
        "height": size[:, 1],
    }


def _extremes(coords: NDArray[np.int32], starts: Rows) -> tuple[NDArray[Any], NDArray[Any]]:
    """The least and the largest x and y of each row, (n, 2)."""
    columns = [np.ascontiguousarray(coords[:, axis]) for axis in (0, 1)]
    low = np.stack([np.minimum.reduceat(along, starts) for along in columns], axis=1)
    high = np.stack([np.maximum.reduceat(along, starts) for along in columns], axis=1)
    return low.astype(np.int64), high.astype(np.int64)


def _counts(table: Table) -> dict[str, FloatArray]:
    geometry = table.geometry
    parts = np.diff(geometry.row_parts).astype(np.float64)
    rings = np.diff(geometry.part_rings[geometry.row_parts])
    area = table.kind == ShapeKind.AREA
    return {
        "vertices": np.diff(geometry.row_coords).astype(np.float64),
        "parts": np.where(table.kind == ShapeKind.POINTS, np.nan, parts),
        "holes": np.where(area, rings - parts, np.nan),
    }


# Around the hulls


def _hulls(table: Table, area: FloatArray, scale: Scale, task: Task) -> dict[str, FloatArray]:
    names = ("solidity", "max_diameter", "min_diameter", "aspect")
    found = {name: np.full(len(table), np.nan) for name in names}
    areas = np.flatnonzero(table.kind == ShapeKind.AREA)
    for first in range(0, len(areas), HULL_BLOCK):
        task.progress(0.1 + 0.9 * first / len(areas), "Measuring diameters")
        rows = areas[first : first + HULL_BLOCK]
        hull, ends, whole = _hulls_of(table.geometry.take(rows), scale)
        rows = rows[whole]
        if not len(rows):
            continue
        longest, narrowest, inside = _calipers(hull, ends)
        found["max_diameter"][rows], found["min_diameter"][rows] = longest, narrowest
        # of a convex shape the two areas may differ in the last digit
        found["solidity"][rows] = np.minimum(area[rows] / inside, 1.0)
        found["aspect"][rows] = longest / narrowest
    return found


def _hulls_of(geometry: Geometry, scale: Scale) -> tuple[FloatArray, Rows, NDArray[np.bool_]]:
    """The convex hulls: open counterclockwise rings about their row's first vertex, scaled.

    Returns
    -------
    coords : ndarray, (v, 2)
    ends : ndarray, (m + 1,)
    whole : ndarray, (n,) bool
        Which rows have one; the others lie on a line.
    """
    ends = geometry.row_coords
    counts = np.diff(ends)
    coords = (geometry.coords - np.repeat(geometry.coords[ends[:-1]], counts, axis=0)) / GRID
    # all rings of a row as one line: a hull asks for no more than its points
    lines = shapely.from_ragged_array(shapely.GeometryType.LINESTRING, coords * scale, (ends,))
    hulls = shapely.orient_polygons(shapely.convex_hull(lines))
    whole = shapely.get_type_id(hulls) == shapely.GeometryType.POLYGON
    corners, owner = shapely.get_coordinates(hulls[whole], return_index=True)
    closing = np.append(owner[1:] != owner[:-1], True) if len(owner) else np.zeros(0, np.bool_)
    kept = np.bincount(owner, minlength=int(whole.sum())) - 1 if len(owner) else np.zeros(0, np.int64)
    return corners[~closing], ends_of(kept), whole


def _calipers(hull: FloatArray, ends: Rows) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Largest and smallest diameter and area of convex counterclockwise rings; each (m,).

    Rotating calipers (Shamos 1978; Toussaint 1983), for all rings at once: the vertex opposite an
    edge is where the directions of the edges pass that edge's direction and half a turn.
    """
    starts, counts = ends[:-1], np.diff(ends)
    ring = np.repeat(np.arange(len(counts)), counts)
    at = np.arange(len(hull))
    after = at + 1
    after[ends[1:] - 1] = starts
    along = hull[after] - hull
    direction = np.arctan2(along[:, 1], along[:, 0]) % (2 * _HALF_TURN)
    key = ring * _ROW_APART + direction
    order = np.argsort(key, kind="stable")
    opposite = (direction + _HALF_TURN) % (2 * _HALF_TURN)
    place = np.searchsorted(key[order], ring * _ROW_APART + opposite) - starts[ring]
    far = order[starts[ring] + place % counts[ring]]

    before = at - 1
    before[starts] = ends[1:] - 1
    longest, widest = np.zeros(len(hull)), np.zeros(len(hull))
    length = np.hypot(along[:, 0], along[:, 1])
    # rounding may have chosen a neighbor of the opposite vertex; none of them can exceed the truth
    for other in (before[far], far, after[far]):
        gap = hull[other] - hull
        widest = np.maximum(widest, (along[:, 0] * gap[:, 1] - along[:, 1] * gap[:, 0]) / length)
        longest = np.maximum(longest, np.hypot(gap[:, 0], gap[:, 1]))
        gap = hull[other] - hull[after]
        longest = np.maximum(longest, np.hypot(gap[:, 0], gap[:, 1]))
    cross = hull[:, 0] * hull[after, 1] - hull[after, 0] * hull[:, 1]
    return (
        np.maximum.reduceat(longest, starts),
        np.minimum.reduceat(widest, starts),
        np.add.reduceat(cross, starts) / 2,
    )
