"""What the pointer does: a small handler per tool, named in a table.

Receives `Pointer` values in image pixels; must not know widgets or mouse events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import BoxPrompt, PointPrompt

from .session import PromptSession

Cursor = Literal["cross", "hand", "arrow"]

DRAG_PX = 4.0
"""Screen pixels after which a press is a drag and no longer a click."""

HIT_PX = 4.0
"""Screen pixels around an outline that still count as a hit."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where the pointer is and what is held down.

    Attributes
    ----------
    x, y : float
        Image pixels, on pixel edges.
    button : {"left", "right", "middle", ""}
        The button that is pressed, held or was released; empty while hovering.
    scale : float
        Image pixels per logical screen pixel.
    clicks : int
        2 for a double click.
    """

    x: float
    y: float
    button: str = ""
    shift: bool = False
    alt: bool = False
    ctrl: bool = False
    scale: float = 1.0
    clicks: int = 1


class Host(Protocol):
    """What tools act on; the workspace is one."""

    session: PromptSession

    def select_at(self, x: float, y: float, tolerance: float, add: bool = False) -> None: ...


class Tool(Protocol):
    """A handler of pointer events; `pans` lets a left drag move the view."""

    cursor: Cursor
    pans: bool

    def press(self, pointer: Pointer) -> None: ...
    def move(self, pointer: Pointer) -> None: ...
    def release(self, pointer: Pointer) -> None: ...
    def leave(self) -> None: ...


def _dragged(start: Pointer, now: Pointer) -> bool:
    return max(abs(now.x - start.x), abs(now.y - start.y)) > DRAG_PX * now.scale


class MoveTool:
    """Drag pans; a click selects what is under it, again for what lies below; Ctrl or Alt adds."""

    cursor: Cursor = "hand"
    pans = True

    def __init__(self, host: Host) -> None:
        self._host = host
        self._start: Pointer | None = None

    def press(self, pointer: Pointer) -> None:
        self._start = pointer if pointer.button == "left" else None

    def move(self, pointer: Pointer) -> None:
        if self._start is not None and _dragged(self._start, pointer):
            self._start = None

    def release(self, pointer: Pointer) -> None:
        start, self._start = self._start, None
        if start is None or _dragged(start, pointer):
            return
        self._host.select_at(
            pointer.x, pointer.y, tolerance=HIT_PX * pointer.scale, add=pointer.ctrl or pointer.alt
        )

    def leave(self) -> None:
        pass


class SegmentTool:
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
        elif self._start.button == "left" and _dragged(self._start, pointer):
            self._session.drag(self._box(pointer))

    def release(self, pointer: Pointer) -> None:
        start = self._start
        if start is None:
            return
        if start.button == "left" and _dragged(start, pointer):
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


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A row of the table: what the toolbar shows and what makes the tool."""

    name: str
    title: str
    key: str
    icon: str
    tip: str
    make: Callable[[Host], Tool]


TOOLS = {
    spec.name: spec
    for spec in (
        ToolSpec("move", "Move", "M", "move", "Drag to move the picture, click to select", MoveTool),
        ToolSpec(
            "segment",
            "Segment",
            "S",
            "segment",
            "Click an object or drag a box around it; Alt-click takes away; Enter keeps",
            SegmentTool,
        ),
    )
}
