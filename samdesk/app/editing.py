"""What is done to the shapes of the selected annotations: merged, cut, grown, copied, pasted.

Each is one Edit. What is quick is done at once, the rest on a lane, from a snapshot, and applied
if the document still fits. Must not know widgets; lengths are in the unit of the image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from samdesk.domain.columns import LOCKED, Annotation, Color, Table
from samdesk.domain.document import Document, Edit
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane, Shape, ShapeKind
from samdesk.domain.shaping import (
    Change,
    colored_rows,
    filled_rows,
    grown_rows,
    intersected,
    inverse,
    locked_rows,
    merged,
    merged_rows,
    parts_of,
    parts_of_rows,
    reshaped,
    reshaped_rows,
    rows_without_fragments,
    simplified_rows,
    subtracted,
)
from samdesk.domain.tasks import Task
from samdesk.formats.geojson import Imported, dumps, loads
from samdesk.images.source import PixelSize

from . import desk
from .jobs import Job

FEW = 24
FEW_VERTICES = 1000
"""Up to so many annotations with so many vertices an operation takes a few milliseconds."""

SHORT_TEXT = 50_000
"""Characters of GeoJSON that are read at once."""

GEOJSON_WORDS = ('"Feature', '"geometry"', '"coordinates"')
"""Text with none of these is no GeoJSON."""

SHOWN = 400
"""So many shapes of a preview are painted."""


class Desk(desk.Desk, Protocol):
    """The open image with its document; the workspace is one. Read on the main thread."""

    @property
    def pixel_size(self) -> PixelSize | None: ...
    def delete_selected(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit of lengths in which shapes are changed.

    Attributes
    ----------
    name : {"µm", "px"}
    px : float
        Image pixels in one unit, along the finer side of a pixel.
    stretch : (float, float)
        How many times as long as the finer side the width and the height of a pixel are.
    """

    name: str
    px: float
    stretch: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def of(cls, size: PixelSize | None) -> Unit:
        """Micrometers where the image says how large its pixels are, else pixels."""
        if size is None or size.unit != "µm":
            return cls("px", 1.0)
        finer = min(size.x, size.y)
        return cls("µm", 1 / finer, (size.x / finer, size.y / finer))

    @property
    def area(self) -> float:
        """Image pixels in the square of one unit."""
        x, y = self.stretch
        return self.px**2 / (x * y)


@dataclass(frozen=True, slots=True)
class Operation:
    """A row of the table: a change of shapes by a number.

    Attributes
    ----------
    verb : str
        For titles: "Simplify 3 annotations".
    power : {1, 2}
        Of the unit of the number: a length or an area.
    low, high : float
        Limits of the number.
    um, px : float
        What it is at first, with and without a known pixel size.
    make : callable
        From the number and its unit to the change.
    """

    title: str
    verb: str
    label: str
    tip: str
    power: Literal[1, 2]
    low: float
    high: float
    um: float
    px: float
    make: Callable[[float, Unit], Change]


