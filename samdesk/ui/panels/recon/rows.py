"""The rows of the 3D panel: jobs and objects, two lines each. Must not know what can be done with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QPersistentModelIndex,
    QRectF,
    QSize,
    Qt,
)
from PySide6.QtCore import Signal as QtSignal
from PySide6.QtGui import QColor, QFont, QFontMetrics, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QWidget,
)

from samdesk.app.reconstruction import ReconJob, Reconstructions, SceneObject
from samdesk.recon.engines import RECON_ENGINES
from samdesk.ui import theme
from samdesk.ui.cells import paint_progress
from samdesk.weights.transfer import duration_text

NO_INDEX = QModelIndex()
STATE_ROLE, DETAIL_ROLE, FRACTION_ROLE, TROUBLE_ROLE = (Qt.ItemDataRole.UserRole + k for k in range(1, 5))
MARGIN, GAP, BAR = 10, 3, 3.0

STATES = {"queued": "waiting", "done": "done", "failed": "failed", "cancelled": "cancelled"}


class JobModel(QAbstractListModel):
    """The 3D jobs, newest first."""

    def __init__(self, reconstructions: Reconstructions, parent: QWidget) -> None:
        super().__init__(parent)
        self._reconstructions = reconstructions
        self._rows: tuple[ReconJob, ...] = ()

    def reload(self) -> None:
        """Follow the list of jobs; rows that stay are not made anew."""
        rows = tuple(self._reconstructions.jobs)
        if tuple(one.id for one in rows) == self.ids:
            self._rows = rows
            if rows:
                self.dataChanged.emit(self.index(0), self.index(len(rows) - 1))
            return
        self.beginResetModel()
        self._rows = rows
        self.endResetModel()

    def refresh(self, identity: str) -> None:
        """Follow one job."""
        row = self.row_of(identity)
        now = next((one for one in self._reconstructions.jobs if one.id == identity), None)
        if row is not None and now is not None:
            self._rows = (*self._rows[:row], now, *self._rows[row + 1 :])
            self.dataChanged.emit(self.index(row), self.index(row))

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(one.id for one in self._rows)

    def job(self, row: int) -> ReconJob:
        return self._rows[row]

    def row_of(self, identity: str) -> int | None:
        return self.ids.index(identity) if identity in self.ids else None

    # Qt's own

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = NO_INDEX) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        job = self._rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return job.title
        if role == STATE_ROLE:
            return state_text(job)
        if role == DETAIL_ROLE:
            return detail_text(job)
        if role == FRACTION_ROLE:
            return job.fraction if job.state == "running" else None
        if role == TROUBLE_ROLE:
            return bool(job.error)
        if role == Qt.ItemDataRole.ToolTipRole:
            return detail_text(job)  # of which the row may show a part only
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{job.title}, {state_text(job)}, {detail_text(job)}"
        return None


def state_text(job: ReconJob) -> str:
    """How a job stands, in a word or as a percentage."""
    if job.state == "running":
        return f"{job.fraction:.0%}".replace("%", " %") if job.fraction else "starting"
    if job.state == "done" and job.error:
        return f"{len(job.reconstructions)} of {len(job.annotations)}"
    return STATES[job.state]


def detail_text(job: ReconJob) -> str:
    """Who makes it, and the stage, or what came of it."""
    spec = RECON_ENGINES.get(job.engine)
    parts = [spec.label if spec else job.engine]
    if job.state == "running" and job.message:
        parts.append(job.message)
    elif job.state == "done":
        count = len(job.reconstructions)
        if count > 1:
            parts.append(f"{count} objects")
        if job.seconds:
            parts.append(duration_text(job.seconds))
        if not job.attached:
            parts.append("not attached yet")
    elif job.state == "failed":
        parts.append(job.error)
    return " · ".join(parts)


class ObjectModel(QAbstractListModel):
    """The 3D objects of the selected annotations."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._rows: tuple[SceneObject, ...] = ()

    @property
    def objects(self) -> tuple[SceneObject, ...]:
        return self._rows

    def show_objects(self, objects: Iterable[SceneObject]) -> None:
        self.beginResetModel()
        self._rows = tuple(objects)
        self.endResetModel()

    # Qt's own

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = NO_INDEX) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        one = self._rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return one.title
        if role == DETAIL_ROLE:
            return one.label
        if role == STATE_ROLE:
            return _kinds(one)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{one.title}, {one.label}, {_kinds(one)}"
        return None


