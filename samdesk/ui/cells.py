"""What the lists of the program draw alike: rows marked as a whole, and a thin bar of progress.

Must not know what is listed.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPixmap
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from . import theme


class RowCells(QStyledItemDelegate):
    """Draws the cells of a row alike in all columns."""

    def initStyleOption(self, option: Any, index: Any) -> None:
        super().initStyleOption(option, index)
        option.state &= ~QStyle.StateFlag.State_HasFocus  # the current row is marked as a whole


def paint_progress(painter: QPainter, bar: QRectF, fraction: float, selected: bool) -> None:
    """A bar of which `fraction` (0..1) is done, in a row that is selected or not."""
    chosen = theme.colors()
    round_by = bar.height() / 2
    back = QColor(chosen["on_accent" if selected else "line"])
    back.setAlpha(90 if selected else 255)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(back)
    painter.drawRoundedRect(bar, round_by, round_by)
    done = QRectF(bar)
    done.setWidth(bar.width() * min(max(fraction, 0.0), 1.0))
    painter.setBrush(QColor(chosen["on_accent" if selected else "accent"]))
    painter.drawRoundedRect(done, round_by, round_by)
    painter.restore()


def paint_back(painter: QPainter, option: QStyleOptionViewItem) -> QColor:
    """The background of a row that paints itself: marked when selected, tinted under the mouse.

    Returns
    -------
    QColor
        That of texts on it.
    """
    chosen = theme.colors()
    if option.state & QStyle.StateFlag.State_Selected:
        painter.fillRect(option.rect, QColor(chosen["selected"]))
        return QColor(chosen["on_accent"])
    if option.state & QStyle.StateFlag.State_MouseOver:
        painter.fillRect(option.rect, QColor(chosen["alternate"]))
    return QColor(chosen["text"])


@cache
def tinted(name: str, color: str, side: int, ratio: float) -> QPixmap:
    """An icon in one color, `side` logical pixels large."""
    picture = theme.pixmap(name, round(side * ratio), color)
    picture.setDevicePixelRatio(ratio)
    return picture
