"""The door before the endpoints: who is let in, with how much, and what happens when a client leaves.

The real web server and the real door, over a socket; behind them an application of five lines.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI, Request, UploadFile
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp

from samdesk.domain.tasks import Task
from samdesk.server import Limits, ServerOptions, Service
from samdesk.server.door.asker import admit, check_host, names_of_this_computer, shown_path
from samdesk.server.errors import RequestError
from tests.server_rig import Rig, running

TOKEN = "s3cret-värd"
LIMITS = Limits(body_bytes=100_000, idle_s=0.2, body_s=0.5)


class Held:
    """A job that runs until it is cancelled, and what was seen of it."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.ended = threading.Event()

    def __call__(self, task: Task) -> None:
        self.begun.set()
        while not task.cancelled:
            self.ended.wait(0.005)
        self.ended.set()


class Behind:
    """The application behind the door, and what it was asked."""

    def __init__(self) -> None:
        self.held = Held()
        self.asked: list[str] = []
        self.streams = threading.Semaphore(0)
        self.streams_ended = threading.Semaphore(0)

    def __call__(self, service: Service) -> ASGIApp:
        app = FastAPI(docs_url=None)

        @app.get("/hello/{name}")
        async def hello(name: str, request: Request) -> dict[str, str]:
            self.asked.append(name)
            return {"path": request.url.path, "for": str(request.url_for("hello", name="x"))}

        @app.post("/echo")
        async def echo(request: Request) -> dict[str, int]:
            self.asked.append("echo")
            return {"bytes": len(await request.body())}

        @app.post("/file")
        async def file(file: UploadFile) -> dict[str, int]:
            return {"bytes": len(await file.read())}

        @app.post("/hold")
        async def hold() -> Response:
            await service.run("io", self.held)
            return JSONResponse({})

        @app.get("/events")
        async def events() -> StreamingResponse:
            return StreamingResponse(self._events(), media_type="text/event-stream")

        @app.get("/docs", include_in_schema=False)
        async def docs() -> Response:
            return Response("<html></html>", media_type="text/html")

        app.router.routes[:] = [
            route for route in app.router.routes if getattr(route, "name", "") != "swagger_ui_html"
        ]
        return app

    async def _events(self) -> AsyncIterator[str]:
        try:
            while True:
                yield "data: 1\n\n"
                self.streams.release()
                await asyncio.sleep(0.01)
        finally:
            self.streams_ended.release()


@pytest.fixture(scope="module")
def behind() -> Behind:
    return Behind()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, behind: Behind) -> Iterator[Rig]:
    options = ServerOptions(limits=LIMITS)
    with running(tmp_path_factory.mktemp("door"), options, app=behind) as one:
        yield one


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A server that asks for a token."""
    with running(tmp_path_factory.mktemp("locked"), ServerOptions(token=TOKEN), app=Behind()) as one:
        yield one


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that a client does is worth a warning."""
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    yield
    loud = [one for one in caplog.get_records("call") if one.levelno >= logging.WARNING]
    assert not [(one.name, one.getMessage()) for one in loud]


def test_programs_are_let_in(rig: Rig) -> None:
    assert rig.client.get("/hello/you").json()["path"] == "/hello/you"
    assert rig.client.post("/echo", json={"a": 1}).json() == {"bytes": 7}
    assert rig.client.post("/file", files={"file": b"x" * 2000}).json() == {"bytes": 2000}
    assert rig.client.post("/echo").json() == {"bytes": 0}


# the name it was called by


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:9", "[::1]"])
def test_its_own_names_may_be_asked_at_any_port(rig: Rig, host: str) -> None:
    assert rig.client.get("/hello/you", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "localhost:80@evil.example", "192.168.1.7", "0.0.0.0", "::1",
     "localhost:abc", "", "[::2]", "127.0.0.1.", "127.0.0.2", "2130706433", "xn--n3h.example",
     "localhost:123456"],
)  # fmt: skip
def test_a_name_that_leads_here_by_a_trick_is_refused(rig: Rig, behind: Behind, host: str) -> None:
    before = len(behind.asked)
    answer = rig.client.get("/hello/you", headers={"Host": host})
    assert answer.status_code == 421
    assert set(answer.json()) == {"error", "hint", "detail"}
    assert len(behind.asked) == before


