"""SAM 3 against the package's own processor and predictor on the same seeded weights, CPU, float32."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Shape
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.domain.tasks import Cancelled, Progress, Task
from samdesk.engines.base import MaskLogits

torch = pytest.importorskip("torch")
if not (find_spec("sam3") and find_spec("open_clip")):
    pytest.skip("needs the packages of the models", allow_module_level=True)

from samdesk.engines.sam3 import Sam3Config, Sam3Engine  # noqa: E402
from samdesk.engines.sam3.compat import Unpinned, sam3_module, standing_in  # noqa: E402
from samdesk.engines.sam3.exemplars import exemplars  # noqa: E402
from samdesk.engines.sam3.model import INTERACTIVE, build_model, fill  # noqa: E402
from samdesk.engines.sam3.vocabulary import checked, readable, vocabulary_path  # noqa: E402
from tests.engines.seeded import save_pt  # noqa: E402
from tests.engines.seeded_sam3 import (  # noqa: E402
    SMALL,
    published_keys,
    reference_model,
    seeded_sam3_state,
)

WIDTH, HEIGHT = 300, 200
CLICK = Prompts((PointPrompt(120, 80),))
BOX = BoxPrompt(Bounds(40, 30, 150, 120))
EXAMPLE, COUNTEREXAMPLE = BOX, BoxPrompt(Bounds(200, 100, 260, 160), positive=False)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Layers this small are slower on several threads, far slower where cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def state() -> dict[str, Any]:
    return seeded_sam3_state()


@pytest.fixture(scope="module")
def weights(state: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pt(tmp_path_factory.mktemp("sam3") / "sam3.pt", state)


@pytest.fixture(scope="module")
def engine(weights: Path) -> Sam3Engine:
    return Sam3Engine(weights, device="cpu", precision="float32", config=SMALL)


@pytest.fixture(scope="module")
def chip() -> NDArray[np.uint8]:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [np.sin(x / 17) * np.cos(y / 23), np.cos((x + y) / 31), np.sin(np.hypot(x - 90, y - 120) / 11)]
    return (128 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


@pytest.fixture(scope="module")
def embedding(engine: Sam3Engine, chip: NDArray[np.uint8]) -> Any:
    return engine.encode(chip, Task())


@pytest.fixture(scope="module")
def reference(weights: Path, chip: NDArray[np.uint8]) -> Processor:
    return Processor(reference_model(weights), chip)


class Processor:
    """The package's own way from an image to masks."""

    def __init__(self, model: Any, chip: NDArray[np.uint8]) -> None:
        images = sam3_module("sam3.model.sam3_image_processor")
        self.model = model
        self.processor = images.Sam3Processor(model, resolution=SMALL.image_size, device="cpu")
        self.state = self.processor.set_image(torch.tensor(chip).permute(2, 0, 1))

    def find(self, prompts: Prompts, threshold: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Probabilities (n, height, width) at the size of the image, and scores (n,)."""
        self.processor.reset_all_prompts(self.state)
        self.processor.set_confidence_threshold(threshold)
        # the processor answers after every prompt: the last answer is to all of them
        with Unpinned():
            if prompts.text:
                self.processor.set_text_prompt(prompts.text, self.state)
            for box, positive in prompts.boxes:
                x, y = box.center
                unit = [x / WIDTH, y / HEIGHT, box.width / WIDTH, box.height / HEIGHT]
                self.processor.add_geometric_prompt(unit, positive, self.state)
        return self.state["masks_logits"][:, 0].numpy(), self.state["scores"].numpy()

    def predict(self, prompts: Prompts, **options: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Low-resolution logits and scores."""
        half = 0.5 * np.array([WIDTH, HEIGHT]) / SMALL.image_size
        points = np.array([(p.x, p.y) for p in prompts.points]).reshape(-1, 2) - half
        labels = np.array([p.positive for p in prompts.points], int)
        box = np.array(prompts.boxes[0].bounds) - np.tile(half, 2) if prompts.boxes else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, scores, logits = self.model.predict_inst(
                self.state,
                point_coords=points if len(points) else None,
                point_labels=labels if len(points) else None,
                box=box,
                **options,
            )
        return logits, scores


@pytest.mark.parametrize(
    "prompts",
    [
        Prompts(text="cell nucleus"),
        Prompts(text="Zellkern mit Rand – größer als 5 µm 細胞核"),
        Prompts(boxes=(EXAMPLE,)),
        Prompts(boxes=(EXAMPLE, COUNTEREXAMPLE)),
        Prompts(text="round cell", boxes=(EXAMPLE, COUNTEREXAMPLE)),
        Prompts(text="round cell", boxes=(COUNTEREXAMPLE,)),
    ],
    ids=["text", "not ASCII", "example", "example and counterexample", "all", "text and counterexample"],
)
def test_search_is_the_package_s(
    engine: Sam3Engine, embedding: Any, reference: Processor, prompts: Prompts
) -> None:
    scores = sorted(answer.score for answer in engine.find(embedding, prompts, Task(), 0.0))
    assert len(scores) == 200
    threshold = (scores[-21] + scores[-20]) / 2
    found = engine.find(embedding, prompts, Task(), threshold)
    masks, expected = reference.find(prompts, threshold)
    order = np.argsort(-expected, kind="stable")

    assert [answer.score for answer in found] == pytest.approx(expected[order], abs=1e-6)
    logits = torch.from_numpy(np.stack([answer.logits for answer in found]))[:, None]
    ours = torch.nn.functional.interpolate(logits, (HEIGHT, WIDTH), mode="bilinear").sigmoid()[:, 0].numpy()
    assert np.abs(ours - masks[order]).max() < 1e-5
    assert ((ours > 0.5) == (masks[order] > 0.5)).mean() > 1 - 1e-5
    # a comparison of empty or full masks, or of none, would prove nothing
    assert len(found) == 20
    assert 0.02 < (masks > 0.5).mean() < 0.98
    assert len({len(np.flatnonzero(mask > 0.5)) for mask in masks}) > 10


@pytest.mark.parametrize(
    ("prompts", "multimask"),
    [
        (CLICK, True),
        (CLICK, False),
        (Prompts((PointPrompt(120, 80), PointPrompt(20.5, 150.25, False), PointPrompt(0, 0))), False),
        (Prompts(boxes=(BOX,)), False),
        (Prompts((PointPrompt(60, 60), PointPrompt(140, 110, False)), (BOX,)), False),
    ],
    ids=["click", "click, one mask", "points", "box", "box and points"],
)
def test_prediction_is_the_package_s(
    engine: Sam3Engine, embedding: Any, reference: Processor, prompts: Prompts, multimask: bool
) -> None:
    expected, scores = reference.predict(prompts, multimask_output=multimask)
    answers = engine.predict(embedding, prompts, Task(), multimask)
    order = np.argsort(-scores)
    assert len(answers) == len(expected) == (3 if multimask else 1)
    assert [answer.score for answer in answers] == pytest.approx(scores[order], abs=1e-6)
    ours = np.stack([answer.logits for answer in answers])
    assert np.abs(ours - expected[order]).max() < 2e-4
    assert 0.02 < (expected > 0).mean() < 0.98


def test_prior_is_the_package_s_mask_input(engine: Sam3Engine, embedding: Any, reference: Processor) -> None:
    side = 4 * SMALL.grid
    square = np.full((1, side, side), -8.0, np.float32)
    square[0, 16:32, 8:40] = 8
    x, y = WIDTH / side, HEIGHT / side
    corners = np.array([(8, 16), (40, 16), (40, 32), (8, 32)]) * (x, y)
    prior = Shape.from_parts([[corners]])
    for points in (CLICK.points, (PointPrompt(60, 70), PointPrompt(10, 10, False))):
        prompts = Prompts(points, prior=prior)
        (answer,) = engine.predict(embedding, prompts, Task())
        expected, scores = reference.predict(prompts, mask_input=square, multimask_output=False)
        assert answer.score == pytest.approx(scores[0], abs=1e-6)
        assert np.abs(answer.logits - expected[0]).max() < 2e-4


def test_network_of_the_published_size_has_the_published_keys() -> None:
    published = {key: tuple(value.shape) for key, value in published_keys(Sam3Config()).items()}
    ours = {key: tuple(value.shape) for key, value in build_model().state_dict().items()}
    wanted = {k: v for k, v in published.items() if k.startswith(("detector.", *INTERACTIVE))}
    assert ours == wanted
    assert len(published) > len(wanted)


def test_examples_lie_on_pixel_edges() -> None:
    boxes, positive = exemplars(Prompts(boxes=(BoxPrompt(Bounds(512, 0, 1024, 256)),)), 1024, 512)
    assert boxes.tolist() == [[0.75, 0.25, 0.5, 0.5]]
    assert positive.tolist() == [True]


def test_boxes_are_ordered_and_clipped() -> None:
    prompts = Prompts(
        boxes=(
            BoxPrompt(Bounds(-10, -10, 5, 5), positive=False),
            BoxPrompt(Bounds(30, 40, 10, 20)),
            BoxPrompt(Bounds(500, 500, 600, 600)),
            BoxPrompt(Bounds(50, 50, 50, 60)),
        )
    )
    boxes, positive = exemplars(prompts, 100, 100)
    assert np.allclose(boxes, [[0.025, 0.025, 0.05, 0.05], [0.2, 0.3, 0.2, 0.2]])
    assert positive.tolist() == [False, True]


def test_batch_answers_as_one_by_one(engine: Sam3Engine, embedding: Any) -> None:
    several = [
        CLICK,
        Prompts(boxes=(BOX,)),
        Prompts((PointPrompt(5, 5, False),)),
        *(Prompts((PointPrompt(x, 50),)) for x in range(0, 300, 60)),
        Prompts(boxes=(BOX, BoxPrompt(Bounds(180, 90, 290, 190)))),
    ]
    batch = engine.predict_batch(embedding, several, Task(), multimask=True)
    assert batch.logits.shape == (len(several), 3, 64, 64)
    for prompts, logits, scores in zip(several, batch.logits, batch.scores, strict=True):
        alone = engine.predict(embedding, prompts, Task(), multimask=True)
        order = np.argsort(-scores[: len(alone)], kind="stable")
        for answer, n in zip(alone, order, strict=True):
            assert np.abs(answer.logits - logits[n]).max() < 2e-4
            assert answer.score == pytest.approx(scores[n], abs=1e-5)
        assert (logits[len(alone) :] == -np.inf).all()
        assert not scores[len(alone) :].any()


def test_several_boxes_are_parts_of_one_object(engine: Sam3Engine, embedding: Any) -> None:
    other = BoxPrompt(Bounds(180, 90, 290, 190))
    parts = [engine.predict(embedding, Prompts(boxes=(box,)), Task())[0] for box in (BOX, other)]
    (joined,) = engine.predict(embedding, Prompts(boxes=(BOX, other)), Task())
    assert np.allclose(joined.logits, np.maximum(parts[0].logits, parts[1].logits), atol=2e-4)
    assert joined.score == pytest.approx(np.mean([part.score for part in parts]), abs=1e-5)


def test_one_click_is_ambiguous_and_more_is_not(engine: Sam3Engine, embedding: Any) -> None:
    assert len(engine.predict(embedding, CLICK, Task())) == 3
    for prompts in (
        CLICK.with_point(PointPrompt(10, 10, False)),
        CLICK.with_box(BOX),
        Prompts(boxes=(BOX,)),
    ):
        assert len(engine.predict(embedding, prompts, Task())) == 1


@pytest.mark.parametrize(
    "prompts",
    [Prompts((PointPrompt(5, 5, False),)), Prompts(boxes=(COUNTEREXAMPLE,))],
)
def test_nothing_positive_gives_no_prediction(engine: Sam3Engine, embedding: Any, prompts: Prompts) -> None:
    assert engine.predict(embedding, prompts, Task()) == []


def test_prompts_outside_the_chip_are_left_out(engine: Sam3Engine, embedding: Any) -> None:
    far = Prompts(
        (PointPrompt(-50, 1e6), PointPrompt(1e9, -1e9, False)), (BoxPrompt(Bounds(-40, -40, -20, -20)),)
    )
    assert engine.predict(embedding, far, Task()) == []
    mixed = Prompts((*CLICK.points, *far.points), far.boxes)
    assert _same(
        engine.predict(embedding, mixed, Task(), multimask=True), engine.predict(embedding, CLICK, Task())
    )


@pytest.mark.parametrize("prompts", [Prompts(text=" \n"), Prompts(boxes=(COUNTEREXAMPLE,)), CLICK])
def test_search_without_words_and_examples_finds_nothing(
    engine: Sam3Engine, embedding: Any, prompts: Prompts
) -> None:
    assert engine.find(embedding, prompts, Task(), 0.0) == []


def test_search_is_cut_at_the_score(engine: Sam3Engine, embedding: Any) -> None:
    everything = engine.find(embedding, Prompts(text="cell"), Task(), 0.0)
    scores = [answer.score for answer in everything]
    assert scores == sorted(scores, reverse=True)
    assert 0 < scores[-1] < scores[0] < 1
    some = engine.find(embedding, Prompts(text="cell"), Task(), scores[7])
    assert _same(some, everything[:8])
    assert engine.find(embedding, Prompts(text="cell"), Task(), 1.0) == []
    assert 0 < len(engine.find(embedding, Prompts(boxes=(EXAMPLE,)), Task())) < 200


def test_the_word_matters(engine: Sam3Engine, embedding: Any) -> None:
    cell, gland = (engine.find(embedding, Prompts(text=text), Task(), 0.0) for text in ("cell", "gland"))
    assert not _same(cell, gland)


def test_long_texts_are_refused_in_words(engine: Sam3Engine, embedding: Any) -> None:
    tokenizer = engine._network.text_encoder.tokenizer
    fits = " ".join(["cell"] * 30)
    assert readable(f" {fits}\n", tokenizer, 32) == fits
    assert engine.find(embedding, Prompts(text=fits), Task(), 1.0) == []
    with pytest.raises(SamdeskError, match="30 parts of words at most, and this text has 31"):
        engine.find(embedding, Prompts(text=f"{fits} cell"), Task())
    for text in ("cell " * 2000, "x" * 10_000, "細胞" * 5000):
        with pytest.raises(SamdeskError, match=r"too long for SAM 3: (9,999|10,000) characters"):
            engine.find(embedding, Prompts(text=text), Task())


@pytest.mark.parametrize(
    "text", ["\0", "\ud800", "\u200b", "😀" * 8, "<start_of_text>", "&amp;lt;", "a\u0301" * 9, "_"]
)
def test_odd_texts_do_no_harm(engine: Sam3Engine, embedding: Any, text: str) -> None:
    for answer in engine.find(embedding, Prompts(text=text), Task(), 0.0):
        assert np.isfinite(answer.logits).all()


def test_vocabulary_is_clip_s(tmp_path: Path) -> None:
    tokenizer = sam3_module("sam3.model.tokenizer_ve").SimpleTokenizer(bpe_path=str(vocabulary_path()))
    assert tokenizer.vocab_size == 49408
    # the numbers that CLIP reads for this text
    assert tokenizer.encode("a photo of a cat") == [320, 1125, 539, 320, 2368]
    other = tmp_path / "bpe_simple_vocab_16e6.txt.gz"
    other.write_bytes(b"another")
    with pytest.raises(SamdeskError, match="not the vocabulary"):
        checked(other)
    with pytest.raises(SamdeskError, match="cannot be read"):
        checked(tmp_path / "nowhere.gz")


def test_image_encoder_runs_once(engine: Sam3Engine, chip: NDArray[np.uint8]) -> None:
    runs: list[int] = []
    hook = engine._network.neck.trunk.register_forward_hook(lambda *_: runs.append(1))
    try:
        embedding = engine.encode(chip, Task())
        engine.predict(embedding, CLICK, Task())
        engine.find(embedding, Prompts(text="cell", boxes=(EXAMPLE,)), Task())
        engine.unpack(engine.pack(embedding), WIDTH, HEIGHT)
    finally:
        hook.remove()
    assert len(runs) == 1


def test_packed_embedding_gives_nearly_the_same(engine: Sam3Engine, embedding: Any) -> None:
    arrays = engine.pack(embedding)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float16)}
    assert sum(array.nbytes for array in arrays.values()) < embedding.nbytes / 4
    again = engine.unpack(arrays, WIDTH, HEIGHT)
    assert (again.engine, again.width, again.height) == (engine.identity, WIDTH, HEIGHT)
    assert again.nbytes == embedding.nbytes
    for before, after in zip(
        *(engine.predict(one, CLICK, Task()) for one in (embedding, again)), strict=True
    ):
        assert after.score == pytest.approx(before.score, abs=1e-3)
        assert ((before.logits > 0) == (after.logits > 0)).mean() > 0.98
    found = [engine.find(one, Prompts(text="cell"), Task(), 0.0) for one in (embedding, again)]
    before, after = ([answer.score for answer in answers] for answers in found)
    assert after == pytest.approx(before, abs=5e-3)


