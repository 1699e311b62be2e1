"""`MobileSamEngine`: MobileSAM on one chip, its TinyViT taken from timm.

The published weights are used as they are; `own_key` says what the parts are called in timm.
The decoder and everything else is that of `sam`. Must not know where a chip comes from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .checkpoint import load_into
from .runtime import need
from .sam import WIDTH, PaddedEngine, Step, with_decoder
from .torchvision_ops import disarm_torchvision

WIDTHS, DEPTHS, HEADS, WINDOWS = (64, 128, 160, 320), (2, 2, 6, 2), (2, 4, 5, 10), (7, 7, 14, 7)
"""Of the four stages of the encoder; https://github.com/ChaoningZhang/MobileSAM."""

_ENCODER = "image_encoder."
_UNUSED = re.compile(r"image_encoder\.(norm_head|head)\.")
"""The classifier of the encoder's first training."""


class MobileSamEngine(PaddedEngine):
    """MobileSAM: the quickest of the family."""

    name = "mobile_sam"
    family = "MobileSAM"

    def network(self, state: Mapping[str, Tensor], weights: Path) -> Any:
        disarm_torchvision()
        # building draws random numbers, which a program that uses samdesk may have seeded
        with torch.random.fork_rng(devices=[]):
            network = with_decoder(build_encoder())
        own = {name: value for key, value in state.items() if (name := own_key(key)) is not None}
        load_into(network, own, weights)
        return network

    def steps(self, encoder: Any) -> list[Step]:
        first, *rest = encoder.stages
        steps: list[Step] = [encoder.patch_embed, *first.blocks]
        for stage in rest:
            steps += [_Downsample(stage.downsample), *stage.blocks, _channels_first]
        return [*steps, encoder.neck]


class _Downsample:
    """The first step of a stage, whose blocks keep the channels last."""

    def __init__(self, downsample: Step) -> None:
        self.downsample = downsample

    def __call__(self, x: Tensor) -> Tensor:
        return self.downsample(x).permute(0, 2, 3, 1)


def _channels_first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def build_encoder() -> nn.Module:
    """The image encoder of MobileSAM with arbitrary weights, on the CPU.

    Raises
    ------
    SamdeskError
        When timm or segment_anything is not installed.
    """
    norm = need("segment_anything.modeling.common").LayerNorm2d
    encoder: Any = need("timm.models.tiny_vit").TinyVit(
        num_classes=0, embed_dims=WIDTHS, depths=DEPTHS, num_heads=HEADS, window_sizes=WINDOWS
    )
    encoder.head = nn.Identity()
    # the last stage keeps the resolution, so that there are 64 x 64 image tokens
    encoder.stages[-1].downsample.conv2.conv.stride = (1, 1)
    encoder.neck = nn.Sequential(
        nn.Conv2d(WIDTHS[-1], WIDTH, 1, bias=False),
        norm(WIDTH),
        nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False),
        norm(WIDTH),
    )
    built: nn.Module = encoder
    return built


def own_key(key: str) -> str | None:
    """The name in our network of a published weight; None for one that has no use here."""
    if not key.startswith(_ENCODER):
        return key
    if _UNUSED.match(key):
        return None
    key = re.sub(r"\.patch_embed\.seq\.([02])\.", lambda m: f".patch_embed.conv{int(m[1]) // 2 + 1}.", key)
    # timm counts the downsampling to the stage that follows it
    key = re.sub(r"\.layers\.(\d)\.downsample\.", lambda m: f".stages.{int(m[1]) + 1}.downsample.", key)
    key = re.sub(r"\.layers\.(\d)\.", r".stages.\1.", key)
    return key.replace(".c.", ".conv.")
