"""Preparing in the background: clicks first, one job, stopped at once, and what is ready is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from samdesk.app.jobs import Job, Jobs, MainQueue
from samdesk.app.precompute import ASK_FROM, Preparing, prepared_text, visible_ready_chips
from samdesk.domain.geometry import Bounds, Plane, Shape
from samdesk.domain.prompts import PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import ENGINES, Embedding
from samdesk.engines.cache import DiskCache, EmbeddingStore
from samdesk.sdk import Image, Segmenter, open_image
from samdesk.sdk.precompute import Prepared
from tests.fakes import FakeAsk, FakeEngine

WHOLE = Bounds(0, 0, 3000, 2000)
CHIPS = 5 * 3
"""Of the picture, at full resolution."""


class GatedEngine(FakeEngine):
    """Encodes one chip and then waits until it is let on."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = threading.Event()
        self.gate = threading.Event()
        self.order: list[str] = []

    def encode(self, chip: NDArray[np.uint8], task: Task) -> Embedding:
        self.inside.set()
        self.gate.wait(10)
        self.order.append("encode")
        return super().encode(chip, task)


class Rig:
    """Jobs, a picture and an engine, without a window."""

    def __init__(self, image: Image, folder: Path) -> None:
        self.main = MainQueue()
        self.jobs = Jobs(self.main)
        self.image = image
        self.engine = GatedEngine()
        self.segmenter = Segmenter(self.engine, cache=EmbeddingStore(disk=DiskCache(folder)))
        self.preparing = Preparing(self.jobs)
        self.told: list[str] = []
        self.preparing.finished.connect(self.told.append)
        self.ready: list[int] = []
        self.preparing.changed.connect(lambda: self.ready.append(self.count_ready()))

    def start(self, where: Bounds | Shape = WHOLE, downsample: float = 1.0, **more: Any) -> Job[Prepared]:
        job = self.preparing.start(self.segmenter, self.image, where, "the view", downsample, **more)
        assert job is not None
        return job

    def count_ready(self) -> int:
        return len(visible_ready_chips(self.segmenter, self.image, WHOLE, 1.0))

    def settle(self) -> None:
        self.main.run_until(lambda: self.jobs.idle, 10)
        self.main.drain()


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "picture.png"
    cv2.imwrite(str(path), np.full((2000, 3000, 3), 90, np.uint8))
    return path


@pytest.fixture
def rig(picture: Path, tmp_path: Path) -> Iterator[Rig]:
    image = open_image(picture)
    made = Rig(image, tmp_path / "embeddings")
    yield made
    made.engine.gate.set()
    made.jobs.close()
    image.close()


def test_what_is_prepared_is_ready_and_told(rig: Rig) -> None:
    rig.engine.gate.set()
    assert rig.count_ready() == 0
    job = rig.start()
    assert rig.preparing.running
    rig.settle()
    assert (job.state, rig.engine.encoded) == ("done", CHIPS)
    assert rig.count_ready() == CHIPS
    assert rig.ready[-1] == CHIPS
    assert rig.ready == sorted(rig.ready)
    assert not rig.preparing.running
    assert rig.told == [f"Clicks in the view are answered at once now: {CHIPS} chips in a few seconds."]
    for x, y in ((10, 10), (1500, 1000), (2990, 1990)):
        rig.segmenter.segment(rig.image, Prompts((PointPrompt(x, y),)))
    assert rig.engine.encoded == CHIPS


def test_it_is_one_job_with_one_progress(rig: Rig) -> None:
    rig.engine.gate.set()
    seen: list[tuple[str, str]] = []
    rig.jobs.changed.connect(lambda job: seen.append((job.title, job.progress.message)))
    job = rig.start()
    assert rig.jobs.visible == (job,)
    rig.settle()
    assert {title for title, _ in seen} == {"Preparing the view"}
    assert job.progress.message == f"{CHIPS} of {CHIPS}"
    assert rig.jobs.visible == ()


