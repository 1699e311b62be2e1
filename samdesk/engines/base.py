"""The contract of every engine, and the table that names them.

An engine sees one chip: an RGB array and prompts in that array's pixels. It must not know
where the chip came from, nor keep anything between calls: what is worth keeping is in the
`Embedding` that `encode` returns.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.prompts import Prompts
from samdesk.domain.tasks import Task

CHIP = 1024
"""Side of a chip in array pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """What an engine computes once for a chip.

    Attributes
    ----------
    engine : str
        Name of the engine that made it and alone can use it.
    width, height : int
        Size of the chip in array pixels.
    data : mapping of str to arrays or tensors
    nbytes : int
        Memory it holds, for the cache.
    """

    engine: str
    width: int
    height: int
    data: Mapping[str, Any]
    nbytes: int


@dataclass(frozen=True, slots=True, eq=False)
class MaskLogits:
    """One answer of an engine: the object is where `logits` > 0.

    Attributes
    ----------
    logits : ndarray, (h, w) float32
        Covers the whole chip, at any resolution; sample (i, j) sits at the centre of its cell.
    score : float
        The engine's confidence in 0..1.
    """

    logits: NDArray[np.float32]
    score: float


class Engine(Protocol):
    """A promptable segmenter. Methods may be called from one background thread at a time.

    Attributes
    ----------
    name : str
        Key in `ENGINES`.
    title : str
        What the user reads; says what it is ("Classical (no model)").
    """

    name: str
    title: str

    def encode(self, chip: NDArray[np.uint8], task: Task) -> Embedding:
        """Compute what all prompts on this chip share; `chip` is (h, w, 3) RGB uint8."""
        ...

    def predict(self, embedding: Embedding, prompts: Prompts, task: Task) -> list[MaskLogits]:
        """Answer prompts given in the chip's array pixels; best candidate first, [] when nothing is found."""
        ...


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """A row of the table: where the class is, and what to tell about it before it is imported."""

    name: str
    title: str
    target: str
    needs_weights: bool = False


ENGINES: Mapping[str, EngineSpec] = {
    spec.name: spec
    for spec in (
        EngineSpec("classical", "Classical (no model)", "samdesk.engines.classical:ClassicalEngine"),
    )
}


def engine_spec(name: str) -> EngineSpec:
    """The row of the table with this name.

    Raises
    ------
    SamdeskError
        When no engine has that name.
    """
    if name not in ENGINES:
        raise SamdeskError(f"There is no engine named “{name}”.", f"Known engines: {', '.join(ENGINES)}.")
    return ENGINES[name]


def load_engine(name: str, **options: Any) -> Engine:
    """Import and build an engine by its name in the table; errors as `engine_spec`."""
    module, _, attribute = engine_spec(name).target.partition(":")
    engine: Engine = getattr(importlib.import_module(module), attribute)(**options)
    return engine
