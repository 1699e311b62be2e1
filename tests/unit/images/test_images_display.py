"""Displays: kept as JSON, one channel alone, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samdesk.images.contrast import ChannelDisplay, Display, auto_ranges
from samdesk.images.readers.flat import from_array

THREE = Display(
    (
        ChannelDisplay(True, 100.0, 4000.0, (0, 0, 255)),
        ChannelDisplay(False, 0.0, 255.0, (0, 255, 0)),
        ChannelDisplay(True, -0.5, 0.25, (255, 0, 10), 0.7),
    )
)


def test_it_comes_back_from_json() -> None:
    assert Display.from_json(THREE.to_json(), 3) == THREE
    assert Display.from_json(THREE.to_json(), 2) is None


@pytest.mark.parametrize(
    "change",
    [
        {"low": "dark"},
        {"low": 5000},
        {"high": float("nan")},
        {"gamma": 0},
        {"color": [1, 2]},
        {"color": None},
        {"visible": None, "high": float("inf")},
    ],
)
def test_what_is_no_display_is_refused(change: dict[str, Any]) -> None:
    value = THREE.to_json()
    value[0] = {**value[0], **change}
    assert Display.from_json(value, 3) is None


@pytest.mark.parametrize("value", [None, {}, "display", [1, 2, 3], [None] * 3, [{}] * 3])
def test_other_json_is_refused(value: Any) -> None:
    assert Display.from_json(value, 3) is None


def test_one_channel_alone_and_all_again() -> None:
    alone = THREE.only(1)
    assert alone.shown == (1,)
    assert alone.only(1).shown == (0, 1, 2)
    assert alone.only(2).shown == (2,)


def test_it_is_told_in_words() -> None:
    assert THREE.told(["DAPI", "CD3", "CK"]) == "DAPI 100 to 4000; CK -0.5 to 0.25 gamma 0.7"


def test_ranges_of_8_bit_color_can_be_chosen_too() -> None:
    pixels = np.linspace(40, 200, 300 * 400 * 3).reshape(300, 400, 3).astype(np.uint8)
    source = from_array(Path("p.png"), pixels, "p")
    ranges = auto_ranges(source)
    assert len(set(ranges)) == 1
    assert ranges[0] == pytest.approx((40, 199), abs=1)
