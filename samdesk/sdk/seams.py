"""Objects found on overlapping chips made one: what a border cut, and what was found twice.

Must not know engines or pixels.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from samdesk.domain.geometry import Bounds, FloatArray, IntArray, Region, Shape
from samdesk.domain.outline import repair
from samdesk.domain.prompts import Candidate

from .chips import EDGE_PX

AGREE = 0.7
"""IoU, within what two chips both see, above which their two masks show the same object."""

Pairs = NDArray[np.int64]


def joined(
    found: Sequence[Candidate], ranks: FloatArray, size: tuple[int, int], threshold: float
) -> list[Candidate]:
    """One candidate for every object.

    A mask that a chip's border cut is dropped where another chip shows the same object whole.
    Where no chip does, the masks that agree in what their chips both see are united. Of what is
    then left, two masks of different chips whose boxes have a larger IoU than `threshold` are
    one object; the higher rank stays.

    Parameters
    ----------
    found : sequence of Candidate
        Of all chips; those of one chip have been sorted out among themselves.
    ranks : ndarray, (n,)
        Higher is better.
    size : (int, int)
        Width and height of the image.
    threshold : float

    Returns
    -------
    list of Candidate
        In the order of `found`; united ones at the place of their first piece.
    """
    if not found:
        return []
    shapes = np.array([one.shape.to_shapely() for one in found], object)
    chips = np.array([one.region.bounds for one in found], np.float64)
    cut = np.array([one.at_edge for one in found])
    pairs = _meeting(shapes, chips)
    same = pairs[:, cut[pairs].any(axis=0)]
    same = same[:, _agree(shapes, chips, same)]
    seen_whole = np.zeros(len(found), np.bool_)
    for cut_one, other in (same, same[::-1]):
        seen_whole[cut_one[cut[cut_one] & ~cut[other]]] = True
    both = same[:, ~seen_whole[same].any(axis=0) & cut[same].all(axis=0)]
    kept, members = _united(list(found), shapes, both, size, np.flatnonzero(~seen_whole))
    best = np.array([ranks[group].max() for group in members])
    return [kept[k] for k in _distinct(kept, best, threshold)]


def _meeting(shapes: NDArray[Any], chips: FloatArray) -> Pairs:
    """Pairs (2, k) of masks of different chips whose boxes meet, each once."""
    boxes = shapely.box(*shapely.bounds(shapes).T)
    pairs: Pairs = shapely.STRtree(boxes).query(boxes)
    first, second = pairs
    return pairs[:, (first < second) & (chips[first] != chips[second]).any(axis=1)]


def _agree(shapes: NDArray[Any], chips: FloatArray, pairs: Pairs) -> NDArray[np.bool_]:
    """Whether both masks show the same within what both chips see."""
    first, second = pairs
    low = np.maximum(chips[first, :2], chips[second, :2])
    high = np.minimum(chips[first, 2:], chips[second, 2:])
    agree = _box_iou(_clipped(shapes[first], low, high), _clipped(shapes[second], low, high)) > 0
    for k in np.flatnonzero(agree):
        strip = (*low[k], *high[k])
        a, b = (shapely.clip_by_rect(shapes[one[k]], *strip) for one in (first, second))
        common = shapely.intersection(a, b).area
        agree[k] = common > 0 and common >= AGREE * (a.area + b.area - common)
    return agree


def _clipped(shapes: NDArray[Any], low: FloatArray, high: FloatArray) -> FloatArray:
    """The boxes of the shapes within other boxes; NaN or turned inside out where nothing is left."""
    bounds = shapely.bounds(shapes).reshape(-1, 4)
    return np.hstack((np.maximum(bounds[:, :2], low), np.minimum(bounds[:, 2:], high)))


def _box_iou(a: FloatArray, b: FloatArray) -> FloatArray:
    both = np.hstack((np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])))
    common, first, second = (np.prod(np.maximum(c[:, 2:] - c[:, :2], 0), axis=1) for c in (both, a, b))
    total = first + second - common
    iou: FloatArray = np.divide(common, total, out=np.zeros_like(total), where=total > 0)
    return iou


def _united(
    found: list[Candidate], shapes: NDArray[Any], pairs: Pairs, size: tuple[int, int], left: IntArray
) -> tuple[list[Candidate], list[list[int]]]:
    """The candidates `left`, those that belong together as one, and which made each."""
    group = _groups(len(found), pairs)
    members: dict[int, list[int]] = {}
    for k in left:
        members.setdefault(group[k], []).append(int(k))
    return [
        found[one[0]] if len(one) == 1 else _union([found[k] for k in one], shapes[one], size)
        for one in members.values()
    ], list(members.values())


def _groups(count: int, pairs: Pairs) -> list[int]:
    """For each item the first of those that pairs connect it with."""
    parent = list(range(count))

    def first_of(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    for a, b in pairs.T:
        one, other = sorted((first_of(int(a)), first_of(int(b))))
        parent[other] = one
    return [first_of(k) for k in range(count)]


def _union(pieces: list[Candidate], shapes: NDArray[Any], size: tuple[int, int]) -> Candidate:
    shape = repair(Shape.from_shapely(shapely.union_all(shapes)))[0]
    areas = [piece.shape.area for piece in pieces]
    score = float(np.average([piece.score for piece in pieces], weights=areas))
    boxes = [piece.region.bounds for piece in pieces]
    # the borders of what was seen, but for those that are the image's own
    border = shapely.union_all([shapely.box(*box) for box in boxes]).boundary
    inner = shapely.intersection(border, shapely.box(0.5, 0.5, size[0] - 0.5, size[1] - 0.5))
    near = EDGE_PX * pieces[0].region.downsample
    at_edge = bool(shapely.dwithin(shape.to_shapely(), inner, near))
    return replace(pieces[0], shape=shape, score=score, region=_around(pieces), at_edge=at_edge)


def _around(pieces: list[Candidate]) -> Region:
    """The smallest region with all the chips in it."""
    seen = functools.reduce(Bounds.union, (piece.region.bounds for piece in pieces))
    downsample = pieces[0].region.downsample
    size = round(seen.width / downsample), round(seen.height / downsample)
    return Region(seen.x0, seen.y0, *size, downsample)


def _distinct(found: list[Candidate], ranks: FloatArray, threshold: float) -> list[int]:
    """Indices of those that no better one of another chip covers; masks that were cut come last."""
    bounds = np.array([one.shape.bounds for one in found], np.float64)
    chips = np.array([one.region.bounds for one in found], np.float64)
    boxes = np.array([shapely.box(*box) for box in bounds], object)
    first, second = _meeting(boxes, chips)
    alike = _box_iou(bounds[first], bounds[second]) > threshold
    rivals: list[list[int]] = [[] for _ in found]
    for a, b in zip(first[alike].tolist(), second[alike].tolist(), strict=True):
        rivals[a].append(b)
        rivals[b].append(a)
    kept = np.ones(len(found), np.bool_)
    cut = np.array([one.at_edge for one in found])
    for k in np.lexsort((-ranks, cut)):
        if kept[k]:
            kept[rivals[k]] = False
            kept[k] = True
    return [int(k) for k in np.flatnonzero(kept)]
