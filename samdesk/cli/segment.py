"""`samdesk segment`: points, boxes, an outline, a text or examples in; GeoJSON out.

Must not know the other commands.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from samdesk.domain.columns import Annotation
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane
from samdesk.domain.prompts import BoxPrompt, Candidate, PointPrompt, Prompts
from samdesk.engines.cache import open_store
from samdesk.formats.geojson import dumps, read_geojson, write_geojson
from samdesk.sdk import Image, MaskOptions, Segmenter, load_segmenter, open_image, provenance

from .options import add_device, add_level, add_model
from .place import downsample_of, plane_of

EPILOG = """\
Coordinates are full-resolution image pixels, x right, y down, counted on pixel edges:
the middle of the first pixel is 0.5,0.5. All points and boxes together describe one
object; with --each every positive point and every box is an object of its own.

examples:
  one object from a click:           samdesk segment a.tif --point 512,300 --out a.geojson
  take a part away:                  ... --point 512,300 --point 540,310,-
  two objects from two boxes:        ... --each --box 10,10,90,80 --box 200,40,260,110
  look from further away (µm/px):    ... --level-um 2
  with a model:                      ... --engine sam2_t --point 512,300
  with a weight file of your own:    ... --weights my_sam.pt --point 512,300
  correct outlines:                  ... --engine vit_b --prior rough.geojson
  everything that a text names:      ... --engine sam3 --text "nucleus"
  all that look like this one:       ... --engine sam3 --exemplar 10,10,90,80 --exemplar 5,5,9,9,-
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `run_segment`."""
    add = parser.add_argument
    add("image", type=Path, metavar="IMAGE")
    add(
        "--point",
        action="append",
        default=[],
        metavar="X,Y[,-]",
        help="a point on the object, or with ',-' beside it; may be repeated",
    )
    add(
        "--box",
        action="append",
        default=[],
        metavar="X1,Y1,X2,Y2",
        help="a box around the object; may be repeated",
    )
    add("--each", action="store_true", help="every positive point and box is its own object")
    add(
        "--prior", type=Path, metavar="FILE", help="GeoJSON whose outlines are to be refined, each on its own"
    )
    add("--text", metavar="WORDS", help="find everything that these words name (SAM 3)")
    add(
        "--exemplar",
        action="append",
        default=[],
        metavar="X1,Y1,X2,Y2[,-]",
        help="find all that look like this, or with ',-' not like this (SAM 3)",
    )
    add(
        "--min-score",
        type=float,
        default=0.5,
        metavar="S",
        help="least confidence of what --text and --exemplar find (0.5)",
    )
    add_model(parser, "classical")
    add_device(parser)
    add(
        "--candidates",
        choices=("auto", "several", "one"),
        default="auto",
        help="outlines that the model proposes, of which the best is taken (auto)",
    )
    add(
        "--mask-threshold",
        type=float,
        default=0.5,
        metavar="P",
        help="probability from which a pixel belongs to the object (0.5)",
    )
    add(
        "--min-area",
        type=float,
        default=0.0,
        metavar="PX",
        help="drop parts and fill holes below this area in px that the engine sees (0)",
    )
    add(
        "--smooth",
        type=float,
        default=0.0,
        metavar="PX",
        help="blur before the outline is drawn, in px that the engine sees (0)",
    )
    add_level(parser)
    add("--class", dest="class_name", metavar="NAME", help="class of the annotations")
    add("--out", required=True, metavar="FILE", help="GeoJSON file, or - for standard output")


def run_segment(options: argparse.Namespace) -> int:
    """Segment as the command line says."""
    searching = bool(options.text or options.exemplar)
    missed: list[SamdeskError] = []
    objects = [] if searching else prompts_of(options.point, options.box, options.each, options.prior)
    concept = concept_of(options) if searching else None
    store = open_store()
    segmenter = load_segmenter(options.engine, options.weights, device=options.device, cache=store)
    image = open_image(options.image)
    try:
        plane = plane_of(image, options.z, options.t)
        look = _Look(segmenter, image, plane, downsample_of(image, options.level_um, options.downsample))
        if concept is not None:
            kept = look.find(concept, options.min_score, mask_options(options))
        else:
            kept = look.best_of_each(objects, mask_options(options), missed)
    finally:
        image.close()
    kept = [replace(one, class_name=options.class_name) for one in kept]
    if options.out == "-":
        print(dumps(kept))
    else:
        write_geojson(Path(options.out), kept)
        print(f"{len(kept)} written to {options.out}", file=sys.stderr)
    return int(bool(missed))


class NothingFoundError(SamdeskError):
    """The engine gave no answer to a prompt."""


@dataclass(frozen=True)
class _Look:
    """Where the engine looks, and what it finds there."""

    segmenter: Segmenter
    image: Image
    plane: Plane
    downsample: float

    def best_of_each(
        self, objects: list[Prompts], options: MaskOptions, missed: list[SamdeskError]
    ) -> list[Annotation]:
        """One annotation for each object; those that were not found are told, unless it is all."""
        kept = []
        for prompts in objects:
            try:
                kept.append(self.best(prompts, options))
            except NothingFoundError as error:
                missed.append(error)
        if not kept:
            raise missed[0]
        for lost in missed:
            print(f"samdesk: {lost.message}", file=sys.stderr)
        return kept

    def best(self, prompts: Prompts, options: MaskOptions) -> Annotation:
        found = self.segmenter.segment(
            self.image, prompts, downsample=self.downsample, plane=self.plane, options=options
        )
        if not found:
            raise self._nothing(_said(prompts), "Try another point, a box, or a larger --downsample.")
        _tell(found[0], self.segmenter.title)
        return self._annotation(found[0], prompts)

    def find(self, prompts: Prompts, min_score: float, options: MaskOptions) -> list[Annotation]:
        found = self.segmenter.find(
            self.image,
            prompts,
            downsample=self.downsample,
            plane=self.plane,
            min_score=min_score,
            options=options,
        )
        if not found:
            raise self._nothing(_said(prompts), "Try other words, another example, or a lower --min-score.")
        for one in found:
            _tell(one, self.segmenter.title)
        return [self._annotation(one, prompts) for one in found]

    def _annotation(self, candidate: Candidate, prompts: Prompts) -> Annotation:
        return Annotation(candidate.shape, plane=self.plane, provenance=provenance(candidate, prompts))

    def _nothing(self, what: str, hint: str) -> SamdeskError:
        return NothingFoundError(f"Nothing was found in {self.image.source.name} for {what}.", hint)


def mask_options(options: argparse.Namespace) -> MaskOptions:
    """How answers become shapes."""
    if not 0 < options.mask_threshold < 1:
        raise SamdeskError(
            f"A mask threshold of {options.mask_threshold:g} makes no sense.",
            "Give a probability between 0 and 1.",
        )
    if not (0 <= options.min_area < 1e9 and 0 <= options.smooth < 1e3):
        raise SamdeskError(
            "--min-area and --smooth are lengths of pixels that the engine sees.",
            "Give small positive numbers.",
        )
    return MaskOptions(
        multimask={"auto": None, "several": True, "one": False}[options.candidates],
        threshold=math.log(options.mask_threshold / (1 - options.mask_threshold)),
        min_area_px=options.min_area,
        smooth_px=options.smooth,
    )


def concept_of(options: argparse.Namespace) -> Prompts:
    """What `Segmenter.find` shall look for.

    Raises
    ------
    SamdeskError
        When it is mixed with prompts for one object, or an example cannot be read.
    """
    if options.point or options.box or options.prior:
        raise SamdeskError(
            "--text and --exemplar look for many objects; --point, --box and --prior for one.",
            "Give the one or the other.",
        )
    return Prompts(
        boxes=tuple(_box(text, "--exemplar") for text in options.exemplar), text=options.text or ""
    )


def prompts_of(points: list[str], boxes: list[str], each: bool, prior: Path | None = None) -> list[Prompts]:
    """The prompts of each object; `prior` is a GeoJSON file whose every annotation is to be refined.

    Raises
    ------
    SamdeskError
        When a point or box cannot be read, or there is no positive prompt.
    """
    dots = [_point(text) for text in points]
    frames = [_box(text) for text in boxes]
    if prior is not None:
        shapes = [one.shape for one in read_geojson(prior).table.annotations()]
        if not shapes:
            raise SamdeskError(f"{prior.name} holds no annotation.", "Give a GeoJSON file with outlines.")
        return [Prompts(tuple(dots), tuple(frames), prior=shape) for shape in shapes]
    if not frames and not any(dot.positive for dot in dots):
        raise SamdeskError("There is no prompt.", "Give --point X,Y, --box X1,Y1,X2,Y2 or --text WORDS.")
    if not each:
        return [Prompts(tuple(dots), tuple(frames))]
    beside = tuple(dot for dot in dots if not dot.positive)
    return [Prompts((dot, *beside)) for dot in dots if dot.positive] + [
        Prompts(beside, (frame,)) for frame in frames
    ]


def _point(text: str) -> PointPrompt:
    place, mark, sign = text.rpartition(",-")
    if mark and not sign.strip():
        text = place
    try:
        x, y = (float(value) for value in text.split(","))
    except ValueError:
        raise SamdeskError(f"--point {text} is not a point.", "Write X,Y or X,Y,- in pixels.") from None
    if not (math.isfinite(x) and math.isfinite(y)):
        raise SamdeskError(f"--point {text} is not a point.", "Write X,Y or X,Y,- in pixels.")
    return PointPrompt(x, y, positive=text is not place)


def _box(text: str, option: str = "--box") -> BoxPrompt:
    place, mark, sign = text.rpartition(",-")
    if not (option == "--exemplar" and mark and not sign.strip()):
        place = text
    try:
        x0, y0, x1, y1 = (float(value) for value in place.split(","))
    except ValueError:
        raise SamdeskError(f"{option} {text} is not a box.", "Write X1,Y1,X2,Y2 in pixels.") from None
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise SamdeskError(f"{option} {text} is not a box.", "Write X1,Y1,X2,Y2 in pixels.")
    return BoxPrompt(Bounds(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), positive=place is text)


def _said(prompts: Prompts) -> str:
    points = [f"point {p.x:g},{p.y:g}" for p in prompts.points if p.positive]
    said = [f"“{prompts.text}”"] if prompts.text else []
    said += ["the given outline"] if prompts.prior is not None else []
    return ", ".join(said + points + ["box {:g},{:g},{:g},{:g}".format(*b.bounds) for b in prompts.boxes])


def _tell(best: Candidate, title: str) -> None:
    stages = ", ".join(f"{name} {ms:.0f} ms" for name, ms in best.timings.items())
    cut = "; cut at the edge of what the engine saw, try a larger --downsample" if best.at_edge else ""
    print(
        f"{title}: area {best.shape.area:,.1f} px², score {best.score:.2f} ({stages}){cut}", file=sys.stderr
    )
