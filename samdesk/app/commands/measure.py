"""Commands: measurements of outlines and pixels, as a table and as a file.

Must not know widgets.
"""

from __future__ import annotations

from .file import beside
from .table import Command, Context

SHEET_FILTER = "CSV, fields between commas (*.csv);;TSV, fields between tabs (*.tsv)"


def _intensity(c: Context) -> None:
    chosen = c.workspace.selection.ids
    c.workspace.measuring.measure_intensity(chosen.column if len(chosen) else None)


def _export(c: Context) -> None:
    image = c.workspace.image
    if image is None:
        return
    name = beside(image.source.path, " measurements.csv")
    path = c.ask.save_file("Export measurements", name, SHEET_FILTER)
    if path is not None:
        c.workspace.measuring.export(path)


ROWS = (
    Command("measure.table", "Measurements…", ("Ctrl+M",), "Measure", "image",
            lambda c: c.view.show_dialog("measurements"),
            "A table of all annotations, with a histogram; it follows every change"),
    Command("measure.intensity", "Measure Intensity", (), "Measure/2", "annotations", _intensity,
            "Mean, spread and limits of each channel inside the selected annotations, or inside all; "
            "kept with them"),
    Command("measure.export", "Export Measurements…", (), "Measure/3", "annotations", _export,
            "All annotations as CSV or TSV, for spreadsheets and statistics programs"),
)  # fmt: skip
