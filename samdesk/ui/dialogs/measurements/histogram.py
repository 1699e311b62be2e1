"""A histogram with its axes, and the part of it that is chosen. Must not know what is counted."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QHelpEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from samdesk.app.measuring import Histogram
from samdesk.ui import theme

TICKS = 4
"""About so many numbers stand at the horizontal axis."""

GAP = 6
"""Between axes, numbers and border, logical pixels."""


def nice_ticks(low: float, high: float, about: int = TICKS) -> list[float]:
    """Round numbers inside low..high: multiples of 1, 2 or 5 times a power of ten."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return []
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((m * power for m in (1, 2, 5, 10) if m * power >= rough), 10 * power)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


class HistogramView(QWidget):
    """Bars in a quiet color, the chosen part of each in the accent color."""

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(180, 140)
        self.setAccessibleName("Histogram")
        self.histogram: Histogram | None = None
        self._why = ""

    def sizeHint(self) -> QSize:
        return QSize(280, 190)

    def show_histogram(self, histogram: Histogram | None, why: str = "") -> None:
        """Show this one; without one, say why."""
        self.histogram, self._why = histogram, why
        self.update()

    def bars(self) -> QRectF:
        """Where the bars stand."""
        metrics = self.fontMetrics()
        most = 0 if self.histogram is None else int(self.histogram.counts.max())
        left = metrics.horizontalAdvance(f"{most:,}") + 2 * GAP
        foot = metrics.height() + GAP + 2
        # half a number may stand out at the right
        right = metrics.horizontalAdvance("0.000") / 2 + GAP
        return QRectF(self.rect()).adjusted(left, metrics.height() / 2 + 2, -right, -foot)

    def paintEvent(self, event: QPaintEvent) -> None:
        chosen = theme.colors()
        painter = QPainter(self)
        found = self.histogram
        if found is None:
            painter.setPen(QColor(chosen["muted"]))
            painter.drawText(
                self.rect().adjusted(GAP, 0, -GAP, 0),
                Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap,
                self._why,
            )
            return
        area, most = self.bars(), max(1, int(found.counts.max()))
        quiet = QColor(chosen["muted"])
        quiet.setAlphaF(0.45)
        for counts, color in ((found.counts, quiet), (found.chosen, QColor(chosen["accent"]))):
            for place, count in enumerate(counts.tolist()):
                if count:
                    bar = self._column(found, place, area)
                    # what is there is seen, however small
                    bar.setTop(area.bottom() - max(1.0, area.height() * count / most))
                    painter.fillRect(bar, color)
        self._paint_axes(painter, found, area, most)

    def _column(self, found: Histogram, place: int, area: QRectF) -> QRectF:
        left, right = (self._x(found, float(found.edges[place + k]), area) for k in (0, 1))
        gap = 1.0 if right - left > 3 else 0.0
        return QRectF(left, area.top(), max(right - left - gap, 0.5), area.height())

    def _x(self, found: Histogram, value: float, area: QRectF) -> float:
        first, last = float(found.edges[0]), float(found.edges[-1])
        return area.left() + area.width() * (value - first) / (last - first)

    def _paint_axes(self, painter: QPainter, found: Histogram, area: QRectF, most: int) -> None:
        chosen, metrics = theme.colors(), self.fontMetrics()
        painter.setPen(QPen(QColor(chosen["line"]), 1))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        painter.setPen(QColor(chosen["muted"]))
        height = metrics.height()
        for count in (0, most):
            y = area.bottom() - area.height() * count / most
            place = QRectF(0, y - height / 2, area.left() - GAP, height)
            painter.drawText(place, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, f"{count:,}")
        free = -math.inf
        ticks = nice_ticks(float(found.edges[0]), float(found.edges[-1]))
        step = ticks[1] - ticks[0] if len(ticks) > 1 else 0.0
        for value in ticks:
            text, x = tick_text(value, step), self._x(found, value, area)
            width = metrics.horizontalAdvance(text)
            left = min(max(x - width / 2, 0.0), self.width() - width)
            if left < free:
                continue
            painter.drawLine(QPointF(x, area.bottom()), QPointF(x, area.bottom() + 3))
            place = QRectF(left, area.bottom() + 4, width + 1, height)
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, text)
            free = left + width + 2 * GAP

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and event.type() is QEvent.Type.ToolTip:
            QToolTip.showText(event.globalPos(), self.told_at(event.pos().x()), self)
            return True
        return super().event(event)

    def told_at(self, x: float) -> str:
        """What the bar at this place says."""
        found, area = self.histogram, self.bars()
        if found is None or not area.left() <= x <= area.right():
            return ""
        first, last = float(found.edges[0]), float(found.edges[-1])
        value = first + (last - first) * (x - area.left()) / area.width()
        place = int(np.clip(np.searchsorted(found.edges, value, side="right") - 1, 0, len(found.counts) - 1))
        text = f"{found.edges[place]:.5g} to {found.edges[place + 1]:.5g}: {int(found.counts[place]):,}"
        picked = int(found.chosen[place])
        return f"{text}, {picked:,} of them selected" if picked else text


def tick_text(value: float, step: float) -> str:
    """A round number with the digits that its neighbors need."""
    if max(abs(value), step) >= 1e6 or 0 < step < 1e-4:
        return f"{value:.4g}"
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step else 3
    return f"{value:,.{decimals}f}"
