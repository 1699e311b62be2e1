"""Shared links become links of files; tokens are found and kept."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from samdesk.domain.errors import SamdeskError
from samdesk.weights import Registry, Weight
from samdesk.weights.download import Patience, download
from samdesk.weights.sources import (
    Page,
    check_link,
    direct_link,
    is_drive,
    resolve_drive,
    save_token,
    token_for,
)
from tests.unit.weights.conftest import PAYLOAD
from tests.weights_server import Reply, WeightsServer

ID = "1AbCdEfGhIjKlMnOpQrStUvWxYz012345"
SHARED = f"https://drive.google.com/file/d/{ID}/view?usp=sharing"
HTML = "text/html; charset=utf-8"
CONFIRM = (
    "<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>"
    '<form id="download-form" action="{action}" method="get">'
    '<input type="submit" value="Download anyway"/><input type="hidden" name="id" value="{id}">'
    '<input type="hidden" name="confirm" value="t">'
    '<input type="hidden" name="uuid" value="u-1"></form></body></html>'
)
QUOTA = (
    "<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>"
    '<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently.</p>'
    "</body></html>"
)


@pytest.mark.parametrize(
    ("given", "direct"),
    [
        ("https://huggingface.co/a/b/blob/main/x/y.pt", "https://huggingface.co/a/b/resolve/main/x/y.pt"),
        ("https://huggingface.co/a/b/resolve/main/y.pt", "https://huggingface.co/a/b/resolve/main/y.pt"),
        ("https://huggingface.co/gpt2/blob/main/y.pt", "https://huggingface.co/gpt2/resolve/main/y.pt"),
        ("https://github.com/a/b/blob/main/w/y.pt", "https://github.com/a/b/raw/main/w/y.pt"),
        ("https://example.org/a/b/blob/main/y.pt", "https://example.org/a/b/blob/main/y.pt"),
    ],
)
def test_links_of_pages_become_links_of_files(given: str, direct: str) -> None:
    assert direct_link(given) == direct


@pytest.mark.parametrize("url", ["http://a.org/b", " https://a.org/b?x=1 ", "HTTPS://a.org:8443/"])
def test_links(url: str) -> None:
    assert check_link(url) == url.strip()


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("file:///etc/passwd", "weights import"),
        ("/home/me/a.pt", "weights import"),
        ("C:\\a.pt", "weights import"),
        ("ftp://a.org/b", "https://"),
        ("a.org/b", "https://"),
        ("https://", "https://"),
        ("", "https://"),
        ("https://a.org/a b", "https://"),
        ("http://a.org:port/", "Copy"),
        ("http://[::1", "Copy"),
    ],
)
def test_what_is_no_link(url: str, hint: str) -> None:
    with pytest.raises(SamdeskError) as caught:
        check_link(url)
    assert hint in caught.value.hint


def test_a_drive_page_that_asks_leads_to_the_file() -> None:
    action = "https://drive.usercontent.google.com/download"
    asked = []

    def read(url: str) -> Page:
        asked.append(url)
        return Page(url, False, CONFIRM.format(action=action, id=ID))

    found = urllib.parse.urlsplit(resolve_drive(SHARED, read))
    assert asked == [f"https://drive.google.com/uc?id={ID}&export=download"]
    assert found.netloc == "drive.usercontent.google.com"
    assert urllib.parse.parse_qs(found.query) == {"id": [ID], "confirm": ["t"], "uuid": ["u-1"]}


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (Page("https://drive.google.com/uc", False, QUOTA), "too many people"),
        (Page("https://accounts.google.com/v3/signin", False, "<html></html>"), "not shared"),
        (Page("https://drive.google.com/uc", False, "<html>Sorry</html>"), "does not give"),
    ],
    ids=["quota", "login", "nothing"],
)
def test_drive_pages_that_refuse(page: Page, message: str) -> None:
    with pytest.raises(SamdeskError, match=message):
        resolve_drive(SHARED, lambda url: page)


@pytest.mark.parametrize(
    "url",
    [
        f"https://drive.google.com/drive/folders/{ID}",
        "https://drive.google.com/",
        "https://docs.google.com/x",
    ],
)
def test_drive_links_that_share_no_file(url: str) -> None:
    def never(_: str) -> Page:
        raise AssertionError("asked")

    with pytest.raises(SamdeskError, match="single file"):
        resolve_drive(url, never)


def through(server: WeightsServer) -> Callable[[str, Callable[[str], Page]], str]:
    """Drive's own road, with the local server in the place of Google's."""

    def local(url: str) -> str:
        parts = urllib.parse.urlsplit(url)
        return server.link(f"{parts.path}?{parts.query}")

    def resolve(url: str, read_page: Callable[[str], Page]) -> str:
        return local(resolve_drive(SHARED, lambda asked: read_page(local(asked))))

    return resolve


def test_a_drive_link_is_fetched_and_resumed_like_any_other(
    server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    server.serve("/uc", Reply(CONFIRM.format(action="https://x/download", id=ID).encode(), kind=HTML))
    server.serve("/download", Reply(PAYLOAD, drop_after=123_456), Reply(PAYLOAD))
    download(registry, make(SHARED), patience=patience, resolve=through(server))
    assert registry.path(make(SHARED)).read_bytes() == PAYLOAD
    assert server.asked_for("/download")[1].headers["range"] == "bytes=123456-"
    assert len(server.asked_for("/uc")) == 1


def test_a_small_drive_file_needs_no_page(
    server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    server.serve("/uc", Reply(PAYLOAD))
    download(registry, make(SHARED), patience=patience, resolve=through(server))
    assert registry.path(make(SHARED)).read_bytes() == PAYLOAD


def test_a_drive_quota_page_is_told_for_what_it_is(
    server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    server.serve("/uc", Reply(QUOTA.encode(), kind=HTML))
    with pytest.raises(SamdeskError, match="quota"):
        download(registry, make(SHARED), patience=patience, resolve=through(server))
    assert not registry.path(make(SHARED)).exists()


def test_trouble_on_the_way_to_the_page_is_tried_again(
    server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    confirm = Reply(CONFIRM.format(action="https://x/download", id=ID).encode(), kind=HTML)
    server.serve("/uc", Reply(b"", 503), replace(confirm, drop_after=10), confirm)
    server.serve("/download", Reply(PAYLOAD))
    download(registry, make(SHARED), patience=patience, resolve=through(server))
    assert registry.path(make(SHARED)).read_bytes() == PAYLOAD


def test_which_links_are_drives() -> None:
    assert is_drive(SHARED)
    assert not is_drive("https://drive.google.com.evil.org/file/d/x/view")


@pytest.fixture
def kept() -> Iterator[dict[str, str]]:
    """A keyring of this test's own, through keyring's interface for backends."""
    keyring = pytest.importorskip("keyring")
    from keyring.backend import KeyringBackend

    secrets: dict[str, str] = {}

    class Ring(KeyringBackend):
        priority = 1  # type: ignore[assignment]

        def get_password(self, service: str, username: str) -> str | None:
            return secrets.get(f"{service} {username}")

        def set_password(self, service: str, username: str, password: str) -> None:
            secrets[f"{service} {username}"] = password

        def delete_password(self, service: str, username: str) -> None:
            del secrets[f"{service} {username}"]

    before = keyring.get_keyring()
    keyring.set_keyring(Ring())
    yield secrets
    keyring.set_keyring(before)


def test_a_token_is_kept_and_shown_to_its_host_only(
    kept: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert save_token(" hf_abcdefgh123 \n") == "the system's keyring"
    assert list(kept.values()) == ["hf_abcdefgh123"]
    assert token_for("https://huggingface.co/facebook/sam3/resolve/main/sam3.pt") == "hf_abcdefgh123"
    assert token_for("https://huggingface.co.evil.org/x") == ""
    assert token_for("https://example.org/x") == ""


def test_the_environment_comes_first(kept: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    save_token("hf_abcdefgh123")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert token_for("https://huggingface.co/x") == "hf_other"


@pytest.mark.parametrize("token", ["", "short", "hf_with space", "hf_ümlaut_________"])
def test_what_is_no_token(token: str, kept: dict[str, str]) -> None:
    with pytest.raises(SamdeskError, match="not a Hugging Face token"):
        save_token(token)
    assert kept == {}
