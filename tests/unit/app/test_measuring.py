"""The measurement table without a window: follows edits, sorts, sums up, measures pixels, exports."""

from __future__ import annotations

import csv
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.measuring import Sheet, Wanted, histogram, summary
from samdesk.app.measuring import sheet as sheets
from samdesk.app.measuring.sheet import Ruler, brought_up, completed
from samdesk.app.settings import Settings
from samdesk.app.workspace import Notice, Workspace
from samdesk.domain.columns import Annotation, Table
from samdesk.domain.document import Document, Edit
from samdesk.domain.geometry import Shape
from samdesk.domain.measure import MEASURES, measured
from samdesk.domain.tasks import Task
from samdesk.sdk import Segmenter
from tests.annotation_tables import star_table
from tests.fakes import FakeEngine

AREA = "Area px^2"


class Rig:
    """A workspace with an open image, without a window."""

    def __init__(self, home: Path) -> None:
        self.main = MainQueue()
        self.jobs = Jobs(self.main)
        self.workspace = Workspace(self.jobs, Settings(home / "settings.json"), Segmenter(FakeEngine()))
        self.measuring = self.workspace.measuring
        self.notices: list[Notice] = []
        self.workspace.notice.connect(self.notices.append)
        self.gray = np.random.default_rng(1).integers(0, 255, (300, 400), np.uint8)
        path = home / "picture.png"
        cv2.imwrite(str(path), self.gray)
        self.workspace.open(path)
        self.settle()

    def settle(self) -> None:
        for _ in range(4):
            self.main.run_until(lambda: self.jobs.idle, 20)
            self.main.drain()

    def add(self, *annotations: Annotation) -> list[uuid.UUID]:
        assert self.workspace.do(self.workspace.document.adding(annotations))
        self.settle()
        return [one.id for one in annotations]

    def numbers(self, title: str) -> list[float]:
        values: list[float] = self.measuring.sheet.numbers(title).tolist()
        return values


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    made = Rig(tmp_path)
    yield made
    made.workspace.close()
    made.main.drain()


def square(side: float, of: str | None = None, **more: object) -> Annotation:
    return Annotation(Shape.box(10, 20, 10 + side, 20 + side), class_name=of, **more)  # type: ignore[arg-type]


# The sheet


def sheet_of(*annotations: Annotation) -> Sheet:
    document = Document()
    document.apply(document.adding(annotations))
    return brought_up(Sheet(), "a.tif", Ruler(), document.snapshot(), None, MEASURES, Task())


def test_only_what_changed_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    document, edits = Document(), list[Edit]()
    document.apply(document.adding(star_table(50)))
    document.changed.connect(edits.append)
    old = brought_up(Sheet(), "", Ruler(), document.snapshot(), None, MEASURES, Task())
    ids = document.ids()
    document.apply(document.reclassifying(ids[:20], "Tumor"))
    document.apply(document.removing([ids[3]]))
    document.apply(document.replacing([replace(document.get(ids[7]), shape=Shape.box(0, 0, 3, 5))]))
    document.apply(document.adding([square(4)]))
    rows: list[int] = []
    monkeypatch.setattr(
        sheets, "measured", lambda part, *rest: (rows.append(len(part)), measured(part, *rest))[1]
    )
    new = brought_up(old, "", Ruler(), document.snapshot(), edits, MEASURES, Task())
    assert sum(rows) == 2
    truth = brought_up(Sheet(), "", Ruler(), document.snapshot(), None, MEASURES, Task())
    assert new.titles == truth.titles
    for title in truth.measures:
        np.testing.assert_array_equal(new.numbers(title), truth.numbers(title))
    assert old.numbers(AREA)[7] != new.numbers(AREA)[6] == 15


def test_diameters_of_very_many_come_after_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "AT_ONCE", 10)
    document = Document()
    document.apply(document.adding(star_table(20)))
    first = brought_up(Sheet(), "", Ruler(), document.snapshot(), None, MEASURES, Task())
    assert "Solidity" in first.pending
    assert "Solidity" in first.titles
    assert np.isnan(first.numbers("Solidity")).all()
    then = completed(first, Task())
    assert not then.pending
    np.testing.assert_array_equal(
        then.numbers("Solidity"), measured(document.table(), ["solidity"])["solidity"]
    )


