"""The window around the canvas: what is enabled when, messages, palette, preferences, dropping files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QKeySequence
from PySide6.QtWidgets import QApplication, QCheckBox
from pytestqt.qtbot import QtBot

from samdesk.app.commands import COMMANDS
from samdesk.app.settings import SETTINGS, Settings
from samdesk.app.workspace import Notice
from samdesk.domain.columns import Annotation, Table
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Shape, ShapeKind
from samdesk.sdk import Segmenter
from samdesk.ui import theme
from samdesk.ui.main_window import MainWindow
from samdesk.ui.panels.classes import COUNT_ROLE
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
    assert opened.classes.model.index(1).data(COUNT_ROLE) == 5


def test_news_are_seen_and_leave_and_an_error_comes_back_after_them(window: MainWindow, qtbot: QtBot) -> None:
    window.notices.show_notice(Notice("error", "a.tif is broken.", "Convert it."))
    window.notices.show_notice(Notice("info", "All is well."))
    assert window.notices.notice.text == "All is well."
    window.notices._timer.setInterval(1)
    window.notices._timer.start()
    qtbot.waitUntil(lambda: window.notices.notice.text == "a.tif is broken.")
    window.notices.dismiss()
    window.notices.show_notice(Notice("info", "All is well."))
    assert window.notices.isVisible()
    window.notices._timer.setInterval(1)
    window.notices._timer.start()
    qtbot.waitUntil(lambda: not window.notices.isVisible())


def test_what_was_told_goes_when_it_is_over(opened: MainWindow, picture: Path, qtbot: QtBot) -> None:
    w = opened.workspace
    w.tell("warning", "What is selected is locked.")
    w.do(w.document.adding([Annotation(Shape.box(10, 10, 50, 60))]))
    assert opened.notices.notice is None
    w.tell("error", "a.tif is broken.")
    w.do(w.document.adding([Annotation(Shape.box(20, 10, 50, 60))]))
    assert opened.notices.notice is not None
    other = picture.with_name("other.png")
    other.write_bytes(picture.read_bytes())
    w.open(other)
    qtbot.waitUntil(lambda: w.image.source.path == other and opened.jobs.idle, timeout=10_000)
    assert opened.notices.notice is None


def test_a_notice_lies_beside_rulers_and_overview(opened: MainWindow, qtbot: QtBot) -> None:
    opened.settings["rulers"] = True
    opened.canvas.zoom_by(8)
    opened.workspace.tell("info", "All is well.")
    overview = opened.canvas._overview_rect()
    assert overview is not None
    opened.notices.place()
    assert not opened.notices.geometry().intersects(overview)
    assert opened.notices.y() > opened.canvas.room.top() > 0


def test_what_is_drawn_is_seen_though_its_class_was_hidden(opened: MainWindow) -> None:
    w = opened.workspace
    w.classes.hide(["Tumor"])
    w.do(w.document.adding([Annotation(Shape.box(10, 10, 50, 60), class_name="Tumor")]))
    assert not w.classes.hidden
    assert "Tumor" in opened.notices.notice.text
    opened.settings["annotations"] = False
    w.do(w.document.adding([Annotation(Shape.box(20, 10, 50, 60))]))
    assert opened.settings["annotations"]


def test_find_and_project_have_room_beside_each_other_in_a_small_window(
    opened: MainWindow, qtbot: QtBot
) -> None:
    opened.resize(900, 500)
    for dock in (opened.find_dock, opened.project_dock):
        dock.show()
    panel = opened.find_panel
    qtbot.waitUntil(lambda: panel.layout().totalHeightForWidth(panel.width()) <= panel.height())
    assert panel.where.height() >= panel.where.sizeHint().height()
    assert not opened.find_dock.geometry().intersects(opened.project_dock.geometry())
    assert opened.find_dock.widget().geometry().bottom() <= opened.find_dock.height()


def test_the_candidate_stands_beside_the_scale_bar_or_above_it(opened: MainWindow) -> None:
    pill, canvas = opened.pill, opened.canvas
    opened.settings["scale_bar"] = True
    pill.setFixedWidth(canvas.width() - 300)
    pill.place()
    assert pill.x() > canvas.foot_taken
    pill.setFixedWidth(canvas.width() - 40)
    pill.place()
    assert pill.geometry().bottom() < canvas.height() - 48


def test_an_imported_candidate_tells_name_class_and_size(opened: MainWindow, qtbot: QtBot) -> None:
    w = opened.workspace
    line = Shape.from_parts([[np.array([(10, 10), (40, 50)])]], ShapeKind.LINES)
    made = [Annotation(line, class_name="Tumor", name="front"), Annotation(Shape.box(10, 10, 50, 60))]
    w.review_imported(Table.from_annotations(made, w.document.classes), "Import x.geojson")
    qtbot.waitUntil(lambda: len(w.review) == 2)
    model = opened.review.model
    shown = {tuple(model.index(row, column).data() for column in range(2)) for row in range(2)}
    assert shown == {("front, Tumor", "50 px"), ("Unclassified", "2,000 px²")}
    opened.review.drop.click()
    assert not len(w.review)


def test_the_place_of_the_cursor_takes_the_room_it_needs(window: MainWindow, qtbot: QtBot) -> None:
    window.status.place.setText("1, 2 px")
    qtbot.waitUntil(lambda: not window.status.place.is_cut)
    window.status.layout().invalidate()
    QCoreApplication.removePostedEvents(window.status, QEvent.Type.LayoutRequest.value)
    window.status.place.setText("1, 2 px" + "   DAPI 1,234" * 4)
    qtbot.waitUntil(lambda: not window.status.place.is_cut)


def test_a_right_click_leaves_the_left_button_alive(opened: MainWindow, qtbot: QtBot) -> None:
    w, canvas = opened.workspace, opened.canvas
    w.select_tool("rectangle")
    start, end = canvas.rect().center(), canvas.rect().center() + QPoint(40, 30)
    qtbot.mousePress(canvas, Qt.MouseButton.RightButton, pos=start)
    qtbot.waitUntil(lambda: QApplication.activePopupWidget() is not None)
    menu = QApplication.activePopupWidget()
    qtbot.mouseRelease(menu, Qt.MouseButton.RightButton, pos=QPoint(-9, -9))  # and not to the canvas
    menu.close()
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(canvas, end)
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=end)
    qtbot.waitUntil(lambda: len(w.document) == 1)


def test_escape_and_return_give_the_keyboard_back_to_the_picture(opened: MainWindow, qtbot: QtBot) -> None:
    w = opened.workspace
    w.do(w.document.adding([Annotation(Shape.box(10, 10, 50, 60))]))
    w.select_all()
    opened.activateWindow()
    for key in (Qt.Key.Key_Escape, Qt.Key.Key_Return):
        opened.show_properties()
        assert opened.focusWidget() is opened.properties.name
        qtbot.keyClicks(opened.properties.name, "x")
        qtbot.keyClick(opened.properties.name, key)
        assert opened.focusWidget() is opened.canvas
    assert w.document.get(w.document.ids()[0]).name == "x"


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
