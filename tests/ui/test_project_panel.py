"""Projects, snapshots and going on after a crash, in the real window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLineEdit, QPushButton
from pytestqt.qtbot import QtBot

from samdesk.app import journal
from samdesk.app.recovery import Crashed
from samdesk.app.settings import Settings
from samdesk.domain.columns import Annotation
from samdesk.domain.geometry import Shape
from samdesk.formats.project import FOLDER_FILE
from samdesk.sdk import Segmenter
from samdesk.ui import theme
from samdesk.ui.main_window import MainWindow
from tests.fakes import FakeAsk, FakeEngine

WAIT_MS = 20_000


class Desk:
    """A window, its project and pictures to put into it."""

    def __init__(self, home: Path, bot: QtBot) -> None:
        self.home, self.bot = home, bot
        theme.apply(theme.application(), "light")
        self.window = MainWindow(Settings(home / "settings.json"), Segmenter(FakeEngine()))
        self.window.show()
        bot.waitExposed(self.window)
        self.workspace = self.window.workspace
        self.panel = self.window.project_panel
        self.ask = FakeAsk()
        self.panel._ask = self.ask  # type: ignore[assignment]

    def picture(self, name: str) -> Path:
        path = self.home / name
        cv2.imwrite(str(path), np.full((60, 80, 3), 90, np.uint8))
        return path

    def rest(self) -> None:
        self.bot.waitUntil(lambda: self.window.jobs.idle, timeout=WAIT_MS)
        self.bot.wait(1)
        self.bot.waitUntil(lambda: self.window.jobs.idle, timeout=WAIT_MS)

    def begin(self, *names: str) -> list[str]:
        project = self.workspace.project
        project.new(self.home / "study")
        self.bot.waitUntil(lambda: project.is_open, timeout=WAIT_MS)
        project.add_images([self.picture(name) for name in names])
        self.bot.waitUntil(lambda: len(project.folder.images) == len(names), timeout=WAIT_MS)
        self.rest()
        return [one.id for one in project.folder.images]

    def rows(self) -> list[str]:
        shown = self.panel.shown
        return [str(shown.index(row, 0).data()) for row in range(shown.rowCount())]

    def press(self, key: Qt.Key) -> None:
        QTest.keyClick(self.panel.view, key)

    def shows(self, one: str) -> None:
        self.bot.waitUntil(lambda: self.workspace.project.current == one, timeout=WAIT_MS)
        self.rest()

    def add(self) -> None:
        self.workspace.do(self.workspace.document.adding([Annotation(Shape.box(1, 1, 20, 20))]))
        self.rest()

    def close(self) -> None:
        self.window.close()
        self.window.deleteLater()
        self.bot.wait(1)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot) -> Iterator[Desk]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    made = Desk(tmp_path, qtbot)
    yield made
    made.close()


def test_the_panel_is_there_while_a_project_is_open(desk: Desk) -> None:
    assert not desk.window.project_dock.isVisible()
    assert not desk.window.actions_["view.project"].isEnabled()
    desk.begin("a.png", "b.png")
    assert desk.window.project_dock.isVisible()
    assert desk.rows() == ["a.png", "b.png"]
    desk.window.actions_["view.project"].trigger()
    assert not desk.window.project_dock.isVisible()
    desk.window.actions_["view.project"].trigger()
    desk.window.actions_["project.rename"].trigger()
    dialog = desk.window.dialogs.get("project name")
    dialog.setTextValue("Kidneys & <more>")
    dialog.accept()
    desk.bot.waitUntil(lambda: "Kidneys &amp; &lt;more&gt;" in desk.panel.heading.text())
    desk.window.actions_["project.close"].trigger()
    desk.bot.waitUntil(lambda: not desk.window.project_dock.isVisible())


def test_images_are_found_opened_and_renamed_by_keyboard(desk: Desk) -> None:
    ids = desk.begin("first.png", "second.png", "third.png")
    QTest.keyClicks(desk.panel.filter, "SEC")
    assert desk.rows() == ["second.png"]
    QTest.keyClick(desk.panel.filter, Qt.Key.Key_Return)
    desk.shows(ids[1])
    desk.add()
    desk.bot.waitUntil(lambda: "1 annotation" in desk.panel.model.data(desk.panel.model.index(1), 258))
    desk.panel.filter.clear()
    desk.panel.view.setCurrentIndex(desk.panel.shown.index(0, 0))
    desk.press(Qt.Key.Key_Return)
    desk.shows(ids[0])
    assert len(desk.workspace.document) == 0
    desk.panel.view.setFocus()
    desk.press(Qt.Key.Key_F2)
    editor = desk.panel.view.findChild(QLineEdit)
    assert editor is not None
    editor.setText("Best one")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    desk.bot.waitUntil(lambda: desk.rows()[0] == "Best one")


def test_delete_asks_about_the_image_and_leaves_selected_annotations_alone(desk: Desk) -> None:
    ids = desk.begin("a.png", "b.png")
    desk.workspace.project.open_image(ids[0])
    desk.shows(ids[0])
    desk.add()
    desk.workspace.select_all()
    desk.panel.view.setCurrentIndex(desk.panel.shown.index(1, 0))
    desk.panel.view.setFocus()
    desk.press(Qt.Key.Key_Delete)
    assert desk.rows() == ["a.png", "b.png"]  # nobody said yes
    desk.ask.answer = 0
    desk.press(Qt.Key.Key_Delete)
    desk.bot.waitUntil(lambda: desk.rows() == ["a.png"], timeout=WAIT_MS)
    assert len(desk.workspace.document) == 1


def test_a_missing_image_is_marked_and_relinked_when_it_is_opened(desk: Desk) -> None:
    ids = desk.begin("a.png", "b.png")
    (desk.home / "b.png").rename(desk.home / "moved.png")
    desk.workspace.project.open_image(ids[1])
    desk.bot.waitUntil(lambda: desk.workspace.project.missing == {ids[1]}, timeout=WAIT_MS)
    assert desk.panel.shown.index(1, 0).data(258).startswith("Missing")
    desk.ask.files = [desk.home / "moved.png"]
    desk.panel.view.setCurrentIndex(desk.panel.shown.index(1, 0))
    desk.press(Qt.Key.Key_Return)
    desk.bot.waitUntil(lambda: not desk.workspace.project.missing, timeout=WAIT_MS)
    desk.press(Qt.Key.Key_Return)
    desk.shows(ids[1])
    assert desk.workspace.image.source.path == desk.home / "moved.png"


def test_a_snapshot_is_restored_from_its_dialog(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SNAPSHOT_EVERY_S", 0.0)
    desk.workspace.open(desk.picture("a.png"))
    desk.bot.waitUntil(lambda: desk.workspace.image is not None, timeout=WAIT_MS)
    for _ in range(2):
        desk.add()
    desk.window.actions_["file.snapshots"].trigger()
    dialog = desk.window.dialogs.get("snapshots")
    desk.bot.waitUntil(lambda: dialog.view.topLevelItemCount() == 1, timeout=WAIT_MS)
    assert dialog.view.topLevelItem(0).text(1) == "1"
    QTest.mouseClick(dialog.button, Qt.MouseButton.LeftButton)
    desk.bot.waitUntil(lambda: len(desk.workspace.document) == 1, timeout=WAIT_MS)
    desk.window.actions_["edit.undo"].trigger()
    assert len(desk.workspace.document) == 2


def test_after_a_crash_the_image_is_one_click_away(desk: Desk) -> None:
    ids = desk.begin("a.png")
    desk.workspace.project.open_image(ids[0])
    desk.shows(ids[0])
    desk.add()
    store = desk.workspace.journal.path
    desk.workspace.close_image()
    desk.workspace.project.close()
    desk.rest()
    desk.window.tell_crashed([Crashed(desk.home / "a.png", store)])
    assert "a.png" in desk.window.notices.notice.text
    button = desk.window.notices.findChild(QPushButton)
    assert button.text() == "Reopen Last File"
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    desk.shows(ids[0])
    assert len(desk.workspace.document) == 1


def test_the_status_says_whether_all_is_kept_and_where(desk: Desk) -> None:
    desk.workspace.open(desk.picture("a.png"))
    desk.bot.waitUntil(lambda: desk.workspace.image is not None, timeout=WAIT_MS)
    desk.add()
    label = desk.window.status.saved
    desk.bot.waitUntil(lambda: label.text() == "Saved" and "last at" in label.toolTip(), timeout=WAIT_MS)
    assert str(desk.workspace.journal.path) in label.toolTip()
    desk.window.status.show_keeping("saving", 1, desk.home, None)
    assert label.text() == "Saving…"
    desk.window.status.show_keeping("failed", 3, desk.home, None)
    assert label.text() == "3 not saved"


def test_the_next_start_shows_the_same_place(desk: Desk, tmp_path: Path, qtbot: QtBot) -> None:
    desk.begin("a.png")
    desk.workspace.open(desk.home / "a.png")
    desk.bot.waitUntil(lambda: bool(desk.workspace.project.current), timeout=WAIT_MS)
    desk.rest()
    desk.window.zoom_by(3.0)
    kept = desk.window.canvas.view
    desk.window._rested()
    desk.window.close()
    again = Desk(tmp_path, qtbot)
    again.workspace.open_last()
    again.bot.waitUntil(lambda: again.workspace.image is not None, timeout=WAIT_MS)
    view = again.window.canvas.view
    assert (view.center_x, view.center_y, view.scale) == pytest.approx(
        (kept.center_x, kept.center_y, kept.scale)
    )
    assert again.workspace.project.folder.file.name == FOLDER_FILE
    again.close()
