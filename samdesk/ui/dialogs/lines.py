"""Lines with a mark before each: what a check found, what may go wrong. Must not know about what."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from samdesk.ui import theme

Level = Literal["ok", "info", "unknown", "warning", "error"]

MARKS = {"ok": "check", "info": "info", "unknown": "unknown", "warning": "warning", "error": "error"}
SIDE = 16
"""Of a mark, in pixels of the screen."""

TOP = Qt.AlignmentFlag.AlignTop
_LINK = re.compile(r"https?://[^\s<>]*[^\s<>.,;:)]")


@dataclass(frozen=True, slots=True)
class Line:
    """What one line tells.

    Attributes
    ----------
    level : {"ok", "info", "unknown", "warning", "error"}
        Chooses the mark.
    text : str
    strong : str
        Stands above the text, in bold.
    hint : str
        Stands below the text: what can be done.
    word : str
        Stands at the right: the level in a word, for those who do not see the mark.
    """

    level: Level
    text: str
    strong: str = ""
    hint: str = ""
    word: str = ""


def level_color(level: Level) -> str:
    """The color of a mark, which can be told from the present background."""
    dark = theme.colors() is theme.DARK
    if level == "ok":
        return "#6fcf8a" if dark else "#1a7f37"
    if level == "warning":
        return "#e0b050" if dark else "#9a6700"
    return theme.colors()["trouble"] if level == "error" else theme.colors()["muted"]


class Lines(QWidget):
    """The lines below each other.

    Parameters
    ----------
    name : str
        For screen readers.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self._inside = QWidget()
        self._parts: list[tuple[Line, QLabel, QLabel, QLabel]] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.addWidget(self._inside)

    @property
    def lines(self) -> tuple[Line, ...]:
        """What is shown."""
        return tuple(line for line, *_ in self._parts)

    def show_lines(self, lines: Sequence[Line]) -> None:
        """Show these in place of those before."""
        if tuple(lines) == self.lines:
            return
        inside = QWidget()
        grid = QGridLayout(inside)
        grid.setContentsMargins(0, 2, 0, 2)
        grid.setHorizontalSpacing(9)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(1, 1)
        grid.setRowStretch(len(lines), 1)
        self._parts = [self._added(grid, row, line) for row, line in enumerate(lines)]
        self._layout.replaceWidget(self._inside, inside)
        self._inside.hide()
        self._inside.deleteLater()
        self._inside = inside
        self.restyle()

    def _added(self, grid: QGridLayout, row: int, line: Line) -> tuple[Line, QLabel, QLabel, QLabel]:
        mark, told, word = QLabel(), QLabel(), QLabel()
        mark.setFixedSize(SIDE, max(SIDE, self.fontMetrics().lineSpacing()))
        told.setTextFormat(Qt.TextFormat.RichText)
        told.setWordWrap(True)
        told.setOpenExternalLinks(True)
        links = Qt.TextInteractionFlag.TextBrowserInteraction
        plain = Qt.TextInteractionFlag.TextSelectableByMouse
        told.setTextInteractionFlags(links if _LINK.search(f"{line.text} {line.hint}") else plain)
        named = f"{line.word or line.level}: {line.strong} {line.text} {line.hint}"
        told.setAccessibleName(" ".join(named.split()))
        word.setTextFormat(Qt.TextFormat.RichText)
        for column, one in enumerate((mark, told, word)):
            grid.addWidget(one, row, column, TOP)
        word.setVisible(bool(line.word))
        return line, mark, told, word

    def restyle(self) -> None:
        """Take the colors of the present theme; the widgets stay, as this may come from an event."""
        muted, ratio = theme.colors()["muted"], self.devicePixelRatioF()
        for line, mark, told, word in self._parts:
            color = level_color(line.level)
            picture = theme.pixmap(MARKS[line.level], round(SIDE * ratio), color)
            picture.setDevicePixelRatio(ratio)
            mark.setPixmap(picture)
            told.setText(_told(line, muted))
            word.setText(_colored(escape(line.word), color if line.level == "error" else muted))


def _told(line: Line, muted: str) -> str:
    text, hint = _linked(line.text), _linked(line.hint)
    if not line.strong:
        return "<br>".join(part for part in (text, _colored(hint, muted)) if part)
    strong = f"<b>{escape(line.strong)}</b>"
    return "<br>".join(part for part in (strong, _colored(text, muted), hint) if part)


def _linked(text: str) -> str:
    """As HTML, with its addresses as links in the color of the present theme."""
    color = theme.colors()["accent"]
    return _LINK.sub(
        lambda found: f'<a style="color: {color}" href="{found[0]}">{found[0]}</a>', escape(text)
    )


def _colored(html: str, color: str) -> str:
    return f'<span style="color: {color}">{html}</span>' if html else ""
