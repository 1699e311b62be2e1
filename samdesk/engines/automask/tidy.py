"""Small holes filled and small pieces dropped, in chip pixels. Must not know engines."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from .sift import Masks
from .suppress import suppress
from .window import Window


def tidy(masks: Masks, area: float, threshold: float) -> Masks:
    """Clean every mask, then suppress what has become alike, untouched masks first.

    Parameters
    ----------
    masks : Masks
    area : float
        Holes and pieces of fewer chip pixels are small; of a mask that has only small pieces the
        largest stays.
    threshold : float
        IoU of boxes above which one of two masks is dropped.
    """
    touched = np.zeros(len(masks), np.bool_)
    for index, window in enumerate(masks.windows):
        cleaned = _cleaned(window, area)
        if cleaned is not None:
            touched[index] = True
            masks = masks.with_window(index, *cleaned)
    return masks.take(suppress(masks.boxes, (~touched).astype(np.float32), threshold))


def _cleaned(window: Window, area: float) -> tuple[Window, NDArray[np.int64], int] | None:
    full, x, y = window.in_chip_pixels()
    crop = window.sampling.crop
    # beyond the piece there is background, which no hole may be mistaken for; not so beyond the chip
    height, width = full.shape
    pad = (
        (int(y > crop.y0), int(y + height < crop.y1)),
        (int(x > crop.x0), int(x + width < crop.x1)),
    )
    before = np.pad((full > 0).view(np.uint8), pad)
    after = _without_small(before, area, holes=True)
    after = _without_small(after, area, holes=False)
    rows, columns = (slice(a, size - b) for (a, b), size in zip(pad, before.shape, strict=True))
    before, after = before[rows, columns], after[rows, columns]
    if np.array_equal(before, after):
        return None
    # the sign changes, the distance from the threshold stays: the outline follows the new mask
    logits = np.where(before == after, full, np.where(after, np.abs(full) + np.float32(1e-6), -np.abs(full)))
    sampling = replace(window.sampling, columns=crop.width, rows=crop.height, step_x=1.0, step_y=1.0)
    left, top, width, height = cv2.boundingRect(after)
    box = np.array((x + left, y + top, x + left + width - 1, y + top + height - 1), np.int64)
    moved = Window(logits.astype(np.float32), sampling, x - crop.x0, y - crop.y0)
    return moved, box, cv2.countNonZero(after)


def _without_small(mask: NDArray[np.uint8], area: float, holes: bool) -> NDArray[np.uint8]:
    """The mask with small holes filled, or with small pieces dropped; 8-connected both."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - mask if holes else mask, connectivity=8)
    sizes = stats[1:, cv2.CC_STAT_AREA]
    small = sizes < area
    if count == 1 or not small.any():
        return mask
    if holes:
        if small.all() and not mask.any():
            return mask
        turned: NDArray[np.uint8] = mask | np.append(False, small)[labels].astype(np.uint8)
        return turned
    if small.all():
        small[np.argmax(sizes)] = False
    keep: NDArray[np.uint8] = np.append(False, ~small)[labels].astype(np.uint8)
    return keep
