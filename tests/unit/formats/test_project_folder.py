"""The project folder: its file survives what it does not know, and is never damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from samdesk.domain.errors import SamdeskError
from samdesk.formats.project import (
    FOLDER_FILE,
    ProjectImage,
    folder_of,
    found_again,
    make_folder,
    read_folder,
    remove_files,
    shifted,
    write_folder,
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "study", "Kidneys")
    (tmp_path / "a.svs").touch()
    image = folder.placed(
        ProjectImage("1a", "A", tmp_path, width=9, height=8, bytes=7, tags=("good",), description="first"),
        tmp_path / "a.svs",
    )
    assert image.relative_path == "../a.svs"
    image = replace(image, renamed={"Tumor": "Cancer"})
    folder = folder.with_images(image)
    write_folder(folder)
    assert read_folder(folder.path) == folder
    assert "Tumor" in [one.name for one in folder.classes]
    with pytest.raises(SamdeskError, match="a project in"):
        make_folder(folder.path)


def test_unknown_members_survive(tmp_path: Path) -> None:
    folder = make_folder(tmp_path).with_images(ProjectImage("x", "X", tmp_path / "x.tif"))
    write_folder(folder)
    known = orjson.loads(folder.file.read_bytes())
    known["plans"] = {"deep": [1, None]}
    known["images"][0]["stain"] = "H&E"
    folder.file.write_bytes(orjson.dumps(known))
    write_folder(replace(read_folder(tmp_path), name="Other"))
    again = orjson.loads(folder.file.read_bytes())
    assert again["plans"] == {"deep": [1, None]}
    assert again["images"][0]["stain"] == "H&E"
    assert again["name"] == "Other"


def test_a_newer_or_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file = make_folder(tmp_path).file
    good = orjson.loads(file.read_bytes())
    for data, told in (
        (orjson.dumps({**good, "version": 99, "made_by": "samdesk 9"}), "newer samdesk .samdesk 9"),
        (b"{", "damaged"),
        (b"[]", "damaged"),
        (orjson.dumps({**good, "images": [{"id": "../x", "name": "", "path": ""}]}), "damaged"),
        (orjson.dumps({**good, "classes": [{"name": "a"}]}), "damaged"),
    ):
        file.write_bytes(data)
        with pytest.raises(SamdeskError, match=told):
            read_folder(tmp_path)
        assert file.read_bytes() == data
    file.unlink()
    with pytest.raises(SamdeskError, match="does not exist"):
        read_folder(tmp_path)


def test_an_image_is_found_beside_the_project_after_both_were_moved(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "old" / "study")
    image = ProjectImage("1", "a", tmp_path / "old" / "a.tif", "../a.tif")
    assert found_again(folder, image) is None
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "a.tif").touch()
    moved = replace(folder, path=tmp_path / "new" / "study")
    moved.path.mkdir()
    assert found_again(moved, image) == tmp_path / "new" / "a.tif"


def test_the_same_move_is_tried_for_the_others() -> None:
    old, new = Path("/data/2024/kidney/a.svs"), Path("/archive/kidney/a.svs")
    assert shifted(old, new, Path("/data/2024/liver/b.svs")) == [
        Path("/archive/liver/b.svs"),
        Path("/archive/kidney/b.svs"),
    ]
    assert shifted(old, new, Path("/elsewhere/c.svs")) == [Path("/archive/kidney/c.svs")]


def test_removed_annotations_are_kept(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    for text in ("first", "second"):
        folder.store_of("1").write_text(text)
        remove_files(folder, "1")
    kept = sorted((tmp_path / "removed").iterdir())
    assert [one.read_text() for one in kept] == ["second", "first"]
    assert not folder.store_of("1").exists()


def test_a_folder_is_meant_by_its_files(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "study")
    assert folder_of(folder.path) == folder.path
    assert folder_of(folder.path / FOLDER_FILE) == folder.path
    assert folder_of(folder.store_of("1")) == folder.path
    assert folder_of(folder.path / "other.gpkg") is None
    assert folder_of(tmp_path / "a.tif") is None
