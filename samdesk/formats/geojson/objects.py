"""Single annotations as objects of the `geojson` package, and what QuPath would refuse in them.

Must not know files.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import geojson
import shapely

from samdesk.domain.columns import DEFAULT_CLASSES, Annotation, Repairs, Table
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Shape, ShapeKind
from samdesk.domain.outline import round_for_export

from .writer import encode


def feature(annotation: Annotation) -> geojson.Feature:
    """Give an annotation as a `geojson.Feature`, with the members that `write_geojson` writes.

    Raises
    ------
    SamdeskError
        When nothing is left of its shape after rounding to 0.01 px.
    """
    encoded = encode(Table.from_annotations([annotation], DEFAULT_CLASSES, Repairs()))
    if not encoded:
        raise SamdeskError(
            f"The annotation {annotation.id} has no shape that can be exported.",
            "Draw it again, larger than 0.1 px.",
        )
    return geojson.loads(encoded[0])


def validate(annotation: Annotation) -> list[str]:
    """Say what is wrong with an annotation as it is, before the repairs that an export makes.

    Returns
    -------
    list of str
        Empty when QuPath takes it unchanged.
    """
    if round_for_export(annotation.shape).is_empty:
        return ["Nothing is left of its shape after rounding to 0.01 px."]
    problems = list(_of_shape(annotation.shape))
    if annotation.class_name is not None and not annotation.class_name.strip(" :\n\t"):
        problems.append("The name of its class is blank.")
    try:
        return problems + [str(error) for error in _flat(feature(annotation).errors())]
    except SamdeskError as error:
        return [*problems, error.message]


def _of_shape(shape: Shape) -> Iterator[str]:
    geometry = shape.to_shapely()
    if shape.kind is ShapeKind.AREA and not shapely.is_valid(geometry):
        yield f"Its outline is not valid: {shapely.is_valid_reason(geometry)}."


def _flat(errors: Any) -> Iterator[Any]:
    if isinstance(errors, list | tuple):
        for error in errors:
            yield from _flat(error)
    elif errors:
        yield errors
