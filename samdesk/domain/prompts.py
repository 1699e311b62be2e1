"""What a user asks of an engine, and what comes back. Image pixels throughout.

Must not know which engine answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from .geometry import Bounds, Region, Shape


class PointPrompt(NamedTuple):
    """A click, in image pixels on pixel edges; `positive` says object or background."""

    x: float
    y: float
    positive: bool = True


class BoxPrompt(NamedTuple):
    """A dragged box in image pixels; `positive` is False for a negative exemplar."""

    bounds: Bounds
    positive: bool = True


@dataclass(frozen=True, slots=True)
class Prompts:
    """Points, boxes, text and a prior shape that together describe one object (or, with text, many)."""

    points: tuple[PointPrompt, ...] = ()
    boxes: tuple[BoxPrompt, ...] = ()
    text: str = ""
    prior: Shape | None = None

    def __bool__(self) -> bool:
        return bool(self.points or self.boxes or self.text or self.prior is not None)

    @property
    def bounds(self) -> Bounds | None:
        """The box of all points, boxes and the prior; None when only text is there."""
        found = [Bounds(p.x, p.y, p.x, p.y) for p in self.points] + [b.bounds for b in self.boxes]
        if self.prior is not None and not self.prior.is_empty:
            found.append(self.prior.bounds)
        if not found:
            return None
        total = found[0]
        for one in found[1:]:
            total = total.union(one)
        return total

    def with_point(self, point: PointPrompt) -> Prompts:
        return replace(self, points=(*self.points, point))

    def with_box(self, box: BoxPrompt) -> Prompts:
        return replace(self, boxes=(*self.boxes, box))

    def in_array(self, region: Region) -> Prompts:
        """The same prompts in the array pixels of `region`."""

        def box(b: Bounds) -> Bounds:
            (x0, y0), (x1, y1) = region.to_array([(b.x0, b.y0), (b.x1, b.y1)])
            return Bounds(float(x0), float(y0), float(x1), float(y1))

        points = []
        for p in self.points:
            ((x, y),) = region.to_array([(p.x, p.y)])
            points.append(PointPrompt(float(x), float(y), p.positive))
        prior = self.prior
        if prior is not None:
            prior = Shape(region.to_array(prior.coords), prior.rings, prior.parts, prior.kind)
        return Prompts(
            tuple(points), tuple(BoxPrompt(box(b.bounds), b.positive) for b in self.boxes), self.text, prior
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """One proposed shape.

    Attributes
    ----------
    shape : Shape
        In image pixels.
    score : float
        The engine's own confidence in 0..1.
    region : Region
        The chip it was found on.
    at_edge : bool
        True when the shape was cut by the border of the chip and so may be incomplete.
    engine : str
        Name of the engine that answered.
    """

    shape: Shape
    score: float
    region: Region
    at_edge: bool = False
    engine: str = ""
    timings: dict[str, float] = field(default_factory=dict, compare=False)
