"""Every object once, although neighbouring chips share a part. Must not know engines or documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from samdesk.domain.geometry import Bounds, Shape
from samdesk.domain.prompts import Candidate

from .looks import EVERYWHERE

SAME = 0.5
"""Two candidates of different looks with a larger IoU are the same object; where one of them was
cut, the part of the smaller one that lies in the other counts."""

INSIDE = 0.5
"""A candidate belongs to a region when more than this part of it lies there."""


@dataclass(frozen=True, slots=True, eq=False)
class _Taken:
    """What a `Gathering` took: one row for each object."""

    geometry: NDArray[Any] = field(default_factory=lambda: np.empty(0, object))
    boxes: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 4)))
    cut: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))

    def with_all(self, candidates: Sequence[Candidate]) -> _Taken:
        geometry = np.empty(len(candidates), object)
        geometry[:] = [one.shape.to_shapely() for one in candidates]
        boxes = np.array([one.shape.bounds for one in candidates]).reshape(-1, 4)
        return _Taken(
            np.append(self.geometry, geometry),
            np.concatenate((self.boxes, boxes)),
            np.append(self.cut, [one.at_edge for one in candidates]).astype(np.bool_),
        )

    def holds(self, one: Candidate) -> bool:
        """Whether the same object is here, maybe only a part of it."""
        box, b = one.shape.bounds, self.boxes
        near = (b[:, 0] < box.x1) & (b[:, 2] > box.x0) & (b[:, 1] < box.y1) & (b[:, 3] > box.y0)
        if not near.any():
            return False
        geometry, others = one.shape.to_shapely(), self.geometry[near]
        common, theirs = shapely.area(shapely.intersection(others, geometry)), shapely.area(others)
        smaller, union = np.minimum(theirs, geometry.area), theirs + geometry.area - common
        cut = self.cut[near] | one.at_edge
        return bool((common > SAME * np.where(cut, smaller, union)).any())


class Gathering:
    """What was found so far: every object once, although neighbouring looks share a part.

    A candidate is taken from the look whose core holds its middle. One that its own look did not
    find is taken at the end, if nothing that was taken lies on it. Candidates of one look are
    never held against each other: one object may lie in another.

    Parameters
    ----------
    bounds : Bounds
        Only what meets this box is taken.
    within : sequence of Shape
        Only what lies in one of these areas is taken; everything when there are none.
    """

    def __init__(self, bounds: Bounds = EVERYWHERE, within: Sequence[Shape] = ()) -> None:
        self._bounds = bounds
        self._within = shapely.union_all([one.to_shapely() for one in within]) if within else None
        self._taken = _Taken()
        self._aside: list[Candidate] = []

    def take(self, candidates: Sequence[Candidate], core: Bounds) -> list[Candidate]:
        """The candidates of one look that are new."""
        mine = [core.contains(*one.shape.bounds.center) for one in candidates]
        self._aside += [one for one, is_mine in zip(candidates, mine, strict=True) if not is_mine]
        return self._kept([one for one, is_mine in zip(candidates, mine, strict=True) if is_mine])

    def rest(self) -> list[Candidate]:
        """What only a neighbouring look found; what is whole goes before what was cut."""
        aside, self._aside = sorted(self._aside, key=lambda one: (one.at_edge, -one.score)), []
        return [one for each in aside for one in self._kept([each])]

    def _kept(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        new = [one for one in candidates if self._is_inside(one) and not self._taken.holds(one)]
        if new:
            self._taken = self._taken.with_all(new)
        return new

    def _is_inside(self, one: Candidate) -> bool:
        if self._within is None:
            return one.shape.bounds.intersects(self._bounds)
        geometry = one.shape.to_shapely()
        return bool(shapely.intersection(geometry, self._within).area > INSIDE * geometry.area)
