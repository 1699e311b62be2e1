"""Drawing and changing annotations with the mouse and the keys of the real window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QMouseEvent, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QToolBar
from pytestqt.qtbot import QtBot

from samdesk.app.settings import Settings
from samdesk.app.tools import TOOLS
from samdesk.domain.columns import Annotation
from samdesk.domain.geometry import Bounds, Shape
from samdesk.sdk import Segmenter
from samdesk.ui import theme
from samdesk.ui.main_window import MainWindow
from tests.fakes import FakeEngine

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
PLAIN = Qt.KeyboardModifier.NoModifier
ALT, CTRL, SHIFT = (
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
)
TYPE = QEvent.Type


class Desk:
    """A window with a picture, and a hand on mouse and keyboard; places are in image pixels."""

    def __init__(self, window: MainWindow) -> None:
        self.window = window
        self.canvas = window.canvas
        self.workspace = window.workspace

    def mouse(
        self,
        kind: QEvent.Type,
        at: tuple[float, float],
        button: Qt.MouseButton = NONE,
        held: Qt.MouseButton = NONE,
        keys: Qt.KeyboardModifier = PLAIN,
    ) -> None:
        place = QPointF(*self.canvas.view.to_screen(*at))
        whole = QPointF(self.canvas.mapToGlobal(place))
        QApplication.sendEvent(self.canvas, QMouseEvent(kind, place, whole, button, held, keys))

    def press(self, at: tuple[float, float], keys: Qt.KeyboardModifier = PLAIN) -> None:
        self.mouse(TYPE.MouseButtonPress, at, LEFT, LEFT, keys)

    def move(self, at: tuple[float, float], held: bool = False, keys: Qt.KeyboardModifier = PLAIN) -> None:
        self.mouse(TYPE.MouseMove, at, NONE, LEFT if held else NONE, keys)

    def release(self, at: tuple[float, float], keys: Qt.KeyboardModifier = PLAIN) -> None:
        self.mouse(TYPE.MouseButtonRelease, at, LEFT, NONE, keys)

    def drag(self, *path: tuple[float, float], keys: Qt.KeyboardModifier = PLAIN) -> None:
        self.press(path[0], keys)
        for at in path[1:]:
            self.move(at, True, keys)
        self.release(path[-1], keys)

    def click(self, *places: tuple[float, float]) -> None:
        for at in places:
            self.press(at)
            self.release(at)

    def double(self, at: tuple[float, float]) -> None:
        self.click(at)
        self.mouse(TYPE.MouseButtonDblClick, at, LEFT, LEFT)
        self.release(at)

    def key(self, key: Qt.Key, keys: Qt.KeyboardModifier = PLAIN) -> None:
        QTest.keyClick(self.canvas, key, keys)

    def last(self) -> Annotation:
        return list(self.workspace.document.annotations())[-1]

    def pixel(self, x: float, y: float) -> tuple[int, int, int]:
        """What the window shows at a place."""
        column, row = (int(part) for part in self.canvas.view.to_device([(x, y)])[0])
        return tuple(self.look()[row, column].tolist())

    def is_yellow(self, x: float, y: float) -> bool:
        """Whether something selected is painted at a place."""
        red, green, blue = self.pixel(x, y)
        return min(red, green) > 230 and blue < 40

    def look(self) -> NDArray[np.uint8]:
        picture = QImage(*self.canvas.view.device_size, QImage.Format.Format_RGB32)
        picture.setDevicePixelRatio(self.canvas.devicePixelRatioF())
        self.canvas.render(picture)
        rows = np.frombuffer(picture.constBits(), np.uint8).reshape(picture.height(), picture.width(), 4)
        return rows[..., 2::-1].copy()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot) -> Iterator[Desk]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    theme.apply(theme.application(), "light")
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.full((600, 800, 3), 90, np.uint8))
    settings = Settings(tmp_path / "settings.json")
    settings["overview"] = settings["scale_bar"] = False
    window = MainWindow(settings, Segmenter(FakeEngine()))
    window.resize(1200, 760)
    with qtbot.waitExposed(window):
        window.show()
    window.workspace.open(path)
    qtbot.waitUntil(lambda: window.workspace.image is not None and window.jobs.idle, timeout=20_000)
    window.canvas.set_view(replace(window.canvas.view, center_x=400, center_y=300, scale=1.0))
    window.activateWindow()
    window.canvas.setFocus()
    qtbot.waitUntil(window.canvas.is_settled, timeout=20_000)
    yield Desk(window)
    window.close()
    window.deleteLater()
    qtbot.wait(1)


@pytest.fixture
def settled(desk: Desk, qtbot: QtBot) -> Callable[[], None]:
    return lambda: qtbot.waitUntil(desk.canvas.is_settled, timeout=20_000)


def test_every_tool_has_a_key_a_button_and_a_tip(desk: Desk) -> None:
    bar = desk.window.findChild(QToolBar, "tools")
    for name, spec in TOOLS.items():
        action = desk.window.actions_[f"tool.{name}"]
        assert not action.icon().isNull()
        assert bar.widgetForAction(action) is not None
        assert spec.tip in action.toolTip()
        action.trigger()
        assert action.isChecked()
        assert desk.workspace.tool_name == name


def test_each_shape_is_drawn_by_hand(desk: Desk) -> None:
    desk.window.actions_["tool.rectangle"].trigger()
    desk.drag((100, 100), (150, 120), (200, 180))
    assert desk.last().shape == Shape.box(100, 100, 200, 180)
    desk.window.actions_["tool.ellipse"].trigger()
    desk.drag((100, 200), (150, 220), (160, 300), keys=SHIFT)
    assert desk.last().shape.bounds == Bounds(100, 200, 200, 300)
    desk.window.actions_["tool.line"].trigger()
    desk.drag((300, 100), (350, 120), (400, 100))
    assert desk.last().shape.length == 100
    desk.window.actions_["tool.polygon"].trigger()
    desk.click((300, 200), (400, 200))
    desk.double((400, 300))
    assert desk.last().shape.area == 5000
    desk.window.actions_["tool.polyline"].trigger()
    desk.drag((500, 100), *((500 + x, 100 + x % 3) for x in range(5, 100, 5)))
    assert 90 < desk.last().shape.length < 110
    assert len(desk.workspace.document) == 5
    assert desk.workspace.tool_name == "move"
    for _ in range(5):
        desk.window.actions_["edit.undo"].trigger()
    assert len(desk.workspace.document) == 0


def test_keys_finish_take_back_and_drop(desk: Desk, qtbot: QtBot) -> None:
    desk.workspace.do(desk.workspace.document.adding([Annotation(Shape.box(10, 10, 50, 50))]))
    desk.workspace.select_all()
    desk.window.actions_["tool.polygon"].trigger()
    desk.click((100, 100), (200, 100), (200, 200), (100, 250))
    qtbot.waitUntil(lambda: desk.window.isActiveWindow(), timeout=10_000)
    desk.key(Qt.Key.Key_Backspace)
    desk.key(Qt.Key.Key_Return)
    assert desk.last().shape.area == 5000
    desk.window.actions_["tool.polygon"].trigger()
    desk.click((100, 100), (200, 100), (200, 200))
    desk.key(Qt.Key.Key_Escape)
    assert not desk.workspace.tool.busy
    assert desk.workspace.tool_name == "polygon"
    assert len(desk.workspace.document) == 2
    desk.key(Qt.Key.Key_Backspace)  # nothing is drawn any more: it deletes what is selected
    assert len(desk.workspace.document) == 1


def test_the_picture_can_be_moved_and_zoomed_while_a_shape_is_drawn(desk: Desk) -> None:
    desk.window.actions_["tool.polygon"].trigger()
    desk.click((300, 200), (400, 200))
    before = desk.canvas.view
    QTest.keyPress(desk.canvas, Qt.Key.Key_Space)
    start = before.to_screen(350, 250)
    end = start[0] + 60, start[1] + 40
    desk.press((350, 250))
    desk.move((410, 290), held=True)
    desk.release(desk.canvas.view.to_image(*end))
    QTest.keyRelease(desk.canvas, Qt.Key.Key_Space)
    desk.canvas.zoom_by(2.0)
    assert desk.canvas.view.center_x < before.center_x
    assert desk.workspace.tool.busy
    desk.click((400, 300))
    desk.key(Qt.Key.Key_Return) if desk.window.isActiveWindow() else desk.workspace.tool.finish()
    assert desk.last().shape.area == pytest.approx(5000, abs=60)


def test_a_selected_annotation_is_changed_by_its_handles(desk: Desk, settled: Callable[[], None]) -> None:
    desk.window.actions_["tool.move"].trigger()
    one = Annotation(Shape.polygon([(100, 100), (300, 120), (280, 300)]))
    desk.workspace.do(desk.workspace.document.adding([one]))
    desk.workspace.selection.set([one.id])
    settled()
    assert desk.pixel(100, 100) == (255, 255, 255)
    desk.move((100, 100))
    assert desk.canvas.cursor().shape() is Qt.CursorShape.PointingHandCursor
    view = desk.canvas.view
    desk.press((100, 100))
    desk.move((60, 60), held=True)
    desk.move((50, 80), held=True)
    assert desk.canvas.view == view  # it does not pan
    assert desk.pixel(185, 110) == (90, 90, 90)  # the old outline is not there meanwhile
    desk.release((50, 80))
    assert desk.last().shape.coords[0].tolist() == [50, 80]
    desk.press((280, 300), ALT)
    desk.release((280, 300), ALT)
    assert len(desk.last().shape.coords) == 3
    desk.window.actions_["edit.undo"].trigger()
    assert desk.last().shape == one.shape


def test_what_is_selected_is_moved_and_else_the_picture(desk: Desk, settled: Callable[[], None]) -> None:
    desk.window.actions_["tool.move"].trigger()
    many = [Annotation(Shape.box(x, 100, x + 60, 160)) for x in (100, 200, 300)]
    desk.workspace.do(desk.workspace.document.adding(many))
    desk.workspace.selection.set([many[0].id, many[1].id])
    settled()
    desk.press((130, 130))
    desk.move((140, 140), held=True)
    desk.move((150, 180), held=True)
    assert desk.pixel(100, 130) == (90, 90, 90)
    assert desk.pixel(120, 180) == (255, 255, 0)
    desk.release((150, 180))
    assert [one.shape.bounds.x0 for one in desk.workspace.document.annotations()] == [120, 220, 300]
    view = desk.canvas.view
    desk.press((500, 400))
    desk.move((520, 400), held=True)
    desk.release((520, 400))
    assert desk.canvas.view.center_x == view.center_x - 20
    desk.drag((90, 90), (150, 120), (700, 500), keys=CTRL)
    assert len(desk.workspace.selection) == 3


def test_many_are_moved_without_leaving_anything_behind(desk: Desk, settled: Callable[[], None]) -> None:
    desk.window.actions_["tool.move"].trigger()
    many = [
        Annotation(Shape.box(x, y, x + 12, y + 12)) for x in range(100, 300, 20) for y in range(100, 300, 20)
    ]
    desk.workspace.do(desk.workspace.document.adding(many))
    desk.workspace.select_all()
    settled()
    assert desk.is_yellow(100, 106)
    desk.press((106, 106))
    desk.move((150, 140), held=True)
    desk.move((356, 106), held=True)
    settled()
    assert not desk.is_yellow(100, 106)
    assert desk.is_yellow(350, 106)
    desk.key(Qt.Key.Key_Escape) if desk.window.isActiveWindow() else desk.workspace.tool.drop()
    settled()
    assert desk.is_yellow(100, 106)
    desk.release((356, 106))
    desk.drag((106, 106), (150, 106), (356, 106))
    settled()
    assert not desk.is_yellow(100, 106)
    assert desk.is_yellow(350, 106)


def test_escape_drops_what_is_dragged(desk: Desk, qtbot: QtBot) -> None:
    desk.window.actions_["tool.move"].trigger()
    one = Annotation(Shape.box(100, 100, 200, 200))
    desk.workspace.do(desk.workspace.document.adding([one]))
    desk.workspace.selection.set([one.id])
    qtbot.waitUntil(lambda: desk.window.isActiveWindow(), timeout=10_000)
    desk.press((150, 150))
    desk.move((200, 200), held=True)
    desk.key(Qt.Key.Key_Escape)
    desk.move((220, 220), held=True)
    desk.release((220, 220))
    assert desk.last().shape == one.shape
    assert desk.canvas.view.center_x == 400


def test_the_wheel_with_alt_is_for_the_brush(desk: Desk) -> None:
    desk.window.actions_["tool.brush"].trigger()
    desk.move((300, 300))
    assert desk.workspace.sketch is not None
    assert desk.workspace.sketch.brush is not None
    assert desk.canvas.cursor().shape() is Qt.CursorShape.BlankCursor
    before, view = desk.workspace.sketch.brush[2], desk.canvas.view
    at = QPointF(*view.to_screen(300, 300))
    event = QWheelEvent(
        at,
        QPointF(desk.canvas.mapToGlobal(at)),
        QPoint(),
        QPoint(120, 0),  # so Qt tells a wheel with Alt
        NONE,
        ALT,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(desk.canvas, event)
    assert desk.workspace.sketch.brush[2] > before
    assert desk.canvas.view == view


def test_only_what_a_sketch_touches_is_repainted(desk: Desk) -> None:
    desk.window.actions_["tool.rectangle"].trigger()
    desk.press((100, 100))
    desk.move((140, 140), held=True)
    layer = desk.canvas._sketch
    dirty = layer.dirty(desk.canvas.view, desk.canvas.font())
    assert dirty.width() < 260
    assert dirty.height() < 200
    desk.release((140, 140))
