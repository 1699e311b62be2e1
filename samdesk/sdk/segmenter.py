"""`Segmenter`: the road from pixels and prompts to shapes.

Shared by the window, the server, the command line and notebooks. Must not know any of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import cv2
import numpy as np

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane, Region, Shape
from samdesk.domain.outline import logits_to_shape, snap
from samdesk.domain.prompts import Candidate, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import ConceptEngine, Embedding, Engine, EngineSpec, MaskLogits
from samdesk.engines.cache import EmbeddingKey, EmbeddingStore

from .chips import chip_at, clip_to_image, is_cut, well_inside
from .image import Image


@dataclass(frozen=True, slots=True)
class MaskOptions:
    """How an engine's answer becomes a shape.

    Attributes
    ----------
    multimask : bool or None
        Ask for several candidates, for one, or (None) leave it to the engine.
    threshold : float
        Object is where the logits are larger; 0 is a probability of one half.
    min_area_px : float
        Smaller parts are dropped and smaller holes filled; pixels that the engine sees, squared.
    smooth_px : float
        Standard deviation of a Gaussian over the logits; pixels that the engine sees.
    """

    multimask: bool | None = None
    threshold: float = 0.0
    min_area_px: float = 0.0
    smooth_px: float = 0.0


class Segmenter:
    """An engine with its embedding cache: prompts in image pixels in, candidates out.

    The engine is loaded when it is first needed, on the thread that needs it. Holds no state
    between calls other than the cache, which may be shared. One thread may encode while another
    asks prompts on what is encoded; otherwise it is used from one thread at a time.

    Parameters
    ----------
    engine : Engine or EngineSpec
        An engine, or the row of the table that says what `load` will give.
    cache : EmbeddingStore, optional
        By default one in memory only.
    load : callable, optional
        Receives a `Task` and gives the engine; needed when `engine` is a row of the table.
    title : str, optional
        What the user reads until the engine is loaded.

    Attributes
    ----------
    has_failed : bool
        The last attempt to load the engine failed; the next call tries again.
    """

    def __init__(
        self,
        engine: Engine | EngineSpec,
        cache: EmbeddingStore | None = None,
        load: Callable[[Task], Engine] | None = None,
        title: str = "",
    ) -> None:
        self.name = engine.name
        self.title = title or engine.title
        self.cache = EmbeddingStore() if cache is None else cache
        self._engine = None if isinstance(engine, EngineSpec) else engine
        self._load = load
        self.has_failed = False

    @property
    def is_loaded(self) -> bool:
        return self._engine is not None

    @property
    def engine(self) -> Engine:
        return self.load(Task())

    def load(self, task: Task) -> Engine:
        """The engine, loaded now when it was not; tells the task how far it is.

        Raises
        ------
        SamdeskError
            When it cannot be loaded; the next call tries again.
        """
        if self._engine is None:
            assert self._load is not None, "a row of the table was given without a way to load it"
            self.has_failed = False
            try:
                self._engine = self._load(task)
            except SamdeskError:
                self.has_failed = True
                raise
            self.name, self.title = self._engine.name, self._engine.title
        return self._engine

    @property
    def finds(self) -> bool:
        """Whether `find` works: the engine looks for instances of a text or an example."""
        from samdesk.engines.base import ENGINES

        spec = ENGINES.get(self.name)
        return spec.finds if spec is not None else hasattr(self._engine, "find")

    def chip(
        self, image: Image, prompts: Prompts, downsample: float = 1.0, keep: Region | None = None
    ) -> Region:
        """The chip for these prompts; `keep` is preferred while all prompts lie well inside it."""
        whole = Bounds(0, 0, *image.size)
        bounds = prompts.bounds or whole
        if keep is not None and well_inside(bounds, keep, whole):
            return keep
        return chip_at(bounds, downsample, image.size)

    def is_warm(self, image: Image, chip: Region, plane: Plane = Plane()) -> bool:
        """Whether prompts on this chip are answered without encoding."""
        return self._engine is not None and self.cache.is_warm(key_of(self._engine, image, chip, plane))

    def embed(
        self, image: Image, chip: Region, plane: Plane = Plane(), task: Task | None = None
    ) -> tuple[Embedding, dict[str, float]]:
        """The chip's embedding, from the cache or made now, and the milliseconds each stage took."""
        task = task or Task()
        timings = {"read": 0.0, "encode": 0.0}
        if self._engine is None:
            started = time.perf_counter()
            self.load(task)
            timings = {"load": _since(started), **timings}
        engine = self.load(task)
        key = key_of(engine, image, chip, plane)
        started = time.perf_counter()
        known = self.cache.get(key, engine)
        if known is not None:
            timings["read"] = _since(started)
            return known, timings
        task.check()
        started = time.perf_counter()
        pixels = image.read(chip, plane)
        timings["read"] = _since(started)
        task.check()
        started = time.perf_counter()
        embedding = engine.encode(pixels, task)
        timings["encode"] = _since(started)
        self.cache.put(key, engine, embedding)
        return embedding, timings

    def segment(
        self,
        image: Image,
        prompts: Prompts,
        *,
        downsample: float = 1.0,
        plane: Plane = Plane(),
        chip: Region | None = None,
        options: MaskOptions = MaskOptions(),
        task: Task | None = None,
    ) -> list[Candidate]:
        """Find the object that the prompts describe.

        Parameters
        ----------
        image : Image
        prompts : Prompts
            Image pixels on pixel edges; must meet the image.
        downsample : float
            Image pixels per pixel that the engine sees; larger sees further.
        plane : Plane
        chip : Region, optional
            Where to look; by default the chip of the grid nearest to the prompts.
        options : MaskOptions
        task : Task, optional
            To report progress and to cancel between the stages.

        Returns
        -------
        list of Candidate
            Best first; empty when nothing was found. Shapes are valid and inside the image.

        Raises
        ------
        SamdeskError
            When there is no prompt, or a prompt lies outside the image.
        """
        task = task or Task()
        check_prompts(prompts, image)
        chip = chip or self.chip(image, prompts, downsample)
        embedding, timings = self.embed(image, chip, plane, task)
        task.check()
        started = time.perf_counter()
        answers = self.load(task).predict(embedding, prompts.in_array(chip), task, options.multimask)
        timings["predict"] = _since(started)
        task.check()
        return self._candidates(answers, chip, image.size, options, timings)

    def find(
        self,
        image: Image,
        prompts: Prompts,
        *,
        downsample: float = 1.0,
        plane: Plane = Plane(),
        chip: Region | None = None,
        min_score: float = 0.5,
        options: MaskOptions = MaskOptions(),
        task: Task | None = None,
    ) -> list[Candidate]:
        """Find every instance of what a text or example boxes describe, on one chip.

        Parameters as in `segment`; the boxes of `prompts` are examples, negative ones of what
        not to find, and must lie on the chip. Without a box and a chip the whole image is
        looked at.

        Returns
        -------
        list of Candidate
            One per instance with a score of `min_score` or more, best first.

        Raises
        ------
        SamdeskError
            When there is neither text nor a positive example, or this engine cannot do it.
        """
        task = task or Task()
        self.load(task)
        if not self.finds:
            raise SamdeskError(
                f"{self.title} cannot search by text or example.", "Choose SAM 3 as the model."
            )
        if not prompts.text.strip() and not any(box.positive for box in prompts.boxes):
            raise SamdeskError("There is nothing to search for.", "Give a text, or a box around one example.")
        check_prompts(prompts, image)
        chip = chip or self.chip(image, prompts, downsample)
        embedding, timings = self.embed(image, chip, plane, task)
        task.check()
        started = time.perf_counter()
        engine = cast("ConceptEngine", self.load(task))
        answers = engine.find(embedding, prompts.in_array(chip), task, min_score)
        timings["predict"] = _since(started)
        task.check()
        return self._candidates(answers, chip, image.size, options, timings)

    def _candidates(
        self,
        answers: list[MaskLogits],
        chip: Region,
        size: tuple[int, int],
        options: MaskOptions,
        timings: dict[str, float],
    ) -> list[Candidate]:
        started = time.perf_counter()
        found = [self._candidate(answer, chip, size, options) for answer in answers]
        timings["outline"] = _since(started)
        return [replace(one, timings=timings) for one in found if not one.shape.is_empty]

    def _candidate(
        self, answer: MaskLogits, chip: Region, size: tuple[int, int], options: MaskOptions
    ) -> Candidate:
        shape = outline_of(answer, chip, size, options)
        return Candidate(shape, answer.score, chip, is_cut(shape, chip, size), self.name)


