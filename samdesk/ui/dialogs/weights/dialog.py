"""The Weights dialog: what there is, what it costs, and fetching, checking and removing it.

Must not know how files come here: `samdesk.app.downloads` does it.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from PySide6.QtCore import QEvent, QItemSelectionModel, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from samdesk.app.downloads import Downloads, Standing
from samdesk.app.workspace import Ask, Notice
from samdesk.domain.errors import SamdeskError
from samdesk.ui import theme
from samdesk.ui.dialogs.book import Window
from samdesk.ui.panels.notices import NoticeBar
from samdesk.weights import Weight
from samdesk.weights.sources import TOKEN_PAGE, host_of
from samdesk.weights.transfer import size_text

from .adding import AddWeight, dropped
from .table import NAME, WeightsModel, WeightsTable

Guard = Callable[[Callable[..., object]], Callable[..., None]]

VERBS = {
    "missing": "Download",
    "gated": "Download",
    "partial": "Resume",
    "queued": "Cancel",
    "receiving": "Cancel",
    "checking": "Cancel",
    "ready": "Download",
    "unchecked": "Download",
    "damaged": "Download Again",
}


class WeightsDialog(QDialog):
    """The table of weights, what there is to say about the chosen one, and what can be done.

    Parameters
    ----------
    guard : callable
        Turns what a slot raises into a notice of the window.
    """

    def __init__(self, parent: QWidget | None, downloads: Downloads, ask: Ask, guard: Guard) -> None:
        super().__init__(parent)
        self.setWindowTitle("Weights")
        self.resize(900, 620)
        self.setMinimumHeight(420)
        self.setAcceptDrops(True)
        self._downloads = downloads
        self._ask = ask
        self._guard = guard
        self._build()
        self._listen()
        self.model.reload()
        self.choose_weight("")
        for problem in downloads.registry.problems[:1]:
            self.notices.show_notice(Notice("warning", problem))

    def _build(self) -> None:
        self.model = WeightsModel(self._downloads, self)
        self.view = WeightsTable(self.model)
        self.view.selectionModel().currentRowChanged.connect(lambda *_: self._show_chosen())
        self.view.doubleClicked.connect(lambda _: self._double_clicked())
        framed = QWidget()
        around = QVBoxLayout(framed)
        around.setContentsMargins(0, 0, 0, 0)
        around.addWidget(self.view)
        self.notices = NoticeBar(framed)
        self.detail = QLabel()
        self.detail.setTextFormat(Qt.TextFormat.RichText)
        self.detail.setWordWrap(True)
        self.detail.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self.detail.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.detail.setOpenExternalLinks(True)
        self.detail.setMinimumHeight(5 * self.fontMetrics().lineSpacing())
        self.detail.setContentsMargins(6, 2, 6, 2)
        self.detail.setAccessibleName("About the chosen weight")
        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addWidget(framed, 1)
        layout.addWidget(self.detail)
        layout.addWidget(self._build_login())
        layout.addLayout(self._build_buttons())

    def _build_login(self) -> QWidget:
        self.log_in: QPushButton = self._button("Log In", "Keep the token on this computer", self._log_in)
        self.log_in.setEnabled(False)
        self.token = QLineEdit()
        self.token.setEchoMode(QLineEdit.EchoMode.Password)
        self.token.setPlaceholderText("hf_…")
        self.token.setAccessibleName("Hugging Face token")
        self.token.textChanged.connect(lambda text: self.log_in.setEnabled(bool(text.strip())))
        self.token.returnPressed.connect(lambda: self._log_in())
        self.where = where = QLabel()
        where.setOpenExternalLinks(True)
        where.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        first = QLabel("1. Accept the licence on the page that opened in the browser.")
        row = QHBoxLayout()
        row.addWidget(where)
        row.addWidget(self.token, 1)
        row.addWidget(self.log_in)
        self.login = QWidget()
        layout = QVBoxLayout(self.login)
        layout.setContentsMargins(6, 0, 0, 0)
        layout.addWidget(first)
        layout.addLayout(row)
        self.login.hide()
        self._color_links()
        return self.login

    def _color_links(self) -> None:
        link = _link(TOKEN_PAGE, "token of Hugging Face")
        self.where.setText(f"2. Log in with a {link} that may read:")

    def _build_buttons(self) -> QHBoxLayout:
        self.act = self._button("Download", "", self._act)
        self.act.setMinimumWidth(self.fontMetrics().horizontalAdvance("Download Again") + 32)
        self.accept_licence = self._button(
            "Accept the Licence…", "Open its page in the browser, then log in here", self._accept_licence
        )
        self.verify = self._button("Verify", "Read the whole file and compare it", self._verify)
        self.remove = self._button("Remove", "Delete the file from this computer", self._remove)
        self.reveal = self._button("Show in Folder", "", self._reveal)
        self.add = self._button("Add Custom…", "Add a link or a file of your own; or drop it here", self._add)
        close = self._button("Close", "", self.reject)
        self.status = QLabel()
        self.status.setProperty("role", "muted")
        # it takes what the buttons leave
        self.status.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        row = QHBoxLayout()
        row.setSpacing(6)
        for one in (self.act, self.accept_licence, self.verify, self.remove, self.reveal):
            row.addWidget(one)
        row.addWidget(self.status, 1)
        row.addWidget(self.add)
        row.addWidget(close)
        return row

    def _button(self, text: str, tip: str, does: Callable[[], object]) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.setAutoDefault(False)
        button.clicked.connect(self._guard(lambda *_: does()))
        return button

    def _listen(self) -> None:
        downloads = self._downloads
        pairs = (
            (downloads.changed, self._changed),
            (downloads.added, self._added),
            (downloads.failed, self._failed),
            (downloads.logged_in, self._logged_in),
        )
        for signal, slot in pairs:
            signal.connect(slot)

        def let_go() -> None:
            for signal, slot in pairs:
                signal.disconnect(slot, missing_ok=True)

        self.destroyed.connect(let_go)

    # What the downloads say

    def _changed(self, name: str) -> None:
        kept = self.chosen.name if self.chosen is not None else ""
        self.model.refresh(name)
        importing = self._downloads.importing
        self.status.setText(f"Importing {importing[0]}…" if importing else "")
        if self.chosen is None or self.chosen.name != kept:
            self.choose_weight(kept)
        elif name == kept:
            self._show_chosen()

    def _added(self, weight: Weight) -> None:
        self.model.reload()
        self.choose_weight(weight.name)

    def _failed(self, name: str, error: SamdeskError) -> None:
        self.log_in.setEnabled(bool(self.token.text().strip()))
        if self.chosen is None or self.chosen.name != name or self.model.row_of(name) is None:
            self.notices.show_notice(Notice("error", error.message, error.hint))

    # The chosen weight

    @property
    def chosen(self) -> Weight | None:
        """The weight of the current row."""
        row = self.view.currentIndex().row()
        return self.model.weight(row) if 0 <= row < self.model.rowCount() else None

    def choose_weight(self, name: str) -> None:
        """Make this weight the current one; the first when there is none of this name."""
        if not self.model.rowCount():
            return
        index = self.model.index(self.model.row_of(name) or 0, NAME)
        flags = QItemSelectionModel.SelectionFlag
        if index.row() != self.view.currentIndex().row() or not self.view.selectionModel().hasSelection():
            self.view.selectionModel().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)
            self.view.scrollTo(index)

    def _standing(self, weight: Weight) -> Standing:
        row = self.model.row_of(weight.name)
        return self.model.standing(row) if row is not None else self._downloads.standing(weight)

    def _show_chosen(self) -> None:
        weight = self.chosen
        buttons = (self.act, self.verify, self.remove, self.reveal)
        if weight is None:
            for one in buttons:
                one.setEnabled(False)
            self.detail.setText("")
            return
        standing = self._standing(weight)
        fetched = bool(weight.url) and not weight.reference
        self.act.setText(VERBS[standing.state])
        self.act.setEnabled(standing.is_busy or (fetched and standing.state not in ("ready", "unchecked")))
        self.act.setDefault(self.act.isEnabled())
        self.verify.setEnabled(standing.is_here)
        mine = weight.source == "user"
        there = standing.is_here or standing.state == "partial"
        self.remove.setEnabled(not standing.is_busy and (mine or there))
        self.reveal.setEnabled(there or standing.state == "receiving")
        page = self._downloads.licence_page(weight)
        self.accept_licence.setVisible(bool(page) and not standing.is_here)
        if not page or standing.is_here:
            self.login.hide()
        self.detail.setText(self._told(weight, standing))

    def _told(self, weight: Weight, standing: Standing) -> str:
        chosen = theme.colors()
        color = theme.colors()["trouble"] if standing.trouble else chosen["muted"]
        lines = [f"<b>{escape(weight.name)}</b>"]
        if weight.about:
            lines.append(escape(weight.about))
        facts = []
        if weight.reference:
            facts.append(f"Used where it lies: {escape(weight.reference)}")
        elif weight.url:
            facts.append(f"From {escape(host_of(weight.url))}")
        else:
            facts.append("Imported from a file")
        if weight.licence:
            facts.append(f"licence: {escape(weight.licence)}")
        if weight.homepage.startswith(("https://", "http://")):
            words = "licence page" if weight.gated else "home page"
            facts.append(_link(weight.homepage, words))
        lines.append(f'<span style="color: {chosen["muted"]}">{" · ".join(facts)}</span>')
        if standing.detail:
            lines.append(f'<span style="color: {color}">{escape(standing.detail)}</span>')
        return "<br>".join(lines)

    # What the user does

    def _act(self) -> None:
        weight = self.chosen
        if weight is None:
            return
        if self._standing(weight).is_busy:
            self._downloads.cancel(weight)
        else:
            self._downloads.start(weight)

    def _double_clicked(self) -> None:
        weight = self.chosen
        if weight is not None and self.act.isEnabled() and not self._standing(weight).is_busy:
            self._guard(self._downloads.start)(weight)

    def _verify(self) -> None:
        if self.chosen is not None:
            self._downloads.verify(self.chosen)

    def _remove(self) -> None:
        weight = self.chosen
        if weight is None:
            return
        size = self._downloads.registry.size(weight)
        if weight.reference:
            what = f"It is forgotten; the file stays at {weight.reference}."
        elif weight.url:
            cost = size_text(size) if size else "It"
            what = f"{cost} can be downloaded again."
        else:
            what = "This copy is deleted; the file that it was imported from stays."
        if self._ask.choose(f"Remove {weight.name} from this computer?", what, ("Remove",)) == 0:
            self._downloads.remove(weight)

    def _reveal(self) -> None:
        if self.chosen is not None:
            folder = self._downloads.registry.path(self.chosen).parent
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))

    def _add(self, source: str = "") -> None:
        dialog = AddWeight(self, self._downloads, self._ask, source)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.adding = dialog
        dialog.open()

    def _accept_licence(self) -> None:
        weight = self.chosen
        if weight is None:
            return
        QDesktopServices.openUrl(QUrl(self._downloads.licence_page(weight)))
        if self._downloads.takes_token(weight):
            self.login.show()
            self.token.setFocus()

    def _log_in(self) -> None:
        self.log_in.setEnabled(False)
        self._downloads.log_in(self.token.text())

    def _logged_in(self, where: str) -> None:
        self.token.clear()
        self.login.hide()
        self.notices.show_notice(
            Notice("info", f"The token is kept in {where}.", "Downloads of gated weights use it.")
        )

    # Qt's events

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.PaletteChange and hasattr(self, "notices"):
            self.notices.restyle()
            self._color_links()
            self._show_chosen()

    def event(self, event: QEvent) -> bool:
        if event.type() is QEvent.Type.WindowActivate:
            self.model.reload()  # another window or the command line may have changed something
            self._show_chosen()
        return super().event(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if dropped(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        self._add(dropped(event.mimeData()))
        event.acceptProposedAction()


def _link(page: str, words: str) -> str:
    """A link in the color of the present theme, which a label does not follow by itself."""
    return f'<a style="color: {theme.colors()["accent"]}" href="{escape(page)}">{words}</a>'


def make(window: Window, about: str) -> WeightsDialog:
    """The dialog that is open, else a new one, with the weight of this name chosen."""
    dialog = window.dialogs.get("weights")
    if not isinstance(dialog, WeightsDialog) or not dialog.isVisible():
        dialog = WeightsDialog(window, window.workspace.downloads, window.ask, window.bridge.guarded)
    if about:
        dialog.choose_weight(about)
    return dialog
