"""Lists of classes in files: as JSON of our own, as QuPath's `classes.json`, and from projects.

Must not know the document they are for.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from samdesk.domain.columns import AnnotationClass, Color, color_of_name
from samdesk.domain.errors import SamdeskError

from .atomic import file_error, replacing
from .project import ProjectStore

PROJECT_SUFFIX = ".gpkg"

MOST_BYTES = 16 << 20
"""A larger file is not a list of classes."""


def write_classes(path: Path, classes: Iterable[AnnotationClass]) -> None:
    """Write ``[{"name": "Tumor", "color": "#c80000"}, ...]``.

    Raises
    ------
    SamdeskError
        When the file cannot be written; one that was there stays then.
    """
    rows = [{"name": one.name, "color": "#{:02x}{:02x}{:02x}".format(*one.color)} for one in classes]
    with replacing(path) as fresh:
        fresh.write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def read_classes(path: Path) -> tuple[AnnotationClass, ...]:
    """Read the classes of a list or of a samdesk project.

    A list is an array of classes, or an object that has it as "pathClasses" (as QuPath's
    projects do) or "classes". A class is a name, or an object with "name" and "color"
    ("#rrggbb", three numbers, or a packed number as in "colorRGB"). What has no name is
    QuPath's "unclassified" and is left out; a class without a color gets one of its name.

    Raises
    ------
    SamdeskError
        When the file cannot be read, or holds something else.
    """
    if path.suffix.lower() == PROJECT_SUFFIX:
        with ProjectStore.open(path, read_only=True) as store:
            return store.classes
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _no_list(path, "it is too large")
        found = orjson.loads(path.read_bytes())
    except OSError as error:
        raise file_error(path, error, "read") from error
    except orjson.JSONDecodeError as error:
        raise _no_list(path, f"it is not JSON ({error.msg})") from error
    if isinstance(found, dict):
        found = found.get("pathClasses", found.get("classes"))
    if not isinstance(found, list):
        raise _no_list(path, "it holds something else")
    classes: dict[str, AnnotationClass] = {}
    for number, one in enumerate(found, 1):
        name = _name(one)
        if name is None:
            raise _no_list(path, f"entry {number} is not a class")
        if name:
            classes.setdefault(name, AnnotationClass(name, _color(one) or color_of_name(name)))
    return tuple(classes.values())


def _no_list(path: Path, why: str) -> SamdeskError:
    return SamdeskError(
        f"{path.name} is not a list of classes: {why}.",
        "Choose a list that samdesk or QuPath wrote, or a samdesk project.",
    )


def _name(one: Any) -> str | None:
    """The name; empty for what has none, None for what is no class."""
    if isinstance(one, str):
        return one.strip()
    if not isinstance(one, dict):
        return None
    names = one.get("names")
    if isinstance(names, list) and names:
        return ": ".join(str(name) for name in names)
    return str(one.get("name") or "").strip()


def _color(one: Any) -> Color | None:
    if not isinstance(one, dict):
        return None
    color = one.get("color", one.get("colorRGB"))
    if isinstance(color, str) and len(color) == 7 and color.startswith("#"):
        try:
            color = int(color[1:], 16)
        except ValueError:
            return None
    if isinstance(color, int) and not isinstance(color, bool):
        return color >> 16 & 0xFF, color >> 8 & 0xFF, color & 0xFF
    if isinstance(color, list) and len(color) >= 3 and all(isinstance(part, int) for part in color[:3]):
        red, green, blue = (min(max(part, 0), 255) for part in color[:3])
        return red, green, blue
    return None
