"""CSV and TSV: what other programs read from them is what was written."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Cancelled, Task
from samdesk.formats.sheet import Column, sheet_text, write_sheet


def column(values: list[str] | NDArray[Any]) -> Column:
    return lambda first, last: values[first:last]


def read(path: Path, delimiter: str = ",") -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter))


NUMBERS = np.array([0.1 + 0.2, -1e-300, np.nan, 2.5e20, np.inf])
COUNTS = np.array([3, 30, 1, 0, 7])


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.tsv", "\t"), ("A.TXT", "\t")])
def test_numbers_keep_all_digits_and_texts_their_signs(tmp_path: Path, name: str, delimiter: str) -> None:
    texts = ["β, γ", 'say "x"', "two\nlines", "a\tb", ""]
    columns = [column(texts), column(NUMBERS), column(COUNTS), column(COUNTS.astype(float))]
    assert write_sheet(tmp_path / name, ["Name", "Area µm^2", "n", "m"], columns, 5) == 5
    rows = read(tmp_path / name, delimiter)
    assert rows[0] == ["Name", "Area µm^2", "n", "m"]
    assert [row[0] for row in rows[1:]] == texts
    assert rows[3][1] == ""
    back = np.array([float(row[1] or "nan") for row in rows[1:]])
    np.testing.assert_array_equal(back, NUMBERS)
    assert [row[2] for row in rows[1:]] == [row[3] for row in rows[1:]] == ["3", "30", "1", "0", "7"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\r=1"])
def test_a_text_is_never_a_formula(tmp_path: Path, text: str) -> None:
    write_sheet(tmp_path / "a.csv", [text], [column([text])], 1)
    assert read(tmp_path / "a.csv") == [["'" + text], ["'" + text]]


def test_negative_numbers_stay_numbers() -> None:
    assert sheet_text(["x"], [column(np.array([-1.5, -2.0]))], 2) == "x\r\n-1.5\r\n-2\r\n"


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_every_float_comes_back(values: list[float]) -> None:
    lines = sheet_text(["x"], [column(np.array(values))], len(values)).splitlines()
    assert [float(line) for line in lines[1:]] == values


def test_many_rows_are_written_in_pieces_and_reported(tmp_path: Path) -> None:
    told: list[float | None] = []
    task = Task(lambda progress: told.append(progress.fraction))
    write_sheet(tmp_path / "a.csv", ["k"], [column(np.arange(12_000))], 12_000, task)
    assert len(told) == 3
    assert [int(row[0]) for row in read(tmp_path / "a.csv")[1:]] == list(range(12_000))


def test_when_it_is_cancelled_or_fails_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    task = Task()
    task.cancel()
    with pytest.raises(Cancelled):
        write_sheet(path, ["k"], [column(np.arange(3))], 3, task)
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["a.csv"]
    with pytest.raises(SamdeskError, match="its folder does not exist"):
        write_sheet(tmp_path / "no" / "a.csv", ["k"], [column(np.arange(3))], 3)
