"""The shapes of many annotations changed at once, in columns.

GEOS works on arrays without holding the interpreter, so that a lane can do this beside the
window. Must not know documents or edits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from samdesk.domain.columns import LOCKED, Attributes, Color, Repairs, Table
from samdesk.domain.columns.ragged import Mask, Rows, ends_of, frozen
from samdesk.domain.columns.table import random_ids
from samdesk.domain.geometry import GRID, Bounds, FloatArray, Shape, ShapeKind, following
from samdesk.domain.tasks import Task

from .reshaped import edited_attributes
from .shapes import of_kind, quarter_segments

AT_ONCE = 1000
"""Rows between two reports; a step is some 10 ms of GEOS."""

MERGED_AT_ONCE = 256
"""Neighbors that are merged in one step."""

Sides = tuple[float, float]
"""Of a pixel: its width and height."""

SQUARE: Sides = (1.0, 1.0)

Change = Callable[[Table], Table]
"""From rows to rows with other shapes; those of which nothing is left are missing."""


@dataclass(frozen=True, slots=True)
class Reshaped:
    """What became of rows.

    Attributes
    ----------
    before, after : Table
        The rows whose shapes changed, as they were and as they are; row by row the same ones.
    vanished : int
        How many rows nothing would be left of; they are in neither.
    """

    before: Table
    after: Table
    vanished: int


def reshaped_rows(table: Table, change: Change, task: Task) -> Reshaped:
    """Change the shapes of a table, and mark those that did change as edited.

    Raises
    ------
    Cancelled
    """
    rows, changed = [np.empty(0, np.int64)], [table.take([])]
    vanished = 0
    for start in range(0, len(table), AT_ONCE):
        task.progress(start / len(table), f"{start:,} of {len(table):,} annotations")
        old = table.take(np.arange(start, min(start + AT_ONCE, len(table))))
        new = change(old)
        vanished += len(old) - len(new)
        places = _places(old, new)
        differs = np.flatnonzero(~new.same_geometry(old.take(places)))
        new = new.take(differs)
        rows.append(start + places[differs])
        changed.append(replace(new, attributes=_edited(new.attributes)))
    task.progress(1.0, "")
    # before shares its vertices with the document, after has them in one piece: compared quickly
    return Reshaped(table.take(np.concatenate(rows)), Table.concat(changed, share=False), vanished)


def grown_rows(distance: float, within: Bounds | None = None, pixel: Sides = SQUARE) -> Change:
    """Everything closer than `distance` to a shape; with a negative one, all of an area that is
    farther than that from its outline.

    Corners become round (no mitre), so that no point is farther away than asked. A line or a point
    becomes an area when it grows, and nothing when it shrinks.

    Parameters
    ----------
    distance : float
        In the unit of `pixel`.
    within : Bounds, optional
        In image pixels; what lies outside (of the image) is cut off.
    pixel : (float, float)
        Width and height of a pixel, neither much smaller than 1.

    Raises
    ------
    ValueError
        When the distance is not finite.
    """
    if not math.isfinite(distance):
        raise ValueError(f"distance must be finite, got {distance}")
    return partial(_grown, distance=distance, within=within, pixel=pixel)


def simplified_rows(tolerance: float, pixel: Sides = SQUARE) -> Change:
    """With fewer vertices; the outline moves by no more than `tolerance` (and the grid's 1/512 px).

    Parameters
    ----------
    tolerance : float
        In the unit of `pixel`.
    pixel : (float, float)
        Width and height of a pixel.
    """
    return partial(_simplified, tolerance=tolerance, pixel=pixel)


def rows_without_fragments(area: float) -> Change:
    """Without the parts smaller than `area` px², their holes taken off."""
    return partial(_without_fragments, area=area)


def filled_rows(table: Table) -> Table:
    """Without holes."""
    shell = np.zeros(len(table.ring_coords) - 1, np.bool_)
    shell[table.part_rings[:-1]] = True
    keep = shell | (np.repeat(table.kind, _ring_counts(table)) != ShapeKind.AREA)
    return table if keep.all() else _with_rings(table, keep)


def merged_rows(table: Table, task: Task) -> Shape:
    """Everything that any of the areas covers.

    Neighbors are merged first, so that each step is small and can be cancelled before the next.
    """
    if not len(table):
        return Shape.empty()
    pieces = _polygons(table)[_along_curve(table.bounds)]
    whole = max(len(pieces), 1)
    while len(pieces) > 1:
        merged = []
        for start in range(0, len(pieces), MERGED_AT_ONCE):
            task.progress(1 - (len(pieces) - start) / whole, f"{whole:,} annotations")
            merged.append(shapely.union_all(pieces[start : start + MERGED_AT_ONCE]))
        pieces = np.array(merged, object)
    return of_kind(ShapeKind.AREA, pieces[0])


def parts_of_rows(table: Table) -> tuple[Table, Rows]:
    """Each polygon or line of the rows that have several as a row of its own, with a new id.

    Returns
    -------
    parts : Table
    rows : ndarray, (m,) int64
        Which rows were split.
    """
    several = np.flatnonzero((np.diff(table.row_parts) > 1) & (table.kind != ShapeKind.POINTS))
    split = table.take(several)
    counts = np.diff(split.row_parts)
    owner = np.repeat(np.arange(len(split)), counts)
    made = Table.from_arrays(
        split.coords,
        split.ring_coords,
        split.part_rings,
        np.arange(len(owner) + 1),
        ids=random_ids(len(owner)),
        validate=True,
        **_columns(split, owner),
    )
    return replace(made, attributes=_edited(made.attributes)), several


def locked_rows(table: Table, locked: bool) -> Table:
    """The rows locked, or not."""
    flags = table.flags | LOCKED if locked else table.flags & ~np.uint8(LOCKED)
    return replace(table, flags=frozen(flags))


def colored_rows(table: Table, color: Color | None) -> tuple[Table, Table]:
    """The rows that have another color of their own, as they are and with this one (None: with none)."""
    own = table.attributes
    other = [row for row in range(len(table)) if (own[row].color if row in own else None) != color]
    before = table.take(other)
    plain = Attributes(color=color)  # one for all rows that have nothing else
    colored = {row: replace(before.attributes[row], color=color) for row in before.attributes}
    if color is None:
        kept = {row: one for row, one in colored.items() if one != plain}
    else:
        kept = {row: colored.get(row, plain) for row in range(len(before))}
    return before, replace(before, attributes=kept)


# The changes


def _grown(table: Table, distance: float, within: Bounds | None, pixel: Sides) -> Table:
    # lines and points become areas, so each row is asked for by its own kind
    geometries = np.empty(len(table), object)
    areas = table.kind == ShapeKind.AREA
    geometries[areas] = _polygons(table.take(np.flatnonzero(areas)))
    for row in np.flatnonzero(~areas):
        geometries[row] = table.shape(int(row)).to_shapely()
    made = _grown_geometries(geometries, distance, within, pixel)
    pieces, owner = shapely.get_parts(made, return_index=True)
    pieces, inner = shapely.get_parts(pieces, return_index=True)
    owner = owner[inner]
    solid = (shapely.get_dimensions(pieces) == 2) & ~shapely.is_empty(pieces)
    pieces, owner = pieces[solid], owner[solid]
    if not len(pieces):
        return table.take([])
    _, coords, (rings, parts) = shapely.to_ragged_array(pieces, include_z=False)
    counts = np.bincount(owner, minlength=len(table))
    opened = Shape.from_closed_rings(coords, rings, parts)
    return _with_geometry(
        table,
        np.flatnonzero(counts),
        opened.coords,
        opened.rings,
        opened.parts,
        ends_of(counts[counts > 0]),
        ShapeKind.AREA,
    )


def _grown_geometries(geometries: Any, distance: float, within: Bounds | None, pixel: Sides) -> Any:
    if pixel != SQUARE:
        geometries = shapely.transform(geometries, lambda coords: coords * pixel)
    made = shapely.buffer(geometries, distance, quad_segs=quarter_segments(abs(distance)))
    if pixel != SQUARE:
        made = shapely.transform(made, lambda coords: coords / pixel)
    return made if within is None else shapely.intersection(made, shapely.box(*within))


def _simplified(table: Table, tolerance: float, pixel: Sides) -> Table:
    rows = np.flatnonzero(table.kind != ShapeKind.POINTS)
    if not len(rows) or tolerance == 0:
        return table
    some = table.take(rows)
    closed = np.repeat(some.kind == ShapeKind.AREA, _ring_counts(some))
    coords, rings = _closed(some.coords / GRID * pixel, some.ring_coords, closed)
    lines = shapely.from_ragged_array(shapely.GeometryType.LINESTRING, coords, (rings,))
    of_row = np.repeat(np.arange(len(some)), _ring_counts(some))
    # as closed lines: GEOS also drops the end of a ring, and then moves it by up to twice the tolerance
    simple = shapely.simplify(shapely.multilinestrings(lines, indices=of_row), tolerance)
    _, coords, (rings,) = shapely.to_ragged_array(shapely.get_parts(simple), include_z=False)
    coords, rings = _opened(coords / pixel, rings, closed)
    made = _with_geometry(some, np.arange(len(some)), coords, rings, some.part_rings, some.row_parts)
    if len(some) == len(table):
        return made
    return Table.concat([made, table.take(np.flatnonzero(table.kind == ShapeKind.POINTS))])


def _without_fragments(table: Table, area: float) -> Table:
    size = _ring_areas(table)
    shell = np.zeros(len(size), np.bool_)
    shell[table.part_rings[:-1]] = True
    left = np.add.reduceat(np.where(shell, size, -size), table.part_rings[:-1]) if len(size) else size
    solid = np.repeat(table.kind == ShapeKind.AREA, np.diff(table.row_parts))
    keep = np.repeat(~solid | (left >= area), np.diff(table.part_rings))
    return table if keep.all() else _with_rings(table, keep)


# Columns and geometry


def _with_rings(table: Table, keep: Mask) -> Table:
    """The rows with some rings only; a part (and a row) whose rings are all gone is gone."""
    counts = np.diff(table.ring_coords)
    coords = table.coords[np.repeat(keep, counts)]
    kept = ends_of(keep)
    parts_left = np.diff(kept[table.part_rings]) > 0
    part_rings = ends_of(np.diff(kept[table.part_rings])[parts_left])
    rows_left = np.diff(ends_of(parts_left)[table.row_parts])
    row_parts = ends_of(rows_left[rows_left > 0])
    rows = np.flatnonzero(rows_left)
    return _with_geometry(table, rows, coords, ends_of(counts[keep]), part_rings, row_parts)


def _with_geometry(
    table: Table,
    rows: Rows,
    coords: Any,
    rings: Any,
    parts: Any,
    row_parts: Any,
    kind: ShapeKind | None = None,
) -> Table:
    """These rows with other vertices, made valid; less those of which nothing is left on the grid."""
    columns = _columns(table, rows)
    if kind is not None:
        columns["kind"] = kind
    return Table.from_arrays(
        coords, rings, parts, row_parts, ids=table.ids[rows], validate=True, repairs=Repairs(), **columns
    )


def _columns(table: Table, rows: Rows) -> dict[str, Any]:
    names = ("order", "class_id", "object_type", "flags", "kind", "z", "t")
    attributes = {
        new: table.attributes[old] for new, old in enumerate(rows.tolist()) if old in table.attributes
    }
    return {
        **{name: getattr(table, name)[rows] for name in names},
        "classes": table.classes,
        "attributes": attributes,
    }


def _edited(attributes: Mapping[int, Attributes]) -> dict[int, Attributes]:
    return {row: edited_attributes(own) for row, own in attributes.items()}


def _places(table: Table, some: Table) -> Rows:
    """In which rows of a table these are."""
    rows = {one: row for row, one in enumerate(map(bytes, table.ids))}
    return np.array([rows[one] for one in map(bytes, some.ids)], np.int64)


def _ring_counts(table: Table) -> NDArray[Any]:
    """How many rings each row has."""
    return np.diff(table.part_rings[table.row_parts])


def _polygons(table: Table) -> Any:
    """The areas as shapely geometries, (n,) object."""
    offsets = (table.ring_coords, table.part_rings, table.row_parts)
    coords = table.coords / GRID
    return shapely.from_ragged_array(shapely.GeometryType.MULTIPOLYGON, coords, offsets)


def _closed(coords: FloatArray, rings: NDArray[Any], closed: Mask) -> tuple[FloatArray, Rows]:
    """With the first vertex of each closed ring repeated."""
    starts, ends = rings[:-1][closed], rings[1:][closed]
    return np.insert(coords, ends, coords[starts], axis=0), ends_of(np.diff(rings) + closed)


def _opened(coords: FloatArray, rings: NDArray[Any], closed: Mask) -> tuple[FloatArray, Rows]:
    """Without the last vertex of each closed ring."""
    return np.delete(coords, rings[1:][closed] - 1, axis=0), ends_of(np.diff(rings) - closed)


def _ring_areas(table: Table) -> FloatArray:
    """The area of each ring in px², as if it were closed."""
    counts = np.diff(table.ring_coords)
    starts = table.ring_coords[:-1]
    local = (table.coords - np.repeat(table.coords[starts], counts, axis=0)) / GRID
    (x0, y0), (x1, y1) = local.T, local[following(table.ring_coords)].T
    areas: FloatArray = np.abs(np.add.reduceat(x0 * y1 - x1 * y0, starts)) / 2
    return areas


def _along_curve(bounds: NDArray[np.float32]) -> Rows:
    """The order of boxes (n, 4) along a Z-order curve, so that those that follow are near."""
    middle = (bounds[:, :2] + bounds[:, 2:]) / 2
    extent = np.maximum(np.ptp(middle, axis=0), 1)
    cells = ((middle - middle.min(axis=0)) / extent * 0xFFFF).astype(np.uint64)
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        cells = (cells | cells << np.uint64(shift)) & np.uint64(mask)
    return np.argsort(cells[:, 0] | cells[:, 1] << np.uint64(1), kind="stable")
