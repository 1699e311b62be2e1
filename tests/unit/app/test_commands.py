"""The command table keeps its promises: unique keys where both could be meant, known names."""

from __future__ import annotations

from pathlib import Path

import pytest

from samdesk.app.commands import COMMANDS, MENUS, WHEN, shortcut_table
from samdesk.app.commands.file import beside
from samdesk.app.tools import TOOLS

EXCLUSIVE = {
    frozenset({"edit.delete", "segment.take_back"}),
    frozenset({"edit.delete", "draw.back"}),
    frozenset({"draw.back", "segment.take_back"}),
    frozenset({"draw.drop", "segment.drop"}),
    frozenset({"draw.finish", "segment.accept"}),
    frozenset({"draw.finish", "objects.properties"}),
    frozenset({"objects.properties", "segment.accept"}),
    frozenset({"tool.rectangle", "review.reject"}),
    frozenset({"review.accept", "view.annotations"}),
}
"""Commands that share a key because never both are enabled."""


def test_rows_name_known_menus_and_conditions() -> None:
    for command in COMMANDS.values():
        assert command.menu.partition("/")[0] in MENUS
        assert command.when in WHEN
        assert command.title.strip() == command.title


def test_no_key_means_two_things_at_once() -> None:
    owner: dict[str, str] = {}
    for command in COMMANDS.values():
        for key in command.keys:
            if key in owner:
                assert frozenset({owner[key], command.id}) in EXCLUSIVE
            owner[key] = command.id


def test_every_tool_has_its_command_and_key() -> None:
    for name, spec in TOOLS.items():
        assert spec.key in COMMANDS[f"tool.{name}"].keys


def test_the_readme_shows_the_table_as_it_is() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text("utf-8")
    assert shortcut_table() in readme


@pytest.mark.parametrize(
    ("image", "name"),
    [("slide.ome.tif", "slide.geojson"), ("a.b.JPG", "a.b.geojson"), ("Slide.OME.TIFF", "Slide.geojson")],
)
def test_a_file_about_an_image_is_proposed_beside_it(image: str, name: str, tmp_path: Path) -> None:
    assert beside(tmp_path / image, ".geojson") == str(tmp_path / name)
    assert beside(Path("/not there") / image, ".geojson") == name
