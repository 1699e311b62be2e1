"""The sample slide: its truth is where the picture shows it, and it is made once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from samdesk.domain.tasks import Cancelled, Task
from samdesk.images.readers import open_source
from samdesk.images.sample import LUMEN, NUCLEUS, STROMA, Slide, sample_slide

SIDE = 4096


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Slide:
    return sample_slide(tmp_path_factory.mktemp("sample"), SIDE)


def test_the_drawn_nucleus_has_its_true_area_and_place() -> None:
    slide = Slide(Path("none"), SIDE)
    truth = max((n for n in slide.nuclei if 200 < n.centroid[0] < 800), key=lambda n: n.area)
    x, y = (int(v) - 50 for v in truth.centroid)
    drawn = slide.draw(x, y, 100, 100).astype(float)
    coverage = (drawn - STROMA) @ (
        np.subtract(NUCLEUS, STROMA) / np.square(np.subtract(NUCLEUS, STROMA)).sum()
    )
    near = np.hypot(*(np.mgrid[:100, :100] + 0.5 - 50)) < 40
    coverage = (coverage > 0.5) * near
    ys, xs = np.mgrid[:100, :100] + 0.5
    assert coverage.sum() == pytest.approx(truth.area, rel=0.02)
    assert (coverage * xs).sum() / coverage.sum() + x == pytest.approx(truth.centroid[0], abs=0.1)
    assert (coverage * ys).sum() / coverage.sum() + y == pytest.approx(truth.centroid[1], abs=0.1)


def test_tiles_join_without_a_seam() -> None:
    slide = Slide(Path("none"), SIDE)
    whole = slide.draw(256, 256, 1024, 1024)
    parts = [slide.draw(256 + x, 256 + y, 512, 512) for y in (0, 512) for x in (0, 512)]
    assert np.array_equal(whole, np.vstack([np.hstack(parts[:2]), np.hstack(parts[2:])]))


def test_the_file_has_levels_pixel_size_and_a_hole_where_the_lumen_is(slide: Slide) -> None:
    source = open_source(slide.path)
    try:
        assert (source.width, source.height) == (SIDE, SIDE)
        assert [level.width for level in source.levels] == [4096, 2048, 1024, 512]
        assert source.pixel_size is not None
        assert source.pixel_size.x == pytest.approx(0.25)
        gland = slide.glands[0]
        lumen = gland.to_parts()[0][1].mean(axis=0)
        assert not gland.contains(*lumen)
        level = source.levels[0]
        block = source.read_block(0, int(lumen[0]) // level.block_width, int(lumen[1]) // level.block_height)
        pixel = block[int(lumen[1]) % level.block_height, int(lumen[0]) % level.block_width]
        assert np.abs(pixel.astype(int) - LUMEN).max() < 45
    finally:
        source.close()


def test_it_is_made_once(slide: Slide) -> None:
    before = slide.path.stat().st_mtime_ns
    assert sample_slide(slide.path.parent, SIDE).path.stat().st_mtime_ns == before


def test_cancelling_leaves_nothing(tmp_path: Path) -> None:
    task = Task()
    task.cancel()
    with pytest.raises(Cancelled):
        sample_slide(tmp_path, 2048, task=task)
    assert list(tmp_path.iterdir()) == []
