"""Automask on one chip: what is asked, what is kept, and that the shortcuts change nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Region
from samdesk.domain.outline import shape_to_mask
from samdesk.domain.tasks import Cancelled, Progress, Task
from samdesk.engines.automask import OUTPUTS, AutomaskOptions, MaskFound, automask, read_output
from samdesk.engines.automask.layout import Crop, crops_of, grid
from samdesk.engines.automask.sift import Masks, StabilityBounds, sift
from samdesk.engines.automask.suppress import suppress
from samdesk.engines.automask.tidy import tidy
from samdesk.engines.automask.window import Sampling
from samdesk.engines.base import BatchLogits, Embedding
from tests.fakes import FakeEngine

LAX = AutomaskOptions(
    points_per_side=4, pred_iou_thresh=0.5, stability_score_thresh=0, include_image_edge=True
)
CHIP = Crop(0, 0, 1024, 1024)


def blank(width: int = 160, height: int = 120) -> NDArray[np.uint8]:
    return np.zeros((height, width, 3), np.uint8)


def smooth_logits(seed: int, sigma: float, size: tuple[int, int] = (256, 256)) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(0, 1, size).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), sigma) if sigma else noise
    return np.asarray(2 * (blurred / blurred.std() - 0.7), np.float32)


class Recorder(FakeEngine):
    """Also notes where it was asked, and what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[tuple[float, float]] = []
        self.batches: list[int] = []
        self.seen: list[tuple[int, int]] = []

    def encode(self, chip, task):  # type: ignore[no-untyped-def]
        self.seen.append((chip.shape[1], chip.shape[0]))
        return super().encode(chip, task)

    def predict_batch(self, embedding, prompts, task, multimask=True):  # type: ignore[no-untyped-def]
        if multimask or len(prompts) > 1:
            self.points += [one.points[0][:2] for one in prompts]
            self.batches.append(len(prompts))
        return super().predict_batch(embedding, prompts, task, multimask)


class TestOptions:
    def test_defaults_are_those_of_the_packages(self) -> None:
        options = AutomaskOptions()
        assert (options.points_per_side, options.points_per_batch) == (32, 64)
        assert (options.pred_iou_thresh, options.stability_score_thresh) == (0.88, 0.95)
        assert (options.box_nms_thresh, options.crop_nms_thresh) == (0.7, 0.7)
        assert options.crop_overlap_ratio == 512 / 1500

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("points_per_side", 0),
            ("points_per_side", 2.5),
            ("points_per_batch", 0),
            ("pred_iou_thresh", 1.5),
            ("stability_score_thresh", -0.1),
            ("stability_score_offset", float("nan")),
            ("box_nms_thresh", 2),
            ("crop_n_layers", -1),
            ("crop_overlap_ratio", 1.0),
            ("crop_n_points_downscale_factor", 0),
            ("min_mask_region_area", float("inf")),
        ],
    )
    def test_nonsense_is_refused_by_name(self, name: str, value: float) -> None:
        with pytest.raises(SamdeskError, match=name) as caught:
            AutomaskOptions(**{name: value})  # type: ignore[arg-type]
        assert "from" in caught.value.hint

    def test_a_layer_without_points_is_refused(self) -> None:
        with pytest.raises(SamdeskError, match="no points"):
            AutomaskOptions(points_per_side=4, crop_n_layers=2, crop_n_points_downscale_factor=4)

    def test_outputs_are_read_by_name_and_by_what_qupath_sends(self) -> None:
        for name, wire in OUTPUTS.items():
            assert read_output(name) == name
            assert read_output(wire) == name
        assert read_output("Single Mask") == "single"
        with pytest.raises(SamdeskError, match="nothing"):
            read_output("nothing")


