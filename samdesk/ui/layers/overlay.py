"""The overlay layer: all annotations of a document as tiles, the selected ones painted live.

Tiles are made for the exact scale of the resting view; while it is being zoomed the last
tiles are shown stretched. Must not know images.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Hashable, Iterable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QImage, QPainter

from samdesk.domain.columns import Color, Table, id_bytes, is_ignored
from samdesk.domain.document import Document, Edit
from samdesk.domain.geometry import Plane

from .grid import Grid, paint_grids
from .live import SOFT_HALO, Outline, paint_annotation
from .overlaytiles import (
    TILE,
    IdSet,
    Style,
    reach,
    render_overlay_tile,
    row_colors,
    visible_rows,
)
from .tiles import Key, Request, TileStore
from .view import View

LIVE_ROWS = 64
LIVE_VERTICES = 10_000
"""A selection larger than this is drawn in the tiles, in the selection's color."""

STRETCH = 1.5
"""Tiles are stretched by no more than this while the view is being zoomed."""

OLD_SCALES = 2
"""Scales from which tiles are borrowed until those of the current one are there."""

MOST_CELLS = 10_000
"""An edit that reaches more tiles of one scale than this is taken to reach all; far fewer are kept."""

EDIT_ROWS = 256
"""An edit of more rows than this is taken for its bounding box."""

MANY_ROWS = 20_000
"""An edit of more rows than this is taken to be everywhere."""

Outlines = dict[UUID, tuple[Outline, Color]]


