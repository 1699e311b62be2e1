"""What QuPath's reader takes is read; what it would choke on is repaired or left out, and told."""

from __future__ import annotations

import gc
import gzip
import json
import math
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from samdesk.domain.columns import Annotation, color_of_name
from samdesk.domain.document import Document
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane, Shape, ShapeKind
from samdesk.domain.tasks import Cancelled, Task
from samdesk.formats.geojson import Imported, dumps, loads, read_geojson, write_geojson
from tests.annotation_tables import star_table

SQUARE = [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]]
POLYGON = {"type": "Polygon", "coordinates": SQUARE}


def feature(geometry: Any = POLYGON, properties: Any = None, **members: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties or {}, **members}


def read(*features: Any) -> Imported:
    return loads(json.dumps({"type": "FeatureCollection", "features": features}))


def only(*features: Any) -> Annotation:
    imported = read(*features)
    assert len(imported.table) == 1, imported.report
    return imported.table.annotation(0)


# Roots


@pytest.mark.parametrize(
    "root",
    [
        {"type": "FeatureCollection", "features": [feature()]},
        {"features": [feature()], "type": "FeatureCollection", "crs": None, "bbox": [0, 0, 1, 1]},
        feature(),
        POLYGON,
        [feature()],
        [[feature()]],
        [{"type": "FeatureCollection", "features": [feature()]}],
    ],
)
def test_every_root_is_read(root: Any) -> None:
    imported = loads(json.dumps(root))
    assert imported.table.annotation(0).shape == Shape.box(0, 0, 10, 10)
    assert (len(imported.table), imported.report.repaired, imported.report.skipped) == (1, (), ())


def test_members_of_the_root_that_are_left_out_are_told() -> None:
    imported = loads(json.dumps({"type": "FeatureCollection", "crs": None, "features": [feature()]}))
    assert "crs" in imported.report.summary()


def test_a_byte_order_mark_and_duplicate_keys_are_read() -> None:
    text = '\ufeff{"type":"Feature","geometry":%s,"properties":{"metadata":{"a":"1"},"metadata":{"a":"2"}}}'
    (one,) = loads(text % json.dumps(POLYGON)).table.annotations()
    assert one.metadata == {"a": "2"}


def test_nested_features_are_flattened_parents_first() -> None:
    inner = feature(properties={"name": "inner", "children": [feature(properties={"name": "innermost"})]})
    outer = feature(
        properties={"name": "outer", "childObjects": [inner, feature(properties={"name": "second"})]}
    )
    table = read(outer, feature(properties={"name": "last"})).table
    assert [one.name for one in table.annotations()] == ["outer", "inner", "innermost", "second", "last"]
    assert table.order.tolist() == [0, 1, 2, 3, 4]


# Geometry


