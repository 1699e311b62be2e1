"""`SamEngine` beside the package's own predictor, on seeded weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Shape
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.domain.tasks import Cancelled, Progress, Task
from samdesk.engines.base import Embedding, MaskLogits
from samdesk.engines.sam import TERMS, SamEngine

from .seeded import save_pt, seeded_state
from .seeded_sam import build_package_sam, mobile_sam_checkpoint, sam_checkpoint, sam_shapes, waves

ROUNDING = 1e-4
"""Encoder and decoder together; logits have a standard deviation of about 0.7."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sam_checkpoint(tmp_path_factory.mktemp("sam"), small=True)


@pytest.fixture(scope="module")
def engine(small: Path) -> SamEngine:
    return SamEngine(small, device="cpu", precision="float32")


@pytest.fixture(scope="module")
def predictor(small: Path) -> Any:
    return package_predictor(small, small=True)


@pytest.fixture(scope="module")
def embedding(engine: SamEngine) -> Embedding:
    return engine.encode(waves(), Task())


def package_predictor(weights: Path, small: bool) -> Any:
    from segment_anything import SamPredictor

    model = build_package_sam("vit_b", small, "meta")
    model.load_state_dict(torch.load(weights, weights_only=True), assign=True)
    # these two are not among the weights
    model.pixel_mean = torch.tensor([123.675, 116.28, 103.53]).view(-1, 1, 1)
    model.pixel_std = torch.tensor([58.395, 57.12, 57.375]).view(-1, 1, 1)
    return SamPredictor(model)


def ask(predictor: Any, prompts: Prompts, multimask: bool) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The package's masks (m, h, w) bool, scores (m,) and logits (m, 256, 256), scores falling.

    The package adds half a pixel of the network's input to every coordinate.
    """
    height, width = predictor.original_size
    new_h, new_w = predictor.input_size
    scale = np.array((new_w / width, new_h / height))
    points = np.array([(p.x, p.y) for p in prompts.points]).reshape(-1, 2) * scale - 0.5
    labels = np.array([int(p.positive) for p in prompts.points])
    corners = [np.array([b.bounds[:2], b.bounds[2:]]) * scale - 0.5 for b in prompts.boxes]
    masks, scores, logits = predictor.predict_torch(
        torch.tensor(points[None], dtype=torch.float32) if len(points) else None,
        torch.tensor(labels[None]) if len(points) else None,
        torch.tensor(corners[0].reshape(1, 4), dtype=torch.float32) if corners else None,
        multimask_output=multimask,
    )
    order = np.argsort(-scores[0].numpy())
    return masks[0].numpy()[order], scores[0].numpy()[order], logits[0].numpy()[order]


PROMPTS = {
    "click": Prompts((PointPrompt(0.4, 0.45),)),
    "box": Prompts(boxes=(BoxPrompt(Bounds(0.2, 0.15, 0.8, 0.75)),)),
    "both": Prompts(
        (PointPrompt(0.4, 0.45), PointPrompt(0.7, 0.3, False)), (BoxPrompt(Bounds(0.2, 0.15, 0.8, 0.75)),)
    ),
}
"""In parts of the chip's width and height."""


def on_chip(prompts: Prompts, width: int, height: int) -> Prompts:
    points = tuple(PointPrompt(p.x * width, p.y * height, p.positive) for p in prompts.points)
    boxes = tuple(
        BoxPrompt(Bounds(b.x0 * width, b.y0 * height, b.x1 * width, b.y1 * height)) for b, _ in prompts.boxes
    )
    return replace(prompts, points=points, boxes=boxes)


HALF_A_PIXEL = [(0.0, 0.0), (0.5, 0.0), (-0.5, 0.0), (0.0, 0.5), (0.0, -0.5)]


