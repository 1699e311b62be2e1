"""Where to look and where to ask: crops and grids of points. Must not know engines or masks."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from samdesk.domain.geometry import FloatArray

from .options import AutomaskOptions


class Crop(NamedTuple):
    """A part of the chip that is encoded on its own; whole chip pixels. Layer 0 is all of it."""

    x0: int
    y0: int
    x1: int
    y1: int
    layer: int = 0

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    @property
    def area(self) -> int:
        return self.width * self.height


def crops_of(area: Crop, options: AutomaskOptions) -> list[Crop]:
    """`area` itself, then its crops layer by layer, column by column.

    Layer i has 2^i crops on each side; in pixels of the shorter side, neighbours overlap by
    `crop_overlap_ratio` divided by 2^(i-1), as in Segment Anything's generator.
    """
    crops = [area]
    for layer in range(1, options.crop_n_layers + 1):
        count = 2**layer
        overlap = int(options.crop_overlap_ratio * min(area.width, area.height) * (2 / count))
        columns = _spans(area.width, count, overlap)
        rows = _spans(area.height, count, overlap)
        crops += [
            Crop(area.x0 + x0, area.y0 + y0, area.x0 + x1, area.y0 + y1, layer)
            for (x0, x1), (y0, y1) in itertools.product(columns, rows)
        ]
    return crops


def _spans(length: int, count: int, overlap: int) -> list[tuple[int, int]]:
    side = math.ceil((overlap * (count - 1) + length) / count)
    starts = [(side - overlap) * k for k in range(count)]
    return [(start, min(start + side, length)) for start in starts]


def grid(crop: Crop, count: int) -> FloatArray:
    """`count`² points in the middle of equal cells, row by row: (k, 2) chip pixels on pixel edges."""
    at = (np.arange(count) + 0.5) / count
    x, y = np.meshgrid(crop.x0 + at * crop.width, crop.y0 + at * crop.height)
    return np.stack((x, y), axis=-1).reshape(-1, 2)
