"""`samdesk make3d`: which objects are meant, what the engine is told, and what is left on the disk."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import trimesh
from numpy.typing import NDArray

from samdesk.cli.make3d import add_arguments, run_make3d
from samdesk.cli.make3d.arguments import config_of, order_of, refuse_unset
from samdesk.cli.make3d.objects import read_labels, read_mask
from samdesk.domain.columns import Annotation
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane, Region, Shape
from samdesk.formats.geojson import write_geojson
from samdesk.recon.engines import recon_spec
from samdesk.sdk import Image, Segmenter, open_image
from samdesk.sdk.reconstruction import load
from tests.fakes import FakeEngine

SIZE = (120, 160)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Two bright discs on a dark ground."""
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.where(truth()[..., None], (40, 120, 230), (20, 20, 20)).astype(np.uint8))
    return path


def truth(*, second: bool = True) -> NDArray[np.bool_]:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    one = (x - 45) ** 2 + (y - 60) ** 2 < 30**2
    return one | ((x - 120) ** 2 + (y - 60) ** 2 < 20**2) if second else one


@pytest.fixture
def image(picture: Path) -> Iterator[Image]:
    opened = open_image(picture)
    yield opened
    opened.close()


def parsed(*arguments: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(one) for one in arguments])


def run(*arguments: object, **more: Any) -> int:
    return run_make3d(parsed(*arguments), **more)


@pytest.fixture
def planned(picture: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """The objects that would be made."""

    def plan(*arguments: object, **more: Any) -> list[str]:
        run(picture, *arguments, "--dry-run", **more)
        told = capsys.readouterr().out.splitlines()
        return [line.split(":")[0] for line in told if not line.startswith(" ")]

    return plan


# masks

WHITE = np.uint8(255)


def written(path: Path, pixels: NDArray[Any]) -> Path:
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels)
    else:
        cv2.imwrite(str(path), pixels)
    return path


MASKS: dict[str, tuple[str, Callable[[NDArray[np.bool_]], NDArray[Any]]]] = {
    "white": ("m.png", lambda mask: mask * WHITE),
    "ones": ("m.png", lambda mask: mask.astype(np.uint8)),
    "gray of two": ("m.png", lambda mask: mask * np.uint8(128)),
    "color": ("m.png", lambda mask: np.stack((mask * np.uint8(0), mask * WHITE, mask * np.uint8(9)), 2)),
    "opaque": ("m.png", lambda mask: np.stack((*(np.full(SIZE, 77, np.uint8),) * 3, mask * WHITE), 2)),
    "no transparency": ("m.png", lambda mask: np.stack((*(mask * WHITE,) * 3, np.full(SIZE, WHITE)), 2)),
    "soft": ("m.png", lambda mask: cv2.GaussianBlur(mask * WHITE, (5, 5), 0)),
    "labels": ("m.png", lambda mask: mask * (1 + np.mgrid[: SIZE[0], : SIZE[1]][1] // 60).astype(np.uint8)),
    "16 bit": ("m.tif", lambda mask: mask * np.uint16(65535)),
    "float": ("m.tif", lambda mask: mask.astype(np.float32)),
    "of truth": ("m.tif", lambda mask: mask),
    "a page": ("m.tif", lambda mask: (mask * WHITE)[None]),
}


@pytest.mark.parametrize("kind", MASKS)
def test_masks_of_every_kind(image: Image, tmp_path: Path, kind: str) -> None:
    name, make = MASKS[kind]
    mask = read_mask(written(tmp_path / name, make(truth())), image)
    assert mask.dtype == np.bool_
    # the contour of a soft mask may turn a pixel here and there
    assert (mask != truth()).sum() <= (40 if kind == "soft" else 0)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros(SIZE, np.uint8), "black everywhere"),
        (np.ones((160, 120), np.uint8), "turned on its side"),
        (np.ones((60, 80), np.uint8), "80 × 60 px, picture.png is 160 × 120 px"),
    ],
)
def test_masks_that_do_not_fit(image: Image, tmp_path: Path, pixels: NDArray[Any], words: str) -> None:
    with pytest.raises(SamdeskError, match=words):
        read_mask(written(tmp_path / "m.png", pixels), image)


