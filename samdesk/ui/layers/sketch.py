"""What a tool paints over the picture while it is used: shapes, handles, a brush, a measurement.

Must not know tools, nor what becomes of a sketch.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PySide6.QtCore import QPointF, QRect, QRectF, QSizeF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen

from samdesk.app.tools import Sketch
from samdesk.domain.columns import Color
from samdesk.domain.geometry import Bounds

from .live import MARGIN, SOFT_HALO, Outline, paint_annotation
from .overlaytiles import Style
from .view import View

HANDLE = 7.0
HELD = 10.0
"""Sides of a handle, and of the one that is held, in logical pixels."""

PAPER = QColor(255, 255, 255)
EDGE = QColor(20, 20, 22, 210)
ACCENT = QColor(20, 99, 220)
PLATE = QColor(0, 0, 0, 170)
BRUSH_HALO = QColor(0, 0, 0, 120)
BESIDE = QPointF(16, 18)
"""From the pointer to the plate with the measurement, in logical pixels."""

PAD_X, PAD_Y = 7.0, 3.0


class SketchLayer:
    """Paints one sketch after the other; keeps the outlines of shapes that stay the same."""

    def __init__(self) -> None:
        self.sketch: Sketch | None = None
        self._outlines: dict[int, Outline] = {}

    def show(self, sketch: Sketch | None) -> None:
        """Paint this from now on."""
        known = self._outlines
        shapes = sketch.shapes if sketch is not None else ()
        # an outline holds its shape, so that its number cannot become another's
        self._outlines = {id(shape): known.get(id(shape)) or Outline(shape) for shape in shapes}
        self.sketch = sketch

    def dirty(self, view: View, font: QFont) -> QRect:
        """The logical pixels that the sketch covers; empty for none."""
        sketch, area = self.sketch, QRectF()
        if sketch is None:
            return QRect()
        for outline in self._outlines.values():
            if not outline.shape.is_empty:
                area |= _on_screen(view, _shifted(outline.shape.bounds, sketch.offset), MARGIN)
        if sketch.handles is not None and len(sketch.handles):
            low, high = sketch.handles.min(axis=0), sketch.handles.max(axis=0)
            area |= _on_screen(view, Bounds(*low, *high), HELD)
        if sketch.brush is not None:
            x, y, radius = sketch.brush
            area |= _on_screen(view, Bounds(x, y, x, y).expanded(radius), MARGIN)
        if sketch.text and sketch.at is not None:
            area |= _plate(sketch.text, sketch.at, view, font).adjusted(-2, -2, 2, 2)
        return area.intersected(QRectF(0, 0, view.width, view.height)).toAlignedRect()

    def paint(self, painter: QPainter, view: View, style: Style) -> None:
        """Everything but the text, in device pixels."""
        sketch = self.sketch
        if sketch is None:
            return
        color: Color = sketch.color or style.selected_color
        dx, dy = sketch.offset
        there = replace(view, center_x=view.center_x - dx, center_y=view.center_y - dy) if dx or dy else view
        plain = replace(style, fill=False)
        for outline in self._outlines.values():
            paint_annotation(painter, there, outline, color, plain, SOFT_HALO)
        _paint_handles(painter, view, sketch)
        if sketch.brush is not None:
            _paint_brush(painter, view, sketch.brush)

    def paint_text(self, painter: QPainter, view: View, font: QFont) -> None:
        """The measurement beside the pointer, in logical pixels."""
        sketch = self.sketch
        if sketch is None or not sketch.text or sketch.at is None:
            return
        plate = _plate(sketch.text, sketch.at, view, font)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(PLATE)
        painter.drawRoundedRect(plate, 4, 4)
        painter.setFont(font)
        painter.setPen(PAPER)
        painter.drawText(plate, Qt.AlignmentFlag.AlignCenter, sketch.text)


def _paint_handles(painter: QPainter, view: View, sketch: Sketch) -> None:
    """Squares on whole device pixels; the held one is larger and in the accent color."""
    if sketch.handles is None or not len(sketch.handles):
        return
    points = view.to_device(sketch.handles)
    side = max(round(HANDLE * view.dpr), 5) | 1
    width, height = view.device_size
    seen = np.all((points > -side) & (points < (width + side, height + side)), axis=1)
    held = sketch.held if sketch.held is not None and sketch.held < len(points) else None
    if held is not None:
        seen[held] = False
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    edge = max(round(view.dpr), 1)
    painter.setPen(Qt.PenStyle.NoPen)
    for x, y in points[seen]:
        _square(painter, x, y, side, edge, PAPER, EDGE)
    if held is not None:
        x, y = points[held]
        _square(painter, x, y, max(round(HELD * view.dpr), 7) | 1, 2 * edge, ACCENT, PAPER)


def _square(
    painter: QPainter, x: float, y: float, side: int, edge: int, inner: QColor, outer: QColor
) -> None:
    square = QRect(int(x // 1) - side // 2, int(y // 1) - side // 2, side, side)
    painter.fillRect(square, outer)
    painter.fillRect(square.adjusted(edge, edge, -edge, -edge), inner)


def _paint_brush(painter: QPainter, view: View, brush: tuple[float, float, float]) -> None:
    x, y, radius = brush
    ((cx, cy),) = view.to_device([(x, y)])
    reach = radius / view.device_scale
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for color, width in ((BRUSH_HALO, 3.0), (PAPER, 1.25)):
        painter.setPen(QPen(color, width * view.dpr))
        painter.drawEllipse(QPointF(cx, cy), reach, reach)


def _plate(text: str, at: tuple[float, float], view: View, font: QFont) -> QRectF:
    """Where the text goes: below right of the pointer, or on the other side where there is no room."""
    metrics = QFontMetricsF(font)
    size = QSizeF(metrics.horizontalAdvance(text) + 2 * PAD_X, metrics.height() + 2 * PAD_Y)
    x, y = view.to_screen(*at)
    left, top = x + BESIDE.x(), y + BESIDE.y()
    if left + size.width() > view.width:
        left = x - BESIDE.x() - size.width()
    if top + size.height() > view.height:
        top = y - BESIDE.y() - size.height()
    return QRectF(QPointF(round(left), round(top)), size)


def _shifted(bounds: Bounds, offset: tuple[float, float]) -> Bounds:
    dx, dy = offset
    return Bounds(bounds.x0 + dx, bounds.y0 + dy, bounds.x1 + dx, bounds.y1 + dy)


def _on_screen(view: View, bounds: Bounds, margin: float) -> QRectF:
    corners = (QPointF(*view.to_screen(*corner)) for corner in (bounds[:2], bounds[2:]))
    return QRectF(*corners).adjusted(-margin, -margin, margin, margin)
