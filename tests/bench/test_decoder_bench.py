"""From prompt to logits and to shape, beside the modules and the predictor of segment_anything.

Run with ``python -m pytest tests/bench/test_decoder_bench.py --benchmark-only -s``. Ours and
theirs take turns, so that the ratios of the medians hold on a busy computer too. The decoder has
its full size; the encoder is a stand-in, since only its output counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from samdesk.domain.geometry import Bounds, Region
from samdesk.domain.outline import logits_to_shape
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import CHIP
from samdesk.engines.decoder import Asker, FastDecoder, Frame
from tests.engines.seeded import seeded_state, shapes_of
from tests.engines.seeded_sam import build_package_sam

FRAME = Frame.padded(CHIP, CHIP, CHIP)
MANY = 64


class Both:
    """The package's predictor and ours, on one image embedding."""

    def __init__(self) -> None:
        from segment_anything import SamPredictor

        self.model = build_package_sam(small=True)
        state = seeded_state(shapes_of(self.model))
        for key, weight in state.items():
            if "output_upscaling" in key and weight.ndim == 4:
                # all pixels of an image token alike, so that masks are blobs as those of real weights
                state[key] = weight.mean(dim=(2, 3), keepdim=True).expand_as(weight).contiguous() * 2
        self.model.load_state_dict(state)
        noise = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 256, 6, 6)).astype(np.float32))
        self.image = torch.nn.functional.interpolate(noise, (64, 64), mode="bicubic")
        self.predictor = SamPredictor(self.model)
        self.predictor.features, self.predictor.is_image_set = self.image, True
        self.predictor.original_size = self.predictor.input_size = (CHIP, CHIP)
        self.decoder = FastDecoder(self.model.prompt_encoder, self.model.mask_decoder)
        self.terms = self.decoder.image(self.image)
        self.asker = Asker(self.decoder, pads_boxes=False)

    def bare(self, points: torch.Tensor) -> torch.Tensor:
        labels = torch.ones(points.shape[:2], dtype=torch.int)
        sparse, dense = self.model.prompt_encoder(points=(points, labels), boxes=None, masks=None)
        masks, _ = self.model.mask_decoder(
            image_embeddings=self.image,
            image_pe=self.model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        return masks  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def both() -> Both:
    with torch.inference_mode():
        return Both()


def in_turns(
    benchmark: Any, ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int, what: str
) -> None:
    """Print both medians and their ratio; `benchmark` records ours."""
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    with torch.inference_mode():
        for turn in range(rounds + 1):
            for name, one in (("ours", ours), ("theirs", theirs)):
                started = time.perf_counter()
                one()
                if turn:
                    times[name].append(time.perf_counter() - started)
        benchmark.pedantic(ours, rounds=rounds)
    a, b = (1e3 * median(times[name]) for name in ("ours", "theirs"))
    benchmark.extra_info["ratio"] = a / b
    print(f"\n{what}: {a:.1f} ms beside {b:.1f} ms, ratio {a / b:.2f}")


def clicks(count: int) -> tuple[np.ndarray, list[Prompts]]:
    points = np.random.default_rng(1).uniform(50, 970, (count, 2))
    return points, [Prompts((PointPrompt(x, y),)) for x, y in points]


def test_image(benchmark: Any, both: Both) -> None:
    """What is computed once for an image, beside one bare prompt."""
    points = torch.tensor([[[300.0, 400.0]]])
    in_turns(benchmark, lambda: both.decoder.image(both.image), lambda: both.bare(points), 15, "image terms")


def test_click(benchmark: Any, both: Both) -> None:
    points, (asked,) = clicks(1)
    bare = torch.tensor(points[None] - 0.5, dtype=torch.float32)
    in_turns(
        benchmark,
        lambda: both.asker.predict(both.terms, FRAME, asked, Task(), True),
        lambda: both.bare(bare),
        25,
        "1 click to logits",
    )


def test_many_clicks(benchmark: Any, both: Both) -> None:
    points, asked = clicks(MANY)
    bare = torch.tensor(points[:, None] - 0.5, dtype=torch.float32)
    in_turns(
        benchmark,
        lambda: both.asker.predict_batch(both.terms, FRAME, asked, Task(), True),
        lambda: both.bare(bare),
        3,
        f"{MANY} clicks to logits",
    )


@pytest.mark.parametrize("kind", ["click", "box"])
def test_prompt_to_outline(benchmark: Any, both: Both, kind: str) -> None:
    """All candidates as shapes, beside the package's masks at the chip's size and their contours."""
    box = np.array([200.0, 150, 820, 760])
    point = np.array([[300.0, 400.0]])
    asked = (
        Prompts((PointPrompt(*point[0]),)) if kind == "click" else Prompts(boxes=(BoxPrompt(Bounds(*box)),))
    )
    region = Region(0, 0, CHIP, CHIP)

    def ours() -> list[Any]:
        found = both.asker.predict(both.terms, FRAME, asked, Task())
        return [logits_to_shape(one.logits, region, extent=one.extent) for one in found]

    def theirs() -> list[Any]:
        masks, _, _ = both.predictor.predict(
            *((point, np.ones(1)) if kind == "click" else (None, None)),
            box=None if kind == "click" else box,
            multimask_output=kind == "click",
        )
        return [
            cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)[0]
            for mask in masks
        ]

    with torch.inference_mode():
        parts = [len(shape.parts) - 1 for shape in ours()]
    in_turns(benchmark, ours, theirs, 15, f"{kind} to outlines ({parts} parts)")
