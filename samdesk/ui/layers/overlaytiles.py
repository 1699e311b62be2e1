"""Annotations as tiles of premultiplied BGRA, drawn by cv2 and numpy on any thread.

QPainter holds the interpreter lock while it draws, cv2 and numpy do not. Must not know Qt or
the document: a query gives the rows, a `Style` says how they look.

A tile covers `TILE` x `TILE` device pixels of the picture at one exact scale, so that it is
shown without resampling: tile (i, j) starts at device pixel (i * TILE, j * TILE), counted
from the image's corner.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol
from uuid import UUID

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk.domain.columns import DEFAULT_COLOR, Color, IdColumn, Table, id_bytes, is_ignored
from samdesk.domain.geometry import GRID, Bounds, Plane, ShapeKind
from samdesk.domain.tasks import Task

from .rings import Rings
from .tiles import TilePixels

TILE = 512
"""Side of an overlay tile in device pixels."""

DOT_PX = 3.0
"""Objects smaller than this on screen (logical pixels) are drawn as a filled square."""

SMALL_PX = 12.0
"""Objects smaller than this are drawn with a thin line and at most `SMALL_VERTICES` vertices a ring."""

SMALL_VERTICES = 8

THIN_PX = 0.5
"""Vertices nearer than this (device pixels) to the one before are left out."""

_PAD = 2
"""Pixels drawn around a tile and cut off: where a line leaves the array cv2 draws its end fainter."""

_SIDE = TILE + 2 * _PAD
_SHIFT = 4
_ONE = 1 << _SHIFT
_REACH = 4 * TILE
"""How far a ring may reach beyond its tile before it is clipped: keeps cv2's integers small."""

_AA_WIDTH = 1.4
"""Width in pixels of cv2's anti-aliased line of thickness 1 (measured)."""


@dataclass(frozen=True, slots=True)
class Style:
    """How annotations look; the defaults are QuPath's.

    Attributes
    ----------
    line_width, point_radius : float
        Logical pixels.
    default_color, selected_color : (r, g, b)
        For annotations without a class or color of their own, and for selected ones.
    fill : bool
        Fill areas with their color at `fill_opacity`, except those of ignored classes.
    hidden : frozenset of str or None
        Names of classes that are not shown; None stands for unclassified.
    """

    line_width: float = 2.0
    point_radius: float = 4.5
    default_color: Color = DEFAULT_COLOR
    selected_color: Color = (255, 255, 0)
    fill: bool = False
    fill_opacity: float = 0.25
    hidden: frozenset[str | None] = frozenset()


class Query(Protocol):
    """Where rows come from; `document.Snapshot` is one. Called on worker threads."""

    def query(self, bounds: Bounds, plane: Plane) -> Table: ...


