"""The fast decoder beside the packages' own modules, and prompts on their way to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Shape
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.domain.tasks import Cancelled, Progress, Task
from samdesk.engines.decoder import Asker, Decoded, FastDecoder, Frame, ImageTerms, questions, wants_several
from samdesk.engines.torchvision_ops import disarm_torchvision

from .seeded import seeded_state, shapes_of

disarm_torchvision()

ROUNDING = 2e-5
"""Where both logits are nearer to zero than this, float32 does not tell their sign."""


def seeded(module: Any, tag: str = "a") -> Any:
    module.load_state_dict(seeded_state(shapes_of(module), tag))
    return module.eval()


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    # one thread: the tests of other rooms may run beside these
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(threads)


class Sam1:
    """The full-size prompt encoder and mask decoder of segment_anything, asked as its predictor asks."""

    side = 1024

    def __init__(self) -> None:
        from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer

        self.encoder = seeded(PromptEncoder(256, (64, 64), (1024, 1024), 16))
        transformer = TwoWayTransformer(depth=2, embedding_dim=256, num_heads=8, mlp_dim=2048)
        self.decoder = seeded(MaskDecoder(transformer_dim=256, transformer=transformer))
        self.image = noise(1, 256, 64, 64)
        self.fast = FastDecoder(self.encoder, self.decoder)
        self.terms = self.fast.image(self.image)

    def bare(
        self, points: Any, labels: Any, box: Any, mask: Tensor | None, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Points (b, n, 2) and boxes (b, 4) in pixel indices."""
        asked = (
            None if points is None else (torch.from_numpy(np.array(points, np.float32)), torch.tensor(labels))
        )
        boxes = None if box is None else torch.tensor(box).float()
        sparse, dense = self.encoder(points=asked, boxes=boxes, masks=mask)
        masks, scores = self.decoder(
            image_embeddings=self.image,
            image_pe=self.encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
        )
        return masks, scores


class Sam2:
    """A small mask decoder of sam2 with all that sam2 added, asked as its predictor asks."""

    side = 256

    def __init__(self) -> None:
        from sam2.modeling.sam.mask_decoder import MaskDecoder
        from sam2.modeling.sam.prompt_encoder import PromptEncoder
        from sam2.modeling.sam.transformer import TwoWayTransformer

        self.encoder = seeded(PromptEncoder(64, (16, 16), (256, 256), 16))
        transformer = TwoWayTransformer(depth=2, embedding_dim=64, num_heads=4, mlp_dim=128)
        self.decoder = seeded(
            MaskDecoder(
                transformer_dim=64,
                transformer=transformer,
                use_high_res_features=True,
                iou_prediction_use_sigmoid=True,
                dynamic_multimask_via_stability=True,
                dynamic_multimask_stability_delta=0.05,
                dynamic_multimask_stability_thresh=0.9,
                pred_obj_scores=True,
                pred_obj_scores_mlp=True,
                use_multimask_token_for_obj_ptr=True,
            )
        )
        self.image = noise(1, 64, 16, 16)
        self.high_res = [noise(1, 8, 64, 64, seed=1), noise(1, 16, 32, 32, seed=2)]
        self.fast = FastDecoder(self.encoder, self.decoder)
        self.terms = self.fast.image(self.image, self.high_res)

    def bare(self, points: Tensor, labels: Tensor, multimask: bool) -> tuple[Tensor, Tensor, Tensor]:
        sparse, dense = self.encoder(points=(points, labels), boxes=None, masks=None)
        masks, scores, _, seen = self.decoder(
            image_embeddings=self.image,
            image_pe=self.encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            repeat_image=True,
            high_res_features=self.high_res,
        )
        return masks, scores, seen


@pytest.fixture(scope="module")
def sam1() -> Sam1:
    with torch.inference_mode():
        return Sam1()


@pytest.fixture(scope="module")
def sam2() -> Sam2:
    pytest.importorskip("sam2")
    with torch.inference_mode():
        return Sam2()


