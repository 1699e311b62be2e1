"""Annotations, selection and proposals on the canvas: where they are, and when they change."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QObject, QSize
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from samdesk.app.session import Proposal
from samdesk.domain.columns import Annotation
from samdesk.domain.document import Document, Selection
from samdesk.domain.geometry import Bounds, Plane, Region, Shape, ShapeKind
from samdesk.domain.prompts import BoxPrompt, Candidate, PointPrompt, Prompts
from samdesk.ui.canvas import Canvas, Style, View
from samdesk.ui.layers.live import EXACT_VERTICES, MOST_VERTICES, cut_edges
from samdesk.ui.layers.overlay import LIVE_ROWS

from .sources import ArraySource, plain

Look = Callable[[], NDArray[np.uint8]]
Settle = Callable[[], None]

WHITE = (255, 255, 255)
SQUARE = Shape.box(5, 5, 15, 15)


@pytest.fixture
def document() -> Document:
    return Document()


@pytest.fixture
def selection(document: Document) -> Selection:
    return Selection(document)


@pytest.fixture
def paper(canvas: Canvas, document: Document, selection: Selection, settle: Settle) -> Canvas:
    """A white image of 2000 x 1500 at its own size around (200, 150), with an empty document."""
    source = ArraySource(plain(2000, 1500, WHITE), levels=3)
    canvas.set_image(source, source.display)
    canvas.set_document(document, selection)
    canvas.set_view(View(200, 150, 1.0))
    settle()
    return canvas


def add(document: Document, *annotations: Annotation) -> list[uuid.UUID]:
    document.apply(document.adding(annotations))
    return [one.id for one in annotations]


def reddish(seen: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (seen[..., 0] > 200) & (seen[..., 1] < 120) & (seen[..., 2] < 120)


def yellowish(seen: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (seen[..., 0] > 200) & (seen[..., 1] > 200) & (seen[..., 2] < 120)


def bluish(seen: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (seen[..., 0] < 100) & (seen[..., 2] > 200)


def box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero(mask)
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


@pytest.mark.parametrize("selected", [False, True])
def test_the_outline_of_pixels_runs_along_their_edges_at_16x(
    paper: Canvas, document: Document, selection: Selection, settle: Settle, look: Look, selected: bool
) -> None:
    ids = add(document, Annotation(SQUARE))
    selection.set(ids if selected else [])
    paper.set_view(View(10, 10, 1 / 16))
    settle()
    seen = look()
    line = yellowish(seen) if selected else reddish(seen)
    left, top = paper.view.to_screen(5, 5)
    right, bottom = paper.view.to_screen(15, 15)
    assert (left, top, right, bottom) == (120, 70, 280, 230)
    # two pixels wide, one on each side of the edge
    assert box_of(line) == (119, 69, 281, 231)
    inside = line[71:229, 121:279]
    assert not inside.any()


def test_new_annotations_are_seen_at_once_and_stay(
    paper: Canvas, document: Document, settle: Settle, look: Look
) -> None:
    add(document, Annotation(Shape.box(100, 100, 150, 150)))
    at_once = reddish(look())
    assert at_once[125, 100]
    settle()
    assert reddish(look())[125, 100]


def test_there_is_no_frame_without_the_annotation_while_its_selection_changes(
    paper: Canvas, document: Document, selection: Selection, settle: Settle, look: Look
) -> None:
    ids = add(document, Annotation(Shape.box(100, 100, 150, 150)))
    settle()
    for chosen in (ids, [], ids, []):
        selection.set(chosen)
        for _ in range(30):
            seen = look()
            assert (yellowish(seen) if chosen else reddish(seen))[125, 100]
            if paper.is_settled():
                break
            QApplication.processEvents()
    settle()
    assert not yellowish(look()).any()


def test_removed_annotations_go_with_undo_and_back(
    paper: Canvas, document: Document, settle: Settle, look: Look
) -> None:
    ids = add(document, Annotation(Shape.box(100, 100, 150, 150)))
    settle()
    edit = document.removing(ids)
    document.apply(edit)
    settle()
    assert not reddish(look()).any()
    document.apply(edit.inverse())
    settle()
    assert reddish(look())[125, 100]


def test_an_edit_renders_only_the_tiles_that_it_meets(
    paper: Canvas, document: Document, settle: Settle, qtbot: QtBot
) -> None:
    add(document, Annotation(Shape.box(100, 100, 150, 150)), Annotation(Shape.box(1500, 1200, 1600, 1300)))
    paper.set_view(View(1000, 750, 5.0))
    settle()
    paper.set_view(View(1000, 750, 1.0))
    paper.resize(1600, 1200)
    qtbot.waitUntil(lambda: paper.is_settled() and paper._store.idle)
    tiles = paper._store._tiles
    kept = {key: id(tile) for key, tile in tiles.items()}
    add(document, Annotation(Shape.box(700, 600, 720, 620)))
    settle()
    changed = {key for key, tile in tiles.items() if kept.get(key) != id(tile)}
    # one tile at the present scale; those of other scales are made when they are seen
    assert [key[1:] for key in changed] == [(1.0, 1, 1)]


def test_a_reclassified_annotation_takes_the_color_of_its_class(
    paper: Canvas, document: Document, settle: Settle, look: Look
) -> None:
    ids = add(document, Annotation(Shape.box(100, 100, 150, 150)))
    settle()
    document.apply(document.reclassifying(ids, "Region*"))
    settle()
    seen = look()
    assert not reddish(seen).any()
    assert np.abs(seen[125, 100].astype(int) - (0, 0, 180)).max() < 12


def test_a_class_that_gets_another_color_is_painted_in_it(
    paper: Canvas, document: Document, settle: Settle, look: Look
) -> None:
    add(document, Annotation(Shape.box(100, 100, 150, 150), class_name="Stroma"))
    settle()
    classes = [one._replace(color=(0, 0, 255)) if one.name == "Stroma" else one for one in document.classes]
    document.apply(document.with_classes(classes))
    settle()
    assert bluish(look())[125, 100]


def test_a_large_selection_is_yellow_too(
    paper: Canvas, document: Document, selection: Selection, settle: Settle, look: Look
) -> None:
    boxes = [Shape.box(x, y, x + 12, y + 12) for x in range(20, 380, 20) for y in range(20, 280, 20)]
    ids = add(document, *(Annotation(box) for box in boxes))
    assert len(ids) > LIVE_ROWS
    selection.set(ids)
    settle()
    seen = look()
    assert yellowish(seen).sum() > 30 * len(ids)
    assert not reddish(seen).any()
    selection.set(ids[:1])
    settle()
    seen = look()
    assert yellowish(seen)[26, 20]
    assert reddish(seen)[46, 20]


def test_opacity_visibility_and_style_change_what_is_seen(
    paper: Canvas, document: Document, selection: Selection, settle: Settle, look: Look
) -> None:
    ids = add(document, Annotation(Shape.box(100, 100, 150, 150)), Annotation(Shape.box(200, 100, 250, 150)))
    selection.set(ids[1:])
    settle()
    paper.set_overlay_opacity(0.5)
    seen = look()
    assert abs(int(seen[125, 100, 1]) - 128) < 8
    assert abs(int(seen[125, 200, 2]) - 128) < 24  # the halo shines through
    paper.set_overlay_opacity(0.0)
    assert (look() == 255).all()
    paper.set_overlay_opacity(1.0)
    paper.set_annotations_visible(False)
    assert (look() == 255).all()
    paper.set_annotations_visible(True)
    paper.set_style(Style(fill=True, fill_opacity=0.5))
    settle()
    seen = look()
    assert np.abs(seen[125, 125].astype(int) - (255, 127, 127)).max() <= 2
    assert np.abs(seen[125, 225].astype(int) - (255, 255, 127)).max() <= 2
    paper.set_style(Style(hidden=frozenset({None})))
    settle()
    assert (look() == 255).all()


def test_annotations_of_another_plane_are_not_shown(
    paper: Canvas, document: Document, selection: Selection, settle: Settle, look: Look
) -> None:
    ids = add(document, Annotation(Shape.box(100, 100, 150, 150), plane=Plane(1, 0)))
    selection.set(ids)
    settle()
    assert (look() == 255).all()


def test_lines_and_points_can_be_selected(
    paper: Canvas, document: Document, selection: Selection, settle: Settle, look: Look
) -> None:
    line = Shape.from_parts([[[(50, 50), (250, 50), (250, 200)]]], ShapeKind.LINES)
    ids = add(document, Annotation(line), Annotation(Shape.points([(300, 100)])))
    selection.set(ids)
    settle()
    seen = yellowish(look())
    assert seen[50, 150]
    assert seen[100, 300]
    assert not seen[120:130, 145:155].any()


def test_another_document_takes_the_place_of_the_first(
    paper: Canvas, document: Document, settle: Settle, look: Look
) -> None:
    add(document, Annotation(Shape.box(100, 100, 150, 150)))
    settle()
    other = Document()
    add(other, Annotation(Shape.box(200, 200, 250, 250)))
    paper.set_document(other, Selection(other))
    settle()
    seen = reddish(look())
    assert seen[225, 200]
    assert not seen[125, 100]
    add(document, Annotation(Shape.box(20, 20, 40, 40)))
    assert paper.is_settled()


def test_while_zooming_the_last_tiles_are_shown_stretched_then_sharp(
    paper: Canvas, document: Document, settle: Settle, look: Look
) -> None:
    add(document, Annotation(Shape.box(100, 100, 300, 200)))
    settle()
    paper.zoom_by(1.2, (200, 150))
    assert not paper.is_settled()
    assert not paper._nearby_requests()  # of a scale that may be left in a moment
    x = round(paper.view.to_screen(100, 150)[0])
    assert reddish(look())[150, x - 3 : x + 3].any()
    settle()
    row = look()[150, x - 4 : x + 4].astype(int)
    assert (row[:, 1] < 30).sum() == 2


# Proposals


def candidate(shape: Shape, region: Region = Region(0, 0, 1024, 1024), at_edge: bool = False) -> Candidate:
    return Candidate(shape, 0.9, region, at_edge)


def test_a_proposal_is_outlined_filled_and_goes(paper: Canvas, look: Look) -> None:
    shape = Shape.box(100, 100, 200, 180)
    paper.set_proposal(Proposal(candidates=(candidate(shape),)))
    seen = look().astype(int)
    assert bluish(seen.astype(np.uint8))[140, 100]
    assert np.abs(seen[140, 150] - (204, 247, 255)).max() <= 3  # a fifth of the color
    assert seen[140, 98].max() < 230  # the halo
    paper.set_proposal(None)
    assert (look() == 255).all()


def test_a_hover_preview_is_lighter_than_a_proposal(paper: Canvas, look: Look) -> None:
    shape = Shape.box(100, 100, 200, 180)
    darkness = []
    for hover in (True, False):
        paper.set_proposal(Proposal(candidates=(candidate(shape),), hover=hover))
        darkness.append(int((255 - look().astype(int)).sum()))
    assert darkness[0] < 0.7 * darkness[1]


def test_only_the_chosen_candidate_is_shown(paper: Canvas, look: Look) -> None:
    shapes = (Shape.box(20, 20, 60, 60), Shape.box(300, 200, 340, 240))
    paper.set_proposal(Proposal(candidates=tuple(map(candidate, shapes)), index=1))
    seen = bluish(look())
    assert seen[220, 300]
    assert not seen[40, 20]


def test_prompts_are_marked_by_color_and_sign(paper: Canvas, look: Look) -> None:
    prompts = Prompts(
        (PointPrompt(100, 100), PointPrompt(200, 100, False)), (BoxPrompt(Bounds(250, 50, 350, 200)),)
    )
    paper.set_proposal(Proposal(prompts=prompts, box=Bounds(20, 150, 120, 250)))
    seen = look().astype(int)
    plus, minus = seen[93:107, 93:107], seen[93:107, 193:207]
    assert seen[96, 96, 1] > seen[96, 96, 0] + 80
    assert seen[96, 196, 0] > seen[96, 196, 1] + 80
    assert (plus[4, 6:8] == 255).all()  # the upright of the plus
    assert not (minus[4, 6:8] == 255).all()
    picture = seen.astype(np.uint8)
    assert bluish(picture)[125, 249:252].any()
    dashes = bluish(picture)[200, 18:23].any(), bluish(picture)[150:250, 20].mean()
    assert dashes[0] or dashes[1] > 0.3
    assert dashes[1] < 0.95


def test_a_prompt_is_where_it_was_clicked_at_any_scale(paper: Canvas, settle: Settle, look: Look) -> None:
    paper.set_proposal(Proposal(prompts=Prompts((PointPrompt(10.25, 12.75),))))
    for scale in (1 / 16, 1 / 3, 1.0, 2.3):
        paper.set_view(View(10, 12, scale))
        settle()
        x, y = paper.view.to_screen(10.25, 12.75)
        away = (np.abs(look().astype(int) - (35, 170, 85)).max(axis=2) < 40).nonzero()
        assert np.mean(away[1] + 0.5) == pytest.approx(x, abs=0.6)
        assert np.mean(away[0] + 0.5) == pytest.approx(y, abs=0.6)


def test_an_edge_that_the_chip_cut_is_marked(paper: Canvas, look: Look) -> None:
    one = candidate(Shape.box(100, 100, 250, 180), Region(50, 50, 200, 200), at_edge=True)
    np.testing.assert_array_equal(cut_edges(one), [[(250, 100), (250, 180)]])
    paper.set_proposal(Proposal(candidates=(one,)))
    seen = look().astype(int)
    amber = (seen[..., 0] > 200) & (np.abs(seen[..., 1] - 176) < 40) & (seen[..., 2] < 80)
    assert amber[100:180, 248:252].any()
    assert not amber[:, :240].any()


@pytest.mark.parametrize("vertices", [40, 4 * EXACT_VERTICES, 20 * MOST_VERTICES])
def test_outlines_of_any_size_lie_where_they_are(paper: Canvas, look: Look, vertices: int) -> None:
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    circle = (200, 150) + 100 * np.stack((np.cos(angle), np.sin(angle)), axis=1)
    paper.set_proposal(Proposal(candidates=(candidate(Shape.polygon(circle)),)))
    ys, xs = np.nonzero(bluish(look()))
    away = np.hypot(xs + 0.5 - 200, ys + 0.5 - 150)
    assert away.mean() == pytest.approx(100, abs=0.5)
    assert np.abs(away - 100).max() < 2
    assert len(away) > 2 * np.pi * 100


def test_an_outline_far_larger_than_the_screen_is_drawn_right(
    paper: Canvas, settle: Settle, look: Look
) -> None:
    paper.set_view(View(500, 500, 1 / 64))
    settle()
    shape = Shape.polygon([(-90_000, -90_000), (90_000, 90_000), (-90_000, 90_000)])
    paper.set_proposal(Proposal(candidates=(candidate(shape),)))
    seen = bluish(look())
    along = np.arange(60, 240)
    assert seen[along, along + 50].all()
    assert not seen[100:200, 10:90].any()


class PaintWatch(QObject):
    """Keeps the sizes of what was repainted."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[QSize] = []

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        if isinstance(event, QPaintEvent):
            self.sizes.append(event.rect().size())
        return False


def test_only_the_neighborhood_of_a_proposal_is_repainted(paper: Canvas, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: paper.is_settled() and paper._store.idle)
    QApplication.processEvents()
    watch = PaintWatch()
    paper.installEventFilter(watch)
    paper.set_proposal(Proposal(candidates=(candidate(Shape.box(100, 100, 140, 130)),)))
    qtbot.waitUntil(lambda: bool(watch.sizes))
    assert max(size.width() for size in watch.sizes) < 80
