"""Refining: an annotation becomes a prompt, its shape is replaced, and many go through the review."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.refining import best_refined, refining_downsample
from samdesk.app.review import State
from samdesk.app.settings import Settings
from samdesk.app.workspace import Notice, Workspace
from samdesk.domain.columns import Annotation, Table
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane, Region, Shape
from samdesk.domain.outline import iou
from samdesk.domain.prompts import BoxPrompt, Candidate, PointPrompt
from samdesk.engines.base import Engine
from samdesk.engines.classical import ClassicalEngine
from samdesk.formats.geojson import read_geojson, write_geojson
from samdesk.sdk import Segmenter, prompts_of
from tests.fakes import FakeEngine

RING = Shape.from_parts([[[(100, 100), (260, 100), (260, 260), (100, 260)],
                             [(150, 150), (150, 210), (210, 210), (210, 150)]],
                            [[(320, 100), (360, 100), (360, 140), (320, 140)]]])  # fmt: skip
"""A square with a hole, and a small square beside it."""


class Rig:
    """A workspace without a window over one picture."""

    def __init__(self, home: Path, engine: Engine) -> None:
        self.main = MainQueue()
        self.jobs = Jobs(self.main)
        self.workspace = Workspace(self.jobs, Settings(home / "settings.json"), Segmenter(engine))
        self.session = self.workspace.session
        self.notices: list[Notice] = []
        self.workspace.notice.connect(self.notices.append)

    def settle(self) -> None:
        for _ in range(4):
            self.main.run_until(lambda: self.jobs.idle, 20)
            self.main.drain()

    def open(self, path: Path) -> None:
        self.workspace.open(path)
        self.settle()

    def add(self, *annotations: Annotation) -> None:
        w = self.workspace
        assert w.do(w.document.adding(annotations))
        w.selection.set([one.id for one in annotations])

    def refine(self, annotation: Annotation) -> None:
        self.add(annotation)
        self.workspace.keeping.refine_selected(1.0)
        self.settle()

    def only(self) -> Annotation:
        (one,) = self.workspace.document.annotations()
        return one


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The ring in white on gray, and a tongue of it that nobody annotated."""
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    pixels = np.full((400, 500, 3), 90, np.uint8)
    cv2.rectangle(pixels, (100, 100), (259, 259), (230, 230, 230), -1)
    cv2.rectangle(pixels, (150, 150), (209, 209), (90, 90, 90), -1)
    cv2.rectangle(pixels, (320, 100), (359, 139), (230, 230, 230), -1)
    cv2.rectangle(pixels, (130, 260), (229, 329), (60, 160, 230), -1)
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture
def rig(tmp_path: Path, picture: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, FakeEngine())
    made.open(picture)
    yield made
    made.workspace.close()
    made.main.drain()


@pytest.fixture
def classical(tmp_path: Path, picture: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, ClassicalEngine())
    made.open(picture)
    yield made
    made.workspace.close()
    made.main.drain()


BOX = Shape.box(100, 100, 180, 160)


# One annotation


def test_it_is_shown_as_it_is_and_the_engines_answers_come_after(rig: Rig) -> None:
    rig.refine(Annotation(BOX))
    proposal = rig.session.proposal
    assert proposal.refines == rig.only()
    assert proposal.current.shape is proposal.refines.shape
    assert proposal.is_as_it_was(proposal.current)
    assert len(proposal.candidates) > 1
    rig.session.cycle()
    assert not rig.session.proposal.is_as_it_was(rig.session.proposal.current)


def test_enter_on_what_is_as_it_was_changes_nothing(rig: Rig) -> None:
    rig.refine(Annotation(BOX))
    before = rig.workspace.history.undo_title
    assert rig.session.accept()
    assert rig.session.refined is None
    assert rig.workspace.history.undo_title == before


