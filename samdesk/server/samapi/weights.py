"""Weights: the list, registering a link, its progress, giving it up; and the version.

A download is the same one that the window shows. Must not know the other endpoints.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse, PlainTextResponse

import samdesk
from samdesk.app.downloads import Downloads, Standing
from samdesk.domain.errors import SamdeskError
from samdesk.server.bounded import BoundedRoute
from samdesk.server.errors import RequestError
from samdesk.server.service import Service, on_loop
from samdesk.weights import Weight
from samdesk.weights.sources import check_link

from .bodies import RegisterBody
from .frames import sweep
from .models import check_type, listing
from .routes import serve

Outcome = SamdeskError | str
"""Why it failed, or the words for a person when it did not."""


class Registration:
    """A link on its way to become a weight that is here. Lives on the main thread.

    Parameters
    ----------
    downloads : Downloads
    body : RegisterBody
    ended : callable
        Receives the outcome, once, on the main thread.

    Attributes
    ----------
    name : str
        Of the weight.
    """

    def __init__(self, downloads: Downloads, body: RegisterBody, ended: Callable[[Outcome], None]) -> None:
        self.name = " ".join(body.name.split())
        self._downloads = downloads
        self._body = body
        self._tell: Callable[[Outcome], None] | None = ended
        self._fetching = False

    def is_as(self, other: Registration) -> bool:
        """Whether both are about the same name or link."""
        return self.name.casefold() == other.name.casefold() or self._body.url == other._body.url

    def begin(self) -> None:
        """Add the link and download it; what is known already is only downloaded, if that."""
        registry = self._downloads.registry
        try:
            known = registry.by_url(check_link(self._body.url))
            taken = [one for one in registry.weights if one.name.casefold() == self.name.casefold()]
            self._listen()
            if known is not None:
                self._have(known)
            elif taken and not self._never_came(taken[0]):
                name = taken[0].name
                self._end(f"There is a weight “{name}” already, from another link. Nothing was added.")
            else:
                for one in taken:
                    registry.remove(one)
                self._downloads.add_link(self._body.url, self.name, self._body.type)
        except SamdeskError as error:
            self._end(RequestError(422, error.message, error.hint))

    def _never_came(self, weight: Weight) -> bool:
        """Whether it is a link that somebody added and of which nothing is here, as one mistyped."""
        return weight.source == "user" and self._downloads.standing(weight).state in ("missing", "gated")

    def standing(self) -> Standing | None:
        """How the download stands; None before it has begun."""
        weight = self._weight()
        return self._downloads.standing(weight) if self._fetching and weight is not None else None

    def cancel(self) -> None:
        """Give it up; what was received stays."""
        weight = self._weight()
        if weight is not None and self._fetching:
            self._downloads.cancel(weight)
        self._end(f"The download of “{self.name}” was cancelled. Register it again to go on.")

    def leave(self) -> None:
        """Nobody waits for the outcome any more; the download goes on in the window."""
        self._tell = None
        self._listen(False)

    def _listen(self, on: bool = True) -> None:
        signals = self._downloads
        for signal, slot in (
            (signals.added, self._added),
            (signals.failed, self._failed),
            (signals.changed, self._changed),
        ):
            if on:
                signal.connect(slot)
            else:
                signal.disconnect(slot, missing_ok=True)

    def _added(self, weight: Weight) -> None:
        if weight.name == self.name and not self._fetching:
            self._have(weight)

    def _have(self, weight: Weight) -> None:
        self.name = weight.name
        standing = self._downloads.standing(weight)
        if standing.state in ("ready", "unchecked"):
            self._end(f"This link is “{weight.name}”, which is on this computer already.")
            return
        self._fetching = True
        self._downloads.start(weight)

    def _failed(self, name: str, error: SamdeskError) -> None:
        if name == self.name:
            self._end(error)

    def _changed(self, name: str) -> None:
        standing = self.standing()
        if name != self.name or standing is None or standing.is_busy:
            return
        if standing.state in ("ready", "unchecked"):
            self._end(f"“{self.name}” is on this computer and ready.")
        elif not standing.trouble:
            self.cancel()

    def _weight(self) -> Weight | None:
        return next((one for one in self._downloads.registry.weights if one.name == self.name), None)

    def _end(self, outcome: Outcome) -> None:
        tell, self._tell = self._tell, None
        self._listen(False)
        if tell is not None:
            tell(outcome)


class Registrations:
    """Those under way, in order; the last is the one whose progress is told."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._running: list[Registration] = []

    async def register(self, body: RegisterBody) -> str:
        """Register a link and wait until its file is here.

        Returns
        -------
        str
            What the person reads, also when it was cancelled or is known already.

        Raises
        ------
        RequestError
            422 when link, name or type are no good, 503 when the download fails.
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Outcome] = loop.create_future()

        def tell(outcome: Outcome) -> None:
            if not ended.done():
                ended.set_result(outcome)

        def told(outcome: Outcome) -> None:
            on_loop(loop, tell, outcome)

        one = Registration(self._service.downloads, body, told)
        if any(other.is_as(one) for other in self._running):
            return f"“{one.name}” is being registered already."
        self._running.append(one)
        try:
            await self._service.on_main(one.begin)
            outcome = await ended
        except asyncio.CancelledError:
            self._service.jobs.dispatch(one.leave)
            raise
        finally:
            self._running.remove(one)
        if isinstance(outcome, RequestError):
            raise outcome
        if isinstance(outcome, SamdeskError):
            raise RequestError(503, outcome.message, outcome.hint) from outcome
        return outcome

    async def standing(self) -> Standing | None:
        """How the latest download stands; None when none is under way."""
        if not self._running:
            return None
        return await self._service.on_main(self._running[-1].standing)

    async def cancel(self) -> int:
        """Give all up; how many they were."""
        running = list(self._running)

        def give_up() -> None:
            for one in running:
                one.cancel()

        if running:
            await self._service.on_main(give_up)
        return len(running)


def router(service: Service) -> APIRouter:
    """The endpoints of this file."""
    registrations = Registrations(service)

    async def version() -> Response:
        """The version of samdesk."""
        return PlainTextResponse(samdesk.__version__)

    async def weights(type: Annotated[str, Query(max_length=200)] = "") -> Response:
        """What can be chosen for a model type, or for all: [{type, name, url}], what is here first."""
        sweep(service)  # the dialog is asked for now and then, also when no frame is sent
        return JSONResponse(listing(service, type or None))

    async def register(body: RegisterBody) -> Response:
        """Make a link a weight and download it; answers once it is here, was cancelled or has failed."""
        check_type(body.type)
        return PlainTextResponse(await registrations.register(body))

    async def cancel() -> Response:
        """Give up the downloads that were begun by registering."""
        count = await registrations.cancel()
        return PlainTextResponse("The download was cancelled." if count else "Nothing is being downloaded.")

    async def progress() -> Response:
        """How far the download is: {"message", "percent"}; -1 where it cannot be told."""
        return JSONResponse(progress_of(await registrations.standing()))

    router = APIRouter(route_class=BoundedRoute)
    serve(router, "GET", "version", version)
    serve(router, "GET", "weights", weights)
    serve(router, "POST", "weights", register)
    serve(router, "GET", "weights/cancel", cancel)
    serve(router, "GET", "progress", progress)
    return router


def progress_of(standing: Standing | None) -> dict[str, str | int | None]:
    """What the extension shows of a download; its percent must be a whole number."""
    if standing is None:
        return {"message": None, "percent": -1}
    fraction = standing.fraction
    return {"message": standing.text, "percent": -1 if fraction is None else math.floor(100 * fraction)}
