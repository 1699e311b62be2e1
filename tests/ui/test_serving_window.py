"""The switch in the window, with the real server behind it: asked by another thread while Qt runs."""

from __future__ import annotations

import base64
import io
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image as Picture
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QCheckBox, QDoubleSpinBox
from pytestqt.qtbot import QtBot

from samdesk.app.settings import Settings
from samdesk.cli import _load_server
from samdesk.domain.tasks import Task
from samdesk.sdk import Segmenter
from samdesk.ui import theme
from samdesk.ui.dialogs.preferences import Preferences
from samdesk.ui.dialogs.weights import WeightsDialog
from samdesk.ui.main_window import MainWindow
from samdesk.ui.panels.status import ServerButton
from tests.fakes import FakeEngine

WAIT_MS = 15_000

Asked = Callable[..., httpx.Response]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def disc() -> str:
    y, x = np.mgrid[:200, :300]
    pixels = np.full((200, 300, 3), 230, np.uint8)
    pixels[np.hypot(x + 0.5 - 150, y + 0.5 - 100) < 40] = (90, 40, 130)
    written = io.BytesIO()
    Picture.fromarray(pixels).save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    made = Settings(tmp_path / "settings.json")
    made["serve_port"] = free_port()
    return made


@pytest.fixture
def window(settings: Settings, qtbot: QtBot) -> Iterator[MainWindow]:
    theme.apply(theme.application(), "light")
    made = MainWindow(settings, Segmenter(FakeEngine()), _load_server)
    made.show()
    qtbot.waitExposed(made)
    yield made
    made.close()
    made.deleteLater()
    qtbot.wait(1)


@pytest.fixture
def client(window: MainWindow) -> Iterator[Callable[..., Future[httpx.Response]]]:
    """Asks on a thread of its own, as another program does."""
    with ThreadPoolExecutor(2) as threads, httpx.Client(timeout=30, trust_env=False) as session:

        def ask(method: str, path: str, **more: Any) -> Future[httpx.Response]:
            return threads.submit(session.request, method, window.workspace.serving.url + path, **more)

        yield ask


@pytest.fixture
def asked(client: Callable[..., Future[httpx.Response]], qtbot: QtBot) -> Asked:
    """The answer to a request; the window goes on meanwhile."""

    def ask(method: str, path: str, **more: Any) -> httpx.Response:
        answer = client(method, path, **more)
        qtbot.waitUntil(answer.done, timeout=WAIT_MS)
        return answer.result()

    return ask


def turn_on(window: MainWindow, qtbot: QtBot) -> None:
    window.actions_["server.answer"].trigger()
    qtbot.waitUntil(lambda: window.workspace.serving.is_on, timeout=WAIT_MS)


def button(window: MainWindow) -> ServerButton:
    return window.status.server


def test_on_shown_copied_off(window: MainWindow, settings: Settings, qtbot: QtBot, asked: Asked) -> None:
    switch = window.actions_["server.answer"]
    assert not button(window).isVisible()
    assert (switch.isEnabled(), switch.isChecked()) == (True, False)
    assert not window.actions_["server.copy"].isEnabled()
    turn_on(window, qtbot)
    address = f"localhost:{settings['serve_port']}"
    assert button(window).isVisible()
    assert address in button(window).text()
    assert f"http://{address}/sam/" in button(window).toolTip()
    assert switch.isChecked()
    assert window.notices.notice is not None
    assert f"http://{address}/sam/" in window.notices.notice.text
    window.notices._button.click()
    assert QGuiApplication.clipboard().text() == f"http://{address}/sam/"
    assert asked("GET", "/health").status_code == 200
    assert asked("GET", "/docs").status_code == 200
    switch.trigger()
    assert not button(window).isVisible()
    assert not switch.isChecked()
    qtbot.waitUntil(lambda: window.jobs.idle, timeout=WAIT_MS)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", settings["serve_port"]))


def test_qupath_asks_and_the_job_bar_tells(window: MainWindow, qtbot: QtBot, asked: Asked) -> None:
    turn_on(window, qtbot)
    shown: list[str] = []
    window.jobs.changed.connect(lambda job: shown.append(job.title))
    (first, *_) = asked("GET", "/sam/weights/", params={"type": "vit_l"}).json()
    body = {"type": "vit_l", "checkpoint_url": first["url"], "b64img": disc(), "bbox": [105, 55, 195, 145]}
    answer = asked("POST", "/sam/", json={**body, "multimask_output": True})
    assert answer.status_code == 200, answer.text
    assert answer.json()[0]["geometry"]["type"] in ("Polygon", "MultiPolygon")
    assert any(shown)


