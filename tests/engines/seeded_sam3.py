"""SAM 3 with few and narrow layers and seeded weights, and the package's own SAM 3 to compare with.

The file has the published keys, those of the video parts included. The reference is built by the
package's public function; only the numbers are made smaller on their way into its constructors.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from samdesk.engines.sam3.compat import sam3_module, without_memory
from samdesk.engines.sam3.model import Sam3Config
from samdesk.engines.sam3.vocabulary import vocabulary_path
from tests.engines.seeded import save_pt, seeded_array

SMALL = Sam3Config(
    image_size=224,
    pretrain_size=56,
    width=64,
    depth=4,
    heads=4,
    window=8,
    global_blocks=(1, 3),
    text_width=64,
    text_heads=4,
    text_layers=2,
    exemplar_layers=1,
    fusion_layers=1,
    query_layers=2,
)

GAINS = {
    # seeded proposals would all be alike: queries far apart give masks and scores of both signs
    "detector.transformer.decoder.query_embed.weight": 16.0,
    "detector.transformer.decoder.reference_points.weight": 4.0,
}


OFFSETS = {
    # a presence near one, so that a proposal's own score decides
    "detector.transformer.decoder.presence_token_head.layers.2.bias": 4.0,
}


def sam3_checkpoint(
    folder: Path, config: Sam3Config = SMALL, tag: str = "a", changes: Mapping[str, Any] | None = None
) -> Path:
    """Write a seeded checkpoint in Meta's layout; `changes` replaces values, or drops them (None)."""
    state = {**seeded_sam3_state(config, tag), **(changes or {})}
    return save_pt(folder / "sam3.pt", {key: value for key, value in state.items() if value is not None})


def seeded_sam3_state(config: Sam3Config = SMALL, tag: str = "a") -> dict[str, torch.Tensor]:
    """A seeded state dict with all published keys; what is not learned is as the package computes it."""
    state = {}
    for key, value in published_keys(config).items():
        if value.is_complex():
            state[key] = _rotations(key, config)
        else:
            seeded = torch.from_numpy(seeded_array(key, value.shape, tag))
            state[key] = seeded * GAINS.get(key, 1.0) + OFFSETS.get(key, 0.0)
    return state


def published_keys(config: Sam3Config = SMALL) -> dict[str, torch.Tensor]:
    """Keys of Meta's checkpoint, with tensors that have a shape and no memory."""
    with _smaller(config), without_memory():
        model = _package_model()
    return {
        key.replace("inst_interactive_predictor.model.", "tracker.")
        if key.startswith("inst_interactive_predictor.")
        else f"detector.{key}": value
        for key, value in model.state_dict().items()
    }


def reference_model(path: Path, config: Sam3Config = SMALL) -> Any:
    """The package's own model with the weights of a file, loaded by the package's own code, on the CPU."""
    with _smaller(config), _OnCpu():
        model = _package_model()
    sam3_module("sam3.model_builder")._load_checkpoint(model, str(path))
    predictor = model.inst_interactive_predictor
    predictor._bb_feat_sizes = [(config.grid * scale,) * 2 for scale in (4, 2, 1)]
    return model


def _package_model() -> Any:
    builder = sam3_module("sam3.model_builder")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return builder.build_sam3_image_model(
            bpe_path=str(vocabulary_path()),
            device="cpu",
            load_from_HF=False,
            enable_inst_interactivity=True,
        )


def _rotations(key: str, config: Sam3Config) -> torch.Tensor:
    vitdet = sam3_module("sam3.model.vitdet")
    block = int(key.split(".blocks.")[1].split(".")[0])
    side = config.grid if block in config.global_blocks else config.window
    values: torch.Tensor = vitdet.compute_axial_cis(
        config.width // config.heads, side, side, scale_pos=config.window / side
    )
    return values


@contextmanager
def _smaller(config: Sam3Config) -> Iterator[None]:
    """Give the package's builder other numbers."""
    builder = sam3_module("sam3.model_builder")
    numbers: dict[str, dict[str, Any]] = {
        "ViT": {
            "img_size": config.image_size,
            "pretrain_img_size": config.pretrain_size,
            "embed_dim": config.width,
            "depth": config.depth,
            "num_heads": config.heads,
            "mlp_ratio": config.mlp_ratio,
            "window_size": config.window,
            "global_att_blocks": config.global_blocks,
        },
        "VETextEncoder": {
            "width": config.text_width,
            "heads": config.text_heads,
            "layers": config.text_layers,
        },
        "SequenceGeometryEncoder": {"num_layers": config.exemplar_layers},
        "TransformerEncoderFusion": {"num_layers": config.fusion_layers},
        "TransformerDecoder": {"num_layers": config.query_layers, "resolution": config.image_size},
        "Sam3TrackerPredictor": {"image_size": config.image_size},
    }
    with mock.patch.multiple(
        builder, **{name: _with(getattr(builder, name), changed) for name, changed in numbers.items()}
    ):
        yield


def _with(build: Callable[..., Any], changed: dict[str, Any]) -> Callable[..., Any]:
    def built(**options: Any) -> Any:
        made = build(**{**options, **changed})
        if hasattr(made, "bf16_context"):
            made.bf16_context.__exit__(None, None, None)  # would stay on for the whole thread
        return made

    return built


class _OnCpu(torch.overrides.TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("device") == "cuda":
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)
