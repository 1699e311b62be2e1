"""The window around the canvas: what is enabled when, messages, palette, preferences, dropping files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QKeySequence
from PySide6.QtWidgets import QCheckBox
from pytestqt.qtbot import QtBot

from samdesk.app.commands import COMMANDS
from samdesk.app.settings import SETTINGS, Settings
from samdesk.app.workspace import Notice
from samdesk.domain.columns import Annotation
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Shape
from samdesk.sdk import Segmenter
from samdesk.ui import theme
from samdesk.ui.main_window import MainWindow
from tests.fakes import FakeEngine


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.full((300, 400, 3), 90, np.uint8))
    return path


@pytest.fixture
def window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot) -> Iterator[MainWindow]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    theme.apply(theme.application(), "light")
    made = MainWindow(Settings(tmp_path / "settings.json"), Segmenter(FakeEngine()))
    made.show()
    qtbot.waitExposed(made)
    yield made
    made.close()
    made.deleteLater()
    qtbot.wait(1)


@pytest.fixture
def opened(window: MainWindow, picture: Path, qtbot: QtBot) -> MainWindow:
    window.workspace.open(picture)
    qtbot.waitUntil(lambda: window.workspace.image is not None and window.jobs.idle, timeout=10_000)
    return window


def enabled(window: MainWindow, *names: str) -> list[bool]:
    return [window.actions_[name].isEnabled() for name in names]


def test_without_an_image_only_what_makes_sense_is_enabled(window: MainWindow) -> None:
    assert window.stack.currentWidget() is window.empty
    assert enabled(window, "file.open", "help.palette", "app.quit") == [True] * 3
    assert enabled(window, "file.export", "view.fit", "edit.undo", "segment.accept") == [False] * 4


def test_actions_follow_the_state(opened: MainWindow) -> None:
    w = opened.workspace
    assert enabled(opened, "view.fit", "file.export", "edit.undo", "edit.delete") == [
        True,
        False,
        False,
        False,
    ]
    w.do(w.document.adding([Annotation(Shape.box(10, 10, 50, 60))]))
    assert enabled(opened, "file.export", "edit.undo", "edit.delete") == [True, True, False]
    w.select_all()
    assert enabled(opened, "edit.delete") == [True]
    assert opened.actions_["edit.undo"].text() == "Undo Add annotation"
    opened.actions_["edit.undo"].trigger()
    assert enabled(opened, "file.export", "edit.undo", "edit.redo") == [False, False, True]


def test_every_command_has_an_action_with_its_keys(window: MainWindow) -> None:
    for command in COMMANDS.values():
        keys = [
            key.toString(QKeySequence.SequenceFormat.PortableText)
            for key in window.actions_[command.id].shortcuts()
        ]
        assert keys == [
            QKeySequence(key).toString(QKeySequence.SequenceFormat.PortableText) for key in command.keys
        ]
        assert all(keys)


def test_lists_follow_the_document_both_ways(opened: MainWindow) -> None:
    w = opened.workspace
    w.do(
        w.document.adding(
            [Annotation(Shape.box(10 * k, 0, 10 * k + 5, 5), class_name="Tumor") for k in range(5)]
        )
    )
    assert opened.annotations.model.rowCount() == 5
    assert "5" in opened.annotations.heading.text()
    opened.annotations.view.setCurrentIndex(opened.annotations.model.index(2))
    assert w.selection.ids == (w.document.ids()[2],)
    w.selection.set(w.document.ids()[3:])
    rows = sorted(i.row() for i in opened.annotations.view.selectionModel().selectedIndexes())
    assert rows == [3, 4]
    assert any(opened.classes.view.item(k).text() == "Tumor  (5)" for k in range(opened.classes.view.count()))


def test_an_error_stays_news_leave_and_do_not_cover_it(window: MainWindow, qtbot: QtBot) -> None:
    window.notices.show_notice(Notice("error", "a.tif is broken.", "Convert it."))
    window.notices.show_notice(Notice("info", "All is well."))
    assert window.notices.notice.text == "a.tif is broken."
    window.notices.dismiss()
    window.notices.show_notice(Notice("info", "All is well."))
    assert window.notices.isVisible()
    window.notices._timer.setInterval(1)
    window.notices._timer.start()
    qtbot.waitUntil(lambda: not window.notices.isVisible())


def test_what_a_listener_raises_becomes_a_notice(window: MainWindow, qtbot: QtBot) -> None:
    def fail() -> None:
        raise SamdeskError("It did not work.", "Try again.")

    window.bridge(fail)
    qtbot.waitUntil(lambda: window.notices.notice is not None)
    assert window.notices.notice == Notice("error", "It did not work.", "Try again.")


def test_a_dropped_bad_file_is_told_and_the_image_stays(
    opened: MainWindow, tmp_path: Path, qtbot: QtBot
) -> None:
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"")
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(bad))])
    event = QDropEvent(
        QPointF(50, 50),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    opened.dropEvent(event)
    qtbot.waitUntil(lambda: opened.notices.notice is not None, timeout=10_000)
    assert "bad.tif" in opened.notices.notice.text
    assert opened.workspace.image is not None


def test_the_palette_finds_and_runs(opened: MainWindow, qtbot: QtBot) -> None:
    opened.show_dialog("palette")
    palette = opened.dialogs.get("palette")
    qtbot.keyClicks(palette.search, "move")
    titles = [palette.view.topLevelItem(k).text(0) for k in range(palette.view.topLevelItemCount())]
    assert "Move" in titles
    palette.search.setText("move")
    qtbot.keyClick(palette.search, Qt.Key.Key_Return)
    assert opened.workspace.tool_name == "move"


def test_preferences_have_a_row_for_every_setting_and_act_at_once(opened: MainWindow, qtbot: QtBot) -> None:
    opened.show_dialog("preferences")
    editors = opened.dialogs.get("preferences").editors
    assert set(editors) == {row.name for row in SETTINGS.values() if row.page}
    box = editors["scale_bar"]
    assert isinstance(box, QCheckBox)
    box.click()
    assert opened.settings["scale_bar"] is False
    assert opened.canvas.show_scale_bar is False


@pytest.mark.parametrize("appearance", ["light", "dark"])
def test_text_is_legible_on_its_background(window: MainWindow, appearance: str) -> None:
    window.settings["appearance"] = appearance
    chosen = theme.colors()
    assert (chosen is theme.DARK) == (appearance == "dark")
    for text, back in (("text", "window"), ("text", "base"), ("muted", "window"), ("muted", "base")):
        assert _contrast(chosen[text], chosen[back]) >= 4.5


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio of two colors."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_contrast_dialog_changes_what_is_shown(opened: MainWindow, qtbot: QtBot, picture: Path) -> None:
    opened.show_dialog("contrast")
    dialog = opened.dialogs.get("contrast")
    qtbot.waitUntil(lambda: opened.jobs.idle, timeout=10_000)
    dialog.low.setValue(20.0)
    assert opened.workspace.image.display.channels[0].low == 20.0


def wait_for(qtbot: QtBot, condition: Callable[[], bool]) -> None:
    qtbot.waitUntil(condition, timeout=10_000)


def test_the_sample_is_made_opened_and_listed_as_recent(
    window: MainWindow, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("samdesk.images.sample.sample_slide.__defaults__", (2048, 20, None))
    window.empty.sample_button.click()
    wait_for(qtbot, lambda: window.workspace.image is not None)
    assert window.workspace.image.source.width == 2048
    assert "sample-slide" in window.settings["recent"][0]
