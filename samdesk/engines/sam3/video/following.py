"""`Follower`: one object from frame to frame, by the tracker of the package sam3.

The package's `Sam3TrackerBase` computes; what it is given, and what is kept of its answers, is
here. The masks are those of the package's `Sam3TrackerPredictor` with one state for each object.
Must not know prompts as the user gives them, files, or how frames are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task
from samdesk.engines.sam3.compat import tracking

SURE = 32.0
"""Logits of an earlier answer are cut off here before they help to find the next one."""

TAKEN = 10.0
"""How sure a mask is that is taken as it is."""

PROMPTED, FOLLOWED = "cond_frame_outputs", "non_cond_frame_outputs"
"""The package's names for the frames on which an object was asked for, and for all others."""


@dataclass(slots=True)
class Memory:
    """What is remembered of one object, in the form that the package's tracker reads.

    Attributes
    ----------
    frames : dict of str to dict of int to dict
        Under `PROMPTED` and `FOLLOWED`, by frame: "maskmem_features" (1, 64, h, w) bfloat16,
        "maskmem_pos_enc", "obj_ptr" (1, C) and "eff_iou_score", a number that tells how well the
        object was seen.
    """

    frames: dict[str, dict[int, dict[str, Any]]] = field(default_factory=lambda: {PROMPTED: {}, FOLLOWED: {}})

    def __bool__(self) -> bool:
        return bool(self.frames[PROMPTED])


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One encoded frame.

    Attributes
    ----------
    frame, total : int
        Its number, and how many there are.
    tokens : list of Tensor
        The feature maps of the interactive head, finest first, each (h w, 1, C) float32.
    sizes : list of (int, int)
        Height and width of each.
    """

    frame: int
    total: int
    tokens: list[Tensor]
    sizes: list[tuple[int, int]]

    @classmethod
    def of(cls, frame: int, total: int, maps: Sequence[Tensor]) -> View:
        """From maps (1, C, h, w)."""
        sizes = [(one.shape[-2], one.shape[-1]) for one in maps]
        return cls(frame, total, [one.flatten(2).permute(2, 0, 1) for one in maps], sizes)


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What was seen of an object on a frame.

    Attributes
    ----------
    logits : Tensor, (1, 1, 4 h, 4 w) float32
    score : float
        In 0..1.
    pointer : Tensor, (1, C)
    presence : Tensor, (1, 1)
        Larger than 0 where the object is there.
    worth : float
        As "eff_iou_score" in `Memory`.
    """

    logits: Tensor
    score: float
    pointer: Tensor
    presence: Tensor
    worth: float

    @property
    def is_there(self) -> bool:
        return bool(self.presence.item() > 0) and bool((self.logits > 0).any().item())


