"""Making 3D objects from the window: the dialog, the engines' settings and their check, the panel of jobs.

The stand-in engine runs in the real worker process.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
from PySide6.QtCore import QMimeData, QObject, QPointF, Qt, QUrl, Slot
from PySide6.QtGui import QDesktopServices, QDropEvent, QImage
from PySide6.QtWidgets import QAbstractButton, QApplication, QComboBox, QLabel, QLineEdit, QSpinBox, QWidget
from pytestqt.qtbot import QtBot

from samdesk.app.jobs import Jobs
from samdesk.app.reconstruction import ReconJob, Reconstructions
from samdesk.app.settings import Settings
from samdesk.app.workspace import Workspace
from samdesk.domain.columns import Annotation
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane, Shape
from samdesk.recon.client import CheckItem, Worker
from samdesk.recon.engines import RECON_ENGINES, ReconField, ReconSpec, WorkerSpec
from samdesk.recon.options import ReconOptions
from samdesk.sdk import Segmenter
from samdesk.ui import theme
from samdesk.ui.bridge import Bridge
from samdesk.ui.dialogs.engines3d import EnginesDialog, PathEdit
from samdesk.ui.dialogs.lines import level_color
from samdesk.ui.dialogs.make3d import MOST_LINES, OPTIONS, THUMB, Make3DDialog
from samdesk.ui.panels.recon import ReconPanel
from tests.fakes import FakeAsk, FakeEngine

TESTS = Path(__file__).parent.parent
ENGINE = "standin"
TOLD = ("do", "do_load", "do_check", "steps", "step_s")
SLOW = {"do": "be_slow", "steps": 200, "step_s": 0.05}


class Places(FakeAsk):
    """Chooses the folder that it was told."""

    folder: Path | None = None

    def open_folder(self, title: str) -> Path | None:
        return self.folder


class Rig:
    """A workspace with an open picture, its 3D jobs, and whatever is shown of them."""

    def __init__(self, home: Path, qtbot: QtBot) -> None:
        self.home, self.qtbot = home, qtbot
        self.bridge = Bridge()
        self.jobs = Jobs(self.bridge)
        self.settings = Settings(home / "settings.json")
        self.ask = Places()
        self.workspace = Workspace(self.jobs, self.settings, Segmenter(FakeEngine()), self.ask)
        self.recon = Reconstructions(self.workspace, home / "3d", self._worker)
        self.raised: list[SamdeskError] = []
        self.bridge.failed.connect(self.raised.append)
        self.asked_for: list[str] = []
        self.tell()

    def _worker(self, spec: WorkerSpec, log: Path) -> Worker:
        return Worker(replace(spec, path=(str(TESTS),)), log, cancel_grace_s=0.2, term_grace_s=0.2)

    def tell(self, **told: object) -> None:
        """What the stand-in is to do from now on."""
        self.settings["recon"] = {ENGINE: {"steps": 2, "step_s": 0, **told}}

    def until(self, condition: Callable[[], object]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=20_000)

    def settle(self) -> None:
        self.until(lambda: self.jobs.idle)
        self.qtbot.wait(5)
        self.until(lambda: self.jobs.idle)

    def open(self) -> None:
        path = self.home / "picture.png"
        cv2.imwrite(str(path), np.full((300, 400, 3), 200, np.uint8))
        self.workspace.open(path)
        self.until(lambda: self.workspace.image is not None and self.jobs.idle)

    def select(self, *shapes: Shape, **more: object) -> list[uuid.UUID]:
        """Add annotations and select them."""
        w = self.workspace
        added = [Annotation(shape, **more) for shape in shapes]  # type: ignore[arg-type]
        assert w.do(w.document.adding(added))
        w.selection.set([one.id for one in added])
        return [one.id for one in added]

    def show(self, widget: QWidget) -> None:
        self.qtbot.addWidget(widget)
        with self.qtbot.waitExposed(widget):
            widget.show()

    def dialog(self) -> Make3DDialog:
        made = Make3DDialog(None, self.workspace, self.recon, self.bridge.guarded, self.asked_for.append)
        self.show(made)
        self.until(lambda: made._judging is None and made._drawing is None)
        return made

    def engines(self, engine: str = "") -> EnginesDialog:
        made = EnginesDialog(None, self.settings, self.recon, self.ask, self.bridge.guarded, engine)
        self.show(made)
        return made

    def panel(self) -> ReconPanel:
        made = ReconPanel(self.workspace, self.recon, self.bridge.guarded)
        made.resize(270, 520)
        self.workspace.selection.changed.connect(made.show_selection)
        self.workspace.document.changed.connect(made.show_selection)
        self.show(made)
        return made

    def close(self) -> None:
        self.recon.close()
        self.workspace.close()


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot) -> Iterator[Rig]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    fields = tuple(ReconField(name, name, "text", "") for name in TOLD)
    row = ReconSpec(
        ENGINE, "Stand-in", "Stand-in (test)", "recon_standin:StandIn", "It is one.", fields=fields,
        options=frozenset({"splat", "mesh", "seed"}), patience_s=10,
    )  # fmt: skip
    monkeypatch.setitem(RECON_ENGINES, ENGINE, row)
    theme.apply(theme.application(), "light")
    made = Rig(tmp_path, qtbot)
    made.open()
    yield made
    made.close()
    qtbot.wait(1)


def disc(x: float, y: float, radius: float) -> Shape:
    return Shape.from_shapely(shapely.Point(x, y).buffer(radius))


def texts(widget: QWidget) -> str:
    return " ".join(label.text() for label in widget.findChildren(QLabel))


class Desktop(QObject):
    """Stands in for the desktop that opens files, by Qt's own means."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[Path] = []

    @Slot(QUrl)
    def open(self, url: QUrl) -> None:
        self.opened.append(Path(url.toLocalFile()))


