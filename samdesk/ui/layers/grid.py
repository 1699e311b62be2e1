"""`Grid`: equal cells over the image plane, each the place of one tile, and how tiles get on screen.

Both picture and overlay are grids; what is missing on the wanted grid is borrowed from others.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import QImage, QPainter, QRegion

from samdesk.domain.geometry import Bounds

from .tiles import Tile, TileStore
from .view import View

MOST_CELLS = 400
"""A grid with more visible cells than this is too fine to be borrowed from."""

SAME = 1e-3
"""Tiles whose size on screen differs from their own by less than this are not scaled."""

BAND = 64
"""Device pixels of height in which interpolated tiles are drawn. From 96 lines on Qt shares such
drawing among the threads of a pool and waits for them: beside workers that make tiles these get
their turn late, and every tile of a frame would wait anew. In one go it takes no longer."""

Cell = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells of one size.

    Attributes
    ----------
    key : tuple
        Begins the key of every tile on this grid.
    step_x, step_y : float
        Size of a cell in image pixels.
    width, height : float
        The image pixels that the cells cover; infinite when they go on in all directions.
    smooth : bool
        Whether its tiles are interpolated when they are not shown at their own scale.
    """

    key: tuple[Hashable, ...]
    step_x: float
    step_y: float
    width: float = math.inf
    height: float = math.inf
    smooth: bool = True

    def cell_key(self, cell: Cell) -> tuple[Hashable, ...]:
        return (*self.key, *cell)

    def cell_bounds(self, cell: Cell) -> Bounds:
        x, y = cell[0] * self.step_x, cell[1] * self.step_y
        return Bounds(x, y, min(x + self.step_x, self.width), min(y + self.step_y, self.height))

    def cells(self, bounds: Bounds, ring: int = 0) -> list[Cell]:
        """The cells that meet `bounds`, nearest to its middle first; `ring` adds cells around them."""
        columns = _span(bounds.x0, bounds.x1, self.step_x, self.width, ring)
        rows = _span(bounds.y0, bounds.y1, self.step_y, self.height, ring)
        x, y = bounds.center

        def distance(cell: Cell) -> float:
            return math.hypot((cell[0] + 0.5) * self.step_x - x, (cell[1] + 0.5) * self.step_y - y)

        return sorted(((column, row) for row in rows for column in columns), key=distance)

    def count(self, bounds: Bounds) -> float:
        """About how many cells meet `bounds`."""
        return (bounds.width / self.step_x + 1) * (bounds.height / self.step_y + 1)


def _span(low: float, high: float, step: float, limit: float, ring: int) -> range:
    first, last = math.floor(low / step) - ring, math.ceil(high / step) - 1 + ring
    if math.isfinite(limit):
        first, last = max(first, 0), min(last, math.ceil(limit / step) - 1)
    return range(first, last + 1)


def device_box(view: View, bounds: Bounds) -> QRectF:
    """A box of the image in device pixels."""
    step, (left, top) = view.device_scale, view.origin
    return QRectF(bounds.x0 / step - left, bounds.y0 / step - top, bounds.width / step, bounds.height / step)


def device_rect(view: View, bounds: Bounds) -> QRect:
    """The device pixels whose centers lie in a box of the image; neighbors share no pixel."""
    box = device_box(view, bounds)
    left, top = math.floor(box.left() + 0.5), math.floor(box.top() + 0.5)
    return QRect(left, top, math.floor(box.right() + 0.5) - left, math.floor(box.bottom() + 0.5) - top)


def paint_grids(
    painter: QPainter,
    view: View,
    store: TileStore,
    grids: Sequence[Grid],
    image_format: QImage.Format,
) -> None:
    """Draw the tiles of the first grid; where one is missing, what the others have instead.

    Parameters
    ----------
    painter : QPainter
        In device pixels of `view`.
    grids : sequence of Grid
        The wanted one first, then those to borrow from, best first.
    """
    wanted, *others = grids
    missing = QRegion()
    ready: list[_Placed] = []
    for cell in wanted.cells(view.bounds):
        tile = store.get(wanted.cell_key(cell))
        if tile is None:
            missing = missing.united(device_rect(view, wanted.cell_bounds(cell)))
        else:
            ready.append((wanted, cell, tile))
    if not missing.isEmpty():
        painter.save()
        painter.setClipRegion(missing, Qt.ClipOperation.IntersectClip)
        _paint_tiles(painter, view, _borrowed(view, store, others, missing)[::-1], image_format)
        painter.restore()
    _paint_tiles(painter, view, ready, image_format)


_Placed = tuple[Grid, Cell, Tile]


def _borrowed(view: View, store: TileStore, grids: Sequence[Grid], missing: QRegion) -> list[_Placed]:
    """Tiles of other grids that cover what is missing, the best first."""
    found = []
    for grid in grids:
        if missing.isEmpty():
            break
        if grid.count(view.bounds) > MOST_CELLS:
            continue
        for cell in grid.cells(view.bounds):
            rect = device_rect(view, grid.cell_bounds(cell))
            tile = store.get(grid.cell_key(cell)) if missing.intersects(rect) else None
            if tile is not None:
                found.append((grid, cell, tile))
                missing = missing.subtracted(rect)
    return found


def _paint_tiles(
    painter: QPainter, view: View, placed: Sequence[_Placed], image_format: QImage.Format
) -> None:
    """Draw tiles, the last one on top: in bands when one is to be interpolated, else at once."""
    scaled: list[_Scaled] = []
    for grid, cell, tile in placed:
        if tile.pixels is None:
            continue
        if tile.picture is None:
            height, width = tile.pixels.shape[:2]
            tile.picture = QImage(tile.pixels.data, width, height, tile.pixels.strides[0], image_format)
        picture: QImage = tile.picture
        box = device_box(view, grid.cell_bounds(cell))
        if abs(box.width() - picture.width()) < SAME and abs(box.height() - picture.height()) < SAME:
            whole = QRectF(picture.rect())
            scaled.append((False, whole.translated(box.topLeft().toPoint()), picture, whole))
            continue
        width, height = view.device_size
        x, width, first, columns = _on_screen(box.left(), box.width(), picture.width(), width)
        y, height, top, rows = _on_screen(box.top(), box.height(), picture.height(), height)
        if columns > 0 and rows > 0:
            target, part = QRectF(x, y, width, height), QRectF(first, top, columns, rows)
            scaled.append((grid.smooth, target, picture, part))
    if not any(smooth for smooth, *_ in scaled):
        _draw(painter, scaled)
        return
    for top in range(0, view.device_size[1], BAND):
        band = QRectF(0, top, view.device_size[0], BAND)
        painter.save()
        painter.setClipRect(band, Qt.ClipOperation.IntersectClip)
        _draw(painter, [one for one in scaled if one[1].intersects(band)])
        painter.restore()


_Scaled = tuple[bool, QRectF, QImage, QRectF]
"""Whether to interpolate, where to, what, and which part of it."""


def _draw(painter: QPainter, scaled: Sequence[_Scaled]) -> None:
    for smooth, target, picture, part in scaled:
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, smooth)
        painter.drawImage(target, picture, part)


def _on_screen(start: float, length: float, pixels: int, screen: int) -> tuple[float, float, int, int]:
    """Where the visible part of a tile starts and how long it is, on screen and in the tile.

    A magnified tile is far larger than the screen, and Qt places it with 16 bits.
    """
    step = length / pixels
    first = max(math.floor(-start / step) - 2, 0)
    last = min(math.ceil((screen - start) / step) + 2, pixels)
    return start + first * step, (last - first) * step, first, last - first
