"""The real window over real files, driven by mouse and key events of the window system."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtGui import QWindow
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QDialog,
    QFileDialog,
    QLineEdit,
    QMessageBox,
    QWidget,
)
from pytestqt.qtbot import QtBot

from samdesk.domain.columns import Annotation
from samdesk.images.sample import Slide, sample_slide
from samdesk.ui.main_window import MainWindow
from samdesk.ui.start import open_window
from tests.images_samples import disc

SIDE = 8192
WAIT_MS = 20_000

PLAIN = Qt.KeyboardModifier.NoModifier
ALT, CTRL, SHIFT = (
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
)

UM = 0.5
"""Micrometers per pixel of the picture of discs."""

WIDTH, HEIGHT = 800, 600
GROUND, INK = (235, 228, 238), (92, 60, 140)


@pytest.fixture(scope="session")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Slide:
    """The sample slide at a size that is quick to make."""
    return sample_slide(tmp_path_factory.mktemp("slide"), SIDE)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """User folders of their own."""
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


class User:
    """Hands and eyes: acts in image coordinates through the window system, and waits as a person would."""

    def __init__(self, window: MainWindow, bot: QtBot) -> None:
        self.window = window
        self.bot = bot

    @property
    def workspace(self):
        return self.window.workspace

    @property
    def session(self):
        return self.window.workspace.session

    def wait(self, condition: Callable[[], bool]) -> None:
        self.bot.waitUntil(condition, timeout=WAIT_MS)

    def open(self, path: Path) -> None:
        self.workspace.open(path)
        self.wait(lambda: self.workspace.image is not None and self.workspace.image.source.path == path)
        self.rest()

    def rest(self) -> None:
        """Until the picture is complete and nothing runs in the background."""
        self.wait(lambda: self.window.canvas.is_settled() and self.window.jobs.idle)

    def screen(self, x: float, y: float) -> QPoint:
        """The place of an image point in the window."""
        sx, sy = self.window.canvas.view.to_screen(x, y)
        return self.window.canvas.mapTo(self.window, QPoint(round(sx), round(sy)))

    @property
    def handle(self) -> QWindow:
        handle = self.window.windowHandle()
        assert handle is not None
        return handle

    def move(self, x: float, y: float) -> None:
        QTest.mouseMove(self.handle, self.screen(x, y))

    def click(
        self,
        x: float,
        y: float,
        button: Qt.MouseButton = Qt.MouseButton.LeftButton,
        held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
    ) -> None:
        """Click and wait for the answer."""
        answers: list[int] = []

        def answered() -> None:
            answers.append(1)

        self.session.answered.connect(answered)
        QTest.mouseClick(self.handle, button, held, self.screen(x, y))
        self.wait(lambda: bool(answers))
        self.session.answered.disconnect(answered)

    def drag(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Drag a box and wait for the answer."""
        answers: list[int] = []

        def answered() -> None:
            answers.append(1)

        self.session.answered.connect(answered)
        left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        QTest.mousePress(self.handle, left, none, self.screen(x0, y0))
        for part in (0.3, 0.7, 1.0):
            QTest.mouseMove(self.handle, self.screen(x0 + part * (x1 - x0), y0 + part * (y1 - y0)))
        QTest.mouseRelease(self.handle, left, none, self.screen(x1, y1))
        self.wait(lambda: bool(answers))
        self.session.answered.disconnect(answered)

    def key(self, key: Qt.Key, held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(self.handle, key, held)


def disc_center(column: int, row: int) -> tuple[float, float]:
    """The middle of one of the twelve discs of `write_discs`; image pixels."""
    return 100.0 + 200 * column, 100.0 + 200 * row


def disc_radius(column: int, row: int) -> float:
    """Each has its own size: from 24 to 46 px."""
    return 24.0 + 2 * (4 * row + column)


def write_discs(path: Path) -> Path:
    """A calibrated picture of twelve dark discs, four in a row, with exact rims."""
    places = [(column, row) for row in range(3) for column in range(4)]
    return _write(path, WIDTH, HEIGHT, [(*disc_center(*one), disc_radius(*one)) for one in places])


def write_few_discs(path: Path) -> tuple[tuple[float, float, float], ...]:
    """A picture so small that a sweep takes a moment; gives x, y and radius of its four discs."""
    found = tuple((30.0 + 56 * column, 30.0, 14.0 + 2 * column) for column in range(4))
    _write(path, 228, 60, found)
    return found


def _write(path: Path, width: int, height: int, discs: Iterable[tuple[float, float, float]]) -> Path:
    cover = np.zeros((height, width), np.float32)
    for x, y, radius in discs:
        half = int(radius) + 4
        rows, columns = (slice(int(at) - half, int(at) + half) for at in (y, x))
        cover[rows, columns] += disc(2 * half, half, half, radius)
    ground, ink = np.array(GROUND, np.float32), np.array(INK, np.float32)
    rgb = np.rint(ground + cover[..., None] * (ink - ground)).astype(np.uint8)
    size = {"PhysicalSizeX": UM, "PhysicalSizeY": UM, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(path, rgb, photometric="rgb", ome=True, metadata={"axes": "YXS", **size})
    return path


class Hands(User):
    """A user of all of the window: tools, panels, menus and dialogs. Places are in image pixels."""

    # What is there

    @property
    def document(self):
        return self.workspace.document

    def all(self) -> list[Annotation]:
        return list(self.document.annotations())

    def selected(self) -> list[Annotation]:
        return [self.document.get(one) for one in self.workspace.selection.ids]

    @property
    def last(self) -> str:
        """What Undo would take back."""
        return self.workspace.history.undo_title

    def pixel(self, x: float, y: float) -> tuple[int, int, int]:
        """The color on screen at a place of the image."""
        self.rest()
        picture = self.window.canvas.grab().toImage()
        ratio = picture.devicePixelRatio()
        sx, sy = self.window.canvas.view.to_screen(x, y)
        color = picture.pixelColor(int(sx * ratio), int(sy * ratio))
        return color.red(), color.green(), color.blue()

    # Mouse

    def tap(self, x: float, y: float, held: Qt.KeyboardModifier = PLAIN) -> None:
        """Click, without waiting for anything."""
        QTest.mouseMove(self.handle, self.screen(x, y))
        QTest.mouseClick(self.handle, Qt.MouseButton.LeftButton, held, self.screen(x, y))

    def twice(self, x: float, y: float) -> None:
        """A double click."""
        QTest.mouseDClick(self.handle, Qt.MouseButton.LeftButton, PLAIN, self.screen(x, y))

    def stroke(self, *way: tuple[float, float], held: Qt.KeyboardModifier = PLAIN) -> None:
        """Press, move along and release."""
        left = Qt.MouseButton.LeftButton
        QTest.mousePress(self.handle, left, held, self.screen(*way[0]))
        for start, end in pairwise(way):
            for part in (0.3, 0.6, 1.0):
                x, y = (a + part * (b - a) for a, b in zip(start, end, strict=True))
                QTest.mouseMove(self.handle, self.screen(x, y))
        QTest.mouseRelease(self.handle, left, held, self.screen(*way[-1]))

    def push(self, button: QWidget) -> None:
        """Click the middle of a button."""
        assert button.isVisible()
        assert button.isEnabled()
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def row(
        self, view: QAbstractItemView, row: int, held: Qt.KeyboardModifier = PLAIN, double: bool = False
    ) -> None:
        """Click the beginning of a row of a list."""
        index = view.model().index(row, 0)
        view.scrollTo(index)
        place = view.visualRect(index)
        assert place.isValid()
        at = QPoint(place.left() + 40, place.center().y())
        QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, held, at)
        if double:
            QTest.mouseDClick(view.viewport(), Qt.MouseButton.LeftButton, held, at)

    # Keys and menus

    def menu(self, command: str) -> None:
        """Choose a row of the menu; it must not be gray."""
        action = self.window.actions_[command]
        assert action.isEnabled(), command
        action.trigger()

    def type(self, text: str) -> None:
        """Type where the keyboard is."""
        field = QApplication.focusWidget()
        assert field is not None
        QTest.keyClicks(field, text)

    def key_in(self, field: QWidget, key: Qt.Key, held: Qt.KeyboardModifier = PLAIN) -> None:
        """Press a key while the keyboard is in a part of the window or of a dialog."""
        field.setFocus()
        QTest.keyClick(field, key, held)

    def key_at_focus(self, key: Qt.Key) -> None:
        """Press a key where the keyboard is."""
        field = QApplication.focusWidget()
        assert field is not None
        QTest.keyClick(field, key)

    def click_in(self, widget: QWidget, at: QPoint) -> None:
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, PLAIN, at)

    def into(self, field: QWidget, text: str) -> None:
        """Replace what a field holds."""
        field.window().activateWindow()
        self.wait(field.window().isActiveWindow)
        QTest.mouseClick(field, Qt.MouseButton.LeftButton)
        self.wait(field.hasFocus)
        QTest.keyClick(field, Qt.Key.Key_A, CTRL)
        QTest.keyClicks(field, text)

    def look(self) -> None:
        """Back to the picture, all of it in view."""
        self.back()
        QApplication.processEvents()  # what was shown or hidden has its place
        self.window.canvas.fit()
        self.rest()

    def back(self) -> None:
        """The keyboard is for the picture again; without a window manager nobody else gives it back."""
        self.window.activateWindow()
        self.wait(self.window.isActiveWindow)
        self.window.canvas.setFocus()

    def file(self, path: Path, act: Callable[[], object]) -> None:
        """Do what asks for a file, and name it in the file dialog."""

        def answer() -> None:
            dialog = QApplication.activeModalWidget()
            if not isinstance(dialog, QFileDialog) or not dialog.isVisible():
                QTimer.singleShot(10, answer)
                return
            name = dialog.findChild(QLineEdit, "fileNameEdit")
            name.setText(str(path))
            QTest.keyClick(name, Qt.Key.Key_Return)

        QTimer.singleShot(0, answer)
        act()

    def answer(self, button: str, act: Callable[[], object]) -> None:
        """Do what asks a question, and press one of its buttons."""

        def press() -> None:
            box = QApplication.activeModalWidget()
            if not isinstance(box, QMessageBox) or not box.isVisible():
                QTimer.singleShot(10, press)
                return
            (wanted,) = (one for one in box.buttons() if one.text().replace("&", "") == button)
            QTest.mouseClick(wanted, Qt.MouseButton.LeftButton)

        QTimer.singleShot(0, press)
        act()
        self.back()

    def dialog(self, name: str) -> Any:
        """The dialog of this name, when it is on screen."""
        self.wait(lambda: self.window.dialogs.get(name) is not None)
        found = self.window.dialogs.get(name)
        assert isinstance(found, QDialog)
        self.wait(found.isVisible)
        return found

    def exported(self, path: Path) -> list[dict[str, Any]]:
        """What Export Annotations writes, as features of GeoJSON."""
        self.file(path, lambda: self.menu("file.export"))
        self.wait(path.exists)
        self.rest()
        self.back()
        features: list[dict[str, Any]] = json.loads(path.read_text())["features"]
        return features

    def refine(self) -> None:
        """Refine what is selected, and wait for what the model makes of it."""
        answers: list[int] = []

        def answered() -> None:
            answers.append(1)

        self.session.answered.connect(answered)
        self.key(Qt.Key.Key_R, SHIFT)
        self.wait(lambda: bool(answers))
        self.session.answered.disconnect(answered)

    def undo_all(self) -> None:
        """Take everything back with the key."""
        self.back()
        for _ in range(100):
            if not self.workspace.history.can_undo:
                return
            self.key(Qt.Key.Key_Z, CTRL)
            self.rest()
        raise AssertionError(f"{self.last} is not taken back")


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, qapp: QApplication):
    """One window for the stories of a file."""
    patch = pytest.MonkeyPatch()
    patch.setenv("SAMDESK_HOME", str(tmp_path_factory.mktemp("home")))
    bot = QtBot(request)
    window = open_window()
    window.resize(1280, 860)
    bot.waitExposed(window)
    window.activateWindow()
    yield Hands(window, bot)
    window.close()
    window.deleteLater()
    bot.wait(1)
    patch.undo()


