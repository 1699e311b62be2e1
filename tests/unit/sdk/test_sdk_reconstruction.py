"""Annotations to 3D objects: the picture, what is told before, the run in a real worker, what stays."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
import tifffile
import trimesh
from plyfile import PlyData

import samdesk.recon.turntable
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane, Region, Shape
from samdesk.domain.tasks import Cancelled, Progress, Task
from samdesk.recon.client import RunResult, Worker, WorkerError
from samdesk.recon.engines import RECON_ENGINES, ReconSpec, WorkerSpec
from samdesk.recon.options import ReconOptions
from samdesk.recon.pose import Camera
from samdesk.recon.splat import read_splats
from samdesk.recon.turntable import turntable
from samdesk.sdk import Image, open_image
from samdesk.sdk.reconstruction import (
    FILES,
    PROVENANCE,
    Batch,
    Item,
    Order,
    Picture,
    Reconstruction,
    Row,
    Times,
    finished,
    is_done,
    is_prepared,
    judge,
    load,
    mask_of,
    name_item,
    picture_of,
    preflight,
    prepare,
    publish,
    read_description,
    reconstruct,
    record,
    region_around,
    wanted,
    write_scene,
    write_times,
)
from samdesk.sdk.reconstruction.scratch import scratch_folder

ROOT = Path(__file__).parents[3]
SPEC = ReconSpec("picky", "Picky", "Picky (a stand-in)", "", "", margin=0.1, max_side=100,
                 options=frozenset({"seed", "splat", "mesh", "layout"}))  # fmt: skip
OPTIONS = ReconOptions()
RED, BLUE = (200, 30, 40), (10, 40, 220)


def disc(x: float, y: float, radius: float, steps: int = 90) -> Shape:
    turn = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    return Shape.polygon(np.stack((x + radius * np.cos(turn), y + radius * np.sin(turn)), 1))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """400 × 300 px, blue, with a red box on pixels 40..80 × 60..120."""
    pixels = np.empty((300, 400, 3), np.uint8)
    pixels[:] = BLUE
    pixels[60:120, 40:80] = RED
    path = tmp_path_factory.mktemp("image") / "image.png"
    PIL.Image.fromarray(pixels).save(path)
    opened = open_image(path)
    yield opened
    opened.close()


# the picture


@pytest.mark.parametrize("max_side", [1000, 72, 24, 50, 37])
def test_mask_and_pixels_agree_at_every_scale(image: Image, max_side: int) -> None:
    spec = replace(SPEC, max_side=max_side)
    box = Shape.box(40, 60, 80, 120)
    picture = picture_of(image, [box], spec)
    region = picture.region
    assert region == region_around(image.size, [box], spec)
    assert (region.x, region.y) == (32, 52)
    assert max(region.width, region.height) == min(max_side, 76)
    assert picture.pixels.shape == (region.height, region.width, 3)
    mask = mask_of(picture, box)
    whole = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
    beyond = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
    assert (picture.pixels[whole] == RED).all()
    assert (picture.pixels[beyond] == BLUE).all()
    # a pixel is of the object when more than half of it is red
    redness = (picture.pixels[..., 0].astype(float) - BLUE[0]) / (RED[0] - BLUE[0])
    clear = np.abs(redness - 0.5) > 0.27
    assert ((redness > 0.5) == mask)[clear].all()


def test_a_whole_scale_is_exact(image: Image) -> None:
    box = Shape.box(40, 60, 80, 120)
    picture = picture_of(image, [box], replace(SPEC, max_side=38))
    assert picture.region == Region(32, 52, 28, 38, 2.0)
    mask = mask_of(picture, box)
    assert np.argwhere(mask).min(0).tolist() == [4, 4]
    assert mask.sum() == 20 * 30
    assert (picture.pixels[mask] == RED).all()
    assert (picture.pixels[~mask] == BLUE).all()


def test_an_outline_lands_within_half_a_pixel() -> None:
    size = (5000, 4000)
    shape = disc(1234.56, 2345.67, 321.0)
    region = region_around(size, [shape], SPEC)
    picture = Picture(np.zeros((region.height, region.width, 3), np.uint8), region, Plane(), "", "", Path())
    mask = mask_of(picture, shape)
    rows, columns = np.nonzero(mask)
    middle = region.to_image(np.array([[columns.mean() + 0.5, rows.mean() + 0.5]]))[0]
    assert np.abs(middle - shape.centroid).max() < 0.02 * region.downsample
    assert mask.sum() * region.downsample**2 == pytest.approx(shape.area, rel=2e-3)
    low = region.to_image(np.array([[columns.min(), rows.min()]]))[0]
    assert np.abs(low - shape.bounds[:2]).max() <= 0.5 * region.downsample


def test_the_picture_of_several_holds_all_and_stays_in_the_image() -> None:
    shapes = [disc(5, 50, 20), disc(390, 290, 30), Shape.points([(200, 200)])]
    region = region_around((400, 300), shapes, SPEC)
    assert (region.x, region.y) == (0, 0)
    assert region.downsample == 4.0
    assert (region.width, region.height) == (100, 75)
    assert region.bounds == Bounds(0, 0, 400, 300)


def test_a_turned_photograph_is_shown_upright(tmp_path: Path) -> None:
    stored = np.zeros((80, 120, 3), np.uint8)
    stored[10:30, 90:110] = (255, 255, 255)
    path = tmp_path / "turned.jpg"
    exif = PIL.Image.Exif()
    exif[274] = 6  # a quarter turn to the right puts it upright
    PIL.Image.fromarray(stored).save(path, exif=exif, quality=95)
    opened = open_image(path)
    try:
        assert opened.size == (80, 120)
        box = Shape.box(50, 90, 70, 110)
        picture = picture_of(opened, [box], SPEC)
        inside = cv2.erode(mask_of(picture, box).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        beyond = cv2.dilate(mask_of(picture, box).astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
        assert picture.pixels[inside].min() > 200
        assert picture.pixels[beyond].max() < 50
    finally:
        opened.close()


def test_the_plane_of_the_outline_is_shown(tmp_path: Path) -> None:
    stack = np.zeros((3, 64, 64), np.uint8)
    stack[1, 20:40, 20:40] = 255
    tifffile.imwrite(tmp_path / "stack.ome.tif", stack, metadata={"axes": "ZYX"}, photometric="minisblack")
    opened = open_image(tmp_path / "stack.ome.tif")
    try:
        box = Shape.box(20, 20, 40, 40)
        shown = [picture_of(opened, [box], SPEC, Plane(z)).pixels.max() for z in range(3)]
        assert shown[1] > shown[0] == shown[2]
        assert picture_of(opened, [box], SPEC, Plane(1)).plane == Plane(1)
    finally:
        opened.close()


# before the run


def findings(size: tuple[int, int], shape: Shape, spec: ReconSpec = SPEC) -> list[tuple[str, str]]:
    return [(one.level, one.text) for one in judge(size, [shape], spec).findings]


def test_nothing_is_said_of_a_good_outline() -> None:
    spec = replace(SPEC, max_side=1000)
    found = judge((2000, 1500), [disc(800, 700, 200)], spec, 12.5)
    assert found.ok
    assert not found.findings
    assert found.seconds == 12.5
    assert (found.width, found.height, found.downsample) == (480, 480, 1.0)
    assert found.crop == Bounds(560, 460, 1040, 940)


@pytest.mark.parametrize(
    ("shape", "level", "words"),
    [
        (Shape.empty(), "error", "no area"),
        (Shape.points([(5, 5)]), "error", "no area"),
        (disc(5000, 50, 20), "error", "outside"),
        (Shape.box(100.6, 100.6, 101.4, 150), "error", "smaller than a pixel"),
        (disc(700, 700, 20), "warning", "only 40 × 40 px"),
        (disc(199, 700, 200), "warning", "border"),
        (Shape.from_parts([[disc(300, 300, 90).coords], [disc(700, 700, 90).coords]]), "warning", "2 parts"),
        (Shape.polygon(disc(700, 700, 200).coords, [disc(700, 700, 90).coords]), "info", "hole"),
    ],
)
def test_what_may_go_wrong_is_said(shape: Shape, level: str, words: str) -> None:
    found = judge((1600, 1500), [shape], replace(SPEC, max_side=1000))
    assert found.ok == (level != "error")
    assert [one.level for one in found.findings if words in one.text] == [level]
    assert len(found.findings) == 1


def test_the_scale_is_said() -> None:
    found = judge((9000, 9000), [disc(4000, 4000, 150)], SPEC)
    assert [one.level for one in found.findings] == ["info"]
    assert "360 × 360 px of the image are reduced to 100 × 100 px (1 : 3.6)" in found.findings[0].text
    assert judge((9000, 9000), [disc(4000, 4000, 1500)], SPEC).findings[0].level == "warning"


def test_specks_and_pinholes_do_not_count() -> None:
    speck = Shape.from_parts([[disc(300, 300, 90).coords], [disc(450, 300, 2).coords]])
    assert not findings((1600, 1500), speck, replace(SPEC, max_side=1000))
    pinhole = Shape.polygon(disc(700, 700, 200).coords, [disc(700, 700, 4).coords])
    assert not findings((1600, 1500), pinhole, replace(SPEC, max_side=1000))


def test_a_thin_large_outline_is_no_speck() -> None:
    thin = Shape.polygon([(100, 100), (1400, 1390), (1400, 1391.5), (100, 101.5)])
    assert judge((1600, 1500), [thin], replace(SPEC, max_side=2000)).ok


def test_several_objects_are_told_apart(image: Image) -> None:
    found = preflight(image, [disc(100, 150, 50), disc(300, 150, 4)], replace(SPEC, max_side=1000))
    assert [one.text for one in found.findings if one.text.startswith("Object 2")] == [
        "Object 2 is only 8 × 8 px large."
    ]


def test_an_engine_that_tells_no_place_is_told_of(image: Image) -> None:
    spec = replace(SPEC, max_side=1000, poses=False)
    one, two = disc(100, 150, 50), disc(300, 150, 50)
    (told,) = preflight(image, [one, two], spec).findings
    assert (told.level, told.text) == ("warning", "Picky does not tell where an object stands.")
    assert "side by side" in told.hint
    assert not preflight(image, [one], spec).findings
    assert not preflight(image, [one, two], replace(spec, poses=True)).findings
    assert [name for name, row in RECON_ENGINES.items() if not row.poses] == ["sam3dcpp"]


def test_what_is_expected_counts_loading(image: Image, tmp_path: Path) -> None:
    times = Times(tmp_path / "times.json")
    times.note("picky", 3.0, {"load": 10.0, "shape": 3.0})
    shapes = [disc(100, 150, 50), disc(300, 150, 50)]
    assert preflight(image, shapes, SPEC, times=times).seconds == 16.0
    assert preflight(image, shapes, SPEC, times=times, loaded=True).seconds == 6.0


# times


def test_durations_are_learnt(tmp_path: Path) -> None:
    times = Times(tmp_path / "3d" / "times.json")
    assert times.estimate("sam3d", 3) is None
    for seconds in (100.0, 10.0, 12.0):
        times.note("sam3d", seconds, {"shape": 1.0, "mesh": 3.0})
    other = Times(tmp_path / "3d" / "times.json")
    other.note("relief", 0.5, {"mesh": 0.5})
    times.note("sam3d", 12.0, {"shape": 1.0})
    again = Times(tmp_path / "3d" / "times.json")
    assert again.estimate("sam3d", 3) == 36.0
    assert again.estimate("relief", 2) == 1.0
    assert again.fraction("sam3d", "shape", 0.5) == pytest.approx(0.125)
    assert again.fraction("sam3d", "mesh", 1.0) == 1.0
    assert again.fraction("sam3d", "unheard of") is None


def test_loading_takes_its_time_once(tmp_path: Path) -> None:
    times = Times(tmp_path / "times.json")
    times.note("sam3d", 37.0, {"load": 81.0, "shape": 37.0})
    times.note("sam3d", 37.0, {"shape": 37.0})
    assert times.estimate("sam3d", 1) == 118.0
    assert times.estimate("sam3d", 3) == 192.0
    assert times.estimate("sam3d", 3, loaded=True) == 111.0
    assert times.estimate("sam3d", 0) == 0.0


def test_progress_begins_with_a_guess_and_never_goes_back(tmp_path: Path) -> None:
    times = Times(tmp_path / "times.json")
    stages = ("load", "depth", "shape", "look", "splat", "mesh")
    told = [times.fraction("new", stage, part) for stage in stages for part in (0.0, 0.5, 1.0)]
    assert told == sorted(told)
    assert told[:3] == [0.0, 0.0, 0.0]
    assert told[-1] == pytest.approx(0.9)
    assert times.fraction("new", "shape", first=False) == 0.0


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"a": 3}', '{"e": {"seconds": ["x", NaN, -1, 4], "stages": 1}}', "[" * 100_000,
     '{"relief": {"seconds": [1%s]}}' % ("0" * 400)],
)  # fmt: skip
def test_damaged_times_are_forgotten(tmp_path: Path, text: str) -> None:
    path = tmp_path / "times.json"
    path.write_text(text, "utf-8")
    times = Times(path)
    assert times.estimate("relief", 1) is None
    times.note("relief", 2.0, {})
    assert Times(path).estimate("relief", 1) == 2.0


def test_times_that_cannot_be_kept_are_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    times = Times(tmp_path / "file" / "times.json")
    times.note("relief", 2.0, {})
    assert times.estimate("relief", 2) == 4.0


# the job's folder


def test_a_job_folder_is_what_workers_read(image: Image, tmp_path: Path) -> None:
    shapes = [Shape.box(40, 60, 80, 120), disc(150, 100, 20)]
    picture = picture_of(image, shapes, SPEC)
    folder = tmp_path / "job"
    prepare(folder, picture, shapes)
    assert is_prepared(folder)
    shown = PIL.Image.open(folder / "image.png")
    assert shown.mode == "RGB"
    assert (np.asarray(shown) == picture.pixels).all()
    told = read_description(folder)
    for number, shape in enumerate(shapes):
        mask = PIL.Image.open(folder / str(number) / "mask.png")
        assert mask.mode == "L"
        values = np.asarray(mask)
        assert set(np.unique(values)) == {0, 255}
        assert ((values == 255) == mask_of(picture, shape)).all()
        assert told["masks"][number] == hashlib.sha256(values.tobytes()).hexdigest()
    assert told["image"]["sha256"] == hashlib.sha256(image.source.path.read_bytes()).hexdigest()
    assert told["image"]["crop_sha256"] == hashlib.sha256(np.asarray(shown).tobytes()).hexdigest()
    assert told["image"]["name"] == "image.png"
    assert Region(**told["region"]) == picture.region


def test_a_job_without_an_object_is_not_ready(image: Image, tmp_path: Path) -> None:
    shapes = [Shape.box(40, 60, 80, 120), Shape.box(90.6, 60, 90.9, 120)]
    picture = picture_of(image, shapes, SPEC)
    prepare(tmp_path / "job", picture, shapes[:1])
    with pytest.raises(SamdeskError, match="Object 2 covers no pixel"):
        prepare(tmp_path / "job", picture, shapes)
    assert not is_prepared(tmp_path / "job")
    with pytest.raises(SamdeskError):
        read_description(tmp_path / "job")


def test_a_folder_that_was_used_before_is_made_anew(worker: Worker, image: Image, tmp_path: Path) -> None:
    def made_of(*shapes: Shape) -> list[RunResult]:
        prepare(tmp_path / "job", picture_of(image, shapes, SPEC), shapes)
        done = reconstruct(worker, tmp_path / "job", len(shapes), OPTIONS)
        return [one for one in done if isinstance(one, RunResult)]

    first = made_of(Shape.box(20, 60, 80, 120), disc(150, 100, 40))
    assert [one.details["pointmap"] for one in first] == ["made", "found"]
    second = made_of(disc(150, 100, 40), Shape.box(20, 60, 80, 120))
    assert [one.details["pointmap"] for one in second] == ["made", "found"]
    assert second[0].details["runs"] == first[1].details["runs"] + 1
    assert second[0].pose == first[1].pose
    assert second[1].pose == first[0].pose != second[0].pose


def test_a_used_folder_that_cannot_be_cleared_is_told(image: Image, tmp_path: Path) -> None:
    (tmp_path / "job" / "picture.json").mkdir(parents=True)
    with pytest.raises(SamdeskError, match=r"picture\.json cannot be written"):
        prepare(tmp_path / "job", picture_of(image, SHAPES[:1], SPEC), SHAPES[:1])


# the run


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One process for all tests; it counts what it runs."""
    folders = (str(Path(__file__).parent), str(ROOT))
    log = tmp_path_factory.mktemp("worker") / "worker.log"
    made = Worker(WorkerSpec("picky", "recon_picky:Picky", path=folders), log)
    yield made
    made.close()


