"""A mask as the piece of an engine's logits that it needs, and that piece in chip pixels.

Must not know prompts, scores or options.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk.domain.geometry import Region, Shape
from samdesk.domain.outline import logits_to_shape
from samdesk.engines.base import CHIP

from .layout import Crop

Logits = NDArray[np.float32]

FAR = 1e4
"""Logits beyond this say nothing more."""


@dataclass(frozen=True, slots=True, eq=False)
class Sampling:
    """How an engine's logits lie on a crop.

    Attributes
    ----------
    crop : Crop
        In chip pixels.
    columns, rows : int
        Size of the logits.
    step_x, step_y : float
        Chip pixels per sample; they may reach beyond the crop.
    padded : bool
        They do: the engine has padded the crop to a square of `CHIP` px.
    """

    crop: Crop
    columns: int
    rows: int
    step_x: float
    step_y: float
    padded: bool = False

    @classmethod
    def of(cls, crop: Crop, size: tuple[int, int], extent: tuple[float, float] | None) -> Sampling:
        """For logits of `size` (h, w) that cover `extent` (width, height), or exactly the crop."""
        rows, columns = size
        width, height = extent or (crop.width, crop.height)
        return cls(crop, columns, rows, width / columns, height / rows, extent is not None)

    @property
    def aligned(self) -> bool:
        """Whether a piece of the logits can be brought to chip pixels alone, and in one step."""
        if self.padded and self.step_x * self.columns not in (CHIP, CHIP / 2):
            return False  # only for these two do both steps give what one gives
        return self.step_x == int(self.step_x) and self.step_y == int(self.step_y)

    def in_one_step(self, logits: Logits) -> Logits:
        """A piece of the logits at chip pixels."""
        full = cv2.resize(logits, None, fx=self.step_x, fy=self.step_y, interpolation=cv2.INTER_LINEAR)
        return np.asarray(full, np.float32)

    def in_two_steps(self, logits: Logits) -> Logits:
        """All logits at chip pixels by way of the model's input, as the packages that pad go."""
        model = cv2.resize(logits, (CHIP, CHIP), interpolation=cv2.INTER_LINEAR)
        width = round(self.crop.width * CHIP / (self.columns * self.step_x))
        height = round(self.crop.height * CHIP / (self.rows * self.step_y))
        size = self.crop.width, self.crop.height
        full = cv2.resize(model[:height, :width], size, interpolation=cv2.INTER_LINEAR)
        return np.asarray(full, np.float32)

    def window(self, logits: Logits, threshold: float) -> Window | None:
        """The piece of the logits (rows, columns) around what exceeds the threshold, if anything does."""
        left, top, width, height = cv2.boundingRect(cv2.compare(logits, threshold, cv2.CMP_GT))
        if not width:
            return None
        if not self.aligned:
            return Window(logits, self, 0, 0)
        x0, y0 = max(left - 1, 0), max(top - 1, 0)
        x1, y1 = left + width + 1, top + height + 1
        return Window(logits[y0:y1, x0:x1], self, x0, y0)


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A piece of logits; beyond it there is no object.

    Attributes
    ----------
    logits : ndarray, (h, w) float32
    sampling : Sampling
    column, row : int
        Where the piece begins in the logits.
    """

    logits: Logits
    sampling: Sampling
    column: int
    row: int

    def kept(self) -> Window:
        """The same with logits of its own, so that the batch it comes from can be freed."""
        return Window(self.logits.copy(), self.sampling, self.column, self.row)

    @property
    def corner(self) -> tuple[float, float]:
        """Of the piece, in chip pixels."""
        at = self.sampling
        return at.crop.x0 + self.column * at.step_x, at.crop.y0 + self.row * at.step_y

    def in_chip_pixels(self) -> tuple[Logits, int, int]:
        """The logits at every chip pixel of the crop that the piece covers.

        Bilinear with half-pixel centers and edges clamped, as the SAM packages show their logits.

        Returns
        -------
        logits : ndarray, (h, w) float32
        x, y : int
            Chip pixel of its first value.
        """
        at = self.sampling
        full = self.logits
        if (at.step_x, at.step_y) != (1, 1) or at.padded:
            finite = np.clip(full, -FAR, FAR)  # infinite ones would make NaN of their neighbours
            full = at.in_one_step(finite) if at.aligned or not at.padded else at.in_two_steps(finite)
        x, y = (round(value) for value in self.corner)
        return full[: max(at.crop.y1 - y, 0), : max(at.crop.x1 - x, 0)], x, y

    def shape(self) -> Shape:
        """The outline of what exceeds 0, in chip pixels on pixel edges."""
        at = self.sampling
        x, y = self.corner
        height, width = self.logits.shape
        return logits_to_shape(
            self.logits,
            Region(x, y, round(at.crop.x1 - x), round(at.crop.y1 - y)),
            extent=(width * at.step_x, height * at.step_y),
        )
