"""Weight files as they come: whole, wrapped, converted, cut off, and of other models."""

from __future__ import annotations

import datetime
import gzip
import hashlib
import importlib.util
import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Cancelled, Progress, Task
from samdesk.engines.checkpoint import file_digest, load_into, read_state, recognise
from samdesk.engines.checkpoint.digest import BLOCK_BYTES
from tests.engines.seeded import hollow_state, save_pt, save_safetensors, seeded_state, shapes_of

Shapes = dict[str, tuple[int, ...]]

SMALL: Shapes = {
    "image_encoder.pos_embed": (1, 4, 4, 32),
    "image_encoder.patch_embed.proj.weight": (32, 3, 16, 16),
    **{f"image_encoder.blocks.{i}.attn.rel_pos_h": (7, 8) for i in range(2)},
    "prompt_encoder.no_mask_embed.weight": (1, 16),
    "mask_decoder.iou_token.weight": (1, 16),
    "mask_decoder.iou_prediction_head.layers.2.bias": (4,),
}
"""Enough of a SAM to be one, in a few kilobytes."""


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="session")
def sam_shapes() -> dict[str, Shapes]:
    from samdesk.engines.torchvision_ops import disarm_torchvision

    disarm_torchvision()
    pytest.importorskip("segment_anything")
    from segment_anything import sam_model_registry

    with torch.device("meta"):
        return {name: shapes_of(sam_model_registry[name]()) for name in ("vit_b", "vit_l", "vit_h")}


def small_file(folder: Path, name: str = "small.pth") -> Path:
    return save_pt(folder / name, seeded_state(SMALL))


def refusal(path: Path) -> str:
    """What a user is told; always names the file."""
    with pytest.raises(SamdeskError) as caught:
        recognise(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value.message


# --- what the published files are ---


@pytest.mark.parametrize(
    ("name", "title", "keys"),
    [("vit_b", "SAM ViT-B", 314), ("vit_l", "SAM ViT-L", 482), ("vit_h", "SAM ViT-H", 594)],
)
def test_sam_is_told_by_its_size(
    sam_shapes: dict[str, Shapes], tmp_path: Path, name: str, title: str, keys: int
) -> None:
    path = save_pt(tmp_path / "weights.pth", hollow_state(sam_shapes[name]))
    info = recognise(path)
    assert (info.type, info.family, info.version, info.title) == (name, "sam", "1", title)
    assert (info.n_keys, info.dtype) == (keys, "float32")
    assert info.digest == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("name", "size"),
    [("sam2_t", "Hiera-T"), ("sam2_s", "Hiera-S"), ("sam2_bp", "Hiera-B+"), ("sam2_l", "Hiera-L")],
)
@pytest.mark.parametrize("version", ["2", "2.1"])
def test_sam2_is_told_by_its_size_and_version(tmp_path: Path, name: str, size: str, version: str) -> None:
    if importlib.util.find_spec("sam2") is None:
        pytest.skip("needs the package sam2")
    from tests.engines.seeded_sam2 import sam2_shapes

    path = save_pt(tmp_path / "x.pt", hollow_state(sam2_shapes(name, version)), "model")
    info = recognise(path)
    assert (info.type, info.family, info.version) == (name, "sam2", version)
    assert info.title == f"SAM {version} {size}"


def test_sam3_is_told(tmp_path: Path) -> None:
    if importlib.util.find_spec("sam3") is None:
        pytest.skip("needs the package sam3")
    from tests.engines.seeded_sam3 import published_keys

    shapes = {key: tuple(value.shape) for key, value in published_keys().items()}
    info = recognise(save_pt(tmp_path / "sam3.pt", hollow_state(shapes)))
    assert (info.type, info.family, info.version, info.title) == ("sam3", "sam3", "3", "SAM 3")
    assert info.n_keys == len(shapes)


def test_mobile_sam_is_told(tmp_path: Path) -> None:
    shapes = {
        "image_encoder.patch_embed.seq.0.c.weight": (32, 3, 3, 3),
        "image_encoder.layers.1.blocks.0.attn.qkv.weight": (384, 128),
        "prompt_encoder.no_mask_embed.weight": (1, 256),
        "mask_decoder.iou_token.weight": (1, 256),
    }
    info = recognise(save_pt(tmp_path / "mobile_sam.pt", hollow_state(shapes)))
    assert (info.type, info.family, info.title) == ("vit_t", "mobile_sam", "MobileSAM")


def test_an_unusual_size_is_named_as_what_it_is(tmp_path: Path) -> None:
    info = recognise(small_file(tmp_path))
    assert (info.type, info.title) == ("vit_b", "SAM ViT (2 blocks, 32 wide)")


