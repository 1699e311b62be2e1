"""The window with a thousand to a million annotations: import, draw, hit, edit, undo, save, export.

`python -m tests.bench.test_million_bench [1000 10000 ...]` prints a column for each number of
polygons of 30 vertices; every column is a process of its own with a real window over a slide of
40,000 px, so that memory is what that number needs. Import and export stand beside the fastest
plain library that does as much: GeoJSON to arrays of vertices and back, without a check of any
geometry, in the same process.
"""

from __future__ import annotations

import gc
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import orjson
import tifffile

from samdesk.domain.columns import Table
from samdesk.formats.geojson import write_geojson
from tests.annotation_tables import star_coords

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SIDE = 40_000
WINDOW = (1600, 1000)
FRAMES = 120
PACE_S = 0.016
REPEATS = 15
SCALES = (0.5, 1.0, 2.0, 3.5, 8.0, 16.0, 40.0)

Figures = dict[str, float]


def slide(path: Path) -> Path:
    """A pyramid of 40,000 px with little on it: what is measured is the annotations."""
    coarse = np.random.default_rng(0).integers(150, 255, (32, 32, 3), dtype=np.uint8)
    tile = cv2.resize(coarse, (512, 512), interpolation=cv2.INTER_CUBIC)
    sides = [SIDE >> k for k in range(8)]
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for number, side in enumerate(sides):
            across = -(-side // 512)
            file.write(
                itertools.repeat(tile, across * across),
                shape=(side, side, 3),
                dtype=np.uint8,
                photometric="rgb",
                compression="jpeg",
                tile=(512, 512),
                subfiletype=int(number > 0),
                subifds=len(sides) - 1 if not number else 0,
                metadata={"axes": "YXS"} if not number else None,
            )
    return path


def memory_mb(field: str = "VmRSS") -> float:
    """What this process holds, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def median_ms(act: Callable[[], object], times: int = REPEATS) -> float:
    return statistics.median(_ms(act) for _ in range(times))


def _ms(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1e3


class Bench:
    """One window, one number of annotations."""

    def __init__(self, image: Path) -> None:
        from PySide6.QtWidgets import QApplication

        from samdesk.app.settings import Settings
        from samdesk.sdk import load_segmenter
        from samdesk.ui import theme
        from samdesk.ui.main_window import MainWindow
        from samdesk.ui.start import share_the_interpreter

        self.app = QApplication.instance() or QApplication([])
        theme.apply(theme.application(), "light")
        share_the_interpreter()
        settings = Settings(image.parent / "settings.json")
        settings["undo_mb"] = 2048
        self.window = MainWindow(settings, load_segmenter("classical"))
        self.window.resize(*WINDOW)
        self.window.show()
        self.workspace = self.window.workspace
        self.workspace.open(image)
        self.until(lambda: self.workspace.image is not None)
        self.workspace.select_tool("move")
        self.settle()

    def until(self, condition: Callable[[], bool], timeout: float = 300.0) -> float:
        """Run the window until the condition holds; the longest time that it did not answer, ms."""
        longest, deadline = 0.0, time.perf_counter() + timeout
        while not condition():
            began = time.perf_counter()
            self.app.processEvents()
            longest = max(longest, (time.perf_counter() - began) * 1e3)
            if time.perf_counter() > deadline:
                raise TimeoutError
            time.sleep(0.005)  # an idle event loop sleeps too, and leaves the interpreter to others
        return longest

    def settle(self) -> None:
        self.until(lambda: self.window.canvas.is_settled() and self.window.jobs.idle)

    def median_edit_ms(self, edits: Sequence[Callable[[], object]]) -> float:
        """Milliseconds of an edit with all that follows it in the window, when those before are saved."""
        found = []
        for edit in edits:
            found.append(_ms(edit))
            self.until(lambda: self.workspace.unsaved == 0)
        return statistics.median(found)

    def frames(self, move: Callable[[], None]) -> list[float]:
        """Milliseconds of each of many repaints, one every 16 ms."""
        found = []
        canvas = self.window.canvas
        for _ in range(FRAMES):
            began = time.perf_counter()
            move()
            canvas.repaint()
            found.append((time.perf_counter() - began) * 1e3)
            while time.perf_counter() - began < PACE_S:
                self.app.processEvents()
        return found


def measure(n: int, folder: Path) -> Figures:
    """All figures for n polygons; ms, s or MB as the names say."""
    coords = star_coords(n, 30, SIDE - 100)
    table = Table.from_arrays(coords, np.arange(n + 1) * 30).with_class("Tumor")
    path = folder / "given.geojson"
    write_geojson(path, table)
    figures: Figures = {}
    del table
    bench = Bench(slide(folder / "slide.ome.tif"))
    base = memory_mb()
    for part in (_importing, _drawing, _editing, _choosing, _listing, _exporting):
        part(bench, path, figures)
    gc.collect()
    figures["memory over the image, MB"] = memory_mb() - base
    figures["greatest memory over the image, MB"] = memory_mb("VmHWM") - base
    _reopening(bench, figures)
    bench.window.close()
    _libraries(path, folder, figures)
    figures["import, times the library"] = figures["import, s"] / figures["library import, s"]
    figures["export, times the library"] = figures["export, s"] / figures["library export, s"]
    return figures


def _importing(bench: Bench, path: Path, figures: Figures) -> None:
    w = bench.workspace
    began = time.perf_counter()
    w.open(path)
    stalled = bench.until(lambda: len(w.document) > 0)
    figures["import, s"] = time.perf_counter() - began
    began = time.perf_counter()
    stalled = max(stalled, bench.until(lambda: w.unsaved == 0))
    figures["then saved after, s"] = time.perf_counter() - began
    figures["longest without an answer, ms"] = stalled
    bench.settle()


def _drawing(bench: Bench, path: Path, figures: Figures) -> None:
    from samdesk.ui.canvas import View

    canvas = bench.window.canvas
    for scale in SCALES:
        canvas.set_view(View(SIDE / 2, SIDE / 2, scale))
        bench.settle()
        way = itertools.cycle([(16, 8)] * 40 + [(-16, -8)] * 40)
        found = bench.frames(lambda way=way: canvas.pan_by(*next(way)))
        figures[f"pan at downsample {scale:g}, p95 ms"] = float(np.percentile(found, 95))
    canvas.set_view(View(SIDE / 2, SIDE / 2, 0.5))
    bench.settle()
    zoom = itertools.cycle([1 / 1.04] * 100 + [1.04] * 100)
    found = bench.frames(lambda: canvas.zoom_by(next(zoom)))
    figures["zoom sweep, p95 ms"] = float(np.percentile(found, 95))
    canvas.set_view(View(SIDE / 2, SIDE / 2, 1.0))
    bench.settle()


def _editing(bench: Bench, path: Path, figures: Figures) -> None:
    w, rng = bench.workspace, np.random.default_rng(2)
    state = w.document.snapshot()
    places = iter(rng.uniform(200, SIDE - 200, (10_000, 2)).tolist())
    state.hit(*next(places), tolerance=4.0)
    hits = [_ms(lambda: state.hit(*next(places), tolerance=4.0)) for _ in range(200)]
    figures["hit test, p95 ms"] = float(np.percentile(hits, 95))
    ids = w.document.table().ids
    chosen = [w.document.table(ids[[k]]).id(0) for k in rng.integers(0, len(ids), REPEATS)]
    figures["select one, ms"] = statistics.median(
        _ms(lambda one=one: w.selection.set([one])) for one in chosen
    )

    def move(one: Any) -> None:
        annotation = w.document.get(one)
        w.do(w.document.replacing([replace(annotation, shape=annotation.shape.translated(3, 2))], "Move"))

    figures["edit one, ms"] = bench.median_edit_ms([lambda one=one: move(one) for one in chosen])
    figures["undo one, ms"] = bench.median_edit_ms([w.history.undo] * REPEATS)
    figures["redo one, ms"] = bench.median_edit_ms([w.history.redo] * REPEATS)
    began = time.perf_counter()
    bench.until(lambda: w.unsaved == 0)
    figures["edits saved after, ms"] = (time.perf_counter() - began) * 1e3
    bench.settle()


def _choosing(bench: Bench, path: Path, figures: Figures) -> None:
    w = bench.workspace
    figures["select all, ms"] = _ms(w.select_all)
    figures["class of all, ms"] = _ms(lambda: w.set_class("Stroma"))
    bench.until(lambda: w.unsaved == 0)
    figures["undo class of all, ms"] = _ms(w.history.undo)
    figures["select none, ms"] = _ms(w.selection.clear)
    bench.until(lambda: w.unsaved == 0)
    bench.settle()


def _listing(bench: Bench, path: Path, figures: Figures) -> None:
    """What the panels take to follow a change is in the edits above; here a list that is scrolled."""
    view = bench.window.annotations.view
    bar = view.verticalScrollBar()

    def scroll() -> None:
        bar.setValue((bar.value() + 7919) % max(1, bar.maximum()))
        view.viewport().repaint()

    figures["scroll the list, ms"] = median_ms(scroll)


def _exporting(bench: Bench, path: Path, figures: Figures) -> None:
    w, out = bench.workspace, path.with_name("out.geojson")
    began = time.perf_counter()
    w.exchange.export(out)
    figures["export stalls, ms"] = bench.until(lambda: out.exists() and bench.window.jobs.idle)
    figures["export, s"] = time.perf_counter() - began


def _reopening(bench: Bench, figures: Figures) -> None:
    w = bench.workspace
    assert w.image is not None
    image, n = w.image.source.path, len(w.document)
    w.close_image()
    bench.until(lambda: bench.window.jobs.idle)
    began = time.perf_counter()
    w.open(image)
    bench.until(lambda: len(w.document) == n)
    figures["open again, s"] = time.perf_counter() - began
    bench.settle()


class _Geometry(msgspec.Struct):
    coordinates: list[list[tuple[float, float]]]


class _Feature(msgspec.Struct):
    id: str
    geometry: _Geometry
    properties: dict[str, Any]


class _Collection(msgspec.Struct):
    features: list[_Feature]


def _libraries(path: Path, folder: Path, figures: Figures) -> None:
    """The fastest of what each library needs for the text to become arrays of vertices, and back."""
    reads, arrays = [], None
    for read in (_with_orjson, _with_msgspec):
        gc.collect()
        gc.disable()
        began = time.perf_counter()
        arrays = read(path)
        reads.append(time.perf_counter() - began)
        gc.enable()
    assert arrays is not None
    figures["library import, s"] = min(reads)
    ids, coords = arrays
    began = time.perf_counter()
    with (folder / "plain.geojson").open("wb") as file:
        file.write(b'{"type":"FeatureCollection","features":[')
        for start in range(0, len(ids), 1000):
            features = [
                {
                    "type": "Feature",
                    "id": ids[k],
                    "geometry": {"type": "Polygon", "coordinates": [coords[k]]},
                    "properties": {
                        "objectType": "annotation",
                        "classification": {"name": "Tumor", "color": [200, 0, 0]},
                    },
                }
                for k in range(start, min(start + 1000, len(ids)))
            ]
            text = orjson.dumps(features, option=orjson.OPT_SERIALIZE_NUMPY)
            file.write((b"," if start else b"") + text[1:-1])
        file.write(b"]}")
    figures["library export, s"] = time.perf_counter() - began


def _with_orjson(path: Path) -> tuple[list[str], Any]:
    features = orjson.loads(path.read_bytes())["features"]
    rings = [one["geometry"]["coordinates"][0] for one in features]
    return [one["id"] for one in features], _as_array(rings)


def _with_msgspec(path: Path) -> tuple[list[str], Any]:
    features = msgspec.json.decode(path.read_bytes(), type=_Collection).features
    return [one.id for one in features], _as_array([one.geometry.coordinates[0] for one in features])


def _as_array(rings: list[Any]) -> Any:
    flat = itertools.chain.from_iterable(itertools.chain.from_iterable(rings))
    return np.fromiter(flat, np.float64).reshape(len(rings), -1, 2)


def report(sizes: tuple[int, ...] = SIZES) -> dict[int, Figures]:
    """Measure each number in a process of its own and print the table."""
    found = {}
    for n in sizes:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "tests.bench.test_million_bench", "--one", str(n), folder]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[n] = json.loads(out.splitlines()[-1])
    print(f"\n{'polygons of 30 vertices':<38}" + "".join(f"{n:>12,}" for n in found))
    for name in next(iter(found.values())):
        print(f"{name:<38}" + "".join(f"{found[n][name]:>12,.4g}" for n in found))
    return found


def test_a_million(benchmark: Any) -> None:
    found = benchmark.pedantic(lambda: report((1_000, 10_000)), rounds=1)
    assert all(figures["import, s"] > 0 for figures in found.values())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        import os

        os.environ["SAMDESK_HOME"] = sys.argv[3]
        print(json.dumps(measure(int(sys.argv[2]), Path(sys.argv[3]))))
    else:
        report(tuple(map(int, sys.argv[1:])) or SIZES)
