"""The room that window, server, command line and notebooks share: images, segmenters, chips.

Must not know any of those that use it.
"""

from .chips import chip_at, chip_downsample, clip_to_image, wider_chip
from .image import Image, open_image, pixel_text
from .loading import load_segmenter
from .segmenter import MaskOptions, Segmenter, provenance

__all__ = [
    "Image",
    "MaskOptions",
    "Segmenter",
    "chip_at",
    "chip_downsample",
    "clip_to_image",
    "load_segmenter",
    "open_image",
    "pixel_text",
    "provenance",
    "wider_chip",
]
