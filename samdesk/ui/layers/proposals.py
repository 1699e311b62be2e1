"""The many candidates of a search on the picture: quiet outlines, the current one stressed.

Thousands are shown as annotations are: as tiles made off the main thread. Rejected ones are
faint, and what the slider hides is not drawn. Must not know how they were found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter

from samdesk.app.finding import FindSession
from samdesk.app.review import HIDDEN, LOOKS, REJECTED, Review, State
from samdesk.domain.document import Edit
from samdesk.domain.geometry import Plane, ShapeKind
from samdesk.domain.prompts import BoxPrompt

from .live import HALO, HALO_WIDTH, NEGATIVE, POSITIVE, Outline, paint_annotation, paint_box, paint_mark
from .overlay import OverlayLayer
from .overlaytiles import Style
from .tiles import Request, TileStore
from .view import View

WIDTH = 1.5
CURRENT_WIDTH = 2.5
HOVER_WIDTH = 2.0
CURRENT_FILL = 0.28
HOVER_FILL = 0.14
FAINT = 0.5
"""Opacity of rejected candidates."""

OPEN_STYLE = Style(line_width=WIDTH, hidden=frozenset({REJECTED, HIDDEN}))
FAINT_STYLE = Style(
    line_width=1.0, hidden=frozenset({LOOKS[State.PROPOSED].name, LOOKS[State.KEPT].name, HIDDEN})
)
STRESSED = Style(line_width=CURRENT_WIDTH)


class ProposalLayer:
    """Draws a review, and the examples of the search it came from.

    Parameters
    ----------
    store : TileStore
    serial : iterator of int
        Gives names for tiles that nobody else has.
    review : Review
    finding : FindSession
    plane : Plane
    changed : callable
        Told when something has to be painted anew.
    """

    def __init__(
        self,
        store: TileStore,
        serial: Iterator[int],
        review: Review,
        finding: FindSession,
        plane: Plane,
        changed: Callable[[], object],
    ) -> None:
        self._store = store
        self._serial = serial
        self._review = review
        self._finding = finding
        self._plane = plane
        self._changed = changed
        self._outlines: dict[int, Outline] = {}
        review.changed.connect(self._reviewed)
        review.marked.connect(self._marked)
        review.pointed.connect(self._pointed)
        finding.changed.connect(self._pointed)
        self._make_layers()

    def set_plane(self, plane: Plane) -> None:
        self._plane = plane
        for layer in self._layers:
            layer.set_plane(plane)

    def follow(self, view: View, resting: bool) -> None:
        """Choose the scale of the tiles for this view."""
        for layer in self._layers:
            layer.follow(view, resting)

    def requests(self, view: View, ring: int = 0) -> list[Request]:
        """The tiles of this view that are missing or out of date; none without candidates."""
        if not len(self._review):
            return []
        return [request for layer in self._layers for request in layer.requests(view, ring)]

    def tiles_are_fresh(self) -> bool:
        """Tell it that no visible tile is missing; True when something ceased to be painted live."""
        fresh = [layer.tiles_are_fresh() for layer in self._layers]  # each has to be told
        return any(fresh)

    def paint(self, painter: QPainter, view: View) -> None:
        """All of it, in device pixels."""
        if len(self._review):
            before = painter.opacity()
            for layer, opacity in zip(self._layers, (before * FAINT, before), strict=True):
                painter.setOpacity(opacity)
                layer.paint_tiles(painter, view)
                layer.paint_live(painter, view)
            painter.setOpacity(before)
            self._paint_stressed(painter, view)
        for box in self._finding.examples:
            _paint_example(painter, view, box, Qt.PenStyle.SolidLine)
        if self._finding.dragged is not None:
            _paint_example(painter, view, self._finding.dragged, Qt.PenStyle.DashLine)

    def _paint_stressed(self, painter: QPainter, view: View) -> None:
        review, outlines = self._review, self._outlines
        self._outlines = {}
        for index, width, fill in (
            (review.hovered, HOVER_WIDTH, HOVER_FILL),
            (review.current, CURRENT_WIDTH, CURRENT_FILL),
        ):
            if index is None or review.plane_of(index) != self._plane:
                continue
            outline = self._outlines[index] = outlines.get(index) or Outline(review[index].shape)
            if outline.shape.kind is ShapeKind.POINTS:
                paint_annotation(painter, view, outline, LOOKS[review.state(index)].color, STRESSED, HALO)
            elif outline.is_visible(view):
                color = QColor(*LOOKS[review.state(index)].color)
                inside = QColor(color)
                inside.setAlphaF(fill)
                outline.paint(painter, view, color, width + HALO_WIDTH, HALO, inside)

    def _make_layers(self) -> None:
        self._document = self._review.document
        self._outlines = {}
        self._layers = [
            OverlayLayer(self._store, next(self._serial), self._document, self._plane, style)
            for style in (FAINT_STYLE, OPEN_STYLE)
        ]
        self._document.changed.connect(self._edited)

    def _edited(self, edit: Edit) -> None:
        for layer in self._layers:
            layer.edited(edit)

    def _reviewed(self) -> None:
        if self._review.document is not self._document:
            self._document.changed.disconnect(self._edited)
            self._make_layers()
        self._changed()

    def _marked(self, _index: int) -> None:
        self._changed()

    def _pointed(self, *_: Any) -> None:
        self._changed()


def _paint_example(painter: QPainter, view: View, box: BoxPrompt, line: Qt.PenStyle) -> None:
    """A box with a plus or a minus at its corner, so that color is not the only difference."""
    paint_box(painter, view, box.bounds, POSITIVE if box.positive else NEGATIVE, line)
    ((x, y),) = view.to_device([box.bounds[:2]])
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    paint_mark(painter, QPointF(x, y), box.positive, view.dpr)
