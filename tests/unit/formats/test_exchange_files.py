"""Files as other programs write them: which format they are in, and what becomes of each thing in them."""

from __future__ import annotations

import base64
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
import tifffile

from samdesk.domain.columns import Annotation, Table
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Shape, ShapeKind
from samdesk.domain.tasks import Cancelled, Progress, Task
from samdesk.formats import holes, omexml, pixels, rle
from samdesk.formats.exchange import ImageFacts, Imported, for_writing, is_annotations, read, recognise, write
from samdesk.formats.geojson import dumps, zipped

FACTS = ImageFacts("b.png", 200, 100)
BOX = Annotation(Shape.box(10, 20, 40, 60), class_name="Tumor")


def table(*annotations: Annotation) -> Table:
    return Table.from_annotations(annotations or [BOX])


def written(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value), "utf-8")
    return path


def only(found: Imported) -> Annotation:
    (one,) = found.table.annotations()
    return one


def refused(path: Path, facts: ImageFacts | None = FACTS) -> str:
    with pytest.raises(SamdeskError) as caught:
        read(path, facts)
    assert path.name in caught.value.message
    return caught.value.message


# Which format


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ('{"type": "FeatureCollection", "features": []}', "geojson"),
        ('[{"type": "Feature", "properties": {"images": 1}}]', "geojson"),
        ('\ufeff {"info": {"type": "x"}, "images": [{"id": 1}], "annotations": []}', "coco"),
        ('[{"image_id": 1, "category_id": 1, "segmentation": []}]', "coco"),
        ('{"version": "5.0", "flags": {}, "shapes": []}', "labelme"),
        ('{"imageData": "' + "A" * 500_000, "labelme"),
        ("{}", "geojson"),
    ],
)
def test_json_is_told_by_its_members(text: str, id: str, tmp_path: Path) -> None:
    assert recognise(written(tmp_path / "a.json", text)).id == id


def test_files_are_told_by_their_names(tmp_path: Path) -> None:
    for name, id in (("a.txt", "yolo"), ("a.png", "labels"), ("a.tif", "labels"), ("a.ome.xml", "ome")):
        (tmp_path / name).write_bytes(b"x")
        assert recognise(tmp_path / name).id == id
    assert recognise(tmp_path).id == "masks"
    for name, id in (
        ("a.json", "geojson"), ("a.coco.json", "coco"), ("a.labelme.json", "labelme"), ("A.TXT", "yolo"),
        ("a.labels.tif", "labels"), ("a.masks", "masks"), ("a.geojson.zip", "geojson"),
    ):  # fmt: skip
        assert for_writing(name).id == id
    assert for_writing("a.json", "labelme").id == "labelme"
    for name, id in (("a.docx", None), ("a", None), ("a.json", "nonsense")):
        with pytest.raises(SamdeskError, match="annotations can be written"):
            for_writing(name, id)
    with pytest.raises(SamdeskError, match="does not exist"):
        recognise(tmp_path / "none.json")


def test_what_is_dropped_is_an_image_unless_its_name_says_otherwise(tmp_path: Path) -> None:
    for name in ("a.geojson", "a.json.gz", "a.zip", "a.txt", "a.ome.xml", "a.labels.tif"):
        assert is_annotations(tmp_path / name)
    for name in ("a.png", "a.tif", "a.ome.tif", "a.svs", "a.zarr", "a.zarr.zip", "a.gpkg"):
        assert not is_annotations(tmp_path / name)


# GeoJSON in archives


def test_every_entry_of_an_archive_is_read_and_what_fails_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.geojson", dumps([BOX]))
        archive.writestr("folder/two.json", dumps([BOX, Annotation(Shape.box(0, 0, 5, 5))]))
        archive.writestr("bad.geojson", '{"features": [')
        archive.writestr("__MACOSX/._one.geojson", "junk")
    found = read(path)
    assert len(found.table) == 3
    assert len({found.table.id(row) for row in range(3)}) == 3
    assert any("came again" in line for line in found.report.repaired)
    (line,) = found.report.skipped
    assert line.startswith("bad.geojson")


