"""The rulers: lengths from the image's corner along the top and the left edge, and where the cursor is.

Must not know where the image comes from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPalette, QPolygonF

from samdesk.images.source import PixelSize

from .view import View

THICKNESS = 20
"""Of a ruler in logical pixels."""

APART = 80.0
"""Logical pixels between two numbers at least."""

PARTS = {1: 10, 2: 4, 5: 5, 10: 10}
"""Into how many parts a step of 1, 2, 5 or 10 is divided by short marks."""

LONG, SHORT, MARK = 8.0, 4.0, 5.0

_UNITS = (("nm", 1e-3), ("µm", 1.0), ("mm", 1e3))


@dataclass(frozen=True, slots=True)
class Steps:
    """How a ruler is divided.

    Attributes
    ----------
    step : float
        Image pixels between two numbers.
    number : float
        What one step counts, in `unit`.
    parts : int
        Short marks divide a step into so many.
    unit : str
    """

    step: float
    number: float
    parts: int
    unit: str


def steps(scale: float, pixel: float | None, unit: str = "") -> Steps:
    """Round steps that are far enough apart.

    Parameters
    ----------
    scale : float
        Image pixels per logical pixel.
    pixel : float or None
        Size of an image pixel; None counts pixels.
    unit : str
        Of `pixel`.
    """
    size, named = (pixel, unit) if pixel is not None and pixel > 0 else (1.0, "px")
    least = APART * scale * size
    power = 10.0 ** math.floor(math.log10(least))
    first = next(n for n in (1, 2, 5, 10) if n * power >= least * (1 - 1e-9))
    length = first * power
    number, parts = length, PARTS[first]
    if named in ("µm", "μm"):
        named, factor = ([one for one in _UNITS if length >= one[1] * (1 - 1e-9)] or [_UNITS[0]])[-1]
        number = length / factor
    if named == "px":
        parts = max(1, min(parts, int(length)))  # there is nothing between two pixels
    return Steps(length / size, number, parts, named)


def marks(steps: Steps, low: float, high: float) -> Iterator[tuple[float, float | None]]:
    """Places between `low` and `high` (image pixels), each with its number or None for a short mark."""
    small = steps.step / steps.parts
    for count in range(math.floor(low / small), math.ceil(high / small) + 1):
        whole, rest = divmod(count, steps.parts)
        yield count * small, None if rest else whole * steps.number


class Rulers:
    """Two rulers over the edges of a canvas.

    Parameters
    ----------
    update : callable
        Repaints a part of the canvas, logical pixels.

    Attributes
    ----------
    visible : bool
    """

    def __init__(self, update: Callable[[QRect], object]) -> None:
        self.visible = False
        self._update = update
        self._cursor: tuple[float, float] | None = None
        self._size = (0, 0)

    @property
    def thickness(self) -> int:
        """Logical pixels that they take at the top and at the left."""
        return THICKNESS if self.visible else 0

    def point(self, x: float | None, y: float | None) -> None:
        """Mark where the cursor is, in image pixels; None for nowhere."""
        self._cursor = None if x is None or y is None else (x, y)
        if self.visible:
            self._update(QRect(0, 0, self._size[0], THICKNESS))
            self._update(QRect(0, 0, THICKNESS, self._size[1]))

    def paint(
        self, painter: QPainter, view: View, pixel_size: PixelSize | None, font: QFont, palette: QPalette
    ) -> None:
        """Draw in logical pixels."""
        if not self.visible:
            return
        self._size = (math.ceil(view.width), math.ceil(view.height))
        small = QFont(font)
        small.setPointSizeF(max(font.pointSizeF() * 0.78, 6.0))
        ink, line = palette.color(QPalette.ColorRole.WindowText), palette.color(QPalette.ColorRole.Mid)
        back = palette.color(QPalette.ColorRole.Window)
        accent = palette.color(QPalette.ColorRole.Accent)
        box = view.bounds
        unit = pixel_size.unit if pixel_size else ""
        across = steps(view.scale, pixel_size.x if pixel_size else None, unit)
        down = steps(view.scale, pixel_size.y if pixel_size else None, unit)
        painter.save()
        painter.setFont(small)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        for turned, chosen, low, high in ((False, across, box.x0, box.x1), (True, down, box.y0, box.y1)):
            painter.save()
            length = view.height if turned else view.width
            if turned:  # along the left edge, with its foot at the picture
                painter.rotate(90)
                painter.scale(1, -1)
            painter.fillRect(QRectF(0, 0, length, THICKNESS), back)
            painter.fillRect(QRectF(0, THICKNESS - 1, length, 1), line)
            self._paint_marks(painter, view, (chosen, low, high), turned, ink)
            self._paint_cursor(painter, view, turned, accent)
            painter.restore()
        painter.fillRect(QRectF(0, 0, THICKNESS - 1, THICKNESS - 1), back)
        painter.setPen(_faded(ink))
        painter.drawText(QRectF(0, 0, THICKNESS, THICKNESS), Qt.AlignmentFlag.AlignCenter, across.unit)
        painter.restore()

    def _paint_marks(
        self,
        painter: QPainter,
        view: View,
        part: tuple[Steps, float, float],
        turned: bool,
        ink: QColor,
    ) -> None:
        chosen, low, high = part
        length = view.height if turned else view.width
        metrics = QFontMetricsF(painter.font())
        thin = 1 / view.dpr
        for place, number in marks(chosen, low, high):
            at = view.to_screen(place, place)[1 if turned else 0]
            at = round(at * view.dpr) / view.dpr
            tall = SHORT if number is None else LONG
            painter.fillRect(QRectF(at, THICKNESS - 1 - tall, thin, tall), _faded(ink))
            if number is None:
                continue
            text = f"{number:,.10g}"
            if at + 3 < THICKNESS or at + 3 + metrics.horizontalAdvance(text) > length:
                continue  # a part of a number is another number
            painter.setPen(ink)
            if turned:
                painter.save()
                painter.scale(1, -1)
                painter.drawText(QPointF(at + 3, -(THICKNESS - LONG) + metrics.ascent() - 1), text)
                painter.restore()
            else:
                painter.drawText(QPointF(at + 3, metrics.ascent()), text)

    def _paint_cursor(self, painter: QPainter, view: View, turned: bool, color: QColor) -> None:
        if self._cursor is None:
            return
        at = view.to_screen(*self._cursor)[1 if turned else 0]
        foot = THICKNESS - 1
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        tip = [QPointF(at, foot), QPointF(at - MARK, foot - MARK), QPointF(at + MARK, foot - MARK)]
        painter.drawPolygon(QPolygonF(tip))
        painter.restore()


def _faded(color: QColor) -> QColor:
    made = QColor(color)
    made.setAlpha(130)
    return made
