"""Regions joined round by round, the most alike neighbors first. Must not know pictures or prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Floats = NDArray[np.float64]
Index = NDArray[np.int64]

GROWTH = 1.5
"""Costs within this factor count as equal; it bounds the number of rounds."""


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """The regions of one round and their borders.

    Attributes
    ----------
    area : ndarray, (n,) float64
    color : ndarray, (n, c) float64
        Sums over the pixels.
    first, second : ndarray, (e,) int64
        The two sides of each border.
    length, strength : ndarray, (e,) float64
        Pixel edges of the border, and the gradient summed along it.
    """

    area: Floats
    color: Floats
    first: Index
    second: Index
    length: Floats
    strength: Floats


class Round(NamedTuple):
    """What one round did.

    Attributes
    ----------
    before, regions : Regions
    group : ndarray, (n before,) int64
        The region that each region is now part of.
    border : ndarray, (e before,) int64
        The border that each border is now part of; -1 when it lies inside a region.
    """

    before: Regions
    group: Index
    border: Index
    regions: Regions


Linkage = Callable[[Regions], Floats]


def mean_gradient(regions: Regions) -> Floats:
    """Mean gradient along the border (the linkage of an ultrametric contour map)."""
    mean: Floats = regions.strength / regions.length
    return mean


def small_first(regions: Regions) -> Floats:
    """The mean gradient, with small regions joined earlier."""
    smaller = np.minimum(regions.area[regions.first], regions.area[regions.second])
    cost: Floats = mean_gradient(regions) * smaller**0.25
    return cost


def ward_gradient(regions: Regions) -> Floats:
    """Growth of the color variance (Ward), per px of border, times the mean gradient along it."""
    area, first, second = regions.area, regions.first, regions.second
    mean = regions.color / area[:, None]
    apart = np.square(mean[first] - mean[second]).sum(axis=1)
    ward = area[first] * area[second] / (area[first] + area[second]) * apart
    cost: Floats = ward / regions.length * mean_gradient(regions)
    return cost


def group_sums(group: Index, values: Floats, count: int) -> Floats:
    """Sum the rows of `values` (n,) or (n, k) per group."""
    if values.ndim == 1:
        return np.asarray(np.bincount(group, values, count), np.float64)
    return np.stack([group_sums(group, column, count) for column in values.T], axis=1)


def groups_of(count: int, first: Index, second: Index) -> Index:
    """The group, from 0, of each of `count` regions when the given pairs are joined."""
    links = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(count, count))
    _, group = connected_components(links, directed=False)
    return np.asarray(group, np.int64)


def joined_borders(group: Index, first: Index, second: Index) -> tuple[Index, Index, Index]:
    """The borders between groups: their two sides, and which one each old border is part of.

    The last is -1 for a border that lies inside a group.
    """
    count = int(group.max(initial=0)) + 1
    a, b = group[first], group[second]
    outer = a != b
    pairs, which = np.unique(np.minimum(a, b)[outer] * count + np.maximum(a, b)[outer], return_inverse=True)
    part = np.full(len(first), -1, np.int64)
    part[outer] = which
    return pairs // count, pairs % count, part


def _chosen(cost: Floats, regions: Regions, limit: float) -> NDArray[np.bool_]:
    """Borders to remove: the cheapest of both sides, or of one side and not above `limit`."""
    falling = np.argsort(-cost, kind="stable")
    sides = np.stack((regions.first[falling], regions.second[falling]), axis=1)
    cheapest = np.empty(len(regions.area), np.int64)
    cheapest[sides.ravel()] = np.repeat(falling, 2)  # the last write wins
    here = np.arange(len(cost))
    one, other = cheapest[regions.first] == here, cheapest[regions.second] == here
    chosen: NDArray[np.bool_] = (one & other) | ((one | other) & (cost <= limit))
    return chosen


def merge_rounds(regions: Regions, linkage: Linkage) -> Iterator[Round]:
    """Join neighbors until none are left.

    In each round all pairs join that are each other's cheapest neighbors; for a reducible
    linkage that is the tree which joining one pair at a time would give (reciprocal nearest
    neighbors, Murtagh 1983). Pairs within `GROWTH` of the cheapest join as well.
    """
    limit = 0.0
    while len(regions.first):
        before, cost = regions, linkage(regions)
        limit = max(limit, float(cost.min()) * GROWTH)
        chosen = _chosen(cost, before, limit)
        group = groups_of(len(before.area), before.first[chosen], before.second[chosen])
        count = int(group.max()) + 1
        first, second, border = joined_borders(group, before.first, before.second)
        outer = border >= 0
        regions = Regions(
            group_sums(group, before.area, count),
            group_sums(group, before.color, count),
            first,
            second,
            group_sums(border[outer], before.length[outer], len(first)),
            group_sums(border[outer], before.strength[outer], len(first)),
        )
        yield Round(before, group, border, regions)
