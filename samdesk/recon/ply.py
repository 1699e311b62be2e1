"""PLY as a container: its header, and the rows of an element as one array.

Must not know what the rows mean. NumPy only, for it also runs in the worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.formats.atomic import file_error

MAX_HEADER = 1 << 20
"""Bytes of a header; a file without an end of its header in so many is no PLY."""

_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
_ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
_DAMAGED = "The file is damaged; make or download it again."


@dataclass(frozen=True, slots=True)
class Element:
    """One kind of rows.

    Attributes
    ----------
    properties : tuple of (name, type)
        Types are NumPy's; a list has the types of its length and of its items, as "u1 i4".
    """

    name: str
    count: int
    properties: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.properties)

    @property
    def row_size(self) -> int:
        """Bytes of a binary row, or of the shortest possible one where it holds lists."""
        return sum(np.dtype(kind.split()[0]).itemsize for _, kind in self.properties)


@dataclass(frozen=True, slots=True)
class Header:
    """What a PLY file says about itself.

    Attributes
    ----------
    order : {"=", "<", ">"}
        Byte order; "=" for text.
    size : int
        Bytes of the header.
    """

    order: str
    elements: tuple[Element, ...]
    comments: tuple[str, ...]
    size: int

    def element(self, name: str) -> Element:
        """The element of this name; an empty one when there is none."""
        return next((element for element in self.elements if element.name == name), Element(name, 0))


def read_header(path: Path) -> Header:
    """Read the header of a PLY file.

    Raises
    ------
    SamdeskError
        When the file cannot be read, is no PLY file, or ends before its header says.
    """
    try:
        with path.open("rb") as file:
            header = _parse(path, file)
            left = path.stat().st_size - header.size
    except OSError as error:
        raise file_error(path, error, "read") from error
    # text has a digit and a space at least for each value
    needed = sum(
        element.count * (element.row_size if header.order != "=" else 2 * len(element.properties))
        for element in header.elements
    )
    if needed > left + (header.order == "="):
        raise SamdeskError(
            f"{path} is cut off: its header promises at least {needed:,} bytes, {left:,} are there.",
            _DAMAGED,
        )
    return header


def read_rows(path: Path, header: Header, name: str) -> NDArray[Any]:
    """Read all rows of an element without lists, as a structured array.

    Raises
    ------
    SamdeskError
        When they cannot be read, or lie behind lists.
    """
    before = []
    for element in header.elements:
        if element.name == name:
            break
        before.append(element)
    element = header.element(name)
    if any(" " in kind for each in (*before, element) for _, kind in each.properties):
        raise SamdeskError(f"{path} cannot be read: its {name} rows hold or follow lists.")
    try:
        with path.open("rb") as file:
            if header.order == "=":
                file.seek(header.size)
                return _text_rows(path, file, sum(each.count for each in before), element)
            file.seek(header.size + sum(each.count * each.row_size for each in before))
            kind = np.dtype([(n, header.order + t) for n, t in element.properties])
            rows = np.fromfile(file, kind, element.count)
    except OSError as error:
        raise file_error(path, error, "read") from error
    if len(rows) < element.count:  # it was cut off since its header was read
        raise SamdeskError(f"{path} is cut off: {len(rows):,} of {element.count:,} rows are there.", _DAMAGED)
    return rows


def header_text(order: str, elements: tuple[tuple[str, int, str], ...], comments: tuple[str, ...]) -> bytes:
    """Make a header.

    Parameters
    ----------
    order : {"binary_little_endian", "binary_big_endian", "ascii"}
    elements : tuple of (name, count, properties)
        Properties as PLY writes them, separated by commas: "float x, list uchar int vertex_indices".
    comments : tuple of str
        What ASCII lacks is escaped, for most readers take nothing else.
    """
    lines = ["ply", f"format {order} 1.0", *(f"comment {_plain(line)}" for line in comments)]
    for name, count, properties in elements:
        lines.append(f"element {name} {count}")
        lines += [f"property {each.strip()}" for each in properties.split(",")]
    return "\n".join([*lines, "end_header", ""]).encode("ascii")


def _plain(comment: str) -> str:
    # some readers look for the end of the header anywhere in a line
    text = " ".join(comment.split()).replace("end_header", "end header")
    return "".join(c if c.isprintable() else "?" for c in text.encode("ascii", "backslashreplace").decode())


def _parse(path: Path, file: BinaryIO) -> Header:
    lines = _header_lines(path, file)
    order = ""
    elements: list[Element] = []
    comments: list[str] = []
    try:
        for line in lines:
            words = line.split()
            match words:
                case ["format", kind, _]:
                    order = _ORDERS[kind]
                case ["comment", *_]:
                    comments.append(line.strip()[len("comment") :].strip())
                case ["element", name, count]:
                    elements.append(Element(name, _count(count)))
                case ["property", "list", length, items, name]:
                    elements[-1] = _with(elements[-1], name, f"{_TYPES[length]} {_TYPES[items]}")
                case ["property", kind, name]:
                    elements[-1] = _with(elements[-1], name, _TYPES[kind])
                case [] | ["obj_info", *_]:
                    pass
                case _:
                    raise ValueError(line)
        if not order:
            raise ValueError("no format")
    except (KeyError, IndexError, ValueError) as error:
        raise SamdeskError(f"{path} cannot be read: its header is not right ({error}).", _DAMAGED) from error
    return Header(order, tuple(elements), tuple(comments), file.tell())


def _header_lines(path: Path, file: BinaryIO) -> list[str]:
    first = file.readline(8).strip()
    if first != b"ply":
        raise SamdeskError(f"{path} is not a PLY file.", "Choose another file.")
    lines: list[str] = []
    while file.tell() < MAX_HEADER:
        line = file.readline(MAX_HEADER).decode("utf-8", "replace")
        if line.strip() == "end_header":
            return lines
        if not line.endswith("\n"):
            break
        lines.append(line)
    raise SamdeskError(f"{path} is cut off: its header does not end.", _DAMAGED)


def _count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise ValueError(text)
    return count


def _with(element: Element, name: str, kind: str) -> Element:
    if name in element.names:
        raise ValueError(f"{name} twice")
    return Element(element.name, element.count, (*element.properties, (name, kind)))


def _text_rows(path: Path, file: BinaryIO, skip: int, element: Element) -> NDArray[Any]:
    kind = np.dtype(list(element.properties))
    for _ in range(skip):
        file.readline()
    values = file.read().split(maxsplit=element.count * len(element.properties))
    values = values[: element.count * len(element.properties)]
    if len(values) < element.count * len(element.properties):
        raise SamdeskError(f"{path} is cut off: {len(values):,} values are there.", _DAMAGED)
    rows = np.empty(element.count, kind)
    try:
        table = np.array(values, dtype=bytes).astype(np.float64).reshape(element.count, -1)
    except ValueError as error:
        raise SamdeskError(f"{path} cannot be read: {error}.", _DAMAGED) from error
    for index, (name, _) in enumerate(element.properties):
        rows[name] = table[:, index]
    return rows
