"""What formats for training do not take, and the words for it. Must not know any of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from samdesk.domain.columns import Table, is_ignored
from samdesk.domain.columns.ragged import Rows
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import FloatArray, Shape, ShapeKind
from samdesk.domain.outline.cleanup import SMALLEST_PART

from .report import ExportReport, counted
from .row import Pair

Left = list[str]
"""Lines for the report."""


def areas(table: Table, title: str, left: Left) -> Rows:
    """The rows with an area, of a class that is not ignored, in the first plane; the others are told."""
    ignored = np.array([False, *(is_ignored(one.name) for one in table.classes)])[table.class_id]
    flat = (table.kind != ShapeKind.AREA) & ~ignored
    if ignored.any():
        names = sorted({one.name for one in table.classes if is_ignored(one.name)})
        n = counted(int(ignored.sum()), "annotation")
        left.append(f"{n} of classes that are ignored ({', '.join(names[:5])})")
    if flat.any():
        n = counted(int(flat.sum()), "annotation")
        left.append(f"{n} without an area (lines, points): {title} holds areas only")
    return np.flatnonzero(~ignored & (table.kind == ShapeKind.AREA))


def first_plane(table: Table, rows: Rows, title: str, left: Left) -> Rows:
    """The rows of the plane that most are in; the others are told."""
    if not len(rows):
        return rows
    planes = np.stack((table.z[rows], table.t[rows]), axis=1)
    kinds, which, counts = np.unique(planes, axis=0, return_inverse=True, return_counts=True)
    if len(kinds) == 1:
        return rows
    most = int(counts.argmax())
    z, t = kinds[most].tolist()
    lost = len(rows) - int(counts[most])
    left.append(f"{counted(lost, 'annotation')} of other planes than z {z}, t {t}: {title} holds one plane")
    kept: Rows = rows[which.ravel() == most]
    return kept


def rounded_rings(shape: Shape) -> list[list[Pair]]:
    """The first ring of each part (holes are not among them), at 0.01 px.

    Not checked again after rounding, unlike for GeoJSON: these formats know no invalid outline.
    A part that has less than 0.01 px² is left out.
    """
    coords = np.round(shape.coords, 2)
    firsts = shape.parts[:-1].tolist()
    rings = [coords[shape.rings[first] : shape.rings[first + 1]] for first in firsts]
    if shape.kind is ShapeKind.AREA:
        rings = [ring for ring in rings if area_of(ring) >= SMALLEST_PART]
    return [[(x, y) for x, y in ring.tolist()] for ring in rings]


def area_of(ring: FloatArray) -> float:
    """The area of a ring (n, 2) that does not cross itself, by the shoelace formula."""
    x, y = (ring - ring[0]).T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def refuse_nothing(path: Path, rows: Rows, left: Left) -> None:
    """Raise when no annotation is left to write."""
    if not len(rows):
        why = f" Left out: {'; '.join(left)}." if left else ""
        raise SamdeskError(
            f"{path.name} was not written: none of the annotations fits.{why}", "Choose GeoJSON to keep all."
        )


def report(path: Path, written: int, left: Left, notes: Left) -> ExportReport:
    return ExportReport(path, written, tuple(left), tuple(notes))
