"""Seeded weights: the same numbers everywhere, and files in the layouts that weights come in."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def seeded_array(key: str, shape: Sequence[int], tag: str = "a") -> NDArray[Any]:
    """One weight: a function of its key, its shape and the tag alone."""
    shape = tuple(shape)
    draw = np.random.default_rng(zlib.crc32(f"{tag}:{key}".encode()))
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if key.endswith("running_var"):
        values = draw.uniform(0.5, 1.5, shape)
    elif key.endswith("running_mean"):
        values = draw.normal(0, 0.05, shape)
    elif len(shape) < 2 and key.endswith("weight"):
        values = draw.uniform(0.8, 1.2, shape)
    elif len(shape) < 2:
        values = draw.normal(0, 0.02, shape)
    else:
        values = draw.normal(0, 1, shape) / np.sqrt(np.prod(shape[1:]))
    return np.asarray(values, np.float32)


def seeded_state(shapes: Mapping[str, Sequence[int]], tag: str = "a") -> dict[str, torch.Tensor]:
    """A state dict with seeded weights; `shapes` may be {key: tensor.shape} of a model's state dict."""
    return {key: torch.from_numpy(seeded_array(key, shape, tag)) for key, shape in shapes.items()}


def shapes_of(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a module's state dict; the module may lie on the meta device."""
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def hollow_state(
    shapes: Mapping[str, Sequence[int]], dtype: torch.dtype = torch.float32
) -> dict[str, torch.Tensor]:
    """A state dict of any size that takes a few bytes: every weight shows the same zero."""
    zero = torch.zeros(1, dtype=dtype)
    return {key: zero.expand(tuple(shape)) if shape else zero[0] for key, shape in shapes.items()}


def save_pt(
    path: Path, state: Mapping[str, torch.Tensor], wrapper: str | None = None, half: bool = False
) -> Path:
    """Write what `torch.save` writes: the state dict itself, or under the key `wrapper`."""
    values = _half(state) if half else dict(state)
    torch.save({wrapper: values} if wrapper else values, path)
    return path


def save_safetensors(path: Path, state: Mapping[str, torch.Tensor], half: bool = False) -> Path:
    from safetensors.torch import save_file

    values = _half(state) if half else state
    save_file({key: value.contiguous() for key, value in values.items()}, path)
    return path


def _half(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
