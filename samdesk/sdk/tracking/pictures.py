"""`PictureFrames`: picture files on the disk as the frames of a video or a z-stack.

Must not know who follows what in them.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Generator, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.images.readers.decoding import decode
from samdesk.images.readers.picture import Header, read_header

MOST_PIXELS = 64 << 20
"""Of one frame. A frame is seen as a whole, on about a thousand pixels: larger ones gain nothing."""


class PictureFrames:
    """Frames in files of their own: JPEG, PNG, BMP or WebP.

    All headers are read at once, so that a frame which does not fit is told before the first is
    looked at; a frame is decoded when it is asked for, and not kept.

    Parameters
    ----------
    paths : iterable of Path
        In any order: frames are sorted by name, and numbers in the names by their value.
    most_pixels : int
        A larger frame is refused.

    Attributes
    ----------
    paths : tuple of Path
        In the order of the frames.
    size : (int, int)
        Width and height of every frame in pixels.

    Raises
    ------
    SamdeskError
        When there are no files, or one of them cannot be read or is not as large as the first;
        names the file.
    """

    def __init__(self, paths: Iterable[Path], most_pixels: int = MOST_PIXELS) -> None:
        deque(self._read_headers(paths, most_pixels), maxlen=0)

    @classmethod
    def in_steps(
        cls, paths: Iterable[Path], most_pixels: int = MOST_PIXELS
    ) -> Generator[None, None, PictureFrames]:
        """As `PictureFrames(…)`, which it returns, for a job that gives way after every file."""
        made = cls.__new__(cls)
        yield from made._read_headers(paths, most_pixels)
        return made

    def _read_headers(self, paths: Iterable[Path], most_pixels: int) -> Generator[None, None, None]:
        self.paths = tuple(sorted(paths, key=_place))
        if not self.paths:
            raise SamdeskError("There are no frames.", "Give at least one picture.")
        self._most_pixels = most_pixels
        self.size = self._header(self.paths[0])[1]
        yield
        for path in self.paths[1:]:
            self._check_size(path, self._header(path)[1])
            yield

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """Frame `index`, (h, w, 3) RGB uint8; of 16 bits the upper 8. Errors as the class's own."""
        path = self.paths[index]
        data, size, header = self._read(path)
        self._check_size(path, size)
        try:
            pixels = decode(data, header)
        except ValueError as error:
            raise _unreadable(path, str(error)) from error
        if pixels.dtype == np.uint16:
            pixels = (pixels >> 8).astype(np.uint8)
        return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)

    def _header(self, path: Path) -> tuple[Header, tuple[int, int]]:
        _, size, header = self._read(path)
        return header, size

    def _read(self, path: Path) -> tuple[bytes, tuple[int, int], Header]:
        """The file, its size upright, and its header."""
        try:
            data = path.read_bytes()
            header = read_header(data)
        except OSError as error:
            raise _unreadable(path, error.strerror or str(error)) from error
        except ValueError as error:
            raise _unreadable(path, str(error)) from error
        if header is None:
            raise _unreadable(path, "it is no JPEG, PNG, BMP or WebP file")
        if not header.complete:
            raise _unreadable(path, f"the {header.format} file is truncated")
        if header.width * header.height > self._most_pixels:
            raise SamdeskError(
                f"The frame “{path.name}” is too large: {header.width:,} × {header.height:,} px.",
                f"Make the frames smaller; up to {self._most_pixels / 1e6:,.0f} megapixels are taken.",
            )
        upright = (header.height, header.width) if header.orientation >= 5 else (header.width, header.height)
        return data, upright, header

    def _check_size(self, path: Path, size: tuple[int, int]) -> None:
        if size != self.size:
            raise SamdeskError(
                "The frame “{}” is {:,} × {:,} px, while “{}” is {:,} × {:,} px.".format(
                    path.name, *size, self.paths[0].name, *self.size
                ),
                "All frames must be of one size.",
            )


def _place(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Where a file comes among the frames: 2 before 10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], str(path)


def _unreadable(path: Path, why: str) -> SamdeskError:
    return SamdeskError(f"The frame “{path.name}” cannot be read: {why}.", "Give the frames again.")
