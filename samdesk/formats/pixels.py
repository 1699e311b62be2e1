"""Pictures whose pixels are numbers of objects: PNG and TIFF to arrays, and arrays to files in tiles.

Must not know what the numbers mean, and reads no image that a person looks at (`samdesk.images`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from .atomic import replacing

Pixels = NDArray[Any]

MOST_PIXELS = 1 << 29
"""Of a picture that is read whole."""

TILE = 1024
"""Side of the tiles in which a TIFF is made."""

_PNG = b"\x89PNG\r\n\x1a\n"
_DAMAGED = (
    tifffile.TiffFileError, ValueError, TypeError, IndexError, KeyError, struct.error, RuntimeError,
    AttributeError, ZeroDivisionError, OverflowError, NotImplementedError, AssertionError,
)  # fmt: skip
"""What `tifffile` and its codecs raise for files that are damaged."""


def of_png(data: bytes) -> Pixels:
    """The pixels of a PNG, (h, w); of a colored one those of the first channel that is not empty.

    Raises
    ------
    ValueError
        When it is damaged or larger than `MOST_PIXELS`; says which.
    """
    if not data.startswith(_PNG) or len(data) < 33:
        raise ValueError("its picture is no PNG")
    width, height = struct.unpack(">II", data[16:24])
    _refuse_large(width, height)
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError) as error:
        raise ValueError("its picture is damaged") from error
    if found is None or found.shape[:2] != (height, width):
        raise ValueError("its picture is damaged")
    return _flat(found)


def of_file(path: Path) -> Pixels:
    """The pixels of a PNG or of the first page of a TIFF, (h, w) bool, integers or whole floats.

    Raises
    ------
    ValueError
        When it is neither, damaged, or larger than `MOST_PIXELS`; says which.
    OSError
    """
    with path.open("rb") as file:
        is_png = file.read(8) == _PNG
    if is_png:
        return of_png(path.read_bytes())
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0]
            _refuse_large(page.imagewidth, page.imagelength)
            return _flat(page.asarray())
    except OSError:
        raise
    except _DAMAGED as error:
        raise ValueError(str(error)[:200] or "it is damaged") from error


def _refuse_large(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"{width:,} × {height:,} px are more than can be read at once; reduce it, and it is scaled back"
        )


def _flat(pixels: Pixels) -> Pixels:
    if pixels.ndim == 3 and pixels.shape[2] in (1, 2):
        return pixels[..., 0]
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        colors = pixels[..., :3]
        if (colors[..., 0] == colors[..., 1]).all() and (colors[..., 0] == colors[..., 2]).all():
            return colors[..., 0]
        raise ValueError("it is a color picture, not one of numbers")
    if pixels.ndim != 2:
        raise ValueError(f"it has {pixels.ndim} dimensions instead of 2")
    if pixels.dtype.kind == "f":
        if not (np.isfinite(pixels).all() and (pixels % 1 == 0).all() and (pixels >= 0).all()):
            raise ValueError("its pixels are no whole numbers")
        return pixels.astype(np.uint32)
    return pixels


def write_png(path: Path, pixels: Pixels) -> None:
    """Write 8 or 16 bits at a time, whole or not at all."""
    data = cv2.imencode(".png", pixels)[1]
    with replacing(path) as fresh:
        fresh.write_bytes(data.tobytes())


def write_tiff(path: Path, tiles: Iterator[Pixels], width: int, height: int, dtype: Any) -> None:
    """Write tiles of `TILE` px, row by row and each full, as a packed TIFF, whole or not at all."""
    with replacing(path) as fresh:
        tifffile.imwrite(
            fresh,
            tiles,
            shape=(height, width),
            dtype=dtype,
            tile=(TILE, TILE),
            compression="zlib",
            bigtiff=width * height * np.dtype(dtype).itemsize > 1 << 31,
            photometric="minisblack",
            metadata=None,
        )
