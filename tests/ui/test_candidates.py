"""Candidates in the window: refining, accepting unasked, and the review, by their keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from pytestqt.qtbot import QtBot

from samdesk.app.review import Batch, State
from samdesk.app.settings import Settings
from samdesk.domain.columns import Annotation
from samdesk.domain.geometry import Region, Shape
from samdesk.domain.prompts import Candidate, PointPrompt
from samdesk.sdk import Segmenter
from samdesk.ui import theme
from samdesk.ui.main_window import MainWindow
from tests.fakes import FakeEngine

LEFT, NO_MODIFIER = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
BOX = Shape.box(100, 100, 180, 160)


@pytest.fixture
def window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot) -> Iterator[MainWindow]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    theme.apply(theme.application(), "light")
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.full((600, 800, 3), 90, np.uint8))
    made = MainWindow(Settings(tmp_path / "settings.json"), Segmenter(FakeEngine()))
    made.show()
    qtbot.waitExposed(made)
    made.workspace.open(path)
    qtbot.waitUntil(lambda: made.workspace.image is not None and made.jobs.idle, timeout=10_000)
    made.activateWindow()
    made.canvas.setFocus()
    qtbot.waitUntil(lambda: made.isActiveWindow() and made.canvas.hasFocus())
    made.zoom_to(1.0)
    made.workspace.select_tool("segment")
    yield made
    made.close()
    made.deleteLater()
    qtbot.wait(1)


def click(window: MainWindow, qtbot: QtBot, x: float, y: float) -> None:
    view = window.canvas.view
    at = (np.array([x, y]) - view.bounds[:2]) / view.scale
    qtbot.mouseClick(window.canvas, LEFT, NO_MODIFIER, QPoint(*np.round(at).astype(int).tolist()))


def add(window: MainWindow, *annotations: Annotation) -> None:
    w = window.workspace
    w.do(w.document.adding(annotations))
    w.selection.set([one.id for one in annotations])


def press(window: MainWindow, qtbot: QtBot, key: Qt.Key, modifier: Qt.KeyboardModifier = NO_MODIFIER) -> None:
    qtbot.keyClick(window.canvas, key, modifier)


def test_shift_r_a_click_and_enter_replace_the_shape(window: MainWindow, qtbot: QtBot) -> None:
    made = Annotation(BOX, class_name="Tumor")
    add(window, made)
    w, session = window.workspace, window.workspace.session
    press(window, qtbot, Qt.Key.Key_R, SHIFT)
    assert session.refined is not None
    qtbot.waitUntil(lambda: len(session.proposal.candidates) > 1)
    assert "as it is" in window.pill.text()
    assert "Tumor" in window.pill.text()
    click(window, qtbot, 170, 150)
    qtbot.waitUntil(lambda: session.proposal.state == "ready" and session.can_accept)
    assert window.pill.text().count("·") == 2
    press(window, qtbot, Qt.Key.Key_Return)
    (now,) = w.document.annotations()
    assert now.id == made.id
    assert now.shape != BOX
    assert now.provenance["refined"] == 1


def test_x_goes_on_and_shift_x_back(window: MainWindow, qtbot: QtBot) -> None:
    session = window.workspace.session
    click(window, qtbot, 200, 200)
    qtbot.waitUntil(lambda: len(session.proposal.candidates) == 3)
    press(window, qtbot, Qt.Key.Key_X, SHIFT)
    assert session.proposal.index == 2
    assert "<b>0.70</b>" in window.pill.text()
    press(window, qtbot, Qt.Key.Key_X)
    assert session.proposal.index == 0


def test_a_click_on_a_mark_takes_the_point_away(window: MainWindow, qtbot: QtBot) -> None:
    session = window.workspace.session
    click(window, qtbot, 200, 200)
    click(window, qtbot, 260, 200)
    qtbot.waitUntil(lambda: session.proposal.state == "ready")
    click(window, qtbot, 262, 201)
    assert session.proposal.prompts.points == (PointPrompt(200, 200),)


def test_a_double_click_on_a_mark_keeps_what_is_shown(window: MainWindow, qtbot: QtBot) -> None:
    session = window.workspace.session
    click(window, qtbot, 400, 300)
    qtbot.waitUntil(lambda: session.can_accept and window.jobs.idle)
    session.cycle()
    shown = session.proposal.current
    click(window, qtbot, 400, 300)
    view = window.canvas.view
    at = QPoint(round((400 - view.bounds.x0) / view.scale), round((300 - view.bounds.y0) / view.scale))
    qtbot.mouseDClick(window.canvas, LEFT, NO_MODIFIER, at)
    (kept,) = window.workspace.document.annotations()
    assert shown is not None
    assert kept.shape.area == pytest.approx(shown.shape.area, rel=1e-3)


def test_while_accepting_unasked_the_pill_counts(window: MainWindow, qtbot: QtBot) -> None:
    press(window, qtbot, Qt.Key.Key_Return, SHIFT)
    assert window.actions_["segment.auto"].isChecked()
    assert window.pill.isVisible()
    for x in (150, 250, 350, 450):
        click(window, qtbot, x, 200)
    qtbot.waitUntil(lambda: len(window.workspace.document) == 4)
    assert "<b>4</b>" in window.pill.text()
    qtbot.keyClick(window.canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert "<b>3</b>" in window.pill.text()
    press(window, qtbot, Qt.Key.Key_Return, SHIFT)
    assert not window.pill.isVisible()


def test_a_and_r_judge_while_something_is_in_review_and_mean_the_usual_else(
    window: MainWindow, qtbot: QtBot
) -> None:
    review, chip = window.workspace.review, Region(0, 0, 800, 600)
    assert not window.find_dock.isVisible()
    review.begin("Searching")
    review.add(
        Batch.of(
            [
                Candidate(Shape.box(90 * k, 10, 90 * k + 50, 60), 0.9 - 0.1 * k, chip, engine="fake")
                for k in range(3)
            ]
        )
    )
    review.end()
    assert window.find_dock.isVisible()
    window.canvas.setFocus()
    qtbot.waitUntil(window.canvas.hasFocus)
    for key in (Qt.Key.Key_A, Qt.Key.Key_R, Qt.Key.Key_A):
        press(window, qtbot, key)
    assert [review.state(k) for k in range(3)] == [State.REJECTED, State.KEPT, State.PROPOSED]
    assert window.settings["annotations"]
    assert window.workspace.tool_name == "segment"
    window.actions_["review.keep"].trigger()
    assert len(window.workspace.document) == 2
    window.workspace.history.undo()
    assert len(window.workspace.document) == 0
    press(window, qtbot, Qt.Key.Key_A)
    assert not window.settings["annotations"]
    press(window, qtbot, Qt.Key.Key_R)
    assert window.workspace.tool_name == "rectangle"
