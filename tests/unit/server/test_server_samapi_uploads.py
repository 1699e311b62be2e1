"""`Uploads`: frames stay in their folder, in number and size, and go when nobody uses them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from samdesk.server import Limits
from samdesk.server.errors import RequestError
from samdesk.server.uploads import QUIET_S, Uploads
from tests.server_rig import disc, png

FRAME = png(disc())
ID = "0b7f4c1e-98a2-4a53-9d3a-0f1f6d0c2b11"


def uploads(folder: Path, **limits: float) -> Uploads:
    return Uploads(lambda: folder / "uploads", Limits(**limits))  # type: ignore[arg-type]


def used(folder: Path, sequence: str, age_s: float) -> Path:
    """Make as if a sequence was last used so long ago."""
    (found,) = (folder / "uploads").glob(f"*{sequence}")
    then = time.time() - age_s
    os.utime(found, (then, then))
    return found


def test_frames_are_kept_and_found_again(tmp_path: Path):
    kept = uploads(tmp_path)
    for name in ("0.jpg", "1.jpg"):
        kept.add(ID, name, FRAME)
    with kept.frames(ID) as found:
        assert [path.read_bytes() for path in found] == [FRAME, FRAME]
    again = uploads(tmp_path)  # the program was started anew
    with again.frames(ID) as found:
        assert len(found) == 2
    again.remove(ID)
    assert not list((tmp_path / "uploads").iterdir())


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "../x", "a b", "é", "x" * 65, "a\0", "CON:"])
def test_a_sequence_has_a_plain_name(tmp_path: Path, name: str):
    kept = uploads(tmp_path)
    for use in (lambda: kept.add(name, "0.jpg", FRAME), lambda: kept.remove(name)):
        with pytest.raises(RequestError) as raised:
            use()
        assert raised.value.status == 422
    with pytest.raises(RequestError), kept.frames(name):
        pass
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize(
    "name",
    ["", "0", "0.gif", ".jpg", "../0.jpg", "a/0.jpg", "a\\0.jpg", "0.jpg/", "0.jpg\n", "c:0.jpg", "é.png"],
)
def test_a_frame_has_a_plain_name(tmp_path: Path, name: str):
    with pytest.raises(RequestError) as raised:
        uploads(tmp_path).add(ID, name, FRAME)
    assert raised.value.status == 422
    assert not list(tmp_path.rglob("*"))


def test_a_name_that_means_a_device_is_a_file(tmp_path: Path):
    kept = uploads(tmp_path)
    kept.add("NUL", "con.png", FRAME)
    (path,) = tmp_path.rglob("*.png")
    assert not path.name.lower().startswith("con")
    assert not path.parent.name.lower().startswith("nul")


def test_only_pictures_that_are_not_too_large_are_kept(tmp_path: Path):
    kept = uploads(tmp_path, pixels=256 * 192 - 1)
    for data, status in ((b"#!/bin/sh", 422), (b"", 422), (b"\x89PNG\r\n\x1a\n", 422), (FRAME, 413)):
        with pytest.raises(RequestError) as raised:
            kept.add(ID, "0.png", data)
        assert raised.value.status == status
    assert not list(tmp_path.rglob("*.png"))


def test_old_sequences_go(tmp_path: Path):
    kept = uploads(tmp_path, upload_age_s=3600)
    for name in ("old", "used", "new"):
        kept.add(name, "0.png", FRAME)
    with kept.frames("used"):
        used(tmp_path, "used", 7200)
        old = used(tmp_path, "old", 7200)
        uploads(tmp_path, upload_age_s=1e6).sweep()
        assert old.exists()
        kept.sweep()
    assert not old.exists()
    left = {path.name for path in (tmp_path / "uploads").iterdir()}
    assert len(left) == 2
    assert not any(name.endswith("old") for name in left)


def test_space_is_limited_and_the_longest_unused_makes_room(tmp_path: Path):
    size = len(FRAME)
    kept = uploads(tmp_path, upload_bytes=3 * size)
    for name in ("a", "b", "c"):
        kept.add(name, "0.png", FRAME)
    with pytest.raises(RequestError) as raised:
        kept.add("d", "0.png", FRAME)
    assert raised.value.status == 413
    used(tmp_path, "a", QUIET_S + 20)
    used(tmp_path, "b", QUIET_S + 40)
    kept.add("d", "0.png", FRAME)
    left = {path.name.rpartition("-")[2] for path in (tmp_path / "uploads").iterdir()}
    assert left == {"a", "c", "d"}
    # what an earlier run left counts as well
    with pytest.raises(RequestError):
        uploads(tmp_path, upload_bytes=3 * size).add("e", "0.png", png(np.zeros((300, 300, 3), np.uint8)) * 2)


def test_a_frame_sent_again_takes_the_place_of_the_first(tmp_path: Path):
    kept = uploads(tmp_path, upload_bytes=2 * len(FRAME))
    for _ in range(5):
        kept.add(ID, "0.png", FRAME)
    with kept.frames(ID) as found:
        assert len(found) == 1


def test_what_cannot_be_written_leaves_nothing_counted(tmp_path: Path):
    (tmp_path / "uploads").write_bytes(b"a file where the folder should be")
    kept = uploads(tmp_path, upload_bytes=len(FRAME))
    for _ in range(3):
        with pytest.raises(Exception, match=r"The frame “0\.png” cannot be kept"):
            kept.add(ID, "0.png", FRAME)
