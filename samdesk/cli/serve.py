"""`samdesk serve`: the local server without a window. Must not know the other commands."""

from __future__ import annotations

import argparse
import logging
import math
import os
import re
import secrets
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from samdesk import paths
from samdesk.app.downloads import Downloads
from samdesk.app.jobs import Job, Jobs, MainQueue
from samdesk.app.logfile import keep_log
from samdesk.app.settings import Settings
from samdesk.domain.errors import SamdeskError
from samdesk.engines.base import engine_spec
from samdesk.engines.cache import open_store
from samdesk.sdk import find_weights
from samdesk.server import PORT, ServerOptions, Service, serve
from samdesk.weights import Registry, default_registry

from .options import add_device, add_model

log = logging.getLogger(__name__)

EPILOG = """\
In QuPath: Extensions > SAM, Server URL http://localhost:8000/sam/
What else there is to ask: http://localhost:8000/docs

examples:
  samdesk serve                                  programs of this computer may ask
  samdesk serve --engine sam2_t                  this model answers who names none
  samdesk serve --images slides                  images of this folder can be opened by their path
  samdesk serve --host 0.0.0.0 --token new       other computers may ask, with the token that is printed

Other computers need a token: as "Authorization: Bearer TOKEN", or in the address where a program
has no room for it, as QuPath: http://HOST:8000/t/TOKEN/sam/
The connection is not encrypted. Ctrl+C stops the server.
exit status: 0 stopped, 1 an error that was told, 2 wrong usage
"""

ANSWERS = "samdesk.server.run"
"""Whose log tells what standard output tells here."""

TOKEN_VARIABLE = "SAMDESK_TOKEN"

SHORTEST_TOKEN = 16
"""Shorter ones could be found by trying."""

LATE_S = 0.5
"""Within this time a request tells why its job failed, if it is one of a request."""

STOP_S = 2.5
"""What is under way may take so long to end."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `run_serve`."""
    parser.add_argument("--host", default="127.0.0.1", metavar="H",
                        help="address to listen at (127.0.0.1: this computer alone)")  # fmt: skip
    parser.add_argument(
        "--port", type=_port, default=PORT, metavar="N", help=f"port; 0 takes a free one ({PORT})"
    )
    token = parser.add_mutually_exclusive_group()
    token.add_argument("--token", metavar="T", help='what clients must show; "new" makes one and prints it')
    token.add_argument("--token-file", type=Path, metavar="FILE",
                       help=f"file that holds the token (or the variable {TOKEN_VARIABLE})")  # fmt: skip
    parser.add_argument("--images", type=Path, nargs="+", action="extend", default=[], metavar="DIR",
                        help="folders from which images may be opened by their path (none)")  # fmt: skip
    add_model(parser, "classical")
    add_device(parser)


def run_serve(options: argparse.Namespace) -> int:
    """Answer until Ctrl+C; 0 then."""
    token = token_of(options.token, options.token_file)
    chosen = ServerOptions(options.host, options.port, token, folders_of(options.images), options.device)
    if not chosen.is_local and not token:
        raise SamdeskError(
            f"Other computers could use the server at {options.host} without being asked for a token.",
            f"Add --token new, which makes one and prints it, or --token-file, or set {TOKEN_VARIABLE}.",
        )
    registry = default_registry()
    model = model_key(options.engine, options.weights, registry)
    keep_log()
    settings = Settings(paths.config_dir() / "settings.json")
    store = open_store(int(settings["embeddings_mb"]) << 20, int(settings["embeddings_disk_mb"]) << 20)
    queue = MainQueue()
    jobs = Jobs(queue)
    store.later = lambda write: jobs.lane("io").submit(lambda task: write(), priority=9)
    service = Service(jobs, Downloads(jobs, registry), store, chosen, lambda: model)
    made = token if options.token == "new" else ""
    job = serve(service, lambda url: print("\n".join(greeting(url, chosen, made)), flush=True))
    with _stop_asked() as asked, _told(jobs, job) as tell_late:

        def is_over() -> bool:
            tell_late()
            return bool(asked) or job.finished

        queue.run_until(is_over, timeout=math.inf)
        _stop(jobs, job, queue)
    if job.error is not None:
        raise job.error
    return 0


def token_of(token: str | None, file: Path | None) -> str:
    """The token that was given, or a new one; empty for none.

    Raises
    ------
    SamdeskError
        When its file cannot be read, or it is too short or cannot stand in an address.
    """
    if token == "new":
        return secrets.token_urlsafe(24)
    if file is not None:
        try:
            token = file.expanduser().read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise SamdeskError(
                f"The token file {file} cannot be read: {error}.", "Check the path."
            ) from error
    elif token is None:
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token:
            return ""
    if not re.fullmatch(rf"[A-Za-z0-9._~-]{{{SHORTEST_TOKEN},200}}", token):
        raise SamdeskError(
            f"A token is {SHORTEST_TOKEN} to 200 letters, digits, dots, dashes and underscores.",
            "--token new makes one.",
        )
    return token


