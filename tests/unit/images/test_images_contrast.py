"""From values to colors: the same as plain arithmetic, for every type and kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from samdesk.domain.geometry import Plane, Region
from samdesk.domain.tasks import Cancelled, Task
from samdesk.images.contrast import (
    ChannelDisplay,
    Compositor,
    Display,
    auto_display,
    histogram,
    render_region,
    render_tile,
)
from samdesk.images.readers import open_source
from samdesk.images.tiles import BlockCache
from tests.images_samples import noise, smooth_rgb, write_pyramid

WHITE = (255, 255, 255)


def shade(values: np.ndarray, channel: ChannelDisplay) -> np.ndarray:
    """The truth: (h, w, 3) float, before channels are added."""
    x = np.nan_to_num((values.astype(float) - channel.low) / (channel.high - channel.low), nan=0)
    return np.clip(x, 0, 1)[..., None] ** channel.gamma * channel.color


@settings(deadline=None, max_examples=60)
@given(
    dtype=st.sampled_from(
        [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int64, np.float32, np.float64]
    ),
    count=st.integers(1, 4),
    seed=st.integers(0, 99),
    gamma=st.sampled_from([1.0, 0.5, 2.2]),
    data=st.data(),
)
def test_channels_are_added_as_arithmetic_says(
    dtype: type, count: int, seed: int, gamma: float, data: st.DataObject
) -> None:
    blocks = noise((count, 9, 11), dtype, seed)
    limits = (-1.0, 1.0) if np.dtype(dtype).kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    channels = []
    for _ in range(count):
        low, high = sorted(data.draw(st.tuples(*[st.floats(0, 1)] * 2), "range"))
        span = limits[1] - limits[0]
        low, high = limits[0] + low * span, limits[0] + max(high, low + 0.01) * span
        color = data.draw(st.tuples(*[st.integers(0, 255)] * 3), "color")
        channels.append(ChannelDisplay(data.draw(st.booleans(), "visible"), low, high, color, gamma))
    compositor = Compositor("multichannel", np.dtype(dtype), Display(tuple(channels)))
    found = compositor.compose(list(blocks))
    assert found.shape == (9, 11, 4)
    assert (found[..., 3] == 255).all()
    shown = [shade(b, c) for b, c in zip(blocks, channels, strict=True) if c.visible]
    truth = np.clip(sum(shown, np.zeros((9, 11, 3))), 0, 255)
    np.testing.assert_allclose(found[..., 2::-1], truth, atol=0.51 * count + 0.5)
    np.testing.assert_array_equal(compositor.rgb(list(blocks)), found[..., 2::-1])


def test_invisible_channels_need_no_blocks() -> None:
    on, off = (ChannelDisplay(visible, 0, 255, WHITE) for visible in (True, False))
    block = noise((5, 6), np.uint8)
    compositor = Compositor("multichannel", block.dtype, Display((off, on, off)))
    assert compositor.channels == (1,)
    np.testing.assert_array_equal(compositor.rgb([None, block, None])[..., 0], block)
    nothing = Compositor("multichannel", block.dtype, Display((off, off)))
    assert not nothing.rgb([block if k in nothing.channels else None for k in range(2)]).any()


def test_values_that_are_no_numbers_are_black_or_white() -> None:
    block = np.array([[np.nan, -np.inf, np.inf, 0.5]], np.float32)
    compositor = Compositor("multichannel", block.dtype, Display((ChannelDisplay(True, 0, 1, WHITE),)))
    assert compositor.rgb([block])[0, :, 0].tolist() == [0, 0, 255, 128]


def test_a_narrow_range_of_floats_keeps_all_its_steps() -> None:
    block = np.linspace(1000, 1001, 256, dtype=np.float64)[None]
    compositor = Compositor("multichannel", block.dtype, Display((ChannelDisplay(True, 1000, 1001, WHITE),)))
    np.testing.assert_array_equal(compositor.rgb([block])[0, :, 0], np.arange(256))


def test_color_pictures_are_shown_as_they_are(tmp_path: Path) -> None:
    rgb = smooth_rgb(300, 200)
    source = open_source(write_pyramid(tmp_path / "p.ome.tif", rgb, 1, 128, compression=None))
    display = auto_display(source)
    np.testing.assert_array_equal(render_region(source, Region(0, 0, 300, 200), Plane(), display), rgb)
    tile = render_tile(source, 0, 0, 0, Plane(), display)
    assert tile.flags.c_contiguous
    np.testing.assert_array_equal(tile[..., 2::-1], source.read_block(0, 0, 0))


def test_color_components_have_ranges_too() -> None:
    rgb = noise((20, 30, 3), np.uint8)
    channels = [
        ChannelDisplay(True, low, high, WHITE, gamma) for low, high, gamma in ((0, 100, 1), (50, 255, 2))
    ]
    display = Display((*channels, ChannelDisplay(False, 0, 255, WHITE)))
    found = Compositor("rgb", rgb.dtype, display).rgb(rgb)
    for k in range(2):
        np.testing.assert_allclose(found[..., k], shade(rgb[..., k], channels[k])[..., 0], atol=0.51)
    assert not found[..., 2].any()


def test_deep_color_keeps_its_white_white(tmp_path: Path) -> None:
    rgb = (noise((200, 300, 3)) // 16 * np.array([1, 1, 0.5])).astype(np.uint16)
    path = tmp_path / "deep.tif"
    tifffile.imwrite(path, rgb, photometric="rgb")
    source = open_source(path)
    ranges = {(c.low, c.high) for c in auto_display(source).channels}
    assert len(ranges) == 1
    ((low, high),) = ranges
    assert 0 <= low < 100
    assert 3900 < high <= 4095
    found = render_region(source, Region(0, 0, 300, 200), Plane(), auto_display(source))
    truth = np.clip((rgb - low) / (high - low), 0, 1) * 255
    np.testing.assert_allclose(found, truth, atol=0.51)


def test_labels_get_colors_of_their_own() -> None:
    labels = np.arange(-5, 400, dtype=np.int32)[None]
    compositor = Compositor("label", labels.dtype, Display((ChannelDisplay(True, 0, 255, WHITE),)))
    colors = compositor.rgb([labels])[0].astype(int)
    assert colors[5].tolist() == [0, 0, 0]
    assert (np.delete(colors, 5, axis=0).max(axis=1) > 100).all()
    apart = np.abs(np.diff(np.delete(colors, 5, axis=0), axis=0)).sum(axis=1)
    assert apart.min() > 60
    wide = np.array([[0, 65535, 65536, 2**40]], np.int64)
    black = (Compositor("label", wide.dtype, compositor.display).rgb([wide]) == 0).all(axis=2)
    assert black.tolist() == [[True, False, False, False]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_auto_contrast_takes_the_percentiles(tmp_path: Path, dtype: type) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(60, 15, (2, 600, 700)).clip(0, 120)
    values[1] *= 0.5
    values[:, 0, 0] = 120
    path = tmp_path / "v.tif"
    tifffile.imwrite(path, values.astype(dtype), imagej=dtype != np.int16, metadata={"axes": "CYX"})
    source = open_source(path)
    if dtype == np.int16:
        source = open_source(write_pyramid(path, values[0].astype(dtype), 1, 128, compression=None))
    for index, channel in enumerate(auto_display(source).channels):
        low, high = np.percentile(values[index].astype(dtype), (0.1, 99.9))
        assert channel.low == pytest.approx(low, abs=1)
        assert channel.high == pytest.approx(high, abs=2)
        assert channel.color == source.channels[index].color


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.zeros((50, 50), np.uint16), (0, 1)),
        (np.full((50, 50), 700, np.uint16), (0, 700)),
        (np.full((50, 50), np.nan, np.float32), (0, 1)),
        (np.pad(np.full((1, 1), 900, np.uint16), 50), (0, 900)),
    ],
)
def test_auto_contrast_of_images_with_little_in_them(
    tmp_path: Path, values: np.ndarray, expected: tuple[float, float]
) -> None:
    path = tmp_path / "v.tif"
    tifffile.imwrite(path, values)
    (channel,) = auto_display(open_source(path)).channels
    assert (channel.low, channel.high) == expected


def test_a_large_level_is_sampled_all_over(tmp_path: Path) -> None:
    values = np.zeros((2600, 2600), np.uint16)
    values[:, 1300:] = 5000
    path = tmp_path / "half.tif"
    tifffile.imwrite(path, values, tile=(256, 256), compression="zlib")
    (channel,) = auto_display(open_source(path)).channels
    assert (channel.low, channel.high) == (0, 5000)


def test_auto_contrast_can_be_cancelled(tmp_path: Path) -> None:
    path = tmp_path / "v.tif"
    tifffile.imwrite(path, noise((40, 50)))
    task = Task()
    task.cancel()
    with pytest.raises(Cancelled):
        auto_display(open_source(path), task=task)


def test_histograms_count_the_values(tmp_path: Path) -> None:
    gray = noise((300, 400), np.uint8)
    path = tmp_path / "gray.tif"
    tifffile.imwrite(path, gray)
    counts, edges = histogram(open_source(path))
    np.testing.assert_array_equal(counts, np.bincount(gray.ravel(), minlength=256))
    np.testing.assert_array_equal(edges, np.arange(257))

    rgb = smooth_rgb(300, 200)
    path = tmp_path / "rgb.tif"
    tifffile.imwrite(path, rgb, photometric="rgb")
    for k in range(3):
        counts, _ = histogram(open_source(path), k)
        np.testing.assert_array_equal(counts, np.bincount(rgb[..., k].ravel(), minlength=256))

    deep = noise((300, 400), np.float32)
    path = tmp_path / "float.tif"
    tifffile.imwrite(path, deep)
    counts, edges = histogram(open_source(path))
    assert counts.sum() == deep.size
    assert (edges[0], edges[-1]) == (deep.min(), deep.max())


def test_regions_of_many_channels_are_composed(tmp_path: Path) -> None:
    stack = noise((3, 200, 300))
    path = tmp_path / "c.tif"
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "CYX"})
    source, cache = open_source(path), BlockCache()
    display = auto_display(source).with_channel(1, visible=False)
    region = Region(10, 20, 100, 80, 2)
    found = render_region(source, region, Plane(), display, cache)
    means = stack[:, 20:180, 10:210].reshape(3, 80, 2, 100, 2).mean(axis=(2, 4))
    truth = sum(shade(np.rint(means[k]), display.channels[k]) for k in (0, 2))
    np.testing.assert_allclose(found, np.clip(truth, 0, 255), atol=1.01)
    tile = render_tile(source, 0, 0, 0, Plane(), display, cache)
    truth = sum(shade(stack[k], display.channels[k]) for k in (0, 2))
    np.testing.assert_allclose(tile[..., 2::-1], np.clip(truth, 0, 255), atol=1.01)
    ready = Compositor(source.kind, source.dtype, display)
    np.testing.assert_array_equal(render_tile(source, 0, 0, 0, Plane(), ready), tile)


def test_the_key_tells_displays_apart() -> None:
    display = Display((ChannelDisplay(True, 0, 255, WHITE),))
    assert display.key == Display((ChannelDisplay(True, 0, 255, WHITE),)).key
    changes = [{"visible": False}, {"low": 1.0}, {"high": 254.0}, {"color": (0, 0, 0)}, {"gamma": 1.1}]
    assert len({display.key, *(display.with_channel(0, **change).key for change in changes)}) == 6
