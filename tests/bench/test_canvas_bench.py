"""Frames of the canvas while a slide with 100,000 annotations is panned, against a bare blit.

`python -m tests.bench.test_canvas_bench` prints the table; under pytest run with
``--benchmark-only``.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PySide6.QtGui import QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QWidget

from samdesk.app.jobs import Jobs
from samdesk.domain.columns import Table
from samdesk.domain.document import Document
from samdesk.domain.geometry import Plane
from samdesk.images.contrast import ChannelDisplay, Display
from samdesk.images.source import Channel, Level, PixelSize
from samdesk.ui.bridge import Bridge
from samdesk.ui.canvas import Canvas, View
from samdesk.ui.start import share_the_interpreter

ANNOTATIONS = 100_000
SIDE = 13_000
SIZE = (1600, 1000)
FRAMES = 150
PACE_S = 0.016


class Noise:
    """A pyramid of 512 px blocks that cost next to nothing to read."""

    path, name, identity = Path("noise"), "noise", "noise"
    dtype, kind = np.dtype(np.uint8), "rgb"
    channels = (Channel("R", (255, 0, 0)), Channel("G", (0, 255, 0)), Channel("B", (0, 0, 255)))
    size_z = size_t = 1
    pixel_size, magnification = PixelSize(0.5, 0.5), None
    width = height = SIDE
    levels = tuple(Level(-(-SIDE // 2**k), -(-SIDE // 2**k), 2.0**k, 2.0**k, 512, 512) for k in range(5))

    def __init__(self) -> None:
        coarse = np.random.default_rng(0).integers(150, 255, (32, 32, 3), dtype=np.uint8)
        self.associated: dict[str, Any] = {}
        self._block = cv2.resize(coarse, (512, 512), interpolation=cv2.INTER_CUBIC)

    def read_block(self, level: int, column: int, row: int, plane: Plane = Plane(), channel: int = 0) -> Any:
        size = self.levels[level]
        return self._block[: size.height - row * 512, : size.width - column * 512].copy()

    def close(self) -> None:
        pass


def cells(n: int, side: int, vertices: int = 30) -> Table:
    """Polygons about 22 px wide, anywhere."""
    rng = np.random.default_rng(1)
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    radius = rng.uniform(8, 14, (n, 1)) * (1 + 0.1 * np.sin(3 * angle + rng.uniform(0, 6, (n, 1))))
    middle = rng.uniform(20, side - 20, (n, 1, 2))
    points = middle + radius[..., None] * np.stack((np.cos(angle), np.sin(angle)), axis=-1)
    return Table.from_arrays(points.reshape(-1, 2), np.arange(n + 1) * vertices)


class Blit(QWidget):
    """The least that a canvas must do: put one ready picture on the screen."""

    def __init__(self) -> None:
        super().__init__()
        self._picture = QImage(SIZE[0] + 64, SIZE[1] + 64, QImage.Format.Format_RGB32)
        self._picture.fill(0x808080)
        self.step = 0

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        painter = QPainter(self)
        painter.drawImage(-(self.step % 64), -(self.step % 32), self._picture)


@dataclass(frozen=True)
class Frames:
    """Milliseconds of each repaint: on the clock, and of work on the GUI thread."""

    wall: list[float]
    work: list[float]

    def row(self, bare: Frames) -> str:
        p50, p95 = np.percentile(self.wall, (50, 95))
        work50, work95 = np.percentile(self.work, (50, 95))
        ratio, work_ratio = p50 / np.median(bare.wall), work50 / np.median(bare.work)
        return (
            f"{p50:>8.2f}{p95:>8.2f}{max(self.wall):>8.2f}{ratio:>8.1f}"
            f"{work50:>10.2f}{work95:>8.2f}{work_ratio:>8.1f}"
        )


def frames(widget: QWidget, move: Callable[[], None]) -> Frames:
    """Repaint at a frame every 16 ms."""
    found = Frames([], [])
    for _ in range(FRAMES):
        began, worked = time.perf_counter(), time.thread_time()
        move()
        widget.repaint()
        found.wall.append((time.perf_counter() - began) * 1000)
        found.work.append((time.thread_time() - worked) * 1000)
        while time.perf_counter() - began < PACE_S:
            QApplication.processEvents()
    return found


def settle(canvas: Canvas) -> float:
    """Wait until all tiles are there; seconds."""
    began = time.perf_counter()
    while not canvas.is_settled():
        QApplication.processEvents()
        time.sleep(0.001)  # an idle event loop sleeps too; one that spins keeps the GIL from the workers
    return time.perf_counter() - began


def run() -> Iterator[tuple[str, float, Frames]]:
    """Name, seconds until a new view is complete, and frames; the bare blit first."""
    blit = Blit()
    blit.resize(*SIZE)
    blit.show()
    QApplication.processEvents()

    def step() -> None:
        blit.step += 8

    yield "bare blit", 0.0, frames(blit, step)
    blit.close()
    share_the_interpreter()
    jobs = Jobs(Bridge())
    canvas = Canvas(jobs)
    canvas.resize(*SIZE)
    document = Document()
    document.apply(document.adding(cells(ANNOTATIONS, SIDE)))
    source = Noise()
    display = Display(tuple(ChannelDisplay(True, 0.0, 255.0, one.color) for one in source.channels))
    canvas.set_image(source, display)
    canvas.set_document(document)
    canvas.show()
    for scale in (0.5, 1.0, 1.37, 2.0, 4.0, 8.0):
        canvas.set_view(View(SIDE / 2, SIDE / 2, scale))
        cold = settle(canvas)
        way = itertools.cycle([(16, 8)] * 40 + [(-16, -8)] * 40)
        yield f"pan, downsample {scale:g}", cold, frames(canvas, lambda way=way: canvas.pan_by(*next(way)))
        settle(canvas)
    canvas.set_view(View(SIDE / 2, SIDE / 2, 0.5))
    settle(canvas)
    zoom = itertools.cycle([1 / 1.03] * 75 + [1.03] * 75)
    yield "zoom sweep", 0.0, frames(canvas, lambda: canvas.zoom_by(next(zoom)))
    settle(canvas)
    canvas.close()
    jobs.close()


def report() -> None:
    print(f"\n{ANNOTATIONS} annotations, {SIZE[0]} x {SIZE[1]} px; ms per frame")
    print(f"{'':<30}{'on the clock':^32}{'on the GUI thread':^26}")
    heads = f"{'p50':>8}{'p95':>8}{'max':>8}{'x blit':>8}{'p50':>10}{'p95':>8}{'x blit':>8}"
    print(f"{'view':<22}{'cold s':>8}{heads}")
    bare: Frames | None = None
    for name, cold, found in run():
        bare = bare or found
        print(f"{name:<22}{cold:>8.2f}{found.row(bare)}")


@pytest.mark.usefixtures("qapp")
def test_pan_frames_with_many_annotations(benchmark: Any) -> None:
    benchmark.pedantic(report, rounds=1)


if __name__ == "__main__":
    application = QApplication([])
    report()
