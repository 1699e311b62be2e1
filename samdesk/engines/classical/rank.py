"""How much a set of superpixels looks like an object. Must not know prompts beyond where they are.

The weights are fitted by `python -m tests.bench.classical_fit` on synthetic pictures, so that
the best candidate overlaps the object that was clicked, and the score is the overlap to expect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .graph import LEVELS, Graph
from .merging import Floats

FEATURES = ("gap", "weakest", "texture", "plain", "cut", "small")
WEIGHTS = np.array((1.40, 1.06, 2.31, 16.63, -12.58, -3.62))
"""Weight of each of `FEATURES`."""
OFF_CENTER, OFF_COLOR = -8.62, -0.44
"""Weights of the click's distance from the centroid and from the mean color."""
SMALL = 150.0
"""Area in px below which a region is less likely to be meant."""
OFFSET, SLOPE, CLARITY = -5.656, 0.349, 0.797
"""The logistic function from a value and `clearness` to the overlap (IoU) to expect."""

_LOG_LEVELS = np.log(np.concatenate(([0.25], LEVELS, [18.0])))


@dataclass(frozen=True, slots=True, eq=False)
class Totals:
    """Sums over k sets of superpixels, named as in `Graph`; `outer` are the borders of the set itself."""

    area: Floats
    color: Floats
    position: Floats
    contrast: Floats
    rim: Floats
    outer: Floats
    inside: Floats
    box: Floats

    @property
    def center(self) -> Floats:
        return self.position / self.area[:, None]

    @property
    def mean_color(self) -> Floats:
        """Mean L, a, b."""
        return self.color[:, :3] / self.area[:, None]


def leaf_table(graph: Graph) -> Floats:
    """All additive columns of a graph, one row per superpixel."""
    return np.column_stack((graph.area, graph.color, graph.position, graph.contrast, graph.rim, graph.around))


def totals(table: Floats, inside: Floats, box: Floats) -> Totals:
    """Name the columns of summed rows of `leaf_table`."""
    return Totals(
        area=table[:, 0],
        color=table[:, 1:6],
        position=table[:, 6:8],
        contrast=table[:, 8:13],
        rim=table[:, 13],
        outer=table[:, 14:] - 2 * inside,
        inside=inside,
        box=box,
    )


def _log_quantile(counts: Floats, length: Floats, share: float) -> Floats:
    """Logarithm of the gradient that a share of the border pixels stays below."""
    below = np.concatenate((np.zeros((len(counts), 1)), counts.cumsum(axis=1), length[:, None]), axis=1)
    below /= np.maximum(length, 1e-9)[:, None]
    upper = np.clip((below < share).sum(axis=1), 1, len(LEVELS) + 1)
    row = np.arange(len(counts))
    low, high = below[row, upper - 1], below[row, upper]
    part = np.clip((share - low) / np.maximum(high - low, 1e-9), 0, 1)
    result: Floats = _LOG_LEVELS[upper - 1] + part * (_LOG_LEVELS[upper] - _LOG_LEVELS[upper - 1])
    return result


def features(sums: Totals) -> Floats:
    """What tells an object from any region, one row per set, columns as `FEATURES`.

    gap, weakest
        Gradient that 95 % and 85 % of the border reach (logarithm).
    texture
        Step of the texture across the border (logarithm).
    plain
        Outline of the box over that of the set: 1 for a convex set, less for a ragged one.
    cut
        Share of the outline that is the chip's.
    small
        How far the area is below `SMALL` (logarithm).
    """
    length = np.maximum(sums.outer[:, 0], 1e-9)
    texture = np.linalg.norm(sums.contrast[:, 3:], axis=1) / length
    perimeter = length + sums.rim
    sides = 2 * (sums.box[:, 2:] - sums.box[:, :2]).sum(axis=1)
    return np.column_stack(
        (
            _log_quantile(sums.outer[:, 2:], length, 0.05),
            _log_quantile(sums.outer[:, 2:], length, 0.15),
            np.log(texture + 0.3),
            np.minimum(sides / perimeter, 1),
            sums.rim / perimeter,
            np.log(np.maximum(SMALL / sums.area, 1)),
        )
    )


def value(found: Floats) -> Floats:
    """How much each set looks like an object, from its `features`."""
    result: Floats = found @ WEIGHTS
    return result


def off_center(area: Floats, center: Floats, x: float, y: float) -> Floats:
    """Distance of a point from the centroid, in units of the set's size; at most 1.5."""
    away: Floats = np.hypot(center[:, 0] - x, center[:, 1] - y) / np.sqrt(area)
    return np.minimum(away, 1.5)


def off_color(color: Floats, clicked: Floats) -> Floats:
    """Logarithm of the distance between the mean color and a color (Lab)."""
    away: Floats = np.log1p(np.linalg.norm(color - clicked, axis=1))
    return away


def clearness(sums: Totals) -> Floats:
    """How far the color step at the border stands out from the mean gradient inside, a logarithm."""
    length = np.maximum(sums.outer[:, 0], 1)
    step = np.linalg.norm(sums.contrast[:, :3], axis=1) / length
    clutter = sums.inside[:, 1] / np.maximum(sums.inside[:, 0], 1)
    clear: Floats = np.log(step + 0.2) - np.log(clutter + 0.2)
    return clear


def overlap(value: Floats, clear: Floats) -> Floats:
    """The overlap (IoU) to expect, 0..1."""
    expected: Floats = 1 / (1 + np.exp(-(OFFSET + SLOPE * value + CLARITY * clear)))
    return expected
