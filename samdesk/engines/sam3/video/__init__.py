"""`Sam3Tracker`: SAM 3 through the frames of a video or a z-stack.

A frame is read and encoded once, for the detector and the tracker together; `following` carries
one object from frame to frame, `instances` all that a text describes. What is kept does not grow
with the number of frames. The package's own video classes are not used: they need CUDA and
triton, and hold the whole video. Must not know where frames come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from samdesk.domain.errors import SamdeskError
from samdesk.domain.prompts import Prompts
from samdesk.domain.tasks import InnerTask, Task
from samdesk.engines.asked import astray, check_object, prompts_by_frame
from samdesk.engines.base import Embedding, Frames, MaskLogits, TrackedFrame, TrackPrompt
from samdesk.engines.decoder.said import Said, said_on
from samdesk.engines.runtime import autocast
from samdesk.engines.sam3 import FEATURES, Sam3Engine
from samdesk.engines.sam3.vocabulary import readable

from .following import Follower, Memory, Sight, View
from .instances import FOUND, Instances

__all__ = ["Sam3Tracker"]

PRIOR = 8.0
"""How sure a prior mask is that comes with points or a box."""


class Sam3Tracker(Sam3Engine):
    """SAM 3 with its memory; a `Tracker` that finds, and all that `Sam3Engine` is.

    An object without text is a single one. Its first prompt must say where it is: a box, a
    positive point, a prior mask. On a later frame a box or a prior says so anew, and what was
    followed until then has no say on that frame. Points alone correct what was followed there; when
    it was not seen there, positive points say anew where it is, and negative ones alone change
    nothing. Its score is the intersection over union that the model predicts.

    An object with text is every instance of what the text names, and the answer is their union
    with the score of the best one. Boxes beside the text are examples and counterexamples for their
    frame; points and a prior are ignored. Every later frame is searched for the text alone, so that
    instances are found which appear there; those that are known are followed. A new text takes the
    place of the old one from its frame on, while the instances that were found remain.

    Frames before a prompt do not know of it. An object is left out where it is not seen.

    Parameters are those of `Sam3Engine`; here the precision is also the tracker's, as it is in the
    package. Raises the same, and `SamdeskError` when the file lacks the weights for videos.
    """

    _follows = True

    def track(
        self,
        frames: Frames,
        asked: Sequence[TrackPrompt],
        task: Task,
        *,
        start: int = 0,
        count: int | None = None,
    ) -> Iterator[TrackedFrame]:
        """Follow objects by points, a box, a prior mask or a text; see `Tracker.track`.

        Logits are (288, 288), for the whole frame.
        """
        span, said = prompts_by_frame(asked, len(frames), start, count)
        texts = self._texts_of(said)
        return self._follow(frames, span, said, texts, task)

    def _follow(
        self,
        frames: Frames,
        span: range,
        said: Mapping[int, Mapping[int, Prompts]],
        texts: Mapping[tuple[int, int], str],
        task: Task,
    ) -> Iterator[TrackedFrame]:
        follower = self._follower()
        single: dict[int, Memory] = {}
        several: dict[int, _Search] = {}
        for done, frame in enumerate(span):
            task.progress(done / len(span), f"Frame {done + 1} of {len(span)}")
            here = said.get(frame, {})
            for object_id in here:
                if text := texts.get((frame, object_id)):
                    several.setdefault(object_id, _Search(Instances(follower))).text = text
                else:
                    single.setdefault(object_id, Memory())
            found: dict[int, MaskLogits] = {}
            if single or several:
                with self._computing("following objects"):
                    found = self._look(frames, frame, follower, single, several, here, _Quiet(task))
            yield TrackedFrame(frame, found)

    def _look(
        self,
        frames: Frames,
        frame: int,
        follower: Follower,
        single: Mapping[int, Memory],
        several: Mapping[int, _Search],
        said: Mapping[int, Prompts],
        task: Task,
    ) -> dict[int, MaskLogits]:
        """What is found on one frame; the memories take it in."""
        picture = frames[frame]
        size = (picture.shape[1], picture.shape[0])
        features = self._features(picture, task)
        view = View.of(frame, len(frames), self._interactive(features, task))
        found: dict[int, MaskLogits | None] = {}
        for object_id, memory in single.items():
            prompts = said.get(object_id)
            asked = None if prompts is None else self._said(prompts, size, follower.mask_side)
            if not memory and not (asked and (asked.places or asked.points_at)):
                raise astray(object_id, frame)
            sight = _told(follower, view, memory, asked, task) if asked else None
            was_prompted = sight is not None
            sight = sight or follower.recall(view, memory, task)
            follower.remember(memory, view, sight, task, was_prompted)
            found[object_id] = _answer(sight)
        embedding = Embedding(self.identity, *size, {FEATURES: features}, features.nbytes)
        for object_id, search in several.items():
            boxes = said[object_id].boxes if object_id in said else ()
            detected = self.find(embedding, Prompts(boxes=boxes, text=search.text), task, FOUND)
            found[object_id] = search.instances.step(view, detected, object_id in said, task)
        return {object_id: answer for object_id, answer in found.items() if answer is not None}

    def _follower(self) -> Follower:
        tracker, neck = self._network.tracker, self._network.neck
        grid = tracker.sam_image_embedding_size
        with torch.inference_mode():
            positions = neck.position_encoding(torch.empty(1, 1, grid, grid, device=self._where))
            positions = positions.flatten(2).permute(2, 0, 1)
        return Follower(tracker, positions, lambda: autocast(self._where, self._dtype))

    def _texts_of(self, said: Mapping[int, Mapping[int, Prompts]]) -> dict[tuple[int, int], str]:
        """What to search for, by frame and object; errors as `track`, and as `find`."""
        encoder = self._network.text_encoder
        texts: dict[tuple[int, int], str] = {}
        searched: dict[int, bool] = {}
        for frame in sorted(said):
            for object_id, prompts in said[frame].items():
                text = readable(prompts.text, encoder.tokenizer, encoder.context_length)
                is_first = object_id not in searched
                if searched.setdefault(object_id, bool(text)) != bool(text):
                    raise SamdeskError(
                        f"Object {object_id} is searched by text on one frame and pointed out on another.",
                        "Give what is pointed out as an object of its own.",
                    )
                if text:
                    texts[frame, object_id] = text
                else:
                    check_object(prompts, object_id, frame, is_first)
        return texts

    def _said(self, prompts: Prompts, size: tuple[int, int], mask_side: int) -> Said:
        # the package's prompt encoder moves points by half a pixel, from centers to edges
        return said_on(prompts, size, self._side, mask_side, self._where, shift=-0.5)


@dataclass(slots=True)
class _Search:
    """The instances of an object with text, and the text."""

    instances: Instances
    text: str = ""


class _Quiet(InnerTask):
    """Within a frame a cancel is noticed, and nothing is reported: progress is told by frames."""

    def progress(self, fraction: float | None, message: str = "") -> None:
        self.check()


def _told(follower: Follower, view: View, memory: Memory, said: Said, task: Task) -> Sight | None:
    """What is seen of a single object in the light of its prompts; None when they change nothing."""
    if said.places or not memory:
        return _found_anew(follower, view, said, task)
    if said.points is None:
        return None
    before = follower.recall(view, memory, task)
    if before.is_there:
        return follower.correct(view, before, said.points, task)
    return _found_anew(follower, view, said, task) if said.points_at else None


def _found_anew(follower: Follower, view: View, said: Said, task: Task) -> Sight:
    """The object where the prompts alone place it."""
    if said.points is None:
        assert said.prior is not None
        return follower.take(view, said.prior, task)
    if said.prior is None:
        return follower.point_out(view, said.points, task)
    rough = functional.interpolate(said.prior, (follower.logits_side,) * 2, mode="bilinear", antialias=True)
    return follower.point_out(view, said.points, task, PRIOR * (2 * rough - 1))


def _answer(sight: Sight) -> MaskLogits | None:
    return MaskLogits(sight.logits[0, 0].cpu().numpy(), sight.score) if sight.is_there else None
