"""Documents survive GeoJSON; damaged files bring an error or a valid table, never less, never a crash."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from samdesk.domain.columns import Annotation, AnnotationClass, Table
from samdesk.domain.document import Document
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane, Shape, ShapeKind
from samdesk.formats.geojson import dumps, loads, read_geojson, write_geojson
from tests.annotation_tables import annotations, shapes

quick = settings(deadline=None, max_examples=80)

CLASSES = tuple(
    AnnotationClass(name, (k, 2 * k, 3 * k))
    for k, name in enumerate(["Tumor", "Stroma: Positive", "Größe µ", "Ignore*"])
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=3)
unknown = st.dictionaries(st.sampled_from(["a", "bbox", "Label", "\u0000"]), json_values, max_size=2)


@st.composite
def rich_annotations(draw: st.DrawFn) -> Annotation:
    """Everything an annotation may hold; the shape on quarters of a pixel, which both grids have."""
    shape = draw(shapes())
    extra = {"feature": draw(unknown), "properties": draw(unknown), "geometry": draw(unknown)}
    return replace(
        draw(annotations(names=(None, *(one.name for one in CLASSES)))),
        shape=Shape(np.round(shape.coords * 4) / 4, shape.rings, shape.parts, shape.kind),
        name=draw(st.text()),
        measurements=draw(st.dictionaries(st.text(), st.floats(), max_size=3)),
        metadata=draw(st.dictionaries(st.text(), st.text(), max_size=3)),
        provenance=draw(json_objects),
        extra={where: found for where, found in extra.items() if found},
    )


def said(annotation: Annotation) -> tuple[Any, ...]:
    """All that an annotation says, such that NaN equals NaN."""
    measured = {name: repr(float(value)) for name, value in annotation.measurements.items()}
    return replace(annotation, measurements={}), measured


@quick
@given(st.lists(rich_annotations(), max_size=6, unique_by=lambda one: one.id))
def test_annotations_survive_exactly(many: list[Annotation]) -> None:
    table = Table.from_annotations([one for one in many if _is_fit(one.shape)], CLASSES)
    imported = loads(dumps(table))
    assert imported.report.repaired == ()
    assert imported.report.skipped == ()
    assert list(map(said, imported.table.annotations())) == list(map(said, table.annotations()))
    known = dict(CLASSES)
    assert all(known[one.name] == one.color for one in imported.table.classes)


def _is_fit(shape: Shape) -> bool:
    """Whether the rounding to quarters left the shape as it was built: valid, with all its vertices."""
    geometry = shape.to_shapely()
    distinct = all(len(np.unique(ring, axis=0)) == len(ring) for part in shape.to_parts() for ring in part)
    return bool(shapely.is_valid(geometry)) and (distinct or shape.kind is ShapeKind.POINTS)


@quick
@given(st.lists(annotations(), max_size=6, unique_by=lambda one: one.id))
def test_other_shapes_move_by_less_than_a_hundredth(many: list[Annotation]) -> None:
    table = Table.from_annotations(many)
    text = dumps(table)
    again = loads(text).table
    kept = {found["id"] for found in json.loads(text)["features"]}
    before = [one for one in table.annotations() if str(one.id) in kept]
    for old, new in zip(before, again.annotations(), strict=True):
        assert old.id == new.id
        if len(old.shape.coords) == len(new.shape.coords):
            assert np.abs(old.shape.coords - new.shape.coords).max() <= 0.01
        assert abs(old.shape.area - new.shape.area) <= 0.02 * (old.shape.length + 1)
    assert dumps(again) == text  # and then they stay where they are


# Damage


def _base() -> dict[str, Any]:
    def feature(number: int, geometry: Any, **properties: Any) -> dict[str, Any]:
        return {
            "type": "Feature",
            "id": f"00000000-0000-4000-8000-{number:012d}",
            "geometry": geometry,
            "properties": {"objectType": "annotation", **properties},
        }

    square = [[0, 0], [10.5, 0], [10.5, 10], [0, 10], [0, 0]]
    hole = [[2, 2], [4, 2], [4, 4], [2, 2]]
    tumor = {"name": "Tumor", "color": [200, 0, 0]}
    return {
        "type": "FeatureCollection",
        "features": [
            feature(1, {"type": "Polygon", "coordinates": [square, hole]}, classification=tumor),
            feature(
                2, {"type": "MultiPolygon", "coordinates": [[square]], "plane": {"c": -1, "z": 1, "t": 0}}
            ),
            feature(3, {"type": "Point", "coordinates": [1, 2]}, name="x", color=[1, 2, 3]),
            feature(
                4, {"type": "LineString", "coordinates": [[1, 2], [3, 4]]}, measurements={"a": 1, "b": "NaN"}
            ),
            feature(5, {"type": "Polygon", "coordinates": [square], "isEllipse": True}, metadata={"k": "v"}),
            feature(
                6,
                {"type": "Polygon", "coordinates": [square]},
                classification={"names": ["A", "B"], "color": -1},
            ),
            feature(
                7,
                {"type": "Polygon", "coordinates": [square]},
                samdesk={"engine": "x"},
                label=[1, {"y": None}],
            ),
        ],
    }


JUNK: tuple[Any, ...] = (
    *(None, True, -1, 1e308, math.nan, math.inf, 2**70),
    *("", "x", "Feature", "\ud800", "\x00"),
    *([], {}, [[]], [None], {"type": "Feature"}, [[[0, 0], [1, 1]]]),
)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every member and item of a value, as its holder and its key."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in [(value, key), *_places(value[key])]]


def _replace_value(random: Random) -> bytes:
    root = _base()
    for _ in range(random.randint(1, 3)):
        holder, key = random.choice(_places(root))
        holder[key] = random.choice(JUNK)
    return json.dumps(root).encode()


def _drop_or_double(random: Random) -> bytes:
    root = _base()
    holder, key = random.choice(_places(root))
    if random.random() < 0.5:
        del holder[key]
    elif isinstance(holder, list):
        holder.insert(key, holder[key])
    else:
        holder[random.choice("ab") + str(key)] = holder[key]
    return json.dumps(root).encode()


def _change_bytes(random: Random) -> bytes:
    text = bytearray(json.dumps(_base()).encode())
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(text))
        match random.randrange(4):
            case 0:
                text[at] = random.randrange(256)
            case 1:
                del text[at : at + random.randint(1, 40)]
            case 2:
                text[at:at] = random.choice(
                    [b"{", b"}", b"[", b"]", b",", b'"', b"\\", b"NaN", b"\xff", b"\0", b"-"]
                )
            case 3:
                text[at:at] = text[: random.randint(1, 200)]
    return bytes(text)


def _cut_off(random: Random) -> bytes:
    text = json.dumps(_base()).encode()
    return text[: random.randrange(len(text))]


MUTATIONS: tuple[Callable[[Random], bytes], ...] = (_replace_value, _drop_or_double, _change_bytes, _cut_off)


@cache
def _loosely(text: bytes) -> Any:
    """What the standard library makes of a text, which takes NaN and control characters too."""
    return json.loads(text.decode("utf-8", "replace").removeprefix("\ufeff"), strict=False)


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_damaged_files_bring_an_error_or_a_whole_report(
    mutation: Callable[[Random], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "damaged.geojson"
    for seed in range(100):
        text = mutation(Random(seed))
        path.write_bytes(text)
        try:
            imported = read_geojson(path)
        except SamdeskError as error:
            if str(path) not in error.message or not error.hint:
                raise
            continue
        _check(imported.table)
        root = _loosely(text)  # what is read is JSON to its end
        found = root.get("features") if isinstance(root, dict) else root
        if isinstance(found, list):
            told = {line.split(":")[0] for line in imported.report.skipped}
            wanted = sum(not isinstance(one, list) for one in found)  # a list may hold nothing
            assert imported.report.read == len(imported.table) >= wanted - len(told), text
        write_geojson(tmp_path / "again.geojson", imported.table)
        assert len(read_geojson(tmp_path / "again.geojson").table) == len(imported.table)


def _check(table: Table) -> None:
    """A table that a document takes, with valid shapes only."""
    document = Document()
    document.apply(document.merging(table))
    assert len(document) == len(table)
    for one in table.annotations():
        assert shapely.is_valid(one.shape.to_shapely()) or one.shape.kind is not ShapeKind.AREA
        assert not one.shape.is_empty
        assert isinstance(one.plane, Plane)
