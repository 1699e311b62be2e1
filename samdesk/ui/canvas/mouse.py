"""What a pressed button does: work of a tool, moving the picture, or going somewhere in the overview.

Must not know layers or documents; says what happened through signals.
"""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QObject, QPointF, QRect, Qt, Signal
from PySide6.QtGui import QMouseEvent

from samdesk.app.tools import DRAG_PX, Cursor, Pointer
from samdesk.ui.layers.view import View

from .events import BUTTONS, held_button, pointer_at

Gesture = Literal["", "tool", "hand", "pan", "overview"]
"""What the held button does. "hand" is a tool whose drag pans, before it was dragged."""

SHAPES = {
    "cross": Qt.CursorShape.CrossCursor,
    "hand": Qt.CursorShape.OpenHandCursor,
    "arrow": Qt.CursorShape.ArrowCursor,
    "grip": Qt.CursorShape.PointingHandCursor,
    "move": Qt.CursorShape.SizeAllCursor,
    "none": Qt.CursorShape.BlankCursor,
}


class Mouse(QObject):
    """The state of the mouse over a canvas.

    Attributes
    ----------
    pointer : Signal(Pointer, str)
        See `Canvas`.
    hovered : Signal(x, y)
        See `Canvas`.
    panned : Signal(dx, dy)
        The picture was dragged by logical pixels.
    aimed : Signal(QPointF)
        A place of the overview was pressed, in logical pixels of the widget.
    shape_changed : Signal(Qt.CursorShape)
    panning : bool
        Dragging with the left button pans. Looked at after a press was told, so that whoever hears
        of it can decide.
    """

    pointer = Signal(object, str)
    hovered = Signal(object, object)
    panned = Signal(float, float)
    aimed = Signal(QPointF)
    shape_changed = Signal(Qt.CursorShape)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.panning = False
        self._kind: Cursor = "arrow"
        self._space = False
        self._gesture: Gesture = ""
        self._button = Qt.MouseButton.NoButton
        self._pressed_at = QPointF()
        self._at: QPointF | None = None

    def set_kind(self, kind: Cursor) -> None:
        """The cursor over the picture."""
        if kind != self._kind:
            self._kind = kind
            self._show_shape()

    def set_space(self, held: bool) -> None:
        """While the space bar is held every left drag pans."""
        self._space = held
        self._show_shape()

    def press(self, event: QMouseEvent, view: View, overview: QRect | None, clicks: int) -> None:
        held = event.buttons() & self._button and event.button() != self._button
        if self._gesture and not held:
            self.let_go(view)
        if self._gesture:
            return
        at, self._button = event.position(), event.button()
        left = self._button == Qt.MouseButton.LeftButton
        self._pressed_at = self._at = at
        if left and overview is not None and overview.contains(at.toPoint()):
            self._gesture = "overview"
            self.aimed.emit(at)
        elif self._button == Qt.MouseButton.MiddleButton or (left and self._space):
            self._gesture = "pan"
        elif self._button in BUTTONS:
            self._gesture = "tool"
            pointer = pointer_at(view, at, BUTTONS[self._button], event, clicks)
            self.pointer.emit(pointer, "press" if clicks == 1 else "double")
            if left and self.panning and self._gesture == "tool":
                self._gesture = "hand"
        self._show_shape()

    def move(self, event: QMouseEvent, view: View, overview: QRect | None) -> None:
        if not event.buttons() & self._button:
            self.let_go(view)
        at, last = event.position(), self._at
        if not self._gesture and overview is not None and overview.contains(at.toPoint()):
            self.leave(view)
            return
        self._at = at
        if self._gesture == "overview":
            self.aimed.emit(at)
        elif self._gesture == "pan":
            way = at - (last or at)
            self.panned.emit(way.x(), way.y())
        else:
            self._hover(event, view)
        way = at - self._pressed_at
        if self._gesture == "hand" and max(abs(way.x()), abs(way.y())) > DRAG_PX:
            # the tool has seen a drag and takes no click for it; from here on it is ours
            self._gesture = "pan"
            self.panned.emit(way.x(), way.y())
        self._show_shape()

    def release(self, event: QMouseEvent, view: View) -> None:
        if event.button() != self._button:
            return
        if self._gesture in ("tool", "hand"):
            pointer = pointer_at(view, event.position(), BUTTONS[self._button], event)
            self.pointer.emit(pointer, "release")
        self._gesture = ""
        self._button = Qt.MouseButton.NoButton
        self._show_shape()

    def let_go(self, view: View) -> None:
        """End what the held button does: its release went to a menu or to another window."""
        gesture, button, at = self._gesture, self._button, self._at or self._pressed_at
        self._gesture, self._button = "", Qt.MouseButton.NoButton
        if gesture in ("tool", "hand"):
            x, y = view.to_image(at.x(), at.y())
            self.pointer.emit(Pointer(x, y, BUTTONS[button], scale=view.scale), "release")
        if gesture:
            self._show_shape()

    def leave(self, view: View) -> None:
        """The pointer is not over the picture any more."""
        if self._at is None or self._gesture:
            return
        self._at = None
        self.hovered.emit(None, None)
        self.pointer.emit(Pointer(0.0, 0.0, scale=view.scale), "leave")
        self._show_shape()

    def view_moved(self, view: View) -> None:
        """Another place of the image is under the resting pointer."""
        if self._at is not None and self._gesture in ("", "tool"):
            self.hovered.emit(*view.to_image(self._at.x(), self._at.y()))

    def _hover(self, event: QMouseEvent, view: View) -> None:
        button = held_button(event.buttons()) if self._gesture else ""
        pointer = pointer_at(view, event.position(), button, event)
        self.hovered.emit(pointer.x, pointer.y)
        self.pointer.emit(pointer, "move")

    def _show_shape(self) -> None:
        if self._gesture == "pan":
            shape = Qt.CursorShape.ClosedHandCursor
        elif self._gesture == "overview" or (self._at is None and not self._space):
            shape = Qt.CursorShape.ArrowCursor
        else:
            shape = Qt.CursorShape.OpenHandCursor if self._space else SHAPES[self._kind]
        self.shape_changed.emit(shape)
