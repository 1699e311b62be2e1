"""`Prompts` of a chip as the decoder takes them, and its answers as `MaskLogits`.

The one place where chip pixels become pixels of a model's input. Must not know any encoder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Region, Shape
from samdesk.domain.outline import shape_to_mask
from samdesk.domain.prompts import PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import BatchLogits, MaskLogits
from samdesk.engines.runtime import free_memory

from .fast import BOTTOM_RIGHT, NEGATIVE, PADDING, POSITIVE, TOP_LEFT, Decoded, FastDecoder, ImageTerms

AT_ONCE = 64
"""Most prompts that a GPU is given at a time."""

AT_ONCE_CPU = 4
"""The same for a CPU, where more fall out of its cache."""

_PRIOR_LOGIT = 8.0
"""How sure a prior mask is; the decoders were trained with their own logits as prior masks."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a chip lies in a model's input.

    Attributes
    ----------
    width, height : int
        Of the chip in pixels.
    covers : (float, float)
        Width and height, in pixels of the input from its top-left corner, that the chip covers.
    side : int
        Width and height of the input.
    """

    width: int
    height: int
    covers: tuple[float, float]
    side: int

    @classmethod
    def stretched(cls, width: int, height: int, side: int) -> Frame:
        """The chip fills the input whatever its aspect ratio."""
        return cls(width, height, (side, side), side)

    @classmethod
    def padded(cls, width: int, height: int, side: int) -> Frame:
        """The longer side of the chip fills the input; the rest of the shorter one is padding."""
        scale = side / max(width, height)
        x, y = (max(1, int(length * scale + 0.5)) for length in (width, height))
        return cls(width, height, (x, y), side)

    @property
    def scale(self) -> NDArray[np.float64]:
        """Pixels of the input per pixel of the chip, along x and y."""
        return np.array(self.covers) / (self.width, self.height)

    @property
    def extent(self) -> tuple[float, float] | None:
        """What the whole input covers, in chip pixels; None when that is the chip."""
        if min(self.covers) == self.side:
            return None
        x, y = self.side / self.scale
        return float(x), float(y)


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One prompt of the decoder.

    Attributes
    ----------
    points : ndarray, (n, 2) float32
        x, y in pixels of the model's input, on pixel edges.
    labels : ndarray, (n,) int64
    mask : ndarray, (1, 1, h, w) float32, or None
        Prior logits at the decoder's resolution.
    """

    points: NDArray[np.float32]
    labels: NDArray[np.int64]
    mask: NDArray[np.float32] | None = None


def wants_several(prompts: Prompts) -> bool:
    """Whether the prompts leave open how much is meant: a single click and nothing else."""
    alone = not any(box.positive for box in prompts.boxes) and prompts.prior is None
    return alone and len(prompts.points) == 1 and prompts.points[0].positive


def questions(prompts: Prompts, frame: Frame, mask_size: tuple[int, int], pads_boxes: bool) -> list[Question]:
    """What to ask the decoder: one question for each positive box, or one in all.

    Points outside the chip are left out and boxes are cut at its border. Negative boxes and
    text mean nothing to these models.

    Parameters
    ----------
    prompts : Prompts
        Chip pixels on pixel edges.
    frame : Frame
    mask_size : (int, int)
        Height and width of a prior mask.
    pads_boxes : bool
        Whether the padding point is also there beside a box: so in sam2 and sam3, not in
        segment_anything.

    Returns
    -------
    list of Question
        Empty when the chip holds nothing that says where the object is.
    """
    whole = Bounds(0, 0, frame.width, frame.height)
    points = [point for point in prompts.points if whole.contains(point.x, point.y)]
    boxes = [box.bounds.intersection(whole) for box in prompts.boxes if box.positive]
    boxes = [box for box in boxes if not box.is_empty]
    mask = _prior_logits(prompts.prior, frame, mask_size)
    says_where = bool(boxes) or any(point.positive for point in points)
    if mask is not None and prompts.prior is not None and not says_where:
        # the models never saw a prior mask without a point on the object or a box
        boxes = [prompts.prior.bounds.intersection(whole)]
    if not boxes and not any(point.positive for point in points):
        return []
    padded = [PADDING] if pads_boxes or not boxes else []
    asked = []
    for box, own in _shared_out(points, boxes):
        corners = [] if box is None else [(box.x0, box.y0), (box.x1, box.y1)]
        named = [] if box is None else [TOP_LEFT, BOTTOM_RIGHT]
        at = [(point.x, point.y) for point in own]
        labels = [POSITIVE if point.positive else NEGATIVE for point in own]
        coordinates = np.array([*corners, *at, *[(0, 0)] * len(padded)], np.float64)
        asked.append(
            Question(
                (coordinates * frame.scale).astype(np.float32),
                np.array([*named, *labels, *padded], np.int64),
                mask,
            )
        )
    return asked


def _shared_out(
    points: list[PointPrompt], boxes: list[Bounds]
) -> list[tuple[Bounds | None, list[PointPrompt]]]:
    """Each box with its points: those on the object go to the boxes that they lie in, if there are such."""
    if len(boxes) < 2:
        return [(boxes[0] if boxes else None, points)]

    def belongs(point: PointPrompt, box: Bounds) -> bool:
        claimed = any(one.contains(point.x, point.y) for one in boxes)
        return not point.positive or not claimed or box.contains(point.x, point.y)

    return [(box, [point for point in points if belongs(point, box)]) for box in boxes]


