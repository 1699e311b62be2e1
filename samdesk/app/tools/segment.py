"""The Segment tool: clicks and boxes as prompts of the model. Must not know widgets."""

from __future__ import annotations

from samdesk.domain.prompts import BoxPrompt, PointPrompt

from .base import Cursor, Host, QuietTool
from .forms import box_between
from .pointer import Pointer, dragged

MARK_PX = 5.0
"""Screen pixels around the middle of a point's mark that take hold of it."""


class SegmentTool(QuietTool):
    """Hover previews, a click is a point, Alt or the right button a negative one, a drag a box;
    a drag with Shift adds a box.

    A click on the mark of a point takes the point away, a drag moves it. A double click keeps
    the candidate, also where the first of its clicks met a mark.
    """

    cursor: Cursor = "cross"
    pans = False

    def __init__(self, host: Host) -> None:
        self._session = host.session
        self._start: Pointer | None = None
        self._held: int | None = None
        self._moved = False

    def press(self, pointer: Pointer) -> None:
        if pointer.button not in ("left", "right"):
            return
        if pointer.clicks == 2 and pointer.button == "left":
            self._session.put_back()
            self._session.accept_when_ready()
            return
        self._start, self._moved = pointer, False
        self._held = None
        if pointer.button == "left" and not pointer.alt:
            self._held = self._session.point_at(pointer.x, pointer.y, MARK_PX * pointer.scale)

    def move(self, pointer: Pointer) -> None:
        if self._start is None:
            self._session.hover(pointer.x, pointer.y, pointer.scale)
        elif self._held is not None:
            if self._moved or dragged(self._start, pointer):
                self._moved = True
                self._session.move_point(self._held, pointer.x, pointer.y)
        elif self._start.button == "left" and dragged(self._start, pointer):
            self._session.drag(box_between(self._start.x, self._start.y, pointer.x, pointer.y))

    def release(self, pointer: Pointer) -> None:
        start, self._start = self._start, None
        held, self._held = self._held, None
        if start is None:
            return
        if held is not None:
            if not self._moved:
                self._session.remove_point(held)
        elif start.button == "left" and dragged(start, pointer):
            self._session.add_box(
                BoxPrompt(box_between(start.x, start.y, pointer.x, pointer.y)),
                pointer.scale,
                more=pointer.shift,
            )
        else:
            positive = start.button == "left" and not start.alt
            self._session.add_point(PointPrompt(start.x, start.y, positive), pointer.scale)

    def leave(self) -> None:
        self._start = self._held = None
        self._session.leave()
