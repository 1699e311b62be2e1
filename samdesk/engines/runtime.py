"""Where a model computes: devices, precision, memory, and the packages it needs.

The one place that asks torch what this computer has. Must not know any model. Importing this
module does not import torch, so that a missing torch can be told in words.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import platform
import sys
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from samdesk.domain.errors import MemoryFullError, SamdeskError

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)

AUTO = "auto"

_PRECISIONS = {
    "float32": "float32",
    "fp32": "float32",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float16": "float16",
    "fp16": "float16",
    "half": "float16",
}

_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "failed to allocate",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "invalid buffer size",
)
"""What the messages of torch's allocators contain, in lower case; not all raise an own class."""


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device on which models can compute.

    Attributes
    ----------
    name : str
        What `pick_device` takes: "cuda:0", "mps", "cpu".
    title : str
        What the user reads.
    memory_bytes, free_bytes : int or None
        Total and free memory; None where it cannot be told.
    """

    name: str
    title: str
    memory_bytes: int | None
    free_bytes: int | None


def need(package: str, extra: str = "models") -> ModuleType:
    """Import an optional package.

    Parameters
    ----------
    package : str
        Name to import, such as "torch" or "sam2.modeling".
    extra : str
        Group of optional libraries that brings it.

    Raises
    ------
    SamdeskError
        When it is not installed, or its files are damaged.
    """
    try:
        return importlib.import_module(package)
    except (ImportError, OSError, RuntimeError) as error:
        top = package.partition(".")[0]
        missing = error.name or top if isinstance(error, ModuleNotFoundError) else ""
        hint = f"Run ./installer/run --with {extra}, or: pip install 'samdesk[{extra}]'"
        if missing.partition(".")[0] == top:
            raise SamdeskError(f"{top} is not installed.", hint) from error
        if missing:
            raise SamdeskError(f"{top} needs {missing}, which is not installed.", hint) from error
        raise SamdeskError(f"{top} cannot be loaded: {error}.", hint) from error


def devices() -> list[DeviceInfo]:
    """All devices of this computer, the one that "auto" would take first; errors as `need`."""
    need("torch")
    found = [_cuda_info(index) for index in range(_cuda_count())]
    if _has_mps():
        found.append(_mps_info())
    memory, free = _host_memory()
    return [*found, DeviceInfo("cpu", _cpu_title(), memory, free)]


def device_title(device: torch.device | str) -> str:
    """What the user reads for a device: "NVIDIA H100 (cuda:0)", "the CPU"."""
    import torch

    device = torch.device(device)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        return _cuda_title(index)
    return {"cpu": "the CPU", "mps": "the Apple GPU"}.get(device.type, str(device))


def free_memory(device: torch.device | str) -> int | None:
    """Free bytes on a device; None where it cannot be told."""
    import torch

    device = torch.device(device)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return _host_memory()[1] if device.type == "cpu" else None


def pick_device(wanted: str = AUTO) -> torch.device:
    """The device to compute on.

    Parameters
    ----------
    wanted : str
        "auto" (a CUDA GPU that works, else the Apple GPU, else the CPU), "cpu", "mps", "cuda",
        or "cuda:1" for the second GPU.

    Raises
    ------
    SamdeskError
        When the device is not there, or this torch cannot use it; or without torch.
    """
    need("torch")
    if wanted.strip().lower() == AUTO:
        return _best_device()
    device = _parse_device(wanted)
    if device.type == "cuda":
        return _checked_cuda(device)
    if device.type == "mps" and not _has_mps():
        raise _absent("There is no Apple GPU that torch can use.")
    return device


def pick_precision(device: torch.device, wanted: str = AUTO) -> torch.dtype:
    """The type of number that an encoder computes with.

    Parameters
    ----------
    device : torch.device
    wanted : str
        "auto", "float32", "bfloat16" or "float16" (or "fp32", "bf16", "fp16"). "auto" is
        bfloat16 where the hardware multiplies it (a CUDA GPU of compute capability 8 or more, a
        CPU with AVX-512 BF16 or AMX), float16 on an older CUDA GPU, and float32 elsewhere. An
        encoder in bfloat16 is 3 to 4 times as quick on such a CPU; its embedding then differs
        from that in float32 by about 1 % (norm of the difference).

    Raises
    ------
    SamdeskError
        When there is no such precision, or the device cannot compute with it.
    """
    import torch

    name = wanted.strip().lower()
    if name == AUTO:
        return _best_precision(device)
    if name not in _PRECISIONS:
        raise SamdeskError(
            f"There is no precision named “{wanted}”.", "Choose auto, float32, bfloat16 or float16."
        )
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[
        _PRECISIONS[name]
    ]
    if device.type == "cpu" and dtype is torch.float16:
        raise SamdeskError("The CPU does not compute with float16.", "Choose auto, float32 or bfloat16.")
    return dtype


def dtype_name(dtype: torch.dtype) -> str:
    """ "float32", "bfloat16", "float16"."""
    return str(dtype).removeprefix("torch.")


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Compute with `dtype` where that is safe; nothing changes for float32."""
    import torch

    if dtype is torch.float32:
        return nullcontext()
    # the cache would hold converted copies of the weights of whatever runs outside this block
    return torch.autocast(device.type, dtype=dtype, cache_enabled=False)


