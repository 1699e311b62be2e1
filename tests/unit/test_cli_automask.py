"""`samdesk automask` from arguments to GeoJSON, with the engine that needs no weights."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
import tifffile

from samdesk.cli.automask import add_arguments, run_automask
from samdesk.domain.columns import Annotation
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Shape
from samdesk.engines.automask import AutomaskOptions
from samdesk.formats.geojson import read_geojson, write_geojson

COMMON = ["--engine", "classical", "--points-per-side", "6", "--pred-iou-thresh", "0.3"]
COMMON += ["--stability-score-thresh", "0.3"]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Two bright discs of 20 px on a dark ground."""
    pixels = np.full((120, 240), 50, np.uint8)
    for x in (60, 180):
        cv2.circle(pixels, (x, 60), 20, 210, -1)
    noisy = pixels + np.random.default_rng(0).normal(0, 3, pixels.shape)
    path = tmp_path / "picture.tif"
    tifffile.imwrite(path, noisy.clip(0, 255).astype(np.uint8), photometric="minisblack")
    return path


def run(*arguments: str | Path) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert run_automask(parser.parse_args([str(one) for one in arguments])) == 0


def discs_in(path: Path) -> set[int]:
    """Which of the two discs are among the annotations of a file."""
    found = set()
    for one in read_geojson(path).table.annotations():
        assert one.class_name == "Cell"
        assert 0 <= one.measurements["Score"] <= 1
        for k, x in enumerate((60.5, 180.5)):
            disc = shapely.Point(x, 60.5).buffer(20)
            shape = one.shape.to_shapely()
            if disc.intersection(shape).area > 0.85 * disc.union(shape).area:
                found.add(k)
    return found


def test_objects_are_written(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.geojson"
    run(picture, *COMMON, "--class", "Cell", "--out", out)
    assert discs_in(out) == {0, 1}
    told = capsys.readouterr().err
    assert "Asked 0 of 36 points" in told
    assert f"objects written to {out}" in told


def test_a_region_and_an_annotation(picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.geojson"
    run(picture, *COMMON, "--class", "Cell", "--out", out, "--region", "120,0,120,120")
    assert discs_in(out) == {1}
    area = tmp_path / "area.geojson"
    write_geojson(area, [Annotation(Shape.from_shapely(shapely.box(10, 10, 110, 110)))])
    run(picture, *COMMON, "--class", "Cell", "--out", out, "--inside", area)
    assert discs_in(out) == {0}


def test_defaults_are_those_of_the_options() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    given = vars(parser.parse_args(["image.tif", "--out", "out.geojson"]))
    chosen = {name: given[name] for name in AutomaskOptions.__dataclass_fields__ if given[name] is not None}
    assert AutomaskOptions(**chosen) == AutomaskOptions()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--points-per-side", "0"], "points_per_side"),
        (["--output", "nice"], "nice"),
        (["--region", "900,900,10,10"], "outside"),
        (["--inside", "nowhere.geojson"], "nowhere"),
    ],
)
def test_what_makes_no_sense_is_told(picture: Path, tmp_path: Path, arguments: list[str], word: str) -> None:
    out = tmp_path / "out.geojson"
    with pytest.raises(SamdeskError, match=word):
        run(picture, "--engine", "classical", "--out", out, *arguments)
    assert not out.exists()