def at_pixels(answer: MaskLogits, width: int, height: int, dx: float, dy: float) -> NDArray[np.float32]:
    """The logits at the middles of the chip's pixels, shifted by (dx, dy)."""
    across, down = answer.extent or (width, height)
    h, w = answer.logits.shape
    x = (np.arange(width) + 0.5 + dx) * (w / across) - 0.5
    y = (np.arange(height) + 0.5 + dy) * (h / down) - 0.5
    places = (part.astype(np.float32) for part in np.meshgrid(x, y))
    return cv2.remap(answer.logits, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def assert_agrees(engine: SamEngine, predictor: Any, embedding: Embedding, names: list[str]) -> None:
    width, height = embedding.width, embedding.height
    for name in names:
        prompts = on_chip(PROMPTS[name], width, height)
        for multimask in (True, False):
            masks, scores, logits = ask(predictor, prompts, multimask)
            answers = engine.predict(embedding, prompts, Task(), multimask)
            assert len(answers) == len(scores)
            assert [a.score for a in answers] == pytest.approx(scores.clip(0, 1), abs=ROUNDING)
            # several scores below 0 are all clipped to it, so masks are paired by what they are
            for mask, bare in zip(masks, logits, strict=True):
                found = min(answers, key=lambda a: float(np.abs(a.logits - bare).max()))
                assert np.abs(found.logits - bare).max() < ROUNDING
                assert not ((found.logits > 0) != (bare > 0))[np.abs(bare) > ROUNDING].any()
                assert 0.02 < mask.mean() < 0.98
                # the package interpolates twice, which leaves a difference where it enlarges the chip
                wrong, *shifted = (
                    (at_pixels(found, width, height, *shift) > 0) != mask for shift in HALF_A_PIXEL
                )
                assert wrong.mean() < min(0.02, *(other.mean() for other in shifted))


@pytest.mark.parametrize(("width", "height"), [(700, 500), (180, 333), (1400, 600)], ids=lambda n: str(n))
def test_answers_as_the_package(engine: SamEngine, predictor: Any, width: int, height: int) -> None:
    chip = waves(width, height)
    predictor.set_image(chip)
    embedding = engine.encode(chip, Task())
    ours = engine._decoder.embedding(embedding.data[TERMS])
    assert torch.allclose(ours, predictor.features, atol=ROUNDING)
    assert_agrees(engine, predictor, embedding, list(PROMPTS) if width == 700 else ["both"])


def test_full_size_vit_b_answers_as_the_package(tmp_path: Path) -> None:
    """With the first two of its twelve blocks: the others would only take time."""
    path = sam_checkpoint(tmp_path)
    engine = SamEngine(path, device="cpu", precision="float32")
    assert len(engine._steps) == 14
    del engine._steps[3:-1]
    assert (engine.name, engine.type, engine.title) == ("sam", "vit_b", "SAM ViT-B")
    chip = waves(900, 1024)
    embedding = engine.encode(chip, Task())
    predictor = package_predictor(path, small=False)
    predictor.model.image_encoder.blocks = predictor.model.image_encoder.blocks[:2]
    predictor.set_image(chip)
    assert_agrees(engine, predictor, embedding, ["click", "both"])


@pytest.mark.parametrize("type", ["vit_b", "vit_l", "vit_h"])
def test_encoder_is_built_as_the_package_builds_it(type: str) -> None:
    from segment_anything.modeling import ImageEncoderViT

    from samdesk.engines.sam import _vit_options

    theirs = build_package_sam(type, device="meta").image_encoder
    state = {key: torch.empty(shape, device="meta") for key, shape in sam_shapes(type).items()}
    with torch.device("meta"):
        ours = ImageEncoderViT(**_vit_options(state))
    assert str(ours) == str(theirs)
    for own, other in zip(ours.blocks, theirs.blocks, strict=True):
        assert own.window_size == other.window_size
        assert own.attn.num_heads == other.attn.num_heads
        assert own.attn.use_rel_pos


def test_says_what_it_is(engine: SamEngine, small: Path) -> None:
    assert engine.name == "sam"
    assert engine.type == "vit_b"
    model, digest, precision = engine.identity.split(":")
    assert (model, len(digest), precision) == ("vit_b", 64, "float32")
    assert engine.device == "cpu"


def test_single_click_gets_three_proposals_and_more_gets_one(engine: SamEngine, embedding: Embedding) -> None:
    one = Prompts((PointPrompt(400, 300),))
    assert len(engine.predict(embedding, one, Task())) == 3
    assert len(engine.predict(embedding, one, Task(), multimask=False)) == 1
    assert len(engine.predict(embedding, one.with_point(PointPrompt(9, 9, False)), Task())) == 1


def test_prior_shape_changes_the_answer(engine: SamEngine, embedding: Embedding) -> None:
    click = Prompts((PointPrompt(400, 300),))
    prior = replace(click, prior=Shape.box(300, 200, 500, 400))
    plain = engine.predict(embedding, click, Task(), multimask=False)[0].logits
    known = engine.predict(embedding, prior, Task(), multimask=False)[0].logits
    assert np.abs(plain - known).max() > 0.01


def test_packed_embedding_answers_alike(engine: SamEngine, embedding: Embedding) -> None:
    packed = engine.pack(embedding)
    assert sum(array.nbytes for array in packed.values()) == 2 * 256 * 64 * 64
    again = engine.unpack(packed, embedding.width, embedding.height)
    assert (again.engine, again.width, again.height) == (engine.identity, 1024, 1024)
    assert again.nbytes == embedding.nbytes > 4 * 256 * 64 * 64
    prompts = Prompts((PointPrompt(400, 300),))
    for a, b in zip(
        engine.predict(embedding, prompts, Task()), engine.predict(again, prompts, Task()), strict=True
    ):
        assert np.abs(a.logits - b.logits).max() < 0.02
        assert ((a.logits > 0) == (b.logits > 0)).mean() > 0.99


def test_answers_are_the_callers_own(engine: SamEngine, embedding: Embedding) -> None:
    prompts = Prompts((PointPrompt(400, 300),))
    first = engine.predict(embedding, prompts, Task())[0].logits
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(engine.predict(embedding, prompts, Task())[0].logits, kept)


@pytest.mark.parametrize("prompts", [Prompts(), Prompts(text="nucleus")], ids=["nothing", "text"])
def test_no_prompt_is_an_empty_answer(engine: SamEngine, embedding: Embedding, prompts: Prompts) -> None:
    assert engine.predict(embedding, prompts, Task()) == []
    assert not engine.predict_batch(embedding, [prompts], Task()).scores.any()


def test_prompts_outside_the_chip_find_nothing(engine: SamEngine, embedding: Embedding) -> None:
    far = Prompts((PointPrompt(-50, 1e6),), (BoxPrompt(Bounds(-40, -40, -20, -20)),))
    assert engine.predict(embedding, far, Task()) == []
    inside = Prompts((PointPrompt(300, 300),))
    both = Prompts((PointPrompt(300, 300), PointPrompt(1e9, -1e9, False)))
    a, b = (engine.predict(embedding, p, Task(), multimask=False)[0] for p in (inside, both))
    assert np.array_equal(a.logits, b.logits)


@pytest.mark.parametrize("size", [(1, 1), (700, 5), (2, 3000)])
def test_chips_of_any_size(engine: SamEngine, size: tuple[int, int]) -> None:
    width, height = size
    embedding = engine.encode(np.full((height, width, 3), 90, np.uint8), Task())
    for answer in engine.predict(embedding, Prompts((PointPrompt(width / 2, height / 2),)), Task()):
        assert np.isfinite(answer.logits).all()
        assert answer.extent is None or answer.extent[0] >= width


def test_read_only_and_strided_chips_are_taken(engine: SamEngine, embedding: Embedding) -> None:
    view = np.repeat(waves(), 2, axis=1)[:, ::2]
    view.flags.writeable = False
    again = engine.encode(view, Task())
    assert torch.equal(again.data[TERMS].tokens, embedding.data[TERMS].tokens)


def test_cancel_takes_effect_at_the_next_block(engine: SamEngine) -> None:
    seen: list[Progress] = []

    def stop(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == 2:
            task.cancel()

    task = Task(stop)
    with pytest.raises(Cancelled):
        engine.encode(waves(64, 64), task)
    # the patches, two blocks and the neck
    assert [progress.fraction for progress in seen] == [0, 0.25]


def test_cancelled_task_is_not_answered(engine: SamEngine, embedding: Embedding, small: Path) -> None:
    task = Task()
    task.cancel()
    with pytest.raises(Cancelled):
        engine.predict(embedding, Prompts((PointPrompt(4, 3),)), task)
    with pytest.raises(Cancelled):
        SamEngine(small, device="cpu", task=task)


def test_loading_tells_its_stages(small: Path) -> None:
    seen: list[str] = []
    SamEngine(small, device="cpu", task=Task(lambda progress: seen.append(progress.message)))
    stages = list(dict.fromkeys(message.split()[0] for message in seen))
    assert stages[0] == "Reading"
    assert stages[-2:] == ["Building", "Moving"]


def test_nothing_global_is_changed(small: Path) -> None:
    def state() -> tuple[Any, ...]:
        return (
            torch.get_num_threads(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.is_autocast_cache_enabled(),
            torch.is_autocast_enabled("cpu"),
            torch.get_float32_matmul_precision(),
            torch.get_rng_state().sum().item(),
            torch.get_default_device(),
        )

    before = state()
    engine = SamEngine(small, device="cpu", precision="bfloat16")
    embedding = engine.encode(waves(64, 64), Task())
    engine.predict(embedding, Prompts((PointPrompt(4, 3),)), Task())
    assert state() == before
    assert embedding.data[TERMS].tokens.dtype == torch.float32


def test_weights_of_another_engine_are_refused(tmp_path: Path) -> None:
    path = mobile_sam_checkpoint(tmp_path)
    with pytest.raises(SamdeskError, match="holds MobileSAM, not SAM") as error:
        SamEngine(path, device="cpu")
    assert str(path) in error.value.message


def test_missing_weights_are_named(tmp_path: Path) -> None:
    state = seeded_state(sam_shapes("vit_b", small=True))
    del state["mask_decoder.iou_token.weight"]
    path = save_pt(tmp_path / "sam_vit_b.pth", state)
    with pytest.raises(SamdeskError, match=r"mask_decoder\.iou_token\.weight"):
        SamEngine(path, device="cpu")