@pytest.fixture
def desktop() -> Iterator[Desktop]:
    made = Desktop()
    QDesktopServices.setUrlHandler("file", made, "open")
    yield made
    QDesktopServices.unsetUrlHandler("file")


# The engines' settings


def test_every_field_of_the_table_can_be_told(rig: Rig) -> None:
    dialog = rig.engines()
    for name, spec in RECON_ENGINES.items():
        page = dialog.pages[name]
        assert set(page.editors) == {one.name for one in spec.fields}
        assert all(one.accessibleName() for one in page.editors.values())
        assert spec.label in texts(page)
        assert spec.licence in texts(page)
    assert "Relief (not SAM 3D)" in texts(dialog.pages["relief"])


def test_what_is_told_is_kept_at_once_without_defaults(rig: Rig, tmp_path: Path) -> None:
    rig.settings["recon"] = {"of_another_version": {"x": 1}}
    dialog = rig.engines("sam3d")
    page = dialog.pages["sam3d"]
    assert "Python and Repository are missing" in page.state.text()
    rig.ask.files, rig.ask.folder = [tmp_path / "python"], tmp_path / "checkout"
    for button in page.findChildren(QAbstractButton):
        if button.accessibleName() in ("Choose Python", "Choose Repository"):
            button.click()
    attention = page.editors["attention"]
    assert isinstance(attention, QComboBox)
    attention.setCurrentIndex(attention.findData("sdpa"))
    told = {
        "python": str(tmp_path / "python"),
        "repository": str(tmp_path / "checkout"),
        "attention": "sdpa",
    }
    assert rig.settings["recon"] == {"of_another_version": {"x": 1}, "sam3d": told}
    attention.setCurrentIndex(attention.findData("auto"))
    assert "attention" not in rig.settings["recon"]["sam3d"]
    assert page.state.text() == ""
    again = rig.engines("sam3d").pages["sam3d"]
    assert again.editors["python"].text() == str(tmp_path / "python")
    assert not again.more.isChecked()


def test_a_damaged_setting_is_taken_for_none(rig: Rig) -> None:
    rig.settings["recon"] = {"sam3d": ["x"], "sam3dcpp": {"threads": "many", "program": 3, "models": "/m"}}
    dialog = rig.engines("sam3dcpp")
    assert dialog.page.config == {"models": "/m"}
    assert dialog.pages["sam3d"].config == {}


