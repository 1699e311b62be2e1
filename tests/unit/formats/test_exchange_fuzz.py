"""A thousand damaged files of each kind that people hand around: a message each, and nothing half read."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samdesk.domain.columns import Annotation, Table
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Shape, ShapeKind
from samdesk.formats.exchange import FORMATS, ImageFacts, Imported, read, write
from samdesk.formats.geojson import dumps

FACTS = ImageFacts("cells.png", 300, 240)
FILES = 1000

ODD = [
    None, True, False, 0, -1, 1e308, -1e308, 2**70, 10**30, 0.1, "", "x", "\u2028", "NaN", [], {}, [[]], [{}],
    [None], {"type": "Feature"}, [1, 2], [[1, 2], [3, 4]], float("nan"), float("inf"), -float("inf"),
    "1" * 500, {"size": [240, 300], "counts": "0" * 40}, {"size": [1 << 40, 1 << 40], "counts": [1 << 40]},
]  # fmt: skip


def table() -> Table:
    square, hole = [(100, 100), (150, 100), (150, 150), (100, 150)], [(110, 110), (130, 110), (130, 130)]
    parts = [[[(200, 10), (220, 10), (210, 30)]], [[(230, 10), (240, 10), (235, 30)]]]
    first = Shape.box(10, 10, 40, 50)
    return Table.from_annotations(
        [
            Annotation(first, class_name="Tumor", name="one", measurements={"score": 0.5}),
            Annotation(Shape.polygon(square, [hole]), class_name="ß: b"),
            Annotation(Shape.from_parts(parts)),
            Annotation(Shape.points([(5.5, 6.5)])),
            Annotation(Shape.from_parts([[[(1, 200), (50, 210), (60, 230)]]], ShapeKind.LINES)),
        ]
    )


def nodes(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values in a JSON value."""
    yield at
    for key, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from nodes(inner, (*at, key))


def swapped(text: bytes, chance: random.Random) -> bytes:
    """Some values replaced by others that make no sense there."""
    root = json.loads(text)
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = chance.choice([one for one in nodes(root) if one] or [()])
        if not place:
            return json.dumps(chance.choice(ODD)).encode()
        holder = root
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = deepcopy(chance.choice(ODD))
    return json.dumps(root, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")


def flipped(text: bytes, chance: random.Random) -> bytes:
    changed = bytearray(text)
    for _ in range(chance.choice((1, 1, 3, 20))):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def cut(text: bytes, chance: random.Random) -> bytes:
    end = chance.randrange(len(text))
    return text[:end] if chance.random() < 0.8 else text[end:]


def nested(text: bytes, chance: random.Random) -> bytes:
    depth = chance.choice((60, 500, 3000))
    at = text.find(chance.choice((b'"coordinates":', b'"points":', b'"segmentation":', b'"shapes":', b":")))
    at = text.find(b":", max(at, 0)) + 1
    return text[:at] + b"[" * depth + b"1" + b"]" * depth + b"," + text[at:]


def doubled(text: bytes, chance: random.Random) -> bytes:
    """A member twice, or a piece of the text again."""
    start = chance.randrange(len(text))
    end = min(start + chance.randrange(1, 80), len(text))
    return text[:end] + text[start:end] + text[end:]


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    swapped,
    swapped,
    swapped,
    flipped,
    cut,
    nested,
    doubled,
)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, int]]:
    """The text of a sound file in each format, and how many annotations are in it."""
    folder = tmp_path_factory.mktemp("sound")
    found = {}
    for name in ("a.geojson", "a.coco.json", "a.labelme.json"):
        report = write(folder / name, table(), FACTS)
        found[name] = ((folder / name).read_bytes(), report.written)
    return found


def outcome(path: Path) -> Imported | SamdeskError:
    try:
        return read(path, FACTS)
    except SamdeskError as error:
        return error


@pytest.mark.parametrize("name", ["a.geojson", "a.coco.json", "a.labelme.json"])
def test_damaged_files_are_refused_or_repaired_with_a_message(
    name: str, originals: dict[str, tuple[bytes, int]], tmp_path: Path
) -> None:
    text, count = originals[name]
    chance = random.Random(name)
    path = tmp_path / name
    refused = told = whole = 0
    for number in range(FILES):
        path.write_bytes(chance.choice(MUTATIONS)(text, chance))
        found = outcome(path)
        if isinstance(found, SamdeskError):
            assert name in found.message, number
            assert found.hint, number
            refused += 1
            continue
        assert np.isfinite(found.table.bounds).all(), number
        assert len(found.table) == found.report.read
        dumps(found.table)  # what was taken in can be written again
        report = found.report
        lines = len(report.repaired) + len(report.skipped) + len(report.notes)
        if len(found.table) < count:
            # an empty list is a list of no features, which is nothing to tell
            assert lines or not len(found.table) or b"[]" in path.read_bytes(), number
        told += bool(lines)
        whole += not lines
    assert refused > 100
    assert told > 100
    assert refused + told + whole == FILES


@pytest.mark.parametrize("name", ["a.txt", "a.ome.xml", "a.labels.tif", "a.labels.png"])
def test_other_damaged_files_are_refused_or_repaired_too(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write(path, table(), FACTS)
    sound = path.read_bytes()
    chance = random.Random(name)
    for number in range(60):
        path.write_bytes(chance.choice((flipped, cut, doubled))(sound, chance))
        found = outcome(path)
        assert isinstance(found, SamdeskError) or np.isfinite(found.table.bounds).all(), number


def test_every_format_refuses_what_is_not_of_it(tmp_path: Path) -> None:
    for row in FORMATS.values():
        path = tmp_path / f"x{row.suffixes[0]}"
        if row.folder:
            path.mkdir()
            path = path / "a.png"
        for content in (b"", b"\0" * 100, b"nonsense \xff\xfe", b"{", b"[]", b"{}", b"null", b'"x"', b"0"):
            path.write_bytes(content)
            found = outcome(path.parent if row.folder else path)
            assert isinstance(found, SamdeskError) or not len(found.table), (row.id, content)
