"""`samdesk convert`: annotations from one format into another.

Must not know the other commands.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import PartTask, Task
from samdesk.formats.exchange import FORMATS, ImageFacts, for_writing, read, write
from samdesk.sdk import open_image

from .progress import end_line, progress_line

EPILOG = """\
The format of IN is told by what is in it, that of OUT by its name:

{formats}

All but GeoJSON need to know the image. What was repaired or left out is told on
standard error.

examples:
  samdesk convert cells.coco.json cells.geojson --image cells.png
  samdesk convert cells.geojson cells.txt --image cells.png         YOLO
  samdesk convert slide.geojson slide.labels.tif --image slide.svs --downsample 4
  samdesk convert cells.geojson cells.json --to labelme --image cells.png
""".format(formats="\n".join(f"  {one.suffixes[0]:16}{one.title}" for one in FORMATS.values()))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `run_convert`."""
    add = parser.add_argument
    add("source", type=Path, metavar="IN", help="file or folder with annotations")
    add("target", type=Path, metavar="OUT", help="file or folder to write")
    add("--image", type=Path, metavar="IMAGE", help="the image that they belong to")
    add("--to", choices=tuple(FORMATS), metavar="FORMAT", help=f"format of OUT: {', '.join(FORMATS)}")
    add(
        "--downsample",
        type=int,
        default=1,
        metavar="N",
        help="image pixels for each pixel of a label image or a mask (1)",
    )
    add("--all", action="store_true", help="tell every case, not only the first of each kind")


def run_convert(options: argparse.Namespace) -> int:
    """Convert as the command line says; 1 when anything was left out on the way in."""
    for_writing(options.target, options.to)  # before a long read
    facts = _facts(options.image) if options.image else None
    task = Task(progress_line())
    try:
        found = read(options.source, facts, PartTask(task, 0.0, 0.5))
        if not len(found.table):
            why = f" {found.report.skipped[0]}." if found.report.skipped else ""
            raise SamdeskError(f"{options.source} holds no annotations.{why}", "Nothing was written.")
        made = write(
            options.target,
            found.table,
            facts,
            PartTask(task, 0.5, 0.5),
            id=options.to,
            downsample=options.downsample,
        )
    finally:
        end_line()
    for report in (found.report, made):
        print("\n".join(report.full()) if options.all else report.summary(), file=sys.stderr)
    return int(bool(found.report.skipped))


def _facts(path: Path) -> ImageFacts:
    image = open_image(path)
    try:
        source = image.source
        return ImageFacts(source.name, source.width, source.height)
    finally:
        image.close()