@pytest.mark.parametrize("data", [b"", b"words", b"II*\0 and then nothing", b"\x89PNG\r\n\x1a\n"])
def test_masks_that_are_none(image: Image, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.png").write_bytes(data)
    with pytest.raises(SamdeskError, match=r"m\.png cannot be read"):
        read_mask(tmp_path / "m.png", image)
    with pytest.raises(SamdeskError, match=r"gone\.png cannot be read: it does not exist"):
        read_mask(tmp_path / "gone.png", image)


def test_labels(image: Image, tmp_path: Path, planned: Callable[..., list[str]]) -> None:
    labels = truth() * np.where(np.mgrid[: SIZE[0], : SIZE[1]][1] < 80, 7, 70_000).astype(np.int32)
    path = written(tmp_path / "cells.tif", labels)
    assert [name.rsplit("-", 1)[0] for name in planned("--labels", path)] == ["cells-7", "cells-70000"]
    assert planned("--labels", path, "--largest", 1)[0].startswith("cells-7-")
    with pytest.raises(SamdeskError, match="not a label image"):
        read_labels(written(tmp_path / "rgb.png", np.ones((*SIZE, 3), np.uint8)), image)
    with pytest.raises(SamdeskError, match="holds no label"):
        read_labels(written(tmp_path / "none.png", np.zeros(SIZE, np.uint8)), image)


# outlines and words


def cells(path: Path) -> Path:
    write_geojson(
        path,
        [
            Annotation(Shape.box(20, 30, 60, 80), class_name="Tumor"),
            Annotation(Shape.box(100, 40, 140, 80), class_name="Stroma", name="My cell"),
            Annotation(Shape.box(5, 90, 25, 110), class_name="Tumor"),
            Annotation(Shape.points([(3, 3)]), class_name="Tumor"),
        ],
    )
    return path


def test_outlines_of_a_file(tmp_path: Path, planned: Callable[..., list[str]]) -> None:
    path = cells(tmp_path / "cells.geojson")
    assert [name.rsplit("-", 1)[0] for name in planned("--geojson", path)] == ["Tumor", "My-cell", "Tumor"]
    tumors = planned("--geojson", path, "--class", "Tumor")
    assert len(tumors) == len(set(tumors)) == 2
    assert planned("--geojson", path, "--class", "Tumor", "--largest", 1) == tumors[:1]
    assert planned("--geojson", path, "--scene") == ["scene"]
    with pytest.raises(SamdeskError, match="no annotation of the class “Tumour”") as error:
        planned("--geojson", path, "--class", "Tumour")
    assert "Stroma, Tumor" in error.value.hint
    write_geojson(path, [Annotation(Shape.points([(3, 3)]))])
    with pytest.raises(SamdeskError, match="holds no area"):
        planned("--geojson", path)


def test_words(planned: Callable[..., list[str]]) -> None:
    asked: list[tuple[object, ...]] = []

    def loaded(name: str | None, weights: str | None, **more: Any) -> Segmenter:
        asked.append((name, weights, more["device"]))
        return Segmenter(FakeEngine())

    found = planned("--text", "red horse", "--min-score", 0.6, load=loaded)
    assert len(found) == 2
    assert all(name.startswith("red-horse-") for name in found)
    assert len(planned("--text", "red horse", "--largest", 1, "--weights", "mine.pt", load=loaded)) == 1
    assert asked == [("sam3", None, "auto"), (None, "mine.pt", "auto")]
    with pytest.raises(SamdeskError, match=r"Nothing was found in picture\.png for “horse”"):
        planned("--text", "horse", "--min-score", 0.95, load=loaded)
    with pytest.raises(SamdeskError, match="No weights for SAM 3"):
        planned("--text", "horse")


def test_what_is_to_be_expected_is_told(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "m.png", truth(second=False) * WHITE)
    assert run(picture, "--mask", path, "--dry-run") == 0
    told = capsys.readouterr().out
    assert "75 × 75 px at 8, 23" in told
    assert "warning: The object is only 59 × 59 px large." in told
    write_geojson(tmp_path / "far.geojson", [Annotation(Shape.box(900, 900, 950, 950))])
    assert run(picture, "--geojson", tmp_path / "far.geojson", "--dry-run") == 1
    assert "error: The object lies outside the image." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "must be told"),
        (["IMAGE", "--dry-run"], "nothing to make an object of"),
        (["IMAGE", "--mask", "m.png"], "must be told"),
        (["IMAGE", "--mask", "m.png", "--dry-run", "--class", "A"], "--class chooses"),
        (["IMAGE", "--mask", "m.png", "--dry-run", "--largest", "0"], "leaves nothing"),
        (["IMAGE", "--mask", "m.png", "--dry-run", "--z", "3"], "no plane z 3"),
        (["IMAGE", "--mask", "m.png", "--dry-run", "--formats", "ply,usdz"], "cannot be made"),
        (["IMAGE", "--mask", "m.png", "--dry-run", "--formats", ","], "cannot be made"),
        (["IMAGE", "--mask", "m.png", "--dry-run", "--size-mm", "-1"], "makes no sense"),
        (["IMAGE", "--mask", "m.png", "--dry-run", "--engine", "dust"], "no 3D engine"),
    ],
)
def test_what_makes_no_sense(picture: Path, arguments: list[str], words: str) -> None:
    with pytest.raises(SamdeskError, match=words):
        run(*[picture if one == "IMAGE" else one for one in arguments])