def test_recognising_a_large_file_reads_next_to_nothing_of_it(tmp_path: Path) -> None:
    # a file with holes: reading all 4 GB would take seconds, and memory that is not there
    header = {
        key: {"dtype": "F32", "shape": list(shape), "data_offsets": [0, 0]} for key, shape in SMALL.items()
    }
    header["image_encoder.large"] = {"dtype": "F32", "shape": [1 << 30], "data_offsets": [0, 0]}
    end = 0
    for entry in header.values():
        size = 4 * int(np.prod(entry["shape"]))
        entry["data_offsets"] = [end, end + size]
        end += size
    text = json.dumps(header).encode()
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    stamp = path.stat()
    memory = Path(os.environ["SAMDESK_HOME"]) / "cache" / "digests.json"
    memory.parent.mkdir(exist_ok=True)
    memory.write_text(json.dumps({str(path.resolve()): [stamp.st_size, stamp.st_mtime_ns, "0" * 64]}))
    code = (
        "import sys; from pathlib import Path; "
        "from samdesk.engines.checkpoint import recognise; info = recognise(Path(sys.argv[1])); "
        # not getrusage: that counts the process from which this one was forked
        "status = dict(line.split(':', 1) for line in open('/proc/self/status')); "
        "print(info.title, int(status['VmHWM'].split()[0]) // 1024)"
    )
    if sys.platform != "linux":
        pytest.skip("the memory is measured as Linux tells it")
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    title, _, megabytes = done.stdout.strip().rpartition(" ")
    assert title == "SAM ViT (2 blocks, 32 wide)"
    assert int(megabytes) < 1500


# --- wrappers, prefixes, types ---


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict", "model_state", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "sam.", "model.", "module.model.", "_orig_mod."])
def test_wrappers_and_prefixes_are_taken_off(tmp_path: Path, wrapper: str | None, prefix: str) -> None:
    state = seeded_state(SMALL)
    path = save_pt(tmp_path / "x.pt", {prefix + key: value for key, value in state.items()}, wrapper)
    info, found = read_state(path)
    assert info.type == "vit_b"
    assert set(found) == set(state)
    assert all(torch.equal(found[key], state[key]) for key in state)


def test_a_training_checkpoint_gives_its_weights_alone(tmp_path: Path) -> None:
    state = {f"sam.{key}": value for key, value in seeded_state(SMALL).items()}
    training = {
        "epoch": 7,
        "optimizer_state": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []},
        "model_state": {**state, "sam.loss.weight": torch.ones(1), "decoder.out.weight": torch.ones(2, 2)},
        "scheduler_state": {"best": 0.25},
    }
    path = tmp_path / "best.pt"
    torch.save(training, path)
    info, found = read_state(path)
    assert info.family == "sam"
    assert set(found) == {*SMALL, "loss.weight"}


def test_a_wrapper_within_a_wrapper_is_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"model": {"state_dict": seeded_state(SMALL), "name": "mine"}, "step": 3}, path)
    assert set(read_state(path)[1]) == set(SMALL)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    state = seeded_state(SMALL)
    path = save_pt(tmp_path / "x.pt", {key: value.to(dtype) for key, value in state.items()})
    info, found = read_state(path)
    assert info.dtype == str(dtype).removeprefix("torch.")
    for key, value in state.items():
        assert found[key].dtype is torch.float32
        torch.testing.assert_close(found[key], value.to(dtype).float(), rtol=0, atol=0)


