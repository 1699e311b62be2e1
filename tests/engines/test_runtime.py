"""Devices, precision, memory and missing packages, as a user meets them."""

from __future__ import annotations

import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch

from samdesk.domain.errors import SamdeskError
from samdesk.engines.runtime import (
    autocast,
    device_title,
    devices,
    free_memory,
    is_out_of_memory,
    memory_guard,
    need,
    pick_device,
    pick_precision,
)

CPU = torch.device("cpu")
no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
with_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_importing_the_module_does_not_import_torch() -> None:
    code = "import sys, samdesk.engines.runtime; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_auto_takes_the_first_device_of_the_list() -> None:
    assert str(pick_device()) == str(pick_device(" AUTO ")) == devices()[0].name


def test_every_listed_device_can_be_picked_and_has_a_title_and_memory() -> None:
    for info in devices():
        assert str(pick_device(info.name)) == info.name
        assert info.title
        if info.memory_bytes is not None and info.free_bytes is not None:
            assert 0 < info.free_bytes <= info.memory_bytes


def test_the_cpu_is_always_there_last() -> None:
    assert devices()[-1].name == "cpu"
    assert pick_device("cpu") == pick_device("CPU:0") == CPU
    assert device_title(CPU) == "the CPU"


@no_cuda
@pytest.mark.parametrize("wanted", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_told_with_what_is_there(wanted: str) -> None:
    with pytest.raises(SamdeskError, match="There is no CUDA GPU") as caught:
        pick_device(wanted)
    assert "cpu" in caught.value.hint


@with_cuda
def test_a_gpu_number_that_is_not_there_is_told() -> None:
    with pytest.raises(SamdeskError, match="There is no GPU “cuda:99”"):
        pick_device("cuda:99")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is an Apple GPU")
def test_an_apple_gpu_that_is_not_there_is_told() -> None:
    with pytest.raises(SamdeskError, match="no Apple GPU"):
        pick_device("mps")


@pytest.mark.parametrize("wanted", ["gpu", "", "cuda:-1", "xpu", "meta", "cuda:one"])
def test_a_device_of_an_unknown_name_is_refused(wanted: str) -> None:
    with pytest.raises(SamdeskError, match=r"no device named|not supported") as caught:
        pick_device(wanted)
    assert caught.value.hint.startswith("Choose one of: auto")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("float32", torch.float32),
        ("FP32", torch.float32),
        ("bf16", torch.bfloat16),
        ("bfloat16", torch.bfloat16),
    ],
)
def test_a_precision_is_taken_by_its_names(wanted: str, expected: torch.dtype) -> None:
    assert pick_precision(CPU, wanted) is expected


def test_auto_precision_is_one_that_the_cpu_computes() -> None:
    assert pick_precision(CPU) in (torch.float32, torch.bfloat16)
    assert pick_precision(torch.device("mps")) is torch.float32


@with_cuda
def test_auto_precision_of_a_gpu_is_a_short_one() -> None:
    assert pick_precision(torch.device("cuda", 0)) in (torch.float16, torch.bfloat16)


def test_a_precision_that_does_not_exist_or_cannot_be_computed_is_refused() -> None:
    with pytest.raises(SamdeskError, match="no precision named “int8”"):
        pick_precision(CPU, "int8")
    with pytest.raises(SamdeskError, match="CPU does not compute with float16"):
        pick_precision(CPU, "half")


def test_autocast_changes_products_inside_only() -> None:
    a = torch.ones(4, 4)
    with autocast(CPU, torch.bfloat16):
        assert (a @ a).dtype is torch.bfloat16
    with autocast(CPU, torch.float32):
        assert (a @ a).dtype is torch.float32
    assert (a @ a).dtype is torch.float32
    assert not torch.is_autocast_enabled("cpu")


def test_a_full_memory_is_told_in_words() -> None:
    def too_much() -> None:
        torch.empty(1 << 60)

    with (
        pytest.raises(SamdeskError, match="SAM ViT-H ran out of memory on the CPU while encoding the image"),
        memory_guard("encoding the image", "SAM ViT-H", CPU),
    ):
        too_much()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8589934592 bytes."),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("Invalid buffer size: 12.00 GB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_way_to_say_that_memory_is_full_is_understood(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes do not match"), ValueError("out of memory"), KeyError("a")]
)
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)), memory_guard("predicting", "SAM", CPU):
        raise error


def test_numpy_that_finds_no_memory_is_guarded_too() -> None:
    with pytest.raises(SamdeskError, match="ran out of memory"), memory_guard("reading", "SAM", CPU):
        np.ones(1 << 58)


def test_what_filled_the_memory_is_let_go() -> None:
    seen: list[weakref.ref[torch.Tensor]] = []

    def fill() -> None:
        large = torch.ones(1000)
        seen.append(weakref.ref(large))
        raise MemoryError

    with pytest.raises(SamdeskError) as caught, memory_guard("predicting", "SAM", CPU):
        fill()
    assert caught.value.message
    assert seen[0]() is None


def test_free_memory_of_the_cpu_is_a_plausible_number() -> None:
    free = free_memory("cpu")
    assert free is None or 1 << 20 < free < 1 << 50


def test_need_gives_the_module() -> None:
    assert need("torch.nn") is torch.nn


@pytest.mark.parametrize("name", ["samdesk_lacks_this", "samdesk_lacks_this.part"])
def test_need_tells_what_to_run_for_a_missing_package(name: str) -> None:
    with pytest.raises(SamdeskError, match=r"^samdesk_lacks_this is not installed") as caught:
        need(name, "models")
    assert "./installer/run --with models" in caught.value.hint


def test_need_names_what_a_package_itself_lacks(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "samdesk_test_half.py").write_text("import samdesk_lacks_this")
    (tmp_path / "samdesk_test_broken.py").write_text("raise ImportError('libcuda.so: no such file')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SamdeskError, match="samdesk_test_half needs samdesk_lacks_this"):
        need("samdesk_test_half")
    with pytest.raises(SamdeskError, match=r"samdesk_test_broken cannot be loaded: libcuda\.so"):
        need("samdesk_test_broken")
