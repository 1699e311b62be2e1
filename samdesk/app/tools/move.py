"""The Move tool: panning, selecting, and changing what is selected. Must not know widgets."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from samdesk.domain.columns import LOCKED, Annotation, Table
from samdesk.domain.document.hits import under_point
from samdesk.domain.geometry import GRID, Bounds, FloatArray, Shape, ShapeKind
from samdesk.domain.outline import snap
from samdesk.domain.shaping import EDITED, reshaped

from .base import BAND, Cursor, Host, QuietTool, Sketch
from .drawn import seen, select_inside
from .forms import box_between
from .handles import Handles, edge_at, handles_of, with_vertex
from .pointer import HIT_PX, Pointer, dragged
from .readout import area_text, length_text, ring_area, size_text

GRIP_PX = 7.0
"""Screen pixels around a handle in which it is taken hold of."""

MOST_MOVED = 2_000
"""A larger selection is not moved by hand: too much is changed by a slip."""

MOST_SKETCHED = 300
"""Of what is moved so many outlines are shown meanwhile; of more the box around them."""

HOVER_VERTICES = 50_000
"""Up to so many vertices of a selection are looked at while the pointer only hovers."""


class _Drag(Protocol):
    """What a press has taken hold of."""

    def sketch(self, pointer: Pointer) -> Sketch:
        """How it looks with the pointer here."""
        ...

    def done(self, pointer: Pointer) -> None:
        """The button was released here."""
        ...


class MoveTool(QuietTool):
    """Drag pans, or moves the selected annotation or a handle of it; a click selects.

    A second click selects what lies below. Ctrl or Alt adds to the selection, a drag with Ctrl
    selects what is inside a box. Alt and a click on a vertex removes it, a double click on the
    outline adds one.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._start: Pointer | None = None
        self._drag: _Drag | None = None
        self._last: Pointer | None = None  # while something is dragged
        self._subject: Annotation | None = None
        self._handles: Handles | None = None
        self._held: int | None = None
        self._over = False  # hovers over what a drag would move
        self._these: tuple[object, object] = (None, None)
        self._state: tuple[object, ...] = ()
        self._selected: Table | None = None

    @property
    def cursor(self) -> Cursor:  # type: ignore[override]
        if self._held is not None or isinstance(self._drag, _HandleDrag):
            return "grip"
        return "move" if self._over or isinstance(self._drag, _BodyDrag) else "hand"

    @property
    def pans(self) -> bool:  # type: ignore[override]
        return self._drag is None

    @property
    def busy(self) -> bool:  # type: ignore[override]
        return self._last is not None

    # The pointer

    def press(self, pointer: Pointer) -> None:
        if pointer.button != "left":
            return
        self._start = pointer
        self._drag = self._grasp(pointer)

    def move(self, pointer: Pointer) -> None:
        start = self._start
        if start is None:
            self._hover(pointer)
        elif self._drag is None:
            if dragged(start, pointer):
                self._start = None  # the picture is panned
        elif self._last is not None or dragged(start, pointer):
            self._last = pointer
            self._host.show_sketch(self._drag.sketch(pointer))

    def release(self, pointer: Pointer) -> None:
        start, drag, last = self._start, self._drag, self._last
        self._start = self._drag = self._last = None
        if last is not None and drag is not None:
            drag.done(pointer)
        elif start is not None and not dragged(start, pointer):
            self._click(start)
        self.refresh()

    def finish(self) -> None:
        if self._last is not None:
            self.release(self._last)

    def back(self) -> None:
        self.drop()

    def drop(self) -> None:
        self._start = self._drag = self._last = None
        self._held, self._over = None, False
        self._show()

    def leave(self) -> None:
        self._held, self._over = None, False
        self._show()

    def refresh(self) -> None:
        host = self._host
        these = host.document.snapshot(), host.selection.ids
        state = host.plane, host.settings["annotations"], host.hidden
        if any(a is not b for a, b in zip(these, self._these, strict=True)) or state != self._state:
            self._these, self._state, self._selected = these, state, None
            self._start = self._drag = self._last = None
            self._subject = self._find_subject()
            self._over = False
        if self._last is not None:
            return
        self._handles = None
        if self._subject is not None:
            self._handles = handles_of(self._subject, host.scale)
        if self._held is not None and (self._handles is None or self._held >= len(self._handles.points)):
            self._held = None
        self._show()

    def _click(self, at: Pointer) -> None:
        if self._held is not None and not at.ctrl:
            if at.alt:
                self._remove_vertex(self._held)
            return
        subject, plain = self._subject, not (at.ctrl or at.alt)
        edge = subject and edge_at(subject.shape, at.x, at.y, HIT_PX * at.scale) if plain else None
        if subject is not None and edge:
            # a click on its own outline must not select what lies below: another may follow
            if at.clicks == 2:
                _change(self._host, subject, with_vertex(subject.shape, *edge), "Add vertex")
            return
        self._host.select_at(at.x, at.y, tolerance=HIT_PX * at.scale, add=at.ctrl or at.alt)

    def _grasp(self, at: Pointer) -> _Drag | None:
        """What a drag from here would change."""
        self._held = self._handle_at(at)
        if at.ctrl:
            return _BandDrag(self._host, at)
        if self._held is not None and self._subject is not None and self._handles is not None:
            return _HandleDrag(self._host, self._subject, self._handles, self._held)
        movable = None if at.alt else self._movable(at)
        return None if movable is None else _BodyDrag.of(self._host, at, movable)

    # What is there

    def _find_subject(self) -> Annotation | None:
        """The one annotation whose handles are shown."""
        host = self._host
        if len(host.selection) != 1 or not host.editable or not host.settings["annotations"]:
            return None
        one = host.document.get(host.selection.ids[0])
        hidden = one.class_name in host.hidden
        return None if one.locked or hidden or one.plane != host.plane else one

    def _handle_at(self, at: Pointer) -> int | None:
        if self._handles is None or not len(self._handles.points):
            return None
        away = np.abs(self._handles.points - (at.x, at.y)).max(axis=1)
        nearest = int(away.argmin())
        return nearest if away[nearest] <= GRIP_PX * at.scale else None

    def _movable(self, at: Pointer) -> Table | None:
        """The unlocked annotations that a drag from here moves: the selected ones, if it begins on one."""
        host = self._host
        if not (0 < len(host.selection) <= MOST_MOVED and host.editable):
            return None
        if self._selected is None:
            table = host.document.table(host.selection.ids)
            here = (table.z == host.plane.z) & (table.t == host.plane.t) & ((table.flags & LOCKED) == 0)
            self._selected = table.take(np.flatnonzero(here & seen(table, host.hidden)))
        near = under_point(self._selected, at.x, at.y, HIT_PX * at.scale)
        return self._selected if near.any() else None

    def _hover(self, at: Pointer) -> None:
        held = self._handle_at(at)
        self._over = held is None and self._hovers_over_selected(at)
        if held != self._held:
            self._held = held
            self._show()

    def _hovers_over_selected(self, at: Pointer) -> bool:
        host = self._host
        if not 0 < len(host.selection) <= MOST_SKETCHED:
            return False
        subject = self._subject
        if subject is not None:
            if len(subject.shape.coords) > HOVER_VERTICES:
                return False
            if not subject.shape.bounds.expanded(HIT_PX * at.scale).contains(at.x, at.y):
                return False
        return self._movable(at) is not None

    def _show(self) -> None:
        handles = self._handles
        shown = handles is not None and len(handles.points) > 0
        self._host.show_sketch(Sketch(handles=handles.points, held=self._held) if handles and shown else None)

    # Changes

    def _remove_vertex(self, index: int) -> None:
        left = self._handles.without(index) if self._handles is not None else None
        if self._subject is not None and left is not None:
            _change(self._host, self._subject, left, "Remove vertex")


