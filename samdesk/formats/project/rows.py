"""Tables of annotations as rows of the project file, and back, exactly.

Must not know connections or transactions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from samdesk.domain.columns import (
    OBJECT_TYPES,
    AnnotationClass,
    Attributes,
    Color,
    Table,
    color_of_name,
)
from samdesk.domain.errors import SamdeskError

from .geopackage import Ragged, decode, encode

BATCH = 2000
"""Rows encoded or decoded at a time."""

AttributeRow = tuple[Any, ...]
"""id, position, class, object type, flags, z, t, name, color, details."""

_PLAIN = (None, None, None)


def batches(table: Table) -> Iterator[Table]:
    """Cut a table into pieces of `BATCH` rows."""
    for start in range(0, len(table), BATCH):
        yield table.take(np.arange(start, min(start + BATCH, len(table))))


def ids_of(table: Table) -> list[str]:
    """The ids as text, as they are written in GeoJSON."""
    return ids_of_bytes(table.ids)


def ids_of_bytes(ids: NDArray[np.uint8]) -> list[str]:
    """Ids in columns, (n, 16), as text."""
    h = ids.tobytes().hex()
    return [
        f"{h[k : k + 8]}-{h[k + 8 : k + 12]}-{h[k + 12 : k + 16]}-{h[k + 16 : k + 20]}-{h[k + 20 : k + 32]}"
        for k in range(0, len(h), 32)
    ]


def geometries_of(table: Table) -> Iterator[bytes]:
    """The geometry blob of each row."""
    return encode(Ragged(table.kind, table.row_parts, table.part_rings, table.ring_coords, table.coords))


def attribute_rows(table: Table) -> Iterator[AttributeRow]:
    """The other columns of each row."""
    names = [None, *(one.name for one in table.classes)]
    columns = zip(
        ids_of(table),
        table.order.tolist(),
        (names[number] for number in table.class_id.tolist()),
        (OBJECT_TYPES[number] for number in table.object_type.tolist()),
        table.flags.tolist(),
        table.z.tolist(),
        table.t.tolist(),
        strict=True,
    )
    for row, common in enumerate(columns):
        own = table.attributes.get(row)
        yield common + (_PLAIN if own is None else own_texts(own))


def table_of(
    geometries: Sequence[bytes], attributes: Sequence[AttributeRow], classes: dict[str, AnnotationClass]
) -> Table:
    """Put rows of the file into columns.

    Parameters
    ----------
    geometries, attributes : sequences of the same length
    classes : dict
        Receives the classes that are not in it.

    Raises
    ------
    ValueError, struct.error, shapely.errors.GEOSException
        When a value is not what it should be.
    """
    ids, position, class_names, types, flags, z, t, names, colors, details = zip(*attributes, strict=True)
    for name in set(class_names) - classes.keys() - {None}:
        classes[name] = AnnotationClass(name, color_of_name(name))
    numbers: dict[str | None, int] = {name: number for number, name in enumerate(classes, 1)}
    numbers[None] = 0
    rows = decode(geometries)
    own = {
        row: attributes_of(*values)
        for row, values in enumerate(zip(names, colors, details, strict=True))
        if values != _PLAIN
    }
    return Table.from_arrays(
        rows.coords,
        rows.ring_coords,
        rows.part_rings,
        rows.row_parts,
        ids=np.frombuffer(bytes.fromhex("".join(ids).replace("-", "")), np.uint8).reshape(len(ids), 16),
        order=position,
        class_id=[numbers[name] for name in class_names],
        object_type=[OBJECT_TYPES.index(name) for name in types],
        flags=flags,
        kind=rows.kind,
        z=z,
        t=t,
        classes=tuple(classes.values()),
        attributes=own,
    )


def color_text(color: Color) -> str:
    """Write a color as ``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def color_of_text(text: str) -> Color:
    """Read a color from ``#rrggbb``."""
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


def json_text(value: Any) -> str:
    """Encode as JSON.

    Raises
    ------
    SamdeskError
        When the value holds what JSON cannot.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:
        raise SamdeskError(
            f"Something cannot be saved in the project: {error}.", "Use text, numbers, lists and maps."
        ) from error


def own_texts(own: Attributes) -> tuple[str | None, str | None, str | None]:
    """Name, color and the rest as JSON; None where there is nothing."""
    details = {
        "measurements": {name: _number(value) for name, value in own.measurements.items()},
        "metadata": dict(own.metadata),
        "provenance": dict(own.provenance),
        "extra": dict(own.extra),
    }
    details = {name: value for name, value in details.items() if value}
    return (
        own.name or None,
        color_text(own.color) if own.color is not None else None,
        json_text(details) if details else None,
    )


def _number(value: float) -> float | str:
    """JSON has no NaN and no infinity; `float` reads them from text."""
    value = float(value)
    return value if math.isfinite(value) else str(value)


def attributes_of(name: str | None, color: str | None, details: str | None) -> Attributes:
    """What `own_texts` was made from."""
    found = orjson.loads(details) if details else {}
    return Attributes(
        name or "",
        color_of_text(color) if color else None,
        {key: float(value) for key, value in found.get("measurements", {}).items()},
        found.get("metadata", {}),
        found.get("provenance", {}),
        found.get("extra", {}),
    )
