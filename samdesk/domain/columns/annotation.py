"""One annotation as a light value, and the classes it may have. Must not know how it is stored."""

from __future__ import annotations

import colorsys
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, NamedTuple

from samdesk.domain.geometry import Plane, Shape

Color = tuple[int, int, int]
"""Red, green, blue in 0..255."""

OBJECT_TYPES = ("annotation", "detection", "cell", "tile", "tmaCore")
"""QuPath's kinds of object; the index is what a table keeps."""

LOCKED = 1
"""Bit in the column `flags`."""

DEFAULT_COLOR: Color = (255, 0, 0)
"""Of what has neither a color of its own nor a class; QuPath's default."""


class AnnotationClass(NamedTuple):
    """What an annotation is of, by name; the color is for display only."""

    name: str
    color: Color


DEFAULT_CLASSES = (
    AnnotationClass("Tumor", (200, 0, 0)),
    AnnotationClass("Stroma", (150, 200, 150)),
    AnnotationClass("Immune cells", (160, 90, 160)),
    AnnotationClass("Necrosis", (50, 50, 50)),
    AnnotationClass("Other", (255, 200, 0)),
    AnnotationClass("Region*", (0, 0, 180)),
    AnnotationClass("Ignore*", (180, 180, 180)),
    AnnotationClass("Positive", (200, 50, 50)),
    AnnotationClass("Negative", (90, 90, 180)),
)
"""QuPath's default classes with its colors (`PathClassManager`, QuPath 0.8)."""


UNCLASSIFIED = "Unclassified"
"""What stands where a name is needed for annotations without a class."""


def is_ignored(name: str | None) -> bool:
    """Whether a class marks what is to be left out: its name ends in "*".

    Such annotations are drawn but never filled, and count in no sum.
    """
    return bool(name) and str(name).endswith("*")


def color_of_name(name: str) -> Color:
    """A color for a class that came without one: bright, and the same in every run."""
    mixed = zlib.crc32(name.encode())
    hue = (mixed & 0xFFFF) / 0x10000
    saturation = 0.55 + 0.4 * (mixed >> 16 & 0xFF) / 255
    value = 0.7 + 0.3 * (mixed >> 24) / 255
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


@dataclass(frozen=True, slots=True)
class Annotation:
    """A shape with an id, a class, a name, measurements and provenance.

    Attributes
    ----------
    shape : Shape
        Full-resolution image pixels, on pixel edges.
    id : uuid.UUID
        Stable over edits, files and undo.
    class_name : str or None
        None (or an empty text) when unclassified.
    name : str
    plane : Plane
    object_type : str
        One of `OBJECT_TYPES`.
    locked : bool
    color : Color or None
        Its own color; None to show that of the class.
    measurements : mapping of str to float
    metadata : mapping of str to str
    provenance : mapping
        What made it (engine, prompts, score); holds only what JSON can hold.
    extra : mapping
        Members of the file it came from that are not understood here, under "feature",
        "properties" and "geometry"; written back unchanged.
    """

    shape: Shape
    _: KW_ONLY
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    class_name: str | None = None
    name: str = ""
    plane: Plane = field(default_factory=Plane)
    object_type: str = "annotation"
    locked: bool = False
    color: Color | None = None
    measurements: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # copies, so that whoever made the annotation cannot change it (or a document) later
        for mapping in ("measurements", "metadata", "provenance", "extra"):
            object.__setattr__(self, mapping, dict(getattr(self, mapping)))
        object.__setattr__(self, "class_name", self.class_name or None)

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True, slots=True)
class Attributes:
    """What few annotations have, and so is kept beside the columns. See `Annotation`."""

    name: str = ""
    color: Color | None = None
    measurements: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, one: Annotation) -> Attributes | None:
        """The attributes of an annotation; None when it has none."""
        if not (one.name or one.color or one.measurements or one.metadata or one.provenance or one.extra):
            return None
        return cls(one.name, one.color, one.measurements, one.metadata, one.provenance, one.extra)
