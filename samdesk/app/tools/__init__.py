"""What the pointer does: a small handler per tool, named in a table.

Receives `Pointer` values in image pixels; must not know widgets or mouse events.
"""

from __future__ import annotations

from .base import Cursor, Host, QuietTool, Sketch, Tool
from .pointer import DRAG_PX, HIT_PX, Pointer, dragged
from .table import DRAWING, TOOLS, ToolSpec

__all__ = [
    "DRAG_PX",
    "DRAWING",
    "HIT_PX",
    "TOOLS",
    "Cursor",
    "Host",
    "Pointer",
    "QuietTool",
    "Sketch",
    "Tool",
    "ToolSpec",
    "dragged",
]
