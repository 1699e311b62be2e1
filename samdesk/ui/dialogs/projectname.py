"""Another name for the open project.

Must not know where it is kept.
"""

from __future__ import annotations

from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QInputDialog, QPushButton

from samdesk.ui.dialogs.book import Window


class ProjectName(QInputDialog):
    """One line with the name of the project."""

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        project = window.workspace.project
        self.setWindowTitle("Rename Project")
        self.setLabelText("Name of the project (its folder keeps its own):")
        self.setOkButtonText("Rename")
        self.setTextValue(project.folder.name if project.folder is not None else "")
        self.textValueSelected.connect(project.rename)
        self.resize(360, 100)
        for button in self.findChildren(QPushButton):
            button.setIcon(QIcon())


def make(window: Window, about: str) -> ProjectName:
    """The line for the name."""
    return ProjectName(window)