@contextmanager
def memory_guard(doing: str, title: str, device: torch.device) -> Iterator[None]:
    """Say in words when the memory is full, and give back what torch holds in reserve.

    Parameters
    ----------
    doing : str
        As in "… while encoding the image".
    title : str
        Of the engine.
    device : torch.device

    Raises
    ------
    MemoryFullError
        In place of every error by which torch or Python says that memory is full.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        # the frames of the traceback hold the very tensors that fill the memory
        traceback.clear_frames(error.__traceback__)
        release_memory(device)
        message = f"{title} ran out of memory on {device_title(device)} while {doing}."
        raise MemoryFullError(message, _memory_hint(device)) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of a device or of the computer is full."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)


def release_memory(device: torch.device | str) -> None:
    """Give memory that torch holds in reserve back to the device."""
    import torch

    gc.collect()
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.empty_cache()
    elif kind == "mps":
        torch.mps.empty_cache()


def _best_device() -> torch.device:
    import torch

    for index in range(_cuda_count()):
        device = torch.device("cuda", index)
        reason = _why_cuda_fails(device)
        if not reason:
            return device
        _log.info("%s is passed over: %s", _cuda_title(index), reason)
    return torch.device("mps" if _has_mps() else "cpu")


def _parse_device(wanted: str) -> torch.device:
    import torch

    try:
        device = torch.device(wanted.strip().lower())
    except RuntimeError as error:
        raise _absent(f"There is no device named “{wanted}”.") from error
    if device.type not in ("cuda", "mps", "cpu"):
        raise _absent(f"The device “{wanted}” is not supported.")
    return torch.device("cpu") if device.type == "cpu" else device


def _checked_cuda(device: torch.device) -> torch.device:
    import torch

    count = _cuda_count()
    if not count:
        why = "" if torch.version.cuda or torch.version.hip else " This torch is a build for the CPU only."
        raise _absent(f"There is no CUDA GPU that torch can use.{why}")
    index = device.index or 0
    if index >= count:
        raise _absent(f"There is no GPU “cuda:{index}”.")
    device = torch.device("cuda", index)
    reason = _why_cuda_fails(device)
    if reason:
        raise _absent(f"{_cuda_title(index)} cannot be used: {reason}")
    return device


def _why_cuda_fails(device: torch.device) -> str:
    import torch

    # a GPU older than the build's kernels is listed like any other and fails at the first kernel
    try:
        (torch.ones(1, device=device) + 1).item()
    except RuntimeError as error:
        return str(error).strip().splitlines()[0]
    return ""


def _absent(message: str) -> SamdeskError:
    there = ["auto", *(f"cuda:{i}" for i in range(_cuda_count())), *(["mps"] if _has_mps() else [])]
    return SamdeskError(message, f"Choose one of: {', '.join([*there, 'cpu'])}.")


def _best_precision(device: torch.device) -> torch.dtype:
    import torch

    if device.type == "cpu" and _has_cpu_bfloat16():
        return torch.bfloat16
    if device.type != "cuda":
        return torch.float32
    major = torch.cuda.get_device_capability(device)[0]
    return torch.bfloat16 if torch.version.hip or major >= 8 else torch.float16


def _has_cpu_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 itself; where it does not, float32 is the quicker one."""
    import torch

    asked = (
        getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return any(ask() for ask in asked if ask is not None)


def _memory_hint(device: torch.device) -> str:
    if device.type == "cpu":
        return "Choose a smaller model, close other programs, or work at a larger downsample."
    return (
        "Choose a smaller model, compute on the CPU, or free the GPU's memory by closing other "
        "programs that use it."
    )


def _cuda_count() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _has_mps() -> bool:
    import torch

    return bool(torch.backends.mps.is_available())


def _cuda_title(index: int) -> str:
    import torch

    return f"{torch.cuda.get_device_name(index)} (cuda:{index})"


def _cuda_info(index: int) -> DeviceInfo:
    import torch

    total = int(torch.cuda.get_device_properties(index).total_memory)
    try:
        free: int | None = int(torch.cuda.mem_get_info(index)[0])
    except RuntimeError:
        free = None
    return DeviceInfo(f"cuda:{index}", _cuda_title(index), total, free)


def _mps_info() -> DeviceInfo:
    import torch

    total = int(torch.mps.recommended_max_memory())
    return DeviceInfo("mps", "Apple GPU", total, total - int(torch.mps.driver_allocated_memory()))


def _cpu_title() -> str:
    name = _linux_field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()
    return f"CPU ({name}, {os.cpu_count() or 1} cores)"


def _host_memory() -> tuple[int | None, int | None]:
    """Total and free bytes of the computer; None where the system does not tell."""
    if sys.platform == "win32":
        return _windows_memory()
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total = page * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None, None
    return total, _linux_available()


def _linux_available() -> int | None:
    # AVPHYS_PAGES would leave out what the file cache gives back at once
    kilobytes = _linux_field("/proc/meminfo", "MemAvailable").partition(" ")[0]
    return 1024 * int(kilobytes) if kilobytes.isdigit() else None


def _linux_field(file: str, name: str) -> str:
    """The value of the first line "name : value"; empty elsewhere than on Linux."""
    try:
        lines = Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _windows_memory() -> tuple[int | None, int | None]:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((f"value{i}", ctypes.c_ulonglong) for i in range(7)),
        )

    status: Any = Status()
    status.length = ctypes.sizeof(status)
    windll: Any = getattr(ctypes, "windll")  # noqa: B009 - only there on Windows
    if not windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None, None
    return int(status.value0), int(status.value1)
