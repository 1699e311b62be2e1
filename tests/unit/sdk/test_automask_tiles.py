"""Automask over a part of an image: tiles, seams, annotations, progress and cancel.

The picture is the truth: discs and bars on a dark ground, and an engine that answers with the
bright blob under the point as far as its chip shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
import tifffile
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Region, Shape, ShapeKind
from samdesk.domain.outline import iou
from samdesk.domain.prompts import Candidate, Prompts
from samdesk.domain.tasks import Cancelled, Progress, Task
from samdesk.engines.automask import AutomaskOptions
from samdesk.engines.base import BatchLogits, Embedding, MaskLogits
from samdesk.sdk import Image, Segmenter, open_image
from samdesk.sdk.automask import automask
from samdesk.sdk.seams import joined

DENSE = AutomaskOptions(points_per_side=64, pred_iou_thresh=0.5, stability_score_thresh=0.5)


class BlobEngine:
    """Answers with the bright blob under the point, at a quarter of the resolution."""

    name, title, identity, device = "blob", "Fake (blobs)", "blob", "cpu"

    def __init__(self) -> None:
        self.encoded: list[tuple[int, int]] = []
        self.asked = 0

    def encode(self, chip: NDArray[np.uint8], task: Task) -> Embedding:
        height, width = chip.shape[:2]
        self.encoded.append((width, height))
        small = cv2.resize(chip[..., 0], (-(-width // 4), -(-height // 4)), interpolation=cv2.INTER_AREA)
        logits = (small.astype(np.float32) - 127.5) / 8
        labels = cv2.connectedComponents((logits > 0).astype(np.uint8))[1]
        return Embedding(self.identity, width, height, {"logits": logits, "labels": labels}, 1)

    def predict_batch(
        self, embedding: Embedding, prompts: Sequence[Prompts], task: Task, multimask: bool = True
    ) -> BatchLogits:
        task.check()
        self.asked += len(prompts)
        logits, labels = embedding.data["logits"], embedding.data["labels"]
        answers = np.full((len(prompts), 1, *logits.shape), -16, np.float32)
        scores = np.zeros((len(prompts), 1), np.float32)
        for k, one in enumerate(prompts):
            row, column = int(one.points[0].y / 4), int(one.points[0].x / 4)
            label = labels[min(row, labels.shape[0] - 1), min(column, labels.shape[1] - 1)]
            if label:
                near = cv2.dilate((labels == label).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
                answers[k, 0][near] = logits[near]
                scores[k, 0] = 0.9
        return BatchLogits(answers, scores)

    def predict(
        self, embedding: Embedding, prompts: Prompts, task: Task, multimask: bool | None = None
    ) -> list[MaskLogits]:
        raise NotImplementedError

    def pack(self, embedding: Embedding) -> Mapping[str, NDArray[Any]] | None:
        return None

    def unpack(self, arrays: Mapping[str, NDArray[Any]], width: int, height: int) -> Embedding:
        raise NotImplementedError


def disc(x: float, y: float, radius: float) -> Shape:
    return Shape.from_shapely(shapely.Point(x, y).buffer(radius, quad_segs=32))


def bar(x0: float, y0: float, x1: float, y1: float) -> Shape:
    return Shape.from_shapely(shapely.box(x0, y0, x1, y1))


def picture(width: int, height: int, shapes: Sequence[Shape]) -> NDArray[np.uint8]:
    """The shapes in white on black, smooth at their edges."""
    drawn = np.zeros((height, width), np.uint8)
    for shape in shapes:
        cv2.fillPoly(drawn, [np.round(shape.coords * 16 - 8).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.repeat(drawn[..., None], 3, axis=2)


def opened(folder: Path, pixels: NDArray[np.uint8]) -> Image:
    tifffile.imwrite(folder / "picture.tif", pixels, tile=(256, 256), photometric="rgb")
    return open_image(folder / "picture.tif")


def scattered(width: int, height: int, count: int = 60) -> list[Shape]:
    """Discs that keep apart, many of them across the borders of chips."""
    draw = np.random.default_rng(3)
    placed: list[tuple[float, float, float]] = []
    while len(placed) < count:
        x, y, r = draw.uniform(60, width - 60), draw.uniform(60, height - 60), draw.uniform(20, 55)
        if all(np.hypot(x - u, y - v) > r + s + 12 for u, v, s in placed):
            placed.append((x, y, r))
    return [disc(*one) for one in placed]


def found_once(truth: Sequence[Shape], found: Sequence[Candidate], least: float = 0.93) -> None:
    """Assert that every shape was found by one candidate, and nothing else was."""
    best = [max((iou(one.shape, shape) for one in found), default=0) for shape in truth]
    assert min(best) > least
    assert len(found) == len(truth)


@pytest.fixture
def engine() -> BlobEngine:
    return BlobEngine()


@pytest.fixture
def segmenter(engine: BlobEngine) -> Segmenter:
    return Segmenter(engine)


@pytest.fixture
def slide(tmp_path: Path) -> Iterator[tuple[Image, list[Shape]]]:
    truth = scattered(1700, 1400)
    image = opened(tmp_path, picture(1700, 1400, truth))
    yield image, truth
    image.close()


def test_a_small_image_is_one_chip(tmp_path: Path, engine: BlobEngine, segmenter: Segmenter) -> None:
    truth = [disc(100, 90, 40), disc(300, 210, 60)]
    image = opened(tmp_path, picture(420, 300, truth))
    found = automask(segmenter, image, None, DENSE)
    image.close()
    found_once(truth, found)
    assert engine.encoded == [(420, 300)]
    assert not any(one.at_edge for one in found)


def test_tiles_find_every_object_once_and_whole(
    slide: tuple[Image, list[Shape]], engine: BlobEngine, segmenter: Segmenter
) -> None:
    image, truth = slide
    found = automask(segmenter, image, None, DENSE)
    found_once(truth, found)
    assert len(engine.encoded) == 9 - 3  # 3 columns and 2 rows of chips
    assert not any(one.at_edge for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_every_place_is_asked_by_one_tile(
    slide: tuple[Image, list[Shape]], engine: BlobEngine, segmenter: Segmenter
) -> None:
    image, _ = slide
    automask(segmenter, image, None, DENSE)
    spacing = 1024 / DENSE.points_per_side
    assert engine.asked == pytest.approx(1700 / spacing * 1400 / spacing, rel=0.03)


def test_coarser_levels_give_the_same_objects(
    slide: tuple[Image, list[Shape]], engine: BlobEngine, segmenter: Segmenter
) -> None:
    image, truth = slide
    found_once(truth, automask(segmenter, image, None, DENSE, downsample=2), least=0.85)
    assert len(engine.encoded) == 1


def test_an_object_larger_than_a_chip_is_united(tmp_path: Path, segmenter: Segmenter) -> None:
    long = bar(60, 500, 2540, 620)
    small = disc(400, 200, 50)
    image = opened(tmp_path, picture(2600, 1100, [long, small]))
    found = automask(segmenter, image, None, DENSE)
    image.close()
    found_once([long, small], found, least=0.95)
    assert not any(one.at_edge for one in found)


def test_a_united_object_that_goes_on_is_told(tmp_path: Path, segmenter: Segmenter) -> None:
    image = opened(tmp_path, picture(4000, 1000, [bar(60, 400, 3940, 520)]))
    (found,) = automask(segmenter, image, Bounds(0, 0, 1500, 1000), DENSE)
    image.close()
    assert found.at_edge


def test_a_box_keeps_objects_whole(slide: tuple[Image, list[Shape]], segmenter: Segmenter) -> None:
    image, truth = slide
    box = Bounds(200, 150, 900, 640)
    frame = bar(*box)
    share = [1 - _outside(shape, frame) for shape in truth]
    found = automask(segmenter, image, box, DENSE)
    well_in = [shape for shape, part in zip(truth, share, strict=True) if part > 0.55]
    may_be = [shape for shape, part in zip(truth, share, strict=True) if part > 0.45]
    assert all(max(iou(one.shape, shape) for one in found) > 0.93 for shape in well_in)
    assert len(well_in) <= len(found) <= len(may_be)
    assert any(0.45 < part < 1 for part in share)


@pytest.mark.parametrize("far", [False, True], ids=["one chip", "tiles"])
def test_inside_an_annotation_nothing_reaches_out(
    slide: tuple[Image, list[Shape]], engine: BlobEngine, segmenter: Segmenter, far: bool
) -> None:
    image, truth = slide
    area = disc(850, 700, 600 if far else 350)
    found = automask(segmenter, image, area, DENSE)
    assert found
    assert all(_outside(one.shape, area) < 1e-6 for one in found)
    inside = [shape for shape in truth if _outside(shape, area) == 0]
    assert all(max(iou(one.shape, shape) for one in found) > 0.93 for shape in inside)
    cut = [shape for shape in truth if 0.1 < _outside(shape, area) < 0.4]
    assert cut
    for shape in cut:
        rest = Shape.from_shapely(shape.to_shapely() & area.to_shapely())
        assert max(iou(one.shape, rest) for one in found) > 0.9
    assert engine.asked < DENSE.points_per_side**2 * (4 if far else 0.85)


def _outside(shape: Shape, area: Shape) -> float:
    return float((shape.to_shapely() - area.to_shapely()).area / shape.area)


def test_embeddings_are_kept(
    slide: tuple[Image, list[Shape]], engine: BlobEngine, segmenter: Segmenter
) -> None:
    image, _ = slide
    first = automask(segmenter, image, None, DENSE)
    encoded = len(engine.encoded)
    second = automask(segmenter, image, None, DENSE)
    assert len(engine.encoded) == encoded
    assert [one.shape for one in first] == [one.shape for one in second]


def test_partial_results_grow(slide: tuple[Image, list[Shape]], segmenter: Segmenter) -> None:
    image, _ = slide
    told: list[int] = []
    found = automask(segmenter, image, None, DENSE, found=lambda so_far: told.append(len(so_far)))
    assert len(told) == 6
    assert told == sorted(told)
    assert told[0] > 0
    assert told[-1] >= len(found)


def test_partial_results_come_batch_by_batch_on_one_chip(
    slide: tuple[Image, list[Shape]], segmenter: Segmenter
) -> None:
    image, _ = slide
    told: list[list[Candidate]] = []
    found = automask(segmenter, image, Bounds(0, 0, 500, 500), DENSE, found=told.append)
    assert len(told) == DENSE.points_per_side**2 // DENSE.points_per_batch
    assert {id(one) for one in told[-1]} == {id(one) for one in found}


def test_progress_rises_and_says_which_tile(slide: tuple[Image, list[Shape]], segmenter: Segmenter) -> None:
    image, _ = slide
    told: list[Progress] = []
    automask(segmenter, image, None, DENSE, task=Task(told.append))
    fractions = [one.fraction for one in told if one.fraction is not None]
    assert fractions == sorted(fractions)
    assert fractions[-1] > 0.9
    assert any("tile 2 of 6" in one.message for one in told)


def test_cancel_stops_before_the_next_batch(
    slide: tuple[Image, list[Shape]], engine: BlobEngine, segmenter: Segmenter
) -> None:
    image, _ = slide
    task = Task()
    with pytest.raises(Cancelled):
        automask(segmenter, image, None, DENSE, task=task, found=lambda so_far: task.cancel())
    assert len(engine.encoded) == 1


def test_a_part_outside_the_image_is_refused(slide: tuple[Image, list[Shape]], segmenter: Segmenter) -> None:
    image, _ = slide
    with pytest.raises(SamdeskError, match="outside the image"):
        automask(segmenter, image, Bounds(5000, 0, 6000, 100), DENSE)


def test_a_line_has_no_inside(slide: tuple[Image, list[Shape]], segmenter: Segmenter) -> None:
    image, _ = slide
    line = Shape.from_parts([[[(0, 0), (300, 300)]]], ShapeKind.LINES)
    with pytest.raises(SamdeskError, match="no inside"):
        automask(segmenter, image, line, DENSE)


class TestJoined:
    """Two chips, 0..1024 and 512..1536."""

    LEFT, RIGHT = Region(0, 0, 1024, 1024), Region(512, 0, 1024, 1024)
    SIZE = (1536, 1024)

    def joined(self, *found: Candidate) -> list[Candidate]:
        return joined(found, np.array([one.score for one in found]), self.SIZE, 0.7)

    def seen(self, shape: Shape, chip: Region, score: float = 0.9) -> Candidate:
        box = chip.bounds
        part = Shape.from_shapely(shapely.clip_by_rect(shape.to_shapely(), *box))
        cut = part.bounds.x1 >= box.x1 < self.SIZE[0] or part.bounds.x0 <= box.x0 > 0
        return Candidate(part, score, chip, cut, "fake")

    def test_nothing(self) -> None:
        assert self.joined() == []

    def test_the_whole_one_stays_though_the_cut_one_scores_higher(self) -> None:
        shape = disc(1000, 500, 100)
        cut, whole = self.seen(shape, self.LEFT, 0.99), self.seen(shape, self.RIGHT, 0.5)
        assert cut.at_edge
        assert self.joined(cut, whole) == [whole]
        assert self.joined(whole, cut) == [whole]

    def test_two_cut_ones_that_agree_are_one(self) -> None:
        shape = bar(100, 400, 1400, 500)
        (one,) = self.joined(self.seen(shape, self.LEFT, 0.8), self.seen(shape, self.RIGHT, 0.6))
        assert iou(one.shape, shape) > 0.999
        assert not one.at_edge
        assert 0.6 < one.score < 0.8
        assert one.region.bounds == Bounds(0, 0, 1536, 1024)

    def test_two_cut_ones_that_disagree_stay_apart(self) -> None:
        left = self.seen(bar(100, 400, 1400, 500), self.LEFT)
        right = self.seen(bar(300, 450, 1400, 900), self.RIGHT)
        assert self.joined(left, right) == [left, right]

    def test_the_better_of_two_alike_stays(self) -> None:
        worse, better = (
            self.seen(disc(768, 500, 80), self.LEFT, 0.8),
            self.seen(disc(770, 500, 80), self.RIGHT),
        )
        assert self.joined(worse, better) == [better]

    def test_masks_of_one_chip_are_left_alone(self) -> None:
        one, other = self.seen(disc(300, 500, 80), self.LEFT), self.seen(disc(302, 500, 80), self.LEFT)
        assert self.joined(one, other) == [one, other]
