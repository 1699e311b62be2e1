"""`samdesk automask`: every object in an image or a part of it. Must not know the other commands."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import shapely

from samdesk.domain.columns import Annotation
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane, Shape, ShapeKind
from samdesk.domain.prompts import Candidate, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.automask import OUTPUTS, AutomaskOptions, Output, read_output
from samdesk.engines.cache import open_store
from samdesk.formats.geojson import dumps, read_geojson, write_geojson
from samdesk.sdk import Image, Segmenter, load_segmenter, open_image, provenance
from samdesk.sdk.automask import automask, options_for

from .options import add_device, add_level, add_model
from .place import downsample_of, plane_of, region_of
from .progress import end_line, progress_line

EPILOG = """\
A part that one chip (1024 x 1024 pixels at --downsample) sees is done at once; a larger one is
tiled, and what a tile cut is joined. The thresholds are those of the packages' generators:
SAM's defaults are shown, SAM 2's are --pred-iou-thresh 0.8.

examples:
  a small image:            samdesk automask cells.tif --engine sam2_t --out cells.geojson
  a part of a slide:        ... --region 20000,8000,4000,4000 --downsample 2
  inside an annotation:     ... --inside tissue.geojson --points-per-side 16
"""

HELP = {
    "points_per_side": "points along each side of what a chip sees",
    "points_per_batch": "points asked at once; more need more memory",
    "pred_iou_thresh": "drop masks that the model scores no higher",
    "stability_score_thresh": "drop masks that depend more on the threshold",
    "stability_score_offset": "by how much to move the threshold for that",
    "box_nms_thresh": "of masks whose boxes have a larger IoU, keep one",
    "crop_n_layers": "look again at 2x2, 4x4, ... crops",
    "crop_nms_thresh": "as --box-nms-thresh, between crops and tiles",
    "crop_overlap_ratio": "overlap of the crops, as a part of the side",
    "crop_n_points_downscale_factor": "layer i has 1/factor^i of the points",
    "min_mask_region_area": "fill smaller holes, drop smaller pieces (px²)",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `run_automask`."""
    parser.add_argument("image", type=Path, metavar="IMAGE")
    add_model(parser, "classical")
    add_device(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="GeoJSON file, or - for standard output")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--region", metavar="X,Y,W,H", help="part of the image in pixels (all of it)")
    part.add_argument("--inside", type=Path, metavar="FILE",
                      help="only inside the areas of this GeoJSON file")  # fmt: skip
    add_level(parser)
    parser.add_argument("--class", dest="class_name", metavar="NAME", help="class of the annotations")
    parser.add_argument("--output", default="best", metavar="KIND",
                        help=f"which masks of a point to keep: {', '.join(OUTPUTS)} (best)")  # fmt: skip
    for field in dataclasses.fields(AutomaskOptions):
        flag = "--" + field.name.replace("_", "-")
        if field.name == "include_image_edge":
            parser.add_argument(flag, action="store_true", help="keep masks that reach all four edges")
        else:
            default = field.default
            parser.add_argument(flag, type=type(default), metavar="N",
                                help=f"{HELP[field.name]} ({default:.4g})")  # fmt: skip


def run_automask(options: argparse.Namespace) -> int:
    """Find objects as the command line says."""
    output = read_output(options.output)
    segmenter = load_segmenter(options.engine, options.weights, device=options.device, cache=open_store())
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(AutomaskOptions)}
    settings = options_for(segmenter, **{name: value for name, value in given.items() if value is not None})
    image = open_image(options.image)
    try:
        plane = plane_of(image, options.z, options.t)
        downsample = downsample_of(image, options.level_um, options.downsample)
        where = region_of(image, options.region) if options.inside is None else inside_of(options.inside)
        found = _found(segmenter, image, where, settings, downsample, plane, output)
    finally:
        image.close()
    kept = [_annotation(one, options.class_name, plane, output) for one in found]
    if options.out == "-":
        print(dumps(kept))
    else:
        write_geojson(Path(options.out), kept)
        print(f"{segmenter.title}: {len(kept):,} objects written to {options.out}", file=sys.stderr)
    return 0


def _found(
    segmenter: Segmenter,
    image: Image,
    where: Bounds | Shape,
    settings: AutomaskOptions,
    downsample: float,
    plane: Plane,
    output: Output,
) -> list[Candidate]:
    task = Task(progress_line())
    try:
        return automask(
            segmenter, image, where, settings, downsample=downsample, plane=plane, output=output, task=task
        )
    finally:
        end_line()


def inside_of(path: Path) -> Shape:
    """All areas of a GeoJSON file as one shape.

    Raises
    ------
    SamdeskError
        When the file cannot be read or holds no area.
    """
    shapes = [one.shape for one in read_geojson(path).table.annotations()]
    areas = [shape.to_shapely() for shape in shapes if shape.kind is ShapeKind.AREA]
    if not areas:
        raise SamdeskError(f"{path} holds no area.", "Give a file with a polygon, as from QuPath's export.")
    return Shape.from_shapely(shapely.union_all(areas))


def _annotation(one: Candidate, class_name: str | None, plane: Plane, output: Output) -> Annotation:
    return Annotation(
        one.shape,
        class_name=class_name,
        plane=plane,
        measurements={"Score": round(one.score, 4)},
        provenance={**provenance(one, Prompts()), "automask": output},
    )
