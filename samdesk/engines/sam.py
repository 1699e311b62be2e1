"""`SamEngine`: Segment Anything (ViT-B, ViT-L, ViT-H) on one chip, with the modules of `segment_anything`.

`PaddedEngine` is what it shares with MobileSAM, which has another encoder before the same
decoder. Must not know where a chip comes from.

The network sees the chip enlarged until its longer side fills the input; what the shorter side
leaves free is padding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from samdesk.domain.errors import SamdeskError
from samdesk.domain.prompts import Prompts
from samdesk.domain.tasks import Task

from .base import BatchLogits, Embedding, MaskLogits
from .checkpoint import load_into, read_state
from .decoder import Asker, FastDecoder, Frame, ImageTerms
from .runtime import autocast, device_title, dtype_name, memory_guard, need, pick_device, pick_precision
from .torchvision_ops import disarm_torchvision

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of the red, green and blue of the pictures that the encoders were trained on."""

PATCH = 16
"""Pixels of the input on a side of an image token."""

WIDTH = 256
"""Channels of the image embedding and of the decoder."""

TERMS = "terms"
"""What `Embedding.data` holds: the `ImageTerms`."""

PACKED = "image"
"""The array of a packed embedding: the encoder's map, (256, 64, 64) float16."""

Step = Callable[[Tensor], Tensor]


