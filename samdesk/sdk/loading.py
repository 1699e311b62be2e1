"""`load_segmenter`: from the name of a model, or a weight file, to a Segmenter.

A model that was loaded is shared by all segmenters of the process that ask for the same file on
the same device. Must not know the window or the command line.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING

from samdesk.domain.errors import MemoryFullError, SamdeskError
from samdesk.domain.tasks import Task
from samdesk.engines.base import Engine, EngineSpec, engine_spec, load_engine
from samdesk.engines.cache import EmbeddingStore

from .segmenter import Segmenter

if TYPE_CHECKING:
    from samdesk.weights import Registry, Weight

LOADED_BYTES = 2 << 30
"""Weights that are kept in memory, so that one can go back and forth between models; the model
used longest ago is let go first, the newest never."""


class EnginePool:
    """Models in memory, by their file and device. Thread-safe; loads one at a time.

    Parameters
    ----------
    limit_bytes : int
        Weights that are kept here; a segmenter that uses a model keeps it as well.
    """

    def __init__(self, limit_bytes: int = LOADED_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._loaded: OrderedDict[Hashable, Engine] = OrderedDict()
        self._lock = threading.Lock()

    def load(self, spec: EngineSpec, weights: Path, device: str, task: Task) -> Engine:
        """The engine with these weights on this device; errors as the engine's own."""
        with self._lock:
            task.check()
            key = (spec.name, weights.resolve(), stamp(weights), device)
            engine = self._loaded.get(key)
            if engine is None:
                engine = self._loaded[key] = self._load(spec, weights, device, task)
            self._loaded.move_to_end(key)
            while len(self._loaded) > 1 and self._nbytes > self._limit_bytes:
                self._loaded.popitem(last=False)
            return engine

    def _load(self, spec: EngineSpec, weights: Path, device: str, task: Task) -> Engine:
        try:
            return load_engine(spec.name, weights=weights, device=device, task=task)
        except MemoryFullError:
            if not self._loaded:
                raise
        self._loaded.clear()  # nobody may be using these any more: there may be room now
        return load_engine(spec.name, weights=weights, device=device, task=task)

    @property
    def _nbytes(self) -> int:
        return sum(engine.nbytes for engine in self._loaded.values())

    def clear(self) -> None:
        """Let go of all models; those in use stay with their users."""
        with self._lock:
            self._loaded.clear()


POOL = EnginePool()
"""What the window, the server and the command line of one process share."""


def load_segmenter(
    name: str | None = None,
    weights: str | Path | None = None,
    *,
    device: str = "auto",
    cache: EmbeddingStore | None = None,
    registry: Registry | None = None,
    pool: EnginePool = POOL,
) -> Segmenter:
    """A segmenter for an engine or model type, loaded when it is first used.

    Parameters
    ----------
    name : str, optional
        An engine ("classical", "sam2") or a model type ("vit_b", "sam2_t"); with `weights` alone
        it is read from the file. Without either: the classical engine.
    weights : str or Path, optional
        A weight file, or the name of a weight in the registry. By default the first weight of
        that type that is on this computer.
    device : str
        "auto", "cpu", "cuda", "cuda:1", "mps".
    cache : EmbeddingStore, optional
        Where embeddings are kept; shared with other segmenters.
    registry : Registry, optional
        By default the user's.
    pool : EnginePool

    Raises
    ------
    SamdeskError
        When there is no such engine or weight. What is wrong with the file is told when it is
        loaded.
    """
    if name is None and weights is None:
        name = "classical"
    spec = None if name is None else engine_spec(name)
    if spec is not None and not spec.needs_weights:
        if weights is not None:
            raise SamdeskError(f"{spec.title} takes no weights.", "Leave the weights out.")
        plain = spec.name
        return Segmenter(spec, cache, lambda task: load_engine(plain))
    path, known_type = find_weights(name, weights, registry)
    if spec is None and known_type:
        spec = engine_spec(known_type)
    wanted_type = name if spec is not None and name in spec.types else None

    def load(task: Task) -> Engine:
        # reading a file takes as long as its hash, and needs torch: not before it is asked for
        chosen = spec or engine_spec(recognised_type(path, task))
        engine = pool.load(chosen, path, device, task)
        found = engine.identity.partition(":")[0]
        if wanted_type is not None and found in chosen.types and found != wanted_type:
            raise SamdeskError(
                f"{path.name} holds {engine.title}, not {chosen.types[wanted_type]}.",
                f"Ask for {found} instead.",
            )
        return engine

    if spec is None:
        return Segmenter(EngineSpec("file", path.name, ""), cache, load)
    return Segmenter(spec, cache, load, title=spec.types.get(name or known_type, spec.title))


