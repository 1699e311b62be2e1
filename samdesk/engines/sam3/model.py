"""SAM 3's network for images, built from the package sam3 and filled from Meta's checkpoint.

Must not know chips, prompts or devices.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from samdesk.domain.errors import SamdeskError

from .compat import sam3_module, without_memory
from .vocabulary import vocabulary_path

VERSION = "0.1.4"
"""Of the package sam3; its builder functions are not a public interface."""

HIDDEN = 256
"""Width of everything behind the two encoders."""

LEVELS = 3
"""Feature maps that are used; the neck makes a fourth and coarser one."""

INTERACTIVE = ("tracker.sam_prompt_encoder.", "tracker.sam_mask_decoder.", "tracker.no_mem_embed")
"""Of the keys `tracker.*` those that one image needs.

The others carry an object from frame to frame of a video: memory encoder and memory attention
(maskmem_backbone, transformer, maskmem_tpos_enc, no_mem_pos_enc, mask_downsample) and object
pointers (obj_ptr_proj, obj_ptr_tpos_proj, no_obj_ptr, no_obj_embed_spatial).
"""


@dataclass(frozen=True, slots=True)
class Sam3Config:
    """The numbers of the network; as published by default.

    Attributes
    ----------
    image_size, patch_size, pretrain_size : int
        Sides in pixels: of the input, of a token, and of the input that positions are stored for.
    width, depth, heads, window : int
        Of the image encoder; `window` in tokens.
    mlp_ratio : float
    global_blocks : tuple of int
        Blocks that see the whole image; the last one is the last block.
    text_width, text_heads, text_layers : int
    exemplar_layers, fusion_layers, query_layers : int
        Of the three transformers behind the encoders: boxes, image with prompt, instances.
    """

    image_size: int = 1008
    patch_size: int = 14
    pretrain_size: int = 336
    width: int = 1024
    depth: int = 32
    heads: int = 16
    window: int = 24
    mlp_ratio: float = 4.625
    global_blocks: tuple[int, ...] = (7, 15, 23, 31)
    text_width: int = 1024
    text_heads: int = 16
    text_layers: int = 24
    exemplar_layers: int = 3
    fusion_layers: int = 6
    query_layers: int = 6

    @property
    def grid(self) -> int:
        """Tokens on a side."""
        return self.image_size // self.patch_size


class Network(nn.Module):
    """The two parts, under the names of the checkpoint.

    Attributes
    ----------
    detector : sam3.model.sam3_image.Sam3Image
        Finds all instances.
    tracker : InteractiveHead or sam3.model.sam3_tracker_base.Sam3TrackerBase
        Finds one object by points and boxes; the latter also follows it through frames.
    """

    def __init__(self, detector: Any, tracker: nn.Module) -> None:
        super().__init__()
        self.detector: Any = detector
        self.tracker: Any = tracker

    @property
    def neck(self) -> Any:
        return self.detector.backbone.vision_backbone

    @property
    def text_encoder(self) -> Any:
        return self.detector.backbone.language_backbone


class InteractiveHead(nn.Module):
    """Prompt encoder and mask decoder, as in SAM 2."""

    def __init__(self, config: Sam3Config) -> None:
        super().__init__()
        parts = sam3_module("sam3.sam")
        side, grid = config.image_size, config.grid
        self.sam_prompt_encoder: Any = parts.PromptEncoder(
            embed_dim=HIDDEN,
            image_embedding_size=(grid, grid),
            input_image_size=(side, side),
            mask_in_chans=16,
        )
        self.sam_mask_decoder: Any = parts.MaskDecoder(
            transformer_dim=HIDDEN,
            transformer=parts.TwoWayTransformer(depth=2, embedding_dim=HIDDEN, mlp_dim=2048, num_heads=8),
            num_multimask_outputs=3,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
            iou_prediction_use_sigmoid=True,
            use_high_res_features=True,
            pred_obj_scores=True,
            pred_obj_scores_mlp=True,
            use_multimask_token_for_obj_ptr=True,
            dynamic_multimask_via_stability=True,
        )
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, HIDDEN))


def build_model(config: Sam3Config = Sam3Config(), follows: bool = False) -> Network:
    """The network without weights, in evaluation mode; its tensors lie on the device "meta".

    Parameters
    ----------
    config : Sam3Config
    follows : bool
        With the parts that carry an object from frame to frame.

    Raises
    ------
    SamdeskError
        When sam3 or what it needs is not installed, or sam3 is a version that is built otherwise.
    """
    builder = sam3_module("sam3.model_builder")
    vocabulary = vocabulary_path()
    try:
        tokenizer = builder.SimpleTokenizer(bpe_path=str(vocabulary))
        with without_memory():
            # the package's own builder would also make its Sam3TrackerPredictor, which turns on
            # autocast for the whole thread
            head = _tracker(builder, config) if follows else InteractiveHead(config)
            network = Network(_detector(builder, config, tokenizer), head)
    except (AttributeError, TypeError) as error:
        version = importlib.metadata.version("sam3")
        raise SamdeskError(
            f"The installed sam3 {version} does not have the parts that are expected of it: {error}.",
            f"Run ./installer/run --with models, or: pip install 'sam3=={VERSION}'",
        ) from error
    return network.eval().requires_grad_(False)


def fill(network: Network, state: Mapping[str, torch.Tensor], path: Path, device: torch.device) -> Network:
    """Give a network from `build_model` its weights and move it to a device.

    The tensors of `state` become its weights, without a copy while they stay on the CPU.

    Raises
    ------
    SamdeskError
        When keys are missing, are not the network's, or have another shape; names the file.
    """
    from samdesk.engines.checkpoint import load_into

    follows = not isinstance(network.tracker, InteractiveHead)
    load_into(network, used(state, follows), path)
    text = network.text_encoder.encoder
    text.register_buffer("attn_mask", text.build_causal_mask(), persistent=False)
    network.to(device)
    decoder = network.detector.transformer.decoder
    side = network.tracker.sam_prompt_encoder.image_embedding_size[0]
    decoder.compilable_cord_cache = decoder._get_coords(side, side, device)
    decoder.compilable_stored_size = (side, side)
    if follows:
        _place_constants(network.tracker, side, device)
    return network


def used(state: Mapping[str, torch.Tensor], follows: bool = False) -> dict[str, torch.Tensor]:
    """What one image needs of a published state dict, or (`follows`) a row of frames."""
    parts = ("detector.", "tracker.") if follows else ("detector.", *INTERACTIVE)
    return {key: value for key, value in state.items() if key.startswith(parts)}


def _tracker(builder: Any, config: Sam3Config) -> Any:
    """The package's tracker with the published numbers; under the names of the checkpoint."""
    memory = builder._create_tracker_maskmem_backbone()
    memory.mask_downsampler.interpol_size = [16 * config.grid] * 2
    tracker = sam3_module("sam3.model.sam3_tracker_base").Sam3TrackerBase(
        backbone=None,
        transformer=builder._create_tracker_transformer(),
        maskmem_backbone=memory,
        num_maskmem=7,
        image_size=config.image_size,
        backbone_stride=config.patch_size,
        max_cond_frames_in_attn=4,
        multimask_output_in_sam=True,
        multimask_output_for_tracking=True,
        multimask_min_pt_num=0,
        multimask_max_pt_num=1,
        sam_mask_decoder_extra_args={
            "dynamic_multimask_via_stability": True,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        },
        use_memory_selection=True,
    )
    # a correction starts from the mask that was found so far, as in the package's own predictor
    tracker.iter_use_prev_mask_pred = True
    return tracker


