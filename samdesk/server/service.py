"""`Service`: what all endpoints share; from a question of the network to a job on a lane and back.

The same lanes, models, embeddings and weights serve the window. Lives on the event loop of the
server's thread; must not know HTTP, nor what a client's messages look like.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from samdesk.app.downloads import Downloads
from samdesk.app.jobs import Job, Jobs
from samdesk.domain.errors import MemoryFullError, SamdeskError
from samdesk.domain.geometry import Plane, Region
from samdesk.domain.tasks import Cancelled, Task
from samdesk.engines.base import CHIP, ENGINES, EngineSpec, engine_spec
from samdesk.engines.cache import EmbeddingStore
from samdesk.sdk import Image, Segmenter, load_segmenter
from samdesk.sdk.loading import HERE
from samdesk.weights import Registry, Weight

from .errors import RequestError
from .metrics import Metrics
from .options import ServerOptions
from .pictures import Pictures

T = TypeVar("T")
Done = Callable[[Job[T]], None]

log = logging.getLogger(__name__)

CLASSICAL = "classical"

KEPT_MODELS = 2
"""Segmenters that are kept, each of which holds its model."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A model that a client may ask for.

    Attributes
    ----------
    key : str
        "classical", or the name of a weight.
    title : str
        What the user reads.
    type : str
        Model type; empty for an engine without weights.
    weight : Weight or None
        None for an engine without weights.
    """

    key: str
    title: str
    type: str
    weight: Weight | None = None


class Service:
    """Models, pictures and lanes for the endpoints.

    Parameters
    ----------
    jobs : Jobs
    downloads : Downloads
        Knows the registry; lives on the main thread.
    store : EmbeddingStore
        Where embeddings are kept, those of the window too.
    options : ServerOptions
    default_model : callable, optional
        Key of the model that answers who names none; by default the one without weights.

    Attributes
    ----------
    pictures : Pictures
        What clients sent, by content.
    metrics : Metrics
    waiting : int
        Requests whose job has not ended.
    """

    def __init__(
        self,
        jobs: Jobs,
        downloads: Downloads,
        store: EmbeddingStore,
        options: ServerOptions,
        default_model: Callable[[], str] = lambda: CLASSICAL,
    ) -> None:
        self.jobs = jobs
        self.downloads = downloads
        self.store = store
        self.options = options
        self.default_model = default_model
        self.pictures = Pictures(options.limits)
        self.metrics = Metrics()
        self.waiting = 0
        self._segmenters: OrderedDict[str, Segmenter] = OrderedDict()
        self._parts: dict[type, object] = {}

    def part(self, kind: type[T], make: Callable[[], T]) -> T:
        """What endpoints keep between requests, one of each kind; made when it is first asked for."""
        known = self._parts.get(kind)
        if not isinstance(known, kind):
            known = self._parts[kind] = make()
        return known

    @property
    def registry(self) -> Registry:
        return self.downloads.registry

    # lanes

    async def run(self, lane: str, function: Callable[[Task], T], *, title: str = "", priority: int = 0) -> T:
        """Run a function on a lane; the loop goes on meanwhile.

        Whoever awaits this may be cancelled, as when a client has gone: then the job is as well,
        and one that has not begun never does.

        Raises
        ------
        RequestError
            When too many wait already.
        SamdeskError
            As the function raises it.
        """

        def guarded(task: Task) -> T:
            with _nothing_unexpected():
                return function(task)

        def submit(done: Done[T]) -> Job[T]:
            return self.jobs.lane(lane).submit(guarded, title=title, done=done, priority=priority)

        return await self._ended(submit)

    async def run_steps(
        self,
        lane: str,
        function: Callable[[Task], Generator[None, None, T]],
        *,
        title: str = "",
        priority: int = 0,
    ) -> T:
        """As `run`, for a generator: at every `yield`, what is more urgent on the lane goes first."""

        def guarded(task: Task) -> Generator[None, None, T]:
            with _nothing_unexpected():
                return (yield from function(task))

        def submit(done: Done[T]) -> Job[T]:
            return self.jobs.lane(lane).submit_steps(guarded, title=title, done=done, priority=priority)

        return await self._ended(submit)

    async def _ended(self, submit: Callable[[Done[T]], Job[T]]) -> T:
        if self.waiting >= self.options.limits.waiting:
            raise RequestError(503, "Too many requests are waiting.", "Ask again when some are answered.")
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Job[T]] = loop.create_future()

        def tell(job: Job[T]) -> None:
            if not ended.done():
                ended.set_result(job)

        self.waiting += 1
        try:
            job = submit(lambda job: _on_loop(loop, tell, job))
            if _is_cancelled(job):  # nobody tells of a job that a closed lane was given
                raise RequestError(503, "The server is stopping.")
            try:
                await ended
            except asyncio.CancelledError:
                job.cancel()
                raise
        finally:
            self.waiting -= 1
        if job.state == "cancelled":
            raise RequestError(
                503, "It was cancelled.", "The job was stopped in the window or the server ends."
            )
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[return-value]

    async def refuse(self, error: RequestError) -> NoReturn:
        """Raise an error by way of a job, so that the window tells it to a person too."""

        def fail(task: Task) -> None:
            raise error

        await self.run("requests", fail)
        raise error

    async def on_main(self, function: Callable[[], T]) -> T:
        """Run a short function on the main thread, where the downloads and the window's objects live."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[T] = loop.create_future()

        def call() -> None:
            try:
                result = function()
            except Exception as error:
                failed = error
                _on_loop(loop, lambda one: None if ended.done() else ended.set_exception(one), failed)
            else:
                _on_loop(loop, lambda one: None if ended.done() else ended.set_result(one), result)

        self.jobs.dispatch(call)
        return await ended

    async def picture(self, sent: bytes | str) -> Image:
        """The picture that a client sent, as bytes of a file or as base64 text; decoded once.

        Raises
        ------
        RequestError
            413 when it is too large, 422 when it is no picture.
        """
        known = self.pictures.sent(sent)
        if known is None:
            known = await self.run("requests", lambda task: self.pictures.read(sent))
        return known

    # models

    def choices(self, type: str | None = None) -> list[Choice]:
        """All that can be asked for, of one model type when it is given; what is here comes first."""
        weights = self.registry.weights if type is None else self.registry.of_type(type)
        here = [weight for weight in weights if weight.type and self.is_here(weight)]
        rest = [weight for weight in weights if weight.type and not self.is_here(weight)]
        plain = Choice(CLASSICAL, ENGINES[CLASSICAL].title, "")
        return [*map(_choice, here), plain, *map(_choice, rest)]

    def is_here(self, weight: Weight) -> bool:
        """Whether its file is on this computer."""
        return self.registry.state(weight) in HERE

    def choose(self, model: str | None) -> Choice:
        """The model of a key, a weight's name or url, or a model type; the default one for None.

        Raises
        ------
        RequestError
            404 when there is none of that name, 503 when none of the type is on this computer.
        """
        model = model or self.default_model()
        if model == CLASSICAL:
            return Choice(CLASSICAL, ENGINES[CLASSICAL].title, "")
        weight = self.registry.by_url(model)
        if weight is not None:
            return _choice(weight)
        try:
            spec: EngineSpec | None = engine_spec(model)
        except SamdeskError:
            spec = None
        if spec is not None:
            types = [model] if model in spec.types else list(spec.types)
            offered = [weight for one in types for weight in self.registry.of_type(one)]
            for weight in offered:
                if self.is_here(weight):
                    return _choice(weight)
            if offered:
                return _choice(offered[0])
            raise RequestError(503, f"No weights for {spec.title} are known.", "Add them in the window.")
        for weight in self.registry.weights:
            if weight.name == model and weight.type:
                return _choice(weight)
        raise RequestError(404, f"There is no model “{model[:200]}”.", "GET /api/v1/models lists them.")

    async def segmenter(self, choice: Choice) -> Segmenter:
        """The segmenter of a model; loaded when it is first asked, on its lane.

        Raises
        ------
        RequestError
            503 when its weight is not on this computer; the window tells so as well, as QuPath
            does not.
        """
        if choice.weight is not None and not self.is_here(choice.weight):
            await self.refuse(_not_here(choice.weight))
        known = self._segmenters.get(choice.key)
        if known is None:
            known = self._segmenters[choice.key] = self._make(choice)
        self._segmenters.move_to_end(choice.key)
        while len(self._segmenters) > KEPT_MODELS:
            self._segmenters.popitem(last=False)
        return known

    def loaded(self, choice: Choice | None = None) -> Segmenter | None:
        """The segmenter of a model when it is in memory; of any model when none is named."""
        found = self._segmenters.values() if choice is None else [self._segmenters.get(choice.key)]
        return next((one for one in found if one is not None and one.is_loaded), None)

    def _make(self, choice: Choice) -> Segmenter:
        weight = choice.weight
        if weight is None:
            return load_segmenter(choice.key, cache=self.store)
        return load_segmenter(
            weight.type,
            self.registry.path(weight),
            device=self.options.device,
            cache=self.store,
            registry=self.registry,
        )

    async def ask(
        self,
        segmenter: Segmenter,
        image: Image,
        chip: Region,
        function: Callable[[Task], T],
        *,
        plane: Plane = Plane(),
        title: str = "",
    ) -> T:
        """Run `function`, which asks about one chip, on the lane that answers soonest.

        What is encoded is answered beside an encoding that takes long.
        """
        lane = "predict" if segmenter.is_warm(image, chip, plane) else "model"

        def answer(task: Task) -> T:
            self.load(segmenter, task)
            return function(task)

        return await self.run(lane, answer, title=title)

    @staticmethod
    def load(segmenter: Segmenter, task: Task) -> None:
        """Load a model on its lane; what fails is the server's to put right, not the client's."""
        try:
            segmenter.load(task)
        except MemoryFullError:
            raise
        except SamdeskError as error:
            raise RequestError(503, error.message, error.hint) from error


def view_downsample(size: tuple[int, int]) -> float:
    """At which downsample one chip sees all of a picture."""
    return max(1.0, max(size) / CHIP)


@contextlib.contextmanager
def _nothing_unexpected() -> Iterator[None]:
    """A fault of ours is answered as one: a job would tell it as if it were the client's."""
    try:
        yield
    except (SamdeskError, Cancelled, MemoryError):
        raise
    except Exception as error:
        log.exception("a request failed")
        raise RequestError(500, "The server failed.", "The log has the details.") from error


def _is_cancelled(job: Job[T]) -> bool:
    return job.state == "cancelled"


def _not_here(weight: Weight) -> RequestError:
    return RequestError(
        503,
        f"“{weight.name}” is not on this computer.",
        f"Download it with Segment > Weights… in samdesk, or with: samdesk weights download “{weight.name}”",
    )


def _choice(weight: Weight) -> Choice:
    return Choice(weight.name, weight.name, weight.type, weight)


def _on_loop(loop: asyncio.AbstractEventLoop, function: Callable[[T], None], value: T) -> None:
    if not loop.is_closed():
        try:
            loop.call_soon_threadsafe(function, value)
        except RuntimeError:
            return  # the loop closed meanwhile: nobody waits any more
