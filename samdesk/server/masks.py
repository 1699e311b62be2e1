"""Masks as picture files, as clients send them along. Must not know endpoints."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk.domain.geometry import Shape
from samdesk.domain.outline import mask_to_shape
from samdesk.images.readers.decoding import pixels_of_png
from samdesk.images.readers.picture import read_header

from .errors import RequestError
from .pictures import from_base64

EDGES = 20_000_000
"""Pixel edges along the rows of an outline; noise has more, and no object does."""

DRAWN_PIXELS = 10_000_000_000
"""Pixels of all masks of one request, which are half a minute's work."""

HOW = "A mask is a PNG of the size of its image, white where the object is."


def mask_in(data: bytes | str, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of a mask file that are of the object. For a lane.

    A picture with transparency is an object where it is opaque. Of a grey one that has shades up to
    white the brighter half counts, else whatever is not black; a colored one is a cut-out on black.

    Parameters
    ----------
    data : bytes or str
        A PNG, or another picture, or its base64.
    size : (width, height)
        Of the image, which the mask must have as well.

    Returns
    -------
    ndarray, (height, width) bool

    Raises
    ------
    RequestError
        422 when it is no picture, or of another size.
    """
    pixels = _decoded(data if isinstance(data, bytes) else from_base64(data), size)
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        alpha = pixels[..., -1]
        pixels = pixels[..., :-1] if (alpha == alpha.max()).all() else alpha
    is_colored = pixels.ndim == 3 and bool((pixels != pixels[..., :1]).any())
    if pixels.ndim == 3:
        pixels = pixels.max(axis=2)
    top = pixels.max(initial=0)
    is_soft = top in (255, 65535) and not is_colored
    mask: NDArray[np.bool_] = pixels > top / 2 if is_soft else pixels != 0
    return mask


def shape_in(data: bytes | str, size: tuple[int, int]) -> Shape:
    """As `mask_in`, traced.

    Raises
    ------
    RequestError
        422 also when it is black, or noise.
    """
    mask = mask_in(data, size)
    if not mask.any():
        raise RequestError(422, "The mask is black everywhere.", HOW)
    if int(np.count_nonzero(mask[:, 1:] != mask[:, :-1])) > EDGES:
        raise RequestError(422, "The mask is no outline of an object but noise.", HOW)
    return mask_to_shape(mask)


def check_edges(shape: Shape, size: tuple[int, int]) -> None:
    """Raise `RequestError` when filling an outline would take more memory than an object is worth."""
    y = np.clip(shape.coords[:, 1], 0, size[1])
    if float(np.abs(np.diff(y)).sum()) > EDGES:
        raise RequestError(422, "The outline goes to and fro too often.", "Send a simpler one.")


def check_drawn(count: int, size: tuple[int, int]) -> None:
    """Raise `RequestError` when so many masks of an image of (width, height) are too many to read or draw."""
    width, height = size
    if count * width * height > DRAWN_PIXELS:
        raise RequestError(
            413,
            f"{count:,} masks of {width:,} × {height:,} px are too much for one request.",
            "Ask for fewer objects at once, or in a smaller picture.",
        )


def _decoded(file: bytes, size: tuple[int, int]) -> NDArray[Any]:
    try:
        header = read_header(file)
        if header is None:
            raise RequestError(422, "The mask is no picture.", HOW)
        _check_size((header.width, header.height), size)
        if len(file) < header.least_bytes or not header.complete:
            raise ValueError("the file is truncated")
        if header.format == "PNG":
            file = pixels_of_png(memoryview(file))
        # a mask lies on the image as that is shown: its own orientation, if any, is not one
        flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(file, np.uint8), flags)
    except (ValueError, cv2.error, MemoryError) as error:
        raise RequestError(422, f"The mask cannot be read: {error}.", HOW) from error
    if pixels is None:
        raise RequestError(422, "The mask cannot be read: it is damaged.", HOW)
    _check_size((pixels.shape[1], pixels.shape[0]), size)
    return np.asarray(pixels)


def _check_size(found: tuple[int, int], size: tuple[int, int]) -> None:
    if found != size:
        turned = " It is turned on its side." if found == size[::-1] else ""
        raise RequestError(
            422,
            f"The mask is {found[0]:,} × {found[1]:,} px, its image {size[0]:,} × {size[1]:,} px.{turned}",
            HOW,
        )


def to_base64(file: bytes) -> str:
    """A file as clients read it in JSON."""
    return base64.b64encode(file).decode("ascii")