class TestLayout:
    def test_points_are_the_middles_of_equal_cells(self) -> None:
        points = grid(Crop(10, 20, 110, 60), 2)
        assert points.tolist() == [[35, 30], [85, 30], [35, 50], [85, 50]]

    def test_crops_of_two_layers(self) -> None:
        """Worked out by hand: 300 x 200 with half of the shorter side as overlap."""
        options = AutomaskOptions(crop_n_layers=2, crop_overlap_ratio=0.5)
        crops = crops_of(Crop(0, 0, 300, 200), options)
        assert len(crops) == 1 + 4 + 16
        assert crops[0] == (0, 0, 300, 200, 0)
        # overlap 100: ceil((100 + 300) / 2) = 200 wide, ceil((100 + 200) / 2) = 150 high
        assert crops[1] == (0, 0, 200, 150, 1)
        assert crops[2] == (0, 50, 200, 200, 1)
        assert crops[4] == (100, 50, 300, 200, 1)
        # overlap 50: ceil((150 + 300) / 4) = 113 wide, the last one shorter
        assert crops[-1] == (189, 114, 300, 200, 2)

    def test_packages_ask_half_a_model_pixel_further(self) -> None:
        engine = Recorder()
        automask(engine, blank(200, 100), LAX, Task())
        # FakeEngine fills the chip, so that its 200 px are 1024 of a model's
        assert engine.points[0] == pytest.approx((25 + 100 / 1024, 12.5 + 50 / 1024))


class TestSuppress:
    def test_equals_the_plain_loop(self) -> None:
        draw = np.random.default_rng(0)
        corners = draw.integers(0, 60, (300, 2))
        boxes = np.hstack((corners, corners + draw.integers(0, 30, (300, 2))))
        ranks = draw.integers(0, 40, 300) / 40
        assert suppress(boxes, ranks, 0.41).tolist() == plain_suppress(boxes, ranks, 0.41)

    def test_the_limit_itself_stays(self) -> None:
        boxes = np.array([(0, 0, 10, 10), (0, 0, 10, 5)])
        assert suppress(boxes, np.array((1, 0.5)), 0.5).tolist() == [0, 1]
        assert suppress(boxes, np.array((1, 0.5)), 0.49).tolist() == [0]

    def test_ties_keep_their_order_and_nothing_gives_nothing(self) -> None:
        boxes = np.array([(0, 0, 10, 10)] * 3)
        assert suppress(boxes, np.ones(3), 0.5).tolist() == [0]
        assert suppress(np.empty((0, 4)), np.empty(0), 0.5).tolist() == []

    def test_boxes_without_area_all_stay(self) -> None:
        assert suppress(np.array([(5, 5, 5, 5)] * 2), np.ones(2), 0.5).tolist() == [0, 1]


def plain_suppress(boxes: NDArray[np.int64], ranks: NDArray[np.float64], threshold: float) -> list[int]:
    kept: list[int] = []
    for k in sorted(range(len(boxes)), key=lambda k: -ranks[k]):
        if all(box_iou(boxes[k], boxes[other]) <= threshold for other in kept):
            kept.append(k)
    return kept


def box_iou(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    total = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / total if total else 0.0


CASES = [
    pytest.param(CHIP, None, id="a full chip"),
    pytest.param(Crop(0, 0, 512, 512), None, id="half a chip"),
    pytest.param(Crop(0, 0, 384, 303), None, id="stretched"),
    pytest.param(Crop(0, 0, 384, 303), (384.0, 384.0), id="padded"),
    pytest.param(Crop(100, 40, 356, 296), (256.0, 256.0), id="as large as the logits"),
]


@pytest.mark.parametrize(("crop", "extent"), CASES)
@pytest.mark.parametrize("sigma", [0, 2, 12])
def test_sifting_keeps_what_looking_at_every_pixel_keeps(
    crop: Crop, extent: tuple[float, float] | None, sigma: float
) -> None:
    """Stability, box and area of every mask against those of all of it in chip pixels."""
    logits = np.stack([smooth_logits(seed, sigma) for seed in range(8)])[:, None]
    logits[6] = -1  # nothing
    scores = np.linspace(0.3, 1, 8, dtype=np.float32)[:, None]
    full = [shown(one[0], crop, extent) for one in logits]
    stability = [(f > 1).sum() / max((f > -1).sum(), 1) for f in full]
    options = AutomaskOptions(
        pred_iou_thresh=0.45, stability_score_thresh=float(np.median(stability)), include_image_edge=True
    )
    points = np.arange(16.0).reshape(8, 2)
    kept = sift(BatchLogits(logits, scores, extent), points, crop, crop, options)
    expected = [
        k
        for k in range(8)
        if scores[k] > 0.45 and stability[k] >= options.stability_score_thresh and (full[k] > 0).any()
    ]
    assert 0 < len(expected) < 6
    assert kept.points.tolist() == points[expected].tolist()
    for row, k in enumerate(expected):
        left, top, width, height = cv2.boundingRect((full[k] > 0).astype(np.uint8))
        x, y = crop.x0 + left, crop.y0 + top
        assert kept.boxes[row].tolist() == [x, y, x + width - 1, y + height - 1]
        assert kept.areas[row] == (full[k] > 0).sum()
        assert kept.stabilities[row] == pytest.approx(stability[k], abs=1e-6)


def shown(logits: NDArray[np.float32], crop: Crop, extent: tuple[float, float] | None) -> NDArray[np.float32]:
    """Logits at every pixel of a crop as the packages show them; padded ones by way of 1024 px."""
    size = crop.width, crop.height
    if extent is None:
        return np.asarray(cv2.resize(logits, size, interpolation=cv2.INTER_LINEAR))
    model = cv2.resize(logits, (1024, 1024), interpolation=cv2.INTER_LINEAR)
    part = model[: round(crop.height * 1024 / extent[1]), : round(crop.width * 1024 / extent[0])]
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_LINEAR))


