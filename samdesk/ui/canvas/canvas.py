"""`Canvas`: the widget that shows an image, its annotations and what is being prompted.

It paints layers of cached tiles, asks for the missing ones, and turns mouse, touchpad and keys
into moves of the view or into `Pointer` values. Nothing is decoded or gathered on its thread.
Must not know tools, sessions or files.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QNativeGestureEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
    QRegion,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QGestureEvent, QPinchGesture, QWidget
from shiboken6 import isValid

from samdesk.app.jobs import Jobs
from samdesk.app.tools import Cursor, Sketch
from samdesk.domain.document import Document, Edit, Selection
from samdesk.domain.geometry import Bounds, Plane, Region
from samdesk.images.contrast import Display
from samdesk.images.source import ImageSource, PixelSize
from samdesk.images.tiles import BlockCache
from samdesk.sdk.precompute import click_area
from samdesk.ui.layers.image import ImageLayer
from samdesk.ui.layers.live import Outline, paint_proposal
from samdesk.ui.layers.names import NamesLayer
from samdesk.ui.layers.overlay import OverlayLayer
from samdesk.ui.layers.overlaytiles import Style
from samdesk.ui.layers.overview import Overview
from samdesk.ui.layers.proposals import ProposalLayer
from samdesk.ui.layers.rulers import Rulers
from samdesk.ui.layers.scalebar import WIDEST_BAR, paint_scale_bar
from samdesk.ui.layers.sketch import SketchLayer
from samdesk.ui.layers.tiles import Key, Request, TileStore
from samdesk.ui.layers.view import View, scale_limits
from samdesk.ui.layers.warm import paint_warm

from .events import ARROWS, KEY_PAN, ZOOM_KEYS, ZOOM_UNIT, pointer_at, wheel_units
from .mouse import Mouse

if TYPE_CHECKING:
    from samdesk.app.finding import FindSession
    from samdesk.app.review import Review
    from samdesk.app.session import Proposal

TILE_BYTES = 512 << 20
"""Memory for made tiles; a 4K screen takes 35 MB for the image and as much for annotations."""
REST_MS = 80
"""The view rests when it was not zoomed for this long; then overlay tiles are made for its scale."""

OPACITY_PER_UNIT = 0.1 / 24
"""A notch of the wheel changes the opacity of annotations by a tenth."""

KEYBOARD_REASONS = (
    Qt.FocusReason.TabFocusReason,
    Qt.FocusReason.BacktabFocusReason,
    Qt.FocusReason.ShortcutFocusReason,
)
"""Who comes by these is shown that the keyboard is here."""

BACKGROUND = 106
"""How much darker than the window the canvas is, in percent."""

MODIFIERS = (
    Qt.KeyboardModifier.ShiftModifier
    | Qt.KeyboardModifier.ControlModifier
    | Qt.KeyboardModifier.AltModifier
    | Qt.KeyboardModifier.MetaModifier
)

DIRTY_MARGIN = 14
"""Logical pixels around a proposal that its marks and lines may touch."""


class Canvas(QWidget):
    """Shows one image.

    Parameters
    ----------
    jobs : Jobs
        Tiles are made on its lane "tiles".
    parent : QWidget, optional
    cache : BlockCache, optional
        Decoded blocks, if they are to be shared with others.

    Attributes
    ----------
    view_changed : Signal(View)
    hovered : Signal(x, y)
        Image pixels under the pointer, or None twice when it left the image area.
    pointer : Signal(Pointer, str)
        What is not navigation: "press", "move" (also without a button), "release", "double" in
        place of a second press, "leave".
    turned : Signal(Pointer, float)
        The wheel with Alt, and how far it was turned.
    settled : Signal()
        All visible tiles are there and up to date.
    overlay_opacity_changed : Signal(float)
    failed : Signal(Exception)
        The first tile of an image that could not be made.
    """

    view_changed = Signal(object)
    hovered = Signal(object, object)
    pointer = Signal(object, str)
    turned = Signal(object, float)
    settled = Signal()
    overlay_opacity_changed = Signal(float)
    failed = Signal(object)

    def __init__(self, jobs: Jobs, parent: QWidget | None = None, *, cache: BlockCache | None = None) -> None:
        super().__init__(parent)
        self._store = TileStore(jobs, TILE_BYTES, self._tile_arrived, self._tile_failed)
        self._cache = BlockCache() if cache is None else cache
        self._serial = itertools.count()
        self._view = View()
        self._fit_wanted = True
        self._plane = Plane()
        self._image: ImageLayer | None = None
        self._under: ImageLayer | None = None
        self._overview: Overview | None = None
        self._overlay: OverlayLayer | None = None
        self._document: Document | None = None
        self._selection: Selection | None = None
        self._style = Style()
        self._opacity = 1.0
        self._annotations_visible = True
        self._proposal: Proposal | None = None
        self._outline: Outline | None = None
        self._proposals: ProposalLayer | None = None
        self._warm: tuple[Bounds, ...] = ()
        self._sketch = SketchLayer()
        self._show_scale_bar = True
        self._show_overview = True
        self._rulers = Rulers(self.update)
        self._jobs = jobs
        self._names: NamesLayer | None = None
        self._show_names = False
        self._by_keyboard = False
        self._key_repeats = 0
        self._missing: set[Key] = set()
        self._was_settled = True
        self._failure_told = False
        self._rest = QTimer(self, singleShot=True, interval=REST_MS)
        self._rest.timeout.connect(self._refresh)
        self._mouse = Mouse(self)
        self._mouse.pointer.connect(self.pointer)
        self._mouse.hovered.connect(self.hovered)
        self._mouse.hovered.connect(self._rulers.point)
        self._mouse.panned.connect(self.pan_by)
        self._mouse.aimed.connect(self._go_to)
        self._mouse.shape_changed.connect(self.setCursor)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.grabGesture(Qt.GestureType.PinchGesture)
        self.setAccessibleName("Image")
        self.setAccessibleDescription("The open image with its annotations")
        self.setMinimumSize(64, 64)

    # What is shown

    def set_image(
        self, source: ImageSource | None, display: Display | None = None, plane: Plane = Plane()
    ) -> None:
        """Show another image, all of it; None shows nothing."""
        self._plane = plane
        self._under = self._image = self._overview = None
        self._warm = ()
        self._store.clear()
        self._failure_told = False
        if source is not None and display is not None:
            self._image = ImageLayer(self._store, next(self._serial), source, display, plane, self._cache)
            self._overview = Overview(self._image)
        for layer in (self._overlay, self._proposals):
            if layer is not None:
                layer.set_plane(plane)
        self.fit()
        self.update()

    def replace_source(self, source: ImageSource) -> None:
        """The same image with more levels: view, display and plane stay."""
        if self._image is None:
            return
        self._under = self._image
        self._image = ImageLayer(
            self._store, next(self._serial), source, self._under.display, self._plane, self._cache
        )
        self._overview = Overview(self._image)
        self.update()

    def set_display(self, display: Display) -> None:
        if self._image is not None:
            self._image.display = display
        self.update()

    def set_plane(self, plane: Plane) -> None:
        self._plane = plane
        if self._image is not None:
            self._image.plane = plane
        if self._proposals is not None:
            self._proposals.set_plane(plane)
        if self._overlay is not None:
            self._overlay.set_plane(plane)
        self.update()

    def set_document(self, document: Document | None, selection: Selection | None = None) -> None:
        """Show the annotations of a document; follows its changes and those of the selection."""
        if self._document is not None:
            self._document.changed.disconnect(self._document_changed)
        if self._selection is not None:
            self._selection.changed.disconnect(self._selection_changed)
        self._document, self._selection, self._overlay = document, selection, None
        self._names = None if document is None else NamesLayer(self._jobs, document, self.update)
        if document is not None:
            document.changed.connect(self._document_changed)
            self._overlay = OverlayLayer(self._store, next(self._serial), document, self._plane, self._style)
            self._replace()
        if selection is not None:
            selection.changed.connect(self._selection_changed)
            self._selection_changed()
        self.update()

    def set_proposal(self, proposal: Proposal | None) -> None:
        """Show what is being prompted."""
        self._update_around(self._proposal)
        candidate = proposal.current if proposal is not None else None
        if candidate is None:
            self._outline = None
        elif self._outline is None or self._outline.shape is not candidate.shape:
            self._outline = Outline(candidate.shape)
        self._proposal = proposal
        self._replace()
        self._update_around(proposal)

    def set_sketch(self, sketch: Sketch | None) -> None:
        """Show what the tool paints; annotations that it stands in for are not painted meanwhile."""
        self.update(self._sketch.dirty(self._view, self.font()))
        self._sketch.show(sketch)
        self.update(self._sketch.dirty(self._view, self.font()))
        self._replace()

    def _replace(self) -> None:
        """Leave out the annotations that the sketch or the proposal stands in for."""
        if self._overlay is not None:
            sketch, proposal = self._sketch.sketch, self._proposal
            ids = sketch.replaces if sketch is not None else frozenset()
            if proposal is not None and proposal.refines is not None:
                ids = ids | {proposal.refines.id}
            self._overlay.set_replaced(ids)

    def set_warm(self, chips: Sequence[Region]) -> None:
        """Mark where a click is answered at once, because its chip is one of `chips`."""
        warm: tuple[Bounds, ...] = ()
        if self._image is not None:
            size = self._image.source.width, self._image.source.height
            warm = tuple(click_area(chip, size) for chip in chips)
        if warm != self._warm:
            self._warm = warm
            self.update()

    def set_review(self, review: Review, finding: FindSession) -> None:
        """Show the candidates of a review and the examples of its search; follows their changes."""
        self._proposals = ProposalLayer(self._store, self._serial, review, finding, self._plane, self.update)
        self.update()

    def set_style(self, style: Style) -> None:
        """Change how annotations look."""
        self._style = style
        if self._overlay is not None:
            self._overlay.set_style(style)
        self.update()

    @property
    def overlay_opacity(self) -> float:
        return self._opacity

    def set_overlay_opacity(self, opacity: float) -> None:
        """How opaque annotations are, in 0..1."""
        opacity = min(max(opacity, 0.0), 1.0)
        if opacity != self._opacity:
            self._opacity = opacity
            self.overlay_opacity_changed.emit(opacity)
            self.update()

    def set_annotations_visible(self, visible: bool) -> None:
        self._annotations_visible = visible
        self.update()

    @property
    def show_scale_bar(self) -> bool:
        return self._show_scale_bar

    @show_scale_bar.setter
    def show_scale_bar(self, show: bool) -> None:
        self._show_scale_bar = show
        self.update()

    @property
    def show_rulers(self) -> bool:
        return self._rulers.visible

    @show_rulers.setter
    def show_rulers(self, show: bool) -> None:
        if show != self._rulers.visible:
            self._rulers.visible = show
            if self._fit_wanted:
                self.fit()
            self.update()

    @property
    def show_names(self) -> bool:
        return self._show_names

    @show_names.setter
    def show_names(self, show: bool) -> None:
        self._show_names = show
        self.update()

    @property
    def show_overview(self) -> bool:
        return self._show_overview

    @show_overview.setter
    def show_overview(self, show: bool) -> None:
        self._show_overview = show
        self.update()

    def set_cursor_kind(self, kind: Cursor) -> None:
        self._mouse.set_kind(kind)

    def set_panning(self, panning: bool) -> None:
        """Whether dragging with the left button moves the picture; clicks still go to `pointer`."""
        self._mouse.panning = panning

    # Where one looks

    @property
    def view(self) -> View:
        return self._view

    def set_view(self, view: View) -> None:
        """Look where `view` looks; its size is that of the widget."""
        self._fit_wanted = False
        self._move_to(view.sized(self.width(), self.height(), self.devicePixelRatioF()))

    def fit(self) -> None:
        """Show the complete image, also after the widget is resized, until the view is moved."""
        self._fit_wanted = True
        beside = self._rulers.thickness
        size = (float(self.width()), float(self.height()), self.devicePixelRatioF())
        view = self._view.sized(size[0] - beside, size[1] - beside, size[2])
        if self._image is not None:
            box = self._image.bounds
            view = view.fitted(box.x1, box.y1)
        self._move_to(view.sized(*size).panned(beside / 2, beside / 2))

    def zoom_to(self, scale: float, anchor: tuple[float, float] | None = None) -> None:
        """Zoom to `scale` image pixels per logical pixel; 1 shows pixels as they are."""
        self.zoom_by(self._view.scale / scale, anchor)

    def zoom_by(self, factor: float, anchor: tuple[float, float] | None = None) -> None:
        """Come closer (> 1) or step back (< 1); `anchor` (logical pixels) stays where it is."""
        if self._image is not None:
            self._fit_wanted = False
            box = self._image.bounds
            self._move_to(self._view.zoomed(factor, anchor, scale_limits(box.x1, box.y1)))

    def pan_by(self, dx: float, dy: float) -> None:
        """Move the picture by logical pixels."""
        self._fit_wanted = False
        self._move_to(self._view.panned(dx, dy))

    def show_bounds(self, bounds: Bounds) -> None:
        """Show this part of the image, with some room around it."""
        self._fit_wanted = False
        self._move_to(self._view.showing(bounds, margin=0.1))

    def is_settled(self) -> bool:
        """Whether every visible tile is there and up to date."""
        self._sync_size()
        if self._image is None:
            return True
        self._follow_scale()
        return not self._rest.isActive() and not self._visible_requests()

    # How

    def _move_to(self, view: View) -> None:
        if self._image is not None:
            view = view.kept_on(self._image.bounds.x1, self._image.bounds.y1)
        if view == self._view:
            return
        if view.scale != self._view.scale:
            self._rest.start()
        self._view = view
        self.view_changed.emit(view)
        self._mouse.view_moved(view)
        self.update()

    def _sync_size(self) -> None:
        size = (float(self.width()), float(self.height()), self.devicePixelRatioF())
        if size == (self._view.width, self._view.height, self._view.dpr):
            return
        if self._fit_wanted:
            self.fit()
        else:
            self._move_to(self._view.sized(*size))
        self._rest.stop()

    def _follow_scale(self) -> None:
        for layer in (self._overlay, self._proposals):
            if layer is not None:
                layer.follow(self._view, resting=not self._rest.isActive())

    def _selection_changed(self) -> None:
        if self._overlay is not None and self._selection is not None:
            self._overlay.set_selection(self._selection.ids)
        self.update()

    def _document_changed(self, edit: Edit) -> None:
        if self._overlay is not None:
            self._overlay.edited(edit)
        self.update()

    def _update_around(self, proposal: Proposal | None) -> None:
        """Repaint where a proposal is."""
        if proposal is None:
            return
        area = QRectF(self.rect())
        outline = self._outline.shape.bounds if self._outline is not None else None
        for box in (proposal.prompts.bounds, proposal.box, outline):
            if box is not None and box.x0 <= box.x1:
                corners = (QPointF(*self._view.to_screen(*corner)) for corner in (box[:2], box[2:]))
                near = QRectF(*corners).adjusted(-DIRTY_MARGIN, -DIRTY_MARGIN, DIRTY_MARGIN, DIRTY_MARGIN)
                self.update(near.intersected(area).toAlignedRect())

    # Tiles

    def _visible_requests(self) -> list[Request]:
        """What is missing for the picture to be complete, most urgent first."""
        requests = []
        if self._image is not None and self._overview is not None:
            coarse = self._overview.requests(self._view.dpr)
            requests += self._image.requests(self._view)
            if self._overlay is not None and self._annotations_visible:
                requests += self._overlay.requests(self._view)
            if self._proposals is not None:
                requests += self._proposals.requests(self._view)
            # what is coarse covers all at once, unless it takes a reading of the complete image
            requests = coarse + requests if self._image.is_quick else requests + coarse
        return requests

    def _nearby_requests(self) -> list[Request]:
        """One ring of tiles around what is visible, so that panning finds them.

        None while the view is being zoomed: they would be for a scale that is left in a moment.
        """
        requests = []
        if self._image is not None and not self._rest.isActive():
            requests += self._image.requests(self._view, ring=1)
            if self._overlay is not None and self._annotations_visible:
                requests += self._overlay.requests(self._view, ring=1)
            if self._proposals is not None:
                requests += self._proposals.requests(self._view, ring=1)
        return requests

    def _ask(self) -> None:
        """Have the missing tiles made; called before every repaint."""
        visible = self._visible_requests()
        self._missing = {request.key for request in visible}
        nearby = [request for request in self._nearby_requests() if request.key not in self._missing]
        self._store.want(visible + nearby)
        settled = not visible and not self._rest.isActive()
        if settled:
            self._under = None
            layers = [layer for layer in (self._overlay, self._proposals) if layer is not None]
            if sum(layer.tiles_are_fresh() for layer in layers):
                self.update()  # the present repaint may be of a part only
        if settled and not self._was_settled:
            # not from within a repaint: a listener may grab the widget
            QTimer.singleShot(0, self, self.settled.emit)
        self._was_settled = settled

    def _tile_arrived(self, key: Key) -> None:
        if isValid(self) and key in self._missing:
            self._refresh()

    def _refresh(self) -> None:
        """Repaint; a canvas that is not visible is not repainted, but gets its tiles all the same."""
        self.update()
        if not self.isVisible():
            self._follow_scale()
            self._ask()

    def _tile_failed(self, error: Exception) -> None:
        if isValid(self) and not self._failure_told:
            self._failure_told = True
            self.failed.emit(error)

    # Overview

    def _overview_rect(self) -> QRect | None:
        """Where the overview is, None while it is not shown."""
        if self._overview is not None:
            self._overview.top = self._rulers.thickness
        if self._show_overview and self._overview is not None and self._overview.is_useful(self._view):
            return self._overview.rect(self._view)
        return None

    @property
    def room(self) -> QRect:
        """Where something may lie over the picture: beside rulers and overview, logical pixels."""
        beside, overview = self._rulers.thickness, self._overview_rect()
        right = overview.left() if overview is not None else self.width()
        return QRect(beside, beside, right - beside, self.height() - beside)

    @property
    def foot_taken(self) -> float:
        """How far the scale bar may reach from the left edge, logical pixels."""
        return self._rulers.thickness + WIDEST_BAR if self._show_scale_bar else 0.0

    def _go_to(self, at: QPointF) -> None:
        """Center the place of the overview."""
        if self._overview is not None:
            x, y = self._overview.to_image(self._view, at)
            self._fit_wanted = False
            self._move_to(replace(self._view, center_x=x, center_y=y))

    # Painting

    def _paint_picture(self, painter: QPainter) -> None:
        """Everything that is in device pixels."""
        view = self._view
        if self._image is None or self._overview is None:
            return
        if self._under is not None:
            self._under.paint(painter, view)
        self._image.paint(painter, view)
        if self._warm:
            paint_warm(painter, view, self._warm)
        if self._overlay is not None and self._annotations_visible:
            painter.setOpacity(self._opacity)
            self._overlay.paint_tiles(painter, view)
            self._overlay.paint_live(painter, view)
            painter.setOpacity(1.0)
        if self._proposals is not None:
            self._proposals.paint(painter, view)
        if self._proposal is not None:
            paint_proposal(painter, view, self._proposal, self._outline)
        self._sketch.paint(painter, view, self._style)
        if self._overview_rect() is not None:
            self._overview.paint(painter, view)

    def _paint_beside(self, painter: QPainter, pixel_size: PixelSize | None) -> None:
        """Everything that is in logical pixels."""
        if self._show_names and self._names is not None and self._annotations_visible:
            painter.save()
            painter.setClipRegion(QRegion(self.rect()) - QRegion(self._overview_rect() or QRect()))
            self._names.paint(painter, self._view, self._plane, self.font(), self._style.hidden)
            painter.restore()
        self._rulers.paint(painter, self._view, pixel_size, self.font(), self.palette())
        if self._show_scale_bar:
            paint_scale_bar(painter, self._view, pixel_size, self.font(), self._rulers.thickness)

    # Qt's own

    def sizeHint(self) -> QSize:
        return QSize(960, 640)

    def paintEvent(self, event: QPaintEvent) -> None:
        self._sync_size()
        self._follow_scale()
        self._ask()
        painter = QPainter(self)
        painter.fillRect(event.rect(), self.palette().color(QPalette.ColorRole.Window).darker(BACKGROUND))
        painter.save()
        to_device_pixels(painter, self._view.dpr)
        self._paint_picture(painter)
        painter.restore()
        if self._image is not None:
            self._paint_beside(painter, self._image.source.pixel_size)
            self._sketch.paint_text(painter, self._view, self.font())
        if self._by_keyboard:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(self.palette().color(QPalette.ColorRole.Accent), 2))
            painter.drawRect(QRectF(self.rect()).adjusted(1, 1, -1, -1))
        painter.end()

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._sync_size()
        super().resizeEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._by_keyboard = False
        if self._image is not None:
            self._mouse.press(event, self._view, self._overview_rect(), clicks=1)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if self._image is not None:
            self._mouse.press(event, self._view, self._overview_rect(), clicks=2)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._image is not None:
            self._mouse.move(event, self._view, self._overview_rect())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._mouse.release(event, self._view)

    def leaveEvent(self, event: QEvent) -> None:
        self._mouse.leave(self._view)
        super().leaveEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self._by_keyboard = event.reason() in KEYBOARD_REASONS
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self._by_keyboard = False
        self.update()
        self._mouse.set_space(False)
        if event.reason() == Qt.FocusReason.PopupFocusReason:
            self._mouse.let_go(self._view)
        super().focusOutEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        units, held = wheel_units(event), event.modifiers()
        if not units or self._image is None:
            event.ignore()
            return
        event.accept()
        if held & Qt.KeyboardModifier.AltModifier:
            self.turned.emit(pointer_at(self._view, event.position(), "", event), units)
            return
        if held & Qt.KeyboardModifier.ControlModifier:
            self.set_overlay_opacity(self._opacity + units * OPACITY_PER_UNIT)
        else:
            self.zoom_by(ZOOM_UNIT**units, event.position().toTuple())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.key()
        self._key_repeats = self._key_repeats + 1 if event.isAutoRepeat() else 0
        if key == Qt.Key.Key_Space:
            self._mouse.set_space(True)
        elif key in ZOOM_KEYS:
            self.zoom_by(ZOOM_KEYS[key])
        elif key in ARROWS and not event.modifiers() & MODIFIERS:
            step = KEY_PAN * min(1 + self._key_repeats / 8, 4)
            self.pan_by(ARROWS[key][0] * step, ARROWS[key][1] * step)
        else:
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._mouse.set_space(False)
        else:
            super().keyReleaseEvent(event)

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ShortcutOverride and _is_alt(event):
            event.accept()  # Alt is for drawing here; else it would lead into the menu bar
            return True
        if isinstance(event, QNativeGestureEvent):
            return self._native_gesture(event)
        if isinstance(event, QGestureEvent):
            return self._touch_gesture(event)
        return super().event(event)

    def _native_gesture(self, event: QNativeGestureEvent) -> bool:
        if event.gestureType() != Qt.NativeGestureType.ZoomNativeGesture:
            return super().event(event)
        # the same pinch would be told a second time as a QPinchGesture
        self.ungrabGesture(Qt.GestureType.PinchGesture)
        self.zoom_by(max(1 + event.value(), 0.1), event.position().toTuple())
        return True

    def _touch_gesture(self, event: QGestureEvent) -> bool:
        pinch = event.gesture(Qt.GestureType.PinchGesture)
        if not isinstance(pinch, QPinchGesture):
            return super().event(event)
        center = self.mapFromGlobal(pinch.centerPoint())
        if pinch.state() != Qt.GestureState.GestureStarted:
            way = pinch.centerPoint() - pinch.lastCenterPoint()
            self.pan_by(way.x(), way.y())
            self.zoom_by(max(pinch.scaleFactor(), 0.1), center.toTuple())
        event.accept(pinch)
        return True


def _is_alt(event: QEvent) -> bool:
    return isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Alt


def to_device_pixels(painter: QPainter, dpr: float) -> None:
    """Count whole physical pixels from the widget's corner, also where Qt put the corner between two."""
    painter.scale(1 / dpr, 1 / dpr)
    device = painter.deviceTransform()
    painter.translate(round(device.dx()) - device.dx(), round(device.dy()) - device.dy())
