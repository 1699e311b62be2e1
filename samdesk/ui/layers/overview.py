"""The overview: the complete image in a corner, with the visible part framed; a click goes there."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from .image import ImageLayer
from .tiles import Request
from .view import View

SIDE = 160
"""Longest side in logical pixels."""

MARGIN = 14
FRAME = QColor(255, 212, 0)
BORDER = QColor(128, 128, 128, 190)
SHADOW = QColor(0, 0, 0, 130)
SMALLEST_FRAME = 5.0


class Overview:
    """A second, small view of an image layer.

    Its few tiles are the coarsest there are, and so what the canvas shows first and borrows
    from while finer ones are made.

    Attributes
    ----------
    top : int
        What a ruler takes above it, logical pixels.
    """

    def __init__(self, layer: ImageLayer) -> None:
        self._layer = layer
        self.top = 0

    def view(self, dpr: float) -> View:
        """The complete image in a box of at most `SIDE`."""
        width, height = self._layer.bounds.x1, self._layer.bounds.y1
        scale = max(width, height) / SIDE
        w, h = max(8, round(width / scale)), max(8, round(height / scale))
        return View(width / 2, height / 2, max(width / w, height / h), w, h, dpr)

    def rect(self, view: View) -> QRect:
        """Where it is: the upper right corner, in logical pixels."""
        small = self.view(view.dpr)
        return QRect(
            round(view.width - MARGIN - small.width), self.top + MARGIN, int(small.width), int(small.height)
        )

    def is_useful(self, view: View) -> bool:
        """There is more of the image than is visible, and room to show it."""
        box, shown = self._layer.bounds, view.bounds
        inside = shown.x0 <= box.x0 and shown.y0 <= box.y0 and shown.x1 >= box.x1 and shown.y1 >= box.y1
        return not inside and view.width > 3 * SIDE and view.height > 2 * SIDE

    def requests(self, dpr: float) -> list[Request]:
        return self._layer.requests(self.view(dpr))

    def to_image(self, view: View, at: QPointF) -> tuple[float, float]:
        """The image pixel under a point of the widget (logical pixels)."""
        rect = self.rect(view)
        return self.view(view.dpr).to_image(at.x() - rect.x(), at.y() - rect.y())

    def paint(self, painter: QPainter, view: View) -> None:
        """Draw in device pixels."""
        small, dpr = self.view(view.dpr), view.dpr
        place = self.rect(view)
        painter.save()
        painter.translate(round(place.x() * dpr), round(place.y() * dpr))
        box = QRect(0, 0, *small.device_size)
        painter.setClipRect(box.adjusted(-1, -1, 1, 1))
        painter.fillRect(box.adjusted(-1, -1, 1, 1), BORDER)
        self._layer.paint(painter, small)
        painter.setClipRect(box)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        frame = self._frame(view, small)
        for color, width in ((SHADOW, 3.5), (FRAME, 1.5)):
            painter.setPen(QPen(color, width * dpr))
            painter.drawRect(frame)
        painter.restore()

    def _frame(self, view: View, small: View) -> QRectF:
        """The visible part in device pixels of the overview, never too small to be seen."""
        shown = view.bounds.intersection(self._layer.bounds)
        (x0, y0), (x1, y1) = small.to_device([shown[:2], shown[2:]])
        least = SMALLEST_FRAME * view.dpr
        width, height = max(x1 - x0, least), max(y1 - y0, least)
        return QRectF((x0 + x1 - width) / 2, (y0 + y1 - height) / 2, width, height)