@pytest.mark.parametrize("sigma", [0, 1, 4, 16])
def test_bounds_never_reject_what_is_stable(sigma: float) -> None:
    rejected = 0
    for seed in range(20):
        logits = smooth_logits(seed, sigma)
        full = shown(logits, CHIP, None)
        stability = (full > 1).sum() / (full > -1).sum()
        for threshold in (0.1, 0.5, 0.9):
            options = AutomaskOptions(stability_score_thresh=threshold)
            may = StabilityBounds(Sampling.of(CHIP, (256, 256), None), options).may_pass(logits)
            assert may or stability < threshold
            rejected += not may
    assert rejected > 0 or sigma < 4


def test_a_proposal_that_an_engine_does_not_have_is_none() -> None:
    logits = np.full((1, 2, 64, 64), -np.inf, np.float32)
    logits[0, 0, 20:30, 20:30] = np.inf
    batch = BatchLogits(logits, np.array([[0.9, 0]], np.float32))
    options = AutomaskOptions(pred_iou_thresh=0, stability_score_thresh=0.5)
    kept = sift(batch, np.zeros((1, 2)), Crop(0, 0, 128, 128), Crop(0, 0, 128, 128), options)
    assert len(kept) == 1
    assert kept.areas[0] == pytest.approx(400, rel=0.15)


class TestEdges:
    CROP = Crop(200, 0, 600, 500)
    CHIP = Crop(0, 0, 1000, 1000)

    def kept(self, x0: int, y0: int, x1: int, y1: int, crop: Crop, **options: bool) -> bool:
        logits = np.full((1, 1, crop.height, crop.width), -5, np.float32)
        logits[0, 0, y0 - crop.y0 : y1 - crop.y0, x0 - crop.x0 : x1 - crop.x0] = 5
        batch = BatchLogits(logits, np.ones((1, 1), np.float32))
        return len(sift(batch, np.zeros((1, 2)), crop, self.CHIP, AutomaskOptions(**options))) == 1

    def test_what_a_crop_cuts_is_dropped(self) -> None:
        assert self.kept(240, 100, 400, 300, self.CROP)
        assert not self.kept(210, 100, 400, 300, self.CROP)
        assert not self.kept(240, 100, 400, 495, self.CROP)

    def test_what_the_chip_cuts_stays(self) -> None:
        assert self.kept(240, 0, 400, 300, self.CROP)
        assert self.kept(0, 0, 400, 300, self.CHIP)

    def test_what_fills_the_chip_stays_only_when_wanted(self) -> None:
        assert not self.kept(5, 5, 990, 995, self.CHIP)
        assert self.kept(5, 5, 990, 995, self.CHIP, include_image_edge=True)
        assert self.kept(5, 5, 990, 900, self.CHIP)


