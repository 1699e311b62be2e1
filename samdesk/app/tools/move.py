"""The Move tool: panning, and selecting what is clicked. Must not know widgets."""

from __future__ import annotations

from .base import Cursor, Host, QuietTool
from .pointer import HIT_PX, Pointer, dragged


class MoveTool(QuietTool):
    """Drag pans; a click selects what is under it, again for what lies below; Ctrl or Alt adds."""

    cursor: Cursor = "hand"
    pans = True

    def __init__(self, host: Host) -> None:
        self._host = host
        self._start: Pointer | None = None

    def press(self, pointer: Pointer) -> None:
        self._start = pointer if pointer.button == "left" else None

    def move(self, pointer: Pointer) -> None:
        if self._start is not None and dragged(self._start, pointer):
            self._start = None

    def release(self, pointer: Pointer) -> None:
        start, self._start = self._start, None
        if start is None or dragged(start, pointer):
            return
        self._host.select_at(
            pointer.x, pointer.y, tolerance=HIT_PX * pointer.scale, add=pointer.ctrl or pointer.alt
        )