def test_an_archive_that_says_less_than_it_holds_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.geojson", dumps([BOX]) + " " * 100_000)
    raw = bytearray(path.read_bytes())
    size = len(dumps([BOX]) + " " * 100_000).to_bytes(4, "little")
    path.write_bytes(raw.replace(size, (50).to_bytes(4, "little")))
    assert "a.geojson" in refused(path)


def test_bombs_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.geojson", b" " * (2 << 20))
    monkeypatch.setattr(zipped, "ALWAYS_BYTES", 1 << 20)
    assert "times its size" in refused(path)
    monkeypatch.setattr(zipped, "MOST_BYTES", 1 << 20)
    assert "unpacks to" in refused(path)


def test_an_archive_is_always_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "1" / "a.zip", tmp_path / "2" / "a.zip"
    for path in (first, second):
        path.parent.mkdir()
        write(path, table())
    assert first.read_bytes() == second.read_bytes()
    assert zipfile.ZipFile(first).namelist() == ["a.geojson"]


# COCO


def coco(**members: Any) -> dict[str, Any]:
    one = {"id": 1, "image_id": 2, "category_id": 7, "segmentation": [[0, 0, 10, 0, 10, 10]], **members}
    images = [
        {"id": 1, "file_name": "a.png", "width": 9, "height": 9},
        {"id": 2, "file_name": "train/b.png", "width": 200, "height": 100},
    ]
    return {"images": images, "annotations": [one], "categories": [{"id": 7, "name": "cell"}]}


def test_coco_takes_the_image_of_that_name(tmp_path: Path) -> None:
    value = coco()
    value["annotations"].append({**value["annotations"][0], "image_id": 1})
    path = written(tmp_path / "a.json", value)
    found = read(path, FACTS)
    assert only(found).class_name == "cell"
    assert found.report.notes == ("1 annotation of other images were not read.",)
    assert "none is called c.png" in refused(path, ImageFacts("c.png", 200, 100))
    assert "is for an image of" in refused(path, ImageFacts("b.png", 20, 10))


def test_coco_masks_boxes_scores_and_crowds(tmp_path: Path) -> None:
    counts = [0, 2, 98, 2, 100 * 200 - 102]
    value = coco(segmentation={"size": [100, 200], "counts": counts}, iscrowd=1, score=0.0)
    one = only(read(written(tmp_path / "a.json", value), FACTS))
    assert one.shape.bounds == (0, 0, 2, 2)
    assert one.metadata == {"iscrowd": "1"}
    assert one.measurements == {"score": 0.0}
    value = coco(bbox=[1, 2, 3, 4], segmentation=[], category_id=9)
    found = read(written(tmp_path / "a.json", value), FACTS)
    assert only(found).shape.bounds == (1, 2, 4, 6)
    assert only(found).class_name == "category 9"
    assert "its box was taken" in found.report.repaired[0]
    found = read(written(tmp_path / "a.json", [coco()["annotations"][0]]), FACTS)
    assert "names no image" in found.report.notes[0]


# labelme


def test_labelme_shapes_of_every_type(tmp_path: Path) -> None:
    png = base64.b64encode(cv2.imencode(".png", np.full((3, 4), 1, np.uint8))[1].tobytes()).decode()
    shapes = [
        {"label": "a", "points": [[0, 0], [10, 0], [10, 10]]},  # the first versions had no type
        {"label": "a", "shape_type": "rectangle", "points": [[20, 10], [5, 2]], "flags": {"hard": True}},
        {"label": "a", "shape_type": "circle", "points": [[50, 50], [50, 70]]},
        {"label": "b", "shape_type": "line", "points": [[0, 0], [3, 4]]},
        {"label": "b", "shape_type": "linestrip", "points": [[0, 0], [3, 4], [6, 8]]},
        {"label": 5, "shape_type": "point", "points": [[1, 2]], "description": "here"},
        {"label": "c", "shape_type": "mask", "points": [[7, 8], [10, 10]], "mask": png},
        {"label": "d", "shape_type": "polygon", "points": [[0, 0], [4, 0], [4, 4]], "group_id": 1},
        {"label": "d", "shape_type": "polygon", "points": [[10, 0], [14, 0], [14, 4]], "group_id": 1},
        {"label": "e", "shape_type": "polygon", "points": [[10, 0], [14, 0], [14, 4]], "group_id": 1},
        {"label": "f", "shape_type": "cuboid", "points": [[10, 0], [14, 0]]},
    ]
    value = {"version": "5.5.0", "shapes": shapes, "imagePath": "..\\b.png", "flags": {"done": True}}
    found = read(written(tmp_path / "a.json", value), FACTS)
    back = list(found.table.annotations())
    kinds = [one.shape.kind for one in back]
    area, lines, points = ShapeKind.AREA, ShapeKind.LINES, ShapeKind.POINTS
    assert kinds == [area, area, area, lines, lines, points, area, area, area]
    assert back[1].shape.bounds == (5, 2, 20, 10)
    assert back[1].metadata == {"flag hard": "yes"}
    assert back[2].shape.area == pytest.approx(np.pi * 400, rel=1e-4)
    assert (back[5].class_name, back[5].metadata) == ("5", {"description": "here"})
    assert back[6].shape.bounds == (7, 8, 11, 11)
    assert len(back[7].shape.parts) == 3
    assert found.report.skipped == ("shapes[10]: shapes of the type “cuboid” are not known",)
    assert "done" in found.report.notes[0]


