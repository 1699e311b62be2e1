"""The small dialog that makes a link or a file a weight. Must not know how either comes here."""

from __future__ import annotations

import re
import urllib.parse
from pathlib import Path

from PySide6.QtCore import QEvent, QMimeData, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QIcon
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from samdesk.app.commands.segment import WEIGHT_FILTER
from samdesk.app.downloads import TYPE_TITLES, Downloads
from samdesk.app.workspace import Ask
from samdesk.domain.errors import SamdeskError
from samdesk.ui import theme

_SCHEME = re.compile(r"^\s*[A-Za-z][A-Za-z0-9+.-]+://")


def dropped(data: QMimeData) -> str:
    """The first file or link of a drop; empty when there is none."""
    if data.hasUrls():
        for url in data.urls():
            return url.toLocalFile() if url.isLocalFile() else url.toString()
    text = data.text().strip() if data.hasText() else ""
    return text if _SCHEME.match(text) and not re.search(r"\s", text) else ""


def is_link(text: str) -> bool:
    """Whether `text` is meant as a link and not as the path of a file."""
    return bool(_SCHEME.match(text)) and not text.strip().lower().startswith("file:")


def name_from(text: str) -> str:
    """A name to begin with, from the last part of a link or path; empty when it has none of use."""
    path = urllib.parse.unquote(urllib.parse.urlsplit(text.strip()).path) if is_link(text) else text
    last = re.split(r"[\\/]", path.strip().rstrip("\\/"))[-1]
    stem, dot, _ = last.rpartition(".")
    return re.sub(r"[_\s]+", " ", stem).strip() if dot else ""


class AddWeight(QDialog):
    """Asks for a link or a file, a name, and the model type.

    Parameters
    ----------
    source : str
        A link or a path to begin with.
    """

    def __init__(self, parent: QWidget, downloads: Downloads, ask: Ask, source: str = "") -> None:
        super().__init__(parent)
        self.setWindowTitle("Add Custom Weight")
        self.setMinimumWidth(520)
        self.setAcceptDrops(True)
        self._downloads = downloads
        self._ask = ask
        self._build()
        self.source.setText(source)
        (self.name if source else self.source).setFocus()

    def _build(self) -> None:
        self.source = QLineEdit()
        self.source.setPlaceholderText("https://… or a file")
        self.source.setAccessibleName("Link or file")
        self.source.setAcceptDrops(False)  # the dialog takes what is dropped
        self.source.textChanged.connect(self._source_changed)
        choose = QPushButton("Choose File…")
        choose.setAutoDefault(False)
        choose.clicked.connect(lambda: self._choose())
        from_ = QHBoxLayout()
        from_.addWidget(self.source, 1)
        from_.addWidget(choose)
        self.name = QLineEdit()
        self.name.setAccessibleName("Name")
        self.name.setPlaceholderText("What it is good for")
        self._named = False
        self.name.textEdited.connect(self._name_edited)
        self.type = QComboBox()
        self.type.setAccessibleName("Model type")
        if self._downloads.can_recognise:
            self.type.addItem("Detect from the file", "")
        else:
            self.type.setPlaceholderText("Choose…")
        for type_, title in TYPE_TITLES.items():
            self.type.addItem(f"{title}  ({type_})", type_)
        self.type.setCurrentIndex(0 if self._downloads.can_recognise else -1)
        self.now = QCheckBox("Download it now")
        self.now.setChecked(True)
        self.reference = QCheckBox("Use the file where it lies, without a copy")
        self.options = QStackedWidget()
        self.options.addWidget(self.now)
        self.options.addWidget(self.reference)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Link or file", from_)
        form.addRow("Name", self.name)
        form.addRow("Model type", self.type)
        form.addRow("", self.options)
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        self.hint.setTextFormat(Qt.TextFormat.PlainText)
        self.hint.setMinimumHeight(2 * self.fontMetrics().lineSpacing())
        self.hint.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        box = QDialogButtonBox()
        self.add = box.addButton("Add", QDialogButtonBox.ButtonRole.AcceptRole)
        self.add.setDefault(True)
        give_up = box.addButton(QDialogButtonBox.StandardButton.Cancel)
        for one in (self.add, give_up):
            one.setIcon(QIcon())
        box.accepted.connect(self._add)
        box.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addLayout(form)
        layout.addWidget(self.hint)
        layout.addWidget(box)
        self._say("")

    def _source_changed(self, text: str) -> None:
        local = QUrl(text.strip()).toLocalFile() if text.strip().lower().startswith("file:") else ""
        if local:
            self.source.setText(local)
            return
        self.options.setCurrentWidget(self.now if is_link(text) or not text.strip() else self.reference)
        if not self._named:
            self.name.setText(name_from(text))
        self._say("")

    def _name_edited(self, text: str) -> None:
        self._named = bool(text)
        self._say("")

    def _choose(self) -> None:
        for path in self._ask.open_files("Choose a weight file", WEIGHT_FILTER)[:1]:
            self.source.setText(str(path))

    def _add(self) -> None:
        try:
            self._submit(self.source.text().strip(), self.name.text())
        except SamdeskError as error:
            self._say(f"{error.message} {error.hint}".strip())
        else:
            self.accept()

    def _submit(self, source: str, name: str) -> None:
        if not source:
            self.source.setFocus()
            raise SamdeskError("Paste a link, or choose a file.")
        if self.type.currentIndex() < 0:
            self.type.setFocus()
            raise SamdeskError("Choose the model type.", "Without torch it cannot be found out here.")
        if not name.strip():
            self.name.setFocus()
        type_ = self.type.currentData()
        if is_link(source):
            self._downloads.add_link(source, name, type_, download=self.now.isChecked())
        else:
            self._downloads.import_file(Path(source), name, type_, reference=self.reference.isChecked())

    def _say(self, trouble: str) -> None:
        """What is wrong, or what can be given."""
        self._trouble = trouble
        self.hint.setText(trouble or "Links of Google Drive and Hugging Face are followed to the file.")
        self.hint.setProperty("role", None if trouble else "muted")
        self.hint.setStyleSheet(f"color: {theme.colors()['trouble']};" if trouble else "")

    # Qt's events

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.PaletteChange and hasattr(self, "_trouble"):
            self._say(self._trouble)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if dropped(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        self.source.setText(dropped(event.mimeData()))
        event.acceptProposedAction()