@pytest.mark.parametrize(
    ("geometry", "expected"),
    [
        ({"type": "Point", "coordinates": [1.5, 2, 7]}, Shape.points([(1.5, 2)])),
        ({"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]}, Shape.points([(1, 2), (3, 4)])),
        (
            {"type": "LineString", "coordinates": [[1, 2], [3, 4], [1, 2]]},
            Shape.from_parts([[[(1, 2), (3, 4), (1, 2)]]], ShapeKind.LINES),
        ),
        (
            {"type": "MultiLineString", "coordinates": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]},
            Shape.from_parts([[[(1, 2), (3, 4)]], [[(5, 6), (7, 8)]]], ShapeKind.LINES),
        ),
        (
            {"type": "Polygon", "coordinates": [*SQUARE, [[2, 2], [4, 2], [4, 4], [2, 2]]]},
            Shape.polygon([(0, 0), (10, 0), (10, 10), (0, 10)], [[(2, 2), (4, 2), (4, 4)]]),
        ),
        ({"type": "Polygon", "coordinates": [[[*v, 5] for v in SQUARE[0]]]}, Shape.box(0, 0, 10, 10)),
        (
            {"type": "MultiPolygon", "coordinates": [SQUARE, [[[20, 0], [30, 0], [30, 5], [20, 0]]]]},
            Shape.from_parts([[SQUARE[0]], [[(20, 0), (30, 0), (30, 5)]]]),
        ),
        (
            {
                "type": "GeometryCollection",
                "geometries": [{"type": "Point", "coordinates": [1, 1]}, POLYGON],
                "coordinates": [],
            },
            Shape.box(0, 0, 10, 10),
        ),
        (
            {
                "type": "GeometryCollection",
                "geometries": [{"type": "Point", "coordinates": [k, 1]} for k in (1, 2)],
            },
            Shape.points([(1, 1), (2, 1)]),
        ),
    ],
)
def test_every_geometry_is_read(geometry: Any, expected: Shape) -> None:
    assert only(feature(geometry)).shape == expected


def test_what_a_collection_loses_beside_its_areas_is_told() -> None:
    point, line = (
        {"type": "Point", "coordinates": [1, 1]},
        {"type": "LineString", "coordinates": [[0, 0], [5, 5]]},
    )
    (told,) = read(
        feature({"type": "GeometryCollection", "geometries": [point, POLYGON, line]})
    ).report.repaired
    assert told == "features[0]: points and lines beside its areas were left out"
    (told,) = read(feature({"type": "GeometryCollection", "geometries": [point, line]})).report.repaired
    assert told == "features[0]: points beside its lines were left out"
    alike = {"type": "GeometryCollection", "geometries": [POLYGON]}
    assert not read(feature(alike)).report.repaired


def test_an_ellipse_is_the_one_in_its_box_and_stays_marked() -> None:
    imported = read(feature({**POLYGON, "isEllipse": True}))
    shape = imported.table.annotation(0).shape
    assert shape.bounds == (0, 0, 10, 10)
    assert shape.area == pytest.approx(math.pi * 25, rel=0.01)
    assert not imported.report.repaired
    (again,) = json.loads(dumps(imported.table))["features"]
    assert again["geometry"]["isEllipse"] is True
    once_more = read(again).table
    assert once_more.annotation(0).shape.area == pytest.approx(shape.area, rel=1e-3)


@pytest.mark.parametrize(
    ("rings", "area", "parts"),
    [
        ([[[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]], 50, 2),  # a bow tie
        ([*SQUARE, [[5, 5], [15, 5], [15, 8], [5, 8], [5, 5]]], 85, 1),  # a hole that crosses the shell
        ([*SQUARE, [[20, 20], [25, 20], [25, 25], [20, 20]]], 100, None),  # a hole that lies outside
    ],
)
def test_what_crosses_itself_is_repaired_and_told(rings: Any, area: float, parts: int | None) -> None:
    imported = read(feature(), feature({"type": "Polygon", "coordinates": rings}))
    shape = imported.table.annotation(1).shape
    assert shapely.is_valid(shape.to_shapely())
    assert shape.area == pytest.approx(area, abs=13)
    assert parts is None or len(shape.to_parts()) == parts
    (line,) = imported.report.repaired
    assert line.startswith("features[1]: its rings crossed or overlapped")


def test_parts_that_overlap_are_merged() -> None:
    imported = read(
        feature({"type": "MultiPolygon", "coordinates": [SQUARE, [[[v[0] + 5, v[1]] for v in SQUARE[0]]]]})
    )
    assert imported.table.annotation(0).shape.area == 150
    assert len(imported.report.repaired) == 1


def test_a_ring_that_is_open_is_closed_and_told() -> None:
    imported = read(feature({"type": "Polygon", "coordinates": [SQUARE[0][:-1]]}))
    assert imported.table.annotation(0).shape == Shape.box(0, 0, 10, 10)
    assert imported.report.repaired == ("features[0]: a ring was not closed",)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (
            feature({"type": "Polygon", "coordinates": [[[0, 0], [math.nan, 0], [1, 1], [0, 0]]]}),
            "not a finite number",
        ),
        (
            feature({"type": "Polygon", "coordinates": [[[0, 0], ["x", 0], [1, 1], [0, 0]]]}),
            "not a pair of numbers",
        ),
        (feature({"type": "Polygon", "coordinates": [[[0], [1], [2], [0]]]}), "not a pair of numbers"),
        (
            feature({"type": "Polygon", "coordinates": [[[0, 0], [9e9, 0], [1, 1], [0, 0]]]}),
            "from the origin",
        ),
        (feature({"type": "Polygon", "coordinates": [[[0, 0], [5, 5], [9, 9], [0, 0]]]}), "to have an area"),
        (feature({"type": "LineString", "coordinates": [[3, 3], [3, 3]]}), "to have a length"),
        (feature({"type": "Polygon", "coordinates": []}), "is empty"),
        (feature({"type": "Point", "coordinates": []}), "is empty"),
        (feature({"type": "GeometryCollection", "geometries": []}), "is empty"),
        (feature({"type": "Circle", "coordinates": []}), "of type “Circle”"),
        (feature({"type": "Polygon", "coordinates": 5}), "not lists"),
        (feature({}), "of type “null”"),
        (feature(None), "no geometry"),
        ({"type": "Feature"}, "no geometry"),
        ({"type": "feature"}, "its type is “feature”"),
        (17, "not an object"),
        ([], "an empty list"),
        (None, "not an object"),
    ],
)
def test_what_makes_no_sense_is_left_out_by_itself_and_told(broken: Any, reason: str) -> None:
    imported = read(feature(), broken, feature())
    assert len(imported.table) == imported.report.read == 2
    (line,) = imported.report.skipped
    assert line.startswith("features[1]: ")
    assert reason in line
    assert line in imported.report.summary()


