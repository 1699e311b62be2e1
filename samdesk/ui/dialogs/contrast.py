"""Brightness and contrast: channels with colors, ranges and gamma, and what the models see of them.

Everything is shown while it changes. Must not know how pixels are composed.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, QSignalBlocker, QSize, Qt
from PySide6.QtCore import Signal as QtSignal
from PySide6.QtGui import (
    QColor,
    QGuiApplication,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
    QPolygonF,
)
from PySide6.QtWidgets import (
    QCheckBox,
    QColorDialog,
    QComboBox,
    QDialog,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QPushButton,
    QSlider,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import isValid

from samdesk.app.jobs import Job
from samdesk.app.showing import MODES
from samdesk.app.workspace import Notice, Workspace
from samdesk.images.contrast import ChannelDisplay, Display, auto_ranges, histogram
from samdesk.images.source import ImageSource
from samdesk.ui import theme
from samdesk.ui.dialogs.book import Window

GRAB_PX = 8.0

GAMMA_MOST = 5.0
"""Gamma goes from one over this to this."""

GAMMA_STEPS = 100
"""Of the slider on each side of 1."""

CLIPBOARD = "samdesk contrast"
"""The key of copied settings, which are JSON."""

LIST_ROWS = 6
"""So many channels are seen without scrolling."""

COLOR, NAME, RANGE = range(3)
"""Columns of the list."""


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
        self._low, self._high, self._gamma = 0.0, 1.0, 1.0
        self._held = ""

    def sizeHint(self) -> QSize:
        return QSize(360, 150)

    def set_counts(self, counts: NDArray[Any], edges: NDArray[Any]) -> None:
        self._counts, self._edges = counts, edges
        self.update()

    def set_range(self, low: float, high: float, gamma: float = 1.0) -> None:
        self._low, self._high, self._gamma = low, high, gamma
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
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(chosen["accent"]), 1))
        painter.drawPolyline(self._response())
        painter.setPen(QColor(chosen["line"]))
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

    def _response(self) -> QPolygonF:
        """From black at the foot to full at the top."""
        left, right = self._x(self._low), self._x(self._high)
        across = np.linspace(0, 1, 33)
        tall = self.height() - 2
        points = zip(left + across * (right - left), 1 + tall * (1 - across**self._gamma), strict=True)
        return QPolygonF([QPointF(x, y) for x, y in points])


class ChannelList(QTreeWidget):
    """The channels: color, name with a tick for visible ones, and range.

    Attributes
    ----------
    ticked : Signal(int)
        Show or hide this one.
    alone : Signal(int)
        Show only this one: a double click, Alt and a click, or Enter.
    recolor : Signal(int)
        The color was clicked.
    """

    ticked = QtSignal(int)
    alone = QtSignal(int)
    recolor = QtSignal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setColumnCount(3)
        self.setHeaderHidden(True)
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setIconSize(theme.SWATCH)
        self.setAccessibleName("Channels")
        self.setToolTip(
            "Click a color to change it. Space shows or hides a channel;\n"
            "Enter, a double click or Alt+click shows it alone, and again all of them."
        )
        header = self.header()
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(theme.SWATCH.width() + 14)
        for column, mode in (
            (COLOR, QHeaderView.ResizeMode.ResizeToContents),
            (NAME, QHeaderView.ResizeMode.Stretch),
            (RANGE, QHeaderView.ResizeMode.ResizeToContents),
        ):
            header.setSectionResizeMode(column, mode)
        self.itemChanged.connect(lambda item, _: self.ticked.emit(self.indexOfTopLevelItem(item)))

    def show_channels(self, names: list[str], display: Display, colored: bool) -> None:
        """Follow the image; rows stay where they are."""
        blocker = QSignalBlocker(self)
        while self.topLevelItemCount() > len(names):
            self.takeTopLevelItem(self.topLevelItemCount() - 1)
        while self.topLevelItemCount() < len(names):
            self.addTopLevelItem(QTreeWidgetItem())
        for row, (name, shown) in enumerate(zip(names, display.channels, strict=True)):
            item = self.topLevelItem(row)
            assert item is not None
            if colored:
                item.setIcon(COLOR, theme.swatch(shown.color))
            item.setText(NAME, name)
            item.setCheckState(NAME, Qt.CheckState.Checked if shown.visible else Qt.CheckState.Unchecked)
            item.setText(RANGE, f"{shown.low:,.6g} – {shown.high:,.6g}")
            item.setTextAlignment(RANGE, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.setColumnHidden(COLOR, not colored)
        self._fit()
        blocker.unblock()

    def _fit(self) -> None:
        rows = min(max(self.topLevelItemCount(), 1), LIST_ROWS)
        self.setFixedHeight(rows * max(self.sizeHintForRow(0), 20) + 2 * self.frameWidth() + 2)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        index = self.indexAt(event.position().toPoint())
        if index.isValid() and event.modifiers() & Qt.KeyboardModifier.AltModifier:
            self.setCurrentIndex(index)
            self.alone.emit(index.row())
        elif index.isValid() and index.column() == COLOR:
            self.setCurrentIndex(index)
            self.recolor.emit(index.row())
        else:
            super().mousePressEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        index = self.indexAt(event.position().toPoint())
        if index.isValid() and index.column() != COLOR:
            self.alone.emit(index.row())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        row = self.currentIndex().row()
        if row >= 0 and event.key() == Qt.Key.Key_Space:
            item = self.topLevelItem(row)
            assert item is not None
            was = item.checkState(NAME) is Qt.CheckState.Checked
            item.setCheckState(NAME, Qt.CheckState.Unchecked if was else Qt.CheckState.Checked)
        elif row >= 0 and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.alone.emit(row)
        else:
            super().keyPressEvent(event)


class ContrastDialog(QDialog):
    """Stays open beside the picture and follows it."""

    def __init__(self, parent: QWidget, workspace: Workspace) -> None:
        super().__init__(parent)
        self.setWindowTitle("Brightness and Contrast")
        self.setMinimumWidth(440)
        self._workspace = workspace
        self._channel = 0
        self.channels = ChannelList()
        self.channels.currentItemChanged.connect(lambda *_: self._chosen(self.channels.currentIndex().row()))
        self.channels.ticked.connect(self._ticked)
        self.channels.alone.connect(self._show_alone)
        self.channels.recolor.connect(self._recolor)
        self.histogram = Histogram()
        self.histogram.setToolTip("Drag the lines: black at the left one, full at the right one")
        self.histogram.moved.connect(self._moved)
        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addWidget(self.channels)
        layout.addWidget(self.histogram)
        layout.addLayout(self._build_values())
        layout.addLayout(self._build_buttons())
        line = QWidget()
        line.setFixedHeight(1)
        line.setBackgroundRole(QPalette.ColorRole.Mid)
        line.setAutoFillBackground(True)
        layout.addWidget(line)
        layout.addLayout(self._build_seen())
        self.reload()

    def _build_values(self) -> QGridLayout:
        self.low, self.high, self.gamma = QDoubleSpinBox(), QDoubleSpinBox(), QDoubleSpinBox()
        widest = max((one.high - one.low for one in self._channels()), default=255.0)
        decimals = 2 if widest > 10 else 6
        for box, name, tip in (
            (self.low, "Low", "Shown as black from here down"),
            (self.high, "High", "Shown in full color from here up"),
        ):
            box.setRange(-1e12, 1e12)
            box.setDecimals(decimals)
            box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
            box.setKeyboardTracking(False)
            box.setAccessibleName(name)
            box.setToolTip(tip)
        self.gamma.setRange(1 / GAMMA_MOST, GAMMA_MOST)
        self.gamma.setSingleStep(0.05)
        self.gamma.setKeyboardTracking(False)
        self.gamma.setAccessibleName("Gamma")
        self.gamma_slider = QSlider(Qt.Orientation.Horizontal)
        self.gamma_slider.setRange(-GAMMA_STEPS, GAMMA_STEPS)
        self.gamma_slider.setPageStep(10)
        self.gamma_slider.setAccessibleName("Gamma, slider")
        for one in (self.gamma, self.gamma_slider):
            one.setToolTip("Below 1, dark parts get brighter; above 1, darker")
        self.low.valueChanged.connect(lambda low: self._moved(low, self._shown().high))
        self.high.valueChanged.connect(lambda high: self._moved(self._shown().low, high))
        self.gamma.valueChanged.connect(lambda gamma: self._change(self._channel, gamma=gamma))
        self.gamma_slider.valueChanged.connect(
            lambda place: self._change(self._channel, gamma=round(GAMMA_MOST ** (place / GAMMA_STEPS), 2))
        )
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        for column, (title, box) in enumerate((("Low", self.low), ("High", self.high))):
            grid.addWidget(_label(title, box), 0, 2 * column)
            grid.addWidget(box, 0, 2 * column + 1)
        grid.addWidget(_label("Gamma", self.gamma), 1, 0)
        grid.addWidget(self.gamma, 1, 1)
        grid.addWidget(self.gamma_slider, 1, 2, 1, 2)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        return grid

    def _build_buttons(self) -> QHBoxLayout:
        self.together = QCheckBox("All together")
        self.together.setToolTip("Change red, green and blue alike, so that white stays white")
        self.together.setChecked(True)
        row = QHBoxLayout()
        row.addWidget(self.together)
        row.addStretch()
        self.auto, self.auto_all, self.reset, self.color = (
            self._button(*one)
            for one in (
                (
                    "Auto",
                    "Choose the range of this channel from its pixels (0.1 % saturated)",
                    self._auto_this,
                ),
                ("Auto All", "Choose the ranges of all channels from their pixels", self._auto_every),
                ("Reset", "Show the image as it was when it was first opened", self._reset),
                ("Color…", "Change the color of this channel", lambda: self._recolor(self._channel)),
            )
        )
        self.more = QPushButton("Copy")
        self.more.setAccessibleName("Copy or paste")
        self.more.setAutoDefault(False)
        self.more.setToolTip("Take these settings to another image with as many channels")
        menu = QMenu(self)
        menu.addAction("Copy These Settings").triggered.connect(self.copy)
        menu.addAction("Paste Settings").triggered.connect(self.paste)
        self.more.setMenu(menu)
        for one in (self.auto, self.auto_all, self.reset, self.color, self.more):
            row.addWidget(one)
        return row

    def _build_seen(self) -> QGridLayout:
        self.seen = QComboBox()
        self.seen.setAccessibleName("The models see")
        self.seen.setToolTip(
            "One contrast over the whole image makes answers the same wherever you look.\n"
            "It is kept with the project."
        )
        for mode, title in MODES.items():
            self.seen.addItem(title, mode)
        self.seen.activated.connect(lambda index: self._workspace.showing.see(self.seen.itemData(index)))
        self.use = self._button(
            "Use Current", "Have the models see what is shown now, also when you change it later", self._use
        )
        self.preview = QCheckBox("Show what the models see")
        self.preview.setToolTip("On the image, until you change the contrast (Shift+M)")
        self.preview.toggled.connect(self._workspace.showing.preview)
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.addWidget(_label("The models see", self.seen), 0, 0)
        grid.addWidget(self.seen, 0, 1)
        grid.addWidget(self.use, 0, 2)
        grid.addWidget(self.preview, 1, 1, 1, 2)
        grid.setColumnStretch(1, 1)
        return grid

    def _button(self, title: str, tip: str, pressed: Any) -> QPushButton:
        made = QPushButton(title)
        made.setAutoDefault(False)  # Enter is for the list and the numbers
        made.setToolTip(tip)
        made.clicked.connect(lambda: pressed())
        return made

    # Following

    def reload(self) -> None:
        """Follow another image, or another plane of it."""
        image = self._workspace.image
        if image is None:
            self.close()
            return
        self._channel = min(self._channel, len(image.display.channels) - 1)
        self.follow()
        item = self.channels.topLevelItem(self._channel)
        if item is not None:
            self.channels.setCurrentItem(item, NAME)
        self._count()

    def follow(self) -> None:
        """Follow what is shown."""
        image, showing = self._workspace.image, self._workspace.showing
        if image is None:
            return
        kind = image.source.kind
        self._channel = min(self._channel, len(image.display.channels) - 1)
        names = [channel.name for channel in image.source.channels]
        self.channels.show_channels(names, image.display, colored=kind == "multichannel")
        self._show_values(self._shown())
        self.together.setVisible(kind == "rgb")
        self.color.setVisible(kind == "multichannel")
        self.auto_all.setVisible(kind == "multichannel" and len(names) > 1)
        for one in (self.histogram, self.low, self.high, self.gamma, self.gamma_slider, self.auto):
            one.setEnabled(kind != "label")
        blockers = [QSignalBlocker(one) for one in (self.seen, self.preview)]
        self.seen.setCurrentIndex(self.seen.findData(showing.mode))
        self.preview.setChecked(showing.previewing)
        del blockers
        self.use.setEnabled((showing.mode, showing.kept) != ("kept", image.display))

    def restyle(self) -> None:
        """Take the colors of the present theme."""
        self.follow()

    def _count(self) -> None:
        image = self._workspace.image
        assert image is not None
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

    def _show_values(self, shown: ChannelDisplay) -> None:
        self.histogram.set_range(shown.low, shown.high, shown.gamma)
        place = round(GAMMA_STEPS * math.log(shown.gamma, GAMMA_MOST))
        blockers = [QSignalBlocker(one) for one in (self.low, self.high, self.gamma, self.gamma_slider)]
        self.low.setValue(shown.low)
        self.high.setValue(shown.high)
        self.gamma.setValue(shown.gamma)
        self.gamma_slider.setValue(place)
        del blockers

    # Changing

    def _chosen(self, row: int) -> None:
        if row >= 0 and row != self._channel:
            self._channel = row
            self._show_values(self._shown())
            self._count()

    def _ticked(self, row: int) -> None:
        item = self.channels.topLevelItem(row)
        if item is not None:
            self._change(row, visible=item.checkState(NAME) is Qt.CheckState.Checked)

    def _show_alone(self, row: int) -> None:
        self._set(Display(self._channels()).only(row))

    def _recolor(self, row: int) -> None:
        image = self._workspace.image
        if image is None or image.source.kind != "multichannel":
            return
        chosen = QColorDialog.getColor(
            QColor(*self._channels()[row].color), self, f"Color of {image.source.channels[row].name}"
        )
        if chosen.isValid():
            self._change(row, color=(chosen.red(), chosen.green(), chosen.blue()))

    def _moved(self, low: float, high: float) -> None:
        if high > low:
            self._change(self._channel, low=low, high=high)
        else:
            self.follow()

    def _change(self, row: int, **changes: Any) -> None:
        """Change one channel, or the ranges of all where they go together."""
        image = self._workspace.image
        if image is None:
            return
        alike = image.source.kind == "rgb" and self.together.isChecked() and "visible" not in changes
        channels = [
            replace(one, **changes) if alike or k == row else one for k, one in enumerate(self._channels())
        ]
        self._set(Display(tuple(channels)))

    def _set(self, display: Display) -> None:
        self._workspace.set_display(display)
        self.follow()

    def _auto_this(self) -> None:
        self._auto((self._channel,))

    def _auto_every(self) -> None:
        self._auto(tuple(range(len(self._channels()))))

    def _auto(self, which: tuple[int, ...]) -> None:
        image, plane = self._workspace.image, self._workspace.plane
        if image is None:
            return
        if image.source.kind == "rgb":
            which = (0, 1, 2)

        def chosen(job: Job[list[tuple[float, float]]]) -> None:
            if job.result is not None and self._follows(image.source):
                display = Display(self._channels())
                for row in which:
                    low, high = job.result[row]
                    display = display.with_channel(row, low=low, high=high)
                self._set(display)

        self._workspace.jobs.lane("io").submit(
            lambda task: auto_ranges(image.source, plane, task), key="auto contrast", done=chosen
        )

    def _reset(self) -> None:
        first = self._workspace.showing.auto
        if first is not None:
            self._set(first)

    def _use(self) -> None:
        self._workspace.showing.keep_current()
        self.follow()

    def copy(self) -> None:
        """Put the settings on the clipboard."""
        text = json.dumps({CLIPBOARD: Display(self._channels()).to_json()})
        QGuiApplication.clipboard().setText(text)

    def paste(self) -> None:
        """Take settings that were copied from this or another image, in this or another window."""
        count = len(self._channels())
        try:
            value = json.loads(QGuiApplication.clipboard().text())[CLIPBOARD]
        except (ValueError, TypeError, KeyError):
            value = None
        display = Display.from_json(value, count)
        if display is not None:
            self._set(display)
            return
        what = "1 channel" if count == 1 else f"{count} channels"
        text = f"The clipboard holds no contrast settings for {what}."
        self._workspace.notice.emit(Notice("info", text, "Copy them from an image that has as many."))


def _label(title: str, buddy: QWidget) -> QLabel:
    made = QLabel(title)
    made.setBuddy(buddy)
    return made


def make(window: Window, about: str) -> ContrastDialog:
    """The ranges of the open image."""
    return ContrastDialog(window, window.workspace)
