"""`samdesk embed`: encode an image ahead of time, so that clicks in the window find it done.

Must not know the other commands.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from samdesk import paths
from samdesk.app.settings import Settings
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane, Region
from samdesk.domain.tasks import Task
from samdesk.engines.cache import DiskCache, open_store
from samdesk.sdk import Image, Segmenter, load_segmenter, open_image
from samdesk.sdk.precompute import Prepared, chips_for, precompute

from .options import add_device, add_level, add_model
from .place import downsample_of, plane_of, region_of
from .progress import end_line, progress_line

EPILOG = """\
The window finds what was encoded here for the same file, engine, weights, display and level.
In the window one segments at the level one looks at: a downsample of 1, 2, 4, 8 ...
What is ready already is not encoded again, so a run that was stopped can be started again.

examples:
  all of a small image:              samdesk embed cells.tif --engine sam2_t
  a part of a slide, from 2× away:   ... --region 20000,8000,9000,9000 --downsample 2
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `run_embed`."""
    parser.add_argument("image", type=Path, metavar="IMAGE")
    add_model(parser, "one of the two is needed")
    add_device(parser)
    parser.add_argument("--region", metavar="X,Y,W,H", help="part of the image in pixels (all of it)")
    add_level(parser)
    parser.add_argument("--cache-mb", type=float, metavar="MB",
                        help="size that the cache on disk may take (as in the preferences)")  # fmt: skip


def run_embed(options: argparse.Namespace) -> int:
    """Encode as the command line says; tells what that took."""
    disk_mb = _preferred_mb() if options.cache_mb is None else options.cache_mb
    if not 0 < disk_mb < 1e9:
        raise SamdeskError(f"A cache of {disk_mb:g} MB makes no sense.", "Give --cache-mb a positive number.")
    store = open_store(disk_bytes=round(disk_mb * 2**20))
    assert store.disk is not None
    segmenter = load_segmenter(options.engine, options.weights, device=options.device, cache=store)
    image = open_image(options.image)
    try:
        plane = plane_of(image, options.z, options.t)
        downsample = downsample_of(image, options.level_um, options.downsample)
        chips = chips_for(image, region_of(image, options.region), downsample)
        print(f"{image.source.name}: {len(chips):,} chips at downsample {downsample:g}", file=sys.stderr)
        prepared = encode_chips(segmenter, image, chips, plane, store.disk)
    finally:
        end_line()
        image.close()
    print(embedded_text(prepared, store.disk))
    return 0


def _preferred_mb() -> float:
    return float(Settings(paths.config_dir() / "settings.json")["embeddings_disk_mb"])


def encode_chips(
    segmenter: Segmenter, image: Image, chips: list[Region], plane: Plane, disk: DiskCache
) -> Prepared:
    """Encode what is not on the disk yet.

    Raises
    ------
    SamdeskError
        When the disk cannot keep it, the engine does not want it kept, or the room is used up.
    """
    task = Task(progress_line())
    first = precompute(segmenter, image, chips[:1], plane, task)
    if not disk.writable:
        raise SamdeskError(
            f"{disk.folder} cannot be written.",
            "Check its rights and the room on the disk, or set SAMDESK_HOME.",
        )
    if first.encoded and not first.nbytes:
        raise SamdeskError(
            f"{segmenter.title} keeps nothing on disk.",
            "It encodes as quickly as it would read, or --cache-mb has no room for four chips.",
        )
    rest = precompute(segmenter, image, chips, plane, task)
    return Prepared(
        rest.total, first.encoded + rest.encoded, first.seconds + rest.seconds, first.nbytes + rest.nbytes
    )


def embedded_text(prepared: Prepared, disk: DiskCache) -> str:
    """What was done, in lines for a person."""
    ready = "1 chip is ready" if prepared.total == 1 else f"{prepared.total:,} chips are ready"
    if prepared.encoded:
        each = prepared.seconds / prepared.encoded
        ready += f": {prepared.encoded:,} encoded in {prepared.seconds:.1f} s ({each:.2f} s each)"
        ready += f", {prepared.nbytes / 2**20:,.0f} MB"
    return f"{ready}\n{disk.folder}: {disk.nbytes / 2**20:,.0f} of {disk.limit_bytes / 2**20:,.0f} MB"
