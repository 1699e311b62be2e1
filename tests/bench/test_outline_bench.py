"""Tracing masks and logits against what else could do it: time, and what the outline is worth.

Run with ``python -m tests.bench.test_outline_bench [4096]``; CPU milliseconds, medians of
interleaved rounds. Area and IoU compare the outline, taken even-odd at pixel centers, with the
pixels it was traced from.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import contourpy
import cv2
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from skimage import measure as skimage_measure

from samdesk.domain.geometry import FloatArray, Region, Shape
from samdesk.domain.outline import iou, logits_to_shape, mask_to_shape, round_for_export, shape_to_mask

Mask = NDArray[np.bool_]
Logits = NDArray[np.float32]
Rings = list[FloatArray]

ROUNDS = 9


@dataclass(frozen=True, slots=True)
class Traced:
    """How one way of tracing did on one mask."""

    name: str
    milliseconds: float
    area: float
    iou: float
    vertices: int


def blob(side: int) -> Mask:
    """A wavy disc with four round holes."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    angle = np.arctan2(y, x)
    mask: Mask = np.hypot(x, y) < 0.4 + 0.04 * np.sin(5 * angle) + 0.015 * np.sin(17 * angle)
    for hole_x, hole_y in ((-0.11, -0.11), (0.09, -0.11), (-0.11, 0.09), (0.11, 0.13)):
        mask &= np.hypot(x - hole_x, y - hole_y) > 0.04
    return mask


def noise(side: int) -> Mask:
    """Blurred noise cut at its mean: thousands of ragged parts, holes and diagonal contacts."""
    values = np.random.default_rng(0).standard_normal((side, side))
    mask: Mask = cv2.GaussianBlur(values, (0, 0), 1.5) > 0
    return mask


def own(mask: Mask) -> Shape:
    return mask_to_shape(mask)


def by_cv2(mask: Mask) -> Any:
    return cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)[0]


def by_skimage(mask: Mask) -> Any:
    return skimage_measure.find_contours(np.pad(mask, 1).astype(np.float32), 0.5)


def by_contourpy(mask: Mask) -> Any:
    generator = contourpy.contour_generator(
        z=np.pad(mask, 1).astype(np.float64), fill_type=contourpy.FillType.OuterOffset
    )
    return generator.filled(0.5, np.inf)


def _own_rings(shape: Shape) -> Rings:
    return [ring for part in shape.to_parts() for ring in part]


def _cv2_rings(contours: Any) -> Rings:
    return [contour[:, 0].astype(np.float64) + 0.5 for contour in contours]


def _skimage_rings(contours: Any) -> Rings:
    return [contour[:-1, ::-1] - 0.5 for contour in contours]


def _contourpy_rings(filled: Any) -> Rings:
    return [
        points[a : b - 1] - 0.5
        for points, ends in zip(*filled, strict=True)
        for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    ]


TRACERS: tuple[tuple[str, Callable[[Mask], Any], Callable[[Any], Rings]], ...] = (
    ("samdesk mask_to_shape", own, _own_rings),
    ("cv2.findContours", by_cv2, _cv2_rings),
    ("skimage.find_contours", by_skimage, _skimage_rings),
    ("contourpy filled(0.5)", by_contourpy, _contourpy_rings),
)


