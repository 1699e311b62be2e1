"""Where a click is answered at once: a quiet rim around it, and a mark where chips meet in it.

Works in device pixels. Must not know chips, engines or caches: it is given areas of the image.
"""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen, QRegion

from samdesk.domain.geometry import Bounds

from .grid import device_rect
from .view import View

READY = QColor(47, 158, 91)
"""The green that says "ready" in the status bar."""

LIGHT = QColor(150, 240, 190, 200)
DARK = QColor(0, 60, 25, 150)
"""Lines are light on dark, so that one of the two is seen on any picture."""

RIM = 0.2
RIM_PX = 6
"""Opacity and logical width of the rim, which lies inside and so tells the sides of the line apart."""

MARK_PX = 5
"""Logical pixels from the middle of a mark to its ends."""


def paint_warm(painter: QPainter, view: View, areas: Iterable[Bounds]) -> None:
    """Mark the areas that are on screen.

    Parameters
    ----------
    painter : QPainter
        In device pixels of `view`.
    view : View
    areas : iterable of Bounds
        Image pixels; they may touch and overlap.
    """
    pixel = max(1, round(view.dpr))
    rim = RIM_PX * pixel
    # cut outside the screen, so that no line or rim is drawn where only the screen ends
    screen = QRect(0, 0, *view.device_size).adjusted(-2 * rim, -2 * rim, 2 * rim, 2 * rim)
    rects = [rect for area in areas if not (rect := device_rect(view, area).intersected(screen)).isEmpty()]
    if not rects:
        return
    region = _union(rects)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    tint = QColor(READY)
    tint.setAlphaF(RIM)
    painter.fillPath(_path(region.subtracted(_shrunk(region, rim))), tint)
    _paint_line(painter, region, pixel)
    for x, y in _inner_corners(rects, region):
        _paint_mark(painter, x, y, MARK_PX * pixel, pixel)
    painter.restore()


def _paint_line(painter: QPainter, region: QRegion, pixel: int) -> None:
    """Dashes along the inner edge of the region."""
    line = region.subtracted(_shrunk(region, pixel))
    painter.fillPath(_path(line), DARK)
    # a wide pen over the edge, of which only the line is let through, falls on whole pixels
    pen = QPen(LIGHT, 4 * pixel)
    pen.setDashPattern([1.0, 1.0])
    pen.setCapStyle(Qt.PenCapStyle.FlatCap)
    painter.save()
    painter.setClipRegion(line, Qt.ClipOperation.IntersectClip)
    painter.setPen(pen)
    painter.drawPath(_path(region).simplified())
    painter.restore()


def _union(rects: Iterable[QRect]) -> QRegion:
    region = QRegion()
    for rect in rects:
        region = region.united(rect)
    return region


def _shrunk(region: QRegion, by: int) -> QRegion:
    """Without the pixels that are less than `by` away from its edge."""
    kept = region
    for dx, dy in ((by, by), (by, -by), (-by, by), (-by, -by)):
        kept = kept.intersected(region.translated(dx, dy))
    return kept


def _path(region: QRegion) -> QPainterPath:
    path = QPainterPath()
    path.addRegion(region)
    return path


def _inner_corners(rects: Iterable[QRect], region: QRegion) -> list[tuple[int, int]]:
    """The corners of rectangles that have the region on all sides."""
    corners = {
        (x, y)
        for rect in rects
        for x in (rect.x(), rect.x() + rect.width())
        for y in (rect.y(), rect.y() + rect.height())
    }
    around = [(x, y, QRegion(x - 1, y - 1, 2, 2)) for x, y in sorted(corners)]
    return [(x, y) for x, y, square in around if square.subtracted(region).isEmpty()]


def _paint_mark(painter: QPainter, x: int, y: int, arm: int, pixel: int) -> None:
    """A plus: light, with a dark edge."""
    for color, edge in ((DARK, pixel), (LIGHT, 0)):
        start, length = -(pixel // 2) - edge, 2 * (arm + edge) + 1
        thick, out = pixel + 2 * edge, -arm - edge
        across, along = QRegion(x + out, y + start, length, thick), QRegion(x + start, y + out, thick, length)
        painter.fillPath(_path(across.united(along)), color)
