"""What is painted at every repaint: outlines of selected shapes, and the proposal with its prompts.

Works in device pixels. Must not know how shapes are stored or who proposes them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QByteArray, QDataStream, QIODevice, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen

from samdesk.domain.columns import Color
from samdesk.domain.geometry import Bounds, FloatArray, Shape, ShapeKind
from samdesk.domain.prompts import Candidate

from .grid import device_rect
from .overlaytiles import THIN_PX, Style
from .rings import Rings
from .view import View

if TYPE_CHECKING:
    from samdesk.app.session import Proposal

PROPOSAL = QColor(0, 214, 255)
PROPOSAL_WIDTH = 2.0
HOVER_WIDTH = 1.25
CLEAR = QColor(0, 0, 0, 0)
HALO = QColor(0, 0, 0, 110)
SOFT_HALO = QColor(0, 0, 0, 70)
HALO_WIDTH = 1.0
CUT = QColor(255, 176, 0)
POSITIVE = QColor(35, 170, 85)
NEGATIVE = QColor(226, 58, 52)
FILL = 0.20
HOVER_FILL = 0.10
MARK_RADIUS = 6.5
MARGIN = 8.0
"""Logical pixels that anything is painted beyond a shape at most."""

EXACT_VERTICES = 400
"""Up to here QPainter strokes at the true width: 3 µs a vertex. Beyond, hair lines side by side
make the width: 0.1 µs a vertex each."""

MOST_VERTICES = 5_000
"""An outline that shows more vertices is thinned until it does not, so that a frame stays a frame."""

MOST_THIN_PX = 16.0
"""How far vertices are apart at most, in device pixels, because of that."""

_ELEMENT = np.dtype([("type", ">i4"), ("x", ">f8"), ("y", ">f8")])


class Outline:
    """A shape on its way to the screen; keeps its path for one scale.

    `filled` is False for those that are never filled.
    """

    def __init__(self, shape: Shape, filled: bool = True) -> None:
        self.shape = shape
        self.filled = filled
        self._bounds = shape.bounds
        self._key: tuple[float, Bounds | None] | None = None
        self._path = QPainterPath()
        self._vertices = 0

    def is_visible(self, view: View) -> bool:
        margin = MARGIN * view.scale
        return not self.shape.is_empty and self._bounds.expanded(margin).intersects(view.bounds)

    def paint(
        self, painter: QPainter, view: View, color: QColor, width: float, halo: QColor, fill: QColor
    ) -> None:
        """Fill, a halo of `HALO_WIDTH` on both sides, then the line; `width` in logical pixels."""
        base = self._build(view)
        painter.save()
        painter.translate(base[0] - view.origin[0], base[1] - view.origin[1])
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        if fill.alpha() and self.shape.kind is ShapeKind.AREA:
            # the line hides the steps, and filling without them is several times faster
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
            painter.fillPath(self._path, fill)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        if halo.alpha():
            self._stroke(painter, halo, (width + 2 * HALO_WIDTH) * view.dpr, rim=True)
        self._stroke(painter, color, width * view.dpr)
        painter.restore()

    def _build(self, view: View) -> tuple[int, int]:
        """Make the path anew if the scale changed; says which device pixel it starts from."""
        step = view.device_scale
        # a base near the shape keeps the path valid while the view is only moved
        base = math.floor(self._bounds.x0 / step), math.floor(self._bounds.y0 / step)
        box = self._clip_box(view, base)
        if self._key != (step, box):
            self._key = (step, box)
            closed = self.shape.kind is ShapeKind.AREA
            rings = Rings(self.shape.coords / step - base, self.shape.rings).thinned(THIN_PX)
            if box is not None:
                rings = rings.clipped(box, closed)
            coarser = THIN_PX
            while len(rings.points) > MOST_VERTICES and coarser < MOST_THIN_PX:
                coarser *= 2
                rings = rings.thinned(coarser)
            self._vertices = len(rings.points)
            self._path = to_path(rings, closed)
        return base

    def _clip_box(self, view: View, base: tuple[int, int]) -> Bounds | None:
        """Where to cut a shape that reaches far beyond the screen, counted from `base`."""
        (width, height), step = view.device_size, view.device_scale
        near = Bounds(-width, -height, 2 * width, 2 * height)
        left, top = view.origin
        x0, y0, x1, y1 = (edge / step for edge in self._bounds)
        if near.contains(x0 - left, y0 - top) and near.contains(x1 - left, y1 - top):
            return None
        dx, dy = left - base[0], top - base[1]
        return Bounds(near.x0 + dx, near.y0 + dy, near.x1 + dx, near.y1 + dy)

    def _stroke(self, painter: QPainter, color: QColor, width: float, rim: bool = False) -> None:
        """A line along the path; of a `rim` only the sides need to be drawn."""
        pen = QPen(color, width)
        pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
        if self._vertices <= EXACT_VERTICES:
            painter.strokePath(self._path, pen)
            return
        pen.setWidth(1)
        for dx, dy in _offsets(width)[-4 if rim else 0 :]:
            painter.translate(dx, dy)
            painter.strokePath(self._path, pen)
            painter.translate(-dx, -dy)


def _offsets(width: float) -> list[tuple[float, float]]:
    """Where lines of width 1 must go so that together they are `width` wide."""
    radius = (width - 1) / 2
    if radius < 0.1:
        return [(0.0, 0.0)]
    steps = math.ceil(radius)
    radii = [radius * (k + 1) / steps for k in range(steps)]
    return [(dx * r, dy * r) for r in radii for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))]


def to_path(rings: Rings, closed: bool) -> QPainterPath:
    """Build a path from all rings at once: Qt reads its own stream format, a hundred times faster
    than a call per vertex."""
    rings = Rings(rings.points, np.unique(rings.ends))  # empty rings have no first vertex
    if not len(rings):
        return QPainterPath()
    extra = 1 if closed else 0
    counts = rings.counts + extra
    starts = np.concatenate(([0], np.cumsum(counts)))
    elements = np.zeros(starts[-1], _ELEMENT)
    position = np.arange(len(rings.points)) + np.repeat(np.arange(len(rings)) * extra, rings.counts)
    elements["type"] = 1
    elements["type"][starts[:-1]] = 0
    elements["x"][position], elements["y"][position] = rings.points.T
    if closed:
        elements["x"][starts[1:] - 1], elements["y"][starts[1:] - 1] = rings.points[rings.starts].T
    head = np.array([len(elements)], ">i4").tobytes()
    tail = np.array([starts[-2], Qt.FillRule.OddEvenFill.value], ">i4").tobytes()
    data = QByteArray(head + elements.tobytes() + tail)  # the stream does not keep it
    stream = QDataStream(data, QIODevice.OpenModeFlag.ReadOnly)
    path = QPainterPath()
    stream >> path
    return path


def paint_annotation(
    painter: QPainter, view: View, outline: Outline, color: Color, style: Style, halo: QColor = CLEAR
) -> None:
    """An annotation in the look of the overlay tiles, if it is on screen."""
    if not outline.is_visible(view):
        return
    if outline.shape.kind is ShapeKind.POINTS:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painter.setPen(QPen(halo, 2 * HALO_WIDTH * view.dpr))
        painter.setBrush(QColor(*color))
        radius = style.point_radius * view.dpr
        points = view.to_device(outline.shape.coords)
        near = ((points > -MARGIN * view.dpr) & (points < np.add(view.device_size, MARGIN * view.dpr))).all(
            axis=1
        )
        for x, y in points[near]:
            painter.drawEllipse(QPointF(x, y), radius, radius)
        return
    fill = QColor(*color, round(255 * style.fill_opacity) if style.fill and outline.filled else 0)
    outline.paint(painter, view, QColor(*color), style.line_width, halo, fill)


def paint_proposal(painter: QPainter, view: View, proposal: Proposal, outline: Outline | None) -> None:
    """The current candidate (`outline` is its shape), the prompts and the box being dragged."""
    candidate = proposal.current
    if outline is not None and candidate is not None and outline.is_visible(view):
        _paint_candidate(painter, view, candidate, outline, proposal.hover)
    for box in proposal.prompts.boxes:
        paint_box(painter, view, box.bounds, PROPOSAL if box.positive else NEGATIVE, Qt.PenStyle.SolidLine)
    if proposal.box is not None:
        paint_box(painter, view, proposal.box, PROPOSAL, Qt.PenStyle.DashLine)
    for point in proposal.prompts.points:
        ((x, y),) = view.to_device([(point.x, point.y)])
        paint_mark(painter, QPointF(x, y), point.positive, view.dpr)


def _paint_candidate(
    painter: QPainter, view: View, candidate: Candidate, outline: Outline, hover: bool
) -> None:
    fill = QColor(PROPOSAL)
    fill.setAlphaF(HOVER_FILL if hover else FILL)
    outline.paint(painter, view, PROPOSAL, HOVER_WIDTH if hover else PROPOSAL_WIDTH, HALO, fill)
    if candidate.at_edge:
        _paint_cut(painter, view, candidate)


def _paint_cut(painter: QPainter, view: View, candidate: Candidate) -> None:
    """Dashes where the border of the chip cut the candidate: there it may go on."""
    pieces = view.to_device(cut_edges(candidate).reshape(-1, 2)).reshape(-1, 4)
    pen = QPen(CUT, 2 * view.dpr, Qt.PenStyle.CustomDashLine)
    pen.setDashPattern([2.0, 2.0])
    pen.setCapStyle(Qt.PenCapStyle.FlatCap)
    painter.setPen(pen)
    for x0, y0, x1, y1 in pieces:
        painter.drawLine(QPointF(x0, y0), QPointF(x1, y1))


def cut_edges(candidate: Candidate) -> FloatArray:
    """The edges (n, 2, 2) of a candidate that lie on the border of its region."""
    shape, box = candidate.shape, candidate.region.bounds
    slack = candidate.region.downsample
    rings = Rings(shape.coords, shape.rings).rings()
    edges = [np.stack((ring, np.roll(ring, -1, axis=0)), axis=1) for ring in rings]
    every = np.concatenate([np.empty((0, 2, 2)), *edges])
    on = np.zeros(len(every), bool)
    for axis, limit in ((0, box.x0), (0, box.x1), (1, box.y0), (1, box.y1)):
        on |= (np.abs(every[:, :, axis] - limit) <= slack).all(axis=1)
    return np.asarray(every[on])


def paint_box(painter: QPainter, view: View, bounds: Bounds, color: QColor, line: Qt.PenStyle) -> None:
    rect = QRectF(device_rect(view, bounds))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for tone, width, style in ((HALO, 3.5, Qt.PenStyle.SolidLine), (color, 1.5, line)):
        pen = QPen(tone, width * view.dpr, style)
        pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
        painter.setPen(pen)
        painter.drawRect(rect)


def paint_mark(painter: QPainter, at: QPointF, positive: bool, dpr: float) -> None:
    """A dot with a plus or a minus, so that color is not the only difference."""
    radius, arm = MARK_RADIUS * dpr, MARK_RADIUS * 0.5 * dpr
    painter.setPen(QPen(QColor(0, 0, 0, 120), 3.5 * dpr))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawEllipse(at, radius, radius)
    painter.setPen(QPen(QColor(255, 255, 255), 1.5 * dpr))
    painter.setBrush(POSITIVE if positive else NEGATIVE)
    painter.drawEllipse(at, radius, radius)
    pen = QPen(QColor(255, 255, 255), 2 * dpr)
    pen.setCapStyle(Qt.PenCapStyle.FlatCap)
    painter.setPen(pen)
    painter.drawLine(QPointF(at.x() - arm, at.y()), QPointF(at.x() + arm, at.y()))
    if positive:
        painter.drawLine(QPointF(at.x(), at.y() - arm), QPointF(at.x(), at.y() + arm))
