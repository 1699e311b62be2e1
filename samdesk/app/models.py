"""Which engine answers in the window, which others there are, and loading one without a wait.

Lives on the main thread; models load on lane `model`. Must not know widgets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from psygnal import Signal

from samdesk.domain.errors import SamdeskError
from samdesk.engines.base import ENGINES, Engine, engine_spec
from samdesk.engines.cache import EmbeddingStore
from samdesk.sdk import Segmenter, load_segmenter
from samdesk.weights import Registry, Weight, default_registry
from samdesk.weights.transfer import size_text

from .jobs import Job, Jobs
from .session import PromptSession
from .settings import Settings

CLASSICAL = "classical"

ModelState = Literal["here", "missing", "gated", "damaged", "loading", "loaded"]

_STATES: dict[str, ModelState] = {
    "ready": "here",
    "unchecked": "here",
    "partial": "missing",
    "missing": "missing",
    "gated": "gated",
    "damaged": "damaged",
}


@dataclass(frozen=True, slots=True)
class Model:
    """A row of the model picker.

    Attributes
    ----------
    key : str
        "classical", or the name of a weight.
    title : str
        What the user reads.
    group : str
        Title of the engine.
    state : {"here", "missing", "gated", "damaged", "loading", "loaded"}
    detail : str
        The state in words, with size or device.
    tip : str
    """

    key: str
    title: str
    group: str
    state: ModelState
    detail: str
    tip: str = ""


class Models:
    """The choice of a model.

    Parameters
    ----------
    jobs, settings, session
    stand_in : Segmenter
        The classical engine.
    store : EmbeddingStore
        Where the embeddings of all models are kept.
    registry : Registry, optional
        By default the user's, read when it is first needed.

    Attributes
    ----------
    changed : Signal()
        Another model was chosen, or the chosen one is loaded or has failed.
    failed : Signal(SamdeskError)
        A model could not be chosen; what failed in a job is told by the jobs.
    wanted : Signal(Weight)
        A model was chosen whose weight is not on this computer, or is damaged and can be
        downloaded again.
    """

    changed = Signal()
    failed = Signal(SamdeskError)
    wanted = Signal(Weight)

    def __init__(
        self,
        jobs: Jobs,
        settings: Settings,
        session: PromptSession,
        stand_in: Segmenter,
        store: EmbeddingStore,
        registry: Registry | None = None,
    ) -> None:
        self._jobs = jobs
        self._settings = settings
        self._session = session
        self._stand_in = stand_in
        self._store = store
        self._registry = registry
        self._loading: Job[Engine] | None = None
        self._file: Path | None = None
        self._before: tuple[str, Segmenter] = (CLASSICAL, stand_in)
        self.current = CLASSICAL

    @property
    def registry(self) -> Registry:
        if self._registry is None:
            self._registry = default_registry()
        return self._registry

    @property
    def title(self) -> str:
        """Of the chosen model."""
        segmenter = self._session.segmenter
        if self.current == CLASSICAL or segmenter.is_loaded:
            return segmenter.title
        return self._file.name if self._is_file(self.current) and self._file else self.current

    def _is_file(self, key: str) -> bool:
        return self._file is not None and key == str(self._file)

    @property
    def is_loading(self) -> bool:
        return self._loading is not None

    def rows(self) -> list[Model]:
        """All that can be chosen: the classical engine, then the weights by engine, then an opened file."""
        order = {spec.title: number for number, spec in enumerate(ENGINES.values())}
        return [
            Model(
                CLASSICAL,
                self._stand_in.title,
                "",
                "loaded" if self.current == CLASSICAL else "here",
                "always here",
                "Follows edges, colors and textures; needs no download",
            ),
            *sorted(
                (self._row(weight) for weight in self.registry.weights if weight.type),
                key=lambda row: order[row.group],
            ),
            *([self._file_row(self._file)] if self._file is not None else []),
        ]

    def _file_row(self, path: Path) -> Model:
        chosen = self.current == str(path)
        state: ModelState = ("loading" if self._loading else "loaded") if chosen else "here"
        return Model(str(path), path.name, "file", state, self._detail(None, state), str(path))

    def _row(self, weight: Weight) -> Model:
        if weight.name == self.current:
            state: ModelState = "loading" if self._loading else "loaded"
        else:
            state = _STATES[self.registry.state(weight)]
        return Model(
            weight.name,
            weight.name,
            engine_spec(weight.type).title,
            state,
            self._detail(weight, state),
            "\n".join(text for text in (weight.about, weight.licence) if text),
        )

    def _detail(self, weight: Weight | None, state: ModelState) -> str:
        size = size_text(weight.size) if weight is not None and weight.size else ""
        if state == "loaded" and self._session.segmenter.is_loaded:
            engine = self._session.segmenter.engine
            return f"{device_text(engine.device)}, {size_text(engine.nbytes)}"
        return {
            "loaded": "not loaded",
            "loading": "loading…",
            "here": "ready",
            "missing": f"download {size}".strip(),
            "gated": f"licence, download {size}".strip(),
            "damaged": "damaged",
        }[state]

    def restore(self) -> None:
        """Take the model of the last time, when its weight is still here."""
        name = self._settings["model"]
        if Path(name).is_absolute():
            if Path(name).is_file():
                self.open_file(Path(name))
        elif name and name != CLASSICAL:
            try:
                weight = self.registry.find(name)
            except SamdeskError:
                return
            if _STATES[self.registry.state(weight)] == "here":
                self.choose(weight.name)

    def choose(self, key: str) -> None:
        """Answer with this model from the next prompt on; returns at once."""
        if key == CLASSICAL:
            self._use(CLASSICAL, self._stand_in)
            return
        if self._is_file(key):
            self.open_file(Path(key))
            return
        weight = self.registry.find(key)
        state = _STATES[self.registry.state(weight)]
        if state in ("missing", "gated"):
            self.wanted.emit(weight)
            return
        if state == "damaged" and weight.url and not weight.reference:
            self.wanted.emit(weight)
            return
        if state == "damaged":
            self.failed.emit(
                SamdeskError(f"The file of “{weight.name}” is damaged.", self.registry.why_damaged(weight))
            )
            return
        self._load(weight.name, weight.type, self.registry.path(weight))

    def open_file(self, path: Path, name: str | None = None) -> None:
        """Answer with a weight file that is in no registry; `name` is its type, when it is known."""
        self._file = path.expanduser().absolute()
        self._load(str(self._file), name, self._file)

    def _load(self, key: str, name: str | None, weights: Path) -> None:
        segmenter = load_segmenter(
            name, weights, device=self._settings["device"], cache=self._store, registry=self._registry
        )
        self._use(key, segmenter)

    def reload(self) -> None:
        """Load the chosen model again, because it shall compute elsewhere."""
        if self.current == CLASSICAL:
            return
        try:
            self.choose(self.current)
        except SamdeskError as error:
            self.failed.emit(error)

    def _use(self, key: str, segmenter: Segmenter) -> None:
        self._give_up_loading()
        if self._session.segmenter.is_loaded:
            self._before = self.current, self._session.segmenter
        if key == CLASSICAL:
            self._free_devices()
        self.current = key
        self._session.set_segmenter(segmenter)
        if segmenter.is_loaded:
            self._settings["model"] = key
        else:
            self._loading = self._jobs.lane("model").submit(
                segmenter.load,
                title=f"Loading {segmenter.title}" if key != CLASSICAL else "",
                done=self._loaded,
                priority=-2,
            )
        self.changed.emit()

    def _free_devices(self, *used: str) -> None:
        """Give back the graphics memory of all embeddings but those of an engine on a device."""
        self._store.memory.forget(lambda key: key.device != "cpu" and (key.engine, key.device) != used)

    def _give_up_loading(self) -> None:
        job, self._loading = self._loading, None
        if job is not None:
            job.cancel()

    def _loaded(self, job: Job[Engine]) -> None:
        if job is not self._loading:
            return
        self._loading = None
        if job.state == "done":
            self._settings["model"] = self.current
            engine = self._session.segmenter.engine
            self._free_devices(engine.identity, engine.device)
            self._session.refresh()
            self.changed.emit()
        else:
            self._use(*self._before)


def device_text(device: str) -> str:
    """A device as the user reads it."""
    kind = device.partition(":")[0]
    return {"cpu": "CPU", "cuda": "GPU", "mps": "Apple GPU"}.get(kind, device)