def test_a_number_too_large_for_a_float_spoils_its_feature_only() -> None:
    text = json.dumps({"features": [feature(), feature(), feature()]}).replace("10", "1e999", 1)
    imported = loads(text)
    assert len(imported.table) == 2
    assert "not a finite number" in imported.report.skipped[0]


# Ids


def test_ids_are_kept_when_they_are_valid_and_new_otherwise() -> None:
    kept = uuid.uuid4()
    imported = read(feature(id=str(kept)), feature(id="17"), feature(id=17), feature())
    ids = [one.id for one in imported.table.annotations()]
    assert ids[0] == kept
    assert len(set(ids)) == 4
    assert [line.split(":")[0] for line in imported.report.repaired] == ["features[1]", "features[2]"]


def test_an_id_that_was_there_before_is_replaced_and_told() -> None:
    same, other = str(uuid.uuid4()), str(uuid.uuid4())
    imported = read(feature(id=same), feature(id=other), feature(None), feature(id=same), feature(id=same))
    ids = [str(one.id) for one in imported.table.annotations()]
    assert ids[:2] == [same, other]
    assert len(set(ids)) == 4
    assert [line.split(":")[0] for line in imported.report.repaired] == ["features[3]", "features[4]"]


# Properties


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"properties": {"objectType": "detection"}}, "detection"),
        ({"properties": {"object_type": "cell"}}, "cell"),
        ({"properties": {"type": "tile"}}, "tile"),
        ({"properties": {"objectType": "PathCellObject"}}, "cell"),
        ({"id": "PathDetectionObject"}, "detection"),
        ({"properties": {"objectType": "Annotation"}}, "annotation"),
        ({"properties": {}}, "annotation"),
        ({"properties": None}, "annotation"),
    ],
)
def test_the_kind_of_object_goes_by_several_names(members: Any, expected: str) -> None:
    imported = loads(json.dumps({"type": "Feature", "geometry": POLYGON, **members}))
    assert imported.table.annotation(0).object_type == expected
    assert imported.report.repaired == ()


def test_an_object_of_an_unknown_kind_is_an_annotation_and_the_root_is_none() -> None:
    inner = feature(properties={"objectType": "spot"})
    imported = read(feature(None, {"objectType": "root", "childObjects": [inner]}))
    assert [one.object_type for one in imported.table.annotations()] == ["annotation"]
    assert "“spot”" in imported.report.repaired[0]
    assert imported.report.skipped == ()


RED = (255, 0, 0)


@pytest.mark.parametrize(
    ("found", "name", "color"),
    [
        ("Tumor", "Tumor", None),
        ("Tumor:Positive", "Tumor: Positive", None),
        ({"name": "Tumor", "color": [255, 0, 0]}, "Tumor", RED),
        ({"name": "Tumor", "color": [255.9, 256, -256, 128]}, "Tumor", RED),
        ({"name": "Tumor", "color": [-65536]}, "Tumor", RED),
        ({"name": "Tumor", "color": -65536}, "Tumor", RED),
        ({"name": "Tumor", "color": "#ff0000"}, "Tumor", RED),
        ({"name": "Tumor", "colorRGB": -65536}, "Tumor", RED),
        ({"name": "Tumor"}, "Tumor", None),
        ({"name": "Tumor", "color": None}, "Tumor", None),
        ({"name": "Tumor", "color": []}, "Tumor", None),
        ({"names": ["Tumor", "Positive"], "color": [255, 0, 0]}, "Tumor: Positive", RED),
        ({"name": "Tumor: Positive", "color": [255, 0, 0]}, "Tumor: Positive", RED),
        ({"name": " Tumor\nPositive ", "color": [255, 0, 0]}, "Tumor: Positive", RED),
        ({"name": "Positive", "colorRGB": -65536, "parentClass": {"name": "Tumor"}}, "Tumor: Positive", RED),
        ({"name": 3, "color": [255, 0, 0]}, "3", RED),
        ({}, None, None),
        (None, None, None),
    ],
)
def test_every_form_of_a_class_is_read(found: Any, name: str | None, color: Any) -> None:
    imported = read(feature(properties={"classification": found}))
    assert imported.table.annotation(0).class_name == name
    assert imported.report.repaired == ()
    if name:
        assert imported.table.classes == ((name, color or color_of_name(name)),)