@pytest.fixture
def nobody(tmp_path: Path) -> Worker:
    """A worker that cannot start, for what must be done without one."""
    return Worker(WorkerSpec("picky", "recon_picky:Picky", tmp_path / "python"), tmp_path / "log")


SHAPES = [Shape.box(20, 60, 80, 120), Shape.box(200, 60, 205, 65), disc(330, 220, 40)]
"""Of which the second is too small for Picky."""


@pytest.fixture
def job(image: Image, tmp_path: Path) -> Path:
    picture = picture_of(image, SHAPES, replace(SPEC, max_side=400))
    prepare(tmp_path / "job", picture, SHAPES)
    return tmp_path / "job"


def test_all_objects_share_a_picture_and_one_failure_stops_nothing(
    worker: Worker, job: Path, tmp_path: Path
) -> None:
    heard: list[Progress] = []
    seen: list[tuple[int, str]] = []
    previews: list[int] = []
    times = Times(tmp_path / "times.json")
    outcomes = reconstruct(
        worker,
        job,
        3,
        OPTIONS,
        times=times,
        task=Task(heard.append),
        on_object=lambda number, outcome: seen.append((number, type(outcome).__name__)),
        on_preview=lambda number, path: previews.append(number),
    )
    first, second, third = outcomes
    assert isinstance(first, RunResult)
    assert isinstance(second, WorkerError)
    assert isinstance(third, RunResult)
    assert second.message == "The object is too small for Picky."
    assert seen == [(0, "RunResult"), (1, "WorkerError"), (2, "RunResult")]
    assert previews == [0, 2]
    assert (first.details["pointmap"], third.details["pointmap"]) == ("made", "found")
    assert first.files["splat"] == job / "0" / "splat.ply"
    fractions = [one.fraction for one in heard if one.fraction is not None]
    assert fractions == sorted(fractions)
    assert fractions[0] < 0.1
    assert fractions[-1] == 1.0
    assert any(one.message == "Finding the shape (3 of 3)" for one in heard)
    assert times.estimate("picky", 1) is not None


