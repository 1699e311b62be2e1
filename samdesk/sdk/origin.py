"""How an annotation came to be, as JSON values to keep with it, and the prompts read from them again.

Must not know engines, documents or files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from samdesk.domain.geometry import Bounds, Shape
from samdesk.domain.prompts import BoxPrompt, Candidate, PointPrompt, Prompts

_PROMPTS = ("points", "boxes", "negative_boxes", "text", "prior", "examples", "negative_examples")
_OF_ONE_ANSWER = frozenset({"engine", "score", "downsample", "contrast", "edited", "automask", *_PROMPTS})
"""Members that tell how the present shape came to be."""

MOST_BESIDE = 0.5
"""Of a box that was drawn around a shape, no larger part lies beside the shape's own box."""


def provenance(candidate: Candidate, prompts: Prompts, of_many: bool = False) -> dict[str, Any]:
    """How a candidate came to be.

    Parameters
    ----------
    candidate : Candidate
    prompts : Prompts
    of_many : bool
        The prompts were about many objects: their boxes are examples, and not around this one.
    """
    positive, negative = ("examples", "negative_examples") if of_many else ("boxes", "negative_boxes")
    told: dict[str, Any] = {
        "engine": candidate.engine,
        "score": round(candidate.score, 4),
        "downsample": candidate.region.downsample,
        "points": [[p.x, p.y, int(p.positive)] for p in prompts.points],
        positive: [list(b.bounds) for b in prompts.boxes if b.positive],
    }
    beside = [list(b.bounds) for b in prompts.boxes if not b.positive]
    if beside:
        told[negative] = beside
    if prompts.text:
        told["text"] = prompts.text
    if prompts.prior is not None:
        told["prior"] = True
    return told


def refined_provenance(before: Mapping[str, Any], candidate: Candidate, prompts: Prompts) -> dict[str, Any]:
    """How a shape came to be that took the place of another; what else was known stays.

    "refined" says how often that happened.
    """
    others = {name: value for name, value in before.items() if name not in _OF_ONE_ANSWER}
    times = before.get("refined", 0)
    count = times + 1 if isinstance(times, int) else 1
    return {**others, **provenance(candidate, prompts), "refined": count}


def prompts_of(told: Mapping[str, Any], shape: Shape, size: tuple[int, int]) -> Prompts:
    """The prompts that a provenance holds, as far as they still agree with the shape.

    Points on the object that lie outside the shape, points beside it that lie inside, and boxes
    around something else are left out: the shape was moved or changed by hand since. What cannot
    be read is left out, too.

    Parameters
    ----------
    told : mapping
    shape : Shape
        Image pixels.
    size : (int, int)
        Width and height of the image in pixels.
    """
    whole, around = Bounds(0, 0, *size), shape.bounds
    points = [PointPrompt(x, y, bool(sign)) for x, y, sign in _rows(told.get("points"), 3)]
    boxes = [
        BoxPrompt(Bounds(*row).intersection(whole), positive)
        for name, positive in (("boxes", True), ("negative_boxes", False))
        for row in _rows(told.get(name), 4)
    ]
    return Prompts(
        tuple(p for p in points if whole.contains(p.x, p.y) and shape.contains(p.x, p.y) == p.positive),
        tuple(b for b in boxes if not b.bounds.is_empty and (not b.positive or _is_around(b.bounds, around))),
    )


def _is_around(box: Bounds, around: Bounds) -> bool:
    common = box.intersection(around)
    return not common.is_empty and common.width * common.height > (1 - MOST_BESIDE) * box.width * box.height


def _rows(value: object, length: int) -> list[tuple[float, ...]]:
    """The lists of so many finite numbers."""
    if not isinstance(value, list | tuple):
        return []
    return [
        tuple(map(float, row))
        for row in value
        if isinstance(row, list | tuple)
        and len(row) == length
        and all(isinstance(one, int | float) and math.isfinite(one) for one in row)
    ]
