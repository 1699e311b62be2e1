"""Import and export of the workspace: whole or not at all, one step each, with a report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from samdesk.app.commands.file import export_filter, import_filter
from samdesk.app.exchange import DETAILS, Told
from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.settings import Settings
from samdesk.app.workspace import Notice, Workspace
from samdesk.domain.columns import Annotation, Table
from samdesk.domain.geometry import Shape
from samdesk.formats.exchange import FORMATS, ImageFacts, read, write
from samdesk.formats.geojson import dumps
from samdesk.sdk import Segmenter
from samdesk.ui.dialogs.ask import named_as
from tests.fakes import FakeAsk, FakeEngine


class Rig:
    """A workspace without a window, with an image of 400 x 320 px open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.main = MainQueue()
        self.jobs = Jobs(self.main)
        self.ask = FakeAsk()
        self.workspace = Workspace(self.jobs, Settings(folder / "s.json"), Segmenter(FakeEngine()), self.ask)
        self.notices: list[Notice] = []
        self.workspace.notice.connect(self.notices.append)
        self.picture = folder / "picture.png"
        cv2.imwrite(str(self.picture), np.full((320, 400, 3), 90, np.uint8))

    def settle(self) -> None:
        for _ in range(3):
            self.main.run_until(lambda: self.jobs.idle, 20)
            self.main.drain()

    def open(self, *paths: Path) -> None:
        self.workspace.open_all(paths)
        self.settle()

    def close(self) -> None:
        self.workspace.close()
        self.main.drain()


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    made = Rig(tmp_path)
    made.open(made.picture)
    yield made
    made.close()


def boxes(n: int) -> list[Annotation]:
    return [Annotation(Shape.box(20 * k, 10, 20 * k + 9, 30), class_name="Tumor") for k in range(n)]


def keep(rig: Rig, annotations: list[Annotation]) -> None:
    assert rig.workspace.do(rig.workspace.document.adding(annotations))


@pytest.mark.parametrize(
    "name", ["a.geojson", "a.coco.json", "a.labelme.json", "a.txt", "a.ome.xml", "a.masks"]
)
def test_what_is_exported_can_be_dropped_on_the_window(name: str, rig: Rig) -> None:
    keep(rig, boxes(3))
    rig.workspace.exchange.export(rig.folder / name)
    rig.settle()
    assert rig.notices[-1].text == f"3 annotations exported to {name}."
    rig.workspace.history.undo()
    rig.open(rig.folder / name)
    assert len(rig.workspace.document) == 3
    assert rig.workspace.history.undo_title == f"Import {name}"
    rig.workspace.history.undo()
    assert len(rig.workspace.document) == 0


def test_only_the_selection_is_exported(rig: Rig) -> None:
    keep(rig, boxes(3))
    rig.workspace.selection.set(rig.workspace.document.ids()[1:2])
    path = rig.folder / "a.geojson"
    rig.workspace.exchange.export(path, only_selected=True)
    rig.settle()
    assert [read(path).table.id(0)] == list(rig.workspace.selection.ids)
    assert len(read(path).table) == 1


def test_a_report_is_kept_and_offered(rig: Rig) -> None:
    keep(rig, [*boxes(2), *(Annotation(Shape.points([(1, k)])) for k in range(4))])
    path = rig.folder / "a.coco.json"
    rig.workspace.exchange.export(path)
    rig.settle()
    told = rig.workspace.exchange.last
    assert isinstance(told, Told)
    assert told.title == "Export of a.coco.json"
    notice = rig.notices[-1]
    assert (notice.level, notice.command, notice.hint) == ("warning", DETAILS, "4 left out.")
    assert "Left out (4)" in list(told.report.full())
    rig.workspace.exchange.export(rig.folder / "a.geojson")
    rig.settle()
    assert (rig.notices[-1].level, rig.notices[-1].command) == ("info", "")


def test_an_image_with_annotations_is_opened_first(rig: Rig) -> None:
    rig.workspace.close_image()
    rig.settle()
    path = rig.folder / "picture.txt"
    write(path, Table.from_annotations(boxes(2)), ImageFacts("picture.png", 400, 320))
    rig.open(path)
    assert rig.notices[-1].hint == "Open the image they belong to first."
    rig.open(path, rig.picture)
    assert len(rig.workspace.document) == 2


def test_a_file_that_fails_changes_nothing(rig: Rig) -> None:
    keep(rig, boxes(1))
    bad = rig.folder / "bad.json"
    bad.write_text('{"images": [], "annotations": [{"segm')
    good = rig.folder / "good.geojson"
    write(good, Table.from_annotations(boxes(2)))
    rig.workspace.exchange.import_files([bad, good])
    rig.settle()
    assert len(rig.workspace.document) == 3
    error = next(one for one in rig.notices if one.level == "error")
    assert "bad.json" in error.text


