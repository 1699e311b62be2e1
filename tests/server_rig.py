"""A real samdesk server on a port of its own, in this process, for all tests of the server.

Use: `with running(tmp_path) as rig: rig.client.get("/health")`, or the fixture `rig` of
tests/unit/server/conftest.py, which many tests share. `rig.url`, `rig.service` and `rig.jobs`
are the address, the `Service` and the lanes; `rig.use(engine)` puts a fake in the place of the
model without weights; `rig.seed("vit_t")` or `rig.seed("sam2_t")` (slow: torch is loaded and a
file written) gives that type a weight of arbitrary numbers. The test's thread is the client,
so a thread of the rig's own plays the program's main thread; `rig.on_main` runs a function there.
"""

from __future__ import annotations

import base64
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.types import ASGIApp

from samdesk.app.downloads import Downloads
from samdesk.app.jobs import Job, Jobs, MainQueue
from samdesk.domain.errors import SamdeskError
from samdesk.engines.base import Engine
from samdesk.engines.cache import EmbeddingStore
from samdesk.sdk import Segmenter
from samdesk.server import ServerOptions, Service, run, serve
from samdesk.server.door import Door
from samdesk.weights import Registry, Weight

T = TypeVar("T")

SHIPPED = Path(__file__).parents[1] / "weights.json"
WAIT_S = 20.0
ANY_PORT = ServerOptions(port=0)


