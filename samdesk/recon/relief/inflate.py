"""Depth from nothing but the outline: a membrane blown up over it.

Must not know colours or triangles.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import splu

from samdesk.recon.worker.base import EngineError

from .cutout import Cutout, Field, large_parts, outline_field

Numbers = NDArray[np.floating]

SURFACE_NODES = 14_000
"""Nodes of the lattice that the object should cover; its surface has four to five times as many vertices."""
VOLUME_NODES = 5_000_000
"""Most nodes of the lattice through the body."""
FRONT, BACK = 0.8, 0.6
"""Depth in front of and behind the outline's plane, by that of a half ball over a disk. The membrane
is higher by the root of two over a long limb, which thus becomes as deep as it is wide."""
ROUNDING, ROUNDING_PX, ROUNDING_CELLS = 0.05, (1.0, 2.0), 0.4
"""Sigma with which the outline is rounded: of its widest radius, within so many pixels; and at least
so many cells."""
CRUMB = 0.002
"""Parts with less than this of the largest one's area that a coarse lattice breaks off are left out."""
CLOSEST = 0.02
"""A node is taken to be at least this part of a cell away from the outline."""


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """Half the thickness of the object, squared, on a lattice over its cutout.

    Its surface is where ``square == (z / k) ** 2``, z in cells towards the viewer, k `FRONT` or
    `BACK`. The square goes on smoothly below zero around the object.

    Attributes
    ----------
    field : ndarray, (rows, columns, 3) float32
        The square, in cells squared, and its derivatives along x and y.
    origin : (x, y)
        Of the first node, in pixels of the cutout.
    cell : float
        Pixels of the cutout between two nodes.
    """

    field: Field
    origin: tuple[float, float]
    cell: float

    @property
    def square(self) -> Field:
        return self.field[..., 0]

    def at(self, x: Numbers, y: Numbers) -> Field:
        """The square and its derivatives, (3, n), at places (n,) in cells."""
        return bilinear(self.field, x, y).T


def inflate(cutout: Cutout) -> Body:
    """Blow a membrane up over the object: Poisson's equation, the outline held at zero.

    The root of the solution over a disk is a half ball; over anything else it is as round as
    its place is wide.
    """
    radius = float(cv2.distanceTransform(cutout.mask.view(np.uint8), cv2.DIST_L2, 5).max())
    cell = _cell(cutout, radius)
    sigma = max(ROUNDING_CELLS * cell, min(float(np.clip(ROUNDING * radius, *ROUNDING_PX)), radius / 2))
    field, n = outline_field(cutout.mask, sigma)
    x, y = _nodes(cutout, cell, sigma)
    distance = _resampled(field, n * y - 0.5, n * x - 0.5) / cell
    body = np.zeros(distance.shape, np.bool_)
    body[1:-1, 1:-1] = large_parts(distance[1:-1, 1:-1] > 0, CRUMB)
    if not body.any():
        raise EngineError("mask_empty", "The object is too thin to be given a body.")
    distance = np.where(body, distance, np.minimum(distance, -CLOSEST)).astype(np.float32)
    square = _membrane(distance)
    down, right = np.gradient(square)
    return Body(np.stack((square, right, down), -1), (float(x[0]), float(y[0])), cell)


def _nodes(cutout: Cutout, cell: float, sigma: float) -> tuple[Numbers, Numbers]:
    """Columns and rows of the lattice over the box and what rounding adds to it, in pixels."""
    left, top, right, bottom = cutout.box
    x, y = (
        middle + np.arange(-half, half + 1) * cell
        for middle, half in zip(
            cutout.center,
            (int(np.ceil((length + sigma) / cell / 2)) + 2 for length in (right - left, bottom - top)),
            strict=True,
        )
    )
    return x, y


def _cell(cutout: Cutout, radius: float) -> float:
    """Pixels between two nodes, so that neither surface nor volume get too many."""
    area = np.count_nonzero(cutout.mask)
    left, top, right, bottom = cutout.box
    cell = float(np.sqrt(area / SURFACE_NODES))
    while True:
        thick = (FRONT + BACK) * 1.5 * radius / cell + 4
        if ((right - left) / cell + 5) * ((bottom - top) / cell + 5) * thick <= VOLUME_NODES:
            return cell
        cell *= 1.1


def _membrane(distance: Field) -> Field:
    """Solve ``laplace(square) = -4`` where the distance (in cells) is positive; go on outside.

    A link that the outline cuts is as short as the outline makes it (Gibou et al. 2002), so
    that the membrane ends on the outline and not on the steps of the lattice.
    """
    inside = distance > 0
    count = int(np.count_nonzero(inside))
    number = np.full(distance.shape, -1, np.int32)
    number[inside] = np.arange(count)
    own = distance[inside]
    diagonal = np.zeros(count)
    links = []
    for axis in (0, 1):
        for step in (1, -1):
            beyond = np.roll(distance, step, axis)[inside]
            other = np.roll(number, step, axis)[inside]
            cut = other < 0
            diagonal += np.where(cut, 1 / np.clip(own / np.where(cut, own - beyond, 1), CLOSEST, 1), 1)
            links.append(np.stack((number[inside][~cut], other[~cut])))
    row, column = np.concatenate(links, 1)
    every = np.arange(count)
    matrix = csc_matrix(
        (
            np.concatenate((diagonal, np.full(len(row), -1.0))),
            (np.concatenate((every, row)), np.concatenate((every, column))),
        ),
        shape=(count, count),
    )
    options = {"SymmetricMode": True}
    solver = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
    square = np.zeros(distance.shape, np.float32)
    square[inside] = solver.solve(np.full(count, 4.0))
    return _continued(square, distance)


def _continued(square: Field, distance: Field) -> Field:
    """Go on outside as steeply as the membrane falls inside."""
    inside = distance > 0
    firm = distance > 0.5
    firm = firm if firm.any() else inside
    _, labels = cv2.distanceTransformWithLabels(
        1 - firm.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    slope = np.zeros(labels.max() + 1, np.float32)
    slope[labels[firm]] = square[firm] / distance[firm]
    return np.where(inside, square, distance * slope[labels])


def _resampled(field: Field, rows: Numbers, columns: Numbers) -> Field:
    """Values at every crossing of rows and columns, between the samples on straight lines."""
    for axis, places in enumerate((rows, columns)):
        last = field.shape[axis] - 1
        places = np.clip(places, 0, last)
        low = np.minimum(places.astype(np.int64), max(0, last - 1))
        part = (places - low).astype(np.float32)
        part = part[:, None] if axis == 0 else part
        high = np.minimum(low + 1, last)
        field = field.take(low, axis) * (1 - part) + field.take(high, axis) * part
    return field


def bilinear(image: Field, x: Numbers, y: Numbers) -> Field:
    """Values (n, channels) of an image (h, w, channels) at places (n,) in samples; beyond it, its rim."""
    height, width, channels = image.shape
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, up = np.minimum(x.astype(np.int32), width - 2), np.minimum(y.astype(np.int32), height - 2)
    right_part, down_part = (x - left)[:, None], (y - up)[:, None]
    flat, first = image.reshape(-1, channels), up * width + left
    upper = flat[first] * (1 - right_part) + flat[first + 1] * right_part
    lower = flat[first + width] * (1 - right_part) + flat[first + width + 1] * right_part
    return np.asarray(upper * (1 - down_part) + lower * down_part, np.float32)