def test_a_click_waits_for_one_chip_at_most(rig: Rig) -> None:
    rig.start()
    assert rig.engine.inside.wait(5)
    lane, order = rig.jobs.lane("model"), rig.engine.order
    lane.submit(lambda task: order.append("ahead"), priority=5)
    lane.submit(lambda task: order.append("click"), priority=-1)
    rig.engine.gate.set()
    rig.settle()
    assert order == ["encode", "click", "ahead", *["encode"] * (CHIPS - 1)]


def test_stop_ends_it_at_once_and_what_is_ready_stays(rig: Rig) -> None:
    job = rig.start()
    assert rig.engine.inside.wait(5)
    rig.preparing.stop()
    assert job.state == "cancelled"
    assert rig.jobs.visible == ()
    rig.engine.gate.set()
    rig.settle()
    assert rig.engine.order == ["encode"]
    assert not rig.preparing.running
    assert rig.told == []
    rig.start()
    rig.settle()
    assert rig.count_ready() == CHIPS
    assert len(rig.engine.order) <= CHIPS + 1


def test_two_things_are_prepared_in_turn(rig: Rig) -> None:
    rig.engine.gate.set()
    first = rig.start(Bounds(0, 0, 900, 900))
    second = rig.start(Shape.box(2000, 1000, 2900, 1900), plane=Plane())
    rig.settle()
    assert (first.state, second.state) == ("done", "done")
    assert len(rig.told) == 2


def test_one_thinks_twice_before_much_is_prepared(rig: Rig) -> None:
    rig.engine.gate.set()
    ask = RememberingAsk()
    few = rig.preparing.start(rig.segmenter, rig.image, WHOLE, "the slide", 1.0, ask=ask)
    assert few is not None
    assert ask.asked == []
    rig.settle()
    tiny = 1 / 16  # as on a slide of 16 times the size
    assert rig.preparing.start(rig.segmenter, rig.image, WHOLE, "the slide", tiny, ask=ask) is None
    ((text, options),) = ask.asked
    assert "the slide" in text
    assert int(text.split(", ")[1].split()[0].replace(",", "")) > ASK_FROM
    ask.answer = options.index("Prepare")
    assert rig.preparing.start(rig.segmenter, rig.image, WHOLE, "the slide", tiny, ask=ask) is not None
    rig.preparing.stop()
    rig.settle()


class RememberingAsk(FakeAsk):
    """Remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, Sequence[str]]] = []

    def choose(self, text: str, hint: str, options: Sequence[str]) -> int | None:  # type: ignore[override]
        self.asked.append((text, options))
        return self.answer


def test_a_failure_is_told_like_any_other(rig: Rig) -> None:
    rig.engine.gate.set()
    failed: list[Job[Any]] = []
    rig.jobs.failed.connect(failed.append)
    rig.segmenter.cache.memory.limit_bytes = 2 << 20
    rig.segmenter.cache.disk = None
    job = rig.start()
    rig.settle()
    assert failed == [job]
    assert "2 of 15 are ready" in failed[0].error.message  # type: ignore[union-attr]
    assert not rig.preparing.running


def test_nothing_is_ready_on_an_engine_that_is_not_loaded(rig: Rig) -> None:
    unloaded = Segmenter(ENGINES["classical"], load=lambda task: rig.engine)
    assert visible_ready_chips(unloaded, rig.image, WHOLE, 1.0) == []
    assert not unloaded.is_loaded


@pytest.mark.parametrize(
    ("prepared", "text"),
    [
        (Prepared(0, 0, 0, 0), "There is nothing to prepare: it lies outside the image."),
        (Prepared(1, 0, 0, 0), "All of it was ready before (1 chip)."),
        (
            Prepared(1200, 1199, 4000, 9),
            "Clicks in it are answered at once now: 1,200 chips in about 67 min; 1 was ready before.",
        ),
        (
            Prepared(12, 2, 60, 9),
            "Clicks in it are answered at once now: 12 chips in about 60 s; 10 were ready before.",
        ),
    ],
)
def test_the_end_is_told_in_words(prepared: Prepared, text: str) -> None:
    assert prepared_text("it", prepared) == text