class _HandleDrag:
    """A handle of one annotation."""

    def __init__(self, host: Host, one: Annotation, handles: Handles, index: int) -> None:
        self._host = host
        self._one = one
        self._handles = handles
        self._index = index

    def sketch(self, pointer: Pointer) -> Sketch:
        shape = self._shape(pointer)
        points = self._handles.points.copy()
        points[self._index] = self._place(pointer)
        if self._handles.stays:
            points = handles_of(reshaped(self._one, shape, moved=True), pointer.scale).points
        return Sketch(
            (shape,),
            frozenset((self._one.id,)),
            handles=points,
            held=_nearest(points, self._place(pointer)),
            text=_measure(shape, self._handles.stays, self._host),
            at=(pointer.x, pointer.y),
        )

    def done(self, pointer: Pointer) -> None:
        title = "Change size" if self._handles.stays else "Move vertex"
        _change(self._host, self._one, self._shape(pointer), title, same_form=self._handles.stays)

    def _shape(self, pointer: Pointer) -> Shape:
        return self._handles.moved(self._index, *self._place(pointer))

    def _place(self, pointer: Pointer) -> tuple[float, float]:
        """Where the handle goes: not off the image."""
        image = self._host.image
        width, height = image.size if image is not None else (np.inf, np.inf)
        return min(max(pointer.x, 0.0), width), min(max(pointer.y, 0.0), height)


