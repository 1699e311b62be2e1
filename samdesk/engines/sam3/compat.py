"""The package sam3 without what it does beside its work.

Importing sam3 0.1.4 also imports its parts for CUDA and for training: they need triton, psutil and
pycocotools, which nothing here uses, and triton is not to be had on every system. It turns on
TF32 for the whole process and writes to the root logger. Its builders put tensors on "cuda"
whatever the device, and so does its tracker. All of that is met here. Must not know the engine, nor
any weights.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from samdesk.engines.runtime import need
from samdesk.engines.torchvision_ops import disarm_torchvision

VIDEO_ONLY = ("triton", "triton.language", "psutil", "pycocotools", "pycocotools.mask")
"""What sam3 imports for its own video model and for training alone."""


def sam3_module(name: str) -> Any:
    """A module of the package sam3, imported without side effects.

    Parameters
    ----------
    name : str
        Such as "sam3.model_builder".

    Raises
    ------
    SamdeskError
        When sam3, or a package that it needs for images, is not installed.
    """
    if name in sys.modules:
        return sys.modules[name]
    disarm_torchvision()
    with _silence(), _same_precision(), standing_in(VIDEO_ONLY):
        return need(name)


@contextmanager
def standing_in(names: tuple[str, ...]) -> Iterator[None]:
    """Let modules that are not installed be imported meanwhile; what is installed is left alone.

    Parents come before their submodules. `sys.modules` is as before afterwards, but for what was
    imported meanwhile.
    """
    absent = [name for name in names if _is_absent(name.partition(".")[0])]
    try:
        for name in absent:
            sys.modules[name] = _Absent(name)
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, sys.modules[name])
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)


class _Absent(ModuleType):
    """A package that is not installed: its members can be named, and can decorate a function."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Unusable(f"{self.__name__}.{name}")


class _Unusable:
    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *args: Any, **options: Any) -> Any:
        if len(args) == 1 and callable(args[0]) and not options:
            return self
        package = self._name.partition(".")[0]
        raise ModuleNotFoundError(f"{self._name} was called, but {package} is not installed", name=package)


def _is_absent(package: str) -> bool:
    return package not in sys.modules and importlib.util.find_spec(package) is None


@contextmanager
def _silence() -> Iterator[None]:
    # the root logger's own functions set up a handler that prints when it has none
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        with warnings.catch_warnings():
            # deprecated calls at the top of sam3, timm and iopath
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger().removeHandler(handler)


@contextmanager
def _same_precision() -> Iterator[None]:
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            if backend.allow_tf32 != value:
                backend.allow_tf32 = value


@contextmanager
def without_memory() -> Iterator[None]:
    """Build modules whose tensors have a shape but no memory (device "meta")."""
    with torch.device("meta"), _Unallocated():
        yield


class _Unallocated(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            # the depths at which blocks are dropped in training are read as numbers
            kwargs["device"] = "cpu"
        elif str(kwargs.get("device")) == "cuda":
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


class Unpinned(TorchFunctionMode):
    """Leaves tensors where they are: only CUDA can pin memory, and the exemplar encoder always does."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is torch.Tensor.pin_memory:
            return args[0]
        return func(*args, **(kwargs or {}))


class Unmoved(Unpinned):
    """Leaves tensors on their device besides: the tracker sends its memories to the current CUDA device."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is torch.Tensor.cuda:
            return args[0]
        return super().__torch_function__(func, types, args, kwargs)


@contextmanager
def tracking() -> Iterator[None]:
    """Run the tracker: `Unmoved`, and torch's choice of attention kernels is afterwards as it was.

    Its attention allows them all, for the whole process.
    """
    kernels: Any = torch.backends.cuda
    before = kernels.flash_sdp_enabled(), kernels.mem_efficient_sdp_enabled(), kernels.math_sdp_enabled()
    try:
        with Unmoved():
            yield
    finally:
        kernels.enable_flash_sdp(before[0])
        kernels.enable_mem_efficient_sdp(before[1])
        kernels.enable_math_sdp(before[2])