def assert_same_masks(ours: Tensor, bare: Tensor) -> None:
    """Equal but for rounding, of masks that say something: both signs, many of each."""
    assert ours.shape == bare.shape
    inside = (bare > 0).float().mean(dim=(-2, -1))
    assert inside.min() > 0.02
    assert inside.max() < 0.98
    difference = (ours - bare).abs().max().item()
    print(f"largest difference {difference:.2g}, standard deviation {bare.std():.2g}")
    assert difference < ROUNDING
    assert not ((ours > 0) != (bare > 0))[bare.abs() > ROUNDING].any()


POINTS = [[300.0, 420.5], [700.25, 350.0], [512.0, 900.0]]
CASES = {
    "click": (POINTS[:1], [1], None),
    "two clicks": (POINTS[:2], [1, 0], None),
    "three clicks": (POINTS, [1, 0, 1], None),
    "box": (None, [], [[200.0, 150.0, 820.0, 760.0]]),
    "box and clicks": (POINTS[:2], [1, 0], [[200.0, 150.0, 820.0, 760.0]]),
}


def as_asked(points: Any, labels: list[int], box: list[list[float]] | None) -> tuple[Tensor, Tensor]:
    """The same prompts as the fast decoder takes them: on pixel edges."""
    at = [*(points or []), *([box[0][:2], box[0][2:]] if box else [[-0.5, -0.5]])]
    named = [*labels, *((2, 3) if box else (-1,))]
    return torch.tensor(at)[None] + 0.5, torch.tensor(named)[None]


@pytest.mark.parametrize(
    ("case", "prior", "multimask"),
    [(case, False, multimask) for case in CASES for multimask in (True, False)]
    + [("click", True, True), ("box and clicks", True, False)],
)
def test_answers_as_the_modules_of_segment_anything(
    sam1: Sam1, case: str, prior: bool, multimask: bool
) -> None:
    points, labels, box = CASES[case]
    mask = functional.interpolate(noise(1, 1, 16, 16, seed=3) * 8, (256, 256)) if prior else None
    bare, scores = sam1.bare([points] if points else None, [labels], box, mask, multimask)
    terms = sam1.terms if mask is None else sam1.fast.with_mask(sam1.terms, mask)
    ours = sam1.fast.decode(terms, *as_asked(points, labels, box), multimask)
    assert_same_masks(ours.logits, bare)
    assert torch.allclose(ours.scores, scores, atol=ROUNDING)
    assert ours.object_logits is None
    if multimask:
        # as the package enlarges them to the chip
        assert_same_masks(
            *(functional.interpolate(x, (1024, 1024), mode="bilinear") for x in (ours.logits, bare))
        )


def test_many_prompts_answer_as_one_by_one(sam1: Sam1) -> None:
    points = np.random.default_rng(5).uniform(0, 1024, (64, 2))
    asked = [click(x, y) for x, y in points]
    found = Asker(sam1.fast, pads_boxes=False).predict_batch(sam1.terms, WHOLE, asked, Task())
    assert found.logits.shape == (64, 3, 256, 256)
    for i in (0, 31, 63):
        bare, scores = sam1.bare([[points[i] - 0.5]], [[1]], None, None, True)
        assert_same_masks(torch.from_numpy(found.logits[i : i + 1]), bare)
        assert np.allclose(found.scores[i], scores[0].clamp(0, 1), atol=ROUNDING)


def test_a_question_changes_nothing(sam1: Sam1) -> None:
    before = [tensor.clone() for tensor in (sam1.terms.tokens, sam1.terms.keys, sam1.terms.queries)]
    prompt = as_asked(POINTS, [1, 0, 1], None)
    first = sam1.fast.decode(sam1.terms, *prompt, True)
    sam1.fast.decode(sam1.terms, *as_asked(None, [], [[5.0, 5.0, 90.0, 90.0]]), False)
    sam1.fast.with_mask(sam1.terms, noise(1, 1, 256, 256))
    assert torch.equal(first.logits, sam1.fast.decode(sam1.terms, *prompt, True).logits)
    for old, new in zip(before, (sam1.terms.tokens, sam1.terms.keys, sam1.terms.queries), strict=True):
        assert torch.equal(old, new)


