"""The contract of every engine, and the table that names them.

An engine sees one chip: an RGB array and prompts in that array's pixels. It must not know
where the chip came from, nor keep anything between calls: what is worth keeping is in the
`Embedding` that `encode` returns.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.prompts import Prompts
from samdesk.domain.tasks import Task

CHIP = 1024
"""Side of a chip in array pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """What an engine computes once for a chip.

    Attributes
    ----------
    engine : str
        `identity` of the engine that made it and alone can use it.
    width, height : int
        Size of the chip in array pixels.
    data : mapping of str to arrays or tensors
    nbytes : int
        Memory it holds, for the cache.
    """

    engine: str
    width: int
    height: int
    data: Mapping[str, Any]
    nbytes: int


@dataclass(frozen=True, slots=True, eq=False)
class MaskLogits:
    """One answer of an engine: the object is where `logits` > 0.

    Attributes
    ----------
    logits : ndarray, (h, w) float32
        Sample (i, j) sits at the center of its cell; any resolution.
    score : float
        The engine's confidence in 0..1.
    extent : (float, float) or None
        Width and height, in chip pixels from the chip's top-left corner, that the array covers;
        it may reach beyond the chip. None: exactly the chip.
    """

    logits: NDArray[np.float32]
    score: float
    extent: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BatchLogits:
    """The answers to several prompts that were asked at once.

    Attributes
    ----------
    logits : ndarray, (n, m, h, w) float32
        m proposals for each of n prompts; where an engine has fewer, the rest is -inf.
    scores : ndarray, (n, m) float32
        As the model gives them, which may be a little beyond 0..1: cut off, the best would tie. 0
        where there is no proposal.
    extent : (float, float) or None
        As in `MaskLogits`.
    """

    logits: NDArray[np.float32]
    scores: NDArray[np.float32]
    extent: tuple[float, float] | None = None


class Engine(Protocol):
    """A promptable segmenter. As it keeps nothing between calls, two threads may call it at once.

    Attributes
    ----------
    name : str
        Key in `ENGINES`.
    title : str
        What the user reads; says what it is ("Classical (no model)", "SAM ViT-B").
    identity : str
        Changes whenever the same chip would give another embedding: the name, or for a model its
        type, the digest of its weights and its precision, with ":" between.
    device : str
        Where it computes: "cpu", "cuda:0", "mps".
    nbytes : int
        Memory of its weights on that device; 0 without weights.
    """

    name: str
    title: str
    identity: str
    device: str
    nbytes: int

    def encode(self, chip: NDArray[np.uint8], task: Task) -> Embedding:
        """Compute what all prompts on this chip share; `chip` is (h, w, 3) RGB uint8."""
        ...

    def predict(
        self, embedding: Embedding, prompts: Prompts, task: Task, multimask: bool | None = None
    ) -> list[MaskLogits]:
        """Answer prompts given in the chip's array pixels; best candidate first, [] when nothing is found.

        All points and boxes describe one object. `multimask` asks for several proposals or for
        one; None leaves it to the engine (several while the prompt is ambiguous). Text is not
        for this method: see `ConceptEngine.find`.
        """
        ...

    def predict_batch(
        self, embedding: Embedding, prompts: Sequence[Prompts], task: Task, multimask: bool = True
    ) -> BatchLogits:
        """Answer many prompts on one chip, each as `predict` would, without sorting the proposals."""
        ...

    def pack(self, embedding: Embedding) -> Mapping[str, NDArray[Any]] | None:
        """The arrays from which `unpack` makes the embedding again; None when encoding is as quick."""
        ...

    def unpack(self, arrays: Mapping[str, NDArray[Any]], width: int, height: int) -> Embedding:
        """The embedding that was packed; floats may have been rounded to float16 in between."""
        ...


class ConceptEngine(Engine, Protocol):
    """An engine that finds every instance of what a text or an example describes."""

    def find(
        self, embedding: Embedding, prompts: Prompts, task: Task, min_score: float = 0.5
    ) -> list[MaskLogits]:
        """All instances with at least this score, best first.

        `prompts.text` names them in words; positive boxes are examples of what to find, negative
        ones of what not to. Text, boxes, or both.
        """
        ...


