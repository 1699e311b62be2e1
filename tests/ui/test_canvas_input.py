"""Mouse, wheel, touchpad and keys on the canvas: what moves the view and what goes to the tool."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import (
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QNativeGestureEvent,
    QPointingDevice,
    QWheelEvent,
)
from PySide6.QtWidgets import QApplication, QGestureEvent, QPinchGesture
from pytestqt.qtbot import QtBot

from samdesk.app.tools import Pointer
from samdesk.ui.canvas import Canvas, View

from .sources import ArraySource, plain

LEFT, RIGHT, MIDDLE = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton, Qt.MouseButton.MiddleButton
NONE = Qt.MouseButton.NoButton
PLAIN = Qt.KeyboardModifier.NoModifier


class Hand:
    """Sends events to a canvas and hears what it says."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self.pointers: list[tuple[Pointer, str]] = []
        self.hovers: list[tuple[float | None, float | None]] = []
        canvas.pointer.connect(lambda pointer, kind: self.pointers.append((pointer, kind)))
        canvas.hovered.connect(lambda x, y: self.hovers.append((x, y)))

    def mouse(
        self,
        kind: QEvent.Type,
        x: float,
        y: float,
        button: Qt.MouseButton = NONE,
        held: Qt.MouseButton = NONE,
        modifiers: Qt.KeyboardModifier = PLAIN,
    ) -> None:
        at = QPointF(x, y)
        event = QMouseEvent(kind, at, QPointF(self.canvas.mapToGlobal(at)), button, held, modifiers)
        QApplication.sendEvent(self.canvas, event)

    def press(
        self, x: float, y: float, button: Qt.MouseButton = LEFT, modifiers: Qt.KeyboardModifier = PLAIN
    ) -> None:
        self.mouse(QEvent.Type.MouseButtonPress, x, y, button, button, modifiers)

    def move(self, x: float, y: float, held: Qt.MouseButton = NONE) -> None:
        self.mouse(QEvent.Type.MouseMove, x, y, NONE, held)

    def release(self, x: float, y: float, button: Qt.MouseButton = LEFT) -> None:
        self.mouse(QEvent.Type.MouseButtonRelease, x, y, button)

    def wheel(
        self,
        x: float,
        y: float,
        turn: int = 0,
        modifiers: Qt.KeyboardModifier = PLAIN,
        fingers: int = 0,
    ) -> bool:
        at = QPointF(x, y)
        phase = Qt.ScrollPhase.ScrollUpdate if fingers else Qt.ScrollPhase.NoScrollPhase
        event = QWheelEvent(
            at,
            QPointF(self.canvas.mapToGlobal(at)),
            QPoint(0, fingers),
            QPoint(0, turn),
            NONE,
            modifiers,
            phase,
            False,
        )
        event.ignore()
        QApplication.sendEvent(self.canvas, event)
        return event.isAccepted()

    def key(self, key: Qt.Key, modifiers: Qt.KeyboardModifier = PLAIN, repeat: bool = False) -> bool:
        event = QKeyEvent(QEvent.Type.KeyPress, key, modifiers, "", repeat)
        event.accept()
        QApplication.sendEvent(self.canvas, event)
        return event.isAccepted()

    def lift(self, key: Qt.Key) -> None:
        QApplication.sendEvent(self.canvas, QKeyEvent(QEvent.Type.KeyRelease, key, PLAIN))

    @property
    def kinds(self) -> list[str]:
        return [kind for _, kind in self.pointers]


@pytest.fixture
def hand(canvas: Canvas, show: Callable[[ArraySource], None]) -> Hand:
    show(ArraySource(plain(4000, 3000), levels=3))
    canvas.set_view(View(1000, 800, 2.0))
    return Hand(canvas)


# Moving the view


@pytest.mark.parametrize("turn", [120, -120, 240, 15])
def test_the_wheel_zooms_at_the_cursor(hand: Hand, turn: int) -> None:
    before = hand.canvas.view
    spot = before.to_image(321, 77)
    assert hand.wheel(321, 77, turn)
    after = hand.canvas.view
    assert before.scale / after.scale == pytest.approx(1.01 ** (turn / 5))
    assert after.to_screen(*spot) == pytest.approx((321, 77), abs=1.0)


def test_a_notch_is_a_comfortable_step(hand: Hand) -> None:
    before = hand.canvas.view.scale
    hand.wheel(200, 150, 120)
    assert 1.25 < before / hand.canvas.view.scale < 1.3


def test_two_fingers_zoom_smoothly(hand: Hand) -> None:
    before = hand.canvas.view.scale
    for _ in range(10):
        hand.wheel(200, 150, turn=8, fingers=4)
    assert before / hand.canvas.view.scale == pytest.approx(1.01**20)


