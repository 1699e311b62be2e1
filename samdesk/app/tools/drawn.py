"""What becomes of a shape that was drawn: an annotation, or a selection. Must not know how it was drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from samdesk.app.jobs import Job
from samdesk.domain.columns import Annotation, Table
from samdesk.domain.document import Snapshot
from samdesk.domain.geometry import GRID, Bounds, Plane, Shape, ShapeKind
from samdesk.domain.shaping import clipped
from samdesk.domain.tasks import Task

from .base import Host
from .forms import is_rectangle

Ids = NDArray[np.uint8]
"""A column of ids, (n, 16)."""

AT_ONCE = 2_000
"""Up to so many annotations around a shape are looked at without a job."""

ROUNDING = 0.05
"""Pixels by which the boxes of a table may be too large far from the origin, where they are coarse."""


def keep(host: Host, shape: Shape, title: str, extra: Mapping[str, Any] | None = None) -> bool:
    """Add what was drawn as an annotation and select it, or select what lies inside.

    Parameters
    ----------
    host : Host
    shape : Shape
        Need not be valid, nor on the image.
    title : str
        Of the edit.
    extra : mapping, optional
        Of the annotation, as long as the edge of the image does not cut it.

    Returns
    -------
    bool
        Whether anything was left on the image.
    """
    if host.image is None:
        return False
    cut = clipped(shape, *host.image.size)
    if cut.is_empty:
        return False
    if host.selecting:
        select_inside(host, cut)
        return True
    whole = shape.bounds.intersection(Bounds(0, 0, *host.image.size)) == shape.bounds
    annotation = Annotation(
        cut, class_name=host.active_class, plane=host.plane, extra=(extra or {}) if whole else {}
    )
    if host.do(host.document.adding([annotation], title)):
        host.selection.set([annotation.id])
        if host.settings["return_to_move"]:
            host.select_tool("move")
    return True


def select_inside(host: Host, shape: Shape, add: bool = False) -> None:
    """Select what lies inside a shape, or what a line crosses; `add` keeps what is selected."""
    document, plane, selection = host.document, host.plane, host.selection
    snapshot = document.snapshot()
    kept, hidden = selection.ids.column if add else None, host.hidden

    def found(task: Task | None = None) -> Ids:
        return inside(snapshot, plane, shape, kept, hidden, task)

    def looked(job: Job[Ids]) -> None:
        if job.state == "done" and job.result is not None and host.document is document:
            selection.set(job.result)

    if snapshot.count(shape.bounds, plane) <= AT_ONCE:
        selection.set(found())
    else:
        host.jobs.lane("io").submit(found, title="Selecting", key="select inside", done=looked)


def inside(
    snapshot: Snapshot,
    plane: Plane,
    shape: Shape,
    kept: Ids | None = None,
    hidden: frozenset[str | None] = frozenset(),
    task: Task | None = None,
) -> Ids:
    """The annotations with all vertices inside an area, or that meet a line; after those that are kept.

    Those of `hidden` classes are not found.

    Returns
    -------
    ndarray, (n, 16) uint8
        Ids, no one twice.
    """
    table = snapshot.query(shape.bounds, plane)
    table = table.take(np.flatnonzero(seen(table, hidden)))
    if task is not None:
        task.check()
    rows = _crossed(table, shape) if shape.kind is ShapeKind.LINES else _enclosed(table, shape)
    found = table.ids[rows]
    if kept is None or not len(kept):
        return found
    both = np.concatenate((kept, found))
    _, first = np.unique(both, axis=0, return_index=True)
    return both[np.sort(first)]


def seen(table: Table, hidden: frozenset[str | None]) -> NDArray[np.bool_]:
    """Which rows are of a class that is shown."""
    names = (None, *(one.name for one in table.classes))
    return np.array([name not in hidden for name in names])[table.class_id]


def _enclosed(table: Table, shape: Shape) -> NDArray[np.int64]:
    box = shape.bounds.expanded(ROUNDING)
    fits = (table.bounds[:, :2] >= box[:2]).all(axis=1) & (table.bounds[:, 2:] <= box[2:]).all(axis=1)
    rows = np.flatnonzero(fits)
    if is_rectangle(shape) or not len(rows):
        return rows
    geometry = shape.to_shapely()
    shapely.prepare(geometry)
    some = table.take(rows)
    held = shapely.intersects_xy(geometry, *(some.coords / GRID).T)
    return np.asarray(rows[np.logical_and.reduceat(held, some.geometry.row_coords[:-1])])


def _crossed(table: Table, shape: Shape) -> NDArray[np.int64]:
    line = shape.to_shapely()
    shapely.prepare(line)
    rows = np.flatnonzero(shapely.intersects(line, shapely.box(*table.bounds.T.astype(np.float64))))
    shapes = [table.shape(row).to_shapely() for row in rows.tolist()]
    return np.asarray(rows[shapely.intersects(line, shapes)] if shapes else rows)
