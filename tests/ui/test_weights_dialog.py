"""The Weights dialog over a real server: rows, buttons, progress, adding, dropping, licences."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QObject, QPointF, Qt, QTimer, QUrl, Slot
from PySide6.QtGui import QDesktopServices, QDropEvent
from PySide6.QtWidgets import QAbstractButton, QApplication, QComboBox, QLineEdit, QMessageBox, QWidget
from pytestqt.qtbot import QtBot
from shiboken6 import isValid

from samdesk.app.downloads import Downloads
from samdesk.app.jobs import Jobs
from samdesk.app.settings import Settings
from samdesk.sdk import Segmenter
from samdesk.ui import theme
from samdesk.ui.bridge import Bridge
from samdesk.ui.dialogs.weights import WeightsDialog
from samdesk.ui.dialogs.weights.adding import AddWeight, name_from
from samdesk.ui.dialogs.weights.table import LICENCE, NAME, SIZE, STATE, TYPE
from samdesk.ui.main_window import MainWindow
from samdesk.weights import Registry, Weight
from tests.fakes import FakeAsk, FakeEngine
from tests.weights_server import Reply, WeightsServer, weights_server

PAYLOAD = random.Random(8).randbytes(300_000)
SLOW = Reply(PAYLOAD, block=3_000, pause_s=0.01)
STALLS = Reply(PAYLOAD, stall_after=150_000, block=3_000, pause_s=0.01)
NAMES = ("One", "Two", "Gated")


@dataclass(frozen=True)
class Kind:
    type: str = "vit_b"


def entries(server: WeightsServer) -> list[dict[str, object]]:
    return [
        {
            "type": "vit_b",
            "name": name,
            "file": f"{name.lower()}.pt",
            "url": server.serve(f"/{name}", Reply(PAYLOAD)),
            "sha256": hashlib.sha256(PAYLOAD).hexdigest(),
            "size": len(PAYLOAD),
            "licence": "Apache-2.0",
            "homepage": "samdesk-test://example.org/model" if name == "Gated" else "https://example.org",
            "gated": name == "Gated",
            "about": f"{name} is for <tests> & more.",
        }
        for name in NAMES
    ]


class Rig:
    """A dialog, what it shows, and what is behind it."""

    def __init__(self, folder: Path, server: WeightsServer, jobs: Jobs, qtbot: QtBot) -> None:
        self.server, self.jobs, self.qtbot = server, jobs, qtbot
        shipped = folder / "shipped.json"
        shipped.write_text(json.dumps({"version": 1, "weights": entries(server)}))
        home = folder / "weights"
        self.registry = Registry(shipped, home / "weights.json", home)
        self.downloads = Downloads(jobs, self.registry, lambda path: Kind())
        self.ask = FakeAsk()
        self.raised: list[object] = []
        self.bridge = Bridge()
        self.bridge.failed.connect(self.raised.append)
        self.dialog = WeightsDialog(None, self.downloads, self.ask, self.bridge.guarded)
        with qtbot.waitExposed(self.dialog):
            self.dialog.show()

    def weight(self, name: str) -> Weight:
        return next(weight for weight in self.registry.weights if weight.name == name)

    def cell(self, name: str, column: int) -> str:
        row = self.dialog.model.row_of(name)
        assert row is not None
        return str(self.dialog.model.index(row, column).data())

    def until(self, condition: Callable[[], bool]) -> None:
        self.qtbot.waitUntil(condition, timeout=60_000)

    def until_state(self, name: str, text: str) -> None:
        self.until(lambda: re.search(text, self.cell(name, STATE)) is not None)

    def choose(self, name: str) -> None:
        self.dialog.choose_weight(name)
        assert self.dialog.chosen is not None
        assert self.dialog.chosen.name == name

    def add_dialog(self) -> AddWeight:
        self.dialog.add.click()
        return self.dialog.adding


@pytest.fixture
def rig(tmp_path: Path, jobs: Jobs, qtbot: QtBot) -> Iterator[Rig]:
    theme.apply(theme.application(), "light")
    with weights_server() as server:
        made = Rig(tmp_path, server, jobs, qtbot)
        yield made
        jobs.close()
        if isValid(made.dialog):
            made.dialog.close()
            made.dialog.deleteLater()
        qtbot.wait(1)
        assert made.raised == []


def drop(on: QWidget, text: str) -> None:
    data = QMimeData()
    data.setUrls([QUrl(text) if "://" in text else QUrl.fromLocalFile(text)])
    on.dropEvent(
        QDropEvent(
            QPointF(50, 50),
            Qt.DropAction.CopyAction,
            data,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
    )


def test_it_says_what_a_weight_costs_before_anything_is_fetched(rig: Rig) -> None:
    shown = [rig.cell("One", column) for column in (NAME, TYPE, SIZE, STATE, LICENCE)]
    assert shown == ["One", "vit_b", "300 kB", "missing", "Apache-2.0"]
    assert rig.cell("Gated", STATE) == "licence needed"
    told = rig.dialog.detail.text()
    assert "One is for &lt;tests&gt; &amp; more." in told
    assert "From 127.0.0.1" in told
    assert 'href="https://example.org"' in told
    assert rig.server.asked == []


def test_one_button_downloads_cancels_and_resumes(rig: Rig) -> None:
    d = rig.dialog
    rig.server.serve("/One", STALLS)
    assert (d.act.text(), d.verify.isEnabled(), d.remove.isEnabled()) == ("Download", False, False)
    d.act.click()
    assert d.act.text() == "Cancel"
    rig.until_state("One", r"^[1-9]\d? %")
    d.act.click()
    assert d.act.text() == "Resume"
    rig.until_state("One", "stopped at")
    rig.server.serve("/One", Reply(PAYLOAD))
    d.act.click()
    rig.until_state("One", "^ready$")
    assert (d.act.isEnabled(), d.verify.isEnabled(), d.remove.isEnabled()) == (False, True, True)
    assert "range" in rig.server.asked_for("/One")[-1].headers
    assert rig.registry.path(rig.weight("One")).read_bytes() == PAYLOAD


def test_two_at_once_and_each_row_has_its_own_progress(rig: Rig) -> None:
    for name in ("One", "Two"):
        rig.server.serve(f"/{name}", SLOW)
        rig.choose(name)
        rig.dialog.act.click()
    both = re.compile(r"^\d+ %, .*B/s, .* left$")
    rig.until(lambda: all(both.match(rig.cell(name, STATE)) for name in ("One", "Two")))
    assert rig.dialog.chosen == rig.weight("Two")
    for name in ("One", "Two"):
        rig.until_state(name, "^ready$")


def test_enter_in_the_table_starts_the_download(rig: Rig) -> None:
    rig.dialog.view.setFocus()
    rig.qtbot.keyClick(rig.dialog.view, Qt.Key.Key_Down)
    rig.qtbot.keyClick(rig.dialog.view, Qt.Key.Key_Return)
    rig.until_state("Two", "^ready$")
    assert rig.cell("One", STATE) == "missing"


def test_a_damaged_file_is_marked_explained_and_fetched_again(rig: Rig) -> None:
    rig.registry.folder.mkdir()
    path = rig.registry.path(rig.weight("One"))
    path.write_bytes(PAYLOAD[:-1] + b"?")
    rig.dialog.model.reload()
    rig.dialog._show_chosen()
    assert rig.cell("One", STATE) == "not checked"
    rig.dialog.verify.click()
    rig.until_state("One", "^damaged$")
    assert "not the file that was published" in rig.dialog.detail.text()
    row = rig.dialog.model.row_of("One")
    color = rig.dialog.model.index(row, STATE).data(Qt.ItemDataRole.ForegroundRole)
    assert color.red() > 2 * color.green()
    assert rig.dialog.act.text() == "Download Again"
    rig.dialog.act.click()
    rig.until_state("One", "^ready$")
    assert path.read_bytes() == PAYLOAD


def test_removing_asks_first(rig: Rig) -> None:
    rig.dialog.act.click()
    rig.until_state("One", "^ready$")
    rig.ask.answer = None
    rig.dialog.remove.click()
    rig.until(lambda: rig.jobs.idle)
    assert rig.cell("One", STATE) == "ready"
    rig.ask.answer = 0
    rig.dialog.remove.click()
    rig.until_state("One", "^missing$")
    assert not rig.registry.path(rig.weight("One")).exists()


def test_a_pasted_link_is_added_chosen_and_fetched(rig: Rig) -> None:
    url = rig.server.serve("/my_nuclei-vit_b.pt", Reply(PAYLOAD))
    adding = rig.add_dialog()
    rig.qtbot.keyClicks(adding.source, url)
    assert adding.name.text() == "my nuclei-vit b"
    adding.name.setText("One")
    adding.add.click()
    assert "already" in adding.hint.text()
    assert adding.isVisible()
    adding.name.setText("Nuclei")
    adding.add.click()
    assert not adding.isVisible()
    rig.until(lambda: rig.dialog.chosen is not None and rig.dialog.chosen.name == "Nuclei")
    rig.until_state("Nuclei", "^ready$")
    assert rig.cell("Nuclei", TYPE) == "vit_b"


def test_a_dropped_file_is_added_where_it_lies(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "my nuclei.pt"
    path.write_bytes(PAYLOAD)
    drop(rig.dialog, str(path))
    adding = rig.dialog.adding
    assert (Path(adding.source.text()), adding.name.text()) == (path, "my nuclei")
    assert adding.options.currentWidget() is adding.reference
    adding.reference.setChecked(True)
    adding.add.click()
    rig.until(lambda: rig.dialog.model.row_of("my nuclei") is not None)
    assert rig.registry.path(rig.weight("my nuclei")) == path
    rig.until(lambda: rig.dialog.chosen is not None and rig.dialog.chosen.name == "my nuclei")
    assert "Used where it lies" in rig.dialog.detail.text()
    assert not rig.dialog.act.isEnabled()
    rig.ask.answer = 0
    rig.dialog.remove.click()
    rig.until(lambda: rig.dialog.model.row_of("my nuclei") is None)
    assert path.exists()


def test_a_dropped_link_and_a_chosen_file_fill_the_form(rig: Rig, tmp_path: Path) -> None:
    drop(rig.dialog, "https://example.org/a/cells_b.safetensors?download=true")
    adding = rig.dialog.adding
    assert adding.name.text() == "cells b"
    assert adding.options.currentWidget() is adding.now
    rig.ask.files = [tmp_path / "other.pt"]
    adding._choose()
    assert Path(adding.source.text()) == tmp_path / "other.pt"
    adding.add.click()
    assert "There is no file" in adding.hint.text()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("https://drive.google.com/file/d/1AbC/view?usp=sharing", ""),
        ("https://huggingface.co/a/b/resolve/main/vit_b%20lm.pt", "vit b lm"),
        (r"C:\models\my_cells.pth", "my cells"),
        ("", ""),
    ],
)
def test_a_name_to_begin_with(source: str, name: str) -> None:
    assert name_from(source) == name


def test_what_failed_is_told_in_the_dialog(rig: Rig, tmp_path: Path) -> None:
    rig.server.serve("/One", Reply(b"", 404))
    rig.dialog.act.click()
    rig.until_state("One", "^failed$")
    assert "(404)" in rig.dialog.detail.text()
    page = tmp_path / "page.pt"
    page.write_bytes(b"<!DOCTYPE html><html></html>")
    drop(rig.dialog, str(page))
    rig.dialog.adding.add.click()
    rig.until(lambda: rig.dialog.notices.notice is not None)
    assert "web page" in rig.dialog.notices.notice.text


class Browser(QObject):
    """Stands in for the desktop's browser, by Qt's own means."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[str] = []

    @Slot(QUrl)
    def open(self, url: QUrl) -> None:
        self.pages.append(url.toString())


