"""The scale bar: a round length of the specimen, or of the image where its pixel size is unknown."""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter

from samdesk.images.source import PixelSize

from .view import View

LONGEST = 140.0
"""Logical pixels that the bar takes at most."""

MARGIN = 14.0
PADDING = 8.0
THICKNESS = 3.0
WIDEST_BAR = MARGIN + LONGEST + 2 * PADDING
"""How far it reaches from the left edge at most, logical pixels."""

PLATE = QColor(0, 0, 0, 150)
INK = QColor(255, 255, 255)

_UNITS = (("nm", 1e-3), ("µm", 1.0), ("mm", 1e3), ("cm", 1e4))
"""Units of length in µm, smallest first."""


def scale_bar(scale: float, pixel_size: PixelSize | None) -> tuple[float, str]:
    """The length of the bar in logical pixels, and what it stands for.

    Parameters
    ----------
    scale : float
        Image pixels per logical pixel.
    pixel_size : PixelSize or None
        None gives a length in image pixels.
    """
    if pixel_size is None or not pixel_size.x > 0:
        pixels = max(_round_number(LONGEST * scale), 1.0)
        return pixels / scale, f"{pixels:,.0f} px".replace(",", "\u202f")
    length = _round_number(LONGEST * scale * pixel_size.x)
    return length / pixel_size.x / scale, _label(length, pixel_size.unit)


def _round_number(most: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above `most`."""
    power = 10.0 ** math.floor(math.log10(most))
    return power * next(step for step in (5, 2, 1) if step * power <= most * (1 + 1e-9))


def _label(length: float, unit: str) -> str:
    if unit in ("µm", "μm", "um", "micron", "micrometer"):
        fits = [(name, size) for name, size in _UNITS if length >= size * (1 - 1e-9)] or [_UNITS[0]]
        unit, size = fits[-1] if fits[-1][0] != "cm" or length >= 1e5 else _UNITS[2]
        length /= size
    return f"{length:g} {unit}"


def paint_scale_bar(
    painter: QPainter, view: View, pixel_size: PixelSize | None, font: QFont, left: float = 0.0
) -> None:
    """Draw it at the lower left, in logical pixels, on a plate that is legible over anything.

    `left` is what a ruler takes there.
    """
    length, label = scale_bar(view.scale, pixel_size)
    metrics = QFontMetricsF(font)
    text = metrics.horizontalAdvance(label)
    width = max(length, text) + 2 * PADDING
    height = metrics.height() + THICKNESS + 2 * PADDING - 3
    plate = QRectF(left + MARGIN, view.height - MARGIN - height, width, height)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(PLATE)
    painter.drawRoundedRect(plate, 5, 5)
    painter.setFont(font)
    painter.setPen(INK)
    baseline = plate.top() + PADDING - 3 + metrics.ascent()
    painter.drawText(QPointF(plate.center().x() - text / 2, baseline), label)
    # whole device pixels, so that the ends are where they should be
    start = round((plate.center().x() - length / 2) * view.dpr) / view.dpr
    top = round((plate.bottom() - PADDING - THICKNESS + 1) * view.dpr) / view.dpr
    painter.fillRect(QRectF(start, top, length, THICKNESS), INK)
