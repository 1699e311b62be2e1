"""`MobileSamEngine` beside what the original package answered for the same seeded weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.domain.tasks import Cancelled, Progress, Task
from samdesk.engines.mobile_sam import MobileSamEngine, build_encoder, own_key
from samdesk.engines.sam import TERMS, with_decoder

from .seeded import save_pt, seeded_state
from .seeded_sam import DATA, mobile_sam_checkpoint, mobile_sam_shapes, sam_checkpoint, waves


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> MobileSamEngine:
    return MobileSamEngine(mobile_sam_checkpoint(tmp_path_factory.mktemp("mobile")), device="cpu")


def test_every_published_weight_has_its_place() -> None:
    published = mobile_sam_shapes()
    assert len(published) == 439
    network = with_decoder(build_encoder()).state_dict()
    names = [name for key in published if (name := own_key(key)) is not None]
    assert len(set(names)) == len(names) == 435
    assert set(names) == set(network)
    for key, shape in published.items():
        name = own_key(key)
        assert name is None or tuple(network[name].shape) == shape
    unused = {key for key in published if own_key(key) is None}
    assert {key.rpartition(".")[0] for key in unused} == {"image_encoder.norm_head", "image_encoder.head"}


def test_answers_as_the_original(tmp_path: Path) -> None:
    # the original tabulates its attention biases when it is switched to evaluation, and its
    # reference was taken with the table from before the weights were loaded: all zero
    state = seeded_state(mobile_sam_shapes())
    for key in state:
        if key.endswith("attention_biases"):
            state[key] = torch.zeros_like(state[key])
    path = save_pt(tmp_path / "mobile_sam.pt", state)
    engine = MobileSamEngine(path, device="cpu", precision="float32")
    embedding = engine.encode(waves(), Task())
    reference = np.load(DATA / "mobile_sam_reference.npz")
    image = engine._decoder.embedding(embedding.data[TERMS])[0].numpy()
    assert np.abs(image[::16, ::8, ::8] - reference["embedding_sample"]).max() < 2e-5
    # the original takes pixel indices
    prompts = Prompts(
        (PointPrompt(500.5, 400.5), PointPrompt(700.5, 300.5, False)),
        (BoxPrompt(Bounds(200.5, 150.5, 820.5, 760.5)),),
    )
    found = engine.predict_batch(embedding, [prompts], Task(), multimask=True)
    logits = reference["low_res_logits"]
    difference = np.abs(found.logits[0] - logits)
    print(f"largest difference {difference.max():.2g}, standard deviation {logits.std():.2g}")
    assert difference.max() < 2e-5
    assert not ((found.logits[0] > 0) != (logits > 0))[np.abs(logits) > 2e-5].any()
    assert ((logits > 0).mean(axis=(1, 2)) > 0.2).all()
    assert found.scores[0] == pytest.approx(reference["iou"], abs=2e-5)


def test_attention_biases_are_those_of_the_weights() -> None:
    """A bias belongs to the distance of two tokens along each axis, in the order of their first pair."""
    block = build_encoder().stages[1].blocks[0].eval()  # type: ignore[index, union-attr]
    attention, side = block.attn, block.window_size
    with torch.inference_mode():
        attention.attention_biases.copy_(torch.randn(attention.attention_biases.shape))
        x = torch.randn(2, side * side, block.dim)
        rows, columns = np.divmod(np.arange(side * side), side)
        down, across = np.abs(rows[:, None] - rows), np.abs(columns[:, None] - columns)
        bias = attention.attention_biases[:, torch.from_numpy(down * side + across)]
        parts = attention.qkv(attention.norm(x)).view(2, side * side, attention.num_heads, -1)
        query, key, value = (part.transpose(1, 2) for part in parts.chunk(3, dim=-1))
        weights = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5 + bias).softmax(-1)
        expected = attention.proj((weights @ value).transpose(1, 2).flatten(2))
        assert torch.allclose(attention(x), expected, atol=1e-5)


def test_attention_biases_are_read_after_loading(engine: MobileSamEngine) -> None:
    attention = engine._steps[4].attn  # type: ignore[attr-defined]
    loaded = seeded_state(mobile_sam_shapes())["image_encoder.layers.1.blocks.0.attn.attention_biases"]
    used = attention.get_attention_biases(torch.device("cpu"))
    assert torch.equal(used, loaded[:, attention.attention_bias_idxs])


def test_says_what_it_is(engine: MobileSamEngine) -> None:
    assert (engine.name, engine.type, engine.title) == ("mobile_sam", "vit_t", "MobileSAM")
    assert engine.identity.startswith("vit_t:")


def test_cancel_takes_effect_at_the_next_block(engine: MobileSamEngine) -> None:
    seen: list[Progress] = []

    def stop(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == 3:
            task.cancel()

    task = Task(stop)
    with pytest.raises(Cancelled):
        engine.encode(waves(64, 64), task)
    assert len(seen) == 3
    assert len(engine._steps) == 1 + 2 + (1 + 2 + 1) + (1 + 6 + 1) + (1 + 2 + 1) + 1


def test_random_numbers_are_left_alone(tmp_path: Path) -> None:
    path = mobile_sam_checkpoint(tmp_path)
    before = torch.get_rng_state()
    MobileSamEngine(path, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_of_another_engine_are_refused(tmp_path: Path) -> None:
    path = sam_checkpoint(tmp_path, small=True)
    with pytest.raises(SamdeskError, match=r"holds SAM .*, not MobileSAM"):
        MobileSamEngine(path, device="cpu")
