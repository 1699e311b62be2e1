"""The name of a file that is saved: what the user typed, and the type that was chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from samdesk.ui.dialogs.ask import named_as

EVERY = "3D files (*.glb *.stl)"
FILTERS = f"{EVERY};;Mesh (*.glb);;Printing (*.stl)"


@pytest.mark.parametrize(
    ("typed", "kind", "saved"),
    [
        ("cup", "Printing (*.stl)", "cup.stl"),
        ("cup.glb", "Printing (*.stl)", "cup.stl"),
        ("cup.stl", "Printing (*.stl)", "cup.stl"),
        ("cup.glb", EVERY, "cup.glb"),
        ("cup", EVERY, "cup"),
        ("cup v1.2", "Mesh (*.glb)", "cup v1.2"),
        ("cup.txt", "Mesh (*.glb)", "cup.txt"),
    ],
)
def test_the_chosen_type_names_the_file(typed: str, kind: str, saved: str, tmp_path: Path) -> None:
    assert named_as(tmp_path / typed, kind, FILTERS) == tmp_path / saved


def test_no_other_file_is_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "cup.stl").touch()
    assert named_as(tmp_path / "cup", "Printing (*.stl)", FILTERS) == tmp_path / "cup"
