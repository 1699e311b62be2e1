"""Prompts as this engine works with them: whole pixels of the chip. Must not know the picture."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.geometry import Bounds, Region
from samdesk.domain.outline import shape_to_mask
from samdesk.domain.prompts import Prompts

Points = NDArray[np.int64]
Mask = NDArray[np.bool_]

LEAST_BOX = 2.0
"""A positive box narrower than this (px) is a point."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Prompts in array pixels, those outside the chip left out and boxes clipped to it.

    Attributes
    ----------
    positives, negatives : ndarray, (k, 2) int64
        Pixels x, y; no pixel is both, the later prompt counts.
    boxes, barred : tuple of Bounds
        Positive and negative boxes on pixel edges.
    prior : ndarray, (h, w) bool, or None
        The mask to start from, not empty.
    """

    positives: Points
    negatives: Points
    boxes: tuple[Bounds, ...] = ()
    barred: tuple[Bounds, ...] = ()
    prior: Mask | None = None

    def __bool__(self) -> bool:
        """Whether anything says where the object is."""
        return bool(len(self.positives) or self.boxes or self.prior is not None)


def ask(prompts: Prompts, width: int, height: int) -> Asked:
    """Take over prompts in the array pixels of a chip of that size."""
    chip = Bounds(0, 0, width, height)
    signs: dict[tuple[int, int], bool] = {}
    boxes: dict[bool, list[Bounds]] = {True: [], False: []}
    for bounds, positive in prompts.boxes:
        clipped = _ordered(bounds).intersection(chip)
        if not (clipped.x1 >= clipped.x0 and clipped.y1 >= clipped.y0):
            continue
        if positive and min(clipped.width, clipped.height) < LEAST_BOX:
            signs[_pixel(*clipped.center, chip)] = True
        else:
            boxes[positive].append(clipped)
    for x, y, positive in prompts.points:
        if chip.contains(x, y):
            signs[_pixel(x, y, chip)] = positive
    return Asked(
        _points(p for p, positive in signs.items() if positive),
        _points(p for p, positive in signs.items() if not positive),
        tuple(boxes[True]),
        tuple(boxes[False]),
        _prior_mask(prompts, width, height),
    )


def _ordered(box: Bounds) -> Bounds:
    x0, x1 = sorted((box.x0, box.x1))
    y0, y1 = sorted((box.y0, box.y1))
    return Bounds(x0, y0, x1, y1)


def _pixel(x: float, y: float, chip: Bounds) -> tuple[int, int]:
    return min(math.floor(x), int(chip.x1) - 1), min(math.floor(y), int(chip.y1) - 1)


def _points(pixels: Iterable[tuple[int, int]]) -> Points:
    return np.array(list(pixels), np.int64).reshape(-1, 2)


def _prior_mask(prompts: Prompts, width: int, height: int) -> Mask | None:
    shape = prompts.prior
    if shape is None or not np.isfinite(shape.coords).all():
        return None
    mask = shape_to_mask(shape, Region(0, 0, width, height))
    return mask if mask.any() else None
