"""A day of comfort: beginning, finding commands and keys, preferences, panes, jobs, and the layout."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QCheckBox, QComboBox, QToolButton, QWidget
from pytestqt.qtbot import QtBot

from samdesk import paths
from samdesk.domain.columns import Annotation
from samdesk.domain.geometry import Shape
from samdesk.ui import theme

from .conftest import User
from .hands import choose, color_at, drop, entry, press, shortcut, started, told

CTRL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "cells.png"
    cv2.imwrite(str(path), np.full((300, 400, 3), 90, np.uint8))
    return path


def palette(user: User, words: str) -> list[str]:
    """What the palette lists for these words, best first."""
    shortcut(user, Qt.Key.Key_L, CTRL)
    dialog = user.window.dialogs.get("palette")
    assert dialog is not None
    QTest.keyClicks(dialog.search, words)
    return [dialog.view.topLevelItem(row).text(0) for row in range(dialog.view.topLevelItemCount())]


def take_first(user: User) -> None:
    dialog = user.window.dialogs.get("palette")
    assert dialog is not None
    QTest.keyClick(dialog.search, Qt.Key.Key_Return)


def test_the_empty_window_helps_to_begin(home: Path, qtbot: QtBot, picture: Path) -> None:
    with started(qtbot) as user:
        empty = user.window.empty
        assert empty.isVisible()
        assert not empty._recent_title.isVisible()
        assert not entry(user.window, "File", "Export Annotations").isEnabled()

        # the sample slide is made behind the window; one can see it, and think better of it
        press(user, "Try the Sample Slide")
        user.wait(user.window.status.jobs.stop.isVisible)
        assert "Making the sample slide" in user.window.status.jobs.title.text()
        QTest.mouseClick(user.window.status.jobs, Qt.MouseButton.LeftButton)
        (row,) = user.window.status.jobs._list._rows
        assert row.stop.accessibleName() == "Cancel Making the sample slide"
        QTest.mouseClick(row.stop, Qt.MouseButton.LeftButton)
        user.wait(lambda: not user.window.jobs.visible and user.window.jobs.idle)
        user.wait(user.window.status.jobs._list.empty.isVisible)
        user.window.status.jobs._list.close()
        assert not user.window.status.jobs.stop.isVisible()
        assert not [one for one in (paths.cache_dir() / "samples").glob("*") if one.is_file()]
        assert empty.isVisible()
        assert told(user) == ""

        # what was opened once is one click away
        drop(user, picture)
        user.wait(lambda: user.window.windowTitle() == "cells.png – samdesk")
        user.rest()
        choose(user, "File", "Close Image")
        assert user.window.windowTitle() == "samdesk"
        (recent,) = [one for one in empty.findChildren(QToolButton) if one.text() == "cells.png"]
        QTest.mouseClick(recent, Qt.MouseButton.LeftButton)
        user.wait(lambda: user.window.windowTitle() == "cells.png – samdesk")
        user.rest()
        choose(user, "File", "Close Image")
        choose(user, "File", "Reopen Last File")
        user.wait(lambda: user.workspace.image is not None)


def test_commands_keys_and_preferences_are_found_by_words(user: User, picture: Path) -> None:
    # before an image is open, the palette says why most cannot be had
    assert palette(user, "zoom fit")[0] == "Zoom to Fit"
    dialog = user.window.dialogs.get("palette")
    assert dialog.view.topLevelItem(0).text(1) == "Open an image first"
    take_first(user)
    assert dialog.isVisible()
    QTest.keyClick(dialog.search, Qt.Key.Key_Escape)

    user.open(picture)
    before = user.window.canvas.view.scale
    assert palette(user, "full res")[0] == "Full Resolution (1:1)"
    take_first(user)
    assert user.window.canvas.view.scale == 1.0 != before
    plain = color_at(user, 1, 1)
    assert palette(user, "rulers")[0] == "Rulers"
    take_first(user)
    assert user.workspace.settings["rulers"] is True
    assert palette(user, "")[:2] == ["Rulers", "Full Resolution (1:1)"]  # the last ones come first
    QTest.keyClick(user.window.dialogs.get("palette").search, Qt.Key.Key_Escape)

    # the key of it stands on the page of shortcuts
    shortcut(user, Qt.Key.Key_F1)
    page = user.window.dialogs.get("shortcuts")
    QTest.keyClicks(page.search, "find command")
    found = [page.view.topLevelItem(k) for k in range(page.view.topLevelItemCount())]
    left = [
        (group.child(k).text(0), group.child(k).text(1))
        for group in found
        for k in range(group.childCount())
        if not group.isHidden() and not group.child(k).isHidden()
    ]
    assert [keys for _, keys in left] == ["Ctrl+L, Ctrl+Shift+P"]
    page.close()

    # preferences: what is searched for is there whatever its page, and works at once
    choose(user, "Edit", "Preferences")
    preferences = user.window.dialogs.get("preferences")
    QTest.keyClicks(preferences.search, "rulers")
    (rulers,) = [one for one in preferences.findChildren(QCheckBox) if one.isVisible()]
    assert rulers.isChecked()
    QTest.keyClick(rulers, Qt.Key.Key_Space)
    assert user.workspace.settings["rulers"] is False
    assert color_at(user, 1, 1) == plain
    preferences.search.clear()
    QTest.keyClicks(preferences.search, "appearance")
    (appearance,) = [one for one in preferences.findChildren(QComboBox) if one.isVisible()]
    QTest.keyClick(appearance, Qt.Key.Key_End)
    assert appearance.currentText() == "Dark"
    assert theme.colors() is theme.DARK
    QTest.keyClick(appearance, Qt.Key.Key_Up)
    assert theme.colors() is theme.LIGHT
    press(user, "Restore Defaults", preferences)
    assert user.workspace.settings["appearance"] == "system"


def _holder(user: User, panes: dict[str, QWidget]) -> str:
    focused = user.window.focusWidget()
    return next(name for name, one in panes.items() if one is focused or one.isAncestorOf(focused))


def test_every_pane_is_reached_and_used_without_the_mouse(user: User, picture: Path) -> None:
    user.open(picture)
    w = user.workspace
    w.do(w.document.adding([Annotation(Shape.box(10 * k, 10, 10 * k + 8, 40)) for k in range(5)]))
    panes: dict[str, QWidget] = {
        "picture": user.window.canvas,
        "classes": user.window.classes,
        "annotations": user.window.annotations,
        "properties": user.window.properties,
    }
    user.window.canvas.setFocus()
    shortcut(user, Qt.Key.Key_F6)
    assert _holder(user, panes) == "classes"  # the first list at the side
    user.key(Qt.Key.Key_F6)
    assert _holder(user, panes) == "annotations"
    user.key(Qt.Key.Key_F6, SHIFT)
    user.key(Qt.Key.Key_F6, SHIFT)
    assert _holder(user, panes) == "picture"

    # a class by the arrows, an annotation by the list, deleted by the key: all on the keyboard
    user.key(Qt.Key.Key_F6)
    view = user.window.annotations.view
    for _ in range(20):
        if user.window.focusWidget() is view:
            break
        QTest.keyClick(user.window.focusWidget(), Qt.Key.Key_Tab)
    assert user.window.focusWidget() is view
    QTest.keyClick(view, Qt.Key.Key_Down)
    assert len(w.selection) == 1
    QTest.keyClick(view, Qt.Key.Key_Down, SHIFT)
    assert len(w.selection) == 2
    QTest.keyClick(view, Qt.Key.Key_Delete)
    assert len(w.document) == 3
    user.key(Qt.Key.Key_F6, SHIFT)
    user.key(Qt.Key.Key_F6, SHIFT)
    assert _holder(user, panes) == "picture"
    user.key(Qt.Key.Key_F6)
    user.key(Qt.Key.Key_F6)
    assert user.window.focusWidget() is view  # where it was
    user.key(Qt.Key.Key_F6)
    user.key(Qt.Key.Key_Z, CTRL)
    assert len(w.document) == 5


def test_the_window_comes_back_as_it_was_left(home: Path, qtbot: QtBot, picture: Path) -> None:
    with started(qtbot, picture) as user:
        user.wait(lambda: user.workspace.image is not None)
        user.rest()
        user.window.resize(1100, 700)
        choose(user, "Segment", "Find")
        assert user.window.find_dock.isVisible()
        user.window.resizeDocks([user.window.dock], [340], Qt.Orientation.Horizontal)
        choose(user, "View", "Overview")
        choose(user, "View", "Show Names")
        QApplication.processEvents()
        width = user.window.dock.width()
        assert width > 300
    with started(qtbot) as user:
        user.window.resize(1100, 700)
        user.wait(lambda: user.window.windowTitle() == "cells.png – samdesk")
        user.rest()
        assert user.window.find_dock.isVisible()
        assert user.window.dock.width() == pytest.approx(width, abs=12)
        assert not entry(user.window, "View", "Overview").isChecked()
        assert entry(user.window, "View", "Show Names").isChecked()
