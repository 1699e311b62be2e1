"""What is written keeps to the rules of QuPath's reader (which refuses a file for one bad ring)."""

from __future__ import annotations

import gzip
import json
import math
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geojson
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from samdesk.domain.columns import Annotation, AnnotationClass, Table
from samdesk.domain.document import Document
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import GRID, Plane, Shape, ShapeKind
from samdesk.domain.tasks import Cancelled, Task
from samdesk.formats.geojson import dumps, feature, validate, write_geojson
from tests.annotation_tables import annotations, star_table
from tests.unit.formats.limits import full_disk, unprivileged

BOX = Shape.box(0, 0, 10, 10)


def written(*many: Annotation) -> list[dict[str, Any]]:
    return json.loads(dumps(many))["features"]


def one(annotation: Annotation) -> dict[str, Any]:
    (found,) = written(annotation)
    return found


# Members


def test_a_plain_annotation_has_no_more_than_it_must() -> None:
    known = uuid.uuid4()
    assert one(Annotation(BOX, id=known)) == {
        "type": "Feature",
        "id": str(known),
        "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]]},
        "properties": {"objectType": "annotation"},
    }


def test_all_members_are_written_as_qupath_does() -> None:
    found = one(
        Annotation(
            BOX,
            class_name="Tumor",
            name="µ\u2028",
            plane=Plane(2, 1),
            object_type="cell",
            locked=True,
            color=(1, 2, 3),
            measurements={"a": 1.5, "b": math.nan, "c": -math.inf},
            metadata={"who": "me"},
            provenance={"engine": "classical", "points": [[1.5, 2.0]]},
            extra={
                "feature": {"bbox": [0]},
                "properties": {"label": 3},
                "geometry": {"crs": 1, "plane": {"c": 4}},
            },
        )
    )
    assert found["geometry"]["plane"] == {"c": 4, "z": 2, "t": 1}
    assert found["geometry"]["crs"] == 1
    assert found["bbox"] == [0]
    assert found["properties"] == {
        "objectType": "cell",
        "classification": {"name": "Tumor", "color": [200, 0, 0]},
        "isLocked": True,
        "name": "µ\u2028",
        "color": [1, 2, 3],
        "measurements": {"a": 1.5, "b": "NaN", "c": "-Infinity"},
        "metadata": {"who": "me"},
        "samdesk": {"engine": "classical", "points": [[1.5, 2.0]]},
        "label": 3,
    }


def test_a_plane_is_written_only_when_it_is_not_the_first() -> None:
    assert one(Annotation(BOX, plane=Plane(0, 3)))["geometry"]["plane"] == {"c": -1, "z": 0, "t": 3}
    assert "plane" not in one(Annotation(BOX))["geometry"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Tumor", {"name": "Tumor"}),
        ("Tumor: Positive", {"names": ["Tumor", "Positive"]}),
        ("a:b: c", {"names": ["a", "b", "c"]}),
        ("Two\nlines", {"names": ["Two", "lines"]}),
        (" : ", {"name": "Unnamed"}),
        ("Ignore*", {"name": "Ignore*"}),
    ],
)
def test_a_class_always_has_a_name_and_a_color(name: str, expected: dict[str, Any]) -> None:
    table = Table.from_annotations([Annotation(BOX, class_name=name)], (AnnotationClass(name, (7, 8, 9)),))
    (found,) = json.loads(dumps(table))["features"]
    assert found["properties"]["classification"] == {**expected, "color": [7, 8, 9]}


def test_unknown_members_never_hide_those_that_are_known() -> None:
    extra = {
        "feature": {"type": "Evil", "id": 3, "geometry": None},
        "properties": {"objectType": "root", "childObjects": [1], "color": None},
        "geometry": {"coordinates": [], "isEllipse": None, "type": "Point"},
    }
    assert one(Annotation(BOX, id=(known := uuid.uuid4()), extra=extra)) == one(Annotation(BOX, id=known))


