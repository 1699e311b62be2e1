"""`samdesk measure`: outlines and the pixels inside them, measured into a CSV or TSV file.

Must not know the other commands.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from samdesk.app.measuring import TEXTS, Sheet
from samdesk.app.measuring.sheet import Ruler, brought_up
from samdesk.domain.columns import Table
from samdesk.domain.document import Document
from samdesk.domain.errors import SamdeskError
from samdesk.domain.measure import MEASURES
from samdesk.domain.tasks import Task
from samdesk.formats.geojson import read_geojson
from samdesk.formats.sheet import write_sheet
from samdesk.sdk import Image, open_image
from samdesk.sdk.intensity import STATISTICS, measure_intensity

from .progress import end_line, progress_line

EPILOG = """\
Lengths and areas are in the unit of the image (µm) where it says how large its pixels are, else in
pixels. Intensities are the stored values, never what is displayed.

examples:
  outlines only:         samdesk measure slide.svs cells.geojson --out cells.csv
  with the pixels:       ... --intensity
  with tabs:             ... --out cells.tsv
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `run_measure`."""
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("annotations", type=Path, metavar="ANNOTATIONS", help="GeoJSON file")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=".csv, or .tsv for tabs")
    what = ", ".join(STATISTICS).lower()
    parser.add_argument("--intensity", action="store_true", help=f"the pixels inside, too: {what}")
    parser.add_argument("--downsample", type=float, default=1.0, metavar="N",
                        help="image pixels per pixel that is read for --intensity (1)")  # fmt: skip


def run_measure(options: argparse.Namespace) -> int:
    """Measure as the command line says."""
    if not options.downsample >= 1:
        raise SamdeskError("--downsample must be 1 or more.", "1 is full resolution.")
    table = read_geojson(options.annotations).table
    task = Task(progress_line())
    image = open_image(options.image)
    try:
        sheet = _measured(image, table, task)
        if options.intensity:
            found = measure_intensity(
                image, sheet.table, downsample=options.downsample, brightness=True, task=task
            )
            columns = found.values.reshape(len(sheet), -1)
            stored = {**sheet.stored, **dict(zip(found.titles(), columns.T, strict=True))}
            if found.coarse:
                stored["Intensity downsample"] = np.where(found.pixels > 0, found.downsample, np.nan)
            sheet = Sheet.of(sheet.image, sheet.table, sheet.ruler, sheet.measures, stored)
        rows = np.arange(len(sheet))
        write_sheet(
            options.out, sheet.titles, [sheet.column(t, rows) for t in sheet.titles], len(sheet), task
        )
    finally:
        end_line()
        image.close()
    numbers = len(sheet.titles) - len(TEXTS)
    print(f"{numbers} measurements of {len(sheet):,} annotations written to {options.out}", file=sys.stderr)
    return 0


def _measured(image: Image, table: Table, task: Task) -> Sheet:
    size = image.pixel_size
    ruler = Ruler() if size is None else Ruler((size.x, size.y), size.unit)
    document = Document(table.classes)
    document.replace_all(table)
    state = document.snapshot()
    return brought_up(Sheet(), image.source.name, ruler, state, None, MEASURES, task, hulls_later=False)