@pytest.fixture
def browser() -> Iterator[Browser]:
    made = Browser()
    for scheme in ("samdesk-test", "file"):
        QDesktopServices.setUrlHandler(scheme, made, "open")
    yield made
    for scheme in ("samdesk-test", "file"):
        QDesktopServices.unsetUrlHandler(scheme)


def test_a_licence_is_accepted_on_its_page(rig: Rig, browser: Browser) -> None:
    assert not rig.dialog.accept_licence.isVisible()
    rig.choose("Gated")
    assert rig.dialog.accept_licence.isVisible()
    rig.dialog.accept_licence.click()
    assert browser.pages == ["samdesk-test://example.org/model"]
    assert not rig.dialog.login.isVisible()  # a token is of use for Hugging Face only


def test_a_token_that_is_none_is_refused_in_the_dialog(rig: Rig, browser: Browser) -> None:
    rig.registry.add(
        "Hub", type="sam3", url="https://huggingface.co/a/b/resolve/main/c.pt", gated=True,
        homepage="samdesk-test://hub",
    )  # fmt: skip
    rig.dialog.model.reload()
    rig.choose("Hub")
    rig.dialog.accept_licence.click()
    assert rig.dialog.login.isVisible()
    assert not rig.dialog.log_in.isEnabled()
    rig.qtbot.keyClicks(rig.dialog.token, "no token")
    rig.qtbot.keyClick(rig.dialog.token, Qt.Key.Key_Return)
    rig.until(lambda: rig.dialog.notices.notice is not None)
    assert "not a Hugging Face token" in rig.dialog.notices.notice.text
    assert rig.server.asked == []