def test_a_correction_replaces_the_shape_and_nothing_else(rig: Rig) -> None:
    made = Annotation(
        BOX,
        class_name="Tumor",
        name="left one",
        measurements={"Score by hand": 3.0},
        provenance={
            "engine": "other", "score": 0.5, "text": "cells", "contrast": "kept: 0–9",
            "reconstructions": [{"id": 1}],
        },
    )  # fmt: skip
    rig.refine(made)
    rig.workspace.choose_class("Stroma")
    rig.workspace.choose_class(None)
    rig.session.add_point(PointPrompt(170, 150), 1.0)
    rig.settle()
    assert rig.session.accept()
    now = rig.only()
    assert now.shape != BOX
    assert (now.id, now.class_name, now.name) == (made.id, "Tumor", "left one")
    assert now.measurements == made.measurements
    assert now.provenance["engine"] == "fake"
    assert now.provenance["points"] == [[170, 150, 1]]
    assert now.provenance["refined"] == 1
    assert now.provenance["reconstructions"] == [{"id": 1}]
    assert not {"text", "contrast"} & now.provenance.keys()
    assert rig.workspace.history.undo_title == "Refine annotation"
    rig.workspace.history.undo()
    assert rig.only() == replace(made, provenance=made.provenance)


def test_a_class_chosen_meanwhile_is_given(rig: Rig) -> None:
    rig.refine(Annotation(BOX, class_name="Tumor"))
    rig.session.add_point(PointPrompt(170, 150), 1.0)
    rig.workspace.choose_class("Stroma")
    rig.settle()
    assert rig.session.proposal.class_name == "Stroma"
    rig.session.accept()
    assert rig.only().class_name == "Stroma"


def test_escape_leaves_it_as_it_was(rig: Rig) -> None:
    rig.refine(Annotation(BOX))
    rig.session.add_point(PointPrompt(170, 150), 1.0)
    rig.session.drop()
    rig.settle()
    assert rig.only().shape == BOX
    assert rig.session.proposal.refines is None


def test_prompts_come_back_with_the_annotation(rig: Rig) -> None:
    rig.session.add_point(PointPrompt(200, 200), 1.0)
    rig.settle()
    rig.session.accept()
    kept = rig.only()
    rig.workspace.keeping.refine_selected(1.0)
    rig.settle()
    assert rig.session.proposal.prompts.points == (PointPrompt(200, 200),)
    assert rig.session.proposal.prompts.prior == kept.shape
    rig.session.take_back()
    rig.settle()
    assert rig.session.refined is not None
    rig.session.take_back()
    assert rig.session.refined is None


def test_what_is_gone_or_changed_is_not_refined_any_more(rig: Rig) -> None:
    rig.refine(Annotation(BOX))
    rig.workspace.history.undo()
    assert rig.session.refined is None
    rig.refine(Annotation(BOX))
    one = rig.only()
    w = rig.workspace
    w.do(w.document.replacing([replace(one, shape=Shape.box(0, 0, 9, 9))]))
    assert rig.session.refined is None


def test_what_was_locked_meanwhile_keeps_its_shape(rig: Rig) -> None:
    rig.refine(Annotation(BOX))
    rig.workspace.editing.set_locked(True)
    locked = rig.only()
    rig.session.cycle()
    assert not rig.session.accept()
    assert rig.only() == locked
    assert rig.notices[-1].text == "The annotation is locked."
    rig.workspace.editing.set_locked(False)
    assert rig.session.accept()
    assert rig.only().shape != BOX


def test_only_one_unlocked_area_can_be_refined(rig: Rig) -> None:
    rig.refine(Annotation(BOX, locked=True))
    assert rig.session.refined is None
    rig.refine(Annotation(Shape.points([(20, 20), (50, 50)])))
    assert rig.session.refined is None
    rig.add(Annotation(BOX), Annotation(BOX))
    rig.workspace.keeping.refine_selected(1.0)
    assert rig.session.refined is None


def test_holes_and_parts_survive_a_correction(classical: Rig) -> None:
    classical.refine(Annotation(RING))
    assert classical.session.proposal.current.shape == RING
    classical.session.add_point(PointPrompt(180, 300), 1.0)
    classical.settle()
    shape = classical.session.proposal.current.shape
    assert shape.contains(180, 300)
    assert not shape.contains(180, 180)
    assert shape.contains(340, 120)
    assert shape.contains(120, 120)
    wanted = RING.to_shapely().union(Shape.box(130, 260, 230, 330).to_shapely())
    assert iou(shape, Shape.from_shapely(wanted)) > 0.95


