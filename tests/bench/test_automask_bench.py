"""Automask beside the packages' own generators: same weights, same image, in turns.

Run with ``python -m pytest tests/bench/test_automask_bench.py --benchmark-only -s``. The decoders
have their full size. SAM's encoder is a stand-in that takes no time (both sides would run the
same one); SAM 2.1 Hiera-T runs its own on both sides.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import data

from samdesk.domain.tasks import Task
from samdesk.engines.automask import AutomaskOptions, automask
from samdesk.engines.automask import generate as inner
from samdesk.engines.base import CHIP

from .automask_models import sam2_pair, sam_pair

ROUNDS = 3
OPTIONS: dict[str, dict[str, Any]] = {
    "sam": {"pred_iou_thresh": 0.75, "stability_score_thresh": 0.7},
    "sam2": {"pred_iou_thresh": 0.9, "stability_score_thresh": 0.89},
}
"""Each threshold drops about half of what seeded weights answer."""

ALIKE: dict[str, Any] = {"points_per_side": 8, "stability_score_offset": 0.2, "box_nms_thresh": 1.0}
"""64 of the usual 1024 points: all stages but the encoder take a time in proportion. Nearly all
these masks reach around the whole chip, so that none may be dropped for its box."""

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def chip() -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(data.immunohistochemistry(), (CHIP, CHIP)), np.uint8)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("package", ["sam", "sam2"])
def test_generator(
    benchmark: Any, chip: NDArray[np.uint8], package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {**OPTIONS[package], **ALIKE}
    generator, engine, bare = sam_pair(wanted) if package == "sam" else sam2_pair(wanted, tmp_path)
    options = AutomaskOptions(include_image_edge=True, **wanted)
    stages = Stages(engine, monkeypatch)
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(ROUNDS):
        started = time.perf_counter()
        ours = automask(engine, chip, options, Task())
        between = time.perf_counter()
        theirs = generator.generate(chip)
        times["ours"].append(between - started)
        times["theirs"].append(time.perf_counter() - between)
    a, b = (median(times[name]) for name in ("ours", "theirs"))
    benchmark.extra_info["ratio"] = b / a
    print(
        f"\n{package}: {a:.2f} s beside {b:.2f} s, {b / a:.1f} times faster; masks {len(ours)}, {len(theirs)}"
    )
    print(
        "  ours in "
        + ", ".join(f"{name} {seconds / ROUNDS:.2f} s" for name, seconds in stages.seconds.items())
    )
    if bare is not None:
        started = time.perf_counter()
        automask(bare, chip, options, Task())
        print(f"  with the package's decoder {time.perf_counter() - started:.2f} s")
    benchmark.pedantic(automask, (engine, chip, options, Task()), rounds=1)
    assert abs(len(ours) - len(theirs)) <= 0.02 * len(theirs)


class Stages:
    """The seconds that each part of our automask takes."""

    def __init__(self, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: dict[str, float] = {}
        monkeypatch.setattr(engine, "encode", self._timed("encode", engine.encode))
        monkeypatch.setattr(engine, "predict_batch", self._timed("decode", engine.predict_batch))
        monkeypatch.setattr(inner, "sift", self._timed("sift", inner.sift))
        monkeypatch.setattr(inner, "suppress", self._timed("suppress", inner.suppress))
        monkeypatch.setattr(inner, "_found", self._timed("outline", inner._found))

    def _timed(self, name: str, function: Any) -> Any:
        self.seconds[name] = 0.0

        def timed(*args: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                self.seconds[name] += time.perf_counter() - started

        return timed
