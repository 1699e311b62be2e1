"""`Sam2Tracker`: SAM 2 and SAM 2.1 through the frames of a video or a z-stack.

The modules of the package `sam2`, driven one frame at a time: a frame is read and encoded, every
object is looked for with what is remembered of it, and only that memory is kept. What is kept
does not grow with the number of frames. Must not know where frames come from.

A frame is stretched to a square, as a chip is by `Sam2Engine`, and the answers cover exactly
the frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from samdesk.domain.errors import SamdeskError
from samdesk.domain.prompts import Prompts
from samdesk.domain.tasks import Task

from .asked import astray, check_object, frame_task, prompts_by_frame, refuse_text
from .base import Frames, MaskLogits, TrackedFrame, TrackPrompt
from .decoder.said import Said, said_on
from .runtime import autocast, device_title, dtype_name, memory_guard, pick_device, pick_precision
from .sam2 import SIDE, Encoder, load_model

PROMPTED = 8
"""Frames with prompts of an object that are remembered at full value; the latest ones."""

SURE = 32.0
"""Logits of an earlier answer are cut off here before they help to find the next one."""

PRIOR = 8.0
"""How sure a prior mask is that comes with points or a box."""


@dataclass(slots=True)
class Memory:
    """What is remembered of one object, in the form that the package's memory attention reads.

    Each frame holds "maskmem_features" (1, c, h, w) bfloat16, "maskmem_pos_enc" and "obj_ptr" (1, C).

    Attributes
    ----------
    near, far : int
        For how many frames the picture of an object that was followed to a frame is remembered,
        and for how many the pointer to it.
    prompted, followed : dict of int to dict
        By frame.
    """

    near: int
    far: int
    prompted: dict[int, dict[str, Any]] = field(default_factory=dict)
    followed: dict[int, dict[str, Any]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.prompted)

    def keep(self, frame: int, seen: dict[str, Any], was_prompted: bool) -> None:
        """Remember a frame, and forget what no later one will ask for."""
        (self.prompted if was_prompted else self.followed)[frame] = seen
        if len(self.prompted) > PROMPTED:
            oldest = min(self.prompted)
            self.followed[oldest] = self.prompted.pop(oldest)
        for old in [one for one in self.followed if one <= frame - self.far]:
            del self.followed[old]
        for old in [one for one in self.followed if one <= frame - self.near]:
            # asked for no more, while the pointer still is
            self.followed[old] = {"obj_ptr": self.followed[old]["obj_ptr"]}


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One encoded frame; float32.

    Attributes
    ----------
    frame : int
    size : (int, int)
        Width and height of the frame in pixels.
    tokens : Tensor, (h w, 1, C)
    finer : list of Tensor
        (1, C / 8, 4 h, 4 w) and (1, C / 4, 2 h, 2 w).
    """

    frame: int
    size: tuple[int, int]
    tokens: Tensor
    finer: list[Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What was seen of an object on a frame.

    Attributes
    ----------
    logits : Tensor, (1, 1, 4 h, 4 w) float32
    score : Tensor, ()
        Predicted intersection over union.
    pointer : Tensor, (1, C)
    presence : Tensor, (1, 1)
        Larger than 0 where the object is there.
    was_prompted : bool
        A prompt on this frame had a say.
    """

    logits: Tensor
    score: Tensor
    pointer: Tensor
    presence: Tensor
    was_prompted: bool


class Sam2Tracker:
    """SAM 2 or 2.1, whichever the weights are, with its memory; keeps nothing between calls.

    The first prompt on an object must say where it is: a box, a positive point, a prior mask. On
    a later frame a box or a prior says so anew, and what was followed until then has no say on
    that frame. Points alone correct what was followed there; when it was not seen there, positive
    points say anew where it is, and negative ones alone change nothing. Frames before a prompt
    do not know of it.

    A score is the intersection over union that the model predicts for its mask, in 0..1; a prior
    mask that was given alone is taken as it is and has a score of 1. An object is left out where
    the model does not see it.

    Parameters
    ----------
    weights : Path
        A published checkpoint, as for `Sam2Engine`.
    device, precision : str
        As in `runtime.pick_device` and `runtime.pick_precision`; the precision is the encoder's and,
        on a GPU, the memory's. Masks are always decoded in float32.
    task : Task, optional
        Told how far loading is.

    Attributes
    ----------
    side : int
        Width and height of the square that the network sees.

    Raises
    ------
    SamdeskError
        When the weights cannot be read or are not of this family, a package is missing, or
        memory is full.
    """

    name = "sam2"
    side = SIDE

    def __init__(
        self, weights: Path, *, device: str = "auto", precision: str = "auto", task: Task | None = None
    ) -> None:
        task = task or Task()
        self._where = pick_device(device)
        self._dtype = pick_precision(self._where, precision)
        # a CPU is no quicker here with fewer bits
        self._memory_dtype = torch.float32 if self._where.type == "cpu" else self._dtype
        info, model = load_model(weights, task, self.side)
        self.type, self.title = info.type, info.title
        self.identity = f"{info.type}:{info.digest}:{dtype_name(self._dtype)}"
        self.device = str(self._where)
        task.progress(None, f"Moving to {device_title(self._where)}")
        # masks that a user asked for are remembered with sharp edges, as the package does
        model.binarize_mask_from_pts_for_mem_enc = True
        grid = (self.side // model.backbone_stride,) * 2
        with memory_guard("loading its weights", self.title, self._where):
            self._model = model.to(self._where)
            self._positions = _tokens(self._positions_of(model.image_encoder.neck, grid))
            self._remembered_at = [self._positions_of(model.memory_encoder, grid)]
            self._encoder = Encoder(model, has_memory=True)
        self._grid = [grid]
        self.nbytes = sum(weight.nbytes for weight in model.parameters())

    def track(
        self,
        frames: Frames,
        asked: Sequence[TrackPrompt],
        task: Task,
        *,
        start: int = 0,
        count: int | None = None,
    ) -> Iterator[TrackedFrame]:
        """Follow objects by points, a box or a prior mask; logits (256, 256), see `Tracker.track`."""
        span, said = prompts_by_frame(asked, len(frames), start, count)
        known: set[int] = set()
        for frame in sorted(said):
            for object_id, prompts in said[frame].items():
                refuse_text("SAM 2", prompts, object_id, frame)
                check_object(prompts, object_id, frame, is_first=object_id not in known)
                known.add(object_id)
        return self._follow(frames, span, said, task)

    def _follow(
        self, frames: Frames, span: range, said: Mapping[int, Mapping[int, Prompts]], task: Task
    ) -> Iterator[TrackedFrame]:
        memories: dict[int, Memory] = {}
        for done, frame in enumerate(span):
            part = frame_task(task, done, len(span))
            part.progress(0.0)
            here = said.get(frame, {})
            for object_id in here:
                memories.setdefault(object_id, self._new_memory())
            found: dict[int, MaskLogits] = {}
            if memories:
                found = self._look(frames, frame, memories, here, part)
            yield TrackedFrame(frame, found)

    def _new_memory(self) -> Memory:
        return Memory(self._model.num_maskmem - 1, self._model.max_obj_ptrs_in_encoder - 1)

    def _look(
        self,
        frames: Frames,
        frame: int,
        memories: Mapping[int, Memory],
        said: Mapping[int, Prompts],
        task: Task,
    ) -> dict[int, MaskLogits]:
        """What is found on one frame; the memories take it in."""
        picture = frames[frame]
        found = {}
        with torch.inference_mode(), memory_guard("following objects", self.title, self._where):
            view = self._view(picture, frame, task)
            with _noticed(self._model, task):
                for object_id, memory in memories.items():
                    sight = self._sight(view, memory, said.get(object_id), object_id, len(frames))
                    memory.keep(frame, self._remembered(view, sight), sight.was_prompted)
                    if _is_there(sight):
                        found[object_id] = _answer(sight)
        return found

    def _view(self, picture: NDArray[np.uint8], frame: int, task: Task) -> View:
        pixels = self._encoder.pixels(picture)
        with autocast(self._where, self._dtype):
            coarse, *finer = self._encoder.maps(pixels, task)
        return View(frame, (picture.shape[1], picture.shape[0]), _tokens(coarse), finer)

    def _sight(
        self, view: View, memory: Memory, prompts: Prompts | None, object_id: int, total: int
    ) -> Sight:
        if prompts is None:
            return self._decode(view, self._recalled(view, memory, total))
        said = said_on(prompts, view.size, self.side, self.side, self._where)
        if said.places or not memory:
            if not (said.places or said.points_at):
                raise astray(object_id, view.frame)
            return self._found_anew(view, said)
        recalled = self._recalled(view, memory, total)
        before = self._decode(view, recalled)
        if said.points is None:
            return before
        if _is_there(before):
            return self._decode(view, recalled, said.points, before.logits.clamp(-SURE, SURE))
        return self._found_anew(view, said) if said.points_at else before

    def _found_anew(self, view: View, said: Said) -> Sight:
        """The object where the prompts alone place it."""
        if said.points is None:
            assert said.prior is not None
            return self._taken(view, said.prior)
        alone = self._recalled(view, None, 1)
        if said.prior is None:
            return self._decode(view, alone, said.points, is_first=True)
        size = self._model.sam_prompt_encoder.mask_input_size
        prior = functional.interpolate(said.prior, size, mode="bilinear", antialias=True)
        return self._decode(view, alone, said.points, PRIOR * (2 * prior - 1))

    def _recalled(self, view: View, memory: Memory | None, total: int) -> Tensor:
        """The image embedding (1, C, h, w) in the light of what is remembered, or (None) of nothing."""
        outputs = {}
        if memory is not None:
            outputs = {"cond_frame_outputs": memory.prompted, "non_cond_frame_outputs": memory.followed}
        with autocast(self._where, self._memory_dtype):
            recalled: Tensor = self._model._prepare_memory_conditioned_features(
                frame_idx=view.frame,
                is_init_cond_frame=memory is None,
                current_vision_feats=[view.tokens],
                current_vision_pos_embeds=[self._positions],
                feat_sizes=self._grid,
                output_dict=outputs,
                num_frames=total,
            )
        return recalled.float()

    def _decode(
        self,
        view: View,
        embedding: Tensor,
        points: dict[str, Tensor] | None = None,
        logits: Tensor | None = None,
        is_first: bool = False,
    ) -> Sight:
        _, _, scores, best, _, pointer, presence = self._model._forward_sam_heads(
            backbone_features=embedding,
            point_inputs=points,
            mask_inputs=logits,
            high_res_features=view.finer,
            multimask_output=self._model._use_multimask(is_first, points),
        )
        return Sight(best, scores.max(), pointer, presence, points is not None)

    def _taken(self, view: View, mask: Tensor) -> Sight:
        embedding = view.tokens.permute(1, 2, 0).view(1, -1, *self._grid[0])
        _, _, scores, best, _, pointer, presence = self._model._use_mask_as_output(
            embedding, view.finer, mask
        )
        return Sight(best, scores.max(), pointer, presence, True)

    def _remembered(self, view: View, sight: Sight) -> dict[str, Any]:
        side = (self.side, self.side)
        with autocast(self._where, self._memory_dtype):
            features, _ = self._model._encode_new_memory(
                current_vision_feats=[view.tokens],
                feat_sizes=self._grid,
                pred_masks_high_res=functional.interpolate(sight.logits, side, mode="bilinear"),
                object_score_logits=sight.presence,
                is_mask_from_pts=sight.was_prompted,
            )
        return {
            "maskmem_features": features.to(torch.bfloat16),
            "maskmem_pos_enc": self._remembered_at,
            "obj_ptr": sight.pointer,
        }

    def _positions_of(self, module: Any, grid: tuple[int, int]) -> Tensor:
        positions: Tensor = module.position_encoding(torch.empty(1, 1, *grid, device=self._where))
        return positions


def _tokens(maps: Tensor) -> Tensor:
    """(1, c, h, w) -> (h w, 1, c)."""
    return maps.flatten(2).permute(2, 0, 1)


def _is_there(sight: Sight) -> bool:
    if not (sight.presence.isfinite().all() and sight.score.isfinite()):
        raise SamdeskError(
            "The model answered with numbers that are not finite.",
            "Choose float32 as the precision; when that does not help, the weights are damaged.",
        )
    return bool(sight.presence > 0) and bool((sight.logits > 0).any())


def _answer(sight: Sight) -> MaskLogits:
    score = float(sight.score)
    return MaskLogits(sight.logits[0, 0].float().cpu().numpy(), min(max(score, 0.0), 1.0))


@contextmanager
def _noticed(model: Any, task: Task) -> Iterator[None]:
    """A cancelled task is noticed before each layer of the memory and of the decoder."""
    layers = [part for layer in model.memory_attention.layers for part in layer.children()]
    parts = (*layers, model.memory_encoder, model.sam_mask_decoder)
    hooks = [part.register_forward_pre_hook(lambda *_: task.check()) for part in parts]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
