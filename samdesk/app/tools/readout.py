"""Lengths, sizes and areas as short texts beside the pointer. Must not know tools."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from samdesk.domain.geometry import FloatArray
from samdesk.images.source import PixelSize

MICRONS = ("µm", "μm", "um", "micron", "micrometer")
"""Names of the micrometer in image files; the sign stands at two places of Unicode."""

NONE = PixelSize(1.0, 1.0, unit="px")


def size_text(width: float, height: float, pixel_size: PixelSize | None) -> str:
    """Width by height, given in image pixels."""
    unit = pixel_size or NONE
    return _joined((abs(width) * unit.x, abs(height) * unit.y), unit.unit, 1)


def length_text(line: ArrayLike, pixel_size: PixelSize | None) -> str:
    """The length of an open line (n, 2) in image pixels."""
    unit = pixel_size or NONE
    steps = np.diff(np.asarray(line, np.float64).reshape(-1, 2), axis=0) * (unit.x, unit.y)
    return _joined((float(np.hypot(*steps.T).sum()),), unit.unit, 1)


def area_text(area: float, pixel_size: PixelSize | None) -> str:
    """An area in px²."""
    unit = pixel_size or NONE
    return _joined((abs(area) * unit.x * unit.y,), unit.unit, 2)


def ring_area(ring: FloatArray) -> float:
    """The area inside a ring (n, 2), in px²; where it crosses itself, with the signs of its loops."""
    x, y = (ring - ring[0]).T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _joined(values: tuple[float, ...], unit: str, power: int) -> str:
    """Values with their unit; micrometers become millimeters from a thousand on."""
    if unit in MICRONS:
        unit = "µm"
        if max(values) >= 1000**power:
            unit, values = "mm", tuple(value / 1000**power for value in values)
    return " × ".join(map(_number, values)) + f" {unit}" + ("²" if power == 2 else "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
