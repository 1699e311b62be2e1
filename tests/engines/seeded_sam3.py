"""SAM 3 with few and narrow layers and seeded weights, and the package's own SAM 3 to compare with.

The file has the published keys, those of the video parts included. The reference is built by the
package's public function; only the numbers are made smaller on their way into its constructors.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from samdesk.engines.sam3.compat import sam3_module, tracking, without_memory
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
    # objects that the tracker sees
    "tracker.sam_mask_decoder.pred_obj_score_head.layers.2.bias": 4.0,
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


class ReferenceVideo:
    """The package's own tracker on the CPU, with one state for each object, as it takes new ones.

    Parameters
    ----------
    model : Module
        From `reference_model`.
    frames : sequence of ndarray, (h, w, 3) uint8
    """

    def __init__(self, model: Any, frames: Sequence[NDArray[np.uint8]]) -> None:
        self._tracker = model.inst_interactive_predictor.model
        # what the package's builder for videos sets besides
        self._tracker.use_memory_selection = True
        self._features = {index: _features(model, frame) for index, frame in enumerate(frames)}
        self._count = len(frames)
        self.height, self.width = frames[0].shape[:2] if len(frames) else (0, 0)

    def new_object(self) -> Any:
        return _on_cpu(self._tracker.init_state)(
            video_height=self.height,
            video_width=self.width,
            num_frames=self._count,
            cached_features=self._features,
        )

    def prompt(
        self, state: Any, frame: int, *, points: Sequence[tuple[float, float, bool]] = (), box: Any = None
    ) -> None:
        """Points and a box in pixels of the frame, on pixel edges."""
        # the package's prompt encoder adds half a pixel of the network's input
        size = np.array([self.width, self.height])
        at = np.array([point[:2] for point in points]).reshape(-1, 2) / size
        half = 0.5 / self._tracker.image_size
        with tracking():
            self._tracker.add_new_points_or_box(
                state,
                frame,
                1,
                points=torch.tensor(at - half, dtype=torch.float32),
                labels=torch.tensor([point[2] for point in points], dtype=torch.int32),
                box=None if box is None else np.array(box, np.float32) / np.tile(size, 2) - half,
            )

    def mask(self, state: Any, frame: int, mask: NDArray[np.bool_]) -> None:
        with tracking():
            self._tracker.add_new_mask(state, frame, 1, torch.from_numpy(mask))

    def follow(self, state: Any, start: int, stop: int) -> list[NDArray[np.float32]]:
        """Low-resolution logits on the frames from `start` to before `stop`."""
        with tracking():
            steps = self._tracker.propagate_in_video(
                state, start, stop - start - 1, reverse=False, tqdm_disable=True, propagate_preflight=True
            )
            return [low_res[0, 0].float().numpy() for _, _, low_res, _, _ in steps]


class ReferenceSearch:
    """The package's own loop of detector and tracker on the CPU, for one text.

    Without filling small holes, which needs triton or skimage, and without rounding the image's
    features to bfloat16.

    Parameters
    ----------
    model : Module
        From `reference_model`.
    frames : sequence of ndarray, (h, w, 3) uint8
    text : str
    found, new, meets : float
        Scores of a detection and of one that begins an instance; overlap of the same instance.
    """

    def __init__(
        self,
        model: Any,
        frames: Sequence[NDArray[np.uint8]],
        text: str,
        *,
        found: float,
        new: float,
        meets: float,
    ) -> None:
        # its tracker takes new objects, and sets what the package's builder for videos sets
        ReferenceVideo(model, [])
        images = sam3_module("sam3.model.sam3_image")
        detector = images.Sam3ImageOnVideoMultiGPU(
            backbone=model.backbone,
            transformer=model.transformer,
            input_geometry_encoder=model.geometry_encoder,
            segmentation_head=model.segmentation_head,
            dot_prod_scoring=model.dot_prod_scoring,
            supervise_joint_box_scores=True,
        ).eval()
        self._base = sam3_module("sam3.model.sam3_video_base")
        self._video = self._base.Sam3VideoBase(
            detector,
            model.inst_interactive_predictor.model,
            score_threshold_detection=found,
            det_nms_thresh=meets,
            assoc_iou_thresh=meets,
            new_det_thresh=new,
            hotstart_delay=15,
            hotstart_unmatch_thresh=8,
            hotstart_dup_thresh=8,
            init_trk_keep_alive=30,
            max_trk_keep_alive=30,
            suppress_overlapping_based_on_recent_occlusion_threshold=0.7,
            recondition_every_nth_frame=16,
        )
        self._batch = mock.Mock(
            img_batch=torch.cat([_pixels(model, frame) for frame in frames]),
            find_text_batch=[text],
            find_inputs=[self._stage(index) for index in range(len(frames))],
        )
        self._side = model.inst_interactive_predictor.model.low_res_mask_size

    def follow(self) -> Iterator[NDArray[np.bool_]]:
        """For each frame the masks of all instances, (n, 4 h, 4 w)."""
        states: list[Any] = []
        known: dict[str, Any] = {}
        cache: dict[Any, Any] = {}
        video = self._video
        for frame in range(len(self._batch.img_batch)):
            with (
                torch.inference_mode(),
                tracking(),
                _OnCpu(),
                _Unrounded(),
                mock.patch.object(video.tracker, "init_state", _on_cpu(video.tracker.init_state)),
                mock.patch.object(self._base, "fill_holes_in_mask_scores", lambda masks, **_: masks),
            ):
                found, _, states, known, *_ = video._det_track_one_frame(
                    frame_idx=frame,
                    num_frames=len(self._batch.img_batch),
                    reverse=False,
                    input_batch=self._batch,
                    geometric_prompt=video.detector._get_dummy_prompt(),
                    tracker_states_local=states,
                    tracker_metadata_prev=known,
                    feature_cache=cache,
                    orig_vid_height=self._side,
                    orig_vid_width=self._side,
                )
            yield np.stack([mask[0].numpy() for mask in found.values()])

    def _stage(self, index: int) -> Any:
        stage = sam3_module("sam3.model.data_misc").FindStage
        nothing = dict.fromkeys(("input_boxes", "input_boxes_mask", "input_boxes_label"))
        nothing |= dict.fromkeys(("input_points", "input_points_mask"))
        return stage(img_ids=torch.tensor([index]), text_ids=torch.tensor([0]), **nothing)


class _Unrounded(torch.overrides.TorchFunctionMode):
    """Leaves the image's features in float32; memories have 64 channels and are rounded by both."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is torch.Tensor.to and args[1:] == (torch.bfloat16,) and args[0].shape[1] != 64:
            return args[0]
        return func(*args, **(kwargs or {}))


