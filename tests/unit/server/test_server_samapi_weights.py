"""/sam/weights/: what a person who registers a link in QuPath sees, from a real server of files."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx
import pytest

import samdesk
from samdesk.app.downloads import Standing
from samdesk.domain.errors import SamdeskError
from samdesk.server.samapi.bodies import RegisterBody
from samdesk.server.samapi.weights import Registrations, progress_of
from tests.server_rig import Rig, running
from tests.weights_server import Reply, WeightsServer, weights_server

T = TypeVar("T")

FILE = bytes(range(256)) * 16_000


class Kind(NamedTuple):
    """What the stand-in for the recogniser of checkpoints finds."""

    type: str = "vit_b"
    title: str = "SAM ViT-B"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A server whose registry is empty at first."""
    folder = tmp_path_factory.mktemp("server")
    shipped = folder / "shipped.json"
    shipped.write_text('{"version": 1, "weights": []}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMDESK_HOME", str(folder / "home"))
        with running(folder, shipped=shipped) as one:
            one.service.downloads._recognise = lambda path: Kind()
            yield one


@pytest.fixture
def files(rig: Rig) -> Iterator[WeightsServer]:
    """A server of files; what was registered from it is removed again."""
    with weights_server() as server:
        yield server
    rig.rest()
    for weight in rig.registry.weights:
        rig.on_main(lambda weight=weight: rig.registry.remove(weight))


def register(rig: Rig, link: str, **more: Any) -> httpx.Response:
    return rig.client.post("/sam/weights/", json={"type": "vit_b", "name": "Mine", "url": link} | more)


def beside(work: Callable[[], T]) -> Future[T]:
    """Do something while the test goes on."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run).start()
    return result


def progress(rig: Rig) -> dict[str, Any]:
    answer = rig.client.get("/sam/progress/")
    assert answer.status_code == 200
    return answer.json()


def listed(rig: Rig) -> list[str]:
    return [one["name"] for one in rig.client.get("/sam/weights/?type=vit_b").json()]


def test_a_link_becomes_a_weight_and_is_answered_when_it_is_here(rig: Rig, files: WeightsServer):
    url = files.serve("/mine.pt", Reply(FILE))
    answer = register(rig, url, builderAsGroovyScript="spare")
    assert (answer.status_code, answer.text) == (200, "“Mine” is on this computer and ready.")
    assert answer.headers["content-type"].startswith("text/plain")
    (weight,) = rig.registry.weights
    assert rig.registry.path(weight).read_bytes() == FILE
    first = rig.client.get("/sam/weights/?type=vit_b").json()[0]
    assert first == {"type": "vit_b", "name": "Mine", "url": url}

    # again, and under another name, and another link under its name
    assert register(rig, url).text == "This link is “Mine”, which is on this computer already."
    assert register(rig, url, name="Other").status_code == 200
    answer = register(rig, url + "?v=2", name="MINE")
    assert answer.status_code == 200
    assert "There is a weight “Mine” already" in answer.text
    assert len(rig.registry.weights) == 1


def test_a_mistyped_link_does_not_keep_its_name(rig: Rig, files: WeightsServer):
    url = files.serve("/mine.pt", Reply(FILE))
    assert register(rig, url.replace("mine", "nime")).status_code == 503
    assert register(rig, url).text == "“Mine” is on this computer and ready."
    (weight,) = rig.registry.weights
    assert weight.url == url


def test_progress_and_cancel_are_answered_meanwhile_and_registering_again_goes_on(
    rig: Rig, files: WeightsServer
):
    url = files.serve(
        "/slow.pt", Reply(FILE, block=100_000, pause_s=0.01, stall_after=3_000_000), Reply(FILE)
    )
    assert progress(rig) == {"message": None, "percent": -1}
    answer = beside(lambda: register(rig, url))
    rig.wait(lambda: progress(rig)["percent"] > 0)
    found = progress(rig)
    assert isinstance(found["percent"], int)
    assert found["percent"] <= 75
    assert "%" in found["message"]
    (job,) = rig.jobs.visible  # the window shows the same
    assert job.title == "Downloading Mine"
    assert register(rig, url).text == "“Mine” is being registered already."

    cancelled = rig.client.get("/sam/weights/cancel/")
    assert (cancelled.status_code, cancelled.text) == (200, "The download was cancelled.")
    said = answer.result(20)
    assert said.status_code == 200
    assert said.text == "The download of “Mine” was cancelled. Register it again to go on."
    assert progress(rig) == {"message": None, "percent": -1}
    assert rig.client.get("/sam/weights/cancel").text == "Nothing is being downloaded."
    assert listed(rig) == ["Classical (no model)", "Mine (not downloaded)"]

    rig.rest()
    assert register(rig, url).text == "“Mine” is on this computer and ready."
    assert "range" in files.asked_for("/slow.pt")[-1].headers
    assert listed(rig)[0] == "Mine"


def test_a_cancel_in_the_window_is_an_answer_too(rig: Rig, files: WeightsServer):
    url = files.serve("/stall.pt", Reply(FILE, stall_after=1000))
    answer = beside(lambda: register(rig, url))
    rig.wait(lambda: bool(rig.jobs.visible) and rig.jobs.visible[0].state == "running")
    (weight,) = rig.registry.weights
    rig.on_main(lambda: rig.service.downloads.cancel(weight))
    assert "was cancelled" in answer.result(20).text


def test_a_client_that_leaves_does_not_end_the_download(rig: Rig, files: WeightsServer):
    url = files.serve("/stay.pt", Reply(FILE, block=400_000, pause_s=0.05))
    with rig.another(timeout=0.2) as hasty, pytest.raises(httpx.ReadTimeout):
        hasty.post("/sam/weights/", json={"type": "vit_b", "name": "Mine", "url": url})
    rig.wait(lambda: bool(rig.registry.weights) and listed(rig)[0] == "Mine")


def test_a_download_that_fails_says_why(rig: Rig, files: WeightsServer):
    answer = register(rig, files.link("/nothing.pt"))
    assert answer.status_code == 503
    assert "404" in answer.json()["detail"]
    page = files.serve("/page.pt", Reply(b"<!doctype html><html></html>", kind="text/html"))
    answer = register(rig, page, name="Page")
    assert answer.status_code == 503
    assert answer.json()["error"]
    assert progress(rig) == {"message": None, "percent": -1}


def test_a_download_that_fails_once_the_server_has_ended_troubles_nobody(rig: Rig, files: WeightsServer):
    downloads, loop = rig.service.downloads, asyncio.new_event_loop()
    url = files.serve("/stall.pt", Reply(FILE, stall_after=1000))
    body = RegisterBody(type="vit_b", name="Mine", url=url)
    asked = loop.create_task(Registrations(rig.service).register(body))

    async def begun() -> None:
        while not rig.jobs.visible:
            await asyncio.sleep(0.005)

    loop.run_until_complete(begun())
    busy, troubles = threading.Event(), []

    def fail() -> None:
        try:
            downloads.failed.emit("Mine", SamdeskError("No.", ""))
        except Exception as error:
            troubles.append(error)

    rig.main(lambda: busy.wait(20))  # the main thread has no time
    rig.main(fail)
    asked.cancel()
    loop.run_until_complete(asyncio.wait([asked]))
    loop.close()
    busy.set()
    (weight,) = rig.registry.weights
    rig.on_main(lambda: downloads.cancel(weight))
    assert troubles == []


@pytest.mark.parametrize(
    "body",
    [
        {"url": "file:///etc/passwd"},
        {"url": "/etc/passwd"},
        {"url": "ftp://example.org/a.pt"},
        {"url": "https://"},
        {"url": ""},
        {"name": ""},
        {"name": None},
        {"type": "vit_x"},
        {"type": None},
    ],
)
def test_what_is_no_link_is_refused_and_nothing_is_asked_for(rig: Rig, body: dict[str, Any]):
    answer = register(rig, "https://example.org/a.pt", **body)
    assert answer.status_code == 422
    assert answer.json()["error"]
    assert rig.registry.weights == ()


def test_a_name_of_blanks_is_refused(rig: Rig):
    assert register(rig, "https://example.org/a.pt", name="  ").status_code == 422


def test_percent_is_a_whole_number():
    assert progress_of(None) == {"message": None, "percent": -1}
    assert progress_of(Standing("receiving", "5 MB"))["percent"] == -1
    found = progress_of(Standing("receiving", "99 %", 0.999))
    assert (found["percent"], type(found["percent"])) == (99, int)


def test_version_is_text(rig: Rig):
    answer = rig.client.get("/sam/version/")
    assert answer.text == samdesk.__version__
    assert answer.headers["content-type"].startswith("text/plain")


def test_paths_are_not_needed_for_weights(rig: Rig, tmp_path: Path):
    answer = register(rig, str(tmp_path / "own.pt"))
    assert answer.status_code == 422
    assert "Import it" in answer.json()["hint"]