def test_embedding_comes_back_from_the_terms(sam1: Sam1) -> None:
    assert torch.allclose(sam1.fast.embedding(sam1.terms), sam1.image, atol=1e-6)
    assert sam1.terms.nbytes == 4 * 4096 * (256 + 3 * 128)


@pytest.mark.parametrize("multimask", [True, False], ids=["several", "one"])
def test_answers_as_the_modules_of_sam2(sam2: Sam2, multimask: bool) -> None:
    points = torch.from_numpy(np.random.default_rng(6).uniform(0, 255, (24, 3, 2)).astype(np.float32))
    labels = torch.tensor([[2, 3, 1]] * 8 + [[1, 0, 1]] * 16)
    bare, scores, seen = sam2.bare(points, labels, multimask)
    padded = torch.cat([points + 0.5, torch.zeros(24, 1, 2)], dim=1)
    named = torch.cat([labels, torch.full((24, 1), -1)], dim=1)
    ours = sam2.fast.decode(sam2.terms, padded, named, multimask)
    assert_same_masks(ours.logits, bare)
    assert torch.allclose(ours.scores, scores, atol=ROUNDING)
    assert ours.object_logits is not None
    assert torch.allclose(ours.object_logits, seen[:, 0], atol=ROUNDING)
    if not multimask:
        # the prompts are such that both ways are taken: the single mask, and the best proposal
        single = sam2.decoder.predict_masks(
            sam2.image,
            sam2.encoder.get_dense_pe(),
            *sam2.encoder(points=(points, labels), boxes=None, masks=None),
            True,
            sam2.high_res,
        )[0][:, :1]
        kept = (bare == single).all(dim=(1, 2, 3))
        assert 0 < kept.sum() < len(kept)


# prompts

WHOLE = Frame.padded(1024, 1024, 1024)
SIZE = (256, 256)


def click(x: float, y: float, positive: bool = True) -> Prompts:
    return Prompts((PointPrompt(x, y, positive),))


def boxed(*bounds: tuple[float, float, float, float]) -> Prompts:
    return Prompts(boxes=tuple(BoxPrompt(Bounds(*one)) for one in bounds))


def test_frames_say_what_the_answer_covers() -> None:
    assert WHOLE.extent is None
    assert Frame.stretched(300, 200, 1024).extent is None
    wide = Frame.padded(512, 256, 1024)
    assert wide.covers == (1024, 512)
    assert wide.extent == (512, 512)
    odd = Frame.padded(300, 101, 1024)
    assert odd.covers == (1024, 345)
    assert odd.extent == pytest.approx((300, 101 * 1024 / 345))
    assert Frame.padded(5000, 1, 1024).covers == (1024, 1)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (WHOLE, (10, 20)),
        (Frame.padded(512, 256, 1024), (20, 40)),
        (Frame.stretched(512, 256, 1024), (20, 80)),
    ],
    ids=["whole", "padded", "stretched"],
)
def test_points_stay_on_pixel_edges(frame: Frame, expected: tuple[float, float]) -> None:
    (asked,) = questions(click(10, 20), frame, SIZE, pads_boxes=False)
    assert tuple(asked.points[0]) == expected
    assert list(asked.labels) == [1, -1]


def test_boxes_are_two_corners_and_padding_is_the_models_habit() -> None:
    prompts = boxed((10, 20, 30, 60)).with_point(PointPrompt(5, 6, False))
    (sam1,) = questions(prompts, WHOLE, SIZE, pads_boxes=False)
    (sam2,) = questions(prompts, WHOLE, SIZE, pads_boxes=True)
    assert list(sam1.labels) == [2, 3, 0]
    assert sam1.points.tolist() == [[10, 20], [30, 60], [5, 6]]
    assert list(sam2.labels) == [2, 3, 0, -1]


def test_each_positive_box_is_a_question_with_all_points() -> None:
    prompts = Prompts(
        (PointPrompt(5, 6),),
        (
            BoxPrompt(Bounds(10, 20, 30, 60)),
            BoxPrompt(Bounds(50, 20, 90, 60), False),
            BoxPrompt(Bounds(500, 20, 900, 60)),
        ),
    )
    first, second = questions(prompts, WHOLE, SIZE, pads_boxes=False)
    assert first.points.tolist() == [[10, 20], [30, 60], [5, 6]]
    assert second.points.tolist() == [[500, 20], [900, 60], [5, 6]]