# what the engine is told


def test_options_and_formats(capsys: pytest.CaptureFixture[str]) -> None:
    def asked(*more: object) -> tuple[bool, bool]:
        order = order_of(parsed("x.png", "--engine", "sam3d", *more))
        return order.options.splat, order.options.mesh

    assert asked() == (True, True)
    assert asked("--formats", "ply") == (True, False)
    assert asked("--formats", " GIF,ply ") == (True, False)
    assert asked("--formats", "gif") == (False, True)
    assert asked("--formats", "stl,obj,stl") == (False, True)
    order = order_of(parsed("x.png", "--engine", "sam3d", "--seed", 7, "--steps-shape", 12, "--distill-look",
                            "--no-layout"))  # fmt: skip
    assert (order.options.seed, order.options.steps_shape, order.options.steps_look) == (7, 12, 25)
    assert (order.options.distill_look, order.options.layout, order.options.texture) == (True, False, False)
    assert not capsys.readouterr().err
    order_of(parsed("x.png", "--seed", 7))
    assert "Relief does not heed --seed." in capsys.readouterr().err
    with pytest.raises(SamdeskError, match="solver step"):
        order_of(parsed("x.png", "--steps-look", 0))


def test_settings_and_what_is_given_over_them(home: Path) -> None:
    (home / "config").mkdir(parents=True)
    kept = {"recon": {"sam3d": {"python": "/env/bin/python", "repository": "/s3d", "offline": True}}}
    (home / "config" / "settings.json").write_text(json.dumps(kept), "utf-8")
    told = config_of(parsed("x.png", "--engine", "sam3d", "--repository", "/other", "--config", "offline=no",
                            "--config", "attention=SDPA"))  # fmt: skip
    assert told == {
        "python": "/env/bin/python",
        "repository": "/other",
        "offline": False,
        "attention": "sdpa",
    }
    assert config_of(parsed("x.png")) == {}
    assert config_of(parsed("x.png", "--engine", "sam3dcpp", "--config", "threads=4")) == {"threads": 4}
    for arguments, words in (
        (["--engine", "sam3d", "--config", "attention=magic"], "cannot be “magic”"),
        (["--engine", "sam3d", "--config", "attention"], "cannot be read"),
        (["--engine", "sam3dcpp", "--config", "threads=many"], "not a whole number"),
        (["--python", "p"], "Relief takes no --python"),
        (["--config", "a=b"], "Relief takes no --config a"),
    ):
        with pytest.raises(SamdeskError, match=words):
            config_of(parsed("x.png", *arguments))


def test_an_engine_that_was_never_set_up_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(SamdeskError, match="not set up: --python, --repository") as error:
        run(tmp_path / "gone.png", "--mask", "m.png", "--out", tmp_path / "out", "--engine", "sam3d")
    assert "--check" in error.value.hint
    assert not (tmp_path / "out").exists()
    refuse_unset(recon_spec("relief"), {})


