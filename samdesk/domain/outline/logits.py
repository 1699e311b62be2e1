"""Logits -> shape: the line where the score crosses the threshold, between the samples.

Must not know engines; the logits of any of them mean "object where larger".
"""

from __future__ import annotations

import contourpy
import numpy as np
from numpy.typing import ArrayLike

from samdesk.domain.geometry import FloatArray, IntArray, Region, Shape, following

from .cleanup import repair, take_vertices, without_fragments, without_repeats
from .masks import bounding_box


def logits_to_shape(
    logits: ArrayLike,
    region: Region,
    threshold: float = 0.0,
    min_area_px: float = 0.0,
    extent: tuple[float, float] | None = None,
) -> Shape:
    """Outline where the logits, interpolated linearly between samples, exceed a threshold.

    Sample (i, j) sits at the center of its cell, (j + 0.5, i + 0.5) on pixel edges. From the
    outermost centers to the array's edge the border samples are continued unchanged, so an
    object that is cut by the border closes exactly on it. This is the zero line of what the
    usual bilinear upsampling (half-pixel centers, edges clamped) would show, without its steps.

    Parameters
    ----------
    logits : array_like, (h, w) float
        Covers `region` (or `extent`), at any resolution. Infinite samples count as far from the
        threshold as the farthest finite one, NaN like minus infinity.
    region : Region
        Where the logits lie.
    threshold : float
        Object is where logits > threshold.
    min_area_px : float
        Holes smaller than this are filled, then parts smaller than this dropped; in array
        pixels of `region`, squared.
    extent : (float, float), optional
        Width and height that the logits cover, in array pixels from the corner of `region`; what
        lies beyond `region` is cut off.

    Returns
    -------
    Shape
        Valid; empty when no sample exceeds the threshold.
    """
    values = np.asarray(logits)
    if values.ndim != 2:
        raise ValueError(f"expected logits of shape (h, w), got {values.shape}")
    box = bounding_box((values > threshold).view(np.uint8))
    if box is None:
        return Shape.empty()
    left, top, right, bottom = box
    x, columns = _samples(left, right, values.shape[1])
    y, rows = _samples(top, bottom, values.shape[0])
    window = _finite(values[np.ix_(rows, columns)].astype(np.float64), threshold)
    outline = _without_straights(without_repeats(_above(window, x, y, threshold)))
    width, height = extent or (region.width, region.height)
    per_sample = (width / values.shape[1], height / values.shape[0])
    coords = outline.coords * per_sample
    if extent is not None:
        coords = np.minimum(coords, (region.width, region.height))
    shape = Shape(region.to_image(coords), outline.rings, outline.parts)
    return without_fragments(repair(shape)[0], min_area_px * region.downsample**2, fill=True)


def _samples(first: int, last: int, size: int) -> tuple[FloatArray, IntArray]:
    """Positions and indices of the samples first - 1 to last; outside, those on the array's edge."""
    index = np.arange(first - 1, last + 1)
    return np.clip(index + 0.5, 0, size), np.clip(index, 0, size - 1)


def _finite(values: FloatArray, threshold: float) -> FloatArray:
    """The values with infinite ones drawn in, so that crossings can be interpolated next to them."""
    finite = np.isfinite(values)
    if finite.all():
        return values
    reach = np.abs(values[finite] - threshold).max(initial=0.0) or 1.0
    return np.nan_to_num(values, nan=threshold - reach, posinf=threshold + reach, neginf=threshold - reach)


def _above(values: FloatArray, x: FloatArray, y: FloatArray, threshold: float) -> Shape:
    """Where values (len(y), len(x)), linear between the samples at x and y, exceed the threshold."""
    generator = contourpy.contour_generator(
        x, y, values, name="serial", fill_type=contourpy.FillType.ChunkCombinedOffsetOffset
    )
    ((points,), (rings,), (parts,)) = generator.filled(threshold, np.inf)
    return Shape.from_closed_rings(points, rings, parts)


def _without_straights(shape: Shape) -> Shape:
    """Drop vertices in the middle of horizontal and vertical runs, as along the array's edge."""
    after = following(shape.rings)
    before = np.empty_like(after)
    before[after] = np.arange(len(after))
    coords = shape.coords
    straight = (coords == coords[before]) & (coords == coords[after])
    return take_vertices(shape, ~straight.any(axis=1))
