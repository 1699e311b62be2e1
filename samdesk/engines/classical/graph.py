"""The chip cut into superpixels, and what is known of each and of the borders between them.

Must not know prompts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk.domain.tasks import Task

from .merging import (
    Floats,
    Index,
    Regions,
    group_sums,
    groups_of,
    joined_borders,
    merge_rounds,
    ward_gradient,
)

Image = NDArray[np.float32]
Labels = NDArray[np.int32]

GRADIENT_SIGMA = 0.8
"""Sigma in px at which the gradient is taken."""
BASIN_SIGMA = 0.7
"""Sigma in px with which it is smoothed before it is cut into basins."""
GRID_STEP = 11
"""Distance in px of the basins that a flat area is cut into."""
FLAT = 1e-3
"""Mean gradient (Lab units per px) up to which a border is none."""
MOST = 6000
"""Superpixels to keep of a chip; the most alike neighbors are joined down to it."""
LEVELS = np.array((0.4, 0.7, 1.2, 2.0, 3.5, 6.0, 10.0), np.float32)
"""Limits of the gradient classes (Lab units per px) in which border pixels are counted."""


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Superpixels and the borders between them; everything is a sum, so that sets just add up.

    Attributes
    ----------
    labels : ndarray, (h, w) int32
        The superpixel of each pixel, 0..n - 1.
    area : ndarray, (n,) float64
    color : ndarray, (n, 5) float64
        L, a, b and two measures of texture.
    position : ndarray, (n, 2) float64
        x and y of the pixel centers.
    box : ndarray, (n, 4) float64
        x0, y0, x1, y1 on pixel edges (not a sum).
    contrast : ndarray, (n, 5) float64
        Mean color outside - inside, along the border. What lies between two members cancels
        out in a set's sum, and so does noise.
    rim : ndarray, (n,) float64
        Pixels on the border of the chip.
    first, second : ndarray, (e,) int64
        The superpixels on the two sides of border k; first < second.
    border : ndarray, (e, 2 + len(LEVELS)) float64
        Length in pixel edges, sum of the gradient, pixel edges in each class of `LEVELS` but the last.
    around : ndarray, (n, 2 + len(LEVELS)) float64
        The same, of all borders of a superpixel.
    """

    labels: Labels
    area: Floats
    color: Floats
    position: Floats
    box: Floats
    contrast: Floats
    rim: Floats
    first: Index
    second: Index
    border: Floats
    around: Floats

    def regions(self) -> Regions:
        return Regions(self.area, self.color, self.first, self.second, self.border[:, 0], self.border[:, 1])


def lab_of(chip: NDArray[np.uint8]) -> Image:
    """CIE Lab (h, w, 3) float32 of an RGB array."""
    lab: Image = cv2.cvtColor(chip.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return lab


def gradient(lab: Image) -> Image:
    """Length of the color gradient in Lab units per px, (h, w) float32."""
    smooth = cv2.GaussianBlur(lab, (0, 0), GRADIENT_SIGMA)
    dx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8)
    dy = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8)
    squares = cv2.transform(dx * dx + dy * dy, np.ones((1, 3), np.float32))
    length: Image = np.sqrt(squares).reshape(lab.shape[:2])
    return length


def texture(lab: Image) -> list[Image]:
    """Local strength of what is finer than 2 px, in two window sizes; each (h, w) float32."""
    light = np.ascontiguousarray(lab[..., 0])
    fine = np.abs(light - cv2.GaussianBlur(light, (0, 0), 2.0))
    return [2 * cv2.GaussianBlur(fine, (0, 0), sigma) for sigma in (3.0, 6.0)]


def basins(relief: Image) -> Labels:
    """Catchment basins: pixels whose steepest descent over 8 neighbors ends at the same minimum."""
    h, w = relief.shape
    padded = np.pad(relief, 1, constant_values=np.inf)
    lowest = relief.copy()
    step = np.zeros((h, w), np.int32)
    for dy, dx in ((-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)):
        neighbor = padded[1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w]
        lower = neighbor < lowest
        np.copyto(lowest, neighbor, where=lower)
        np.copyto(step, dy * w + dx, where=lower)
    here = np.arange(h * w, dtype=np.int32)
    down = here + step.ravel()
    while not np.array_equal(further := down[down], down):
        down = further
    number = np.cumsum(down == here, dtype=np.int32) - 1
    return np.asarray(number[down].reshape(h, w))