def test_its_folder_is_shown(rig: Rig, browser: Browser) -> None:
    assert not rig.dialog.reveal.isEnabled()
    rig.dialog.act.click()
    rig.until_state("One", "^ready$")
    rig.dialog.reveal.click()
    assert [Path(QUrl(page).toLocalFile()) for page in browser.pages] == [rig.registry.folder]


def test_nothing_is_clipped_at_the_least_size_and_all_has_a_name(rig: Rig, browser: Browser) -> None:
    d = rig.dialog
    d.resize(1, 1)
    rig.choose("Gated")
    d.accept_licence.click()
    d.status.setText("Importing a rather long name of a weight…")
    rig.qtbot.wait(20)
    assert d.width() <= 1280
    assert d.height() <= 720
    for parent in (d, rig.add_dialog()):
        rig.qtbot.wait(20)
        for one in parent.findChildren(QAbstractButton):
            if one.window() is parent and one.isVisible() and one.text():
                assert one.width() >= one.minimumSizeHint().width(), one.text()
                assert parent.rect().contains(one.mapTo(parent, one.rect().bottomRight())), one.text()
        for kind in (QLineEdit, QComboBox):
            assert all(one.accessibleName() for one in parent.findChildren(kind))
    assert d.view.accessibleName()


@pytest.mark.parametrize("appearance", ["light", "dark"])
def test_trouble_is_legible(appearance: str, qapp: QApplication) -> None:
    from tests.ui.test_window import _contrast

    theme.apply(qapp, appearance)
    for back in ("window", "base"):
        assert _contrast(theme.colors()["trouble"], theme.colors()[back]) >= 4.5
    theme.apply(qapp, "light")


