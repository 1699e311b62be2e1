"""The room that window, server, command line and notebooks share: images, segmenters, chips.

Must not know any of those that use it.
"""

from .chips import chip_at, chip_downsample, clip_to_image, wider_chip
from .image import Image, area_text, open_image, pixel_text
from .loading import EnginePool, find_weights, load_segmenter, usable_weights
from .origin import prompts_of, provenance, refined_provenance
from .segmenter import MaskOptions, Segmenter
from .tracking import Following, PictureFrames, load_tracker, track
from .weights import download_weight, get_weight, list_weights

__all__ = [
    "EnginePool",
    "Following",
    "Image",
    "MaskOptions",
    "PictureFrames",
    "Segmenter",
    "area_text",
    "chip_at",
    "chip_downsample",
    "clip_to_image",
    "download_weight",
    "find_weights",
    "get_weight",
    "list_weights",
    "load_segmenter",
    "load_tracker",
    "open_image",
    "pixel_text",
    "prompts_of",
    "provenance",
    "refined_provenance",
    "track",
    "usable_weights",
    "wider_chip",
]
