"""A day with candidates: prompts, counting click by click, sweeps, and looking through what they find."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from samdesk.app.review import State
from samdesk.domain.outline import iou

from .conftest import ALT, CTRL, SHIFT, Hands, disc_center, disc_radius, write_few_discs

PLACES = [(column, row) for row in range(3) for column in range(4)]


def size_of(column: int, row: int) -> float:
    return math.pi * disc_radius(column, row) ** 2


def test_one_object_is_prompted_corrected_and_kept(discs: Hands) -> None:
    user = discs
    x, y = disc_center(0, 0)
    user.key(Qt.Key.Key_S)
    assert not user.window.pill.isVisible()

    # the pointer alone shows what a click would give; the switch turns that off and on
    user.move(x - 2, y)
    user.move(x, y)
    user.wait(lambda: user.session.proposal.hover and user.session.proposal.current is not None)
    user.menu("segment.hover")
    user.move(x + 5, y)
    assert user.session.proposal.current is None
    user.menu("segment.hover")

    # a click: outline, pill with score and keys; the class key is for the candidate
    user.click(x, y)
    assert user.session.proposal.current.shape.area == pytest.approx(size_of(0, 0), rel=0.05)
    assert user.window.pill.isVisible()
    assert "Enter" in user.window.pill.text()
    user.key(Qt.Key.Key_1)
    assert "Tumor" in user.window.pill.text()
    assert len(user.document) == 0

    # X goes round the candidates
    count = len(user.session.proposal.candidates)
    if count > 1:
        user.key(Qt.Key.Key_X)
        assert user.session.proposal.index == 1
        user.key(Qt.Key.Key_X, SHIFT)
    assert user.session.proposal.index == 0

    # a point is added, taken away by a click on its mark, and Backspace takes back
    user.click(x + 12, y)
    assert len(user.session.proposal.prompts.points) == 2
    user.click(x + 12, y)
    assert len(user.session.proposal.prompts.points) == 1
    user.click(x, y + 14)
    user.key(Qt.Key.Key_Backspace)
    user.rest()
    assert len(user.session.proposal.prompts.points) == 1

    # a double click on the object keeps what is shown, also where its mark is
    user.twice(x, y)
    user.wait(lambda: len(user.document) == 1)
    (kept,) = user.all()
    assert kept.class_name == "Tumor"
    assert kept.shape.area == pytest.approx(size_of(0, 0), rel=0.05)
    assert kept.provenance["score"] > 0.5
    assert user.last == "Add annotation"

    # a box, then Esc: nothing is kept; Shift+B draws boxes only
    x, y = disc_center(1, 0)
    user.drag(x - 40, y - 40, x + 40, y + 40)
    assert user.session.proposal.current.shape.area == pytest.approx(size_of(1, 0), rel=0.05)
    user.key(Qt.Key.Key_Escape)
    assert not user.window.pill.isVisible()
    assert len(user.document) == 1
    user.key(Qt.Key.Key_B, SHIFT)
    user.drag(x - 40, y - 40, x + 40, y + 40)
    user.key(Qt.Key.Key_Return)
    assert len(user.document) == 2
    assert user.all()[1].provenance["boxes"]

    user.undo_all()
    assert len(user.document) == 0


def test_objects_are_counted_click_by_click(discs: Hands, tmp_path: Path) -> None:
    user = discs
    user.key(Qt.Key.Key_3)
    user.key(Qt.Key.Key_Return, SHIFT)
    assert user.workspace.settings["auto_accept"]
    assert user.window.pill.isVisible()

    # eight quick clicks and an impatient one more on the first, and a class changed between them
    for place in PLACES[:4]:
        user.tap(*disc_center(*place))
    user.tap(*disc_center(0, 0))
    user.key(Qt.Key.Key_2)
    for place in PLACES[4:8]:
        user.tap(*disc_center(*place))
    user.wait(lambda: user.session.proposal.auto.waiting == 0)
    assert len(user.document) == 8
    assert [one.class_name for one in user.all()] == ["Immune cells"] * 4 + ["Stroma"] * 4
    for one, place in zip(user.all(), PLACES, strict=False):
        assert one.shape.area == pytest.approx(size_of(*place), rel=0.05)
    assert len(user.workspace.selection) == 0  # else the class keys would be for it
    assert "8" in user.window.pill.text()

    # each is a step of its own, and what is taken back does not count
    user.key(Qt.Key.Key_Z, CTRL)
    assert len(user.document) == 7
    assert "7" in user.window.pill.text()

    # the mode ends; the next click waits for Enter again
    user.key(Qt.Key.Key_Return, SHIFT)
    user.click(*disc_center(0, 2))
    assert len(user.document) == 7
    user.key(Qt.Key.Key_Escape)

    features = user.exported(tmp_path / "counted.geojson")
    names = [one["properties"]["classification"]["name"] for one in features]
    assert names == ["Immune cells"] * 4 + ["Stroma"] * 3
    user.undo_all()
    user.key(Qt.Key.Key_0)


def test_everything_is_found_looked_through_and_kept_as_one_step(hands: Hands, tmp_path: Path) -> None:
    user = hands
    discs = write_few_discs(tmp_path / "few.ome.tif")
    user.open(tmp_path / "few.ome.tif")
    user.look()
    review, find, panel = user.workspace.review, user.window.find_panel, user.window.review

    # one disc is annotated already
    user.click(*discs[3][:2])
    user.key(Qt.Key.Key_Return)
    (there,) = user.all()

    def all_found() -> bool:
        return all(np.isclose(review.areas, math.pi * r**2, rtol=0.06).any() for *_, r in discs)

    # Find Everything in the view: what it finds is seen at once; stopped, it stays
    user.key(Qt.Key.Key_F, CTRL)
    user.wait(user.window.find_dock.isVisible)
    user.look()
    user.push(find.everything)
    assert find.stop.isVisible()
    user.wait(all_found)
    assert review.busy
    assert not panel.keep.isEnabled()  # more may come
    user.push(find.stop)
    user.rest()
    assert not review.busy
    assert find.everything.isVisible()
    assert all_found()
    found = [review.at(x, y) for x, y, _ in discs]
    assert None not in found
    assert panel.view.isVisible()
    assert panel.model.rowCount() == len(review.shown())

    # what is there already is not ticked, and says so
    assert review.is_there(found[3])
    assert found[3] not in review.ticked()

    # A and R judge what a click in the picture has chosen, and go on; they are not tools now
    user.key(Qt.Key.Key_M)
    user.tap(*discs[0][:2])
    assert review.current == found[0]
    user.key(Qt.Key.Key_R)
    assert user.workspace.tool_name == "move"
    assert review.state(found[0]) is State.REJECTED
    user.tap(*discs[1][:2])
    user.key(Qt.Key.Key_A)
    assert review.state(found[1]) is State.KEPT
    assert user.workspace.settings["annotations"]

    # None, then two of them by hand; one more with Space in the list
    user.push(panel.none)
    assert len(review.ticked()) == 0
    assert not panel.keep.isEnabled()
    for x, y, _ in discs[1:3]:
        user.tap(x, y)
        user.key(Qt.Key.Key_A)
    user.row(panel.view, panel.model.row_of(found[0]))
    assert review.current == found[0]
    user.key_in(panel.view, Qt.Key.Key_Space)
    assert len(review.ticked()) == 3
    assert panel.keep.text() == "Keep 3"

    # kept: one step, in the class that is active
    user.workspace.choose_class("Tumor")
    wanted = [review[index].shape for index in sorted(review.ticked().tolist())]
    user.push(panel.keep)
    assert len(user.document) == 4
    assert len(review) == 0
    new = user.all()[1:]
    assert [one.class_name for one in new] == ["Tumor"] * 3
    assert [iou(one.shape, shape) for one, shape in zip(new, wanted, strict=True)] == pytest.approx(
        [1.0] * 3, abs=1e-3
    )
    assert user.last == "Add 3 annotations"
    features = user.exported(tmp_path / "found.geojson")
    assert len({one["id"] for one in features}) == 4
    user.key(Qt.Key.Key_Z, CTRL)
    assert user.all() == [there]

    # R draws rectangles again: a region around the first disc, swept by itself
    user.workspace.choose_class(None)
    user.key(Qt.Key.Key_R)
    assert user.workspace.tool_name == "rectangle"
    user.stroke((6, 6), (54, 54))
    (region,) = user.selected()
    find.where.setFocus()
    QTest.keyClick(find.where, Qt.Key.Key_Down)
    assert find.where.currentText() == "Selected annotation"
    user.push(find.everything)
    user.wait(lambda: review.at(*discs[0][:2]) is not None)
    user.push(find.stop)
    user.rest()
    assert [review.at(x, y) is not None for x, y, _ in discs] == [True, False, False, False]
    user.push(panel.drop)
    assert len(review) == 0
    assert user.all() == [there, region]
    user.window.find_dock.hide()
    user.undo_all()
    assert len(user.document) == 0


def test_what_a_file_holds_is_looked_through_before_it_is_added(discs: Hands, tmp_path: Path) -> None:
    user = discs
    review = user.workspace.review
    user.key(Qt.Key.Key_R)
    user.stroke((10, 190), (395, 590))
    (region,) = user.selected()
    user.key(Qt.Key.Key_1)
    source = tmp_path / "region.geojson"
    user.exported(source)
    user.key(Qt.Key.Key_Delete)
    assert len(user.document) == 0
    user.file(source, lambda: user.menu("file.import_review"))
    user.wait(lambda: len(review) == 1 and not review.busy)
    user.back()
    assert len(user.document) == 0
    assert user.window.find_dock.isVisible()
    user.key(Qt.Key.Key_Return, CTRL | SHIFT)
    user.rest()
    assert [(one.id, one.class_name) for one in user.all()] == [(region.id, "Tumor")]
    user.key(Qt.Key.Key_Z, CTRL)
    assert len(user.document) == 0
    assert user.window.properties.nothing.isVisible()


def test_a_negative_click_takes_away_and_near_clicks_count(discs: Hands) -> None:
    user = discs
    x, y = disc_center(3, 2)
    user.key(Qt.Key.Key_S)
    user.click(x, y)
    user.click(x + 8, y)
    user.click(x + 30, y + 20, held=ALT)
    points = user.session.proposal.prompts.points
    assert [one.positive for one in points] == [True, True, False]
    user.key(Qt.Key.Key_Escape)
    assert len(user.document) == 0