def test_the_wheel_with_control_changes_the_opacity_of_annotations(hand: Hand) -> None:
    told: list[float] = []
    hand.canvas.overlay_opacity_changed.connect(told.append)
    view = hand.canvas.view
    hand.wheel(200, 150, -240, Qt.KeyboardModifier.ControlModifier)
    assert hand.canvas.overlay_opacity == pytest.approx(0.8)
    assert told == [pytest.approx(0.8)]
    hand.wheel(200, 150, 1200, Qt.KeyboardModifier.ControlModifier)
    assert hand.canvas.overlay_opacity == 1.0
    assert hand.canvas.view == view


def test_the_wheel_with_alt_is_for_the_tool(hand: Hand) -> None:
    view, turns = hand.canvas.view, []
    hand.canvas.turned.connect(lambda pointer, units: turns.append((pointer.alt, units)))
    assert hand.wheel(200, 150, 120, Qt.KeyboardModifier.AltModifier)
    assert turns == [(True, 24.0)]
    assert hand.canvas.view == view


def test_a_pinch_of_the_window_system_zooms_at_its_place(hand: Hand) -> None:
    before = hand.canvas.view
    at = QPointF(100, 60)
    spot = before.to_image(at.x(), at.y())
    event = QNativeGestureEvent(
        Qt.NativeGestureType.ZoomNativeGesture,
        QPointingDevice.primaryPointingDevice(),
        2,
        at,
        at,
        QPointF(hand.canvas.mapToGlobal(at)),
        0.25,
        QPointF(),
    )
    QApplication.sendEvent(hand.canvas, event)
    after = hand.canvas.view
    assert before.scale / after.scale == pytest.approx(1.25)
    assert after.to_screen(*spot) == pytest.approx((100, 60), abs=1.0)


def test_two_fingers_on_the_screen_zoom_and_move(hand: Hand) -> None:
    before = hand.canvas.view
    spot = before.to_image(150, 100)
    pinch = QPinchGesture()
    pinch.setLastCenterPoint(QPointF(hand.canvas.mapToGlobal(QPointF(150, 100))))
    pinch.setCenterPoint(QPointF(hand.canvas.mapToGlobal(QPointF(170, 110))))
    pinch.setScaleFactor(1.5)
    QApplication.sendEvent(hand.canvas, QGestureEvent([pinch]))
    after = hand.canvas.view
    assert before.scale / after.scale == pytest.approx(1.5)
    assert after.to_screen(*spot) == pytest.approx((170, 110), abs=1.5)


@pytest.mark.parametrize("way", ["middle", "space", "hand"])
def test_dragging_moves_the_picture_with_the_cursor(hand: Hand, way: str) -> None:
    canvas = hand.canvas
    button = MIDDLE if way == "middle" else LEFT
    if way == "space":
        hand.key(Qt.Key.Key_Space)
    canvas.set_panning(way == "hand")
    hand.move(100, 100)
    spot = canvas.view.to_image(100, 100)
    hand.press(100, 100, button)
    for x, y in ((103, 102), (120, 130), (160, 80)):
        hand.move(x, y, button)
    assert canvas.cursor().shape() == Qt.CursorShape.ClosedHandCursor
    assert canvas.view.to_screen(*spot) == pytest.approx((160, 80), abs=1.0)
    hand.release(160, 80, button)
    hand.lift(Qt.Key.Key_Space)
    view = canvas.view
    hand.move(10, 10)
    assert canvas.view == view
    assert canvas.cursor().shape() == Qt.CursorShape.ArrowCursor


def test_a_drag_with_the_hand_is_no_click(hand: Hand) -> None:
    hand.canvas.set_panning(True)
    hand.press(100, 100)
    hand.move(102, 100, LEFT)
    hand.move(110, 100, LEFT)
    hand.move(150, 100, LEFT)
    hand.release(150, 100)
    assert hand.kinds == ["press", "move", "move"]
    start, _, dragged = (pointer for pointer, _ in hand.pointers)
    assert dragged.x - start.x == 10 * start.scale  # the tool can see that it was one


def test_a_click_with_the_hand_is_one(hand: Hand) -> None:
    hand.canvas.set_panning(True)
    view = hand.canvas.view
    hand.press(100, 100)
    hand.move(101, 101, LEFT)
    hand.release(101, 101)
    assert hand.kinds == ["press", "move", "release"]
    assert hand.canvas.view == view


