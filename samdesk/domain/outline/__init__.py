"""Mask <-> shape, and what keeps a shape fit to be published.

Array pixels become image pixels here and nowhere later: every shape that leaves this package
is in image pixels on pixel edges. Must not know which engine made a mask, nor any file format.
"""

from __future__ import annotations

from .cleanup import fill_holes, iou, repair, round_for_export, simplify, snap
from .logits import logits_to_shape
from .masks import labels_to_shapes, mask_to_shape, shape_to_mask

__all__ = [
    "fill_holes",
    "iou",
    "labels_to_shapes",
    "logits_to_shape",
    "mask_to_shape",
    "repair",
    "round_for_export",
    "shape_to_mask",
    "simplify",
    "snap",
]