@pytest.mark.parametrize(
    "found", [{"name": "  ", "color": [1, 2, 3]}, {"names": [], "color": [1, 2, 3]}, [3], 7]
)
def test_a_class_without_a_name_is_none(found: Any) -> None:
    imported = read(feature(properties={"classification": found}))
    assert imported.table.annotation(0).class_name is None
    assert imported.table.classes == ()


def test_the_first_color_of_a_class_that_is_given_wins() -> None:
    found = ["Tumor", {"name": "Tumor", "color": [1, 2, 3]}, {"name": "Tumor", "color": [9, 9, 9]}]
    imported = read(*(feature(properties={"classification": one}) for one in found))
    assert imported.table.classes == (("Tumor", (1, 2, 3)),)


def test_the_other_properties_are_read() -> None:
    one = only(
        feature(
            {**POLYGON, "plane": {"c": -1, "z": 3, "t": 1}},
            {
                "name": 12,
                "color": -16711936,
                "isLocked": "true",
                "measurements": {"a": 1, "b": "2.5", "c": "NaN", "d": "-Infinity", "e": None},
                "metadata": {"x": "y", "n": 4, "b": True, "none": None},
            },
        )
    )
    assert (one.name, one.color, one.locked, one.plane) == ("12", (0, 255, 0), True, Plane(3, 1))
    assert one.measurements.pop("c") != one.measurements  # NaN
    assert one.measurements == {"a": 1, "b": 2.5, "d": -math.inf}
    assert one.metadata == {"x": "y", "n": "4", "b": "true"}


def test_measurements_of_the_old_form_are_read() -> None:
    found = [{"name": "a", "value": 1}, {"name": "b", "value": "nan"}]
    one = only(feature(properties={"measurements": found}))
    assert one.measurements["a"] == 1
    assert math.isnan(one.measurements["b"])


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        ({"color": "red"}, "color"),
        ({"color": [1, 2, 3, 4]}, "color"),
        ({"classification": {"name": "A", "color": "red"}}, "color"),
        ({"classification": 7}, "classification"),
        ({"measurements": 3}, "measurements"),
        ({"measurements": {"a": "many"}}, "“a”"),
        ({"measurements": {"a": True}}, "“a”"),
        ({"metadata": {"a": {}}}, "“a”"),
        ({"metadata": 3}, "metadata"),
        ({"samdesk": 3}, "samdesk"),
        ([], "properties"),
    ],
)
def test_properties_that_make_no_sense_are_left_out_and_told(properties: Any, told: str) -> None:
    imported = loads(json.dumps([{"type": "Feature", "geometry": POLYGON, "properties": properties}]))
    one = imported.table.annotation(0)
    assert (one.color, one.measurements, one.metadata, one.provenance) == (None, {}, {}, {})
    (line,) = imported.report.repaired
    assert told in line


@pytest.mark.parametrize("plane", [{"z": "x"}, {"z": 2**40}, [], {"z": None}])
def test_a_plane_that_makes_no_sense_is_the_first(plane: Any) -> None:
    imported = read(feature({**POLYGON, "plane": plane}))
    assert imported.table.annotation(0).plane == Plane()
    assert len(imported.report.repaired) == 1


def test_unknown_members_are_kept() -> None:
    nucleus = {"type": "Polygon", "coordinates": [[[2, 2], [5, 2], [5, 5], [2, 2]]]}
    found = feature(
        {**POLYGON, "plane": {"c": 2}, "crs": 1},
        {"quality": [1, None], "type": "nucleus"},
        nucleusGeometry=nucleus,
        bbox=[1],
    )
    assert only(found).extra == {
        "feature": {"nucleusGeometry": nucleus, "bbox": [1]},
        "properties": {"quality": [1, None], "type": "nucleus"},
        "geometry": {"crs": 1, "plane": {"c": 2}},
    }


