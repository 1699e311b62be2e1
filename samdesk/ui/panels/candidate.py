"""The pill at the foot of the picture: which candidate is shown and which keys act on it.

Must not know the canvas.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QLabel, QWidget

from samdesk.app.session import Proposal
from samdesk.domain.columns import Color
from samdesk.ui import theme

STAGES = {"loading": "Loading the model", "encoding": "Preparing", "busy": "Searching"}
"""What the pill says before there is an answer."""


GAP = "&nbsp;&nbsp;&nbsp;"

FOOT, ABOVE, GAP_PX = 16, 48, 8
"""Logical pixels: below the pill, by how much it stands higher over the scale bar, and beside it."""


class CandidatePill(QLabel):
    """Hidden while there is no prompt and clicks are not accepted unasked.

    Parameters
    ----------
    parent : QWidget
        The pill stands at its foot.
    taken : callable, optional
        Width at the left of the foot that belongs to something else, logical pixels.
    """

    def __init__(self, parent: QWidget, taken: Callable[[], float] = float) -> None:
        super().__init__(parent)
        self._over = parent
        self._taken = taken
        parent.installEventFilter(self)
        self.setObjectName("pill")
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAccessibleName("Candidate")
        self.restyle()
        self.hide()

    def show_proposal(self, proposal: Proposal, color: Color) -> None:
        """Say what the candidate is, or why there is none; `color` is that of its class."""
        if not proposal.prompts and (proposal.auto is None or proposal.state == "none"):
            self.hide()
            return
        self.setText(_text(proposal, color))
        self.adjustSize()
        self.place()
        self.show()
        self.raise_()

    def place(self) -> None:
        """Stand in the middle of the picture's foot, beside what is there or else above it."""
        room, taken = self._over.width() - self.width(), math.ceil(self._taken()) + GAP_PX
        left, top = room // 2, self._over.height() - self.height() - FOOT
        if left < taken and taken <= room - GAP_PX:
            left = taken
        elif left < taken:
            top -= ABOVE
        self.move(left, top)

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


def _text(proposal: Proposal, color: Color) -> str:
    """All that the pill says, as parts with room between them."""
    if not proposal.prompts:
        return GAP.join((*_counted(proposal), _kept_as(proposal, color), _keys(("Shift+Enter", "off"))))
    if proposal.auto is not None and proposal.refines is None:
        return GAP.join((*_counted(proposal), _kept_as(proposal, color), _keys(("Esc", "drop"))))
    parts = [_muted(escape(proposal.stand_in or proposal.label))]
    if proposal.refines is not None:
        parts.append("<b>Refining</b>")
    return GAP.join((*parts, *_answer(proposal, color)))


def _answer(proposal: Proposal, color: Color) -> list[str]:
    """What the engine found, or why there is nothing yet."""
    candidate, waits = proposal.current, proposal.state in STAGES
    keep = ("Enter", "replace" if proposal.refines is not None else "keep")
    drop = ("Esc", "leave" if proposal.refines is not None else "drop")
    if waits and (candidate is None or not (proposal.stand_in or proposal.refines)):
        return [f"{STAGES[proposal.state]}…"]
    if candidate is None:
        return ["Nothing found here", _keys(("Backspace", "back"), drop)]
    parts = [_scores(proposal)]
    if waits:
        parts = [f"{STAGES[proposal.state]}…"]
        if proposal.stand_in:
            parts = [f"first sketch, until {escape(proposal.label)} is ready"]
    if candidate.at_edge:
        parts.append("<b>cut at the edge: zoom out and try again</b>")
    parts.append(_kept_as(proposal, color))
    if proposal.is_as_it_was(candidate):
        parts.append(_muted("nothing to replace yet: click to correct it"))
        keys = [("X", "next"), drop] if len(proposal.candidates) > 1 else [drop]
    else:
        keys = [keep, ("X", "next"), drop] if len(proposal.candidates) > 1 else [keep, drop]
    return [*parts, _keys(*keys)]


def _scores(proposal: Proposal) -> str:
    """The scores of all candidates, that of the present one stressed."""

    def one(index: int) -> str:
        candidate = proposal.candidates[index]
        text = "as it is" if proposal.is_as_it_was(candidate) else f"{candidate.score:.2f}"
        return f"<b>{text}</b>" if index == proposal.index else _muted(text)

    return "&nbsp;·&nbsp;".join(map(one, range(len(proposal.candidates))))


def _kept_as(proposal: Proposal, color: Color) -> str:
    """The class of what will be kept, with its color."""
    name = escape(proposal.class_name) if proposal.class_name else "No class"
    return f'<span style="color:rgb{color}">■</span>&nbsp;{name}'


def _counted(proposal: Proposal) -> list[str]:
    """What became of the clicks that are accepted unasked."""
    counting = proposal.auto
    if counting is None:
        return []
    parts = ["Every click is kept", f"<b>{counting.kept:,}</b>&nbsp;kept"]
    if counting.waiting:
        parts.append(_muted(f"{counting.waiting:,} waiting"))
    if counting.missed:
        parts.append(f"{counting.missed:,} not found")
    return parts


def _muted(text: str) -> str:
    return f'<span style="color:{theme.colors()["muted"]}">{text}</span>'


def _keys(*pairs: tuple[str, str]) -> str:
    muted = theme.colors()["muted"]
    return "&nbsp;&nbsp;".join(
        f'<b>{key}</b> <span style="color:{muted}">{does}</span>' for key, does in pairs
    )
