"""The part of an image that a 3D engine is given, and the masks of objects in it.

Must not know engines' processes, nor what they make.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane, Region, Shape, ShapeKind
from samdesk.domain.outline import shape_to_mask
from samdesk.recon.engines import ReconSpec
from samdesk.sdk.image import Image

LEAST_MARGIN = 8.0
"""Image pixels that are shown around the objects at least."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What an engine is shown: a part of an image, upright and as displayed.

    Attributes
    ----------
    pixels : ndarray, (h, w, 3) uint8
        RGB; h and w are the height and width of `region`.
    region : Region
        Where it lies in the image.
    plane : Plane
    name, identity : str
        As those of the image's source.
    path : Path
        Of the image.
    """

    pixels: NDArray[np.uint8]
    region: Region
    plane: Plane
    name: str
    identity: str
    path: Path


def region_around(size: tuple[int, int], shapes: Sequence[Shape], spec: ReconSpec) -> Region:
    """One part of the image around all shapes, with the margin that the engine wants to see.

    It begins on whole pixels and is clipped to the image; it is reduced so that its longest side
    is no longer than the engine takes. The last column and row of a reduced one may reach beyond
    the image by a part of an array pixel.

    Parameters
    ----------
    size : (int, int)
        Width and height of the image.
    shapes : sequence of Shape
    spec : ReconSpec

    Raises
    ------
    SamdeskError
        When no shape has an area, or all lie outside the image.
    """
    bounds = bounds_of(shapes).intersection(Bounds(0, 0, *size))
    if bounds.is_empty:
        raise SamdeskError(
            "The object lies outside the image.", f"The image is {size[0]:,} × {size[1]:,} px."
        )
    margin = max(LEAST_MARGIN, spec.margin * max(bounds.width, bounds.height))
    x0, y0, x1, y1 = bounds.expanded(margin).intersection(Bounds(0, 0, *size))
    left, top = math.floor(x0), math.floor(y0)
    width, height = math.ceil(x1) - left, math.ceil(y1) - top
    downsample = max(1.0, max(width, height) / spec.max_side)
    return Region(left, top, _cells(width, downsample), _cells(height, downsample), downsample)


def bounds_of(shapes: Sequence[Shape]) -> Bounds:
    """The box around all shapes that have an area.

    Raises
    ------
    SamdeskError
        When none has.
    """
    areas = [one.bounds for one in shapes if one.kind is ShapeKind.AREA and not one.is_empty]
    if not areas:
        raise SamdeskError(
            "There is no area to make an object of.", "Choose an outline, not a line or a point."
        )
    bounds = areas[0]
    for other in areas[1:]:
        bounds = bounds.union(other)
    return bounds


def _cells(length: int, downsample: float) -> int:
    # what should be a whole number may be one by a rounding error more
    return max(1, math.ceil(length / downsample - 1e-9))


def picture_of(image: Image, shapes: Sequence[Shape], spec: ReconSpec, plane: Plane = Plane()) -> Picture:
    """One picture around all shapes, as `region_around` places it.

    Raises
    ------
    SamdeskError
        When there is no area in the image, or the image cannot be read.
    """
    region = region_around(image.size, shapes, spec)
    source = image.source
    return Picture(image.read(region, plane), region, plane, source.name, source.identity, source.path)


def mask_of(picture: Picture, shape: Shape) -> NDArray[np.bool_]:
    """The pixels of the picture whose centres lie in the shape, (h, w) bool."""
    return shape_to_mask(shape, picture.region)
