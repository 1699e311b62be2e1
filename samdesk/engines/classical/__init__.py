"""`ClassicalEngine`: prompts answered from edges, colors and texture, without a trained model.

`encode` cuts the chip into superpixels (`graph`) and joins them to trees of regions (`merging`,
`tree`) whose nodes it values as objects (`rank`). `predict` takes the nodes that suit the prompts
(`asked`, `judge`, `select`), corrects them by the points (`correct`), and moves their outline to
the edge of the image (`outline`). Must not know where a chip comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import BatchLogits, Embedding, MaskLogits, predict_each

from .asked import Asked, Mask, Points, ask
from .correct import leaves, meant_by
from .judge import score
from .outline import outline_of
from .scene import Scene, build_scene
from .select import Choice, propose, rows_and_columns

GAIN = 16.0
"""Logits per unit of the signed field, which runs from -0.5 to 0.5."""
MARGIN = 14
"""Border in px around a region that its outline is found in."""


class ClassicalEngine:
    """A promptable segmenter without weights; deterministic, and stateless between calls."""

    name = "classical"
    title = "Classical (no model)"
    identity = "classical"
    device = "cpu"
    nbytes = 0

    def encode(self, chip: NDArray[np.uint8], task: Task) -> Embedding:
        """Cut an RGB chip (h, w, 3) uint8 into regions."""
        scene = build_scene(np.ascontiguousarray(chip), task)
        height, width = chip.shape[:2]
        return Embedding(self.name, width, height, {"scene": scene}, scene.nbytes)

    def predict(
        self, embedding: Embedding, prompts: Prompts, task: Task, multimask: bool | None = None
    ) -> list[MaskLogits]:
        """Up to three objects of different extent that the prompts may mean, best first.

        Logits have the chip's resolution. Positive points are inside and negative ones outside;
        text is ignored.
        """
        task.check()
        scene: Scene = embedding.data["scene"]
        asked = ask(prompts, embedding.width, embedding.height)
        answers: list[MaskLogits] = []
        if not asked:
            return answers
        for choice in propose(scene, asked):
            task.check()
            logits = _logits(scene, asked, choice)
            if logits is not None:
                answers.append(MaskLogits(logits, score(scene, choice.members, choice.value)))
        return answers[:1] if multimask is False else answers

    def predict_batch(
        self, embedding: Embedding, prompts: Sequence[Prompts], task: Task, multimask: bool = True
    ) -> BatchLogits:
        """One prompt after the other."""
        return predict_each(self, embedding, prompts, task, multimask)

    def pack(self, embedding: Embedding) -> None:
        """Encoding is as quick as reading would be."""

    def unpack(self, arrays: Mapping[str, NDArray[Any]], width: int, height: int) -> Embedding:
        """Never called, as nothing is packed."""
        raise NotImplementedError


def _logits(scene: Scene, asked: Asked, choice: Choice) -> NDArray[np.float32] | None:
    height, width = scene.graph.labels.shape
    x0, y0, x1, y1 = _crop(scene, asked, choice)
    crop = (slice(y0, y1), slice(x0, x1))
    unchanged = _unchanged(scene, asked, choice, crop)
    mask = choice.members[scene.graph.labels[crop]]
    if asked.prior is not None:
        mask = np.where(unchanged, asked.prior[crop], mask)
    corner = np.array((x0, y0))
    size = np.array((x1, y1)) - corner

    def here(points: Points) -> Points:
        moved = points - corner
        inside: Points = moved[((moved >= 0) & (moved < size)).all(axis=1)]
        return inside

    barred = np.zeros_like(mask)
    for box in asked.barred:
        barred[rows_and_columns(Bounds(box.x0 - x0, box.y0 - y0, box.x1 - x0, box.y1 - y0))] = True
    stays = mask & unchanged
    field = outline_of(scene.chip[crop], mask, here(asked.positives), here(asked.negatives), barred, stays)
    if field is None:
        return None
    logits = np.full((height, width), -0.5 * GAIN, np.float32)
    logits[crop] = GAIN * field
    return logits


def _crop(scene: Scene, asked: Asked, choice: Choice) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the pixels that the outline may depend on."""
    box = scene.graph.box[choice.members]
    low, high = box[:, :2].min(axis=0), box[:, 2:].max(axis=0)
    if choice.before is not None and asked.prior is not None:
        rows, columns = np.nonzero(asked.prior)
        low = np.minimum(low, (columns.min(), rows.min()))
        high = np.maximum(high, (columns.max() + 1, rows.max() + 1))
    height, width = scene.graph.labels.shape
    x0, y0 = np.maximum(low - MARGIN, 0).astype(int).tolist()
    x1, y1 = np.minimum(high + MARGIN, (width, height)).astype(int).tolist()
    return x0, y0, x1, y1


def _unchanged(scene: Scene, asked: Asked, choice: Choice, crop: tuple[slice, slice]) -> Mask:
    """Where a choice is the prior as it was; nowhere for one that does not come from it."""
    labels = scene.graph.labels[crop]
    if choice.before is None or asked.prior is None:
        return np.zeros(labels.shape, np.bool_)
    same = choice.members == choice.before
    # where the outline of the prior cuts a region, all of it goes with the point that says otherwise
    wanted, barred = leaves(scene, asked)
    for points, inside, others in ((asked.positives, True, barred), (asked.negatives, False, wanted)):
        x, y = points[asked.prior[points[:, 1], points[:, 0]] != inside].T
        for leaf in np.unique(scene.graph.labels[y, x]).tolist():
            same[meant_by(scene, leaf, others) & (choice.members == inside)] = False
    return np.asarray(same[labels])
