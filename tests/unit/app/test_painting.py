"""Brush, wand and points in a real workspace: QuPath's rules, one step per stroke."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.settings import Settings
from samdesk.app.tools import Pointer, Sketch
from samdesk.app.tools.brush import BrushTool
from samdesk.app.tools.points import PointsTool
from samdesk.app.tools.wand import WandTool, alike, likeness
from samdesk.app.workspace import Workspace
from samdesk.domain.columns import Annotation
from samdesk.domain.geometry import Shape, ShapeKind
from samdesk.sdk import Segmenter
from tests.annotation_tables import content
from tests.fakes import FakeEngine

DISC = (200, 150, 40)
"""Middle and radius of what is bright in the picture."""


class Rig:
    """A workspace without a window, and a hand on the mouse."""

    def __init__(self, home: Path) -> None:
        self.main = MainQueue()
        self.jobs = Jobs(self.main)
        self.workspace = Workspace(self.jobs, Settings(home / "settings.json"), Segmenter(FakeEngine()))
        self.workspace.settings["brush_px"] = 20

    def settle(self) -> None:
        for _ in range(3):
            self.main.run_until(lambda: self.jobs.idle, 20)
            self.main.drain()

    def use(self, tool: str) -> Any:
        self.workspace.select_tool(tool)
        return self.workspace.tool

    def drag(self, *places: tuple[float, float], up: bool = True, **held: Any) -> None:
        tool = self.workspace.tool
        pointers = [Pointer(x, y, "left", **held) for x, y in places]
        tool.press(pointers[0])
        for pointer in pointers[1:]:
            tool.move(pointer)
        if up:
            tool.release(pointers[-1])

    def add(self, shape: Shape, **more: Any) -> Annotation:
        one = Annotation(shape, **more)
        self.workspace.do(self.workspace.document.adding([one]))
        self.workspace.selection.set([one.id])
        return one

    def all(self) -> list[Annotation]:
        return list(self.workspace.document.annotations())

    @property
    def sketch(self) -> Sketch | None:
        return self.workspace.sketch

    @property
    def steps(self) -> int:
        return len(self.workspace.history._done)

    def close(self) -> None:
        self.workspace.close()
        self.main.drain()


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    path = tmp_path / "picture.png"
    picture = np.full((300, 400, 3), 90, np.uint8)
    cv2.circle(picture, DISC[:2], DISC[2], (200, 180, 240), -1)
    noise = np.random.default_rng(0).integers(-6, 7, picture.shape)
    cv2.imwrite(str(path), np.clip(picture + noise, 0, 255).astype(np.uint8))
    made = Rig(tmp_path)
    made.workspace.open(path)
    made.settle()
    yield made
    made.close()


class TestBrush:
    @pytest.fixture(autouse=True)
    def brush(self, rig: Rig) -> BrushTool:
        tool = rig.use("brush")
        assert isinstance(tool, BrushTool)
        return tool

    def test_a_stroke_is_one_annotation_and_one_step(self, rig: Rig) -> None:
        rig.workspace.choose_class("Tumor")
        rig.drag((50, 50), (60, 50), (100, 50))
        (one,) = rig.all()
        assert one.class_name == "Tumor"
        assert one.shape.area == pytest.approx(50 * 20 + np.pi * 100, rel=0.01)
        assert one.shape.bounds == pytest.approx((40, 40, 110, 60), abs=0.1)
        assert len(one.shape.coords) < 60
        assert "edited" not in one.provenance
        assert list(rig.workspace.selection.ids) == [one.id]
        assert rig.steps == 1
        rig.workspace.history.undo()
        assert rig.all() == []

    def test_it_adds_to_the_selected_one_from_inside_only(self, rig: Rig) -> None:
        one = rig.add(Shape.box(40, 40, 80, 80), class_name="Stroma", provenance={"engine": "x"})
        rig.drag((60, 60), (90, 60))
        (grown,) = rig.all()
        assert (grown.id, grown.class_name) == (one.id, "Stroma")
        assert grown.shape.area > one.shape.area
        assert grown.provenance["edited"]
        rig.drag((200, 200))
        assert len(rig.all()) == 2

    def test_with_shift_it_adds_from_outside(self, rig: Rig) -> None:
        one = rig.add(Shape.box(40, 40, 80, 80))
        rig.drag((200, 200), shift=True)
        (both,) = rig.all()
        assert both.id == one.id
        assert len(both.shape.to_parts()) == 2

    def test_alt_takes_away_and_all_of_it_deletes(self, rig: Rig) -> None:
        one = rig.add(Shape.box(40, 40, 80, 80))
        rig.drag((40, 60), alt=True)
        assert rig.all()[0].shape.area == pytest.approx(1600 - np.pi * 50, abs=3)
        rig.workspace.selection.clear()
        rig.drag((70, 60), alt=True)  # without a selection what lies under the pointer
        assert rig.workspace.document.get(one.id).shape.area < 1600 - np.pi * 100
        rig.drag(*[(x, y) for y in range(30, 100, 8) for x in (30, 90)], alt=True)
        assert rig.all() == []
        assert rig.workspace.history.undo_title == "Erase annotation"

    def test_alt_on_nothing_does_nothing(self, rig: Rig) -> None:
        rig.drag((40, 60), (90, 60), alt=True)
        assert rig.all() == []
        assert rig.steps == 0

    def test_what_is_locked_is_not_touched(self, rig: Rig) -> None:
        one = rig.add(Shape.box(40, 40, 80, 80), locked=True)
        for held in ({}, {"alt": True}, {"shift": True}):
            rig.drag((60, 60), (90, 60), **held)
            assert rig.all() == [one]
            assert rig.sketch is not None

    def test_neighbors_are_spared_but_not_what_lies_beneath(self, rig: Rig) -> None:
        rig.add(Shape.box(0, 0, 300, 200))
        near = rig.add(Shape.box(100, 40, 140, 80))
        rig.workspace.selection.clear()
        rig.drag((60, 60), (98, 60), (105, 60), shift=True, ctrl=True)
        made = rig.all()[-1]
        assert made.shape.bounds.x1 == pytest.approx(100)
        assert made.shape.area > 800
        assert rig.workspace.document.get(near.id) == near

    def test_it_stays_on_the_image(self, rig: Rig) -> None:
        rig.drag((2, 2), (398, 2))
        assert rig.all()[0].shape.bounds[:3] == (0, 0, 400)
        rig.drag((-50, -50))
        assert len(rig.all()) == 1

    def test_what_is_shown_is_what_is_kept(self, rig: Rig) -> None:
        one = rig.add(Shape.box(40, 40, 80, 80))
        rig.drag((60, 60), (90, 70), (120, 60), up=False)
        shown = rig.sketch
        assert shown is not None
        assert shown.replaces == {one.id}
        assert shown.brush == (120, 60, 10)
        rig.workspace.tool.release(Pointer(120, 60, "left"))
        kept = rig.all()[0].shape.to_shapely()
        assert kept.symmetric_difference(shown.shapes[0].to_shapely()).area < 0.01 * kept.area
        assert rig.sketch is not None
        assert rig.sketch.shapes == ()

    def test_esc_drops_the_stroke(self, rig: Rig) -> None:
        rig.drag((60, 60), (90, 70), up=False)
        assert rig.workspace.tool.busy
        rig.workspace.tool.drop()
        rig.workspace.tool.release(Pointer(90, 70, "left"))
        assert not rig.workspace.tool.busy
        assert rig.all() == []

    def test_what_is_deleted_under_the_brush_ends_the_stroke(self, rig: Rig) -> None:
        one = rig.add(Shape.box(40, 40, 80, 80))
        rig.drag((60, 60), (90, 70), up=False)
        rig.workspace.do(rig.workspace.document.removing([one.id]))
        rig.workspace.tool.refresh()
        rig.workspace.tool.release(Pointer(90, 70, "left"))
        assert rig.all() == []

    def test_what_was_changed_otherwise_during_the_stroke_stays(self, rig: Rig) -> None:
        one = rig.add(Shape.box(40, 40, 80, 80), name="x")
        rig.drag((60, 60), (90, 60), up=False)
        rig.workspace.set_class("Tumor")
        rig.workspace.tool.release(Pointer(90, 60, "left"))
        (now,) = rig.all()
        assert now.class_name == "Tumor"
        assert now.shape.area > one.shape.area

    @pytest.mark.parametrize(
        ("change", "said"),
        [({"locked": True}, "locked"), ({"shape": Shape.box(200, 200, 280, 280)}, "changed")],
    )
    def test_a_stroke_on_what_was_locked_or_reshaped_meanwhile_is_dropped(
        self, rig: Rig, change: dict[str, Any], said: str
    ) -> None:
        one = rig.add(Shape.box(40, 40, 80, 80))
        told: list[str] = []
        rig.workspace.notice.connect(lambda notice: told.append(notice.hint))
        rig.drag((60, 60), (90, 60), up=False)
        document = rig.workspace.document
        rig.workspace.do(document.replacing([replace(one, **change)]))
        assert not rig.workspace.tool.busy
        assert rig.sketch is not None
        assert rig.sketch.shapes == ()
        assert told == [f"The annotation was {said} meanwhile."]
        rig.workspace.tool.release(Pointer(90, 60, "left"))
        assert rig.all() == [replace(one, **change)]

    def test_hidden_ones_are_not_painted_on(self, rig: Rig) -> None:
        one = rig.add(Shape.box(40, 40, 80, 80), class_name="Tumor")
        rig.workspace.classes.hide(["Tumor"])
        rig.drag((60, 60), (70, 60), alt=True)
        rig.workspace.selection.clear()
        rig.drag((60, 60), (70, 60), alt=True)
        assert rig.all() == [one]
        rig.workspace.selection.set([one.id])
        rig.drag((60, 60), (90, 60))
        assert rig.workspace.document.get(one.id) == one
        assert len(rig.all()) == 2

    def test_the_wheel_changes_the_size_within_limits(self, rig: Rig) -> None:
        tool = rig.workspace.tool
        pointer = Pointer(60, 60, alt=True, scale=2.0)
        assert tool.wheel(pointer, 24)
        assert rig.sketch is not None
        assert rig.sketch.brush == pytest.approx((60, 60, 23))
        for units, size in ((1e4, 500), (-1e4, 10)):
            tool.wheel(pointer, units)
            tool.leave()
            assert rig.workspace.settings["brush_px"] == size
        assert rig.sketch is None

    def test_holes_of_the_stroke_are_filled(self, rig: Rig) -> None:
        around = [(100 + 30 * np.cos(turn), 100 + 30 * np.sin(turn)) for turn in np.linspace(0, 6.3, 40)]
        rig.drag(*around, up=False)
        assert not rig.sketch.shapes[0].contains(100, 100)
        rig.workspace.tool.fill_holes()
        assert rig.sketch.shapes[0].contains(100, 100)
        rig.workspace.tool.release(Pointer(*around[-1], "left"))
        (one,) = rig.all()
        assert one.shape.area == pytest.approx(np.pi * 1600, rel=0.01)

    def test_zoomed_in_it_is_finer(self, rig: Rig) -> None:
        rig.workspace.tool.press(Pointer(60, 60, "left", scale=0.1))
        rig.workspace.tool.release(Pointer(60, 60, "left", scale=0.1))
        assert rig.all()[0].shape.area == pytest.approx(np.pi, rel=0.05)

    def test_undo_restores_holes_and_all(self, rig: Rig) -> None:
        ring = Shape.polygon(
            [(20, 20), (90, 20), (90, 90), (20, 90)], [[(40, 40), (60, 40), (60, 60), (40, 60)]]
        )
        rig.add(ring, name="x")
        before = content(rig.workspace.document.table())
        rig.drag((30, 30), (50, 50))
        rig.workspace.history.undo()
        assert content(rig.workspace.document.table()) == before


class TestWand:
    @pytest.fixture(autouse=True)
    def wand(self, rig: Rig) -> WandTool:
        tool = rig.use("wand")
        assert isinstance(tool, WandTool)
        return tool

    def test_it_finds_what_looks_alike(self, rig: Rig) -> None:
        rig.drag((200, 150))
        rig.settle()
        (one,) = rig.all()
        assert one.shape.area == pytest.approx(np.pi * DISC[2] ** 2, rel=0.12)
        assert one.shape.contains(200, 150)
        assert not one.shape.contains(150, 150)
        assert rig.steps == 1

    def test_alt_takes_what_looks_alike_away(self, rig: Rig) -> None:
        rig.add(Shape.box(150, 100, 250, 200))
        rig.drag((200, 150), alt=True)
        rig.settle()
        assert rig.all()[0].shape.area == pytest.approx(10_000 - np.pi * DISC[2] ** 2, rel=0.12)

    def test_a_drag_adds_more_and_drops_nothing(self, rig: Rig) -> None:
        rig.drag((60, 60), (90, 60), (120, 60), up=False)
        rig.settle()
        assert rig.sketch is not None
        assert rig.sketch.shapes[0].contains(120, 60)
        assert rig.all() == []
        rig.workspace.tool.release(Pointer(120, 60, "left"))
        assert len(rig.all()) == 1

    def test_dropped_while_it_looks_nothing_comes(self, rig: Rig) -> None:
        rig.drag((200, 150), up=False)
        rig.workspace.tool.drop()
        rig.workspace.tool.release(Pointer(200, 150, "left"))
        rig.settle()
        assert rig.all() == []
        rig.drag((200, 150))
        rig.settle()
        assert len(rig.all()) == 1

    def test_with_ctrl_it_takes_exactly_one_color(self, rig: Rig) -> None:
        rig.drag((200, 150), ctrl=True)
        rig.settle()
        shape = rig.all()[0].shape
        assert shape.area < 30  # the picture is noisy
        assert np.array_equal(shape.coords, np.round(shape.coords))

    def test_at_the_edge_it_stays_on_the_image(self, rig: Rig) -> None:
        for place in ((1, 1), (399.5, 299.5)):
            rig.workspace.selection.clear()
            rig.drag(place)
            rig.settle()
            bounds = rig.all()[-1].shape.bounds
            assert bounds.x0 >= 0
            assert bounds.y0 >= 0
            assert bounds.x1 <= 400
            assert bounds.y1 <= 300
        rig.drag((-5, 20))
        rig.settle()
        assert len(rig.all()) == 2

    def test_it_follows_what_is_on_the_screen_whatever_models_see(self, rig: Rig) -> None:
        w = rig.workspace
        assert w.image is not None
        rgb = w.image.display
        w.show_image_as(replace(w.image, display=rgb.only(0), model_display=rgb.only(1)), models_too=True)
        seen: list[Any] = []
        pointer = Pointer(200, 150, "left")
        seen.append(alike(w.image, w.plane, pointer, 1.0))
        seen.append(alike(replace(w.image, model_display=None), w.plane, pointer, 1.0))
        seen.append(alike(replace(w.image, display=rgb.only(1), model_display=None), w.plane, pointer, 1.0))
        assert seen[0] == seen[1] != seen[2]

    def test_more_tolerance_takes_more(self) -> None:
        slope = np.broadcast_to(np.linspace(0, 255, 149).astype(np.uint8)[None, :, None], (149, 149, 3))
        sizes = [(likeness(slope, 74, 74, sensitivity) > 0).sum() for sensitivity in (0.2, 0.5, 1, 1.4)]
        assert sizes == sorted(set(sizes))
        assert likeness(slope, 74, 74, 2)[74, 74] > 0
        assert likeness(slope, 74, 74, 1e9)[0, 0] < 0  # a disc, no square


class TestPoints:
    @pytest.fixture(autouse=True)
    def points(self, rig: Rig) -> PointsTool:
        tool = rig.use("points")
        assert isinstance(tool, PointsTool)
        return tool

    def coords(self, rig: Rig) -> list[list[list[float]]]:
        assert all(one.shape.kind is ShapeKind.POINTS for one in rig.all())
        return [one.shape.coords.tolist() for one in rig.all()]

    def test_clicks_make_a_set_and_each_is_a_step(self, rig: Rig) -> None:
        rig.workspace.choose_class("Tumor")
        for place in ((10, 10), (50, 10), (90, 10)):
            rig.drag(place)
        assert self.coords(rig) == [[[10, 10], [50, 10], [90, 10]]]
        assert rig.all()[0].class_name == "Tumor"
        assert rig.steps == 3
        rig.workspace.history.undo()
        assert self.coords(rig) == [[[10, 10], [50, 10]]]

    def test_enter_and_shift_double_click_begin_another(self, rig: Rig) -> None:
        rig.drag((10, 10))
        assert rig.workspace.tool.busy
        rig.workspace.tool.finish()
        assert not rig.workspace.tool.busy
        rig.drag((50, 10))
        rig.drag((90, 10), shift=True)
        rig.drag((90, 10), shift=True, clicks=2)
        assert self.coords(rig) == [[[10, 10]], [[50, 10]], [[90, 10]]]

    def test_alt_takes_a_point_away_and_the_last_one_the_set(self, rig: Rig) -> None:
        rig.drag((10, 10))
        rig.drag((50, 10))
        rig.drag((200, 200), alt=True)
        assert self.coords(rig) == [[[10, 10], [50, 10]]]
        rig.drag((11, 11), alt=True)
        assert self.coords(rig) == [[[50, 10]]]
        rig.workspace.tool.back()
        assert rig.all() == []

    def test_a_drag_moves_a_point(self, rig: Rig) -> None:
        rig.drag((10, 10))
        rig.drag((50, 10))
        rig.drag((52, 10), (60, 30), (70, 40), up=False)
        assert rig.sketch is not None
        assert rig.sketch.shapes[0].coords.tolist() == [[10, 10], [70, 40]]
        rig.workspace.tool.release(Pointer(70, 40, "left"))
        assert self.coords(rig) == [[[10, 10], [70, 40]]]
        assert rig.steps == 3

    def test_a_selected_set_is_gone_on_with_unless_it_is_locked(self, rig: Rig) -> None:
        one = rig.add(Shape.points([(5, 5)]))
        rig.drag((90, 90))
        assert self.coords(rig) == [[[5, 5], [90, 90]]]
        rig.workspace.editing.set_locked(True)
        rig.drag((30, 90))
        rig.drag((5, 5), alt=True)
        rig.drag((5, 5), (50, 50))
        assert self.coords(rig) == [[[5, 5], [90, 90]]]
        assert rig.all()[0].id == one.id

    def test_a_hidden_set_gets_no_points(self, rig: Rig) -> None:
        one = rig.add(Shape.points([(50, 50)]), class_name="Tumor")
        rig.workspace.classes.hide(["Tumor"])
        rig.drag((50, 50), alt=True)
        rig.drag((90, 90))
        assert rig.workspace.document.get(one.id) == one
        assert self.coords(rig) == [[[50, 50]], [[90, 90]]]

    def test_a_set_that_is_locked_meanwhile_keeps_its_points(self, rig: Rig) -> None:
        rig.add(Shape.points([(50, 50)]))
        rig.drag((50, 50), (70, 70), up=False)
        rig.workspace.editing.set_locked(True)
        rig.workspace.tool.move(Pointer(80, 80, "left"))
        rig.workspace.tool.release(Pointer(80, 80, "left"))
        assert self.coords(rig) == [[[50, 50]]]

    def test_outside_the_image_there_is_nothing_to_point_at(self, rig: Rig) -> None:
        rig.drag((-5, 10))
        assert rig.all() == []


def test_without_an_image_tools_do_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    rig = Rig(tmp_path)
    for tool in ("brush", "wand", "points"):
        rig.use(tool)
        rig.drag((10, 10), (20, 20))
        rig.workspace.tool.leave()
        rig.workspace.tool.refresh()
    assert rig.all() == []
    rig.close()
