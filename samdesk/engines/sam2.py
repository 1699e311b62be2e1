"""`Sam2Engine`: SAM 2 and SAM 2.1 on one chip, with the modules of the package `sam2`.

`load_model` makes the network that a weight file belongs to, and `Encoder` runs its image path;
`sam2_video` uses both. The memory of the video path is loaded with the rest, so that a file is
checked as a whole, and then let go. Must not know where a chip comes from.

The network sees the chip stretched to a square and answers on a grid of a quarter of that side,
which covers exactly the chip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from samdesk.domain.errors import SamdeskError
from samdesk.domain.prompts import Prompts
from samdesk.domain.tasks import Task

from .base import BatchLogits, Embedding, MaskLogits
from .checkpoint import CheckpointInfo, load_into, read_state
from .decoder import Asker, FastDecoder, Frame, ImageTerms
from .runtime import autocast, device_title, dtype_name, memory_guard, need, pick_device, pick_precision

SIZES: Mapping[str, str] = {"sam2_t": "t", "sam2_s": "s", "sam2_bp": "b+", "sam2_l": "l"}
"""Model types, and how the package's configuration files call them."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the red, green and blue of the pictures that the encoder was trained on, as parts of 255."""

SIDE = 1024
"""Width and height of the square that the network was trained on."""

STABLE = {
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}
"""The decoder's options that the package's own loader adds: a single mask that would change much
with the threshold gives way to the best of the three proposals."""

TERMS = "terms"
"""What `Embedding.data` holds: the `ImageTerms`."""

PACKED = ("image_embed", "middle", "fine")
"""The arrays of a packed embedding: the encoder's map, and the two of `ImageTerms.high_res`."""

TOKENS = 1024
"""Image tokens that the CPU takes through a layer at once: they stay in its cache, and a cancelled
task is noticed within tens of milliseconds. Results are the same to the last bit."""


class _WithoutMemory(TorchFunctionMode):
    """Parameters are made without memory, without drawing random numbers, and nothing goes to a GPU."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if func is torch.Tensor.to:
            # the video path moves its tables to the first GPU, whatever device was chosen
            return args[0]
        if func in (torch.empty, torch.zeros, torch.ones, torch.randn) and options.get("device") is None:
            options["device"] = "meta"
        return func(*args, **options)


def build_model(type: str, version: str, side: int = SIDE) -> torch.nn.Module:
    """The network of a model type, as the package configures it, its weights still on "meta".

    The package sets hydra up when it is imported, unless the program has done so already; as the
    configuration is read without that, a program may use hydra for itself.

    Parameters
    ----------
    type : str
        A key of `SIZES`.
    version : str
        "2" or "2.1".
    side : int
        Width and height of the square that it sees; a multiple of 64.

    Raises
    ------
    SamdeskError
        When the package is not installed.
    """
    package, omegaconf, hydra = need("sam2"), need("omegaconf"), need("hydra.utils")
    name = f"configs/sam{version}/sam{version}_hiera_{SIZES[type]}.yaml"
    config = omegaconf.OmegaConf.load(Path(package.__path__[0]) / name).model
    config.image_size, config.sam_mask_decoder_extra_args = side, STABLE
    for part in (config.image_encoder.neck, config.memory_encoder):
        part.position_encoding.warmup_cache = False  # would be computed on the first GPU
    with _WithoutMemory():
        model: torch.nn.Module = hydra.instantiate(config)
    return model.eval()


def load_model(weights: Path, task: Task, side: int = SIDE) -> tuple[CheckpointInfo, Any]:
    """What a weight file holds, and its network with the weights, on the CPU.

    Raises
    ------
    SamdeskError
        When the file cannot be read or is not of this family, or a package is missing.
    """
    info, state = read_state(weights, task)
    if info.family != Sam2Engine.name:
        raise SamdeskError(f"{weights} holds {info.title}, not SAM 2.", f"Open it as {info.title}.")
    task.progress(None, f"Building {info.title}")
    model = build_model(info.type, info.version, side)
    load_into(model, state, weights)
    return info, model.requires_grad_(False)


class _NoPositions(torch.nn.Module):
    """Stands in for the positional maps of the video path, which cost more memory than the rest."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.new_empty(0)


