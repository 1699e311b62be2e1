"""The commands as a user starts them, in processes of their own, and the notebook's words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import geojson
import numpy as np
import pytest
from PySide6.QtGui import QImage

import samdesk
from samdesk.domain.outline import iou
from samdesk.images.sample import Slide


def run(home: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "samdesk", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SAMDESK_HOME": str(home), **environment},
    )


def nucleus(slide: Slide, x: float, y: float) -> samdesk.Shape:
    return min(slide.nuclei, key=lambda n: np.hypot(n.centroid[0] - x, n.centroid[1] - y))


def test_segment_writes_what_was_asked_for(home: Path, slide: Slide, tmp_path: Path) -> None:
    one, two = nucleus(slide, 2000, 2500), nucleus(slide, 5000, 6000)
    points = [f"--point={x},{y}" for x, y in (one.centroid, two.centroid)]
    target = tmp_path / "out.geojson"
    done = run(home, "segment", slide.path, *points, "--each", "--class", "Tumor", "--out", target)
    assert done.returncode == 0, done.stderr
    assert "Classical (no model)" in done.stderr
    collection = geojson.loads(target.read_text("utf-8"))
    assert collection.is_valid
    assert {f["properties"]["classification"]["name"] for f in collection["features"]} == {"Tumor"}
    found = [a.shape for a in samdesk.read_geojson(target).table.annotations()]
    assert iou(found[0], one) > 0.85
    assert iou(found[1], two) > 0.85


def test_segment_further_away_by_micrometres(home: Path, slide: Slide, tmp_path: Path) -> None:
    gland = slide.glands[0]
    box = ",".join(f"{v:.1f}" for v in gland.bounds.expanded(30))
    done = run(home, "segment", slide.path, f"--box={box}", "--level-um", 1, "--out", "-")
    assert done.returncode == 0, done.stderr
    (feature,) = json.loads(done.stdout)["features"]
    assert feature["properties"]["samdesk"]["downsample"] == 4
    (tmp_path / "a.json").write_text(done.stdout, "utf-8")
    (found,) = samdesk.read_geojson(tmp_path / "a.json").table.annotations()
    assert iou(found.shape, gland) > 0.9


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--point=99999,5"], "outside the image"),
        (["--box=9000,9000,9900,9900"], "outside the image"),
        (["--point=5,5", "--z", "3"], "no plane z 3"),
        (["--point=5,5", "--engine", "magic"], "no engine named"),
        ([], "no prompt"),
    ],
)
def test_segment_refuses_with_a_message(
    home: Path, slide: Slide, tmp_path: Path, arguments: list[str], told: str
) -> None:
    done = run(home, "segment", slide.path, *arguments, "--out", tmp_path / "out.geojson")
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.geojson").exists()


def test_info_tells_the_facts(home: Path, slide: Slide) -> None:
    done = run(home, "info", slide.path, "--json")
    facts = json.loads(done.stdout)
    assert facts["size"] == f"{slide.side} × {slide.side} px"
    assert facts["pixel size"] == "0.25 × 0.25 µm"


def test_version(home: Path) -> None:
    assert run(home, "--version").stdout.strip() == f"samdesk {samdesk.__version__}"


def test_the_demo_does_the_main_job_without_a_display(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    out.mkdir()
    for left in ("report.json", "slide.geojson", "window.png"):
        (out / left).write_text("of an earlier run")
    done = run(home, "demo", "--out", out, DISPLAY="", WAYLAND_DISPLAY="", QT_QPA_PLATFORM="")
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert set(report["images"]) == {"coins", "cell", "ihc", "coffee", "retina", "slide"}
    known = [row["iou"] for row in report["images"]["slide"]]
    assert len(known) == 10
    assert min(known) > 0.85
    assert any(row["holes"] for row in report["images"]["slide"])
    for name, rows in report["images"].items():
        collection = geojson.loads((out / f"{name}.geojson").read_text("utf-8"))
        assert len(collection["features"]) == len(rows) >= 1
        assert collection.is_valid
    picture = QImage(str(out / "window.png"))
    assert (picture.width(), picture.height()) == (1400, 900)
    for written in ("report.json", "window.png", "slide.geojson"):
        assert str(out / written) in done.stdout


def test_the_demo_says_where_it_cannot_write(home: Path, tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.touch()
    done = run(home, "demo", "--out", occupied)
    assert done.returncode == 1
    assert str(occupied) in done.stderr


def test_the_notebooks_words(slide: Slide, tmp_path: Path) -> None:
    truth = nucleus(slide, 4200, 1500)
    image = samdesk.open_image(slide.path)
    segmenter = samdesk.load_segmenter("classical")
    best = segmenter.segment(image, samdesk.Prompts(points=(samdesk.PointPrompt(*truth.centroid),)))[0]
    document = samdesk.Document()
    document.apply(document.adding([samdesk.Annotation(best.shape, class_name="Tumor")]))
    assert samdesk.write_geojson(tmp_path / "a.geojson", document) == 1
    image.close()
    (back,) = samdesk.read_geojson(tmp_path / "a.geojson").table.annotations()
    assert iou(back.shape, truth) > 0.85
