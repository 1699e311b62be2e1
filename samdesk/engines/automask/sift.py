"""Which of a batch of masks are good enough to keep, decided on as little as possible.

By score first; then by bounds on the stability that the small logits give; only what passes is
looked at in chip pixels, where stability, box and area are exact. Must not know engines.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk.domain.geometry import FloatArray, IntArray
from samdesk.engines.base import BatchLogits

from .layout import Crop
from .options import AutomaskOptions
from .window import Logits, Sampling, Window

NEAR_PX = 20
"""A box that comes this close to an edge reaches it, as in the SAM packages' generators."""


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """Masks in columns, one row each.

    Attributes
    ----------
    windows : list of Window
    scores, stabilities : ndarray, (n,) float32
    boxes : ndarray, (n, 4) int64
        First and last pixel of each mask: x0, y0, x1, y1 in chip pixels, all inclusive, as the
        packages have them.
    areas : ndarray, (n,) int64
        Chip pixels.
    points : ndarray, (n, 2) float64
        What was asked; chip pixels on pixel edges.
    """

    windows: list[Window] = field(default_factory=list)
    scores: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    stabilities: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    boxes: IntArray = field(default_factory=lambda: np.empty((0, 4), np.int64))
    areas: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    points: FloatArray = field(default_factory=lambda: np.empty((0, 2)))

    def __len__(self) -> int:
        return len(self.windows)

    def take(self, index: NDArray[Any]) -> Masks:
        """Some of them, by their indices and in that order."""
        return Masks(
            [self.windows[k] for k in index],
            self.scores[index],
            self.stabilities[index],
            self.boxes[index],
            self.areas[index],
            self.points[index],
        )

    def extended(self, more: Masks) -> Masks:
        """These, then the others."""
        return Masks(
            self.windows + more.windows,
            np.concatenate((self.scores, more.scores)),
            np.concatenate((self.stabilities, more.stabilities)),
            np.concatenate((self.boxes, more.boxes)),
            np.concatenate((self.areas, more.areas)),
            np.concatenate((self.points, more.points)),
        )

    def with_window(self, index: int, window: Window, box: IntArray, area: int) -> Masks:
        """These, with another mask in place of one."""
        windows, boxes, areas = self.windows.copy(), self.boxes.copy(), self.areas.copy()
        windows[index], boxes[index], areas[index] = window, box, area
        return replace(self, windows=windows, boxes=boxes, areas=areas)


def sift(batch: BatchLogits, points: FloatArray, crop: Crop, chip: Crop, options: AutomaskOptions) -> Masks:
    """The masks of a batch that are good enough, in the order of points and proposals.

    Parameters
    ----------
    batch : BatchLogits
        For n points on `crop`.
    points : ndarray, (n, 2)
        Chip pixels on pixel edges.
    crop, chip : Crop
        What was looked at, and all that there is; chip pixels.
    """
    _, _, rows, columns = batch.logits.shape
    bounds = StabilityBounds(Sampling.of(crop, (rows, columns), batch.extent), options)
    asked, proposal = np.nonzero(_scored(batch.scores, options))
    found = []
    for n, m in zip(asked, proposal, strict=True):
        one = _measured(batch.logits[n, m], bounds, options)
        if one is not None and not _reaches_edge(one[1], crop, chip, options):
            found.append((n, m, *one))
    if not found:
        return Masks()
    asked, proposal, windows, boxes, areas, stabilities = zip(*found, strict=True)  # type: ignore[assignment]
    index = np.array(asked)
    return Masks(
        list(windows),
        batch.scores[index, np.array(proposal)],
        np.array(stabilities, np.float32),
        np.array(boxes, np.int64),
        np.array(areas, np.int64),
        points[index],
    )


def _scored(scores: NDArray[np.float32], options: AutomaskOptions) -> NDArray[np.bool_]:
    if options.pred_iou_thresh > 0:
        return scores > np.float32(options.pred_iou_thresh)
    return np.ones(scores.shape, np.bool_)


