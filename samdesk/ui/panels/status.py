"""The status line: what the engine is doing, background jobs, cursor, zoom, and whether all is saved.

Must not know the canvas; the window tells it what to show.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QSize, Qt, QTimer
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QLabel, QMenu, QStatusBar, QToolButton

from samdesk.app.jobs import Jobs
from samdesk.app.journal import State
from samdesk.app.serving import Serving
from samdesk.app.session import Proposal
from samdesk.ui import theme
from samdesk.ui.elided import Elided

from .jobs import JobBar

STATE_TEXT = {
    "none": "",
    "loading": "loading…",
    "cold": "rest here to prepare",
    "encoding": "preparing…",
    "busy": "searching…",
    "ready": "ready",
}
STATE_COLOR = {
    "none": "#8e8e93",
    "loading": "#d9902f",
    "cold": "#8e8e93",
    "encoding": "#d9902f",
    "busy": "#d9902f",
    "ready": "#2f9e5b",
}


PLACE_STEP = 60
"""The place of the cursor takes and gives back so much width at once, logical pixels."""


class StatusBar(QStatusBar):
    """The line at the foot of the window."""

    def __init__(self, jobs: Jobs) -> None:
        super().__init__()
        self.setSizeGripEnabled(False)
        self._stages = ""
        self.engine = Elided(least=120)
        self.engine.setContentsMargins(8, 0, 0, 0)
        self.jobs = JobBar(jobs)
        self.place = _Place(least=100, right=True)
        self.zoom = QLabel()
        self.zoom.setMinimumWidth(64)
        self.zoom.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.saved = QLabel()
        self.saved.setContentsMargins(12, 0, 8, 0)
        self.addWidget(self.engine)
        self.addWidget(self.jobs, 1)
        self.plane = QLabel()
        self.plane.setContentsMargins(12, 0, 0, 0)
        self.plane.setToolTip("Page Up and Page Down change z, with Ctrl they change t")
        self.server = ServerButton()
        for one in (self.place, self.plane, self.zoom, self.saved, self.server):
            self.addPermanentWidget(one)

    def show_engine(self, proposal: Proposal) -> None:
        """The engine's title and what it is doing."""
        color = STATE_COLOR[proposal.state]
        text = STATE_TEXT[proposal.state]
        shown = proposal.current
        if shown is not None and shown.timings:
            self._stages = " · ".join(
                f"{name} {_time_text(ms)}" for name, ms in shown.timings.items() if ms >= 0.05
            )
        parts = [("● ", color), (proposal.label, "")]
        if text:
            parts.append((f"  {text}", ""))
        if self._stages:
            parts.append((f"  {self._stages}", theme.colors()["muted"]))
        tip = "The last answer took this long, stage by stage" if self._stages else ""
        self.engine.show_parts(parts, tip)

    def show_saved(self, unsaved: int, read_only: bool, open_image: bool) -> None:
        """Whether everything accepted is on disk."""
        if not open_image:
            self.saved.setText("")
        elif read_only:
            self.saved.setText("Read only")
        else:
            self.saved.setText("Saved" if not unsaved else f"{unsaved} not saved")
        self.saved.setToolTip("Every accepted change is written at once")

    def show_keeping(self, state: State, unsaved: int, where: Path, saved_at: float | None) -> None:
        """Whether all is safe, is being written, or could not be; and where and when."""
        self.saved.setText({"saved": "Saved", "saving": "Saving…", "failed": f"{unsaved:,} not saved"}[state])
        when = f", last at {time.strftime('%H:%M:%S', time.localtime(saved_at))}" if saved_at else ""
        self.saved.setToolTip(f"Every accepted change is written at once{when}\n{where}")


class _Place(Elided):
    """Keeps its width while the cursor moves; takes none while there is nothing to tell."""

    def show_parts(self, parts: Sequence[tuple[str, str]], tip: str = "") -> None:
        super().show_parts(parts, tip)
        if self.width() < self.sizeHint().width():
            QTimer.singleShot(0, self, self._take_room)

    def _take_room(self) -> None:
        """Have the line laid out anew; Qt does not when an earlier request of it was lost."""
        line = self.parentWidget()
        layout = line.layout() if line is not None else None
        if layout is not None and self.width() < self.sizeHint().width():
            layout.invalidate()
            layout.activate()

    def sizeHint(self) -> QSize:
        wanted = super().sizeHint()
        return QSize(PLACE_STEP * math.ceil(wanted.width() / PLACE_STEP), wanted.height())


def _time_text(ms: float) -> str:
    return f"{ms / 1e3:.1f} s" if ms >= 1000 else f"{ms:.0f} ms"


class ServerButton(QToolButton):
    """Where other programs find samdesk, while they do; its menu is about that."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("server")
        self.setAutoRaise(True)
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        self.setAccessibleName("Server")
        self.hide()

    def fill(self, actions: Sequence[QAction]) -> None:
        """Put these into the menu, the switch last."""
        menu = QMenu(self)
        menu.addActions(list(actions))
        menu.insertSeparator(actions[-1])
        self.setMenu(menu)

    def show_state(self, serving: Serving) -> None:
        """Follow the server."""
        address = serving.url.partition("://")[2]
        self.setText(f"Server: {address}" if address else "Server: starting…")
        self.setToolTip(
            f"QuPath: Extensions > SAM, Server URL {serving.qupath_url}\nProgrammers: {serving.url}/docs"
            if serving.url
            else ""
        )
        self.setVisible(serving.wanted)