# YOLO


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "cell\nvery: odd\n"),
        ("data.yaml", "train: x\nnames: ['cell', \"very: odd\"]  # two\nnc: 2\n"),
        ("data.yaml", "names:\n  0: cell\n  1: 'very: odd'\nnc: 2\n"),
        ("data.yaml", "nc: 2\nnames:\n- cell\n- 'very: odd'\n"),
    ],
)
def test_yolo_names_of_classes(name: str, text: str, tmp_path: Path) -> None:
    written(tmp_path / name, text)
    labels = tmp_path / "labels" / "train"
    labels.mkdir(parents=True)
    path = written(labels / "b.txt", "1 0 0 0.5 0 0.5 0.5\n\n0 0.5 0.5 0.1 0.2\n0 2\nx y\n1 0 0 9 9 8 8\n")
    found = read(path, FACTS)
    first, second = found.table.annotations()
    assert (first.class_name, second.class_name) == ("very: odd", "cell")
    assert first.shape.bounds == (0, 0, 100, 50)
    assert second.shape.bounds == pytest.approx((90, 40, 110, 60), abs=0.01)
    assert [line.split(":")[0] for line in found.report.skipped] == ["line 4", "line 5", "line 6"]


def test_yolo_needs_the_image_and_keeps_known_numbers(tmp_path: Path) -> None:
    path = written(tmp_path / "b.txt", "0 0 0 0.5 0 0.5 0.5\n")
    assert "size is not known" in refused(path, None)
    written(tmp_path / "classes.txt", "cell\nStroma\n")
    write(path, table(), FACTS)
    assert path.read_text().startswith("2 ")
    assert (tmp_path / "classes.txt").read_text().split() == ["cell", "Stroma", "Tumor"]


def test_yolo_outlines_are_cut_along_the_edges_of_the_image(tmp_path: Path) -> None:
    corner = Annotation(Shape.polygon([(-100, 20), (60, 20), (60, 100)]))
    report = write(tmp_path / "b.txt", table(corner, Annotation(Shape.box(250, 150, 280, 180))), FACTS)
    inside = shapely.intersection(corner.shape.to_shapely(), shapely.box(0, 0, FACTS.width, FACTS.height))
    assert only(read(tmp_path / "b.txt", FACTS)).shape.area == pytest.approx(inside.area, rel=1e-3)
    assert report.written == 1
    assert "1 annotation outside the image" in report.left_out
    assert "1 annotation cut off at the edge of the image." in report.notes


def test_yolo_names_of_classes_are_a_line_each(tmp_path: Path) -> None:
    given = [Annotation(Shape.box(5, 5, 9, 9), class_name=name) for name in ("Immune  cells", "A\nB", "A B")]
    report = write(tmp_path / "b.txt", table(*given), FACTS)
    back = read(tmp_path / "b.txt", FACTS).table.annotations()
    assert [one.class_name for one in back] == ["Immune cells", "A B", "A B"]
    assert any("one class: “A B”" in line for line in report.notes)
    assert any("single spaces" in line and "“Immune cells”" in line for line in report.notes)


