"""Annotations in and out of files of any format, as jobs, with a report that can be looked at.

A file is added whole, as one step, or not at all. Must not know widgets, nor any format.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from psygnal import Signal

from samdesk.domain.columns import LOCKED, Table
from samdesk.domain.document import Document
from samdesk.formats import exchange as formats
from samdesk.formats.exchange import FORMATS, ExportReport, ImageFacts, Imported
from samdesk.formats.report import ImportReport, counted

from . import desk
from .jobs import Job

DETAILS = "file.report"
"""The command that shows the last report."""

LARGE = 100_000_000
"""Pixels from which it is asked how large a label image shall be."""

SMALLER = (1, 4, 16)
"""Downsamples to choose from then."""


class Desk(desk.Desk, Protocol):
    """The open image with its document; the workspace is one. Read on the main thread."""

    def review_imported(self, table: Table, title: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Told:
    """The report of a file that came or went.

    Attributes
    ----------
    path : Path
    report : ImportReport or ExportReport
    """

    path: Path
    report: ImportReport | ExportReport

    @property
    def title(self) -> str:
        return f"{'Import' if isinstance(self.report, ImportReport) else 'Export'} of {self.path.name}"


class Exchange:
    """Imports into one workspace's document, and exports out of it.

    Attributes
    ----------
    last : Told or None
        The last report.
    told : Signal(str, str, str, str)
        A message for the user: level, text, hint, and the id of a command or nothing.
    """

    told = Signal(str, str, str, str)

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.last: Told | None = None

    def import_files(self, paths: Iterable[Path], review: bool = False) -> None:
        """Add the annotations of each file as one undoable step. Returns at once.

        Parameters
        ----------
        paths : iterable of Path
            Files or folders in any format that is read.
        review : bool
            Let the user look through them first.
        """
        for path in paths:
            self._import(path, review)

    def export(
        self, path: Path, id: str | None = None, only_selected: bool = False, downsample: int = 1
    ) -> None:
        """Write all annotations, or those that are selected. Returns at once; a message tells the end.

        Parameters
        ----------
        path : Path
        id : str, optional
            Of a format; by default the one that the name tells.
        only_selected : bool
        downsample : int
            Image pixels per pixel of a label image or a mask.
        """
        document = self._desk.document
        table = document.table(self._desk.selection.ids) if only_selected else document.table()
        facts = self._facts()

        def exported(job: Job[ExportReport]) -> None:
            if job.state == "done" and job.result is not None:
                report = job.result
                text = f"{counted(report.written, 'annotation')} exported to {path.name}."
                noted = bool(report.notes or report.left_out)
                self._tell(Told(path, report), text, report.lost, noted)

        self._desk.jobs.lane("io").submit(
            lambda task: formats.write(path, table, facts, task, id=id, downsample=downsample),
            title=f"Exporting {path.name}",
            done=exported,
        )

    def ask_downsample(self, path: Path) -> int | None:
        """How much smaller than the image a picture of it shall be; None when the user gave up."""
        facts, ask = self._facts(), self._desk.ask
        if facts is None or ask is None or not formats.for_writing(path).reduced:
            return 1
        if facts.width * facts.height <= LARGE:
            return 1
        answer = ask.choose(
            f"The picture would have {facts.width:,} × {facts.height:,} px.",
            "A smaller one has coarser outlines; it is scaled back when it is imported.",
            ["Full Size", *(f"1/{by} of Width and Height" for by in SMALLER[1:])],
        )
        return None if answer is None else SMALLER[answer]

    def _facts(self) -> ImageFacts | None:
        image = self._desk.image
        if image is None:
            return None
        source = image.source
        return ImageFacts(source.name, source.width, source.height)

    def _import(self, path: Path, review: bool) -> None:
        facts, document = self._facts(), self._desk.document
        if facts is None:
            self.told.emit(
                "info", f"{path.name} holds annotations.", "Open the image they belong to first.", ""
            )
            return

        def imported(job: Job[Imported]) -> None:
            if job.state == "done" and job.result is not None and self._desk.document is document:
                self._add(path, job.result, review)

        self._desk.jobs.lane("io").submit(
            lambda task: formats.read(path, facts, task), title=f"Importing {path.name}", done=imported
        )

    def _add(self, path: Path, imported: Imported, review: bool) -> None:
        table, report = imported.table, imported.report
        title, locked = f"Import {path.name}", 0
        if len(table) and review:
            self._desk.review_imported(table, title)
        elif len(table):
            chosen = self._settled(path, table)
            if chosen is None:
                return
            chosen, locked = without_locked(self._desk.document, chosen)
            if len(chosen) and not self._desk.do(self._desk.document.merging(chosen, title)):
                return
        text = f"{counted(report.read, 'annotation')} read from {path.name}."
        left, repaired = len(report.skipped), len(report.repaired)
        self._tell(Told(path, report), text, left, bool(report.notes), repaired, locked)

    def _settled(self, path: Path, table: Table) -> Table | None:
        """The rows with the ids they shall have; None when the user gave up."""
        known = self._desk.document.known(table)
        if not known.any() or self._desk.ask is None:
            return table
        answer = self._desk.ask.choose(
            f"{int(known.sum()):,} of {len(table):,} annotations in {path.name} are already here.",
            "Replace them by the imported ones, or keep both?",
            ("Replace", "Keep both"),
        )
        if answer is None:
            return None
        return table.with_new_ids(known) if answer == 1 else table

    def _tell(
        self, told: Told, text: str, left: int, noted: bool, repaired: int = 0, locked: int = 0
    ) -> None:
        self.last = told
        counts = ((repaired, "repaired"), (left, "left out"), (locked, "locked and left as before"))
        more = ", ".join(f"{n:,} {what}" for n, what in counts if n)
        level = "warning" if more else "info"
        hint = f"{more[:1].upper()}{more[1:]}." if more else ""
        self.told.emit(level, text, hint, DETAILS if more or noted else "")


def without_locked(document: Document, table: Table) -> tuple[Table, int]:
    """The rows that may be merged into a document, and how many of it are locked and so not replaced."""
    known = np.flatnonzero(document.known(table))
    locked = known[(document.table(table.ids[known]).flags & LOCKED) > 0]
    return table.take(np.setdiff1d(np.arange(len(table)), locked)), len(locked)


def import_filter() -> str:
    """The file types of the dialog that opens annotations, in Qt's form."""
    rows = [one for one in FORMATS.values() if not one.folder]
    every = dict.fromkeys(ending for one in rows for ending in one.suffixes)
    lines = [f"Annotations ({_stars(every)})"]
    lines += [f"{one.title} ({_stars(one.suffixes)})" for one in rows]
    return ";;".join([*lines, "All files (*)"])


def export_filter() -> str:
    """The file types of the dialog that saves annotations; each has an ending of its own."""
    lines = []
    for one in FORMATS.values():
        lines.append(f"{one.title} (*{one.suffixes[0]})")
        if one.id == "geojson":
            lines += ["GeoJSON, packed (*.geojson.gz)", "GeoJSON in a zip archive (*.geojson.zip)"]
    return ";;".join(lines)


def _stars(endings: Iterable[str]) -> str:
    return " ".join(f"*{ending}" for ending in endings)