# what is left on the disk


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_relief_of_a_mask(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = written(tmp_path / "cup.png", truth(second=False) * WHITE)
    out = tmp_path / "out"
    assert run(picture, "--mask", mask, "--out", out, "--formats", "ply,glb,stl") == 0
    (row,) = rows_of(out / "times.csv")
    assert (row["state"], row["engine"]) == ("done", "Relief (not SAM 3D)")
    made = load(out / row["object"])
    assert made.label == "Relief (not SAM 3D)"
    assert set(made.files) == {"splat", "mesh", "stl", "picture", "mask"}
    assert all(path.stat().st_size for path in made.folder.iterdir())
    assert "1 made in" in capsys.readouterr().err
    assert run(picture, "--mask", mask, "--out", out, "--skip-done") == 0
    assert "0 made in 0.0 s, 1 there already" in capsys.readouterr().err
    assert rows_of(out / "times.csv")[0]["state"] == "skipped"


def test_a_scene_and_a_failure(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    far = Annotation(Shape.box(900, 900, 950, 950), name="far")
    near = [Annotation(Shape.box(20, 30, 70, 90)), Annotation(Shape.box(100, 40, 140, 80))]
    write_geojson(tmp_path / "all.geojson", [far, *near])
    out = tmp_path / "out"
    assert run(picture, "--geojson", tmp_path / "all.geojson", "--out", out, "--scene") == 1
    told = capsys.readouterr()
    assert told.out.splitlines() == [str(out / "scene.ply"), str(out / "scene.glb")]
    assert "2 made" in told.err
    assert "1 failed" in told.err
    rows = rows_of(out / "times.csv")
    assert [row["state"] for row in rows] == ["failed", "done", "done"]
    assert rows[1]["annotation"] == str(near[0].id)
    made = load(out / rows[1]["object"])
    assert made.annotation == near[0].id
    # seen from the front, all that is in the scene lies where it lies in the image
    region = Region(**made.provenance["region"])
    corners = trimesh.load(out / "scene.glb", force="mesh").vertices[:, :2]
    pixels = corners * (1, -1) * region.height + (region.width / 2, region.height / 2)
    places = region.to_image(pixels)
    first = places[places[:, 0] < 85]
    assert np.concatenate((first.min(0), first.max(0))) == pytest.approx([20, 30, 70, 90], abs=1.5)
    other = places[places[:, 0] > 85]
    assert np.concatenate((other.min(0), other.max(0))) == pytest.approx([100, 40, 140, 80], abs=1.5)


def test_no_scene_of_an_engine_that_tells_no_place(tmp_path: Path) -> None:
    given = [tmp_path / "gone.png", "--mask", "m.png", "--scene", "--engine", "sam3dcpp"]
    setup = ["--program", "p", "--module", "m", "--models", "d"]
    for arguments in ([*given, *setup, "--out", tmp_path / "out"], [*given, "--dry-run"]):
        with pytest.raises(SamdeskError, match="does not tell where an object stands"):
            run(*arguments)
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_way_is_told(picture: Path, tmp_path: Path) -> None:
    mask = written(tmp_path / "cup.png", truth(second=False) * WHITE)
    (tmp_path / "out").touch()
    with pytest.raises(SamdeskError, match="cannot be written"):
        run(picture, "--mask", mask, "--out", tmp_path / "out")


def test_the_engine_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--check") == 0
    told = capsys.readouterr().out
    assert "✓ Python" in told
    assert "Relief can run." in told


def test_planes_of_outlines_are_kept(tmp_path: Path) -> None:
    stack = np.zeros((2, *SIZE), np.uint8)
    tifffile.imwrite(tmp_path / "stack.ome.tif", stack, metadata={"axes": "ZYX"}, photometric="minisblack")
    both = [Annotation(Shape.box(20, 30, 70, 90), plane=Plane(z)) for z in (0, 1)]
    write_geojson(tmp_path / "all.geojson", both)
    with pytest.raises(SamdeskError, match="one plane"):
        run(
            tmp_path / "stack.ome.tif",
            "--geojson",
            tmp_path / "all.geojson",
            "--out",
            tmp_path / "o",
            "--scene",
        )