# OME-XML


def ome(rois: str, images: str = "") -> str:
    space = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    return f'<?xml version="1.0"?><OME xmlns="{space}">{images}{rois}</OME>'


def test_ome_shapes_of_every_type(tmp_path: Path) -> None:
    shapes = [
        '<Rectangle ID="Shape:0" X="1" Y="2" Width="3" Height="4" TheZ="2" TheT="1" Text="r"/>',
        '<Ellipse ID="Shape:1" X="50" Y="50" RadiusX="20" RadiusY="10" TheZ="0" TheT="0"/>',
        '<Line ID="Shape:2" X1="0" Y1="0" X2="3" Y2="4"/>',
        '<Point ID="Shape:3" X="1" Y="2"/>',
        '<Polygon ID="Shape:4" Points="0,0 10,0 10,10"><Transform A00="1" A10="0" A01="0" A11="1" '
        'A02="5" A12="7"/></Polygon>',
        '<Label ID="Shape:5" X="1" Y="2" Text="words"/>',
        '<Mask ID="Shape:6" X="3" Y="4" Width="2" Height="2"><BinData BigEndian="true" Length="1">YA=='
        "</BinData></Mask>",
    ]
    regions = [f'<ROI ID="ROI:{k}" Name="n{k}"><Union>{one}</Union></ROI>' for k, one in enumerate(shapes)]
    found = read(written(tmp_path / "a.ome.xml", ome("".join(regions))), FACTS)
    back = list(found.table.annotations())
    assert [one.name for one in back] == ["n0", "n1", "n2", "n3", "n4", "n6"]
    assert (back[0].shape.bounds, back[0].plane) == ((1, 2, 4, 6), (2, 1))
    assert back[1].shape.area == pytest.approx(np.pi * 200, rel=1e-3)
    assert [one.shape.kind for one in back[2:4]] == [ShapeKind.LINES, ShapeKind.POINTS]
    assert back[4].shape.bounds == (5, 7, 15, 17)
    assert back[5].shape.area == 2
    assert "a text without an outline" in found.report.skipped[0]
    assert "every plane" in found.report.notes[0]


def test_ome_regions_in_the_header_of_a_tiff(tmp_path: Path) -> None:
    write(tmp_path / "a.ome.xml", table(), FACTS)
    path = tmp_path / "a.ome.tif"
    text = (tmp_path / "a.ome.xml").read_text()
    tifffile.imwrite(path, np.zeros((10, 20), np.uint8), description=text, metadata=None)
    assert only(read(path, FACTS)).id == BOX.id
    tifffile.imwrite(path, np.zeros((10, 20), np.uint8), metadata=None, ome=False)
    assert "no OME-XML" in refused(path)


def test_ome_with_entities_is_refused(tmp_path: Path) -> None:
    text = '<!DOCTYPE x [<!ENTITY a "b">]>' + ome("")[21:]
    assert "entities" in refused(written(tmp_path / "a.ome.xml", text))


@pytest.mark.parametrize("text", ["Tu\x0bmor", "Tu\ufffemor", "Tu\x00mor"])
def test_ome_without_the_characters_that_xml_lacks(text: str, tmp_path: Path) -> None:
    report = write(tmp_path / "a.ome.xml", table(replace(BOX, class_name=text, name=text)), FACTS)
    back = only(read(tmp_path / "a.ome.xml", FACTS))
    assert (back.class_name, back.name) == ("Tumor", "Tumor")
    assert any("cannot hold" in line for line in report.notes)
    plain = write(tmp_path / "b.ome.xml", table(replace(BOX, name="a\tβ 名")), FACTS)
    assert not any("cannot hold" in line for line in plain.notes)


# Masks of objects with holes


@pytest.mark.parametrize("name", ["a.coco.json", "a.labelme.json", "a.ome.xml"])
def test_masks_that_would_be_too_large_are_left_out_and_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holes, "MOST_PIXELS", 40 * 40 - 1)
    large = Shape.polygon([(0, 0), (40, 0), (40, 40), (0, 40)], [[(5, 5), (5, 9), (9, 9)]])
    report = write(tmp_path / name, table(BOX, Annotation(large)), FACTS)
    assert len(read(tmp_path / name, FACTS).table) == report.written == 1
    (line,) = report.left_out
    assert line.startswith("1 annotation too large for a mask")
    assert not any("with holes" in note for note in report.notes)


