"""The brush: a disc that is swept along. Must not know widgets."""

from __future__ import annotations

from typing import Any

import shapely

from samdesk.domain.shaping import quarter_segments

from .base import Cursor, Host
from .painting import PaintingTool, Stroke
from .pointer import Pointer

SMALLEST_PX, LARGEST_PX = 10.0, 500.0
"""Diameter of the brush in screen pixels."""

PER_UNIT = 1.15 ** (1 / 24)
"""A notch of the wheel (24 units) changes the diameter by so much."""

ROUND_PX = 0.1
"""Screen pixels by which the rim may differ from a circle."""

STRAIGHT_PX = 0.25
"""Screen pixels by which the path, and then the rim, is simplified when the stroke is kept."""

STEP_PX = 1.0
"""Screen pixels that the pointer must have moved for the next piece of the path."""

Path = list[tuple[float, float]]


class BrushTool(PaintingTool):
    """Drag paints; Alt takes away, and Alt with the wheel changes the size.

    The size is in screen pixels: zoomed in, the brush is finer.
    """

    cursor: Cursor = "none"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._px = float(host.settings["brush_px"])
        self._at: Pointer | None = None
        self._paths: list[tuple[float, float, Path]] = []  # radius, scale and path of each piece

    def press(self, pointer: Pointer) -> None:
        self._at = pointer
        if pointer.button != "left":
            return
        if pointer.clicks == 2:
            self._select(pointer)
            return
        self._remember()
        stroke = self._begin(pointer)
        if stroke is not None:
            self._paths = []
            self._sweep(stroke, pointer)
            self._show()

    def move(self, pointer: Pointer) -> None:
        self._at = pointer
        if self._stroke is not None:
            self._sweep(self._stroke, pointer)
        self._show()

    def release(self, pointer: Pointer) -> None:
        self._at = pointer
        self._end()

    def finish(self) -> None:
        self._end()

    def wheel(self, pointer: Pointer, units: float) -> bool:
        self._at = pointer
        self._px = min(max(self._px * PER_UNIT**units, SMALLEST_PX), LARGEST_PX)
        self._show()
        return True

    def refresh(self) -> None:
        super().refresh()
        if self._at is None:
            self._px = float(self._host.settings["brush_px"])

    def leave(self) -> None:
        if self._stroke is None:
            self._at = None
            self._remember()
            self._show()

    def drop(self) -> None:
        self._remember()
        super().drop()

    def _remember(self) -> None:
        """Keep the size; not at every notch of the wheel, because it is written to disk."""
        size = round(self._px)
        if size != round(self._host.settings["brush_px"]):
            self._host.settings["brush_px"] = size

    def _sweep(self, stroke: Stroke, pointer: Pointer) -> None:
        """Paint from where the pointer was to where it is."""
        here, radius = (pointer.x, pointer.y), self._radius(pointer)
        same = bool(self._paths) and self._paths[-1][:2] == (radius, pointer.scale)
        if same:
            path = self._paths[-1][2]
            if max(abs(here[0] - path[-1][0]), abs(here[1] - path[-1][1])) < STEP_PX * pointer.scale:
                return
            path.append(here)
        else:
            last = self._paths[-1][2][-1:] if self._paths else []
            path = [*last, here]
            self._paths.append((radius, pointer.scale, path))
        self._paint(stroke, _swept(path[-2:], radius, pointer.scale))

    def _finished(self, stroke: Stroke) -> Any:
        """The whole path at once, simplified: without the many corners of its pieces."""
        if stroke.spares or len(self._paths) > 1 or not self._paths:
            return stroke.whole
        radius, scale, path = self._paths[0]
        if len(path) > 2:
            points = shapely.get_coordinates(shapely.simplify(shapely.LineString(path), STRAIGHT_PX * scale))
            path = [(float(x), float(y)) for x, y in points]
        swept = shapely.simplify(_swept(path, radius, scale), STRAIGHT_PX * scale)
        if stroke.erases:
            return shapely.difference(stroke.base, swept)
        return shapely.union(stroke.base, self._allowed(stroke, swept))

    def _radius(self, pointer: Pointer) -> float:
        return self._px / 2 * pointer.scale

    def _brush(self) -> tuple[float, float, float] | None:
        at = self._at
        return None if at is None else (at.x, at.y, self._radius(at))


def _swept(path: Path, radius: float, scale: float) -> Any:
    """What a disc covers along a path; image pixels."""
    line = shapely.LineString(path) if len(path) > 1 else shapely.Point(path[0])
    return shapely.buffer(line, radius, quad_segs=quarter_segments(radius / scale, ROUND_PX))