def test_a_file_can_be_dropped_on_its_line(rig: Rig, tmp_path: Path) -> None:
    page = rig.engines("sam3dcpp").pages["sam3dcpp"]
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path / "object infer"))])
    keys, button = Qt.KeyboardModifier.NoModifier, Qt.MouseButton.LeftButton
    editor = page.editors["program"]
    assert isinstance(editor, PathEdit)
    editor.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, button, keys))
    assert rig.settings["recon"]["sam3dcpp"] == {"program": str(tmp_path / "object infer")}


def test_the_check_tells_what_is_there_and_what_to_do(rig: Rig) -> None:
    dialog = rig.engines(ENGINE)
    page = dialog.page
    page.check.click()
    assert page.check.text() == "Cancel"
    assert page.progress.isVisible()
    rig.until(lambda: page.items)
    assert page.check.text() == "Check"
    words = {line.strong: (line.word, line.text, line.hint) for line in page.found.lines}
    assert words["Weights"][0] == "ok"
    assert words["Graphics card"] == ("missing", "none found", "Buy one.")
    assert words["Licence"][0] == "not known"
    assert [line.level for line in page.found.lines] == ["error", "unknown", "ok", "ok"]
    assert page.state.text() == f"1 of {len(page.items)} is missing."
    editor = page.editors["do"]
    assert isinstance(editor, QLineEdit)
    editor.setText("other")
    editor.editingFinished.emit()
    assert page.found.lines == ()  # it was about other settings


def test_what_was_found_comes_into_view_and_its_addresses_are_links(rig: Rig) -> None:
    dialog = rig.engines("sam3d")
    dialog.resize(1, 1)
    page = dialog.page
    page.more.setChecked(True)
    items = [CheckItem(f"Part {k}", k > 3, "at <b>", "See https://example.org/a.") for k in range(12)]
    page._fresh = True
    page._show_items(items)
    bar = page.area.verticalScrollBar()
    rig.until(lambda: bar.value() == page.found.geometry().top())
    told = page.found.findChildren(QLabel)[1].text()
    assert 'href="https://example.org/a"' in told
    assert "at &lt;b&gt;" in told
    bar.triggerAction(bar.SliderAction.SliderToMinimum)
    page.more.setChecked(False)
    rig.qtbot.wait(20)
    assert bar.value() == 0


def test_a_check_can_be_given_up_and_ends_with_the_dialog(rig: Rig) -> None:
    rig.tell(do_check="hang")
    dialog = rig.engines(ENGINE)
    page = dialog.page
    page.check.click()
    page.check.click()
    assert (page.check.text(), page.checking, page.items) == ("Check", False, ())
    page.check.click()
    dialog.close()
    assert not page.checking
    rig.settle()
    assert page.items == ()


def test_a_check_that_fails_says_so(rig: Rig) -> None:
    page = rig.engines(ENGINE).page
    page.start()
    job = page._job
    assert job is not None
    job.cancel()
    failed = rig.jobs.lane("tiles").submit(_refuse, done=page._checked)
    page._job = failed  # type: ignore[assignment]
    rig.until(lambda: not page.checking)
    assert page.state.text() == "It cannot be started. Choose another."


def _refuse(task: object) -> None:
    raise SamdeskError("It cannot be started.", "Choose another.")


def test_nothing_is_clipped_in_the_settings(rig: Rig) -> None:
    dialog = rig.engines("sam3d")
    dialog.resize(1, 1)
    dialog.page.more.setChecked(True)
    rig.qtbot.wait(20)
    assert dialog.height() <= 600
    for one in dialog.page.findChildren(QWidget):
        if isinstance(one, QAbstractButton | QLineEdit | QComboBox | QLabel) and one.isVisible():
            high = one.heightForWidth(one.width())
            least = high if isinstance(one, QLabel) and high > 0 else one.minimumSizeHint().height()
            assert one.height() >= least, one.accessibleName() or one.text()
        if isinstance(one, QAbstractButton) and one.isVisible():
            assert one.width() >= one.minimumSizeHint().width(), one.text()


