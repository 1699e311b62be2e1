"""`ImageSource`: an image of any size as blocks on the file's own grid.

Must not know file formats (see `readers`) or colours on a screen (see `contrast`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.geometry import Plane

Kind = Literal["rgb", "multichannel", "label"]
Pixels = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of the image and its block grid, in pixels of this level."""

    width: int
    height: int
    downsample_x: float
    downsample_y: float
    block_width: int
    block_height: int

    @property
    def downsample(self) -> float:
        return (self.downsample_x + self.downsample_y) / 2

    @property
    def columns(self) -> int:
        return -(-self.width // self.block_width)

    @property
    def rows(self) -> int:
        return -(-self.height // self.block_height)


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel's name and display colour (r, g, b in 0..255)."""

    name: str
    color: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class PixelSize:
    """The size of a full-resolution pixel; `unit` is "µm" unless the file says otherwise."""

    x: float
    y: float
    z: float | None = None
    unit: str = "µm"


class ImageSource(Protocol):
    """An open image. Immutable; `read_block` may be called from any thread.

    Attributes
    ----------
    path : Path
    name : str
        What the user calls it.
    levels : tuple of Level
        Finest first; level 0 is full resolution.
    dtype : numpy dtype of the blocks
    kind : {"rgb", "multichannel", "label"}
        "rgb" blocks are (h, w, 3); the others are (h, w), one channel at a time.
    channels : tuple of Channel
        Of length 3 for "rgb".
    size_z, size_t : int
    pixel_size : PixelSize or None
        None when the file gives none.
    magnification : float or None
    identity : str
        Changes when the file does; a key for caches. Made without reading the pixels.
    associated : mapping of name ("label", "macro", "thumbnail") to (h, w, 3) uint8
    """

    path: Path
    name: str
    levels: tuple[Level, ...]
    dtype: np.dtype[Any]
    kind: Kind
    channels: tuple[Channel, ...]
    size_z: int
    size_t: int
    pixel_size: PixelSize | None
    magnification: float | None
    identity: str

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def associated(self) -> Mapping[str, Pixels]: ...

    def read_block(
        self, level: int, column: int, row: int, plane: Plane = Plane(), channel: int = 0
    ) -> Pixels:
        """Read one block; blocks at the right and lower border are cropped to the level.

        Returns
        -------
        ndarray
            (h, w, 3) for "rgb" (`channel` is ignored), (h, w) otherwise; dtype `self.dtype`.

        Raises
        ------
        SamdeskError
            When the block cannot be read or decoded; names the file, level and block.
        """
        ...

    def close(self) -> None: ...
