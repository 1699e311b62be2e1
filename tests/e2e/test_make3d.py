"""`samdesk make3d` as a user starts it, and as a user stops it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from samdesk.domain.columns import Annotation
from samdesk.domain.geometry import Shape
from samdesk.formats.geojson import write_geojson
from samdesk.sdk.reconstruction import load

PROGRAM = [sys.executable, "-m", "samdesk", "make3d"]
OBJECTS = 12


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """The environment: user folders and temporary files of its own."""
    (tmp_path / "temporary").mkdir()
    return {**os.environ, "SAMDESK_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "temporary")}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    noise = np.random.default_rng(0).integers(60, 200, (200, 200, 3)).astype(np.uint8)
    cv2.imwrite(str(path), cv2.GaussianBlur(noise, (9, 9), 0))
    return path


def processes_of(home: Path) -> list[str]:
    """Command lines of the processes that were started with these user folders."""
    mark = f"SAMDESK_HOME={home}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def test_a_mask_becomes_files(picture: Path, tmp_path: Path, surroundings: dict[str, str]) -> None:
    mask = np.zeros((200, 200), np.uint8)
    cv2.circle(mask, (90, 100), 60, 255, -1)
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    given = [str(picture), "--mask", str(tmp_path / "mask.png"), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [*PROGRAM, *given, "--formats", "ply,glb,obj,stl"], env=surroundings, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    (folder,) = (path for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert set(load(folder).files) == {"splat", "mesh", "obj", "stl", "picture", "mask"}
    assert not list((tmp_path / "temporary").iterdir())
    assert not processes_of(tmp_path / "home")
    wrong = subprocess.run([*PROGRAM, *given[:3]], env=surroundings, capture_output=True, text=True)
    assert wrong.returncode == 1
    assert "must be told" in wrong.stderr
    assert "Traceback" not in wrong.stderr


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize(("how", "more"), [(signal.SIGINT, []), (signal.SIGTERM, ["--scene"])])
def test_stopping_leaves_no_process_and_whole_objects_only(
    picture: Path, tmp_path: Path, surroundings: dict[str, str], how: signal.Signals, more: list[str]
) -> None:
    boxes = [Shape.box(10 + k, 20, 90 + k, 80) for k in range(OBJECTS)]
    write_geojson(tmp_path / "boxes.geojson", [Annotation(shape) for shape in boxes])
    out = tmp_path / "out"
    given = [str(picture), "--geojson", str(tmp_path / "boxes.geojson"), "--out", str(out), *more]
    with subprocess.Popen([*PROGRAM, *given], env=surroundings, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr is not None
        try:
            first = next(line for line in program.stderr if re.match(" 1. %", line))
            assert processes_of(tmp_path / "home")
            program.send_signal(how)
            rest = program.stderr.read()
        except BaseException:
            program.kill()
            raise
    assert program.returncode == 130, first + rest
    assert "samdesk: stopped" in rest
    assert "Traceback" not in rest
    made = [path for path in out.iterdir() if path.is_dir()]
    assert 0 < len(made) < OBJECTS
    assert all(set(load(path).files) == {"splat", "mesh", "picture", "mask"} for path in made)
    assert {path.name for path in out.iterdir() if not path.is_dir()} == {"times.csv"}
    assert not list((tmp_path / "temporary").iterdir())
    assert not processes_of(tmp_path / "home")
