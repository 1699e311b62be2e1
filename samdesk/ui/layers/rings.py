"""Ragged rings in device pixels: thinning and clipping, so that what is drawn fits the screen.

Arithmetic only; must not know Qt, colors or annotations.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.geometry import Bounds, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Rings:
    """Many rings (open, as in `Shape`) one after the other.

    Attributes
    ----------
    points : ndarray, (n, 2) float64
    ends : ndarray, (r + 1,) int64
        Ring k is ``points[ends[k]:ends[k + 1]]``.
    """

    points: FloatArray
    ends: IntArray

    def __len__(self) -> int:
        return len(self.ends) - 1

    @property
    def counts(self) -> IntArray:
        """Vertices of each ring."""
        return np.diff(self.ends)

    @property
    def starts(self) -> IntArray:
        return self.ends[:-1]

    def rings(self) -> list[FloatArray]:
        return [self.points[a:b] for a, b in pairwise(self.ends.tolist())]

    def kept(self, keep: NDArray[np.bool_]) -> Rings:
        """Only the vertices where `keep` (n,) is True; no ring disappears, but it may become empty."""
        before = np.concatenate(([0], np.cumsum(keep)))
        return Rings(self.points[keep], before[self.ends])

    def thinned(self, step: float) -> Rings:
        """Leave out vertices that lie within about `step` of the one before; firsts stay."""
        cells = np.floor(self.points / step).astype(np.int64)
        keep = np.ones(len(cells), bool)
        keep[1:] = (cells[1:] != cells[:-1]).any(axis=1)
        keep[self.starts[self.counts > 0]] = True
        return self if keep.all() else self.kept(keep)

    def strided(self, most: int) -> Rings:
        """Leave about `most` vertices in each ring, evenly."""
        stride = np.maximum(-(-self.counts // most), 1)
        if (stride == 1).all():
            return self
        position = np.arange(len(self.points)) - np.repeat(self.starts, self.counts)
        return self.kept(position % np.repeat(stride, self.counts) == 0)

    def clipped(self, box: Bounds, closed: bool) -> Rings:
        """Cut off what lies outside `box`; rings that do not reach beyond it are not touched.

        A cut area is closed along the edge of the box, and the pieces of a cut line are joined
        along it: the box must be larger than what is shown.
        """
        if not len(self.points):
            return self
        outside = ((self.points < box[:2]) | (self.points > box[2:])).any(axis=1)
        if not outside.any():
            return self
        near = self._without_far(box) if closed else self
        outside = ((near.points < box[:2]) | (near.points > box[2:])).any(axis=1)
        ring_of = np.repeat(np.arange(len(near)), near.counts)
        cut = near.rings()
        for k in np.unique(ring_of[outside]):
            cut[k] = _clip(cut[k], box, closed)
        return Rings(np.concatenate(cut), np.concatenate(([0], np.cumsum([len(ring) for ring in cut]))))

    def _without_far(self, box: Bounds) -> Rings:
        """Empty the rings beyond one side of the box: thousands at once, where `_clip` takes one."""
        filled = np.flatnonzero(self.counts)
        low = np.minimum.reduceat(self.points, self.starts[filled])
        high = np.maximum.reduceat(self.points, self.starts[filled])
        far = ((high < box[:2]) | (low > box[2:])).any(axis=1)
        keep = np.ones(len(self), bool)
        keep[filled[far]] = False
        return self.kept(np.repeat(keep, self.counts))


def _clip(ring: FloatArray, box: Bounds, closed: bool) -> FloatArray:
    """Sutherland-Hodgman: cut by the four sides in turn."""
    for axis, limit, sign in ((0, box.x0, 1), (0, box.x1, -1), (1, box.y0, 1), (1, box.y1, -1)):
        inside = sign * (ring[:, axis] - limit) >= 0
        if inside.all():
            continue
        following = np.roll(ring, -1, axis=0)
        crosses = inside != np.roll(inside, -1)
        if not closed and len(ring):
            crosses[-1] = False
        a, b = ring[crosses], following[crosses]
        part = (limit - a[:, axis]) / (b[:, axis] - a[:, axis])
        met = a + part[:, None] * (b - a)
        met[:, axis] = limit
        slots = np.cumsum(inside.astype(np.int64) + crosses)
        out = np.empty((int(slots[-1]) if len(slots) else 0, 2))
        out[slots[crosses] - 1] = met
        out[slots[inside] - 1 - crosses[inside]] = ring[inside]
        ring = out
    return ring
