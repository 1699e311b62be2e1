"""What the command line says: engine, options, formats, and where the engine is. Must not know images."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samdesk import paths
from samdesk.app.settings import Settings
from samdesk.domain.errors import SamdeskError
from samdesk.recon.engines import RECON_ENGINES, ReconField, ReconSpec, recon_spec
from samdesk.recon.options import FORMATS, ReconOptions
from samdesk.sdk.reconstruction import STL_MM, Order

EPILOG = """\
Every object gets a folder in DIR with the files asked for, the picture and the mask that the engine
was shown, and provenance.json. DIR/times.csv tells what became of each and how long it took.

formats: ply (splat, as other splat viewers read it), glb, obj (with MTL and PNG), stl (in mm), gif
GLB and OBJ are y up; PLY and STL are z up. Sizes are relative: no engine measures the world.

examples:
  one object from its mask:          samdesk make3d cup.jpg --mask cup.png --out 3d
  all annotations of a class:        ... --geojson cells.geojson --class Tumor --out 3d
  the three largest:                 ... --geojson cells.geojson --largest 3 --out 3d
  all objects of a label image:      ... --labels nuclei.tif --out 3d
  everything that a text names:      ... --text "horse" --out 3d
  all in one scene:                  ... --geojson room.geojson --scene --out 3d
  what would be done, and no more:   ... --geojson room.geojson --out 3d --dry-run
  go on where it stopped:            ... --geojson many.geojson --skip-done --out 3d
  with SAM 3D Objects:               ... --engine sam3d --python ENV/bin/python --repository DIR
  whether an engine can run here:    samdesk make3d --engine sam3d --check

exit status: 0 all made, 1 an error that was told or an object that failed, 2 wrong usage,
130 stopped with Ctrl+C
"""

HELP = {
    "seed": "of the random numbers (SAM 3D)",
    "steps_shape": "solver steps of the shape (SAM 3D)",
    "steps_look": "solver steps of the look (SAM 3D)",
    "distill_shape": "the quicker model for the shape (SAM 3D)",
    "distill_look": "the quicker model for the look (SAM 3D)",
    "light_splat": "an eighth of the Gaussians (SAM 3D)",
    "clean_mesh": "simplify the mesh and fill its holes (SAM 3D)",
    "texture": "bake a texture; its packages are non-commercial (SAM 3D)",
    "layout": "refine the place against the picture (SAM 3D)",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `run_make3d`."""
    add = parser.add_argument
    add("image", type=Path, nargs="?", metavar="IMAGE")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--mask", type=Path, metavar="FILE",
                       help="an image of the same size that is not black where the object is")  # fmt: skip
    which.add_argument("--labels", type=Path, metavar="FILE",
                       help="an image of the same size with a number for each object")  # fmt: skip
    which.add_argument("--geojson", type=Path, metavar="FILE", help="outlines, one object each")
    which.add_argument("--text", metavar="WORDS", help="everything that these words name (SAM 3)")
    add("--class", dest="class_name", metavar="NAME", help="only outlines of this class (--geojson)")
    add("--largest", type=int, metavar="N", help="only the N largest outlines")
    add("--out", type=Path, metavar="DIR", help="where to write; made when missing")
    add("--formats", default="ply,glb", metavar="LIST", help=f"of {','.join(FORMATS)} (ply,glb)")
    add("--size-mm", type=float, default=STL_MM, metavar="MM", help=f"longest side of an STL ({STL_MM:g})")
    add("--scene", action="store_true", help="see all in one picture, and write scene.ply and scene.glb too")
    add("--skip-done", action="store_true", help="leave what DIR holds already, made in the same way")
    add("--dry-run", action="store_true", help="tell what would be shown to the engine, and stop")
    add("--z", type=int, default=0, help="z slice of --mask, --labels and --text, from 0")
    add("--t", type=int, default=0, help="time point of these, from 0")
    engine = parser.add_argument_group("3D engine")
    engine.add_argument(
        "--engine", default="relief", metavar="NAME", help=", ".join(RECON_ENGINES) + " (relief)"
    )
    engine.add_argument("--check", action="store_true", help="tell what the engine needs and what is missing")
    for name in HELP:
        _add_option(engine, name, getattr(ReconOptions(), name))
    setup = parser.add_argument_group("where the engine is", "by default as in the settings of the window")
    for one in setup_fields():
        setup.add_argument(f"--{one.name}", metavar=one.kind.upper(), help=one.tip)
    setup.add_argument("--config", action="append", default=[], metavar="NAME=VALUE",
                       help=f"more of them: {', '.join(_other_names())}; may be repeated")  # fmt: skip
    search = parser.add_argument_group("--text")
    search.add_argument("--weights", metavar="FILE|NAME", help="of SAM 3 (the first on this computer)")
    search.add_argument("--min-score", type=float, default=0.5, metavar="S", help="least confidence (0.5)")
    search.add_argument("--device", default="auto", help="where SAM 3 runs: auto, cpu, cuda, mps (auto)")