def _dimples(h: int, w: int) -> Image:
    """A faint dimple per grid cell: a flat area falls into compact basins."""
    y = np.abs(np.arange(h) % GRID_STEP - GRID_STEP // 2)[:, None]
    x = np.abs(np.arange(w) % GRID_STEP - GRID_STEP // 2)[None]
    return np.asarray(0.05 / GRID_STEP * np.hypot(y, x), np.float32)


def _borders(labels: Labels, count: int, strength: Image) -> tuple[Index, Index, Floats]:
    """The pairs of touching labels, and the table `Graph.border` of their borders."""
    keys, values = [], []
    for a, b, ga, gb in (
        (labels[:, :-1], labels[:, 1:], strength[:, :-1], strength[:, 1:]),
        (labels[:-1], labels[1:], strength[:-1], strength[1:]),
    ):
        differ = a != b
        p, q = a[differ].astype(np.int64), b[differ].astype(np.int64)
        keys.append(np.minimum(p, q) * count + np.maximum(p, q))
        values.append(np.maximum(ga[differ], gb[differ]))
    pairs, which = np.unique(np.concatenate(keys), return_inverse=True)
    value = np.concatenate(values)
    classes = len(LEVELS) + 1
    counts = np.bincount(which * classes + np.searchsorted(LEVELS, value), minlength=len(pairs) * classes)
    counts = counts.reshape(len(pairs), classes)
    sums = np.bincount(which, value, len(pairs))
    table = np.column_stack((counts.sum(axis=1), sums, counts[:, :-1])).astype(np.float64)
    return pairs // count, pairs % count, table


class _Parts(NamedTuple):
    labels: Labels
    area: Floats
    color: Floats
    first: Index
    second: Index
    border: Floats


def _merged(parts: _Parts, member: Index) -> _Parts:
    """Join superpixels; `member` (n,) is the new one that each belongs to."""
    count = int(member.max()) + 1
    first, second, part = joined_borders(member, parts.first, parts.second)
    outer = part >= 0
    return _Parts(
        member.astype(np.int32)[parts.labels],
        group_sums(member, parts.area, count),
        group_sums(member, parts.color, count),
        first,
        second,
        group_sums(part[outer], parts.border[outer], len(first)),
    )


def _flat_joined(parts: _Parts) -> _Parts:
    """Join what lies in one flat area, so that an even picture holds no regions."""
    flat = parts.border[:, 1] <= FLAT * parts.border[:, 0]
    return _merged(parts, groups_of(len(parts.area), parts.first[flat], parts.second[flat]))


def _alike_joined(parts: _Parts) -> _Parts:
    """Join the most alike neighbors until about `MOST` are left."""
    length, strength = parts.border[:, 0], parts.border[:, 1]
    regions = Regions(parts.area, parts.color, parts.first, parts.second, length, strength)
    member = np.arange(len(parts.area))
    for step in merge_rounds(regions, ward_gradient):
        member = step.group[member]
        if len(step.regions.area) <= MOST:
            break
    return _merged(parts, member)


def _boxes(labels: Labels, count: int) -> Floats:
    """The box of each label; the last write wins."""
    h, w = labels.shape
    box = np.empty((count, 4))
    rows, columns = np.repeat(np.arange(h), w), np.repeat(np.arange(w), h)
    by_row, by_column = labels.ravel(), labels.T.ravel()
    box[by_column[::-1], 0] = columns[::-1]
    box[by_row[::-1], 1] = rows[::-1]
    box[by_column, 2] = columns + 1
    box[by_row, 3] = rows + 1
    return box


def _sums(labels: Labels, count: int, planes: list[Any]) -> Floats:
    flat = labels.ravel()
    return np.stack([np.bincount(flat, plane.ravel(), count) for plane in planes], axis=1)


def build_graph(chip: NDArray[np.uint8], task: Task) -> Graph:
    """Cut an RGB chip (h, w, 3) uint8 into superpixels and measure them."""
    lab = lab_of(chip)
    h, w = lab.shape[:2]
    strength = gradient(lab)
    planes = [*cv2.split(cv2.GaussianBlur(lab, (0, 0), GRADIENT_SIGMA)), *texture(lab)]
    labels = basins(cv2.GaussianBlur(strength, (0, 0), BASIN_SIGMA) + _dimples(h, w))
    task.check()
    area = np.bincount(labels.ravel()).astype(np.float64)
    color = _sums(labels, len(area), planes)
    parts = _flat_joined(_Parts(labels, area, color, *_borders(labels, len(area), strength)))
    task.check()
    if len(parts.area) > MOST:
        parts = _alike_joined(parts)
        task.check()
    labels, area, color, first, second, border = parts
    count = len(area)
    mean = color / area[:, None]
    apart = (mean[second] - mean[first]) * border[:, :1]
    y, x = np.mgrid[:h, :w]
    rim = np.concatenate((labels[0], labels[-1], labels[:, 0], labels[:, -1]))
    return Graph(
        labels=labels,
        area=area,
        color=color,
        position=_sums(labels, count, [x + 0.5, y + 0.5]),
        box=_boxes(labels, count),
        contrast=group_sums(first, apart, count) - group_sums(second, apart, count),
        rim=np.bincount(rim, minlength=count).astype(np.float64),
        first=first,
        second=second,
        border=border,
        around=group_sums(first, border, count) + group_sums(second, border, count),
    )