def test_one_host_must_be_named(rig: Rig) -> None:
    status, _, body = rig.raw(b"GET /hello/you HTTP/1.0\r\n\r\n")
    assert (status, b"Host" in body) == (400, True)


def scope_of(**headers: str) -> dict[str, object]:
    return {
        "type": "http",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "headers": [(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()],
    }


def test_others_may_call_it_by_address_or_by_the_computers_name() -> None:
    options = ServerOptions(host="0.0.0.0", token=TOKEN)
    name = socket.gethostname().lower()
    names = names_of_this_computer(options)
    full = socket.getfqdn().lower()
    for host in (
        "192.168.1.7:8000",
        "[fe80::1]:8000",
        name,
        f"{name}:8000",
        full,
        "localhost:8000",
        "0.0.0.0",
    ):
        assert check_host(scope_of(host=host), options, 8000, names) == host
    for host in ("evil.example", f"{name}.evil.example", "1.2.3.4.evil.example"):
        with pytest.raises(RequestError) as told:
            check_host(scope_of(host=host), options, 8000, names)
        assert told.value.status == 421
    assert not names_of_this_computer(ServerOptions())


def test_the_full_name_is_asked_for_once_and_may_be_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def full_name() -> str:
        asked.append(1)
        return "ThisPC.uni.example"

    monkeypatch.setattr(socket, "getfqdn", full_name)
    with running(tmp_path, ServerOptions(host="0.0.0.0", token=TOKEN), app=Behind()) as rig:
        for host in ("thispc.uni.example", f"THISPC.uni.example:{rig.port}"):
            assert rig.client.get("/hello/you", headers={"Host": host}).status_code == 200
        assert rig.client.get("/hello/you", headers={"Host": "uni.example"}).status_code == 421
    assert len(asked) == 1


def test_the_name_it_was_told_to_listen_at_is_its_own() -> None:
    options = ServerOptions(host="Lab.example", token=TOKEN)
    assert check_host(scope_of(host="lab.example:8000"), options, 8000) == "lab.example:8000"


# the page that asks


def test_a_page_of_its_own_may_ask(rig: Rig) -> None:
    headers = {"Origin": rig.url, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    assert rig.client.post("/echo", json=1, headers=headers).status_code == 200
    typed = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}
    assert rig.client.get("/hello/you", headers=typed).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://localhost"},  # another port is another site
        {"Origin": "http://localhost:1"},
        {"Origin": "http://127.0.0.1:{port}"},
        {"Origin": "https://localhost:{port}"},
        {"Origin": "https://localhost:{port}", "X-Forwarded-Proto": "https"},
        {"Origin": "http://localhost:{port}/"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Site": "something-new"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
def test_a_page_of_another_site_may_not(
    rig: Rig, behind: Behind, method: str, headers: dict[str, str]
) -> None:
    before = len(behind.asked)
    sent = {key: value.format(port=rig.port) for key, value in headers.items()}
    answer = rig.client.request(method, "/hello/you", headers=sent)
    assert answer.status_code == 403
    assert len(behind.asked) == before


def test_a_link_may_lead_to_the_documentation_and_no_further(rig: Rig) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert rig.client.get("/docs", headers=link).status_code == 200
    assert rig.client.get("/docs", headers=link | {"Sec-Fetch-Dest": "iframe"}).status_code == 403
    assert rig.client.get("/openapi.json", headers=link).status_code == 403
    assert rig.client.post("/docs", headers=link).status_code == 403


def test_no_other_site_is_ever_told_that_it_may_ask(rig: Rig) -> None:
    asks = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for method, path, headers in (
        ("OPTIONS", "/echo", asks),
        ("OPTIONS", "/echo", asks | {"Origin": rig.url}),
        ("GET", "/hello/you", {"Origin": rig.url}),
        ("GET", "/nothing", {"Origin": rig.url}),
    ):
        answer = rig.client.request(method, path, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert method == "GET" or answer.status_code in (403, 405)


def test_answers_tell_browsers_to_be_careful(rig: Rig) -> None:
    answers = [
        rig.client.get("/hello/you"),
        rig.client.get("/nothing"),
        rig.client.get("/docs"),
        rig.client.get("/hello/you", headers={"Origin": "null"}),
    ]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
    assert "script-src" in answers[2].headers["content-security-policy"]
    assert "script-src" not in answers[0].headers["content-security-policy"]


# the token


def test_the_token_opens(locked: Rig) -> None:
    assert locked.client.get("/hello/you").status_code == 200
    with locked.another(token="") as bare:
        assert (
            bare.get("/hello/you", headers={"Authorization": f"bearer  {TOKEN}".encode()}).status_code == 200
        )
        inside = bare.get(f"/t/{TOKEN}/hello/you")
        assert inside.status_code == 200
        assert inside.json()["path"] == "/hello/you"
        assert "/t/" in inside.json()["for"]
        assert bare.get(f"/t/{TOKEN}/docs").status_code == 200
        servers = bare.get(f"/t/{TOKEN}/openapi.json").json()["servers"]
        assert servers == [{"url": f"/t/{TOKEN}"}]


def test_nothing_is_answered_without_it(locked: Rig) -> None:
    with locked.another(token="") as bare:
        paths = [
            "/hello/you",
            "/docs",
            "/openapi.json",
            "/health",
            "/nothing",
            "/t/",
            "/t//docs",
            "/t/x/docs",
        ]
        for path in (*paths, f"/t/{TOKEN}x/docs", f"/x/t/{TOKEN}/docs", f"/T/{TOKEN}/docs"):
            answer = bare.get(path)
            assert (path, answer.status_code) == (path, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
        for value in ("Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \xff"):
            shown = {"Authorization": value.encode("utf-8")}
            assert bare.get("/hello/you", headers=shown).status_code == 401


def test_a_wrong_token_is_told_from_none(locked: Rig) -> None:
    with locked.another(token="") as bare:
        for path, shown in (
            (f"/t/{TOKEN}x/docs", ""),
            ("/t/x", ""),
            ("/docs", "Bearer x"),
            ("/docs", "bearer x"),
        ):
            answer = bare.get(path, headers={"Authorization": shown} if shown else {})
            assert answer.json()["error"] == "The token is wrong."
        for path, shown in (("/docs", ""), ("/t/", ""), ("/docs", "Basic x"), ("/docs", "Bearer")):
            answer = bare.get(path, headers={"Authorization": shown} if shown else {})
            assert answer.json()["error"] == "This server asks for a token."


def test_the_token_opens_no_window_to_other_sites(locked: Rig) -> None:
    headers = {"Origin": "https://evil.example"}
    assert locked.client.get(f"/t/{TOKEN}/hello/you", headers=headers).status_code == 403
    assert locked.client.get("/hello/you", headers={"Host": "evil.example"}).status_code == 421


def test_the_token_is_never_told(locked: Rig, caplog: pytest.LogCaptureFixture) -> None:
    paths = (f"/t/{TOKEN}x/docs", f"/t/{TOKEN}/nothing", f"/t/{TOKEN}")
    with locked.another(token="") as bare:
        said = [bare.get(path).text for path in paths]
        said.append(bare.get("/docs", headers={"Authorization": f"Bearer {TOKEN}x".encode()}).text)
        said.append(bare.post(f"/t/{TOKEN}/echo", headers={"Origin": "null"}).text)
    mine = [one.getMessage() for one in caplog.records if one.name.startswith(("samdesk", "uvicorn"))]
    assert mine
    assert not [text for text in [*said, *mine] if "s3cret" in text]


def test_a_token_in_a_path_is_taken_out_wherever_the_path_is_seen() -> None:
    scope = scope_of() | {"path": f"/t/{TOKEN}/sam/x y/", "raw_path": b"/t/s3cret-v%C3%A4rd/sam/x%20y/"}
    inner = admit(scope, TOKEN)
    assert (inner["path"], inner["raw_path"]) == ("/sam/x y/", b"/sam/x%20y/")
    assert scope["path"] != inner["path"]


def test_paths_in_the_log_are_short_and_on_one_line() -> None:
    assert shown_path("/sam/\nINFO all is well") == "/sam/\\nINFO all is well"
    assert shown_path("/t/abc/sam/\n") == "/t/…/sam/\\n"
    assert len(shown_path("/" + "x" * 9000)) == 200


# what is sent along


def test_too_much_is_refused_before_it_is_sent(rig: Rig) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    status, headers, _ = rig.raw(head + b"Expect: 100-continue\r\nContent-Length: 100001\r\n\r\n")
    assert status == 413
    assert headers["content-type"] == "application/json"
    assert rig.client.post("/echo", content=b" " * 100_000, headers=JSON).json() == {"bytes": 100_000}
    assert rig.client.post("/echo", content=b" " * 3_000_000, headers=JSON).status_code == 413


def test_too_much_in_pieces_is_refused_when_it_is_too_much(rig: Rig) -> None:
    pieces = (b" " * 9_000 for _ in range(1000))
    answer = rig.client.post("/echo", content=pieces, headers=JSON)
    assert answer.status_code == 413
    assert "0.1 MB" in answer.json()["error"]
    assert (
        rig.client.post("/echo", content=(b" " * 9_000 for _ in range(11)), headers=JSON).status_code == 200
    )


def test_json_may_be_less_than_a_picture(tmp_path: Path) -> None:
    limits = Limits(body_bytes=100_000, json_bytes=1_000)
    with running(tmp_path, ServerOptions(limits=limits), app=Behind()) as rig:

        def status(count: int, kind: str) -> int:
            pieces = (b" " * 100 for _ in range(count // 100))
            sent = {"Content-Type": kind}
            whole = rig.client.post("/echo", content=b" " * count, headers=sent).status_code
            assert rig.client.post("/echo", content=pieces, headers=sent).status_code == whole
            return whole

        for kind in ("application/json", "Application/JSON; charset=utf-8", "application/geo+json"):
            assert (status(1_000, kind), status(1_100, kind)) == (200, 413)
        assert (status(100_000, "image/png"), status(100_100, "image/png")) == (200, 413)


def test_bodies_that_come_at_the_same_time_are_limited_together(rig: Rig) -> None:
    head = b"POST /file HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    sent = head + b"Content-Length: 99999\r\n\r\n" + part.ljust(90_000, b"x")
    statuses = []
    with ExitStack() as all_plugs:
        plugs = [all_plugs.enter_context(rig.plug()) for _ in range(6)]
        for plug in plugs:
            plug.sendall(sent)
        for plug in plugs:
            plug.settimeout(5)
            statuses.append(plug.recv(12)[-3:])
    assert sorted(statuses) == [b"408"] * 4 + [b"503"] * 2
    rig.rest()
    assert rig.client.post("/echo", content=b" " * 100_000, headers=JSON).json() == {"bytes": 100_000}


def test_a_large_file_in_pieces_leaves_nothing_open(rig: Rig) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'

    def pieces() -> Iterator[bytes]:
        yield head
        for _ in range(300):
            yield b"x" * 10_000

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert rig.client.post("/file", content=pieces(), headers=kind).status_code == 413


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 415),
        ({"Content-Type": ""}, 415),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "text/plain; application/json"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "text/plain", "Content-Encoding": "identity"}, 415),
        (JSON | {"Content-Encoding": "gzip"}, 415),
        (JSON | {"Content-Encoding": "identity"}, 200),
        ({"Content-Type": "Application/JSON; charset=utf-8"}, 200),
        ({"Content-Type": "application/geo+json"}, 200),
        ({"Content-Type": "image/png"}, 200),
        ({"Content-Type": "application/octet-stream"}, 200),
    ],
    ids=str,
)
def test_only_what_a_page_cannot_send_unasked_is_taken(
    rig: Rig, headers: dict[str, str], status: int
) -> None:
    assert rig.client.post("/echo", content=b"{}", headers=headers).status_code == status


@pytest.mark.parametrize("pause_s", [None, 0.1], ids=["nothing more comes", "a byte now and then"])
def test_a_slow_body_is_given_up(rig: Rig, pause_s: float | None) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with rig.plug() as plug, rig.another() as beside:
        plug.sendall(head + b"Content-Length: 5000\r\n\r\n{")
        plug.settimeout(pause_s or 5)
        answer = b""
        while not answer:
            try:
                answer = plug.recv(9999)
            except TimeoutError:
                plug.sendall(b" ")
            assert beside.get("/hello/you").status_code == 200
        assert answer.startswith(b"HTTP/1.1 408 ")
        plug.settimeout(5)
        while plug.recv(9999):
            pass


# the client leaves


def test_the_job_of_a_client_that_leaves_is_cancelled(rig: Rig, behind: Behind) -> None:
    held = behind.held = Held()
    with rig.plug() as plug:
        plug.sendall(b"POST /hold HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        assert held.begun.wait(5)
        assert rig.client.get("/hello/you").status_code == 200
    assert held.ended.wait(5)
    rig.rest()
    assert rig.client.get("/hello/you").status_code == 200
    rig.wait(lambda: b'samdesk_requests_total{route="/hold",status="499"}' in rig.service.metrics.text(0, 0))


def test_a_client_that_leaves_before_its_body_is_here_is_forgotten(rig: Rig, behind: Behind) -> None:
    before = rig.service.metrics.text(0, 0).count(b'route="/file",status="499"')
    for sent in (b"", b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nxxx'):
        head = b"POST /file HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        with rig.plug() as plug:
            plug.sendall(head + b"Content-Length: 9000\r\n\r\n" + sent)
    rig.wait(lambda: rig.service.metrics.text(0, 0).count(b'route="/file",status="499"') > before)
    assert rig.client.get("/hello/you").status_code == 200


def test_a_stream_of_events_ends_when_its_client_leaves(rig: Rig, behind: Behind) -> None:
    with rig.another() as client, client.stream("GET", "/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert next(answer.iter_text())
        assert behind.streams.acquire(timeout=5)
    assert behind.streams_ended.acquire(timeout=5)


def test_stopping_ends_streams_and_what_is_not_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("samdesk.server.run.STOP_S", 0.2)
    behind = Behind()
    with running(tmp_path, app=behind) as rig, rig.plug() as held, rig.plug() as stream:
        held.sendall(b"POST /hold HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        stream.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert behind.held.begun.wait(5)
        assert behind.streams.acquire(timeout=5)
        rig.serving.cancel()
        assert b"\r\n0\r\n\r\n" in read(stream)
        assert behind.streams_ended.acquire(timeout=5)
        assert read(held).startswith(b"HTTP/1.1 503 ")
        assert behind.held.ended.wait(5)


def read(plug: socket.socket) -> bytes:
    """All that comes until the other side ends."""
    data = b""
    while part := plug.recv(65536):
        data += part
    return data


# what all endpoints have in common


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """All endpoints behind the door, and a token."""
    with running(tmp_path_factory.mktemp("whole"), ServerOptions(token=TOKEN)) as one:
        yield one


def test_the_first_page_is_the_documentation(whole: Rig) -> None:
    with whole.another(token="") as bare:
        for before, path, client in (
            ("", "/", whole.client),
            (f"/t/{TOKEN}", f"/t/{TOKEN}/", bare),
            (f"/t/{TOKEN}", f"/t/{TOKEN}", bare),
        ):
            answer = client.get(path, follow_redirects=True)
            assert (answer.status_code, answer.url.path) == (200, f"{before}/docs")
            assert "swagger" in answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/weights/"), ("GET", "/weights"), ("POST", "/automask/"), ("POST", "/"), ("GET", "/progress/")],
)
def test_a_server_url_without_sam_is_told(whole: Rig, method: str, path: str) -> None:
    before = len(whole.failed)
    answer = whole.client.request(method, path)
    assert answer.status_code in (404, 405)
    told = answer.json()
    assert f"/sam{path}" in told["error"]
    assert f"http://localhost:{whole.port}/sam/" in told["hint"]
    whole.wait(lambda: len(whole.failed) > before)  # the window tells it too
    with whole.another(token="") as bare:
        inside = bare.request(method, f"/t/{TOKEN}{path}").json()["hint"]
    assert f"http://localhost:{whole.port}/t/TOKEN/sam/" in inside


def test_what_is_nowhere_is_told_without_a_window(whole: Rig) -> None:
    before = len(whole.failed)
    for path in ("/nothing", "/sam/nothing/", "/api/v1/nothing", "/sam/sam/"):
        answer = whole.client.get(path)
        assert answer.status_code == 404
        assert answer.json()["hint"] == "/docs lists what there is."
    assert len(whole.failed) == before


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/api/v1/segment", b'{"a": ', "The body is no JSON: Expecting value at character 6."),
        ("/api/v1/segment", b"", "A body is needed, and there is none."),
        ("/api/v1/segment", b"[1]", 'the body: an object is needed here, as {"name": value}'),
        ("/api/v1/segment", b'{"prompts": [[1, 2]]}',
         'prompts.0: an object is needed here, as {"name": value}'),
        ("/sam/", b'{"type": "vit_b", "b64img": "", "bbox": [1]}', "bbox"),
        ("/sam/", b'{"type": "vit_b", "b64img": "", "point_coords": ["a"]}', "point_coords.0"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_with_a_body_is_told_in_one_line(whole: Rig, path: str, body: bytes, told: str) -> None:
    answer = whole.client.post(path, content=body, headers=JSON)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error.startswith(told)
    assert "Value error" not in error
    assert "\n" not in error


def test_of_many_errors_in_a_body_the_first_are_told(whole: Rig) -> None:
    coords = ["a"] * 500
    body = {"type": "vit_b", "b64img": "", "point_coords": coords, "point_labels": [1] * 500}
    answer = whole.client.post("/sam/", json=body)
    assert answer.status_code == 422
    assert 1 <= len(answer.json()["detail"]) <= 10


# the rest


def test_answers_are_counted_by_route(rig: Rig) -> None:
    rig.client.get("/hello/one")
    rig.client.get("/hello/two")
    rig.client.get("/what/ever/42")
    rig.client.get("/hello/one", headers={"Origin": "null"})
    text = rig.service.metrics.text(0, 0).decode()
    assert 'samdesk_requests_total{route="/hello/{name}",status="200"}' in text
    assert 'samdesk_requests_total{route="other",status="404"}' in text
    assert 'samdesk_requests_total{route="other",status="403"}' in text
    assert "42" not in {
        line.split('route="')[1].split('"')[0] for line in text.splitlines() if 'route="' in line
    }


@pytest.mark.parametrize(
    ("line", "statuses"),
    [
        (b"HEAD /hello/you", {200, 405}),
        (b"TRACE /hello/you", {405}),
        (b"OPTIONS /hello/you", {405}),
        (b"OPTIONS *", {400}),
        (b"BREW /hello/you", {405}),
        (b"CONNECT evil.example:443", {400}),
        (b"GET http://evil.example/hello/you", {400}),
        (b"GET //evil.example/hello/you", {404}),
        (b"GET /hello/%00", {200}),
        (b"GET /hello/%ff%fe", {200}),
        (b"GET /hello/../../etc/passwd", {404}),
        (b"GET /" + b"x" * 20_000, {404}),
    ],
    ids=lambda value: value[:40].decode() if isinstance(value, bytes) else "",
)
def test_odd_requests_are_answered(rig: Rig, line: bytes, statuses: set[int]) -> None:
    status, _, _ = rig.raw(line + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert status in statuses


def test_an_offer_to_upgrade_is_passed_over_in_silence(rig: Rig) -> None:
    for offer in (b"TLS/1.2", b"h2c", b"websocket"):
        sent = b"GET /hello/you HTTP/1.1\r\nHost: localhost\r\nUpgrade: %s\r\nConnection: Upgrade\r\n\r\n"
        status, headers, body = rig.raw(sent % offer)
        assert (status, body[:2]) == (200, b'{"')
        assert "upgrade" not in headers


def test_a_port_that_is_taken_is_named(rig: Rig, tmp_path: Path) -> None:
    from samdesk.server.run import listen

    with pytest.raises(Exception, match=f"Port {rig.port} is taken"):
        listen(replace(rig.service.options, port=rig.port))
    with pytest.raises(Exception, match="token"):
        listen(ServerOptions(host="0.0.0.0", port=0))
