"""Accepting unasked: every click counts, however quick, and none is lost or counted twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.settings import Settings
from samdesk.app.workspace import Workspace
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import Embedding, MaskLogits
from samdesk.sdk import Segmenter
from tests.fakes import FakeEngine


class BlindEngine(FakeEngine):
    """Finds nothing left of x = 100, and fails right of x = 900."""

    def predict(
        self, embedding: Embedding, prompts: Prompts, task: Task, multimask: bool | None = None
    ) -> list[MaskLogits]:
        at = prompts.points[0].x if prompts.points else 500
        if at > 900:
            raise SamdeskError("It broke.", "Try again.")
        return [] if at < 100 else super().predict(embedding, prompts, task, multimask)


class Rig:
    """A workspace that accepts unasked."""

    def __init__(self, home: Path) -> None:
        self.main = MainQueue()
        self.jobs = Jobs(self.main)
        self.settings = Settings(home / "settings.json")
        self.workspace = Workspace(self.jobs, self.settings, Segmenter(BlindEngine()))
        self.session = self.workspace.session
        path = home / "picture.png"
        cv2.imwrite(str(path), np.full((400, 1000, 3), 90, np.uint8))
        self.workspace.open(path)
        self.settle()
        self.settings["auto_accept"] = True

    def settle(self) -> None:
        for _ in range(4):
            self.main.run_until(lambda: self.jobs.idle, 20)
            self.main.drain()
        if not self.jobs.idle:
            self.settle()

    def click(self, x: float, y: float) -> None:
        self.session.add_point(PointPrompt(x, y), 1.0)

    @property
    def kept(self) -> list[tuple[int, str | None]]:
        """Where the annotations are, and their classes."""
        found = self.workspace.document.annotations()
        return [(round(one.shape.bounds.center[0]), one.class_name) for one in found]


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    made = Rig(tmp_path)
    yield made
    made.workspace.close()
    made.main.drain()


def test_ten_clicks_at_once_are_ten_annotations(rig: Rig) -> None:
    for k in range(10):
        rig.click(130 + 60 * k, 200)
    assert rig.session.proposal.auto.waiting == 10
    rig.settle()
    assert rig.kept == [(130 + 60 * k, None) for k in range(10)]
    counting = rig.session.proposal.auto
    assert (counting.kept, counting.missed, counting.waiting) == (10, 0, 0)
    assert not rig.session.has_prompts
    assert len(rig.workspace.selection) == 0


def test_a_click_on_one_that_waits_changes_nothing(rig: Rig) -> None:
    rig.click(200, 200)
    rig.click(300, 200)
    assert rig.session.point_at(200, 200, 5) == 0
    rig.session.remove_point(0)
    rig.session.move_point(0, 500, 200)
    rig.settle()
    assert rig.kept == [(200, None), (300, None)]


def test_backspace_takes_back_the_last_click_that_waits(rig: Rig) -> None:
    for x in (200, 300, 400):
        rig.click(x, 200)
    rig.session.take_back()
    assert rig.session.proposal.auto.waiting == 2
    rig.settle()
    assert rig.kept == [(200, None), (300, None)]


def test_each_gets_the_class_of_its_own_click(rig: Rig) -> None:
    rig.workspace.choose_class("Tumor")
    rig.click(200, 200)
    rig.click(300, 200)
    rig.workspace.choose_class("Stroma")
    rig.click(400, 200)
    rig.settle()
    assert rig.kept == [(200, "Tumor"), (300, "Tumor"), (400, "Stroma")]


def test_undo_takes_the_last_one_back_and_it_does_not_count(rig: Rig) -> None:
    rig.click(200, 200)
    rig.click(300, 200)
    rig.settle()
    rig.workspace.history.undo()
    assert rig.kept == [(200, None)]
    assert rig.session.proposal.auto.kept == 1
    rig.workspace.history.redo()
    assert rig.session.proposal.auto.kept == 2


def test_boxes_count_and_what_is_not_found_is_told(rig: Rig) -> None:
    rig.session.add_box(BoxPrompt(Bounds(300, 100, 340, 140)), 1.0)
    rig.click(50, 50)
    rig.click(500, 200)
    rig.session.add_point(PointPrompt(600, 200, False), 1.0)
    rig.settle()
    assert rig.kept == [(320, None), (500, None)]
    assert rig.session.proposal.auto.missed == 1


def test_a_click_that_fails_takes_no_other_with_it(rig: Rig) -> None:
    rig.click(200, 200)
    rig.click(950, 200)
    rig.click(300, 200)
    rig.settle()
    assert rig.kept == [(200, None), (300, None)]
    counting = rig.session.proposal.auto
    assert (counting.missed, counting.waiting) == (1, 0)


def test_what_waits_when_the_picture_changes_is_missed_and_told(rig: Rig) -> None:
    told: list[str] = []
    rig.workspace.notice.connect(lambda notice: told.append(notice.text))
    for k in range(4):
        rig.click(130 + 60 * k, 200)
    rig.session.set_image(rig.workspace.image, Plane(1, 0))
    rig.settle()
    assert rig.kept == []
    counting = rig.session.proposal.auto
    assert (counting.kept, counting.missed, counting.waiting) == (0, 4, 0)
    assert told == ["4 clicks were not answered in time."]
    rig.session.set_image(rig.workspace.image, Plane(0, 0))
    assert len(told) == 1
    rig.click(200, 200)
    rig.session.set_segmenter(rig.session.segmenter)
    rig.settle()
    assert rig.session.proposal.auto.missed == 5
    assert told[1:] == ["A click was not answered in time."]


def test_escape_drops_what_waits(rig: Rig) -> None:
    for k in range(5):
        rig.click(130 + 60 * k, 200)
    rig.session.drop()
    rig.settle()
    assert rig.kept == []
    assert rig.session.proposal.auto.waiting == 0


def test_off_again_a_click_waits_for_enter(rig: Rig) -> None:
    rig.click(200, 200)
    rig.settings["auto_accept"] = False
    assert rig.session.proposal.auto is None
    rig.settle()
    assert rig.kept == [(200, None)]
    rig.click(300, 200)
    rig.settle()
    assert rig.session.can_accept
    rig.settings["auto_accept"] = True
    assert len(rig.kept) == 2


def test_the_answer_of_a_stand_in_is_not_kept(rig: Rig) -> None:
    class SlowEngine(FakeEngine):
        name = "slow"

        def encode(self, chip: np.ndarray, task: Task) -> Embedding:
            raise SamdeskError("It broke.", "Try again.")

    rig.session.set_stand_in(rig.session.segmenter)
    rig.session.set_segmenter(Segmenter(SlowEngine()))
    rig.click(200, 200)
    rig.settle()
    assert rig.session.counts.sketched + rig.session.proposal.auto.missed >= 1
    assert rig.kept == []
