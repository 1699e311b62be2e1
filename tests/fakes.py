"""One fake for each protocol: deterministic, quick, and honest about being a fake."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.prompts import PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import BatchLogits, Embedding, MaskLogits, predict_each

RADIUS = 20.0


class FakeEngine:
    """Answers discs around the positive points (and the discs inscribed in boxes), in three sizes.

    A prior alone is asked with its box.

    Attributes
    ----------
    encoded, predicted : int
        How often each method was called.
    radius : float
        Of the best disc, in pixels of the chip.
    """

    name = "fake"
    title = "Fake (discs)"
    identity = "fake"
    device = "cpu"
    nbytes = 0

    def __init__(self) -> None:
        self.encoded = 0
        self.predicted = 0
        self.radius = RADIUS

    def encode(self, chip: NDArray[np.uint8], task: Task) -> Embedding:
        task.check()
        self.encoded += 1
        height, width = chip.shape[:2]
        return Embedding(self.name, width, height, {}, 1 << 20)

    def predict(
        self, embedding: Embedding, prompts: Prompts, task: Task, multimask: bool | None = None
    ) -> list[MaskLogits]:
        task.check()
        self.predicted += 1
        ys, xs = np.mgrid[: embedding.height, : embedding.width] + 0.5
        boxes = [box.bounds for box in prompts.boxes]
        if prompts.prior is not None and not boxes and not prompts.points:
            boxes = [prompts.prior.bounds]
        answers = []
        for score, factor in ((0.9, 1.0), (0.8, 0.5), (0.7, 2.0)):
            field = np.full((embedding.height, embedding.width), -np.inf)
            for point in prompts.points:
                away = factor * self.radius - np.hypot(xs - point.x, ys - point.y)
                field = np.maximum(field, away) if point.positive else np.minimum(field, -away)
            for box in boxes:
                x, y = box.center
                field = np.maximum(field, factor * min(box.width, box.height) / 2 - np.hypot(xs - x, ys - y))
            if (field > 0).any():
                answers.append(MaskLogits(np.maximum(field, -1e3).astype(np.float32), score))
        return answers[:1] if multimask is False else answers

    def predict_batch(
        self, embedding: Embedding, prompts: Sequence[Prompts], task: Task, multimask: bool = True
    ) -> BatchLogits:
        return predict_each(self, embedding, prompts, task, multimask)

    def find(
        self, embedding: Embedding, prompts: Prompts, task: Task, min_score: float = 0.5
    ) -> list[MaskLogits]:
        """A disc in every corner of the chip, scored 0.9, 0.7, 0.5 and 0.3."""
        width, height, away = embedding.width, embedding.height, 2 * self.radius
        corners = [(away, away), (width - away, away), (away, height - away), (width - away, height - away)]
        found = []
        for (x, y), score in zip(corners, (0.9, 0.7, 0.5, 0.3), strict=True):
            if score >= min_score:
                (one,) = self.predict(embedding, Prompts((PointPrompt(x, y),)), task, multimask=False)
                found.append(MaskLogits(one.logits, score))
        return found

    def pack(self, embedding: Embedding) -> dict[str, NDArray[Any]]:
        return {"nothing": np.zeros(1, np.float16)}

    def unpack(self, arrays: Mapping[str, NDArray[Any]], width: int, height: int) -> Embedding:
        return Embedding(self.name, width, height, {}, 1 << 20)


class BrightEngine:
    """Answers with everything that is brighter than middle gray, so that the picture is the truth."""

    name = "bright"
    title = "Fake (bright)"
    identity = "bright"
    device = "cpu"
    nbytes = 0

    def encode(self, chip: NDArray[np.uint8], task: Task) -> Embedding:
        logits = chip.mean(axis=2, dtype=np.float32) - np.float32(127.5)
        return Embedding(self.name, chip.shape[1], chip.shape[0], {"logits": logits}, logits.nbytes)

    def predict(
        self, embedding: Embedding, prompts: Prompts, task: Task, multimask: bool | None = None
    ) -> list[MaskLogits]:
        return [MaskLogits(embedding.data["logits"], 1.0)]

    def predict_batch(
        self, embedding: Embedding, prompts: Sequence[Prompts], task: Task, multimask: bool = True
    ) -> BatchLogits:
        return predict_each(self, embedding, prompts, task, multimask)

    def pack(self, embedding: Embedding) -> dict[str, NDArray[Any]]:
        return dict(embedding.data)

    def unpack(self, arrays: Mapping[str, NDArray[Any]], width: int, height: int) -> Embedding:
        return Embedding(self.name, width, height, dict(arrays), arrays["logits"].nbytes)


class FakeAsk:
    """Answers every question as told before.

    Attributes
    ----------
    answer : int or None
        For `choose`.
    files : list of Path
        For `open_files`; the first also for `save_file`.
    patient : bool
        Whether to wait until something has ended.
    asked : list of str
        Every question of `choose` with its options, and what was waited for.
    """

    def __init__(self) -> None:
        self.answer: int | None = None
        self.files: list[Path] = []
        self.patient = True
        self.asked: list[str] = []

    def open_files(self, title: str, filters: str) -> list[Path]:
        return self.files

    def open_folder(self, title: str) -> Path | None:
        return self.files[0] if self.files else None

    def new_folder(self, title: str, name: str) -> Path | None:
        return self.files[0] if self.files else None

    def save_file(self, title: str, name: str, filters: str) -> Path | None:
        return self.files[0] if self.files else None

    def choose(self, text: str, hint: str, options: Iterable[str]) -> int | None:
        self.asked.append(f"{text} {hint} [{'] ['.join(options)}]")
        return self.answer

    def wait(self, text: str, until: Callable[[], bool]) -> bool:
        self.asked.append(text)
        while self.patient and not until():
            time.sleep(0.005)
        return self.patient
