"""SAM 2.1 tiny against the package's own predictor: the same weights, chip and prompts, in turns.

Run with ``python -m tests.bench.test_sam2_bench [cpu|cuda]``. Each ratio is the package's time divided by
ours; the encoder is compared in the same precision, float32 on the CPU unless told otherwise. Seeded
weights give masks of thousands of specks, so both sides trace a disc in their stead.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from samdesk.domain.geometry import Region
from samdesk.domain.outline import logits_to_shape
from samdesk.domain.prompts import PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.runtime import autocast
from samdesk.engines.sam2 import Sam2Engine
from samdesk.engines.torchvision_ops import disarm_torchvision
from tests.engines.seeded_sam2 import sam2_checkpoint
from tests.engines.test_sam2 import chip

ROUNDS = 5
POINTS = 64


def in_turns(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int = ROUNDS) -> tuple[float, float]:
    """Median ms of both, after one call of each that does not count."""
    taken: tuple[list[float], list[float]] = [], []
    for turn in range(rounds + 1):
        for work, times in zip((ours, theirs), taken, strict=True):
            started = time.perf_counter()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(taken[0]), statistics.median(taken[1])


def package_predictor(path: Path, device: str) -> Any:
    disarm_torchvision()
    from sam2.build_sam import build_sam2
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch.jit.script", DeprecationWarning)
        return SAM2ImagePredictor(build_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", str(path), device=device))


def disc_logits(side: int) -> NDArray[np.float32]:
    y, x = np.mgrid[:side, :side] + 0.5
    return (20 - 100 * np.hypot(x / side - 0.5, y / side - 0.4)).astype(np.float32)


def package_batch(predictor: Any, points: torch.Tensor) -> None:
    """What the package does with n single clicks, up to logits in memory."""
    labels = torch.ones(len(points), 1, dtype=torch.int, device=points.device)
    with torch.inference_mode():
        model, maps = predictor.model, predictor._features
        sparse, dense = model.sam_prompt_encoder((points, labels), None, None)
        masks, _, _, _ = model.sam_mask_decoder(
            maps["image_embed"],
            model.sam_prompt_encoder.get_dense_pe(),
            sparse,
            dense,
            True,
            True,
            maps["high_res_feats"],
        )
        masks.cpu()


def measure(device: str = "cpu", precision: str = "float32") -> dict[str, tuple[float, float]]:
    """Ours and theirs, median ms: encode a chip, a click to outlines, 64 clicks at once."""
    with tempfile.TemporaryDirectory() as folder:
        path = sam2_checkpoint(Path(folder))
        engine = Sam2Engine(path, device=device, precision=precision)
        predictor = package_predictor(path, device)
    image = chip()
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]

    def package_encode() -> None:
        cast: AbstractContextManager[Any] = autocast(torch.device(device), dtype)
        with cast:
            predictor.set_image(image)

    found = {"encode": in_turns(lambda: engine.encode(image, Task()), package_encode)}
    predictor.set_image(image)
    embedding, region = engine.encode(image, Task()), Region(0, 0, 1024, 1024)
    click = Prompts((PointPrompt(500.5, 400.5),))
    disc = disc_logits(256)
    disc_mask = disc_logits(1024) > 0

    def outlines() -> None:
        for _ in engine.predict(embedding, click, Task()):
            logits_to_shape(disc, region)

    def package_outlines() -> None:
        masks, _, _ = predictor.predict(np.array([[500.0, 400.0]]), np.array([1]), multimask_output=True)
        for _ in masks:
            cv2.findContours(disc_mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)

    found["click to outlines"] = in_turns(outlines, package_outlines, 4 * ROUNDS)
    xy = np.random.default_rng(0).uniform(0, 1024, (POINTS, 2))
    clicks = [Prompts((PointPrompt(float(x), float(y)),)) for x, y in xy]
    points = torch.tensor(xy[:, None] - 0.5, dtype=torch.float32, device=device)
    found[f"{POINTS} clicks"] = in_turns(
        lambda: engine.predict_batch(embedding, clicks, Task()), lambda: package_batch(predictor, points)
    )
    return found


def test_against_the_package(benchmark) -> None:  # type: ignore[no-untyped-def]
    found = benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info.update({name: theirs / ours for name, (ours, theirs) in found.items()})
    assert all(ours > 0 for ours, _ in found.values())


if __name__ == "__main__":
    for name, (ours, theirs) in measure(*sys.argv[1:]).items():
        print(f"{name:<20} ours {ours:8.1f} ms   package {theirs:8.1f} ms   ratio {theirs / ours:.2f}")