class OverlayLayer:
    """Draws one document.

    Parameters
    ----------
    store : TileStore
    name : hashable
        Begins the keys of its tiles.
    document : Document
    plane : Plane
    style : Style
    """

    def __init__(
        self, store: TileStore, name: Hashable, document: Document, plane: Plane, style: Style
    ) -> None:
        self._store = store
        self._name = name
        self._document = document
        self._snapshot = document.snapshot()
        self._plane = plane
        self._style = style
        self._dpr = 1.0
        self._scales: list[float] = []
        self._selected: Sequence[UUID] = ()
        self._live: Outlines = {}
        self._fading: Outlines = {}
        self._skip = IdSet()
        self._bulk = IdSet()
        self._replaced: frozenset[UUID] = frozenset()

    def set_plane(self, plane: Plane) -> None:
        self._plane = plane
        self._rebuild()

    def set_style(self, style: Style) -> None:
        self._style = style
        self._rebuild()

    def set_selection(self, ids: Sequence[UUID]) -> None:
        """Show these as selected; what was painted live stays so until the tiles show it."""
        self._snapshot = self._document.snapshot()
        before, self._selected = self._live, ids
        light = self._light_table(ids)
        self._live = {} if light is None else self._outlines(light)
        bulk: Sequence[UUID] = ids if light is None else ()
        if bulk != self._bulk.ids:
            self._bulk = IdSet(bulk)
        if self._live.keys() != before.keys():
            self._skip = IdSet({*self._live, *self._replaced})
            self._invalidate(np.array([o.shape.bounds for o, _ in [*before.values(), *self._live.values()]]))
            self._fade(before.keys() - self._live.keys())

    def set_replaced(self, ids: frozenset[UUID]) -> None:
        """Leave these out, because something else is painted in their place."""
        if ids == self._replaced:
            return
        in_tiles = (ids ^ self._replaced) - self._live.keys()
        back = self._replaced - ids - self._live.keys()
        self._replaced = ids
        self._skip = IdSet({*self._live, *ids})
        if in_tiles:
            column = id_bytes(in_tiles)
            self._invalidate(self._snapshot.table(column[self._snapshot.has(column)]).bounds)
            self._fade(back)

    def edited(self, edit: Edit) -> None:
        """Follow a change of the document."""
        everywhere = edit.classes is not None or len(edit.before) + len(edit.after) > MANY_ROWS
        self._invalidate(None if everywhere else np.concatenate((edit.before.bounds, edit.after.bounds)))
        if self._may_touch_selected(edit):
            self.set_selection(self._selected)
        else:
            self._snapshot = self._document.snapshot()
        if len(edit.after) <= LIVE_ROWS:
            self._fade({edit.after.id(row) for row in range(len(edit.after))} - self._live.keys())

    def _may_touch_selected(self, edit: Edit) -> bool:
        """False when nothing of what is selected can look otherwise after the edit."""
        rows = len(edit.before) + len(edit.after)
        if edit.classes is not None or rows > LIVE_ROWS or len(self._selected) > LIVE_ROWS:
            return len(self._selected) > 0
        changed = {table.id(row) for table in (edit.before, edit.after) for row in range(len(table))}
        return not changed.isdisjoint(self._selected)

    def follow(self, view: View, resting: bool) -> None:
        """Choose the scale of the tiles for this view."""
        self._dpr = view.dpr
        scale = view.device_scale
        if not self._scales:
            self._scales = [scale]
        ratio = scale / self._scales[0]
        if math.isclose(ratio, 1, rel_tol=1e-9):
            return
        if resting or not 1 / STRETCH < ratio < STRETCH:
            older = [one for one in self._scales if not math.isclose(one, scale, rel_tol=1e-9)]
            self._scales = [scale, *older[:OLD_SCALES]]

    def requests(self, view: View, ring: int = 0) -> list[Request]:
        """The tiles of this view that are missing or out of date, the middle first."""
        scale = self._scales[0]
        grid = self._grid(scale)
        version = (self._plane, self._style, self._dpr, self._bulk)
        return [
            Request(
                grid.cell_key(cell),
                version,
                partial(
                    render_overlay_tile,
                    self._snapshot,
                    self._plane,
                    self._style,
                    self._skip,
                    self._bulk,
                    self._dpr,
                    scale,
                    *cell,
                ),
            )
            for cell in grid.cells(view.bounds, ring)
            if not self._store.is_fresh(grid.cell_key(cell), version)
        ]

    def tiles_are_fresh(self) -> bool:
        """Tell it that no visible tile is missing; True when something ceased to be painted live."""
        faded = bool(self._fading)
        self._fading = {}
        return faded

    def paint_tiles(self, painter: QPainter, view: View) -> None:
        grids = [self._grid(scale) for scale in self._scales]
        paint_grids(painter, view, self._store, grids, QImage.Format.Format_ARGB32_Premultiplied)

    def paint_live(self, painter: QPainter, view: View) -> None:
        for one, (outline, color) in self._fading.items():
            if one not in self._live and one not in self._replaced:
                paint_annotation(painter, view, outline, color, self._style)
        for one, (outline, _) in self._live.items():
            if one in self._replaced:
                continue
            paint_annotation(painter, view, outline, self._style.selected_color, self._style, SOFT_HALO)

    def _grid(self, scale: float) -> Grid:
        return Grid((self._name, scale), TILE * scale, TILE * scale, smooth=False)

    def _rebuild(self) -> None:
        light = self._light_table(self._selected)
        self._live = {} if light is None else self._outlines(light)
        self._fading = {}

    def _light_table(self, ids: Collection[UUID]) -> Table | None:
        """The rows of these ids that are still there, unless they are too much to be painted live."""
        if len(ids) > LIVE_ROWS:
            return None
        column = id_bytes(ids)
        table = self._snapshot.table(column[self._snapshot.has(column)])
        return table if len(table.coords) <= LIVE_VERTICES else None

    def _outlines(self, table: Table) -> Outlines:
        """What is visible of a table, with the colors of annotations that are not selected."""
        here = np.flatnonzero((table.z == self._plane.z) & (table.t == self._plane.t))
        shown = visible_rows(table.take(here), self._style, IdSet())
        colors = row_colors(shown, self._style, IdSet()).tolist()
        return {
            shown.id(k): (Outline(shown.shape(k), not is_ignored(shown.class_name(k))), tuple(color))
            for k, color in enumerate(colors)
        }

    def _fade(self, ids: Iterable[UUID]) -> None:
        """Paint these live, as they are now, until the tiles show them."""
        wanted = {*self._fading, *ids}
        light = self._light_table(wanted) if wanted else None
        self._fading = {} if light is None else self._outlines(light)

    def _invalidate(self, boxes: NDArray[Any] | None) -> None:
        """Mark the tiles that meet any of the boxes (n, 4) in image pixels; all of them for None."""
        if boxes is not None and not len(boxes):
            return
        if boxes is not None and len(boxes) > EDIT_ROWS:
            low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
            boxes = np.concatenate((low, high))[None]
        margin = reach(self._style, self._dpr)
        touched: dict[float, set[tuple[int, int]] | None] = {}

        def meets(key: Key) -> bool:
            if not isinstance(key, tuple) or key[0] != self._name:
                return False
            if boxes is None:
                return True
            _, scale, *cell = key
            if scale not in touched:
                touched[scale] = cells_touched(boxes, scale, margin)
            cells = touched[scale]
            return cells is None or tuple(cell) in cells

        self._store.invalidate(meets)


def cells_touched(boxes: NDArray[Any], scale: float, margin: float) -> set[tuple[int, int]] | None:
    """The tiles (column, row) that boxes (n, 4) in image pixels reach; None for very many.

    Parameters
    ----------
    boxes : ndarray
    scale : float
        Image pixels per device pixel.
    margin : float
        How far anything is drawn beyond a box, in device pixels.
    """
    side = TILE * scale
    first = np.ceil((boxes[:, :2] - margin * scale) / side).astype(np.int64) - 1
    last = np.floor((boxes[:, 2:] + margin * scale) / side).astype(np.int64)
    if (last - first + 1).prod(axis=1).sum() > MOST_CELLS:
        return None
    found: set[tuple[int, int]] = set()
    for (x0, y0), (x1, y1) in zip(first.tolist(), last.tolist(), strict=True):
        found.update(itertools.product(range(x0, x1 + 1), range(y0, y1 + 1)))
    return found
