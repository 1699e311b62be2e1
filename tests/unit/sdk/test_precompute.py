"""Encoding ahead: the chips that clicks will ask for, and having them ready."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane, Region, Shape
from samdesk.domain.prompts import PointPrompt, Prompts
from samdesk.domain.tasks import Cancelled, Progress, Task
from samdesk.engines.base import Embedding
from samdesk.engines.cache import DiskCache, EmbeddingCache, EmbeddingKey, EmbeddingStore
from samdesk.images.contrast import ChannelDisplay, Display
from samdesk.images.source import Channel, Kind, Level
from samdesk.images.tiles import BlockCache
from samdesk.sdk import Image, Segmenter, chip_at
from samdesk.sdk.precompute import Prepared, chips_for, click_area, duration_text, precompute
from tests.fakes import FakeEngine

NBYTES = 1 << 20
"""What an embedding of the fake engine says it takes in memory."""


class BlankSource:
    """A gray image of any size."""

    path, name, identity = Path("blank"), "blank", "blank"
    dtype: np.dtype[Any] = np.dtype(np.uint8)
    kind: Kind = "rgb"
    channels = (Channel("R", (255, 0, 0)), Channel("G", (0, 255, 0)), Channel("B", (0, 0, 255)))
    size_z = size_t = 1
    pixel_size = magnification = None

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.levels = (Level(width, height, 1.0, 1.0, 1024, 1024),)
        self.associated: dict[str, Any] = {}
        self.broken = False

    def read_block(
        self, level: int, column: int, row: int, plane: Plane = Plane(), channel: int = 0
    ) -> NDArray[Any]:
        if self.broken:
            raise SamdeskError("Block 0, 0 of level 0 cannot be read.", "Copy the file again.")
        return np.full(
            (min(1024, self.height - 1024 * row), min(1024, self.width - 1024 * column), 3), 90, np.uint8
        )

    def close(self) -> None:
        pass


def blank(width: int, height: int) -> Image:
    source = BlankSource(width, height)
    display = Display(tuple(ChannelDisplay(True, 0.0, 255.0, one.color) for one in source.channels))
    return Image(source, display, BlockCache(1 << 20))


def rig(disk: DiskCache | None = None, memory: int = 1 << 30) -> tuple[Segmenter, FakeEngine, EmbeddingStore]:
    engine = FakeEngine()
    store = EmbeddingStore(EmbeddingCache(memory), disk)
    return Segmenter(engine, cache=store), engine, store


def point_chip(x: float, y: float, downsample: float, size: tuple[int, int]) -> Region:
    return chip_at(Bounds(x, y, x, y), downsample, size)


# Which chips

lengths = st.integers(1, 40_000)
downsamples = st.one_of(st.sampled_from([1.0, 2.0, 4.0, 8.0]), st.floats(1.0, 30.0))
parts = st.floats(0.0, 1.0)
places = st.tuples(parts, parts)


@settings(max_examples=300, deadline=None)
@given(lengths, lengths, downsamples, parts, parts, parts, parts, st.lists(places, max_size=6))
@example(4096, 4096, 1.0, 0.1875, 0.3125, 0.1875, 0.3125, [])  # edges where two chips are equally near
@example(1024, 1025, 1.0, 0.0, 1.0, 0.0, 1.0, [(0.5, 0.75)])
@example(3584, 3585, 1.0, 0.0, 1.0, 0.0, 1.0, [(0.9999, 0.9999)])
def test_every_click_inside_a_box_finds_its_chip(
    width: int,
    height: int,
    downsample: float,
    x0: float,
    x1: float,
    y0: float,
    y1: float,
    clicks: list[tuple[float, float]],
) -> None:
    size = (width, height)
    (x0, x1), (y0, y1) = sorted((x0 * width, x1 * width)), sorted((y0 * height, y1 * height))
    box = Bounds(x0, y0, x1, y1)
    chips = chips_for(blank(*size), box, downsample)
    assert len(set(chips)) == len(chips)
    inside = [
        (min(x0 + fx * (x1 - x0), x1), min(y0 + fy * (y1 - y0), y1))
        for fx, fy in [(0, 0), (1, 1), (0, 1), (1, 0), (0.5, 0.5), *clicks]
    ]
    for x, y in inside:
        assert point_chip(x, y, downsample, size) in chips
    for chip in chips:  # and there is no chip that no click needs
        assert click_area(chip, size).intersects(box.expanded(1e-6))


@settings(max_examples=100, deadline=None)
@given(
    lengths,
    lengths,
    downsamples,
    st.lists(places, min_size=3, max_size=3, unique=True),
    st.lists(places, min_size=1, max_size=8),
)
def test_every_click_inside_a_shape_finds_its_chip(
    width: int,
    height: int,
    downsample: float,
    corners: list[tuple[float, float]],
    clicks: list[tuple[float, float]],
) -> None:
    size = (width, height)
    vertices = np.array(corners) * size
    chips = set(chips_for(blank(*size), Shape.polygon(vertices), downsample))
    for a, b in clicks:
        weights = np.array((1 - np.sqrt(a), np.sqrt(a) * (1 - b), np.sqrt(a) * b))
        x, y = weights @ vertices
        assert point_chip(float(x), float(y), downsample, size) in chips


@settings(max_examples=200, deadline=None)
@given(lengths, lengths, downsamples, parts, parts)
def test_a_click_lies_in_the_area_of_its_chip_only(
    width: int, height: int, downsample: float, fx: float, fy: float
) -> None:
    size, (x, y) = (width, height), (fx * width, fy * height)
    chip = point_chip(x, y, downsample, size)
    assert click_area(chip, size).expanded(1e-6).contains(x, y)
    for other in chips_for(blank(*size), Bounds(0, 0, *size), downsample)[:50]:
        inner = click_area(other, size).expanded(-1e-6)
        assert other == chip or inner.is_empty or not inner.contains(x, y)


def test_a_shape_leaves_out_the_chips_that_only_its_box_meets() -> None:
    image = blank(20_000, 20_000)
    ring = Shape.polygon(
        [(100, 100), (19_900, 100), (19_900, 19_900), (100, 19_900)],
        [[(600, 600), (600, 19_400), (19_400, 19_400), (19_400, 600)]],
    )
    assert 0 < len(chips_for(image, ring, 1.0)) < 0.2 * len(chips_for(image, ring.bounds, 1.0))
    line = Shape.from_parts([[[(100, 100), (19_900, 19_900)]]], kind=type(ring.kind).LINES)
    assert len(chips_for(image, line, 1.0)) < 120
    assert chips_for(image, Shape.points([(700, 700)]), 1.0) == [point_chip(700, 700, 1.0, image.size)]


def test_the_middle_comes_first() -> None:
    chips = chips_for(blank(9000, 7000), Bounds(1000, 1000, 8000, 6000), 1.0)
    away = [np.hypot(*np.subtract(click_area(chip, (9000, 7000)).center, (4500, 3500))) for chip in chips]
    assert away == sorted(away)
    assert chips[0] == point_chip(4500, 3500, 1.0, (9000, 7000))


def test_what_lies_outside_the_image_does_not_count() -> None:
    image = blank(3000, 3000)
    assert chips_for(image, Bounds(-900, -900, -1, 3000), 1.0) == []
    assert chips_for(image, Shape.box(4000, 0, 5000, 100), 1.0) == []
    assert chips_for(image, Shape.empty(), 1.0) == []
    beyond = chips_for(image, Bounds(-1e6, -1e6, 1e6, 1e6), 1.0)
    assert set(beyond) == set(chips_for(image, Bounds(0, 0, 3000, 3000), 1.0))


def test_a_small_image_is_one_chip() -> None:
    image = blank(700, 300)
    assert chips_for(image, Bounds(10, 10, 20, 20), 1.0) == [Region(0.0, 0.0, 700, 300, 1.0)]
    assert click_area(Region(0.0, 0.0, 700, 300, 1.0), image.size) == Bounds(0, 0, 700, 300)


def test_chips_of_a_slide_are_told_quickly() -> None:
    assert len(chips_for(blank(100_000, 100_000), Bounds(0, 0, 100_000, 100_000), 1.0)) == 195**2


# Having them ready


def test_a_click_on_a_prepared_chip_does_not_encode() -> None:
    segmenter, engine, _ = rig()
    image = blank(3000, 2000)
    box = Bounds(500, 500, 2500, 1500)
    prepared = precompute(segmenter, image, chips_for(image, box, 1.0))
    assert prepared == Prepared(prepared.total, engine.encoded, prepared.seconds, 0)
    assert prepared.total == engine.encoded > 4
    for x in range(500, 2501, 250):
        for y in range(500, 1501, 250):
            chip = segmenter.chip(image, Prompts((PointPrompt(x, y),)))
            assert segmenter.is_warm(image, chip)
            segmenter.embed(image, chip)
    assert engine.encoded == prepared.total


def test_what_is_on_disk_is_not_encoded_again(tmp_path: Path) -> None:
    image = blank(3000, 2000)
    chips = chips_for(image, Bounds(0, 0, 3000, 2000), 1.0)
    first, _, _ = rig(DiskCache(tmp_path))
    assert precompute(first, image, chips[:5]).encoded == 5
    second, engine, store = rig(DiskCache(tmp_path))
    made: list[Region] = []
    prepared = precompute(second, image, chips, done=made.append)
    assert prepared.total == len(chips)
    assert prepared.encoded == engine.encoded == len(chips) - 5
    assert made == chips[5:]
    assert not store.is_warm(_key(image, chips[0]))
    second.embed(image, chips[0])  # from the disk
    assert engine.encoded == len(chips) - 5


def test_what_is_in_memory_is_written_without_encoding(tmp_path: Path) -> None:
    image = blank(3000, 2000)
    segmenter, engine, store = rig()
    chip = chips_for(image, Bounds(5, 5, 5, 5), 1.0)[0]
    segmenter.embed(image, chip)
    store.disk = DiskCache(tmp_path)
    assert precompute(segmenter, image, [chip]).encoded == 0
    assert engine.encoded == 1
    assert _key(image, chip) in store.disk


def test_other_displays_and_planes_are_prepared_separately(tmp_path: Path) -> None:
    image = blank(800, 800)
    segmenter, engine, _ = rig(DiskCache(tmp_path))
    brighter = Image(image.source, image.display.with_channel(0, high=99.0), image.blocks)
    chips = chips_for(image, Bounds(0, 0, 800, 800), 1.0)
    for one, plane in ((image, Plane()), (brighter, Plane()), (image, Plane(1, 0)), (image, Plane())):
        precompute(segmenter, one, chips, plane)
    assert engine.encoded == 3


def test_progress_tells_how_many_and_how_long() -> None:
    told: list[Progress] = []
    segmenter, _, _ = rig()
    image = blank(3000, 2000)
    chips = chips_for(image, Bounds(0, 0, 3000, 2000), 1.0)
    precompute(segmenter, image, chips[:3])
    precompute(segmenter, image, chips, task=Task(told.append))
    total = len(chips)
    assert [one.message.split(",")[0] for one in told] == [f"{k} of {total}" for k in range(3, total + 1)]
    assert told[1].message == f"4 of {total}, a few seconds left"
    fractions = [one.fraction for one in told]
    assert fractions == sorted(fractions)  # type: ignore[type-var]
    assert fractions[-1] == 1.0


def test_cancel_stops_between_chips_and_keeps_what_is_done() -> None:
    segmenter, engine, _ = rig()
    image = blank(5000, 5000)
    chips = chips_for(image, Bounds(0, 0, 5000, 5000), 1.0)
    task = Task()

    def stop(chip: Region) -> None:
        if engine.encoded == 3:
            task.cancel()

    with pytest.raises(Cancelled):
        precompute(segmenter, image, chips, task=task, done=stop)
    assert engine.encoded == 3
    assert all(segmenter.is_warm(image, chip) for chip in chips[:3])


def test_memory_that_is_full_ends_it_and_leaves_what_was_there(tmp_path: Path) -> None:
    segmenter, _, store = rig(memory=5 * NBYTES)
    image = blank(5000, 5000)
    corner = point_chip(4999, 4999, 1.0, image.size)
    segmenter.embed(image, corner)
    chips = chips_for(image, Bounds(0, 0, 3000, 3000), 1.0)
    with pytest.raises(SamdeskError, match=f"4 of {len(chips)} are ready") as raised:
        precompute(segmenter, image, chips)
    assert raised.value.hint
    assert segmenter.is_warm(image, corner)
    assert store.nbytes == 5 * NBYTES


def test_a_disk_that_is_full_of_this_run_ends_it(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, 8 * ChunkyEngine.PACKED)
    store = EmbeddingStore(EmbeddingCache(3 * NBYTES), disk)
    segmenter = Segmenter(ChunkyEngine(), cache=store)
    image = blank(5000, 5000)
    chips = chips_for(image, Bounds(0, 0, 3000, 3000), 1.0)
    with pytest.raises(SamdeskError, match=f"7 of {len(chips)} are ready"):
        precompute(segmenter, image, chips)
    assert all(_key(image, chip) in disk for chip in chips[:7])


class ChunkyEngine(FakeEngine):
    """Packs to 64 KiB on the disk."""

    PACKED = 64 << 10

    def pack(self, embedding: Embedding) -> dict[str, NDArray[Any]]:
        return {"a": np.zeros(self.PACKED // 2, np.float32)}


def test_a_chip_that_cannot_be_read_ends_it_with_the_reason() -> None:
    segmenter, _, _ = rig()
    image = blank(3000, 2000)
    image.source.broken = True  # type: ignore[attr-defined]
    with pytest.raises(SamdeskError, match="cannot be read"):
        precompute(segmenter, image, chips_for(image, Bounds(0, 0, 3000, 2000), 1.0))


def test_nothing_to_do_is_done() -> None:
    segmenter, engine, _ = rig()
    assert precompute(segmenter, blank(100, 100), []) == Prepared(0, 0, 0.0, 0)
    assert engine.encoded == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "a few seconds"),
        (12, "about 10 s"),
        (89, "about 90 s"),
        (91, "about 2 min"),
        (3600, "about 60 min"),
        (6000, "about 2 h"),
        (360_000, "about 100 h"),
    ],
)
def test_durations_are_told_as_one_would_say_them(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def _key(image: Image, chip: Region) -> EmbeddingKey:
    return EmbeddingKey(image.source.identity, image.display.key, Plane(), chip, FakeEngine.identity)
