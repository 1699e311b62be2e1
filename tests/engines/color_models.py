"""Stand-ins for the models of the SAM packages that answer by color instead of weights.

The packages' own predictors and mask generators run them: everything around the network (the
resizing, the coordinates, the upsampling, the sorting out) is theirs. Real networks with
seeded weights answer with noise, which no mask generator keeps; these find objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from samdesk.domain.prompts import Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import BatchLogits, Embedding, MaskLogits

SIDE = 1024
TOLERANCES = (0.3, 0.55, 0.9)
REACHES = (25.0, 45.0, 80.0)


class ColorEncoder(torch.nn.Module):
    """The picture at 256 x 256, blurred, as what the decoders call an embedding."""

    img_size = SIDE

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        small = functional.avg_pool2d(image, 4)
        for _ in range(2):
            small = functional.avg_pool2d(functional.pad(small, (4, 4, 4, 4), mode="replicate"), 9, stride=1)
        return small


class PointEncoder(torch.nn.Module):
    """Hands the points on, half a pixel further as the packages do."""

    def forward(self, points: Any, boxes: Any, masks: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return points[0].to(torch.float32) + 0.5, torch.zeros(1)

    def get_dense_pe(self) -> torch.Tensor:
        return torch.zeros(1)


class ColorDecoder(torch.nn.Module):
    """Around each point three sizes of what has its color; scores that depend on where it is."""

    def forward(
        self, image_embeddings: torch.Tensor, sparse: torch.Tensor, multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        colors = image_embeddings[0]
        at = (torch.arange(256, dtype=torch.float32) + 0.5) * 4
        masks, scores = [], []
        for x, y in sparse[:, 0].tolist():
            own = colors[:, min(int(y / 4), 255), min(int(x / 4), 255), None, None]
            unlike = (colors - own).norm(dim=0)
            away = torch.hypot(at[None] - x, at[:, None] - y)
            sizes = range(3) if multimask else range(1, 2)
            masks.append(
                torch.stack(
                    [
                        20 * (TOLERANCES[k] - unlike) - 12 * functional.relu(away / REACHES[k] - 0.7)
                        for k in sizes
                    ]
                )
            )
            scores.append([0.7 + 0.3 * float(np.sin(0.013 * x + 0.019 * y + 2.1 * k)) for k in sizes])
        return torch.stack(masks), torch.tensor(scores)


class _Answers:
    """The part of the engine contract that automask does not use."""

    device = "cpu"

    def predict(
        self, embedding: Embedding, prompts: Prompts, task: Task, multimask: bool | None = None
    ) -> list[MaskLogits]:
        raise NotImplementedError

    def pack(self, embedding: Embedding) -> Mapping[str, NDArray[Any]] | None:
        return None

    def unpack(self, arrays: Mapping[str, NDArray[Any]], width: int, height: int) -> Embedding:
        raise NotImplementedError


class SamColorDecoder(ColorDecoder):
    def forward(  # type: ignore[override]
        self,
        image_embeddings: torch.Tensor,
        image_pe: torch.Tensor,
        sparse_prompt_embeddings: torch.Tensor,
        dense_prompt_embeddings: torch.Tensor,
        multimask_output: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return super().forward(image_embeddings, sparse_prompt_embeddings, multimask_output)


def color_sam() -> Any:
    """A `segment_anything` model."""
    from segment_anything.modeling import Sam

    model = Sam(
        ColorEncoder(), PointEncoder(), SamColorDecoder(),
        pixel_mean=[123.675, 116.28, 103.53], pixel_std=[58.395, 57.12, 57.375],
    )  # fmt: skip
    return model.eval()


class SamColorEngine(_Answers):
    """Asks a `segment_anything` model, real or not, and hands its small logits on."""

    name, title, identity = "sam", "SAM (package)", "sam:package"

    def __init__(self, model: Any) -> None:
        self.model = model

    def encode(self, chip: NDArray[np.uint8], task: Task) -> Embedding:
        from segment_anything import SamPredictor

        predictor = SamPredictor(self.model)
        predictor.set_image(chip)
        data = {"features": predictor.features, "size": predictor.input_size}
        return Embedding(self.identity, chip.shape[1], chip.shape[0], data, 1)

    @torch.inference_mode()
    def predict_batch(
        self, embedding: Embedding, prompts: Sequence[Prompts], task: Task, multimask: bool = True
    ) -> BatchLogits:
        task.check()
        height, width = embedding.data["size"]
        scale = (width / embedding.width, height / embedding.height)
        sparse, dense = self.model.prompt_encoder(points=at_model(prompts, scale), boxes=None, masks=None)
        logits, scores = self.model.mask_decoder(
            image_embeddings=embedding.data["features"],
            image_pe=self.model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
        )
        extent = (embedding.width * SIDE / width, embedding.height * SIDE / height)
        return BatchLogits(logits.numpy(), scores.numpy(), extent)


class Sam2ColorDecoder(ColorDecoder):
    def forward(  # type: ignore[override]
        self,
        image_embeddings: torch.Tensor,
        image_pe: torch.Tensor,
        sparse_prompt_embeddings: torch.Tensor,
        dense_prompt_embeddings: torch.Tensor,
        multimask_output: bool,
        repeat_image: bool,
        high_res_features: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        logits, scores = super().forward(image_embeddings, sparse_prompt_embeddings, multimask_output)
        return logits, scores, None, None


class ColorSam2(torch.nn.Module):
    """What `SAM2ImagePredictor` and its generator need of a `SAM2Base`."""

    image_size = SIDE
    directly_add_no_mem_embed = False
    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ColorEncoder()
        self.sam_prompt_encoder = PointEncoder()
        self.sam_mask_decoder = Sam2ColorDecoder()

    def forward_image(self, image: torch.Tensor) -> torch.Tensor:
        return self.encoder(image)

    def _prepare_backbone_features(self, features: torch.Tensor) -> Any:
        flat = features.flatten(2).permute(2, 0, 1)
        coarse = functional.avg_pool2d(features, 2).flatten(2).permute(2, 0, 1)
        return None, [coarse, coarse, flat], None, None


def sam2_sizes(predictor: Any) -> None:
    """Our one feature map is the last of the three that the predictor folds."""
    predictor._bb_feat_sizes = [(128, 128), (128, 128), (256, 256)]


class Sam2ColorEngine(_Answers):
    """Asks a `ColorSam2` and hands its small logits on."""

    name, title, identity = "sam2", "SAM 2 (package)", "sam2:package"

    def __init__(self, model: ColorSam2) -> None:
        self.model = model

    def encode(self, chip: NDArray[np.uint8], task: Task) -> Embedding:
        from sam2.utils.transforms import SAM2Transforms

        image = SAM2Transforms(SIDE, 0.0)(chip)[None]
        data = {"features": self.model.forward_image(image)}
        return Embedding(self.identity, chip.shape[1], chip.shape[0], data, 1)

    @torch.inference_mode()
    def predict_batch(
        self, embedding: Embedding, prompts: Sequence[Prompts], task: Task, multimask: bool = True
    ) -> BatchLogits:
        task.check()
        scale = (SIDE / embedding.width, SIDE / embedding.height)
        sparse, dense = self.model.sam_prompt_encoder(points=at_model(prompts, scale), boxes=None, masks=None)
        logits, scores, _, _ = self.model.sam_mask_decoder(
            embedding.data["features"], dense, sparse, dense, multimask, True, None
        )
        return BatchLogits(logits.numpy(), scores.numpy())


def at_model(prompts: Sequence[Prompts], scale: tuple[float, float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (n, 1, 2) in pixel indices of the model's input, with their labels."""
    points = [[(p.x * scale[0] - 0.5, p.y * scale[1] - 0.5) for p in one.points] for one in prompts]
    values = torch.tensor(points, dtype=torch.float64)
    return values, torch.ones(values.shape[:2], dtype=torch.int)
