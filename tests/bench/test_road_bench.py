"""From a click to a shape: what the road costs beyond the engine itself, on the sample slide.

Run with ``python -m tests.bench.test_road_bench``.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from samdesk.domain.prompts import PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.images.sample import sample_slide
from samdesk.sdk import load_segmenter, open_image

PROMPTS = 60


def measure() -> dict[str, float]:
    """Medians in ms over prompts on warm chips: the engine's predict, the whole road, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        slide = sample_slide(Path(folder), 4096)
        image = open_image(slide.path)
        segmenter = load_segmenter("classical")
        engine_ms, road_ms, encode_ms = [], [], []
        for nucleus in slide.nuclei[:: max(1, len(slide.nuclei) // PROMPTS)]:
            prompts = Prompts((PointPrompt(*nucleus.centroid),))
            chip = segmenter.chip(image, prompts)
            embedding, timings = segmenter.embed(image, chip)
            if timings["encode"]:
                encode_ms.append(timings["read"] + timings["encode"])
            started = time.perf_counter()
            segmenter.engine.predict(embedding, prompts.in_array(chip), Task())
            between = time.perf_counter()
            segmenter.segment(image, prompts)
            ended = time.perf_counter()
            engine_ms.append(1e3 * (between - started))
            road_ms.append(1e3 * (ended - between))
        image.close()
    engine, road = statistics.median(engine_ms), statistics.median(road_ms)
    return {
        "read and encode a chip": statistics.median(encode_ms),
        "engine.predict": engine,
        "click to shape": road,
        "ratio": road / engine,
    }


def test_click_to_shape(benchmark) -> None:  # type: ignore[no-untyped-def]
    found = benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info.update(found)
    assert found["ratio"] > 0


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:<24} {value:8.2f}")
