"""Every verb of the program: menus, shortcuts, palette and README come from these rows.

A module holds the rows of one concern and the functions behind them. Must not know widgets.
"""

from __future__ import annotations

from . import classes, edit, file, help, measure, objects, project, recon, review, segment, tools, view
from .table import WHEN, Command, Context, View

__all__ = ["COMMANDS", "MENUS", "POINTER_HELP", "WHEN", "Command", "Context", "View", "shortcut_table"]

MENUS = ("File", "Edit", "Tools", "Objects", "Segment", "Measure", "View", "3D", "Help")


def _place(command: Command) -> tuple[int, str]:
    """Menu by menu, and in a menu section by section; within one as the modules have it."""
    menu, _, section = command.menu.partition("/")
    return MENUS.index(menu), section


COMMANDS = {
    row.id: row
    for row in sorted(
        (
            row
            for module in (
                file,
                project,
                edit,
                tools,
                objects,
                classes,
                segment,
                review,
                measure,
                view,
                recon,
                help,
            )
            for row in module.ROWS
        ),
        key=_place,
    )
}

POINTER_HELP = (
    ("Move over the image", "Preview what a click would give"),
    ("Click", "Find the object here; more clicks refine it"),
    ("Alt+click, right click", "Take this part away"),
    ("Drag", "Find the object in this box"),
    ("Shift+drag", "Add a box for another part of the object"),
    ("Click on a point", "Take it away; dragged, it moves"),
    ("Double click", "Find and keep"),
    ("Wheel, pinch", "Zoom at the cursor"),
    ("Middle drag, Space+drag, arrows", "Move the view"),
    ("Ctrl+wheel", "Annotation opacity"),
    ("Move: drag", "Move the view; on what is selected, move that"),
    ("Move: click", "Select; click again for what lies below"),
    ("Move: Ctrl+click, Alt+click", "Add to the selection, or take out of it"),
    ("Move: Ctrl+drag", "Select what is inside a box"),
    ("Move: drag a handle", "Move a vertex, or a side of a box or ellipse"),
    ("Move: double click on the outline", "Add a vertex to what is selected"),
    ("Move: Alt+click on a handle", "Remove the vertex"),
    ("Rectangle, Ellipse, Line: Shift+drag", "A square, a circle, a straight line"),
    ("Polygon, Polyline: click", "Add a vertex; double click to end"),
    ("Polygon, Polyline: drag", "Draw freehand"),
    ("Brush, Wand: drag", "Paint; inside the selected annotation it adds to it"),
    ("Brush, Wand: Alt+drag", "Take away"),
    ("Brush, Wand: Shift+drag", "Add to the selected annotation from anywhere"),
    ("Brush, Wand: Shift+Ctrl+drag", "The same, without overlapping neighbors"),
    ("Brush: Alt+wheel", "Size of the brush"),
    ("Points: Alt+click", "Take a point away"),
    ("Drawing tools: double click", "Select what is here"),
)
"""What the mouse does, first with the Segment tool; for the shortcuts page and the README."""


def shortcut_table() -> str:
    """The shortcuts as a Markdown table, for the README."""
    rows = [f"| {gesture} | {does} |" for gesture, does in POINTER_HELP]
    rows += [
        f"| {', '.join(f'`{k}`' for k in command.keys)} | {command.title.rstrip('…')} |"
        for command in COMMANDS.values()
        if command.keys
    ]
    return "\n".join(["| Keys or mouse | What it does |", "|---|---|", *rows])