def test_what_is_done_is_not_made_again(worker: Worker, job: Path) -> None:
    task = Task()
    with pytest.raises(Cancelled):
        reconstruct(worker, job, 3, OPTIONS, task=task, on_object=lambda number, outcome: task.cancel())
    first, _, third = reconstruct(worker, job, 3, OPTIONS)
    assert isinstance(first, RunResult)
    assert isinstance(third, RunResult)
    once = first.details["runs"]
    assert third.details["runs"] == once + 1
    assert first.pose is not None
    assert first.camera == Camera("perspective", 40.0, 1.5)
    again = reconstruct(worker, job, 1, OPTIONS)[0]
    assert isinstance(again, RunResult)
    assert again.details["runs"] == once
    other = reconstruct(worker, job, 1, replace(OPTIONS, seed=7))[0]
    assert isinstance(other, RunResult)
    assert other.details["runs"] == once + 2
    other.files["mesh"].unlink()
    lost = reconstruct(worker, job, 1, replace(OPTIONS, seed=7))[0]
    assert isinstance(lost, RunResult)
    assert lost.details["runs"] == once + 3


def test_one_object_alone_needs_no_pointmap(worker: Worker, job: Path) -> None:
    (only,) = reconstruct(worker, job, 1, OPTIONS)
    assert isinstance(only, RunResult)
    assert only.details["pointmap"] == "none"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "[" * 100_000, '{"seconds": 1%s}' % ("0" * 400), '{"seconds": Infinity}',
     '{"seconds": -1}', '{"files": {}}', '{"files": [1]}', '{"pose": {"scale": 1}}', '{"camera": 3}',
     '{"details": 3}'],
)  # fmt: skip
def test_what_was_kept_and_is_damaged_is_made_again(
    result: RunResult, job: Path, made_in: Path, text: str
) -> None:
    shutil.copytree(made_in / "0", job / "0", dirs_exist_ok=True)
    assert finished(job, 0, "picky", OPTIONS) is not None
    kept = job / "0" / "result.json"
    change = json.loads(text) if text.startswith("{") else None
    kept.write_text(
        text if change is None else json.dumps({**json.loads(kept.read_text()), **change}), "utf-8"
    )
    assert finished(job, 0, "picky", OPTIONS) is None


