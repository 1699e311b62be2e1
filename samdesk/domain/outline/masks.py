"""Mask -> shape on pixel edges, and shape -> mask at pixel centers; exact in both directions.

A traced shape has the area of its pixels, is valid in the sense of OGC Simple Features, and
turns back into the same mask. Pixels that touch by an edge belong together (4-connected);
pixels that touch by a corner are parts of their own. Must not know scores or thresholds.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from samdesk.domain.geometry import FloatArray, IntArray, Region, Shape, ShapeKind, following

Mask = NDArray[np.bool_]

# The four pixels around a pixel corner make a code; what happens at the corner follows from it.
_TOP_LEFT, _BOTTOM_LEFT, _TOP_RIGHT, _BOTTOM_RIGHT = 1, 2, 4, 8
_FALLING = _TOP_LEFT | _BOTTOM_RIGHT
_RISING = _BOTTOM_LEFT | _TOP_RIGHT

_VERTICES = np.zeros(16, np.uint8)
"""Vertices at a corner: one where 1 or 3 pixels are set, two where the outline passes twice."""
_VERTICES[[1, 2, 4, 8, 7, 11, 13, 14]] = 1
_VERTICES[[_FALLING, _RISING]] = 2

_LEAVES_ALONG_ROW = np.zeros(16, np.bool_)
"""Whether the outline, walked with the object at its right hand on screen, leaves sideways."""
_LEAVES_ALONG_ROW[[_TOP_LEFT, _BOTTOM_RIGHT, 15 - _BOTTOM_LEFT, 15 - _TOP_RIGHT, _FALLING]] = True


def mask_to_shape(mask: ArrayLike, region: Region | None = None) -> Shape:
    """Trace a mask along its pixel edges.

    Parameters
    ----------
    mask : array_like, (h, w) bool or number
        Non-zero is object. Covers the whole of `region`.
    region : Region, optional
        Where the mask lies; without it array pixels are image pixels.

    Returns
    -------
    Shape
        Valid, with the area of the set pixels; one part per 4-connected component in reading
        order of their first pixels, holes kept, shells and holes wound in opposite senses.
    """
    pixels = as_pixels(mask)
    box = bounding_box(pixels)
    if box is None:
        return Shape.empty()
    left, top, right, bottom = box
    coords, rings, parts = _trace(pixels[top:bottom, left:right])
    return Shape(to_image(coords + np.array((left, top)), pixels.shape, region), rings, parts)


def labels_to_shapes(labels: ArrayLike) -> dict[int, Shape]:
    """Trace every label of a label image, in image pixels of that array.

    Parameters
    ----------
    labels : array_like, (h, w) integer
        0 is background; all pixels of one value are one object, however many parts it has.

    Returns
    -------
    dict of int to Shape
        In ascending order of the labels.
    """
    image = _two_dimensional(labels)
    shapes = {}
    for label, left, top, right, bottom in _label_boxes(image):
        coords, rings, parts = _trace((image[top:bottom, left:right] == label).view(np.uint8))
        shapes[label] = Shape(coords + np.array((left, top)), rings, parts)
    return shapes


def shape_to_mask(shape: Shape, region: Region) -> Mask:
    """Rasterize a shape: a pixel is set when its center is inside by the even-odd rule.

    A center that lies exactly on an outline belongs to the side right of it or below it, so
    that shapes sharing an edge never share a pixel nor leave one out. Lines and points cover
    nothing.

    Parameters
    ----------
    shape : Shape
        In image pixels, finite.
    region : Region
        What the mask covers.

    Returns
    -------
    ndarray, (region.height, region.width) bool
    """
    height, width = region.height, region.width
    mask = np.zeros((height, width), np.bool_)
    if shape.kind is not ShapeKind.AREA or shape.is_empty:
        return mask
    rows, columns = _crossings(region.to_array(shape.coords), shape.rings, height, width)
    if len(rows):
        top, left = rows.min(), columns.min()
        # the last column takes the crossings at the right end of a run and beyond the region
        crossed = np.zeros((rows.max() - top + 1, columns.max() - left + 1), np.bool_)
        np.logical_xor.at(crossed, (rows - top, columns - left), True)
        inside = np.logical_xor.accumulate(crossed, axis=1)[:, :-1]
        mask[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return mask


def to_image(points: FloatArray, size: tuple[int, ...], region: Region | None) -> FloatArray:
    """Map points (n, 2) of an array of `size` (h, w) that covers `region` to image pixels."""
    if region is None:
        return points
    height, width = size
    return region.to_image(points * (region.width / width, region.height / height))


def as_pixels(mask: ArrayLike) -> NDArray[np.uint8]:
    """The mask as contiguous uint8, non-zero where the object is."""
    array = _two_dimensional(mask)
    if array.dtype != np.bool_ and array.dtype != np.uint8:
        array = array != 0
    return np.ascontiguousarray(array).view(np.uint8)


def bounding_box(pixels: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom) of the set pixels, the ends excluded; None when there are none."""
    left, top, width, height = cv2.boundingRect(pixels) if pixels.size else (0, 0, 0, 0)
    return (left, top, left + width, top + height) if width else None


