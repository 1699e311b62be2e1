"""Checkpoints of SAM and MobileSAM in the published layouts, with seeded weights, and a picture."""

from __future__ import annotations

import json
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from samdesk.engines.torchvision_ops import disarm_torchvision

from .seeded import save_pt, seeded_state, shapes_of

disarm_torchvision()

DATA = Path(__file__).parent / "data"


def build_package_sam(type: str = "vit_b", small: bool = False, device: str = "cpu") -> Any:
    """The package's own network; `small` gives it an encoder of two narrow blocks."""
    from segment_anything import sam_model_registry
    from segment_anything.modeling import ImageEncoderViT

    with torch.device(device), torch.random.fork_rng(devices=[]):
        if not small:
            return sam_model_registry[type]()
        model = _package_sam_without_encoder()
        model.image_encoder = ImageEncoderViT(
            depth=2,
            embed_dim=64,
            num_heads=2,
            window_size=14,
            global_attn_indexes=(1,),
            use_rel_pos=True,
            out_chans=256,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        )
        return model.eval()


def _package_sam_without_encoder() -> Any:
    from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    return Sam(
        torch.nn.Identity(),
        PromptEncoder(256, (64, 64), (1024, 1024), 16),
        MaskDecoder(
            transformer_dim=256,
            transformer=TwoWayTransformer(depth=2, embedding_dim=256, num_heads=8, mlp_dim=2048),
        ),
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    )


@cache
def sam_shapes(type: str = "vit_b", small: bool = False) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of the published checkpoint, as the package defines them."""
    return shapes_of(build_package_sam(type, small, "meta"))


def sam_checkpoint(folder: Path, type: str = "vit_b", small: bool = False, tag: str = "a") -> Path:
    """Write the weights and give the path: 375 MB for ViT-B, 17 MB when small."""
    return save_pt(folder / f"sam_{type}.pth", seeded_state(sam_shapes(type, small), tag))


@cache
def mobile_sam_shapes() -> dict[str, tuple[int, ...]]:
    listed = json.loads((DATA / "mobile_sam_keys.json").read_text())
    return {key: tuple(shape) for key, (shape, _) in listed.items()}


def mobile_sam_checkpoint(folder: Path, tag: str = "a") -> Path:
    """Write the weights and give the path; 41 MB."""
    return save_pt(folder / "mobile_sam.pt", seeded_state(mobile_sam_shapes(), tag))


def waves(width: int = 1024, height: int = 1024) -> NDArray[np.uint8]:
    """A picture of waves, for which the reference of MobileSAM was computed."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    r = 128 + 100 * np.sin(x / 37) * np.cos(y / 53)
    g = 128 + 100 * np.cos((x + y) / 61)
    b = 128 + 100 * np.sin(np.hypot(x - 400, y - 600) / 29)
    return np.stack([r, g, b], axis=2).clip(0, 255).astype(np.uint8)
