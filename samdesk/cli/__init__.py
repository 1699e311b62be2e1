"""The command line: the composition root, which alone knows every room.

Parses arguments and calls; each subcommand is a function that imports what it needs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import samdesk
from samdesk.domain.errors import SamdeskError

EPILOG = """\
examples:
  samdesk                              open the window
  samdesk slide.ome.tif                open an image in the window
  samdesk demo                         the main job on sample images, with a report
  samdesk info slide.svs               levels, channels, pixel size
  samdesk segment cells.png --point 120,80 --out cells.geojson

'samdesk COMMAND --help' tells more about a command.
"""

SEGMENT_EPILOG = """\
Coordinates are full-resolution image pixels, x right, y down, counted on pixel edges:
the middle of the first pixel is 0.5,0.5. All points and boxes together describe one
object; with --each every positive point and every box is an object of its own.

examples:
  one object from a click:           samdesk segment a.tif --point 512,300 --out a.geojson
  take a part away:                  ... --point 512,300 --point 540,310,-
  two objects from two boxes:        ... --each --box 10,10,90,80 --box 200,40,260,110
  look from further away (µm/px):    ... --level-um 2
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
    parser = _parser("", "Annotate images of any size: click, check the outline, press Enter.", EPILOG)
    parser.add_argument("--version", action="version", version=f"samdesk {samdesk.__version__}")
    parser.add_argument("--engine", default="classical", help="engine of the Segment tool (classical)")
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="IMAGE",
        help="image, OME-Zarr folder, project or GeoJSON; or a command: " + ", ".join(COMMANDS),
    )
    options = parser.parse_args(arguments)
    from samdesk.engines.base import engine_spec
    from samdesk.ui.start import run

    return run(options.files, engine_spec(options.engine).name)


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
    parser = _parser(
        "segment", "Find the object that points and boxes describe; write GeoJSON.", SEGMENT_EPILOG
    )
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("--point", action="append", default=[], metavar="X,Y[,-]",
                        help="a point on the object, or with ',-' beside it; may be repeated")  # fmt: skip
    parser.add_argument("--box", action="append", default=[], metavar="X1,Y1,X2,Y2",
                        help="a box around the object; may be repeated")  # fmt: skip
    parser.add_argument("--each", action="store_true", help="every positive point and box is its own object")
    parser.add_argument("--engine", default="classical", help="see 'samdesk --help' (classical)")
    parser.add_argument("--level-um", type=float, metavar="UM", help="µm per pixel that the engine sees")
    parser.add_argument("--downsample", type=float, metavar="N",
                        help="image pixels per pixel that the engine sees (1)")  # fmt: skip
    parser.add_argument("--z", type=int, default=0, help="z slice, from 0")
    parser.add_argument("--t", type=int, default=0, help="time point, from 0")
    parser.add_argument("--class", dest="class_name", metavar="NAME", help="class of the annotations")
    parser.add_argument("--out", required=True, metavar="FILE", help="GeoJSON file, or - for standard output")
    options = parser.parse_args(arguments)
    from .segment import run_segment

    return run_segment(options)


def _info(arguments: Sequence[str]) -> int:
    parser = _parser("info", "Say what is in an image: size, levels, channels, pixel size.")
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(arguments)
    from .info import run_info

    return run_info(options.image, options.json)


COMMANDS = {"demo": _demo, "segment": _segment, "info": _info}