def test_same_question_same_answer_whatever_was_asked_between(
    engine: Sam3Engine, embedding: Any, chip: NDArray[np.uint8]
) -> None:
    words = Prompts(text="cell", boxes=(EXAMPLE,))
    first = engine.predict(embedding, CLICK, Task()), engine.find(embedding, words, Task(), 0.0)
    engine.encode(chip[:50, ::-1], Task())
    engine.find(embedding, Prompts(text="gland"), Task())
    engine.predict(embedding, Prompts(boxes=(BOX,)), Task())
    assert _same(first[0], engine.predict(embedding, CLICK, Task()))
    assert _same(first[1], engine.find(embedding, words, Task(), 0.0))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (5, 700), (33, 17)])
def test_chips_of_any_size(engine: Sam3Engine, shape: tuple[int, int]) -> None:
    chip = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    chip.flags.writeable = False
    embedding = engine.encode(chip, Task())
    box = BoxPrompt(Bounds(0, 0, shape[1], shape[0]))
    for prompts in (Prompts((PointPrompt(shape[1], 0),)), Prompts(boxes=(box,))):
        for answer in engine.predict(embedding, prompts, Task()):
            assert np.isfinite(answer.logits).all()
    assert engine.find(embedding, Prompts(text="cell"), Task(), 0.0)


