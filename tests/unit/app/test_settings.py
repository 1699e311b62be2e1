"""Settings: defaults, limits, damage, and what the table promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from samdesk.app.settings import SETTINGS, Settings
from samdesk.domain.errors import SamdeskError


def test_every_default_is_acceptable() -> None:
    for row in SETTINGS.values():
        assert row.accepts(row.default), row.name


def test_a_change_is_told_kept_and_read_again(tmp_path: Path) -> None:
    settings, heard = Settings(tmp_path / "s.json"), []
    settings.changed.connect(heard.append)
    settings["appearance"] = "dark"
    settings["appearance"] = "dark"
    assert heard == ["appearance"]
    assert Settings(tmp_path / "s.json")["appearance"] == "dark"


@pytest.mark.parametrize(("name", "value"), [("appearance", "pink"), ("opacity", 500), ("hover", "yes")])
def test_a_wrong_value_is_refused_and_nothing_changes(tmp_path: Path, name: str, value: object) -> None:
    settings = Settings(tmp_path / "s.json")
    with pytest.raises(SamdeskError):
        settings[name] = value
    assert settings[name] == SETTINGS[name].default


@pytest.mark.parametrize("text", ["{", "[]", '{"opacity": "high", "fill": true}', "\x00"])
def test_a_damaged_file_gives_defaults(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    assert Settings(path)["opacity"] == 100


def test_values_of_a_newer_version_survive(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text('{"of_the_future": 7}')
    Settings(path)["fill"] = True
    assert '"of_the_future": 7' in path.read_text()


def test_recent_files_are_newest_first_without_doubles(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "s.json")
    for name in ("a", "b", "a", *map(str, range(20))):
        settings.remember_file(Path(name))
    assert settings["recent"][:2] == ["19", "18"]
    assert len(settings["recent"]) == len(set(settings["recent"])) == 12


def test_two_windows_do_not_undo_each_others_changes(tmp_path: Path) -> None:
    one, two = Settings(tmp_path / "s.json"), Settings(tmp_path / "s.json")
    one.remember_project(Path("a.tif"), Path("a.gpkg"))
    two["appearance"] = "dark"
    two.remember_project(Path("b.tif"), Path("b.gpkg"))
    after = Settings(tmp_path / "s.json")
    assert after["appearance"] == "dark"
    assert after["projects"] == {"a.tif": "a.gpkg", "b.tif": "b.gpkg"}
