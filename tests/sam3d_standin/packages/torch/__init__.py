"""A stand-in of torch over numpy: what is refused there is refused here.

A tensor on the card or in bfloat16 does not become an array by itself. The card, and what it has,
is told by the file that ``SAM3D_STANDIN`` names.
"""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np

__version__ = "2.5.1+standin"
_random = np.random.default_rng(0)


def told():
    """What the test told: read each time, so that it can change while the worker lives."""
    return json.loads(Path(os.environ["SAM3D_STANDIN"]).read_text("utf-8"))


class Tensor:
    def __init__(self, array, device="cpu", dtype="float32"):
        self._array = np.asarray(array)
        self.device = SimpleNamespace(type=device)
        self.dtype = dtype

    def _like(self, array):
        return Tensor(array, self.device.type, self.dtype)

    @property
    def shape(self):
        return self._array.shape

    def __len__(self):
        return len(self._array)

    def __getitem__(self, key):
        return self._like(self._array[key])

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.numpy(), dtype)

    def numpy(self):
        if self.device.type != "cpu":
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")
        if self.dtype == "bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self._array

    def to(self, device):
        return Tensor(self._array, getattr(device, "type", device), self.dtype)

    def cpu(self):
        return self.to("cpu")

    def detach(self):
        return self._like(self._array)

    def float(self):
        return Tensor(self._array.astype(np.float32), self.device.type)

    def permute(self, *axes):
        return self._like(self._array.transpose(axes[0] if isinstance(axes[0], tuple) else axes))

    def contiguous(self):
        return self._like(np.ascontiguousarray(self._array))


class OutOfMemoryError(RuntimeError):
    pass


class device:  # noqa: N801 - its name there
    def __init__(self, type):
        self.type = type

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return None


def from_numpy(array):
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    return Tensor(array)


def manual_seed(seed):
    global _random
    _random = np.random.default_rng(seed)


def randn(*shape):
    return Tensor(_random.standard_normal(shape).astype(np.float32), "cuda")


class Module:
    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)


class ModuleDict(Module):
    def __init__(self, modules):
        self._modules = dict(modules)

    def __getitem__(self, name):
        return self._modules[name]

    def __contains__(self, name):
        return name in self._modules


nn = SimpleNamespace(Module=Module, ModuleDict=ModuleDict)
version = SimpleNamespace(cuda="12.1")


def _gpu():
    return told().get("gpu")


def _properties(index=0):
    return SimpleNamespace(**_gpu())


cuda = SimpleNamespace(
    OutOfMemoryError=OutOfMemoryError,
    is_available=lambda: bool(_gpu()),
    device_count=lambda: 1 if _gpu() else 0,
    get_device_name=lambda index=0: _gpu()["name"],
    get_device_properties=_properties,
    get_arch_list=lambda: ["sm_50", "sm_80", "sm_86", "sm_90"],
    mem_get_info=lambda: (_gpu()["total_memory"] // 2, _gpu()["total_memory"]),
    reset_peak_memory_stats=lambda: None,
    max_memory_allocated=lambda: 4_096_000_000,
    empty_cache=lambda: None,
)
