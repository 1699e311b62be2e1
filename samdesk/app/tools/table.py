"""The table of tools: what the toolbar shows, and what makes each. Must not know widgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .base import Host, Tool
from .box import SegmentBoxTool
from .brush import BrushTool
from .draw import EllipseTool, LineTool, PolygonTool, PolylineTool, RectangleTool
from .move import MoveTool
from .points import PointsTool
from .segment import SegmentTool
from .wand import WandTool


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
        ToolSpec(
            "move",
            "Move",
            "M",
            "move",
            "Drag to move the picture, click to select; drag what is selected, or its handles, to change it",
            MoveTool,
        ),
        ToolSpec(
            "rectangle",
            "Rectangle",
            "R",
            "rectangle",
            "Drag from corner to corner; Shift makes a square",
            RectangleTool,
        ),
        ToolSpec(
            "ellipse",
            "Ellipse",
            "O",
            "ellipse",
            "Drag from corner to corner of its box; Shift makes a circle",
            EllipseTool,
        ),
        ToolSpec("line", "Line", "L", "line", "Drag, or click both ends; Shift keeps it straight", LineTool),
        ToolSpec(
            "polygon",
            "Polygon",
            "P",
            "polygon",
            "Click its vertices, double-click to end; or press and draw it freehand",
            PolygonTool,
        ),
        ToolSpec(
            "polyline",
            "Polyline",
            "V",
            "polyline",
            "Click its vertices, double-click to end; or press and draw it freehand",
            PolylineTool,
        ),
        ToolSpec(
            "brush",
            "Brush",
            "B",
            "brush",
            "Paint an area; Alt takes away, Shift adds to the selected one, Alt+wheel sets the size",
            BrushTool,
        ),
        ToolSpec(
            "wand",
            "Wand",
            "W",
            "wand",
            "Paint what looks alike; Alt takes away, Ctrl takes exactly the same color",
            WandTool,
        ),
        ToolSpec(
            "points",
            "Points",
            ".",
            "points",
            "Click points of one set; Alt-click takes one away, Enter ends the set",
            PointsTool,
        ),
        ToolSpec(
            "segment",
            "Segment",
            "S",
            "segment",
            "Click an object or drag a box around it; Alt-click takes away; Enter keeps",
            SegmentTool,
        ),
        ToolSpec(
            "segment_box",
            "Segment in a Box",
            "Shift+B",
            "segment-box",
            "Drag a box around an object, or click two of its corners; Enter keeps",
            SegmentBoxTool,
        ),
    )
}

DRAWING = ("rectangle", "ellipse", "line", "polygon", "polyline")
"""Tools whose shapes select what lies inside, while that is switched on."""
