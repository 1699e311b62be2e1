"""`Service`: what all endpoints share; from a question of the network to a job on a lane and back.

The same lanes, models, embeddings and weights serve the window. Lives on the event loop of the
server's thread; must not know HTTP, nor what a client's messages look like.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NoReturn, TypeVar

from samdesk.app.downloads import Downloads
from samdesk.app.jobs import Job, Jobs
from samdesk.app.models import CLASSICAL
from samdesk.domain.errors import MemoryFullError, SamdeskError
from samdesk.domain.geometry import Plane, Region
from samdesk.domain.tasks import Cancelled, Task
from samdesk.engines.base import CHIP, ENGINES, EngineSpec, engine_spec
from samdesk.engines.cache import EmbeddingStore
from samdesk.sdk import Image, Segmenter, load_segmenter
from samdesk.sdk.loading import HERE, stamp
from samdesk.weights import Registry, Weight

from .errors import RequestError
from .metrics import Metrics
from .options import ServerOptions
from .pictures import Pictures

T = TypeVar("T")
Done = Callable[[Job[T]], None]

log = logging.getLogger(__name__)

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
        Requests whose counted job has not ended.
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
        self._segmenters: OrderedDict[Hashable, Segmenter] = OrderedDict()
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

    async def run(
        self,
        lane: str,
        function: Callable[[Task], T],
        *,
        title: str = "",
        priority: int = 0,
        counted: bool = True,
        discard: Callable[[T], None] | None = None,
    ) -> T:
        """Run a function on a lane; the loop goes on meanwhile.

        Whoever awaits this may be cancelled, as when a client has gone: then the job is as well,
        and one that has not begun never does.

        Parameters
        ----------
        lane : str
        function : callable
        title, priority
            As in `Lane.submit`.
        counted : bool
            Whether it is one of those that may wait, and is refused when they are too many. False
            for what follows the first job of a request, and for what asks no model: an answer
            that is half given is not broken off.
        discard : callable, optional
            Receives a result that nobody waits for any more; on the lane's thread or the loop's.
            For results that hold a file.

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
            return self.jobs.lane(lane).submit(
                guarded, title=title, done=done, discard=discard, priority=priority
            )

        return await self._ended(submit, counted, discard)

    async def run_steps(
        self,
        lane: str,
        function: Callable[[Task], Generator[None, None, T]],
        *,
        title: str = "",
        priority: int = 0,
        counted: bool = True,
    ) -> T:
        """As `run`, for a generator: at every `yield`, what is more urgent on the lane goes first."""

        def guarded(task: Task) -> Generator[None, None, T]:
            with _nothing_unexpected():
                return (yield from function(task))

        def submit(done: Done[T]) -> Job[T]:
            return self.jobs.lane(lane).submit_steps(guarded, title=title, done=done, priority=priority)

        return await self._ended(submit, counted)

    async def _ended(
        self,
        submit: Callable[[Done[T]], Job[T]],
        counted: bool,
        discard: Callable[[T], None] | None = None,
    ) -> T:
        if counted and self.waiting >= self.options.limits.waiting:
            raise RequestError(503, "Too many requests are waiting.", "Ask again when some are answered.")
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Job[T]] = loop.create_future()

        def tell(job: Job[T]) -> None:
            if not ended.done():
                ended.set_result(job)

        self.waiting += counted
        try:
            job = submit(lambda job: on_loop(loop, tell, job))
            if _is_cancelled(job):  # nobody tells of a job that a closed lane was given
                raise RequestError(503, "The server is stopping.")
            try:
                await ended
            except asyncio.CancelledError:
                job.cancel()
                if job.state == "done" and discard is not None:  # the lane kept it for us
                    discard(job.result)  # type: ignore[arg-type]
                raise
        finally:
            self.waiting -= counted
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

        await self.run("requests", fail, counted=False)
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
                on_loop(loop, lambda one: None if ended.done() else ended.set_exception(one), failed)
            else:
                on_loop(loop, lambda one: None if ended.done() else ended.set_result(one), result)

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
        return [*map(_choice, here), self.named(CLASSICAL), *map(_choice, rest)]

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
            return self.named(model)
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
        return self.named(model)

    def named(self, key: str) -> Choice:
        """The model of a key; RequestError (404) when there is none."""
        if key == CLASSICAL:
            return Choice(CLASSICAL, ENGINES[CLASSICAL].title, "")
        for weight in self.registry.weights:
            if weight.name == key and weight.type:
                return _choice(weight)
        raise RequestError(404, f"There is no model “{key[:200]}”.", "GET /api/v1/models lists them.")

    def default_choice(self) -> Choice:
        """The model that answers who names none; the one without weights when that one is gone."""
        try:
            return self.choose(None)
        except RequestError:
            return self.choose(CLASSICAL)

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
        key = self.made_from(choice)
        known = self._segmenters.get(key)
        if known is None:
            known = self._segmenters[key] = self._make(choice)
        self._segmenters.move_to_end(key)
        while len(self._segmenters) > KEPT_MODELS:
            self._segmenters.popitem(last=False)
        return known

    def loaded(self, choice: Choice | None = None) -> Segmenter | None:
        """The segmenter of a model when it is in memory; of any model when none is named."""
        found = (
            self._segmenters.values() if choice is None else [self._segmenters.get(self.made_from(choice))]
        )
        return next((one for one in found if one is not None and one.is_loaded), None)

    def made_from(self, choice: Choice) -> Hashable:
        """What the segmenter of a model is known by: a name may come to mean another file."""
        if choice.weight is None:
            return choice.key
        path = self.registry.path(choice.weight)
        try:
            return choice.type, path, stamp(path)
        except SamdeskError:  # it has gone: nothing is known by this
            return choice.type, path, None

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
        chips: Sequence[Region],
        function: Callable[[int, Task], T],
        *,
        plane: Plane = Plane(),
        title: str = "",
        counted: bool = True,
    ) -> list[T]:
        """Run `function`, which asks about one chip, for each of some, on the lane that answers soonest.

        What is encoded is answered beside an encoding that takes long. Between two chips others
        take their turn, and where several are to be encoded, all others go first.

        Parameters
        ----------
        segmenter : Segmenter
        image : Image
        chips : sequence of Region
        function : callable
            Receives which of the chips it is, and the task.
        plane : Plane
        title : str
            As in `Lane.submit`.
        counted : bool
            As in `run`.

        Returns
        -------
        list
            What `function` gave, in the order of the chips.
        """
        answers: list[T] = []

        def cold() -> set[Region]:
            return {one for one in set(chips[len(answers) :]) if not segmenter.is_warm(image, one, plane)}

        def steps(task: Task, encodes: bool) -> Generator[None, None, None]:
            self.load(segmenter, task)
            for number in range(len(answers), len(chips)):
                if number:
                    yield
                if not encodes and not segmenter.is_warm(image, chips[number], plane):
                    return  # it had to make room meanwhile
                task.progress(number / len(chips))
                answers.append(function(number, task))

        is_warm = not cold()
        if is_warm:
            await self.run_steps("predict", partial(steps, encodes=False), title=title, counted=counted)
        if len(answers) < len(chips):
            await self.run_steps(
                "model",
                partial(steps, encodes=True),
                title=title,
                priority=1 if len(cold()) > 1 else 0,
                counted=counted and not is_warm,
            )
        return answers

    @staticmethod
    def load(segmenter: Segmenter, task: Task) -> None:
        """Load a model on its lane; errors as `loading`."""
        with loading():
            segmenter.load(task)


