"""The menu of recent files, made anew each time it opens.

Must not know how files are opened.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtWidgets import QMenu, QWidget

from samdesk.app.settings import Settings
from samdesk.formats.project import title_of


class RecentMenu(QMenu):
    """The files opened last, newest first, those that are gone in gray.

    Parameters
    ----------
    settings : Settings
    chosen : callable
        Receives the path.
    """

    def __init__(self, settings: Settings, chosen: Callable[[Path], object], parent: QWidget) -> None:
        super().__init__("Open Recent", parent)
        self._settings = settings
        self._chosen = chosen
        self.setToolTipsVisible(True)

    def fill(self) -> None:
        """Follow the settings."""
        self.clear()
        for name in self._settings["recent"]:
            path = Path(name)
            action = self.addAction(title_of(path))
            action.setToolTip(name)
            action.setEnabled(path.exists())
            action.triggered.connect(lambda _=False, p=path: self._chosen(p))
        if not self.isEmpty():
            self.addSeparator()
            clear = self.addAction("Clear This List")
            clear.setToolTip("The files themselves stay where they are")
            clear.triggered.connect(self._settings.forget_files)
        self.setEnabled(not self.isEmpty())