class IdSet:
    """Ids that a column of ids can be tested against at once; made ready at the first test.

    Ids are compared through 64 bits: with a million ids the chance of one wrong answer is
    about 1e-7, and only a color would be wrong.
    """

    def __init__(self, ids: Iterable[UUID] = ()) -> None:
        self.ids: Sequence[UUID] = ids if isinstance(ids, IdColumn) else tuple(ids)

    def __len__(self) -> int:
        return len(self.ids)

    def holds(self, ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Test a column (n, 16) uint8."""
        if not len(self.ids):
            return np.zeros(len(ids), bool)
        folded = _fold(ids)
        place = np.minimum(np.searchsorted(self._folded, folded), len(self) - 1)
        return np.asarray(self._folded[place] == folded)

    @cached_property
    def _folded(self) -> NDArray[np.uint64]:
        return np.sort(_fold(id_bytes(self.ids)))


def _fold(ids: NDArray[np.uint8]) -> NDArray[np.uint64]:
    halves = np.ascontiguousarray(ids).view(np.uint64).reshape(-1, 2)
    return np.asarray(halves[:, 0] ^ (halves[:, 1] * np.uint64(0x9E3779B97F4A7C15)))


def class_names(table: Table) -> list[str | None]:
    """Names by class id; 0 is unclassified."""
    return [None, *(one.name for one in table.classes)]


def row_colors(table: Table, style: Style, selected: IdSet) -> NDArray[np.uint8]:
    """The color (n, 3) RGB of each row: selected, else its own, else its class's, else the default."""
    palette = np.array([style.default_color, *(one.color for one in table.classes)], np.uint8)
    colors = palette[table.class_id]
    for row, attributes in table.attributes.items():
        if attributes.color is not None:
            colors[row] = attributes.color
    colors[selected.holds(table.ids)] = style.selected_color
    return colors


def visible_rows(table: Table, style: Style, skip: IdSet) -> Table:
    """The rows whose class is shown and that are not in `skip`."""
    shown = ~skip.holds(table.ids)
    if style.hidden:
        names = class_names(table)
        shown &= np.array([name not in style.hidden for name in names])[table.class_id]
    return table if shown.all() else table.take(np.flatnonzero(shown))


def tile_bounds(column: int, row: int, scale: float) -> Bounds:
    """The image pixels of a tile; `scale` is image pixels per device pixel."""
    side = TILE * scale
    return Bounds(column * side, row * side, (column + 1) * side, (row + 1) * side)


def reach(style: Style, dpr: float) -> float:
    """How far, in device pixels, anything is drawn beyond an annotation's bounds."""
    return max(style.line_width, style.point_radius) * dpr + 2


def render_overlay_tile(
    source: Query,
    plane: Plane,
    style: Style,
    skip: IdSet,
    selected: IdSet,
    dpr: float,
    scale: float,
    column: int,
    row: int,
    task: Task,
) -> TilePixels | None:
    """Draw one tile.

    Parameters
    ----------
    source : Query
    plane : Plane
    style : Style
    skip : IdSet
        Not drawn: something else paints them.
    selected : IdSet
        Drawn in the color of the selection.
    dpr : float
        Device pixels per logical pixel.
    scale : float
        Image pixels per device pixel.
    column, row : int
    task : Task

    Returns
    -------
    ndarray (TILE, TILE, 4) uint8 or None
        Premultiplied BGRA; None when nothing is there.
    """
    bounds = tile_bounds(column, row, scale)
    table = visible_rows(source.query(bounds.expanded(reach(style, dpr) * scale), plane), style, skip)
    if not len(table):
        return None
    tile = np.zeros((_SIDE, _SIDE, 4), np.uint8)
    place = _Place(scale, np.array((column, row), np.float64) * TILE - _PAD)
    colors = row_colors(table, style, selected)
    size = (table.bounds[:, 2:] - table.bounds[:, :2]).max(axis=1) / scale
    kind = table.kind
    points = kind == ShapeKind.POINTS
    dots = (size < DOT_PX * dpr) & ~points
    small = (size < SMALL_PX * dpr) & ~points & ~dots
    for group, width, most in (
        (~(points | dots | small), style.line_width * dpr, None),
        (small, min(style.line_width, 1) * dpr, SMALL_VERTICES),
    ):
        for closed in (True, False):
            task.check()
            rows = np.flatnonzero(group & ((kind == ShapeKind.AREA) == closed))
            rows = rows[np.argsort(-size[rows], kind="stable")]  # small ones stay visible on large ones
            if len(rows):
                part = table.take(rows)
                opacity = style.fill_opacity if style.fill and closed else 0.0
                _draw_outlines(
                    tile, part, place.rings(part, most, closed), colors[rows], closed, width, opacity
                )
    _draw_dots(tile, place.middles(table)[dots], colors[dots], max(2, round(2 * dpr)))
    rows = np.flatnonzero(points)
    if len(rows):
        _draw_points(tile, table.take(rows), colors[rows], place, style.point_radius * dpr)
    return np.ascontiguousarray(tile[_PAD:-_PAD, _PAD:-_PAD])


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Where the array is: image pixels per device pixel, and its corner in device pixels."""

    scale: float
    corner: NDArray[np.float64]

    def points(self, table: Table) -> NDArray[np.float64]:
        return table.coords * (1 / (GRID * self.scale)) - self.corner

    def middles(self, table: Table) -> NDArray[np.float64]:
        box = table.bounds.astype(np.float64)
        return (box[:, :2] + box[:, 2:]) / (2 * self.scale) - self.corner

    def rings(self, table: Table, most: int | None, closed: bool) -> Rings:
        """All rings in pixels of the array, without what cannot be seen."""
        rings = Rings(self.points(table), table.ring_coords.astype(np.int64))
        if most is not None:
            rings = rings.strided(most)
        far = Bounds(-_REACH, -_REACH, _SIDE + _REACH, _SIDE + _REACH)
        return rings.thinned(THIN_PX).clipped(far, closed)


def _draw_dots(tile: TilePixels, centers: NDArray[np.float64], colors: NDArray[np.uint8], side: int) -> None:
    """Filled squares of `side` pixels, the last one on top."""
    corner = np.floor(centers - side / 2 + 0.5).astype(np.int64)
    color = _bgra(colors)
    for dy in range(side):
        for dx in range(side):
            x, y = corner[:, 0] + dx, corner[:, 1] + dy
            on = (x >= 0) & (x < _SIDE) & (y >= 0) & (y < _SIDE)
            tile[y[on], x[on]] = color[on]


def _bgra(colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate((colors[:, ::-1], np.full((len(colors), 1), 255, np.uint8)), axis=1)


def _draw_outlines(
    tile: TilePixels,
    table: Table,
    rings: Rings,
    colors: NDArray[np.uint8],
    closed: bool,
    width: float,
    opacity: float,
) -> None:
    """Fill all areas, then draw all lines."""
    fixed = _fixed(rings.points)
    views = [fixed[a:b] for a, b in pairwise(rings.ends.tolist())]
    row_rings = table.part_rings[table.row_parts]
    if opacity:
        filled = np.array([not is_ignored(name) for name in class_names(table)])[table.class_id]
        _fill(tile, views, row_rings, colors, filled, opacity)
    _stroke(tile, views, fixed, np.repeat(colors, np.diff(row_rings), axis=0), closed, width)


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Pixels counted from edges as cv2 wants them: from centers, with `_SHIFT` bits of fraction."""
    return np.rint((points - 0.5) * _ONE).astype(np.int32)


def _fill(
    tile: TilePixels,
    views: list[NDArray[np.int32]],
    row_rings: NDArray[Any],
    colors: NDArray[np.uint8],
    filled: NDArray[np.bool_],
    opacity: float,
) -> None:
    """One call per object (those not `filled` left out): all rings of a call are even-odd together,
    so overlaps would cancel."""
    premultiplied = np.rint(_bgra(colors) * opacity).astype(int).tolist()
    for (a, b), color, wanted in zip(pairwise(row_rings.tolist()), premultiplied, filled, strict=True):
        rings = [ring for ring in views[a:b] if len(ring) > 2]
        if rings and wanted:
            cv2.fillPoly(tile, rings, color, cv2.LINE_8, _SHIFT)


def _stroke(
    tile: TilePixels,
    views: list[NDArray[np.int32]],
    fixed: NDArray[np.int32],
    colors: NDArray[np.uint8],
    closed: bool,
    width: float,
) -> None:
    """Lines of `width` pixels, grouped by color.

    cv2's thick anti-aliased lines come out nearly twice as wide as asked and cost four times
    as much as these: a few thin lines next to each other, by moving `fixed`, of which
    `views` are slices.
    """
    values, group = np.unique(colors, axis=0, return_inverse=True)
    groups = [
        (color, [views[k] for k in np.flatnonzero(group == index) if len(views[k]) > 1])
        for index, color in enumerate(_bgra(values).astype(int).tolist())
    ]
    moved = np.zeros(2, np.int32)
    for offset in _offsets(width):
        fixed += offset - moved
        moved = offset
        for color, rings in groups:
            cv2.polylines(tile, rings, closed, color, 1, cv2.LINE_AA, _SHIFT)


def _offsets(width: float) -> list[NDArray[np.int32]]:
    """How far to move the thin line so that together the lines are `width` pixels wide."""
    radius = (width - _AA_WIDTH) / 2
    if radius < 0.1:
        return [np.zeros(2, np.int32)]
    steps = max(1, round(radius / 0.8))
    cross = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)], np.float64)
    return [
        np.rint(direction * radius * (k + 1) / steps * _ONE).astype(np.int32)
        for k in range(steps)
        for direction in cross
    ]


def _draw_points(
    tile: TilePixels, table: Table, colors: NDArray[np.uint8], place: _Place, radius: float
) -> None:
    """Filled discs, one per vertex."""
    points = place.points(table)
    near = ((points > -radius - 2) & (points < _SIDE + radius + 2)).all(axis=1)
    ends = table.ring_coords[table.part_rings[table.row_parts]]
    color = _bgra(np.repeat(colors, np.diff(ends), axis=0))[near].astype(int).tolist()
    for center, one in zip(_fixed(points[near]).tolist(), color, strict=True):
        cv2.circle(tile, center, round((radius - 0.5) * _ONE), one, -1, cv2.LINE_AA, _SHIFT)