def folders_of(given: Sequence[Path]) -> tuple[Path, ...]:
    """The folders, absolute.

    Raises
    ------
    SamdeskError
        When one is no folder.
    """
    folders = tuple(path.expanduser().resolve() for path in given)
    for path in folders:
        if not path.is_dir():
            raise SamdeskError(f"{path} is not a folder.", "Give --images folders that are there.")
    return folders


def model_key(engine: str | None, weights: str | None, registry: Registry) -> str:
    """The key of the model that answers who names none, as `Service.choose` takes it.

    Raises
    ------
    SamdeskError
        When it is not on this computer, or has no name that clients could use.
    """
    spec = None if engine is None else engine_spec(engine)
    if spec is not None and not spec.needs_weights and weights is not None:
        raise SamdeskError(f"{spec.title} takes no weights.", "Leave the weights out.")
    if weights is None and (spec is None or not spec.needs_weights):
        return "classical"
    path, _ = find_weights(engine, weights, registry)
    for weight in registry.weights:
        if weight.type and registry.path(weight).resolve() == path.resolve():
            if spec is not None and weight.type != engine and engine != spec.name:
                raise SamdeskError(f"“{weight.name}” is {weight.type}, not {engine}.", "Leave --engine out.")
            return weight.name
    raise SamdeskError(
        f"{path.name} is in no list of weights: clients could not name it.",
        f"Add it first: samdesk weights import {path}",
    )


def greeting(url: str, options: ServerOptions, made: str = "") -> list[str]:
    """What is printed once it answers; `made` is a token that nobody knows yet."""
    if options.host in ("0.0.0.0", "::"):  # no address to ask at
        url = f"http://{socket.gethostname()}:{url.rpartition(':')[2]}"
    way = f"/t/{made or 'TOKEN'}" if options.token else ""
    lines = [
        f"samdesk answers at {url}",
        f"QuPath: Extensions > SAM, Server URL {url}{way}/sam/",
        f"What else there is to ask: {url}{way}/docs",
    ]
    return [*lines, f"The token is {made}"] if made else lines


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not a port")
    return port


def _stop(jobs: Jobs, job: Job[None], queue: MainQueue) -> None:
    job.cancel()
    try:
        # what is under way hears of its end on this thread
        queue.run_until(lambda: jobs.lane("serve").idle, timeout=STOP_S)
    except TimeoutError:
        log.info("requests were still under way")
    jobs.close(timeout=0.1)


@contextmanager
def _stop_asked() -> Iterator[list[int]]:
    """A list that is no longer empty once Ctrl+C or a request to end came; the second Ctrl+C is Python's."""
    asked: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(one) or signal.SIG_DFL for one in signals]

    def heard(number: int, _frame: object) -> None:
        asked.append(number)
        give_back()

    def give_back() -> None:
        for one, handler in zip(signals, before, strict=True):
            signal.signal(one, handler)

    for one in signals:
        signal.signal(one, heard)
    try:
        yield asked
    finally:
        give_back()


@contextmanager
def _told(jobs: Jobs, but: Job[None]) -> Iterator[Callable[[], None]]:
    """Tell on standard error what failed and what was refused; to be called again and again meanwhile."""
    spoken = _Spoken(but)
    log = logging.getLogger("samdesk.server")
    log.addHandler(spoken)
    jobs.failed.connect(spoken.failed)
    try:
        yield spoken.tell_late
    finally:
        jobs.failed.disconnect(spoken.failed)
        log.removeHandler(spoken)
        spoken.tell_late(0.0)


class _Spoken(logging.Handler):
    """One line for each failure; a request that was refused and the job that refused it are one.

    The job tells first, but only the request names its path: a job that failed is not told of
    before its request had time to.
    """

    def __init__(self, but: Job[None]) -> None:
        super().__init__(logging.INFO)
        self._but = but
        self._told: deque[SamdeskError] = deque(maxlen=64)
        self._late: deque[tuple[float, SamdeskError]] = deque()

    def failed(self, job: Job[Any]) -> None:
        if job is not self._but and job.error is not None:
            self._late.append((time.monotonic(), job.error))

    def tell_late(self, patience_s: float = LATE_S) -> None:
        """Tell of the jobs that failed so long ago, and that no request told of; on the main thread."""
        while self._late and self._late[0][0] <= time.monotonic() - patience_s:
            error = self._late.popleft()[1]
            if all(one is not error for one in [*self._told]):
                _say(str(error))

    def emit(self, record: logging.LogRecord) -> None:
        given = record.args if isinstance(record.args, tuple) else ()
        self._told.extend(one for one in given if isinstance(one, SamdeskError))
        if record.name != ANSWERS:
            _say(record.getMessage())


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