def _measured(
    logits: Logits, bounds: StabilityBounds, options: AutomaskOptions
) -> tuple[Window, IntArray, int, np.float32] | None:
    """Window, box, area and stability of a mask; None when it is empty or not stable enough."""
    wide = bounds.sampling.window(logits, -options.stability_score_offset)
    narrow = bounds.sampling.window(logits, 0.0)
    if wide is None or narrow is None or not bounds.may_pass(logits):
        return None
    full, x, y = wide.in_chip_pixels()
    if not full.size:
        return None
    stability = _stability(full, options.stability_score_offset)
    if options.stability_score_thresh > 0 and not stability >= np.float32(options.stability_score_thresh):
        return None
    mask = (full > 0).view(np.uint8)
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return None
    box = np.array((x + left, y + top, x + left + width - 1, y + top + height - 1), np.int64)
    return narrow.kept(), box, int(np.count_nonzero(mask)), stability


def _stability(full: Logits, offset: float) -> np.float32:
    inner = np.float32(np.count_nonzero(full > np.float32(offset)))
    outer = np.float32(np.count_nonzero(full > np.float32(-offset)))
    return inner / outer if outer else np.float32(0)


class StabilityBounds:
    """What the small logits tell for certain about the stability in chip pixels.

    A chip pixel lies in a cell between four samples, and what is shown there lies between the
    lowest and the highest of them. So the pixels of the cells with any sample above a threshold
    are no fewer, and those of the cells with all four above it no more, than the pixels above it.

    Parameters
    ----------
    sampling : Sampling
    options : AutomaskOptions
    """

    def __init__(self, sampling: Sampling, options: AutomaskOptions) -> None:
        self.sampling = sampling
        self._threshold = options.stability_score_thresh
        self._offset = options.stability_score_offset
        self._across = _pixels_per_cell(sampling.crop.width, sampling.columns, sampling.step_x)
        self._down = _pixels_per_cell(sampling.crop.height, sampling.rows, sampling.step_y)

    def may_pass(self, logits: Logits) -> bool:
        """Whether the mask can be stable enough."""
        if self._threshold <= 0 or not self.sampling.aligned:
            return True
        inner = cv2.compare(logits, self._offset, cv2.CMP_GT)
        outer = cv2.compare(logits, -self._offset, cv2.CMP_GT)
        most = self._pixels(inner, np.bitwise_or)
        least = self._pixels(outer, np.bitwise_and)
        return most >= 0.999 * self._threshold * least  # less the rounding of the quotient

    def _pixels(self, above: NDArray[np.uint8], join: np.ufunc) -> float:
        framed = cv2.copyMakeBorder(above, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        pairs = join(framed[1:], framed[:-1])
        cells = join(pairs[:, 1:], pairs[:, :-1])
        return float(self._down @ (cells.astype(np.float32) @ self._across)) / 255


def _pixels_per_cell(pixels: int, samples: int, step: float) -> NDArray[np.float32]:
    """How many pixels have their center before sample 0, between 0 and 1, and so on: (samples + 1,)."""
    at = (np.arange(pixels) + 0.5) / step - 0.5
    cell = np.clip(np.floor(at).astype(np.int64) + 1, 0, samples)
    return np.bincount(cell, minlength=samples + 1).astype(np.float32)


def _reaches_edge(box: IntArray, crop: Crop, chip: Crop, options: AutomaskOptions) -> bool:
    """Whether the box was cut by the crop, or (unless wanted) reaches around the whole chip."""
    at_crop = np.abs(box - np.array(crop[:4])) <= NEAR_PX
    at_chip = np.abs(box - np.array(chip[:4])) <= NEAR_PX
    if (at_crop & ~at_chip).any():
        return True
    # on a small chip 20 px would be most of it
    near = min(NEAR_PX, 0.1 * min(chip.width, chip.height))
    return not options.include_image_edge and bool((np.abs(box - np.array(chip[:4])) <= near).all())