@pytest.fixture
def discs(hands: Hands, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Hands]:
    """The window with a fresh picture of discs, all of it in view; nothing may fail behind it."""
    hands.window.find_dock.hide()
    hands.workspace.settings["auto_accept"] = False
    hands.window.notices.dismiss()  # it would lie over the picture
    hands.open(write_discs(tmp_path / "discs.ome.tif"))
    hands.look()
    yield hands
    assert [one.getMessage() for one in caplog.get_records("call") if one.levelname == "ERROR"] == []
    hands.session.drop()
    hands.workspace.finding.stop()
    hands.workspace.review.clear()  # nobody is there to be asked about it
    hands.workspace.select_tool("segment")
    hands.window.find_dock.hide()
    hands.wait(lambda: hands.workspace.unsaved == 0)
    hands.workspace.close_image()


@pytest.fixture
def user(home: Path, qtbot: QtBot) -> Iterator[User]:
    window = open_window()
    window.resize(1280, 860)
    qtbot.waitExposed(window)

    def active() -> bool:
        window.activateWindow()
        return window.isActiveWindow()

    qtbot.waitUntil(active)
    yield User(window, qtbot)
    window.workspace.finding.stop()
    window.workspace.review.clear()  # nobody is there to be asked about it
    window.close()
    window.deleteLater()
    qtbot.wait(1)
