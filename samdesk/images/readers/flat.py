"""PNG, JPEG, BMP and WebP: decoded at once by OpenCV and kept in memory as one level.

Must not know pyramids: `samdesk.images.pyramid` adds coarser levels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane
from samdesk.images.readers.base import (
    BLOCK,
    CONVERT,
    RGB,
    BlockSource,
    Window,
    damaged,
    identity_of,
    make_channels,
    make_levels,
    on_white,
    reason,
)
from samdesk.images.readers.picture import Header, picture_format, read_header
from samdesk.images.source import Level, Pixels

MAX_PIXELS = 1 << 30
"""What OpenCV decodes, and about what fits in the memory of a desktop computer."""


class FlatSource(BlockSource):
    """A picture in memory; its blocks are read-only views of it."""

    def _read(self, part: Any, level: Level, window: Window, plane: Plane, channel: int) -> Pixels:
        block: Pixels = part[window.y0 : window.y1, window.x0 : window.x1]
        return block


def open_flat(path: Path) -> FlatSource | None:
    """Open a picture file, its EXIF orientation applied and transparency laid on white.

    Returns
    -------
    FlatSource or None
        None when the file is no PNG, JPEG, BMP or WebP.

    Raises
    ------
    SamdeskError
        When it is one and is damaged, incomplete or too large to decode.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        if picture_format(file.read(12)) is None:
            return None
    data = np.fromfile(path, np.uint8)  # cv2.imread takes no Unicode paths on Windows
    try:
        header = read_header(data.data)
    except ValueError as error:
        raise damaged(path, str(error)) from error
    if header is None:
        return None
    _check_size(path, header, len(data))
    if not header.complete:
        raise damaged(path, f"the {header.format} file is truncated")
    return from_array(path, _upright(_decode(path, data, header), header.orientation))


def from_array(path: Path, pixels: Pixels) -> FlatSource:
    """A source of one level from pixels in memory: (h, w) or (h, w, 3) RGB."""
    pixels = np.ascontiguousarray(pixels)
    pixels.flags.writeable = False
    height, width = pixels.shape[:2]
    return FlatSource(
        path=path,
        name=path.name,
        identity=identity_of(path),
        levels=make_levels([(width, height)]),
        dtype=pixels.dtype,
        kind="rgb" if pixels.ndim == 3 else "multichannel",
        channels=RGB if pixels.ndim == 3 else make_channels(1),
        parts=(pixels,),
    )


def _check_size(path: Path, header: Header, size: int) -> None:
    claim = (
        f"“{path.name}” cannot be opened: it claims {header.width:,} × {header.height:,} px, "
        f"which would take {_in_words(header.memory)} of memory"
    )
    if size < header.least_bytes:
        raise SamdeskError(
            f"{claim}, but the file holds no more than {_in_words(size)}.",
            "The file is damaged or not what it says: copy it again from where it came from.",
        )
    if header.width * header.height > MAX_PIXELS:
        raise SamdeskError(
            f"{claim}; {header.format} files are opened up to {MAX_PIXELS // 1_000_000:,} megapixels.",
            "An image of this size needs a tiled file. " + CONVERT,
        )


def _decode(path: Path, data: Pixels, header: Header) -> Pixels:
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError) as error:
        raise damaged(path, f"{header.width:,} × {header.height:,} px: {reason(error)}") from error
    if pixels is None or pixels.shape[:2] != (header.height, header.width):
        raise damaged(path, f"its {header.format} data is damaged")
    if pixels.ndim == 2:
        gray: Pixels = pixels
        return gray
    if pixels.shape[2] == 3:
        rgb: Pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
        return rgb
    rgba = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA, dst=pixels)
    bands = [on_white(rgba[y : y + BLOCK]) for y in range(0, len(rgba), BLOCK)]  # bounds the float copy
    return np.concatenate(bands)


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF orientation: rows and columns exchanged from 5 on, then mirrored."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _in_words(size: int) -> str:
    units = ("bytes", "kB", "MB", "GB", "TB")
    power = min(len(units) - 1, (len(str(size)) - 1) // 3)
    return f"{size / 1000**power:,.3g} {units[power]}"