def test_a_weight_that_is_not_here_is_told_in_the_window(
    window: MainWindow, qtbot: QtBot, asked: Asked
) -> None:
    turn_on(window, qtbot)
    weight = window.workspace.models.registry.of_type("sam2_t")[0]
    body = {"type": "sam2_t", "checkpoint_url": weight.url, "b64img": disc(), "bbox": [105, 55, 195, 145]}
    assert asked("POST", "/sam/", json=body).status_code == 503
    qtbot.waitUntil(lambda: window.notices.notice is not None and window.notices.notice.level == "error")
    notice = window.notices.notice
    assert f"QuPath or another program asked for “{weight.name}”" in notice.text
    assert "samdesk weights" not in notice.hint
    assert window.notices._button.text() == "Weights…"
    window.actions_["server.answer"].trigger()
    assert window.notices.notice is None  # it was about the server
    window.workspace.notice.emit(notice)
    window.notices._button.click()
    dialog = window.dialogs.get("weights")
    assert isinstance(dialog, WeightsDialog)
    assert dialog.chosen is not None
    assert dialog.chosen.name == weight.name


def test_a_port_that_is_taken_is_told_and_another_one_helps(
    window: MainWindow, settings: Settings, qtbot: QtBot
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings["serve_port"]))
        other.listen()
        window.actions_["server.answer"].trigger()
        qtbot.waitUntil(lambda: window.notices.notice is not None, timeout=WAIT_MS)
        notice = window.notices.notice
        assert (notice.level, notice.command) == ("error", "app.preferences")
        assert str(settings["serve_port"]) in notice.text
        assert not window.actions_["server.answer"].isChecked()
        assert not button(window).isVisible()
        settings["serve_port"] = free_port()
        qtbot.waitUntil(lambda: window.workspace.serving.is_on, timeout=WAIT_MS)
        assert window.notices.notice.level == "info"


def test_the_notice_leads_to_the_port_and_the_switch_shows_what_is(
    window: MainWindow, settings: Settings, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("samdesk.ui.dialogs.preferences.OTHER_HEIGHT", 500)  # as on a low screen
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings["serve_port"]))
        other.listen()
        window.actions_["server.answer"].trigger()
        qtbot.waitUntil(lambda: window.notices.notice is not None, timeout=WAIT_MS)
        window.notices._button.click()
        dialog = window.dialogs.get("preferences")
        assert isinstance(dialog, Preferences)
        qtbot.waitExposed(dialog)
        port, switch = dialog.editors["serve_port"], dialog.editors["serve"]
        assert isinstance(port, QDoubleSpinBox)
        assert isinstance(switch, QCheckBox)
        for one in (port, switch):
            assert one.visibleRegion().boundingRect() == one.rect()
        assert dialog.focusWidget() is port
        assert not switch.isChecked()
        switch.click()  # the port is still taken
        qtbot.waitUntil(lambda: not switch.isChecked(), timeout=WAIT_MS)
        assert settings["serve"]
        port.setValue(free_port())
        qtbot.waitUntil(lambda: window.workspace.serving.is_on, timeout=WAIT_MS)
        assert switch.isChecked()
    switch.click()
    assert not window.workspace.serving.wanted
    assert not settings["serve"]
    dialog.close()


def test_in_a_narrow_window_texts_are_cut_with_a_sign(window: MainWindow, qtbot: QtBot) -> None:
    turn_on(window, qtbot)
    window.resize(900, 700)
    never = threading.Event()

    def long(task: Task) -> None:
        task.progress(0.3, "Asked 1,234 of 4,096 points")
        while not never.wait(0.01):
            task.check()

    job = window.jobs.lane("io").submit(long, title="Finding objects in a picture with a long name.tif")
    title, place = window.status.jobs.title, window.status.place
    qtbot.waitUntil(lambda: "4,096" in title.text(), timeout=WAIT_MS)
    qtbot.waitUntil(lambda: title.is_cut, timeout=WAIT_MS)
    assert title.text() in title.toolTip()
    place.setText("1,234.5, 1,234.5 px")
    bar = window.status
    shown = [bar.engine, bar.jobs, bar.place, bar.zoom, bar.saved, bar.server]

    def in_a_row() -> bool:
        pairs = itertools.pairwise(one.geometry() for one in shown)
        apart = all(one.right() < after.left() for one, after in pairs)
        return apart and place.width() > 0 and bar.server.geometry().right() < bar.width()

    qtbot.waitUntil(in_a_row, timeout=WAIT_MS)
    assert title.is_cut
    job.cancel()


def test_closing_stops_it_soon_with_a_request_under_way(
    window: MainWindow, qtbot: QtBot, client: Callable[..., Future[httpx.Response]]
) -> None:
    turn_on(window, qtbot)
    busy, never = threading.Event(), threading.Event()

    def long(task: Task) -> None:
        busy.set()
        while not never.wait(0.01):
            task.check()

    window.jobs.lane("model").submit(long)
    body = {"type": "", "b64img": disc(), "bbox": [105, 55, 195, 145]}
    answer = client("POST", "/sam/", json=body)
    qtbot.waitUntil(lambda: busy.is_set() and bool(window.jobs.visible), timeout=WAIT_MS)
    before = time.monotonic()
    window.close()
    assert time.monotonic() - before < 2
    assert answer.result(10).status_code == 503


def test_a_window_without_a_server_says_so(settings: Settings, qtbot: QtBot) -> None:
    window = MainWindow(settings, Segmenter(FakeEngine()))
    switch = window.actions_["server.answer"]
    assert not switch.isEnabled()
    assert "not installed" in switch.text()
    window.close()
    window.deleteLater()
    qtbot.wait(1)