def test_rows_are_sorted_by_any_column_with_those_without_a_value_last() -> None:
    point = Annotation(Shape.points([(3, 3)]), name="b")
    sheet = sheet_of(square(5, "Stroma", name="c"), point, square(2, "Tumor", name="a"), square(5))
    rows = np.arange(4)

    def order(title: str, backwards: bool = False) -> list[int]:
        return sheet.sorted(rows, title, backwards).tolist()

    assert order(AREA) == [2, 0, 3, 1]
    assert order(AREA, True) == [0, 3, 2, 1]
    assert order("Name") == [2, 1, 0, 3]
    assert order("Classification") == [0, 2, 1, 3]
    assert order("") == [0, 1, 2, 3]
    assert order("Image", True) == [3, 2, 1, 0]
    ids = [str(sheet.table.id(row)) for row in order("Object ID")]
    assert ids == sorted(ids)


def test_rows_are_found_by_name_class_and_id() -> None:
    one, other = square(5, "Tumor", name="Left β"), square(5)
    sheet, none = sheet_of(one, other), np.empty(0, np.int64)

    def shown(**wanted: object) -> list[int]:
        return sheet.shown(Wanted(**wanted), none).tolist()  # type: ignore[arg-type]

    assert shown(text="left") == shown(text="tum") == shown(class_name="Tumor") == [0]
    assert shown(text="unclass") == shown(class_name="") == [1]
    assert shown(text=str(other.id)[:8].upper()) == [1]
    assert shown(selected=True) == []
    assert sheet.shown(Wanted(selected=True), np.array([1])).tolist() == [1]


def test_a_sum_leaves_out_ignored_classes_and_each_class_is_summed_up() -> None:
    sheet = sheet_of(square(2, "Tumor"), square(4, "Tumor"), square(10, "Region*"), square(6))
    rows = np.arange(4)
    assert sheet.counted(rows).tolist() == [0, 1, 3]
    found = {name: (count, of.mean) for name, count, of in sheet.summaries(AREA, rows)}
    assert found == {"Unclassified": (1, 36), "Tumor": (2, 10), "Region*": (1, 100)}
    assert list(found)[-1] == "Region*"


def test_columns_that_no_row_has_are_left_out() -> None:
    titles = sheet_of(square(2)).titles
    assert "Area px^2" in titles
    assert "Length px" not in titles


def test_stored_measurements_are_columns() -> None:
    sheet = sheet_of(square(2, measurements={"Mean: DAPI": 7.5}), square(3, measurements={"x": float("inf")}))
    assert sheet.titles[-2:] == ("Mean: DAPI", "x")
    np.testing.assert_array_equal(sheet.numbers("Mean: DAPI"), [7.5, np.nan])


# Statistics


def test_a_summary_is_that_of_numpy() -> None:
    values = np.random.default_rng(0).normal(size=500)
    found = summary(np.append(values, np.nan))
    assert found.count == 500
    assert (found.mean, found.sd) == pytest.approx((values.mean(), values.std(ddof=1)))
    assert (found.min, found.median, found.max) == (values.min(), np.median(values), values.max())
    assert summary(np.array([np.nan])).count == 0
    assert np.isnan(summary(np.array([1.0])).sd)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=5000),
        np.array([3.0, 3, 3]),
        np.arange(7.0),
        np.array([1e9, 1e9 + 1]),
        np.append(np.zeros(999), 1e6),
        np.array([np.inf, 1.0, 2.0]),
    ],
)
def test_a_histogram_counts_every_number_once(values: np.ndarray) -> None:
    found = histogram(values, values[:2])
    assert found is not None
    assert found.counts.sum() == np.isfinite(values).sum()
    assert found.chosen.sum() == np.isfinite(values[:2]).sum()
    assert 1 <= len(found.counts) <= 81
    assert histogram(np.array([np.nan]), values[:0]) is None


# Live


def test_nothing_is_measured_while_nobody_looks(rig: Rig) -> None:
    rig.add(square(5))
    assert len(rig.measuring.sheet) == 0
    rig.measuring.follow(True)
    rig.settle()
    assert rig.numbers(AREA) == [25]
    rig.measuring.follow(False)
    assert len(rig.measuring.sheet) == 0


def test_the_sheet_follows_edits_and_undo(rig: Rig) -> None:
    rig.measuring.follow(True)
    first, _ = rig.add(square(5), square(6))
    assert rig.numbers(AREA) == [25, 36]
    w = rig.workspace
    w.do(w.document.replacing([replace(w.document.get(first), shape=Shape.box(0, 0, 2, 2))]))
    w.do(w.document.adding([square(7)]))
    rig.settle()
    assert rig.numbers(AREA) == [4, 36, 49]
    w.history.undo()
    w.history.undo()
    rig.settle()
    assert rig.numbers(AREA) == [25, 36]
    w.close_image()
    rig.settle()
    assert len(rig.measuring.sheet) == 0


