"""The arithmetic of what is on screen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samdesk.domain.geometry import Bounds
from samdesk.ui.layers.view import CLOSEST, View, scale_limits

SETTINGS = settings(deadline=None, max_examples=80)

views = st.builds(
    View,
    center_x=st.floats(-1e5, 1e5),
    center_y=st.floats(-1e5, 1e5),
    scale=st.floats(CLOSEST, 500),
    width=st.integers(50, 4000).map(float),
    height=st.integers(50, 4000).map(float),
    dpr=st.sampled_from([1.0, 1.25, 1.5, 2.0, 3.0]),
)
points = st.tuples(st.floats(0, 4000), st.floats(0, 4000))


@SETTINGS
@given(views, points)
def test_screen_and_image_points_are_inverse(view: View, at: tuple[float, float]) -> None:
    back = view.to_screen(*view.to_image(*at))
    assert back == pytest.approx(at, abs=1e-4)


@SETTINGS
@given(views, points)
def test_device_points_are_screen_points_times_the_ratio(view: View, at: tuple[float, float]) -> None:
    image = view.to_image(*at)
    assert view.to_device([image])[0] == pytest.approx(np.array(at) * view.dpr, abs=1e-4)


@SETTINGS
@given(views)
def test_the_picture_lies_on_whole_device_pixels(view: View) -> None:
    corner = view.to_device([(0, 0)])[0]
    assert corner.tolist() == [round(corner[0]), round(corner[1])]


@SETTINGS
@given(views)
def test_the_center_is_in_the_middle_to_half_a_device_pixel(view: View) -> None:
    x, y = view.to_screen(view.center_x, view.center_y)
    assert abs(x - view.width / 2) <= 0.501 / view.dpr
    assert abs(y - view.height / 2) <= 0.501 / view.dpr


@SETTINGS
@given(views, points, st.floats(0.2, 5))
def test_zooming_keeps_the_point_under_the_cursor(view: View, at: tuple[float, float], factor: float) -> None:
    before = view.to_image(*at)
    after = view.zoomed(factor, at)
    seen = after.to_screen(*before)
    # before and after are both rounded to device pixels
    slack = 0.51 / view.dpr * (1 + view.scale / after.scale)
    assert seen == pytest.approx(at, abs=slack)


@SETTINGS
@given(views, points)
def test_zooming_in_and_out_again_does_not_drift(view: View, at: tuple[float, float]) -> None:
    now = view
    for _ in range(20):
        now = now.zoomed(1.27, at).zoomed(1 / 1.27, at)
    if view.scale / 1.27 >= CLOSEST:
        assert (now.center_x, now.center_y) == pytest.approx((view.center_x, view.center_y), abs=1e-6)
        assert now.scale == pytest.approx(view.scale)


def test_zooming_stops_at_the_limits() -> None:
    limits = scale_limits(40_000, 20_000)
    view = View(100, 100, 1.0, 800, 600)
    assert limits == (1 / 64, 400.0)
    assert view.zoomed(1e6, limits=limits).scale == 1 / 64
    assert view.zoomed(1e-6, limits=limits).scale == 400.0


def test_a_small_image_may_still_be_seen_at_its_own_size() -> None:
    assert scale_limits(20, 10)[1] == 1.0


@SETTINGS
@given(views, st.floats(-500, 500), st.floats(-500, 500))
def test_panning_moves_the_picture_with_the_hand(view: View, dx: float, dy: float) -> None:
    spot = view.to_image(10, 10)
    x, y = view.panned(dx, dy).to_screen(*spot)
    assert (x, y) == pytest.approx((10 + dx, 10 + dy), abs=1.01 / view.dpr)


@SETTINGS
@given(views, st.floats(60, 1e5), st.floats(60, 1e5))
def test_fitted_shows_all_of_the_image_and_no_more_than_it_must(
    view: View, width: float, height: float
) -> None:
    fitted = view.fitted(width, height)
    shown = fitted.bounds
    edge = 2 * fitted.device_scale
    assert shown.x0 <= edge
    assert shown.y0 <= edge
    assert shown.x1 >= width - edge
    assert shown.y1 >= height - edge
    if fitted.scale > CLOSEST:
        used = max(width / fitted.scale / view.width, height / fitted.scale / view.height)
        assert used == pytest.approx(0.96)


def test_showing_centers_the_bounds() -> None:
    view = View(0, 0, 1, 200, 100).showing(Bounds(10, 20, 30, 40), margin=0.0)
    assert (view.center_x, view.center_y, view.scale) == (20, 30, 0.2)


def test_showing_a_point_comes_as_close_as_is_allowed() -> None:
    assert View(0, 0, 1, 200, 100).showing(Bounds(5, 5, 5, 5)).scale == CLOSEST


@SETTINGS
@given(views)
def test_a_view_that_is_kept_on_the_image_looks_at_it(view: View) -> None:
    kept = view.kept_on(3000, 2000)
    assert 0 <= kept.center_x <= 3000
    assert 0 <= kept.center_y <= 2000
    assert 1 / 64 <= kept.scale <= 30
    assert kept.kept_on(3000, 2000) == kept


def test_bounds_cover_the_widget() -> None:
    view = View(50, 40, 0.5, 200, 100, 2.0)
    assert view.device_size == (400, 200)
    assert view.bounds == Bounds(0, 15, 100, 65)


def test_a_widget_of_another_size_keeps_the_center() -> None:
    view = View(50, 40, 0.5, 200, 100, 1.0).sized(301, 77, 1.5)
    assert (view.center_x, view.center_y, view.scale) == (50, 40, 0.5)
    assert view.device_size == (452, 116)
    assert math.isclose(view.device_scale, 1 / 3)