def timed(functions: list[Callable[[], Any]], rounds: int = ROUNDS) -> list[float]:
    """Median CPU milliseconds of each function; one of each per round, so that all see the same machine."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds + 1):
        for taken, function in zip(times, functions, strict=True):
            start = time.process_time()
            function()
            taken.append(1000 * (time.process_time() - start))
    return [statistics.median(taken[1:]) for taken in times]


def compare_tracers(mask: Mask) -> list[Traced]:
    times = timed([partial(trace, mask) for _, trace, _ in TRACERS])
    region = Region(0, 0, mask.shape[1], mask.shape[0])
    found = []
    for (name, trace, rings_of), milliseconds in zip(TRACERS, times, strict=True):
        rings = [ring for ring in rings_of(trace(mask)) if len(ring)]
        again = shape_to_mask(Shape.from_parts([[ring] for ring in rings]), region)
        # shells and holes run in opposite senses in all four
        area = abs(sum(_signed_area(ring) for ring in rings))
        same = np.count_nonzero(again & mask) / np.count_nonzero(again | mask)
        found.append(Traced(name, milliseconds, area / np.count_nonzero(mask), same, sum(map(len, rings))))
    return found


def _signed_area(ring: FloatArray) -> float:
    x, y = (ring - ring[0]).T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def scores(side: int, wavy: float = 0.04) -> Logits:
    """Smooth logits of a wavy disc over the unit square, at the given resolution."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    radius = 0.3 + wavy * np.sin(5 * np.arctan2(y, x))
    logits: Logits = (100 * (radius - np.hypot(x - 0.01, y + 0.02))).astype(np.float32)
    return logits


def upsample_and_trace(logits: Logits, region: Region) -> Shape:
    """The usual way: the mask at the chip's resolution, then its pixel edges."""
    size = (region.width, region.height)
    return mask_to_shape(cv2.resize(logits, size, interpolation=cv2.INTER_LINEAR) > 0, region)


def true_outline() -> Shape:
    """What `scores` would give without any sampling, in a chip of 1024 px."""
    return logits_to_shape(scores(4096), Region(0, 0, 1024, 1024))


@pytest.mark.parametrize("make", [blob, noise])
@pytest.mark.parametrize(("name", "trace", "rings_of"), TRACERS)
def test_trace(benchmark: Any, name: str, trace: Any, rings_of: Any, make: Any) -> None:
    mask = make(1024)
    benchmark.group = f"outline of a mask: {make.__name__}"
    assert rings_of(benchmark(trace, mask))


@pytest.mark.parametrize("way", [logits_to_shape, upsample_and_trace])
def test_logits(benchmark: Any, way: Callable[[Logits, Region], Shape]) -> None:
    benchmark.group = "outline of 256 x 256 logits on a chip of 1024 px"
    shape = benchmark(way, scores(256), Region(0, 0, 1024, 1024))
    assert iou(shape, true_outline()) > 0.99


def _print_tracers(side: int) -> None:
    for make in (blob, noise):
        mask = make(side)
        print(f"\n{make.__name__} {side} x {side}: ms, ratio to samdesk, area, IoU, vertices")
        rows = compare_tracers(mask)
        for row in rows:
            ratio = row.milliseconds / rows[0].milliseconds
            figures = f"{row.milliseconds:9.2f} {ratio:7.2f} {row.area:10.6f} {row.iou:9.6f} {row.vertices:9}"
            print(f"  {row.name:24} {figures}")
        shape, region = mask_to_shape(mask), Region(0, 0, side, side)
        back, rounded = timed([partial(shape_to_mask, shape, region), partial(round_for_export, shape)], 3)
        valid = shapely.is_valid(shape.to_shapely())
        print(f"  shape_to_mask {back:.2f} ms, round_for_export {rounded:.2f} ms, valid: {valid}")


def _print_logits() -> None:
    region, truth = Region(0, 0, 1024, 1024), true_outline()
    print("\nsmooth logits on a chip of 1024 px: ms of logits_to_shape, of upsampling and tracing, ratio;")
    print("area error and centroid distance of both against the outline of 4096 x 4096 samples")
    for side in (256, 512, 1024):
        logits = scores(side)
        ways = (logits_to_shape, upsample_and_trace)
        ms = timed([partial(way, logits, region) for way in ways], 21)
        print(f"  {side:5} {ms[0]:8.2f} {ms[1]:8.2f} {ms[1] / ms[0]:6.2f}", end="")
        for way in ways:
            shape = way(logits, region)
            away = np.hypot(*np.subtract(shape.centroid, truth.centroid))
            vertices = len(shape.coords)
            print(
                f"   {100 * (shape.area / truth.area - 1):+.4f} % {away:.4f} px {vertices} vertices", end=""
            )
        print()


def main(side: int = 1024) -> None:
    """Print the tables."""
    _print_tracers(side)
    _print_logits()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
