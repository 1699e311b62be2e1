"""`/api/v1/images`: sending, opening by path, the walls around the folders, and forgetting."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samdesk.domain.geometry import Region
from samdesk.domain.tasks import Cancelled
from samdesk.images.tiles import BlockCache
from samdesk.sdk import Image, open_image
from samdesk.server import Limits, ServerOptions
from samdesk.server.native.known import _known
from samdesk.server.native.opened import MOST, Opened
from tests.images_samples import noise, smooth_rgb, write_pyramid, write_zarr
from tests.server_rig import WAIT_S, Rig, base64_text, disc, png, running

IMAGES = "/api/v1/images"
PNG = png(disc())
LIMITS = Limits(pixels=200_000)


@dataclass(frozen=True)
class Place:
    """A server with one folder of images, and what lies beside it."""

    rig: Rig
    folder: Path
    outside: Path

    def open(self, path: object) -> tuple[int, Any]:
        answer = self.rig.client.post(IMAGES, json={"path": str(path)})
        return answer.status_code, answer.json()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("native")
    folder, outside = home / "images", home / "outside"
    folder.mkdir()
    outside.mkdir()
    write_pyramid(folder / "slide.ome.tif", smooth_rgb(700, 500), 2, 256)
    stack = noise((2, 3, 64, 96), seed=3)
    write_zarr(folder / "stack.zarr", stack, "tzyx")
    (folder / "plain.png").write_bytes(PNG)
    (folder / "text.png").write_text("no picture at all")
    (outside / "secret.png").write_bytes(png(disc(radius=20)))
    (folder / "leads-out.png").symlink_to(outside / "secret.png")
    (folder / "leads-in.png").symlink_to(folder / "plain.png")
    (home / "images-of-others").mkdir()
    (home / "images-of-others" / "a.png").write_bytes(PNG)
    with running(home, ServerOptions(folders=(folder,), limits=LIMITS)) as rig:
        yield Place(rig, folder, outside)


@pytest.mark.parametrize(
    "sent",
    [
        {"content": PNG, "headers": {"Content-Type": "image/png"}},
        {"content": PNG, "headers": {"Content-Type": "application/octet-stream"}},
        {"files": {"file": ("a.png", PNG, "image/png")}},
        {"files": [("note", (None, "a field before it")), ("picture", ("b.png", PNG))]},
        {"json": {"data": base64_text(PNG)}},
        {"json": {"data": "data:image/png;base64," + base64_text(PNG)}},
    ],
    ids=["png", "bytes", "form", "form with fields", "base64", "data url"],
)
def test_a_picture_is_sent_in_any_way_and_has_one_id(place: Place, sent: dict[str, Any]) -> None:
    answer = place.rig.client.post(IMAGES, **sent)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert (told["id"], told["width"], told["height"]) == (hashlib.sha256(PNG).hexdigest(), 256, 192)
    assert place.rig.client.get(f"{IMAGES}/{told['id']}").json() == told
    assert told["id"] in [one["id"] for one in place.rig.client.get(IMAGES).json()["images"]]


@pytest.mark.parametrize(
    ("sent", "status", "says"),
    [
        ({"content": b""}, 422, "picture"),
        ({"content": b"no picture", "headers": {"Content-Type": "image/png"}}, 422, "picture"),
        ({"content": PNG, "headers": {"Content-Type": "text/plain"}}, 415, "text/plain"),
        ({"data": {"file": "text"}}, 415, "x-www-form-urlencoded"),
        ({"files": [("file", (None, "only a field"))]}, 422, "no file in the form"),
        ({"content": PNG, "headers": {"Content-Type": "multipart/form-data"}}, 422, "boundary"),
        ({"content": PNG, "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 422, "form"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 422, "JSON"),
        ({"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}, 422, "JSON"),
        ({"content": b"\xff\xfe", "headers": {"Content-Type": "application/json"}}, 422, "JSON"),
        ({"json": {}}, 422, "path"),
        ({"json": {"path": "a.png", "data": ""}}, 422, "either"),
        ({"json": {"path": "x" * 5000}}, 422, "4096"),
        ({"json": {"data": "?!"}}, 422, "base64"),
        ({"json": {"data": base64_text(png(np.zeros((400, 501), np.uint8)))}}, 413, "501 × 400"),
    ],
)
def test_what_is_no_picture_is_refused(place: Place, sent: dict[str, Any], status: int, says: str) -> None:
    answer = place.rig.client.post(IMAGES, **sent)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["error"]
    assert "x" * 200 not in answer.text


def test_images_are_opened_where_they_lie(place: Place) -> None:
    status, told = place.open("slide.ome.tif")
    assert status == 201
    assert (told["name"], told["width"], told["height"]) == ("slide.ome.tif", 700, 500)
    assert told["pixel_size"] == {"x": 0.25, "y": 0.25, "z": None, "unit": "µm"}
    assert [level["width"] for level in told["levels"]] == [700, 350]
    again = [place.open(place.folder / "slide.ome.tif"), place.open("./slide.ome.tif")]
    assert [one["id"] for _, one in again] == [told["id"]] * 2
    status, stack = place.open("stack.zarr")
    assert status == 201
    assert (stack["size_t"], stack["size_z"], stack["kind"]) == (2, 3, "multichannel")
    assert [one["name"] for one in stack["channels"]]


def test_another_folder_is_never_opened_nor_told_about(place: Place) -> None:
    beside = place.folder.parent / "images-of-others" / "a.png"
    paths = [
        "../outside/secret.png",
        "nothing/../../outside/secret.png",
        place.outside / "secret.png",
        place.outside / "missing.png",
        place.folder / ".." / "outside" / "secret.png",
        "leads-out.png",
        beside,
        "/etc/hostname",
        "/",
        "..",
        "//elsewhere/share/a.png",
    ]
    for path in paths:
        status, told = place.open(path)
        assert status == 403, path
        assert "samdesk serve --images" in told["hint"]
    # what means another folder on Windows is a plain name elsewhere, of a file that is not there
    for path in ("C:\\Windows\\win.ini", "..\\outside\\secret.png"):
        assert place.open(path)[0] == (403 if os.name == "nt" else 404), path
    for path in ("~/a.png", "%2e%2e/outside/secret.png"):
        assert place.open(path)[0] == 404, path
    assert place.open("missing.png")[0] == 404
    assert place.open("leads-in.png")[0] == 201
    for path in ("a\0.png", "", "  ", "a\nb"):
        assert place.open(path)[0] == 422, repr(path)
    assert place.open("text.png")[0] == 422
    assert place.open(".")[0] == 422
    assert place.rig.client.get(f"{IMAGES}/..%2f..%2fetc").status_code == 404


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(place: Place) -> None:
    os.mkfifo(place.folder / "pipe.png")
    assert place.open("pipe.png")[0] == 404


def test_without_folders_nothing_is_opened(rig: Rig) -> None:
    answer = rig.client.post(IMAGES, json={"path": "/etc/hostname"})
    assert answer.status_code == 403
    assert "samdesk serve --images" in answer.json()["hint"]


def test_forgotten_images_are_not_found(place: Place) -> None:
    client = place.rig.client
    sent = client.post(IMAGES, files={"file": png(disc(radius=31))}).json()["id"]
    opened = place.open("plain.png")[1]["id"]
    image = _known(place.rig.service).opened.get(opened)
    assert image is not None
    for id in (sent, opened):
        answer = client.delete(f"{IMAGES}/{id}")
        assert (answer.status_code, answer.content) == (204, b"")
        for gone in (client.get(f"{IMAGES}/{id}"), client.delete(f"{IMAGES}/{id}")):
            assert gone.status_code == 404
            assert "POST /api/v1/images" in gone.json()["hint"]
        asked = client.post("/api/v1/segment", json={"image": id, "prompts": [{"text": "a"}]})
        assert asked.status_code == 404
    assert not image.source.parts  # type: ignore[attr-defined]
    assert (place.folder / "plain.png").exists()


def test_what_is_left_of_a_request_reads_no_image_that_is_closed(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    kept = Opened()
    id = kept.add(open_image(tmp_path / "a.png", blocks=BlockCache(0)))
    with kept.using(id) as image:
        assert kept.drop(id)
        assert image.read(Region(0, 0, 256, 192)).any()
    with pytest.raises(Cancelled):
        image.read(Region(0, 0, 256, 192))


def test_what_was_opened_for_nobody_is_closed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Image] = []
    at_work, go_on = threading.Event(), threading.Event()

    def open_slowly(path: Path, **given: Any) -> Image:
        opened.append(open_image(path, **given))
        at_work.set()
        assert go_on.wait(WAIT_S)
        return opened[0]

    monkeypatch.setattr("samdesk.server.native.opened.open_image", open_slowly)
    asked = b'{"path": "plain.png"}'
    with place.rig.plug() as plug:
        plug.sendall(
            b"POST /api/v1/images HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(asked), asked)
        )
        assert at_work.wait(WAIT_S)
    place.rig.wait(lambda: not place.rig.service.waiting)
    go_on.set()
    place.rig.wait(lambda: not opened[0].source.parts)  # type: ignore[attr-defined]


def test_an_image_in_use_is_closed_later(tmp_path: Path) -> None:
    def opened(number: int) -> Image:
        path = tmp_path / f"{number}.png"
        path.write_bytes(PNG)
        return open_image(path)

    kept = Opened()
    images = [opened(number) for number in range(MOST + 1)]
    first = kept.add(images[0])
    with kept.using(first) as image:
        for one in images[1:]:
            kept.add(one)
        assert first not in kept.ids
        assert len(kept.ids) == MOST
        assert image.source.parts  # type: ignore[attr-defined]
    assert not image.source.parts  # type: ignore[attr-defined]
    second = kept.ids[0]
    with kept.using(second):
        pass
    assert kept.ids[-1] == second  # used last
    assert kept.drop(second)
    assert not kept.drop(second)
    with pytest.raises(KeyError), kept.using(second):
        pass
    again = open_image(tmp_path / "5.png")
    held = kept.get(kept.add(again))
    assert held is images[5]
    assert not again.source.parts
    (tmp_path / "5.png").write_bytes(png(disc(radius=9)))
    os.utime(tmp_path / "5.png", ns=(1, 1))
    assert kept.get(kept.add(open_image(tmp_path / "5.png"))) is not held  # the file has changed
