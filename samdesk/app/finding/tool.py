"""The tool that draws examples. Must not know widgets."""

from __future__ import annotations

from samdesk.app.tools import Cursor, Pointer, QuietTool, dragged
from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import BoxPrompt

from .session import FindSession


class ExampleTool(QuietTool):
    """A drag is an example of what to find, or of what not to."""

    cursor: Cursor = "cross"
    pans = False

    def __init__(self, finding: FindSession, positive: bool) -> None:
        self._finding = finding
        self._positive = positive
        self._start: Pointer | None = None

    def press(self, pointer: Pointer) -> None:
        if pointer.button == "left":
            self._start = pointer

    def move(self, pointer: Pointer) -> None:
        if self._start is not None and dragged(self._start, pointer):
            self._finding.drag_example(self._box(self._start, pointer))

    def release(self, pointer: Pointer) -> None:
        start, self._start = self._start, None
        if start is None:
            return
        if dragged(start, pointer):
            self._finding.add_example(self._box(start, pointer))
        else:
            self._finding.drag_example(None)

    def leave(self) -> None:
        self._start = None
        self._finding.drag_example(None)

    def _box(self, start: Pointer, end: Pointer) -> BoxPrompt:
        x0, x1 = sorted((start.x, end.x))
        y0, y1 = sorted((start.y, end.y))
        return BoxPrompt(Bounds(x0, y0, x1, y1), self._positive)
