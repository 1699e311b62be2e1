"""The image layer: one picture, its ladder of tiles, and what to borrow until a tile is there.

Must not know annotations.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtGui import QImage, QPainter

from samdesk.domain.geometry import Bounds, Plane
from samdesk.images.contrast import Display
from samdesk.images.source import ImageSource
from samdesk.images.tiles import BlockCache

from .grid import Grid, device_rect, paint_grids
from .imagetiles import Rung, choose_rung, make_ladder, render_image_tile
from .tiles import Request, TileStore
from .view import View

QUICK_PIXELS = 16_000_000
PIXELATED = 0.5
"""Below this scale (image pixels per logical pixel) pixels are shown as squares."""


class ImageLayer:
    """Draws one source; after a change of `display` or `plane` old tiles stay until the new ones are there.

    Parameters
    ----------
    store : TileStore
    name : hashable
        Begins the keys of its tiles.
    source : ImageSource
    display : Display
    plane : Plane
    cache : BlockCache
    """

    def __init__(
        self,
        store: TileStore,
        name: Hashable,
        source: ImageSource,
        display: Display,
        plane: Plane,
        cache: BlockCache,
    ) -> None:
        self.source = source
        self.plane = plane
        self._store = store
        self._name = name
        self._cache = cache
        self._ladder = make_ladder(source.levels)
        self.display = display

    @property
    def bounds(self) -> Bounds:
        return Bounds(0, 0, self.source.width, self.source.height)

    @property
    def is_quick(self) -> bool:
        """Whether all of the image can be read at its coarsest level in a moment."""
        coarsest = self.source.levels[-1]
        return coarsest.width * coarsest.height <= QUICK_PIXELS

    def requests(self, view: View, ring: int = 0) -> list[Request]:
        """The tiles of this view that are missing or out of date, the middle first."""
        index = choose_rung(self._ladder, view.device_scale)
        grid = self._grid(index)
        shown = view.bounds.intersection(self.bounds)
        if shown.is_empty:
            return []
        version = (self.plane, self.display)
        return [
            Request(
                grid.cell_key(cell),
                version,
                partial(
                    render_image_tile,
                    self.source,
                    self._ladder[index],
                    *cell,
                    self.plane,
                    self.display,
                    self._cache,
                ),
            )
            for cell in grid.cells(shown, ring)
            if not self._store.is_fresh(grid.cell_key(cell), version)
        ]

    def paint(self, painter: QPainter, view: View) -> None:
        """Draw in device pixels; nothing is drawn outside the image."""
        index = choose_rung(self._ladder, view.device_scale)
        sharper = [index - 1] if index else []
        grids = [
            self._grid(index, smooth=index > 0 or view.scale >= PIXELATED),
            *(self._grid(k) for k in (*sharper, *range(index + 1, len(self._ladder)))),
        ]
        painter.save()
        painter.setClipRect(device_rect(view, self.bounds), Qt.ClipOperation.IntersectClip)
        paint_grids(painter, view, self._store, grids, QImage.Format.Format_RGB32)
        painter.restore()

    def _grid(self, index: int, smooth: bool = True) -> Grid:
        rung: Rung = self._ladder[index]
        step_x, step_y = rung.downsample_x / rung.reduce, rung.downsample_y / rung.reduce
        return Grid(
            (self._name, index),
            rung.cell_width * step_x,
            rung.cell_height * step_y,
            -(-rung.width // rung.reduce) * rung.downsample_x,
            -(-rung.height // rung.reduce) * rung.downsample_y,
            smooth,
        )
