"""`samdesk serve` as a user starts it, asked by two HTTP clients, and by clients that behave badly."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

import samdesk
from samdesk.domain.tasks import Task
from samdesk.engines.base import Embedding
from samdesk.server import Limits, ServerOptions
from tests.fakes import FakeEngine
from tests.server_rig import Rig, base64_text, disc, exchange, png, running

WAIT_S = 30
CURL = shutil.which("curl")
SIDE = 256

POST = (
    b"POST /sam/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)
TOLD = (
    "/health",
    "/metrics",
    "/docs",
    "/openapi.json",
    "/api/v1/health",
    "/api/v1/models",
    "/sam/progress/",
    "/sam/version/",
    "/sam/weights/",
    "/v1/healthz",
)
"""What must be answered at any time."""


def environment(home: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SAMDESK_")}
    return kept | {"SAMDESK_HOME": str(home), "PYTHONUNBUFFERED": "1"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "samdesk", "serve", *arguments]


@dataclass
class Served:
    """A server process that answers."""

    process: subprocess.Popen[str]
    url: str
    home: Path

    @property
    def port(self) -> int:
        return httpx.URL(self.url).port or 0

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Exit status after this signal, and what was said since it answered."""
        self.process.send_signal(number)
        said, _ = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, said


@contextmanager
def serving(home: Path) -> Iterator[Served]:
    process = subprocess.Popen(
        command("--port", "0"),
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        found = re.search(r"samdesk answers at (http://\S+)", first)
        assert found, first + process.communicate(timeout=WAIT_S)[0]
        yield Served(process, found[1], home)
    finally:
        process.kill()
        process.wait(WAIT_S)
        process.stdout.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("home")) as one:
        yield one


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=WAIT_S, trust_env=False) as one:
        yield one


def prompt(pixels: NDArray[np.uint8], x: float, y: float) -> dict[str, Any]:
    """What QuPath's SAM extension sends for a point, to the model without weights."""
    return {
        "type": "vit_h",
        "point_coords": [[int(x), int(y)]],
        "point_labels": [1],
        "b64img": base64_text(png(pixels)),
        "b64mask": None,
        "multimask_output": False,
        "checkpoint_url": "samdesk:classical",
    }


def centroid(answer: httpx.Response) -> tuple[float, float]:
    assert answer.status_code == 200, answer.text
    (feature,) = answer.json()
    center = shapely.from_geojson(str(feature["geometry"]).replace("'", '"')).centroid
    return center.x, center.y


def curl(*arguments: str, sent: bytes = b"") -> tuple[bytes, bytes]:
    """Headers and body of what curl was answered."""
    assert CURL is not None
    done = subprocess.run(
        [
            CURL,
            "--silent",
            "--show-error",
            "--max-time",
            str(WAIT_S),
            "--noproxy",
            "*",
            "--include",
            *arguments,
        ],
        input=sent,
        capture_output=True,
        check=True,
    )
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    return head, body


