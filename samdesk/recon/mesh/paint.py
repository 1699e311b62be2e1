"""Colours of meshes: display values and light, textures looked up and put together.

Must not know meshes or files.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

PLAIN = (200, 200, 200)
"""Colour of what has none, as displayed."""

_GUTTER = 2  # pixels of its own edge around each picture of an atlas


def srgb_to_linear(colors: Bytes) -> Floats:
    """Light 0..1 of display values 0..255."""
    return _LIGHT[colors]


def linear_to_srgb(light: NDArray[np.floating]) -> Bytes:
    """Display values 0..255 of light; what is beyond 0..1 is clipped."""
    light = np.clip(np.nan_to_num(light), 0, 1)
    shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.power(light, 1 / 2.4) - 0.055)
    values: Bytes = np.rint(255 * shown).astype(np.uint8)
    return values


def _light_table() -> Floats:
    shown = np.arange(256) / 255
    dark = shown <= 0.04045
    return np.where(dark, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LIGHT = _light_table()


def png(texture: Bytes) -> bytes:
    """A texture as a PNG file."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(texture).save(stream, "PNG", compress_level=4)
    return stream.getvalue()


def sample(texture: Bytes, uv: Floats) -> Bytes:
    """Colours of a texture at (n, 2) places, between its pixels interpolated; beyond it repeats."""
    height, width = texture.shape[:2]
    # places between corners may be rounded to just beyond the edge: that is no repetition
    outside = (uv < -1e-5) | (uv > 1 + 1e-5)
    uv = np.where(outside, uv - np.floor(uv), uv)
    x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip((1 - uv[:, 1]) * height - 0.5, 0, height - 1)
    left, top = x.astype(np.intp), y.astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    fx, fy = (x - left)[:, None], (y - top)[:, None]
    upper = texture[top, left] * (1 - fx) + texture[top, right] * fx
    lower = texture[bottom, left] * (1 - fx) + texture[bottom, right] * fx
    colors: Bytes = np.rint(upper * (1 - fy) + lower * fy).astype(np.uint8)
    return colors


def atlas(textures: Sequence[Bytes]) -> tuple[Bytes, list[tuple[Floats, Floats]]]:
    """Put textures into one.

    Returns
    -------
    texture : ndarray, (h, w, 3) uint8
    places : list of (scale, offset)
        ``uv_of_the_one = uv * scale + offset``.
    """
    framed = [np.pad(t, ((_GUTTER, _GUTTER), (_GUTTER, _GUTTER), (0, 0)), "edge") for t in textures]
    area = sum(t.shape[0] * t.shape[1] for t in framed)
    width = max(*(t.shape[1] for t in framed), int(area**0.5 * 1.1), 1)
    corners, x, y, shelf = [], 0, 0, 0
    for one in framed:
        if x + one.shape[1] > width:
            x, y, shelf = 0, y + shelf, 0
        corners.append((y, x))
        x, shelf = x + one.shape[1], max(shelf, one.shape[0])
    whole = np.zeros((y + shelf, width, 3), np.uint8)
    places = []
    for one, inner, (top, left) in zip(framed, textures, corners, strict=True):
        whole[top : top + one.shape[0], left : left + one.shape[1]] = one
        height, wide = inner.shape[:2]
        size = np.array([width, len(whole)], np.float32)
        below = len(whole) - (top + _GUTTER + height)
        places.append(
            (
                np.array([wide, height], np.float32) / size,
                np.array([left + _GUTTER, below], np.float32) / size,
            )
        )
    return whole, places