def find_weights(
    name: str | None, weights: str | Path | None, registry: Registry | None = None
) -> tuple[Path, str]:
    """The weight file that is meant, and its model type as the registry tells it ("" for a bare file).

    Raises
    ------
    SamdeskError
        When there is none on this computer; says how to get it.
    """
    file = None if weights is None else _file_at(weights)
    if file is not None:
        return file, ""
    if isinstance(weights, Path) or (weights is not None and _looks_like_a_path(weights)):
        raise SamdeskError(f"There is no weight file {str(weights)[:300]}.", "Check the path.")
    if registry is None:
        from samdesk.weights import default_registry

        registry = default_registry()
    if weights is not None:
        weight = registry.find(weights)
        _check_here(registry, weight)
        return registry.path(weight), weight.type
    assert name is not None
    types = [name] if name in (spec := engine_spec(name)).types else list(spec.types)
    offered = [weight for one in types for weight in registry.of_type(one)]
    for weight in offered:
        if registry.state(weight) in HERE:
            return registry.path(weight), weight.type
    title = spec.types.get(name, spec.title)
    first = f' samdesk weights download "{offered[0].name}", or' if offered else ""
    raise SamdeskError(
        f"No weights for {title} are on this computer.", f"Use{first} --weights with a file of your own."
    )


def usable_weights(spec: EngineSpec, registry: Registry | None = None) -> list[str]:
    """Names of the weights on this computer that an engine can load."""
    if registry is None:
        from samdesk.weights import default_registry

        registry = default_registry()
    offered = [weight for one in spec.types for weight in registry.of_type(one)]
    return [weight.name for weight in offered if registry.state(weight) in HERE]


HERE = ("ready", "unchecked")
"""States of a weight whose file can be tried."""


def _check_here(registry: Registry, weight: Weight) -> None:
    state = registry.state(weight)
    if state == "damaged":
        raise SamdeskError(f"The file of “{weight.name}” is damaged.", registry.why_damaged(weight))
    if state not in HERE:
        raise SamdeskError(
            f"“{weight.name}” is not on this computer.", f'samdesk weights download "{weight.name}"'
        )


def recognised_type(path: Path, task: Task) -> str:
    """The model type of a weight file; `SamdeskError` when it cannot be read."""
    try:
        from samdesk.engines.checkpoint import recognise
    except ModuleNotFoundError as error:
        raise SamdeskError(
            f"{path.name} cannot be read without {error.name}, which is not installed.",
            "Run ./installer/run --with models",
        ) from error
    except (ImportError, OSError, RuntimeError) as error:
        raise SamdeskError(
            f"{path.name} cannot be read here: {error}.", "samdesk doctor tells what is installed."
        ) from error
    return recognise(path, task).type


def _file_at(given: str | Path) -> Path | None:
    try:
        path = Path(given).expanduser().absolute()
        there = path.exists() if _looks_like_a_path(str(given)) else path.is_file()
    except (OSError, RuntimeError, ValueError):
        return None
    return path if there else None


def _looks_like_a_path(text: str) -> bool:
    return "/" in text or "\\" in text or text.endswith((".pt", ".pth", ".safetensors", ".ckpt", ".bin"))


def stamp(path: Path) -> tuple[int, int]:
    """What changes when a weight file is replaced; `SamdeskError` when it is gone."""
    try:
        found = path.stat()
    except OSError as error:
        raise SamdeskError(
            f"The weight file {path} cannot be read: {error.strerror or error}.",
            "It may have been moved or deleted.",
        ) from error
    return found.st_size, found.st_mtime_ns
