"""The points tool: sets of points, one annotation each. Must not know widgets."""

from __future__ import annotations

import math

import numpy as np

from samdesk.domain.columns import Annotation
from samdesk.domain.document import Document
from samdesk.domain.geometry import FloatArray, Shape, ShapeKind
from samdesk.domain.shaping import reshaped

from .base import Cursor, Host, QuietTool, Sketch
from .pointer import HIT_PX, Pointer, dragged

REACH_PX = 2 * HIT_PX
"""Screen pixels around a point in which it is taken hold of."""


class PointsTool(QuietTool):
    """Click adds a point to the selected set, Alt+click takes one away, a drag moves one.

    Enter ends the set, and Shift with a double click begins another at once; without a set that is
    selected, a click begins one of the active class.
    """

    cursor: Cursor = "cross"

    def __init__(self, host: Host) -> None:
        self._host = host
        self._start: Pointer | None = None
        self._held: int | None = None
        self._moving = False
        self._drawn: tuple[Document, object] | None = None  # the set that clicks of this tool made

    @property
    def busy(self) -> bool:  # type: ignore[override]
        """A set is being made: Enter ends it, Backspace takes its last point back."""
        current = self._current()
        return current is not None and self._drawn == (self._host.document, current.id)

    def press(self, pointer: Pointer) -> None:
        if pointer.button != "left" or self._host.image is None or not self._host.editable:
            return
        current = self._current()
        if pointer.shift:
            if pointer.clicks == 2 and self._inside(pointer):
                self._begin_set(pointer)
            return
        held = None if current is None else self._near(current, pointer)
        if current is not None and current.locked:
            self._host.show_sketch(Sketch(text="Locked", at=(pointer.x, pointer.y)))
        elif pointer.alt:
            if current is not None and held is not None:
                self._take_away(current, held)
        elif held is not None:
            self._start, self._held = pointer, held
        elif self._inside(pointer):
            self._add(current, pointer)

    def move(self, pointer: Pointer) -> None:
        current = self._current()
        if current is None:
            return
        if self._start is None:
            self._show(current, None if current.locked else self._near(current, pointer))
        elif self._moving or dragged(self._start, pointer):
            self._moving = True
            self._show(reshaped(current, self._moved(current, pointer)), self._held)

    def release(self, pointer: Pointer) -> None:
        current, moving = self._current(), self._moving
        if self._start is not None and moving and current is not None and self._inside(pointer):
            self._replace(current, self._moved(current, pointer), "Move point")
        self._let_go()

    def finish(self) -> None:
        """End the set; the next click begins another."""
        self._drawn = None
        self._host.selection.clear()
        self._let_go()

    def back(self) -> None:
        """Take the last point back."""
        current = self._current()
        if current is not None and not current.locked:
            self._take_away(current, len(current.shape.coords) - 1)

    def refresh(self) -> None:
        current = self._current()
        held = self._held is not None and current is not None and self._held < len(current.shape.coords)
        if not held or (current is not None and current.locked):
            self._start, self._held, self._moving = None, None, False
        if current is None:
            self._host.show_sketch(None)
        elif self._start is None:
            self._show(current, None)

    def leave(self) -> None:
        current = self._current()
        if self._start is None and current is not None:
            self._show(current, None)

    def drop(self) -> None:
        """Let go; points that were added are annotations already."""
        self._drawn = None
        self._host.show_sketch(Sketch())  # tells the window that the tool is not busy any more
        self._let_go()

    # The set

    def _current(self) -> Annotation | None:
        """The set that is selected, on this plane, when it can be seen."""
        host = self._host
        if len(host.selection.ids) != 1 or host.selection.ids[0] not in host.document:
            return None
        one = host.document.get(host.selection.ids[0])
        here = one.plane == host.plane and one.class_name not in host.hidden
        return one if here and one.shape.kind is ShapeKind.POINTS else None

    def _begin_set(self, pointer: Pointer) -> None:
        host = self._host
        shape = Shape.points([(pointer.x, pointer.y)])
        made = Annotation(shape, class_name=host.active_class, plane=host.plane)
        # noted first: what hears of the edit asks whether a set is being made
        self._drawn = host.document, made.id
        if host.do(host.document.adding([made], "Add points")):
            host.selection.set([made.id])

    def _add(self, current: Annotation | None, pointer: Pointer) -> None:
        if current is None:
            self._begin_set(pointer)
            return
        self._drawn = self._host.document, current.id
        coords = np.vstack((current.shape.coords, (pointer.x, pointer.y)))
        self._replace(current, coords, "Add point")

    def _take_away(self, current: Annotation, index: int) -> None:
        host = self._host
        if len(current.shape.coords) == 1:
            host.do(host.document.removing([current.id], "Delete point"))
        else:
            self._replace(current, np.delete(current.shape.coords, index, axis=0), "Delete point")

    def _replace(self, current: Annotation, points: FloatArray | Shape, title: str) -> None:
        shape = points if isinstance(points, Shape) else Shape.points(points)
        self._host.do(self._host.document.replacing([reshaped(current, shape)], title))

    def _moved(self, current: Annotation, pointer: Pointer) -> Shape:
        coords = current.shape.coords.copy()
        coords[self._held] = pointer.x, pointer.y
        return Shape.points(coords)

    def _near(self, current: Annotation, pointer: Pointer) -> int | None:
        """The point of the set that is taken hold of here."""
        away = np.hypot(*(current.shape.coords - (pointer.x, pointer.y)).T)
        nearest = int(np.argmin(away))
        return nearest if math.isfinite(away[nearest]) and away[nearest] <= REACH_PX * pointer.scale else None

    def _inside(self, pointer: Pointer) -> bool:
        assert self._host.image is not None
        width, height = self._host.image.size
        return 0 <= pointer.x <= width and 0 <= pointer.y <= height

    def _let_go(self) -> None:
        self._start, self._held, self._moving = None, None, False
        self.refresh()

    def _show(self, current: Annotation, held: int | None) -> None:
        moving = (current.shape,) if self._moving else ()
        replaces = frozenset((current.id,)) if self._moving else frozenset()
        if held is None:
            self._host.show_sketch(None)
        else:
            handle = current.shape.coords[held : held + 1]
            self._host.show_sketch(Sketch(moving, replaces, handles=handle, held=0))
