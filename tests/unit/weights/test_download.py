"""Every way in which a server can misbehave ends in the right file or in the right error."""

from __future__ import annotations

import email.utils
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import xxhash

from samdesk.domain.errors import SamdeskError
from samdesk.weights import GatedError, Hash, Registry, Weight
from samdesk.weights.download import Patience, download
from tests.unit.weights.conftest import PAYLOAD, SHA256
from tests.weights_server import Reply, WeightsServer

GOOD = Reply(PAYLOAD)
OTHER = bytes(reversed(PAYLOAD))
HALF = len(PAYLOAD) // 2
PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>...</body></html>"
XXH128 = Hash("xxh128", xxhash.xxh3_128_hexdigest(PAYLOAD))


@dataclass(frozen=True)
class Case:
    """Replies, and what comes of them.

    Attributes
    ----------
    error : str
        Part of the message; empty when the file must come.
    asked : int or None
        How many requests it takes.
    weight : dict
        Changes of the registry's entry.
    """

    replies: list[Reply]
    error: str = ""
    asked: int | None = None
    weight: dict[str, Any] = field(default_factory=dict)


UNKNOWN = {"hash": None, "size": None}


def after(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


RIGHT = {
    "as it should be": Case([GOOD], asked=1),
    "nothing published about it": Case([GOOD], asked=1, weight=UNKNOWN),
    "published as xxh128": Case([GOOD], asked=1, weight={"hash": XXH128, "size": None}),
    "no length, closed at the end": Case([replace(GOOD, length=None)], asked=1),
    "chunked": Case([replace(GOOD, chunked=True)], asked=1),
    "chunked, nothing published": Case([replace(GOOD, chunked=True)], asked=1, weight=UNKNOWN),
    "zipped although not asked for": Case([replace(GOOD, zipped=True)], asked=1),
    "zipped and chunked": Case([replace(GOOD, zipped=True, chunked=True)], asked=1),
    "zipped and dropped": Case([replace(GOOD, zipped=True, drop_after=HALF), GOOD], asked=2),
    "in tiny blocks": Case([replace(GOOD, block=997)], asked=1),
    "called a page but none": Case([replace(GOOD, kind="text/html")], asked=1),
    "dropped mid-way": Case([replace(GOOD, drop_after=HALF), GOOD], asked=2),
    "reset mid-way": Case([replace(GOOD, drop_after=HALF, reset=True), GOOD], asked=2),
    "dropped mid-way, chunked": Case([replace(GOOD, drop_after=HALF, chunked=True), GOOD], asked=2),
    "dropped ten times": Case([replace(GOOD, drop_after=29_000)] * 10 + [GOOD], asked=11),
    "dropped before the first byte": Case([replace(GOOD, raw=b"")] * 2 + [GOOD], asked=3),
    "stalled mid-way": Case([replace(GOOD, stall_after=HALF), GOOD], asked=2),
    "stalled before the answer": Case([replace(GOOD, stall_before=True), GOOD], asked=2),
    "stalled within the head": Case([Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Le"), GOOD], asked=2),
    "not HTTP at first": Case([Reply(raw=b"SSH-2.0-OpenSSH_9.6\r\n"), GOOD], asked=2),
    "drops and ignores Range": Case([replace(GOOD, drop_after=HALF), replace(GOOD, ranges=False)], asked=2),
    "drops, without validators": Case([replace(GOOD, drop_after=HALF, etag=None), GOOD], asked=2),
    "drops, without validators or hash": Case(
        [replace(GOOD, drop_after=HALF, etag=None), GOOD], asked=2, weight=UNKNOWN
    ),
    "drops, with a weak tag only": Case(
        [replace(GOOD, drop_after=HALF, etag='W/"a"'), GOOD], asked=2, weight=UNKNOWN
    ),
    "drops, with a date only": Case(
        [replace(GOOD, drop_after=HALF, etag=None, modified="Mon, 05 Jan 2026 10:00:00 GMT")] * 2 + [GOOD],
    ),
    "the file changed between": Case(
        [Reply(OTHER, etag='"old"', drop_after=HALF), Reply(PAYLOAD, etag='"new"')], asked=2
    ),
    "the file changed and If-Range is ignored": Case(
        [
            Reply(OTHER, etag='"old"', drop_after=HALF),
            Reply(PAYLOAD, etag='"new"', if_range=False),
        ],
        asked=3,
    ),
    "the file changed and nothing tells": Case(
        [Reply(OTHER, etag=None, drop_after=HALF), Reply(PAYLOAD, etag=None)], asked=3
    ),
    "a range from elsewhere": Case([replace(GOOD, drop_after=HALF), replace(GOOD, range_shift=7), GOOD]),
    "a range of another total": Case([replace(GOOD, drop_after=HALF), replace(GOOD, total=999_999), GOOD]),
    "a range from elsewhere, nothing published": Case(
        [replace(GOOD, drop_after=HALF), replace(GOOD, range_shift=7), GOOD], asked=3, weight=UNKNOWN
    ),
    "a range of another total, nothing published": Case(
        [replace(GOOD, drop_after=HALF), Reply(OTHER + b"more"), GOOD], asked=3, weight=UNKNOWN
    ),
    "the file changed and If-Range is ignored, nothing published": Case(
        [Reply(OTHER, etag='"old"', drop_after=HALF), Reply(PAYLOAD, etag='"new"', if_range=False)],
        asked=3,
        weight=UNKNOWN,
    ),
    "416 in mid-way": Case([replace(GOOD, drop_after=HALF), Reply(b"", 416), GOOD], asked=3),
    "503 once": Case([Reply(b"", 503), GOOD], asked=2),
    "503 with Retry-After": Case([Reply(b"", 503, (("Retry-After", "0"),)), GOOD], asked=2),
    "503 with a date": Case([Reply(b"", 503, (("Retry-After", after(-5)),)), GOOD], asked=2),
    "429 with Retry-After": Case([Reply(b"", 429, (("Retry-After", "0"),)), GOOD], asked=2),
    "429 without": Case([Reply(b"", 429), GOOD], asked=2),
    "429 with nonsense": Case([Reply(b"", 429, (("Retry-After", "soon"),)), GOOD], asked=2),
    "500, 502, 504": Case([Reply(b"", 500), Reply(b"", 502), Reply(b"", 504), GOOD], asked=4),
    "503 in mid-way": Case([replace(GOOD, drop_after=HALF), Reply(b"", 503), GOOD], asked=3),
    "redirected": Case([Reply(b"", 302, (("Location", "/moved"),)), GOOD]),
}

WRONG = {
    "401": Case([Reply(b"", 401)], "logged in (401)", 1),
    "403": Case([Reply(b"", 403)], "refuses", 1),
    "404": Case([Reply(b"", 404)], "There is no file at", 1),
    "410": Case([Reply(b"", 410)], "There is no file at", 1),
    "400": Case([Reply(b"", 400)], "400 Bad Request", 1),
    "204": Case([Reply(b"", 204)], "204 No Content", 1),
    "always 503": Case([Reply(b"", 503)], "cannot send", 4),
    "503, come back tomorrow": Case([Reply(b"", 503, (("Retry-After", "86400"),))], "cannot send", 1),
    "503, come back on a date": Case([Reply(b"", 503, (("Retry-After", after(86400)),))], "cannot send", 1),
    "always 429": Case([Reply(b"", 429)], "too many requests", 4),
    "empty": Case([Reply(b"")], "is empty", 1, UNKNOWN),
    "empty, but the size is known": Case([Reply(b"")], "0 bytes instead of 300,000", 1),
    "a page": Case([Reply(PAGE, kind="text/html; charset=utf-8")], "is a web page", 1),
    "a page called a file": Case([Reply(PAGE)], "is a web page", 1, UNKNOWN),
    "a page, chunked": Case([Reply(PAGE, chunked=True, kind="text/html")], "is a web page", 1, UNKNOWN),
    "a page, zipped": Case([Reply(PAGE, zipped=True, kind="text/html")], "is a web page", 1, UNKNOWN),
    "a login page": Case(
        [Reply(b"", 302, (("Location", "/login?next=file"),))], "wants a login", None, UNKNOWN
    ),
    "another file of the same size": Case([Reply(OTHER)], "is not the file that was published", 1),
    "another file, as xxh128 tells": Case([Reply(OTHER)], "its xxh128 is", 1, {"hash": XXH128, "size": None}),
    "a longer file": Case([Reply(PAYLOAD + b"x")], "300,001 bytes instead of 300,000", 1),
    "a longer file, chunked": Case([Reply(PAYLOAD + b"x", chunked=True)], "more than the 300,000", 1),
    "a shorter file": Case([Reply(PAYLOAD[:-1])], "299,999 bytes instead of 300,000", 1),
    "a shorter file, chunked": Case([Reply(PAYLOAD[:-1], chunked=True)], "cut off"),
    "says it is longer than it is": Case([replace(GOOD, length=5)], "instead of", 1),
    "says it is longer, size unknown": Case(
        [replace(GOOD, length=5, ranges=False)], "broke off", None, {"size": None}
    ),
    "says it is shorter than it is": Case(
        [replace(GOOD, length=-5)], "is not the file that was published", None, {"size": None}
    ),
    "drops always, ignores Range": Case([replace(GOOD, drop_after=HALF, ranges=False)], "broke off", None),
    "stalls always": Case([replace(GOOD, stall_before=True)], "sends nothing"),
    "never HTTP": Case([Reply(raw=b"SSH-2.0-OpenSSH_9.6\r\n")], "broke off"),
    "redirects in a circle": Case([Reply(b"", 302, (("Location", "/file"),))], "in a circle", 11),
    "redirects nowhere": Case([Reply(b"", 302)], "without saying where", 1),
    "redirects to a file": Case([Reply(b"", 302, (("Location", "file:///etc/passwd"),))], "without saying"),
    "redirects to ftp": Case([Reply(b"", 302, (("Location", "ftp://a.org/b"),))], "to ftp:", 1),
    "a coding nobody knows": Case(
        [replace(GOOD, headers=(("Content-Encoding", "gzip"),))], "coding that cannot be read", 1
    ),
}


def fetch(
    registry: Registry, weight: Weight, patience: Patience, server: WeightsServer, replies: list[Reply]
) -> None:
    server.serve("/file", *replies)
    server.serve("/moved", GOOD)
    server.serve("/login", Reply(PAGE, kind="text/html"))
    download(registry, weight, patience=patience, token="")


@pytest.mark.parametrize("case", RIGHT.values(), ids=RIGHT.keys())
def test_the_right_file_comes(
    case: Case, server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    weight = make(server.link("/file"), **case.weight)
    fetch(registry, weight, patience, server, case.replies)
    assert registry.path(weight).read_bytes() == PAYLOAD
    assert registry.state(weight) == "ready"
    finding = registry.ledger.finding(registry.path(weight))
    assert finding is not None
    assert finding.sha256 == SHA256
    assert [p.name for p in registry.folder.iterdir() if "part" in p.name or "aside" in p.name] == []
    if case.asked is not None:
        assert len(server.asked_for("/file")) == case.asked


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_the_right_error_comes(
    case: Case, server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    weight = make(server.link("/file"), **case.weight)
    with pytest.raises(SamdeskError) as caught:
        fetch(registry, weight, patience, server, case.replies)
    assert case.error in caught.value.message
    assert caught.value.hint
    assert not registry.path(weight).exists()
    assert registry.state(weight) in ("missing", "partial")
    if case.asked is not None:
        assert len(server.asked_for("/file")) == case.asked
    # the server comes to its senses: nothing that was left stands in the way
    fetch(registry, weight, patience, server, [GOOD])
    assert registry.path(weight).read_bytes() == PAYLOAD


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_answer_names_the_page_and_the_command(
    status: int, server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    weight = make(server.serve("/file", Reply(b"", status)), gated=True)
    with pytest.raises(GatedError) as caught:
        download(registry, weight, patience=patience)
    assert caught.value.page == "https://example.org/model"
    assert "samdesk weights login" in caught.value.hint
    assert registry.state(weight) == "gated" or registry.part(weight).exists()


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream"])
def test_a_captive_portal_does_not_cost_what_was_received(
    kind: str, server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    portal = Reply(PAGE, kind=kind, etag=None, ranges=False)
    weight = make(server.serve("/file", replace(GOOD, drop_after=HALF), portal, GOOD), size=None)
    with pytest.raises(SamdeskError, match="web page"):
        download(registry, weight, patience=patience)
    assert registry.part(weight).stat().st_size == HALF
    download(registry, weight, patience=patience)
    assert server.asked_for("/file")[-1].headers["range"] == f"bytes={HALF}-"
    assert registry.path(weight).read_bytes() == PAYLOAD


def test_a_token_goes_to_its_host_and_no_further(
    server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    elsewhere = server.serve("/far", GOOD).replace("127.0.0.1", "localhost")
    weight = make(server.serve("/file", Reply(b"", 302, (("Location", elsewhere),))))
    download(registry, weight, patience=patience, token="secret")
    assert server.asked_for("/file")[0].headers["authorization"] == "Bearer secret"
    assert "authorization" not in server.asked_for("/far")[0].headers


def test_a_proxy_variable_is_honoured(
    server: WeightsServer,
    registry: Registry,
    patience: Patience,
    make: Callable[..., Weight],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.serve("/through", GOOD)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
    weight = make("http://weights.invalid/through")
    download(registry, weight, patience=patience)
    assert server.asked_for("/through")[0].headers["host"] == "weights.invalid"
    assert registry.path(weight).read_bytes() == PAYLOAD


def test_a_server_that_is_not_there(
    registry: Registry, patience: Patience, make: Callable[..., Weight], server: WeightsServer
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        weight = make(f"http://127.0.0.1:{free.getsockname()[1]}/file")
        with pytest.raises(SamdeskError, match="cannot be reached"):
            download(registry, weight, patience=patience)
    with pytest.raises(SamdeskError, match="cannot be reached"):
        download(registry, make("http://weights.invalid/file"), patience=patience)


def test_https_to_a_server_that_does_not_speak_it(
    registry: Registry, patience: Patience, make: Callable[..., Weight], server: WeightsServer
) -> None:
    weight = make(server.serve("/file", GOOD).replace("http:", "https:"))
    with pytest.raises(SamdeskError, match="sends nothing"):
        download(registry, weight, patience=replace(patience, retries=0, connect_s=0.2))


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://example.org/a.pt", "C:\\weights\\a.pt", "example.org/a.pt", "http://"],
)
def test_links_that_are_none(
    url: str, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    with pytest.raises(SamdeskError):
        download(registry, make(url), patience=patience)
    assert not registry.part(make(url)).exists()


def test_a_file_larger_than_the_disk_is_refused_before_the_first_byte(
    server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    huge = 10**15
    weight = make(server.serve("/file", replace(GOOD, length=huge - len(PAYLOAD))), size=huge)
    with pytest.raises(SamdeskError, match="no room") as caught:
        download(registry, weight, patience=patience)
    assert "SAMDESK_HOME" in caught.value.hint
    assert registry.part(weight).stat().st_size == 0


def test_a_ready_file_is_not_asked_for_again(
    server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    weight = make(server.serve("/file", GOOD))
    download(registry, weight, patience=patience)
    download(registry, weight, patience=patience)
    assert len(server.asked) == 1


def test_a_file_put_there_by_hand_is_verified_and_not_fetched(
    server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    weight = make(server.serve("/file", GOOD))
    registry.folder.mkdir(parents=True)
    registry.path(weight).write_bytes(PAYLOAD)
    assert registry.state(weight) == "unchecked"
    download(registry, weight, patience=patience)
    assert registry.state(weight) == "ready"
    assert server.asked == []


@pytest.mark.parametrize("damage", [PAYLOAD[:-9], PAYLOAD[:-1] + b"x", b""])
def test_a_damaged_file_is_replaced(
    damage: bytes, server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    weight = make(server.serve("/file", GOOD))
    registry.folder.mkdir(parents=True)
    registry.path(weight).write_bytes(damage)
    download(registry, weight, patience=patience)
    assert registry.path(weight).read_bytes() == PAYLOAD


@pytest.mark.parametrize("spoil", ["byte", "tail", "short", "note", "foreign"])
def test_a_spoiled_part_never_gets_into_the_file(
    spoil: str, server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    weight = make(server.serve("/file", replace(GOOD, drop_after=HALF), Reply(b"", 404), GOOD), **UNKNOWN)
    with pytest.raises(SamdeskError):
        download(registry, weight, patience=patience)
    part = registry.part(weight)
    note = part.with_name(part.name + ".json")
    received = part.read_bytes()
    assert len(received) == HALF
    if spoil == "byte":
        part.write_bytes(received[:1000] + b"????" + received[1004:])
    elif spoil == "tail":
        part.write_bytes(received + bytes(len(PAYLOAD)))
    elif spoil == "short":
        part.write_bytes(received[:-5000])
    elif spoil == "note":
        note.write_text('{"url": 3, "size": ')
    else:
        note.write_text(note.read_text().replace("/file", "/other"))
    download(registry, weight, patience=patience)
    assert ("range" in server.asked[-1].headers) is (spoil == "tail")
    assert registry.path(weight).read_bytes() == PAYLOAD