def test_import_to_review_adds_nothing_by_itself(rig: Rig) -> None:
    path = rig.folder / "a.geojson"
    write(path, Table.from_annotations(boxes(2)))
    rig.workspace.exchange.import_files([path], review=True)
    rig.settle()
    assert len(rig.workspace.document) == 0
    assert len(rig.workspace.review) == 2


def test_locked_ones_are_not_replaced_and_it_is_told(rig: Rig, tmp_path: Path) -> None:
    locked, free = (replace(one, locked=k == 0) for k, one in enumerate(boxes(2)))
    keep(rig, [locked, free])
    other = [replace(one, shape=Shape.box(0, 0, 5, 5), locked=False) for one in (locked, free)]
    path = tmp_path / "in.geojson"
    rig.ask.answer = 0
    for rows, said in ((other, 1), (other[:1], 1)):
        path.write_text(dumps(rows))
        rig.workspace.exchange.import_files([path])
        rig.settle()
        assert rig.workspace.document.get(locked.id) == locked
        assert rig.workspace.document.get(free.id).shape == Shape.box(0, 0, 5, 5)
        assert rig.notices[-1].hint == f"{said} locked and left as before."
    assert len(rig.workspace.history._done) == 2


def test_locked_ones_are_not_replaced_by_the_review(rig: Rig) -> None:
    locked, free = (replace(one, locked=k == 0) for k, one in enumerate(boxes(2)))
    keep(rig, [locked, free])
    other = [replace(one, shape=Shape.box(0, 0, 5, 5), locked=False) for one in (locked, free)]
    rig.workspace.review_imported(Table.from_annotations(other), "Import x")
    rig.settle()
    rig.workspace.review.keep_all()
    assert rig.workspace.review.accept()
    assert rig.workspace.document.get(locked.id) == locked
    assert rig.workspace.document.get(free.id).shape == Shape.box(0, 0, 5, 5)
    assert rig.notices[-1].text == "1 annotation is locked and was left as before."


def test_the_size_of_a_large_label_image_is_asked_for(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = rig.workspace.exchange
    assert exchange.ask_downsample(rig.folder / "a.labels.tif") == 1
    monkeypatch.setattr("samdesk.app.exchange.LARGE", 1000)
    for answer, downsample in ((None, None), (0, 1), (1, 4)):
        rig.ask.answer = answer
        assert exchange.ask_downsample(rig.folder / "a.labels.tif") == downsample
    assert exchange.ask_downsample(rig.folder / "a.geojson") == 1


def test_every_format_has_an_ending_of_its_own_in_the_dialog() -> None:
    kinds = export_filter().split(";;")
    assert kinds[0] == "GeoJSON (*.geojson)"
    paths = [named_as(Path("/tmp/a.b.geojson"), kind, export_filter()) for kind in kinds]
    assert len({path.name for path in paths}) == len(kinds) == len(FORMATS) + 2
    assert all(path.name.startswith("a.b.") for path in paths)
    assert "*.ome.xml" in import_filter().split(";;")[0]


def test_holes_that_are_filled_count_as_no_annotation(rig: Rig) -> None:
    outer, hole = [(0, 0), (90, 0), (90, 90), (0, 90)], [(20, 20), (20, 60), (60, 60), (60, 20)]
    keep(rig, [*boxes(2), Annotation(Shape.from_parts([[outer, hole]]))])
    rig.workspace.exchange.export(rig.folder / "a.txt")
    rig.settle()
    notice = rig.notices[-1]
    assert (notice.level, notice.text) == ("info", "3 annotations exported to a.txt.")
    assert (notice.hint, notice.command) == ("", DETAILS)
    assert "Left out" in list(rig.workspace.exchange.last.report.full())


@pytest.mark.parametrize(("answer", "count"), [(0, 3), (1, 3), (None, 3)])
def test_a_label_image_that_was_exported_is_asked_about(answer: int | None, count: int, rig: Rig) -> None:
    keep(rig, boxes(3))
    path = rig.folder / "b.tif"
    rig.workspace.exchange.export(path)
    rig.settle()
    rig.workspace.history.undo()
    rig.ask.answer = answer
    rig.open(path)
    assert "[Import as Annotations] [Open as an Image]" in rig.ask.asked[-1]
    shown = rig.workspace.image.source.name
    assert shown == ("b.tif" if answer == 1 else rig.picture.name)
    assert len(rig.workspace.document) == (3 if answer == 0 else 0)