def test_what_lies_outside_the_chip_is_left_out() -> None:
    frame = Frame.padded(100, 80, 1024)
    prompts = Prompts(
        (PointPrompt(50, 40), PointPrompt(150, 40), PointPrompt(50, 81, False)),
        (BoxPrompt(Bounds(-20, 10, 50, 200)), BoxPrompt(Bounds(300, 300, 400, 400))),
    )
    (asked,) = questions(prompts, frame, SIZE, pads_boxes=False)
    assert list(asked.labels) == [2, 3, 1]
    assert asked.points == pytest.approx(np.array([[0, 10], [50, 80], [50, 40]]) * 10.24, rel=1e-3)


@pytest.mark.parametrize(
    "prompts",
    [
        click(10, 20, positive=False),
        click(-1, 20),
        Prompts(boxes=(BoxPrompt(Bounds(0, 0, 9, 9), False),)),
        Prompts(),
        Prompts(text="nucleus"),
    ],
    ids=["only negative", "outside", "negative box", "nothing", "text"],
)
def test_nothing_positive_is_no_question(prompts: Prompts) -> None:
    assert questions(prompts, WHOLE, SIZE, pads_boxes=False) == []


def test_prior_is_rasterized_where_the_samples_lie() -> None:
    frame = Frame.padded(512, 256, 1024)
    prompts = Prompts((PointPrompt(100, 100),), prior=Shape.box(20, 40, 61, 80))
    (asked,) = questions(prompts, frame, SIZE, pads_boxes=False)
    assert asked.mask is not None
    inside = asked.mask[0, 0] > 0
    # a sample is 2 chip pixels on a side; the one from 60 to 62 has its middle on the outline
    expected = np.zeros((256, 256), bool)
    expected[20:40, 10:30] = True
    assert np.array_equal(inside, expected)
    assert set(np.unique(asked.mask)) == {-8, 8}


def test_prior_alone_is_asked_with_its_box() -> None:
    (asked,) = questions(Prompts(prior=Shape.box(20, 40, 60, 80)), WHOLE, SIZE, pads_boxes=False)
    assert asked.points.tolist() == [[20, 40], [60, 80]]
    assert asked.mask is not None


def test_a_prior_from_which_points_only_take_away_is_asked_with_its_box() -> None:
    prompts = Prompts((PointPrompt(50, 60, False),), prior=Shape.box(20, 40, 60, 80))
    (asked,) = questions(prompts, WHOLE, SIZE, pads_boxes=False)
    assert asked.points.tolist() == [[20, 40], [60, 80], [50, 60]]


@pytest.mark.parametrize("prior", [Shape.empty(), Shape.box(5000, 5000, 6000, 6000)], ids=["empty", "away"])
def test_prior_that_covers_nothing_is_left_out(prior: Shape) -> None:
    (asked,) = questions(Prompts((PointPrompt(1, 1),), prior=prior), WHOLE, SIZE, pads_boxes=False)
    assert asked.mask is None
    assert questions(Prompts(prior=prior), WHOLE, SIZE, pads_boxes=False) == []


def test_only_a_single_click_is_ambiguous() -> None:
    assert wants_several(click(1, 2))
    assert not wants_several(click(1, 2, positive=False))
    assert not wants_several(click(1, 2).with_point(PointPrompt(3, 4)))
    assert not wants_several(click(1, 2).with_box(BoxPrompt(Bounds(0, 0, 4, 4))))
    assert not wants_several(Prompts((PointPrompt(1, 2),), prior=Shape.box(0, 0, 4, 4)))


# answers


@pytest.fixture(scope="module")
def asker(sam2: Sam2) -> Asker:
    return Asker(sam2.fast, pads_boxes=True)


MIXED = [
    click(100, 60),
    boxed((20, 30, 120, 90)),
    click(30, 200, positive=False),
    click(40, 90).with_point(PointPrompt(200, 100, False)),
    boxed((20, 30, 120, 90), (130, 130, 250, 240)),
    Prompts((PointPrompt(60, 70),), prior=Shape.box(30, 30, 100, 130)),
    click(200, 160),
]


