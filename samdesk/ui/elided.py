"""`Elided`: a line of text that gives way where there is no room for all of it.

Must not know what it says.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

ROUNDING = 2
"""What the widths of parts in whole pixels may fall short of what is painted."""


class Elided(QWidget):
    """Ends in “…” where it is cut; the tooltip then has the whole.

    Parameters
    ----------
    least : int
        Width that it keeps in any case, if it has so much to say, logical pixels.
    right : bool
        Whether it stands at the right of its place.
    """

    def __init__(self, least: int, right: bool = False) -> None:
        super().__init__()
        self._least, self._right = least, right
        self._parts: Sequence[tuple[str, str]] = ()
        self._tip = ""
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)

    def text(self) -> str:
        """All that it says."""
        return "".join(text for text, _ in self._parts)

    def setText(self, text: str) -> None:
        """Say this in the color of texts."""
        self.show_parts([(text, "")] if text else [], self._tip)

    def show_parts(self, parts: Sequence[tuple[str, str]], tip: str = "") -> None:
        """Say something in several colors.

        Parameters
        ----------
        parts : sequence of (text, color)
            Color as "#rrggbb"; empty for that of texts.
        tip : str
            What the tooltip adds.
        """
        if [*parts] == [*self._parts] and tip == self._tip:
            return
        self._parts, self._tip = tuple(parts), tip
        self.setAccessibleName(self.text())
        self._tell()
        self.updateGeometry()
        self.update()

    @property
    def is_cut(self) -> bool:
        """Whether there is no room for all of it."""
        return self._width > self.contentsRect().width()

    @property
    def _width(self) -> int:
        metrics = self.fontMetrics()
        return sum(metrics.horizontalAdvance(text) for text, _ in self._parts)

    def _tell(self) -> None:
        told = [self.text() if self.is_cut else "", self._tip]
        self.setToolTip("\n".join(one for one in told if one))

    def sizeHint(self) -> QSize:
        margins = self.contentsMargins()
        return QSize(
            self._width + ROUNDING + margins.left() + margins.right(),
            self.fontMetrics().height() + margins.top() + margins.bottom(),
        )

    def minimumSizeHint(self) -> QSize:
        wanted = self.sizeHint()
        return QSize(min(wanted.width(), self._least), wanted.height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._tell()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        metrics = QFontMetrics(painter.font())
        place = self.contentsRect()
        left, end = place.left(), place.left() + place.width()
        if self._right:
            left = max(left, end - self._width)
        plain = self.palette().color(self.foregroundRole())
        for text, color in self._parts:
            shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, end - left)
            painter.setPen(QColor(color) if color else plain)
            where = QRect(left, place.top(), end - left, place.height())
            painter.drawText(where, Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextSingleLine, shown)
            left += metrics.horizontalAdvance(shown)
            if shown != text:
                break
        painter.end()
