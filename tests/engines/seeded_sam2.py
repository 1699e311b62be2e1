"""Checkpoints of SAM 2 and 2.1 in the published layout, with seeded weights."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from samdesk.engines.sam2 import build_model

from .seeded import save_pt, seeded_state, shapes_of


@cache
def sam2_shapes(type: str = "sam2_t", version: str = "2.1") -> dict[str, tuple[int, ...]]:
    """Keys and shapes of the published checkpoint, as the package's configuration defines them."""
    return shapes_of(build_model(type, version))


def sam2_checkpoint(folder: Path, type: str = "sam2_t", version: str = "2.1", tag: str = "a") -> Path:
    """Write {"model": weights} and give the path; the tiny type takes 150 MB."""
    path = folder / f"sam{version}_hiera_{type.removeprefix('sam2_')}.pt"
    return save_pt(path, seeded_state(sam2_shapes(type, version), tag), "model")


def sam2_watcher(folder: Path, version: str = "2.1") -> Path:
    """Write a tiny checkpoint that sees an object on every frame, which random weights never do."""
    state = seeded_state(sam2_shapes(version=version))
    state["sam_mask_decoder.pred_obj_score_head.layers.2.bias"] += 20
    return save_pt(folder / f"watcher{version}.pt", state, "model")
