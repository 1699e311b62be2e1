"""The line below the 3D view: what is seen, and a bar of a round length.

Must not know VTK.
"""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from samdesk.ui import theme

LONGEST = 72.0
"""Logical pixels that the bar takes at most."""

RELATIVE = "relative units"
TIP_RELATIVE = "Lengths hold at the middle of the view. A picture does not tell how large things really are."
TIP_KNOWN = "Lengths hold at the middle of the view, across the picture; the depth is an estimate."


def scale_of(pixels_per_unit: float, unit: tuple[float, str] | None) -> tuple[float, str]:
    """The length of the bar in logical pixels, and what it stands for.

    Parameters
    ----------
    pixels_per_unit : float
        Logical pixels of one unit of the world frame.
    unit : (float, str), optional
        What one unit of the world frame is.
    """
    times, name = unit or (1.0, RELATIVE)
    per_length = pixels_per_unit / times
    length = _round_length(LONGEST / per_length)
    return length * per_length, f"{length:g} {name}"


def _round_length(most: float) -> float:
    power = 10.0 ** int(f"{most:e}".partition("e")[2])
    return power * next(step for step in (5, 2, 1) if step * power <= most * (1 + 1e-9))


class ScaleMark(QWidget):
    """A bar with its length beside it."""

    def __init__(self) -> None:
        super().__init__()
        self._length, self.text = 0.0, ""
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)

    def show_scale(self, pixels_per_unit: float, unit: tuple[float, str] | None) -> None:
        self._length, self.text = scale_of(pixels_per_unit, unit)
        self.setToolTip(TIP_KNOWN if unit else TIP_RELATIVE)
        self.setAccessibleName(f"Scale bar: {self.text}")
        self.updateGeometry()
        self.update()

    def clear(self) -> None:
        self.text = ""
        self.update()

    def sizeHint(self) -> QSize:
        metrics = self.fontMetrics()
        widest = max(metrics.horizontalAdvance(self.text), metrics.horizontalAdvance(f"0.05 {RELATIVE}"))
        return QSize(round(LONGEST) + 10 + widest, metrics.height())

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self.text:
            return
        painter = QPainter(self)
        color = QColor(theme.colors()["muted"])
        wide = self.fontMetrics().horizontalAdvance(self.text)
        painter.setPen(color)
        rect = QRectF(self.rect())
        painter.drawText(rect, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, self.text)
        right = rect.right() - wide - 8
        left, middle = right - self._length, rect.center().y()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(color, 1.4))
        painter.drawLine(QPointF(left, middle), QPointF(right, middle))
        for x in (left, right):
            painter.drawLine(QPointF(x, middle - 3), QPointF(x, middle + 3))


class Elided(QLabel):
    """A muted line that is shortened where there is no room for it."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "muted")
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._whole = ""

    def say(self, text: str) -> None:
        self._whole = text
        self.setAccessibleName(text)
        self._shorten()

    @property
    def whole(self) -> str:
        return self._whole

    def _shorten(self) -> None:
        self.setText(self.fontMetrics().elidedText(self._whole, Qt.TextElideMode.ElideRight, self.width()))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._shorten()
