"""Tools that paint an area: what a stroke adds to or takes away from, and the one Edit at its end.

QuPath's rules: a stroke that begins inside the selected annotation adds to it, one that begins
elsewhere makes a new one; Alt takes away; with Shift it adds to the selected one from anywhere;
with Shift and Ctrl it spares the neighbors. Must not know widgets, nor what is painted with.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely

from samdesk.domain.columns import Annotation
from samdesk.domain.document import Document
from samdesk.domain.geometry import Bounds, Plane, Shape, ShapeKind
from samdesk.domain.shaping import filled, of_kind, reshaped

from .base import Host, QuietTool, Sketch
from .pointer import HIT_PX, Pointer

MOST_NEIGHBORS = 2000
"""Neighbors that a stroke spares; beyond it, it overlaps."""


@dataclass(slots=True, eq=False)
class Stroke:
    """What is painted between press and release.

    Attributes
    ----------
    target : Annotation or None
        What is changed; None makes a new annotation.
    erases : bool
    fills : bool
        Is kept without holes.
    spares : bool
        Leaves the neighbors out.
    whole : shapely geometry
        What the annotation would be now.
    base : shapely geometry
        What it was.
    beneath : frozenset of UUID
        Lies under the first point: what is painted on, and so no neighbor.
    """

    document: Document
    plane: Plane
    target: Annotation | None
    erases: bool
    spares: bool
    base: Any
    whole: Any
    fills: bool = False
    beneath: frozenset[uuid.UUID] = frozenset()
    neighbors: dict[uuid.UUID, Any] = field(default_factory=dict)


class PaintingTool(QuietTool):
    """What brush and wand share. A subclass calls `_paint` with what is under the pointer."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._stroke: Stroke | None = None

    @property
    def busy(self) -> bool:  # type: ignore[override]
        return self._stroke is not None

    def refresh(self) -> None:
        stroke = self._stroke
        if stroke is None:
            return
        if stroke.document is not self._host.document or stroke.plane != self._host.plane:
            self.drop()
            return
        why_not = self._why_not(stroke)
        if why_not is not None:
            self.drop()
            self._host.tell("info", "The stroke was dropped.", why_not)

    def drop(self) -> None:
        self._stroke = None
        self._show()

    def back(self) -> None:
        self.drop()

    # The stroke

    def _begin(self, pointer: Pointer) -> Stroke | None:
        """Begin a stroke; None when there is nothing to take away from, or it is locked."""
        host = self._host
        if host.image is None or not host.editable:
            return None
        selected = self._selected()
        over = host.document.snapshot().hit(pointer.x, pointer.y, host.plane)
        target = selected
        if pointer.alt:
            target = selected or self._topmost(over)
            if target is None:
                return None
        elif not pointer.shift and (selected is None or not selected.shape.contains(pointer.x, pointer.y)):
            target = None
        if target is not None and target.locked:
            self._say("Locked", pointer)
            return None
        base = target.shape.to_shapely() if target is not None else shapely.Polygon()
        self._stroke = Stroke(
            host.document,
            host.plane,
            target,
            erases=pointer.alt,
            spares=pointer.shift and pointer.ctrl and not pointer.alt,
            base=base,
            whole=base,
            beneath=frozenset(over),
        )
        return self._stroke

    def _paint(self, stroke: Stroke, stamp: Any) -> None:
        """Add a shapely area to the stroke, or take it away."""
        if stroke.erases:
            stroke.whole = shapely.difference(stroke.whole, stamp)
        else:
            stroke.whole = shapely.union(stroke.whole, self._allowed(stroke, stamp))

    def _allowed(self, stroke: Stroke, stamp: Any) -> Any:
        """The stamp inside the image, less the neighbors when they are spared."""
        assert self._host.image is not None
        box = shapely.bounds(stamp)
        width, height = self._host.image.size
        if box[0] < 0 or box[1] < 0 or box[2] > width or box[3] > height:
            stamp = shapely.intersection(stamp, shapely.box(0, 0, width, height))
        if stroke.spares:
            near = self._neighbors(stroke, Bounds(*box))
            if near:
                stamp = shapely.difference(stamp, shapely.union_all(near))
        return stamp

    def _neighbors(self, stroke: Stroke, bounds: Bounds) -> list[Any]:
        snapshot = stroke.document.snapshot()
        if snapshot.count(bounds, stroke.plane) > MOST_NEIGHBORS:
            return []
        table = snapshot.query(bounds, stroke.plane)
        near = []
        for row in np.flatnonzero(table.kind == ShapeKind.AREA).tolist():
            one = table.id(row)
            if one in stroke.beneath or (stroke.target is not None and one == stroke.target.id):
                continue
            if one not in stroke.neighbors:
                stroke.neighbors[one] = table.shape(row).to_shapely()
            near.append(stroke.neighbors[one])
        return near

    def _end(self) -> None:
        """Keep what was painted, as one step."""
        stroke, self._stroke = self._stroke, None
        if stroke is not None:
            shape = of_kind(ShapeKind.AREA, self._finished(stroke))
            self._keep(stroke, filled(shape) if stroke.fills else shape)
        self._show()

    def fill_holes(self) -> None:
        """Fill the holes of what is being painted."""
        stroke = self._stroke
        if stroke is not None:
            stroke.fills = True
            stroke.whole = filled(of_kind(ShapeKind.AREA, stroke.whole)).to_shapely()
            self._show()

    def _finished(self, stroke: Stroke) -> Any:
        """What the annotation becomes; here as it was shown."""
        return stroke.whole

    def _why_not(self, stroke: Stroke) -> str | None:
        """Why the stroke cannot change its target any more; None when it can."""
        target = stroke.target
        if target is None:
            return None
        if target.id not in stroke.document:
            return "The annotation was deleted meanwhile."
        now = stroke.document.get(target.id)
        if now.locked:
            return "The annotation was locked meanwhile."
        return None if now.shape == target.shape else "The annotation was changed meanwhile."

    def _keep(self, stroke: Stroke, shape: Shape) -> None:
        host, target = self._host, stroke.target
        if host.document is not stroke.document or self._why_not(stroke) is not None:
            return
        if target is None:
            if shape.is_empty:
                return
            made = Annotation(shape, class_name=host.active_class, plane=stroke.plane)
            if host.do(host.document.adding([made], "Paint annotation")):
                host.selection.set([made.id])
        elif shape.is_empty:
            host.do(host.document.removing([target.id], "Erase annotation"))
        elif shape != target.shape:
            title = "Erase from annotation" if stroke.erases else "Add to annotation"
            now = host.document.get(target.id)  # another class, say, was given to it meanwhile
            if host.do(host.document.replacing([reshaped(now, shape)], title)):
                host.selection.set([target.id])

    # What it works on

    def _selected(self) -> Annotation | None:
        """The selected area on this plane, when it is the only one and can be seen."""
        host = self._host
        if len(host.selection.ids) != 1:
            return None
        return self._area(host.selection.ids[0])

    def _topmost(self, ids: list[uuid.UUID]) -> Annotation | None:
        areas = (self._area(one) for one in ids)
        return next((one for one in areas if one is not None and not one.locked), None)

    def _area(self, one: uuid.UUID) -> Annotation | None:
        if one not in self._host.document:
            return None
        annotation = self._host.document.get(one)
        here = annotation.plane == self._host.plane and annotation.class_name not in self._host.hidden
        return annotation if here and annotation.shape.kind is ShapeKind.AREA else None

    def _select(self, pointer: Pointer) -> None:
        """A double click selects what lies under it."""
        self.drop()
        self._host.select_at(pointer.x, pointer.y, tolerance=HIT_PX * pointer.scale)

    # What is seen

    def _show(self) -> None:
        """Show the stroke, and the brush if there is one."""
        brush, stroke = self._brush(), self._stroke
        if stroke is None:
            self._host.show_sketch(Sketch(brush=brush) if brush else None)
            return
        shape = Shape.from_shapely(stroke.whole)
        # erased to nothing, it is shown as nothing: what stands in for it is empty
        shapes = (shape,) if shape.kind is ShapeKind.AREA and not shape.is_empty else ()
        replaces = frozenset((stroke.target.id,)) if stroke.target is not None else frozenset[uuid.UUID]()
        self._host.show_sketch(Sketch(shapes, replaces, brush=brush))

    def _brush(self) -> tuple[float, float, float] | None:
        return None

    def _say(self, text: str, pointer: Pointer) -> None:
        self._host.show_sketch(Sketch(brush=self._brush(), text=text, at=(pointer.x, pointer.y)))
