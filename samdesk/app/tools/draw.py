"""The tools that draw a shape by hand: rectangle, ellipse, line, polygon, polyline.

They sketch while they draw; what becomes of the shape is decided in `drawn`. Must not know widgets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from samdesk.domain.columns import Color
from samdesk.domain.document import Document
from samdesk.domain.ellipse import ellipse_in
from samdesk.domain.geometry import Bounds, FloatArray, Plane, Shape, ShapeKind
from samdesk.domain.outline import repair, simplify

from .base import BAND, Host, QuietTool, Sketch
from .drawn import keep
from .forms import ELLIPSE, box_between
from .pointer import HIT_PX, Pointer, dragged
from .readout import area_text, length_text, ring_area, size_text

SMALLEST_PX = 2.0
"""Screen pixels that a shape must measure at least."""

FREE_PX = 2.0
"""Screen pixels between the vertices of a freehand line."""

FREE_TOLERANCE_PX = 0.6
"""Screen pixels by which a freehand line may move when vertices that add nothing are left out."""

JITTER_PX = 12.0
"""A freehand line shorter than this, in screen pixels, was meant to be a click."""


class DrawingTool(QuietTool):
    """What they share: a start that belongs to one document and plane, and a double click that selects."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._scale = 1.0
        self._place: tuple[Document, Plane] | None = None

    def _begin(self, pointer: Pointer) -> None:
        self._place = self._host.document, self._host.plane
        self._scale = pointer.scale

    @property
    def busy(self) -> bool:  # type: ignore[override]
        return self._place is not None

    @property
    def _color(self) -> Color | None:
        return BAND if self._host.selecting else None

    def refresh(self) -> None:
        if self._place is not None and self._place != (self._host.document, self._host.plane):
            self.drop()

    def drop(self) -> None:
        self._place = None
        self._host.show_sketch(None)

    def _select(self, pointer: Pointer) -> None:
        """A double click on something that is there selects it."""
        self.drop()
        self._host.select_at(pointer.x, pointer.y, tolerance=HIT_PX * pointer.scale)


class RectangleTool(DrawingTool):
    """Drag from corner to corner; with Shift a square."""

    title = "Add rectangle"
    extra: Mapping[str, Any] = {}

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._start: Pointer | None = None
        self._end: Pointer | None = None

    def press(self, pointer: Pointer) -> None:
        if pointer.button != "left":
            return
        if pointer.clicks == 2:
            self._select(pointer)
            return
        self._begin(pointer)
        self._start = pointer

    def move(self, pointer: Pointer) -> None:
        if self._start is None or not (self._end or dragged(self._start, pointer)):
            return
        self._end = pointer
        box = self._box(self._start, pointer)
        self._host.show_sketch(
            Sketch(
                (self._shape(box),),
                color=self._color,
                text=size_text(box.width, box.height, self._host.pixel_size),
                at=(pointer.x, pointer.y),
            )
        )

    def release(self, pointer: Pointer) -> None:
        if self._start is not None and self._end is not None:
            self._end = pointer
        self.finish()

    def finish(self) -> None:
        start, end = self._start, self._end
        self.drop()
        if start is None or end is None:
            return
        box = self._box(start, end)
        if min(box.width, box.height) >= SMALLEST_PX * end.scale:
            keep(self._host, self._shape(box), self.title, self.extra)

    def drop(self) -> None:
        self._start = self._end = None
        super().drop()

    def _box(self, start: Pointer, end: Pointer) -> Bounds:
        return box_between(start.x, start.y, end.x, end.y, square=end.shift)

    def _shape(self, box: Bounds) -> Shape:
        return Shape.box(*box)


class EllipseTool(RectangleTool):
    """Drag from corner to corner of its box; with Shift a circle."""

    title = "Add ellipse"
    extra = ELLIPSE

    def _shape(self, box: Bounds) -> Shape:
        return ellipse_in(box)


