"""Brightness and contrast: a histogram per channel with two handles, shown while they move.

Must not know how pixels are composed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtCore import Signal as QtSignal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import (
    QDialog,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import isValid

from samdesk.app.jobs import Job
from samdesk.app.workspace import Workspace
from samdesk.images.contrast import ChannelDisplay, Display, auto_display, histogram
from samdesk.images.source import ImageSource
from samdesk.ui import theme
from samdesk.ui.dialogs.book import Window

GRAB_PX = 8.0


class Histogram(QWidget):
    """Counts over values with a low and a high handle.

    Attributes
    ----------
    moved : Signal(float, float)
        Low and high, while a handle is dragged.
    """

    moved = QtSignal(float, float)

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumHeight(140)
        self.setAccessibleName("Histogram")
        self._counts: NDArray[Any] = np.zeros(0)
        self._edges: NDArray[Any] = np.array([0.0, 1.0])
        self._low, self._high = 0.0, 1.0
        self._held = ""

    def sizeHint(self) -> QSize:
        return QSize(360, 150)

    def set_counts(self, counts: NDArray[Any], edges: NDArray[Any]) -> None:
        self._counts, self._edges = counts, edges
        self.update()

    def set_range(self, low: float, high: float) -> None:
        self._low, self._high = low, high
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        chosen = theme.colors()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), QColor(chosen["base"]))
        if len(self._counts):
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(chosen["muted"]))
            painter.drawPolygon(self._curve())
        for value in (self._low, self._high):
            x = self._x(value)
            painter.setPen(QPen(QColor(chosen["accent"]), 2))
            painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))
            painter.setBrush(QColor(chosen["accent"]))
            painter.drawEllipse(QPointF(x, self.height() - 6), 4, 4)
        painter.setPen(QColor(chosen["line"]))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        x = event.position().x()
        near = min(("low", "high"), key=lambda name: abs(self._x(getattr(self, f"_{name}")) - x))
        self._held = near if abs(self._x(getattr(self, f"_{near}")) - x) <= GRAB_PX else ""

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if not self._held:
            return
        first, last = float(self._edges[0]), float(self._edges[-1])
        value = first + (last - first) * event.position().x() / max(1, self.width())
        value = min(max(value, first), last)
        gap = (last - first) / 1000
        if self._held == "low":
            self._low = min(value, self._high - gap)
        else:
            self._high = max(value, self._low + gap)
        self.update()
        self.moved.emit(self._low, self._high)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._held = ""

    def _x(self, value: float) -> float:
        first, last = float(self._edges[0]), float(self._edges[-1])
        return float(np.clip((value - first) / max(last - first, 1e-12), 0, 1)) * (self.width() - 2) + 1

    def _curve(self) -> QPolygonF:
        heights = np.sqrt(self._counts / max(1, self._counts.max())) * (self.height() - 8)
        xs = np.linspace(0, self.width(), len(heights))
        points = [QPointF(x, self.height() - y) for x, y in zip(xs, heights, strict=True)]
        return QPolygonF([QPointF(0, self.height()), *points, QPointF(self.width(), self.height())])


class ContrastDialog(QDialog):
    """Stays open beside the picture and follows it."""

    def __init__(self, parent: QWidget, workspace: Workspace) -> None:
        super().__init__(parent)
        self.setWindowTitle("Brightness and Contrast")
        self.setMinimumWidth(420)
        self._workspace = workspace
        self._channel = 0
        self.channels = QListWidget()
        self.channels.setIconSize(theme.SWATCH)
        self.channels.setAccessibleName("Channels")
        self.channels.setMaximumHeight(130)
        self.channels.currentRowChanged.connect(self._chosen)
        self.channels.itemChanged.connect(self._ticked)
        self.histogram = Histogram()
        self.histogram.moved.connect(self._moved)
        self.low, self.high = QDoubleSpinBox(), QDoubleSpinBox()
        widest = max((one.high - one.low for one in self._channels()), default=255.0)
        decimals = 2 if widest > 10 else 6
        for box, name in ((self.low, "Low"), (self.high, "High")):
            box.setRange(-1e12, 1e12)
            box.setDecimals(decimals)
            box.setKeyboardTracking(False)
            box.setAccessibleName(name)
        self.low.valueChanged.connect(lambda low: self._moved(low, self._shown().high))
        self.high.valueChanged.connect(lambda high: self._moved(self._shown().low, high))
        auto = QPushButton("Auto")
        auto.setToolTip("Choose the ranges from the pixels (0.1 % saturated)")
        auto.clicked.connect(self._auto)
        note = QLabel("The engines see the picture as it is shown.")
        note.setProperty("role", "muted")
        values = QHBoxLayout()
        for one in (QLabel("Low"), self.low, QLabel("High"), self.high):
            values.addWidget(one)
        values.addStretch()
        values.addWidget(auto)
        layout = QVBoxLayout(self)
        layout.addWidget(self.channels)
        layout.addWidget(self.histogram)
        layout.addLayout(values)
        layout.addWidget(note)
        self.reload()

    def reload(self) -> None:
        """Follow the image."""
        image = self._workspace.image
        if image is None:
            self.close()
            return
        self.channels.blockSignals(True)
        self.channels.clear()
        for channel, shown in zip(image.source.channels, image.display.channels, strict=False):
            item = QListWidgetItem(theme.swatch(shown.color), channel.name)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if shown.visible else Qt.CheckState.Unchecked)
            self.channels.addItem(item)
        self._channel = min(self._channel, len(image.display.channels) - 1)
        self.channels.setCurrentRow(self._channel)
        self.channels.blockSignals(False)
        self._show_channel()

    def _show_channel(self) -> None:
        image = self._workspace.image
        assert image is not None
        self._show_range(self._shown())
        channel, plane = self._channel, self._workspace.plane

        def counted(job: Job[tuple[NDArray[Any], NDArray[Any]]]) -> None:
            if job.result is not None and self._follows(image.source) and channel == self._channel:
                self.histogram.set_counts(*job.result)

        self._workspace.jobs.lane("io").submit(
            lambda task: histogram(image.source, channel, plane), key="histogram", done=counted
        )

    def _channels(self) -> tuple[ChannelDisplay, ...]:
        """How the image is shown now; nothing without an image."""
        return self._workspace.image.display.channels if self._workspace.image else ()

    def _shown(self) -> ChannelDisplay:
        return self._channels()[self._channel]

    def _follows(self, source: ImageSource) -> bool:
        """Whether a result about this image may still be shown here."""
        image = self._workspace.image
        return isValid(self) and image is not None and image.source is source

    def _show_range(self, shown: ChannelDisplay) -> None:
        self.histogram.set_range(shown.low, shown.high)
        for box, value in ((self.low, shown.low), (self.high, shown.high)):
            box.blockSignals(True)
            box.setValue(value)
            box.blockSignals(False)

    def _chosen(self, row: int) -> None:
        if row >= 0:
            self._channel = row
            self._show_channel()

    def _ticked(self, item: QListWidgetItem) -> None:
        row = self.channels.row(item)
        self._change(row, visible=item.checkState() is Qt.CheckState.Checked)

    def _moved(self, low: float, high: float) -> None:
        if high > low:
            self._show_range(self._change(self._channel, low=low, high=high))

    def _change(self, row: int, **changes: Any) -> ChannelDisplay:
        image = self._workspace.image
        assert image is not None
        channels = list(image.display.channels)
        channels[row] = replace(channels[row], **changes)
        self._workspace.set_display(replace(image.display, channels=tuple(channels)))
        return channels[row]

    def _auto(self) -> None:
        image, plane = self._workspace.image, self._workspace.plane
        assert image is not None

        def chosen(job: Job[Display]) -> None:
            if job.result is not None and self._follows(image.source):
                kept = zip(job.result.channels, self._channels(), strict=True)
                channels = tuple(replace(new, visible=old.visible) for new, old in kept)
                self._workspace.set_display(replace(job.result, channels=channels))
                self.reload()

        self._workspace.jobs.lane("io").submit(
            lambda task: auto_display(image.source, plane), key="auto contrast", done=chosen
        )


def make(window: Window, about: str) -> ContrastDialog:
    """The ranges of the open image."""
    return ContrastDialog(window, window.workspace)