def test_an_engine_that_is_not_there_is_asked_once(job: Path, nobody: Worker) -> None:
    outcomes = reconstruct(nobody, job, 3, OPTIONS)
    assert outcomes[0] is outcomes[1] is outcomes[2]
    assert isinstance(outcomes[0], WorkerError)
    assert outcomes[0].kind == "start"


# what stays


@pytest.fixture(scope="module")
def made_in(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `job`, in which the first object is made; nothing in it is changed."""
    folder = tmp_path_factory.mktemp("made") / "job"
    prepare(folder, picture_of(image, SHAPES, replace(SPEC, max_side=400)), SHAPES)
    return folder


@pytest.fixture(scope="module")
def result(worker: Worker, made_in: Path) -> RunResult:
    (only,) = reconstruct(worker, made_in, 1, OPTIONS)
    assert isinstance(only, RunResult)
    return only


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_reconstruction_is_published_whole(result: RunResult, job: Path, tmp_path: Path) -> None:
    who = uuid.uuid4()
    target = tmp_path / "objects" / "one"
    told = record(job, 0, SPEC, OPTIONS, result, who)
    formats = ["ply", "glb", "obj", "stl", "gif"]
    made = publish(result, target, formats, told, size_mm=80, job=job, number=0)
    assert names_in(target.parent) == {"one"}
    assert names_in(target) == {*FILES.values(), "mesh.mtl", PROVENANCE}
    assert (made.id, made.annotation, made.label) == ("one", who, "Picky (a stand-in)")
    splat = PlyData.read(target / "splat.ply")["vertex"]
    assert np.stack([splat[axis] for axis in "xyz"], 1).max(0).tolist() == [0.5, 0.5, 0.5]
    printed = trimesh.load(target / "mesh.stl")
    assert np.ptp(printed.vertices, 0).max() == pytest.approx(80)
    with PIL.Image.open(target / "turntable.gif") as turn:
        assert getattr(turn, "n_frames", 1) == 36
        assert turn.info["comment"].decode().startswith("Picky (a stand-in), made by samdesk")
    assert (np.asarray(PIL.Image.open(target / "mask.png")) > 0).any()
    # its obj and glb are y up, and the same thing
    for name in ("mesh.obj", "mesh.glb"):
        mesh = trimesh.load(target / name, force="mesh")
        top = mesh.vertices[mesh.vertices[:, 1].argmax()]
        assert top == pytest.approx([0, 0.5, 0], abs=1e-5)
    values = json.loads((target / PROVENANCE).read_text("utf-8"))
    assert values["image"]["name"] == "image.png"
    assert values["seed"] == 42
    assert values["size_mm"] == 80
    assert values["options"] == {"seed": 42, "splat": True, "mesh": True, "layout": True}
    assert values["units"] == "relative"
    assert values["version"] == "7"
    assert values["device"] == "stand-in"


def test_a_reconstruction_is_found_again(result: RunResult, job: Path, tmp_path: Path) -> None:
    made = publish(result, tmp_path / "one", ["ply"], record(job, 0, SPEC, OPTIONS, result), job=job)
    found = load(tmp_path / "one")
    assert found.files == made.files == {"splat": "splat.ply", "picture": "picture.png", "mask": "mask.png"}
    assert found.pose == made.pose == result.pose
    assert found.camera == result.camera
    assert found.provenance == made.provenance
    assert found.path("mesh") is None
    want = wanted(read_description(job), 0, SPEC, OPTIONS)
    assert is_done(tmp_path / "one", want, ["ply"]) is not None
    assert is_done(tmp_path / "one", want, ["ply", "glb"]) is None
    assert is_done(tmp_path / "two", want, ["ply"]) is None
    for other in (
        wanted(read_description(job), 2, SPEC, OPTIONS),
        wanted(read_description(job), 0, SPEC, replace(OPTIONS, seed=1)),
        wanted(read_description(job), 0, replace(SPEC, name="other"), OPTIONS),
        {**want, "plane": {"z": 1, "t": 0}},
    ):
        assert is_done(tmp_path / "one", other, ["ply"]) is None
    # options that the engine does not heed make no other object
    assert is_done(tmp_path / "one", wanted(read_description(job), 0, SPEC, replace(OPTIONS, texture=True)),
                   ["ply"]) is not None  # fmt: skip


def test_publishing_replaces_whole_or_not_at_all(result: RunResult, job: Path, tmp_path: Path) -> None:
    told = record(job, 0, SPEC, OPTIONS, result)
    target = tmp_path / "objects" / "one"
    publish(result, target, ["ply"], told)
    task = Task(lambda progress: task.cancel() if "GLB" in progress.message else None)
    with pytest.raises(Cancelled):
        publish(result, target, ["ply", "glb", "obj"], told, task=task)
    broken = replace(result, files={**result.files, "mesh": tmp_path / "gone.glb"})
    with pytest.raises(SamdeskError, match=r"gone\.glb cannot be read"):
        publish(broken, target, ["ply", "glb"], told)
    assert names_in(target.parent) == {"one"}
    assert names_in(target) == {"splat.ply", PROVENANCE}
    publish(result, target, ["glb"], told)
    assert names_in(target.parent) == {"one"}
    assert names_in(target) == {"mesh.glb", PROVENANCE}


def test_nothing_of_others_is_replaced(result: RunResult, job: Path, tmp_path: Path) -> None:
    told = record(job, 0, SPEC, OPTIONS, result)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("words", "utf-8")
    (tmp_path / "file").touch()
    for target in (tmp_path / "thesis", tmp_path / "file"):
        with pytest.raises(SamdeskError, match="holds no 3D object"):
            publish(result, target, ["ply"], told)
    assert names_in(tmp_path / "thesis") == {"chapter.txt"}
    with pytest.raises(SamdeskError, match="no format"):
        publish(result, tmp_path / "one", ["ply", "usdz"], told)
    flat = replace(result, files={"splat": result.files["splat"]})
    with pytest.raises(SamdeskError, match="made nothing that glb, stl could hold"):
        publish(flat, tmp_path / "one", ["glb", "stl"], told)
    assert not (tmp_path / "one").exists()


@pytest.mark.parametrize(
    "change",
    [{"schema": "other"}, {"files": {"splat": "../splat.ply"}}, {"files": {"splat": "/splat.ply"}},
     {"files": []}, {"pose": {"scale": 1}}, {"camera": {"kind": "fisheye"}}, {"seconds": "long"},
     {"seconds": 10**400}, {"seconds": float("inf")}, {"seconds": float("nan")}, {"seconds": -1},
     {"camera": {"kind": "parallel", "extent": 10**400, "aspect": 1}}],
)  # fmt: skip
def test_a_strange_provenance_is_refused(
    result: RunResult, job: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    made = publish(result, tmp_path / "one", ["ply"], record(job, 0, SPEC, OPTIONS, result))
    (made.folder / PROVENANCE).write_text(json.dumps({**made.to_json(), **change}), "utf-8")
    with pytest.raises(SamdeskError, match="does not describe a 3D object"):
        load(made.folder)


@pytest.mark.parametrize("text", ["", "[]", "3", "[" * 100_000, '{"a":' * 100_000, "\0", '{"schema": 1'])
def test_a_provenance_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / PROVENANCE).write_text(text, "utf-8")
    with pytest.raises(SamdeskError, match="does not describe a 3D object"):
        load(tmp_path)
    assert is_done(tmp_path, {}, []) is None


def test_unknown_members_survive(tmp_path: Path) -> None:
    values = {
        "schema": "samdesk reconstruction 1",
        "files": {},
        "engine": "e",
        "label": "E",
        "of_tomorrow": [1],
    }
    assert Reconstruction.from_json(values, tmp_path).to_json() == values


# scenes and batches


def corners(points: np.ndarray) -> np.ndarray:
    return np.array([points.min(0), points.max(0)])


def test_a_scene_puts_objects_where_they_stand(worker: Worker, job: Path, tmp_path: Path) -> None:
    outcomes = reconstruct(worker, job, 3, OPTIONS)
    made = [
        publish(one, tmp_path / f"{k}", ["ply", "glb"], record(job, k, SPEC, OPTIONS, one))
        for k, one in enumerate(outcomes)
        if isinstance(one, RunResult)
    ]
    files = write_scene(made, tmp_path)
    tetrahedron = read_splats(made[0].folder / "splat.ply").means
    expected = np.concatenate([one.pose.to_world(tetrahedron) for one in made if one.pose is not None])
    shown = read_splats(files["splat"]).means
    assert shown == pytest.approx(expected, abs=1e-4)
    # right in the picture is right in the world, further down is lower
    assert shown[4:, 0].mean() > shown[:4, 0].mean()
    assert shown[4:, 2].mean() < shown[:4, 2].mean()
    assert shown[:, 1].mean() == pytest.approx(5.0, abs=0.6)
    mesh = trimesh.load(files["mesh"], force="mesh")
    x, y, z = expected.T
    assert corners(mesh.vertices) == pytest.approx(corners(np.stack((x, z, -y), 1)), abs=1e-4)
    with pytest.raises(SamdeskError, match="does not tell where an object stands"):
        write_scene([made[0], replace(made[1], pose=None)], tmp_path)


def items(shapes: Sequence[Shape]) -> list[Item]:
    taken: set[str] = set()
    return [Item(name_item("Cell 3/4", shape, taken), shape, class_name="Cell") for shape in shapes]


@pytest.fixture
def batch(worker: Worker, image: Image, tmp_path: Path) -> Callable[..., Batch]:
    def make(by: Worker = worker, formats: Sequence[str] = ("ply", "glb"), **more: Any) -> Batch:
        order = Order(replace(SPEC, max_side=400), OPTIONS, formats, **more)
        return Batch(by, image, tmp_path / "out", order)

    return make


def test_a_batch_goes_on_where_it_stopped(batch: Callable[..., Batch], tmp_path: Path) -> None:
    shapes = [*SHAPES, disc(900, 900, 30)]
    rows = batch().each(iter(items(shapes)), len(shapes))
    assert [row.state for row in rows] == ["done", "failed", "done", "failed"]
    assert [row.error.split(".")[0] for row in rows if row.error] == [
        "The object is too small for Picky",
        "The object lies outside the image",
    ]
    assert names_in(tmp_path / "out") == {rows[0].object, rows[2].object}
    again = batch(skip_done=True).each(items(shapes[::-1]), len(shapes))
    assert [row.state for row in again] == ["failed", "skipped", "failed", "skipped"]
    assert {row.object for row in again} == {row.object for row in rows}
    assert again[1].seconds == rows[2].seconds
    write_times(tmp_path / "times.csv", again)
    with (tmp_path / "times.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["state"] for row in table] == ["failed", "skipped", "failed", "skipped"]
    assert float(table[1]["crop_x"]) == 282
    assert table[1]["engine"] == "Picky (a stand-in)"
    assert table[0]["seconds"] == ""


def test_what_the_engine_did_not_give_is_told(
    batch: Callable[..., Batch], worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "spec", replace(worker.spec, config={"only": "splat"}))
    (row,) = batch().each(items(SHAPES[:1]), 1)
    assert (row.state, row.error) == ("done", "The engine gave nothing for GLB.")
    assert set(load(tmp_path / "out" / row.object).files) == {"splat", "picture", "mask"}


def test_a_batch_makes_a_scene(batch: Callable[..., Batch], tmp_path: Path) -> None:
    shapes = [*SHAPES, disc(900, 900, 30)]
    rows, files = batch().scene(items(shapes))
    assert sorted(row.state for row in rows) == ["done", "done", "failed", "failed"]
    assert set(files) == {"splat", "mesh"}
    assert len(read_splats(tmp_path / "out" / "scene.ply")) == 8
    rows, again = batch(skip_done=True).scene(items([SHAPES[0], SHAPES[2]]))
    assert {row.state for row in rows} == {"skipped"}
    assert again == files
    rows, _ = batch(skip_done=True).scene(items([SHAPES[2]]))  # another picture
    assert {row.state for row in rows} == {"done"}
    assert len(read_splats(tmp_path / "out" / "scene.ply")) == 4
    with pytest.raises(SamdeskError, match="one plane"):
        batch().scene([*items(SHAPES), Item("far", SHAPES[0], Plane(1))])
    with pytest.raises(SamdeskError, match="outside the image"):
        batch().scene(items([disc(900, 900, 30)]))


THREE = [SHAPES[0], disc(200, 100, 30), SHAPES[2]]


def numbers_in(folder: Path) -> dict[str, int]:
    """How many objects the worker had begun with each of those that are there."""
    found = (load(path) for path in folder.iterdir() if path.is_dir())
    return {one.id: one.provenance["details"]["runs"] for one in found}


def test_a_stopped_scene_keeps_what_is_done(batch: Callable[..., Batch], tmp_path: Path) -> None:
    out = tmp_path / "out"
    mine = batch()
    told: list[Row] = []

    def last_but_one(row: Row) -> None:
        told.append(row)
        if len(told) == 2:
            mine.task.cancel()

    mine.on_row = last_but_one
    with pytest.raises(Cancelled):
        mine.scene(items(THREE))
    kept = numbers_in(out)
    assert names_in(out) == {row.object for row in told} == kept.keys()
    assert len(kept) == 2
    rows, files = batch(skip_done=True).scene(items(THREE))
    assert [row.state for row in rows] == ["skipped", "skipped", "done"]
    assert numbers_in(out) == {**kept, rows[2].object: max(kept.values()) + 1}
    pieced = read_splats(files["splat"]).means
    _, files = batch().scene(items(THREE))
    assert pieced == pytest.approx(read_splats(files["splat"]).means)


def test_only_what_lacks_of_a_scene_is_made(
    batch: Callable[..., Batch], nobody: Worker, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first, files = batch().scene(items(THREE))
    before = numbers_in(out)
    for name in ("scene.glb", "scene.json"):
        (out / name).unlink()
        rows, again = batch(nobody, skip_done=True).scene(items(THREE))
        assert [row.state for row in rows] == ["skipped"] * 3
        assert again == files
        assert (out / name).is_file()
    (out / "scene.json").write_text("[" * 100_000, "utf-8")
    assert batch(nobody, skip_done=True).scene(items(THREE))[1] == files
    json.loads((out / "scene.json").read_text("utf-8"))
    shutil.rmtree(out / first[1].object)
    rows, _ = batch(skip_done=True).scene(items(THREE))
    assert [(row.object, row.state) for row in rows] == [
        (first[0].object, "skipped"),
        (first[2].object, "skipped"),
        (first[1].object, "done"),
    ]
    assert numbers_in(out) == {**before, first[1].object: max(before.values()) + 1}
    told = json.loads((out / "scene.json").read_text("utf-8"))
    assert [one["id"] for one in told["objects"]] == [row.object for row in first]


def test_a_scene_that_does_not_turn_yet_is_made_to(
    batch: Callable[..., Batch], nobody: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samdesk.recon.turntable, "turntable", partial(turntable, side=40, frames=3))
    alone = items(SHAPES[2:])
    batch(formats=("ply", "gif")).each(alone, 1)
    write_scene([load(tmp_path / "out" / alone[0].name)], tmp_path / "out")
    _, files = batch(nobody, ("ply", "gif"), skip_done=True).scene(alone)
    assert set(files) == {"splat", "gif"}


def test_the_progress_of_a_scene_only_grows(batch: Callable[..., Batch]) -> None:
    heard: list[Progress] = []
    mine = batch()
    mine.task = Task(heard.append)
    mine.scene(items(THREE))
    fractions = [one.fraction for one in heard if one.fraction is not None]
    assert fractions == sorted(fractions)
    assert {"Writing GLB", "Putting the scene together"} <= {one.message for one in heard}


def test_no_scene_without_places(batch: Callable[..., Batch], nobody: Worker, tmp_path: Path) -> None:
    mine = batch(nobody)
    mine.order = replace(mine.order, spec=replace(mine.order.spec, poses=False))
    for act in (mine.scene, lambda some: list(mine.plan(some, together=True))):
        with pytest.raises(SamdeskError, match="Picky does not tell where an object stands") as error:
            act(items(THREE))
        assert "one by one" in error.value.hint
    assert not (tmp_path / "out").exists()


def test_only_the_first_is_expected_to_wait_for_loading(
    batch: Callable[..., Batch], nobody: Worker, tmp_path: Path
) -> None:
    mine = batch(nobody)
    mine.times = Times(tmp_path / "times.json")
    mine.times.note("picky", 3.0, {"load": 10.0})
    assert [found.seconds for _, found in mine.plan(items(THREE))] == [13.0, 3.0, 3.0]
    assert [found.seconds for _, found in mine.plan(items(THREE), together=True)] == [19.0]


def test_what_a_killed_process_left_is_cleared(
    batch: Callable[..., Batch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    program = (
        "import sys\n"
        "from samdesk.sdk.reconstruction.scratch import scratch_folder\n"
        "with scratch_folder() as folder:\n"
        "    (folder / '0').mkdir()\n"
        "    print(folder, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    surroundings = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=surroundings, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        left = Path(other.stdout.readline().strip())
        (place / "samdesk-3d-of-nobody").mkdir()
        (place / "samdesk-3d-elsewhere").symlink_to(tmp_path)
        (tmp_path / ".lock").write_text("mine", "utf-8")
        os.utime(left, (0, 0))
        batch().each(items(SHAPES[:1]), 1)
        assert (left / "0").is_dir()
        other.kill()
    with scratch_folder() as mine:
        os.utime(mine, (0, 0))
        batch().each(items(SHAPES[2:]), 1)
        assert names_in(place) == {"samdesk-3d-of-nobody", "samdesk-3d-elsewhere", mine.name}
    assert names_in(place) == {"samdesk-3d-of-nobody", "samdesk-3d-elsewhere"}
    assert (tmp_path / ".lock").read_text("utf-8") == "mine"


def test_a_cancelled_batch_leaves_whole_objects_only(batch: Callable[..., Batch], tmp_path: Path) -> None:
    mine = batch()
    mine.on_row = lambda row: mine.task.cancel()
    with pytest.raises(Cancelled):
        mine.each(items(SHAPES), 3)
    (only,) = (tmp_path / "out").iterdir()
    assert load(only).path("mesh") is not None


def test_names_of_objects() -> None:
    taken: set[str] = set()
    one, two = disc(5, 5, 3), disc(9, 5, 3)
    first = name_item("Röhre 3/4: ../x", one, taken)
    assert first.startswith("Röhre-3-4-x-")
    assert name_item("Röhre 3/4: ../x", one, taken) == f"{first}-2"
    assert name_item("Röhre 3/4: ../x", two, taken) != first
    assert name_item("...", one, taken).startswith("object-")
    assert len(name_item("x" * 300, one, taken)) < 60
    assert name_item("a", one, set()) == name_item("a", one, set())
