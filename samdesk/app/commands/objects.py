"""Commands: what is done to the shapes of annotations, and their copies.

Must not know widgets.
"""

from __future__ import annotations

from collections.abc import Callable

from samdesk.app.tools.painting import PaintingTool

from .table import Command, Context

GEOJSON_MIME = "application/geo+json"
"""Under which QuPath looks for annotations on the clipboard before it takes plain text."""


def _put(c: Context) -> Callable[[str], None]:
    return lambda text: c.view.copy_text(text, GEOJSON_MIME)


def _paste(c: Context) -> None:
    c.workspace.editing.paste(c.view.clipboard(GEOJSON_MIME))


def _fill_stroke(c: Context) -> None:
    if isinstance(c.workspace.tool, PaintingTool):
        c.workspace.tool.fill_holes()


ROWS = (
    Command("draw.fill_holes", "Fill the Holes of the Stroke", ("F",), "Tools/6", "painting", _fill_stroke,
            "While the brush or the wand is held down"),
    Command("edit.cut", "Cut", ("Ctrl+X",), "Edit/1", "editable selection",
            lambda c: c.workspace.editing.cut(_put(c))),
    Command("edit.copy", "Copy", ("Ctrl+C",), "Edit/1", "selection",
            lambda c: c.workspace.editing.copy(_put(c)),
            "Copies annotations as GeoJSON, which QuPath can paste too"),
    Command("edit.paste", "Paste", ("Ctrl+V",), "Edit/1", "editable", _paste,
            "Adds annotations that were copied here or in QuPath"),
    Command("objects.full_image", "Annotate the Whole Image", ("Ctrl+Shift+A",), "Objects/1", "editable",
            lambda c: c.workspace.editing.cover_image()),
    Command("objects.duplicate", "Duplicate", ("Shift+D",), "Objects/1", "editable selection",
            lambda c: c.workspace.editing.duplicate(), "Adds a copy at the same place and selects it"),
    Command("objects.to_plane", "Copy to This Plane", ("Ctrl+Shift+V",), "Objects/1", "editable planes",
            lambda c: c.workspace.editing.copy_to_plane(),
            "Copies the selected annotations of other z slices or time points to this one"),
    Command("objects.merge", "Merge", (), "Objects/2", "editable several",
            lambda c: c.workspace.editing.merge(),
            "Makes one annotation of all, with the class of the first"),
    Command("objects.split", "Split", (), "Objects/2", "editable selection",
            lambda c: c.workspace.editing.split(), "Makes an annotation of every separate part"),
    Command("objects.subtract", "Subtract", (), "Objects/2", "editable several",
            lambda c: c.workspace.editing.subtract(),
            "Cuts all others out of the annotation that was selected first; the others stay"),
    Command("objects.intersect", "Intersect", (), "Objects/2", "editable several",
            lambda c: c.workspace.editing.intersect(), "Keeps only what all selected ones have in common"),
    Command("objects.invert", "Invert", (), "Objects/2", "editable selection",
            lambda c: c.workspace.editing.invert(),
            "Covers what the selected annotations leave of the image"),
    Command("objects.fill_holes", "Fill Holes", (), "Objects/3", "editable selection",
            lambda c: c.workspace.editing.fill_holes()),
    Command("objects.fragments", "Remove Fragments…", (), "Objects/3", "editable selection",
            lambda c: c.view.show_dialog("shaping", "fragments"), "Drops parts below an area"),
    Command("objects.simplify", "Simplify…", (), "Objects/3", "editable selection",
            lambda c: c.view.show_dialog("shaping", "simplify"), "Drops vertices that hardly matter"),
    Command("objects.grow", "Expand or Shrink…", (), "Objects/3", "editable selection",
            lambda c: c.view.show_dialog("shaping", "grow"), "Moves the outline outward or inward"),
    Command("objects.lock", "Lock", ("Ctrl+Shift+K",), "Objects/4", "editable selection",
            lambda c: c.workspace.editing.set_locked(True), "Keeps it from being changed or deleted"),
    Command("objects.unlock", "Unlock", ("Ctrl+Alt+K",), "Objects/4", "editable selection",
            lambda c: c.workspace.editing.set_locked(False)),
)  # fmt: skip