def test_large_masks_of_ome_are_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Shape.polygon([(1, 2), (90, 2), (90, 80), (1, 80)], [[(5, 5), (5, 9), (9, 9), (9, 5)]])
    for limit, packing in ((1000, "none"), (100, "zlib")):
        monkeypatch.setattr(omexml, "_MOST_PLAIN", limit)
        write(tmp_path / "a.ome.xml", table(Annotation(ring)), FACTS)
        assert f'Compression="{packing}"' in (tmp_path / "a.ome.xml").read_text()
        back = only(read(tmp_path / "a.ome.xml", FACTS)).shape
        assert (back.bounds, back.area) == (ring.bounds, ring.area)


def test_masks_are_made_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    hole = [(10.5, 12), (30, 44.25), (50, 13)]
    shape = Shape.polygon([(3.3, 2), (97, 5), (90, 77.7), (8, 70)], [hole]).translated(-20, 11)
    whole = holes.mask_of(shape)
    assert whole is not None
    packed = rle.encode(whole.mask, 7, 11, 200, 100)
    monkeypatch.setattr(holes, "BAND", 300)
    monkeypatch.setattr(rle, "BAND", 300)
    banded = holes.mask_of(shape)
    assert banded is not None
    assert (banded.x, banded.y) == (whole.x, whole.y)
    assert np.array_equal(banded.mask, whole.mask)
    assert np.array_equal(rle.encode(banded.mask, 7, 11, 200, 100), packed)


# Label images and masks


def test_label_images_of_many_tiles_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "TILE", 64)
    given = [Annotation(Shape.box(40, 10, 150, 90), name="a"), Annotation(Shape.box(60, 60, 70, 70))]
    given.append(Annotation(Shape.box(500, 500, 600, 600)))
    path = tmp_path / "a.labels.tif"
    report = write(path, table(*given), FACTS)
    assert report.written == 2
    assert "1 annotation without a pixel" in report.left_out[0]
    assert any("lie over others" in line for line in report.notes)
    with tifffile.TiffFile(path) as tiff:
        assert (tiff.pages[0].shape, tiff.pages[0].dtype, tiff.pages[0].is_tiled) == (
            (100, 200),
            "uint16",
            True,
        )
    back = list(read(path, FACTS).table.annotations())
    assert [one.shape.area for one in back] == [110 * 80 - 100, 100]
    assert [one.name for one in back] == ["a", ""]


def test_a_smaller_label_image_is_scaled_when_the_ratio_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.labels.tif"
    write(path, table(Annotation(Shape.box(12, 20, 40, 60))), ImageFacts("b", 203, 101), downsample=4)
    found = read(path, ImageFacts("b", 203, 101))
    assert only(found).shape.bounds == (12, 20, 40, 60)
    assert "4 times smaller" in found.report.notes[0]
    assert "neither the same nor" in refused(path, ImageFacts("b", 203, 160))
    with pytest.raises(SamdeskError, match="makes no sense"):
        write(path, table(), FACTS, downsample=0)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32", "float32"])
def test_label_images_of_every_depth(dtype: str, tmp_path: Path) -> None:
    labels = np.zeros((100, 200), dtype)
    labels[3:6, 4:9] = 200
    labels[50:52, 0:1] = 7
    tifffile.imwrite(tmp_path / "a.tif", labels)
    found = read(tmp_path / "a.tif", FACTS)
    assert [one.shape.area for one in found.table.annotations()] == [2, 15]


def test_photographs_are_not_label_images(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (100, 200, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), noise)
    assert "color picture" in refused(tmp_path / "a.png")
    cv2.imwrite(str(tmp_path / "a.png"), noise[..., 0])
    assert "photograph" in refused(tmp_path / "a.png")


