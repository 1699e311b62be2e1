"""The store of tiles and the ladder of resolutions: what is made, in which order, and what is kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samdesk.app.jobs import Jobs, MainQueue
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane
from samdesk.domain.tasks import Task
from samdesk.images.source import Level
from samdesk.images.tiles import BlockCache
from samdesk.ui.layers.grid import Grid
from samdesk.ui.layers.imagetiles import choose_rung, make_ladder, render_image_tile
from samdesk.ui.layers.tiles import TILE_OVERHEAD, Request, TileStore

from .sources import ArraySource, coordinates

SETTINGS = settings(deadline=None, max_examples=60)
TILE_BYTES = 16 * 16 * 4 + TILE_OVERHEAD


class Work:
    """A store with its main thread, and what was made and told."""

    def __init__(self, limit_bytes: int = 1 << 20) -> None:
        self.queue = MainQueue()
        self.jobs = Jobs(self.queue)
        self.made: list[object] = []
        self.arrived: list[object] = []
        self.failures: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()
        self.store = TileStore(self.jobs, limit_bytes, self.arrived.append, self.failures.append)

    def request(self, key: object, version: object = 1, value: int = 7) -> Request:
        def render(task: Task) -> np.ndarray:
            self.gate.wait(timeout=20)
            self.made.append(key)
            return np.full((16, 16, 4), value, np.uint8)

        return Request(key, version, render)

    def finish(self) -> None:
        self.queue.run_until(lambda: self.store.idle, timeout=20)


@pytest.fixture
def work() -> Iterator[Work]:
    made = Work()
    yield made
    made.gate.set()
    made.jobs.close()


def test_what_is_wanted_is_made_and_told(work: Work) -> None:
    work.store.want([work.request(key) for key in "abc"])
    work.finish()
    assert sorted(map(str, work.arrived)) == ["a", "b", "c"]
    assert work.store.is_fresh("a", 1)
    assert not work.store.is_fresh("a", 2)
    assert work.store.nbytes == 3 * TILE_BYTES


def test_work_that_is_not_wanted_any_more_is_never_begun(work: Work) -> None:
    work.gate.clear()
    work.store.want([work.request(key) for key in range(50)])
    work.store.want([work.request("urgent")])
    work.gate.set()
    work.finish()
    assert "urgent" in work.made
    assert len(work.made) <= 3  # two workers may have begun before


def test_a_tile_in_the_making_is_not_begun_twice(work: Work) -> None:
    work.gate.clear()
    for _ in range(20):
        work.store.want([work.request("a")])
    work.gate.set()
    work.finish()
    assert work.made == ["a"]


def test_the_least_recently_used_tile_goes_first() -> None:
    work = Work(limit_bytes=3 * TILE_BYTES)
    for key in "abc":
        work.store.want([work.request(key)])
        work.finish()
    work.store.get("a")
    work.store.want([work.request("d")])
    work.finish()
    kept = [key for key in "abcd" if work.store.get(key) is not None]
    work.jobs.close()
    assert kept == ["a", "c", "d"]
    assert work.store.nbytes == 3 * TILE_BYTES


def test_an_outdated_tile_stays_until_the_new_one_is_there(work: Work) -> None:
    work.store.want([work.request("a", value=1), work.request("b", value=1)])
    work.finish()
    work.store.invalidate(lambda key: key == "a")
    assert not work.store.is_fresh("a", 1)
    assert work.store.is_fresh("b", 1)
    old = work.store.get("a")
    assert old is not None
    assert old.pixels is not None
    work.store.want([work.request("a", value=2)])
    work.finish()
    new = work.store.get("a")
    assert new is not None
    assert new.pixels is not None
    assert (old.pixels[0, 0, 0], new.pixels[0, 0, 0]) == (1, 2)
    assert work.store.is_fresh("a", 1)


def test_a_tile_that_is_outdated_while_it_is_made_arrives_outdated(work: Work) -> None:
    work.gate.clear()
    work.store.want([work.request("a")])
    work.store.invalidate(lambda key: True)
    work.gate.set()
    work.finish()
    assert not work.store.is_fresh("a", 1)


def test_outdated_wishes_are_forgotten(work: Work) -> None:
    work.gate.clear()
    work.store.want([work.request(key) for key in ("a", "b", "c", "d")])
    work.store.invalidate(lambda key: key == "d")
    work.gate.set()
    work.finish()
    assert "d" not in work.made


def test_a_tile_that_fails_is_told_once_and_leaves_an_empty_place(work: Work) -> None:
    def render(task: Task) -> np.ndarray:
        raise SamdeskError("broken")

    work.store.want([Request("a", 1, render), work.request("b")])
    work.finish()
    tile = work.store.get("a")
    assert tile is not None
    assert tile.pixels is None
    assert work.store.is_fresh("a", 1)
    assert [str(error) for error in work.failures] == ["broken"]
    assert work.made == ["b"]


def test_tiles_with_nothing_on_them_are_bounded_too() -> None:
    work = Work(limit_bytes=10 * TILE_OVERHEAD)
    work.store.want([Request(key, 1, lambda task: None) for key in range(100)])
    work.finish()
    work.jobs.close()
    assert len(work.store) == 10


def test_a_cleared_store_takes_nothing_that_was_begun_before(work: Work) -> None:
    work.store.want([work.request("old")])
    work.finish()
    work.gate.clear()
    work.store.want([work.request(key) for key in ("a", "b", "c")])
    work.store.clear()
    assert work.store.get("old") is None
    assert work.store.nbytes == 0
    work.store.want([work.request("new")])
    work.gate.set()
    work.queue.run_until(lambda: "new" in work.arrived, timeout=20)
    work.queue.run_until(lambda: work.jobs.idle, timeout=20)
    work.queue.drain()
    assert work.arrived == ["old", "new"]
    assert len(work.store) == 1


# The ladder


@SETTINGS
@given(
    st.integers(1, 60_000), st.integers(1, 60_000), st.sampled_from([(512, 512), (8, 8), (70_000, 8), (1, 1)])
)
def test_no_screen_shrinks_a_tile_by_more_than_two(width: int, height: int, block: tuple[int, int]) -> None:
    ladder = make_ladder([Level(width, height, 1.0, 1.0, *block)])
    assert ladder[0].downsample == 1
    for rung, coarser in pairwise(ladder):
        assert coarser.downsample == 2 * rung.downsample
    last = ladder[-1]
    assert max(last.width, last.height) / last.reduce <= 512
    assert choose_rung(ladder, 0.01) == 0
    for downsample in (1.0, 1.9, 2.0, 3.7):
        chosen = ladder[choose_rung(ladder, downsample)]
        assert chosen.downsample <= downsample * 1.001
        assert downsample < 2 * chosen.downsample or chosen is last


def test_levels_far_apart_get_rungs_between() -> None:
    levels = [Level(16384 // k, 16384 // k, float(k), float(k), 256, 256) for k in (1, 4, 32)]
    found = [(rung.level, rung.reduce) for rung in make_ladder(levels)]
    assert found == [(0, 1), (0, 2), (1, 1), (1, 2), (1, 4), (2, 1), (2, 2)]


@pytest.mark.parametrize("block", [(512, 512), (256, 256), (900, 8), (7, 900), (900, 700), (128, 96)])
def test_tiles_of_any_block_grid_show_every_pixel_in_its_place(block: tuple[int, int]) -> None:
    picture = coordinates(900, 700)
    source = ArraySource(picture, block=block)
    rung = make_ladder(source.levels)[0]
    cache = BlockCache()
    seen = np.zeros_like(picture)
    for row in range(-(-700 // rung.cell_height)):
        for column in range(-(-900 // rung.cell_width)):
            tile = render_image_tile(source, rung, column, row, Plane(), source.display, cache, Task())
            y, x = row * rung.cell_height, column * rung.cell_width
            seen[y : y + tile.shape[0], x : x + tile.shape[1]] = tile[..., 2::-1]
            assert (tile[..., 3] == 255).all()
    np.testing.assert_array_equal(seen, picture)


@pytest.mark.parametrize("shape", [(700, 900, 3), (1, 1, 2, 700, 900)])
def test_reduced_tiles_are_means(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    source = ArraySource(values, block=(900, 16))
    rung = next(rung for rung in make_ladder(source.levels) if rung.reduce == 2)
    tile = render_image_tile(source, rung, 0, 0, Plane(), source.display, BlockCache(), Task())
    plane = values[..., 0] if len(shape) == 3 else values[0, 0, 0]
    means = plane.reshape(350, 2, 450, 2).mean(axis=(1, 3))
    height, width = tile.shape[:2]
    assert np.abs(tile[..., 2] - means[:height, :width]).max() <= 1.01


# The grid


@SETTINGS
@given(
    st.floats(-2000, 2000), st.floats(-2000, 2000), st.floats(1, 3000), st.floats(1, 3000), st.integers(0, 2)
)
def test_cells_cover_the_bounds_from_the_middle_out(
    x: float, y: float, w: float, h: float, ring: int
) -> None:
    grid = Grid(("k",), 300.0, 200.0, smooth=False)
    bounds = Bounds(x, y, x + w, y + h)
    cells = grid.cells(bounds, ring)
    columns, rows = {c for c, _ in cells}, {r for _, r in cells}
    assert len(cells) == len(columns) * len(rows) == len(set(cells))
    assert min(columns) * 300 <= x
    assert (max(columns) + 1) * 300 >= x + w
    assert min(rows) * 200 <= y
    assert (max(rows) + 1) * 200 >= y + h
    away = [np.hypot((c + 0.5) * 300 - (x + w / 2), (r + 0.5) * 200 - (y + h / 2)) for c, r in cells]
    assert away == sorted(away)


def test_cells_end_where_the_image_ends() -> None:
    grid = Grid(("k",), 300.0, 200.0, width=1000.0, height=400.0)
    assert sorted(grid.cells(Bounds(-500, -500, 5000, 5000))) == [(c, r) for c in range(4) for r in range(2)]
    assert grid.cell_bounds((3, 1)) == Bounds(900, 200, 1000, 400)