def _on_cpu(init_state: Callable[..., Any]) -> Callable[..., Any]:
    def made(**options: Any) -> Any:
        return {**init_state(**options), "storage_device": torch.device("cpu")}

    return made


def _pixels(model: Any, frame: NDArray[np.uint8]) -> torch.Tensor:
    """A frame (1, 3, side, side) as the package's image processor makes it."""
    side = model.inst_interactive_predictor.model.image_size
    processor = sam3_module("sam3.model.sam3_image_processor").Sam3Processor(
        model, resolution=side, device="cpu"
    )
    pixels: torch.Tensor = processor.transform(torch.tensor(frame).permute(2, 0, 1))[None]
    return pixels


def _features(model: Any, frame: NDArray[np.uint8]) -> tuple[Any, dict[str, Any]]:
    """A frame as the package's tracker looks it up."""
    pixels = _pixels(model, frame)
    decoder = model.inst_interactive_predictor.model.sam_mask_decoder
    with torch.inference_mode():
        seen = model.backbone.forward_image(pixels)["sam2_backbone_out"]
        fine, middle, coarse = seen["backbone_fpn"]
        maps = [decoder.conv_s0(fine), decoder.conv_s1(middle), coarse]
    return pixels, {"backbone_fpn": maps, "vision_pos_enc": seen["vision_pos_enc"]}


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
        "SimpleMaskDownSampler": {"interpol_size": [16 * config.grid] * 2},
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
