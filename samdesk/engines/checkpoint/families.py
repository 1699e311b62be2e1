"""Which model a set of weights belongs to, told from the names and shapes of the weights.

Must not know files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

_T = TypeVar("_T")

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """What a weight file holds.

    Attributes
    ----------
    type : str
        Model type: "vit_b", "vit_l", "vit_h", "vit_t", "sam2_t", "sam2_s", "sam2_bp", "sam2_l", "sam3".
    family : str
        Name of the engine that runs it: "sam", "mobile_sam", "sam2", "sam3".
    version : str
        "1", "2", "2.1" or "3".
    title : str
        What the user reads; names the size of the encoder when it is not a published one.
    digest : str
        SHA-256 of the file, 64 hexadecimal digits.
    n_keys : int
        Number of weights (tensors) of the model.
    dtype : str
        Type that most numbers are stored in, such as "float32" or "float16".
    """

    type: str
    family: str
    version: str
    title: str
    digest: str
    n_keys: int
    dtype: str


@dataclass(frozen=True, slots=True)
class Match:
    """A family that fits.

    Attributes
    ----------
    type, family, version, title : str
        As in `CheckpointInfo`.
    prefix : str
        What a program that wraps the model put before every key of it.
    """

    type: str
    family: str
    version: str
    title: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """How a family is told.

    Attributes
    ----------
    anchor : str
        A key that every model of the family has and no other family; its first axis is the
        width of the encoder.
    needs : tuple of str
        Further beginnings of keys that a whole model has, each with its part's name for the user.
    block : str
        Regular expression that finds the number of an encoder block in a key.
    describe : callable
        Receives the shapes, the number of blocks and the width.
    """

    anchor: str
    needs: tuple[tuple[str, str], ...]
    block: str
    describe: Callable[[Shapes, int, int], Match]


_SAM_SIZES = {(12, 768): ("vit_b", "ViT-B"), (24, 1024): ("vit_l", "ViT-L"), (32, 1280): ("vit_h", "ViT-H")}
"""(blocks, width) of the encoder; https://github.com/facebookresearch/segment-anything."""

_HIERA_SIZES = {
    (12, 96): ("sam2_t", "Hiera-T"),
    (16, 96): ("sam2_s", "Hiera-S"),
    (24, 112): ("sam2_bp", "Hiera-B+"),
    (48, 144): ("sam2_l", "Hiera-L"),
}
"""(blocks, width of the first stage); https://github.com/facebookresearch/sam2."""


def _nearest(
    sizes: Mapping[tuple[int, int], tuple[str, str]], blocks: int, width: int, kind: str
) -> tuple[str, str]:
    """Type and name of the published size, or the type nearest to it and a name that tells the size."""
    if (blocks, width) in sizes:
        return sizes[blocks, width]
    near = min(sizes, key=lambda size: abs(size[0] - blocks) + abs(size[1] - width) / 16)
    return sizes[near][0], f"{kind} ({blocks} blocks, {width} wide)"


def _describe_sam(shapes: Shapes, blocks: int, width: int) -> Match:
    kind, size = _nearest(_SAM_SIZES, blocks, width, "ViT")
    return Match(kind, "sam", "1", f"SAM {size}")


def _describe_mobile(shapes: Shapes, blocks: int, width: int) -> Match:
    return Match("vit_t", "mobile_sam", "1", "MobileSAM")


def _describe_sam2(shapes: Shapes, blocks: int, width: int) -> Match:
    kind, size = _nearest(_HIERA_SIZES, blocks, width, "Hiera")
    # 2.1 added an embedding for frames without the object, and projects the time of object pointers
    version = "2.1" if "no_obj_embed_spatial" in shapes or "obj_ptr_tpos_proj.weight" in shapes else "2"
    return Match(kind, "sam2", version, f"SAM {version} {size}")


def _describe_sam3(shapes: Shapes, blocks: int, width: int) -> Match:
    return Match("sam3", "sam3", "3", "SAM 3")


_DECODER = (("prompt_encoder.", "prompt encoder"), ("mask_decoder.", "mask decoder"))

FAMILIES = (
    Family(
        "detector.backbone.vision_backbone.trunk.patch_embed.proj.weight",
        (("detector.transformer.", "detector"),),
        r"^detector\.backbone\.vision_backbone\.trunk\.blocks\.(\d+)\.",
        _describe_sam3,
    ),
    Family(
        "image_encoder.trunk.patch_embed.proj.weight",
        (("sam_prompt_encoder.", "prompt encoder"), ("sam_mask_decoder.", "mask decoder")),
        r"^image_encoder\.trunk\.blocks\.(\d+)\.",
        _describe_sam2,
    ),
    Family("image_encoder.patch_embed.seq.0.c.weight", _DECODER, r"^$", _describe_mobile),
    Family(
        "image_encoder.patch_embed.proj.weight",
        _DECODER,
        r"^image_encoder\.blocks\.(\d+)\.attn\.rel_pos_h",
        _describe_sam,
    ),
)


def match_family(shapes: Shapes) -> Match | None:
    """The family that has these weights; None when there is none, or a whole part is missing."""
    for family in FAMILIES:
        prefix = _prefix_of(family.anchor, shapes)
        if prefix is None:
            continue
        own = without_prefix(shapes, prefix)
        if not own[family.anchor]:  # a single number cannot tell a size
            continue
        if missing_parts(family, own):
            continue
        blocks = _count(family.block, own)
        found = family.describe(own, blocks, own[family.anchor][0])
        return Match(found.type, found.family, found.version, found.title, prefix)
    return None


def missing_parts(family: Family, keys: Iterable[str]) -> list[str]:
    """Names of the parts of the model of which there is no weight."""
    keys = list(keys)
    return [part for begin, part in family.needs if not any(key.startswith(begin) for key in keys)]


def without_prefix(named: Mapping[str, _T], prefix: str) -> dict[str, _T]:
    return {key.removeprefix(prefix): value for key, value in named.items() if key.startswith(prefix)}


def _prefix_of(anchor: str, keys: Iterable[str]) -> str | None:
    found = [key.removesuffix(anchor) for key in keys if key.endswith(anchor)]
    whole = [prefix for prefix in found if not prefix or prefix.endswith(".")]
    # a training program may keep an averaged copy under a longer name
    return min(whole, key=len, default=None)


def _count(block: str, keys: Iterable[str]) -> int:
    return len({match[1] for key in keys if (match := re.match(block, key)) and match.groups()})
