"""Downloads over a real server: how weights stand, several at once, cancel, failures, and the offer."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from samdesk.app.downloads import Downloads, Standing
from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.settings import Settings
from samdesk.app.workspace import Notice, Workspace
from samdesk.domain.errors import SamdeskError
from samdesk.sdk import Segmenter
from samdesk.weights import GatedError, Registry, Weight
from tests.fakes import FakeEngine
from tests.weights_server import Reply, WeightsServer, weights_server

PAYLOAD = random.Random(7).randbytes(300_000)
SLOW = Reply(PAYLOAD, block=3_000, pause_s=0.01)
STALLS = Reply(PAYLOAD, stall_after=150_000, block=3_000, pause_s=0.01)


@dataclass(frozen=True)
class Kind:
    type: str


def recognise(path: Path) -> Kind:
    """Every file that begins like the payload holds a vit_b."""
    with path.open("rb") as file:
        if file.read(16) != PAYLOAD[:16]:
            raise SamdeskError(f"{path} holds no model.", "Check where it came from.")
    return Kind("vit_b")


class Rig:
    """Downloads without a window, over a registry of four weights."""

    def __init__(self, folder: Path, server: WeightsServer) -> None:
        self.server = server
        self.main = MainQueue()
        self.jobs = Jobs(self.main)
        entries = [
            {
                "type": "vit_b",
                "name": name,
                "file": f"{name.lower()}.pt",
                "url": server.serve(f"/{name}", Reply(PAYLOAD)),
                "sha256": hashlib.sha256(PAYLOAD).hexdigest(),
                "size": len(PAYLOAD),
                "licence": "Apache-2.0",
                "homepage": "https://example.org/model",
                "gated": False,
                "about": "For tests.",
            }
            for name in ("One", "Two", "Three", "Four")
        ]
        shipped = folder / "shipped.json"
        shipped.write_text(json.dumps({"version": 1, "weights": entries}))
        home = folder / "weights"
        self.registry = Registry(shipped, home / "weights.json", home)
        self.downloads = Downloads(self.jobs, self.registry, recognise)
        self.seen: list[tuple[str, Standing]] = []
        self.finished: list[str] = []
        self.failures: list[tuple[str, SamdeskError]] = []
        self.downloads.changed.connect(self._changed)
        self.downloads.finished.connect(lambda weight: self.finished.append(weight.name))
        self.downloads.failed.connect(lambda name, error: self.failures.append((name, error)))

    def _changed(self, name: str) -> None:
        for weight in self.registry.weights:
            if weight.name == name:
                self.seen.append((name, self.downloads.standing(weight)))

    def weight(self, name: str) -> Weight:
        return next(weight for weight in self.registry.weights if weight.name == name)

    def standing(self, name: str) -> Standing:
        return self.downloads.standing(self.weight(name))

    def until(self, condition: Callable[[], bool]) -> None:
        self.main.run_until(condition, 20)

    def settle(self) -> None:
        for _ in range(3):
            self.until(lambda: self.jobs.idle)
            self.main.drain()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with weights_server() as server:
        made = Rig(tmp_path, server)
        yield made
        made.jobs.close()


def test_a_download_tells_how_far_it_is_and_ends_ready(rig: Rig) -> None:
    rig.server.serve("/One", SLOW)
    assert (rig.standing("One").state, rig.standing("One").text) == ("missing", "missing")
    rig.downloads.start(rig.weight("One"))
    assert rig.standing("One").is_busy
    rig.until(lambda: "left" in rig.standing("One").text)
    moving = rig.standing("One")
    assert moving.state == "receiving"
    assert moving.fraction is not None
    assert 0 < moving.fraction < 1
    assert moving.text.split(",")[0].endswith(" %")
    assert "/s, " in moving.text
    assert "of 300 kB" in moving.detail
    (job,) = rig.jobs.visible
    assert job.title == "Downloading One"
    assert not job.progress.message.startswith("One")
    rig.settle()
    assert rig.standing("One").state == "ready"
    assert rig.finished == ["One"]
    assert rig.registry.path(rig.weight("One")).read_bytes() == PAYLOAD


def test_three_at_once_and_the_fourth_waits(rig: Rig) -> None:
    names = ("One", "Two", "Three", "Four")
    for name in names:
        rig.server.serve(f"/{name}", STALLS)
        rig.downloads.start(rig.weight(name))
    rig.until(lambda: all((rig.standing(name).fraction or 0) > 0.1 for name in names[:3]))
    assert rig.standing("Four").state == "queued"
    for name in names:
        rig.server.serve(f"/{name}", Reply(PAYLOAD))
        rig.downloads.cancel(rig.weight(name))
        assert not rig.standing(name).is_busy
    for name in names:
        rig.downloads.start(rig.weight(name))
    rig.settle()
    assert sorted(rig.finished) == sorted(names)
    assert all("range" in rig.server.asked_for(f"/{name}")[-1].headers for name in names[:3])


def test_one_download_for_each_file(rig: Rig) -> None:
    for _ in range(3):
        rig.downloads.start(rig.weight("One"))
    rig.settle()
    assert len(rig.server.asked_for("/One")) == 1
    assert rig.finished == ["One"]


def test_cancel_keeps_what_came_and_says_so(rig: Rig) -> None:
    rig.server.serve("/One", STALLS)
    rig.downloads.start(rig.weight("One"))
    rig.until(lambda: (rig.standing("One").fraction or 0) > 0.1)
    rig.downloads.cancel(rig.weight("One"))
    stopped = rig.standing("One")
    assert (stopped.state, stopped.is_busy) == ("partial", False)
    rig.settle()
    assert rig.standing("One").text.startswith("stopped at ")
    assert rig.registry.part(rig.weight("One")).stat().st_size > 0
    assert (rig.finished, rig.failures) == ([], [])


def test_the_job_bar_cancels_too(rig: Rig) -> None:
    rig.server.serve("/One", STALLS)
    rig.downloads.start(rig.weight("One"))
    rig.until(lambda: (rig.standing("One").fraction or 0) > 0.1)
    rig.jobs.visible[0].cancel()
    rig.settle()
    assert rig.standing("One").state == "partial"
    assert rig.seen[-1][1].state == "partial"


def test_what_was_just_cancelled_can_be_removed_at_once(rig: Rig) -> None:
    rig.server.serve("/One", STALLS)
    rig.downloads.start(rig.weight("One"))
    rig.until(lambda: (rig.standing("One").fraction or 0) > 0.1)
    rig.downloads.cancel(rig.weight("One"))
    rig.downloads.remove(rig.weight("One"))
    rig.settle()
    assert rig.standing("One").state == "missing"
    assert not rig.registry.part(rig.weight("One")).exists()
    assert rig.failures == []


def test_removing_waits_until_a_download_has_let_go_of_its_file(rig: Rig) -> None:
    weight = rig.weight("One")
    rig.registry.folder.mkdir()
    rig.registry.part(weight).write_bytes(PAYLOAD[:1000])
    with rig.registry.lock(weight).acquire():
        rig.downloads.remove(weight)
        assert rig.standing("One").text in ("queued", "removing")
        with pytest.raises(TimeoutError):
            rig.main.run_until(lambda: rig.failures != [], 0.2)
    rig.settle()
    assert rig.standing("One").state == "missing"
    assert not rig.registry.part(weight).exists()
    assert rig.failures == []


def test_a_failure_is_told_and_stays_until_the_next_try(rig: Rig) -> None:
    rig.server.serve("/One", Reply(b"gone", 404))
    rig.downloads.start(rig.weight("One"))
    rig.settle()
    failed = rig.standing("One")
    assert (failed.state, failed.text, failed.trouble) == ("missing", "failed", True)
    assert "(404)" in failed.detail
    assert [name for name, _ in rig.failures] == ["One"]
    rig.server.serve("/One", Reply(PAYLOAD))
    rig.downloads.start(rig.weight("One"))
    assert not rig.standing("One").trouble
    rig.settle()
    assert rig.standing("One").state == "ready"


def test_a_changed_file_is_found_damaged_and_can_be_fetched_again(rig: Rig) -> None:
    weight = rig.weight("One")
    rig.registry.folder.mkdir()
    path = rig.registry.path(weight)
    path.write_bytes(PAYLOAD[:-1] + b"!")
    assert rig.standing("One").text == "not checked"
    rig.downloads.verify(weight)
    rig.settle()
    damaged = rig.standing("One")
    assert (damaged.state, damaged.trouble) == ("damaged", True)
    assert "not the file that was published" in damaged.detail
    rig.downloads.start(weight)
    rig.settle()
    assert path.read_bytes() == PAYLOAD
    assert rig.standing("One").state == "ready"
    rig.downloads.verify(weight)
    rig.settle()
    assert rig.standing("One").detail == "Checked. It is as published."


def test_a_gated_answer_names_the_page(rig: Rig) -> None:
    rig.server.serve("/One", Reply(b"", 401, headers=(("X-Error-Code", "GatedRepo"),)))
    assert rig.downloads.licence_page(rig.weight("One")) == ""
    rig.downloads.start(rig.weight("One"))
    rig.settle()
    assert isinstance(rig.failures[0][1], GatedError)
    assert rig.downloads.licence_page(rig.weight("One")) == "https://example.org/model"


def test_no_token_is_refused_with_a_hint(rig: Rig) -> None:
    rig.downloads.log_in("not one")
    rig.settle()
    ((name, error),) = rig.failures
    assert name == ""
    assert "not a Hugging Face token" in error.message


def test_a_link_becomes_a_weight_whose_type_is_found_out(rig: Rig) -> None:
    url = rig.server.serve("/mine.pt", Reply(PAYLOAD))
    rig.downloads.add_link(f"  {url} ", "My nuclei", download=True)
    rig.settle()
    assert rig.finished == ["My nuclei"]
    assert rig.weight("My nuclei").type == "vit_b"
    assert rig.standing("My nuclei").state == "ready"
    rig.downloads.remove(rig.weight("My nuclei"))
    rig.settle()
    assert "My nuclei" not in [weight.name for weight in rig.registry.weights]


def test_an_added_link_is_not_fetched_unasked(rig: Rig) -> None:
    url = rig.server.serve("/mine.pt", Reply(PAYLOAD))
    rig.downloads.add_link(url, "My nuclei", "vit_b")
    rig.settle()
    assert rig.standing("My nuclei").state == "missing"
    assert rig.server.asked == []


@pytest.mark.parametrize(
    ("url", "name", "says"),
    [
        ("ftp://example.org/x.pt", "Mine", "cannot be downloaded"),
        ("https://example.org/x.pt", " ", "needs a name"),
        ("https://example.org/x.pt", "one", "already"),
    ],
)
def test_what_cannot_be_added_is_refused_at_once(rig: Rig, url: str, name: str, says: str) -> None:
    with pytest.raises(SamdeskError, match=says):
        rig.downloads.add_link(url, name)
    assert not rig.registry.user.exists()


def test_a_known_link_is_named(rig: Rig) -> None:
    with pytest.raises(SamdeskError, match="This link is Two already"):
        rig.downloads.add_link(rig.weight("Two").url, "Mine")


@pytest.mark.parametrize("reference", [False, True])
def test_a_file_becomes_a_weight(rig: Rig, tmp_path: Path, reference: bool) -> None:
    path = tmp_path / "nuclei.pt"
    path.write_bytes(PAYLOAD)
    rig.downloads.import_file(path, "Nuclei", reference=reference)
    assert rig.downloads.importing == ("Nuclei",)
    with pytest.raises(SamdeskError, match="already"):
        rig.downloads.import_file(path, "Nuclei")
    rig.settle()
    assert (rig.finished, rig.downloads.importing) == (["Nuclei"], ())
    assert rig.standing("Nuclei").is_here
    assert (rig.registry.path(rig.weight("Nuclei")) == path) is reference
    rig.downloads.remove(rig.weight("Nuclei"))
    rig.settle()
    assert path.read_bytes() == PAYLOAD
    assert len(rig.registry.weights) == 4


def test_a_file_that_is_no_model_is_refused_and_leaves_no_entry(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "letter.pt"
    path.write_bytes(b"Dear colleague, " * 100)
    rig.downloads.import_file(path, "Letter")
    rig.settle()
    assert [name for name, _ in rig.failures] == ["Letter"]
    assert rig.downloads.importing == ()
    assert len(rig.registry.weights) == 4


class Answers:
    """Chooses the option of this title, and remembers what was asked."""

    def __init__(self) -> None:
        self.option = ""
        self.asked: list[tuple[str, str, tuple[str, ...]]] = []

    def open_files(self, title: str, filters: str) -> list[Path]:
        return []

    def save_file(self, title: str, name: str, filters: str) -> Path | None:
        return None

    def choose(self, text: str, hint: str, options: Iterable[str]) -> int | None:
        given = tuple(options)
        self.asked.append((text, hint, given))
        return given.index(self.option) if self.option in given else None


class Desk(Rig):
    """A whole workspace over the same registry; models never begin to load."""

    def __init__(self, folder: Path, server: WeightsServer) -> None:
        super().__init__(folder, server)
        self.ask = Answers()
        settings = Settings(folder / "settings.json")
        segmenter = Segmenter(FakeEngine())
        self.workspace = Workspace(self.jobs, settings, segmenter, self.ask, self.registry)
        self.downloads = self.workspace.downloads
        self.notices: list[Notice] = []
        self.workspace.notice.connect(self.notices.append)
        self.chosen: list[str] = []
        models = self.workspace.models
        models.changed.connect(lambda: self.chosen.append(models.current))
        self.gate = threading.Event()
        self.jobs.lane("model").submit(lambda task: self.gate.wait(20))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    with weights_server() as server:
        made = Desk(tmp_path, server)
        yield made
        made.workspace.models.choose("classical")
        made.gate.set()
        made.workspace.close()


def finish(desk: Desk, name: str) -> None:
    desk.until(lambda: not desk.downloads.standing(desk.weight(name)).is_busy)
    desk.main.drain()


def test_a_model_that_is_missing_is_offered_fetched_and_chosen(desk: Desk) -> None:
    desk.downloads._recognise = recognise  # before the download, which may be quick
    desk.ask.option = "Download"
    desk.workspace.models.choose("One")
    ((text, hint, options),) = desk.ask.asked
    assert text == "One is not on this computer."
    assert hint == "300 kB from 127.0.0.1, Apache-2.0."
    assert options == ("Download",)
    assert desk.chosen == []
    (job,) = [job for job in desk.jobs.visible if job.title]
    assert job.title == "Downloading One"
    finish(desk, "One")
    desk.until(lambda: desk.chosen != [])
    assert desk.workspace.models.current == "One"


def test_declined_nothing_is_fetched(desk: Desk) -> None:
    desk.workspace.models.choose("One")
    assert len(desk.ask.asked) == 1
    assert desk.jobs.visible == ()
    assert desk.server.asked == []
    assert desk.workspace.models.current == "classical"


def test_another_choice_meanwhile_is_kept(desk: Desk) -> None:
    desk.downloads._recognise = recognise
    desk.registry.folder.mkdir()
    desk.registry.path(desk.weight("Two")).write_bytes(PAYLOAD)
    desk.server.serve("/One", SLOW)
    desk.ask.option = "Download"
    desk.workspace.models.choose("One")
    desk.workspace.models.choose("Two")
    finish(desk, "One")
    assert desk.downloads.standing(desk.weight("One")).state == "ready"
    assert desk.workspace.models.current == "Two"


def test_a_damaged_file_is_offered_again_and_a_stopped_one_is_resumed(desk: Desk) -> None:
    desk.registry.folder.mkdir()
    desk.registry.path(desk.weight("One")).write_bytes(b"short")
    desk.registry.part(desk.weight("Two")).write_bytes(PAYLOAD[:1000])
    desk.workspace.models.choose("One")
    desk.workspace.models.choose("Two")
    assert [options for _, _, options in desk.ask.asked] == [("Download Again",), ("Resume",)]
    assert "instead of 300,000" in desk.ask.asked[0][1]
    assert "is only partly" in desk.ask.asked[1][0]


def test_chosen_while_it_is_on_its_way_it_is_not_asked_for_again(desk: Desk) -> None:
    desk.downloads._recognise = recognise
    desk.server.serve("/One", SLOW)
    desk.downloads.start(desk.weight("One"))
    desk.workspace.models.choose("One")
    assert desk.ask.asked == []
    finish(desk, "One")
    desk.until(lambda: desk.workspace.models.current == "One")


def test_a_gated_failure_leads_to_the_dialog(desk: Desk) -> None:
    desk.server.serve("/One", Reply(b"", 403, headers=(("X-Error-Code", "GatedRepo"),)))
    desk.downloads.start(desk.weight("One"))
    desk.until(lambda: desk.notices != [])
    assert desk.notices[0].level == "error"
    assert desk.notices[0].command == "weights.show"
