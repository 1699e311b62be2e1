"""Mouse and keys of the 3D picture: turning, moving and zooming.

Takes the events before VTK does, whose own way of turning tilts the ground. Must not know VTK.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QObject, QPointF, Qt
from PySide6.QtGui import QKeyEvent, QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QWidget

from .viewpoint import Viewpoint

Guard = Callable[[Callable[..., object]], Callable[..., None]]

TURN_DEGREES = 0.4
"""For each logical pixel that the mouse moves."""

WHEEL = 0.88
"""A notch of the wheel away from the user shows so much of what was seen."""

KEY_DEGREES = 10.0
KEYS: dict[Qt.Key, tuple[str, float, float]] = {
    Qt.Key.Key_Left: ("turn", KEY_DEGREES, 0.0),
    Qt.Key.Key_Right: ("turn", -KEY_DEGREES, 0.0),
    Qt.Key.Key_Up: ("turn", 0.0, -KEY_DEGREES),
    Qt.Key.Key_Down: ("turn", 0.0, KEY_DEGREES),
    Qt.Key.Key_Plus: ("zoom", WHEEL, 0.0),
    Qt.Key.Key_Equal: ("zoom", WHEEL, 0.0),
    Qt.Key.Key_Minus: ("zoom", 1 / WHEEL, 0.0),
    Qt.Key.Key_Home: ("home", 0.0, 0.0),
}
"""While the picture has the focus."""

LEAVING = (Qt.Key.Key_Tab, Qt.Key.Key_Backtab)
"""These take the focus elsewhere."""


class Steered(Protocol):
    """What is steered."""

    @property
    def steerable(self) -> Viewpoint | None:
        """From where it is looked at; None while that must not be changed."""
        ...

    def pivot(self) -> NDArray[np.float64]:
        """What is turned about."""
        ...

    def take_hold(self) -> None:
        """Stop what moves by itself."""
        ...

    def steer(self, viewpoint: Viewpoint) -> None:
        """Look from there, on the way to somewhere."""
        ...

    def preset(self, name: str) -> None: ...

    def resized(self) -> None: ...


class Steering(QObject):
    """Turns what happens on a widget into viewpoints."""

    def __init__(self, steered: Steered, widget: QWidget, guarded: Guard) -> None:
        super().__init__(widget)
        self._steered = steered
        self._widget = widget
        self._guarded = guarded
        self._held: QPointF | None = None
        self._panning = False
        self._handlers: dict[QEvent.Type, Callable[[Any], None]] = {
            QEvent.Type.MouseButtonPress: self._pressed,
            QEvent.Type.MouseMove: self._dragged,
            QEvent.Type.MouseButtonRelease: self._released,
            QEvent.Type.MouseButtonDblClick: lambda _: steered.preset("home"),
            QEvent.Type.Wheel: self._wheeled,
            QEvent.Type.KeyPress: self._typed,
            QEvent.Type.KeyRelease: lambda _: None,
        }
        widget.installEventFilter(self)

    def let_go(self) -> None:
        """Steer no more."""
        self._widget.removeEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        kind = event.type()
        if kind is QEvent.Type.Resize:
            self._guarded(self._steered.resized)()
            return False
        if kind is QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            # the window has other uses for these keys
            mine = Qt.Key(event.key()) in KEYS and not _modified(event)
            if mine:
                event.accept()
            return mine
        handler = self._handlers.get(kind)
        if handler is None or (isinstance(event, QKeyEvent) and Qt.Key(event.key()) in LEAVING):
            return False
        if self._steered.steerable is not None:
            self._guarded(handler)(event)
        return True

    def _pressed(self, event: QMouseEvent) -> None:
        self._steered.take_hold()
        self._held = event.position()
        shifted = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        self._panning = shifted or event.button() != Qt.MouseButton.LeftButton
        self._widget.setFocus()

    def _released(self, event: QMouseEvent) -> None:
        if event.buttons() == Qt.MouseButton.NoButton:
            self._held = None

    def _dragged(self, event: QMouseEvent) -> None:
        view = self._steered.steerable
        if self._held is None or view is None:
            return
        by = event.position() - self._held
        self._held = event.position()
        if self._panning:
            height = self._widget.height()
            self._steered.steer(view.moved(-by.x() / height, by.y() / height))
        else:
            self._steered.steer(
                view.turned(-TURN_DEGREES * by.x(), TURN_DEGREES * by.y(), self._steered.pivot())
            )

    def _wheeled(self, event: QWheelEvent) -> None:
        notches, view = event.angleDelta().y() / 120, self._steered.steerable
        if not notches or view is None:
            return
        at, height = event.position(), self._widget.height()
        across = (at.x() - self._widget.width() / 2) / height
        self._steered.steer(view.zoomed(WHEEL**notches, across, 0.5 - at.y() / height))

    def _typed(self, event: QKeyEvent) -> None:
        known, view = KEYS.get(Qt.Key(event.key())), self._steered.steerable
        if known is None or view is None:
            return
        kind, first, second = known
        if kind == "turn":
            self._steered.steer(view.turned(first, second, self._steered.pivot()))
        elif kind == "zoom":
            self._steered.steer(view.zoomed(first))
        else:
            self._steered.preset("home")


def _modified(event: QKeyEvent) -> bool:
    harmless = Qt.KeyboardModifier.KeypadModifier | Qt.KeyboardModifier.ShiftModifier
    return bool(event.modifiers() & ~harmless)
