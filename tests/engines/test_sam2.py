"""SAM 2 and 2.1 against the package's own predictor, on seeded weights in the published layout."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Shape
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.domain.tasks import Cancelled, Progress, Task
from samdesk.engines.base import Embedding
from samdesk.engines.checkpoint import recognise
from samdesk.engines.sam2 import SIZES, Sam2Engine, build_model
from samdesk.engines.torchvision_ops import disarm_torchvision

from .seeded import hollow_state, save_pt, seeded_state
from .seeded_sam2 import sam2_checkpoint, sam2_shapes

POINT = Prompts((PointPrompt(500.5, 400.5),))
BOX = BoxPrompt(Bounds(200.5, 150.5, 820.5, 760.5))

CLOSE = 3e-4
"""What float32 sums in another order may change in logits of about -20 to 20."""


def chip(width: int = 1024, height: int = 1024) -> NDArray[np.uint8]:
    """Waves of three kinds, one per color."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    red = 128 + 100 * np.sin(x / 37) * np.cos(y / 53)
    green = 128 + 100 * np.cos((x + y) / 61)
    blue = 128 + 100 * np.sin(np.hypot(x - 400, y - 600) / 29)
    return np.stack([red, green, blue], axis=-1).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Pair:
    """The engine and the package's predictor with the same weights, and chips encoded by both."""

    engine: Sam2Engine
    predictor: Any
    whole: Embedding

    def asked_of_package(
        self, prompts: Prompts, multimask: bool, mask: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Masks (m, h, w) bool, scores (m,) and clamped logits (m, 256, 256)."""
        height, width = self.predictor._orig_hw[0]
        scale = np.array((1024 / width, 1024 / height))

        def counted(xy: Sequence[float]) -> NDArray[np.float64]:
            # its pixels count from their centers, and it adds half a pixel of the square input
            return (np.array(xy).reshape(-1, 2) * scale - 0.5) / scale

        masks, scores, logits = self.predictor.predict(
            np.concatenate([counted((p.x, p.y)) for p in prompts.points]) if prompts.points else None,
            np.array([int(p.positive) for p in prompts.points]) if prompts.points else None,
            counted(prompts.boxes[0].bounds).ravel() if prompts.boxes else None,
            mask,
            multimask,
        )
        return masks > 0, scores, logits

    def compare(
        self,
        embedding: Embedding,
        prompts: Prompts,
        multimask: bool,
        mask: NDArray[np.float32] | None = None,
    ) -> None:
        ours = self.engine.predict_batch(embedding, [prompts], Task(), multimask)
        masks, scores, logits = self.asked_of_package(prompts, multimask, mask)
        assert ours.extent is None
        assert ours.logits.shape == (1, 3 if multimask else 1, 256, 256)
        difference = np.abs(ours.logits[0].clip(-32, 32) - logits).max()
        print(f"largest difference of logits {difference:.2g}, of scores", np.abs(ours.scores - scores).max())
        assert difference < CLOSE
        assert np.abs(ours.scores[0] - scores).max() < 1e-5
        assert_same_sign(ours.logits[0], logits > 0)
        shown = torch.nn.functional.interpolate(
            torch.from_numpy(ours.logits), masks.shape[1:], mode="bilinear", align_corners=False
        )
        assert_same_sign(shown[0].numpy(), masks)
        share = masks.mean(axis=(1, 2))
        assert (share > 0.01).all(), "the masks say nothing"
        assert (share < 0.99).all(), "the masks say nothing"


def assert_same_sign(logits: NDArray[Any], masks: NDArray[Any]) -> None:
    differs = (logits > 0) != masks
    assert differs.sum() < 10
    assert not differs.any() or np.abs(logits[differs]).max() < CLOSE


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Digests are remembered in a folder of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMDESK_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sam2")


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Path:
    return sam2_checkpoint(folder)


@pytest.fixture(scope="module")
def newer(tiny: Path) -> Pair:
    """SAM 2.1, of which no single mask is stable: the best proposal stands in."""
    return paired(tiny, "2.1")


@pytest.fixture(scope="module")
def older(folder: Path) -> Pair:
    """SAM 2, whose single masks are stable because their logits are large."""
    state = seeded_state(sam2_shapes(version="2"))
    for name in ("weight", "bias"):
        state[f"sam_mask_decoder.output_hypernetworks_mlps.0.layers.2.{name}"] *= 4
    return paired(save_pt(folder / "older.pt", state, "model"), "2")


def paired(path: Path, version: str) -> Pair:
    engine = Sam2Engine(path, device="cpu", precision="float32")
    disarm_torchvision()
    from sam2.build_sam import build_sam2
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    model = build_sam2(f"configs/sam{version}/sam{version}_hiera_t.yaml", str(path), device="cpu")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch.jit.script", DeprecationWarning)
        predictor = SAM2ImagePredictor(model)
    predictor.set_image(chip())
    return Pair(engine, predictor, engine.encode(chip(), Task()))


PRIOR = Shape.box(200, 100, 600, 700)
PRIOR_LOGITS = np.full((1, 256, 256), -8, np.float32)
PRIOR_LOGITS[:, 25:175, 50:150] = 8


ASKED = {
    "point": (POINT, None),
    "points": (
        Prompts((PointPrompt(90.5, 800.5), PointPrompt(700.5, 300.5, False), PointPrompt(1, 2))),
        None,
    ),
    "box": (Prompts(boxes=(BOX,)), None),
    "box and points": (
        Prompts((PointPrompt(500.5, 400.5), PointPrompt(700.5, 300.5, False)), (BOX,)),
        None,
    ),
    "prior and point": (Prompts((PointPrompt(300.5, 200.5),), prior=PRIOR), PRIOR_LOGITS),
    "prior, box and point": (
        Prompts((PointPrompt(300.5, 200.5, False),), (BOX,), prior=PRIOR),
        PRIOR_LOGITS,
    ),
}


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize(("prompts", "mask"), ASKED.values(), ids=ASKED)
def test_masks_are_those_of_the_package(
    newer: Pair, prompts: Prompts, mask: NDArray[np.float32] | None, multimask: bool
) -> None:
    newer.compare(newer.whole, prompts, multimask, mask)


@pytest.mark.parametrize("multimask", [True, False])
def test_masks_of_the_first_version_are_those_of_the_package(older: Pair, multimask: bool) -> None:
    older.compare(older.whole, ASKED["box and points"][0], multimask)


def test_single_mask_gives_way_only_where_it_is_not_stable(newer: Pair, older: Pair) -> None:
    for pair, gives_way in ((newer, True), (older, False)):
        single = pair.engine.predict_batch(pair.whole, [POINT], Task(), False)
        several = pair.engine.predict_batch(pair.whole, [POINT], Task(), True)
        assert (single.scores[0, 0] == several.scores[0].max()) is np.bool_(gives_way)


def test_other_sizes_are_stretched_as_the_package_does(newer: Pair) -> None:
    small = chip(1400, 300)
    view = np.repeat(small, 2, axis=1)[:, ::2]
    view.flags.writeable = False
    embedding = newer.engine.encode(view, Task())
    assert np.array_equal(view, small)
    assert (embedding.width, embedding.height) == (1400, 300)
    prompts = Prompts((PointPrompt(400.25, 100.5),), (BoxPrompt(Bounds(100, 40, 520.5, 260.25)),))
    predictor = copy.copy(newer.predictor)
    predictor.set_image(small)
    replace(newer, predictor=predictor).compare(embedding, prompts, True)


def test_three_proposals_for_a_single_click_alone(newer: Pair) -> None:
    def count(prompts: Prompts, multimask: bool | None = None) -> int:
        return len(newer.engine.predict(newer.whole, prompts, Task(), multimask))

    assert count(POINT) == 3
    assert count(POINT, multimask=False) == 1
    assert count(POINT.with_point(PointPrompt(20, 20, False))) == 1
    assert count(Prompts(boxes=(BOX,))) == 1
    assert count(Prompts(POINT.points, prior=PRIOR)) == 1
    assert count(Prompts(boxes=(BOX,)), multimask=True) == 3


def test_best_proposal_first(newer: Pair) -> None:
    found = newer.engine.predict(newer.whole, POINT, Task())
    plain = newer.engine.predict_batch(newer.whole, [POINT], Task())
    assert [one.score for one in found] == sorted(plain.scores[0].tolist(), reverse=True)
    for one in found:
        (which,) = np.flatnonzero(plain.scores[0] == np.float32(one.score))
        assert np.array_equal(one.logits, plain.logits[0, which])
        assert one.logits.dtype == np.float32


def test_parts_of_an_object_are_joined(newer: Pair) -> None:
    other = BoxPrompt(Bounds(30, 40, 300, 200))
    both, one, two = newer.engine.predict_batch(
        newer.whole,
        # the point lies in the first box alone, so the second is asked without it
        [Prompts(POINT.points, (BOX, other)), Prompts(POINT.points, (BOX,)), Prompts(boxes=(other,))],
        Task(),
        multimask=False,
    ).logits
    assert np.abs(both - np.maximum(one, two)).max() < 1e-4
    assert (both != one).any()
    assert (both != two).any()


def test_batch_answers_as_one_by_one(newer: Pair) -> None:
    asked = [Prompts((PointPrompt(60.0 + 90 * i, 900.0 - 80 * i),)) for i in range(9)]
    asked[4:4] = [Prompts(boxes=(BOX,)), Prompts((PointPrompt(5, 5), PointPrompt(9, 99, False)))]
    asked[6:6] = [Prompts((PointPrompt(5, 5, False),)), Prompts(POINT.points, prior=PRIOR)]
    found = newer.engine.predict_batch(newer.whole, asked, Task())
    assert found.logits.shape == (13, 3, 256, 256)
    for prompts, logits, scores in zip(asked, found.logits, found.scores, strict=True):
        alone = newer.engine.predict(newer.whole, prompts, Task(), multimask=True)
        if not alone:
            assert np.isneginf(logits).all()
            assert not scores.any()
            continue
        order = np.argsort(-scores, kind="stable")
        assert np.abs(logits[order] - np.stack([one.logits for one in alone])).max() < 1e-4
        assert np.abs(scores[order] - [one.score for one in alone]).max() < 1e-5


def test_packed_embedding_gives_the_same_masks(newer: Pair) -> None:
    arrays = newer.engine.pack(newer.whole)
    assert all(array.dtype == np.float16 for array in arrays.values())
    assert sum(array.nbytes for array in arrays.values()) == 8 << 20
    for array in arrays.values():
        array.flags.writeable = False
    again = newer.engine.unpack(arrays, 1024, 1024)
    assert (again.engine, again.width, again.height) == (newer.engine.identity, 1024, 1024)
    assert again.nbytes == newer.whole.nbytes
    plain, rounded = (newer.engine.predict_batch(one, [POINT], Task()) for one in (newer.whole, again))
    assert ((plain.logits > 0) != (rounded.logits > 0)).mean() < 1e-3
    assert np.abs(plain.scores - rounded.scores).max() < 1e-3


def test_cancelled_while_encoding_and_well_afterwards(newer: Pair) -> None:
    seen: list[float] = []

    def stop_early(progress: Progress) -> None:
        seen.append(progress.fraction or 0)
        if seen[-1] > 0:
            task.cancel()

    task = Task(stop_early)
    with pytest.raises(Cancelled):
        newer.engine.encode(chip(), task)
    assert seen == sorted(seen)
    assert seen[-1] < 0.1
    with pytest.raises(Cancelled):
        newer.engine.predict(newer.whole, POINT, task)
    assert newer.engine.predict(newer.whole, POINT, Task())


def test_engine_tells_what_it_is_and_what_it_does(newer: Pair, older: Pair, tiny: Path) -> None:
    told: list[str] = []
    engine = Sam2Engine(
        tiny, device="cpu", precision="float32", task=Task(lambda progress: told.append(progress.message))
    )
    assert (engine.name, engine.type, engine.title, engine.device) == (
        "sam2",
        "sam2_t",
        "SAM 2.1 Hiera-T",
        "cpu",
    )
    assert engine.identity == f"sam2_t:{recognise(tiny).digest}:float32" == newer.engine.identity
    assert (older.engine.title, older.engine.type) == ("SAM 2 Hiera-T", "sam2_t")
    assert older.engine.identity != newer.engine.identity
    stages = list(dict.fromkeys(message.split()[0] for message in told))
    assert stages[0] == "Reading"
    assert stages[-2:] == ["Building", "Moving"]
    # without the video path, which is 6 of the 39 million weights
    assert 4 * 30e6 < engine.nbytes < 4 * 34e6
    same = engine.predict(newer.whole, POINT, Task())
    assert np.array_equal(same[0].logits, newer.engine.predict(newer.whole, POINT, Task())[0].logits)


MILLIONS = {"sam2_t": 38.9, "sam2_s": 46.0, "sam2_bp": 80.8, "sam2_l": 224.4}
"""Parameters, as https://github.com/facebookresearch/sam2 tells them."""


@pytest.mark.parametrize("version", ["2", "2.1"])
@pytest.mark.parametrize("type", SIZES)
def test_every_size_is_built_as_published_and_recognised(type: str, version: str, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    model = build_model(type, version)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(value.is_meta for value in model.state_dict().values())
    millions = sum(value.numel() for value in model.parameters()) / 1e6
    assert millions == pytest.approx(MILLIONS[type], abs=0.1)
    path = save_pt(tmp_path / "hollow.pt", hollow_state(sam2_shapes(type, version)), "model")
    info = recognise(path)
    assert (info.type, info.family, info.version) == (type, "sam2", version)


def test_network_is_the_one_that_the_package_builds(newer: Pair) -> None:
    model = newer.predictor.model
    assert sam2_shapes() == {key: tuple(value.shape) for key, value in model.state_dict().items()}
    ours = build_model("sam2_t", "2.1").sam_mask_decoder
    for name, value in vars(model.sam_mask_decoder).items():
        if isinstance(value, bool | int | float):
            assert getattr(ours, name) == value, name


@pytest.fixture
def callers_hydra(tmp_path: Path) -> Iterator[None]:
    """Somebody else set hydra up for a program of theirs."""
    kept = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(tmp_path), version_base=None):
        yield
    GlobalHydra.instance().hydra = kept


@pytest.mark.usefixtures("callers_hydra")
def test_hydra_of_the_caller_is_left_alone(capfd: pytest.CaptureFixture[str]) -> None:
    state = GlobalHydra.instance().hydra
    build_model("sam2_t", "2")
    assert GlobalHydra.instance().hydra is state
    assert capfd.readouterr() == ("", "")


def test_building_leaves_a_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # this torch raises where it is asked for a GPU that the package believes in
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    build_model("sam2_t", "2.1")


def test_checkpoint_with_a_missing_weight_is_refused(tmp_path: Path) -> None:
    shapes = dict(sam2_shapes())
    del shapes["memory_attention.norm.weight"]
    path = save_pt(tmp_path / "cut.pt", hollow_state(shapes), "model")
    with pytest.raises(SamdeskError, match=r"cut\.pt.*memory_attention\.norm\.weight"):
        Sam2Engine(path, device="cpu", precision="float32")


def test_weights_of_another_family_are_refused(tmp_path: Path) -> None:
    shapes = {
        "image_encoder.patch_embed.proj.weight": (768, 3, 16, 16),
        "prompt_encoder.no_mask_embed.weight": (1, 256),
        "mask_decoder.iou_token.weight": (1, 256),
        **{f"image_encoder.blocks.{i}.attn.rel_pos_h": (27, 64) for i in range(12)},
    }
    path = save_pt(tmp_path / "other.pt", hollow_state(shapes))
    with pytest.raises(SamdeskError, match=r"other\.pt holds SAM ViT-B, not SAM 2"):
        Sam2Engine(path, device="cpu", precision="float32")
