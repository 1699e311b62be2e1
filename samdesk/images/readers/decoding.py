"""PNG, JPEG, BMP and WebP from memory to pixels, whoever sent them.

Decoders do what a file asks for, also where that takes minutes and shows nothing: texts that
unpack to gigabytes, thousands of passes over one picture. Here they get no more of a file than
its pixels take. Must not know where the file came from.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import cv2
import numpy as np

from samdesk.images.readers.base import BLOCK, on_white, reason
from samdesk.images.readers.picture import Header
from samdesk.images.source import Pixels

MOST_SCANS = 100
"""Passes over one JPEG; those that build up in steps have about ten."""

_PNG_START = 8
_PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def decode(data: bytes | memoryview, header: Header) -> Pixels:
    """Decode a picture file, its EXIF orientation applied and transparency laid on white.

    Of an animation it is the first picture.

    Parameters
    ----------
    data : bytes or memoryview of bytes
        The whole file.
    header : Header
        What `read_header` says of it.

    Returns
    -------
    ndarray, (h, w) or (h, w, 3) RGB
        uint8 or uint16; contiguous.

    Raises
    ------
    ValueError
        When the file is damaged, incomplete or made to keep a decoder busy; says what is wrong
        with it.
    """
    if len(data) < header.least_bytes:
        raise ValueError(f"so few bytes hold no {header.width:,} × {header.height:,} px")
    if not header.complete:
        raise ValueError(f"the {header.format} file is truncated")
    if header.format == "PNG":
        data = pixels_of_png(memoryview(data))
    elif header.format == "JPEG" and bytes(data).count(b"\xff\xda") > MOST_SCANS:
        raise ValueError(f"it is drawn in more than {MOST_SCANS} passes")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError) as error:
        raise ValueError(f"{header.width:,} × {header.height:,} px: {reason(error)}") from error
    if pixels is None or pixels.shape[:2] != (header.height, header.width):
        raise ValueError(f"its {header.format} data is damaged")
    return np.ascontiguousarray(_upright(_colors(pixels), header.orientation))


def pixels_of_png(view: memoryview) -> bytes:
    """The file without texts, profiles and further frames, which cost time and change no pixel."""

    def parts() -> Iterator[memoryview]:
        yield view[:_PNG_START]
        position = _PNG_START
        while position + 12 <= len(view):
            (size,) = struct.unpack_from(">I", view, position)
            name = bytes(view[position + 4 : position + 8])
            if name in _PNG_PIXELS:
                yield view[position : position + 12 + size]
            if name == b"IEND":
                return
            position += 12 + size

    return b"".join(parts())


def _colors(pixels: Pixels) -> Pixels:
    """What OpenCV decodes, as RGB without alpha; gray stays as it is."""
    if pixels.ndim == 2:
        return pixels
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