def test_a_nucleus_is_repaired_or_left_out() -> None:
    bow_tie = {"type": "Polygon", "coordinates": [[[0, 0], [4, 4], [4, 0], [0, 4], [0, 0]]]}
    fixed, none = read(
        feature(nucleusGeometry=bow_tie), feature(nucleusGeometry={"type": "Point"})
    ).table.annotations()
    assert shapely.is_valid(shapely.from_geojson(json.dumps(fixed.extra["feature"]["nucleusGeometry"])))
    assert none.extra == {}


def test_unknown_members_nested_too_deeply_to_be_written_are_left_out() -> None:
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    imported = read(feature(properties={"deep": deep}))
    assert imported.table.annotation(0).extra == {}
    assert "too deeply" in imported.report.repaired[0]
    assert dumps(imported.table)


def test_text_that_is_not_utf8_is_replaced_and_told(tmp_path: Path) -> None:
    path = tmp_path / "latin.geojson"
    path.write_bytes(json.dumps([feature(properties={"name": "caf_"})]).encode().replace(b"_", b"\xe9"))
    imported = read_geojson(path)
    assert imported.table.annotation(0).name == "caf\ufffd"
    assert "UTF-8" in imported.report.repaired[0]


# Files


def test_packed_files_are_known_by_their_bytes(tmp_path: Path) -> None:
    for name in ("a.geojson.gz", "a.json"):
        (tmp_path / name).write_bytes(gzip.compress(json.dumps(feature()).encode()))
        assert len(read_geojson(tmp_path / name).table) == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"hello", "does not start"),
        (json.dumps({"features": [feature()] * 9})[:-2].encode(), "ends in the middle"),
        (gzip.compress(json.dumps(feature()).encode())[:-9], "gzip"),
        (b"\x1f\x8b garbage", "gzip"),
        (b'{"features":[{"type":"Feature",!', "byte 31, about feature 1)"),
    ],
)
def test_a_file_that_is_not_json_is_refused_with_its_name(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "bad.geojson"
    path.write_bytes(content)
    with pytest.raises(SamdeskError) as caught:
        read_geojson(path)
    assert str(path) in caught.value.message
    assert told in caught.value.message
    assert caught.value.hint


def test_a_file_that_cannot_be_opened_is_refused_with_its_name(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.geojson", tmp_path):
        with pytest.raises(SamdeskError, match="cannot be read") as caught:
            read_geojson(path)
        assert str(path) in caught.value.message


def test_objects_without_end_and_without_a_feature_are_given_up() -> None:
    with pytest.raises(SamdeskError, match="no feature among its first"):
        loads("[" + "{}," * 200_000 + "{}]")


def test_a_damaged_end_brings_nothing(tmp_path: Path) -> None:
    path = tmp_path / "long.geojson"
    write_geojson(path, star_table(3000))
    path.write_bytes(path.read_bytes()[:-2] + b"!}")
    with pytest.raises(SamdeskError):
        read_geojson(path)


def test_reading_tells_its_progress_and_can_be_cancelled(tmp_path: Path) -> None:
    path = tmp_path / "long.geojson"
    write_geojson(path, star_table(5000))
    fractions: list[float] = []
    task = Task(lambda progress: fractions.append(progress.fraction or 0.0))
    read_geojson(path, task)
    assert fractions == sorted(fractions)
    assert len(fractions) >= 5
    assert fractions[-1] == 1

    stopping = Task(lambda progress: stopping.cancel())
    with pytest.raises(Cancelled):
        read_geojson(path, stopping)
    assert gc.isenabled()


def test_a_large_file_is_read_as_it_was(tmp_path: Path) -> None:
    table = star_table(5000, side=4000)
    write_geojson(tmp_path / "a.geojson", table)
    imported = read_geojson(tmp_path / "a.geojson")
    assert np.array_equal(imported.table.ids, table.ids)
    assert np.abs(imported.table.coords - table.coords).max() <= 3  # 0.01 px and two roundings, in 1/256 px
    document = Document()
    document.apply(document.merging(imported.table))
    assert len(document) == 5000
