"""What every engine must do, the fake included: sessions, server and notebooks rely on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.domain.tasks import Cancelled, Task
from samdesk.engines.base import ENGINES, Engine, MaskLogits, load_engine
from tests.fakes import FakeEngine

BUILT: dict[str, Callable[[], Engine]] = {
    "fake": FakeEngine,
    **{
        name: lambda name=name: load_engine(name)  # type: ignore[misc]
        for name, spec in ENGINES.items()
        if not spec.needs_weights
    },
}

X, Y, RADIUS = 70.0, 52.0, 20.0


def disc_chip(width: int = 128, height: int = 96) -> NDArray[np.uint8]:
    """A bright disc on a dark ground, with noise."""
    ys, xs = np.mgrid[:height, :width] + 0.5
    cover = np.clip(RADIUS - np.hypot(xs - X, ys - Y) + 0.5, 0, 1)
    gray = 60 + 120 * cover + np.random.default_rng(0).normal(0, 3, cover.shape)
    return np.repeat(gray.round().astype(np.uint8)[..., None], 3, axis=2)


def click(x: float, y: float, positive: bool = True) -> Prompts:
    return Prompts((PointPrompt(x, y, positive),))


def at(answer: MaskLogits, x: float, y: float, chip: NDArray[np.uint8]) -> float:
    """The logit of a chip pixel, at whatever resolution the logits are."""
    h, w = answer.logits.shape
    return float(answer.logits[int(y * h / chip.shape[0]), int(x * w / chip.shape[1])])


def same(a: list[MaskLogits], b: list[MaskLogits]) -> bool:
    return len(a) == len(b) and all(
        p.score == q.score and np.array_equal(p.logits, q.logits) for p, q in zip(a, b, strict=True)
    )


@pytest.fixture(params=BUILT)
def engine(request: pytest.FixtureRequest) -> Engine:
    return BUILT[request.param]()


@pytest.mark.parametrize("name", [name for name in BUILT if name in ENGINES])
def test_table_tells_what_the_engine_says(name: str) -> None:
    built = BUILT[name]()
    assert (built.name, built.title) == (ENGINES[name].name, ENGINES[name].title)


def test_embedding_describes_itself_and_leaves_the_chip_alone(engine: Engine) -> None:
    chip = disc_chip()
    before = chip.copy()
    embedding = engine.encode(chip, Task())
    assert (embedding.engine, embedding.width, embedding.height) == (engine.name, 128, 96)
    assert embedding.nbytes > 0
    assert np.array_equal(chip, before)


def test_read_only_and_strided_chips_are_taken(engine: Engine) -> None:
    chip = disc_chip()
    plain = engine.predict(engine.encode(chip, Task()), click(X, Y), Task())
    view = np.repeat(chip, 2, axis=1)[:, ::2]
    view.flags.writeable = False
    assert same(plain, engine.predict(engine.encode(view, Task()), click(X, Y), Task()))


@pytest.mark.parametrize(
    "prompts",
    [click(X, Y), Prompts(boxes=(BoxPrompt(Bounds(X - 21, Y - 21, X + 21, Y + 21)),))],
    ids=["click", "box"],
)
def test_clear_disc_is_found(engine: Engine, prompts: Prompts) -> None:
    chip = disc_chip()
    best = engine.predict(engine.encode(chip, Task()), prompts, Task())[0]
    h, w = best.logits.shape
    ys, xs = np.mgrid[:h, :w] + 0.5
    truth = np.hypot(xs * 128 / w - X, ys * 96 / h - Y) < RADIUS
    found = best.logits > 0
    assert (found & truth).sum() > 0.85 * (found | truth).sum()


def test_answers_are_finite_logits_with_falling_scores(engine: Engine) -> None:
    chip = disc_chip()
    answers = engine.predict(engine.encode(chip, Task()), click(X, Y), Task())
    assert answers
    for answer in answers:
        assert answer.logits.ndim == 2
        assert answer.logits.dtype == np.float32
        assert np.isfinite(answer.logits).all()
        assert (answer.logits > 0).any()
        assert 0 <= answer.score <= 1
    scores = [answer.score for answer in answers]
    assert scores == sorted(scores, reverse=True)


def test_points_are_obeyed(engine: Engine) -> None:
    chip = disc_chip()
    prompts = Prompts((PointPrompt(X, Y), PointPrompt(X + 10, Y), PointPrompt(20, 20, False)))
    for answer in engine.predict(engine.encode(chip, Task()), prompts, Task()):
        assert at(answer, X, Y, chip) > 0
        assert at(answer, X + 10, Y, chip) > 0
        assert at(answer, 20, 20, chip) < 0


def test_same_question_same_answer_whatever_was_asked_between(engine: Engine) -> None:
    embedding = engine.encode(disc_chip(), Task())
    first = engine.predict(embedding, click(X, Y), Task())
    engine.predict(embedding, click(20, 20), Task())
    engine.encode(disc_chip()[:50], Task())
    assert same(first, engine.predict(embedding, click(X, Y), Task()))


def test_embedding_serves_another_instance(engine: Engine) -> None:
    embedding = engine.encode(disc_chip(), Task())
    other = type(engine)()
    assert same(engine.predict(embedding, click(X, Y), Task()), other.predict(embedding, click(X, Y), Task()))


@pytest.mark.parametrize(
    "prompts",
    [Prompts(), Prompts(text="nucleus"), click(X, Y, positive=False)],
    ids=["nothing", "text", "only negative"],
)
def test_nothing_to_find_is_an_empty_answer(engine: Engine, prompts: Prompts) -> None:
    assert engine.predict(engine.encode(disc_chip(), Task()), prompts, Task()) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3), (5, 700), (33, 17)])
def test_chips_of_any_size(engine: Engine, shape: tuple[int, int]) -> None:
    chip = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    embedding = engine.encode(chip, Task())
    corners = Prompts((PointPrompt(0, 0), PointPrompt(shape[1], shape[0])))
    box = Prompts(boxes=(BoxPrompt(Bounds(0, 0, shape[1], shape[0])),))
    for prompts in (click(0.5, 0.5), corners, box):
        for answer in engine.predict(embedding, prompts, Task()):
            assert np.isfinite(answer.logits).all()


def test_prompts_outside_the_chip_do_no_harm(engine: Engine) -> None:
    embedding = engine.encode(disc_chip(), Task())
    far = Prompts(
        (PointPrompt(-50, 1e6), PointPrompt(1e9, -1e9, False)),
        (BoxPrompt(Bounds(-40, -40, -20, -20)), BoxPrompt(Bounds(500, 500, 900, 900), False)),
    )
    for answer in engine.predict(embedding, far, Task()):
        assert np.isfinite(answer.logits).all()


def test_cancelled_task_stops_the_work(engine: Engine) -> None:
    embedding = engine.encode(disc_chip(), Task())
    task = Task()
    task.cancel()
    with pytest.raises(Cancelled):
        engine.encode(disc_chip(), task)
    with pytest.raises(Cancelled):
        engine.predict(embedding, click(X, Y), task)