class Encoder:
    """The image path of a SAM 2 network: pixels -> the three maps that its mask decoder takes.

    Equal to `SAM2ImagePredictor.set_image` of the package to the last bit (CPU, float32). The
    layers are called one by one so that a task can be cancelled between them.

    Parameters
    ----------
    model : SAM2Base
        With weights, on the device to compute on.
    has_memory : bool
        The maps meet a memory of earlier pictures; else the one that stands for none is added.
    """

    def __init__(self, model: Any, has_memory: bool = False) -> None:
        self.side: int = model.image_size
        self.scalp: int = model.image_encoder.scalp
        self.trunk = model.image_encoder.trunk
        self.neck = model.image_encoder.neck
        self.neck.position_encoding = _NoPositions()
        self.narrow = (model.sam_mask_decoder.conv_s0, model.sam_mask_decoder.conv_s1)
        adds_none = model.directly_add_no_mem_embed and not has_memory
        self.no_memory = model.no_mem_embed if adds_none else None
        self.device: torch.device = model.device
        self._windows = need("sam2.modeling.backbones.utils")
        self._pool = need("sam2.modeling.backbones.hieradet").do_pool
        with torch.inference_mode():
            self._positions = self.trunk._get_pos_embed((self.side // 4, self.side // 4))

    def pixels(self, chip: NDArray[np.uint8]) -> torch.Tensor:
        """A chip (h, w, 3) as the network takes it: (1, 3, side, side) float32, standardized."""
        # a copy, as torch warns about arrays that it may not write to
        whole = torch.from_numpy(np.array(chip)).permute(2, 0, 1)[None].contiguous()
        if whole.shape[2:] == (self.side, self.side):
            image = whole.to(self.device).float().div(255)
        else:
            image = functional.interpolate(
                whole.float().div(255), (self.side, self.side), mode="bilinear", antialias=True
            ).to(self.device)
        mean, std = (image.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        return image.sub_(mean).div_(std)

    def maps(self, pixels: torch.Tensor, task: Task) -> list[torch.Tensor]:
        """The embedding (1, 256, 64, 64) and the maps (1, 32, 256, 256) and (1, 64, 128, 128), float32."""
        levels, _ = self.neck(self._features(pixels, task))
        levels = levels[: len(levels) - self.scalp]
        task.check()
        fine, middle = (conv(level) for conv, level in zip(self.narrow, levels, strict=False))
        coarse = levels[-1].float()
        if self.no_memory is not None:
            coarse = coarse + self.no_memory.view(1, -1, 1, 1)
        return [coarse, fine.float(), middle.float()]

    def _features(self, pixels: torch.Tensor, task: Task) -> list[torch.Tensor]:
        x = self.trunk.patch_embed(pixels) + self._positions
        found = []
        for i, block in enumerate(self.trunk.blocks):
            task.progress(i / len(self.trunk.blocks), "Encoding")
            x = self._block(block, x, task)
            if i in self.trunk.stage_ends:
                found.append(x.permute(0, 3, 1, 2))
        return found

    def _block(self, block: Any, x: torch.Tensor, task: Task) -> torch.Tensor:
        """One block of the Hiera trunk on (1, h, w, c) tokens."""
        normed = block.norm1(x)
        shortcut = x if block.dim == block.dim_out else self._pool(block.proj(normed), block.pool)
        if block.window_size:
            attended = self._attend_in_windows(block, normed, (shortcut.shape[1], shortcut.shape[2]), task)
        else:
            attended = self._attend_everywhere(block.attn, normed, task)
        x = (shortcut + attended).contiguous()
        for part in x.view(-1, x.shape[-1]).split(self._at_once(x)):
            task.check()
            part += block.mlp(block.norm2(part))
        return x

    def _attend_in_windows(
        self, block: Any, x: torch.Tensor, size: tuple[int, int], task: Task
    ) -> torch.Tensor:
        window: int = block.window_size
        windows, padded = self._windows.window_partition(x, window)
        parts = []
        for part in windows.split(max(1, self._at_once(x) // window**2)):
            task.check()
            parts.append(block.attn(part))
        if block.q_stride:
            window //= block.q_stride[0]
            padded = (size[0] + -size[0] % window, size[1] + -size[1] % window)
        joined: torch.Tensor = self._windows.window_unpartition(torch.cat(parts), window, padded, size)
        return joined

    def _attend_everywhere(self, attention: Any, x: torch.Tensor, task: Task) -> torch.Tensor:
        b, h, w, _ = x.shape
        qkv = attention.qkv(x).reshape(b, h * w, 3, attention.num_heads, -1).transpose(1, 3)
        queries, keys, values = qkv.unbind(2)
        parts = []
        for part in queries.split(self._at_once(x), dim=2):
            task.check()
            parts.append(functional.scaled_dot_product_attention(part, keys, values))
        joined: torch.Tensor = attention.proj(torch.cat(parts, dim=2).transpose(1, 2).reshape(b, h, w, -1))
        return joined

    def _at_once(self, x: torch.Tensor) -> int:
        return TOKENS if x.device.type == "cpu" else x.shape[1] * x.shape[2] + 1


class Sam2Engine:
    """SAM 2 or 2.1, whichever the weights are; stateless between calls.

    Parameters
    ----------
    weights : Path
        A published checkpoint.
    device, precision : str
        As in `runtime.pick_device` and `runtime.pick_precision`; the precision is the encoder's,
        masks are always decoded in float32.
    task : Task, optional
        Told how far loading is.

    Raises
    ------
    SamdeskError
        When the weights cannot be read or are not of this family, a package is missing, or
        memory is full.
    """

    name = "sam2"

    def __init__(
        self, weights: Path, *, device: str = "auto", precision: str = "auto", task: Task | None = None
    ) -> None:
        task = task or Task()
        self._where = pick_device(device)
        self._dtype = pick_precision(self._where, precision)
        info, model = load_model(weights, task)
        self.type, self.title = info.type, info.title
        self.identity = f"{info.type}:{info.digest}:{dtype_name(self._dtype)}"
        self.device = str(self._where)
        task.progress(None, f"Moving to {device_title(self._where)}")
        model.memory_attention = model.memory_encoder = None
        with memory_guard("loading its weights", self.title, self._where):
            model = model.to(self._where)
            self._encoder = Encoder(model)
            decoder = FastDecoder(model.sam_prompt_encoder, model.sam_mask_decoder)
        kept = (model.image_encoder, model.sam_prompt_encoder, model.sam_mask_decoder)
        self.nbytes = sum(weight.nbytes for part in kept for weight in part.parameters())
        self._asker = Asker(decoder, pads_boxes=True)

    def encode(self, chip: NDArray[np.uint8], task: Task) -> Embedding:
        """Compute the embedding of an RGB chip (h, w, 3) uint8; raises `SamdeskError` when memory is full."""
        task.check()
        with torch.inference_mode(), memory_guard("encoding the image", self.title, self._where):
            pixels = self._encoder.pixels(chip)
            with autocast(self._where, self._dtype):
                coarse, *finer = self._encoder.maps(pixels, task)
            terms = self._asker.decoder.image(coarse, finer)
        task.check()
        return self._embedding(terms, chip.shape[1], chip.shape[0])

    def predict(
        self, embedding: Embedding, prompts: Prompts, task: Task, multimask: bool | None = None
    ) -> list[MaskLogits]:
        """One object in one or three proposals, logits (256, 256), best first; see `Engine.predict`.

        Left to the engine, a single click gives three proposals and everything else one.
        """
        task.check()
        with memory_guard("answering a prompt", self.title, self._where):
            return self._asker.predict(
                embedding.data[TERMS], self._frame(embedding), prompts, task, multimask
            )

    def predict_batch(
        self, embedding: Embedding, prompts: Sequence[Prompts], task: Task, multimask: bool = True
    ) -> BatchLogits:
        """Three proposals (or one) for each of the prompts, in the network's own order."""
        task.check()
        with memory_guard("answering prompts", self.title, self._where):
            return self._asker.predict_batch(
                embedding.data[TERMS], self._frame(embedding), prompts, task, multimask
            )

    def pack(self, embedding: Embedding) -> Mapping[str, NDArray[Any]]:
        """The image embedding and the two finer maps, as float16."""
        terms: ImageTerms = embedding.data[TERMS]
        assert terms.high_res is not None
        maps = (self._asker.decoder.embedding(terms), *terms.high_res)
        return {name: value.half().cpu().numpy() for name, value in zip(PACKED, maps, strict=True)}

    def unpack(self, arrays: Mapping[str, NDArray[Any]], width: int, height: int) -> Embedding:
        """The embedding from its maps, float32 on the device again."""
        # a copy, as torch warns about arrays that it may not write to
        maps = [torch.from_numpy(np.array(arrays[name], np.float32)) for name in PACKED]
        with memory_guard("loading an embedding", self.title, self._where):
            coarse, middle, fine = (value.to(self._where) for value in maps)
            terms = replace(self._asker.decoder.image(coarse), high_res=(middle, fine))
        return self._embedding(terms, width, height)

    def _embedding(self, terms: ImageTerms, width: int, height: int) -> Embedding:
        return Embedding(self.identity, width, height, {TERMS: terms}, terms.nbytes)

    def _frame(self, embedding: Embedding) -> Frame:
        return Frame.stretched(embedding.width, embedding.height, self._encoder.side)
