"""The switch: what it remembers, what becomes of a server that cannot start, and starting anew."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from samdesk.app.jobs import Job, Jobs, MainQueue
from samdesk.app.serving import Serving, Start
from samdesk.app.settings import Settings
from samdesk.app.workspace import Notice, Workspace
from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Cancelled, Task
from samdesk.sdk import Segmenter
from tests.fakes import FakeEngine

TAKEN = SamdeskError("Port 8000 is taken.", "Choose another.")


class FakeServer:
    """Answers on lane `serve` until it is cancelled, or fails as it is told."""

    def __init__(self, jobs: Jobs, settings: Settings) -> None:
        self.jobs, self.settings = jobs, settings
        self.never = threading.Event()
        self.loaded = 0
        self.running: list[int] = []
        self.fails: SamdeskError | None = None
        self.lacking: SamdeskError | None = None

    def load(self) -> Start:
        self.loaded += 1
        if self.lacking:
            raise self.lacking
        return self.start

    def start(self, ready: Callable[[str], None]) -> Job[None]:
        port = self.settings["serve_port"]

        def work(task: Task) -> None:
            if self.fails:
                raise self.fails
            self.running.append(port)
            self.jobs.dispatch(lambda: ready(f"http://localhost:{port}"))
            try:
                while not self.never.wait(0.001):
                    task.check()
            except Cancelled:
                self.running.remove(port)
                raise

        return self.jobs.lane("serve").submit(work)


@pytest.fixture
def queue() -> MainQueue:
    return MainQueue()


@pytest.fixture
def jobs(queue: MainQueue) -> Iterator[Jobs]:
    made = Jobs(queue)
    yield made
    made.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "settings.json")


@pytest.fixture
def server(jobs: Jobs, settings: Settings) -> FakeServer:
    return FakeServer(jobs, settings)


@pytest.fixture
def serving(jobs: Jobs, settings: Settings, server: FakeServer) -> Serving:
    return Serving(jobs, settings, server.load)


Wait = Callable[[Callable[[], bool]], None]


@pytest.fixture
def wait(queue: MainQueue) -> Wait:
    return lambda condition: queue.run_until(condition, 10.0)


def test_on_and_off_and_what_is_remembered(
    serving: Serving, settings: Settings, server: FakeServer, wait: Wait
) -> None:
    started: list[str] = []
    serving.started.connect(lambda: started.append(serving.qupath_url))
    assert not server.loaded
    serving.toggle()
    assert (serving.state, serving.url) == ("starting", "")
    wait(lambda: serving.is_on)
    assert started == ["http://localhost:8000/sam/"]
    assert settings["serve"]
    serving.toggle()
    assert (serving.state, serving.url, serving.qupath_url) == ("off", "", "")
    assert not settings["serve"]
    wait(lambda: not server.running)


def test_the_next_window_answers_again_without_news(
    jobs: Jobs, settings: Settings, server: FakeServer, serving: Serving, wait: Wait
) -> None:
    serving.start()
    wait(lambda: serving.is_on)
    serving.close()
    assert serving.state == "off"
    assert settings["serve"]
    later, news = Serving(jobs, settings, server.load), []
    later.started.connect(lambda: news.append(1))
    later.restore()
    wait(lambda: later.is_on)
    assert not news
    assert not later.asked


def test_nothing_is_restored_unasked(serving: Serving, server: FakeServer) -> None:
    serving.restore()
    assert serving.state == "off"
    assert not server.loaded


def test_a_server_that_cannot_start_is_told_once_and_the_wish_stays(
    serving: Serving, settings: Settings, server: FakeServer, wait: Wait
) -> None:
    told: list[SamdeskError] = []
    serving.failed.connect(told.append)
    server.fails = TAKEN
    serving.start()
    wait(lambda: serving.state == "failed")
    assert told == [TAKEN]
    assert serving.error is TAKEN
    assert not serving.wanted
    assert settings["serve"]
    server.fails = None
    settings["serve_port"] = 8001  # what the hint says
    wait(lambda: serving.is_on)
    assert serving.url == "http://localhost:8001"
    assert serving.error is None


def test_libraries_that_are_missing_are_told(serving: Serving, server: FakeServer, wait: Wait) -> None:
    server.lacking = SamdeskError("The server needs a library.", "Install it.")
    serving.start()
    wait(lambda: serving.state == "failed")
    assert serving.error is server.lacking


def test_a_start_that_raises_is_told(jobs: Jobs, settings: Settings, wait: Wait) -> None:
    def start(ready: Callable[[str], None]) -> Job[None]:
        raise TAKEN

    serving = Serving(jobs, settings, lambda: start)
    serving.start()
    wait(lambda: serving.state == "failed")
    assert serving.error is TAKEN


def test_another_port_starts_it_anew(
    serving: Serving, settings: Settings, server: FakeServer, wait: Wait
) -> None:
    serving.start()
    wait(lambda: serving.is_on)
    settings["serve_port"] = 8002
    assert serving.state == "starting"
    wait(lambda: serving.is_on)
    assert serving.url == "http://localhost:8002"
    assert server.running == [8002]


def test_off_before_it_answers_stays_off(serving: Serving, queue: MainQueue, server: FakeServer) -> None:
    serving.start()
    serving.stop()
    serving.start()
    serving.stop()
    queue.run_until(lambda: serving._jobs.idle, 10.0)
    queue.drain()
    assert serving.state == "off"
    assert not server.running


def test_the_preference_is_the_switch(serving: Serving, settings: Settings, wait: Wait) -> None:
    settings["serve"] = True
    wait(lambda: serving.is_on)
    settings["serve"] = False
    assert serving.state == "off"


def test_without_a_server_nothing_happens(jobs: Jobs, settings: Settings) -> None:
    serving = Serving(jobs, settings, None)
    serving.start()
    settings["serve"] = True
    serving.restore()
    assert not serving.available
    assert serving.state == "off"


def test_the_workspace_tells_where_and_why_not(
    jobs: Jobs,
    settings: Settings,
    server: FakeServer,
    wait: Wait,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    workspace = Workspace(
        jobs,
        settings,
        Segmenter(FakeEngine()),
        load_server=lambda: lambda given, ready: server.start(ready) if given is workspace else jobs,
    )
    notices: list[Notice] = []
    workspace.notice.connect(notices.append)
    workspace.serving.start()
    wait(lambda: workspace.serving.is_on)
    workspace.serving.stop()
    server.fails = TAKEN
    workspace.serving.start()
    wait(lambda: workspace.serving.state == "failed")
    wait(lambda: len(notices) > 1)
    told, refused = notices
    assert (told.level, told.command) == ("info", "server.copy")
    assert "http://localhost:8000/sam/" in told.text
    assert refused == Notice("error", TAKEN.message, TAKEN.hint, "app.preferences", "serve_port")
    workspace.serving.close()
    workspace.serving.asked = False
    workspace.serving.restore()  # as the second of two windows
    wait(lambda: len(notices) > 2)
    assert notices[2].level == "info"
    workspace.close()


def test_a_weight_that_another_program_asked_for_can_be_fetched(
    jobs: Jobs, settings: Settings, wait: Wait, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    workspace = Workspace(jobs, settings, Segmenter(FakeEngine()))
    notices: list[Notice] = []
    workspace.notice.connect(notices.append)

    class MissingError(SamdeskError):
        weight = "SAM ViT-L"

    def fail(task: Task) -> None:
        raise MissingError("It is not here.", 'samdesk weights download "SAM ViT-L"')

    jobs.lane("requests").submit(fail)
    wait(lambda: bool(notices))
    assert (notices[0].command, notices[0].about) == ("weights.show", "SAM ViT-L")
    assert "another program asked for “SAM ViT-L”" in notices[0].text
    assert "samdesk weights" not in notices[0].hint
    workspace.close()
