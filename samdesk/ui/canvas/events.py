"""Qt events as plain values: pointers, zoom factors, steps. Must not know what they are used for."""

from __future__ import annotations

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QInputEvent, QWheelEvent

from samdesk.app.tools import Pointer
from samdesk.ui.layers.view import View

ZOOM_UNIT = 1.01
"""Zoom of one wheel unit, as in QuPath."""

UNITS_PER_DEGREE = 1.6
"""A notch of 15 degrees is 24 units: a factor of 1.27."""

UNITS_PER_PIXEL = 0.5
"""For touchpads, which say how many pixels the fingers moved."""

KEY_PAN = 40.0
"""Logical pixels that an arrow key moves the picture; up to four times as much while it is held."""

BUTTONS = {
    Qt.MouseButton.LeftButton: "left",
    Qt.MouseButton.RightButton: "right",
    Qt.MouseButton.MiddleButton: "middle",
}

ARROWS: dict[int, tuple[int, int]] = {
    Qt.Key.Key_Left: (1, 0),
    Qt.Key.Key_Right: (-1, 0),
    Qt.Key.Key_Up: (0, 1),
    Qt.Key.Key_Down: (0, -1),
}

ZOOM_KEYS: dict[int, float] = {
    Qt.Key.Key_Plus: 1.25,
    Qt.Key.Key_Equal: 1.25,  # plus without Shift on many keyboards
    Qt.Key.Key_Minus: 1 / 1.25,
}


def pointer_at(view: View, at: QPointF, button: str, event: QInputEvent, clicks: int = 1) -> Pointer:
    """The pointer of an event at a place of the widget (logical pixels)."""
    x, y = view.to_image(at.x(), at.y())
    held = event.modifiers()
    return Pointer(
        x,
        y,
        button,
        shift=bool(held & Qt.KeyboardModifier.ShiftModifier),
        alt=bool(held & Qt.KeyboardModifier.AltModifier),
        ctrl=bool(held & Qt.KeyboardModifier.ControlModifier),
        scale=view.scale,
        clicks=clicks,
    )


def held_button(buttons: Qt.MouseButton) -> str:
    """The first button that is held, or an empty text."""
    return next((name for button, name in BUTTONS.items() if buttons & button), "")


def wheel_units(event: QWheelEvent) -> float:
    """How far a wheel or two fingers were turned, up positive, in units of `ZOOM_UNIT`."""
    fingers = event.phase() != Qt.ScrollPhase.NoScrollPhase and not event.pixelDelta().isNull()
    if fingers:
        return event.pixelDelta().y() * UNITS_PER_PIXEL
    turn = event.angleDelta()
    # with Alt Qt tells a wheel as if it were turned sideways
    sideways = event.modifiers() & Qt.KeyboardModifier.AltModifier and not turn.y()
    return (turn.x() if sideways else turn.y()) / 8 * UNITS_PER_DEGREE
