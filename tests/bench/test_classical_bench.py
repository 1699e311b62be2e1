"""What prompts cost on a full chip, beside GrabCut on the same box.

Run with ``python -m pytest tests/bench/test_classical_bench.py --benchmark-only``; the times of
`chip_times` are printed by ``python -m tests.bench.classical_quality``.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import CHIP, Embedding
from samdesk.engines.classical import ClassicalEngine

from .classical_quality import by_grabcut

GLAND = Bounds(248, 305, 386, 510)
"""In the picture of `chip`."""


@pytest.fixture(scope="module")
def chip() -> NDArray[np.uint8]:
    picture = np.tile(data.immunohistochemistry(), (2, 2, 1))
    return np.ascontiguousarray(picture[:CHIP, :CHIP])


@pytest.fixture(scope="module")
def embedding(chip: NDArray[np.uint8]) -> Embedding:
    return ClassicalEngine().encode(chip, Task())


def test_encode(benchmark, chip: NDArray[np.uint8]) -> None:  # type: ignore[no-untyped-def]
    found = benchmark(ClassicalEngine().encode, chip, Task())
    assert found.nbytes > 0


@pytest.mark.parametrize("place", [(446, 37), (318, 400), (200, 290)], ids=["nucleus", "gland", "stroma"])
def test_click(benchmark, embedding: Embedding, place: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
    assert benchmark(ClassicalEngine().predict, embedding, Prompts((PointPrompt(*place),)), Task())


@pytest.mark.parametrize("method", ["classical", "grabCut"])
def test_box(  # type: ignore[no-untyped-def]
    benchmark, chip: NDArray[np.uint8], embedding: Embedding, method: str
) -> None:
    if method == "classical":
        assert benchmark(ClassicalEngine().predict, embedding, Prompts(boxes=(BoxPrompt(GLAND),)), Task())
    else:
        assert benchmark.pedantic(by_grabcut, (chip, [], GLAND), rounds=2)[0].shape == chip.shape[:2]