def test_arrows_move_and_accelerate_while_they_are_held(hand: Hand) -> None:
    canvas = hand.canvas
    before = canvas.view
    hand.key(Qt.Key.Key_Right)
    first = canvas.view.center_x - before.center_x
    assert first == pytest.approx(40 * before.scale)
    for _ in range(8):
        hand.key(Qt.Key.Key_Right, repeat=True)
    last = canvas.view
    hand.key(Qt.Key.Key_Right, repeat=True)
    assert canvas.view.center_x - last.center_x > 2 * first
    hand.key(Qt.Key.Key_Up)
    assert canvas.view.center_y == pytest.approx(before.center_y - 40 * before.scale)


def test_plus_and_minus_zoom_about_the_middle(hand: Hand) -> None:
    before = hand.canvas.view
    hand.key(Qt.Key.Key_Plus)
    assert hand.canvas.view.scale == pytest.approx(before.scale / 1.25)
    hand.key(Qt.Key.Key_Minus)
    assert hand.canvas.view.scale == pytest.approx(before.scale)
    assert (hand.canvas.view.center_x, hand.canvas.view.center_y) == (before.center_x, before.center_y)


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Escape, Qt.Key.Key_Backspace, Qt.Key.Key_A])
def test_other_keys_are_left_to_others(hand: Hand, key: Qt.Key) -> None:
    assert not hand.key(key)


def test_the_view_stays_within_its_limits(hand: Hand) -> None:
    canvas = hand.canvas
    for _ in range(60):
        hand.wheel(200, 150, 600)
    assert canvas.view.scale == 1 / 64
    for _ in range(60):
        hand.wheel(200, 150, -600)
    assert canvas.view.scale == 40.0
    canvas.pan_by(1e9, -1e9)
    assert (canvas.view.center_x, canvas.view.center_y) == (0, 3000)


def test_moves_of_the_view_are_told_once(hand: Hand) -> None:
    told: list[View] = []
    hand.canvas.view_changed.connect(told.append)
    hand.canvas.pan_by(10, 0)
    hand.canvas.pan_by(0, 0)
    hand.canvas.zoom_to(1.0)
    hand.canvas.set_view(hand.canvas.view)
    assert len(told) == 2
    assert told[-1] == hand.canvas.view
    assert told[-1].scale == 1.0


def test_the_overview_goes_where_it_is_pressed_and_hides_it_from_the_tool(hand: Hand) -> None:
    canvas = hand.canvas
    canvas.resize(700, 500)
    canvas.show_overview = True
    canvas.set_view(View(500, 500, 1.0))
    canvas.grab()
    rect = canvas._overview_rect()
    assert rect is not None
    hand.move(100, 100)
    hand.move(rect.center().x(), rect.center().y())
    assert hand.kinds == ["move", "leave"]
    assert hand.hovers[-1] == (None, None)
    hand.press(rect.x() + rect.width() * 0.75, rect.y() + rect.height() * 0.25)
    assert (canvas.view.center_x, canvas.view.center_y) == pytest.approx((3000, 750), abs=20)
    hand.move(rect.x() + rect.width() * 0.25, rect.y() + rect.height() * 0.5, LEFT)
    assert (canvas.view.center_x, canvas.view.center_y) == pytest.approx((1000, 1500), abs=20)
    hand.release(5, 5)
    assert hand.kinds == ["move", "leave"]


# What goes to the tool


def test_pointers_are_in_image_pixels_with_fractions(hand: Hand) -> None:
    view = hand.canvas.view
    hand.press(100.25, 50.75, LEFT, Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.AltModifier)
    hand.move(110.5, 60.125, LEFT)
    hand.release(110.5, 60.125)
    (pressed, _), (moved, _), (released, _) = hand.pointers
    assert hand.kinds == ["press", "move", "release"]
    x, y = view.to_image(100.25, 50.75)
    assert pressed == Pointer(x, y, "left", shift=True, alt=True, scale=2.0)
    assert moved == Pointer(x + 10.25 * 2, y + 9.375 * 2, "left", scale=2.0)
    assert released == moved


@pytest.mark.parametrize(("button", "name"), [(LEFT, "left"), (RIGHT, "right")])
def test_buttons_have_names(hand: Hand, button: Qt.MouseButton, name: str) -> None:
    hand.press(10, 10, button, Qt.KeyboardModifier.ControlModifier)
    hand.release(10, 10, button)
    assert [pointer.button for pointer, _ in hand.pointers] == [name, name]
    assert hand.pointers[0][0].ctrl


def test_hovering_is_a_move_without_a_button(hand: Hand) -> None:
    hand.move(30, 40)
    pointer, kind = hand.pointers[-1]
    assert (kind, pointer.button) == ("move", "")
    assert hand.hovers == [(pointer.x, pointer.y)]


