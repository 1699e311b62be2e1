"""The command line: the composition root, which alone knows every room.

Parses arguments and calls; each subcommand is a function that imports what it needs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import samdesk
from samdesk.domain.errors import SamdeskError

if TYPE_CHECKING:
    from samdesk.app.workspace import Server

EPILOG = """\
examples:
  samdesk                              open the window
  samdesk slide.ome.tif                open an image in the window
  samdesk demo                         the main job on sample images, with a report
  samdesk info slide.svs               levels, channels, pixel size
  samdesk segment cells.png --point 120,80 --out cells.geojson
  samdesk automask cells.png --engine sam2_t --out cells.geojson
  samdesk convert cells.coco.json cells.geojson --image cells.png
  samdesk make3d cup.jpg --mask cup.png --out 3d
  samdesk serve                        answer QuPath and other programs, without a window
  samdesk weights list                 models that can be downloaded
  samdesk doctor                       what runs here, and why the rest does not

'samdesk COMMAND --help' tells more about a command.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit status: 0 done, 1 an error that was told, 2 wrong usage."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given and given[0] in COMMANDS:
            return COMMANDS[given[0]](given[1:])
        return _window(given)
    except SamdeskError as error:
        print(f"samdesk: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"samdesk: {error.filename or error} cannot be written or read.", file=sys.stderr)
        print("  Change its permissions, or set SAMDESK_HOME to a folder of your own.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("samdesk: stopped", file=sys.stderr)
        return 130


def _parser(command: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"samdesk {command}".strip(),
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _window(arguments: Sequence[str]) -> int:
    from .options import add_model

    parser = _parser("", "Annotate images of any size: click, check the outline, press Enter.", EPILOG)
    parser.add_argument("--version", action="version", version=f"samdesk {samdesk.__version__}")
    add_model(parser, "the model of the last time")
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="IMAGE",
        help="image, OME-Zarr folder, project or GeoJSON; or a command: " + ", ".join(COMMANDS),
    )
    options = parser.parse_args(arguments)
    from samdesk.ui.start import run

    given = options.engine is not None or options.weights is not None
    return run(options.files, (options.engine, options.weights) if given else None, _load_server)


def _load_server() -> Server:
    """What answers other programs for a window; loads the web stack, which takes a second."""
    try:
        from samdesk.server.window import serve_window
    except ModuleNotFoundError as error:
        raise SamdeskError(
            f"The server needs {error.name}, which is not installed.", "Run ./installer/run --fresh"
        ) from error
    return serve_window


def _demo(arguments: Sequence[str]) -> int:
    parser = _parser(
        "demo",
        "Do the main job on real micrographs and photographs and on a large synthetic slide whose "
        "truth is known: prompt, keep, export. Writes GeoJSON files, a picture of the window and a report.",
    )
    parser.add_argument("--out", type=Path, default=Path("samdesk-demo"), metavar="DIR",
                        help="where to write (samdesk-demo)")  # fmt: skip
    parser.add_argument("--engine", default="classical", help="engine to prompt (classical)")
    parser.add_argument("--no-window", action="store_true", help="do not leave the window open at the end")
    options = parser.parse_args(arguments)
    from .demo import run_demo

    return run_demo(options.out, options.engine, stay=not options.no_window)


def _segment(arguments: Sequence[str]) -> int:
    from .segment import EPILOG, add_arguments, run_segment

    parser = _parser("segment", "Find the object that prompts describe; write GeoJSON.", EPILOG)
    add_arguments(parser)
    return run_segment(parser.parse_args(arguments))


def _info(arguments: Sequence[str]) -> int:
    parser = _parser("info", "Say what is in an image: size, levels, channels, pixel size.")
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(arguments)
    from .info import run_info

    return run_info(options.image, options.json)


def _automask(arguments: Sequence[str]) -> int:
    from .automask import EPILOG, add_arguments, run_automask

    parser = _parser("automask", "Outline everything in an image or a part of it; write GeoJSON.", EPILOG)
    add_arguments(parser)
    return run_automask(parser.parse_args(arguments))


def _convert(arguments: Sequence[str]) -> int:
    from .convert import EPILOG, add_arguments, run_convert

    parser = _parser("convert", "Turn annotations of one format into another.", EPILOG)
    add_arguments(parser)
    return run_convert(parser.parse_args(arguments))


def _make3d(arguments: Sequence[str]) -> int:
    from .make3d import EPILOG, add_arguments, run_make3d

    parser = _parser("make3d", "Make 3D objects of outlines: splats, meshes and pictures of them.", EPILOG)
    add_arguments(parser)
    return run_make3d(parser.parse_args(arguments))


def _measure(arguments: Sequence[str]) -> int:
    from .measure import EPILOG, add_arguments, run_measure

    parser = _parser("measure", "Measure annotations and the pixels inside them; write CSV or TSV.", EPILOG)
    add_arguments(parser)
    return run_measure(parser.parse_args(arguments))


def _embed(arguments: Sequence[str]) -> int:
    from .embed import EPILOG, add_arguments, run_embed

    parser = _parser(
        "embed", "Let a model prepare an image ahead of time, so that clicks find it done.", EPILOG
    )
    add_arguments(parser)
    return run_embed(parser.parse_args(arguments))


def _serve(arguments: Sequence[str]) -> int:
    _load_server()  # tells what is missing
    from .serve import EPILOG, add_arguments, run_serve

    parser = _parser(
        "serve",
        "Answer QuPath's SAM extension, scripts and other programs with the models of samdesk.",
        EPILOG,
    )
    add_arguments(parser)
    return run_serve(parser.parse_args(arguments))


def _doctor(arguments: Sequence[str]) -> int:
    parser = _parser(
        "doctor", "Say what this computer has, which engines can run here and why others cannot."
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(arguments)
    from .doctor import run_doctor

    return run_doctor(options.json)


def _weights(arguments: Sequence[str]) -> int:
    from .weights import run_weights

    return run_weights(arguments)


COMMANDS = {
    "demo": _demo,
    "segment": _segment,
    "automask": _automask,
    "convert": _convert,
    "measure": _measure,
    "make3d": _make3d,
    "embed": _embed,
    "info": _info,
    "serve": _serve,
    "weights": _weights,
    "doctor": _doctor,
}
