"""The prompt session: newest wins, nothing stale is shown, encode ahead, accept and take back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.session import PromptSession
from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import BoxPrompt, Candidate, PointPrompt, Prompts
from samdesk.sdk import Image, Segmenter, open_image
from tests.fakes import FakeEngine


class Rig:
    """A session over a real picture and the fake engine, without a window."""

    def __init__(self, image: Image) -> None:
        self.main = MainQueue()
        self.jobs = Jobs(self.main)
        self.image = image
        self.engine = FakeEngine()
        self.kept: list[tuple[Candidate, Prompts]] = []
        self.willing = True
        self.session = PromptSession(self.jobs, Segmenter(self.engine), self._keep)
        self.session.set_image(image)

    def _keep(self, candidate: Candidate, prompts: Prompts) -> bool:
        if self.willing:
            self.kept.append((candidate, prompts))
        return self.willing

    def settle(self) -> None:
        self.main.run_until(lambda: self.jobs.idle, 10)
        self.main.drain()
        if not self.jobs.idle:
            self.settle()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.full((900, 3000, 3), 90, np.uint8))
    image = open_image(path)
    made = Rig(image)
    yield made
    made.jobs.close()
    image.close()


def test_a_click_is_answered_where_it_was_made(rig: Rig) -> None:
    rig.session.add_point(PointPrompt(2000.5, 400.5), 1.0)
    rig.settle()
    shape = rig.session.proposal.current.shape
    assert shape.contains(2000.5, 400.5)
    assert shape.centroid == pytest.approx((2000.5, 400.5), abs=1)
    assert rig.session.proposal.state == "ready"


def test_accept_hands_over_candidate_and_prompts_and_begins_anew(rig: Rig) -> None:
    rig.session.add_point(PointPrompt(500, 400), 1.0)
    rig.settle()
    shown = rig.session.proposal.current
    assert rig.session.accept()
    assert rig.kept == [(shown, Prompts((PointPrompt(500, 400),)))]
    assert rig.session.proposal.current is None
    assert not rig.session.has_prompts


def test_a_refused_commit_keeps_the_candidate(rig: Rig) -> None:
    rig.session.add_point(PointPrompt(500, 400), 1.0)
    rig.settle()
    rig.willing = False
    assert not rig.session.accept()
    assert rig.session.proposal.current is not None


def test_nothing_can_be_accepted_while_the_answer_is_under_way(rig: Rig) -> None:
    rig.session.add_point(PointPrompt(500, 400), 1.0)
    rig.settle()
    rig.session.add_point(PointPrompt(560, 400), 1.0)
    assert not rig.session.accept()
    rig.session.accept_when_ready()
    rig.settle()
    assert [p.points for _, p in rig.kept] == [(PointPrompt(500, 400), PointPrompt(560, 400))]


def test_of_many_quick_clicks_only_the_last_answer_is_shown(rig: Rig) -> None:
    for x in range(300, 330):
        rig.session.add_point(PointPrompt(x, 400), 1.0)
    rig.settle()
    assert len(rig.session.proposal.prompts.points) == 30
    assert rig.session.counts.answered == 1
    assert rig.session.proposal.current.shape.contains(329, 400)


def test_an_answer_that_comes_after_escape_is_dropped(rig: Rig) -> None:
    rig.session.add_point(PointPrompt(500, 400), 1.0)
    rig.session.drop()
    rig.settle()
    assert rig.session.proposal.current is None
    assert rig.session.counts.answered == 0


def test_take_back_walks_to_the_beginning(rig: Rig) -> None:
    rig.session.add_box(BoxPrompt(Bounds(400, 300, 600, 500)), 1.0)
    rig.session.add_point(PointPrompt(500, 400), 1.0)
    rig.session.add_point(PointPrompt(520, 410, False), 1.0)
    rig.session.take_back()
    rig.session.take_back()
    rig.settle()
    assert rig.session.proposal.prompts == Prompts(boxes=(BoxPrompt(Bounds(400, 300, 600, 500)),))
    rig.session.take_back()
    assert not rig.session.has_prompts


def test_prompts_outside_the_image_or_only_negative_do_nothing(rig: Rig) -> None:
    rig.session.add_point(PointPrompt(-1, 5), 1.0)
    rig.session.add_point(PointPrompt(3000, 5), 1.0)
    rig.session.add_point(PointPrompt(50, 50, False), 1.0)
    rig.session.add_box(BoxPrompt(Bounds(-50, -50, -10, -10)), 1.0)
    rig.settle()
    assert not rig.session.has_prompts
    assert rig.engine.encoded == 0


def test_a_box_is_cut_to_the_image(rig: Rig) -> None:
    rig.session.add_box(BoxPrompt(Bounds(-50, -50, 100, 100)), 1.0)
    rig.settle()
    assert rig.session.proposal.prompts.boxes[0].bounds == Bounds(0, 0, 100, 100)


def test_hover_shows_a_preview_only_where_it_costs_nothing(rig: Rig) -> None:
    rig.session.hover(500, 400, 1.0)
    rig.settle()
    assert rig.session.proposal.state == "cold"
    assert rig.session.proposal.current is None
    rig.session.view_rested(Bounds(0, 0, 1000, 900), 1.0)
    rig.settle()
    assert rig.session.proposal.hover
    assert rig.session.proposal.current.shape.contains(500, 400)
    assert rig.session.proposal.state == "ready"
    rig.session.leave()
    assert rig.session.proposal.current is None


def test_hover_ends_at_the_last_position_however_quick_the_pointer(rig: Rig) -> None:
    rig.session.hover(500, 400, 1.0)
    rig.session.view_rested(Bounds(0, 0, 1000, 900), 1.0)
    rig.settle()
    before = rig.engine.predicted
    for x in range(400, 460):
        rig.session.hover(x, 300, 1.0)
    rig.settle()
    assert rig.session.proposal.current.shape.contains(459, 300)
    assert rig.engine.predicted - before <= 3


def test_a_rested_view_makes_the_next_click_warm(rig: Rig) -> None:
    rig.session.view_rested(Bounds(0, 0, 1000, 900), 1.0)
    rig.settle()
    encoded = rig.engine.encoded
    assert encoded >= 1
    rig.session.add_point(PointPrompt(500, 450), 1.0)
    rig.settle()
    assert rig.engine.encoded == encoded
    assert rig.session.counts.warm == 1


def test_panning_back_finds_the_same_chips(rig: Rig) -> None:
    for bounds in (Bounds(0, 0, 1000, 900), Bounds(1900, 0, 2900, 900)):
        rig.session.view_rested(bounds, 1.0)
        rig.settle()
    encoded = rig.engine.encoded
    rig.session.view_rested(Bounds(0, 0, 1000, 900), 1.0)
    rig.settle()
    assert rig.engine.encoded == encoded


def test_a_click_does_not_wait_for_all_chips_ahead(rig: Rig) -> None:
    rig.session.view_rested(Bounds(0, 0, 3000, 900), 1.0)
    rig.session.add_point(PointPrompt(2500, 450), 1.0)
    rig.settle()
    assert rig.session.proposal.current is not None
    assert rig.engine.encoded <= 2


def test_another_image_drops_everything(rig: Rig) -> None:
    rig.session.add_point(PointPrompt(500, 400), 1.0)
    rig.session.set_image(None)
    rig.settle()
    assert rig.session.proposal.state == "none"
    assert not rig.session.has_prompts


def test_cycling_goes_round(rig: Rig) -> None:
    rig.session.add_point(PointPrompt(500, 400), 1.0)
    rig.settle()
    count = len(rig.session.proposal.candidates)
    assert count > 1
    seen = []
    for _ in range(count):
        seen.append(rig.session.proposal.index)
        rig.session.cycle()
    assert seen == list(range(count))
    assert rig.session.proposal.index == 0


def test_an_object_that_reaches_beyond_the_chip_is_looked_at_from_further_away(rig: Rig) -> None:
    rig.engine.radius = 600.0
    rig.session.add_point(PointPrompt(1500, 450), 1.0)
    rig.settle()
    candidate = rig.session.proposal.current
    assert candidate.region.downsample > 1
    assert not candidate.at_edge
    assert candidate.shape.bounds.width > 1024
    assert rig.session.counts.answered == 1


def test_looking_further_ends_at_the_whole_image(rig: Rig) -> None:
    rig.engine.radius = 5000.0
    rig.session.add_point(PointPrompt(1500, 450), 1.0)
    rig.settle()
    candidate = rig.session.proposal.current
    assert candidate.region.bounds.width >= 3000
    assert not candidate.at_edge
    assert rig.session.can_accept


def test_a_point_that_was_removed_is_put_back_with_the_candidate_that_was_shown(rig: Rig) -> None:
    rig.session.add_point(PointPrompt(500, 400), 1.0)
    rig.settle()
    rig.session.cycle()
    shown = rig.session.proposal
    rig.session.remove_point(0)
    rig.session.hover(510, 400, 1.0)
    rig.session.put_back()
    assert rig.session.proposal.current is shown.current
    rig.settle()
    assert rig.session.proposal.prompts == shown.prompts
    assert rig.session.proposal.current is shown.current
    assert rig.session.accept()
    assert rig.kept[0][0] is shown.current


def test_a_point_is_put_back_while_the_answer_is_under_way(rig: Rig) -> None:
    rig.session.add_point(PointPrompt(500, 400), 1.0)
    rig.session.remove_point(0)
    rig.session.put_back()
    rig.session.accept_when_ready()
    rig.settle()
    assert rig.kept[0][0].shape.contains(500, 400)


def test_a_point_is_not_put_back_once_something_else_was_done(rig: Rig) -> None:
    rig.session.add_point(PointPrompt(500, 400), 1.0)
    rig.settle()
    rig.session.remove_point(0)
    rig.session.add_point(PointPrompt(900, 400), 1.0)
    rig.session.put_back()
    rig.settle()
    assert [one.x for one in rig.session.proposal.prompts.points] == [900]
    rig.session.remove_point(0)
    rig.session.set_image(rig.image)
    rig.session.put_back()
    assert not rig.session.has_prompts