def test_what_json_cannot_hold_is_refused_in_words() -> None:
    with pytest.raises(SamdeskError, match="JSON cannot"):
        dumps([Annotation(BOX, provenance={"when": object()})])


# Geometry


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (Shape.points([(1, 2)]), {"type": "Point", "coordinates": [1, 2]}),
        (Shape.points([(1, 2), (3, 4)]), {"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]}),
        (
            Shape.from_parts([[[(1, 2), (3, 4)]]], ShapeKind.LINES),
            {"type": "LineString", "coordinates": [[1, 2], [3, 4]]},
        ),
        (
            Shape.from_parts([[[(1, 2), (3, 4)]], [[(5, 6), (7, 8)]]], ShapeKind.LINES),
            {"type": "MultiLineString", "coordinates": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]},
        ),
        (
            Shape.from_parts(
                [[[(0, 0), (4, 0), (0, 4)], [(1, 1), (2, 1), (1, 2)]], [[(9, 9), (9, 8), (8, 8)]]]
            ),
            {
                "type": "MultiPolygon",
                "coordinates": [
                    [[[0, 0], [4, 0], [0, 4], [0, 0]], [[1, 1], [2, 1], [1, 2], [1, 1]]],
                    [[[9, 9], [9, 8], [8, 8], [9, 9]]],
                ],
            },
        ),
        (
            Shape.polygon([(0.0, 1 / 3), (1.005, 0), (123456.789, 5)]),
            {"type": "Polygon", "coordinates": [[[0, 0.33], [1.0, 0], [123456.79, 5], [0, 0.33]]]},
        ),
    ],
)
def test_every_kind_of_shape_is_written(shape: Shape, expected: dict[str, Any]) -> None:
    assert one(Annotation(shape))["geometry"] == expected


def accepted(found: dict[str, Any]) -> bool:
    """Whether QuPath takes the geometry of a feature: valid on a grid of 0.01 px, not empty, rings closed."""
    geometry = shapely.from_geojson(json.dumps(found["geometry"]))
    coords = shapely.get_coordinates(geometry)
    on_grid = np.array_equal(np.round(coords, 2), coords)
    return bool(
        on_grid and geometry.is_valid and not geometry.is_empty and geojson.loads(json.dumps(found)).is_valid
    )


tiny = st.lists(st.tuples(st.integers(0, 24), st.integers(0, 24)), min_size=3, max_size=12)


@settings(deadline=None, max_examples=200)
@given(st.lists(tiny, min_size=1, max_size=4))
def test_whatever_is_written_is_valid_after_rounding(outlines: list[list[tuple[int, int]]]) -> None:
    """Shapes of a tenth of a pixel, of which rounding to 0.01 px makes anything."""
    many = []
    for outline in outlines:
        rough = shapely.make_valid(shapely.Polygon(np.array(outline) / GRID), method="structure")
        shape = Shape.from_shapely(rough)
        if shape.kind is ShapeKind.AREA and not shape.is_empty:
            many.append(Annotation(shape))
    for found in written(*many):
        assert accepted(found)


def test_a_shape_that_vanishes_is_left_out_and_not_counted(tmp_path: Path) -> None:
    sliver = Shape.box(5, 5, 5 + 1 / GRID, 5.5)
    half = Shape.from_parts([[BOX.coords], [(BOX.coords + 50) / 1000]])
    many = [Annotation(BOX), Annotation(sliver), Annotation(half)]
    assert write_geojson(tmp_path / "a.geojson", Table.from_annotations(many)) == 2
    found = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert [f["geometry"]["type"] for f in found] == ["Polygon", "Polygon"]
    assert validate(many[1])
    with pytest.raises(SamdeskError, match="no shape"):
        feature(many[1])


# Objects


@settings(deadline=None, max_examples=50)
@given(annotations())
def test_objects_of_the_geojson_package_say_the_same(annotation: Annotation) -> None:
    found = feature(annotation)
    assert isinstance(found, geojson.Feature)
    assert found.is_valid
    assert json.loads(geojson.dumps(found)) == one(annotation)
    assert validate(annotation) == []