def test_it_answers_before_a_model_is_loaded_and_loads_none_until_asked(
    served: Served, client: httpx.Client
) -> None:
    assert client.get("/health").json()["version"] == samdesk.__version__
    assert client.get("/sam/version/").status_code == 200
    assert client.get("/sam/weights/", params={"type": "vit_h"}).json()
    assert client.get("/api/v1/models").status_code == 200
    assert client.get("/docs").status_code == 200
    assert centroid(client.post("/sam/", json=prompt(disc(), 100, 90))) == pytest.approx((100, 90), abs=0.5)
    maps = Path(f"/proc/{served.process.pid}/maps")
    if maps.exists():  # what is loaded can be seen from outside on Linux only
        loaded = maps.read_text()
        assert "python" in loaded
        assert "libtorch" not in loaded


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
def test_curl_is_answered_as_well(served: Served, tmp_path: Path) -> None:
    head, body = curl(f"{served.url}/sam/version/")
    assert head.startswith(b"HTTP/1.1 200")
    assert body
    # curl gives this body only after it was told to go on
    sent = json.dumps(prompt(np.tile(disc(), (4, 4, 1)), 100, 90)).encode()
    head, body = curl(
        "-H", "Content-Type: application/json", "-H", "Expect: 100-continue", "--data-binary", "@-",
        f"{served.url}/sam/", sent=sent,
    )  # fmt: skip
    assert b"100 Continue" in head
    assert b"Polygon" in body
    head, body = curl("-I", f"{served.url}/health")
    assert head.split()[1] in (b"200", b"405")
    head, body = curl("--ipv4", "--http1.0", f"http://127.0.0.1:{served.port}/health")
    assert b'"version"' in body


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
def test_long_answers_are_compressed_for_who_can_read_it(served: Served, client: httpx.Client) -> None:
    answer = client.get("/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    plain = client.get("/openapi.json", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert answer.json() == plain.json()
    assert int(answer.headers["content-length"]) < len(plain.content) / 4
    head, body = curl("--compressed", f"{served.url}/openapi.json")
    assert b"content-encoding: gzip" in head.lower()
    assert body == plain.content


def test_javas_offer_to_upgrade_is_passed_over(served: Served) -> None:
    head = (
        f"GET /sam/version/ HTTP/1.1\r\nAccept: text/plain\r\nHost: localhost:{served.port}\r\n"
        "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\nAccept-Encoding: gzip, x-gzip, deflate\r\n"
        "User-Agent: Apache-HttpClient/5.4.1 (Java/21)\r\n\r\n"
    )
    with socket.create_connection(("localhost", served.port), WAIT_S) as plug:
        for _ in range(2):  # the connection goes on
            status, headers, body = exchange(plug, head.encode())
            assert (status, "upgrade" in headers) == (200, False)
            assert body


def test_sixteen_clients_at_once_get_each_their_own_answer(served: Served) -> None:
    rng = np.random.default_rng(6)
    centers = [tuple(place) for place in rng.uniform(60, 190, (12, 2))] + [(128.0, 128.0)] * 4
    # four share a picture, and all ask twice, so that pictures are new and known
    asked = [prompt(disc((SIDE, SIDE), center, 30), *center) for center in centers]
    gate = threading.Barrier(len(centers))

    def ask(number: int) -> list[tuple[float, float]]:
        with httpx.Client(base_url=served.url, timeout=WAIT_S, trust_env=False) as one:
            gate.wait(WAIT_S)
            found = [centroid(one.post("/sam/", json=asked[number])) for _ in range(2)]
            assert one.get("/sam/progress/").status_code == 200
            return found

    with ThreadPoolExecutor(len(centers)) as pool:
        answers = list(pool.map(ask, range(len(centers))))
    for center, (first, second) in zip(centers, answers, strict=True):
        assert first == second
        assert first == pytest.approx(center, abs=0.5)


def test_a_second_server_is_told_that_the_port_is_taken(served: Served) -> None:
    done = subprocess.run(
        command("--port", str(served.port)), env=environment(served.home), capture_output=True, timeout=WAIT_S
    )
    assert done.returncode == 1
    assert f"Port {served.port} is taken" in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_other_computers_are_not_served_without_a_token(tmp_path: Path) -> None:
    done = subprocess.run(
        command("--host", "0.0.0.0", "--port", "0"),
        env=environment(tmp_path),
        capture_output=True,
        timeout=WAIT_S,
    )
    assert done.returncode == 1
    assert b"token" in done.stderr
    assert b"answers at" not in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="another process cannot be sent Ctrl+C there")
def test_ctrl_c_ends_it_in_the_middle_of_its_work_and_frees_the_port(tmp_path: Path) -> None:
    with serving(tmp_path) as one, socket.create_connection(("127.0.0.1", one.port), WAIT_S) as half:
        half.sendall(POST % 99 + b"{")
        assert httpx.get(f"{one.url}/health", trust_env=False).status_code == 200
        status, said = one.end()
        assert status in (0, 130)
        assert "Traceback" not in said
        with socket.create_server(("127.0.0.1", one.port)) as free:
            assert free.getsockname()[1] == one.port


# in this process, where a model can be made to wait


