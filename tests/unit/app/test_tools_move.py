"""The Move tool: handles, vertices, moving what is selected, the band."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely

from samdesk.app.tools import Pointer
from samdesk.app.tools.forms import ELLIPSE
from samdesk.domain.columns import Annotation
from samdesk.domain.ellipse import ellipse_in
from samdesk.domain.geometry import Bounds, Plane, Shape, ShapeKind
from tests.hand import Hand

TRIANGLE = Shape.polygon([(50, 50), (150, 50), (150, 150)])
KITE = Shape.polygon([(50, 50), (150, 60), (160, 150), (60, 140)])


@pytest.fixture
def hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hand]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    made = Hand.over_gray(tmp_path)
    made.take("move")
    yield made
    made.close()


def select(hand: Hand, *annotations: Annotation) -> None:
    hand.workspace.selection.set([one.id for one in annotations])


def chosen(hand: Hand, shape: Shape, **members: object) -> Annotation:
    """One selected annotation."""
    one = Annotation(shape, **members)
    assert hand.workspace.do(hand.workspace.document.adding([one]))
    select(hand, one)
    return one


def handles(hand: Hand) -> list[tuple[float, float]]:
    sketch = hand.workspace.sketch
    return [] if sketch is None or sketch.handles is None else [tuple(p) for p in sketch.handles.tolist()]


def test_handles_are_those_of_one_unlocked_annotation_here(hand: Hand) -> None:
    first, second = hand.add(KITE, TRIANGLE)
    assert handles(hand) == []
    select(hand, first)
    assert handles(hand) == [tuple(p) for p in KITE.coords.tolist()]
    select(hand, first, second)
    assert handles(hand) == []
    hand.workspace.do(hand.workspace.document.replacing([replace(first, locked=True)]))
    select(hand, first)
    assert handles(hand) == []
    chosen(hand, KITE, plane=Plane(1, 0))
    assert handles(hand) == []
    select(hand, second)
    hand.workspace.settings["annotations"] = False
    assert handles(hand) == []


def test_what_is_hidden_is_neither_held_nor_found(hand: Hand) -> None:
    chosen(hand, KITE, class_name="Tumor")
    assert handles(hand) != []
    hand.workspace.classes.hide(["Tumor"])
    assert handles(hand) == []
    hand.press(100, 100)
    assert hand.workspace.tool.pans
    hand.release(100, 100)
    hand.workspace.selection.clear()
    hand.drag((5, 5), (40, 40), (300, 200), ctrl=True)
    assert len(hand.workspace.selection) == 0


def test_handles_need_room(hand: Hand) -> None:
    turn = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    chosen(hand, Shape.polygon(100 + 50 * np.stack((np.cos(turn), np.sin(turn)), axis=1)))
    assert handles(hand) == []
    hand.workspace.look_at_scale(0.25)
    assert len(handles(hand)) == 100


def test_a_vertex_follows_the_pointer_and_is_one_step(hand: Hand) -> None:
    one = chosen(hand, KITE, provenance={"engine": "fake"})
    hand.press(151, 61)
    assert not hand.workspace.tool.pans
    hand.move(170, 40, "left")
    assert hand.sketch.replaces == {one.id}
    assert (170, 40) in [tuple(p) for p in hand.sketch.shapes[0].coords.tolist()]
    assert hand.sketch.text.endswith("px²")
    hand.release(180, 30)
    assert hand.last().shape.coords[1].tolist() == [180, 30]
    assert hand.last().id == one.id
    assert hand.last().provenance == {"engine": "fake", "edited": True}
    assert hand.workspace.history.undo_title == "Move vertex"
    hand.workspace.history.undo()
    assert hand.last().shape == KITE


def test_a_vertex_stays_on_the_image(hand: Hand) -> None:
    chosen(hand, KITE)
    hand.drag((50, 50), (20, 20), (-30, -10))
    assert hand.last().shape.coords[0].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("grip", "to", "box"),
    [
        ((150, 100), (170, 120), (50, 50, 170, 120)),
        ((150, 75), (120, 200), (50, 50, 120, 100)),
        ((50, 50), (200, 130), (150, 100, 200, 130)),
    ],
)
@pytest.mark.parametrize("ellipse", [False, True])
def test_a_box_stays_a_box(
    hand: Hand,
    grip: tuple[float, float],
    to: tuple[float, float],
    box: tuple[float, float, float, float],
    ellipse: bool,
) -> None:
    start = Bounds(50, 50, 150, 100)
    chosen(hand, ellipse_in(start) if ellipse else Shape.box(*start), extra=ELLIPSE if ellipse else {})
    assert len(handles(hand)) == 8
    hand.drag(grip, (grip[0] + 9, grip[1]), to)
    assert hand.last().shape.bounds == Bounds(*box)
    assert hand.last().extra == (ELLIPSE if ellipse else {})
    if ellipse:
        width, height = box[2] - box[0], box[3] - box[1]
        assert hand.last().shape.area == pytest.approx(math.pi / 4 * width * height, rel=0.01)
    else:
        assert hand.last().shape.area == (box[2] - box[0]) * (box[3] - box[1])


def test_vertices_are_removed_and_added(hand: Hand) -> None:
    chosen(hand, KITE)
    hand.press(60, 140, alt=True)
    hand.release(60, 140, alt=True)
    assert hand.last().shape == Shape.polygon(KITE.coords[:3])
    assert hand.workspace.history.undo_title == "Remove vertex"
    hand.press(50, 50, alt=True)
    hand.release(50, 50, alt=True)
    assert len(hand.last().shape.coords) == 3
    hand.click((100, 55))
    hand.click((100, 55), clicks=2)
    assert len(hand.last().shape.coords) == 4
    assert hand.workspace.history.undo_title == "Add vertex"
    assert hand.last().shape.area == pytest.approx(Shape.polygon(KITE.coords[:3]).area, abs=1)


def test_a_line_keeps_two_vertices(hand: Hand) -> None:
    line = Shape.from_parts([[[(10, 10), (60, 10), (60, 60)]]], ShapeKind.LINES)
    chosen(hand, line)
    for x, y in ((10, 10), (60, 60)):
        hand.press(x, y, alt=True)
        hand.release(x, y, alt=True)
    assert hand.last().shape.coords.tolist() == [[60, 10], [60, 60]]


def test_points_are_moved_and_removed_down_to_one(hand: Hand) -> None:
    chosen(hand, Shape.points([(50, 50), (90, 50)]))
    hand.drag((50, 50), (60, 60), (70, 90))
    assert hand.last().shape.coords.tolist() == [[70, 90], [90, 50]]
    for x, y in ((70, 90), (90, 50)):
        hand.press(x, y, alt=True)
        hand.release(x, y, alt=True)
    assert hand.last().shape.coords.tolist() == [[90, 50]]


def test_what_was_made_by_hand_needs_no_note_that_it_was_edited(hand: Hand) -> None:
    chosen(hand, KITE)
    hand.drag((50, 50), (40, 40), (30, 30))
    hand.drag((100, 100), (110, 100), (130, 100))
    assert hand.last().shape.coords[0].tolist() == [60, 30]
    assert hand.last().provenance == {}


def test_what_would_be_nothing_is_refused_quietly(hand: Hand) -> None:
    chosen(hand, TRIANGLE)
    hand.drag((150, 150), (120, 80), (100, 50))
    assert hand.last().shape == TRIANGLE
    assert hand.workspace.history.undo_title == "Add annotation"


def test_a_crossed_outline_is_repaired(hand: Hand) -> None:
    chosen(hand, KITE)
    hand.drag((50, 50), (100, 100), (200, 100))
    assert shapely.is_valid(hand.last().shape.to_shapely())


def test_what_is_selected_moves_together_and_stays_on_the_image(hand: Hand) -> None:
    one, two, locked, other = (Annotation(Shape.box(x, 50, x + 20, 70)) for x in (50, 100, 150, 200))
    locked = replace(locked, locked=True)
    hand.workspace.do(hand.workspace.document.adding([one, two, locked, other]))
    select(hand, one, two, locked)
    hand.press(60, 60)
    hand.move(70, 60, "left")
    assert hand.sketch.replaces == {one.id, two.id}
    assert hand.sketch.offset == (10, 0)
    hand.release(60 - 80, 61.2501)
    left = [annotation.shape.bounds[:2] for annotation in hand.all()]
    assert left == [(0, 51.25), (50, 51.25), (150, 50), (200, 50)]
    assert hand.workspace.history.undo_title == "Move 2 annotations"
    hand.workspace.history.undo()
    assert hand.all() == [one, two, locked, other]


def test_moving_keeps_an_ellipse(hand: Hand) -> None:
    chosen(hand, ellipse_in(Bounds(50, 50, 150, 100)), extra=ELLIPSE)
    hand.drag((100, 75), (110, 75), (120, 85))
    assert hand.last().shape.bounds == Bounds(70, 60, 170, 110)
    assert hand.last().extra == ELLIPSE


def test_elsewhere_a_drag_pans(hand: Hand) -> None:
    chosen(hand, KITE)
    hand.press(300, 200)
    assert hand.workspace.tool.pans
    hand.move(320, 200, "left")
    hand.release(320, 200)
    assert hand.last().shape == KITE
    chosen(hand, Shape.box(0, 0, 400, 300))
    hand.press(200, 150)
    assert hand.workspace.tool.pans  # what fills the image cannot be moved


def test_a_click_selects_and_again_what_lies_below(hand: Hand) -> None:
    large, small = hand.add(Shape.box(10, 10, 200, 200), Shape.box(90, 90, 120, 120))
    hand.click((105, 105))
    assert list(hand.workspace.selection.ids) == [small.id]
    hand.click((105, 105))
    assert list(hand.workspace.selection.ids) == [large.id]
    hand.press(95, 95, ctrl=True)
    hand.release(95, 95, ctrl=True)
    assert list(hand.workspace.selection.ids) == [large.id, small.id]
    hand.click((10, 100))
    assert list(hand.workspace.selection.ids) == [large.id]
    hand.click((10, 100))
    assert list(hand.workspace.selection.ids) == [large.id]  # its own outline does not let it go


def test_a_band_adds_what_is_inside(hand: Hand) -> None:
    first, second, _ = hand.add(
        Shape.box(10, 10, 20, 20), Shape.box(30, 30, 40, 40), Shape.box(90, 90, 120, 120)
    )
    select(hand, second)
    hand.drag((5, 5), (40, 40), (100, 100), ctrl=True)
    assert list(hand.workspace.selection.ids) == [second.id, first.id]


@pytest.mark.parametrize("how", ["escape", "undo", "tool"])
def test_a_drag_can_be_dropped(hand: Hand, how: str) -> None:
    hand.add(Shape.box(300, 200, 310, 210))
    chosen(hand, KITE)
    hand.press(100, 100)
    hand.move(120, 120, "left")
    assert hand.workspace.tool.busy
    if how == "escape":
        hand.workspace.tool.drop()
    elif how == "undo":
        hand.workspace.history.undo()
    else:
        hand.take("polygon")
    assert not hand.workspace.tool.busy
    hand.workspace.tool.release(Pointer(140, 140, "left"))
    assert KITE in [one.shape for one in hand.all()] or how == "undo"
    assert len(hand.all()) == (1 if how == "undo" else 2)


def test_hovering_says_what_a_press_would_take(hand: Hand) -> None:
    chosen(hand, KITE)
    for at, cursor in (((300, 200), "hand"), ((100, 100), "move"), ((51, 51), "grip"), ((300, 200), "hand")):
        hand.move(*at)
        assert hand.workspace.tool.cursor == cursor
    hand.move(51, 51)
    assert hand.sketch.held == 0
    hand.workspace.tool.leave()
    assert hand.sketch.held is None