def test_a_column_that_is_shown_again_is_measured(rig: Rig) -> None:
    rig.measuring.follow(True)
    rig.add(square(5))
    assert "Bounds width px" not in rig.measuring.shown_titles
    rig.measuring.hide("width", False)
    rig.measuring.hide("area", True)
    rig.settle()
    assert "Bounds width px" in rig.measuring.shown_titles
    assert AREA not in rig.measuring.shown_titles
    assert rig.numbers("Bounds width px") == [5]


def test_figures_are_of_the_rows_shown_and_of_those_chosen(rig: Rig) -> None:
    rig.measuring.follow(True)
    ids = rig.add(square(2), square(4), square(10, "Ignore*"))
    rig.workspace.selection.set([ids[1], ids[2]])
    got: list[object] = []
    rig.measuring.arrange(Wanted(sort=AREA, backwards=True), lambda sheet, rows: got.append(rows.tolist()))
    assert got == [[2, 1, 0]]
    sheet = rig.measuring.sheet
    assert rig.measuring.selected_rows(sheet).tolist() == [1, 2]
    rig.measuring.sum_up(sheet, AREA, np.arange(3), got.append)
    figures = got[-1]
    assert (figures.all.count, figures.all.sum, figures.chosen.sum) == (2, 20, 16)  # type: ignore[attr-defined]
    assert figures.histogram.counts.sum() == 2  # type: ignore[attr-defined]


# Intensities


def test_intensities_are_kept_as_one_step_with_what_was_there(rig: Rig) -> None:
    ids = rig.add(square(5, measurements={"old": 1.0}), square(8), Annotation(Shape.points([(4, 4)])))
    rig.measuring.measure_intensity()
    rig.settle()
    document = rig.workspace.document
    kept = document.get(ids[0]).measurements
    inside = rig.gray[20:25, 10:15].astype(float)
    assert kept["old"] == 1
    channel = rig.workspace.image.source.channels[0].name  # type: ignore[union-attr]
    assert kept[f"Mean: {channel}"] == pytest.approx(inside.mean())
    assert kept[f"Std: {channel}"] == pytest.approx(inside.std())
    assert document.get(ids[2]).measurements == {}
    assert rig.workspace.history.undo_title == "Measure intensity"
    assert rig.notices[-1].text == "Intensity was measured in 2 annotations."
    assert "1 cover no pixel" in rig.notices[-1].hint
    rig.workspace.history.undo()
    assert document.get(ids[0]).measurements == {"old": 1.0}


def test_what_changed_while_it_was_measured_is_not_overwritten(rig: Rig) -> None:
    first, second, third = rig.add(square(5), square(6), square(7))
    w = rig.workspace
    rig.measuring.measure_intensity()
    w.do(w.document.removing([first]))
    w.do(w.document.replacing([replace(w.document.get(second), shape=Shape.box(0, 0, 2, 2))]))
    w.do(w.document.replacing([replace(w.document.get(third), name="new")]))
    rig.settle()
    assert first not in w.document
    assert w.document.get(second).measurements == {}
    assert w.document.get(third).name == "new"
    assert w.document.get(third).measurements


def test_only_the_given_ones_are_measured_and_points_have_no_pixels(rig: Rig) -> None:
    ids = rig.add(square(5), square(6), Annotation(Shape.points([(4, 4)])))
    rig.measuring.measure_intensity(ids[:1])
    rig.settle()
    assert [bool(rig.workspace.document.get(one).measurements) for one in ids] == [True, False, False]
    rig.measuring.measure_intensity(ids[2:])
    rig.settle()
    assert rig.notices[-1].text == "No pixel lies inside the annotations."


# Exporting


def test_the_export_has_every_shown_column_of_every_annotation(rig: Rig, tmp_path: Path) -> None:
    ids = rig.add(square(5, "Tumor", name="=one", measurements={"Mean: DAPI": 0.1}), square(6))
    rig.measuring.export(tmp_path / "out.csv")
    rig.settle()
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["Object ID"] for row in rows] == [str(one) for one in ids]
    assert (rows[0]["Image"], rows[0]["Name"], rows[0]["Classification"]) == ("picture.png", "'=one", "Tumor")
    assert [row[AREA] for row in rows] == ["25", "36"]
    assert [row["Mean: DAPI"] for row in rows] == ["0.1", ""]
    assert rows[0]["Solidity"] == "1"
    assert "Bounds width px" not in rows[0]
    assert rig.notices[-1].text == "Measurements of 2 annotations were written to out.csv."


def test_an_empty_document_has_a_sheet_too() -> None:
    sheet = brought_up(Sheet(), "", Ruler(), Document().snapshot(), None, MEASURES, Task())
    assert sheet.shown(Wanted(text="x", sort=AREA), np.empty(0, np.int64)).tolist() == []
    assert sheet.summaries(AREA, np.empty(0, np.int64)) == []
    assert len(Table.empty()) == len(sheet)
