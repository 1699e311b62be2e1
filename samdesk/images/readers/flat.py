"""PNG, JPEG, BMP and WebP: decoded at once by OpenCV and kept in memory as one level.

Must not know pyramids: `samdesk.images.pyramid` adds coarser levels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane
from samdesk.images.readers.base import (
    CONVERT,
    RGB,
    BlockSource,
    Window,
    damaged,
    identity_of,
    make_channels,
    make_levels,
)
from samdesk.images.readers.decoding import decode
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
    try:
        return from_array(path, decode(data.data, header))
    except ValueError as error:
        raise damaged(path, str(error)) from error


def from_array(path: Path, pixels: Pixels, identity: str = "") -> FlatSource:
    """A source of one level from pixels in memory: (h, w) or (h, w, 3) RGB.

    Shared, not copied, where contiguous, and read-only from now on. Without an identity there has
    to be a file, of which it is taken.
    """
    pixels = np.ascontiguousarray(pixels)
    pixels.flags.writeable = False
    height, width = pixels.shape[:2]
    return FlatSource(
        path=path,
        name=path.name,
        identity=identity or identity_of(path),
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


def _in_words(size: int) -> str:
    units = ("bytes", "kB", "MB", "GB", "TB")
    power = min(len(units) - 1, (len(str(size)) - 1) // 3)
    return f"{size / 1000**power:,.3g} {units[power]}"
