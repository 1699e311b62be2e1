"""Shapes, provenance and measures in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from samdesk.app.describing import (
    Summary,
    details,
    measures,
    number,
    provenance_text,
    shape_text,
    size_text,
)
from samdesk.domain.columns import Annotation, Table
from samdesk.domain.geometry import Shape, ShapeKind
from samdesk.images.source import PixelSize


def of(shape: Shape, **kept: Any) -> Annotation:
    return Annotation(shape, **kept)


RING = np.array([(0, 0), (10, 0), (12, 8), (0, 10)], float)


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (of(Shape.box(0, 0, 4, 5)), "Rectangle"),
        (of(Shape.polygon(RING)), "Polygon, 4 vertices"),
        (of(Shape.polygon(RING, [RING / 4 + 2])), "Polygon, 1 hole, 8 vertices"),
        (of(Shape.from_parts([[RING], [RING + 50]])), "2 polygons, 8 vertices"),
        (of(Shape.polygon(RING), extra={"geometry": {"isEllipse": True}}), "Ellipse"),
        (of(Shape.from_parts([[RING[:2]]], ShapeKind.LINES)), "Line"),
        (of(Shape.from_parts([[RING]], ShapeKind.LINES)), "Polyline, 4 vertices"),
        (of(Shape.points(RING[:1])), "1 point"),
    ],
)
def test_shapes_in_words(one: Annotation, text: str) -> None:
    assert shape_text(one) == text


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ({}, ""),
        (
            {"engine": "SAM 2.1", "score": 0.934, "points": [[1, 2, 1], [3, 4, 0]], "refined": 1},
            "SAM 2.1, score 0.93, 2 points, refined once",
        ),
        (
            {"engine": "SAM 3", "boxes": [[0, 0, 1, 1]], "text": "nuclei", "refined": 3, "edited": True},
            "SAM 3, 1 box, asked for “nuclei”, refined 3 times, edited by hand",
        ),
        ({"score": "high", "points": 3}, "An unknown model"),
    ],
)
def test_provenance_in_words(told: dict[str, Any], text: str) -> None:
    assert provenance_text(told) == text


def test_measures_in_the_unit_of_the_image() -> None:
    table = Table.from_annotations([of(Shape.box(0, 0, 40, 10))])
    assert measures(table, PixelSize(0.5, 0.5)) == [
        ("Area", "100 µm²"),
        ("Perimeter", "50 µm"),
        ("Centroid", "10, 2.5 µm"),
    ]
    line = Table.from_annotations([of(Shape.from_parts([[RING[:2]]], ShapeKind.LINES))])
    assert measures(line, None)[0] == ("Length", "10 px")


def test_what_is_stored_is_listed_without_the_description() -> None:
    one = of(
        Shape.box(0, 0, 1, 1),
        measurements={"Mean": 0.25, "Bad": float("nan")},
        metadata={"Reader": "B", "ANNOTATION_DESCRIPTION": "text"},
    )
    assert details(one) == [("Mean", "0.25"), ("Bad", "–"), ("Reader", "B")]


def test_numbers_for_reading() -> None:
    assert [number(v) for v in (0, 1234567.8, 12.3456, 0.000123456, 1e-9)] == [
        "0", "1,234,568", "12.35", "0.000123", "1e-09",
    ]  # fmt: skip


def test_several_are_summed_up_without_ignored_ones() -> None:
    box = Shape.box(0, 0, 10, 10)
    many = [of(box, class_name=name, locked=name == "A") for name in ("A", "A", None, "Ignore*")]
    found = Summary.of(Table.from_annotations(many))
    assert (found.count, found.area, found.locked) == (4, 300, 2)
    assert next(iter(found.classes.items())) == ("A", 2)
    assert set(found.classes) == {"A", None, "Ignore*"}


def test_sizes_are_told_in_one_unit() -> None:
    half = PixelSize(0.5, 0.5, "µm")
    areas = [Shape.box(0, 0, side, side) for side in (10, 400, 2000)]
    assert [size_text(one, half) for one in areas] == ["25.0 µm²", "40,000 µm²", "1,000,000 µm²"]
    assert size_text(areas[0], None) == "100 px²"
    line = Shape.from_parts([[np.array([(0, 0), (30, 40)], float)]], ShapeKind.LINES)
    assert [size_text(line, one) for one in (half, None)] == ["25.0 µm", "50 px"]
    assert size_text(Shape.points([(1, 1), (2, 2)]), half) == "2 points"
