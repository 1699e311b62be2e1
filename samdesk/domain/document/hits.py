"""Which rows of a table lie under a point. Exact, for all rows at once. Must not know documents."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.columns import Table
from samdesk.domain.columns.ragged import Mask
from samdesk.domain.geometry import GRID, ShapeKind

_ROUNDING = 1e-6  # steps of the grid; a point exactly on an edge counts as on it


def under_point(table: Table, x: float, y: float, tolerance: float) -> Mask:
    """Rows whose area contains the point, or that have an edge or vertex within `tolerance`.

    Parameters
    ----------
    table : Table
    x, y, tolerance : float
        Image pixels. Edges and vertices count at tolerance 0 too.

    Returns
    -------
    ndarray, (n,) bool
        Areas by the even-odd rule over all their rings, so that holes are not hit.
    """
    if not len(table):
        return np.zeros(0, np.bool_)
    px, py, reach = x * GRID, y * GRID, tolerance * GRID + _ROUNDING
    start, end = table.coords, _edge_ends(table)
    row_ends = table.geometry.row_coords[1:]

    crossing = np.flatnonzero((start[:, 1] > py) != (end[:, 1] > py))
    a, b = start[crossing].astype(np.float64), end[crossing].astype(np.float64)
    at = a[:, 0] + (py - a[:, 1]) * (b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1])
    owner = np.searchsorted(row_ends, crossing[at > px], side="right")
    inside: Mask = (np.bincount(owner, minlength=len(table)) % 2 == 1) & (table.kind == ShapeKind.AREA)

    near = np.flatnonzero(_edges_near(start, end, px, py, reach))
    near = near[_distance(start[near], end[near], px, py) <= reach]
    inside[np.searchsorted(row_ends, near, side="right")] = True
    return inside


def areas(table: Table) -> NDArray[np.float64]:
    """Area of each row in px², holes taken off; 0 for lines and points; (n,)."""
    if not len(table):
        return np.zeros(0)
    starts = table.ring_coords[:-1]
    first = np.repeat(table.coords[starts], np.diff(table.ring_coords), axis=0)
    # about its own first vertex, so that no digits are lost far from 0
    a = table.coords.astype(np.float64) - first
    b = _edge_ends(table).astype(np.float64) - first
    ring = np.abs(np.add.reduceat(a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1], starts)) / (2 * GRID**2)
    sign = np.full(len(ring), -1.0)
    sign[table.part_rings[:-1]] = 1.0
    total = np.add.reduceat(ring * sign, table.part_rings[table.row_parts[:-1]])
    return np.where(table.kind == ShapeKind.AREA, total, 0.0)


def _edge_ends(table: Table) -> NDArray[np.int32]:
    """Where the edge that starts at each vertex ends: at the vertex itself where no edge starts."""
    geometry = table.geometry
    coords, rings = geometry.coords, geometry.ring_coords
    kind = np.repeat(table.kind, np.diff(geometry.part_rings[geometry.row_parts]))
    ends = np.empty_like(coords)
    ends[:-1] = coords[1:]
    ends[rings[1:] - 1] = coords[np.where(kind == ShapeKind.AREA, rings[:-1], rings[1:] - 1)]
    if (kind == ShapeKind.POINTS).any():
        points = np.repeat(kind == ShapeKind.POINTS, np.diff(rings))
        ends[points] = coords[points]
    return ends


def _edges_near(start: NDArray[Any], end: NDArray[Any], x: float, y: float, reach: float) -> Mask:
    near: Mask = np.ones(len(start), np.bool_)
    for axis, at in ((0, x), (1, y)):
        a, b = start[:, axis], end[:, axis]
        near &= (np.minimum(a, b) <= at + reach) & (np.maximum(a, b) >= at - reach)
    return near


def _distance(start: NDArray[Any], end: NDArray[Any], x: float, y: float) -> NDArray[np.float64]:
    a = start.astype(np.float64)
    along = end - a
    to = np.array((x, y)) - a
    length = (along**2).sum(axis=1)
    part = np.divide((to * along).sum(axis=1), length, out=np.zeros(len(a)), where=length > 0)
    gap = to - np.clip(part, 0.0, 1.0)[:, None] * along
    distance: NDArray[np.float64] = np.hypot(gap[:, 0], gap[:, 1])
    return distance