def _prior_logits(
    prior: Shape | None, frame: Frame, mask_size: tuple[int, int]
) -> NDArray[np.float32] | None:
    """The prior as logits (1, 1, h, w); None when it covers no sample."""
    if prior is None or prior.is_empty:
        return None
    height, width = mask_size
    scale = frame.scale * (width / frame.side, height / frame.side)
    scaled = Shape(prior.coords * scale, prior.rings, prior.parts, prior.kind)
    inside = shape_to_mask(scaled, Region(0, 0, width, height))
    if not inside.any():
        return None
    return np.where(inside, _PRIOR_LOGIT, -_PRIOR_LOGIT).astype(np.float32)[None, None]


class Asker:
    """Answers `Prompts` with a `FastDecoder`: the second half of an engine's contract.

    Parameters
    ----------
    decoder : FastDecoder
    pads_boxes : bool
        As in `questions`.
    """

    def __init__(self, decoder: FastDecoder, pads_boxes: bool) -> None:
        self.decoder = decoder
        self._pads_boxes = pads_boxes

    def predict(
        self,
        image: ImageTerms,
        frame: Frame,
        prompts: Prompts,
        task: Task,
        multimask: bool | None = None,
    ) -> list[MaskLogits]:
        """As `Engine.predict`; errors as `predict_batch`."""
        several = wants_several(prompts) if multimask is None else multimask
        found = self.predict_batch(image, frame, [prompts], task, several)
        if np.isneginf(found.logits).all():
            return []
        logits, scores = found.logits[0], found.scores[0]
        return [
            MaskLogits(logits[k], float(np.clip(scores[k], 0, 1)), found.extent)
            for k in np.argsort(-scores, kind="stable")
        ]

    def predict_batch(
        self,
        image: ImageTerms,
        frame: Frame,
        prompts: Sequence[Prompts],
        task: Task,
        multimask: bool = True,
    ) -> BatchLogits:
        """As `Engine.predict_batch`.

        Raises
        ------
        SamdeskError
            As `questions`, and when the numbers of the model ran over.
        Cancelled
            When the task was cancelled; looked at between the parts of a batch.
        """
        asked = [self._questions(one, frame) for one in prompts]
        logits, scores = self._empty(len(asked), multimask)
        done, total = 0, sum(map(len, asked))
        for owners, part in self._parts(asked):
            task.progress(done / total, "Predicting")
            answer = self._decode(image, part, multimask)
            for row, owner in enumerate(owners):
                torch.maximum(logits[owner], answer.logits[row], out=logits[owner])
                scores[owner] += answer.scores[row] / len(asked[owner])
            done += len(part)
        task.check()
        if not scores.isfinite().all():
            raise SamdeskError(
                "The model answered with numbers that are not finite.",
                "Choose float32 as the precision; when that does not help, the weights are damaged.",
            )
        return BatchLogits(logits.cpu().numpy(), scores.cpu().numpy(), frame.extent)

    def _questions(self, prompts: Prompts, frame: Frame) -> list[Question]:
        return questions(prompts, frame, self.decoder.mask_size, self._pads_boxes)

    def _empty(self, count: int, multimask: bool) -> tuple[Tensor, Tensor]:
        height, width = self.decoder.logits_size
        device, masks = self.decoder.device, self.decoder.proposals if multimask else 1
        logits = torch.full((count, masks, height, width), -torch.inf, device=device)
        return logits, torch.zeros((count, masks), device=device)

    def _parts(self, asked: Sequence[Sequence[Question]]) -> Iterator[tuple[list[int], list[Question]]]:
        """Questions that can be decoded together, with the prompts that they belong to."""
        # a padding point takes part in the attention: only questions of one length go together
        alike: dict[int, list[tuple[int, Question]]] = defaultdict(list)
        for owner, several in enumerate(asked):
            for one in several:
                if one.mask is None:
                    alike[len(one.labels)].append((owner, one))
                else:
                    yield [owner], [one]
        for length, group in alike.items():
            step = self._at_once(length)
            for start in range(0, len(group), step):
                part = group[start : start + step]
                yield [owner for owner, _ in part], [one for _, one in part]

    def _at_once(self, length: int) -> int:
        if self.decoder.device.type == "cpu":
            return AT_ONCE_CPU
        free = free_memory(self.decoder.device)
        if free is None:
            return AT_ONCE
        return max(1, min(AT_ONCE, free // 2 // self.decoder.bytes_per_prompt(length)))

    def _decode(self, image: ImageTerms, part: Sequence[Question], multimask: bool) -> Decoded:
        if part[0].mask is not None:
            image = self.decoder.with_mask(image, torch.from_numpy(part[0].mask))
        points = torch.from_numpy(np.stack([one.points for one in part]))
        labels = torch.from_numpy(np.stack([one.labels for one in part]))
        return self.decoder.decode(image, points, labels, multimask)
