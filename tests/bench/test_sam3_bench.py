"""SAM 3 behind its image encoder, at the published size: what a click and a search cost on one CPU thread.

The image encoder and the text encoder are small here, and the image is encoded before. Our search
has to make the detector's feature maps that the package keeps (100 MB for each image). Run with
``python -m tests.bench.test_sam3_bench``.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samdesk.domain.prompts import PointPrompt, Prompts
from samdesk.domain.tasks import Task

ROUNDS = 7
SIDE = 1024


def measure() -> dict[str, float]:
    """Medians in ms, and ratios to the package in the same run."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measure()
    finally:
        torch.set_num_threads(threads)


def _measure() -> dict[str, float]:
    import torch

    from samdesk.engines.sam3 import Sam3Config, Sam3Engine
    from samdesk.engines.sam3.compat import Unpinned, sam3_module
    from tests.engines.seeded_sam3 import SMALL, reference_model, sam3_checkpoint

    full = Sam3Config()
    config = replace(
        SMALL,
        image_size=full.image_size,
        pretrain_size=full.pretrain_size,
        window=full.window,
        exemplar_layers=full.exemplar_layers,
        fusion_layers=full.fusion_layers,
        query_layers=full.query_layers,
    )
    with tempfile.TemporaryDirectory() as folder:
        weights = sam3_checkpoint(Path(folder), config)
        engine = Sam3Engine(weights, device="cpu", precision="float32", config=config)
        model = reference_model(weights, config)
    chip = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    embedding = engine.encode(chip, Task())
    packed = engine.pack(embedding)
    images = sam3_module("sam3.model.sam3_image_processor")
    processor = images.Sam3Processor(model, device="cpu")
    state = processor.set_image(torch.tensor(chip).permute(2, 0, 1))
    model.inst_interactive_predictor._transforms.max_hole_area = 0  # is not the network's work

    click, words = Prompts((PointPrompt(500, 400),)), Prompts(text="cell nucleus")
    many = [Prompts((PointPrompt(32 * n, 500),)) for n in range(1, 17)]
    theirs = {"point_coords": np.array([[499.5, 399.5]]), "point_labels": np.array([1])}

    def search_as_package() -> None:
        with Unpinned():
            processor.set_text_prompt(words.text, state)

    found = {
        "click": _median(lambda: engine.predict(embedding, click, Task())),
        "click, package": _median(lambda: model.predict_inst(state, **theirs)),
        "one of 16 prompts": _median(lambda: engine.predict_batch(embedding, many, Task()), 3) / len(many),
        "search": _median(lambda: engine.find(embedding, words, Task()), 1),
        "search, package": _median(search_as_package, 1),
        "unpack": _median(lambda: engine.unpack(packed, SIDE, SIDE), 1),
    }
    return {
        **found,
        "click ratio": found["click"] / found["click, package"],
        "search ratio": found["search"] / found["search, package"],
        "embedding MB": embedding.nbytes / 1e6,
        "packed MB": sum(array.nbytes for array in packed.values()) / 1e6,
    }


def _median(run: Callable[[], Any], rounds: int = ROUNDS) -> float:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_click_and_search(benchmark) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("torch")
    found = benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info.update(found)
    assert found["click ratio"] > 0


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:<24} {value:8.2f}")