class _BodyDrag:
    """Whole annotations, kept on the image."""

    def __init__(self, host: Host, start: Pointer, table: Table, room: Bounds) -> None:
        self._host = host
        self._start = start
        self._table = table
        self._room = room
        self._shapes: tuple[Shape, ...] = ()
        self._ids = frozenset(table.id(row) for row in range(len(table)))

    @classmethod
    def of(cls, host: Host, start: Pointer, table: Table) -> _BodyDrag | None:
        """None where the image leaves no room to move: there a drag pans."""
        if host.image is None:
            return None
        # not the box of the table, which is coarse far from the origin
        (x0, y0), (x1, y1) = table.coords.min(axis=0) / GRID, table.coords.max(axis=0) / GRID
        width, height = host.image.size
        room = Bounds(min(-x0, 0.0), min(-y0, 0.0), max(width - x1, 0.0), max(height - y1, 0.0))
        return cls(host, start, table, room) if room.width or room.height else None

    def sketch(self, pointer: Pointer) -> Sketch:
        if not self._shapes:
            self._shapes = self._outlines()
        return Sketch(self._shapes, self._ids, offset=self._way(pointer))

    def done(self, pointer: Pointer) -> None:
        way = self._way(pointer)
        if way == (0.0, 0.0):
            return
        moved = _translated(self._table, *way)
        what = "annotation" if len(moved) == 1 else f"{len(moved):,} annotations"
        self._host.do(self._host.document.replacing(moved, f"Move {what}"))

    def _outlines(self) -> tuple[Shape, ...]:
        shapes = tuple(self._table.shape(row) for row in range(min(len(self._table), MOST_SKETCHED)))
        if len(self._table) > MOST_SKETCHED:
            box = self._table.bounding_box()
            assert box is not None
            shapes += (Shape.box(*box),)
        return shapes

    def _way(self, pointer: Pointer) -> tuple[float, float]:
        """How far it is moved, in steps of the document's grid, so that the shapes stay exactly the same."""
        room = self._room
        dx = min(max(pointer.x - self._start.x, room.x0), room.x1)
        dy = min(max(pointer.y - self._start.y, room.y0), room.y1)
        return round(dx * GRID) / GRID, round(dy * GRID) / GRID


class _BandDrag:
    """A box that selects what is inside."""

    def __init__(self, host: Host, start: Pointer) -> None:
        self._host = host
        self._start = start

    def sketch(self, pointer: Pointer) -> Sketch:
        return Sketch((self._box(pointer),), color=BAND)

    def done(self, pointer: Pointer) -> None:
        select_inside(self._host, self._box(pointer), add=True)

    def _box(self, pointer: Pointer) -> Shape:
        return Shape.box(*box_between(self._start.x, self._start.y, pointer.x, pointer.y))


def _change(host: Host, one: Annotation, shape: Shape, title: str, same_form: bool = False) -> None:
    """Give an annotation a shape; one of which nothing is left is refused."""
    shape = snap(shape)
    if not shape.is_empty and shape.kind is one.shape.kind and shape != one.shape:
        # what was made by hand may be changed by hand without a note
        changed = reshaped(one, shape, moved=same_form, edited=bool(one.provenance))
        host.do(host.document.replacing([changed], title))


def _translated(table: Table, dx: float, dy: float) -> Table:
    """All rows elsewhere, on columns: steps of the grid keep what is valid valid."""
    marked = {
        row: replace(own, provenance={**own.provenance, EDITED: True}) if own.provenance else own
        for row, own in table.attributes.items()
    }
    return Table.from_arrays(
        table.coords + (np.array((dx, dy)) * GRID).astype(np.int32),
        table.ring_coords,
        table.part_rings,
        table.row_parts,
        ids=table.ids,
        order=table.order,
        class_id=table.class_id,
        object_type=table.object_type,
        flags=table.flags,
        kind=table.kind,
        z=table.z,
        t=table.t,
        classes=table.classes,
        attributes=marked,
    )


def _nearest(points: FloatArray, at: tuple[float, float]) -> int | None:
    return int(np.abs(points - at).max(axis=1).argmin()) if len(points) else None


def _measure(shape: Shape, box: bool, host: Host) -> str:
    """What a changed shape measures; of an area with one ring only, since others take too long to be live."""
    size = host.pixel_size
    if box:
        return size_text(shape.bounds.width, shape.bounds.height, size)
    if len(shape.rings) != 2 or shape.kind is ShapeKind.POINTS:
        return ""
    if shape.kind is ShapeKind.LINES:
        return length_text(shape.coords, size)
    return area_text(ring_area(shape.coords), size)