def _place_constants(tracker: Any, side: int, device: torch.device) -> None:
    """Compute what the tracker keeps beside its weights, which has no values on the device "meta"."""
    tracker.maskmem_backbone.position_encoding.cache.clear()
    for layer in tracker.transformer.encoder.layers:
        for attention in (layer.self_attn, layer.cross_attn_image):
            attention.freqs_cis = attention.compute_cis(end_x=side, end_y=side, device=device)


def _detector(builder: Any, config: Sam3Config, tokenizer: Any) -> Any:
    neck = builder._create_vit_neck(
        builder._create_position_encoding(), _trunk(builder, config), enable_inst_interactivity=True
    )
    text = builder.VETextEncoder(
        tokenizer=tokenizer,
        d_model=HIDDEN,
        width=config.text_width,
        heads=config.text_heads,
        layers=config.text_layers,
    )
    encoder, decoder = builder._create_transformer_encoder(), builder._create_transformer_decoder()
    exemplars = builder._create_geometry_encoder()
    masks = builder._create_segmentation_head()
    masks.act_ckpt = False  # saves memory in training only
    _keep(encoder, "layers", config.fusion_layers)
    _keep(decoder, "layers", config.query_layers)
    _keep(exemplars, "encode", config.exemplar_layers)
    return builder._create_sam3_model(
        builder._create_vl_backbone(neck, text),
        builder.TransformerWrapper(encoder=encoder, decoder=decoder, d_model=HIDDEN),
        exemplars,
        masks,
        builder._create_dot_product_scoring(),
        None,
        eval_mode=True,
    )


def _trunk(builder: Any, config: Sam3Config) -> Any:
    return builder.ViT(
        img_size=config.image_size,
        patch_size=config.patch_size,
        pretrain_img_size=config.pretrain_size,
        embed_dim=config.width,
        depth=config.depth,
        num_heads=config.heads,
        mlp_ratio=config.mlp_ratio,
        window_size=config.window,
        global_att_blocks=config.global_blocks,
        rel_pos_blocks=(),
        use_rope=True,
        use_interp_rope=True,
        retain_cls_token=False,
        bias_patch_embed=False,
        ln_pre=True,
    )


def _keep(module: Any, name: str, count: int) -> None:
    layers = getattr(module, name)[:count]
    setattr(module, name, layers)
    module.num_layers = len(layers)
