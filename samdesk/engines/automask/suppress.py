"""Which of several overlapping masks stay. Must not know logits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.geometry import IntArray

from .options import Output


def suppress(boxes: NDArray[Any], ranks: NDArray[Any], threshold: float) -> IntArray:
    """Greedy suppression by the IoU of boxes: in order of rank, drop what a kept box overlaps.

    Ties keep their order and the IoU is computed in float32, as in torchvision's `nms`, so that
    the same boxes stay.

    Parameters
    ----------
    boxes : ndarray, (n, 4)
        x0, y0, x1, y1.
    ranks : ndarray, (n,)
        Higher is better.
    threshold : float
        A box is dropped when its IoU with a kept one is larger.

    Returns
    -------
    ndarray, (k,) int64
        Indices of the kept ones, best first.
    """
    order = np.argsort(-ranks.astype(np.float32), kind="stable")
    x0, y0, x1, y1 = boxes[order].astype(np.float32).T
    area = (x1 - x0) * (y1 - y0)
    waiting = np.arange(len(order))
    kept = []
    while len(waiting):
        first, others = waiting[0], waiting[1:]
        kept.append(first)
        width = np.minimum(x1[first], x1[others]) - np.maximum(x0[first], x0[others])
        height = np.minimum(y1[first], y1[others]) - np.maximum(y0[first], y0[others])
        common = np.maximum(width, np.float32(0)) * np.maximum(height, np.float32(0))
        with np.errstate(invalid="ignore"):  # 0 / 0 of two boxes without an area: both stay
            iou = (common / (area[first] + area[others] - common)).astype(np.float64)
        waiting = others[~(iou > threshold)]
    return order[np.array(kept, np.int64)]


def rank(scores: NDArray[Any], areas: NDArray[Any], output: Output) -> NDArray[np.float32]:
    """What makes a mask stay where masks overlap: its score, its size, or that it is small."""
    if output == "largest":
        return areas.astype(np.float32)
    if output in ("smallest", "single"):
        return -areas.astype(np.float32)
    return scores.astype(np.float32)
