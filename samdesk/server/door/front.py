"""`Door`: the application as the web server sees it.

Must not know any endpoint.
"""

from __future__ import annotations

import asyncio
import logging
import time

from starlette.types import ASGIApp, Receive, Scope, Send

from samdesk.server.errors import RequestError
from samdesk.server.service import Service

from .asker import admit, check_host, check_page, names_of_this_computer, shown_path
from .body import Held, check_body, most_bytes
from .visit import GONE, Visit

log = logging.getLogger(__name__)

UNKNOWN = "other"
"""How requests are counted that no endpoint answered."""


class Door:
    """Lets requests in to an application, and calls them off when their clients have gone.

    Parameters
    ----------
    app : ASGI application
    service : Service
        Of which the options and the counts are used.
    port : int
        Where it listens.

    Made where waiting does no harm: the names of this computer may be asked of the network.
    """

    def __init__(self, app: ASGIApp, service: Service, port: int) -> None:
        self._app = app
        self._options = service.options
        self._metrics = service.metrics
        self._port = port
        self._names = names_of_this_computer(service.options)
        self._held = Held(service.options.limits)
        self._visits: dict[asyncio.Task[None], Visit] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        inner, refused = scope, None
        try:
            inner = self._admitted(scope)
        except RequestError as error:
            refused = error
            log.info("%s %s: %d %s", scope["method"], shown_path(scope["path"]), error.status, error)
        visit = Visit(inner, receive, send, self._options.limits, self._held)
        try:
            if refused is not None:
                await visit.end(refused)
            else:
                await self._answer(inner, visit)
        finally:
            visit.close()
            status = GONE if visit.is_gone else visit.status
            self._metrics.answered(_pattern(inner), status, time.perf_counter() - began)

    def _admitted(self, scope: Scope) -> Scope:
        """The request as the application may see it; `RequestError` when it may not."""
        host = check_host(scope, self._options, self._port, self._names)
        inner = admit(scope, self._options.token)
        check_page(inner, host)
        if not inner["path"].startswith("/"):
            raise RequestError(
                400, "A request names a path; this one does not.", "/docs lists what there is."
            )
        check_body(inner, most_bytes(inner, self._options.limits))
        return inner

    async def _answer(self, scope: Scope, visit: Visit) -> None:
        handler = asyncio.ensure_future(self._app(scope, visit.receive, visit.send))
        watcher = asyncio.ensure_future(visit.watch())
        visit.given_up = handler.cancel
        self._visits[handler] = visit
        try:
            await asyncio.wait({handler})
        finally:
            watcher.cancel()
            if not handler.done():  # the web server gives up
                handler.cancel()
            await asyncio.wait({handler, watcher})
            del self._visits[handler]
        failed = None if handler.cancelled() else handler.exception()
        if visit.is_gone:
            where = shown_path(scope["path"])
            log.debug("%s %s: the client has gone", scope["method"], where, exc_info=failed)
        elif failed is not None:
            raise failed
        else:
            await visit.end(visit.refused or RequestError(503, "The server is stopping."))

    def stop(self, patience_s: float) -> None:
        """End now what has no end of its own, and after so many seconds all that is not answered."""
        for handler, visit in self._visits.items():
            if visit.is_endless:
                handler.cancel()
        asyncio.get_running_loop().call_later(patience_s, self._cancel_all)

    def _cancel_all(self) -> None:
        for handler in self._visits:
            handler.cancel()


def _pattern(scope: Scope) -> str:
    """The path of the endpoint that answered, with names in the place of what differs."""
    return getattr(scope.get("route"), "path", UNKNOWN)
