"""`disarm_torchvision`: make `import torchvision` work where its compiled part does not load.

The package index serves a torchvision that is compiled for CUDA; beside a torch that is built
for the CPU its extension cannot be loaded, and the import fails because `torchvision::nms` is
not defined. The Python part is whole, so the few operators that the models use are given to it
here. Must not know any model.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import math
import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

_kept: list[Any] = []
"""A torch library loses its operators with its last reference."""


def disarm_torchvision() -> None:
    """Make torchvision importable and its `nms`, `batched_nms` and `roi_align` usable.

    Does nothing where torchvision's own compiled operators load. Call it before anything that
    imports torchvision: sam2, sam3, timm, segment_anything.

    Raises
    ------
    SamdeskError
        When torchvision is not installed, or is not the one made for this torch; says what to run.
    """
    if _kept:
        return
    try:
        vision = importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        raise _unusable(f"{error.name} is not installed.") from error
    except (ImportError, RuntimeError, AssertionError, OSError) as error:
        if "nms" not in str(error):
            raise _unusable(f"torchvision cannot be loaded: {error}.") from error
        vision = None
    if vision is not None and vision.extension._has_ops():
        return
    check_versions(torch.__version__, importlib.metadata.version("torchvision"))
    _define_nms()
    _forget_failed_import()
    try:
        importlib.import_module("torchvision")
        _relax_checks()
    except (ImportError, RuntimeError, AttributeError) as error:
        raise _unusable(f"torchvision cannot be loaded: {error}.") from error


def keep_apart(
    boxes: NDArray[np.floating[Any]], order: NDArray[np.int64], iou_threshold: float
) -> NDArray[np.int64]:
    """Greedy non-maximum suppression.

    Parameters
    ----------
    boxes : ndarray, (n, 4)
        x0, y0, x1, y1.
    order : ndarray, (n,) int64
        Indices of the boxes, best first.
    iou_threshold : float
        A box whose intersection over union with a better kept one is larger is dropped.

    Returns
    -------
    ndarray, (k,) int64
        Indices of the kept boxes, best first.
    """
    x0, y0, x1, y1 = boxes[order].T
    areas = (x1 - x0) * (y1 - y0)
    alive = np.ones(len(order), bool)
    threshold = boxes.dtype.type(iou_threshold)
    for i in range(len(order)):
        if not alive[i]:
            continue
        rest = slice(i + 1, None)
        width = np.minimum(x1[i], x1[rest]) - np.maximum(x0[i], x0[rest])
        height = np.minimum(y1[i], y1[rest]) - np.maximum(y0[i], y0[rest])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            # 0 / 0 of two empty boxes is not larger than the threshold: both stay
            alive[rest] &= ~(shared / (areas[i] + areas[rest] - shared) > threshold)
    return np.asarray(order[alive])


def _nms(dets: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    if dets.dim() != 2 or dets.size(1) != 4:
        raise ValueError(f"boxes should be (n, 4), got {tuple(dets.shape)}")
    if scores.shape != dets.shape[:1]:
        raise ValueError(f"scores should be ({dets.size(0)},), got {tuple(scores.shape)}")
    boxes = dets.detach().cpu()
    if boxes.dtype not in (torch.float32, torch.float64):
        boxes = boxes.float()
    order = torch.sort(scores.detach(), stable=True, descending=True).indices.cpu().numpy()
    return torch.from_numpy(keep_apart(boxes.numpy(), order, iou_threshold)).to(dets.device)


def _define_nms() -> None:
    make: Any = torch.library.Library
    library = make("torchvision", "FRAGMENT")
    _kept.append(library)
    for name in ("nms", "qnms"):
        library.define(f"{name}{_SCHEMA}")
    library.impl("nms", _nms, "CompositeExplicitAutograd")


def _forget_failed_import() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]


def _relax_checks() -> None:
    """Let `nms` and `roi_align` run without the compiled operators."""
    boxes: Any = importlib.import_module("torchvision.ops.boxes")
    boxes._assert_has_ops = lambda: None
    align: Any = importlib.import_module("torchvision.ops.roi_align")
    # the published function compiles itself at its first call: that needs a C++ compiler and minutes;
    # undecorated it takes seconds and a gigabyte for one box on the maps of SAM 3
    align._roi_align = _roi_align
    align.is_compile_supported = lambda device: True


def _roi_align(
    maps: torch.Tensor,
    rois: torch.Tensor,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    sampling_ratio: int,
    aligned: bool,
) -> torch.Tensor:
    """Each region's grid of samples is a product of rows and columns, so two small matrix products do."""
    height, width = maps.shape[-2:]
    pooled = []
    for index, *box in rois.tolist():
        corners = torch.tensor(box, dtype=torch.float32) * spatial_scale - 0.5 * aligned
        x0, y0, x1, y1 = corners.tolist()
        across = _bin_weights(x0, x1, width, pooled_width, sampling_ratio, aligned)
        down = _bin_weights(y0, y1, height, pooled_height, sampling_ratio, aligned)
        pooled.append(down.to(maps) @ maps[int(index)] @ across.to(maps).T)
    empty = maps.new_zeros((0, maps.shape[1], pooled_height, pooled_width))
    return torch.stack(pooled) if pooled else empty


def _bin_weights(
    start: float, end: float, size: int, bins: int, sampling_ratio: int, aligned: bool
) -> torch.Tensor:
    """(bins, size) float64: what each sample of an axis adds to the mean of each bin.

    Samples sit in the middle of their part of a bin and are interpolated linearly; those more
    than one cell outside count as zero, as in torchvision's compiled operator.
    """
    length = end - start if aligned else max(end - start, 1.0)
    count = sampling_ratio if sampling_ratio > 0 else math.ceil(length / bins)
    steps = (torch.arange(bins * max(count, 0), dtype=torch.float64) + 0.5) / max(count, 1)
    at = start + steps * (length / bins)
    inside = (at >= -1) & (at <= size)
    at = at.clamp(0, size - 1)
    low = at.floor().long()
    high = (low + 1).clamp(max=size - 1)
    share = at - low
    weights = torch.zeros(len(at), size, dtype=torch.float64)
    rows = torch.arange(len(at))
    weights.index_put_((rows, low), (1 - share) * inside, accumulate=True)
    weights.index_put_((rows, high), share * inside, accumulate=True)
    return weights.view(bins, -1, size).sum(1) / max(count, 1)


def check_versions(torch_version: str, vision_version: str) -> None:
    """Raise `SamdeskError` when a torchvision was not made for a torch; says what to run."""
    wanted = matching_torchvision(torch_version)
    if wanted and vision_version.split(".")[:2] != wanted.split(".")[:2]:
        raise _unusable(f"torchvision {vision_version} is not made for torch {torch_version}.", torch_version)


def matching_torchvision(torch_version: str) -> str:
    """The torchvision version made for a torch version; empty when it cannot be told.

    Torchvision 0.15 belongs to torch 2.0 and both count in step since
    (https://github.com/pytorch/vision#installation); the last part has been the same since 2.2.
    """
    parts = torch_version.partition("+")[0].split(".")
    if len(parts) != 3 or parts[0] != "2" or not (parts[1] + parts[2]).isdigit():
        return ""
    return f"0.{int(parts[1]) + 15}.{parts[2]}"


def _unusable(message: str, torch_version: str = torch.__version__) -> SamdeskError:
    wanted = matching_torchvision(torch_version)
    pinned = f"torchvision=={wanted}" if wanted else "torchvision"
    return SamdeskError(message, f"Run: {sys.executable} -m pip install --no-deps --force-reinstall {pinned}")
