"""The search for many objects: what is looked at, every object once, newest wins, stop and errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from samdesk.app.finding import (
    OVERLAP,
    ExampleTool,
    FindSession,
    Gathering,
    Where,
    many_looks,
    single_look,
)
from samdesk.app.jobs import Job, Jobs, MainQueue
from samdesk.app.review import Review
from samdesk.app.tools import Pointer
from samdesk.domain.columns import Annotation
from samdesk.domain.document import Document
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane, Region, Shape
from samdesk.domain.prompts import BoxPrompt, Candidate, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.automask import AutomaskOptions
from samdesk.engines.base import CHIP, ENGINES, Embedding, MaskLogits
from samdesk.sdk import Image, Segmenter, open_image
from samdesk.sdk.automask import options_for
from tests.fakes import BrightEngine, FakeEngine

SIZE = (3000, 1500)
SPOTS = [(60 + 150 * i, 60 + 170 * j) for i in range(20) for j in range(9)]
RADIUS = 20
COARSER = 4
"""Chip pixels per pixel of an answer."""


class SpotEngine(BrightEngine):
    """Finds every bright spot of the chip, scored 0.9, or 0.4 where it touches the chip's border;
    a point gives the spot that it lies on.

    Attributes
    ----------
    asked : list of Prompts
        What it was asked to find, in chip pixels.
    """

    name = "spots"

    def __init__(self) -> None:
        self.asked: list[Prompts] = []

    def encode(self, chip: NDArray[np.uint8], task: Task) -> Embedding:
        size = tuple(-(-side // COARSER) for side in chip.shape[1::-1])
        small = cv2.resize(chip[..., 0], size, interpolation=cv2.INTER_AREA)
        labels = cv2.connectedComponents((small > 127).astype(np.uint8))[1]
        return Embedding(self.name, chip.shape[1], chip.shape[0], {"labels": labels}, labels.nbytes)

    def predict(
        self, embedding: Embedding, prompts: Prompts, task: Task, multimask: bool | None = None
    ) -> list[MaskLogits]:
        labels, (x, y, _) = embedding.data["labels"], prompts.points[0]
        k = labels[int(y / COARSER), int(x / COARSER)]
        return [MaskLogits(self._logits(labels, k), 0.9)] if k else []

    def find(
        self, embedding: Embedding, prompts: Prompts, task: Task, min_score: float = 0.5
    ) -> list[MaskLogits]:
        task.check()
        self.asked.append(prompts)
        labels = embedding.data["labels"]
        border = set(np.concatenate((labels[0], labels[-1], labels[:, 0], labels[:, -1])).tolist())
        scores = {k: 0.4 if k in border else 0.9 for k in range(1, labels.max() + 1)}
        return [MaskLogits(self._logits(labels, k), s) for k, s in scores.items() if s >= min_score]

    @staticmethod
    def _logits(labels: NDArray[np.int32], k: int) -> NDArray[np.float32]:
        return np.where(labels == k, np.float32(100), np.float32(-100))


class Rig:
    """A find session over a real picture of spots, without a window."""

    def __init__(self, image: Image, engine: SpotEngine | FakeEngine) -> None:
        self.main = MainQueue()
        self.jobs = Jobs(self.main)
        self.failed: list[SamdeskError] = []
        self.jobs.failed.connect(self._failed)
        self.image = image
        self.engine = engine
        self.document = Document()
        self.review = Review(lambda candidates: True)
        self.segmenter = Segmenter(engine)
        self.finding = FindSession(self.jobs, self.segmenter, self.review, self.document.snapshot)
        self.finding.set_image(image)

    def _failed(self, job: Job[object]) -> None:
        assert job.error is not None
        self.failed.append(job.error)

    def settle(self) -> None:
        self.main.run_until(lambda: self.jobs.idle, 20)
        self.main.drain()
        if not self.jobs.idle:
            self.settle()

    def found(self) -> list[tuple[int, int]]:
        """The spots that the candidates are, sorted."""
        spots, found = np.array(SPOTS), []
        for k in range(len(self.review)):
            away = np.abs(spots - self.review.bounds(k).center).max(axis=1)
            assert away.min() <= COARSER
            found.append(SPOTS[int(away.argmin())])
        return sorted(found)

    @property
    def whole(self) -> Where:
        return Where.image(self.image.size, 1.0)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spots") / "spots.png"
    pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    for x, y in SPOTS:
        cv2.circle(pixels, (x, y), RADIUS, (255, 255, 255), -1)
    cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture
def rig(picture: Path) -> Iterator[Rig]:
    image = open_image(picture)
    made = Rig(image, SpotEngine())
    yield made
    made.jobs.close()
    image.close()


# What is looked at


@pytest.mark.parametrize("x", [0, 333, 1700, 2400])
def test_a_single_look_sees_all_of_the_view(x: float) -> None:
    view = Bounds(x, 100, x + 600, 500)
    chip = single_look(view, 1.0, SIZE).chip
    assert chip.downsample == 1
    assert chip.bounds.union(view) == chip.bounds
    assert Bounds(0, 0, *SIZE).union(chip.bounds) == Bounds(0, 0, *SIZE)


def test_a_view_that_moved_a_little_is_the_same_chip() -> None:
    assert single_look(Bounds(900, 400, 1500, 800), 1.0, SIZE) == single_look(
        Bounds(910, 395, 1510, 795), 1.0, SIZE
    )


def test_a_wide_view_is_looked_at_from_further_away() -> None:
    chip = single_look(Bounds(0, 0, 3000, 1500), 1.0, SIZE).chip
    assert chip.downsample == 4
    assert (chip.width, chip.height) == (750, 375)


def test_many_looks_cover_the_image_overlap_and_share_it_out() -> None:
    looks = many_looks(Bounds(0, 0, *SIZE), 1.0, SIZE)
    covered = np.zeros((SIZE[1], SIZE[0]), np.int64)
    for chip, core in ((look.chip, look.core) for look in looks):
        box = core.intersection(Bounds(0, 0, *SIZE))
        covered[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)] += 1
        assert chip.bounds.union(box) == chip.bounds
        assert (chip.width, chip.height) == (CHIP, CHIP)
    assert (covered == 1).all()
    first, second = looks[0].chip, looks[1].chip
    assert first.bounds.x1 - second.x == OVERLAP


def test_a_part_of_the_image_is_looked_at_through_chips_of_the_whole() -> None:
    whole = many_looks(Bounds(0, 0, *SIZE), 1.0, SIZE)
    part = many_looks(Bounds(1000, 200, 1100, 300), 1.0, SIZE)
    assert 0 < len(part) < len(whole)
    assert all(look in whole for look in part)


# Searching


def test_words_are_searched_for_in_the_view(rig: Rig) -> None:
    rig.finding.text = "  bright \n spot "
    rig.finding.search(Where.view(Bounds(0, 0, 500, 400), 1.0))
    assert rig.finding.busy
    assert rig.review.busy
    assert [job.title for job in rig.jobs.visible] == ["Searching “bright spot”"]
    rig.settle()
    assert rig.engine.asked == [Prompts(text="bright spot")]
    assert rig.found() == [(x, y) for x, y in SPOTS if x < 520 and y < 420]
    assert not rig.finding.busy
    assert not rig.review.busy


def test_every_object_of_the_image_is_found_once_and_whole(rig: Rig) -> None:
    rig.finding.text = "spot"
    rig.finding.search(rig.whole)
    rig.settle()
    assert len(rig.engine.asked) == 8
    assert rig.found() == sorted(SPOTS)
    assert not any(rig.review[k].at_edge for k in range(len(rig.review)))


def test_results_arrive_chip_by_chip(rig: Rig) -> None:
    rig.finding.text = "spot"
    counts: list[int] = []
    rig.review.changed.connect(lambda: counts.append(len(rig.review)))
    rig.finding.search(rig.whole)
    rig.settle()
    assert counts[0] == 0
    assert len(set(counts)) > 4
    assert counts == sorted(counts)


def test_only_what_lies_in_the_annotation_is_found(rig: Rig) -> None:
    area = Shape.polygon([(0, 0), (1500, 0), (0, 1500)])
    rig.finding.text = "spot"
    rig.finding.search(Where.inside([area], 1.0))
    rig.settle()
    assert rig.found() == sorted((x, y) for x, y in SPOTS if x + y < 1500)
    assert len(rig.engine.asked) < 8


def test_without_an_area_there_is_nothing_to_search_in() -> None:
    with pytest.raises(SamdeskError, match="No annotation"):
        Where.inside([Shape.points([(3, 3)])], 1.0)


def test_the_engine_is_asked_for_less_than_the_slider_shows(rig: Rig) -> None:
    rig.finding.text = "spot"
    rig.finding.search(Where.view(Bounds(0, 0, 500, 400), 1.0))
    rig.settle()
    before = len(rig.review.shown())
    rig.review.min_score = 0.3
    asked = len(rig.engine.asked)
    assert len(rig.review.shown()) >= before
    assert len(rig.engine.asked) == asked
    assert rig.review.floor < 0.5


def test_an_example_is_given_in_chip_pixels(rig: Rig) -> None:
    rig.finding.add_example(BoxPrompt(Bounds(1500, 600, 1540, 640)))
    rig.finding.add_example(BoxPrompt(Bounds(1600, 600, 1640, 640), False))
    rig.finding.add_example(BoxPrompt(Bounds(2900, 600, 2940, 640), False))
    rig.finding.search(Where.view(Bounds(1200, 400, 1800, 800), 1.0))
    rig.settle()
    (asked,) = rig.engine.asked
    chip = single_look(Bounds(1200, 400, 1800, 800), 1.0, SIZE).chip
    assert [box.positive for box in asked.boxes] == [True, False]
    assert asked.boxes[0].bounds == Bounds(1500 - chip.x, 600 - chip.y, 1540 - chip.x, 640 - chip.y)
    assert rig.finding.asked.boxes == rig.finding.examples


def test_an_example_that_is_not_in_view_is_told(rig: Rig) -> None:
    rig.finding.add_example(BoxPrompt(Bounds(2900, 600, 2940, 640)))
    rig.finding.search(Where.view(Bounds(0, 0, 500, 400), 1.0))
    rig.settle()
    assert "example" in rig.failed[0].message
    assert not rig.finding.busy
    assert not rig.review.busy


def test_without_words_an_example_is_searched_for_with_one_look(rig: Rig) -> None:
    rig.finding.add_example(BoxPrompt(Bounds(40, 40, 80, 80)))
    rig.finding.search(rig.whole)
    rig.settle()
    (asked,) = rig.engine.asked
    assert asked.boxes[0].bounds == Bounds(10, 10, 20, 20)
    assert len(rig.review) == len(SPOTS)


def test_an_example_too_small_to_be_seen_is_told(rig: Rig) -> None:
    rig.finding.add_example(BoxPrompt(Bounds(40, 40, 50, 50)))
    rig.finding.search(rig.whole)
    rig.settle()
    assert "too small" in rig.failed[0].message


def test_with_words_examples_help_only_where_they_lie(rig: Rig) -> None:
    rig.finding.text = "spot"
    rig.finding.add_example(BoxPrompt(Bounds(40, 40, 80, 80)))
    rig.finding.search(rig.whole)
    rig.settle()
    assert sum(bool(asked.boxes) for asked in rig.engine.asked) == 1
    assert all(asked.text == "spot" for asked in rig.engine.asked)


def test_what_is_an_annotation_already_begins_unticked(rig: Rig) -> None:
    rig.finding.text = "spot"
    view = Where.view(Bounds(0, 0, 500, 400), 1.0)
    rig.finding.search(view)
    rig.settle()
    rig.document.apply(rig.document.adding([Annotation(rig.review[0].shape)]))
    rig.finding.search(view)
    rig.settle()
    assert [k for k in range(len(rig.review)) if rig.review.is_there(k)] == [0]
    assert len(rig.review.ticked()) == len(rig.review) - 1


def test_of_several_searches_only_the_last_is_shown(rig: Rig) -> None:
    for text in ("a", "b", "c"):
        rig.finding.text = text
        rig.finding.search(rig.whole)
    assert rig.review.title == "Searching “c”"
    rig.settle()
    assert rig.found() == sorted(SPOTS)
    assert rig.finding.asked == Prompts(text="c")


def test_stop_keeps_what_was_found_and_nothing_comes_after(rig: Rig) -> None:
    rig.finding.text = "spot"
    rig.finding.search(rig.whole)
    rig.main.run_until(lambda: len(rig.review) > 0, 10)
    found = len(rig.review)
    rig.finding.stop()
    rig.settle()
    assert 0 < found == len(rig.review) < len(SPOTS)
    assert not rig.finding.busy
    assert rig.failed == []


def test_a_click_does_not_wait_for_the_whole_search(rig: Rig) -> None:
    rig.finding.text = "spot"
    rig.finding.search(rig.whole)
    rig.main.run_until(lambda: len(rig.review) > 0, 10)
    asked_at: list[int] = []
    rig.jobs.lane("model").submit(lambda task: asked_at.append(len(rig.engine.asked)), priority=-1)
    rig.settle()
    assert asked_at[0] < len(rig.engine.asked) == 8


def test_another_engine_gives_the_search_up_and_the_same_one_does_not(rig: Rig) -> None:
    rig.finding.text = "spot"
    rig.finding.search(rig.whole)
    rig.finding.set_segmenter(rig.segmenter)
    assert rig.finding.busy
    rig.finding.set_segmenter(Segmenter(BrightEngine()))
    assert not rig.finding.busy
    assert not rig.finding.finds
    rig.settle()
    assert rig.finding.text == "spot"


def test_nothing_to_search_for_is_told(rig: Rig) -> None:
    rig.finding.search(rig.whole)
    rig.settle()
    assert "nothing to search for" in rig.failed[0].message


def test_a_job_that_was_cancelled_elsewhere_ends_the_search(rig: Rig) -> None:
    rig.finding.text = "spot"
    rig.finding.search(rig.whole)
    for job in rig.jobs.visible:
        job.cancel()
    rig.settle()
    assert not rig.finding.busy
    assert not rig.review.busy


def test_another_image_drops_the_search_its_results_and_the_examples(rig: Rig) -> None:
    rig.finding.text = "spot"
    rig.finding.add_example(BoxPrompt(Bounds(40, 40, 80, 80)))
    rig.finding.search(rig.whole)
    rig.finding.set_image(None)
    rig.settle()
    assert len(rig.review) == 0
    assert rig.finding.examples == ()
    assert rig.finding.text == "spot"
    assert not rig.finding.can_search


def test_another_plane_keeps_the_candidates_and_their_plane(rig: Rig) -> None:
    rig.finding.text = "spot"
    rig.finding.search(Where.view(Bounds(0, 0, 500, 400), 1.0))
    rig.settle()
    rig.finding.set_image(rig.image, Plane(1, 0))
    assert len(rig.review) > 0
    assert rig.review.plane == Plane(0, 0)


def test_an_engine_that_cannot_search_says_so(picture: Path) -> None:
    image = open_image(picture)
    rig = Rig(image, BrightEngine())  # type: ignore[arg-type]
    rig.finding.text = "spot"
    assert not rig.finding.finds
    assert not rig.finding.can_search
    rig.finding.search(rig.whole)
    rig.settle()
    assert "cannot search" in rig.failed[0].message
    rig.jobs.close()
    image.close()


def test_there_is_something_to_search_for_with_words_or_a_positive_example(rig: Rig) -> None:
    assert not rig.finding.can_search
    rig.finding.text = " "
    assert not rig.finding.can_search
    rig.finding.add_example(BoxPrompt(Bounds(40, 40, 80, 80), False))
    assert not rig.finding.can_search
    rig.finding.add_example(BoxPrompt(Bounds(40, 40, 80, 80)))
    assert rig.finding.can_search
    rig.finding.remove_example(1)
    rig.finding.text = "spot"
    assert rig.finding.can_search


# Everything


def test_everything_in_the_view_is_found_with_an_engine_that_cannot_search(rig: Rig) -> None:
    rig.finding.automask(Where.view(Bounds(0, 0, 500, 400), 1.0))
    assert rig.jobs.visible[0].title == "Finding everything in the view"
    rig.settle()
    assert set(rig.found()) == {(x, y) for x, y in SPOTS if x < 500 and y < 400}
    assert len(set(rig.found())) == len(rig.review)
    assert not rig.finding.busy


def test_everything_in_two_annotations_is_found(rig: Rig) -> None:
    areas = [Shape.box(0, 0, 300, 300), Shape.box(600, 600, 900, 900)]
    rig.finding.automask(Where.inside(areas, 1.0), AutomaskOptions(points_per_side=40))
    rig.settle()
    inside = [(x, y) for x, y in SPOTS if (x < 300 and y < 300) or (600 < x < 900 and 600 < y < 900)]
    assert rig.found() == sorted(inside)


def test_what_automask_tells_early_is_replaced_not_repeated(rig: Rig) -> None:
    counts: list[int] = []
    rig.review.changed.connect(lambda: counts.append(len(rig.review)))
    rig.finding.automask(Where.image(rig.image.size, 2.0), AutomaskOptions(points_per_side=72))
    rig.settle()
    assert len(set(counts)) > 2
    assert len(rig.review) == len(set(rig.found())) == len(SPOTS)


def test_automask_can_be_stopped_and_what_it_told_stays(rig: Rig) -> None:
    rig.finding.automask(Where.image(rig.image.size, 1.0))
    rig.main.run_until(lambda: len(rig.review) > 0, 10)
    found = len(rig.review)
    rig.finding.stop()
    rig.settle()
    assert len(rig.review) == found
    assert rig.failed == []


def test_stability_is_asked_of_models_only() -> None:
    assert options_for(Segmenter(ENGINES["classical"])).stability_score_thresh == 0
    assert options_for(Segmenter(FakeEngine())) == AutomaskOptions()


# Every object once


def _box(x: float, side: float, *, at_edge: bool = False, y: float = 0.0) -> Candidate:
    shape = Shape.box(x, y, x + side, y + side)
    return Candidate(shape, 0.9, Region(0, 0, 100, 100), at_edge)


def test_objects_of_one_look_may_lie_in_each_other() -> None:
    assert len(Gathering().take([_box(0, 50), _box(0, 48), _box(10, 10)], Bounds(0, 0, 99, 99))) == 3


def test_what_only_a_neighbour_saw_is_not_lost_and_a_piece_is_not_an_object() -> None:
    gathering = Gathering()
    left, right = Bounds(-np.inf, -np.inf, 100, np.inf), Bounds(100, -np.inf, np.inf, np.inf)
    whole, piece, lonely = _box(80, 30), _box(101, 9, at_edge=True), _box(120, 30)
    assert gathering.take([whole, lonely], left) == [whole]
    assert gathering.take([piece], right) == []
    assert gathering.rest() == [lonely]


# Drawing examples


def test_a_drag_becomes_an_example_cut_to_the_image(rig: Rig) -> None:
    heard: list[BoxPrompt | None] = []
    rig.finding.changed.connect(lambda: heard.append(rig.finding.dragged))
    tool = ExampleTool(rig.finding, positive=False)
    tool.press(Pointer(100, 100, "left"))
    tool.move(Pointer(60, 50, "left"))
    assert rig.finding.dragged == BoxPrompt(Bounds(60, 50, 100, 100), False)
    tool.release(Pointer(-40, 50, "left"))
    assert rig.finding.examples == (BoxPrompt(Bounds(0, 50, 100, 100), False),)
    assert rig.finding.dragged is None
    assert heard[-1] is None


def test_a_click_a_right_drag_and_a_drag_beside_the_image_are_no_examples(rig: Rig) -> None:
    tool = ExampleTool(rig.finding, positive=True)
    for button, end in (("left", (101, 101)), ("right", (200, 200))):
        tool.press(Pointer(100, 100, button))
        tool.move(Pointer(*end, button))
        tool.release(Pointer(*end, button))
    tool.press(Pointer(-100, -100, "left"))
    tool.release(Pointer(-50, -50, "left"))
    tool.press(Pointer(100, 100, "left"))
    tool.move(Pointer(300, 300, "left"))
    tool.leave()
    tool.release(Pointer(300, 300, "left"))
    assert rig.finding.examples == ()
    assert rig.finding.dragged is None