def test_validate_tells_what_is_wrong() -> None:
    bow_tie = Shape.polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    assert "Self-intersection" in validate(Annotation(bow_tie))[0]
    assert "blank" in validate(Annotation(BOX, class_name=" : "))[0]
    assert "JSON" in validate(Annotation(BOX, provenance={"x": object()}))[0]


# Files


def test_files_hold_one_feature_per_line_and_no_null(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    assert write_geojson(path, star_table(2500)) == 2500
    text = path.read_text()
    assert len(text.splitlines()) == 2502
    assert "null" not in text
    assert all(map(accepted, json.loads(text)["features"][:50]))
    assert len(set(re.findall(r'"id":"([^"]+)"', text))) == 2500


def test_every_source_is_written_alike(tmp_path: Path) -> None:
    document = Document()
    document.apply(document.adding([Annotation(BOX), Annotation(Shape.box(5, 5, 9, 9), class_name="Tumor")]))
    sources: list[Any] = [document, document.snapshot(), document.table(), list(document.annotations())]
    for number, source in enumerate(sources):
        write_geojson(tmp_path / str(number), source)
    texts = {(tmp_path / str(number)).read_text() for number in range(len(sources))}
    assert len(texts) == 1
    assert write_geojson(tmp_path / "none", []) == 0
    assert json.loads((tmp_path / "none").read_text()) == {"type": "FeatureCollection", "features": []}


def test_packed_files_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    table = star_table(100)
    for name in ("a.geojson.gz", "b.GZ", "c.json"):
        write_geojson(tmp_path / name, table)
    packed = (tmp_path / "a.geojson.gz").read_bytes()
    assert packed == (tmp_path / "b.GZ").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "c.json").read_bytes()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    """A file that a failed export must leave alone, in a folder in which nothing else may be left."""
    path = tmp_path / "kept.geojson"
    path.write_text("old")
    yield path
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_cancelled_export_leaves_the_old_file(kept: Path) -> None:
    stopping = Task(lambda progress: stopping.cancel() if (progress.fraction or 0) > 0.5 else None)
    with pytest.raises(Cancelled):
        write_geojson(kept, star_table(5000), stopping)


def test_an_annotation_that_cannot_be_written_leaves_the_old_file(kept: Path) -> None:
    with pytest.raises(SamdeskError):
        write_geojson(kept, [Annotation(BOX), Annotation(BOX, provenance={"x": {1, 2}})])


@pytest.mark.parametrize("size", [0, 200_000])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, suffix: str, size: int) -> None:
    path = tmp_path / f"kept.geojson{suffix}"
    path.write_text("old")
    table = star_table(5000)
    with full_disk(size), pytest.raises(SamdeskError, match="disk is full") as caught:
        write_geojson(path, table)
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_leaves_the_old_file(open_folder: Path) -> None:
    path = open_folder / "kept.geojson"
    path.write_text("old")
    open_folder.chmod(0o555)
    with unprivileged(), pytest.raises(SamdeskError, match="permission is denied") as caught:
        write_geojson(path, star_table(10))
    assert str(path) in caught.value.message
    assert path.read_text() == "old"
    assert list(open_folder.iterdir()) == [path]


def test_a_protected_file_is_not_replaced(open_folder: Path) -> None:
    path = open_folder / "kept.geojson"
    path.write_text("old")
    path.chmod(0o444)
    open_folder.chmod(0o777)
    with unprivileged(), pytest.raises(SamdeskError, match="permission is denied"):
        write_geojson(path, star_table(10))
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["missing/a.geojson", ""])
def test_a_name_that_cannot_be_a_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SamdeskError, match="cannot be written"):
        write_geojson(tmp_path / name, star_table(10))


def test_links_are_followed_and_rights_are_kept(tmp_path: Path) -> None:
    target, link = tmp_path / "target.geojson", tmp_path / "link.geojson"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_geojson(link, star_table(3))
    assert link.is_symlink()
    assert len(json.loads(target.read_text())["features"]) == 3
    assert target.stat().st_mode & 0o777 == 0o640