@pytest.mark.parametrize("after", range(1, 6))
@pytest.mark.parametrize("what", ["encode", "find"])
def test_cancel_stops_between_layers(
    engine: Sam3Engine, embedding: Any, chip: NDArray[np.uint8], what: str, after: int
) -> None:
    seen: list[Progress] = []

    def cancel_after_some(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == after:
            task.cancel()

    task = Task(cancel_after_some)
    prompts = Prompts(text=f"cell {after}")
    run = {"encode": lambda: engine.encode(chip, task), "find": lambda: engine.find(embedding, prompts, task)}
    with pytest.raises(Cancelled):
        run[what]()
    assert len(seen) == after
    assert not [hook for part in engine._network.modules() for hook in part._forward_pre_hooks]


def test_cancelled_task_stops_before_the_work(engine: Sam3Engine, embedding: Any, weights: Path) -> None:
    task = Task()
    task.cancel()
    with pytest.raises(Cancelled):
        engine.predict(embedding, CLICK, task)
    with pytest.raises(Cancelled):
        engine.find(embedding, Prompts(text="cell"), task)
    with pytest.raises(Cancelled):
        Sam3Engine(weights, device="cpu", config=SMALL, task=task)


def test_bfloat16_is_for_the_image_encoder_alone(
    weights: Path, engine: Sam3Engine, embedding: Any, chip: NDArray[np.uint8]
) -> None:
    rough = Sam3Engine(weights, device="cpu", precision="bfloat16", config=SMALL)
    seen = rough.encode(chip, Task())
    assert seen.data["features"].dtype is torch.float32
    away = (seen.data["features"] - embedding.data["features"]).abs().max()
    assert 0 < away < 0.1 * embedding.data["features"].abs().max()
    # the same embedding is decoded in float32 by both
    assert _same(rough.predict(embedding, CLICK, Task()), engine.predict(embedding, CLICK, Task()))


def test_progress_never_falls(engine: Sam3Engine, embedding: Any, chip: NDArray[np.uint8]) -> None:
    for run in (
        lambda task: engine.encode(chip, task),
        lambda task: engine.find(embedding, Prompts(text="cell"), task),
    ):
        seen: list[Progress] = []
        run(Task(seen.append))
        fractions = [progress.fraction for progress in seen if progress.fraction is not None]
        assert len(fractions) >= 4
        assert fractions == sorted(fractions)
        assert all(progress.message for progress in seen)


def test_kept_texts_are_bounded(engine: Sam3Engine, embedding: Any) -> None:
    from samdesk.engines.sam3 import TEXTS

    with torch.inference_mode():
        for n in range(TEXTS + 5):
            engine._read(f"cell {n}", Task())
    assert len(engine._texts) == TEXTS


@pytest.mark.parametrize(
    "key",
    [
        "detector.geometry_encoder.label_embed.weight",
        "detector.backbone.vision_backbone.sam2_convs.0.conv_1x1.bias",
        "tracker.no_mem_embed",
        "tracker.sam_mask_decoder.conv_s0.weight",
    ],
)
def test_missing_weights_are_named(state: dict[str, Any], key: str) -> None:
    rest = {name: value for name, value in state.items() if name != key}
    with pytest.raises(SamdeskError, match=rf"mine\.pt .*1 missing \({key}\)"):
        fill(build_model(SMALL), rest, Path("mine.pt"), torch.device("cpu"))


def test_video_weights_are_not_needed(state: dict[str, Any]) -> None:
    needed = {k: v for k, v in state.items() if k.startswith(("detector.", *INTERACTIVE))}
    assert len(needed) < len(state)
    network = fill(build_model(SMALL), needed, Path("mine.pt"), torch.device("cpu"))
    tensors = [*network.parameters(), *network.buffers()]
    assert {tensor.device.type for tensor in tensors} == {"cpu"}
    assert not any(tensor.requires_grad for tensor in tensors)


def test_absent_packages_are_stood_in_for_and_forgotten() -> None:
    before = dict(sys.modules)
    with standing_in(("nowhere", "nowhere.part", "json")):
        import nowhere  # type: ignore[import-not-found]
        import nowhere.part as part  # type: ignore[import-not-found]
        from nowhere import part as same

        assert part is same
        assert sys.modules["json"] is before["json"]

        @nowhere.decorate
        def decorated(size: part.size) -> None: ...

        with pytest.raises(ModuleNotFoundError, match=r"nowhere\.part\.compute was called"):
            part.compute(1, 2)
    assert {name: sys.modules.get(name) for name in before} == before
    assert "nowhere" not in sys.modules
    assert "nowhere.part" not in sys.modules
    with pytest.raises(ZeroDivisionError), standing_in(("nowhere",)):
        1 / 0  # noqa: B018
    assert "nowhere" not in sys.modules


ALONE = """
import importlib.machinery, logging, socket, sys
from pathlib import Path

HIDDEN = ("triton", "psutil", "pycocotools", "decord", "pkg_resources")

class Hiding(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Hiding

def refuse(*args, **options):
    raise AssertionError("the network was asked")

socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse

import numpy as np
import torch
from samdesk.domain.prompts import PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.sam3 import Sam3Engine
from tests.engines.seeded_sam3 import SMALL

torch.set_num_threads(1)
before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
engine = Sam3Engine(Path(sys.argv[1]), device="cpu", config=SMALL)
embedding = engine.encode(np.full((40, 50, 3), 99, np.uint8), Task())
assert engine.predict(embedding, Prompts((PointPrompt(20, 20),)), Task())
assert len(engine.find(embedding, Prompts(text="cell"), Task(), 0.0)) == 200

stubs = [name for name in sys.modules if name.partition(".")[0] in HIDDEN]
assert not stubs, stubs
assert "open_clip" not in sys.modules
assert not logging.getLogger().handlers
assert before == (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
assert not torch.is_autocast_enabled("cpu") and not torch.is_autocast_enabled("cuda")
assert torch.get_default_dtype() is torch.float32
"""


def test_runs_alone_offline_and_in_silence(weights: Path) -> None:
    """Without the packages for videos, without the network, and with every warning an error."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ALONE, str(weights)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    assert done.stdout == ""


def _same(a: list[MaskLogits], b: list[MaskLogits]) -> bool:
    return len(a) == len(b) and all(
        p.score == q.score and np.array_equal(p.logits, q.logits) for p, q in zip(a, b, strict=True)
    )
