"""`samdesk convert`: formats into each other, with the report on standard error."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from samdesk.cli import main
from samdesk.domain.columns import Annotation, Table
from samdesk.domain.geometry import Shape
from samdesk.formats.exchange import ImageFacts, read, write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    cv2.imwrite(str(tmp_path / "a.png"), np.full((80, 100, 3), 90, np.uint8))
    given = [Annotation(Shape.box(10, 10, 30, 20), class_name="Tumor"), Annotation(Shape.points([(5, 5)]))]
    write(tmp_path / "a.geojson", Table.from_annotations(given))
    return tmp_path


def test_there_and_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = ["--image", str(folder / "a.png")]
    assert main(["convert", str(folder / "a.geojson"), str(folder / "a.json"), "--to", "coco", *image]) == 0
    told = capsys.readouterr().err
    assert "2 annotations read." in told
    assert "1 annotation without an area" in told
    assert main(["convert", str(folder / "a.json"), str(folder / "b.geojson"), *image]) == 0
    (one,) = read(folder / "b.geojson").table.annotations()
    assert (one.class_name, one.shape.area) == ("Tumor", 200)


def test_a_smaller_label_image(folder: Path) -> None:
    target, image = folder / "a.labels.tif", ["--image", str(folder / "a.png")]
    assert main(["convert", str(folder / "a.geojson"), str(target), *image, "--downsample", "2"]) == 0
    assert len(read(target, ImageFacts("a.png", 100, 80)).table) == 1


def test_what_cannot_be_converted_says_why(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for given, why in (
        (["a.geojson", "b.txt"], "needs the size of the image"),
        (["a.geojson", "b.docx"], "no known ending"),
        (["none.json", "b.geojson"], "does not exist"),
    ):
        assert main(["convert", *(str(folder / name) for name in given)]) == 1
        assert why in capsys.readouterr().err
    (folder / "bad.txt").write_text("0 0.1\n")
    assert main(["convert", str(folder / "bad.txt"), str(folder / "c.geojson")]) == 1
    assert not (folder / "c.geojson").exists()
