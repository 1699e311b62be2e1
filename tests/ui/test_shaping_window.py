"""Shapes changed from the window: the dialog with its preview, the clipboard, the tools under a hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QByteArray, QMimeData, QPoint, Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from samdesk.app.commands.objects import GEOJSON_MIME
from samdesk.app.settings import Settings
from samdesk.domain.columns import Annotation
from samdesk.domain.geometry import Bounds, Shape
from samdesk.sdk import Segmenter
from samdesk.ui import theme
from samdesk.ui.dialogs.shaping import ShapingDialog
from samdesk.ui.main_window import MainWindow
from tests.fakes import FakeEngine

PLAIN = Qt.KeyboardModifier.NoModifier


@pytest.fixture
def window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot) -> Iterator[MainWindow]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.full((300, 400, 3), 90, np.uint8))
    theme.apply(theme.application(), "light")
    made = MainWindow(Settings(tmp_path / "settings.json"), Segmenter(FakeEngine()))
    made.show()
    qtbot.waitExposed(made)
    made.workspace.open(path)
    qtbot.waitUntil(lambda: made.workspace.image is not None and made.jobs.idle, timeout=10_000)
    yield made
    made.close()
    made.deleteLater()
    qtbot.wait(1)


def add(window: MainWindow, *many: Shape) -> None:
    w = window.workspace
    w.do(w.document.adding([Annotation(shape) for shape in many]))
    w.selection.set(w.document.ids())


def open_dialog(window: MainWindow, qtbot: QtBot, name: str) -> ShapingDialog:
    window.actions_[f"objects.{name}"].trigger()
    dialog = window.dialogs.get("shaping")
    assert isinstance(dialog, ShapingDialog)
    qtbot.waitUntil(lambda: "vert" in dialog.outcome.text() or "change" in dialog.outcome.text())
    return dialog


def test_the_dialog_shows_what_it_would_give_and_gives_it(window: MainWindow, qtbot: QtBot) -> None:
    add(window, Shape.box(50, 50, 90, 90))
    w = window.workspace
    dialog = open_dialog(window, qtbot, "grow")
    dialog.number.setValue(-8)
    qtbot.waitUntil(lambda: w.sketch is not None and w.sketch.shapes[0].bounds == (58, 58, 82, 82))
    assert w.sketch is not None
    assert list(w.sketch.replaces) == list(w.selection.ids)
    assert dialog.outcome.text() == "4 vertices → 4"
    assert not w.history.undo_title.startswith("Resize")
    dialog.apply.click()
    qtbot.waitUntil(lambda: w.history.undo_title == "Resize annotation")
    assert next(w.document.annotations()).shape.bounds == (58, 58, 82, 82)
    assert w.sketch is None or not w.sketch.shapes
    assert open_dialog(window, qtbot, "grow").number.value() == -8


def test_cancelled_the_dialog_leaves_no_trace(window: MainWindow, qtbot: QtBot) -> None:
    add(window, Shape.box(50, 50, 90, 90))
    w = window.workspace
    dialog = open_dialog(window, qtbot, "simplify")
    assert dialog.outcome.text() == "Nothing would change."
    dialog.number.setValue(500)
    dialog.reject()
    qtbot.waitUntil(lambda: window.jobs.idle)
    assert w.sketch is None or not w.sketch.shapes
    assert w.settings["shaping"] == {}
    assert w.history.undo_title == "Add annotation"


def test_the_dialog_follows_the_selection_and_says_what_would_vanish(
    window: MainWindow, qtbot: QtBot
) -> None:
    add(window, Shape.box(50, 50, 90, 90), Shape.box(100, 100, 104, 104))
    dialog = open_dialog(window, qtbot, "fragments")
    dialog.number.setValue(100)
    qtbot.waitUntil(lambda: "1 annotation would vanish, and stays as it is." in dialog.outcome.text())
    window.workspace.selection.clear()
    qtbot.waitUntil(lambda: dialog.outcome.text() == "Nothing is selected.")
    assert not dialog.apply.isEnabled()
    dialog.reject()


def test_copy_and_paste_go_through_the_clipboard(window: MainWindow) -> None:
    w = window.workspace
    add(window, Shape.box(50, 50, 90, 90))
    window.actions_["edit.copy"].trigger()
    data = QGuiApplication.clipboard().mimeData()
    assert '"FeatureCollection"' in data.text()
    assert bytes(data.data(GEOJSON_MIME).data()).decode() == data.text()
    window.actions_["edit.paste"].trigger()
    assert len(w.document) == 2
    assert w.history.undo_title == "Paste annotation"
    window.actions_["edit.cut"].trigger()
    assert len(w.document) == 1


def test_what_another_program_copied_is_pasted(window: MainWindow) -> None:
    geometry = '{"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]}'
    data = QMimeData()
    data.setText("something else")
    data.setData(GEOJSON_MIME, QByteArray(f'{{"type": "Feature", "geometry": {geometry}}}'.encode()))
    QGuiApplication.clipboard().setMimeData(data)
    window.actions_["edit.paste"].trigger()
    assert [one.shape.area for one in window.workspace.document.annotations()] == [40.5]


def test_several_selected_ones_can_be_merged_and_one_cannot(window: MainWindow) -> None:
    w = window.workspace
    add(window, Shape.box(50, 50, 90, 90), Shape.box(80, 80, 120, 120))
    assert window.actions_["objects.merge"].isEnabled()
    window.actions_["objects.merge"].trigger()
    assert [one.shape.area for one in w.document.annotations()] == [3100]
    assert not window.actions_["objects.merge"].isEnabled()
    window.actions_["objects.full_image"].trigger()
    assert w.document.get(w.selection.ids[0]).shape.bounds == (0, 0, 400, 300)


def test_a_brush_stroke_with_the_mouse(window: MainWindow, qtbot: QtBot) -> None:
    w, canvas = window.workspace, window.canvas
    canvas.show_bounds(Bounds(0, 0, 400, 300))
    window.actions_["tool.brush"].trigger()

    def at(x: float, y: float) -> QPoint:
        place = canvas.view.to_device(np.array([[x, y]]))[0] / canvas.view.dpr
        return QPoint(round(place[0]), round(place[1]))

    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, PLAIN, at(100, 100))
    qtbot.mouseMove(canvas, at(150, 100))
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, PLAIN, at(200, 100))
    qtbot.waitUntil(lambda: len(w.document) == 1)
    shape = next(w.document.annotations()).shape
    assert shape.contains(100, 100)
    assert w.tool_name == "brush"
    assert w.history.undo_title == "Paint annotation"
