"""Commands: the tools, and what is done while one of them draws.

Must not know widgets.
"""

from __future__ import annotations

from samdesk.app.tools import TOOLS, ToolSpec

from .table import Command, Context

SECTIONS = {"move": "Tools", "brush": "Tools/3", "wand": "Tools/3", "points": "Tools/3",
            "segment": "Tools/4", "segment_box": "Tools/4"}  # fmt: skip
"""Where a tool stands in the menu; the others draw a shape."""


def _row(spec: ToolSpec) -> Command:
    section = SECTIONS.get(spec.name, "Tools/2")
    when = "not reviewing" if spec.name == "rectangle" else "always"  # R rejects then
    return Command(f"tool.{spec.name}", spec.title, (spec.key,), section, when,
                   lambda c: c.workspace.select_tool(spec.name))  # fmt: skip


def _select_inside(c: Context) -> None:
    c.workspace.set_selecting(not c.workspace.selecting)


ROWS = (
    *(_row(spec) for spec in TOOLS.values()),
    Command("tool.selecting", "Selection Mode", ("Shift+S",), "Tools/5", "always", _select_inside,
            "While it is on, drawing tools select what lies inside a shape instead of adding it"),
    Command("draw.finish", "Finish the Shape", ("Return", "Enter"), "Tools/6", "drawing",
            lambda c: c.workspace.tool.finish()),
    Command("draw.drop", "Drop the Shape", ("Esc",), "Tools/6", "drawing",
            lambda c: c.workspace.tool.drop()),
    Command("draw.back", "Take Back the Last Vertex", ("Backspace",), "Tools/6", "drawing",
            lambda c: c.workspace.tool.back()),
)  # fmt: skip
