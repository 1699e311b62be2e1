"""Starting and stopping: a socket, uvicorn on a lane, and the address that it answers at.

Must not know endpoints.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable

import uvicorn

from samdesk.app.jobs import Job
from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task

from .app import make_app
from .jobs3d import jobs3d
from .options import ServerOptions
from .service import Service

LANE = "serve"

STOP_S = 1
"""Answers under way may take so long when the server stops."""

IDLE_S = 75
"""A connection on which nothing is asked is kept so long: longer than clients do, as one that the
server closes while the next request is on its way costs the client that request."""

POLL_S = 0.05

log = logging.getLogger(__name__)


def serve(service: Service, ready: Callable[[str], None]) -> Job[None]:
    """Answer on lane `serve` until the job is cancelled.

    Parameters
    ----------
    service : Service
    ready : callable
        Receives the address, as "http://localhost:8000", on the main thread once it answers.

    Returns
    -------
    Job
        Fails with a `SamdeskError` when the server cannot listen where it shall.
    """

    def work(task: Task) -> None:
        sockets = listen(service.options)
        try:
            server = _Server(service, sockets, task, lambda url: service.jobs.dispatch(lambda: ready(url)))
            asyncio.run(server.serve(sockets=sockets))
        finally:
            for one in sockets:
                one.close()
            jobs3d(service).stop()
        if not task.cancelled:
            raise SamdeskError("The server has stopped by itself.", "Start it again; the log may say why.")

    return service.jobs.lane(LANE).submit(work)


def listen(options: ServerOptions) -> list[socket.socket]:
    """The bound sockets. On this computer itself, both of its own addresses, as "localhost" may mean either.

    Raises
    ------
    SamdeskError
        When the token is missing, the address is not this computer's, or the port is taken.
    """
    if not options.is_local and not options.token:
        raise SamdeskError(
            f"Other computers could use the server at {options.host} without being asked for a token.",
            "Give a token, or leave the host out.",
        )
    hosts = ["127.0.0.1", "::1"] if options.host in ("127.0.0.1", "localhost") else [options.host.strip("[]")]
    first = _bind(hosts[0], options.port)
    sockets = [first]
    for host in hosts[1:]:
        with contextlib.suppress(SamdeskError):  # a computer without IPv6
            sockets.append(_bind(host, first.getsockname()[1]))
    return sockets


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small parts at once only where TCP is named; else each answer takes 40 ms more
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # on Windows "reuse" lets two programs share a port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
        bound.listen(128)  # only now is it sure that nobody else listens there
    except (OSError, OverflowError) as error:
        bound.close()
        raise _cannot_listen(host, port, error) from error
    return bound


def _cannot_listen(host: str, port: int, error: Exception) -> SamdeskError:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return SamdeskError(
            f"Port {port} is taken by another program.",
            "Another samdesk or samapi may be running; stop it, or choose another port.",
        )
    if number == errno.EACCES:
        return SamdeskError(f"Port {port} may not be used.", "Choose one above 1024.")
    return SamdeskError(
        f"The server cannot listen at {host}, port {port}: {error}.", "Choose another address."
    )


def url_of(options: ServerOptions, port: int) -> str:
    """The address that a client on this computer, or on another, is told."""
    host = "localhost" if options.host == "127.0.0.1" else options.host
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """Stops when its task is cancelled; tells when it answers."""

    def __init__(
        self, service: Service, sockets: list[socket.socket], task: Task, ready: Callable[[str], None]
    ) -> None:
        port = sockets[0].getsockname()[1]
        self._door = make_app(service, port)
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        logging.getLogger("uvicorn.access").disabled = True  # paths may hold the token
        logging.getLogger("python_multipart").setLevel(logging.ERROR)  # the client is told
        super().__init__(
            uvicorn.Config(
                self._door,
                log_config=None,
                access_log=False,
                http="h11",
                ws="none",
                lifespan="off",
                server_header=False,
                proxy_headers=False,  # the door compares where a page is from with where it asked
                timeout_keep_alive=IDLE_S,
                timeout_graceful_shutdown=STOP_S + 1,  # by then the door has ended all answers
            )
        )
        self._task, self._ready = task, ready
        self._url = url_of(service.options, port)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        log.info("the server answers at %s", self._url)
        self._ready(self._url)

    async def main_loop(self) -> None:
        # uvicorn's own looks ten times a second whether a signal came, and keeps the date of its
        # answers; a cancel has to be seen sooner
        while not self._task.cancelled:
            await self.on_tick(0)
            await asyncio.sleep(POLL_S)
        self._door.stop(STOP_S)
        self.should_exit = True


def _is_news(record: logging.LogRecord) -> bool:
    # Java's HTTP clients, and so QuPath, offer an upgrade with every GET and do without it
    return not record.getMessage().startswith(
        ("Unsupported upgrade request", "No supported WebSocket library")
    )