def test_a_closed_dialog_hears_nothing_more(rig: Rig) -> None:
    rig.server.serve("/One", SLOW)
    rig.dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    rig.dialog.act.click()
    rig.dialog.close()
    rig.until(lambda: not isValid(rig.dialog))
    rig.until(lambda: rig.registry.state(rig.weight("One")) == "ready" and rig.jobs.idle)
    assert len(rig.downloads.changed) == 0


# in the window


@pytest.fixture
def window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot) -> Iterator[MainWindow]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    with weights_server() as server:
        folder = tmp_path / "home" / "data" / "weights"
        folder.mkdir(parents=True)
        mine = [{**one, "name": f"My {one['name']}"} for one in entries(server)]
        (folder / "weights.json").write_text(json.dumps({"version": 1, "weights": mine}))
        theme.apply(theme.application(), "light")
        made = MainWindow(Settings(tmp_path / "settings.json"), Segmenter(FakeEngine()))
        made.show()
        qtbot.waitExposed(made)
        made.workspace.downloads._recognise = lambda path: Kind()
        yield made
        made.close()
        made.deleteLater()
        qtbot.wait(1)


def answered(title: str, asked: list[str]) -> None:
    """Press the button of this title in the question that is about to be put."""

    def press() -> None:
        box = QApplication.activeModalWidget()
        if not isinstance(box, QMessageBox):
            QTimer.singleShot(10, press)
            return
        asked.append(f"{box.text()} {box.informativeText()}")
        next(button for button in box.buttons() if button.text().replace("&", "") == title).click()

    QTimer.singleShot(0, press)


def test_the_command_opens_it_once(window: MainWindow) -> None:
    window.actions_["weights.show"].trigger()
    first = window.dialogs.get("weights")
    window.show_dialog("weights", "My Two")
    assert window.dialogs.get("weights") is first
    assert first.chosen.name == "My Two"
    assert not first.isModal()
    window.workspace.image_changed.emit()
    assert first.isVisible()


def test_one_click_fetches_the_model_that_was_chosen(window: MainWindow, qtbot: QtBot) -> None:
    asked: list[str] = []
    answered("Download", asked)
    models, chosen = window.workspace.models, []
    models.changed.connect(lambda: chosen.append(models.current))
    window.workspace.models.choose("My One")
    assert asked == ["My One is not on this computer. 300 kB from 127.0.0.1, Apache-2.0."]
    assert [job.title for job in window.jobs.visible] == ["Downloading My One"]
    registry = window.workspace.models.registry
    weight = registry.find("My One")
    # what it holds is no model, so it does not stay chosen
    qtbot.waitUntil(lambda: "My One" in chosen, timeout=20_000)
    window.workspace.models.choose("classical")
    assert registry.state(weight) == "ready"


def test_a_gated_model_leads_to_the_dialog(window: MainWindow) -> None:
    asked: list[str] = []
    answered("Accept the Licence…", asked)
    window.workspace.models.choose("My Gated")
    dialog = window.dialogs.get("weights")
    assert dialog.chosen.name == "My Gated"
    assert dialog.accept_licence.isVisible()
