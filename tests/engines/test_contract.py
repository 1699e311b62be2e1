"""What every engine must do, the fake included: sessions, server and notebooks rely on it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.domain.tasks import Cancelled, Task
from samdesk.engines.base import ENGINES, Embedding, Engine, MaskLogits, engine_spec, load_engine
from samdesk.engines.sam3 import Sam3Engine
from tests.engines.seeded_sam import mobile_sam_checkpoint, sam_checkpoint
from tests.engines.seeded_sam2 import sam2_checkpoint
from tests.engines.seeded_sam3 import SMALL, sam3_checkpoint
from tests.fakes import FakeEngine

Make = Callable[[Path], Engine]


def seeded(name: str, write: Callable[[Path], Path]) -> Make:
    """The real architecture and its real loading, with weights that have learned nothing."""
    return lambda folder: load_engine(name, weights=write(folder), device="cpu", precision="float32")


BUILT: dict[str, Make] = {
    "fake": lambda folder: FakeEngine(),
    "classical": lambda folder: load_engine("classical"),
    "sam": seeded("sam", lambda folder: sam_checkpoint(folder, small=True)),
    "mobile_sam": seeded("mobile_sam", mobile_sam_checkpoint),
    "sam2": seeded("sam2", sam2_checkpoint),
    "sam3": lambda folder: Sam3Engine(
        sam3_checkpoint(folder), device="cpu", precision="float32", config=SMALL
    ),
}
SEEING = ("fake", "classical")
"""Engines that need no learned weights, and so can be asked where an object is."""

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


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Engine]:
    return cache(lambda name: BUILT[name](tmp_path_factory.mktemp(name)))


@pytest.fixture(params=BUILT)
def engine(request: pytest.FixtureRequest, make: Callable[[str], Engine]) -> Engine:
    return make(request.param)


@pytest.fixture(scope="module")
def encoded() -> Callable[[Engine], Embedding]:
    """The embedding of the disc, made once for each engine."""
    return cache(lambda engine: engine.encode(disc_chip(), Task()))


@pytest.fixture
def embedding(engine: Engine, encoded: Callable[[Engine], Embedding]) -> Embedding:
    return encoded(engine)


@pytest.fixture(params=SEEING)
def seeing(request: pytest.FixtureRequest, make: Callable[[str], Engine]) -> Engine:
    return make(request.param)


def test_every_engine_is_tested() -> None:
    assert set(BUILT) == {"fake", *ENGINES}


@pytest.mark.parametrize("name", ENGINES)
def test_table_tells_what_the_engine_says(name: str, make: Callable[[str], Engine]) -> None:
    built = make(name)
    assert built.name == name
    assert built.identity.partition(":")[0] in (ENGINES[name].types or (name,))
    assert built.device == "cpu"
    assert (built.nbytes > 0) == ENGINES[name].needs_weights
    assert hasattr(built, "find") == ENGINES[name].finds
    if not ENGINES[name].needs_weights:
        assert built.title == ENGINES[name].title


@pytest.mark.parametrize("name", [name for spec in ENGINES.values() for name in spec.types])
def test_a_model_type_leads_to_its_engine(name: str) -> None:
    assert name in engine_spec(name).types


def test_embedding_describes_itself_and_leaves_the_chip_alone(engine: Engine) -> None:
    chip = disc_chip()
    before = chip.copy()
    embedding = engine.encode(chip, Task())
    assert (embedding.engine, embedding.width, embedding.height) == (engine.identity, 128, 96)
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
def test_clear_disc_is_found(seeing: Engine, prompts: Prompts) -> None:
    chip = disc_chip()
    best = seeing.predict(seeing.encode(chip, Task()), prompts, Task())[0]
    h, w = best.logits.shape
    ys, xs = np.mgrid[:h, :w] + 0.5
    truth = np.hypot(xs * 128 / w - X, ys * 96 / h - Y) < RADIUS
    found = best.logits > 0
    assert (found & truth).sum() > 0.85 * (found | truth).sum()


def test_answers_are_finite_logits_with_falling_scores(engine: Engine, embedding: Embedding) -> None:
    answers = engine.predict(embedding, click(X, Y), Task())
    assert len(answers) in (2, 3)
    for answer in answers:
        assert answer.logits.ndim == 2
        assert answer.logits.dtype == np.float32
        assert np.isfinite(answer.logits).all()
        assert 0 <= answer.score <= 1
    scores = [answer.score for answer in answers]
    assert scores == sorted(scores, reverse=True)


def test_points_are_obeyed(seeing: Engine) -> None:
    chip = disc_chip()
    prompts = Prompts((PointPrompt(X, Y), PointPrompt(X + 10, Y), PointPrompt(20, 20, False)))
    for answer in seeing.predict(seeing.encode(chip, Task()), prompts, Task()):
        assert at(answer, X, Y, chip) > 0
        assert at(answer, X + 10, Y, chip) > 0
        assert at(answer, 20, 20, chip) < 0


def test_same_question_same_answer_whatever_was_asked_between(engine: Engine, embedding: Embedding) -> None:
    first = engine.predict(embedding, click(X, Y), Task())
    engine.predict(embedding, click(20, 20), Task())
    engine.encode(disc_chip()[:50], Task())
    assert same(first, engine.predict(embedding, click(X, Y), Task()))


def test_embedding_serves_another_instance(
    engine: Engine, embedding: Embedding, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    name = request.node.callspec.params["engine"]
    other = BUILT[name](tmp_path)
    assert other.identity == engine.identity
    assert same(engine.predict(embedding, click(X, Y), Task()), other.predict(embedding, click(X, Y), Task()))


def test_a_packed_embedding_answers_alike(engine: Engine, embedding: Embedding) -> None:
    packed = engine.pack(embedding)
    if packed is None:
        assert engine.name == "classical", "its encoding is as quick as reading"
        return
    again = engine.unpack(packed, embedding.width, embedding.height)
    assert (again.engine, again.width, again.height) == (engine.identity, 128, 96)
    for a, b in zip(
        engine.predict(embedding, click(X, Y), Task()),
        engine.predict(again, click(X, Y), Task()),
        strict=True,
    ):
        assert np.mean((a.logits > 0) == (b.logits > 0)) > 0.99
        assert a.score == pytest.approx(b.score, abs=0.02)


def test_a_batch_answers_each_prompt_as_if_asked_alone(engine: Engine, embedding: Embedding) -> None:
    asked = [
        click(X, Y),
        click(20, 20),
        Prompts(boxes=(BoxPrompt(Bounds(X - 21, Y - 21, X + 21, Y + 21)),)),
        click(X, Y, positive=False),
    ]
    batch = engine.predict_batch(embedding, asked, Task())
    assert len(batch.logits) == len(batch.scores) == 4
    assert not batch.scores[3].any()
    assert np.isneginf(batch.logits[3]).all()
    for n, prompts in enumerate(asked[:3]):
        alone = engine.predict(embedding, prompts, Task(), multimask=True)
        there = list(zip(batch.logits[n], np.clip(batch.scores[n], 0, 1), strict=True))
        for one in alone:
            assert any(
                score == pytest.approx(one.score, abs=1e-4) and np.allclose(logits, one.logits, atol=2e-3)
                for logits, score in there
            )


def test_one_proposal_or_several_as_asked(engine: Engine, embedding: Embedding) -> None:
    box = Prompts(boxes=(BoxPrompt(Bounds(X - 21, Y - 21, X + 21, Y + 21)),))
    for prompts in (click(X, Y), box):
        assert len(engine.predict(embedding, prompts, Task(), multimask=False)) == 1
        assert len(engine.predict(embedding, prompts, Task(), multimask=True)) >= 2


def test_what_the_logits_cover_is_the_chip_at_least(engine: Engine, embedding: Embedding) -> None:
    for answer in engine.predict(embedding, click(X, Y), Task()):
        width, height = answer.extent or (128, 96)
        assert width >= 128 - 1e-6
        assert height >= 96 - 1e-6


@pytest.mark.parametrize(
    "prompts",
    [Prompts(), Prompts(text="nucleus"), click(X, Y, positive=False)],
    ids=["nothing", "text", "only negative"],
)
def test_nothing_to_find_is_an_empty_answer(engine: Engine, embedding: Embedding, prompts: Prompts) -> None:
    assert engine.predict(embedding, prompts, Task()) == []


@pytest.mark.parametrize("shape", [(1, 1), (5, 700), (33, 17)])
def test_chips_of_any_size(engine: Engine, shape: tuple[int, int]) -> None:
    chip = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    embedding = engine.encode(chip, Task())
    corners = Prompts((PointPrompt(0, 0), PointPrompt(shape[1], shape[0])))
    box = Prompts(boxes=(BoxPrompt(Bounds(0, 0, shape[1], shape[0])),))
    for prompts in (click(0.5, 0.5), corners, box):
        for answer in engine.predict(embedding, prompts, Task()):
            assert np.isfinite(answer.logits).all()


def test_prompts_outside_the_chip_do_no_harm(engine: Engine, embedding: Embedding) -> None:
    far = Prompts(
        (PointPrompt(-50, 1e6), PointPrompt(1e9, -1e9, False)),
        (BoxPrompt(Bounds(-40, -40, -20, -20)), BoxPrompt(Bounds(500, 500, 900, 900), False)),
    )
    for answer in engine.predict(embedding, far, Task()):
        assert np.isfinite(answer.logits).all()


def test_cancelled_task_stops_the_work(engine: Engine, embedding: Embedding) -> None:
    task = Task()
    task.cancel()
    with pytest.raises(Cancelled):
        engine.encode(disc_chip(), task)
    with pytest.raises(Cancelled):
        engine.predict(embedding, click(X, Y), task)