def view_downsample(size: tuple[int, int]) -> float:
    """At which downsample one chip sees all of a picture."""
    return max(1.0, max(size) / CHIP)


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """What fails while a model is loaded is the server's to put right, not the client's: 503."""
    try:
        yield
    except MemoryFullError:
        raise
    except SamdeskError as error:
        raise RequestError(503, error.message, error.hint) from error


@contextlib.contextmanager
def _nothing_unexpected() -> Iterator[None]:
    """A fault of ours is answered as one: a job would tell it as if it were the client's."""
    try:
        yield
    except (SamdeskError, Cancelled):
        raise
    except MemoryError as error:
        raise RequestError(
            503,
            "There is not enough memory for this.",
            "Ask about a smaller picture, or close other programs.",
        ) from error
    except Exception as error:
        log.exception("a request failed")
        raise RequestError(500, "The server failed.", "The log has the details.") from error


def _is_cancelled(job: Job[T]) -> bool:
    return job.state == "cancelled"


def _not_here(weight: Weight) -> RequestError:
    return RequestError(
        503,
        f"“{weight.name}” is not on this computer.",
        f'Download it with Segment > Weights… in samdesk, or with: samdesk weights download "{weight.name}"',
        weight.name,
    )


def _choice(weight: Weight) -> Choice:
    return Choice(weight.name, weight.name, weight.type, weight)


def on_loop(loop: asyncio.AbstractEventLoop, function: Callable[[T], None], value: T) -> None:
    """Call a function on a loop from any thread; not when the loop is closed, as nobody waits then."""
    if not loop.is_closed():
        try:
            loop.call_soon_threadsafe(function, value)
        except RuntimeError:
            return  # the loop closed meanwhile: nobody waits any more