@pytest.mark.parametrize("multimask", [True, False], ids=["several", "one"])
def test_batch_answers_each_as_alone(sam2: Sam2, asker: Asker, multimask: bool) -> None:
    frame = Frame.stretched(256, 256, 256)
    batch = asker.predict_batch(sam2.terms, frame, MIXED, Task(), multimask)
    assert batch.logits.shape == (7, 3 if multimask else 1, 64, 64)
    for i, prompts in enumerate(MIXED):
        alone = asker.predict(sam2.terms, frame, prompts, Task(), multimask)
        order = np.argsort(-batch.scores[i], kind="stable")
        if not alone:
            assert (batch.logits[i] == -np.inf).all()
            assert (batch.scores[i] == 0).all()
        for m, answer in zip(order, alone, strict=False):
            assert np.allclose(answer.logits, batch.logits[i, m], atol=ROUNDING)
            assert answer.score == pytest.approx(batch.scores[i, m], abs=ROUNDING)
        assert [answer.score for answer in alone] == sorted((a.score for a in alone), reverse=True)


def test_boxes_of_one_object_are_joined(sam2: Sam2, asker: Asker) -> None:
    frame = Frame.stretched(256, 256, 256)
    one, two = (20, 30, 120, 90), (130, 130, 250, 240)
    (joined,) = asker.predict(sam2.terms, frame, boxed(one, two), Task(), multimask=False)
    parts = [asker.predict(sam2.terms, frame, boxed(part), Task(), multimask=False)[0] for part in (one, two)]
    assert np.allclose(joined.logits, np.maximum(parts[0].logits, parts[1].logits), atol=ROUNDING)
    assert joined.score == pytest.approx((parts[0].score + parts[1].score) / 2, abs=ROUNDING)


def test_no_prompts_are_no_answers(sam2: Sam2, asker: Asker) -> None:
    found = asker.predict_batch(sam2.terms, Frame.stretched(256, 256, 256), [], Task())
    assert found.logits.shape == (0, 3, 64, 64)


def test_batch_can_be_cancelled_between_its_parts(sam2: Sam2, asker: Asker) -> None:
    seen: list[float | None] = []

    def stop(progress: Progress) -> None:
        seen.append(progress.fraction)
        if len(seen) == 2:
            task.cancel()

    task = Task(stop)
    with pytest.raises(Cancelled):
        asker.predict_batch(sam2.terms, Frame.stretched(256, 256, 256), [click(9, 9)] * 200, task)
    assert len(seen) == 2


def test_overflow_of_an_encoder_is_told(sam2: Sam2, asker: Asker) -> None:
    terms = sam2.fast.image(torch.full((1, 64, 16, 16), torch.inf), sam2.high_res)
    with pytest.raises(SamdeskError, match="not finite"):
        asker.predict(terms, Frame.stretched(256, 256, 256), click(9, 9), Task())


def test_scores_stay_between_0_and_1(sam1: Sam1) -> None:
    class Boasting(FastDecoder):
        def decode(self, image: ImageTerms, points: Tensor, labels: Tensor, multimask: bool) -> Decoded:
            found = super().decode(image, points, labels, multimask)
            return Decoded(found.logits, torch.tensor([[1.2, -0.4, 0.5]]))

    asker = Asker(Boasting(sam1.encoder, sam1.decoder), pads_boxes=False)
    answers = asker.predict(sam1.terms, WHOLE, click(400, 300), Task())
    assert [answer.score for answer in answers] == [1.0, 0.5, 0.0]


def test_each_box_gets_the_points_that_lie_in_it() -> None:
    boxes = (BoxPrompt(Bounds(10, 10, 40, 40)), BoxPrompt(Bounds(50, 10, 90, 40)))
    points = (PointPrompt(20, 20), PointPrompt(60, 20, False), PointPrompt(95, 95))
    first, second = questions(Prompts(points, boxes), WHOLE, SIZE, pads_boxes=False)
    assert list(first.labels) == [2, 3, 1, 0, 1]  # the last lies in no box: it is for both
    assert list(second.labels) == [2, 3, 0, 1]