def key_of(engine: Engine, image: Image, chip: Region, plane: Plane) -> EmbeddingKey:
    """Everything that an embedding depends on."""
    return EmbeddingKey(image.source.identity, image.seen.key, plane, chip, engine.identity, engine.device)


def _since(started: float) -> float:
    return 1e3 * (time.perf_counter() - started)


def outline_of(answer: MaskLogits, chip: Region, size: tuple[int, int], options: MaskOptions) -> Shape:
    """The shape of an answer for a chip of an image of (width, height), cut off where that ends."""
    outline = logits_to_shape(
        _smoothed(answer, chip, options.smooth_px),
        chip,
        options.threshold,
        options.min_area_px,
        answer.extent,
    )
    # on the document's grid already, so that keeping it costs the main thread nothing
    return snap(clip_to_image(outline, size))


def _smoothed(answer: MaskLogits, chip: Region, smooth_px: float) -> Any:
    if smooth_px <= 0:
        return answer.logits
    width, height = answer.extent or (chip.width, chip.height)
    rows, columns = answer.logits.shape
    across, down = (min(smooth_px * n / size, n) for n, size in ((columns, width), (rows, height)))
    bounded = np.clip(np.nan_to_num(answer.logits, nan=-32.0), -32.0, 32.0)
    return cv2.GaussianBlur(bounded, (0, 0), sigmaX=across, sigmaY=down, borderType=cv2.BORDER_REPLICATE)


def check_prompts(prompts: Prompts, image: Image) -> None:
    """Raise `SamdeskError` when there is no prompt, or one lies outside the image."""
    width, height = image.size
    if not prompts:
        raise SamdeskError("There is no prompt.", "Give at least one point or one box.")
    for point in prompts.points:
        if not (0 <= point.x <= width and 0 <= point.y <= height):
            raise SamdeskError(
                f"The point {point.x:g}, {point.y:g} lies outside the image.",
                f"{image.source.name} is {width} × {height} px.",
            )
    for box in prompts.boxes:
        if box.bounds.intersection(Bounds(0, 0, width, height)).is_empty:
            raise SamdeskError(
                "The box {:g}, {:g}, {:g}, {:g} lies outside the image or is empty.".format(*box.bounds),
                f"{image.source.name} is {width} × {height} px.",
            )