class LineTool(DrawingTool):
    """Drag, or click both ends; with Shift along the axes and diagonals."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._start: Pointer | None = None
        self._end: Pointer | None = None
        self._down = False

    def press(self, pointer: Pointer) -> None:
        if pointer.button != "left":
            return
        if pointer.clicks == 2 and (self._start is None or not dragged(self._start, pointer)):
            self._select(pointer)
            return
        if self._start is None:
            self._begin(pointer)
            self._start = pointer
        self._down = True
        self.move(pointer)

    def move(self, pointer: Pointer) -> None:
        if self._start is None:
            return
        self._end = pointer
        line = self._line(self._start, pointer)
        self._host.show_sketch(
            Sketch(
                (_lines(line),),
                color=self._color,
                handles=line[:1],
                text=length_text(line, self._host.pixel_size) if dragged(self._start, pointer) else "",
                at=(pointer.x, pointer.y),
            )
        )

    def release(self, pointer: Pointer) -> None:
        down, self._down = self._down, False
        if down and self._start is not None and dragged(self._start, pointer):
            self._end = pointer
            self.finish()

    def finish(self) -> None:
        start, end = self._start, self._end
        self.drop()
        if start is not None and end is not None and dragged(start, end):
            keep(self._host, _lines(self._line(start, end)), "Add line")

    def back(self) -> None:
        self.drop()

    def drop(self) -> None:
        self._start = self._end = None
        self._down = False
        super().drop()

    def _line(self, start: Pointer, end: Pointer) -> FloatArray:
        x, y = end.x, end.y
        if end.shift:
            length = math.hypot(x - start.x, y - start.y)
            turn = round(math.atan2(y - start.y, x - start.x) / (math.pi / 4)) * (math.pi / 4)
            x, y = start.x + length * math.cos(turn), start.y + length * math.sin(turn)
        return np.array(((start.x, start.y), (x, y)))


class PolygonTool(DrawingTool):
    """Click vertices, and end with a double click, Enter, or a click on the first one; or draw freehand.

    A drag that begins the shape draws all of it, a later one a part.
    """

    title = "Add polygon"
    closed = True
    fewest = 3

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._points: list[tuple[float, float]] = []
        self._free = 0  # how many of the points at the end were drawn by the present drag
        self._drawn = False  # whether any were drawn freehand
        self._pressed: Pointer | None = None
        self._hover: Pointer | None = None

    def press(self, pointer: Pointer) -> None:
        if pointer.button != "left":
            return
        if pointer.clicks == 2:
            if len(self._points) < 2:
                self._select(pointer)
            else:
                self.finish()
            return
        if self._at_first(pointer):
            self.finish()
            return
        if not self._points:
            self._begin(pointer)
        self._pressed = self._hover = pointer
        self._free = 0
        self._append(pointer, 0.0)
        self._show()

    def move(self, pointer: Pointer) -> None:
        if not self._points:
            return
        self._hover, self._scale = pointer, pointer.scale
        if self._pressed is not None and (self._free or dragged(self._pressed, pointer)):
            self._free += self._append(pointer, FREE_PX * pointer.scale)
        self._show()

    def release(self, pointer: Pointer) -> None:
        pressed, self._pressed = self._pressed, None
        if pressed is None or not self._free:
            return
        alone = self._free == len(self._points) - 1
        if alone and _length(self._points) < JITTER_PX * pointer.scale:
            del self._points[1:]
        elif alone:
            self._drawn = True
            self.finish()
            if self.busy:
                self.drop()
        else:
            self._drawn = True

    def finish(self) -> None:
        """Keep the shape, as soon as it has vertices enough."""
        points = np.array(self._points).reshape(-1, 2)
        if len(points) < self.fewest:
            return
        shape = Shape.polygon(points) if self.closed else _lines(points)
        if self._drawn:
            shape = simplify(shape, FREE_TOLERANCE_PX * self._scale)
        drawn = repair(shape)[0].area ** 0.5 if self.closed else _length(self._points)
        large = drawn >= SMALLEST_PX * self._scale
        self.drop()
        if large and not shape.is_empty:
            keep(self._host, shape, self.title)

    def back(self) -> None:
        """Take the last vertex back, or what was drawn since the last press."""
        del self._points[-max(self._free, 1) :]
        self._free = 0
        if self._points:
            self._show()
        else:
            self.drop()

    def drop(self) -> None:
        self._points = []
        self._free, self._drawn = 0, False
        self._pressed = self._hover = None
        super().drop()

    def _append(self, pointer: Pointer, apart: float) -> int:
        """Add a vertex, unless it is too near to the last one; says how many were added."""
        if self._points and math.dist(self._points[-1], (pointer.x, pointer.y)) <= apart:
            return 0
        self._points.append((pointer.x, pointer.y))
        return 1

    def _at_first(self, pointer: Pointer) -> bool:
        """Whether a click here closes the polygon."""
        near = 2 * HIT_PX * pointer.scale
        return (
            self.closed
            and len(self._points) >= self.fewest
            and math.dist(self._points[0], (pointer.x, pointer.y)) <= near
        )

    def _show(self) -> None:
        pointer = self._hover
        assert pointer is not None
        line = np.array(self._points)
        if self._pressed is None:
            line = np.concatenate((line, ((pointer.x, pointer.y),)))
        closed = self.closed and len(line) > 2
        size = self._host.pixel_size
        if closed:
            text = area_text(ring_area(line), size)
        else:
            text = length_text(line, size) if len(line) > 1 else ""
        self._host.show_sketch(
            Sketch(
                (Shape.polygon(line) if closed else _lines(line),) if len(line) > 1 else (),
                color=self._color,
                handles=None if self._free or self._drawn else np.array(self._points),
                held=0 if self._at_first(pointer) else None,
                text=text,
                at=(pointer.x, pointer.y),
            )
        )


class PolylineTool(PolygonTool):
    """Click vertices, and end with a double click or Enter; or draw freehand."""

    title = "Add polyline"
    closed = False
    fewest = 2


def _lines(line: FloatArray) -> Shape:
    return Shape.from_parts([[line]], ShapeKind.LINES)


def _length(points: list[tuple[float, float]]) -> float:
    return float(np.hypot(*np.diff(np.array(points).reshape(-1, 2), axis=0).T).sum())
