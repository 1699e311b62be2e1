"""Commands: the tools.

Must not know widgets.
"""

from __future__ import annotations

from .table import Command

ROWS = (
    Command("tool.move", "Move", ("M",), "Tools", "always", lambda c: c.workspace.select_tool("move")),
    Command("tool.segment", "Segment", ("S",), "Tools", "always",
            lambda c: c.workspace.select_tool("segment")),
)  # fmt: skip
