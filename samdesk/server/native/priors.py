"""What a client sends as the rough outline of an object, as a shape.

Must not know endpoints. Source of COCO's text: https://github.com/cocodataset/cocoapi (rleFrString)
"""

from __future__ import annotations

import numpy as np
import shapely

from samdesk.domain.geometry import IntArray, Shape, ShapeKind
from samdesk.domain.outline import mask_to_shape, repair
from samdesk.sdk import clip_to_image
from samdesk.server.errors import RequestError
from samdesk.server.masks import EDGES, check_edges

from .messages import MultiPolygon, Polygon, Rle

HOW = "COCO's text and its list of run lengths are read; size is [height, width] of the image."


def shape_of(sent: Polygon | MultiPolygon | Rle, size: tuple[int, int]) -> Shape:
    """The shape, valid and inside an image of (width, height); empty when nothing of it is. For a lane.

    Raises
    ------
    RequestError
        When run lengths are wrong, or not of this image, or it is no outline but noise.
    """
    if isinstance(sent, Rle):
        return _traced(sent, size)
    try:
        shape = clip_to_image(repair(sent.shape())[0], size)
    except (shapely.GEOSException, ValueError) as error:
        raise RequestError(422, f"The outline cannot be used: {error}.", "Send a simpler one.") from error
    if shape.kind is not ShapeKind.AREA:
        return Shape.empty()
    check_edges(shape, size)
    return shape


def _traced(sent: Rle, size: tuple[int, int]) -> Shape:
    width, height = size
    if sent.size != [height, width]:
        raise RequestError(
            422,
            f"The mask is of {sent.size[1]:,} × {sent.size[0]:,} px, the image of {width:,} × {height:,}.",
            HOW,
        )
    try:
        counts = run_lengths(sent.counts) if isinstance(sent.counts, str) else _listed(sent.counts)
    except ValueError as error:
        raise RequestError(422, f"The run lengths of the mask cannot be read: {error}.", HOW) from error
    if (counts < 0).any() or (counts > width * height).any() or int(counts.sum()) != width * height:
        raise RequestError(422, "The run lengths do not add up to the pixels of the image.", HOW)
    inside = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    mask = inside.reshape(width, height).T
    if len(counts) + int(np.count_nonzero(mask[:, 1:] != mask[:, :-1])) > EDGES:
        raise RequestError(422, "The mask is no outline of an object but noise.", "Send a simpler one.")
    return mask_to_shape(mask)


def _listed(counts: list[int]) -> IntArray:
    try:
        return np.array(counts, np.int64)
    except OverflowError:
        raise ValueError("a number is too large") from None


def run_lengths(text: str) -> IntArray:
    """The run lengths in COCO's text.

    Each is written 5 bits per character, lowest first, as the difference to the one two before.

    Raises
    ------
    ValueError
        When it is no such text.
    """
    if not text:
        return np.empty(0, np.int64)
    try:
        digits = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError:
        raise ValueError("there are letters that none has") from None
    if ((digits < 0) | (digits > 63)).any():
        raise ValueError("there are letters that none has")
    ends = np.flatnonzero(digits & 32 == 0)
    if not len(ends) or ends[-1] != len(digits) - 1:
        raise ValueError("the last number has no end")
    starts = np.concatenate(([0], ends[:-1] + 1))
    place = np.arange(len(digits)) - np.repeat(starts, ends - starts + 1)
    if place.max() > 7:
        raise ValueError("a number is too large")
    counts: IntArray = np.add.reduceat((digits & 31) << (5 * place), starts)
    negative = digits[ends] & 16 != 0
    counts[negative] -= np.int64(1) << (5 * (ends - starts + 1))[negative]
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    return counts
