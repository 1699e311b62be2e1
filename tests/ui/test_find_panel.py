"""Finding many objects from the window: the form, the review list, and the candidates on the picture."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import QImage, QKeyEvent, QPainter
from PySide6.QtWidgets import QApplication, QToolButton, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from samdesk.app.finding import ExampleTool, FindSession
from samdesk.app.jobs import Jobs
from samdesk.app.review import Batch, Review, State
from samdesk.app.settings import Settings
from samdesk.app.workspace import Workspace
from samdesk.domain.columns import Annotation
from samdesk.domain.geometry import Bounds, Plane, Region, Shape
from samdesk.domain.prompts import BoxPrompt, Candidate
from samdesk.sdk import Segmenter
from samdesk.ui import theme
from samdesk.ui.bridge import Bridge
from samdesk.ui.layers.proposals import ProposalLayer
from samdesk.ui.layers.tiles import TileStore
from samdesk.ui.layers.view import View
from samdesk.ui.panels.find import IMAGE, SELECTED, VIEW, FindPanel
from samdesk.ui.panels.review import AREA, SCORE, ReviewPanel
from tests.fakes import BrightEngine, FakeEngine

CHIP = Region(0, 0, 1024, 1024)
SCORES = (0.9, 0.8, 0.7, 0.6, 0.3)


def candidates(scores: tuple[float, ...] = SCORES) -> list[Candidate]:
    """Boxes in a row, of which each is larger than the one before."""
    return [
        Candidate(Shape.box(100 * k + 10, 10, 100 * k + 30 + k, 30), score, CHIP)
        for k, score in enumerate(scores)
    ]


class Rig:
    """Both panels over a workspace with an open picture."""

    def __init__(self, workspace: Workspace, segmenter: Segmenter) -> None:
        self.workspace = workspace
        self.kept: list[Candidate] = []
        self.review = Review(self._keep)
        self.finding = FindSession(workspace.jobs, segmenter, self.review, self._known)
        self.finding.set_image(workspace.image, workspace.plane)
        for name, positive in (("example", True), ("counterexample", False)):
            workspace._tools[name] = ExampleTool(self.finding, positive)
        self.seen = Bounds(0, 0, 400, 300)
        self.find = FindPanel(workspace, self.finding, lambda: (self.seen, 1.0))
        self.list = ReviewPanel(workspace, self.review)
        self.dock = QWidget()
        layout = QVBoxLayout(self.dock)
        layout.setSizeConstraint(QVBoxLayout.SizeConstraint.SetNoConstraint)
        layout.addWidget(self.find)
        layout.addWidget(self.list, 1)
        self.dock.resize(270, 700)

    def _keep(self, kept: list[Candidate]) -> bool:
        self.kept += kept
        return True

    def _known(self):  # type: ignore[no-untyped-def]
        return self.workspace.document.snapshot()

    def show_results(self, *scores: float) -> None:
        self.review.begin("Searching")
        self.review.add(Batch.of(candidates(scores or SCORES)))
        self.review.end()

    def rows(self) -> list[str]:
        model = self.list.model
        return [model.index(row, SCORE).data() for row in range(model.rowCount())]

    def press(self, key: Qt.Key) -> bool:
        """Press a key in the list as Qt does; says whether the list takes it before any shortcut."""
        override = QKeyEvent(QEvent.Type.ShortcutOverride, key, Qt.KeyboardModifier.NoModifier)
        override.ignore()
        QApplication.sendEvent(self.list.view, override)
        for kind in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease):
            QApplication.sendEvent(self.list.view, QKeyEvent(kind, key, Qt.KeyboardModifier.NoModifier))
        return override.isAccepted()


def build(
    engine: FakeEngine | BrightEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> Iterator[Rig]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    theme.apply(theme.application(), "light")
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.full((600, 800, 3), 90, np.uint8))
    segmenter = Segmenter(engine)
    workspace = Workspace(Jobs(Bridge()), Settings(tmp_path / "settings.json"), segmenter)
    workspace.open(path)
    qtbot.waitUntil(lambda: workspace.image is not None and workspace.jobs.idle, timeout=10_000)
    rig = Rig(workspace, segmenter)
    qtbot.addWidget(rig.dock)
    with qtbot.waitExposed(rig.dock):
        rig.dock.show()
    yield rig
    rig.dock.hide()
    workspace.close()
    qtbot.wait(1)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot) -> Iterator[Rig]:
    yield from build(FakeEngine(), tmp_path, monkeypatch, qtbot)


@pytest.fixture
def plain_rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot) -> Iterator[Rig]:
    yield from build(BrightEngine(), tmp_path, monkeypatch, qtbot)


def done(rig: Rig, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: not rig.finding.busy, timeout=10_000)


# The form


def test_words_and_enter_find_and_list(rig: Rig, qtbot: QtBot) -> None:
    rig.seen = Bounds(0, 0, 800, 600)
    assert not rig.find.find_button.isEnabled()
    qtbot.keyClicks(rig.find.words, "coin")
    assert rig.find.find_button.isEnabled()
    qtbot.keyClick(rig.find.words, Qt.Key.Key_Return)
    assert rig.find.buttons.currentIndex() == 1
    done(rig, qtbot)
    assert rig.find.buttons.currentIndex() == 0
    assert rig.rows() == ["90 %", "70 %", "50 %"]
    assert rig.list.heading.text() == "<b>3</b> found, 3 ticked"


def test_stop_gives_the_search_up(rig: Rig, qtbot: QtBot) -> None:
    rig.find.words.setText("coin")
    rig.find.find_button.click()
    rig.find.stop.click()
    assert not rig.finding.busy
    assert rig.find.buttons.currentIndex() == 0


def test_the_slider_filters_without_asking_again(rig: Rig, qtbot: QtBot) -> None:
    rig.show_results()
    rig.find.score.setValue(75)
    assert rig.find.percent.text() == "75 %"
    assert rig.rows() == ["90 %", "80 %"]
    rig.find.score.setValue(0)
    assert len(rig.rows()) == 5
    assert rig.workspace.jobs.idle


def test_an_engine_without_search_still_finds_everything(plain_rig: Rig) -> None:
    find = plain_rig.find
    assert find.without.isVisible()
    assert not find.words.isVisible()
    assert not find.by_example.isVisible()
    assert not find.find_button.isVisible()
    assert find.everything.isEnabled()


def test_example_buttons_take_the_tool_and_give_it_back(rig: Rig) -> None:
    assert rig.workspace.tool_name == "segment"
    rig.find.add.click()
    assert rig.workspace.tool_name == "example"
    rig.find.exclude.click()
    assert rig.workspace.tool_name == "counterexample"
    assert not rig.find.add.isChecked()
    rig.workspace.select_tool("move")
    assert not rig.find.exclude.isChecked()
    rig.find.add.click()
    rig.find.add.click()
    assert rig.workspace.tool_name == "move"
    rig.find.add.click()
    rig.dock.hide()
    assert rig.workspace.tool_name == "move"


def test_an_example_searches_at_once_is_listed_and_can_be_removed(rig: Rig, qtbot: QtBot) -> None:
    rig.finding.add_example(BoxPrompt(Bounds(40, 40, 90, 80)))
    assert rig.finding.busy
    done(rig, qtbot)
    rig.finding.add_example(BoxPrompt(Bounds(140, 40, 190, 80), False))
    done(rig, qtbot)
    chips = [one for one in rig.find.by_example.findChildren(QToolButton) if "px" in one.text()]
    assert [one.text() for one in chips] == ["+ 50 px", "\u2212 50 px"]
    chips[0].click()
    assert rig.finding.examples == (BoxPrompt(Bounds(140, 40, 190, 80), False),)
    assert not rig.find.find_button.isEnabled()


def test_the_selection_is_offered_while_it_has_an_area(rig: Rig) -> None:
    workspace, item = rig.workspace, rig.find.where.model().item(SELECTED)
    assert not item.isEnabled()
    areas = [Annotation(Shape.box(10, 10, 60, 60)), Annotation(Shape.points([(5, 5)]))]
    workspace.do(workspace.document.adding(areas))
    workspace.selection.set([areas[1].id])
    rig.find.show_selection()
    assert not item.isEnabled()
    workspace.select_all()
    rig.find.show_selection()
    assert item.isEnabled()
    rig.find.where.setCurrentIndex(SELECTED)
    assert rig.find._place().shapes == (areas[0].shape,)
    workspace.selection.clear()
    rig.find.show_selection()
    assert rig.find.where.currentIndex() == VIEW
    rig.find.where.setCurrentIndex(IMAGE)
    assert rig.find._place().bounds == Bounds(0, 0, 800, 600)


# The list


def test_keep_hands_over_what_is_ticked_and_the_list_is_empty(rig: Rig) -> None:
    rig.show_results()
    assert rig.list.keep.text() == "Keep 4"
    tick = rig.list.model.index(1, SCORE)
    assert rig.list.model.setData(tick, Qt.CheckState.Unchecked.value, Qt.ItemDataRole.CheckStateRole)
    assert rig.list.keep.text() == "Keep 3"
    rig.list.keep.click()
    assert [one.score for one in rig.kept] == [0.9, 0.7, 0.6]
    assert rig.rows() == []
    assert rig.list.stack.currentWidget() is rig.list.nothing
    assert not rig.list.keep.isEnabled()


def test_all_none_and_drop(rig: Rig) -> None:
    rig.show_results()
    rig.list.none.click()
    assert rig.list.keep.text() == "Keep"
    assert not rig.list.keep.isEnabled()
    rig.list.all.click()
    assert rig.list.keep.text() == "Keep 4"
    rig.list.drop.click()
    assert len(rig.review) == 0


def test_nothing_is_kept_while_more_may_come(rig: Rig) -> None:
    rig.review.begin("Searching")
    rig.review.add(Batch.of(candidates()))
    assert not rig.list.keep.isEnabled()
    rig.review.end()
    assert rig.list.keep.isEnabled()


def test_a_and_r_judge_and_step_before_the_windows_shortcuts(rig: Rig) -> None:
    rig.show_results()
    rig.list.view.setCurrentIndex(rig.list.model.index(0, SCORE))
    assert rig.press(Qt.Key.Key_R)
    assert rig.press(Qt.Key.Key_A)
    assert [rig.review.state(k) for k in range(3)] == [State.REJECTED, State.KEPT, State.PROPOSED]
    assert rig.review.current == 2
    assert not rig.press(Qt.Key.Key_M)


def test_space_changes_the_tick(rig: Rig) -> None:
    rig.show_results()
    rig.list.view.setFocus()
    rig.list.view.setCurrentIndex(rig.list.model.index(0, SCORE))
    rig.press(Qt.Key.Key_Space)
    assert rig.review.state(0) is State.REJECTED
    rig.press(Qt.Key.Key_Space)
    assert rig.review.state(0) is State.KEPT


def test_a_click_on_the_tick_changes_it_and_one_beside_it_does_not(rig: Rig, qtbot: QtBot) -> None:
    rig.show_results()
    view = rig.list.view
    row = view.visualRect(rig.list.model.index(1, SCORE))
    for x, state in ((14, State.REJECTED), (14, State.KEPT), (row.width() - 4, State.KEPT)):
        at = QPoint(row.left() + x, row.center().y())
        qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=at)
        assert rig.review.state(1) is state
    assert rig.review.current == 1


def test_a_row_and_the_picture_point_at_the_same_candidate(rig: Rig, qtbot: QtBot) -> None:
    rig.show_results()
    with qtbot.waitSignal(rig.list.looked_at) as looked:
        rig.list.view.setCurrentIndex(rig.list.model.index(2, SCORE))
    assert looked.args == [rig.review.bounds(2)]
    assert rig.review.current == 2
    rig.review.current = 0
    assert rig.list.view.currentIndex().row() == 0


def test_the_current_row_stays_while_results_arrive(rig: Rig) -> None:
    rig.review.begin("Searching")
    rig.review.add(Batch.of(candidates((0.6, 0.7))))
    rig.list.view.setCurrentIndex(rig.list.model.index(0, SCORE))
    looked: list[object] = []
    rig.list.looked_at.connect(looked.append)
    rig.review.add(Batch.of(candidates((0.9, 0.8))))
    assert rig.rows() == ["90 %", "80 %", "70 %", "60 %"]
    assert rig.review.current == 1
    assert rig.list.view.currentIndex().row() == 2
    assert looked == []


def test_columns_sort(rig: Rig) -> None:
    rig.show_results()
    rig.list.view.setCurrentIndex(rig.list.model.index(0, SCORE))
    rig.list.view.sortByColumn(AREA, Qt.SortOrder.DescendingOrder)
    assert rig.rows() == ["60 %", "70 %", "80 %", "90 %"]
    assert rig.list.view.currentIndex().row() == 3
    rig.list.view.sortByColumn(SCORE, Qt.SortOrder.AscendingOrder)
    assert rig.rows() == ["60 %", "70 %", "80 %", "90 %"]


def test_an_empty_list_says_why(rig: Rig, qtbot: QtBot) -> None:
    rig.review.begin("Searching")
    rig.review.end()
    assert rig.list.nothing.text() == "Nothing was found."
    rig.show_results(0.3)
    assert "lower score" in rig.list.nothing.text()


def test_ten_thousand_rows_are_made_on_demand(rig: Rig) -> None:
    made: list[int] = []
    text = rig.list.model._text
    rig.list.model._text = lambda one, column: (made.append(one), text(one, column))[1]  # type: ignore[method-assign]
    box = Shape.box(10, 10, 20, 20)
    rig.review.begin("Searching")
    rig.review.add(Batch.of([Candidate(box, 0.5 + k / 20_000, CHIP) for k in range(10_000)]))
    QApplication.processEvents()
    assert rig.list.model.rowCount() == 10_000
    assert len(set(made)) < 200


@pytest.mark.parametrize("appearance", ["light", "dark"])
def test_nothing_is_cut_off_in_a_narrow_dock(rig: Rig, appearance: str) -> None:
    theme.apply(theme.application(), appearance)
    rig.find.restyle()
    rig.finding.examples = tuple(BoxPrompt(Bounds(0, 0, 40 + k, 40), k % 2 == 0) for k in range(5))
    rig.find.refresh()
    rig.show_results()
    rig.dock.resize(270, 700)
    QApplication.processEvents()
    for one in (
        *rig.dock.findChildren(QToolButton),
        rig.find.find_button,
        rig.find.everything,
        rig.list.keep,
    ):
        if one.isVisible() and one.text():
            assert one.width() >= one.fontMetrics().horizontalAdvance(one.text())
    theme.apply(theme.application(), "light")


# On the picture


class Picture:
    """A proposal layer and what it paints."""

    def __init__(self, rig: Rig, qtbot: QtBot) -> None:
        self._qtbot = qtbot
        self.repaints = 0
        self.store = TileStore(rig.workspace.jobs, 64 << 20, lambda key: None, self._failed)
        self.layer = ProposalLayer(
            self.store, itertools.count(), rig.review, rig.finding, Plane(), self._changed
        )
        self.view = View(250, 100, 1.0, 500, 200)

    def _changed(self) -> None:
        self.repaints += 1

    def _failed(self, error: Exception) -> None:
        raise error

    def look(self) -> NDArray[np.int64]:
        """What is painted on black when all tiles are there, (h, w, 3) RGB."""
        self.layer.follow(self.view, resting=True)
        self.store.want(self.layer.requests(self.view))
        self._qtbot.waitUntil(lambda: self.store.idle, timeout=10_000)
        self.layer.tiles_are_fresh()
        picture = QImage(500, 200, QImage.Format.Format_RGB32)
        picture.fill(Qt.GlobalColor.black)
        painter = QPainter(picture)
        self.layer.paint(painter, self.view)
        painter.end()
        rows = np.frombuffer(picture.constBits(), np.uint8).reshape(200, 500, 4)
        return rows[..., 2::-1].astype(np.int64)

    def around(self, k: int) -> NDArray[np.int64]:
        """Where the k-th of `candidates` is."""
        return self.look()[:60, 100 * k : 100 * k + 60]


@pytest.fixture
def picture(rig: Rig, qtbot: QtBot) -> Picture:
    return Picture(rig, qtbot)


def test_candidates_are_outlined_rejected_ones_faint_and_hidden_ones_not(rig: Rig, picture: Picture) -> None:
    rig.show_results()
    rig.review.set(1, State.REJECTED)
    rig.review.set(2, State.KEPT)
    proposed, rejected, kept, _, hidden = (picture.around(k).reshape(-1, 3).max(axis=0) for k in range(5))
    assert proposed[2] > proposed[1] > 150 > 10 > proposed[0]
    assert kept[1] > 150 > kept[2]
    assert 30 < rejected.max() < 100
    assert not hidden.any()
    rig.review.min_score = 0.2
    assert picture.around(4).any()


def test_the_current_one_is_stressed_and_the_hovered_one_less(rig: Rig, picture: Picture) -> None:
    rig.show_results()
    plain = picture.around(0).sum()
    assert not picture.around(0)[20, 20].any()
    rig.review.hovered = 0
    hovered = picture.around(0).sum()
    rig.review.hovered, rig.review.current = None, 0
    assert picture.around(0)[20, 20].any()
    assert plain < hovered < picture.around(0).sum()


def test_the_picture_follows_the_next_search_and_the_plane(rig: Rig, picture: Picture) -> None:
    rig.show_results()
    assert picture.look().any()
    rig.review.clear()
    assert not picture.look().any()
    rig.show_results(0.9)
    assert picture.around(0).any()
    picture.layer.set_plane(Plane(1, 0))
    rig.review.current = 0
    assert not picture.look().any()


def test_without_candidates_no_tiles_are_made(rig: Rig, picture: Picture) -> None:
    picture.layer.follow(picture.view, resting=True)
    assert picture.layer.requests(picture.view) == []


def test_examples_are_painted_with_their_sign(rig: Rig, picture: Picture) -> None:
    rig.finding.examples = (BoxPrompt(Bounds(50, 50, 90, 90)), BoxPrompt(Bounds(150, 50, 190, 90), False))
    rig.finding.drag_example(BoxPrompt(Bounds(250, 50, 290, 90)))
    seen = picture.look()
    green, red = seen[90, 70], seen[90, 170]
    assert green[1] > green[0]
    assert red[0] > red[1]
    assert seen[45:95, 245:295].any()
    assert picture.repaints == 1


def test_hovering_a_row_points_at_its_candidate(rig: Rig, qtbot: QtBot) -> None:
    rig.show_results()
    view = rig.list.view
    place = view.visualRect(rig.list.model.index(1, SCORE)).center()
    view.entered.emit(view.indexAt(place))
    assert rig.review.hovered == 1
    QApplication.sendEvent(view, QEvent(QEvent.Type.Leave))
    assert rig.review.hovered is None
