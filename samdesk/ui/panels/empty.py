"""What the window shows while no image is open: how to begin.

Must not know how files are opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QSize, Qt
from PySide6.QtCore import Signal as QtSignal
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from samdesk.formats.project import title_of
from samdesk.paths import resource
from samdesk.ui import theme

RECENT_SHOWN = 6


class EmptyState(QWidget):
    """Open, sample, recent files.

    Attributes
    ----------
    command : Signal(str)
        Id of the command behind a button.
    chosen : Signal(Path)
        A recent file.
    sample : Signal()
    """

    command = QtSignal(str)
    chosen = QtSignal(object)
    sample = QtSignal()

    def __init__(self) -> None:
        super().__init__()
        picture = QLabel()
        picture.setPixmap(QIcon(str(resource("icons/samdesk.svg"))).pixmap(QSize(72, 72)))
        title = QLabel("samdesk")
        title.setProperty("role", "title")
        text = QLabel("Open an image of any size, click an object, press Enter.")
        text.setProperty("role", "muted")
        self.open = QPushButton("Open Image…")
        self.open.setDefault(True)
        self.open.clicked.connect(lambda: self.command.emit("file.open"))
        self.sample_button = QPushButton("Try the Sample Slide")
        self.sample_button.setToolTip("Makes a synthetic slide of 16,384 × 16,384 px on this computer")
        self.sample_button.clicked.connect(self.sample)
        buttons = QHBoxLayout()
        buttons.addStretch()
        buttons.addWidget(self.open)
        buttons.addWidget(self.sample_button)
        buttons.addStretch()
        drop = QLabel("…or drop a file anywhere in this window\nCtrl+L finds any command, F1 shows all keys")
        drop.setAlignment(Qt.AlignmentFlag.AlignCenter)
        drop.setProperty("role", "muted")
        self._recent_title = QLabel("Recent")
        self._recent_title.setProperty("role", "muted")
        self._recent = QVBoxLayout()
        self._recent.setSpacing(2)
        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addStretch(3)
        for one in (picture, title, text):
            layout.addWidget(one, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addSpacing(10)
        layout.addLayout(buttons)
        layout.addWidget(drop, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addSpacing(24)
        layout.addWidget(self._recent_title, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addLayout(self._recent)
        layout.addStretch(4)

    def show_recent(self, files: Sequence[str]) -> None:
        """List the recent files that still exist."""
        while (item := self._recent.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        found = [Path(name) for name in files if Path(name).exists()][:RECENT_SHOWN]
        self._recent_title.setVisible(bool(found))
        for path in found:
            button = QToolButton()
            button.setAutoRaise(True)
            button.setText(title_of(path))
            button.setToolTip(str(path))
            button.setStyleSheet(f"color: {theme.colors()['accent']}; border: 0; padding: 3px;")
            button.clicked.connect(lambda _=False, p=path: self.chosen.emit(p))
            self._recent.addWidget(button, 0, Qt.AlignmentFlag.AlignHCenter)