def _add_option(group: Any, name: str, default: bool | int) -> None:
    flag = "--" + name.replace("_", "-")
    if isinstance(default, bool):
        group.add_argument(flag, action=argparse.BooleanOptionalAction, default=default, help=HELP[name])
    else:
        group.add_argument(flag, type=int, default=default, metavar="N", help=f"{HELP[name]} ({default})")


def setup_fields() -> list[ReconField]:
    """The files and folders that engines are told, each with an option of its name."""
    rows = [field for spec in RECON_ENGINES.values() for field in spec.fields]
    return list({field.name: field for field in rows if field.kind in ("file", "folder")}.values())


def _other_names() -> list[str]:
    named = {field.name for field in setup_fields()}
    rows = [field.name for spec in RECON_ENGINES.values() for field in spec.fields]
    return list(dict.fromkeys(name for name in rows if name not in named))


def order_of(options: argparse.Namespace) -> Order:
    """Engine, options and formats.

    Raises
    ------
    SamdeskError
        When there is no such engine or format, or a number makes no sense.
    """
    spec = recon_spec(options.engine)
    formats = list(dict.fromkeys(one.strip().lower() for one in options.formats.split(",") if one.strip()))
    unknown = [one for one in formats if one not in FORMATS]
    if unknown or not formats:
        raise SamdeskError(f"--formats {options.formats} cannot be made.", f"Choose of: {','.join(FORMATS)}.")
    if not 0 < options.size_mm < 1e5:
        raise SamdeskError(f"--size-mm {options.size_mm:g} makes no sense.", "Give a length in millimetres.")
    given = {name: getattr(options, name) for name in HELP}
    if min(given["steps_shape"], given["steps_look"]) < 1:
        raise SamdeskError("Less than one solver step makes no object.", "25 is usual, 12 is quick.")
    for name, value in given.items():
        if name not in spec.options and value != getattr(ReconOptions(), name):
            print(f"samdesk: {spec.title} does not heed --{name.replace('_', '-')}.", file=sys.stderr)
    splat = "ply" in formats
    mesh = bool({"glb", "obj", "stl"} & set(formats)) or not splat
    asked = ReconOptions(**given, splat=splat, mesh=mesh, preview=False)
    return Order(spec, asked, formats, options.size_mm, options.skip_done)


def config_of(options: argparse.Namespace) -> dict[str, Any]:
    """Where the engine is: what the window's settings say, and over it what the command line says.

    Raises
    ------
    SamdeskError
        When the engine is told something that it does not take.
    """
    spec = recon_spec(options.engine)
    known = Settings(paths.config_dir() / "settings.json")["recon"].get(spec.name)
    config = dict(known) if isinstance(known, Mapping) else {}
    given = {one.name: getattr(options, one.name) for one in setup_fields()}
    told = [(name, value, f"--{name}") for name, value in given.items() if value is not None]
    for text in options.config:
        name, sign, value = text.partition("=")
        if not sign:
            raise SamdeskError(f"--config {text} cannot be read.", "Write NAME=VALUE.")
        told.append((name, value, f"--config {name}"))
    for name, value, option in told:
        field = next((one for one in spec.fields if one.name == name), None)
        if field is None:
            takes = ", ".join(one.name for one in spec.fields) or "nothing"
            raise SamdeskError(f"{spec.title} takes no {option}.", f"It takes {takes}.")
        config[name] = _value_of(field, value, option)
    return config


def refuse_unset(spec: ReconSpec, config: Mapping[str, Any]) -> None:
    """Raise `SamdeskError` when the engine needs something that nobody told."""
    lacking = [f"--{one.name}" for one in spec.fields if one.needed and not config.get(one.name)]
    if lacking:
        raise SamdeskError(
            f"{spec.title} is not set up: {', '.join(lacking)} is missing.",
            "Give it here, or in the window under 3D engines; --check tells what else is needed.",
        )


_SWITCH = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}


def _value_of(field: ReconField, text: str, option: str) -> Any:
    if field.kind in ("file", "folder"):
        # the worker has another working folder
        return str(Path(text).expanduser().absolute())
    if field.kind == "number":
        try:
            return int(text)
        except ValueError:
            raise SamdeskError(f"{option}: “{text}” is not a whole number.", field.tip) from None
    if field.kind == "text":
        return text
    choices: dict[str, Any] = dict(_SWITCH)
    if field.kind == "choice":
        choices = {value.lower(): value for value, _ in field.choices}
    if text.lower() not in choices:
        raise SamdeskError(f"{option} cannot be “{text}”.", f"Choose of: {', '.join(choices)}.")
    return choices[text.lower()]
