"""The real window over real files, driven by mouse and key events of the window system."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QWindow
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from samdesk.images.sample import Slide, sample_slide
from samdesk.ui.main_window import MainWindow
from samdesk.ui.start import open_window

SIDE = 8192
WAIT_MS = 20_000


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


@pytest.fixture
def user(home: Path, qtbot: QtBot) -> Iterator[User]:
    window = open_window()
    window.resize(1280, 860)
    qtbot.waitExposed(window)
    window.activateWindow()
    yield User(window, qtbot)
    window.close()
    window.deleteLater()
    qtbot.wait(1)
