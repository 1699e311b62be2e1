"""What can be told before an object is made: how it will be seen, what may go wrong, how long it takes.

Reads no pixels. Must not know workers or files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane, Region, Shape, ShapeKind
from samdesk.domain.outline import shape_to_mask
from samdesk.recon.engines import ReconSpec
from samdesk.sdk.image import Image

from .picture import region_around
from .times import Times

LOOK = 512
"""Longest side in pixels of the mask that is judged."""

SMALL = 64
"""An object with fewer pixels along its longest side, as the engine sees it, has little to show."""

SPECK = 0.02
"""A part of an outline with less than this share of its area does not count as one."""

FAR = 4.0
"""From this downsample on much of what the image holds is lost."""

LARGE_HOLE = 100
"""Pixels of a hole from which SAM 3D leaves its layout step out."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something worth knowing before a run.

    Attributes
    ----------
    level : {"info", "warning", "error"}
        With an error there is nothing to run.
    text, hint : str
    """

    level: Literal["info", "warning", "error"]
    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What will be shown to the engine, and what was found.

    Attributes
    ----------
    findings : tuple of Finding
        The worst first.
    crop : Bounds
        The part of the image, in image pixels; all zero when there is none.
    width, height : int
        Size of the picture that the engine is given.
    downsample : float
        Image pixels per pixel of that picture.
    seconds : float or None
        About how long it takes; None when nothing was learnt yet.
    """

    findings: tuple[Finding, ...]
    crop: Bounds
    width: int
    height: int
    downsample: float
    seconds: float | None

    @property
    def ok(self) -> bool:
        """Whether it can be run."""
        return all(finding.level != "error" for finding in self.findings)


def preflight(
    image: Image,
    shapes: Sequence[Shape],
    spec: ReconSpec,
    plane: Plane = Plane(),
    times: Times | None = None,
    *,
    loaded: bool = False,
) -> Preflight:
    """Judge what would be made of these shapes; milliseconds, for reading no pixels.

    Parameters
    ----------
    image : Image
    shapes : sequence of Shape
        One for each object.
    spec : ReconSpec
        Of the engine.
    plane : Plane
        Where the shapes lie.
    times : Times, optional
        What was learnt about durations.
    loaded : bool
        The engine is, so that loading it takes no time.
    """
    seconds = None if times is None else times.estimate(spec.name, len(shapes), loaded=loaded)
    return judge(image.size, shapes, spec, seconds)


def judge(
    size: tuple[int, int], shapes: Sequence[Shape], spec: ReconSpec, seconds: float | None = None
) -> Preflight:
    """`preflight` for an image of this size (w, h)."""
    try:
        region = region_around(size, shapes, spec)
    except SamdeskError as error:
        return Preflight((Finding("error", error.message, error.hint),), Bounds(0, 0, 0, 0), 0, 0, 1.0, None)
    findings = _of_scale(region, spec)
    if len(shapes) > 1 and not spec.poses:
        hint = "They are shown side by side, not as they stand in the image."
        findings.append(Finding("warning", f"{spec.title} does not tell where an object stands.", hint))
    for number, shape in enumerate(shapes, 1):
        who = "The object" if len(shapes) == 1 else f"Object {number}"
        findings += _of_object(who, shape, region, size, spec)
    findings.sort(key=lambda finding: _ORDER.index(finding.level))
    crop = region.bounds.intersection(Bounds(0, 0, *size))
    return Preflight(tuple(findings), crop, region.width, region.height, region.downsample, seconds)


_ORDER = ("error", "warning", "info")


def _of_scale(region: Region, spec: ReconSpec) -> list[Finding]:
    if region.downsample <= 1:
        return []
    box = region.bounds
    text = (
        f"{round(box.width):,} × {round(box.height):,} px of the image are reduced to "
        f"{region.width:,} × {region.height:,} px (1 : {region.downsample:.2g})."
    )
    if region.downsample < FAR:
        return [Finding("info", text)]
    return [Finding("warning", text, f"{spec.title} takes no more; fine detail is lost.")]


def _of_object(
    who: str, shape: Shape, region: Region, size: tuple[int, int], spec: ReconSpec
) -> list[Finding]:
    if shape.kind is not ShapeKind.AREA or shape.is_empty:
        return [Finding("error", f"{who} has no area.", "Choose an outline, not a line or a point.")]
    seen = shape.bounds.intersection(Bounds(0, 0, *size))
    if seen.is_empty:
        return [Finding("error", f"{who} lies outside the image.", f"It is {size[0]:,} × {size[1]:,} px.")]
    mask, step = _look(shape, region, seen)
    if not mask.any():
        hint = "Choose a larger outline, or make it on its own."
        return [Finding("error", f"{who} is smaller than a pixel of the picture.", hint)]
    findings = []
    wide, high = (round(side / region.downsample) for side in (seen.width, seen.height))
    if max(wide, high) < SMALL:
        hint = "A larger outline, or an image of higher resolution, shows more."
        findings.append(Finding("warning", f"{who} is only {wide} × {high} px large.", hint))
    if _meets_border(shape.bounds, size):
        layout = " Its place is then not refined." if "layout" in spec.options else ""
        text = f"{who} touches the border of the image."
        findings.append(Finding("warning", text, f"What lies beyond it is guessed.{layout}"))
    parts = _parts(mask)
    if parts > 1:
        findings.append(
            Finding(
                "warning",
                f"{who} has {parts} parts.",
                "They become one object; split it if they are several.",
            )
        )
    if "layout" in spec.options and _largest_hole(mask) * (step / region.downsample) ** 2 >= LARGE_HOLE:
        findings.append(Finding("info", f"{who} has a hole: its place is not refined."))
    return findings


def _look(shape: Shape, region: Region, seen: Bounds) -> tuple[NDArray[np.bool_], float]:
    """The mask of the shape, of about `LOOK` pixels a side at most, and image pixels per pixel of it."""
    step = max(region.downsample, max(seen.width, seen.height) / LOOK)
    mask = shape_to_mask(shape, _around(seen, region, step))
    if step > region.downsample and not mask.any():  # so thin that it falls between the pixels
        step = region.downsample
        mask = shape_to_mask(shape, _around(seen, region, step))
    return mask, step


def _around(seen: Bounds, region: Region, step: float) -> Region:
    """The box on pixels of this step, which are those of the picture while they are as large."""
    x, y = (o + step * math.floor((v - o) / step) for o, v in ((region.x, seen.x0), (region.y, seen.y0)))
    width, height = (math.ceil(side / step) + 1 for side in (seen.width, seen.height))
    return Region(x, y, width, height, step)


def _meets_border(bounds: Bounds, size: tuple[int, int]) -> bool:
    return bounds.x0 < 1 or bounds.y0 < 1 or bounds.x1 > size[0] - 1 or bounds.y1 > size[1] - 1


def _parts(mask: NDArray[np.bool_]) -> int:
    """Parts that are no specks; those that touch at a corner are one."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    areas = stats[1:count, cv2.CC_STAT_AREA]
    return int((areas >= SPECK * areas.sum()).sum())


def _largest_hole(mask: NDArray[np.bool_]) -> int:
    """Pixels of the largest part of the ground that does not reach the outside."""
    ground = np.pad(~mask, 1, constant_values=True).view(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(ground, connectivity=4)
    holes = np.delete(stats[:count, cv2.CC_STAT_AREA], (0, labels[0, 0]))
    return int(holes.max(initial=0))