def test_a_negative_click_takes_a_part_away(classical: Rig) -> None:
    classical.refine(Annotation(RING))
    classical.session.add_point(PointPrompt(340, 120, False), 1.0)
    classical.settle()
    shape = classical.session.proposal.current.shape
    assert not shape.contains(340, 120)
    assert shape.contains(120, 120)


def test_a_click_on_the_missing_half_completes_a_rough_outline(classical: Rig) -> None:
    classical.refine(Annotation(Shape.box(314, 97, 341, 143)))
    classical.session.add_point(PointPrompt(352, 120), 1.0)
    classical.settle()
    shape = classical.session.proposal.current.shape
    assert shape.contains(355, 105)
    assert shape.contains(355, 135)
    assert iou(shape, Shape.box(320, 100, 360, 140)) > 0.8


# Points that are there


def test_points_are_found_removed_and_moved(rig: Rig) -> None:
    session = rig.session
    session.add_point(PointPrompt(100, 100), 1.0)
    session.add_point(PointPrompt(200, 200, False), 1.0)
    rig.settle()
    assert session.point_at(205, 200, 7) == 1
    assert session.point_at(150, 150, 7) is None
    session.move_point(0, 120, 110)
    rig.settle()
    assert session.proposal.prompts.points[0] == PointPrompt(120, 110)
    assert session.proposal.current.shape.contains(120, 110)
    session.remove_point(1)
    rig.settle()
    assert session.proposal.prompts.points == (PointPrompt(120, 110),)
    session.remove_point(0)
    assert not session.has_prompts


# Many of them


def test_many_go_through_the_review_as_one_step(rig: Rig) -> None:
    boxes = [Shape.box(40 * k + 10, 50, 40 * k + 40, 80) for k in range(8)]
    rig.add(*(Annotation(box, class_name="Tumor") for box in boxes), Annotation(BOX, locked=True))
    before = rig.workspace.document.ids()
    rig.workspace.refining.start(1.0)
    rig.settle()
    review = rig.workspace.review
    assert len(review) == 8
    assert all(review.replaces(k) for k in range(8))
    assert not review.busy
    review.current = int(review.listed()[0])
    review.judge(State.REJECTED)
    review.min_score = 0.0
    assert review.accept()
    now = list(rig.workspace.document.annotations())
    assert [one.id for one in now] == before
    changed = [one for one, box in zip(now[:8], boxes, strict=True) if one.shape != box]
    assert len(changed) == 7
    assert {one.provenance["refined"] for one in changed} == {1}
    assert {one.class_name for one in now[:8]} == {"Tumor"}
    assert rig.workspace.history.undo_title == "Refine 7 annotations"
    rig.workspace.history.undo()
    assert [one.shape for one in rig.workspace.document.annotations()][:8] == boxes


def test_what_is_deleted_meanwhile_stays_deleted(rig: Rig) -> None:
    rig.add(Annotation(BOX), Annotation(Shape.box(300, 200, 340, 240)))
    rig.workspace.refining.start(1.0)
    rig.settle()
    w = rig.workspace
    w.do(w.document.removing(w.document.ids()[:1]))
    w.review.accept()
    assert len(w.document) == 1


def test_what_is_reshaped_or_locked_meanwhile_stays_and_is_told(rig: Rig) -> None:
    many = [Annotation(BOX.translated(0, 80 * k)) for k in range(3)]
    rig.add(*many)
    rig.workspace.refining.start(1.0)
    rig.settle()
    w = rig.workspace
    moved = replace(many[0], shape=Shape.box(300, 300, 350, 350))
    w.do(w.document.replacing([moved, replace(many[1], locked=True)]))
    w.review.keep_all()
    assert w.review.accept()
    assert w.document.get(moved.id) == moved
    assert w.document.get(many[1].id).shape == many[1].shape
    assert w.document.get(many[2].id).shape != many[2].shape
    assert rig.notices[-1].text == "2 annotations were changed or locked meanwhile: these stay as they are."


