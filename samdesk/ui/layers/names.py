"""Names of annotations beside them, while there are few enough to be read.

What is visible is looked up on a lane, so that a million annotations cost the window nothing.
Must not know how annotations are drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPainterPath, QPen

from samdesk.app.jobs import Job, Jobs
from samdesk.domain.document import Document, Snapshot
from samdesk.domain.geometry import Bounds, Plane

from .view import View

MOST = 200
"""More names than this are not shown."""

LOOKED_AT = 20_000
"""Where more annotations than this are visible, no names are looked for."""

INK = QColor(255, 255, 255)
HALO = QColor(0, 0, 0, 170)
HALO_WIDTH = 3.0


@dataclass(frozen=True, slots=True)
class Label:
    """A name and the place it is about, image pixels."""

    text: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class _Question:
    snapshot: Snapshot
    bounds: Bounds
    plane: Plane
    hidden: frozenset[str | None]


def labels(
    snapshot: Snapshot, bounds: Bounds, plane: Plane, hidden: frozenset[str | None] = frozenset()
) -> tuple[Label, ...]:
    """The names in a part of the image; none when they are more than `MOST`.

    Parameters
    ----------
    snapshot : Snapshot
    bounds : Bounds
        Image pixels; what has its middle outside is left out.
    plane : Plane
    hidden : frozenset of str or None
        Classes that are not shown; None stands for unclassified.
    """
    found: list[Label] = []
    for chunk in snapshot.chunks:
        table = chunk.table
        if not table.attributes:
            continue
        rows = chunk.rows_in(bounds, plane)
        if len(rows) > LOOKED_AT:
            return ()
        for row in rows.tolist():
            own = table.attributes.get(row)
            if own is None or not own.name or table.class_name(row) in hidden:
                continue
            x0, y0, x1, y1 = table.bounds[row].tolist()
            x, y = (x0 + x1) / 2, (y0 + y1) / 2
            if bounds.x0 <= x <= bounds.x1 and bounds.y0 <= y <= bounds.y1:
                found.append(Label(own.name, x, y))
                if len(found) > MOST:
                    return ()
    return tuple(found)


class NamesLayer:
    """The names of one document.

    Parameters
    ----------
    jobs : Jobs
        They are looked up on its lane "tiles".
    document : Document
    refresh : callable
        Repaints, once they are there.
    """

    def __init__(self, jobs: Jobs, document: Document, refresh: Callable[[], object]) -> None:
        self._jobs = jobs
        self._document = document
        self._refresh = refresh
        self._asked: _Question | None = None
        self._labels: tuple[Label, ...] = ()

    def paint(
        self, painter: QPainter, view: View, plane: Plane, font: QFont, hidden: frozenset[str | None]
    ) -> None:
        """Draw in logical pixels what is known, and ask for what is not."""
        question = _Question(self._document.snapshot(), view.bounds, plane, hidden)
        if self._is_news(question):
            self._ask(question)
        if not self._labels:
            return
        metrics = QFontMetricsF(font)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        halo = QPen(HALO, HALO_WIDTH)
        halo.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        for label in self._labels:
            x, y = view.to_screen(label.x, label.y)
            left = x - metrics.horizontalAdvance(label.text) / 2
            path = QPainterPath()
            path.addText(QPointF(left, y + metrics.ascent() / 2 - 1), font, label.text)
            painter.strokePath(path, halo)
            painter.fillPath(path, INK)
        painter.restore()

    def _is_news(self, question: _Question) -> bool:
        known = self._asked
        return (
            known is None
            or known.snapshot is not question.snapshot
            or (known.bounds, known.plane, known.hidden) != (question.bounds, question.plane, question.hidden)
        )

    def _ask(self, question: _Question) -> None:
        self._asked = question

        def found(job: Job[tuple[Label, ...]]) -> None:
            if job.state == "done" and self._asked is question:
                before, self._labels = self._labels, job.result or ()
                if self._labels != before:
                    self._refresh()

        self._jobs.lane("tiles").submit(
            lambda task: labels(question.snapshot, question.bounds, question.plane, question.hidden),
            key="names",
            done=found,
            priority=5,
        )
