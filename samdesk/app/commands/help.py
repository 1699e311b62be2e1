"""Commands: finding commands, and what the program says about itself.

Must not know widgets.
"""

from __future__ import annotations

from .table import Command

ROWS = (
    Command("help.palette", "Find a Command…", ("Ctrl+L", "Ctrl+Shift+P"), "Help", "always",
            lambda c: c.view.show_dialog("palette")),
    Command("help.shortcuts", "Keyboard Shortcuts", ("F1",), "Help", "always",
            lambda c: c.view.show_dialog("shortcuts")),
    Command("help.log", "Open the Log", (), "Help/2", "always", lambda c: c.view.open_log()),
    Command("help.about", "About samdesk", (), "Help/2", "always", lambda c: c.view.show_dialog("about")),
)  # fmt: skip
