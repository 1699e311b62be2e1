"""What a command is, what it acts on, and when it can be given.

Must not know widgets: a command receives a `Context`, whose `view` and `ask` the window provides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from samdesk.app.workspace import Ask, Workspace
from samdesk.domain.geometry import Bounds


class View(Protocol):
    """What commands may ask of the window."""

    def fit(self) -> None: ...
    def looking_at(self) -> tuple[Bounds, float]: ...
    def zoom_to(self, scale: float) -> None: ...
    def zoom_by(self, factor: float) -> None: ...
    def show_bounds(self, bounds: Bounds) -> None: ...
    def show_dialog(self, name: str, about: str = "") -> None:
        """Open a dialog by its name, at what it is about."""
        ...

    def show_find(self) -> None: ...
    def show_3d(self) -> None: ...
    def show_selected_3d(self) -> None: ...
    def open_3d_files(self, files: list[Path]) -> None: ...
    def open_log(self) -> None: ...
    def open_link(self, url: str) -> None: ...
    def copy_text(self, text: str) -> None: ...
    def open_folder(self) -> None: ...
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
        Menu it stands in, as "Menu" or "Menu/section"; a new section gets a separator.
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


WHEN: dict[str, Callable[[Workspace], bool]] = {
    "always": lambda w: True,
    "image": lambda w: w.image is not None,
    "annotations": lambda w: len(w.document) > 0,
    "selection": lambda w: bool(w.selection.ids) and not w.session.has_prompts,
    "editable selection": lambda w: bool(w.selection.ids) and w.editable and not w.session.has_prompts,
    "candidate": lambda w: w.session.can_accept and w.editable,
    "prompts": lambda w: w.session.has_prompts or w.session.proposal.box is not None,
    "several candidates": lambda w: len(w.session.proposal.candidates) > 1 and w.session.has_prompts,
    "undo": lambda w: w.history.can_undo and w.editable,
    "redo": lambda w: w.history.can_redo and w.editable,
    "z": lambda w: w.image is not None and w.image.source.size_z > 1,
    "t": lambda w: w.image is not None and w.image.source.size_t > 1,
    "unsaved": lambda w: w.unsaved > 0,
    "server": lambda w: w.serving.available,
    "serving": lambda w: w.serving.is_on,
}


def toggle(setting: str) -> Callable[[Context], None]:
    """A command that turns a switch of the settings."""

    def run(c: Context) -> None:
        c.workspace.settings[setting] = not c.workspace.settings[setting]

    return run
