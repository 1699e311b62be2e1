"""The strip under the picture for stacks: a slider, a number and a play button for z and for time.

Must not know images; it is told sizes and says what is wanted.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSize, Qt, QTimer
from PySide6.QtCore import Signal as QtSignal
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSlider, QToolButton, QVBoxLayout, QWidget

from samdesk.domain.geometry import Plane
from samdesk.ui import theme
from samdesk.ui.fields import Number

FRAME_MS = 200
"""Between two pictures while playing; longer where one is not there yet."""

NOTCH = 120
"""What a notch of a wheel turns, in eighths of a degree."""

AXES = (
    ("z", "z slice", "Page Up and Page Down"),
    ("t", "Time point", "Ctrl with Page Up and Page Down"),
)


class Axis(QWidget):
    """One axis of a stack.

    Attributes
    ----------
    moved : Signal(int)
        The position that the user chose, from 0.
    """

    moved = QtSignal(int)

    def __init__(self, name: str, title: str, keys: str, ready: Callable[[], bool]) -> None:
        super().__init__()
        self._ready = ready
        self._turned = 0
        self.title = title
        label = QLabel(name)
        label.setProperty("role", "muted")
        label.setMinimumWidth(label.fontMetrics().horizontalAdvance("m"))
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName(title)
        self.slider.setToolTip(f"{title}: {keys}, or the wheel here")
        self.box = Number()
        self.box.setAccessibleName(f"{title}, number")
        self.box.setToolTip(f"{title}, counted from 1")
        self.box.setKeyboardTracking(False)
        self.box.setMinimumWidth(self.box.fontMetrics().horizontalAdvance("1000 / 1000") + 36)
        self.play = QToolButton()
        self.play.setCheckable(True)
        self.play.setAutoRaise(True)
        self.play.setIconSize(QSize(14, 14))
        self.play.setAccessibleName(f"Play {title.lower()}s")
        self.play.setToolTip("Play from here on, round and round")
        self._timer = QTimer(self, interval=FRAME_MS)
        self._timer.timeout.connect(self._advance)
        self.slider.valueChanged.connect(self._chosen)
        self.box.valueChanged.connect(lambda number: self._chosen(number - 1))
        self.play.toggled.connect(self._played)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(10, 3, 10, 3)
        layout.setSpacing(8)
        for one in (label, self.slider, self.box, self.play):
            layout.addWidget(one)
        self.restyle()

    def restyle(self) -> None:
        """Take icons in the colors of the present theme."""
        self.play.setIcon(theme.icon("pause" if self.play.isChecked() else "play", "text"))

    def show_position(self, position: int, size: int) -> None:
        """Follow the image; an axis of one is not shown."""
        for one in (self.slider, self.box):
            one.blockSignals(True)
        self.slider.setRange(0, size - 1)
        self.slider.setPageStep(max(1, size // 10))
        self.slider.setValue(position)
        self.box.setRange(1, size)
        self.box.setSuffix(f" / {size}")
        self.box.setValue(position + 1)
        for one in (self.slider, self.box):
            one.blockSignals(False)
        self.setVisible(size > 1)
        if size == 1:
            self.play.setChecked(False)

    def _chosen(self, position: int) -> None:
        self.moved.emit(position)

    def _played(self, on: bool) -> None:
        self._timer.start() if on else self._timer.stop()
        self.restyle()

    def _advance(self) -> None:
        if not self.isVisible():
            self.play.setChecked(False)
        elif self._ready():
            self.moved.emit((self.slider.value() + 1) % (self.slider.maximum() + 1))

    def wheelEvent(self, event: QWheelEvent) -> None:
        self._turned += event.angleDelta().y()
        notches = int(self._turned / NOTCH)
        self._turned -= notches * NOTCH
        if notches:
            place = min(max(self.slider.value() + notches, 0), self.slider.maximum())
            if place != self.slider.value():
                self.moved.emit(place)
        event.accept()


class PlaneStrip(QWidget):
    """Both axes; not shown for a plain image.

    Parameters
    ----------
    ready : callable
        Whether the picture is complete; playing waits for it.

    Attributes
    ----------
    moved : Signal(Plane)
        Where the user wants to be.
    """

    moved = QtSignal(object)

    def __init__(self, ready: Callable[[], bool]) -> None:
        super().__init__()
        self._plane = Plane()
        self.z, self.t = (Axis(*axis, ready) for axis in AXES)
        self.z.moved.connect(lambda z: self.moved.emit(Plane(z, self._plane.t)))
        self.t.moved.connect(lambda t: self.moved.emit(Plane(self._plane.z, t)))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.z)
        layout.addWidget(self.t)
        self.hide()

    def show_plane(self, plane: Plane, size_z: int, size_t: int) -> None:
        """Follow the image."""
        self._plane = plane
        self.z.show_position(plane.z, size_z)
        self.t.show_position(plane.t, size_t)
        self.setVisible(size_z > 1 or size_t > 1)

    def restyle(self) -> None:
        """Take icons in the colors of the present theme."""
        self.z.restyle()
        self.t.restyle()
