"""The table of tools: what the toolbar shows, and what makes each. Must not know widgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .base import Host, Tool
from .move import MoveTool
from .segment import SegmentTool


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
