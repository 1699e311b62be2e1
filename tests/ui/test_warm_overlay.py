"""Where clicks are answered at once: marked at its border, clean inside, gone with its image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from samdesk.domain.geometry import Bounds, Region
from samdesk.sdk import chip_at
from samdesk.sdk.precompute import click_area
from samdesk.ui.canvas import Canvas
from samdesk.ui.layers.warm import RIM_PX

from .sources import ArraySource, plain

SIZE = (4096, 3072)
SCALE = 8.0
Look = Callable[[], NDArray[np.uint8]]
Show = Callable[[ArraySource], None]


def chip(x: float, y: float) -> Region:
    return chip_at(Bounds(x, y, x, y), 1.0, SIZE)


def on_screen(canvas: Canvas, area: Bounds) -> tuple[int, int, int, int]:
    x0, y0 = canvas.view.to_screen(area.x0, area.y0)
    x1, y1 = canvas.view.to_screen(area.x1, area.y1)
    return round(x0), round(y0), round(x1), round(y1)


@pytest.fixture(params=[(235, 225, 235), (12, 10, 14), (128, 128, 128)], ids=["light", "dark", "gray"])
def shown(request: pytest.FixtureRequest, canvas: Canvas, show: Show) -> Canvas:
    show(ArraySource(plain(*SIZE, color=request.param), levels=4))
    canvas.set_view(replace(canvas.view, center_x=2048, center_y=1536, scale=SCALE))
    return canvas


@pytest.fixture
def changed(shown: Canvas, settle: Callable[[], None], look: Look) -> Callable[..., NDArray[np.bool_]]:
    """Which pixels differ from the picture alone once these chips are marked."""
    settle()
    before = look().astype(int)

    def pixels(*chips: Region, least: int = 0) -> NDArray[np.bool_]:
        shown.set_warm(chips)
        return np.asarray(np.abs(look().astype(int) - before).max(axis=2) > least)

    return pixels


def test_the_border_is_marked_and_nothing_beyond_it(
    shown: Canvas, changed: Callable[..., NDArray[np.bool_]]
) -> None:
    one = chip(1800, 1300)
    x0, y0, x1, y1 = on_screen(shown, click_area(one, SIZE))
    marks = changed(one)
    outside = marks.copy()
    outside[y0:y1, x0:x1] = False
    assert not outside.any()
    assert not marks[y0 + RIM_PX : y1 - RIM_PX, x0 + RIM_PX : x1 - RIM_PX].any()
    line = changed(one, least=25)
    for edge in (line[y0, x0:x1], line[y1 - 1, x0:x1], line[y0:y1, x0], line[y0:y1, x1 - 1]):
        assert edge.mean() > 0.4  # dashes, or the line below them: one of the two is seen


def test_neighbors_are_one_area_with_a_mark_where_they_meet(
    shown: Canvas, changed: Callable[..., NDArray[np.bool_]]
) -> None:
    four = [chip(x, y) for x in (1400, 1900) for y in (1200, 1700)]
    assert len(set(four)) == 4
    whole = Bounds(
        min(click_area(one, SIZE).x0 for one in four),
        min(click_area(one, SIZE).y0 for one in four),
        max(click_area(one, SIZE).x1 for one in four),
        max(click_area(one, SIZE).y1 for one in four),
    )
    x0, y0, x1, y1 = on_screen(shown, whole)
    marks = changed(*four, least=25)
    middle = (y0 + y1) // 2, (x0 + x1) // 2
    assert marks[middle[0] - 2 : middle[0] + 3, middle[1] - 2 : middle[1] + 3].any()
    inside = marks[y0 + 10 : y1 - 10, x0 + 10 : x1 - 10]
    assert 0 < inside.sum() < 150  # the mark, and no line between them


def test_a_view_that_is_warm_all_over_says_so(
    shown: Canvas, changed: Callable[..., NDArray[np.bool_]], settle: Callable[[], None], look: Look
) -> None:
    shown.set_view(replace(shown.view, scale=1.0, center_x=1792 - 0.5, center_y=1280 - 0.5))
    settle()
    before = look().astype(int)
    shown.set_warm([chip(x, y) for x in (1500, 2000) for y in (1000, 1500)])
    marks = np.abs(look().astype(int) - before).max(axis=2) > 25
    assert 10 < marks.sum() < 150


def test_marks_lie_outside_the_screen_when_their_chips_do(
    shown: Canvas, changed: Callable[..., NDArray[np.bool_]], settle: Callable[[], None], look: Look
) -> None:
    shown.set_view(replace(shown.view, scale=1.0, center_x=1536, center_y=1024))
    settle()
    before = look()
    shown.set_warm([chip(3500, 2500)])
    np.testing.assert_array_equal(look(), before)


def test_it_goes_with_its_image_and_when_told(canvas: Canvas, show: Show, look: Look) -> None:
    source = ArraySource(plain(800, 600))
    show(source)
    before = look()
    whole = Region(0.0, 0.0, 800, 600, 1.0)
    canvas.set_warm([whole])
    assert (look() != before).any()
    canvas.set_warm([])
    np.testing.assert_array_equal(look(), before)
    canvas.set_warm([whole])
    show(source)
    np.testing.assert_array_equal(look(), before)
    canvas.set_image(None)
    canvas.set_warm([whole])


def test_the_same_chips_are_not_painted_again(canvas: Canvas, show: Show, qtbot: object) -> None:
    show(ArraySource(plain(800, 600)))
    chips = [Region(0.0, 0.0, 800, 600, 1.0)]
    canvas.set_warm(chips)
    kept = canvas._warm
    canvas.set_warm(list(chips))
    assert canvas._warm is kept
