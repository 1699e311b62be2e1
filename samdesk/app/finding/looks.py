"""Where to search, and the chips that are looked at for it. Arithmetic only; must not know engines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Region, Shape, ShapeKind
from samdesk.engines.base import CHIP
from samdesk.sdk import chip_downsample

FILLS = 0.8
"""What is looked at in one piece fills a chip by no more than this."""

QUANTUM = CHIP // 8
"""A single look is placed on a grid of this many chip pixels, so that a view that is moved a little
finds the same chip again."""

OVERLAP = CHIP // 4
"""Neighbouring looks share this many chip pixels: an object smaller than that is whole in one."""


@dataclass(frozen=True, slots=True)
class Where:
    """What part of the image to search, and how closely.

    Attributes
    ----------
    bounds : Bounds
        Image pixels.
    downsample : float
        Image pixels per pixel that the engine sees.
    shapes : tuple of Shape
        Search only inside these areas; empty for the whole of `bounds`.
    whole_view : bool
        Take in all of `bounds` with one look, from further away if need be.
    title : str
        For the user: "the view".
    """

    bounds: Bounds
    downsample: float
    shapes: tuple[Shape, ...] = ()
    whole_view: bool = False
    title: str = ""

    @classmethod
    def view(cls, bounds: Bounds, scale: float) -> Where:
        """What is on screen, at `scale` image pixels per screen pixel."""
        return cls(bounds, chip_downsample(scale), whole_view=True, title="the view")

    @classmethod
    def inside(cls, shapes: Sequence[Shape], scale: float) -> Where:
        """Inside annotations; SamdeskError when none of them has an area."""
        areas = tuple(one for one in shapes if one.kind is ShapeKind.AREA and not one.is_empty)
        if not areas:
            raise SamdeskError("No annotation with an area is selected.", "Select the one to search in.")
        bounds = areas[0].bounds
        for one in areas[1:]:
            bounds = bounds.union(one.bounds)
        title = "the annotation" if len(areas) == 1 else f"{len(areas)} annotations"
        return cls(bounds, chip_downsample(scale), areas, title=title)

    @classmethod
    def image(cls, size: tuple[int, int], scale: float) -> Where:
        """The whole image, (width, height) in pixels."""
        return cls(Bounds(0, 0, *size), chip_downsample(scale), title="the image")


@dataclass(frozen=True, slots=True)
class Look:
    """One chip of a search.

    Attributes
    ----------
    chip : Region
    core : Bounds
        The part that no other look is nearer to; what has its middle here belongs to this look.
    """

    chip: Region
    core: Bounds


EVERYWHERE = Bounds(-math.inf, -math.inf, math.inf, math.inf)


def single_look(bounds: Bounds, downsample: float, size: tuple[int, int]) -> Look:
    """One chip that sees all of `bounds` and something around it; `size` is that of the image."""
    while max(bounds.width, bounds.height) > FILLS * CHIP * downsample and max(size) > CHIP * downsample:
        downsample *= 2
    x, width = _placed(bounds.center[0], size[0], downsample)
    y, height = _placed(bounds.center[1], size[1], downsample)
    return Look(Region(x, y, width, height, downsample), EVERYWHERE)


def _placed(middle: float, length: int, downsample: float) -> tuple[float, int]:
    last = length - CHIP * downsample
    if last <= 0:
        return 0.0, max(1, math.ceil(length / downsample))
    step = QUANTUM * downsample
    nearest = round((middle - CHIP * downsample / 2) / step) * step
    return float(min(max(nearest, 0.0), last)), CHIP


def many_looks(bounds: Bounds, downsample: float, size: tuple[int, int]) -> list[Look]:
    """Chips that cover `bounds` and overlap by `OVERLAP`, row by row; `size` is that of the image.

    They lie on a grid that starts at the image's corner, so that another region finds the same
    chips again.
    """
    columns = _spans(bounds.x0, bounds.x1, size[0], downsample)
    rows = _spans(bounds.y0, bounds.y1, size[1], downsample)
    return [
        Look(Region(x, y, width, height, downsample), Bounds(x0, y0, x1, y1))
        for y, height, y0, y1 in rows
        for x, width, x0, x1 in columns
    ]


def _spans(low: float, high: float, length: int, downsample: float) -> list[tuple[float, int, float, float]]:
    """Along one axis: where each chip begins, its pixels, and from where to where its core goes."""
    last = length - CHIP * downsample
    if last <= 0:
        return [(0.0, max(1, math.ceil(length / downsample)), -math.inf, math.inf)]
    step, side = (CHIP - OVERLAP) * downsample, CHIP * downsample
    starts = [min(k * step, last) for k in range(math.ceil(last / step) + 1)]
    edges = [(a + side + b) / 2 for a, b in pairwise(starts)]
    cores = zip([-math.inf, *edges], [*edges, math.inf], strict=True)
    return [
        (start, CHIP, x0, x1) for start, (x0, x1) in zip(starts, cores, strict=True) if x0 < high and x1 > low
    ]
