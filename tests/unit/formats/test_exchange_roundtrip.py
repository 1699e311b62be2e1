"""Every format both ways: what comes back, what does not, and that the report says so."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from samdesk.domain.columns import Annotation, Table
from samdesk.domain.geometry import Plane, Region, Shape, ShapeKind
from samdesk.domain.outline import fill_holes, mask_to_shape, shape_to_mask
from samdesk.formats import rle
from samdesk.formats.exchange import ExportReport, ImageFacts, Imported, read, write

FACTS = ImageFacts("cells.png", 301, 243)
POLYGONS = (
    "a.geojson",
    "a.geojson.gz",
    "a.geojson.zip",
    "a.coco.json",
    "a.labelme.json",
    "a.txt",
    "a.ome.xml",
)
NAMES = ("Tumor", "Immune cells", "β: positive", "a/b\\c?", "名前 7", 'it\'s, "so"')

SETTINGS = settings(max_examples=12, deadline=None)


def disc(x: float, y: float, radius: float, corners: int = 400) -> np.ndarray:
    angle = np.arange(corners) * 2 * np.pi / corners
    return np.stack((x + radius * np.cos(angle), y + radius * np.sin(angle)), axis=1)


def through(name: str, annotations: list[Annotation], **more: Any) -> tuple[Imported, ExportReport]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        report = write(path, Table.from_annotations(annotations), FACTS, **more)
        return read(path, FACTS), report


def told(report: ExportReport) -> str:
    return "\n".join(report.full())


@st.composite
def areas(draw: st.DrawFn) -> Annotation:
    """An area of up to two parts in the image; whole-numbered holes in some."""
    x, y = draw(st.integers(2, 80)), draw(st.integers(2, 120))
    parts = []
    for k in range(draw(st.integers(1, 2))):
        left, size = x + 100 * k, draw(st.integers(8, 60))
        shell = [(left, y), (left + size, y), (left + size + 0.25, y + size), (left, y + size)]
        hole = [(left + 2, y + 2), (left + 5, y + 2), (left + 5, y + 5), (left + 2, y + 5)]
        parts.append([shell, hole] if draw(st.booleans()) else [shell])
    return Annotation(Shape.from_parts(parts), class_name=draw(st.sampled_from([None, *NAMES])))


def holed(shape: Shape) -> bool:
    return len(shape.rings) > len(shape.parts)


def pixels(shape: Shape) -> np.ndarray:
    return shape_to_mask(shape, Region(0, 0, FACTS.width, FACTS.height))


@pytest.mark.parametrize("name", ["a.geojson.zip", "a.coco.json", "a.labelme.json", "a.ome.xml"])
@SETTINGS
@given(given=st.lists(areas(), min_size=1, max_size=4))
def test_areas_with_holes_and_parts_come_back(name: str, given: list[Annotation]) -> None:
    found, report = through(name, given)
    back = list(found.table.annotations())
    assert not found.report.skipped
    assert not found.report.repaired
    assert report.written == len(back) == len(given)
    for before, after in zip(given, back, strict=True):
        assert after.class_name == before.class_name
        if holed(before.shape) and name != "a.geojson.zip":
            assert (pixels(after.shape) == pixels(before.shape)).all()
            assert "holes" in told(report)
        else:
            assert after.shape.area == pytest.approx(before.shape.area, abs=0.02)
            assert len(after.shape.parts) == len(before.shape.parts)


@SETTINGS
@given(given=st.lists(areas(), min_size=1, max_size=3))
def test_yolo_keeps_outlines_and_tells_of_holes_and_parts(given: list[Annotation]) -> None:
    found, report = through("a.txt", given)
    back = list(found.table.annotations())
    filled = sum(fill_holes(one.shape).area for one in given)
    assert sum(one.shape.area for one in back) == pytest.approx(filled, abs=0.02)
    assert {one.class_name for one in back} == {one.class_name for one in given}
    assert ("holes" in told(report)) == any(holed(one.shape) for one in given)
    several = any(len(one.shape.parts) > 2 for one in given)
    assert ("several parts" in told(report)) == several
    assert several == (len(back) > len(given))


@pytest.mark.parametrize("name", ["a.labels.tif", "a.labels.png", "a.masks"])
@SETTINGS
@given(given=areas())
def test_pictures_hold_exactly_the_pixels(name: str, given: Annotation) -> None:
    found, _ = through(name, [given])
    back = list(found.table.annotations())
    assert {one.class_name for one in back} == {given.class_name}
    assert (np.logical_or.reduce([pixels(one.shape) for one in back]) == pixels(given.shape)).all()
    if "labels" in name:
        assert [one.id for one in back] == [given.id]


@pytest.mark.parametrize("name", POLYGONS)
def test_a_disc_stays_where_it_is(name: str) -> None:
    shape = Shape.polygon(disc(100.37, 80.81, 31.3))
    (back,) = through(name, [Annotation(shape, class_name="Tumor")])[0].table.annotations()
    assert back.shape.area == pytest.approx(shape.area, rel=1e-4)
    assert back.shape.centroid == pytest.approx(shape.centroid, abs=0.02)


@pytest.mark.parametrize("name", ["a.coco.json", "a.labelme.json", "a.ome.xml", "a.labels.tif", "a.masks"])
def test_a_mask_is_exact(name: str) -> None:
    mask = np.zeros((FACTS.height, FACTS.width), np.bool_)
    mask[50:90, 200:301] = np.random.default_rng(0).random((40, 101)) < 0.9
    mask[51:89, 210:290] = True
    mask[60:70, 220:230] = False
    shape = mask_to_shape(mask)
    back = list(through(name, [Annotation(shape, class_name="Tumor")])[0].table.annotations())
    assert (np.logical_or.reduce([pixels(one.shape) for one in back]) == mask).all()


def test_what_a_format_cannot_hold_is_told() -> None:
    given = [
        Annotation(
            Shape.box(10, 10, 20, 20), class_name="Tumor", name="me", measurements={"score": 0.25, "a": 1}
        ),
        Annotation(Shape.box(0, 0, 100, 100), class_name="Region*"),
        Annotation(Shape.points([(5, 5), (7.5, 8)]), class_name="Tumor"),
        Annotation(Shape.from_parts([[[(1, 1), (5, 9), (30, 4)]]], ShapeKind.LINES)),
        Annotation(Shape.box(10, 10, 20, 20), plane=Plane(1, 0)),
    ]
    for name in ("a.coco.json", "a.txt", "a.labels.tif", "a.masks"):
        found, report = through(name, given)
        assert len(found.table) == report.written == 1
        assert "Region*" in told(report)
        assert "2 annotations without an area" in told(report)
        assert "other planes" in told(report)
    assert dict(through("a.coco.json", given)[0].table.annotation(0).measurements) == {"score": 0.25}
    found, report = through("a.labelme.json", given)
    assert "other planes" in told(report)
    back = list(found.table.annotations())
    assert [one.class_name for one in back] == ["Tumor", "Region*", "Tumor", None]
    assert [one.shape.kind for one in back] == [one.shape.kind for one in given[:4]]
    assert [one.shape.length for one in back] == [one.shape.length for one in given[:4]]
    found, report = through("a.ome.xml", given)
    back = list(found.table.annotations())
    assert [one.id for one in back] == [one.id for one in given]
    assert [one.plane for one in back] == [one.plane for one in given]
    assert back[0].name == "me"
    assert [one.shape.kind for one in back] == [one.shape.kind for one in given]


def test_geojson_keeps_everything() -> None:
    given = [
        Annotation(
            Shape.box(1, 1, 5, 6), class_name="A: b", name="n", locked=True, object_type="detection",
            measurements={"x": 1.5}, metadata={"k": "v"}, provenance={"engine": "e", "points": [[1, 2, 1]]},
        )
    ]  # fmt: skip
    (back,) = through("a.geojson.zip", given)[0].table.annotations()
    assert (back.id, back.name, back.locked, back.object_type) == (given[0].id, "n", True, "detection")
    assert back.provenance == given[0].provenance
    assert back.metadata == given[0].metadata


# Against pycocotools


def test_run_lengths_are_those_of_pycocotools() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = rng.integers(1, 40, 2).tolist()
        mask = rng.random((height, width)) < rng.choice([0, 0.02, 0.3, 0.9, 1.0])
        theirs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
        counts = rle.encode(mask, 0, 0, width, height)
        assert rle.pack(counts) == theirs
        assert (rle.unpack(theirs) == counts).all()
        crop, x, y = rle.decode(counts, width, height)
        whole = np.zeros((height, width), np.bool_)
        whole[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
        assert (whole == mask).all()


@pytest.mark.parametrize(
    "counts", [[1, 2], [-1, 10], [5, 5, 5], [1 << 40], [], [0, 0, 0]], ids=lambda counts: str(counts)
)
def test_wrong_run_lengths_are_refused(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="run"):
        rle.decode(np.array(counts, np.int64), 3, 3)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_a_square_of_pycocotools_ends_on_pixel_edges() -> None:
    found = coco_mask.frPyObjects([[5, 5, 15, 5, 15, 15, 5, 15]], 20, 30)
    mask = coco_mask.decode(coco_mask.merge(found)).astype(np.bool_)
    assert (mask == shape_to_mask(Shape.box(5, 5, 15, 15), Region(0, 0, 30, 20))).all()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_coco_files_are_those_of_pycocotools(tmp_path: Path) -> None:
    shapes = [
        Shape.polygon(disc(100.3, 80.7, 30)),
        Shape.polygon(disc(200, 100, 40), [disc(200, 100, 15)]),
    ]
    path = tmp_path / "a.coco.json"
    write(path, Table.from_annotations([Annotation(one, class_name="T") for one in shapes]), FACTS)
    for value, shape in zip(json.loads(path.read_text())["annotations"], shapes, strict=True):
        found = value["segmentation"]
        if isinstance(found, list):
            found = coco_mask.merge(coco_mask.frPyObjects(found, FACTS.height, FACTS.width))
        theirs = coco_mask.decode(found).astype(np.bool_)
        ours = pixels(shape)
        y, x = np.nonzero(theirs)
        assert (x.mean() + 0.5, y.mean() + 0.5) == pytest.approx(shape.centroid, abs=0.1)
        assert (theirs != ours).sum() <= 0.01 * ours.sum()
        assert value["area"] == pytest.approx(shape.area, rel=0.005)
        left, top, width, height = value["bbox"]
        assert (left, left + width) == pytest.approx((shape.bounds.x0, shape.bounds.x1), abs=1)
        assert (top, top + height) == pytest.approx((shape.bounds.y0, shape.bounds.y1), abs=1)