OPERATIONS = {
    "simplify": Operation(
        "Simplify",
        "Simplify",
        "Tolerance",
        "Drops vertices while the outline moves by no more than this",
        1, 0.0, 1000.0, 0.5, 1.0,
        lambda tolerance, unit: simplified_rows(tolerance * unit.px, unit.stretch),
    ),
    "grow": Operation(
        "Expand or Shrink",
        "Resize",
        "Distance",
        "Moves the outline outward; inward with a negative number",
        1, -10_000.0, 10_000.0, 5.0, 10.0,
        lambda distance, unit: grown_rows(distance * unit.px, pixel=unit.stretch),
    ),
    "fragments": Operation(
        "Remove Fragments",
        "Remove fragments of",
        "Smaller than",
        "Drops the parts whose area is below this",
        2, 0.0, 1e9, 10.0, 100.0,
        lambda area, unit: rows_without_fragments(area * unit.area),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """What an operation would give.

    Attributes
    ----------
    shapes : tuple of Shape
        Some of the changed shapes, those in view first of all.
    ids : frozenset of UUID
        Of the annotations that these shapes stand in for.
    vertices : (before, after)
        Of all that would be changed, locked ones left out.
    vanished : int
        Annotations of which nothing would be left.
    """

    shapes: tuple[Shape, ...]
    ids: frozenset[Any]
    vertices: tuple[int, int]
    vanished: int


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """What became of the selected ones: rows to remove or replace, rows instead of them.

    Attributes
    ----------
    selected : ndarray, (n, 16) uint8, or None
        The ids to select then; None leaves the selection.
    vanished : int
        How many were left as they are, because nothing would be left of them.
    """

    before: Table
    after: Table
    selected: NDArray[np.uint8] | None = None
    vanished: int = 0
    locked: int = 0


_Work = Callable[[Table, Task], _Made]


class Editing:
    """Changes the shapes of what is selected. Locked annotations are left out, with a notice.

    Parameters
    ----------
    desk : Desk
        The workspace.

    Attributes
    ----------
    told : Signal(level, text, hint)
        What the user should know: "info" or "warning", what happened, what can be done.
    """

    told = Signal(str, str, str)

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def unit(self) -> Unit:
        return Unit.of(self._desk.pixel_size)

    # Several become one, one becomes several

    def merge(self) -> None:
        """Make one annotation of all; it is the first selected one."""
        self._run("Merge", _merge)

    def intersect(self) -> None:
        """Keep what all have in common, as the first selected one."""
        self._run("Intersect", _intersect)

    def subtract(self) -> None:
        """Cut all others out of the first selected one; the others stay."""
        self._run("Subtract from", _subtract, cutting=True)

    def split(self) -> None:
        """Make an annotation of every part."""
        self._run("Split", _split)

    def invert(self) -> None:
        """Cover what the selected ones leave of the image, as the first of them."""
        image = self._desk.image
        if image is not None:
            bounds = Bounds(0, 0, *image.size)
            self._run("Invert", lambda table, task: _invert(table, bounds, task))

    # Each by itself

    def fill_holes(self) -> None:
        self._run("Fill holes of", _changing(filled_rows))

    def apply(self, name: str, value: float, *, inside: bool = True) -> None:
        """Change all selected ones by a number.

        Parameters
        ----------
        name : str
            Of a row in `OPERATIONS`.
        value : float
            In `unit`, or its square.
        inside : bool
            What grows stays inside the image.
        """
        self._run(OPERATIONS[name].verb, _changing(self._change(name, value, inside)))

    def simplify(self, tolerance: float) -> None:
        """Drop vertices while the outline moves by no more than `tolerance`, in `unit`."""
        self.apply("simplify", tolerance)

    def grow(self, distance: float, *, inside: bool = True) -> None:
        """Expand by `distance` in `unit`, or shrink by a negative one."""
        self.apply("grow", distance, inside=inside)

    def remove_fragments(self, area: float) -> None:
        """Drop parts smaller than `area`, in `unit` squared."""
        self.apply("fragments", area)

    def preview(
        self,
        name: str,
        value: float,
        looking_at: Bounds,
        shown: Callable[[Preview], None],
        *,
        inside: bool = True,
    ) -> None:
        """Work out what `apply` would give. Returns at once; the newest call wins."""
        change, ids = self._change(name, value, inside), self._desk.selection.ids.column
        snapshot = self._desk.document.snapshot()

        def made(task: Task) -> Preview:
            return _previewed(_unlocked(snapshot.table(ids)), change, looking_at, task)

        def done(job: Job[Preview]) -> None:
            if job.state == "done" and job.result is not None:
                shown(job.result)

        self._desk.jobs.lane("shapes").submit(made, key="preview", done=done)

    def stop_preview(self) -> None:
        """Drop the one that is under way."""
        self._desk.jobs.lane("shapes").submit(lambda task: None, key="preview")

    def _change(self, name: str, value: float, inside: bool) -> Change:
        image, unit = self._desk.image, self.unit
        if name == "grow" and inside and value > 0 and image is not None:
            return grown_rows(value * unit.px, Bounds(0, 0, *image.size), unit.stretch)
        return OPERATIONS[name].make(value, unit)

    # Copies

    def duplicate(self) -> None:
        """Add the selected ones once more, at the same place, and select the copies."""
        self._run("Duplicate", _duplicated, locked_too=True)

    def copy_to_plane(self) -> None:
        """Add the selected ones of other planes to the plane that is looked at."""
        plane = self._desk.plane
        self._run("Copy", lambda table, task: _copied_to(plane, table), locked_too=True)

    def copy(self, put: Callable[[str], None], then: Callable[[], None] | None = None) -> None:
        """Give the selected ones as GeoJSON text to `put`; `then` comes after it."""
        ids, snapshot = self._desk.selection.ids.column, self._desk.document.snapshot()
        if not len(ids):
            return

        def ready(text: str) -> None:
            put(text)
            if then is not None:
                then()

        if self._is_small():
            ready(dumps(snapshot.table(ids)))
            return

        def done(job: Job[str]) -> None:
            if job.state == "done" and job.result is not None:
                ready(job.result)

        title = f"Copying {_count(len(ids))}"
        self._lane.submit(lambda task: dumps(snapshot.table(ids)), title=title, done=done)

    def cut(self, put: Callable[[str], None]) -> None:
        """Copy the selected ones, and delete those that are not locked."""
        document, ids = self._desk.document, self._desk.selection.ids.column

        def delete() -> None:
            # what was selected since was not copied
            if self._desk.document is document and np.array_equal(self._desk.selection.ids.column, ids):
                self._desk.delete_selected()

        self.copy(put, delete)

    def paste(self, text: str) -> None:
        """Add annotations from GeoJSON text and select them; one whose id is here gets a new one."""
        if not any(word in text for word in GEOJSON_WORDS):
            self.told.emit("info", "The clipboard holds no annotations.", "Copy some, as GeoJSON.")
            return
        if len(text) <= SHORT_TEXT:
            self._pasted(self._desk.document, loads(text))
            return
        document = self._desk.document

        def done(job: Job[Imported]) -> None:
            if job.state == "done" and job.result is not None:
                self._pasted(document, job.result)

        self._lane.submit(lambda task: loads(text), title="Pasting annotations", done=done)

    def _pasted(self, document: Document, found: Imported) -> None:
        table = found.table
        if self._desk.document is not document:
            return
        if not len(table):
            self.told.emit("info", "The clipboard holds no annotations.", found.report.summary())
            return
        table = table.with_new_ids(document.known(table))
        if self._desk.do(document.adding(table, f"Paste {_count(len(table))}")):
            self._desk.selection.set(table.ids)
            if found.report.repaired or found.report.skipped:
                self.told.emit("warning", found.report.summary(), "")

    def cover_image(self) -> None:
        """Add an annotation of the whole image."""
        desk = self._desk
        if desk.image is None:
            return
        shape = Shape.box(0, 0, *desk.image.size)
        one = Annotation(shape, class_name=desk.active_class, plane=desk.plane)
        if desk.do(desk.document.adding([one], "Add full-image annotation")):
            desk.selection.set([one.id])

    def set_locked(self, locked: bool | None = None) -> None:
        """Lock or unlock the selected ones; None unlocks them when all are locked, else locks them."""

        def change(table: Table, task: Task) -> _Made:
            lock = not bool((table.flags & LOCKED).all()) if locked is None else locked
            before = table.take(np.flatnonzero((table.flags & LOCKED > 0) != lock))
            return _Made(before, locked_rows(before, lock))

        verb = {True: "Lock", False: "Unlock", None: "Lock or unlock"}[locked]
        self._run(verb, change, locked_too=True, quiet=True)

    def set_color(self, color: Color | None) -> None:
        """Give the selected ones a color of their own; None for that of their class."""

        def change(table: Table, task: Task) -> _Made:
            before, after = colored_rows(table, color)
            return _Made(before, after)

        self._run("Change color of" if color else "Reset color of", change, locked_too=True, quiet=True)

    # Doing it

    @property
    def _lane(self) -> Any:
        return self._desk.jobs.lane("shapes")

    def _is_small(self) -> bool:
        ids = self._desk.selection.ids.column
        return len(ids) <= FEW and len(self._desk.document.table(ids).coords) <= FEW_VERTICES

    def _run(
        self,
        verb: str,
        work: _Work,
        *,
        locked_too: bool = False,
        cutting: bool = False,
        quiet: bool = False,
    ) -> None:
        """Do it now when it is quick, else on the lane.

        With `locked_too`, locked ones take part; with `cutting`, only the first selected one must
        not be locked. When `quiet`, it is not told that nothing changed.
        """
        desk = self._desk
        ids, document = desk.selection.ids.column, desk.document
        snapshot = document.snapshot()
        title = f"{verb} {_count(1 if cutting else len(ids))}"

        def made(task: Task) -> _Made:
            chosen = snapshot.table(ids)
            if locked_too:
                return work(chosen, task)
            if cutting:
                _refuse_locked(chosen)
                return work(chosen, task)
            free = _unlocked(chosen)
            if not len(free):
                raise SamdeskError("What is selected is locked.", "Unlock it first: Ctrl+K.")
            return replace(work(free, task), locked=len(chosen) - len(free))

        def done(job: Job[_Made]) -> None:
            if job.state == "done" and job.result is not None and desk.document is document:
                self._apply(title, job.result, quiet)

        if not len(ids):
            return
        if self._is_small():
            self._apply(title, made(Task()), quiet)
        else:
            self._lane.submit(made, title=title, done=done)

    def _apply(self, title: str, made: _Made, quiet: bool) -> None:
        desk = self._desk
        try:
            edit = _edit(desk.document, title, made)
            applied = edit.is_empty or desk.do(edit)
        except SamdeskError as error:  # the annotations have changed since
            self.told.emit("warning", error.message, error.hint)
            return
        if applied and made.selected is not None:
            desk.selection.set(made.selected)
        if applied:
            self._tell(made, edit.is_empty and not quiet)

    def _tell(self, made: _Made, unchanged: bool) -> None:
        if made.vanished:
            what = "1 annotation was" if made.vanished == 1 else f"{made.vanished:,} annotations were"
            self.told.emit("info", f"{what} left as before.", "Nothing would be left otherwise.")
        elif made.locked:
            what = (
                "A locked annotation was" if made.locked == 1 else f"{made.locked:,} locked annotations were"
            )
            self.told.emit("info", f"{what} left as before.", "Unlock first: Ctrl+K.")
        elif unchanged:
            self.told.emit("info", "There was nothing to change.", "")


def _edit(document: Document, title: str, made: _Made) -> Edit:
    if np.array_equal(made.before.ids, made.after.ids):
        return Edit(title, made.before, made.after)  # places and classes are those of before
    if not len(made.before):
        return document.adding(made.after, title)
    return document.exchanging(made.before, made.after, title)


def _count(n: int) -> str:
    return "annotation" if n == 1 else f"{n:,} annotations"


def _unlocked(table: Table) -> Table:
    return table.take(np.flatnonzero((table.flags & LOCKED) == 0))


def _refuse_locked(table: Table) -> None:
    if table.flags[0] & LOCKED:
        raise SamdeskError("The first selected annotation is locked.", "Unlock it first: Ctrl+K.")


def _changing(change: Change) -> _Work:
    def work(table: Table, task: Task) -> _Made:
        found = reshaped_rows(table, change, task)
        return _Made(found.before, found.after, vanished=found.vanished)

    return work


def _merge(table: Table, task: Task) -> _Made:
    _require(table, several=True)
    if table.kind[0] == ShapeKind.AREA:
        return _as_first(table, merged_rows(table, task))
    return _as_first(table, merged([table.shape(row) for row in range(len(table))]))


def _intersect(table: Table, task: Task) -> _Made:
    _require(table, several=True, areas=True)
    task.progress(None, "")
    return _as_first(table, intersected([table.shape(row) for row in range(len(table))]))


def _subtract(table: Table, task: Task) -> _Made:
    _require(table, several=True, areas=True)
    rest = merged_rows(table.take(np.arange(1, len(table))), task)
    return _as_first(table.take([0]), subtracted(table.shape(0), [rest]))


def _invert(table: Table, bounds: Bounds, task: Task) -> _Made:
    _require(table, areas=True)
    return _as_first(table, inverse(merged_rows(table, task), bounds))


def _split(table: Table, task: Task) -> _Made:
    task.progress(None, "")
    parts, rows = parts_of_rows(table)
    made = [parts]
    for row in np.flatnonzero((table.kind == ShapeKind.POINTS) & (np.diff(table.geometry.row_coords) > 1)):
        one = table.annotation(int(row))
        points = [replace(one, shape=part, id=new) for part, new in zip(*_with_ids(one.shape), strict=True)]
        made.append(Table.from_annotations(points, table.classes))
        rows = np.append(rows, row)
    after = Table.concat(made)
    return _Made(table.take(rows), after, after.ids if len(rows) else None)


def _with_ids(shape: Shape) -> tuple[list[Shape], list[Any]]:
    parts = parts_of(shape)
    return parts, [Annotation(part).id for part in parts]


def _duplicated(table: Table, task: Task) -> _Made:
    copies = locked_rows(table.with_new_ids(), False)
    return _Made(table.take([]), copies, copies.ids)


def _copied_to(plane: Plane, table: Table) -> _Made:
    there = (table.z == plane.z) & (table.t == plane.t)
    if there.all():
        raise SamdeskError("What is selected lies on this plane already.", "Go to another plane first.")
    copies = locked_rows(table.take(np.flatnonzero(~there)).with_new_ids(), False)
    z, t = (np.full(len(copies), at, np.int32) for at in plane)
    copies = replace(copies, z=z, t=t)
    return _Made(table.take([]), copies, copies.ids)


def _as_first(table: Table, shape: Shape) -> _Made:
    """All rows become one, with this shape: the first."""
    if shape.is_empty:
        raise SamdeskError("Nothing would be left.", "Delete the annotation if that is what you want.")
    one = Table.from_annotations([reshaped(table.annotation(0), shape)], table.classes)
    one = one.with_order(table.order[:1])
    return _Made(table, one, one.ids)


def _require(table: Table, *, several: bool = False, areas: bool = False) -> None:
    """Raise when these rows cannot become one shape."""
    if several and len(table) < 2:
        raise SamdeskError("This takes two annotations or more.", "Alt+click selects another one.")
    if areas and (table.kind != ShapeKind.AREA).any():
        raise SamdeskError("Lines and points have no area.", "Select areas only.")
    if (table.kind != table.kind[0]).any():
        raise SamdeskError("Areas, lines and points cannot be one annotation.", "Select one kind only.")
    if (table.z != table.z[0]).any() or (table.t != table.t[0]).any():
        raise SamdeskError("The selected annotations lie on several planes.", "Select those of one plane.")


def _previewed(table: Table, change: Change, looking_at: Bounds, task: Task) -> Preview:
    found = reshaped_rows(table, change, task)
    x0, y0, x1, y1 = found.after.bounds.T
    seen = (x0 <= looking_at.x1) & (x1 >= looking_at.x0) & (y0 <= looking_at.y1) & (y1 >= looking_at.y0)
    some = found.after.take(np.flatnonzero(seen)[:SHOWN])
    vertices = len(table.coords)
    after = vertices - len(found.before.coords) + len(found.after.coords)
    return Preview(
        tuple(some.shape(row) for row in range(len(some))),
        frozenset(some.id(row) for row in range(len(some))),
        (vertices, after),
        found.vanished,
    )
