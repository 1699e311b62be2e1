"""What a user does beside the picture: menus, dropped files, answers to questions, other programs' files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QAction, QDragEnterEvent, QDropEvent, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from samdesk.ui.main_window import MainWindow
from samdesk.ui.start import open_window

from .conftest import User


@contextmanager
def started(bot: QtBot, *files: Path) -> Iterator[User]:
    """A window as the program makes it, closed as a user closes it."""
    window = open_window(files)
    window.resize(1280, 860)
    bot.waitExposed(window)
    window.activateWindow()
    user = User(window, bot)
    yield user
    leave(user)


def leave(user: User) -> None:
    """Close the window, as the program ends."""
    if user.window.isVisible():
        user.window.close()
        assert not user.window.isVisible()
    user.window.deleteLater()
    user.bot.wait(1)


def entry(window: MainWindow, *titles: str) -> QAction:
    """The entry of a menu, by the titles that lead to it."""
    menu: QMenu | None = None
    actions = window.menuBar().actions()
    for title in titles[:-1]:
        found = next(one for one in actions if one.text().replace("&", "") == title)
        menu = found.menu()  # type: ignore[assignment]
        assert menu is not None
        menu.aboutToShow.emit()
        actions = menu.actions()
    return next(one for one in actions if one.text().replace("&", "").startswith(titles[-1]))


def choose(user: User, *titles: str) -> None:
    """Take an entry of a menu, which must be offered."""
    action = entry(user.window, *titles)
    assert action.isEnabled(), titles
    action.trigger()


def drop(user: User, *files: Path) -> None:
    """Let files fall on the window."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(one)) for one in files])
    copy, left, none = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    place = QPointF(user.window.rect().center())
    enter = QDragEnterEvent(place.toPoint(), copy, data, left, none)
    QApplication.sendEvent(user.window, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(user.window, QDropEvent(place, copy, data, left, none))


class Answers:
    """Answers what the program asks, in order, and keeps the questions."""

    def __init__(self, user: User) -> None:
        self.questions: list[str] = []
        self.files: list[Path] = []
        self.picks: list[str] = []
        ask = user.window.ask
        ask.open_files = self._open_files  # type: ignore[method-assign]
        ask.open_folder = self._folder  # type: ignore[method-assign]
        ask.new_folder = self._new_folder  # type: ignore[method-assign]
        ask.save_file = self._save_file  # type: ignore[method-assign]
        ask.choose = self._choose  # type: ignore[method-assign]

    def _open_files(self, title: str, filters: str) -> list[Path]:
        self.questions.append(title)
        given, self.files = self.files, []
        return given

    def _folder(self, title: str) -> Path | None:
        self.questions.append(title)
        return self.files.pop(0)

    def _new_folder(self, title: str, name: str) -> Path | None:
        return self._folder(title)

    def _save_file(self, title: str, name: str, filters: str) -> Path | None:
        self.questions.append(title)
        return self.files.pop(0)

    def _choose(self, text: str, hint: str, options: Iterable[str]) -> int | None:
        self.questions.append(f"{text}\n{hint}")
        pick = self.picks.pop(0)
        return list(options).index(pick)


def shortcut(user: User, key: Qt.Key, *held: Qt.KeyboardModifier) -> None:
    """Press keys over the picture, wherever the keyboard was."""
    user.window.activateWindow()
    user.wait(user.window.isActiveWindow)
    modifiers = Qt.KeyboardModifier.NoModifier
    for one in held:
        modifiers |= one
    user.key(key, modifiers)


def told(user: User) -> str:
    """What the bar over the picture says; "" when it is not there."""
    notice = user.window.notices.notice
    return "" if notice is None else f"{notice.text} {notice.hint}".strip()


def press(user: User, title: str, inside: QWidget | None = None) -> None:
    """Click the visible button with this text."""
    found = [
        one
        for one in (inside or user.window).findChildren(QPushButton)
        if one.text() == title and one.isVisible()
    ]
    assert len(found) == 1, (title, found)
    assert found[0].isEnabled(), title
    QTest.mouseClick(found[0], Qt.MouseButton.LeftButton)


def color_at(user: User, x: float, y: float) -> tuple[int, int, int]:
    """What the picture shows at an image point."""
    user.rest()
    canvas = user.window.canvas
    # not `grab`: that has the colors of the screen, and a virtual one may have few
    picture = QImage(*canvas.view.device_size, QImage.Format.Format_RGB32)
    picture.setDevicePixelRatio(canvas.devicePixelRatioF())
    canvas.render(picture)
    rows: NDArray[np.uint8] = np.frombuffer(picture.constBits(), np.uint8).reshape(
        picture.height(), picture.width(), 4
    )
    sx, sy = canvas.view.to_screen(x, y)
    ratio = canvas.devicePixelRatioF()
    blue, green, red = (int(one) for one in rows[int(sy * ratio), int(sx * ratio), :3])
    return red, green, blue