def _two_dimensional(values: ArrayLike) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 2:
        raise ValueError(f"expected an array of shape (h, w), got {array.shape}")
    return array


def _trace(pixels: NDArray[np.uint8]) -> tuple[FloatArray, IntArray, IntArray]:
    """Coordinates, ring offsets and part offsets of a mask that has at least one pixel set.

    Every vertex ends one horizontal and one vertical edge. In reading order the vertices of a
    row pair up to its horizontal edges, in column order to the vertical ones; the walk takes
    them in turn, so it only needs the successor of each horizontal edge.
    """
    width = pixels.shape[1]
    corner, code = _corners(pixels)
    components = cv2.connectedComponents(pixels, connectivity=4, ltype=cv2.CV_32S)[1]
    y, x = np.divmod(corner, width + 1)

    order = np.argsort(x.astype(np.min_scalar_type(width)), kind="stable")
    order = _exchanged_at_saddles(components, x, y, code)[order]
    across = np.empty_like(order)
    across[order[0::2]], across[order[1::2]] = order[1::2], order[0::2]

    rightward = _LEAVES_ALONG_ROW[code[0::2]]
    tail = 2 * np.arange(len(rightward)) + ~rightward
    head = tail ^ 1
    edges, rings = _cycles(across[head] >> 1)

    # a ring starts with its top edge: the object is below it for a shell, above it for a hole
    top = edges[rings[:-1]]
    is_shell = rightward[top]
    component = components[y[2 * top] - ~is_shell, x[2 * top]]
    edges, rings, parts = _grouped(edges, rings, is_shell, component)

    vertices = np.stack((tail[edges], head[edges]), axis=1).ravel()
    return np.stack((x[vertices], y[vertices]), axis=1).astype(np.float64), 2 * rings, parts


def _corners(pixels: NDArray[np.uint8]) -> tuple[IntArray, NDArray[np.uint8]]:
    """The vertices in reading order as flat indices on the (h + 1, w + 1) corners, with their codes."""
    height, width = pixels.shape
    stride = width + 1
    # flat and with one shared border column, so that all four neighbors are shifts of one array
    padded = np.zeros((height + 2) * stride + 1, np.uint8)
    padded[stride : stride * (height + 1)].reshape(height, stride)[:, 1:] = pixels != 0
    column = padded[:-stride] | padded[stride:] << 1
    corner = np.flatnonzero(column[1:] != column[:-1])
    code = column[corner] | column[corner + 1] << 2
    count = _VERTICES[code]
    return np.repeat(corner, count), np.repeat(code, count)


