"""Classes, annotation list and properties in the real window, as a user's hands have them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from samdesk.app.settings import Settings
from samdesk.app.workspace import Workspace
from samdesk.domain.columns import Annotation, Table
from samdesk.domain.geometry import Shape, ShapeKind
from samdesk.sdk import Segmenter
from samdesk.ui import theme
from samdesk.ui.dialogs.classes import ClassChoice, ClassDialog
from samdesk.ui.main_window import MainWindow
from samdesk.ui.panels.annotations import AREA_ROLE, MARKED
from samdesk.ui.panels.classes import COUNT_ROLE, HIDDEN_ROLE, eye_rect
from tests.fakes import FakeEngine

CLASSES = ("Tumor", "Stroma", "Tumor", None, "Other")


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot) -> Iterator[MainWindow]:
    """Without an image: its document can be changed, and is not kept."""
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
def window(bare: MainWindow, tmp_path: Path, qtbot: QtBot) -> MainWindow:
    """With an open picture and five annotations."""
    path, w = tmp_path / "picture.png", bare.workspace
    cv2.imwrite(str(path), np.full((300, 400, 3), 90, np.uint8))
    w.open(path)
    qtbot.waitUntil(lambda: w.image is not None and bare.jobs.idle, timeout=10_000)
    made = [
        Annotation(Shape.box(20 * k, 0, 20 * k + 5 + k, 10), class_name=name)
        for k, name in enumerate(CLASSES)
    ]
    w.do(w.document.adding(made))
    return bare


@pytest.fixture
def workspace(window: MainWindow) -> Workspace:
    return window.workspace


def press(widget: QWidget, key: Qt.Key, qtbot: QtBot, keys: Qt.KeyboardModifier | None = None) -> None:
    widget.window().activateWindow()
    widget.setFocus()
    qtbot.waitUntil(widget.hasFocus)
    QTest.keyClick(widget, key, keys or Qt.KeyboardModifier.NoModifier)


def listed(window: MainWindow) -> list[int]:
    """The rows as places in the order in which the annotations were made."""
    ids = window.workspace.document.ids()
    model = window.annotations.model
    return [ids.index(model.id_at(row)) for row in range(model.rowCount())]


def marked(window: MainWindow) -> list[int]:
    return sorted(index.row() for index in window.annotations.view.selectionModel().selectedRows())


# Classes


def test_counts_follow_without_making_the_list_anew(window: MainWindow, workspace: Workspace) -> None:
    model, reset = window.classes.model, []
    model.modelReset.connect(lambda: reset.append(1))
    workspace.selection.set(workspace.document.ids()[:1])
    workspace.set_class("Stroma")
    assert [model.index(row).data(COUNT_ROLE) for row in range(4)] == [1, 1, 2, 0]
    assert not reset
    workspace.classes.add("New")
    assert reset == [1]


def test_a_click_makes_a_class_active_and_a_double_click_gives_it(
    window: MainWindow, workspace: Workspace
) -> None:
    view = window.classes.view
    at = view.visualRect(window.classes.model.index(2)).center()
    workspace.selection.set(workspace.document.ids()[:1])
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert workspace.active_class == "Stroma"
    assert workspace.document.counts()["Stroma"] == 1
    QTest.mouseDClick(view.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert workspace.document.counts()["Stroma"] == 2


def test_the_eye_and_keys_hide_and_show(window: MainWindow, workspace: Workspace, qtbot: QtBot) -> None:
    view, model = window.classes.view, window.classes.model
    eye = eye_rect(view.visualRect(model.index(1))).center()
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=eye)
    assert workspace.classes.hidden == {"Tumor"}
    assert model.index(1).data(HIDDEN_ROLE)
    assert workspace.active_class is None
    workspace.choose_class("Stroma")
    for key, hidden in (
        (Qt.Key.Key_H, {"Tumor", "Stroma"}),
        (Qt.Key.Key_S, {"Tumor"}),
        (Qt.Key.Key_Space, {"Tumor", "Stroma"}),
        (Qt.Key.Key_T, {"Tumor"}),
    ):
        press(view, key, qtbot)
        assert workspace.classes.hidden == hidden
    assert workspace.tool_name == "segment"  # the window's shortcuts stayed out of it
    window.actions_["classes.show_all"].trigger()
    assert not workspace.classes.hidden


def test_keys_edit_move_and_remove(window: MainWindow, workspace: Workspace, qtbot: QtBot) -> None:
    view = window.classes.view
    workspace.choose_class("Necrosis")
    press(view, Qt.Key.Key_Up, qtbot, Qt.KeyboardModifier.AltModifier)
    assert workspace.classes.names[2:4] == ["Necrosis", "Immune cells"]
    assert window.classes.chosen == ["Necrosis"]
    press(view, Qt.Key.Key_Return, qtbot)
    dialog = window.dialogs.get("class")
    assert isinstance(dialog, ClassDialog)
    dialog.name.setText("Stroma ")
    dialog.name.setText("Dead")
    dialog.color.show_color((1, 2, 3))
    dialog.accept()
    assert workspace.classes.get("Dead").color == (1, 2, 3)
    assert workspace.active_class == "Dead"
    press(view, Qt.Key.Key_Backspace, qtbot)
    assert "Dead" not in workspace.classes.names
    assert workspace.active_class is None


def test_the_dialog_says_why_a_name_cannot_be(window: MainWindow, workspace: Workspace) -> None:
    window.actions_["classes.new"].trigger()
    dialog = window.dialogs.get("class")
    assert isinstance(dialog, ClassDialog)
    dialog.name.setText("Tumor")
    dialog.accept()
    assert dialog.isVisible()
    assert "already" in dialog.trouble.text()
    dialog.name.setText("Fat")
    assert not dialog.trouble.isVisible()
    dialog.accept()
    assert workspace.classes.names[-1] == "Fat"


def test_many_classes_can_be_searched(window: MainWindow, workspace: Workspace) -> None:
    panel = window.classes
    assert not panel.filter.isVisible()
    for k in range(5):
        workspace.classes.add(f"Extra {k}")
    assert panel.filter.isVisible()
    panel.filter.setText("extra 3")
    shown = [row for row in range(panel.model.rowCount()) if not panel.view.isRowHidden(row)]
    assert [panel.model.name_at(row) for row in shown] == ["Extra 3"]


def test_number_keys_are_for_the_selection_first(
    window: MainWindow, workspace: Workspace, qtbot: QtBot
) -> None:
    press(window.canvas, Qt.Key.Key_2, qtbot)
    assert workspace.active_class == "Stroma"
    workspace.selection.set(workspace.document.ids()[3:])
    press(window.canvas, Qt.Key.Key_1, qtbot)
    assert workspace.document.counts()["Tumor"] == 4
    press(window.canvas, Qt.Key.Key_0, qtbot)
    assert workspace.document.counts()[None] == 2
    assert workspace.active_class == "Stroma"
    assert window.actions_["class.1"].text() == "Class: Tumor"


def test_a_class_is_found_by_letters(window: MainWindow, workspace: Workspace) -> None:
    workspace.select_all()
    window.actions_["classes.set"].trigger()
    dialog = window.dialogs.get("set_class")
    assert isinstance(dialog, ClassChoice)
    QTest.keyClicks(dialog.search, "imm")
    QTest.keyClick(dialog.search, Qt.Key.Key_Return)
    assert workspace.document.counts()["Immune cells"] == 5


# The list


def test_searching_sorting_and_filtering(window: MainWindow, workspace: Workspace) -> None:
    panel = window.annotations
    QTest.keyClicks(panel.search, "tum")
    assert listed(window) == [0, 2]
    assert "2 of 5" in panel.heading.text()
    panel.search.clear()
    panel.sorts["area"].trigger()
    panel.backwards.trigger()
    assert listed(window) == [4, 3, 2, 1, 0]
    panel.sorts["class"].trigger()
    panel.backwards.trigger()
    assert listed(window) == [4, 1, 0, 2, 3]
    workspace.classes.hide(["Tumor"])
    assert len(listed(window)) == 5
    panel.lists["visible"].trigger()
    assert listed(window) == [4, 1, 3]
    panel.lists["active"].trigger()
    workspace.choose_class("Tumor")
    assert listed(window) == [0, 2]


def test_several_rows_are_selected_both_ways(window: MainWindow, workspace: Workspace) -> None:
    panel, ids = window.annotations, workspace.document.ids()
    rects = [panel.view.visualRect(panel.model.index(row)).center() for row in range(5)]
    QTest.mouseClick(panel.view.viewport(), Qt.MouseButton.LeftButton, pos=rects[1])
    shift = Qt.KeyboardModifier.ShiftModifier
    QTest.mouseClick(panel.view.viewport(), Qt.MouseButton.LeftButton, shift, rects[3])
    assert workspace.selection.ids == ids[1:4]
    workspace.selection.set([ids[4], ids[0]])
    assert marked(window) == [0, 4]
    workspace.do(workspace.document.removing(ids[1:2]))
    assert marked(window) == [0, 3]
    assert workspace.selection.ids == [ids[4], ids[0]]
    workspace.history.undo()
    assert marked(window) == [0, 4]


def test_enter_and_double_click_go_there_and_f2_renames_in_place(
    window: MainWindow, workspace: Workspace, qtbot: QtBot
) -> None:
    panel = window.annotations
    gone: list[None] = []
    panel.activated.connect(lambda: gone.append(None))
    panel.view.setCurrentIndex(panel.model.index(2))
    press(panel.view, Qt.Key.Key_Return, qtbot)
    at = panel.view.visualRect(panel.model.index(2)).center()
    QTest.mouseClick(panel.view.viewport(), Qt.MouseButton.LeftButton, pos=at)
    QTest.mouseDClick(panel.view.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert len(gone) == 2
    window.actions_["objects.rename"].trigger()
    editor = panel.view.findChild(QLineEdit)
    assert editor is not None
    QTest.keyClicks(editor, "Gland 7")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: workspace.document.get(workspace.document.ids()[2]).name == "Gland 7")
    assert panel.model.index(2).data() == "Gland 7"
    workspace.history.undo()
    assert panel.model.index(2).data() == "Tumor"


def test_colors_of_rows_follow_their_class(window: MainWindow, workspace: Workspace) -> None:
    model = window.annotations.model
    assert model._row(0) is not None
    workspace.classes.recolor("Tumor", (9, 8, 7))
    row = model._row(0)
    assert row is not None
    assert row.color == (9, 8, 7)


def test_a_list_of_200_000_stays_quick(bare: MainWindow, qtbot: QtBot) -> None:
    n, workspace, panel = 200_000, bare.workspace, bare.annotations
    document = workspace.document
    corners = np.arange(n)[:, None, None] % 390 + np.array([(0, 0), (4, 0), (4, 4), (0, 4)])
    table = Table.from_arrays(corners.reshape(-1, 2).astype(float), np.arange(0, 4 * n + 1, 4))
    document.apply(document.adding(table))
    qtbot.waitUntil(lambda: panel.model.rowCount() == n, timeout=10_000)
    reset: list[None] = []
    panel.model.modelReset.connect(lambda: reset.append(None))
    document.apply(document.removing(document.table().ids[7:9]))
    assert panel.model.rowCount() == n - 2
    bare.actions_["edit.select_all"].trigger()
    assert panel.view.selectionModel().selection().count() == 1
    document.apply(document.adding([Annotation(Shape.box(0, 0, 5, 5))]))
    assert panel.model.id_at(n - 2) == document.last_id
    workspace.selection.set(document.table().ids[: 3 * MARKED : 2])
    assert panel.model.is_marked(0)
    assert not panel.model.is_marked(1)
    panel.view.selectAll()
    assert len(workspace.selection) == n - 1
    assert not reset
    qtbot.waitUntil(lambda: bare.jobs.idle, timeout=10_000)


def test_what_the_list_does_not_show_stays_selected(window: MainWindow, workspace: Workspace) -> None:
    ids = workspace.document.ids()
    workspace.selection.set([ids[0], ids[1]])
    window.annotations.search.setText("stroma")
    workspace.do(workspace.document.removing(ids[4:]))
    workspace.do(workspace.document.reclassifying(ids[1:2], "Other"))
    assert workspace.selection.ids == ids[:2]
    assert listed(window) == []


# Properties


def test_properties_of_one_can_be_changed(window: MainWindow, workspace: Workspace, qtbot: QtBot) -> None:
    panel, document = window.properties, workspace.document
    first, second = document.ids()[:2]
    workspace.selection.set([first])
    assert panel.told.text() == "Rectangle"
    assert panel.kind.currentText() == "Tumor"
    assert panel.details.text().splitlines()[0] == "Area\t50 px²"
    press(window.canvas, Qt.Key.Key_Return, qtbot)
    qtbot.waitUntil(panel.name.hasFocus)
    QTest.keyClicks(panel.name, "Crypt")
    QTest.keyClick(panel.name, Qt.Key.Key_Return)
    assert document.get(first).name == "Crypt"
    assert workspace.history.undo_title == "Rename annotation"
    panel.description.setPlainText("Ask again")
    workspace.selection.set([second])  # what was typed is kept for the one it was typed for
    assert document.get(first).metadata == {"ANNOTATION_DESCRIPTION": "Ask again"}
    assert document.get(second).metadata == {}
    assert panel.description.toPlainText() == ""
    panel._set_color((1, 2, 3))
    assert document.get(second).color == (1, 2, 3)
    panel.reset.click()
    assert document.get(second).color is None
    panel.kind.setCurrentIndex(0)
    panel.kind.activated.emit(0)
    assert document.get(second).class_name is None
    panel.locked.click()
    qtbot.waitUntil(lambda: document.get(second).locked)


def test_properties_of_several_are_summed_up(window: MainWindow, workspace: Workspace) -> None:
    panel = window.properties
    workspace.select_all()
    assert panel.told.text() == "5 annotations"
    assert panel.kind.currentIndex() == -1
    assert not panel.name.isVisible()
    assert panel.details.text(chosen=False).startswith("Area together\t350 px²\nTumor\t2")
    panel.details.copy(chosen=False)
    assert "Stroma\t1" in QGuiApplication.clipboard().text()
    workspace.selection.clear()
    assert panel.nothing.isVisible()


def test_properties_fold_away_and_stay_so(window: MainWindow, workspace: Workspace) -> None:
    panel = window.properties
    panel.fold.click()
    assert not window.settings["properties"]
    workspace.select_all()
    assert panel.told.text() == ""
    window.actions_["objects.properties"].trigger()
    assert panel.told.text() == "5 annotations"


def test_menus_can_be_made_of_any_choice(window: MainWindow, workspace: Workspace) -> None:
    for name in (None, "Tumor", "Negative"):
        workspace.choose_class(name)
        titles = {action.text().partition("\t")[0]: action for action in window.classes.make_menu().actions()}
        assert titles["Remove"].isEnabled() == (name is not None)
        assert titles["Move Down"].isEnabled() == (name == "Tumor")
    titles["Show Only This"].trigger()
    assert workspace.classes.hidden == {None, *workspace.classes.names} - {"Negative"}


def test_the_last_annotation_goes_while_it_is_selected(window: MainWindow, workspace: Workspace) -> None:
    every = list(workspace.document.annotations())
    workspace.select_all()
    workspace.delete_selected()
    assert window.annotations.model.rowCount() == 0
    assert window.properties.nothing.isVisibleTo(window)
    workspace.history.undo()
    workspace.selection.set([every[1].id])  # the list still follows
    assert marked(window) == [1]


def test_a_line_shows_its_length_and_points_their_number(window: MainWindow, workspace: Workspace) -> None:
    before = len(workspace.document)
    lines = Shape.from_parts([[np.array([(10, 10), (40, 50)])]], ShapeKind.LINES)
    made = [Annotation(lines), Annotation(Shape.points([(5, 5), (9, 9)])), Annotation(Shape.points([(5, 5)]))]
    workspace.do(workspace.document.adding(made))
    model = window.annotations.model
    shown = [model.index(before + k, 0).data(AREA_ROLE) for k in range(3)]
    assert shown == ["50 px", "2 points", "1 point"]


def test_the_number_of_annotations_is_readable_in_either_theme(window: MainWindow) -> None:
    for name in ("light", "dark", "light"):
        window.settings["appearance"] = name
        assert theme.colors()["muted"] in window.annotations.heading.text()
