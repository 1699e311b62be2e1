"""A document of 30-vertex polygons against a plain dict of Python objects doing the same.

Run with ``python -m tests.bench.test_document_bench [1000000]``; CPU milliseconds, medians.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
import tracemalloc
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from samdesk.domain.columns import DEFAULT_CLASSES, Annotation, Table
from samdesk.domain.columns.table import held_bytes
from samdesk.domain.document import Document
from samdesk.domain.geometry import GRID, Bounds, Shape
from samdesk.domain.history import History
from tests.annotation_tables import star_coords

SIZES = (1_000, 10_000, 100_000, 1_000_000)
VERTICES = 30
REPEATS = 21
PLAIN_BYTES_FROM = 20_000

T = TypeVar("T")

Figures = dict[str, tuple[float, float]]
"""By operation: ms of the document, ms of the plain dict."""


@dataclass(slots=True)
class Plain:
    """What a program without columns would keep for one annotation."""

    id: uuid.UUID
    class_name: str | None
    bounds: tuple[float, float, float, float]
    coords: np.ndarray


class PlainDocument:
    """A dict of objects with a list of what to take back."""

    def __init__(self, coords: np.ndarray, classes: np.ndarray) -> None:
        self.objects: dict[uuid.UUID, Plain] = {}
        self.undo_list: list[tuple[uuid.UUID, Plain | None]] = []
        names = [None, *(one.name for one in DEFAULT_CLASSES)]
        outlines = (coords.reshape(-1, VERTICES, 2) / np.float32(GRID)).astype(np.float32)
        low, high = outlines.min(axis=1).tolist(), outlines.max(axis=1).tolist()
        for k, number in enumerate(classes.tolist()):
            bounds = (low[k][0], low[k][1], high[k][0], high[k][1])
            one = Plain(uuid.uuid4(), names[number], bounds, outlines[k].copy())
            self.objects[one.id] = one

    def put(self, one: uuid.UUID, plain: Plain | None) -> None:
        self.undo_list.append((one, self.objects.get(one)))
        self._become(one, plain)

    def undo(self) -> None:
        self._become(*self.undo_list.pop())

    def _become(self, one: uuid.UUID, plain: Plain | None) -> None:
        if plain is None:
            self.objects.pop(one, None)
        else:
            self.objects[one] = plain

    def query(self, x0: float, y0: float, x1: float, y1: float) -> list[Plain]:
        return [
            one
            for one in self.objects.values()
            if one.bounds[0] <= x1 and one.bounds[2] >= x0 and one.bounds[1] <= y1 and one.bounds[3] >= y0
        ]

    def hit(self, x: float, y: float) -> list[Plain]:
        return [one for one in self.query(x, y, x, y) if Shape.polygon(one.coords).contains(x, y)]


def measure(n: int, repeats: int = REPEATS) -> tuple[Figures, dict[str, float]]:
    """Time every operation on n polygons, and weigh them.

    Returns
    -------
    figures : mapping of operation to (ms of the document, ms of the plain dict)
    weights : mapping of what to bytes per polygon
    """
    side = 40_000 * (n / 1_000_000) ** 0.5 + 100
    coords = star_coords(n, VERTICES, side)
    classes = np.random.default_rng(1).integers(0, 6, n)
    offsets = np.arange(n + 1) * VERTICES
    figures: Figures = {}
    document, history, loaded_ms = _load(coords, offsets, classes)
    plain, plain_ms = _timed(lambda: PlainDocument(coords, classes))
    figures["load"] = (loaded_ms, plain_ms)
    _measure_edits(figures, document, history, plain, repeats)
    _measure_reading(figures, document, plain, side, repeats)
    _measure_bulk(figures, document, history, plain)
    weights = {
        "document": held_bytes(document.arrays()) / n,
        "plain": _plain_bytes(coords[: VERTICES * PLAIN_BYTES_FROM]),
    }
    return figures, weights


def _load(coords: np.ndarray, offsets: np.ndarray, classes: np.ndarray) -> tuple[Document, History, float]:
    def load() -> Document:
        made = Document()
        made.replace_all(Table.from_arrays(coords, offsets, class_id=classes, classes=DEFAULT_CLASSES))
        return made

    document, ms = _timed(load)
    return document, History(document), ms


def _measure_edits(
    figures: Figures, document: Document, history: History, plain: PlainDocument, repeats: int
) -> None:
    triangle = np.array([(5, 5), (15, 5), (10, 15)], np.float32)
    bounds = (5.0, 5.0, 15.0, 15.0)
    targets = np.linspace(0, len(document) - 1, repeats).astype(int)
    ids = [document.table().id(int(row)) for row in targets]
    plain_ids = [list(plain.objects)[row] for row in targets]
    new = [Annotation(Shape.polygon(triangle)) for _ in ids]
    made = [Plain(one.id, None, bounds, triangle) for one in new]
    moved = [replace(document.get(one), shape=Shape.polygon(triangle)) for one in ids]
    olds = [plain.objects[one] for one in plain_ids]

    edits: dict[str, tuple[Callable[[int], object], Callable[[int], object]]] = {
        "add one": (
            lambda k: history.do(document.adding([new[k]])),
            lambda k: plain.put(made[k].id, made[k]),
        ),
        "reclassify one": (
            lambda k: history.do(document.reclassifying([ids[k]], f"New {k % 3}")),
            lambda k: plain.put(plain_ids[k], replace(olds[k], class_name=f"New {k % 3}")),
        ),
        "reshape one": (
            lambda k: history.do(document.replacing([moved[k]])),
            lambda k: plain.put(plain_ids[k], replace(olds[k], coords=triangle, bounds=bounds)),
        ),
        "remove one": (
            lambda k: history.do(document.removing([ids[k]])),
            lambda k: plain.put(plain_ids[k], None),
        ),
    }
    for name, (ours, theirs) in edits.items():
        pair = _median(ours, repeats), _median(theirs, repeats)
        figures[name] = pair
        figures[f"undo of {name}"] = (
            _median(lambda k: history.undo(), repeats),
            _median(lambda k: plain.undo(), repeats),
        )


def _measure_reading(
    figures: Figures, document: Document, plain: PlainDocument, side: float, repeats: int
) -> None:
    window = Bounds(side / 3, side / 3, side / 3 + 500, side / 3 + 500)
    few = min(repeats, 5)
    ids, plain_ids = document.table().ids, list(plain.objects)
    some = [uuid.UUID(bytes=ids[k].tobytes()) for k in range(repeats)]
    spots = [document.get(one).shape.centroid for one in some]
    snapshot = document.snapshot()
    _, grid_ms = _timed(lambda: snapshot.query(window))
    figures["first window of 500 px"] = (grid_ms, _median(lambda k: plain.query(*window), few))
    figures["window of 500 px"] = (
        _median(lambda k: snapshot.query(window), repeats),
        figures["first window of 500 px"][1],
    )
    figures["hit"] = (
        _median(lambda k: snapshot.hit(*spots[k]), repeats),
        _median(lambda k: plain.hit(*spots[k]), few),
    )
    figures["get"] = (
        _median(lambda k: document.get(some[k]), repeats),
        _median(lambda k: plain.objects[plain_ids[k]], repeats),
    )
    figures["counts"] = (
        _median(lambda k: document.counts(), repeats),
        _median(lambda k: Counter(one.class_name for one in plain.objects.values()), few),
    )


def _measure_bulk(figures: Figures, document: Document, history: History, plain: PlainDocument) -> None:
    ids = document.table().ids

    def plain_reclassify() -> None:
        for one, old in list(plain.objects.items()):
            plain.put(one, replace(old, class_name="Other"))

    def plain_undo() -> None:
        while plain.undo_list:
            plain.undo()

    figures["reclassify all"] = (
        _timed(lambda: history.do(document.reclassifying(ids, "Other")))[1],
        _timed(plain_reclassify)[1],
    )
    figures["undo of reclassify all"] = _timed(history.undo)[1], _timed(plain_undo)[1]
    third = ids[::3]
    some = list(plain.objects)[::3]

    def plain_remove() -> None:
        for one in some:
            plain.put(one, None)

    figures["remove a third"] = (
        _timed(lambda: history.do(document.removing(third)))[1],
        _timed(plain_remove)[1],
    )
    figures["undo of remove a third"] = _timed(history.undo)[1], _timed(plain_undo)[1]


def _timed(function: Callable[[], T]) -> tuple[T, float]:
    gc.collect()
    started = time.process_time()
    result = function()
    return result, 1e3 * (time.process_time() - started)


def _median(function: Callable[[int], object], repeats: int) -> float:
    spent = []
    for k in range(repeats):
        started = time.process_time()
        function(k)
        spent.append(1e3 * (time.process_time() - started))
    return statistics.median(spent)


def _plain_bytes(coords: np.ndarray) -> float:
    n = len(coords) // VERTICES
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = PlainDocument(coords, np.zeros(n, np.int64))
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return used / len(kept.objects)


def test_document_operations(benchmark) -> None:  # type: ignore[no-untyped-def]
    figures, weights = benchmark.pedantic(lambda: measure(10_000, 7), rounds=1)
    benchmark.extra_info.update({name: ours / max(plain, 1e-6) for name, (ours, plain) in figures.items()})
    assert weights["document"] < weights["plain"]


def main(largest: int = SIZES[-1]) -> None:
    """Print, for every size, ms of the document, ms of the plain dict, and their ratio."""
    sizes = [size for size in SIZES if size <= largest]
    found = {size: measure(size) for size in sizes}
    print(f"{'ms: document / plain dict (ratio)':<34}" + "".join(f"{size:>30,}" for size in sizes))
    for name in found[sizes[0]][0]:
        cells = []
        for size in sizes:
            ours, plain = found[size][0][name]
            cells.append(f"{ours:12.3f} / {plain:9.3f} ({ours / max(plain, 1e-6):.2g})")
        print(f"{name:<34}" + "".join(f"{cell:>30}" for cell in cells))
    for what in ("document", "plain"):
        cells = [f"{found[size][1][what]:.0f}" for size in sizes]
        print(f"{'bytes per polygon, ' + what:<34}" + "".join(f"{cell:>30}" for cell in cells))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
