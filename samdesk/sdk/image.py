"""`open_image`, `image_of` and `Image`: an open image together with how it is shown.

Must not know engines: what they see is what `Image.read` gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk.domain.geometry import Plane, Region
from samdesk.images.contrast import ChannelDisplay, Display, auto_display, render_region
from samdesk.images.readers import open_source
from samdesk.images.readers.flat import from_array
from samdesk.images.source import ImageSource, PixelSize
from samdesk.images.tiles import BlockCache

BLOCK_CACHE_BYTES = 512 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """An open image together with how it is shown, and how engines see it.

    Attributes
    ----------
    source : ImageSource
    display : Display
        How people see it.
    blocks : BlockCache
        Decoded blocks, shared by all that read the image.
    model_display : Display or None
        How engines see it; None for as people do.
    """

    source: ImageSource
    display: Display
    blocks: BlockCache
    model_display: Display | None = None

    @property
    def seen(self) -> Display:
        """How engines see it."""
        return self.display if self.model_display is None else self.model_display

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in image pixels."""
        return self.source.width, self.source.height

    @property
    def pixel_size(self) -> PixelSize | None:
        return self.source.pixel_size

    def read(self, region: Region, plane: Plane = Plane()) -> NDArray[np.uint8]:
        """The region as engines see it, (height, width, 3) RGB uint8; pixels outside repeat the border."""
        return _repeat_border(
            render_region(self.source, region, plane, self.seen, self.blocks), region, self.size
        )

    def close(self) -> None:
        self.source.close()


def _repeat_border(pixels: NDArray[np.uint8], region: Region, size: tuple[int, int]) -> NDArray[np.uint8]:
    whole_w = min(region.width, max(1, int((size[0] - region.x) / region.downsample)))
    whole_h = min(region.height, max(1, int((size[1] - region.y) / region.downsample)))
    if (whole_w, whole_h) == (region.width, region.height):
        return pixels
    inside = pixels[:whole_h, :whole_w]
    bottom, right = region.height - whole_h, region.width - whole_w
    return np.asarray(cv2.copyMakeBorder(inside, 0, bottom, 0, right, cv2.BORDER_REPLICATE), np.uint8)


def open_image(path: str | Path, display: Display | None = None, blocks: BlockCache | None = None) -> Image:
    """Open an image of any size; nothing but what is needed is read.

    Parameters
    ----------
    path : path
        A file, or an OME-Zarr folder.
    display : Display, optional
        Channel ranges and colours; chosen from the pixels when not given.
    blocks : BlockCache, optional
        To share decoded blocks with others.

    Raises
    ------
    SamdeskError
        When the file cannot be read; says why and what would work.
    """
    source = open_source(Path(path))
    try:
        if blocks is None:
            blocks = BlockCache(BLOCK_CACHE_BYTES)
        return Image(source, display or auto_display(source), blocks)
    except BaseException:
        source.close()
        raise


def image_of(pixels: NDArray[np.uint8] | NDArray[np.uint16], identity: str, name: str = "picture") -> Image:
    """An image from pixels in memory.

    Parameters
    ----------
    pixels : ndarray, (h, w) gray or (h, w, 3) RGB
        8 bits are shown as they are, 16 bits over the range that they use. Shared, not copied,
        and read-only from now on.
    identity : str
        By which caches know the pixels; the same for the same pixels only.
    name : str
        What the user calls it.
    """
    source = from_array(Path(name), pixels, identity)
    if source.dtype == np.uint8:
        display = Display(tuple(ChannelDisplay(True, 0.0, 255.0, one.color) for one in source.channels))
    else:
        display = auto_display(source)
    return Image(source, display, BlockCache(0))  # the blocks are in memory as it is


def area_text(area: float, pixel_size: PixelSize | None) -> str:
    """An area given in px², in the unit that the image allows."""
    if pixel_size is None or pixel_size.unit != "µm":
        return f"{area:,.0f} px²"
    area *= pixel_size.x * pixel_size.y
    return f"{area / 1e6:,.2f} mm²" if area >= 1e5 else f"{area:,.1f} µm²"


def pixel_text(image: Image, plane: Plane, x: float, y: float) -> str:
    """The stored values of the pixel at (x, y), image pixels; empty outside the image.

    Of several channels those that are shown, each with its name.
    """
    source, level = image.source, image.source.levels[0]
    if not (0 <= x < source.width and 0 <= y < source.height):
        return ""
    column, row = int(x) // level.block_width, int(y) // level.block_height
    several = source.kind == "multichannel" and len(source.channels) > 1
    told = []
    for channel in image.display.shown if several else (0,):
        block = image.blocks.get_block(source, 0, column, row, plane, channel)
        pixel = np.atleast_1d(block[int(y) % level.block_height, int(x) % level.block_width])
        values = "  ".join(f"{value:g}" for value in pixel)
        told.append(f"{source.channels[channel].name} {values}" if several else values)
    return "  ".join(told)
