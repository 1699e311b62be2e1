"""`samdesk measure`: a table of outlines and pixels, as the window exports it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile

from samdesk.cli import main
from samdesk.domain.columns import Annotation
from samdesk.domain.geometry import Shape
from samdesk.formats.geojson import write_geojson


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, np.ndarray]:
    gray = np.random.default_rng(0).integers(0, 60_000, (100, 120), np.uint16)
    image, annotations = tmp_path / "cells.ome.tif", tmp_path / "cells.geojson"
    size = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}
    tifffile.imwrite(image, gray, ome=True, metadata={"axes": "YX", **size, "Channel": {"Name": ["DAPI"]}})
    shapes = [Shape.box(10, 20, 30, 60), Shape.points([(3, 4)])]
    write_geojson(annotations, [Annotation(shape, class_name="Tumor") for shape in shapes])
    return image, annotations, gray


def test_outlines_are_measured_in_the_unit_of_the_image(
    files: tuple[Path, Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.csv"
    assert main(["measure", str(files[0]), str(files[1]), "--out", str(out)]) == 0
    with out.open(encoding="utf-8", newline="") as file:
        square, point = csv.DictReader(file)
    assert square["Image"] == "cells.ome.tif"
    assert square["Classification"] == "Tumor"
    assert [square[f"{name} µm"] for name in ("Centroid X", "Perimeter", "Bounds height")] == [
        "10",
        "40",
        "10",
    ]
    assert square["Area µm^2"] == "100"
    assert (point["Centroid X µm"], point["Area µm^2"]) == ("1.5", "")
    assert "2 annotations written to" in capsys.readouterr().err


def test_pixels_are_measured_if_wanted(files: tuple[Path, Path, np.ndarray], tmp_path: Path) -> None:
    out = tmp_path / "out.tsv"
    assert main(["measure", str(files[0]), str(files[1]), "--out", str(out), "--intensity"]) == 0
    with out.open(encoding="utf-8", newline="") as file:
        square, point = csv.DictReader(file, delimiter="\t")
    inside = files[2][20:60, 10:30].astype(np.float64)
    assert float(square["Mean: DAPI"]) == pytest.approx(inside.mean())
    assert float(square["Std: DAPI"]) == pytest.approx(inside.std())
    assert point["Mean: DAPI"] == ""


def test_what_makes_no_sense_is_refused(
    files: tuple[Path, Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out.csv")]
    assert main(["measure", str(files[0]), str(files[1]), *out, "--downsample", "0"]) == 1
    assert main(["measure", str(files[0]), str(tmp_path / "none.geojson"), *out]) == 1
    assert "does not exist" in capsys.readouterr().err
