"""Background work: one line at the foot of the window, and a list of all jobs over it.

Must not know what the jobs do.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPoint, QSize, Qt, QTimer
from PySide6.QtGui import QKeyEvent, QMouseEvent
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from samdesk.app.jobs import Job, Jobs
from samdesk.app.remaining import remaining_text
from samdesk.ui import theme
from samdesk.ui.elided import Elided

TICK_MS = 1000
"""The remaining time is told anew so often, also between two reports."""

LIST_WIDTH = 360
MOST_LISTED = 12


def job_text(job: Job[object]) -> str:
    """What a job is doing, without how long it will take."""
    return f"{job.title}: {job.progress.message}" if job.progress.message else job.title


def time_text(job: Job[object]) -> str:
    """How long a job will take, or that it waits."""
    return "waiting" if job.state == "queued" else remaining_text(job.remaining())


def show_progress(bar: QProgressBar, job: Job[object]) -> None:
    """A bar that moves to and fro where the progress cannot be told, and stands while the job waits."""
    fraction = job.progress.fraction
    moving = fraction is None and job.state != "queued"
    bar.setRange(0, 0 if moving else 1000)
    bar.setValue(round(1000 * (fraction or 0)))


def _bar() -> QProgressBar:
    bar = QProgressBar()
    bar.setFixedHeight(8)
    bar.setTextVisible(False)
    bar.setAccessibleName("Progress")
    return bar


def _cancel_button(title: str) -> QToolButton:
    stop = QToolButton()
    stop.setAutoRaise(True)
    stop.setIconSize(QSize(12, 12))
    stop.setIcon(theme.icon("close"))
    stop.setAccessibleName(title)
    stop.setToolTip(f"{title}; what it has done so far is kept where that makes sense")
    return stop


class JobBar(QWidget):
    """The oldest job with its progress, how many there are behind it, a cancel button, and the way to all.

    Parameters
    ----------
    jobs : Jobs
    """

    def __init__(self, jobs: Jobs) -> None:
        super().__init__()
        self._jobs = jobs
        self._list: JobList | None = None
        self.title = Elided(least=110)
        self.bar = _bar()
        self.bar.setMinimumWidth(50)
        self.bar.setMaximumWidth(140)
        self.stop = _cancel_button("Cancel this job")
        self.stop.clicked.connect(self._cancel)
        self.more = QToolButton()
        self.more.setAutoRaise(True)
        self.more.setIconSize(QSize(12, 12))
        self.more.setAccessibleName("All background work")
        self.more.setToolTip("Show all that runs or waits, each with its progress")
        self.more.clicked.connect(self.show_list)
        self.left = Elided(least=100)
        self._shown = (self.title, self.bar, self.left, self.stop, self.more)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(16, 0, 0, 0)
        layout.setSpacing(6)
        for one in self._shown:
            layout.addWidget(one)
        layout.addStretch()
        self._tick = QTimer(self, interval=TICK_MS)
        self._tick.timeout.connect(self.refresh)
        jobs.changed.connect(self.refresh)
        self.refresh()

    def refresh(self, _job: Job[object] | None = None) -> None:
        """Follow the list of jobs."""
        visible = self._jobs.visible
        for one in self._shown:
            one.setVisible(bool(visible))
        if self._list is not None:
            self._list.refresh()
        if not visible:
            self._tick.stop()
            return
        if not self._tick.isActive():
            self._tick.start()
        job = visible[0]
        waiting = f" (+{len(visible) - 1})" if len(visible) > 1 else ""
        behind = "\n".join(one.title for one in visible[1:])
        self.title.show_parts([(f"{job_text(job)}{waiting}", "")], behind)
        self.left.show_parts([(time_text(job), theme.colors()["muted"])])
        show_progress(self.bar, job)
        self.stop.setIcon(theme.icon("close"))
        self.more.setIcon(theme.icon("up"))

    def show_list(self) -> None:
        """Open the list of all jobs over the line."""
        self._list = JobList(self._jobs, self.window())
        self._list.destroyed.connect(self._forget_list)
        self._list.open_over(self)

    def _forget_list(self) -> None:
        self._list = None

    def _cancel(self) -> None:
        for job in self._jobs.visible[:1]:
            job.cancel()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if self._jobs.visible:
            self.show_list()
        event.accept()


class _Row:
    """The widgets of one job in the list."""

    def __init__(self, job: Job[object]) -> None:
        self.job = job
        self.title = Elided(least=80)
        self.left = QLabel()
        self.left.setProperty("role", "muted")
        self.bar = _bar()
        self.stop = _cancel_button("Cancel")
        self.stop.setAccessibleName(f"Cancel {job.title}")
        self.stop.clicked.connect(job.cancel)

    def refresh(self) -> None:
        self.title.setText(job_text(self.job))
        self.left.setText(time_text(self.job))
        show_progress(self.bar, self.job)


class JobList(QFrame):
    """All jobs, oldest first; goes away with a click beside it or Esc."""

    def __init__(self, jobs: Jobs, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setAccessibleName("Background work")
        self._jobs = jobs
        self._rows: list[_Row] = []
        self._over: QWidget | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(12, 10, 8, 10)
        self._layout.setSpacing(10)
        self.empty = QLabel("Nothing runs in the background.")
        self.empty.setProperty("role", "muted")
        self.more = QLabel()
        self.more.setProperty("role", "muted")
        self._layout.addWidget(self.empty)
        self._layout.addWidget(self.more)
        self.refresh()

    def open_over(self, widget: QWidget) -> None:
        """Stand above a widget, as wide as is needed."""
        self._over = widget
        self._place()
        self.show()
        (self._rows[0].stop if self._rows else self).setFocus(Qt.FocusReason.PopupFocusReason)

    def refresh(self) -> None:
        """Follow the list of jobs; rows of jobs that go on stay where they are."""
        visible = self._jobs.visible[:MOST_LISTED]
        if [row.job for row in self._rows] != list(visible):
            self._make_rows(visible)
        for row in self._rows:
            row.refresh()
        beyond = len(self._jobs.visible) - len(visible)
        self.empty.setVisible(not visible)
        self.more.setText(f"and {beyond} more")
        self.more.setVisible(beyond > 0)
        if self._over is not None:
            self._place()

    def _make_rows(self, jobs: tuple[Job[object], ...]) -> None:
        held = next((k for k, row in enumerate(self._rows) if row.stop.hasFocus()), None)
        while self._layout.count() > 2:
            item = self._layout.takeAt(0)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        self._rows = [_Row(job) for job in jobs]
        for place, row in enumerate(self._rows):
            self._layout.insertWidget(place, self._house(row))
        if held is not None and self._rows:
            self._rows[min(held, len(self._rows) - 1)].stop.setFocus()

    def _house(self, row: _Row) -> QWidget:
        made = QWidget()
        grid = QGridLayout(made)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(4)
        grid.addWidget(row.title, 0, 0)
        grid.addWidget(row.left, 0, 1)
        grid.addWidget(row.bar, 1, 0, 1, 2)
        grid.addWidget(row.stop, 0, 2, 2, 1)
        grid.setColumnStretch(0, 1)
        return made

    def _place(self) -> None:
        if self._over is None:
            return
        self.setFixedWidth(LIST_WIDTH)
        self.adjustSize()
        corner = self._over.mapToGlobal(QPoint(0, 0))
        self.move(corner.x(), corner.y() - self.height() - 4)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        keys = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}
        held = next((k for k, row in enumerate(self._rows) if row.stop.hasFocus()), None)
        if event.key() in keys and held is not None:
            self._rows[(held + keys[Qt.Key(event.key())]) % len(self._rows)].stop.setFocus()
        else:
            super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            for row in getattr(self, "_rows", []):
                row.stop.setIcon(theme.icon("close"))