def _exchanged_at_saddles(
    components: NDArray[np.int32], x: IntArray, y: IntArray, code: NDArray[np.uint8]
) -> IntArray:
    """The vertices' own numbers, but exchanged at the saddles whose left vertex goes down.

    At a saddle the first vertex has the edge to the left, the second the one to the right. The
    two diagonal pixels are joined when they are one component anyway: the rings then touch in a
    point from both sides of the object, as OGC allows, where one ring would touch itself.
    Else they are kept apart, as the two polygons they belong to.
    """
    numbers = np.arange(len(code))
    first = np.flatnonzero((code == _FALLING) | (code == _RISING))[::2]
    falling = code[first] == _FALLING
    row, column = y[first], x[first]
    joined = components[row - 1, column - falling] == components[row, column - ~falling]
    down = first[joined == falling]
    numbers[down], numbers[down + 1] = down + 1, down
    return numbers


def _cycles(successor: IntArray) -> tuple[IntArray, IntArray]:
    """Cycles of a permutation, each from its smallest member: members in order, and offsets."""
    waiting = successor.tolist()
    members: list[int] = []
    offsets = []
    for first in range(len(waiting)):
        at = first
        if waiting[at] < 0:
            continue
        offsets.append(len(members))
        while (after := waiting[at]) >= 0:
            waiting[at] = -1
            members.append(at)
            at = after
    offsets.append(len(members))
    return np.array(members), np.array(offsets)


def _grouped(
    edges: IntArray, rings: IntArray, is_shell: NDArray[np.bool_], component: NDArray[np.int32]
) -> tuple[IntArray, IntArray, IntArray]:
    """Rings reordered so that each shell is followed by its holes, with the part offsets."""
    shells = np.flatnonzero(is_shell)
    shell_of = np.zeros(component.max() + 1, np.int64)
    shell_of[component[shells]] = shells
    order = np.argsort(shell_of[component], kind="stable")
    sizes = np.diff(rings)[order]
    ends = np.cumsum(sizes)
    moved = np.repeat(rings[:-1][order] - (ends - sizes), sizes) + np.arange(len(edges))
    parts = np.append(np.flatnonzero(is_shell[order]), len(order))
    return edges[moved], np.append(0, ends), parts


def _label_boxes(labels: NDArray[Any]) -> list[tuple[int, ...]]:
    """(label, left, top, right, bottom) of every label but 0, in ascending order."""
    height, width = labels.shape
    begins = np.ones((height, width), np.bool_)
    begins[:, 1:] = labels[:, 1:] != labels[:, :-1]
    start = np.flatnonzero(begins)
    size = np.diff(start, append=height * width)
    label = labels.ravel()[start]
    start, size, label = (runs[label != 0] for runs in (start, size, label))
    if not len(start):
        return []

    order = np.argsort(label, kind="stable")
    top, left = np.divmod(start[order], width)
    names, first = np.unique(label[order], return_index=True)
    boxes = (
        np.minimum.reduceat(left, first),
        np.minimum.reduceat(top, first),
        np.maximum.reduceat(left + size[order], first),
        np.maximum.reduceat(top, first) + 1,
    )
    return list(zip(names.tolist(), *(box.tolist() for box in boxes), strict=True))


def _crossings(points: FloatArray, rings: IntArray, height: int, width: int) -> tuple[IntArray, IntArray]:
    """Where the rings cross the center lines of the rows: rows, and columns first right of them."""
    start, end = np.arange(len(points)), following(rings)
    # from top to bottom, so that an edge of two shapes crosses at the same float in both
    down = points[start, 1] <= points[end, 1]
    upper, lower = np.where(down, start, end), np.where(down, end, start)

    first, last = (
        np.clip(np.ceil(points[tip, 1] - 0.5), 0, height).astype(np.int64) for tip in (upper, lower)
    )
    count = last - first
    edge = np.repeat(np.arange(len(points)), count)
    row = np.arange(len(edge)) + np.repeat(first - (np.cumsum(count) - count), count)
    (x0, y0), (x1, y1) = points[upper[edge]].T, points[lower[edge]].T
    # multiplied before divided: exact where coordinates lie on a binary grid
    x = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    return row, np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