class Rig:
    """The server, running until `stop`.

    Parameters
    ----------
    folder : Path
        Where the registry, its weights and whatever else is written belong; the user's folders
        are below it as long as the server runs.
    options : ServerOptions
        The port is always any that is free.
    default_model : str, optional
        Key of the model that answers who names none.
    shipped : Path, optional
        Registry that "came with the program"; by default the real one. Nothing is downloaded
        unless a test asks for it.
    app : callable, optional
        Makes an application from the service that stands in the place of all endpoints, behind
        the real door.

    Attributes
    ----------
    url : str
        As "http://localhost:51234".
    port : int
    client : httpx.Client
        With `url` before its paths, and the token if there is one.
    failed : list of Job
        Jobs that failed, in order.
    """

    def __init__(
        self,
        folder: Path,
        options: ServerOptions = ANY_PORT,
        default_model: str = "classical",
        shipped: Path = SHIPPED,
        app: Callable[[Service], ASGIApp] | None = None,
    ) -> None:
        self.folder = folder
        self._environment = pytest.MonkeyPatch()
        self._environment.setenv("SAMDESK_HOME", str(folder / "home"))
        self.main = MainQueue()
        self._ended = threading.Event()
        self._pump = threading.Thread(target=self._run_main, name="rig-main", daemon=True)
        self._pump.start()
        self.failed: list[Job[object]] = []
        self.jobs = Jobs(self.main)
        self.jobs.failed.connect(lambda job: self.failed.append(job))
        self.registry = Registry(shipped, folder / "weights" / "weights.json", folder / "weights")
        self.store = EmbeddingStore()
        self.service = Service(
            self.jobs,
            Downloads(self.jobs, self.registry),
            self.store,
            replace(options, port=0),
            lambda: default_model,
        )
        self.url = ""
        try:
            with pytest.MonkeyPatch.context() as patch:
                if app is not None:
                    patch.setattr(run, "make_app", lambda service, port: Door(app(service), service, port))
                self.serving = self._serve()
            self.port = httpx.URL(self.url).port or 0
            self.client = self.another()
        except BaseException:
            self._close()
            raise

    def _serve(self) -> Job[None]:
        told: Future[str] = Future()
        job = serve(self.service, told.set_result)
        while not told.done():
            if job.finished:
                raise job.error or SamdeskError("The server stopped.")
            try:
                told.result(0.01)
            except TimeoutError:
                continue
        self.url = told.result()
        return job

    def _run_main(self) -> None:
        self.main.run_until(self._ended.is_set, 3600)
        self.main.drain()

    def another(self, token: str | None = None, **options: object) -> httpx.Client:
        """One more client, with connections of its own; the caller closes it."""
        token = self.service.options.token if token is None else token
        headers = {"Authorization": f"Bearer {token}".encode()} if token else {}
        settings: dict[str, object] = {"base_url": self.url, "headers": headers, "timeout": WAIT_S}
        return httpx.Client(**(settings | {"trust_env": False} | options))  # type: ignore[arg-type]

    def plug(self) -> socket.socket:
        """A bare connection, for what no library would say; the caller closes it."""
        return socket.create_connection(("127.0.0.1", self.port), WAIT_S)

    def raw(self, sent: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send these bytes as they are; status, headers (names in lower case) and body of the answer."""
        with self.plug() as plug:
            return exchange(plug, sent)

    def on_main(self, function: Callable[[], T]) -> T:
        """Run a function on the thread that plays the main one; its result, or what it raised."""
        result: Future[T] = Future()

        def call() -> None:
            try:
                result.set_result(function())
            except BaseException as error:
                result.set_exception(error)

        self.main(call)
        return result.result(WAIT_S)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Until a condition holds.

        Raises
        ------
        TimeoutError
        """
        tick, left = threading.Event(), WAIT_S
        while not condition():
            if left <= 0:
                raise TimeoutError(f"waited {WAIT_S:g} s")
            tick.wait(0.005)
            left -= 0.005

    def rest(self) -> None:
        """Until no request waits and every lane but the server's own is idle."""
        lanes = [lane for name, lane in self.jobs._lanes.items() if name != "serve"]
        self.wait(lambda: not self.service.waiting and all(lane.idle for lane in lanes))

    def use(self, engine: Engine, key: str = "classical") -> Segmenter:
        """Answer with this engine whoever asks for the model `key`; until `forget`."""
        segmenter = Segmenter(engine, self.store)
        self.service._segmenters[self.service.made_from(self.service.choose(key))] = segmenter
        return segmenter

    def forget(self) -> None:
        """Let go of all models and embeddings, as if the server had just been started."""
        self.rest()
        self.service._segmenters.clear()
        self.store.memory.clear()

    def seed(self, type: str) -> Weight:
        """A weight of this model type ("vit_t", "sam2_t") whose file is here; written once."""
        name = f"Seeded {type}"
        known = [weight for weight in self.registry.weights if weight.name == name]
        if known:
            return known[0]
        from tests.engines.seeded_sam import mobile_sam_checkpoint
        from tests.engines.seeded_sam2 import sam2_checkpoint

        makers = {"vit_t": mobile_sam_checkpoint, "sam2_t": sam2_checkpoint}
        path = makers[type](self.folder)
        url = f"https://example.org/{path.name}"
        return self.on_main(lambda: self.registry.add(name, type=type, url=url, reference=path))

    def stop(self) -> None:
        """End the server and all threads.

        Raises
        ------
        AssertionError
            When a thread is left.
        """
        self.client.close()
        self._close()
        left = [one.name for lane in self.jobs._lanes.values() for one in lane._threads if one.is_alive()]
        assert not left, f"these threads did not end: {left}"

    def _close(self) -> None:
        if hasattr(self, "serving"):
            self.serving.cancel()
            self.jobs.lane("serve").flush(WAIT_S)
        self.jobs.close(WAIT_S)
        self._ended.set()
        self.main(lambda: None)
        self._pump.join(WAIT_S)
        self._environment.undo()


@contextmanager
def running(
    folder: Path,
    options: ServerOptions = ANY_PORT,
    default_model: str = "classical",
    shipped: Path = SHIPPED,
    app: Callable[[Service], ASGIApp] | None = None,
) -> Iterator[Rig]:
    """A server of one's own; stopped at the end, however that comes."""
    rig = Rig(folder, options, default_model, shipped, app)
    try:
        yield rig
    finally:
        rig.stop()


def exchange(plug: socket.socket, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send these bytes as they are; status, headers (names in lower case) and body of the answer."""
    plug.sendall(sent)
    with http.client.HTTPResponse(plug, method=sent.partition(b" ")[0].decode()) as answer:
        answer.begin()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()


def disc(
    size: tuple[int, int] = (256, 192), center: tuple[float, float] = (100.0, 90.0), radius: float = 40.0
) -> NDArray[np.uint8]:
    """A bright disc on dark ground, (h, w, 3) RGB; center in pixels on edges."""
    ys, xs = np.mgrid[: size[1], : size[0]] + 0.5
    inside = np.hypot(xs - center[0], ys - center[1]) < radius
    return np.where(inside[..., None], np.uint8([230, 200, 210]), np.uint8([30, 40, 50]))


def png(pixels: NDArray[np.uint8]) -> bytes:
    """RGB or grey pixels as a PNG file."""
    done, data = cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    assert done
    return data.tobytes()


def base64_text(data: bytes) -> str:
    """As clients put a file into JSON."""
    return base64.b64encode(data).decode("ascii")