def masks_of(*drawn: NDArray[np.bool_]) -> Masks:
    size = drawn[0].shape
    crop = Crop(0, 0, size[1], size[0])
    logits = np.stack([np.where(one, np.float32(4), np.float32(-4)) for one in drawn])[:, None]
    options = AutomaskOptions(pred_iou_thresh=0, stability_score_thresh=0, include_image_edge=True)
    return sift(
        BatchLogits(logits, np.ones((len(drawn), 1), np.float32)),
        np.zeros((len(drawn), 2)),
        crop,
        crop,
        options,
    )


class TestTidy:
    def ring(self) -> NDArray[np.bool_]:
        mask = np.zeros((100, 120), np.bool_)
        mask[20:60, 20:60] = True
        mask[30:34, 30:34] = False  # a hole of 16 px
        mask[80:83, 90:93] = True  # a piece of 9 px
        return mask

    @pytest.mark.parametrize(("area", "pixels"), [(5, 1593), (12, 1584), (20, 1600)])
    def test_small_holes_and_pieces(self, area: float, pixels: int) -> None:
        (window,) = (cleaned := tidy(masks_of(self.ring()), area, 0.7)).windows
        assert cleaned.areas[0] == pixels
        drawn = shape_to_mask(window.shape(), Region(0, 0, 120, 100))
        assert drawn.sum() == pixels
        assert cleaned.boxes[0].tolist() == ([20, 20, 59, 59] if area > 9 else [20, 20, 92, 82])

    def test_of_small_pieces_alone_the_largest_stays(self) -> None:
        mask = np.zeros((50, 50), np.bool_)
        mask[5:8, 5:8] = mask[20:24, 20:24] = True
        cleaned = tidy(masks_of(mask), 100, 0.7)
        assert cleaned.areas.tolist() == [16]

    def test_untouched_masks_are_preferred(self) -> None:
        plain = np.zeros((100, 120), np.bool_)
        plain[20:60, 20:60] = True
        cleaned = tidy(masks_of(self.ring(), plain), 20, 0.7)
        assert cleaned.areas.tolist() == [1600]
        assert len(cleaned.windows[0].logits) == 42  # its own piece, not the one made anew

    def test_a_hole_that_opens_to_the_border_of_the_piece_is_none(self) -> None:
        bay = np.zeros((100, 100), np.bool_)
        bay[40:60, 40:60] = True
        bay[40:42, 50:52] = False
        assert tidy(masks_of(bay), 50, 0.7).areas.tolist() == [396]


