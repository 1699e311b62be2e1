"""Real decoders of full size whose seeded masks are blobs of many sizes, for the packages and for us.

Must not know what is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from samdesk.domain.prompts import Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import CHIP, BatchLogits, Embedding
from samdesk.engines.decoder import Asker, FastDecoder, Frame
from samdesk.engines.sam2 import Sam2Engine, build_model
from tests.engines.color_models import SamColorEngine
from tests.engines.seeded import save_pt, seeded_state, shapes_of
from tests.engines.seeded_sam import build_package_sam

SPOTS = 40
"""Cells on each side of the picture that the stand-in for an encoder sees."""


class Still(torch.nn.Module):
    """Stands in for an image encoder: smooth noise, whatever the image."""

    img_size = CHIP

    def __init__(self) -> None:
        super().__init__()
        noise = np.random.default_rng(0).normal(size=(1, 256, SPOTS, SPOTS)).astype(np.float32)
        self.image = torch.nn.functional.interpolate(torch.from_numpy(noise), (64, 64), mode="bicubic")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.image


def blobs(state: dict[str, torch.Tensor], head: str, spread: float, middle: float) -> dict[str, torch.Tensor]:
    """Weights whose masks are blobs, with scores around `middle`; `head` is what gives the scores."""
    for key, weight in state.items():
        if "output_upscaling" in key and weight.ndim == 4:
            state[key] = weight.mean(dim=(2, 3), keepdim=True).expand_as(weight).contiguous() * 6
    state[f"{head}.weight"] *= spread
    state[f"{head}.bias"] += middle
    return state


class FastSam:
    """Our decoder over the same weights."""

    name = title = identity = "sam"
    device = "cpu"

    def __init__(self, model: Any) -> None:
        self.model = model
        self.decoder = FastDecoder(model.prompt_encoder, model.mask_decoder)
        self.asker = Asker(self.decoder, pads_boxes=False)

    def encode(self, chip: NDArray[np.uint8], task: Task) -> Embedding:
        with torch.inference_mode():
            terms = self.decoder.image(self.model.image_encoder(torch.zeros(1)))
        return Embedding("sam", chip.shape[1], chip.shape[0], {"terms": terms}, 1)

    def predict_batch(
        self, embedding: Embedding, prompts: Sequence[Prompts], task: Task, multimask: bool = True
    ) -> BatchLogits:
        frame = Frame.padded(embedding.width, embedding.height, CHIP)
        return self.asker.predict_batch(embedding.data["terms"], frame, prompts, task, multimask)


def sam_pair(options: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The package's generator, our engine, and an engine that runs the package's decoder."""
    from segment_anything import SamAutomaticMaskGenerator

    model = build_package_sam(small=True)
    head = "mask_decoder.iou_prediction_head.layers.2"
    model.load_state_dict(blobs(seeded_state(shapes_of(model)), head, 0.15, 0.85))
    model.image_encoder = Still()
    return SamAutomaticMaskGenerator(model, **options), FastSam(model), SamColorEngine(model)


def sam2_pair(options: dict[str, Any], folder: Path) -> tuple[Any, Any, None]:
    """The package's generator and our engine; SAM 2.1 Hiera-T with its encoder."""
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

    model = build_model("sam2_t", "2.1")
    head = "sam_mask_decoder.iou_prediction_head.layers.2"
    state = blobs(seeded_state(shapes_of(model)), head, 1.0, 2.0)
    path = save_pt(folder / "sam2.1_hiera_tiny.pt", state, "model")
    model.load_state_dict(state, assign=True)
    return SAM2AutomaticMaskGenerator(model, **options), Sam2Engine(path, device="cpu"), None
