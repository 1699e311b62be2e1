"""The pointer as tools see it. Must not know widgets or mouse events."""

from __future__ import annotations

from dataclasses import dataclass

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


def dragged(start: Pointer, now: Pointer) -> bool:
    """Whether the pointer has moved so far that a press is a drag."""
    return max(abs(now.x - start.x), abs(now.y - start.y)) > DRAG_PX * now.scale
