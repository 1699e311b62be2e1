"""The block cache: bounded, shared, correct from many threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from samdesk.domain.geometry import Plane
from samdesk.domain.memory import BytesCache
from samdesk.images.readers import open_source
from samdesk.images.tiles import BlockCache
from tests.images_samples import noise, smooth_rgb, write_pyramid


@settings(deadline=None, max_examples=60)
@given(steps=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 400)), max_size=60))
def test_the_newest_arrays_stay_within_the_limit(steps: list[tuple[int, int]]) -> None:
    cache = BytesCache(1000)
    order: list[int] = []
    sizes: dict[int, int] = {}
    for key, size in steps:
        cache.put(key, np.zeros(size, np.uint8))
        order = [k for k in order if k != key] + [key]
        sizes[key] = size
        while sum(sizes[k] for k in order) > 1000:
            order.pop(0)
        assert cache.nbytes == sum(sizes[k] for k in order) <= 1000
        assert len(cache) == len(order)
    assert all((cache.get(key) is not None) == (key in order) for key in range(10))


def test_what_was_used_last_stays() -> None:
    cache = BytesCache(2)
    one = np.zeros(1, np.uint8)
    cache.put("a", one)
    cache.put("b", one)
    assert cache.get("a") is one
    cache.put("c", one)
    assert cache.get("b") is None
    assert cache.get("a") is one
    cache.put("large", np.zeros(50, np.uint8))
    assert len(cache) == 1  # kept although it alone is too large
    cache.clear()
    assert cache.nbytes == 0


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return write_pyramid(tmp_path / "p.ome.tif", smooth_rgb(1100, 900), 2, 256)


def test_a_block_is_read_once_and_cannot_be_written_to(slide: Path) -> None:
    source, cache = open_source(slide), BlockCache()
    block = cache.get_block(source, 0, 1, 1)
    assert cache.get_block(source, 0, 1, 1, Plane(), 2) is block  # color blocks hold all channels
    assert cache.get_block(source, 1, 1, 1) is not block
    assert cache.nbytes == sum(cache.get_block(source, k, 1, 1).nbytes for k in (0, 1))
    with pytest.raises(ValueError, match="read-only"):
        block[:] = 0


def test_channels_planes_and_sources_are_kept_apart(tmp_path: Path) -> None:
    cache = BlockCache()
    for name in ("a", "b"):
        stack = noise((2, 3, 60, 70), seed=ord(name))
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "ZCYX"})
        source = open_source(path)
        for _ in range(2):
            for z, c in np.ndindex(2, 3):
                np.testing.assert_array_equal(cache.get_block(source, 0, 0, 0, Plane(z), c), stack[z, c])
    assert len(cache) == 12


def test_blocks_of_a_picture_in_memory_take_none(tmp_path: Path) -> None:
    from samdesk.images.readers.flat import from_array

    path = tmp_path / "p"
    path.touch()
    source, cache = from_array(path, smooth_rgb(1600, 1600)), BlockCache()
    assert cache.get_block(source, 0, 1, 1).shape == (512, 512, 3)
    assert cache.nbytes == 0


def test_many_threads_get_the_same_blocks_within_the_limit(slide: Path) -> None:
    source = open_source(slide)
    cache = BlockCache(1_000_000)
    level = source.levels[0]
    keys = [(column, row) for row in range(level.rows) for column in range(level.columns)] * 6
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda key: cache.get_block(source, 0, *key), keys))
    for key, block in zip(keys, found, strict=True):
        np.testing.assert_array_equal(block, source.read_block(0, *key))
    assert cache.nbytes <= 1_000_000