# The dialog before a run


def test_relief_is_chosen_while_nothing_else_is_set_up(rig: Rig) -> None:
    rig.select(disc(200, 150, 60), name="Coin")
    rig.settings["engine3d"] = "sam3d"
    dialog = rig.dialog()
    assert dialog.engine.currentText() == "Relief (not SAM 3D)"
    assert "Coin" in texts(dialog)
    assert dialog.make.isEnabled()
    assert not dialog.set_up.isVisible()
    rig.settings["recon"] = {"sam3d": {"python": "/p", "repository": "/r"}}
    assert rig.dialog().spec.name == "sam3d"
    rig.settings["engine3d"] = "relief"
    assert rig.dialog().spec.name == "relief"
    rig.settings["engine3d"] = ""
    assert rig.dialog().spec.name == "sam3d"


def test_an_engine_that_is_not_set_up_leads_to_its_settings(rig: Rig) -> None:
    rig.select(disc(200, 150, 60))
    dialog = rig.dialog()
    dialog.choose_engine("sam3d")
    rig.until(lambda: dialog._judging is None)
    assert not dialog.make.isEnabled()
    assert dialog.findings.lines[0].text == "SAM 3D Objects is not set up."
    dialog.set_up.click()
    assert rig.asked_for == ["sam3d"]
    rig.settings["recon"] = {"sam3d": {"python": "/p", "repository": "/r"}}
    assert dialog.make.isEnabled()


def test_what_may_go_wrong_is_told_before(rig: Rig) -> None:
    rig.select(Shape.box(0, 100, 80, 180))
    dialog = rig.dialog()
    (line,) = [one for one in dialog.findings.lines if one.level == "warning"]
    assert "touches the border" in line.text
    assert line.hint
    assert dialog.make.isEnabled()
    rig.select(Shape.box(500, 100, 580, 180))
    outside = rig.dialog()
    assert outside.findings.lines[0].level == "error"
    assert not outside.make.isEnabled()
    assert outside.thumb.picture is None


def test_size_and_time_are_told(rig: Rig) -> None:
    rig.select(disc(200, 150, 60))
    dialog = rig.dialog()
    sees, takes = dialog.facts.text().split("\n")
    assert sees == "The engine sees 144 × 144 px in full resolution."
    assert takes == "How long it takes is learnt from the first run."
    assert dialog._judged is not None
    dialog._judged = replace(dialog._judged, seconds=130.0)
    dialog._show_findings()
    assert dialog.facts.text().endswith("It takes about 2 min.")


def test_annotations_of_several_planes_are_refused_in_the_dialog(rig: Rig) -> None:
    w = rig.workspace
    both = [Annotation(disc(200, 150, 60), plane=Plane(z)) for z in (0, 1)]
    assert w.do(w.document.adding(both))
    w.selection.set([one.id for one in both])
    dialog = rig.dialog()
    assert "different slices" in dialog.findings.lines[0].text
    assert not dialog.make.isEnabled()
    assert rig.raised == []


