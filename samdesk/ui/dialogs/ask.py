"""The questions of `samdesk.app.workspace.Ask`, as file dialogs and one plain question box.

Remembers the folder; must not know why it is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QFileDialog, QMessageBox, QWidget

from samdesk.app.settings import Settings


class WindowAsk:
    """Asks in front of `parent`."""

    def __init__(self, parent: QWidget, settings: Settings) -> None:
        self._parent = parent
        self._settings = settings

    def open_files(self, title: str, filters: str) -> list[Path]:
        names, _ = QFileDialog.getOpenFileNames(self._parent, title, self._settings["folder"], filters)
        return [self._remembered(Path(name)) for name in names]

    def open_folder(self, title: str) -> Path | None:
        chosen = QFileDialog.getExistingDirectory(self._parent, title, self._settings["folder"])
        return Path(chosen) if chosen else None

    def save_file(self, title: str, name: str, filters: str) -> Path | None:
        start = str(Path(self._settings["folder"] or Path.home()) / name)
        chosen, _ = QFileDialog.getSaveFileName(self._parent, title, start, filters)
        return self._remembered(Path(chosen)) if chosen else None

    def choose(self, text: str, hint: str, options: Iterable[str]) -> int | None:
        box = QMessageBox(self._parent)
        box.setText(text)
        box.setInformativeText(hint)
        buttons = [box.addButton(option, QMessageBox.ButtonRole.AcceptRole) for option in options]
        box.addButton(QMessageBox.StandardButton.Cancel).setIcon(QIcon())
        box.exec()
        clicked = box.clickedButton()
        return next((k for k, button in enumerate(buttons) if button is clicked), None)

    def _remembered(self, path: Path) -> Path:
        self._settings["folder"] = str(path.parent)
        return path
