"""What is done to shapes, in a real workspace: one step each, taken back exactly, in its own time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from samdesk.app.editing import Editing, Preview, Unit
from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.settings import Settings
from samdesk.app.workspace import Notice, Workspace
from samdesk.domain.columns import Annotation
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane, Shape, ShapeKind
from samdesk.images.source import PixelSize
from samdesk.sdk import Segmenter
from tests.annotation_tables import content, star_table
from tests.fakes import FakeEngine


class Rig:
    """A workspace without a window."""

    def __init__(self, home: Path) -> None:
        self.main = MainQueue()
        self.jobs = Jobs(self.main)
        self.workspace = Workspace(self.jobs, Settings(home / "settings.json"), Segmenter(FakeEngine()))
        self.notices: list[Notice] = []
        self.workspace.notice.connect(self.notices.append)

    @property
    def editing(self) -> Editing:
        return self.workspace.editing

    def settle(self) -> None:
        for _ in range(3):
            self.main.run_until(lambda: self.jobs.idle, 20)
            self.main.drain()

    def add(self, *many: Annotation) -> list[Annotation]:
        w = self.workspace
        assert w.do(w.document.adding(many))
        w.selection.set([one.id for one in many])
        return list(many)

    def shapes(self) -> list[Shape]:
        return [one.shape for one in self.workspace.document.annotations()]

    def close(self) -> None:
        self.workspace.close()
        self.main.drain()


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.full((300, 400, 3), 90, np.uint8))
    made = Rig(tmp_path)
    made.workspace.open(path)
    made.settle()
    yield made
    made.close()


def box(x: float, y: float, side: float = 20, **more: Any) -> Annotation:
    return Annotation(Shape.box(x, y, x + side, y + side), **more)


HOLED = Shape.polygon(
    [(100, 100), (140, 100), (140, 140), (100, 140)], [[(110, 110), (120, 110), (120, 120), (110, 120)]]
)
TWO = Shape.from_parts(
    [[[(0, 0), (5, 1), (10, 0), (10, 10), (0, 10)]], [[(50, 50), (52, 50), (52, 52), (50, 52)]]]
)


@pytest.mark.parametrize(
    "verb",
    [
        lambda e: e.merge(),
        lambda e: e.subtract(),
        lambda e: e.intersect(),
        lambda e: e.split(),
        lambda e: e.invert(),
        lambda e: e.fill_holes(),
        lambda e: e.simplify(3.0),
        lambda e: e.grow(3.0),
        lambda e: e.grow(-2.0),
        lambda e: e.remove_fragments(50.0),
        lambda e: e.duplicate(),
        lambda e: e.set_locked(),
        lambda e: e.cover_image(),
    ],
)
def test_each_is_one_step_and_undo_restores_exactly(rig: Rig, verb: Callable[[Editing], None]) -> None:
    w = rig.workspace
    rig.add(box(300, 200))
    rig.add(
        Annotation(HOLED, class_name="Tumor", name="a", provenance={"engine": "x"}),
        Annotation(Shape.from_parts([*HOLED.translated(8, 8).to_parts(), *TWO.to_parts()])),
    )
    before, steps = content(w.document.table()), len(w.history._done)
    verb(rig.editing)
    rig.settle()
    after = content(w.document.table())
    assert after != before
    assert len(w.history._done) == steps + 1
    w.history.undo()
    assert content(w.document.table()) == before
    w.history.redo()
    assert content(w.document.table()) == after


def test_merged_they_are_the_first_one(rig: Rig) -> None:
    first, *_ = rig.add(
        box(0, 0, class_name="Tumor", name="kept", provenance={"engine": "x"}), box(10, 10), box(90, 90)
    )
    rig.editing.merge()
    (one,) = rig.workspace.document.annotations()
    assert (one.id, one.class_name, one.name) == (first.id, "Tumor", "kept")
    assert one.shape.area == 700 + 400
    assert one.provenance["edited"] is True
    assert list(rig.workspace.selection.ids) == [one.id]
    assert rig.workspace.history.undo_title == "Merge 3 annotations"


def test_the_others_are_cut_out_of_the_first_and_stay(rig: Rig) -> None:
    first, second = rig.add(box(0, 0), box(10, 0, locked=True))
    rig.editing.subtract()
    assert rig.workspace.document.get(first.id).shape.bounds == (0, 0, 10, 20)
    assert rig.workspace.document.get(second.id).shape.area == 400
    rig.workspace.selection.set([second.id, first.id])
    with pytest.raises(SamdeskError, match="locked"):
        rig.editing.subtract()


def test_split_parts_are_selected(rig: Rig) -> None:
    rig.add(Annotation(TWO, class_name="Tumor"), Annotation(Shape.points([(1, 1), (2, 2)])), box(0, 0))
    rig.editing.split()
    assert sorted(shape.area for shape in rig.shapes()) == [0, 0, 4, 95, 400]
    assert len(rig.workspace.selection.ids) == 4
    rig.editing.split()
    assert rig.notices[-1].text == "There was nothing to change."


def test_what_is_locked_is_left_out_and_said(rig: Rig) -> None:
    _, locked = rig.add(box(0, 0), box(40, 0, locked=True))
    rig.editing.grow(5)
    assert rig.workspace.document.get(locked.id).shape == locked.shape
    assert rig.notices[-1].text == "A locked annotation was left as before."
    rig.workspace.selection.set([locked.id])
    with pytest.raises(SamdeskError, match="locked"):
        rig.editing.grow(5)


def test_what_would_vanish_stays_and_is_said(rig: Rig) -> None:
    small, large = rig.add(box(0, 0, side=4), box(40, 0))
    rig.editing.grow(-3)
    assert rig.workspace.document.get(small.id).shape == small.shape
    assert rig.workspace.document.get(large.id).shape.bounds == (43, 3, 57, 17)
    assert rig.notices[-1].text == "1 annotation was left as before."
    rig.workspace.selection.set([small.id, large.id])
    with pytest.raises(SamdeskError, match="Nothing would be left"):
        rig.editing.intersect()


@pytest.mark.parametrize(
    "odd", [Annotation(Shape.points([(1, 1)])), Annotation(Shape.box(0, 0, 9, 9), plane=Plane(1, 0))]
)
def test_what_does_not_go_together_is_refused(rig: Rig, odd: Annotation) -> None:
    rig.add(box(0, 0), odd)
    before = content(rig.workspace.document.table())
    for verb in (rig.editing.merge, rig.editing.intersect, rig.editing.subtract, rig.editing.invert):
        with pytest.raises(SamdeskError):
            verb()
    assert content(rig.workspace.document.table()) == before


def test_lengths_are_micrometers_where_the_image_knows(rig: Rig) -> None:
    assert Unit.of(None) == Unit("px", 1.0)
    assert Unit.of(PixelSize(0.5, 0.5)) == Unit("µm", 2.0)
    assert Unit.of(PixelSize(0.5, 0.5, unit="mm")).name == "px"
    assert Unit.of(PixelSize(0.25, 1.0)) == Unit("µm", 4.0, (1.0, 4.0))
    assert rig.editing.unit.name == "px"


def test_a_length_is_the_same_along_both_sides_of_a_pixel(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workspace, "pixel_size", PixelSize(0.25, 1.0))
    (one,) = rig.add(box(200, 100))
    rig.editing.grow(5.0)
    bounds = rig.workspace.document.get(one.id).shape.bounds
    assert bounds == pytest.approx((180, 95, 240, 125), abs=0.01)
    rig.editing.grow(-5.0)
    bounds = rig.workspace.document.get(one.id).shape.bounds
    assert bounds == pytest.approx((200, 100, 220, 120), abs=0.01)
    rig.editing.remove_fragments(101.0)  # 20 × 20 px are 100 µm²
    assert rig.notices[-1].text == "1 annotation was left as before."
    tooth = [(0, 50), (4, 48), (8, 50), (100, 50), (100, 100), (50, 100), (48, 96), (46, 100), (0, 100)]
    (other,) = rig.add(Annotation(Shape.polygon(tooth)))
    rig.editing.simplify(1.5)  # 2 px are 2 µm down, and 0.5 µm to the side
    assert (4, 48) in map(tuple, rig.workspace.document.get(other.id).shape.coords.tolist())
    turned = [(y, x) for x, y in tooth]
    (third,) = rig.add(Annotation(Shape.polygon(turned)))
    rig.editing.simplify(1.5)
    assert len(rig.workspace.document.get(third.id).shape.coords) == 4


def test_what_grows_stays_inside_the_image_unless_it_may_not(rig: Rig) -> None:
    (one,) = rig.add(box(0, 0))
    rig.editing.grow(5)
    assert rig.workspace.document.get(one.id).shape.bounds == (0, 0, 25, 25)
    rig.editing.grow(5, inside=False)
    assert rig.workspace.document.get(one.id).shape.bounds == (-5, -5, 30, 30)


class TestCopies:
    def test_they_come_back_from_the_clipboard(self, rig: Rig) -> None:
        texts: list[str] = []
        (one,) = rig.add(Annotation(HOLED, class_name="Tumor", name="a", measurements={"x": 1.5}))
        rig.editing.copy(texts.append)
        rig.editing.paste(texts[0])
        _, copy = rig.workspace.document.annotations()
        assert copy.id != one.id
        assert (copy.shape, copy.class_name, copy.name) == (one.shape, "Tumor", "a")
        assert copy.measurements == one.measurements
        assert list(rig.workspace.selection.ids) == [copy.id]

    def test_cut_and_pasted_it_is_the_same(self, rig: Rig) -> None:
        texts: list[str] = []
        (one,) = rig.add(box(10, 10))
        rig.editing.cut(texts.append)
        assert len(rig.workspace.document) == 0
        rig.editing.paste(texts[0])
        assert rig.workspace.document.ids() == [one.id]

    @pytest.mark.parametrize("text", ["", "hello", '{"geometry": 1}', '{"type": "FeatureCollection"}'])
    def test_other_text_is_no_harm(self, rig: Rig, text: str) -> None:
        rig.editing.paste(text)
        assert rig.notices[-1].text == "The clipboard holds no annotations."
        assert len(rig.workspace.document) == 0

    def test_a_broken_text_says_why(self, rig: Rig) -> None:
        with pytest.raises(SamdeskError, match="cannot be read"):
            rig.editing.paste('{"type": "Feature", "geometry": {')

    def test_a_duplicate_is_unlocked_and_selected(self, rig: Rig) -> None:
        (one,) = rig.add(box(0, 0, locked=True, class_name="Stroma"))
        rig.editing.duplicate()
        _, copy = rig.workspace.document.annotations()
        assert (copy.locked, copy.class_name, copy.shape) == (False, "Stroma", one.shape)
        assert list(rig.workspace.selection.ids) == [copy.id]

    def test_they_go_to_the_plane_that_is_looked_at(self, rig: Rig) -> None:
        (one,) = rig.add(box(0, 0, plane=Plane(2, 1)))
        rig.editing.copy_to_plane()
        assert [one.plane for one in rig.workspace.document.annotations()] == [(2, 1), (0, 0)]
        with pytest.raises(SamdeskError, match="this plane already"):
            rig.editing.copy_to_plane()
        assert rig.workspace.document.get(one.id) == one


class TestMany:
    """What takes long is done on a lane; the main thread goes on."""

    def fill(self, rig: Rig, n: int = 100) -> None:
        w = rig.workspace
        w.do(w.document.adding(star_table(n, side=300.0, validate=True)))
        w.select_all()

    def test_they_change_when_the_lane_is_done(self, rig: Rig) -> None:
        self.fill(rig)
        w = rig.workspace
        before = content(w.document.table())
        rig.editing.grow(2)
        assert content(w.document.table()) == before
        assert [job.title for job in rig.jobs.visible] == ["Resize 100 annotations"]
        rig.settle()
        assert w.history.undo_title == "Resize 100 annotations"
        w.history.undo()
        assert content(w.document.table()) == before

    def test_cancelled_nothing_changes(self, rig: Rig) -> None:
        self.fill(rig)
        before = content(rig.workspace.document.table())
        rig.editing.grow(2)
        rig.jobs.visible[0].cancel()
        rig.settle()
        assert content(rig.workspace.document.table()) == before

    def test_what_changed_meanwhile_is_not_overwritten(self, rig: Rig) -> None:
        self.fill(rig)
        w = rig.workspace
        rig.editing.grow(2)
        w.do(w.document.reclassifying([w.document.ids()[0]], "Tumor"))
        meanwhile = content(w.document.table())
        rig.settle()
        assert content(w.document.table()) == meanwhile
        assert rig.notices[-1].level == "warning"
        assert "does not fit any more" in rig.notices[-1].text

    def test_merged_on_the_lane_they_are_one(self, rig: Rig) -> None:
        self.fill(rig)
        rig.editing.merge()
        rig.settle()
        assert len(rig.workspace.document) == 1

    def test_they_are_copied_cut_and_pasted(self, rig: Rig) -> None:
        self.fill(rig)
        texts: list[str] = []
        rig.editing.cut(texts.append)
        rig.settle()
        assert len(rig.workspace.document) == 0
        rig.editing.paste(texts[0])
        rig.settle()
        assert len(rig.workspace.document) == 100

    def test_twenty_thousand_change_in_one_step(self, rig: Rig) -> None:
        self.fill(rig, 20_000)
        w = rig.workspace
        steps = len(w.history._done)
        rig.editing.simplify(1.0)
        assert len(w.history._done) == steps  # it is under way, and the caller goes on
        rig.settle()
        assert w.history.undo_title == "Simplify 20,000 annotations"
        assert len(w.history._done) == steps + 1
        assert len(w.selection) == len(w.document) == 20_000

    def test_a_preview_counts_all_and_shows_what_is_in_view(self, rig: Rig) -> None:
        self.fill(rig)
        shown: list[Preview] = []
        for tolerance in (0.5, 5.0):  # the newest wins
            rig.editing.preview("simplify", tolerance, Bounds(0, 0, 50, 50), shown.append)
        rig.settle()
        preview = shown[-1]  # the first is told too when it was quick
        before, after = preview.vertices
        assert before == 3000
        assert after < 1500
        assert 0 < len(preview.shapes) == len(preview.ids) < 100
        assert rig.workspace.history.undo_title == "Add annotation"

    @pytest.mark.parametrize("verb", ["merge", "invert", "set_locked"])
    def test_what_was_changed_meanwhile_is_not_overwritten(self, rig: Rig, verb: str) -> None:
        many = rig.add(*(box(25 * (k % 12), 25 * (k // 12)) for k in range(40)))
        w, moved = rig.workspace, replace(many[5], shape=Shape.box(60, 250, 90, 290))
        getattr(rig.editing, verb)()
        w.do(w.document.replacing([moved], "Move vertex"))
        rig.settle()
        assert len(w.document) == 40
        assert w.document.get(moved.id) == moved
        assert "does not fit any more" in rig.notices[-1].text
        getattr(rig.editing, verb)()
        w.do(w.document.removing([moved.id]))
        rig.settle()
        assert len(w.document) == 39
        assert len(rig.notices) == 2

    def test_very_many_get_a_color_in_their_own_time(self, rig: Rig) -> None:
        w = rig.workspace
        w.do(w.document.adding(star_table(20_000)))
        w.select_all()
        steps = len(w.history._done)
        one = w.selection.ids[7]
        rig.editing.set_color((1, 2, 3))
        assert len(w.history._done) == steps  # it is under way, and the caller goes on
        rig.settle()
        assert w.history.undo_title == "Change color of 20,000 annotations"
        assert w.document.get(one).color == (1, 2, 3)
        w.history.undo()
        assert w.document.get(one).color is None


def test_a_color_of_its_own_is_given_and_taken_back(rig: Rig) -> None:
    one, two = rig.add(box(0, 0, name="x", locked=True), box(50, 50))
    rig.editing.set_color((1, 2, 3))
    assert list(rig.workspace.document.annotations()) == [
        replace(one, color=(1, 2, 3)),
        replace(two, color=(1, 2, 3)),
    ]
    rig.editing.set_color(None)
    assert rig.workspace.history.undo_title == "Reset color of 2 annotations"
    assert list(rig.workspace.document.annotations()) == [one, two]
    rig.editing.set_color(None)
    assert len(rig.workspace.history._done) == 3
    assert not rig.notices


def test_select_all_leaves_out_what_is_hidden(rig: Rig) -> None:
    tumor, other, plain = rig.add(box(0, 0, class_name="Tumor"), box(50, 0, class_name="Stroma"), box(99, 0))
    w = rig.workspace
    w.classes.hide(["Tumor"])
    w.select_all()
    assert list(w.selection.ids) == [other.id, plain.id]
    w.classes.show_only(["Tumor"])
    w.select_all()
    assert list(w.selection.ids) == [tumor.id]
    w.classes.show_all()
    w.select_all()
    assert len(w.selection) == 3


def test_nothing_selected_does_nothing(rig: Rig) -> None:
    for verb in (rig.editing.merge, rig.editing.split, rig.editing.invert, rig.editing.set_locked):
        verb()
    rig.editing.copy(lambda text: pytest.fail("nothing was selected"))
    assert not rig.workspace.history.can_undo
    assert not rig.notices


def test_lines_cannot_be_filled_but_can_be_merged(rig: Rig) -> None:
    line = Shape.from_parts([[[(0, 0), (9, 9)]]], ShapeKind.LINES)
    rig.add(Annotation(line), Annotation(line.translated(20, 0)))
    rig.editing.fill_holes()
    assert rig.notices[-1].text == "There was nothing to change."
    rig.editing.merge()
    assert len(rig.shapes()[0].to_parts()) == 2
