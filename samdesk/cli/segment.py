"""`samdesk segment`: prompts in, GeoJSON out. Must not know the other commands."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from samdesk.domain.columns import Annotation
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane
from samdesk.domain.prompts import BoxPrompt, Candidate, PointPrompt, Prompts
from samdesk.formats.geojson import dumps, write_geojson
from samdesk.sdk import Image, load_segmenter, open_image, provenance


def run_segment(options: argparse.Namespace) -> int:
    """Segment as the command line says."""
    objects = prompts_of(options.point, options.box, options.each)
    segmenter = load_segmenter(options.engine)
    image = open_image(options.image)
    try:
        plane = _plane(image, options.z, options.t)
        downsample = _downsample(image, options.level_um, options.downsample)
        kept = []
        for prompts in objects:
            found = segmenter.segment(image, prompts, downsample=downsample, plane=plane)
            if not found:
                raise SamdeskError(
                    f"Nothing was found in {image.source.name} for {_said(prompts)}.",
                    "Try another point, a box, or a larger --downsample.",
                )
            best = found[0]
            kept.append(
                Annotation(
                    best.shape,
                    class_name=options.class_name,
                    plane=plane,
                    provenance=provenance(best, prompts),
                )
            )
            _tell(best, segmenter.title)
    finally:
        image.close()
    if options.out == "-":
        print(dumps(kept))
    else:
        write_geojson(Path(options.out), kept)
        print(f"{len(kept)} written to {options.out}", file=sys.stderr)
    return 0


def prompts_of(points: list[str], boxes: list[str], each: bool) -> list[Prompts]:
    """The prompts of each object.

    Raises
    ------
    SamdeskError
        When a point or box cannot be read, or there is no positive prompt.
    """
    dots = [_point(text) for text in points]
    frames = [_box(text) for text in boxes]
    if not frames and not any(dot.positive for dot in dots):
        raise SamdeskError("There is no prompt.", "Give --point X,Y or --box X1,Y1,X2,Y2.")
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
    return PointPrompt(x, y, positive=text is not place)


def _box(text: str) -> BoxPrompt:
    try:
        x0, y0, x1, y1 = (float(value) for value in text.split(","))
    except ValueError:
        raise SamdeskError(f"--box {text} is not a box.", "Write X1,Y1,X2,Y2 in pixels.") from None
    return BoxPrompt(Bounds(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)))


def _downsample(image: Image, level_um: float | None, downsample: float | None) -> float:
    if level_um is None:
        chosen = 1.0 if downsample is None else downsample
    elif image.pixel_size is None or image.pixel_size.unit != "µm":
        raise SamdeskError(f"{image.source.name} gives no pixel size.", "Use --downsample.")
    else:
        chosen = level_um / image.pixel_size.x
    if not 0 < chosen < 1e6:
        raise SamdeskError(f"A downsample of {chosen:g} makes no sense.", "Give a positive number.")
    return max(1.0, chosen)


def _plane(image: Image, z: int, t: int) -> Plane:
    source = image.source
    if not (0 <= z < source.size_z and 0 <= t < source.size_t):
        raise SamdeskError(
            f"{source.name} has no plane z {z}, t {t}.",
            f"It has {source.size_z} z slices and {source.size_t} time points, counted from 0.",
        )
    return Plane(z, t)


def _said(prompts: Prompts) -> str:
    points = [f"point {p.x:g},{p.y:g}" for p in prompts.points if p.positive]
    return ", ".join(points + ["box {:g},{:g},{:g},{:g}".format(*b.bounds) for b in prompts.boxes])


def _tell(best: Candidate, title: str) -> None:
    stages = ", ".join(f"{name} {ms:.0f} ms" for name, ms in best.timings.items())
    cut = "; cut at the edge of what the engine saw, try a larger --downsample" if best.at_edge else ""
    print(
        f"{title}: area {best.shape.area:,.1f} px², score {best.score:.2f} ({stages}){cut}", file=sys.stderr
    )
