"""The object cut out of its picture: a clean mask, a smooth outline, colours without background.

Must not know depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk.recon.worker.base import EngineError

Mask = NDArray[np.bool_]
Picture = NDArray[np.uint8]
Field = NDArray[np.float32]
Kind = TypeVar("Kind", bound=np.generic)

PART = 0.02
"""Parts with less than this of the area of the largest one are left out."""
LARGEST = 1096
"""Pixels of the longest side of a cutout; a larger one is made smaller. An object as long as the
pictures that the engine is given (1024) fits with its rim."""
PARTS = 16
"""A cutout is made smaller by n / PARTS, so that both of its sides stay whole numbers of pixels."""
FINE = 384
"""Pixels that the longest side of an outline should have, so that the steps of its pixels vanish."""
MIXED = 2.0
"""Pixels along the outline whose colours are mixed with the background's."""


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """One object and a rim around it; pixels on edges, as everywhere.

    Attributes
    ----------
    mask : ndarray, (h, w) bool
    colors : ndarray, (h, w, 3) uint8
        RGB. Around the object its own colours go on.
    corner : (x, y)
        Upper left corner in the picture; may lie outside.
    downsample : float
        Pixels of the picture per pixel here.
    box : (left, top, right, bottom)
        Of the object, in pixels of the cutout.
    """

    mask: Mask
    colors: Picture
    corner: tuple[int, int]
    downsample: float
    box: tuple[int, int, int, int]

    @property
    def center(self) -> tuple[float, float]:
        """Of the box."""
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2

    @property
    def side(self) -> int:
        """Longest side of the box."""
        left, top, right, bottom = self.box
        return max(right - left, bottom - top)


def cut_out(pixels: Picture, mask: Mask) -> Cutout:
    """Cut the object out.

    Parameters
    ----------
    pixels : ndarray, (h, w, 3) uint8
        RGB.
    mask : ndarray, (h, w) bool

    Raises
    ------
    EngineError
        When they do not fit each other, or the mask is empty.
    """
    if pixels.shape != (*mask.shape, 3) or pixels.dtype != np.uint8:
        raise EngineError(
            "size_mismatch", f"The picture is {_size(pixels.shape)}, but its mask is {_size(mask.shape)}."
        )
    if not mask.any():
        raise EngineError("mask_empty", "The mask is empty.", "Choose an annotation that covers an area.")
    kept = large_parts(mask, PART)
    left, top, width, height = cv2.boundingRect(kept.view(np.uint8))
    rim = 4 + max(width, height) // 32
    width, height = width + 2 * rim, height + 2 * rim
    n = max(PARTS, -(-PARTS * max(width, height) // LARGEST))
    if n > PARTS:  # a little more to the right and below
        width, height = width + -width % n, height + -height % n
    window = (left - rim, top - rim, width, height)
    part, inside = _crop(pixels, window), _crop(kept, window)
    if n > PARTS:
        size = (width * PARTS // n, height * PARTS // n)
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        covered = cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        inside = covered > min(0.5, covered.max() / 2)  # what is thinner than a pixel stays
    left, top, width, height = cv2.boundingRect(inside.view(np.uint8))
    return Cutout(
        inside,
        own_colors(part, inside),
        window[:2],
        n / PARTS,
        (left, top, left + width, top + height),
    )


def large_parts(mask: Mask, part: float) -> Mask:
    """The connected parts that have at least `part` of the area of the largest one."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA]
    keep = areas >= part * areas[1:].max(initial=0)
    keep[0] = False
    return np.asarray(keep[labels])


def outline_field(mask: Mask, sigma: float) -> tuple[Field, int]:
    """Distance to a smooth outline in pixels of the mask, positive inside.

    Parameters
    ----------
    mask : ndarray, (h, w) bool
    sigma : float
        How far the outline is rounded, in pixels.

    Returns
    -------
    field : ndarray, (n * h, n * w) float32
    n : int
        Samples per pixel and axis.
    """
    n = max(1, -(-FINE // max(mask.shape)))
    fine = mask.repeat(n, 0).repeat(n, 1).view(np.uint8)
    inside = cv2.distanceTransform(fine, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = cv2.distanceTransform(1 - fine, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    signed = inside - outside + (0.5 - fine.astype(np.float32))
    smooth = cv2.GaussianBlur(signed, (0, 0), sigma * n)
    # rounding takes from what is convex: the level that keeps the area gives it back
    last_out = smooth.size - int(np.count_nonzero(fine)) - 1
    level = np.partition(smooth, (last_out, last_out + 1), None)[last_out : last_out + 2].mean()
    return (smooth - level) / n, n


def own_colors(pixels: Picture, mask: Mask) -> Picture:
    """The picture with the colours of the object going on around it, and on its mixed rim."""
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    pure = np.zeros(mask.shape, np.bool_)
    for least in (MIXED, 1.0, 0.0):  # a thin part has nothing but rim: there the middle of it has to do
        far = cv2.distanceTransform(1 - pure.view(np.uint8), cv2.DIST_L2, 5) > 2 * MIXED + 1
        pure |= far & (depth > least)
    _, labels = cv2.distanceTransformWithLabels(
        1 - pure.view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    source = np.zeros(labels.max() + 1, np.int64)
    source[labels[pure]] = np.flatnonzero(pure)
    spread = pixels.reshape(-1, 3)[source[labels]]
    soft = cv2.GaussianBlur(spread, (0, 0), max(1.5, max(mask.shape) / 250)).astype(np.float32)
    part = np.clip(1.25 - depth / (2 * MIXED), 0, 1)[..., None]
    return np.asarray(np.rint(spread + part * (soft - spread)), np.uint8)


def _crop(array: NDArray[Kind], window: tuple[int, int, int, int]) -> NDArray[Kind]:
    """A window of an array, which may reach beyond it: zero there."""
    left, top, width, height = window
    cropped = np.zeros((height, width, *array.shape[2:]), array.dtype)
    y0, x0 = max(0, top), max(0, left)
    inside = array[y0 : top + height, x0 : left + width]
    cropped[y0 - top : y0 - top + inside.shape[0], x0 - left : x0 - left + inside.shape[1]] = inside
    return cropped


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape[1::-1])
