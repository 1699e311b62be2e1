"""What a command is, what it acts on, and when it can be given.

Must not know widgets: a command receives a `Context`, whose `view` and `ask` the window provides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from samdesk.app.refining import is_refinable
from samdesk.app.tools.painting import PaintingTool
from samdesk.app.workspace import Ask, Workspace
from samdesk.domain.geometry import Bounds


class View(Protocol):
    """What commands may ask of the window."""

    def fit(self) -> None: ...
    def looking_at(self) -> tuple[Bounds, float]: ...
    def zoom_to(self, scale: float) -> None: ...
    def zoom_by(self, factor: float) -> None: ...
    def show_bounds(self, bounds: Bounds) -> None: ...
    def bring_into_view(self, bounds: Bounds) -> None:
        """Move the view there if it does not show it."""
        ...

    def show_dialog(self, name: str, about: str = "") -> None:
        """Open a dialog by its name, at what it is about."""
        ...

    def show_properties(self) -> None:
        """Show what the selected annotations are, and let the keyboard there."""
        ...

    def rename_selected(self) -> None:
        """Let the user type another name of the selected annotation."""
        ...

    def show_find(self) -> None: ...
    def show_jobs(self) -> None:
        """Show all that runs in the background."""
        ...

    def next_pane(self, back: bool = False) -> None:
        """Give the keyboard to the next part of the window."""
        ...

    def show_3d(self) -> None: ...
    def show_selected_3d(self) -> None: ...
    def open_3d_files(self, files: list[Path]) -> None: ...
    def open_log(self) -> None: ...
    def open_link(self, url: str) -> None: ...
    def copy_text(self, text: str, mime: str = "") -> None:
        """Put text on the clipboard, and also as what `mime` says it is."""
        ...

    def clipboard(self, mime: str = "") -> str:
        """What is on the clipboard as `mime`, else as text; empty when there is neither."""
        ...

    def open_folder(self) -> None: ...
    def show_project(self) -> None: ...
    def close_window(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a command acts on."""

    workspace: Workspace
    view: View
    ask: Ask


@dataclass(frozen=True, slots=True)
class Command:
    """A row of the table.

    Attributes
    ----------
    id : str
        Stable name, "group.verb".
    title : str
        What the user reads in menu and palette.
    keys : tuple of str
        Shortcuts in Qt's portable text form; the first is shown.
    menu : str
        Menu it stands in, as "Menu", "Menu/section" or "Menu/section/Submenu"; a new section
        gets a separator.
    when : str
        Name in `WHEN`.
    """

    id: str
    title: str
    keys: tuple[str, ...]
    menu: str
    when: str
    run: Callable[[Context], object]
    tip: str = ""


def _has_selection(w: Workspace) -> bool:
    """Whether something is selected, and nothing under way that keys like Backspace are for."""
    return len(w.selection) > 0 and not w.session.has_prompts and not w.tool.busy


WHEN: dict[str, Callable[[Workspace], bool]] = {
    "always": lambda w: True,
    "image": lambda w: w.image is not None,
    "image of no project": lambda w: w.image is not None and not w.project.current,
    "annotations": lambda w: len(w.document) > 0,
    "drawing": lambda w: w.tool.busy,
    "painting": lambda w: w.tool.busy and isinstance(w.tool, PaintingTool),
    "selection": _has_selection,
    "editable selection": lambda w: _has_selection(w) and w.editable,
    "idle selection": lambda w: _has_selection(w) and not (w.session.can_accept and w.editable),
    "hidden classes": lambda w: bool(w.classes.hidden),
    "editable": lambda w: w.editable,
    "editable planes": lambda w: (
        _has_selection(w)
        and w.editable
        and w.image is not None
        and w.image.source.size_z * w.image.source.size_t > 1
    ),
    "editable several": lambda w: len(w.selection) > 1 and _has_selection(w) and w.editable,
    "candidate": lambda w: w.session.can_accept and w.editable and not w.tool.busy,
    "prompts": lambda w: (w.session.has_prompts or w.session.proposal.box is not None) and not w.tool.busy,
    "several candidates": lambda w: len(w.session.proposal.candidates) > 1 and w.session.has_prompts,
    "refinable": lambda w: (
        _has_selection(w) and w.editable and is_refinable(w.document.snapshot(), w.selection.ids)
    ),
    "reviewing": lambda w: len(w.review) > 0,
    "not reviewing": lambda w: len(w.review) == 0,
    "image not reviewing": lambda w: w.image is not None and len(w.review) == 0,
    "review ready": lambda w: len(w.review) > 0 and not w.review.busy and w.editable,
    "undo": lambda w: w.history.can_undo and w.editable,
    "redo": lambda w: w.history.can_redo and w.editable,
    "z": lambda w: w.image is not None and w.image.source.size_z > 1,
    "t": lambda w: w.image is not None and w.image.source.size_t > 1,
    "unsaved": lambda w: w.unsaved > 0,
    "recent": lambda w: bool(w.settings["recent"]),
    "project": lambda w: w.project.is_open,
    "editable project": lambda w: w.project.editable,
    "missing image": lambda w: w.project.editable and bool(w.project.missing),
    "new to project": lambda w: w.project.editable and w.editable and not w.project.current,
    "server": lambda w: w.serving.available,
    "serving": lambda w: w.serving.is_on,
}


WHY: dict[str, str] = {
    "image": "Open an image first",
    "image of no project": "An image of a project is kept there: save a copy",
    "annotations": "There are no annotations",
    "selection": "Select an annotation first",
    "editable selection": "Select an annotation first",
    "idle selection": "Select an annotation first",
    "hidden classes": "No class is hidden",
    "editable": "Open an image first",
    "editable planes": "Select annotations of another z slice or time point",
    "editable several": "Select two annotations or more",
    "drawing": "Nothing is being drawn",
    "painting": "Nothing is being painted",
    "candidate": "There is no candidate",
    "prompts": "There is no candidate",
    "several candidates": "There are not several candidates",
    "refinable": "Select one area that is not locked",
    "reviewing": "There is nothing to look through",
    "not reviewing": "Keep or drop what was found first",
    "image not reviewing": "Keep or drop what was found first",
    "review ready": "There is nothing to look through",
    "undo": "There is nothing to undo",
    "redo": "There is nothing to redo",
    "z": "The image has one z slice",
    "t": "The image has one time point",
    "unsaved": "Everything is saved",
    "recent": "No file was opened yet",
    "project": "Open a project first",
    "editable project": "Open a project first",
    "missing image": "No image of the project is missing",
    "new to project": "Open a project and an image that is not in it",
    "server": "The server is not installed",
    "serving": "Let other programs ask first",
}
"""Why a command cannot be given, by the name of its `WHEN`."""

_CHANGING = {"editable", "refinable", "candidate", "review ready", "undo", "redo"} | {
    name for name in WHEN if name.startswith("editable ") and name != "editable project"
}


def why(when: str, workspace: Workspace) -> str:
    """Why a command cannot be given now; empty for one that always can."""
    if when in _CHANGING and workspace.image is not None and not workspace.editable:
        return "This document cannot be changed"
    return WHY.get(when, "")


def toggle(setting: str) -> Callable[[Context], None]:
    """A command that turns a switch of the settings."""

    def run(c: Context) -> None:
        c.workspace.settings[setting] = not c.workspace.settings[setting]

    return run
