"""Blocks put together from the segments (strips, tiles, chunks) that a file keeps, and shared file access.

Must not know any one format.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from samdesk.images.readers.base import Window
from samdesk.images.source import Pixels

Fetch = Callable[[int, int], Pixels]
"""Decode the segment at (column, row): (h, w) or (h, w, samples), cropped or not to the level."""


def read_window(window: Window, width: int, height: int, fetch: Fetch) -> Pixels:
    """The pixels of a window of a level whose segments are `width` x `height`; an own array, not a view."""
    out: Pixels | None = None
    for row in range(window.y0 // height, (window.y1 - 1) // height + 1):
        for column in range(window.x0 // width, (window.x1 - 1) // width + 1):
            left, top = column * width, row * height
            x0, x1 = max(window.x0, left), min(window.x1, left + width)
            y0, y1 = max(window.y0, top), min(window.y1, top + height)
            segment = fetch(column, row)
            piece = segment[y0 - top : y1 - top, x0 - left : x1 - left]
            if piece.shape[:2] != (y1 - y0, x1 - x0):
                raise ValueError(f"segment ({column}, {row}) is too small")
            if (x0, y0, x1, y1) == (window.x0, window.y0, window.x1, window.y1):
                return segment if piece.shape == segment.shape else piece.copy()
            if out is None:
                out = np.empty((window.height, window.width, *segment.shape[2:]), segment.dtype)
            out[y0 - window.y0 : y1 - window.y0, x0 - window.x0 : x1 - window.x0] = piece
    assert out is not None
    return out


class SharedFile:
    """A file that many threads read at once.

    It stays open as long as an object refers to it, so that closing an image cannot take the
    file from under a thread that reads a block. Not a memory map: reading one whose disk has
    gone kills the process.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = -1
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self.size = os.fstat(self._descriptor).st_size
        self._lock = threading.Lock()

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`.

        Raises
        ------
        EOFError
            When the file ends before.
        """
        pieces = []
        while size > 0:
            piece = self._read_some(offset, size)
            if not piece:
                raise EOFError("the file ends before the data does")
            pieces.append(piece)
            offset += len(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_some(self, offset: int, size: int) -> bytes:
        size = min(size, 1 << 30)  # some systems read less than 2 GiB at once
        if sys.platform == "win32":
            with self._lock:
                os.lseek(self._descriptor, offset, os.SEEK_SET)
                return os.read(self._descriptor, size)
        return os.pread(self._descriptor, size, offset)


def read_rows(
    file: SharedFile, offset: int, row_pixels: int, window: Window, pixel: np.dtype[np.generic], samples: int
) -> Pixels:
    """Pixels of an uncompressed image whose rows of `row_pixels` follow one another from `offset`.

    Returns
    -------
    ndarray, (h, w, samples), of dtype `pixel`
    """
    size = pixel.itemsize * samples
    whole = window.width * 2 > row_pixels  # reading a little too much costs less than many reads
    x0, width = (0, row_pixels) if whole else (window.x0, window.width)
    start = offset + (window.y0 * row_pixels + x0) * size
    if whole:
        data = file.read(start, window.height * row_pixels * size)
    else:
        step = row_pixels * size
        data = b"".join(file.read(start + k * step, width * size) for k in range(window.height))
    rows = np.frombuffer(data, pixel).reshape(window.height, width, samples)
    return rows[:, window.x0 - x0 : window.x1 - x0]
