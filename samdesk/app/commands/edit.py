"""Commands: undo, selection and what is done to it as a whole.

Must not know widgets.
"""

from __future__ import annotations

from .table import Command

ROWS = (
    Command("edit.undo", "Undo", ("Ctrl+Z",), "Edit", "undo", lambda c: c.workspace.history.undo()),
    Command("edit.redo", "Redo", ("Ctrl+Shift+Z", "Ctrl+Y"), "Edit", "redo",
            lambda c: c.workspace.history.redo()),
    Command("edit.delete", "Delete", ("Del", "Backspace"), "Edit/2", "editable selection",
            lambda c: c.workspace.delete_selected()),
    Command("edit.lock", "Lock or Unlock", ("Ctrl+K",), "Edit/2", "editable selection",
            lambda c: c.workspace.editing.set_locked()),
    Command("edit.select_all", "Select All", ("Ctrl+Alt+A",), "Edit/3", "annotations",
            lambda c: c.workspace.select_all()),
    Command("edit.deselect", "Select None", ("Ctrl+Alt+R",), "Edit/3", "selection",
            lambda c: c.workspace.selection.clear()),
    Command("app.preferences", "Preferences…", ("Ctrl+,",), "Edit/4", "always",
            lambda c: c.view.show_dialog("preferences")),
)  # fmt: skip