def test_classes_come_from_a_table_beside_the_label_image(tmp_path: Path) -> None:
    labels = np.zeros((100, 200), np.uint8)
    labels[3:6, 4:9] = 1
    cv2.imwrite(str(tmp_path / "a.png"), labels)
    written(tmp_path / "a.json", {"1": {"class": "Tumor", "name": "x"}})
    one = only(read(tmp_path / "a.png", FACTS))
    assert (one.class_name, one.name) == ("Tumor", "x")


@pytest.mark.parametrize("name", ["cells.png", "cells.tif"])
def test_a_table_of_the_users_is_not_overwritten_by_a_label_image(name: str, tmp_path: Path) -> None:
    beside = written(tmp_path / "cells.csv", "my measurements, weeks of work\n")
    with pytest.raises(SamdeskError, match=r"cells\.csv is there already"):
        write(tmp_path / name, table(), FACTS)
    assert beside.read_text() == "my measurements, weeks of work\n"
    assert [one.name for one in tmp_path.iterdir()] == ["cells.csv"]
    beside.unlink()
    for one in (BOX, replace(BOX, class_name="Stroma")):  # its own table is replaced
        write(tmp_path / name, table(one), FACTS)
        assert only(read(tmp_path / name, FACTS)).class_name == one.class_name


def test_a_folder_of_masks_with_one_that_is_none(tmp_path: Path) -> None:
    mask = np.zeros((100, 200), np.uint8)
    mask[10:20, 10:20] = mask[40:50, 40:60] = 255
    cv2.imwrite(str(tmp_path / "cell_01.png"), mask)
    cv2.imwrite(str(tmp_path / "photo.png"), np.arange(20000, dtype=np.uint16).reshape(100, 200))
    cv2.imwrite(str(tmp_path / "small.png"), mask[:33, :77])
    found = read(tmp_path, FACTS)
    assert [one.class_name for one in found.table.annotations()] == ["cell", "cell"]
    assert [line.split(":")[0] for line in found.report.skipped] == ["photo.png", "small.png"]


def test_a_folder_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.masks"
    write(path, table(), FACTS)
    with pytest.raises(SamdeskError, match="is there already"):
        write(path, table(), FACTS)
    assert [one.name for one in tmp_path.iterdir()] == ["a.masks"]


# All of them


@pytest.mark.parametrize(
    "name",
    ["a.geojson.zip", "a.coco.json", "a.labelme.json", "a.txt", "a.ome.xml", "a.labels.tif", "a.masks"],
)
def test_cancelled_writing_leaves_nothing(name: str, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        task.cancel()

    task = Task(stop)
    many = [Annotation(Shape.box(k % 100, k // 100, k % 100 + 1, k // 100 + 1)) for k in range(2500)]
    many.append(Annotation(Shape.box(0, 0, 5, 5), class_name="x"))
    with pytest.raises(Cancelled):
        write(tmp_path / name, table(*many), FACTS, task)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.coco.json", "a.txt", "a.labels.tif", "a.masks"])
def test_nothing_to_write_is_an_error_that_says_why(name: str, tmp_path: Path) -> None:
    with pytest.raises(SamdeskError, match=r"none of the annotations fits.*Region\*"):
        write(tmp_path / name, table(Annotation(Shape.box(0, 0, 5, 5), class_name="Region*")), FACTS)
    assert not list(tmp_path.iterdir())
    with pytest.raises(SamdeskError, match="needs the size"):
        write(tmp_path / name, table())


def test_a_report_is_in_the_order_of_the_file_and_says_what_lies_elsewhere(tmp_path: Path) -> None:
    def box(x: float, side: float) -> dict[str, Any]:
        ring = [[x, 0], [x + side, 0], [x + side, side], [x, side], [x, 0]]
        return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}}

    broken: dict[str, Any] = {"type": "Feature", "geometry": None}
    features = [box(5, 0.0001), broken, box(5, 0.0001), box(5, 20), box(FACTS.width + 900, 20)]
    value = {"type": "FeatureCollection", "features": features}
    report = read(written(tmp_path / "a.geojson", value), FACTS).report
    assert [line.partition(":")[0] for line in report.skipped] == [f"features[{k}]" for k in range(3)]
    assert report.skipped[0].endswith("it is too small to have an area")
    assert "1 annotation outside the image: is it the one they belong to?" in report.notes