class Frames(Protocol):
    """The pictures of a video or a z-stack, all of one size; read when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """Frame `index`, (h, w, 3) RGB uint8."""
        ...


@dataclass(frozen=True, slots=True)
class TrackPrompt:
    """What is said about one object on one frame.

    Attributes
    ----------
    frame : int
    object_id : int
        Chosen by the caller; prompts of the same id describe the same object.
    prompts : Prompts
        In the frame's array pixels. Text is for a tracker that `finds`.
    """

    frame: int
    object_id: int
    prompts: Prompts


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFrame:
    """What was found on one frame: for each object that is seen there, its answer."""

    frame: int
    found: Mapping[int, MaskLogits]


class Tracker(Protocol):
    """Follows objects through frames. Keeps its model between calls, nothing else; one call at a time.

    Attributes
    ----------
    name, title, identity, device, nbytes
        As in `Engine`.
    """

    name: str
    title: str
    identity: str
    device: str
    nbytes: int

    def track(
        self,
        frames: Frames,
        asked: Sequence[TrackPrompt],
        task: Task,
        *,
        start: int = 0,
        count: int | None = None,
    ) -> Iterator[TrackedFrame]:
        """Follow the objects from frame `start` on, one frame after the other.

        Each frame is read and encoded once. Frames before a prompt do not know of it. Progress is
        told by frames; a cancel is noticed before each.

        Parameters
        ----------
        frames : Frames
        asked : sequence of TrackPrompt
            On any of the frames that are looked at. An object is looked for from its first prompt on.
        task : Task
        start : int
            The first frame to look at.
        count : int, optional
            Frames to look at; all from `start` on when not given.

        Raises
        ------
        SamdeskError
            When a prompt lies on no such frame, or holds what this tracker cannot use.
        """
        ...


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """A row of the table: where the class is, and what to tell about it before it is imported.

    Attributes
    ----------
    name, title : str
    target : str
        "module:Class".
    types : mapping of str to str
        Model types that its weights may have, with their titles; empty when it needs no weights.
    finds : bool
        It is a `ConceptEngine`.
    extra : str
        Group of optional libraries that it needs; empty: none.
    packages : tuple of str
        The libraries of that group that it imports.
    tracker : str
        "module:Class" of its `Tracker`; empty: frames are followed one by one with its `Engine`.
    """

    name: str
    title: str
    target: str
    types: Mapping[str, str] = field(default_factory=dict)
    finds: bool = False
    extra: str = ""
    packages: tuple[str, ...] = ()
    tracker: str = ""

    @property
    def needs_weights(self) -> bool:
        return bool(self.types)


ENGINES: Mapping[str, EngineSpec] = {
    spec.name: spec
    for spec in (
        EngineSpec("classical", "Classical (no model)", "samdesk.engines.classical:ClassicalEngine"),
        EngineSpec(
            "mobile_sam",
            "MobileSAM",
            "samdesk.engines.mobile_sam:MobileSamEngine",
            {"vit_t": "MobileSAM"},
            extra="models",
            packages=("torch", "torchvision", "segment_anything", "timm"),
        ),
        EngineSpec(
            "sam",
            "SAM",
            "samdesk.engines.sam:SamEngine",
            {"vit_b": "SAM ViT-B", "vit_l": "SAM ViT-L", "vit_h": "SAM ViT-H"},
            extra="models",
            packages=("torch", "torchvision", "segment_anything"),
        ),
        EngineSpec(
            "sam2",
            "SAM 2",
            "samdesk.engines.sam2:Sam2Engine",
            {
                "sam2_t": "SAM 2 Hiera-T",
                "sam2_s": "SAM 2 Hiera-S",
                "sam2_bp": "SAM 2 Hiera-B+",
                "sam2_l": "SAM 2 Hiera-L",
            },
            extra="models",
            packages=("torch", "torchvision", "sam2"),
            tracker="samdesk.engines.sam2_video:Sam2Tracker",
        ),
        EngineSpec(
            "sam3",
            "SAM 3",
            "samdesk.engines.sam3:Sam3Engine",
            {"sam3": "SAM 3"},
            finds=True,
            extra="sam3",
            packages=("torch", "torchvision", "sam3", "open_clip"),
            tracker="samdesk.engines.sam3.video:Sam3Tracker",
        ),
    )
}


def engine_spec(name: str) -> EngineSpec:
    """The row of the table for an engine ("sam2") or a model type ("sam2_t").

    Raises
    ------
    SamdeskError
        When there is neither an engine nor a type of that name.
    """
    for spec in ENGINES.values():
        if name == spec.name or name in spec.types:
            return spec
    known = [name for spec in ENGINES.values() for name in (spec.types or (spec.name,))]
    raise SamdeskError(f"There is no engine named “{name}”.", f"Known engines: {', '.join(known)}.")


def load_engine(name: str, **options: Any) -> Engine:
    """Import and build an engine by its name in the table.

    Raises
    ------
    SamdeskError
        When there is no such engine, a library it needs is missing, or as the engine's own.
    """
    engine: Engine = import_engine(engine_spec(name))(**options)
    return engine


def load_tracker(name: str, **options: Any) -> Tracker:
    """Import and build the tracker of an engine that has one; errors as `load_engine`."""
    spec = engine_spec(name)
    tracker: Tracker = import_engine(spec, spec.tracker)(**options)
    return tracker


def import_engine(spec: EngineSpec, target: str = "") -> Any:
    """The engine's class (or what `target` names), imported now; errors as `load_engine`."""
    module, _, attribute = (target or spec.target).partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("samdesk"):
            raise
        raise SamdeskError(
            f"{spec.title} needs {error.name}, which is not installed.",
            f"Run ./installer/run --with {spec.extra}",
        ) from error
    except (ImportError, OSError, RuntimeError) as error:  # a library that does not fit this system
        raise SamdeskError(
            f"{spec.title} cannot be used here: {error}.", "samdesk doctor tells what is installed."
        ) from error


def predict_each(
    engine: Engine, embedding: Embedding, prompts: Sequence[Prompts], task: Task, multimask: bool = True
) -> BatchLogits:
    """`predict_batch` for an engine that answers one prompt at a time."""
    answers = [engine.predict(embedding, one, task, multimask) for one in prompts]
    found = [answer for several in answers for answer in several]
    count = max((len(several) for several in answers), default=0)
    size = found[0].logits.shape if found else (1, 1)
    logits = np.full((len(answers), count, *size), -np.inf, np.float32)
    scores = np.zeros((len(answers), count), np.float32)
    for n, several in enumerate(answers):
        for m, answer in enumerate(several):
            logits[n, m], scores[n, m] = answer.logits, answer.score
    return BatchLogits(logits, scores, found[0].extent if found else None)