def _kinds(one: SceneObject) -> str:
    """What there is of an object."""
    return ", ".join(word for word, there in (("splat", one.splat), ("mesh", one.mesh)) if there)


def row_height(metrics: QFontMetrics) -> int:
    """Of two lines, with some air around them."""
    return 2 * metrics.height() + GAP + 14


class _Rows(QStyledItemDelegate):
    """Paints two lines: title and state, and below them the detail, with a bar while there is progress."""

    def sizeHint(self, option: Any, index: Any) -> QSize:
        return QSize(120, row_height(option.fontMetrics))

    def paint(self, painter: QPainter, option: Any, index: Any) -> None:
        chosen = theme.colors()
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        painter.save()
        if selected:
            painter.fillRect(option.rect, QColor(chosen["selected"]))
        elif option.state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(option.rect, QColor(chosen["alternate"]))
        space = QRectF(option.rect).adjusted(MARGIN, 6, -MARGIN, 0)
        self._first_line(painter, option, index, space, selected)
        self._second_line(painter, option, index, space, selected)
        fraction = index.data(FRACTION_ROLE)
        if fraction is not None:
            self._bar(painter, option, fraction, selected)
        painter.restore()

    def _first_line(self, painter: QPainter, option: Any, index: Any, space: QRectF, selected: bool) -> None:
        chosen = theme.colors()
        height = option.fontMetrics.height()
        line = QRectF(space.left(), space.top(), space.width(), height)
        state = index.data(STATE_ROLE) or ""
        trouble = bool(index.data(TROUBLE_ROLE))
        quiet = chosen["on_accent"] if selected else chosen["trouble"] if trouble else chosen["muted"]
        painter.setFont(option.font)
        painter.setPen(QColor(quiet))
        painter.drawText(line, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, state)
        bold = QFont(option.font)
        bold.setWeight(QFont.Weight.DemiBold)
        left = line.width() - option.fontMetrics.horizontalAdvance(state) - (12 if state else 0)
        painter.setFont(bold)
        painter.setPen(QColor(chosen["on_accent" if selected else "text"]))
        title = QFontMetrics(bold).elidedText(index.data() or "", Qt.TextElideMode.ElideRight, int(left))
        painter.drawText(line, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, title)

    def _second_line(self, painter: QPainter, option: Any, index: Any, space: QRectF, selected: bool) -> None:
        chosen = theme.colors()
        metrics = option.fontMetrics
        line = QRectF(space.left(), space.top() + metrics.height() + GAP, space.width(), metrics.height())
        painter.setFont(option.font)
        painter.setPen(QColor(chosen["on_accent" if selected else "muted"]))
        text = metrics.elidedText(
            index.data(DETAIL_ROLE) or "", Qt.TextElideMode.ElideRight, int(line.width())
        )
        painter.drawText(line, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)

    def _bar(self, painter: QPainter, option: Any, fraction: float, selected: bool) -> None:
        bar = QRectF(option.rect).adjusted(MARGIN, 0, -MARGIN, 0)
        bar.setTop(bar.bottom() - BAR - 1.5)
        bar.setHeight(BAR)
        paint_progress(painter, bar, fraction, selected)


class RowList(QListView):
    """A list of two-line rows; Enter does the row's verb, Delete removes it.

    Attributes
    ----------
    acted, removed : Signal()
    """

    acted = QtSignal()
    removed = QtSignal()

    KEYS = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Delete)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setItemDelegate(_Rows(self))
        self.setUniformItemSizes(True)
        self.setMouseTracking(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAccessibleName(name)
        self.row_height = row_height(self.fontMetrics())
        self.setMinimumHeight(self.row_height)
        self.doubleClicked.connect(lambda _: self.acted.emit())

    def event(self, event: QEvent) -> bool:
        # the window has other uses for these keys
        if (
            isinstance(event, QKeyEvent)
            and event.type() is QEvent.Type.ShortcutOverride
            and event.key() in self.KEYS
            and not event.modifiers()
        ):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = Qt.Key(event.key())
        if event.modifiers() or key not in self.KEYS or not self.currentIndex().isValid():
            super().keyPressEvent(event)
        elif key == Qt.Key.Key_Delete:
            self.removed.emit()
        else:
            self.acted.emit()
