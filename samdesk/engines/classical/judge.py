"""Which sets of superpixels answer the prompts best. Must not know how the sets were found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from samdesk.domain.geometry import Bounds

from . import rank
from .asked import Asked
from .merging import Floats
from .scene import Scene

Members = NDArray[np.bool_]
"""Sets of superpixels: (n,) or, several of them, (k, n)."""

DISTINCT = 0.7
"""Candidates that overlap more than this (IoU) are the same."""
SPREAD = 2.0
"""What a set loses when it is e times larger than twice the extent of several positive points."""
GROUND = 30.0
"""What a set loses per part of the chip that it covers beyond one half: it is the background."""
BOX_FIT = 30.0
"""Weight of log(IoU) between the box of a set and the box prompt."""


def judge(scene: Scene, asked: Asked, sets: Members) -> Floats:
    """Value of each row of `sets` (k, n), none of them empty."""
    sums = _totals(scene, sets)
    place = fit(scene, asked, sums.area, sums.center, sums.mean_color, sums.box)
    return rank.value(rank.features(sums)) + place


def score(scene: Scene, members: Members, value: float) -> float:
    """The overlap (IoU, 0..1) with the object to expect of a set (n,) of that value."""
    clear = rank.clearness(_totals(scene, members[None]))
    return float(rank.overlap(np.array([value]), clear)[0])


def _totals(scene: Scene, sets: Members) -> rank.Totals:
    graph = scene.graph
    inside = sets[:, graph.first] & sets[:, graph.second]
    low = [graph.box[row, :2].min(axis=0) for row in sets]
    high = [graph.box[row, 2:].max(axis=0) for row in sets]
    # sparse, because sets are small and BLAS threads would wait for each other
    return rank.totals(
        csr_array(sets) @ scene.table,
        csr_array(inside) @ graph.border,
        np.concatenate((low, high), axis=1),
    )


def fit(scene: Scene, asked: Asked, area: Floats, center: Floats, color: Floats, box: Floats) -> Floats:
    """What the place of the prompts says for or against regions; arrays with one row per region."""
    if asked.boxes:
        return np.asarray(BOX_FIT * np.log(np.maximum(box_overlap(box, asked.boxes[0]), 0.01)))
    if not len(asked.positives):
        return np.zeros(len(area))
    graph = scene.graph
    leaf = graph.labels[asked.positives[:, 1], asked.positives[:, 0]]
    clicked = (graph.color[leaf, :3] / graph.area[leaf, None]).mean(axis=0)
    x, y = asked.positives.mean(axis=0) + 0.5
    place = rank.OFF_CENTER * rank.off_center(area, center, x, y)
    place -= GROUND * np.maximum(area / graph.labels.size - 0.5, 0)
    extent = float(np.hypot(*np.ptp(asked.positives, axis=0)))
    if extent > 0:
        place -= SPREAD * np.log(np.maximum(np.sqrt(area) / (2 * extent), 1))
    return place + rank.OFF_COLOR * rank.off_color(color, clicked)


def box_overlap(boxes: Floats, box: Bounds) -> Floats:
    """IoU of each box (k, 4) with one."""
    low = np.maximum(boxes[:, :2], (box.x0, box.y0))
    high = np.minimum(boxes[:, 2:], (box.x1, box.y1))
    common = np.maximum(high - low, 0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    overlap: Floats = common / (areas + box.width * box.height - common)
    return overlap


def distinct(scene: Scene, members: Members, values: Floats, limit: int) -> list[int]:
    """Rows by falling value, none much like one before it."""
    weights = members.astype(np.float32) * scene.graph.area.astype(np.float32)
    sizes = weights.sum(axis=1)
    kept: list[int] = []
    for row in np.argsort(-values, kind="stable").tolist():
        common = weights[kept] @ members[row].astype(np.float32)
        if np.all(common <= DISTINCT * (sizes[kept] + sizes[row] - common)):
            kept.append(row)
        if len(kept) == limit:
            break
    return kept
