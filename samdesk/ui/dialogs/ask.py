"""The questions of `samdesk.app.workspace.Ask`, as file dialogs and one plain question box.

Remembers the folder; must not know why it is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QFileDialog, QMessageBox, QProgressDialog, QWidget

from samdesk.app.settings import Settings

LOOK_MS = 50
"""So often it is looked whether what is waited for has ended."""

_ENDING = re.compile(r"\*(\.[\w.]+)")


def named_as(path: Path, kind: str, filters: str) -> Path:
    """The path with the ending of the chosen file type, if it has none or that of another type.

    It stays as it is when it would become a file that is there: nobody was asked about that.
    """
    wanted, known = _ENDING.findall(kind), _ENDING.findall(filters)
    ending = next((one for one in sorted(known, key=len, reverse=True) if path.name.endswith(one)), "")
    if len(wanted) != 1 or ending in wanted or (path.suffix and not ending):
        return path
    named = path.with_name(path.name.removesuffix(ending) + wanted[0])
    return path if named.exists() else named


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

    def new_folder(self, title: str, name: str) -> Path | None:
        start = str(Path(self._settings["folder"] or Path.home()) / name)
        only_named = QFileDialog.Option.ShowDirsOnly | QFileDialog.Option.DontConfirmOverwrite
        chosen, _ = QFileDialog.getSaveFileName(self._parent, title, start, "Folders", options=only_named)
        return self._remembered(Path(chosen)) if chosen else None

    def save_file(self, title: str, name: str, filters: str) -> Path | None:
        start = str(Path(self._settings["folder"] or Path.home()) / name)
        chosen, kind = QFileDialog.getSaveFileName(self._parent, title, start, filters)
        return self._remembered(named_as(Path(chosen), kind, filters)) if chosen else None

    def choose(self, text: str, hint: str, options: Iterable[str]) -> int | None:
        box = QMessageBox(self._parent)
        box.setText(text)
        box.setInformativeText(hint)
        buttons = [box.addButton(option, QMessageBox.ButtonRole.AcceptRole) for option in options]
        box.addButton(QMessageBox.StandardButton.Cancel).setIcon(QIcon())
        box.exec()
        clicked = box.clickedButton()
        return next((k for k, button in enumerate(buttons) if button is clicked), None)

    def wait(self, text: str, until: Callable[[], bool]) -> bool:
        box = QProgressDialog(f"{text}…", "Cancel", 0, 0, self._parent)
        box.setWindowModality(Qt.WindowModality.WindowModal)
        box.setMinimumDuration(0)
        look = QTimer(box, interval=LOOK_MS)
        look.timeout.connect(lambda: box.accept() if until() else None)
        look.start()
        waited = bool(box.exec())
        box.deleteLater()
        return waited

    def _remembered(self, path: Path) -> Path:
        self._settings["folder"] = str(path.parent)
        return path
