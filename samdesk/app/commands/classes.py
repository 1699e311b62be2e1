"""Commands: the classes of annotations, and what an annotation is called.

Must not know widgets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from samdesk.app.classes import KEYS
from samdesk.app.workspace import Workspace

from .table import Command, Context

LIST_FILTER = "Class lists (*.json)"
OPEN_FILTER = f"{LIST_FILTER};;samdesk projects (*.gpkg);;All files (*)"


def _press(digit: int) -> Callable[[Context], None]:
    return lambda c: c.workspace.classes.press(digit)


def _chosen(w: Workspace) -> list[str | None]:
    """The classes of what is selected; without a selection the active class."""
    if not len(w.selection):
        return [w.active_class]
    table = w.document.table(w.selection.ids)
    return [
        None if not number else table.classes[number - 1].name
        for number in sorted({*table.class_id.tolist()})
    ]


def _select_all(c: Context) -> None:
    c.workspace.classes.select_all_of(_chosen(c.workspace))


def _import(c: Context) -> None:
    for path in c.ask.open_files("Import Classes", OPEN_FILTER)[:1]:
        c.workspace.classes.import_from(path)


def _export(c: Context) -> None:
    path = c.ask.save_file("Export Classes", "classes.json", LIST_FILTER)
    if path is not None:
        c.workspace.classes.export(path)


def titles(w: Workspace) -> Iterator[tuple[str, str]]:
    """What the number keys stand for now, by the id of their command; "" for nothing."""
    names = w.classes.names
    for digit in range(1, KEYS + 1):
        yield f"class.{digit}", f"Class: {names[digit - 1]}" if digit <= len(names) else ""


CLASS_KEYS = "Objects/6/Set Class"

ROWS = (
    *(Command(f"class.{digit}", f"Class {digit}", (f"{digit}",), CLASS_KEYS, "image", _press(digit),
              "Gives the class to the selection; without one, to what comes next")
      for digit in range(1, KEYS + 1)),
    Command("class.0", "No Class", ("0",), CLASS_KEYS, "image", _press(0)),
    Command("classes.set", "Set Class…", (), CLASS_KEYS, "image",
            lambda c: c.view.show_dialog("set_class"), "Choose a class by a few letters of its name"),
    Command("classes.select", "Select All of This Class", (), "Objects/6", "annotations", _select_all),
    Command("classes.new", "New Class…", (), "Objects/7", "editable",
            lambda c: c.view.show_dialog("class")),
    Command("classes.show_all", "Show All Classes", (), "Objects/7", "hidden classes",
            lambda c: c.workspace.classes.show_all()),
    Command("classes.import", "Import Classes…", (), "Objects/7", "editable", _import,
            "From a class list, a QuPath project's classes.json, or another samdesk project"),
    Command("classes.export", "Export Classes…", (), "Objects/7", "image", _export),
    Command("objects.rename", "Rename", ("F2",), "Objects/5", "editable selection",
            lambda c: c.view.rename_selected()),
    Command("objects.properties", "Properties", ("Return", "Enter"), "Objects/5", "idle selection",
            lambda c: c.view.show_properties(), "Name, class, description and measurements"),
)  # fmt: skip
