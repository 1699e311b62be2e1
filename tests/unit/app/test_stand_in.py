"""Answers before the model is ready: marked, replaced, and never in the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.session import PromptSession
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import BoxPrompt, Candidate, PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import Embedding
from samdesk.sdk import Image, MaskOptions, Segmenter, open_image
from tests.fakes import FakeEngine


class SlowEngine(FakeEngine):
    """Encodes only once it is let go."""

    name = "slow"
    title = "Slow (discs)"
    identity = "slow"

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.began = threading.Event()
        self.error: SamdeskError | None = None

    def encode(self, chip: NDArray[np.uint8], task: Task) -> Embedding:
        self.began.set()
        while not self.go.wait(0.005):
            task.check()
        if self.error is not None:
            raise self.error
        made = super().encode(chip, task)
        return Embedding(self.identity, made.width, made.height, made.data, made.nbytes)


class Rig:
    def __init__(self, image: Image) -> None:
        self.main = MainQueue()
        self.jobs = Jobs(self.main)
        self.slow, self.quick = SlowEngine(), FakeEngine()
        self.kept: list[Candidate] = []
        self.session = PromptSession(self.jobs, Segmenter(self.slow), self._keep, Segmenter(self.quick))
        self.session.set_image(image)

    def _keep(self, candidate: Candidate, prompts: Prompts) -> bool:
        self.kept.append(candidate)
        return True

    def until(self, condition: object) -> None:
        self.main.run_until(condition, 10)  # type: ignore[arg-type]

    def settle(self) -> None:
        self.until(lambda: self.jobs.idle)
        self.main.drain()
        if not self.jobs.idle:
            self.settle()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.full((900, 5000, 3), 90, np.uint8))
    image = open_image(path)
    made = Rig(image)
    yield made
    made.slow.go.set()
    made.jobs.close()
    image.close()


def test_the_stand_in_answers_first_and_the_model_replaces_it(rig: Rig) -> None:
    rig.session.add_point(PointPrompt(500, 400), 1.0)
    rig.until(lambda: rig.session.proposal.candidates)
    shown = rig.session.proposal
    assert shown.stand_in == "Fake (discs)"
    assert shown.label == "Slow (discs)"
    assert shown.state == "encoding"
    rig.slow.go.set()
    rig.settle()
    assert rig.session.proposal.stand_in == ""
    assert rig.session.proposal.current.engine == "slow"
    assert rig.session.counts.sketched == 1


def test_what_the_stand_in_found_can_be_kept(rig: Rig) -> None:
    rig.session.add_point(PointPrompt(500, 400), 1.0)
    rig.until(lambda: rig.session.can_accept)
    assert rig.session.accept()
    rig.slow.go.set()
    rig.settle()
    assert [one.engine for one in rig.kept] == ["fake"]
    assert rig.session.proposal.current is None


def test_a_double_click_waits_for_the_model(rig: Rig) -> None:
    rig.session.add_point(PointPrompt(500, 400), 1.0)
    rig.until(lambda: rig.session.can_accept)
    rig.session.accept_when_ready()
    assert not rig.kept
    rig.slow.go.set()
    rig.settle()
    assert [one.engine for one in rig.kept] == ["slow"]


def test_when_the_model_fails_the_sketch_stays_and_the_error_is_told(rig: Rig) -> None:
    told: list[str] = []
    rig.jobs.failed.connect(lambda job: told.append(job.error.message))
    rig.slow.error = SamdeskError("Out of memory.")
    rig.session.add_point(PointPrompt(500, 400), 1.0)
    rig.until(lambda: rig.session.can_accept)
    rig.slow.go.set()
    rig.settle()
    assert told == ["Out of memory."]
    assert rig.session.proposal.stand_in == "Fake (discs)"
    assert rig.session.can_accept


def test_hover_previews_come_from_the_stand_in_until_the_model_is_ready(rig: Rig) -> None:
    rig.session.view_rested(Bounds(0, 0, 900, 900), 1.0)
    rig.session.hover(500, 400, 1.0)
    rig.until(lambda: rig.session.proposal.stand_in)
    assert rig.session.proposal.state == "encoding"
    rig.slow.go.set()
    rig.settle()
    rig.session.hover(520, 400, 1.0)
    rig.settle()
    assert rig.session.proposal.stand_in == ""
    assert rig.session.proposal.current.engine == "slow"


def test_a_click_on_the_chip_that_is_being_encoded_does_not_encode_it_twice(rig: Rig) -> None:
    rig.session.view_rested(Bounds(0, 0, 900, 900), 1.0)
    assert rig.slow.began.wait(5)
    rig.session.add_point(PointPrompt(450, 450), 1.0)
    rig.slow.go.set()
    rig.settle()
    assert rig.slow.encoded == 1
    assert rig.session.proposal.current.engine == "slow"


def test_a_click_elsewhere_gives_up_what_was_encoded_ahead(rig: Rig) -> None:
    rig.session.view_rested(Bounds(0, 0, 900, 900), 1.0)
    assert rig.slow.began.wait(5)
    rig.session.add_point(PointPrompt(4500, 450), 1.0)
    rig.slow.go.set()
    rig.settle()
    assert rig.slow.encoded == 1
    assert rig.session.proposal.current.shape.contains(4500, 450)


def test_a_pan_encodes_where_it_is_heading(rig: Rig) -> None:
    rig.slow.go.set()
    for x in (0, 300):
        rig.session.view_rested(Bounds(x, 0, x + 900, 900), 1.0)
        rig.settle()
    before = rig.slow.encoded
    rig.session.add_point(PointPrompt(1700, 450), 1.0)
    rig.settle()
    assert rig.slow.encoded == before


def test_without_a_stand_in_the_model_alone_answers(rig: Rig) -> None:
    rig.session.set_stand_in(None)
    rig.session.add_point(PointPrompt(500, 400), 1.0)
    rig.slow.go.set()
    rig.settle()
    assert rig.quick.predicted == 0
    assert rig.session.proposal.current.engine == "slow"


def test_other_options_ask_again(rig: Rig) -> None:
    rig.slow.go.set()
    rig.session.add_point(PointPrompt(500, 400), 1.0)
    rig.settle()
    assert len(rig.session.proposal.candidates) == 3
    before = rig.session.proposal.current.shape.area
    rig.session.set_options(MaskOptions(multimask=False, threshold=5.0))
    rig.settle()
    assert len(rig.session.proposal.candidates) == 1
    assert rig.session.proposal.current.shape.area == pytest.approx(before * (15 / 20) ** 2, rel=0.02)


def test_boxes_can_be_collected(rig: Rig) -> None:
    rig.slow.go.set()
    first, second = Bounds(400, 300, 500, 400), Bounds(600, 300, 700, 400)
    rig.session.add_box(BoxPrompt(first), 1.0)
    rig.session.add_box(BoxPrompt(second), 1.0, more=True)
    rig.settle()
    assert [box.bounds for box in rig.session.proposal.prompts.boxes] == [first, second]
    rig.session.take_back()
    assert [box.bounds for box in rig.session.proposal.prompts.boxes] == [first]
    rig.session.add_box(BoxPrompt(second), 1.0)
    assert [box.bounds for box in rig.session.proposal.prompts.boxes] == [second]


def test_a_second_click_does_not_begin_the_encode_anew(rig: Rig) -> None:
    rig.session.add_point(PointPrompt(500, 400), 1.0)
    assert rig.slow.began.wait(5)
    rig.session.add_point(PointPrompt(520, 400), 1.0)
    rig.slow.go.set()
    rig.settle()
    assert rig.slow.encoded == 1
    assert rig.session.proposal.current.shape.contains(520, 400)
    assert rig.session.proposal.current.engine == "slow"


def test_a_preview_on_a_ready_chip_does_not_wait_for_the_encode_of_another(rig: Rig) -> None:
    rig.slow.go.set()
    rig.session.view_rested(Bounds(0, 0, 500, 500), 1.0)
    rig.settle()
    rig.slow.go.clear()
    rig.slow.began.clear()
    rig.session.view_rested(Bounds(0, 0, 5000, 900), 1.0)
    assert rig.slow.began.wait(5)
    rig.session.hover(300, 300, 1.0)
    rig.until(lambda: rig.session.proposal.candidates)
    assert rig.session.proposal.current.engine == "slow"
    assert not rig.slow.go.is_set()


def test_what_cannot_be_encoded_is_not_tried_at_every_rest(rig: Rig) -> None:
    told: list[str] = []
    rig.jobs.failed.connect(lambda job: told.append(job.error.message))
    rig.slow.error = SamdeskError("Out of memory.")
    rig.slow.go.set()
    for _ in range(5):
        rig.session.view_rested(Bounds(0, 0, 900, 900), 1.0)
        rig.settle()
    assert len(told) <= 2
    assert rig.session.counts.encoded == 0


def test_a_click_after_a_double_click_takes_the_keeping_back(rig: Rig) -> None:
    rig.session.add_point(PointPrompt(500, 400), 1.0)
    rig.session.accept_when_ready()
    rig.session.add_point(PointPrompt(520, 400), 1.0)
    rig.slow.go.set()
    rig.settle()
    assert not rig.kept
    assert rig.session.can_accept


def test_a_sketch_stays_marked_when_sketching_is_switched_off(rig: Rig) -> None:
    rig.session.add_point(PointPrompt(500, 400), 1.0)
    rig.until(lambda: rig.session.proposal.candidates)
    rig.session.set_stand_in(None)
    assert rig.session.proposal.stand_in == "Fake (discs)"


def test_wider_chips_still_hold_every_prompt(rig: Rig) -> None:
    rig.session.set_stand_in(None)
    rig.slow.go.set()
    rig.slow.radius = 700
    rig.session.add_point(PointPrompt(2048, 450), 1.0)
    rig.settle()
    rig.session.add_point(PointPrompt(2900, 450, False), 1.0)
    rig.settle()
    region = rig.session.proposal.current.region.bounds
    assert region.x0 <= 2048 <= region.x1
    assert region.x0 <= 2900 <= region.x1