class TestAutomask:
    def test_a_grid_of_discs(self) -> None:
        engine = Recorder()
        engine.radius = 8
        found = automask(engine, blank(), LAX, Task())
        assert engine.encoded == 1
        assert engine.batches == [16]
        assert {round(one.score, 5) for one in found} == {0.9, 0.8, 0.7}
        best = [one for one in found if one.score > 0.85]
        assert len(best) == 16
        for one in best:
            assert one.shape.centroid == pytest.approx(one.point, abs=0.1)
            assert one.shape.area == pytest.approx(np.pi * 64, rel=0.02)
            assert one.area == pytest.approx(np.pi * 64, rel=0.05)
            assert one.box.x0 - 0.5 <= one.shape.bounds.x0 <= one.box.x0 + 0.5
            assert one.crop == Bounds(0, 0, 160, 120)

    def test_what_is_kept_where_masks_overlap(self) -> None:
        """The discs of 4, 8 and 16 px around a point have boxes with an IoU of 1/4 and less."""
        engine = FakeEngine()
        engine.radius = 8
        options = AutomaskOptions(
            points_per_side=1,
            pred_iou_thresh=0.5,
            stability_score_thresh=0,
            box_nms_thresh=0.2,
            include_image_edge=True,
        )

        def radii(output: str) -> list[int]:
            found = automask(engine, blank(), options, Task(), output=read_output(output))
            return [round(np.sqrt(one.shape.area / np.pi)) for one in found]

        assert radii("all") == [8, 4, 16]
        assert radii("largest") == [16, 4]
        assert radii("smallest") == [4, 16]
        assert radii("best") == [8]
        assert radii("single") == [8]

    def test_batches_and_partial_results(self) -> None:
        engine = Recorder()
        engine.radius = 8
        told: list[list[MaskFound]] = []
        options = AutomaskOptions(
            points_per_side=4, points_per_batch=5, stability_score_thresh=0, include_image_edge=True
        )
        found = automask(engine, blank(), options, Task(), told.append)
        assert engine.batches == [5, 5, 5, 1]
        assert [len(so_far) for so_far in told] == [5, 10, 15, 16]
        assert {id(one) for one in told[-1]} == {id(one) for one in found}

    def test_progress_and_cancel(self) -> None:
        engine = FakeEngine()
        told: list[Progress] = []
        options = AutomaskOptions(points_per_side=4, points_per_batch=4)
        automask(engine, blank(), options, Task(told.append))
        assert [one.fraction for one in told] == [0, 0.25, 0.5, 0.75]
        task = Task()
        with pytest.raises(Cancelled):
            automask(engine, blank(), options, task, lambda so_far: task.cancel())

    def test_an_engine_that_tells_its_own_progress_tells_a_part(self) -> None:
        class Talker(FakeEngine):
            def encode(self, chip, task):  # type: ignore[no-untyped-def]
                task.progress(0.7, "Encoding")
                return super().encode(chip, task)

            def predict_batch(self, embedding, prompts, task, multimask=True):  # type: ignore[no-untyped-def]
                task.progress(0.5, "Predicting")
                return super().predict_batch(embedding, prompts, task, multimask)

        told: list[Progress] = []
        options = AutomaskOptions(points_per_side=2, points_per_batch=2)
        automask(Talker(), np.zeros((1024, 1024, 3), np.uint8), options, Task(told.append))
        assert [one.fraction for one in told] == [0, 0, 0.25, 0.5, 0.75]
        assert [one.message for one in told][:2] == ["Encoding", "Asked 0 of 4 points"]

    def test_crops_are_encoded_on_their_own(self) -> None:
        engine = Recorder()
        engine.radius = 6
        options = AutomaskOptions(
            points_per_side=4, crop_n_layers=1, crop_n_points_downscale_factor=2,
            pred_iou_thresh=0.85, stability_score_thresh=0, include_image_edge=True, crop_overlap_ratio=0.25,
        )  # fmt: skip
        found = automask(engine, blank(400, 400), options, Task())
        assert engine.seen == [(400, 400)] + 4 * [(250, 250)]
        assert len(engine.points) == 16 + 4 * 4
        for one in found:
            assert one.shape.centroid == pytest.approx(one.point, abs=0.1)
        assert {one.crop.width for one in found} == {400, 250}

    def test_only_what_is_wanted_is_asked_and_encoded(self) -> None:
        engine = Recorder()
        options = AutomaskOptions(points_per_side=4, crop_n_layers=1, crop_overlap_ratio=0.0)
        automask(engine, blank(400, 400), options, Task(), wanted=lambda at: at[:, 0] < 90)
        assert engine.seen == [(400, 400)] + 2 * [(200, 200)]
        assert max(x for x, _ in engine.points) < 91

    def test_a_span_holds_the_whole_grid(self) -> None:
        engine = Recorder()
        automask(engine, blank(400, 400), LAX, Task(), span=Bounds(100, 100, 200, 140))
        x, y = np.array(engine.points).T
        assert (x.min(), x.max()) == pytest.approx((112.7, 187.7), abs=0.01)
        assert (y.min(), y.max()) == pytest.approx((105.2, 135.2), abs=0.01)
        assert engine.seen == [(400, 400)]

    def test_a_known_embedding_is_not_made_again(self) -> None:
        engine = FakeEngine()
        embedding = Embedding("fake", 160, 120, {}, 1)
        assert automask(engine, blank(), LAX, Task(), embedding=embedding)
        assert engine.encoded == 0

    def test_nothing_good_enough_gives_nothing(self) -> None:
        options = AutomaskOptions(
            pred_iou_thresh=0.95, crop_n_layers=1, min_mask_region_area=10, points_per_side=2
        )
        assert automask(FakeEngine(), blank(), options, Task()) == []
