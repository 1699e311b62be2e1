"""`Sam3Engine`: SAM 3, for one object by points and boxes and for all instances of a concept.

`model` builds and fills the network, `compat` keeps side effects of the package sam3 away,
`vocabulary` finds its words, `exemplars` turns boxes into its numbers. The interactive head is
SAM 2's and is run by `samdesk.engines.decoder`. `video` follows objects through frames with the same
network. Must not know where a chip comes from.

The network sees the chip stretched to a square and answers on a grid of a quarter of that side,
which covers exactly the chip.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.prompts import Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import BatchLogits, Embedding, MaskLogits
from samdesk.engines.checkpoint import read_state
from samdesk.engines.decoder import Asker, FastDecoder, Frame, ImageTerms
from samdesk.engines.runtime import (
    autocast,
    device_title,
    dtype_name,
    memory_guard,
    pick_device,
    pick_precision,
)

from .compat import Unpinned, sam3_module
from .exemplars import exemplars
from .model import LEVELS, Sam3Config, build_model, fill
from .vocabulary import ALONE, readable

__all__ = ["Sam3Config", "Sam3Engine", "build_model"]

FEATURES, TERMS = "features", "terms"
"""What `Embedding.data` holds: the image encoder's last features (1, 1024, 72, 72) float32, and
what the interactive head needs of them (`ImageTerms`)."""

TEXTS = 64
"""Texts whose features are kept."""

_HALF = torch.finfo(torch.float16).max


class Sam3Engine:
    """SAM 3 (https://github.com/facebookresearch/sam3); a `ConceptEngine`, stateless between calls.

    Parameters
    ----------
    weights : Path
        Meta's `sam3.pt`, or a file with the same keys.
    device, precision : str
        As in `runtime.pick_device` and `runtime.pick_precision`; the precision is the image
        encoder's, all else is computed in float32.
    task : Task, optional
        Told how far loading is.
    config : Sam3Config
        The numbers of the network in the file.

    Raises
    ------
    SamdeskError
        When the weights cannot be read or are not SAM 3's, a package is missing, or memory is full.
    """

    name = "sam3"
    title = "SAM 3"
    _follows = False
    """Whether the parts for videos are loaded."""

    def __init__(
        self,
        weights: Path,
        *,
        device: str = "auto",
        precision: str = "auto",
        task: Task | None = None,
        config: Sam3Config = Sam3Config(),
    ) -> None:
        task = task or Task()
        self._where = pick_device(device)
        self._dtype = pick_precision(self._where, precision)
        self.device = str(self._where)
        with memory_guard("loading", self.title, self._where):
            info, state = read_state(weights, task)
            if info.family != self.name:
                raise SamdeskError(
                    f"{weights.name} holds weights of {info.title}, not of SAM 3.", "Choose it as that model."
                )
            task.progress(None, f"Building {self.title}")
            network = build_model(config, self._follows)
            task.progress(None, f"Moving {self.title} to {device_title(self._where)}")
            self._network = fill(network, state, weights, self._where)
            head = self._network.tracker
            decoder = FastDecoder(head.sam_prompt_encoder, head.sam_mask_decoder)
        task.check()
        self.nbytes = sum(weight.nbytes for weight in self._network.parameters())
        self.type = info.type
        self.identity = f"{info.type}:{info.digest}:{dtype_name(self._dtype)}"
        self._side = config.image_size
        self._asker = Asker(decoder, pads_boxes=True)
        self._texts: OrderedDict[str, Mapping[str, torch.Tensor]] = OrderedDict()

    def encode(self, chip: NDArray[np.uint8], task: Task) -> Embedding:
        """Run the image encoder on an RGB chip (h, w, 3) uint8 of any size.

        What only a search needs is computed in the search, from the same features: it would take
        three times the memory of all the rest.
        """
        with self._computing("encoding the image"):
            return self._embedding(self._features(chip, task), chip.shape[1], chip.shape[0], task)

    def predict(
        self, embedding: Embedding, prompts: Prompts, task: Task, multimask: bool | None = None
    ) -> list[MaskLogits]:
        """One object in one or three proposals, logits (288, 288), best first; see `Engine.predict`.

        Left to the engine, a single click gives three proposals and everything else one.
        """
        task.check()
        with self._computing("decoding masks"):
            return self._asker.predict(
                embedding.data[TERMS], self._frame(embedding), prompts, task, multimask
            )

    def predict_batch(
        self, embedding: Embedding, prompts: Sequence[Prompts], task: Task, multimask: bool = True
    ) -> BatchLogits:
        """Three proposals (or one) for each of the prompts, in the network's own order."""
        task.check()
        with self._computing("decoding masks"):
            return self._asker.predict_batch(
                embedding.data[TERMS], self._frame(embedding), prompts, task, multimask
            )

    def find(
        self, embedding: Embedding, prompts: Prompts, task: Task, min_score: float = 0.5
    ) -> list[MaskLogits]:
        """All instances of what the text names or the boxes show, best first.

        A score is the probability that it is one, times the probability that there is any at all;
        logits are (288, 288) for the whole chip. Points and the prior are ignored.

        Raises
        ------
        SamdeskError
            When the text is longer than the model reads.
        """
        task.check()
        encoder = self._network.text_encoder
        text = readable(prompts.text, encoder.tokenizer, encoder.context_length)
        boxes, positive = exemplars(prompts, embedding.width, embedding.height)
        if not text and not positive.any():
            return []
        with self._computing("searching the image"):
            task.progress(None, "Reading the text")
            words = self._read(text or ALONE, task)
            scores, masks = self._search(words, embedding, boxes, positive, task)
            best = torch.argsort(scores, descending=True, stable=True)
            best = best[scores[best] >= min_score]
            found = zip(masks[best].cpu().numpy(), scores[best].tolist(), strict=True)
            return [MaskLogits(np.ascontiguousarray(logits), score) for logits, score in found]

    def pack(self, embedding: Embedding) -> Mapping[str, NDArray[Any]]:
        """The encoder's last features as float16 (10.6 MB), from which all else is computed again."""
        return {FEATURES: embedding.data[FEATURES].clamp(-_HALF, _HALF).half().cpu().numpy()}

    def unpack(self, arrays: Mapping[str, NDArray[Any]], width: int, height: int) -> Embedding:
        # a copy, as torch warns about arrays that it may not write to
        features = torch.from_numpy(np.array(arrays[FEATURES], np.float32))
        with self._computing("reading an embedding"):
            return self._embedding(features.to(self._where), width, height, Task())

    @contextmanager
    def _computing(self, doing: str) -> Iterator[None]:
        with memory_guard(doing, self.title, self._where), torch.inference_mode():
            yield

    def _features(self, chip: NDArray[np.uint8], task: Task) -> torch.Tensor:
        """The image encoder's last features, float32."""
        doing, trunk = "Encoding the image", self._network.neck.trunk
        task.progress(0.0, doing)
        pixels = _input_image(chip, self._side).to(self._where)
        with autocast(self._where, self._dtype), _watched([trunk], trunk.blocks, task, doing):
            features: torch.Tensor = trunk(pixels)[-1]
        return features.float()

    def _embedding(self, features: torch.Tensor, width: int, height: int, task: Task) -> Embedding:
        *high_res, coarse = self._interactive(features, task)
        image = coarse + self._network.tracker.no_mem_embed.view(1, -1, 1, 1)
        terms: ImageTerms = self._asker.decoder.image(image, high_res)
        task.check()
        data = {FEATURES: features, TERMS: terms}
        nbytes = features.numel() * features.element_size() + terms.nbytes
        return Embedding(self.identity, width, height, data, nbytes)

    def _interactive(self, features: torch.Tensor, task: Task) -> list[torch.Tensor]:
        """The feature maps that the interactive head reads, finest first; float32."""
        decoder = self._network.tracker.sam_mask_decoder
        fine, middle, coarse = self._levels(self._network.neck.sam2_convs, features, task)
        return [decoder.conv_s0(fine), decoder.conv_s1(middle), coarse]

    def _levels(self, neck: Any, features: torch.Tensor, task: Task) -> list[torch.Tensor]:
        """The feature maps that one of the two necks makes, finest first; float32."""
        with autocast(self._where, self._dtype), _watched(neck, (), task):
            return [convolve(features).float() for convolve in neck[:LEVELS]]

    def _frame(self, embedding: Embedding) -> Frame:
        return Frame.stretched(embedding.width, embedding.height, self._side)

    def _read(self, text: str, task: Task) -> Mapping[str, torch.Tensor]:
        """What the text encoder makes of a text; a function of the text alone, whose last values are kept."""
        known = self._texts.pop(text, None)
        if known is None:
            backbone = self._network.detector.backbone
            layers = backbone.language_backbone.encoder.transformer.resblocks
            with _watched((), layers, task):
                read = backbone.forward_text([text], device=self._where)
            known = {name: read[name] for name in ("language_features", "language_mask")}
        self._texts[text] = known
        while len(self._texts) > TEXTS:
            self._texts.popitem(last=False)
        return known

    def _search(
        self,
        words: Mapping[str, torch.Tensor],
        embedding: Embedding,
        boxes: NDArray[np.float32],
        positive: NDArray[np.bool_],
        task: Task,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores (q,) of all proposals, and their logits (q, s, s)."""
        detector, neck, doing = self._network.detector, self._network.neck, "Searching the image"
        task.progress(0.0, doing)
        levels = self._levels(neck.convs, embedding.data[FEATURES], task)
        seen = {**words, "backbone_fpn": levels, "vision_pos_enc": [neck.position_encoding(levels[-1])]}
        examples = detector._get_dummy_prompt()
        if len(boxes):
            signs = torch.from_numpy(positive).to(self._where)
            examples.append_boxes(torch.from_numpy(boxes).to(self._where)[:, None], signs[:, None])
        steps = (
            *detector.geometry_encoder.encode,
            *detector.transformer.encoder.layers,
            *detector.transformer.decoder.layers,
            detector.segmentation_head,
        )
        parts = (detector.geometry_encoder, detector.transformer, detector.segmentation_head)
        unpinned = nullcontext() if self._where.type == "cuda" else Unpinned()
        with unpinned, _watched(parts, steps, task, doing):
            found = detector.forward_grounding(
                backbone_out=seen,
                find_input=_only_image(self._where),
                find_target=None,
                geometric_prompt=examples,
            )
        chance = found["pred_logits"].sigmoid() * found["presence_logit_dec"].sigmoid().unsqueeze(1)
        return chance[0, :, 0], found["pred_masks"][0]


def _input_image(chip: NDArray[np.uint8], side: int) -> torch.Tensor:
    """The chip as the network takes it: (1, 3, side, side) float32 in -1..1, on the CPU.

    Stretched as sam3's own image processor does, but always on the CPU: its rounding is then the
    same for every device.
    """
    transforms = sam3_module("torchvision.transforms.v2.functional")
    # a copy, as torch warns about arrays that it may not write to
    pixels = torch.from_numpy(np.array(chip)).permute(2, 0, 1)
    pixels = transforms.resize(pixels, [side, side])
    pixels = transforms.to_dtype(pixels, torch.float32, scale=True)
    return torch.as_tensor(transforms.normalize(pixels, [0.5] * 3, [0.5] * 3))[None]


def _only_image(device: torch.device) -> Any:
    """Which image and text to search, where there is one of each."""
    first = torch.zeros(1, dtype=torch.long, device=device)
    return sam3_module("sam3.model.data_misc").FindStage(
        img_ids=first,
        text_ids=first,
        input_boxes=None,
        input_boxes_mask=None,
        input_boxes_label=None,
        input_points=None,
        input_points_mask=None,
    )


@contextmanager
def _watched(
    parts: Iterable[torch.nn.Module], steps: Sequence[torch.nn.Module], task: Task, doing: str = ""
) -> Iterator[None]:
    """Check for cancel before each of `steps` and every module in `parts`; report the steps as `doing`."""

    def report(step: int) -> Any:
        return lambda *_: task.progress(step / len(steps), doing) if doing else task.check()

    def check(*_: Any) -> None:
        task.check()

    hooks = [module.register_forward_pre_hook(report(step)) for step, module in enumerate(steps)]
    try:
        for part in parts:
            hooks += [module.register_forward_pre_hook(check) for module in part.modules()]
        yield
    finally:
        for hook in hooks:
            hook.remove()