def test_leaving_is_told_once(hand: Hand) -> None:
    hand.move(30, 40)
    for _ in range(2):
        QApplication.sendEvent(hand.canvas, QEvent(QEvent.Type.Leave))
    assert hand.kinds == ["move", "leave"]
    assert hand.hovers[-1] == (None, None)
    assert len(hand.hovers) == 2


def test_a_double_click_is_told_as_such(hand: Hand) -> None:
    hand.press(30, 40)
    hand.release(30, 40)
    hand.mouse(QEvent.Type.MouseButtonDblClick, 30, 40, LEFT, LEFT)
    hand.release(30, 40)
    assert hand.kinds == ["press", "release", "double", "release"]
    assert hand.pointers[2][0].clicks == 2


def test_a_second_button_does_not_disturb_the_first(hand: Hand) -> None:
    hand.press(30, 40)
    hand.mouse(QEvent.Type.MouseButtonPress, 30, 40, RIGHT, LEFT | RIGHT)
    hand.release(30, 40, RIGHT)
    hand.move(50, 40, LEFT)
    hand.release(50, 40)
    assert hand.kinds == ["press", "move", "release"]


def test_the_cursor_is_what_the_tool_asks_for(hand: Hand) -> None:
    canvas = hand.canvas
    hand.move(30, 40)
    canvas.set_cursor_kind("cross")
    assert canvas.cursor().shape() == Qt.CursorShape.CrossCursor
    hand.key(Qt.Key.Key_Space)
    assert canvas.cursor().shape() == Qt.CursorShape.OpenHandCursor
    hand.lift(Qt.Key.Key_Space)
    assert canvas.cursor().shape() == Qt.CursorShape.CrossCursor


def test_zooming_under_a_resting_pointer_tells_what_is_under_it(hand: Hand) -> None:
    hand.move(30, 40)
    hand.canvas.pan_by(-50, 0)
    x, y = hand.canvas.view.to_image(30, 40)
    assert hand.hovers[-1] == (x, y)


def test_nothing_is_told_without_an_image(canvas: Canvas) -> None:
    hand = Hand(canvas)
    hand.press(10, 10)
    hand.move(20, 20, LEFT)
    hand.release(20, 20)
    hand.wheel(10, 10, 120)
    hand.key(Qt.Key.Key_Plus)
    assert hand.pointers == []
    assert hand.hovers == []


def test_assistive_programs_learn_what_it_is(canvas: Canvas, qtbot: QtBot) -> None:
    assert canvas.accessibleName()
    assert canvas.focusPolicy() == Qt.FocusPolicy.StrongFocus


def test_a_press_whose_release_went_elsewhere_does_not_block_the_next(
    show: Callable[[ArraySource], None], canvas: Canvas
) -> None:
    show(ArraySource(plain(400, 300)))
    hand = Hand(canvas)
    hand.press(200, 150, RIGHT)  # a menu takes the release
    hand.move(210, 150)
    hand.press(220, 150)
    hand.release(220, 150)
    told = [(pointer.button, kind) for pointer, kind in hand.pointers if kind != "move"]
    assert told == [("right", "press"), ("right", "release"), ("left", "press"), ("left", "release")]


@pytest.mark.parametrize("second", [LEFT, RIGHT])
def test_a_second_press_ends_a_gesture_nobody_ended(
    show: Callable[[ArraySource], None], canvas: Canvas, second: Qt.MouseButton
) -> None:
    show(ArraySource(plain(400, 300)))
    hand = Hand(canvas)
    hand.press(200, 150, LEFT)
    hand.press(220, 150, second)
    hand.release(220, 150, second)
    assert [kind for _, kind in hand.pointers] == ["press", "release", "press", "release"]


def test_a_menu_that_opens_ends_what_the_button_does(
    show: Callable[[ArraySource], None], canvas: Canvas
) -> None:
    show(ArraySource(plain(400, 300)))
    hand = Hand(canvas)
    hand.press(200, 150, RIGHT)
    QApplication.sendEvent(canvas, QFocusEvent(QEvent.Type.FocusOut, Qt.FocusReason.PopupFocusReason))
    assert [kind for _, kind in hand.pointers] == ["press", "release"]


def test_alt_alone_stays_with_the_canvas(show: Callable[[ArraySource], None], canvas: Canvas) -> None:
    show(ArraySource(plain(400, 300)))
    event = QKeyEvent(QEvent.Type.ShortcutOverride, Qt.Key.Key_Alt, Qt.KeyboardModifier.AltModifier)
    event.ignore()
    QApplication.sendEvent(canvas, event)
    assert event.isAccepted()  # else the menu bar would take the keyboard at its release
