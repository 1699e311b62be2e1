"""Commands: projects of several images, snapshots, and going on after a crash.

Must not know widgets.
"""

from __future__ import annotations

from pathlib import Path

from samdesk.formats.project import FOLDER_FILE

from .file import IMAGE_FILTER
from .table import Command, Context

PROJECT_FILTER = f"samdesk projects ({FOLDER_FILE});;All files (*)"


def _new(c: Context) -> None:
    path = c.ask.new_folder("New project", "Project")
    if path is not None:
        c.workspace.project.new(path)


def _open(c: Context) -> None:
    for path in c.ask.open_files("Open a project", PROJECT_FILTER)[:1]:
        c.workspace.open(path)


def _add(c: Context) -> None:
    c.workspace.project.add_images(c.ask.open_files("Add images to the project", IMAGE_FILTER))


def _relink(c: Context) -> None:
    """The image that was wanted, else the first that is missing."""
    project = c.workspace.project
    one = project.next_missing
    if one is not None:
        for path in c.ask.open_files(f"Where is {one.name} now?", "All files (*)")[:1]:
            project.relink(one.id, path.absolute())


def _open_again(c: Context) -> None:
    recent = c.workspace.settings["recent"]
    if recent:
        c.workspace.looking.go_on = True
        c.workspace.open(Path(recent[0]))


ROWS = (
    Command("file.open_again", "Reopen Last File", (), "File", "recent", _open_again,
            "The file that was open last, where it was looked at"),
    Command("project.new", "New Project…", (), "File/1/Project", "always", _new,
            "A folder that keeps the annotations of several images"),
    Command("project.open", "Open Project…", (), "File/1/Project", "always", _open),
    Command("project.add", "Add Images to Project…", (), "File/1/Project", "editable project", _add,
            "The images stay where they are"),
    Command("project.add_current", "Add This Image to Project", (), "File/1/Project", "new to project",
            lambda c: c.workspace.project.add_current(), "With its annotations"),
    Command("project.relink", "Relink Missing Image…", (), "File/1/Project", "missing image", _relink,
            "Say where an image is now; others that were moved along are found too"),
    Command("project.rename", "Rename Project…", (), "File/1/Project", "editable project",
            lambda c: c.view.show_dialog("project name")),
    Command("project.close", "Close Project", (), "File/1/Project", "project",
            lambda c: c.workspace.project.close()),
    Command("file.snapshots", "Restore a Snapshot…", (), "File/2", "editable",
            lambda c: c.view.show_dialog("snapshots"), "Make the annotations what they were then"),
    Command("view.project", "Project", (), "View/6", "project", lambda c: c.view.show_project(),
            "Show or hide the images of the project"),
)  # fmt: skip
