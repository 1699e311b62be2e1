"""Drawing tools: what a gesture adds, selects or drops."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import shapely

from samdesk.app.commands.table import WHEN
from samdesk.app.tools.drawn import AT_ONCE
from samdesk.domain.geometry import Bounds, Plane, Shape, ShapeKind
from tests.hand import Hand


@pytest.fixture
def hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hand]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    made = Hand.over_gray(tmp_path)
    yield made
    made.close()


def test_a_rectangle_has_class_and_plane_is_selected_and_one_step(hand: Hand) -> None:
    hand.workspace.choose_class("Tumor")
    hand.take("rectangle")
    hand.drag((50, 60), (20, 30), (10, 20))
    made = hand.last()
    assert made.shape == Shape.box(10, 20, 50, 60)
    assert (made.class_name, made.plane) == ("Tumor", Plane())
    assert list(hand.workspace.selection.ids) == [made.id]
    assert hand.workspace.history.undo_title == "Add rectangle"
    assert hand.workspace.tool_name == "move"
    hand.workspace.history.undo()
    assert hand.all() == []


def test_the_sketch_says_how_large_it_is(hand: Hand) -> None:
    hand.take("rectangle")
    hand.press(10, 20)
    hand.move(40, 60, "left")
    assert hand.sketch.shapes == (Shape.box(10, 20, 40, 60),)
    assert (hand.sketch.text, hand.sketch.at) == ("30 × 40 px", (40, 60))
    assert hand.workspace.tool.busy
    hand.release(40, 60)
    assert not hand.workspace.tool.busy


@pytest.mark.parametrize(("tool", "area"), [("rectangle", 40**2), ("ellipse", math.pi * 20**2)])
def test_shift_makes_it_as_wide_as_high(hand: Hand, tool: str, area: float) -> None:
    hand.take(tool)
    hand.drag((100, 100), (70, 90), (60, 90), shift=True)
    assert hand.last().shape.bounds == Bounds(60, 60, 100, 100)
    assert hand.last().shape.area == pytest.approx(area, rel=0.01)


def test_an_ellipse_says_that_it_is_one_unless_the_image_cuts_it(hand: Hand) -> None:
    hand.take("ellipse")
    hand.drag((10, 10), (60, 40), (90, 50))
    assert hand.last().extra == {"geometry": {"isEllipse": True}}
    assert hand.last().shape.bounds == Bounds(10, 10, 90, 50)
    hand.take("ellipse")
    hand.drag((350, 100), (420, 150), (450, 180))
    assert hand.last().extra == {}
    assert hand.last().shape.bounds.x1 == 400


@pytest.mark.parametrize("tool", ["rectangle", "ellipse", "line", "polygon", "polyline"])
def test_what_is_too_small_or_off_the_image_adds_nothing(hand: Hand, tool: str) -> None:
    hand.take(tool)
    hand.drag((20, 20), (21, 21), (22, 22))
    hand.workspace.tool.drop()
    hand.drag((-90, -90), (-80, -20), (-50, -60))
    hand.workspace.tool.drop()
    assert hand.all() == []
    assert hand.workspace.sketch is None
    assert not hand.workspace.tool.busy


def test_a_line_is_dragged_or_clicked(hand: Hand) -> None:
    hand.take("line")
    hand.drag((10, 10), (20, 20), (40, 50))
    hand.take("line")
    hand.click((10, 10))
    hand.move(60, 10)
    assert hand.sketch.text == "50 px"
    hand.click((60, 10))
    assert [one.shape.length for one in hand.all()] == [50, 50]
    assert all(one.shape.kind is ShapeKind.LINES for one in hand.all())
    hand.take("line")
    hand.drag((10, 10), (30, 12), (110, 14), shift=True)
    assert hand.last().shape.coords[1, 1] == 10


@pytest.mark.parametrize("end", ["double", "enter", "first"])
def test_a_polygon_is_clicked(hand: Hand, end: str) -> None:
    hand.take("polygon")
    hand.click((10, 10), (110, 10), (110, 60))
    hand.move(10, 60)
    assert hand.sketch.text == "5,000 px²"
    assert hand.sketch.handles is not None
    assert len(hand.sketch.handles) == 3
    if end == "double":
        hand.click((10, 60))
        hand.click((10, 60), clicks=2)
    elif end == "enter":
        hand.click((10, 60))
        hand.workspace.tool.finish()
    else:
        hand.click((10, 60))
        hand.move(11, 11)
        assert hand.sketch.held == 0
        hand.click((11, 11))
    assert hand.last().shape.area == 5000
    assert len(hand.all()) == 1
    assert hand.workspace.tool_name == "move"


def test_freehand_ends_with_its_drag_and_is_simple(hand: Hand) -> None:
    turn = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    path = [(100 + 50 * math.cos(t), 100 + 50 * math.sin(t)) for t in turn]
    hand.take("polygon")
    hand.drag(*path)
    shape = hand.last().shape
    assert shape.area == pytest.approx(math.pi * 50**2, rel=0.02)
    assert len(shape.coords) < 60
    hand.take("polyline")
    hand.drag(*path)
    assert hand.last().shape.length == pytest.approx(2 * math.pi * 50, rel=0.03)


def test_clicks_and_freehand_make_one_outline(hand: Hand) -> None:
    hand.take("polygon")
    hand.click((10, 10), (100, 10))
    hand.drag((100, 40), (100, 70), (60, 70))
    assert hand.workspace.tool.busy
    hand.click((10, 70))
    hand.workspace.tool.finish()
    assert hand.last().shape.area == 90 * 60


def test_backspace_takes_vertices_back_and_escape_drops(hand: Hand) -> None:
    hand.take("polyline")
    hand.click((10, 10), (60, 10), (60, 90))
    hand.workspace.tool.back()
    hand.workspace.tool.finish()
    assert hand.last().shape.length == 50
    hand.take("polyline")
    hand.click((10, 10))
    hand.workspace.tool.back()
    assert not hand.workspace.tool.busy
    hand.click((10, 10), (60, 10))
    hand.workspace.tool.drop()
    assert len(hand.all()) == 1
    assert hand.workspace.sketch is None


def test_an_outline_that_crosses_itself_is_repaired(hand: Hand) -> None:
    hand.take("polygon")
    hand.click((10, 10), (90, 90), (90, 10), (10, 90))
    hand.workspace.tool.finish()
    shape = hand.last().shape
    assert shapely.is_valid(shape.to_shapely())
    assert shape.area == pytest.approx(3200, rel=0.01)


def test_a_double_click_selects_what_is_there(hand: Hand) -> None:
    (one,) = hand.add(Shape.box(10, 10, 90, 90))
    for tool in ("rectangle", "ellipse", "line", "polygon", "polyline"):
        hand.workspace.selection.clear()
        hand.take(tool)
        hand.click((50, 50))
        hand.click((50, 50), clicks=2)
        assert list(hand.workspace.selection.ids) == [one.id], tool
        assert not hand.workspace.tool.busy
    assert len(hand.all()) == 1


def test_selection_mode_selects_what_is_inside(hand: Hand) -> None:
    small, far, large = hand.add(
        Shape.box(20, 20, 30, 30), Shape.box(200, 200, 210, 210), Shape.box(0, 0, 99, 99)
    )
    hand.workspace.set_selecting(True)
    assert hand.workspace.tool_name == "rectangle"
    hand.drag((10, 10), (30, 30), (60, 60))
    assert list(hand.workspace.selection.ids) == [small.id]
    hand.take("ellipse")
    hand.drag((150, 150), (200, 230), (260, 260))
    assert list(hand.workspace.selection.ids) == [far.id]
    hand.take("line")
    hand.drag((25, 5), (25, 20), (25, 25))
    assert set(hand.workspace.selection.ids) == {small.id, large.id}
    assert len(hand.all()) == 3
    assert hand.workspace.tool_name == "line"


def test_very_many_are_selected_by_a_job(hand: Hand) -> None:
    hand.add(*(Shape.box(x, y, x + 2, y + 2) for x in range(0, 240, 4) for y in range(0, 240, 4)))
    assert len(hand.all()) > AT_ONCE
    hand.workspace.set_selecting(True)
    hand.drag((0, 0), (100, 100), (199, 199))
    hand.settle()
    assert len(hand.workspace.selection) == 50**2


def test_the_tool_stays_if_that_is_wanted(hand: Hand) -> None:
    hand.workspace.settings["return_to_move"] = False
    hand.take("rectangle")
    hand.drag((10, 20), (20, 30), (50, 60))
    assert hand.workspace.tool_name == "rectangle"
    assert hand.workspace.sketch is None


def test_another_plane_or_image_drops_what_is_begun(hand: Hand) -> None:
    hand.take("polygon")
    hand.click((10, 10), (60, 10))
    hand.workspace.close_image()
    assert not hand.workspace.tool.busy
    assert hand.workspace.sketch is None


def test_edits_of_others_do_not_disturb_what_is_begun(hand: Hand) -> None:
    hand.take("polygon")
    hand.click((10, 10), (60, 10))
    hand.add(Shape.box(100, 100, 120, 120))
    hand.click((60, 60))
    hand.workspace.tool.finish()
    assert hand.last().shape.area == 1250


def test_keys_mean_the_shape_while_one_is_drawn(hand: Hand) -> None:
    hand.add(Shape.box(10, 10, 90, 90))
    hand.workspace.select_all()
    assert [WHEN[name](hand.workspace) for name in ("drawing", "editable selection")] == [False, True]
    hand.take("polygon")
    hand.click((10, 10), (60, 10))
    assert [WHEN[name](hand.workspace) for name in ("drawing", "editable selection")] == [True, False]


def test_the_box_tool_asks_the_model(hand: Hand) -> None:
    hand.take("segment_box")
    hand.press(50, 50)
    hand.move(120, 110, "left")
    assert hand.workspace.session.proposal.box == Bounds(50, 50, 120, 110)
    assert not WHEN["prompts"](hand.workspace)
    assert WHEN["drawing"](hand.workspace)
    hand.release(120, 110)
    hand.settle()
    assert hand.workspace.session.can_accept
    hand.click((200, 200))
    hand.move(260, 250)
    hand.click((260, 250))
    assert [box.bounds for box in hand.workspace.session.proposal.prompts.boxes] == [
        Bounds(200, 200, 260, 250)
    ]
    hand.click((20, 20))
    hand.workspace.tool.drop()
    assert hand.workspace.session.proposal.box is None
    assert hand.workspace.session.has_prompts