class SlowEngine(FakeEngine):
    """Encodes until it is let go or cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Semaphore(0)
        self.cancelled = threading.Semaphore(0)
        self.go = threading.Event()

    def encode(self, chip: NDArray[np.uint8], task: Task) -> Embedding:
        self.begun.release()
        while not self.go.wait(0.005):
            if task.cancelled:
                self.cancelled.release()
            task.check()
        return super().encode(chip, task)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    options = ServerOptions(limits=Limits(idle_s=0.3, body_s=2.0, body_bytes=1_000_000))
    with running(tmp_path_factory.mktemp("server"), options) as one:
        yield one


@pytest.fixture
def slow(rig: Rig) -> Iterator[SlowEngine]:
    engine = SlowEngine()
    rig.use(engine)
    yield engine
    engine.go.set()
    rig.forget()


def body_of(sent: dict[str, Any]) -> bytes:
    body = json.dumps(sent).encode()
    return POST % len(body) + body


def test_status_is_told_while_a_model_works(rig: Rig, slow: SlowEngine) -> None:
    with rig.plug() as plug:
        plug.sendall(body_of(prompt(disc(), 100, 90)))
        assert slow.begun.acquire(timeout=WAIT_S)
        for path in TOLD:
            assert (path, rig.client.get(path).status_code) == (path, 200)
        assert "samdesk_waiting 1.0" in rig.client.get("/metrics").text
        slow.go.set()
        assert plug.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_what_a_client_asked_that_has_left_is_not_done(rig: Rig, slow: SlowEngine) -> None:
    left = [rig.plug() for _ in range(3)]
    for number, plug in enumerate(left):
        plug.sendall(body_of(prompt(disc(center=(100.0 + number, 90.0)), 100, 90)))
    assert slow.begun.acquire(timeout=WAIT_S)
    rig.wait(lambda: rig.service.waiting == 3)
    for plug in left:
        plug.close()
    assert slow.cancelled.acquire(timeout=WAIT_S)
    rig.rest()
    assert slow.encoded == 0
    assert not slow.begun.acquire(blocking=False)  # the two that waited never began
    slow.go.set()
    found = centroid(rig.client.post("/sam/", json=prompt(disc(), 100, 90)))
    assert found == pytest.approx((100.5, 90.5), abs=0.5)
    assert rig.service.waiting == 0
    assert not rig.failed


def test_an_upload_that_never_ends_is_given_up_and_harms_nobody(rig: Rig) -> None:
    whole = body_of(prompt(disc(), 100, 90))
    with rig.plug() as plug:
        plug.sendall(whole[:-10])
        assert rig.client.post("/sam/", json=prompt(disc(), 100, 90)).status_code == 200
        answer = b"".join(iter(lambda: plug.recv(65536), b""))  # until the server closes
        assert answer.startswith(b"HTTP/1.1 408 ")
    rig.rest()


def test_too_large_a_picture_is_refused_with_words(rig: Rig) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (700, 700, 3), np.uint8)
    answer = rig.client.post("/sam/", json=prompt(noise, 1, 1))
    assert answer.status_code == 413
    assert "MB" in answer.json()["error"]


def routes(rig: Rig) -> list[tuple[str, str]]:
    """Every method and path of the API, with something in the place of what is variable."""
    described = rig.client.get("/openapi.json").json()["paths"]
    named = [
        (method, re.sub(r"\{\w+\}", "x", path)) for path, methods in described.items() for method in methods
    ]
    return [*named, ("get", "/docs"), ("get", "/openapi.json"), ("get", "/metrics")]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ],
    ids=str,
)
def test_a_page_in_a_browser_cannot_drive_it(rig: Rig, headers: dict[str, str]) -> None:
    for method, path in routes(rig):
        for kind in ("application/json", "text/plain"):
            answer = rig.client.request(
                method,
                path,
                headers=headers | {"Content-Type": kind},
                content=b"{}" if method != "get" else None,
            )
            assert (path, answer.status_code) in ((path, 403), (path, 421))
            assert not [name for name in answer.headers if name.startswith("access-control")]


def test_no_route_takes_what_a_form_can_send(rig: Rig) -> None:
    for method, path in routes(rig):
        if method in ("post", "put", "patch"):
            for kind in ("text/plain", "application/x-www-form-urlencoded"):
                answer = rig.client.request(method, path, headers={"Content-Type": kind}, content=b'{"a=":1}')
                assert (path, answer.status_code) == (path, 415)
