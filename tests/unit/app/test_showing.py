"""How the image is shown and what the models see: apart, kept with the project, told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.settings import Settings
from samdesk.app.workspace import Workspace
from samdesk.domain.geometry import Region
from samdesk.domain.prompts import PointPrompt
from samdesk.images.contrast import Display, auto_display
from samdesk.sdk import Image, Segmenter, pixel_text
from tests.fakes import FakeEngine

WHOLE = Region(0, 0, 96, 64)


@dataclass
class Rig:
    """A workspace without a window."""

    workspace: Workspace
    main: MainQueue

    def settle(self) -> None:
        for _ in range(3):
            self.main.run_until(lambda: self.workspace.jobs.idle, 20)
            self.main.drain()

    def open(self, path: Path) -> Image:
        self.workspace.open(path)
        self.settle()
        return self.image

    @property
    def image(self) -> Image:
        assert self.workspace.image is not None
        return self.workspace.image

    def darken(self) -> Display:
        display = self.image.display.with_channel(0, high=60_000.0)
        self.workspace.set_display(display)
        self.settle()
        return display


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Rig]]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    made: list[Rig] = []

    def rig() -> Rig:
        main = MainQueue()
        jobs, settings = Jobs(main), Settings(tmp_path / "settings.json")
        made.append(Rig(Workspace(jobs, settings, Segmenter(FakeEngine())), main))
        return made[-1]

    yield rig
    for one in made:
        one.workspace.close()


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "stack.ome.tif"
    pixels = np.random.default_rng(5).integers(100, 4000, (2, 64, 96)).astype(np.uint16)
    tifffile.imwrite(path, pixels, metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "CD3"]}})
    return path


def test_the_models_see_the_same_whatever_is_displayed(make: Callable[[], Rig], stack: Path) -> None:
    rig = make()
    before = rig.open(stack).read(WHOLE)
    shown = rig.darken()
    assert rig.image.display == shown
    assert (rig.image.read(WHOLE) == before).all()
    assert rig.image.seen == auto_display(rig.image.source)


def test_prompts_stay_while_the_models_do_not_see_the_change(make: Callable[[], Rig], stack: Path) -> None:
    rig = make()
    rig.open(stack)
    session = rig.workspace.session
    session.add_point(PointPrompt(20, 20), 1.0)
    rig.settle()
    proposed = session.proposal.current
    assert proposed is not None
    rig.darken()
    assert session.proposal.current is proposed
    rig.workspace.showing.see("shown")
    assert not session.has_prompts


def test_what_is_shown_now_can_be_kept_for_them(make: Callable[[], Rig], stack: Path) -> None:
    rig = make()
    auto = rig.open(stack).seen
    dark = rig.darken()
    rig.workspace.showing.keep_current()
    assert rig.image.seen == dark
    rig.workspace.set_display(auto)
    assert rig.image.seen == dark
    rig.workspace.showing.see("auto")
    assert rig.image.seen == auto
    rig.workspace.showing.see("kept")
    assert rig.image.seen == dark


def test_they_can_see_what_is_displayed(make: Callable[[], Rig], stack: Path) -> None:
    rig = make()
    rig.open(stack)
    rig.workspace.showing.see("shown")
    dark = rig.darken()
    assert rig.image.seen == dark == rig.image.display


def test_all_of_it_comes_back_with_the_project(make: Callable[[], Rig], stack: Path) -> None:
    rig = make()
    auto = rig.open(stack).seen
    dark = rig.darken()
    rig.workspace.showing.keep_current()
    rig.workspace.set_display(auto.only(1))
    rig.settle()
    rig.workspace.close()
    again = make()
    image = again.open(stack)
    assert image.display == auto.only(1)
    assert image.seen == dark
    assert again.workspace.showing.mode == "kept"
    assert again.workspace.showing.auto == auto


@pytest.mark.parametrize("value", [None, 3, {"model": "of the future", "shown": [1]}, {"model": "kept"}])
def test_what_a_project_says_wrongly_is_passed_over(
    make: Callable[[], Rig], stack: Path, value: object
) -> None:
    rig = make()
    image = rig.open(stack)
    plain = replace(image, model_display=None)
    opened = rig.workspace.showing.opened(plain, {"display": value})
    assert opened.display == plain.display
    assert opened.seen == plain.display
    assert rig.workspace.showing.mode == "auto"


def test_annotations_tell_what_was_seen_unless_it_is_the_default(
    make: Callable[[], Rig], stack: Path
) -> None:
    rig = make()
    rig.open(stack)
    showing = rig.workspace.showing
    assert showing.provenance == {}
    rig.darken()
    showing.keep_current()
    assert showing.provenance["contrast"].startswith("kept: ")
    assert "60000" in showing.provenance["contrast"]
    showing.see("shown")
    assert showing.provenance["contrast"].startswith("as displayed: ")


def test_the_preview_shows_it_until_the_contrast_is_changed(make: Callable[[], Rig], stack: Path) -> None:
    rig = make()
    rig.open(stack)
    dark = rig.darken()
    showing = rig.workspace.showing
    assert showing.display == dark
    showing.preview(True)
    assert showing.display == rig.image.seen != dark
    rig.workspace.set_display(dark.only(0))
    assert showing.display == dark.only(0)
    assert not showing.previewing


def test_pixel_values_are_named_by_their_channels(make: Callable[[], Rig], stack: Path) -> None:
    rig = make()
    image = rig.open(stack)
    values = [f"{value:g}" for value in tifffile.imread(stack)[:, 7, 11]]
    assert pixel_text(image, rig.workspace.plane, 11.2, 7.9) == f"DAPI {values[0]}  CD3 {values[1]}"
    rig.workspace.set_display(image.display.only(1))
    assert pixel_text(rig.image, rig.workspace.plane, 11.2, 7.9) == f"CD3 {values[1]}"