def test_many_findings_are_told_in_short_and_too_many_objects_refused(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.select(*(Shape.box(0, 9 * k, 8, 9 * k + 8) for k in range(15)))
    dialog = rig.dialog()
    lines = dialog.findings.lines
    assert len(lines) == MOST_LINES + 1
    assert lines[-1].text == "And 6 more."
    monkeypatch.setattr("samdesk.ui.dialogs.make3d.MOST", 14)
    refused = rig.dialog()
    assert refused.findings.lines[0].text == "At most 14 objects can be made at once."
    assert not refused.make.isEnabled()


def test_tab_goes_from_the_engine_to_the_options_to_the_buttons(rig: Rig) -> None:
    rig.select(disc(200, 150, 60))
    rig.settings["engine3d"] = ENGINE
    dialog = rig.dialog()
    dialog.more.setChecked(True)
    order = [dialog.engine, dialog.set_up, dialog.more, *_of(dialog, "seed", "splat", "mesh"), dialog.make]
    order[0].setFocus()
    for one in order[1:]:
        before = dialog.focusWidget()
        dialog.focusNextChild()
        assert dialog.focusWidget() is one, before


def _of(dialog: Make3DDialog, *names: str) -> list[QWidget]:
    return [dialog.options.editors[name] for name in names]


def test_the_picture_shows_the_objects_in_full_light(rig: Rig) -> None:
    rig.select(disc(200, 150, 60), Shape.box(20, 20, 60, 50))
    dialog = rig.dialog()
    picture = dialog.thumb.picture
    assert picture is not None
    region = dialog._judged.crop
    scale = picture.width() / region.width

    def seen(x: float, y: float) -> int:
        return picture.pixelColor(int((x - region.x0) * scale), int((y - region.y0) * scale)).red()

    assert [seen(200, 150), seen(40, 35)] == [200, 200]
    assert seen(120, 60) == 84
    shot = QImage(THUMB, THUMB, QImage.Format.Format_RGB32)
    dialog.thumb.render(shot)
    assert shot.pixelColor(THUMB // 2, 8) != shot.pixelColor(THUMB // 2, THUMB // 2)


def test_only_options_that_are_heeded_are_offered_and_the_choice_is_kept(rig: Rig) -> None:
    assert {one.name for one in OPTIONS} == set(ReconOptions().to_json())
    rig.select(disc(200, 150, 60))
    dialog = rig.dialog()
    dialog.more.setChecked(True)
    editors = dialog.options.editors
    assert {name for name, one in editors.items() if one.isVisible()} == {"splat", "mesh"}
    dialog.choose_engine("sam3d")
    assert [name for name, one in editors.items() if not one.isVisible()] == []
    dialog.choose_engine(ENGINE)
    assert {name for name, one in editors.items() if one.isVisible()} == {"splat", "mesh", "seed"}
    rig.until(lambda: dialog._judging is None)
    editors["splat"].setChecked(False)
    editors["mesh"].setChecked(False)
    assert dialog.findings.lines[0].text == "Nothing is to be made."
    assert not dialog.make.isEnabled()
    editors["mesh"].setChecked(True)
    seed = editors["seed"]
    assert isinstance(seed, QSpinBox)
    seed.setValue(7)
    made: list[ReconJob] = []
    dialog.made.connect(made.append)
    dialog.make.click()
    assert not dialog.isVisible()
    assert made[0].options == ReconOptions(seed=7, splat=False)
    assert made[0].engine == rig.settings["engine3d"] == ENGINE
    assert rig.settings["options3d"] == {"seed": 7, "splat": False}
    rig.settle()
    assert rig.dialog().options.options == made[0].options


def test_enter_makes_several_at_once(rig: Rig) -> None:
    ids = rig.select(disc(200, 150, 60), Shape.box(20, 20, 60, 50))
    rig.settings["engine3d"] = ENGINE
    dialog = rig.dialog()
    assert dialog.make.text() == "Make 2 Objects"
    rig.qtbot.keyClick(dialog, Qt.Key.Key_Return)
    (job,) = rig.recon.jobs
    assert job.annotations == tuple(ids)
    rig.settle()


def test_nothing_is_clipped_in_the_dialog(rig: Rig) -> None:
    rig.select(Shape.box(0, 0, 30, 30), disc(200, 150, 60))
    dialog = rig.dialog()
    dialog.choose_engine("sam3d")
    dialog.more.setChecked(True)
    rig.until(lambda: dialog._judging is None)
    rig.qtbot.wait(20)
    assert dialog.height() <= 720
    assert dialog.height() >= dialog.minimumSizeHint().height()
    for one in dialog.findChildren(QWidget):
        if isinstance(one, QAbstractButton | QSpinBox | QComboBox) and one.isVisible():
            assert one.width() >= one.minimumSizeHint().width()
            assert dialog.rect().contains(one.mapTo(dialog, one.rect().bottomRight()))
        if isinstance(one, QSpinBox | QComboBox):
            assert one.accessibleName()


# The panel


def test_a_job_runs_is_shown_and_its_object_listed(rig: Rig, desktop: Desktop) -> None:
    panel = rig.panel()
    assert not panel.make.isEnabled()
    assert panel.no_jobs.isVisible()
    ids = rig.select(disc(200, 150, 60), name="Coin")
    assert panel.make.isEnabled()
    job = rig.recon.make(ids, ENGINE)
    assert panel.job is not None
    assert panel.job.id == job.id

    def told() -> str:
        return str(panel.job_model.index(0).data(Qt.ItemDataRole.AccessibleTextRole))

    rig.until(lambda: told().startswith("Coin, done, Stand-in (test)"))
    rig.settle()
    assert panel.act.text() == "Show"
    shown: list[object] = []
    panel.job_shown.connect(shown.append)
    panel.act.click()
    assert [one.id for one in shown] == [job.id]
    rig.until(lambda: panel.object_model.objects)
    (one,) = panel.object_model.objects
    assert (one.title, one.label) == ("Coin", "Stand-in (test)")
    together: list[object] = []
    panel.shown.connect(together.append)
    panel.show_them.click()
    assert together == [(one,)]
    panel.reveal.click()
    assert desktop.opened == [one.splat.parent.parent]
    rig.workspace.selection.clear()
    assert panel.object_model.rowCount() == 0
    assert panel.none.isVisible()
    assert not panel.make.isEnabled()
    assert rig.raised == []


def test_a_running_job_shows_its_stage_and_is_cancelled(rig: Rig) -> None:
    rig.tell(**SLOW)
    panel = rig.panel()
    job = rig.recon.make(rig.select(disc(200, 150, 60)), ENGINE)
    rig.until(lambda: (panel.job.fraction or 0) > 0)
    row = panel.job_model.index(0)
    rig.until(lambda: "%" in row.data(Qt.ItemDataRole.AccessibleTextRole))
    assert "Finding the shape" in row.data(Qt.ItemDataRole.AccessibleTextRole)
    assert not panel.remove.isEnabled()
    assert panel.act.text() == "Cancel"
    panel.grab()
    panel.act.click()
    assert rig.recon.get(job.id).state == "cancelled"
    assert panel.act.text() == "Try Again"
    rig.qtbot.keyClick(panel.jobs, Qt.Key.Key_Delete)
    assert panel.job is None
    assert panel.no_jobs.isVisible()
    rig.settle()


def test_a_crash_is_told_with_its_log_and_tried_again(rig: Rig, desktop: Desktop) -> None:
    rig.tell(do="exit_badly")
    panel = rig.panel()
    job = rig.recon.make(rig.select(disc(200, 150, 60)), ENGINE)
    rig.until(lambda: rig.recon.get(job.id).state == "failed")
    failed = rig.recon.get(job.id)
    assert failed.error in panel.detail.text()
    assert failed.hint in panel.detail.text()
    assert panel.detail.isVisible()
    panel.log.click()
    assert desktop.opened == [rig.recon.log(job.id)]
    rig.tell()
    panel.jobs.setFocus()
    rig.qtbot.keyClick(panel.jobs, Qt.Key.Key_Return)
    rig.until(lambda: rig.recon.get(job.id).state == "done")
    assert not panel.detail.isVisible()
    rig.settle()


def test_part_of_a_scene_can_be_shown_and_the_rest_tried_again(rig: Rig) -> None:
    panel = rig.panel()
    job = rig.recon.make(rig.select(disc(200, 150, 60), Shape.box(20, 20, 60, 50)), ENGINE)
    rig.settle()
    done = rig.recon.get(job.id)
    rig.recon._known[job.id] = replace(
        done, reconstructions=done.reconstructions[:1], error="1 of 2 objects were made.", hint="Try again."
    )
    panel.reload()
    assert panel.act.text() == "Show"
    assert panel.again.isVisible()
    assert panel.detail.text() == "1 of 2 objects were made.\nTry again."
    assert "1 of 2" in panel.job_model.index(0).data(Qt.ItemDataRole.AccessibleTextRole)
    panel.again.click()
    assert rig.recon.get(job.id).is_busy
    assert not panel.again.isVisible()
    rig.settle()


def test_what_is_not_attached_yet_can_be(rig: Rig) -> None:
    panel = rig.panel()
    w = rig.workspace
    (one,) = rig.select(disc(200, 150, 60))
    job = rig.recon.make([one], ENGINE)
    assert w.do(w.document.removing([one]))
    rig.until(lambda: rig.recon.get(job.id).state == "done")
    rig.settle()
    assert panel.act.text() == "Show"
    assert "not attached" in panel.job_model.index(0).data(Qt.ItemDataRole.AccessibleTextRole)
    assert not panel.detail.isVisible()
    panel.again.click()
    assert [error.message for error in rig.raised] == ["The annotation of “Annotation” was deleted."]
    w.history.undo()
    panel.again.click()
    rig.settle()
    assert rig.recon.get(job.id).attached
    assert not panel.again.isVisible()
    assert len(rig.raised) == 1


def test_objects_whose_files_are_gone_are_no_notice(rig: Rig) -> None:
    panel = rig.panel()
    ids = rig.select(disc(200, 150, 60))
    w = rig.workspace
    lost = {"reconstructions": [{"id": "lost", "folder": "lost"}]}
    assert w.do(w.document.replacing([replace(w.document.get(ids[0]), provenance=lost)]))
    rig.until(lambda: "lost" in panel.none.text())
    assert rig.raised == []


def test_a_new_job_is_chosen_and_the_chosen_one_stays(rig: Rig) -> None:
    panel = rig.panel()
    ids = rig.select(disc(200, 150, 60))
    first = rig.recon.make(ids, ENGINE)
    second = rig.recon.make(ids, ENGINE)
    assert panel.job.id == second.id
    panel.choose_job(first.id)
    rig.settle()
    assert panel.job.id == first.id


def test_the_panel_fits_beside_the_view(rig: Rig) -> None:
    rig.tell(do="exit_badly")
    panel = rig.panel()
    rig.recon.make(rig.select(disc(200, 150, 60)), ENGINE)
    rig.until(lambda: panel.log.isVisible())
    assert panel.minimumSizeHint().width() <= panel.width() == 270
    assert panel.minimumSizeHint().height() <= 330
    for one in panel.findChildren(QAbstractButton):
        if one.isVisible() and one.text():
            assert one.width() >= one.minimumSizeHint().width()
    for one in (panel.reveal, panel.remove, panel.jobs, panel.objects):
        assert one.accessibleName()


# Both


@pytest.mark.parametrize("appearance", ["light", "dark"])
def test_marks_and_trouble_can_be_told_from_the_ground(appearance: str, qapp: QApplication) -> None:
    from tests.ui.test_window import _contrast

    theme.apply(qapp, appearance)
    for back in ("window", "base"):
        assert _contrast(theme.colors()["trouble"], theme.colors()[back]) >= 4.5
        for level in ("ok", "warning", "error", "unknown"):
            assert _contrast(level_color(level), theme.colors()[back]) >= 3
    theme.apply(qapp, "light")


def test_all_follow_a_change_of_the_theme(rig: Rig) -> None:
    rig.select(Shape.box(0, 100, 80, 180))
    dialog, engines, panel = rig.dialog(), rig.engines(ENGINE), rig.panel()
    engines.page.check.click()
    rig.until(lambda: engines.page.items)
    before = dialog.findings.lines
    theme.apply(theme.application(), "dark")
    panel.restyle()
    rig.qtbot.wait(5)
    assert dialog.findings.lines == before
    assert theme.DARK["accent"] in engines.page.links.text() or not engines.page.spec.homepage
    assert theme.colors()["trouble"] in panel.detail.styleSheet()
    labels = dialog.findings.findChildren(QLabel)
    assert any(theme.DARK["muted"] in label.text() for label in labels)
    assert math.isclose(labels[0].pixmap().deviceIndependentSize().width(), 16)
