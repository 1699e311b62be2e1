"""From a rough mask to logits whose zero line is a smooth outline on the image's edge.

Must not know superpixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .asked import Mask, Points
from .graph import Image, lab_of

BAND = 3
"""How far in px the outline may move from the rough mask."""
WINDOW = (11, 11)
"""Size in px of the window in which the colors on both sides of the outline are averaged."""
SMOOTHING = 0.8
"""Sigma in px with which the outline is smoothed."""
FAINT = 4.0
"""Difference of the two sides (Lab) below which the rough mask counts more than the image."""
ROUNDS = 3
"""How often the outline is moved and the colors of its sides are taken again."""
LARGE = 300_000
"""Crops with more pixels than this are refined at half the resolution."""
SPECK = 12
"""Holes and parts with fewer px than this are noise."""


def refine(chip: NDArray[np.uint8], mask: Mask) -> Image:
    """The signed field of one crop, -0.5..0.5, positive inside.

    A few rounds of a localized two-mean model (Lankton & Tannenbaum 2008): each pixel near the
    outline goes to the side whose local mean color it is nearer to; half-way between the two
    means lies the outline, which is the edge itself when the edge is a blurred step.

    Parameters
    ----------
    chip : ndarray, (h, w, 3) uint8
        RGB.
    mask : ndarray, (h, w) bool
    """
    lab = cv2.GaussianBlur(lab_of(chip), (0, 0), 0.6)
    colors = cv2.merge((*cv2.split(lab), np.ones(mask.shape, np.float32)))  # the last sum is a count
    around = cv2.blur(colors, WINDOW).reshape(-1, 4)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BAND + 1, 2 * BAND + 1))
    rough = mask.astype(np.uint8)
    sure = cv2.erode(rough, kernel, borderValue=1)
    band = np.flatnonzero(cv2.dilate(rough, kernel) != sure)
    here, around = lab.reshape(-1, 3)[band], around[band]
    field = sure.astype(np.float32) - 0.5
    inside = rough.astype(np.float32)
    for _ in range(ROUNDS):
        part = cv2.blur(colors * inside[..., None], WINDOW).reshape(-1, 4)[band]
        front, back = _mean(part), _mean(around - part)
        step = front - back
        contrast = np.square(step).sum(axis=1)
        nearer = ((here - (front + back) / 2) * step).sum(axis=1) / np.maximum(contrast, 1e-6)
        trust = contrast / (contrast + FAINT**2)
        rounded = cv2.GaussianBlur(inside, (0, 0), 1.0).ravel()[band] - 0.5
        field.ravel()[band] = trust * np.clip(nearer, -0.5, 0.5) + (1 - trust) * rounded
        smooth: Image = cv2.GaussianBlur(field, (0, 0), SMOOTHING)
        inside = (smooth > 0).astype(np.float32)
    return smooth


def _mean(sums: Image) -> Image:
    """Mean color of sums (k, 4) whose last column is a count."""
    return np.asarray(sums[:, :3] / np.maximum(sums[:, 3:], 1e-3), np.float32)


def _refined(chip: NDArray[np.uint8], mask: Mask) -> Image:
    """`refine`, at half the resolution where the crop is large."""
    h, w = mask.shape
    if h * w <= LARGE:
        return refine(chip, mask)
    half = ((w + 1) // 2, (h + 1) // 2)
    small = cv2.resize(mask.astype(np.uint8) * 255, half, interpolation=cv2.INTER_AREA) > 127
    field = refine(cv2.resize(chip, half, interpolation=cv2.INTER_AREA), small)
    large: Image = cv2.resize(field, (w, h), interpolation=cv2.INTER_LINEAR)
    return large


def _tidy(field: Image, positives: Points, negatives: Points, stays: Mask) -> None:
    """Drop the parts without a positive point (specks, when there are no points), fill tiny holes.

    Parts that lie mostly in `stays` are no specks and need no point.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats((field > 0).astype(np.uint8), connectivity=4)
    kept = stats[:, cv2.CC_STAT_AREA] >= SPECK
    if len(positives):
        staying = np.bincount(labels[stays], minlength=len(kept))
        kept &= staying > stats[:, cv2.CC_STAT_AREA] / 2
        kept[labels[positives[:, 1], positives[:, 0]]] = True
    elif not kept[1:].any():
        kept[1:] = True
    field[~kept[labels] & (field > 0)] = -0.5
    _, labels, stats, _ = cv2.connectedComponentsWithStats((field <= 0).astype(np.uint8), connectivity=8)
    filled = stats[:, cv2.CC_STAT_AREA] < SPECK
    filled[0] = False
    filled[labels[negatives[:, 1], negatives[:, 0]]] = False
    field[filled[labels]] = 0.5


def _spots(shape: tuple[int, int], points: Points, radius: int) -> Mask:
    """A disc around each point."""
    spots = np.zeros(shape, np.uint8)
    for x, y in points:
        cv2.circle(spots, (int(x), int(y)), radius, 1, -1)
    return spots > 0


def _obey(field: Image, mask: Mask, positives: Points, negatives: Points) -> None:
    """Give every point its side; a point that was on the wrong one takes its surroundings along."""
    for points, sign in ((negatives, -1), (positives, 1)):
        wrong = points[mask[points[:, 1], points[:, 0]] != (sign > 0)]
        spots = _spots(field.shape, wrong, BAND) | _spots(field.shape, points, 0)
        field[spots] = sign * np.maximum(sign * field[spots], 0.2)
    field[negatives[:, 1], negatives[:, 0]] = np.minimum(field[negatives[:, 1], negatives[:, 0]], -0.2)


def outline_of(
    chip: NDArray[np.uint8], mask: Mask, positives: Points, negatives: Points, barred: Mask, stays: Mask
) -> Image | None:
    """The signed field of a rough mask, -0.5..0.5; None when nothing is left of it.

    Parameters
    ----------
    chip : ndarray, (h, w, 3) uint8
        RGB.
    mask : ndarray, (h, w) bool
    positives, negatives : ndarray, (k, 2) int64
        Pixels x, y that are inside and outside in any case; with positive points, parts that
        hold none of them are dropped.
    barred : ndarray, (h, w) bool
        Pixels that are outside unless a positive point is on them.
    stays : ndarray, (h, w) bool
        Parts that lie mostly here are kept without a point.
    """
    field = _refined(chip, mask & ~barred)
    field[barred] = np.minimum(field[barred], -0.2)
    _obey(field, mask, positives, negatives)
    _tidy(field, positives, negatives, stays)
    return field if (field > 0).any() else None
