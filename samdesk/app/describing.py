"""What annotations are, in the user's words: their shape, how they came to be, what they measure.

Must not know widgets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from samdesk.domain.columns import LOCKED, Annotation, Table, is_ignored
from samdesk.domain.geometry import Shape, ShapeKind
from samdesk.domain.measure import PIXELS, measured
from samdesk.domain.tasks import Task
from samdesk.images.source import PixelSize

from .tools.forms import is_rectangle

WHOLE_FROM = 1000.0
"""Larger sizes are told without decimals."""

DESCRIPTION = "ANNOTATION_DESCRIPTION"
"""The key in an annotation's metadata under which QuPath keeps its description."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Many annotations together.

    Attributes
    ----------
    count : int
    classes : mapping of str or None to int
        How many have each class, those with the most first; None is unclassified.
    area : float
        Of all areas together in px², without those of ignored classes.
    locked : int
        How many are locked.
    """

    count: int
    classes: Mapping[str | None, int]
    area: float
    locked: int

    @classmethod
    def of(cls, table: Table, task: Task | None = None) -> Summary:
        """Look at all rows; for any thread."""
        names = [None, *(one.name for one in table.classes)]
        tally = np.bincount(table.class_id, minlength=len(names))
        most = np.argsort(-tally, kind="stable")
        counted = np.array([not is_ignored(name) for name in names])[table.class_id]
        area = measured(table.take(np.flatnonzero(counted)), ["area"], task=task)["area"]
        classes = {names[k]: int(tally[k]) for k in most if tally[k]}
        locked = int(np.count_nonzero(table.flags & LOCKED))
        return cls(len(table), classes, float(np.nansum(area)), locked)


def shape_text(one: Annotation) -> str:
    """What kind of shape it is: "Polygon, 1 hole, 124 vertices"."""
    shape = one.shape
    parts, rings, vertices = len(shape.parts) - 1, len(shape.rings) - 1, len(shape.coords)
    if shape.kind is ShapeKind.POINTS:
        return _count(vertices, "point").capitalize()
    if shape.kind is ShapeKind.LINES:
        what = "Line" if vertices == 2 else "Polyline"
        return what if vertices == 2 else f"{what}, {_count(vertices, 'vertex')}"
    if one.extra.get("geometry", {}).get("isEllipse"):
        return "Ellipse"
    if is_rectangle(shape):
        return "Rectangle"
    told = ["Polygon" if parts == 1 else f"{parts:,} polygons"]
    if rings > parts:
        told.append(_count(rings - parts, "hole"))
    return ", ".join([*told, _count(vertices, "vertex")])


def size_text(shape: Shape, size: PixelSize | None) -> str:
    """How large it is: "1,259 µm²"; of a line its length, of points their number.

    All in one unit, so that sizes below each other can be compared.
    """
    if shape.kind is ShapeKind.POINTS:
        return _count(len(shape.coords), "point")
    known = size if size is not None and size.unit == "µm" else None
    scale = (known.x, known.y) if known else PIXELS
    unit = known.unit if known else "px"
    if shape.kind is ShapeKind.AREA:
        return f"{_plain(shape.area * scale[0] * scale[1], known is None)} {unit}²"
    steps = [np.diff(line, axis=0) * scale for part in shape.to_parts() for line in part]
    length = sum(float(np.hypot(*step.T).sum()) for step in steps)
    return f"{_plain(length, known is None)} {unit}"


def _plain(value: float, whole: bool) -> str:
    return f"{value:,.0f}" if whole or value >= WHOLE_FROM else f"{value:,.1f}"


def provenance_text(told: Mapping[str, Any]) -> str:
    """How it came to be: "SAM 2.1 Hiera-T, score 0.93, 2 points, refined once"; "" when nothing is known."""
    if not told:
        return ""
    parts = [str(told.get("engine") or "An unknown model")]
    score = told.get("score")
    if isinstance(score, int | float) and math.isfinite(score):
        parts.append(f"score {score:.2f}")
    for names, one in (
        (("points",), "point"),
        (("boxes", "negative_boxes"), "box"),
        (("examples", "negative_examples"), "example"),
    ):
        number = sum(len(found) for name in names if isinstance(found := told.get(name), list | tuple))
        if number:
            parts.append(_count(number, one))
    if told.get("text"):
        parts.append(f"asked for “{told['text']}”")
    times = told.get("refined")
    if isinstance(times, int) and times > 0:
        parts.append({1: "refined once", 2: "refined twice"}.get(times, f"refined {times} times"))
    if told.get("edited"):
        parts.append("edited by hand")
    return ", ".join(parts)


def measures(table: Table, size: PixelSize | None) -> list[tuple[str, str]]:
    """What the one row of a table measures, as (title, value with unit)."""
    scale = (size.x, size.y) if size else PIXELS
    unit = size.unit if size else "px"
    found = measured(table, ("area", "perimeter", "length", "centroid_x", "centroid_y"), scale)
    value = {name: float(column[0]) for name, column in found.items()}
    rows = [
        (title, f"{number(value[name])} {unit}{power}")
        for name, title, power in (
            ("area", "Area", "²"),
            ("perimeter", "Perimeter", ""),
            ("length", "Length", ""),
        )
        if math.isfinite(value[name])
    ]
    if math.isfinite(value["centroid_x"]):
        rows.append(("Centroid", f"{number(value['centroid_x'])}, {number(value['centroid_y'])} {unit}"))
    return rows


def details(one: Annotation) -> list[tuple[str, str]]:
    """What is stored with an annotation: measurements, then metadata, as (title, value)."""
    rows = [(name, number(value)) for name, value in one.measurements.items()]
    return [*rows, *((name, text) for name, text in one.metadata.items() if name != DESCRIPTION)]


def number(value: float) -> str:
    """A number for reading: four digits that matter, more for large ones."""
    if not math.isfinite(value):
        return "–"
    if abs(value) >= 1e15 or 0 < abs(value) < 1e-4:
        return f"{value:.4g}"
    digits = 0 if value == 0 else max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(digits, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _count(n: int, one: str) -> str:
    plural = {"vertex": "vertices", "box": "boxes"}.get(one, f"{one}s")
    return f"{n:,} {one if n == 1 else plural}"
