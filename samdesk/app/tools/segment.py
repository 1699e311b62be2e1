"""The Segment tool: clicks and boxes as prompts of the model. Must not know widgets."""

from __future__ import annotations

from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import BoxPrompt, PointPrompt

from .base import Cursor, Host, QuietTool
from .pointer import Pointer, dragged


class SegmentTool(QuietTool):
    """Hover previews, a click is a point, Alt or the right button a negative one, a drag a box;
    a drag with Shift adds a box.

    A double click keeps the candidate.
    """

    cursor: Cursor = "cross"
    pans = False

    def __init__(self, host: Host) -> None:
        self._session = host.session
        self._start: Pointer | None = None

    def press(self, pointer: Pointer) -> None:
        if pointer.button not in ("left", "right"):
            return
        if pointer.clicks == 2 and pointer.button == "left":
            self._session.accept_when_ready()
            return
        self._start = pointer

    def move(self, pointer: Pointer) -> None:
        if self._start is None:
            self._session.hover(pointer.x, pointer.y, pointer.scale)
        elif self._start.button == "left" and dragged(self._start, pointer):
            self._session.drag(self._box(pointer))

    def release(self, pointer: Pointer) -> None:
        start = self._start
        if start is None:
            return
        if start.button == "left" and dragged(start, pointer):
            self._session.add_box(BoxPrompt(self._box(pointer)), pointer.scale, more=pointer.shift)
        else:
            positive = start.button == "left" and not start.alt
            self._session.add_point(PointPrompt(start.x, start.y, positive), pointer.scale)
        self._start = None

    def leave(self) -> None:
        self._start = None
        self._session.leave()

    def _box(self, pointer: Pointer) -> Bounds:
        assert self._start is not None
        return Bounds(
            min(self._start.x, pointer.x),
            min(self._start.y, pointer.y),
            max(self._start.x, pointer.x),
            max(self._start.y, pointer.y),
        )