class Follower:
    """Sees objects on frames, each on its own, and remembers them.

    Parameters
    ----------
    tracker : sam3.model.sam3_tracker_base.Sam3TrackerBase
        On its device, in evaluation mode.
    positions : Tensor, (h w, 1, C)
        Of the coarsest feature map.
    rounding : callable
        Gives the context in which the tracker computes: its precision.
    """

    def __init__(
        self, tracker: Any, positions: Tensor, rounding: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        self._tracker = tracker
        self._positions = positions
        self._rounding = rounding
        self._remembered_at: list[Tensor] = []

    @property
    def mask_side(self) -> int:
        """Side of a mask that is taken as it is."""
        return int(self._tracker.input_mask_size)

    @property
    def logits_side(self) -> int:
        """Side of the answers, and of logits that help to find the next one."""
        return int(self._tracker.low_res_mask_size)

    def recall(self, view: View, memory: Memory, task: Task) -> Sight:
        """The object where memory finds it."""
        return self._step(view, task, memory)

    def point_out(
        self, view: View, points: dict[str, Tensor], task: Task, logits: Tensor | None = None
    ) -> Sight:
        """The object where points and corners of a box place it, whatever was known.

        Parameters
        ----------
        view : View
        points : dict of str to Tensor
            "point_coords" (1, n, 2) in pixels of the network's input, on pixel centers, and
            "point_labels" (1, n).
        task : Task
        logits : Tensor, (1, 1, logits_side, logits_side), optional
            A rough idea of the mask.
        """
        return self._step(view, task, points=points, logits=logits, is_first=True)

    def correct(self, view: View, before: Sight, points: dict[str, Tensor], task: Task) -> Sight:
        """What was seen on this frame, corrected by points."""
        return self._step(view, task, points=points, logits=before.logits.clamp(-SURE, SURE))

    def take(self, view: View, mask: Tensor, task: Task) -> Sight:
        """The object where a mask (1, 1, mask_side, mask_side) of 0 and 1 says it is; its score is 1."""
        sight, side = self._step(view, task, mask=mask, is_first=True), (self.logits_side,) * 2
        logits = functional.interpolate(TAKEN * (2 * mask - 1), side, mode="bilinear", antialias=True)
        return replace(sight, logits=logits)

    def remember(self, memory: Memory, view: View, sight: Sight, task: Task, was_prompted: bool) -> None:
        """Keep what was seen, and forget what no later frame will ask for."""
        tracker, frames = self._tracker, memory.frames
        side = (tracker.image_size,) * 2
        with self._computing(task):
            features, positions = tracker._encode_new_memory(
                image=None,
                current_vision_feats=view.tokens,
                feat_sizes=view.sizes,
                pred_masks_high_res=functional.interpolate(sight.logits, side, mode="bilinear"),
                object_score_logits=sight.presence,
                is_mask_from_pts=was_prompted,
            )
        # the same for all frames and objects
        self._remembered_at = self._remembered_at or [one.float() for one in positions]
        frames[PROMPTED if was_prompted else FOLLOWED][view.frame] = {
            "maskmem_features": features.to(torch.bfloat16),
            "maskmem_pos_enc": self._remembered_at,
            "obj_ptr": sight.pointer,
            "eff_iou_score": sight.worth,
        }
        self._forget(frames)

    def _forget(self, frames: dict[str, dict[int, dict[str, Any]]]) -> None:
        """Keep the frames that the tracker would choose from all of them.

        These are the latest prompted ones, the latest ones on which the object was seen well, and
        the last one.
        """
        tracker = self._tracker
        for old in sorted(frames[PROMPTED])[: -tracker.max_cond_frames_in_attn]:
            del frames[PROMPTED][old]
        latest = sorted(frames[FOLLOWED])
        good = [one for one in latest if frames[FOLLOWED][one]["eff_iou_score"] > tracker.mf_threshold]
        keep = {*good[-(tracker.max_obj_ptrs_in_encoder - 1) :], *latest[-1:]}
        for old in [one for one in latest if one not in keep]:
            del frames[FOLLOWED][old]

    def _step(
        self,
        view: View,
        task: Task,
        memory: Memory | None = None,
        points: dict[str, Tensor] | None = None,
        logits: Tensor | None = None,
        mask: Tensor | None = None,
        is_first: bool = False,
    ) -> Sight:
        with self._computing(task):
            out = self._tracker.track_step(
                frame_idx=view.frame,
                is_init_cond_frame=is_first,
                current_vision_feats=view.tokens,
                current_vision_pos_embeds=[self._positions],
                feat_sizes=view.sizes,
                image=None,
                point_inputs=points,
                mask_inputs=mask,
                output_dict=(memory or Memory()).frames,
                num_frames=view.total,
                run_mem_encoder=False,
                prev_sam_mask_logits=logits,
                use_prev_mem_frame=memory is not None,
            )
        score, worth = float(out["iou_score"]), float(out["eff_iou_score"])
        if score != score:
            raise SamdeskError(
                "The model answered with numbers that are not finite.",
                "Choose float32 as the precision; when that does not help, the weights are damaged.",
            )
        found, presence = out["pred_masks"].float(), out["object_score_logits"]
        return Sight(found, min(max(score, 0.0), 1.0), out["obj_ptr"], presence, worth)

    @contextmanager
    def _computing(self, task: Task) -> Iterator[None]:
        """In the tracker's precision; a cancel is noticed before each layer."""
        tracker = self._tracker
        parts = (
            *(part for layer in tracker.transformer.encoder.layers for part in layer.children()),
            *tracker.maskmem_backbone.children(),
            tracker.sam_mask_decoder,
        )
        task.check()
        hooks = [part.register_forward_pre_hook(lambda *_: task.check()) for part in parts]
        try:
            with tracking(), self._rounding():
                yield
        finally:
            for hook in hooks:
                hook.remove()
