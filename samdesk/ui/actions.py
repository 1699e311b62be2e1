"""QActions made from the command table: one per command, shared by menus, toolbar and palette.

Must not know what the commands do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QMenu, QMenuBar, QWidget

from samdesk.app.commands import COMMANDS, MENUS, WHEN, Command, Context
from samdesk.app.commands.classes import titles as class_titles
from samdesk.app.tools import TOOLS

from . import theme
from .bridge import Bridge

ICONS = {
    "file.open": "open",
    "file.export": "export",
    "edit.undo": "undo",
    "edit.redo": "redo",
    "edit.delete": "delete",
    "edit.lock": "lock",
    "view.fit": "fit",
    "view.full": "full",
    "view.contrast": "contrast",
    "view.annotations": "eye",
    "help.palette": "search",
    "recon.make": "cube",
    **{f"tool.{name}": spec.icon for name, spec in TOOLS.items()},
    "tool.selecting": "selection",
}


def _is_tool(name: str, context: Context) -> bool:
    return context.workspace.tool_name == name


CHECKED: dict[str, Callable[[Context], bool]] = {
    **{f"tool.{name}": partial(_is_tool, name) for name in TOOLS},
    "tool.selecting": lambda c: c.workspace.selecting,
    "segment.auto": lambda c: bool(c.workspace.settings["auto_accept"]),
    "segment.hover": lambda c: bool(c.workspace.settings["hover"]),
    "view.annotations": lambda c: bool(c.workspace.settings["annotations"]),
    "view.warm": lambda c: bool(c.workspace.settings["warm_chips"]),
    "view.fill": lambda c: bool(c.workspace.settings["fill"]),
    "view.scale_bar": lambda c: bool(c.workspace.settings["scale_bar"]),
    "server.answer": lambda c: c.workspace.serving.wanted,
    "view.rulers": lambda c: bool(c.workspace.settings["rulers"]),
    "view.names": lambda c: bool(c.workspace.settings["names"]),
    "view.seen": lambda c: c.workspace.showing.previewing,
    "view.overview": lambda c: bool(c.workspace.settings["overview"]),
}


class Actions:
    """All actions of one window.

    Parameters
    ----------
    context : Context
        What the commands act on.
    parent : QWidget
        Owns the actions and their shortcuts.
    bridge : Bridge
        Turns what a command raises into a notice.
    """

    def __init__(self, context: Context, parent: QWidget, bridge: Bridge) -> None:
        self._context = context
        self._actions = {command.id: self._make(command, parent, bridge) for command in COMMANDS.values()}
        tools = QActionGroup(parent)
        for name in TOOLS:
            tools.addAction(self[f"tool.{name}"])
        self.restyle()
        self.refresh()

    def __getitem__(self, name: str) -> QAction:
        return self._actions[name]

    def _make(self, command: Command, parent: QWidget, bridge: Bridge) -> QAction:
        action = QAction(command.title, parent)
        action.setObjectName(command.id)
        action.setShortcuts([QKeySequence(key) for key in command.keys])
        action.setCheckable(command.id in CHECKED)
        action.triggered.connect(bridge.guarded(lambda *_: command.run(self._context)))
        parent.addAction(action)
        return action

    def restyle(self) -> None:
        """Take icons in the colors of the present theme."""
        for name, icon in ICONS.items():
            tool = name.startswith("tool.")
            self[name].setIcon(theme.icon(icon, "on_accent" if tool else "accent"))
            self[name].setIconVisibleInMenu(False)
        for name, action in self._actions.items():
            action.setToolTip(_tip(COMMANDS[name]))

    def refresh(self) -> None:
        """Enable and check the actions as the workspace is now."""
        workspace = self._context.workspace
        holds = {name: test(workspace) for name, test in WHEN.items()}
        for name, action in self._actions.items():
            action.setEnabled(holds[COMMANDS[name].when])
        for name, test in CHECKED.items():
            self[name].setChecked(test(self._context))
        for name, verb, what in (
            ("edit.undo", "Undo", workspace.history.undo_title),
            ("edit.redo", "Redo", workspace.history.redo_title),
        ):
            self[name].setText(f"{verb} {what}" if what else verb)
        for name, title in class_titles(workspace):
            self[name].setText(title or COMMANDS[name].title)
            self[name].setVisible(bool(title))
        title = COMMANDS["server.answer"].title
        known = workspace.serving.available
        self["server.answer"].setText(title if known else f"{title} (not installed)")

    def fill(self, bar: QMenuBar) -> None:
        """Build the menus in the order of the table."""
        for title in MENUS:
            menu = bar.addMenu(title)
            menu.setObjectName(f"menu.{title}")
            section = ""
            for command in COMMANDS.values():
                name, _, part = command.menu.partition("/")
                if name != title:
                    continue
                part, _, below = part.partition("/")
                if part != section and menu.actions():
                    menu.addSeparator()
                section = part
                _submenu(menu, below).addAction(self[command.id])


def _submenu(menu: QMenu, title: str) -> QMenu:
    """The menu of this title in another one, made when it is not there; that one for no title."""
    if not title:
        return menu
    name = f"{menu.objectName()}.{title}"
    found = menu.findChild(QMenu, name)
    if found is None:
        found = menu.addMenu(title)
        found.setObjectName(name)
    return found


def _tip(command: Command) -> str:
    tool = TOOLS.get(command.id.removeprefix("tool."))
    text = command.tip or (tool.tip if tool and command.id.startswith("tool.") else "")
    keys = (
        f"  ({QKeySequence(command.keys[0]).toString(QKeySequence.SequenceFormat.NativeText)})"
        if (command.keys)
        else ""
    )
    title = command.title.rstrip("…") + keys
    return f"{title}\n{text}" if text else title
