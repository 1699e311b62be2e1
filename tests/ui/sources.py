"""An image in memory with any block grid, for tests of what is drawn."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane
from samdesk.images.contrast import ChannelDisplay, Display
from samdesk.images.source import Channel, Kind, Level, PixelSize

COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


class ArraySource:
    """An `ImageSource` over arrays.

    Parameters
    ----------
    pixels : ndarray
        (h, w, 3) for "rgb"; (t, z, c, h, w) for "multichannel".
    levels : int
        Each half the size of the one before.
    block : (int, int)
        Width and height of a block.

    Attributes
    ----------
    gate : threading.Event
        Reads wait until it is set; it is, at first.
    reads : list of (level, column, row)
    broken : set of (level, column, row)
        Blocks that cannot be read.
    """

    path, name = Path("array"), "array"
    magnification = None

    def __init__(
        self,
        pixels: NDArray[Any],
        levels: int = 1,
        block: tuple[int, int] = (512, 512),
        pixel_size: PixelSize | None = None,
        identity: str = "array",
    ) -> None:
        self.kind: Kind = "rgb" if pixels.ndim == 3 else "multichannel"
        self.dtype = pixels.dtype
        self.identity = identity
        self.pixel_size = pixel_size
        self.associated: dict[str, Any] = {}
        stack = pixels[None, None, None] if self.kind == "rgb" else pixels
        self.size_t, self.size_z = stack.shape[:2]
        self.channels = tuple(
            Channel(f"C{k}", COLORS[k % 3]) for k in range(3 if pixels.ndim == 3 else stack.shape[2])
        )
        self._stacks = [stack]
        for _ in range(levels - 1):
            self._stacks.append(_halved(self._stacks[-1]))
        self.width, self.height = self._size(0)
        self.levels = tuple(
            Level(*self._size(k), self.width / self._size(k)[0], self.height / self._size(k)[1], *block)
            for k in range(levels)
        )
        self.gate = threading.Event()
        self.gate.set()
        self.reads: list[tuple[int, int, int]] = []
        self.broken: set[tuple[int, int, int]] = set()

    def _size(self, level: int) -> tuple[int, int]:
        shape = self._stacks[level].shape
        return (shape[4], shape[3])

    def read_block(
        self, level: int, column: int, row: int, plane: Plane = Plane(), channel: int = 0
    ) -> NDArray[Any]:
        self.gate.wait(timeout=20)
        self.reads.append((level, column, row))
        if (level, column, row) in self.broken:
            raise SamdeskError(
                f"Block {column}, {row} of level {level} cannot be read.", "Copy the file again."
            )
        grid = self.levels[level]
        x, y = column * grid.block_width, row * grid.block_height
        stack = self._stacks[level][plane.t, plane.z, 0 if self.kind == "rgb" else channel]
        return stack[y : y + grid.block_height, x : x + grid.block_width].copy()

    def close(self) -> None:
        pass

    @property
    def display(self) -> Display:
        """Values as they are."""
        return Display(tuple(ChannelDisplay(True, 0.0, 255.0, channel.color) for channel in self.channels))


def _halved(stack: NDArray[Any]) -> NDArray[Any]:
    height, width = stack.shape[3:5]
    size = (-(-width // 2), -(-height // 2))
    planes = stack.reshape(-1, *stack.shape[3:])
    small = np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in planes])
    return small.reshape(*stack.shape[:3], *small.shape[1:])


def coordinates(width: int, height: int) -> NDArray[np.uint8]:
    """A picture whose colors tell where they are: red x, green y, both modulo 256."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.arange(width) % 256
    picture[..., 1] = (np.arange(height) % 256)[:, None]
    picture[..., 2] = 77
    return picture


def plain(width: int, height: int, color: tuple[int, int, int] = (200, 210, 220)) -> NDArray[np.uint8]:
    return np.full((height, width, 3), color, np.uint8)