def test_another_search_or_a_cancel_ends_it(rig: Rig) -> None:
    rig.add(*(Annotation(Shape.box(9 * k, 10, 9 * k + 8, 30)) for k in range(40)))
    rig.workspace.refining.start(1.0)
    rig.workspace.review.begin("Something else")
    rig.settle()
    assert len(rig.workspace.review) == 0
    rig.workspace.select_all()
    rig.workspace.refining.start(1.0)
    (job,) = rig.jobs.visible
    job.cancel()
    rig.settle()
    assert not rig.workspace.review.busy


def test_nothing_to_refine_is_said(rig: Rig) -> None:
    rig.add(Annotation(BOX, locked=True), Annotation(BOX, plane=Plane(0, 1)))
    with pytest.raises(SamdeskError, match="can be refined"):
        rig.workspace.refining.start(1.0)


# What is asked


def test_small_annotations_are_looked_at_more_closely() -> None:
    assert refining_downsample(Bounds(0, 0, 20, 20), 16.0) == 1.0
    assert refining_downsample(Bounds(0, 0, 600, 20), 16.0) == 8.0
    assert refining_downsample(Bounds(0, 0, 5000, 20), 2.0) == 2.0


def test_of_several_answers_the_best_is_taken_that_is_the_same_object() -> None:
    chip = Region(0, 0, 500, 400)
    near, better, other = (
        Candidate(Shape.box(100, 100, x, 160), score, chip)
        for x, score in ((180, 0.1), (170, 0.8), (400, 0.9))
    )
    assert best_refined([near, better, other], BOX) is better
    assert best_refined([other], BOX) is other
    assert best_refined([], BOX) is None


def test_prompts_that_do_not_fit_any_more_are_left_out() -> None:
    told = {
        "points": [[110, 110, 1], [400, 300, 1], [120, 120, 0], [300, 300, 0], [1, 2], "x", [1e999, 0, 1]],
        "boxes": [[98, 99, 181, 163], [300, 300, 340, 340], [0, 0, 1]],
        "negative_boxes": [[200, 200, 220, 220]],
    }
    found = prompts_of(told, BOX, (500, 400))
    assert found.points == (PointPrompt(110, 110), PointPrompt(300, 300, False))
    assert found.boxes == (
        BoxPrompt(Bounds(98, 99, 181, 163)),
        BoxPrompt(Bounds(200, 200, 220, 220), False),
    )
    assert not prompts_of({"points": None, "boxes": 3}, BOX, (500, 400))


def test_prompts_survive_a_geojson_file(rig: Rig, tmp_path: Path) -> None:
    rig.session.add_point(PointPrompt(200.25, 200.5), 1.0)
    rig.session.add_point(PointPrompt(300, 200, False), 1.0)
    rig.settle()
    rig.session.accept()
    one = rig.only()
    write_geojson(tmp_path / "one.geojson", rig.workspace.document.table())
    (again,) = read_geojson(tmp_path / "one.geojson").table.annotations()
    assert again.provenance == one.provenance
    found = prompts_of(again.provenance, again.shape, (500, 400))
    assert found.points == (PointPrompt(200.25, 200.5), PointPrompt(300, 200, False))


# Imported annotations in the review


def test_imported_annotations_are_looked_through_and_kept_as_they_are(rig: Rig) -> None:
    there = Annotation(BOX, class_name="Tumor")
    rig.add(there)
    table = Table.from_annotations(
        [
            replace(there, class_name="Stroma"),
            Annotation(Shape.box(300, 10, 340, 60), class_name="New class", measurements={"Mean": 2.0}),
            Annotation(Shape.box(300, 110, 340, 160)),
        ]
    )
    w = rig.workspace
    w.review_imported(table, "Import cells.geojson")
    rig.settle()
    assert [w.review.replaces(k) for k in range(3)] == [True, False, False]
    assert len(w.document) == 1
    w.review.current = 2
    w.review.judge(State.REJECTED)
    assert w.review.accept()
    first, second = w.document.annotations()
    assert (first.id, first.class_name) == (there.id, "Stroma")
    assert second == table.annotation(1)
    assert w.history.undo_title == "Import cells.geojson"
    w.history.undo()
    assert list(w.document.annotations()) == [there]