def test_the_old_format_and_safetensors_hold_the_same(tmp_path: Path) -> None:
    state = seeded_state(SMALL)
    torch.save({"model": state}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_safetensors(tmp_path / "new.safetensors", state)
    save_pt(tmp_path / "zip.pt", state)
    for name in ("old.pth", "new.safetensors", "zip.pt"):
        found = read_state(tmp_path / name)[1]
        assert all(torch.equal(found[key], state[key]) for key in state), name


@given(
    wrapper=st.sampled_from([None, "model", "state_dict", "net"]),
    prefix=st.sampled_from(["", "module.", "sam."]),
    extra=st.dictionaries(
        st.sampled_from(["epoch", "loss", "config", "optimizer"]), st.integers() | st.text()
    ),
    half=st.booleans(),
)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_around_them_the_weights_are_found(
    tmp_path: Path, wrapper: str | None, prefix: str, extra: dict[str, Any], half: bool
) -> None:
    state = {prefix + key: value for key, value in seeded_state(SMALL).items()}
    state = {key: value.half() if half else value for key, value in state.items()}
    path = tmp_path / "any.pt"
    torch.save({**extra, wrapper: state} if wrapper else {**extra, **state}, path)
    info, found = read_state(path)
    assert (info.type, info.dtype) == ("vit_b", "float16" if half else "float32")
    assert {key: tuple(value.shape) for key, value in found.items()} == SMALL


# --- files that are none ---


def test_what_is_not_a_file_is_told(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.pt")
    assert "is a folder" in refusal(tmp_path)
    empty = tmp_path / "empty.pt"
    empty.touch()
    assert "is empty" in refusal(empty)


def test_a_folder_with_weights_hints_at_the_file(tmp_path: Path) -> None:
    small_file(tmp_path, "model.pth")
    with pytest.raises(SamdeskError, match="is a folder") as caught:
        recognise(tmp_path)
    assert "model.pth" in caught.value.hint


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    assert "is not a file but a device or a pipe" in refusal(tmp_path / "pipe.pt")


def image_bytes(kind: str) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, kind)
    return buffer.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 375042383\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<!DOCTYPE html>\n<html><title>Sign in</title></html>", "a web page"),
        (b"\n\n  <html lang='en'>", "a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML document"),
        (LFS, "a Git LFS pointer"),
        (b'{"error": "Access to model facebook/sam3 is restricted"}', "a JSON document"),
        (b"Invalid username or password.", "begins with “Invalid username or password.”"),
        (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0" + bytes(64), "an ONNX model"),
        (b"GGUF\x03\0\0\0" + bytes(64), "a GGUF language model"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "an HDF5 file"),
        (b"\x1c\0\0\0TFL3" + bytes(64), "a TensorFlow Lite model"),
        (image_bytes("PNG"), "a PNG image"),
        (image_bytes("JPEG"), "a JPEG image"),
        (image_bytes("TIFF"), "a TIFF image"),
        (image_bytes("WEBP"), "a WebP image"),
        (image_bytes("BMP"), "a BMP image"),
        (gzip.compress(b"weights"), "a gzip archive"),
        (b"BM is how this sentence begins", "a text file"),
        (bytes(5000), "nothing but zeros"),
        (bytes(range(7, 250)) * 9, "not a file of weights"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_files_are_named(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "sam_vit_b.pt"
    path.write_bytes(content)
    assert told in refusal(path)


BEGINS = [
    b"",
    b"PK\x03\x04",
    b"\x80\x02",
    b"\x80\x04\x95",
    b"\x40\0\0\0\0\0\0\0{",
    b"<html",
    b"\x08",
    b"II*\0",
]


@given(st.sampled_from(BEGINS), st.binary(max_size=1500) | st.text(max_size=200).map(str.encode))
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_refused_in_words(tmp_path: Path, begin: bytes, rest: bytes) -> None:
    path = tmp_path / "any.pt"
    path.write_bytes(begin + rest)
    refusal(path)


def test_an_array_archive_and_a_plain_zip_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    assert "a NumPy .npz archive" in refusal(tmp_path / "x.npz")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("release/sam_vit_b.pth", b"1")
    assert "sam_vit_b.pth in it, which must be unpacked" in refusal(tmp_path / "x.zip")


def test_torchscript_is_named(tmp_path: Path) -> None:
    # as torch.jit.save lays it out; writing one is deprecated
    with zipfile.ZipFile(tmp_path / "traced.pt", "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py", "version"):
            archive.writestr(f"traced/{name}", b"x")
    assert "a TorchScript model" in refusal(tmp_path / "traced.pt")


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["zip", "old", "safetensors"])
def test_a_download_that_was_cut_off_is_told(tmp_path: Path, kind: str, kept: float) -> None:
    path = tmp_path / "cut.pt"
    if kind == "safetensors":
        save_safetensors(path, seeded_state(SMALL))
    else:
        torch.save(seeded_state(SMALL), path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    assert "is damaged or incomplete" in refusal(path)


@given(st.data())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_read_or_refused_in_words(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "damaged.pt"
    kind = data.draw(st.sampled_from(["zip", "old", "safetensors"]))
    if kind == "safetensors":
        save_safetensors(path, seeded_state(SMALL))
    else:
        torch.save(seeded_state(SMALL), path, _use_new_zipfile_serialization=kind == "zip")
    content = bytearray(path.read_bytes())
    near = st.integers(0, 3000) | st.integers(1, 2000).map(lambda back: len(content) - back)
    for at, value in data.draw(st.lists(st.tuples(near, st.integers(0, 255)), min_size=1, max_size=4)):
        content[min(at, len(content) - 1)] = value
    path.write_bytes(content)
    told = ""
    try:
        info, state = read_state(path)
    except SamdeskError as error:
        told = error.message
    assert str(path) in told if told else info.n_keys == len(state)


class Payload:
    """Would leave a mark if its pickle were run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("old", [False, True])
def test_code_in_a_file_is_named_and_never_run(tmp_path: Path, old: bool) -> None:
    path, mark = tmp_path / "evil.pt", tmp_path / "mark"
    state = {**seeded_state(SMALL), "config": Payload(mark)}
    torch.save(state, path, _use_new_zipfile_serialization=not old)
    told = refusal(path)
    assert "holds more than weights" in told
    assert "pathlib" in told or "getattr" in told
    assert not mark.exists()


def test_a_plain_pickle_is_named_by_its_classes_and_never_run(tmp_path: Path) -> None:
    path, mark = tmp_path / "evil.pkl", tmp_path / "mark"
    path.write_bytes(pickle.dumps({"weights": np.zeros(3), "x": Payload(mark)}))
    told = refusal(path)
    assert "not weights alone" in told
    assert "numpy" in told
    assert not mark.exists()


def test_extra_objects_of_a_training_program_are_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    torch.save({"model_state": seeded_state(SMALL), "init": {"when": datetime.date(2024, 5, 1)}}, path)
    with pytest.raises(SamdeskError, match=r"it would call datetime\.date") as caught:
        recognise(path)
    assert "state_dict()" in caught.value.hint


def test_a_whole_model_object_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "whole.pt"
    torch.save(nn.Linear(2, 2), path)
    told = refusal(path)
    assert "torch.nn.modules.linear.Linear" in told
    assert "a whole model object" in told


@pytest.mark.parametrize(
    ("loaded", "told"),
    [
        (torch.zeros(3), "a single tensor"),
        ([torch.zeros(3)], "a list"),
        ({"epoch": 3, "lr": 0.1}, "a dictionary (epoch, lr)"),
        ({}, "an empty dictionary"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_without_named_weights_is_told(tmp_path: Path, loaded: Any, told: str) -> None:
    torch.save(loaded, tmp_path / "x.pt")
    assert told in refusal(tmp_path / "x.pt")


# --- other models ---


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (["model.0.conv.weight", "model.0.bn.weight", "model.22.dfl.conv.weight"], "YOLO"),
        (["conv1.weight", "layer1.0.conv1.weight", "layer4.1.bn2.bias", "fc.weight"], "ResNet"),
        (["cls_token", "blocks.0.ls1.gamma", "blocks.0.attn.qkv.weight"], "DINOv2"),
        (["cls_token", "storage_tokens", "blocks.0.attn.qkv.weight"], "DINOv3"),
        (["cls_token", "blocks.0.attn.qkv.weight", "head.weight"], "a vision transformer"),
        (["patch_embed.proj.weight", "blocks.0.attn.rel_pos_h"], "the image encoder of a SAM alone"),
        (
            ["image_encoder.patch_embed.proj.weight", "image_encoder.blocks.0.attn.rel_pos_h"],
            "encoder of a SAM",
        ),
        (
            ["vision_encoder.layers.0.attn.qkv.weight", "mask_decoder.iou_token.weight"],
            "transformers library",
        ),
        (["image_encoder.stages.0.0.conv.weight", "mask_decoder.iou_token.weight"], "EdgeSAM"),
        (["encoder.pos_embed", "encoder.blocks.0.attn.rel_pos_h", "out.weight", "W2"], "Cellpose-SAM"),
        (["downsample.down.res_down_0.conv.conv_0.0.weight"], "Cellpose"),
        (["model.layers.0.self_attn.q_proj.weight", "lm_head.weight"], "a language model"),
        (
            ["weird.one", "weird.two", "weird.three", "weird.four"],
            "4 weights, the first are weird.one, weird.two",
        ),
    ],
)
def test_another_model_is_named(tmp_path: Path, keys: list[str], told: str) -> None:
    assert told in refusal(save_pt(tmp_path / "x.pt", hollow_state(dict.fromkeys(keys, (8, 8)))))


def test_a_sam_with_a_changed_decoder_is_not_taken_for_sam(tmp_path: Path) -> None:
    state = hollow_state({**SMALL, "mask_decoder.hf_token.weight": (1, 16)})
    assert "HQ-SAM" in refusal(save_pt(tmp_path / "hq.pth", state))


# --- weights and modules ---


def tiny(device: str = "cpu") -> nn.Module:
    with torch.device(device):
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_weights_go_into_a_module(tmp_path: Path, device: str) -> None:
    state = seeded_state(shapes_of(tiny()))
    module = tiny(device).eval()
    load_into(module, state, tmp_path / "x.pt")
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert module(torch.ones(1, 3)).shape == (1, 2)
    state["0.weight"].zero_()
    assert module.state_dict()["0.weight"].abs().sum() > 0


def test_every_kind_of_misfit_is_counted_and_named(tmp_path: Path) -> None:
    module = tiny()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state = seeded_state(shapes_of(module))
    for key in ("0.bias", "1.bias", "1.weight", "2.bias"):
        del state[key]
    state["2.weight"] = torch.zeros(4, 2)
    state["extra"] = torch.zeros(1)
    with pytest.raises(SamdeskError) as caught:
        load_into(module, state, tmp_path / "x.pt")
    told = caught.value.message
    assert str(tmp_path / "x.pt") in told
    assert "4 missing (0.bias, 1.weight, 1.bias, …)" in told
    assert "1 unknown (extra)" in told
    assert "1 of another shape (2.weight is 4 × 2 and not 2 × 4)" in told
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("half", [False, True])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, value: float, half: bool) -> None:
    state = seeded_state(SMALL)
    state["mask_decoder.iou_token.weight"][0, 3] = value
    path = save_pt(tmp_path / "x.pt", state, half=half)
    with pytest.raises(SamdeskError, match=r"not finite, in mask_decoder\.iou_token\.weight"):
        read_state(path)


def test_large_finite_numbers_are_kept(tmp_path: Path) -> None:
    state = seeded_state(SMALL)
    state["mask_decoder.iou_token.weight"][:] = 3e38
    assert read_state(save_pt(tmp_path / "x.pt", state))[1]["mask_decoder.iou_token.weight"][0, 0] == 3e38


# --- the digest ---


def read_bytes_of(task_messages: list[Progress], name: str) -> bool:
    return any(name in one.message and "Checking" in one.message for one in task_messages)


def test_a_file_is_hashed_once_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"first")
    told: list[Progress] = []
    assert file_digest(path, Task(told.append)) == hashlib.sha256(b"first").hexdigest()
    assert read_bytes_of(told, "x.bin")
    told.clear()
    assert file_digest(path, Task(told.append)) == hashlib.sha256(b"first").hexdigest()
    assert not told
    path.write_bytes(b"second")
    assert file_digest(path, Task(told.append)) == hashlib.sha256(b"second").hexdigest()


def test_the_same_size_at_another_time_is_another_file(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"aaaa")
    file_digest(path)
    path.write_bytes(b"bbbb")
    os.utime(path, ns=(0, 12345))
    assert file_digest(path) == hashlib.sha256(b"bbbb").hexdigest()


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[1, 2", b"[]", b"7", b'{"x": 1}', b"[" * 100_000, b'{"KEY": [4, 5, 6]}']
)
def test_a_damaged_memory_of_digests_does_no_harm(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"data")
    memory = Path(os.environ["SAMDESK_HOME"]) / "cache" / "digests.json"
    memory.parent.mkdir()
    memory.write_bytes(content.replace(b"KEY", str(path.resolve()).encode()))
    expected = hashlib.sha256(b"data").hexdigest()
    assert file_digest(path) == expected
    assert json.loads(memory.read_bytes())[str(path.resolve())][-1] == expected


def test_a_memory_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"data")
    (Path(os.environ["SAMDESK_HOME"]) / "cache" / "digests.json").mkdir(parents=True)
    assert file_digest(path) == file_digest(path) == hashlib.sha256(b"data").hexdigest()


def test_a_cancelled_digest_stops_at_once_and_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    with path.open("wb") as file:
        file.truncate(20 * BLOCK_BYTES)
    told: list[Progress] = []

    def stop(progress: Progress) -> None:
        told.append(progress)
        task.cancel()

    task = Task(stop)
    with pytest.raises(Cancelled):
        file_digest(path, task)
    assert len(told) == 1
    assert not (Path(os.environ["SAMDESK_HOME"]) / "cache" / "digests.json").exists()


def test_progress_of_reading_goes_up_and_can_be_cancelled(tmp_path: Path) -> None:
    path = small_file(tmp_path)
    told: list[Progress] = []
    read_state(path, Task(told.append))
    reading = [
        one.fraction for one in told if one.message == "Reading small.pth" and one.fraction is not None
    ]
    assert reading == sorted(reading)
    assert len(reading) == len(SMALL)
    task = Task()
    task.cancel()
    with pytest.raises(Cancelled):
        read_state(path, task)
