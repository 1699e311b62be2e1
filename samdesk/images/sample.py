"""The sample slide: a synthetic stained section whose every outline is known.

A pyramidal OME-TIFF that looks like tissue, made once on the user's computer; the truth comes
from the same seeded recipe. Must not know annotations, engines or widgets.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk.domain.geometry import Bounds, Region, Shape
from samdesk.domain.outline import shape_to_mask
from samdesk.domain.tasks import Task

SIDE = 16384
TILE = 512
UM_PER_PX = 0.25
SEED = 20

CELL_GRID = 72
"""One nucleus at most per cell of this grid, so that nuclei do not touch."""

GLAND_GRID = 2048
VERTICES = 96
FINE = 4
"""Samples per pixel and axis with which the covered part of a pixel is found. (cv2's antialiased
polygons are half a pixel too large on every side, so they cannot show a truth.)"""

STROMA = (229, 196, 214)
NUCLEUS = (104, 78, 148)
EPITHELIUM = (201, 130, 176)
LUMEN = (246, 240, 244)


@dataclass(frozen=True)
class Slide:
    """The recipe of a slide, and where its file is.

    Attributes
    ----------
    path : Path
    side : int
        Width and height in pixels.
    seed : int
    """

    path: Path
    side: int = SIDE
    seed: int = SEED

    @cached_property
    def glands(self) -> tuple[Shape, ...]:
        """Rings of epithelium around a lumen, in image pixels."""
        found = []
        per_side = self.side // GLAND_GRID
        for row in range(per_side):
            for column in range(per_side):
                random = np.random.default_rng((self.seed, 1, row, column))
                center = (np.array([column, row]) + random.uniform(0.42, 0.58, 2)) * GLAND_GRID
                radius = random.uniform(260, 420)
                outer = _blob(center, radius, 0.10, random)
                inner = _blob(center, radius * random.uniform(0.45, 0.6), 0.10, random)
                found.append(Shape.polygon(outer, [inner]))
        return tuple(found)

    @cached_property
    def nuclei(self) -> tuple[Shape, ...]:
        """Dark nuclei in the stroma, in image pixels."""
        random = np.random.default_rng((self.seed, 2))
        per_side = self.side // CELL_GRID
        columns, rows = np.meshgrid(np.arange(per_side), np.arange(per_side))
        grid = np.stack([columns.ravel(), rows.ravel()], axis=1)
        grid = grid[random.random(len(grid)) < 0.42]
        radii = random.uniform(11, 24, len(grid))
        slack = (CELL_GRID / 2 - radii * 1.3)[:, None]
        centers = (grid + 0.5) * CELL_GRID + random.uniform(-1, 1, (len(grid), 2)) * slack
        free = self._outside_glands(centers, 40.0)
        return tuple(
            Shape.polygon(_blob(center, radius, 0.14, random))
            for center, radius in zip(centers[free], radii[free], strict=True)
        )

    def _outside_glands(self, points: NDArray[np.float64], margin: float) -> NDArray[np.bool_]:
        outside = np.ones(len(points), bool)
        for gland in self.glands:
            box = gland.bounds
            reach = max(box.width, box.height) / 2 + margin
            outside &= np.hypot(*(points - box.center).T) > reach
        return outside

    def draw(self, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """The picture of a box at full resolution, (height, width, 3) RGB uint8."""
        window = Bounds(x, y, x + width, y + height)
        picture = np.empty((height, width, 3), np.float32)
        picture[:] = STROMA
        for index in self._meeting("glands", window):
            gland = self.glands[index]
            _paint(picture, gland, EPITHELIUM, x, y)
            _paint(picture, Shape.polygon(gland.to_parts()[0][1]), LUMEN, x, y)
        for index in self._meeting("nuclei", window):
            _paint(picture, self.nuclei[index], NUCLEUS, x, y)
        grain = np.roll(self._grain, (-y % TILE, -x % TILE), (0, 1))
        repeats = (-(-height // TILE), -(-width // TILE), 1)
        tiled = np.tile(grain, repeats)[:height, :width]
        return np.asarray(np.clip(np.round(picture) + tiled, 0, 255), np.uint8)

    def _meeting(self, group: str, window: Bounds) -> NDArray[np.intp]:
        boxes = self._boxes[group]
        return np.flatnonzero(
            (boxes[:, 0] <= window.x1)
            & (boxes[:, 2] >= window.x0)
            & (boxes[:, 1] <= window.y1)
            & (boxes[:, 3] >= window.y0)
        )

    @cached_property
    def _boxes(self) -> dict[str, NDArray[np.float64]]:
        groups = {"glands": self.glands, "nuclei": self.nuclei}
        return {name: np.array([one.bounds for one in shapes]) for name, shapes in groups.items()}

    @cached_property
    def _grain(self) -> NDArray[np.int16]:
        """Fibres and noise, seamless on a tile."""
        random = np.random.default_rng((self.seed, 3))
        noise = random.normal(0, 1, (TILE, TILE, 1)) + random.normal(0, 0.3, (TILE, TILE, 3))
        spectrum = np.fft.rfft2(random.normal(0, 1, (TILE, TILE)))
        ky, kx = np.meshgrid(np.fft.fftfreq(TILE), np.fft.rfftfreq(TILE), indexing="ij")
        fibres = np.fft.irfft2(spectrum * np.exp(-((kx / 0.012) ** 2 + (ky / 0.03) ** 2)), (TILE, TILE))
        fibres *= 7 / fibres.std()
        return np.asarray(np.round(4 * noise + fibres[..., None] * (0.6, 1.0, 0.7)), np.int16)


def sample_slide(folder: Path, side: int = SIDE, seed: int = SEED, task: Task | None = None) -> Slide:
    """The sample slide in `folder`, made when it is not there yet.

    Parameters
    ----------
    folder : Path
        Created when missing.
    side : int
        Width and height in pixels; a multiple of 2048.
    task : Task, optional
        A cancelled task leaves no file behind.
    """
    slide = Slide(folder / f"sample-slide-{side}-{seed}.ome.tif", side, seed)
    if slide.path.exists():
        return slide
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        unfinished = Path(scratch) / "slide.ome.tif"
        _write(slide, unfinished, task or Task())
        with contextlib.suppress(FileExistsError):
            unfinished.replace(slide.path)
    return slide


def _write(slide: Slide, path: Path, task: Task) -> None:
    import tifffile

    side = slide.side
    levels = max(0, int(np.log2(side / TILE)))
    half = np.empty((side // 2, side // 2, 3), np.uint8)
    options: dict[str, Any] = {
        "photometric": "rgb",
        "tile": (TILE, TILE),
        "compression": "jpeg",
        "compressionargs": {"level": 88},
        "resolutionunit": "CENTIMETER",
    }
    metadata = {
        "axes": "YXS",
        "PhysicalSizeX": UM_PER_PX,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": UM_PER_PX,
        "PhysicalSizeYUnit": "µm",
    }

    def finest() -> Iterator[NDArray[np.uint8]]:
        for y in range(0, side, TILE):
            for x in range(0, side, TILE):
                task.progress((y * side + x * TILE) / side**2, "drawing")
                tile = slide.draw(x, y, TILE, TILE)
                step = TILE // 2
                half[y // 2 : y // 2 + step, x // 2 : x // 2 + step] = _halved(tile)
                yield tile

    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as writer:
        writer.write(
            finest(), shape=(side, side, 3), dtype=np.uint8, subifds=levels, metadata=metadata, **options
        )
        picture = half
        for _ in range(levels):
            task.check()
            writer.write(picture, subfiletype=1, metadata=None, **options)
            picture = _halved(picture)


def _halved(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    size = (picture.shape[1] // 2, picture.shape[0] // 2)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _blob(
    center: NDArray[np.float64], radius: float, unevenness: float, random: np.random.Generator
) -> NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    waves = np.arange(2, 5)[:, None]
    heights = random.normal(0, unevenness, (3, 1)) / waves
    phases = random.uniform(0, 2 * np.pi, (3, 1))
    reach = radius * (1 + np.clip((heights * np.cos(waves * angle + phases)).sum(axis=0), -0.25, 0.25))
    ring: NDArray[np.float64] = center + np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=1)
    return ring


def _paint(picture: NDArray[np.float32], shape: Shape, color: tuple[int, int, int], x: int, y: int) -> None:
    """Blend a shape into a picture whose corner is at (x, y), by the part of each pixel it covers."""
    box = shape.bounds.intersection(Bounds(x, y, x + picture.shape[1], y + picture.shape[0]))
    if box.is_empty:
        return
    left, top = math.floor(box.x0), math.floor(box.y0)
    width, height = math.ceil(box.x1) - left, math.ceil(box.y1) - top
    fine = Region(left, top, width * FINE, height * FINE, 1 / FINE)
    mask = shape_to_mask(shape, fine).astype(np.float32)
    covered = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
    part = picture[top - y : top - y + height, left - x : left - x + width]
    part += covered[..., None] * (np.array(color, np.float32) - part)
