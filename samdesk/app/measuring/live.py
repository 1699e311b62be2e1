"""`Measuring`: the measurement table of the open image, while somebody looks at it; and its commands.

Lives on the main thread; what looks at all rows of a large document, or at pixels, is done on a
lane. Must not know widgets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from psygnal import Signal, SignalInstance

from samdesk.app.jobs import Job, Jobs
from samdesk.app.settings import Settings
from samdesk.domain.columns import Attributes, Table
from samdesk.domain.columns.ragged import Rows
from samdesk.domain.document import Document, Edit, Selection, Snapshot
from samdesk.domain.document.snapshot import Ids, as_column
from samdesk.domain.measure import MEASURES
from samdesk.domain.tasks import Task
from samdesk.formats.sheet import sheet_text, write_sheet
from samdesk.images.source import PixelSize
from samdesk.sdk import Image
from samdesk.sdk.intensity import DOWNSAMPLE, Intensities, measure_intensity

from .sheet import Ruler, Sheet, Wanted, brought_up, completed
from .statistics import Histogram, Summary, histogram, summary

AT_ONCE = 20_000
"""Up to this many rows are sorted and summed up at once, more of them on a lane."""

MOST_COPIED = 100_000
"""Rows that go to the clipboard."""

TOLD_FROM = 20_000
"""From this many rows on, measuring is shown as a job."""

HIDDEN = "hidden_measurements"
"""The setting with the measures (by name) and stored measurements (by title) that are not shown."""


class Host(Protocol):
    """What measuring needs of the workspace."""

    jobs: Jobs
    settings: Settings
    document: Document
    selection: Selection
    image: Image | None
    image_changed: SignalInstance

    @property
    def pixel_size(self) -> PixelSize | None: ...
    def do(self, edit: Edit) -> bool: ...
    def tell(self, level: Literal["info", "warning", "error"], text: str, hint: str = "") -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """What a column comes to.

    Attributes
    ----------
    title : str
    all, chosen : Summary
        Of the rows that are shown, and of those of them that are chosen; classes that are ignored
        do not count.
    rows, chosen_rows : int
        How many these are.
    classes : list of (name, rows, Summary)
    histogram : Histogram or None
    """

    title: str
    all: Summary
    chosen: Summary
    rows: int
    chosen_rows: int
    classes: list[tuple[str, int, Summary]]
    histogram: Histogram | None


class Measuring:
    """The measurements of one workspace's annotations.

    Attributes
    ----------
    sheet : Sheet
        As far as it was measured; empty while nobody follows.
    changed : Signal()
        The sheet is another one.
    """

    changed = Signal()

    def __init__(self, host: Host) -> None:
        self._host = host
        self.sheet = Sheet()
        self._followed = False
        self._edits: list[Edit] | None = None
        self._stale = False
        self._job: Job[Sheet] | None = None
        self._given_up = False
        self._document: Document | None = None
        host.image_changed.connect(self._image_changed)

    # Following

    def follow(self, on: bool) -> None:
        """Keep the sheet up to date from now on, or let it go."""
        if on == self._followed:
            return
        self._followed = on
        self._given_up = False
        self._start_over()

    @property
    def is_busy(self) -> bool:
        """Whether something is being measured for the sheet."""
        return self._job is not None

    @property
    def ruler(self) -> Ruler:
        """In what the open image is measured."""
        size = self._host.pixel_size
        return Ruler() if size is None else Ruler((size.x, size.y), size.unit)

    @property
    def hidden(self) -> frozenset[str]:
        """Measures (by name) and stored measurements (by title) that are not shown."""
        return frozenset(self._host.settings[HIDDEN])

    def hide(self, name: str, hidden: bool) -> None:
        """Do not show a measure (by its name) or a stored measurement (by its title), or show it again."""
        left = self.hidden - {name}
        self._host.settings[HIDDEN] = sorted(left | {name} if hidden else left)
        self._given_up = False
        self.changed.emit()
        self._refresh()

    @property
    def shown_titles(self) -> tuple[str, ...]:
        """The columns of the sheet that the user wants to see."""
        return _without(self.sheet, self.hidden)

    def _image_changed(self) -> None:
        if self._followed:
            self._start_over()

    def _start_over(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self._job = None
        if self._document is not None:
            self._document.changed.disconnect(self._edited)
            self._document = None
        self.sheet, self._edits = Sheet(), None
        if self._followed and self._host.image is not None:
            self._document = self._host.document
            self._document.changed.connect(self._edited)
            self._refresh()
        self.changed.emit()

    def _edited(self, edit: Edit) -> None:
        if self._edits is not None:
            self._edits.append(edit)
        self._refresh()

    def _refresh(self) -> None:
        """Measure what is not measured; edits that come meanwhile are taken up together at its end."""
        if self._document is None or self._host.image is None:
            return
        self._stale = self._job is not None
        if self._stale:
            return
        old, edits, snapshot = self.sheet, self._edits, self._document.snapshot()
        image, ruler, names = self._host.image.source.name, self.ruler, set(MEASURES) - self.hidden
        self._edits = []
        self._run(
            lambda task: brought_up(old, image, ruler, snapshot, edits, names, task),
            "Measuring annotations" if edits is None and len(snapshot) > TOLD_FROM else "",
        )

    def _complete(self) -> None:
        sheet = self.sheet
        self._run(lambda task: completed(sheet, task), "Measuring diameters", takes_edits=False)

    def _run(self, measure: Callable[[Task], Sheet], title: str, takes_edits: bool = True) -> None:
        def done(job: Job[Sheet]) -> None:
            if self._job is not job:
                return
            self._job = None
            if job.state == "done" and job.result is not None:
                self.sheet = job.result
                self.changed.emit()
            else:
                self._given_up = True
                if takes_edits:
                    self._edits = None  # what they did is not in the sheet
            if self._stale:
                self._refresh()
            elif self.sheet.pending and not self._given_up:
                self._complete()

        self._job = self._host.jobs.lane("measure").submit(measure, title=title, done=done)

    # Looking

    def arrange(self, wanted: Wanted, done: Callable[[Sheet, Rows], None]) -> None:
        """Find the rows that are wanted, in order; tells the sheet they are rows of."""
        sheet, snapshot, ids = self.sheet, self._host.document.snapshot(), self._host.selection.ids.column

        def find(task: Task) -> Rows:
            selected = sheet.rows_of(snapshot, ids) if wanted.selected else np.empty(0, np.int64)
            return sheet.shown(wanted, selected)

        self._now_or_later(sheet, "arrange measurements", find, lambda rows: done(sheet, rows))

    def selected_rows(self, sheet: Sheet) -> Rows:
        """The rows of what is selected, ascending."""
        return sheet.rows_of(self._host.document.snapshot(), self._host.selection.ids.column)

    def sum_up(self, sheet: Sheet, title: str, rows: Rows, done: Callable[[Figures], None]) -> None:
        """What a column comes to in these rows."""
        snapshot, ids = self._host.document.snapshot(), self._host.selection.ids.column

        def figures(task: Task) -> Figures:
            values, counted = sheet.numbers(title), sheet.counted(rows)
            picked = np.zeros(len(sheet), np.bool_)
            picked[sheet.rows_of(snapshot, ids)] = True
            picked_rows = counted[picked[counted]]
            all_of, chosen = values[counted], values[picked_rows]
            task.check()
            return Figures(
                title,
                summary(all_of),
                summary(chosen),
                len(counted),
                len(picked_rows),
                sheet.summaries(title, rows),
                histogram(all_of, chosen),
            )

        self._now_or_later(sheet, "sum up measurements", figures, done)

    def _now_or_later(
        self, sheet: Sheet, key: str, find: Callable[[Task], Any], done: Callable[[Any], None]
    ) -> None:
        if len(sheet) <= AT_ONCE:
            done(find(Task()))
            return

        def found(job: Job[Any]) -> None:
            if job.state == "done":
                done(job.result)

        self._host.jobs.lane("measure").submit(find, key=key, done=found)

    def copy(self, sheet: Sheet, titles: tuple[str, ...], rows: Rows, done: Callable[[str], None]) -> None:
        """These rows and columns as a text with tabs, for the clipboard."""
        if len(rows) > MOST_COPIED:
            text = f"{len(rows):,} rows are more than the clipboard can take."
            self._host.tell("info", text, "Save them as a file, or select fewer.")
            return
        columns = [sheet.column(title, rows) for title in titles]
        key = "copy measurements"
        self._now_or_later(sheet, key, lambda task: sheet_text(titles, columns, len(rows)), done)

    # Exporting

    def export(self, path: Path, sheet: Sheet | None = None, rows: Rows | None = None) -> None:
        """Write measurements as CSV or TSV, by the file's ending. Returns at once; a notice tells the end.

        Parameters
        ----------
        path : Path
        sheet : Sheet, optional
            By default all annotations as they are now.
        rows : ndarray, optional
            Which rows of the sheet, in order.
        """
        if self._host.image is None:
            return
        image, ruler, hidden = self._host.image.source.name, self.ruler, self.hidden
        snapshot, names = self._host.document.snapshot(), set(MEASURES) - hidden

        def write(task: Task) -> int:
            if sheet is None:
                full = brought_up(Sheet(), image, ruler, snapshot, None, names, task, hulls_later=False)
            else:
                full = completed(sheet, task) if sheet.pending else sheet
            titles = _without(full, hidden)
            chosen = np.arange(len(full)) if rows is None else rows
            return write_sheet(path, titles, [full.column(t, chosen) for t in titles], len(chosen), task)

        def written(job: Job[int]) -> None:
            if job.state == "done":
                what = "1 annotation" if job.result == 1 else f"{job.result:,} annotations"
                self._host.tell("info", f"Measurements of {what} were written to {path.name}.")

        self._host.jobs.lane("io").submit(write, title=f"Exporting {path.name}", done=written)

    # Intensities

    def measure_intensity(self, ids: Ids | None = None) -> None:
        """Measure the stored pixels inside annotations, and keep the results with them as one step.

        Returns at once. What is deleted or reshaped meanwhile is left out.

        Parameters
        ----------
        ids : ids, optional
            By default all annotations.
        """
        image, document = self._host.image, self._host.document
        nothing = Edit("Measure intensity", Table.empty(), Table.empty())
        if image is None or not self._host.do(nothing):  # which says why, where it cannot be kept
            return
        snapshot, column = document.snapshot(), None if ids is None else as_column(ids)

        def measure(task: Task) -> _Measured:
            table = snapshot.table(column)
            found = measure_intensity(image, table, brightness=True, task=task)
            task.progress(None, "Keeping the results")
            return _Measured.of(snapshot, table, found)

        def done(job: Job[_Measured]) -> None:
            if job.state == "done" and job.result is not None and self._host.document is document:
                self._keep(job.result)

        self._host.jobs.lane("intensity").submit(
            measure, title="Measuring intensity", key="intensity", done=done
        )

    def _keep(self, measured: _Measured) -> None:
        document = self._host.document
        snapshot = document.snapshot()
        if snapshot is measured.snapshot:
            if measured.edit.is_empty:
                self._host.tell("info", "No pixel lies inside the annotations.", "Only areas have pixels.")
            elif self._host.do(measured.edit):
                self._host.tell("info", *measured.told())
            return

        def again(task: Task) -> _Measured:
            return _Measured.of(snapshot, measured.table, measured.found)

        def done(job: Job[_Measured]) -> None:
            if job.state == "done" and job.result is not None and self._host.document is document:
                self._keep(job.result)

        self._host.jobs.lane("intensity").submit(again, done=done)


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """Intensities, and the edit that keeps them in a document that is in this state."""

    snapshot: Snapshot
    table: Table
    found: Intensities
    edit: Edit

    @classmethod
    def of(cls, snapshot: Snapshot, table: Table, found: Intensities) -> _Measured:
        """Those of the rows of `table` that are still there and have the same outline."""
        rows = np.flatnonzero(snapshot.has(table.ids) & (found.pixels > 0))
        before = snapshot.table(table.ids[rows])
        same = np.flatnonzero(before.same_geometry(table.take(rows)))
        rows, before = rows[same], before.take(same)
        attributes = dict(before.attributes)
        for place, row in enumerate(rows.tolist()):
            own = attributes.get(place) or Attributes()
            stored = {title: value for title, value in own.measurements.items() if title != DOWNSAMPLE}
            attributes[place] = replace(own, measurements=stored | found.measurements(row))
        edit = Edit("Measure intensity", before, replace(before, attributes=attributes))
        return cls(snapshot, table, found, edit)

    def told(self) -> tuple[str, str]:
        """What was done, in words for the user."""
        count, coarse = len(self.edit.after), self.found.coarse
        text = f"Intensity was measured in {'1 annotation' if count == 1 else f'{count:,} annotations'}."
        hints = []
        if coarse:
            hints.append(f"{coarse:,} large ones at lower resolution, see “{DOWNSAMPLE}”.")
        if count < len(self.table):
            hints.append(f"{len(self.table) - count:,} cover no pixel or have changed.")
        return text, " ".join(hints)


def _without(sheet: Sheet, hidden: frozenset[str]) -> tuple[str, ...]:
    """The titles of a sheet without those that are hidden."""
    titles = {sheet.ruler.titles().get(name, name) for name in hidden}
    return tuple(title for title in sheet.titles if title not in titles)
