"""The pill at the foot of the picture: which candidate is shown and which keys act on it.

Must not know the canvas.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QLabel, QWidget

from samdesk.app.session import Proposal
from samdesk.ui import theme

STAGES = {"loading": "Loading the model", "encoding": "Preparing", "busy": "Searching"}
"""What the pill says before there is an answer."""


class CandidatePill(QLabel):
    """Hidden while there is no prompt."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._over = parent
        parent.installEventFilter(self)
        self.setObjectName("pill")
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAccessibleName("Candidate")
        self.restyle()
        self.hide()

    def show_proposal(self, proposal: Proposal) -> None:
        """Say what the candidate is, or why there is none."""
        if not proposal.prompts:
            self.hide()
            return
        self.setText(_text(proposal))
        self.adjustSize()
        self.place()
        self.show()
        self.raise_()

    def place(self) -> None:
        """Stand in the middle of the picture's foot."""
        self.move((self._over.width() - self.width()) // 2, self._over.height() - self.height() - 16)

    def restyle(self) -> None:
        chosen = theme.colors()
        self.setStyleSheet(
            f"#pill {{ background: {chosen['base']}; color: {chosen['text']};"
            f" border: 1px solid {chosen['line']}; border-radius: 8px; padding: 7px 14px; }}"
        )

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Resize:
            self.place()
        return super().eventFilter(watched, event)


def _text(proposal: Proposal) -> str:
    muted = theme.colors()["muted"]
    engine = f'<span style="color:{muted}">{proposal.stand_in or proposal.label}</span>'
    candidate = proposal.current
    if proposal.state in STAGES and not (proposal.stand_in and candidate):
        return f"{engine}&nbsp;&nbsp;{STAGES[proposal.state]}…"
    if candidate is None:
        hints = _keys(("Backspace", "back"), ("Esc", "drop"))
        return f"{engine}&nbsp;&nbsp;Nothing found here&nbsp;&nbsp;{hints}"
    count = len(proposal.candidates)
    which = f"{proposal.index + 1} of {count}, " if count > 1 else ""
    cut = "&nbsp;&nbsp;<b>cut at the edge: zoom out and try again</b>" if candidate.at_edge else ""
    keep, following, drop = ("Enter", "keep"), ("X", "next"), ("Esc", "drop")
    hints = _keys(keep, following, drop) if count > 1 else _keys(keep, drop)
    score = f"{which}score {candidate.score:.2f}"
    if proposal.stand_in and proposal.state in STAGES:
        score = f"first sketch, until {proposal.label} is ready"
    return f"{engine}&nbsp;&nbsp;{score}{cut}&nbsp;&nbsp;&nbsp;{hints}"


def _keys(*pairs: tuple[str, str]) -> str:
    muted = theme.colors()["muted"]
    return "&nbsp;&nbsp;".join(
        f'<b>{key}</b> <span style="color:{muted}">{does}</span>' for key, does in pairs
    )
