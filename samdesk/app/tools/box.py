"""The box tool of the model: two corners as a prompt. Must not know widgets."""

from __future__ import annotations

from samdesk.domain.prompts import BoxPrompt

from .base import Host, QuietTool
from .forms import box_between
from .pointer import Pointer, dragged


class SegmentBoxTool(QuietTool):
    """Drag a box around an object, or click two of its corners; with Shift it is added to the others.

    A double click keeps the candidate.
    """

    def __init__(self, host: Host) -> None:
        self._session = host.session
        self._start: Pointer | None = None
        self._down = False

    @property
    def busy(self) -> bool:  # type: ignore[override]
        return self._start is not None

    def press(self, pointer: Pointer) -> None:
        if pointer.button != "left":
            return
        if pointer.clicks == 2 and (self._start is None or not dragged(self._start, pointer)):
            self.drop()
            self._session.accept_when_ready()
            return
        self._start = self._start or pointer
        self._down = True

    def move(self, pointer: Pointer) -> None:
        if self._start is not None and dragged(self._start, pointer):
            self._session.drag(self._box(self._start, pointer).bounds)

    def release(self, pointer: Pointer) -> None:
        start, down, self._down = self._start, self._down, False
        if down and start is not None and dragged(start, pointer):
            self._start = None
            self._session.add_box(self._box(start, pointer), pointer.scale, more=pointer.shift)

    def back(self) -> None:
        self.drop()

    def drop(self) -> None:
        self._start = None
        self._down = False
        self._session.leave()

    def _box(self, start: Pointer, end: Pointer) -> BoxPrompt:
        return BoxPrompt(box_between(start.x, start.y, end.x, end.y))
