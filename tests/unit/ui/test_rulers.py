"""Rulers: how they are divided, and where the marks are."""

from __future__ import annotations

import pytest

from samdesk.ui.layers.rulers import APART, Steps, marks, steps


@pytest.mark.parametrize(
    ("scale", "pixel", "unit", "expected"),
    [
        (1.0, None, "", Steps(100, 100, 10, "px")),
        (1 / 64, None, "", Steps(2, 2, 2, "px")),
        (1.0, 0.5, "µm", Steps(100, 50, 5, "µm")),
        (16.0, 0.25, "µm", Steps(2000, 500, 5, "µm")),
        (40.0, 0.25, "µm", Steps(4000, 1, 10, "mm")),
        (1 / 64, 0.25, "µm", Steps(2, 500, 5, "nm")),
        (2.0, 3.0, "mm", Steps(500 / 3, 500, 5, "mm")),
    ],
)
def test_steps_are_round_and_in_a_unit_that_fits(
    scale: float, pixel: float | None, unit: str, expected: Steps
) -> None:
    found = steps(scale, pixel, unit)
    assert (found.unit, found.parts) == (expected.unit, expected.parts)
    assert (found.step, found.number) == pytest.approx((expected.step, expected.number))


@pytest.mark.parametrize("pixel", [None, 0.2513, 0.0325])
@pytest.mark.parametrize("scale", [1 / 64, 0.3, 1.0, 7.7, 123.0, 2048.0])
def test_numbers_do_not_touch_and_are_not_lost(scale: float, pixel: float | None) -> None:
    found = steps(scale, pixel, "µm")
    assert APART * 0.999 <= found.step / scale <= 2.6 * APART


def test_marks_cover_the_view_and_count_from_the_corner() -> None:
    found = dict(marks(Steps(100, 50, 5, "µm"), -30, 215))
    assert min(found) <= -30
    assert max(found) >= 215
    assert {place: number for place, number in found.items() if number is not None} == {
        0: 0,
        100: 50,
        200: 100,
    }
    assert 20 in found