class PaddedEngine:
    """An engine whose network is an image encoder before the decoder of Segment Anything.

    Parameters
    ----------
    weights : Path
    device, precision : str
        As `pick_device` and `pick_precision` take them. The precision is the encoder's; the
        decoder computes with float32.
    task : Task, optional

    Raises
    ------
    SamdeskError
        When the file holds another model or is damaged, a package is missing, the device is not
        there, or the memory is full.
    Cancelled
        When the task was cancelled.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    """What the user calls the models that this engine runs."""

    def __init__(
        self, weights: Path, *, device: str = "auto", precision: str = "auto", task: Task | None = None
    ) -> None:
        task = task or Task()
        self._place = pick_device(device)
        self._dtype = pick_precision(self._place, precision)
        info, state = read_state(weights, task)
        if info.family != self.name:
            raise SamdeskError(
                f"{weights} holds {info.title}, not {self.family}.", f"Open it as {info.title}."
            )
        self.type, self.title = info.type, info.title
        self.identity = f"{info.type}:{info.digest}:{dtype_name(self._dtype)}"
        self.device = str(self._place)
        task.progress(None, f"Building {self.title}")
        with memory_guard("loading its weights", self.title, self._place):
            network = self.network(state, weights)
            task.progress(None, f"Moving to {device_title(self._place)}")
            network.to(self._place).eval()
        self.nbytes = sum(weight.nbytes for weight in network.parameters())
        self._steps = self.steps(network.image_encoder)
        self._decoder = FastDecoder(network.prompt_encoder, network.mask_decoder)
        self._side = self._decoder.input_size[0]
        self._asker = Asker(self._decoder, pads_boxes=False)

    def network(self, state: Mapping[str, Tensor], weights: Path) -> Any:
        """The module with `image_encoder`, `prompt_encoder` and `mask_decoder`, its weights loaded."""
        raise NotImplementedError

    def steps(self, encoder: Any) -> list[Step]:
        """The encoder in pieces between which a task can be cancelled."""
        raise NotImplementedError

    def encode(self, chip: NDArray[np.uint8], task: Task) -> Embedding:
        """As `Engine.encode`; a cancelled task stops after the encoder block that runs."""
        height, width = chip.shape[:2]
        task.check()
        with memory_guard("encoding the image", self.title, self._place), torch.inference_mode():
            x = self._pixels(chip)
            with autocast(self._place, self._dtype):
                for done, step in enumerate(self._steps):
                    task.progress(done / len(self._steps), "Encoding")
                    x = step(x)
            task.check()
            return self._embedding(self._decoder.image(x), width, height)

    def predict(
        self, embedding: Embedding, prompts: Prompts, task: Task, multimask: bool | None = None
    ) -> list[MaskLogits]:
        """As `Engine.predict`.

        Raises
        ------
        SamdeskError
            When the memory is full.
        """
        task.check()
        with memory_guard("answering a prompt", self.title, self._place):
            return self._asker.predict(_terms(embedding), self._frame(embedding), prompts, task, multimask)

    def predict_batch(
        self, embedding: Embedding, prompts: Sequence[Prompts], task: Task, multimask: bool = True
    ) -> BatchLogits:
        """As `Engine.predict_batch`; errors as `predict`."""
        task.check()
        with memory_guard("answering prompts", self.title, self._place):
            return self._asker.predict_batch(
                _terms(embedding), self._frame(embedding), prompts, task, multimask
            )

    def pack(self, embedding: Embedding) -> dict[str, NDArray[Any]]:
        found = self._decoder.embedding(_terms(embedding))
        packed: NDArray[Any] = found[0].half().cpu().numpy()
        return {PACKED: packed}

    def unpack(self, arrays: Mapping[str, NDArray[Any]], width: int, height: int) -> Embedding:
        image = torch.from_numpy(np.array(arrays[PACKED], np.float32))
        with memory_guard("loading an embedding", self.title, self._place):
            return self._embedding(self._decoder.image(image[None].to(self._place)), width, height)

    def _embedding(self, terms: ImageTerms, width: int, height: int) -> Embedding:
        return Embedding(self.identity, width, height, {TERMS: terms}, terms.nbytes)

    def _frame(self, embedding: Embedding) -> Frame:
        return Frame.padded(embedding.width, embedding.height, self._side)

    def _pixels(self, chip: NDArray[np.uint8]) -> Tensor:
        """A chip (h, w, 3) as the encoder takes it: (1, 3, side, side) float32."""
        height, width = chip.shape[:2]
        covers = Frame.padded(width, height, self._side).covers
        size = int(covers[0]), int(covers[1])
        if size != (width, height):
            # as the models were trained; other libraries' resizing differs by a gray level or more
            picture = need("PIL.Image")
            chip = np.asarray(picture.fromarray(chip).resize(size, picture.Resampling.BILINEAR))
        # a copy, as torch warns about arrays that it may not write to
        x = torch.from_numpy(np.array(chip)).to(self._place).permute(2, 0, 1)[None].float()
        mean, std = (x.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        return functional.pad((x - mean) / std, (0, self._side - size[0], 0, self._side - size[1]))


class SamEngine(PaddedEngine):
    """Segment Anything with any size of its vision transformer, read from the weights."""

    name = "sam"
    family = "SAM"

    def network(self, state: Mapping[str, Tensor], weights: Path) -> Any:
        disarm_torchvision()
        # filled with the weights alone: no time for random numbers, and none are drawn
        with torch.device("meta"):
            options = vit_options(state, weights)
            encoder = need("segment_anything.modeling").ImageEncoderViT(**options)
            network = with_decoder(encoder, options["img_size"])
        load_into(network, state, weights)
        return network

    def steps(self, encoder: Any) -> list[Step]:
        def first(x: Tensor) -> Tensor:
            return encoder.patch_embed(x) + encoder.pos_embed  # type: ignore[no-any-return]

        def last(x: Tensor) -> Tensor:
            return encoder.neck(x.permute(0, 3, 1, 2))  # type: ignore[no-any-return]

        return [first, *encoder.blocks, last]


def with_decoder(encoder: nn.Module, side: int = 1024) -> nn.Module:
    """A network of an encoder and the prompt encoder and mask decoder of Segment Anything."""
    modeling = need("segment_anything.modeling")
    grid = side // PATCH
    transformer = modeling.TwoWayTransformer(depth=2, embedding_dim=WIDTH, mlp_dim=2048, num_heads=8)
    network = nn.Module()
    network.image_encoder = encoder
    network.prompt_encoder = modeling.PromptEncoder(
        embed_dim=WIDTH, image_embedding_size=(grid, grid), input_image_size=(side, side), mask_in_chans=16
    )
    network.mask_decoder = modeling.MaskDecoder(
        num_multimask_outputs=3, transformer=transformer, transformer_dim=WIDTH
    )
    return network


def vit_options(state: Mapping[str, Tensor], weights: Path) -> dict[str, Any]:
    """What `ImageEncoderViT` is to be built with, from the shapes of its weights.

    Raises
    ------
    SamdeskError
        When weights that tell it are missing, or of another shape than ever published.
    """
    try:
        return _vit_options(state)
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise SamdeskError(
            f"The weights in {weights} do not fit SAM: {error} is missing or of another shape.",
            "The file may be damaged, or made for a changed model; choose another one.",
        ) from error


def _vit_options(state: Mapping[str, Tensor]) -> dict[str, Any]:
    prefix = "image_encoder."
    _, grid, _, width = state[f"{prefix}pos_embed"].shape
    depth = len({key.split(".")[2] for key in state if key.startswith(f"{prefix}blocks.")})
    spans = [state[f"{prefix}blocks.{i}.attn.rel_pos_h"].shape for i in range(depth)]
    # a position relative to the middle of n is one of 2 n - 1
    windows = [(span + 1) // 2 for span, _ in spans]
    return {
        "img_size": grid * PATCH,
        "embed_dim": width,
        "depth": depth,
        "num_heads": width // spans[0][1],
        "window_size": min(windows),
        "global_attn_indexes": tuple(i for i, window in enumerate(windows) if window == grid),
        "use_rel_pos": True,
        "out_chans": WIDTH,
        "norm_layer": _norm,
    }


def _norm(width: int) -> nn.Module:
    return nn.LayerNorm(width, eps=1e-6)


def _terms(embedding: Embedding) -> ImageTerms:
    terms: ImageTerms = embedding.data[TERMS]
    return terms
