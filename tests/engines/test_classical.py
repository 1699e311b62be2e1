"""The weight-free engine on pictures whose objects are known."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage import data

from samdesk.domain.geometry import Bounds, Region, Shape
from samdesk.domain.outline import iou, logits_to_shape, shape_to_mask
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import Embedding
from samdesk.engines.classical import ClassicalEngine
from samdesk.images.sample import Slide

ENGINE = ClassicalEngine()


def answer(embedding: Embedding, prompts: Prompts) -> list[Shape]:
    whole = Region(0, 0, embedding.width, embedding.height)
    return [logits_to_shape(found.logits, whole) for found in ENGINE.predict(embedding, prompts, Task())]


def disc_picture(size: int, x: float, y: float, *radii: float) -> NDArray[np.uint8]:
    """A disc, or a ring of two radii, drawn by the covered part of each pixel."""
    ys, xs = np.mgrid[:size, :size] + 0.5
    away = np.hypot(xs - x, ys - y)
    cover = np.clip(radii[0] - away + 0.5, 0, 1)
    for radius in radii[1:]:
        cover -= np.clip(radius - away + 0.5, 0, 1)
    return np.round(40 + 180 * cover[..., None] * np.ones(3)).astype(np.uint8)


@pytest.mark.parametrize("radius", [20, 35, 60, 100])
def test_a_crisp_disc_is_found_to_a_part_of_a_pixel(radius: float) -> None:
    x, y = 141.3, 128.8
    embedding = ENGINE.encode(disc_picture(272, x, y, radius), Task())
    best = answer(embedding, Prompts((PointPrompt(x, y),)))[0]
    assert best.area == pytest.approx(np.pi * radius**2, rel=0.01)
    assert np.hypot(best.centroid[0] - x, best.centroid[1] - y) < 0.05


def test_a_ring_keeps_its_hole() -> None:
    embedding = ENGINE.encode(disc_picture(272, 136, 136, 90, 45), Task())
    best = answer(embedding, Prompts((PointPrompt(136, 68),)))[0]
    assert len(best.rings) - len(best.parts) == 1
    assert not best.contains(136, 136)
    assert best.area == pytest.approx(np.pi * (90**2 - 45**2), rel=0.02)


@cache
def slide_chip() -> tuple[Embedding, tuple[Shape, ...]]:
    """A chip of the sample slide, and the nuclei that lie wholly on it."""
    slide = Slide(Path("none"), 4096)
    inside = [
        n.translated(-1100, -300)
        for n in slide.nuclei
        if n.bounds.x0 > 1110 and n.bounds.x1 < 2114 and n.bounds.y0 > 310 and n.bounds.y1 < 1314
    ]
    return ENGINE.encode(slide.draw(1100, 300, 1024, 1024), Task()), tuple(inside)


def test_nuclei_are_found_with_one_click() -> None:
    embedding, nuclei = slide_chip()
    assert len(nuclei) > 40
    found = [iou(answer(embedding, Prompts((PointPrompt(*n.centroid),)))[0], n) for n in nuclei]
    assert np.mean(found) > 0.95
    assert np.mean(np.array(found) > 0.9) > 0.95


def test_nuclei_are_found_with_a_box() -> None:
    embedding, nuclei = slide_chip()
    boxes = [Prompts(boxes=(BoxPrompt(n.bounds.expanded(4)),)) for n in nuclei[::3]]
    found = [iou(answer(embedding, box)[0], n) for box, n in zip(boxes, nuclei[::3], strict=True)]
    assert np.mean(found) > 0.95


def coin_mask(x: float, y: float, radius: float) -> NDArray[np.bool_]:
    ys, xs = np.mgrid[:303, :384] + 0.5
    return np.hypot(xs - x, ys - y) < radius


@pytest.mark.parametrize(("x", "y", "radius"), [(44, 54, 21), (335, 44, 29), (100, 56, 19)])
def test_a_coin_is_found_with_one_click(x: float, y: float, radius: float) -> None:
    """The truth is a circle fitted by eye to a coin that is not quite round."""
    picture = np.repeat(data.coins()[..., None], 3, axis=2)
    embedding = ENGINE.encode(picture, Task())
    best = answer(embedding, Prompts((PointPrompt(x, y),)))[0]
    mask = shape_to_mask(best, Region(0, 0, 384, 303))
    truth = coin_mask(x, y, radius)
    assert (mask & truth).sum() / (mask | truth).sum() > 0.8


def test_a_prior_shape_is_taken_up() -> None:
    """A rough outline of an object brings the object."""
    embedding, nuclei = slide_chip()
    one = nuclei[5]
    x, y = one.centroid
    rough = Shape.box(x - 14, y - 14, x + 14, y + 14)
    found = answer(embedding, Prompts(prior=rough))
    assert found
    assert iou(found[0], one) > 0.8


def test_negative_points_take_away() -> None:
    embedding = ENGINE.encode(disc_picture(272, 136, 136, 90, 45), Task())
    whole = answer(embedding, Prompts(boxes=(BoxPrompt(Bounds(40, 40, 232, 232)),)))[0]
    assert whole.contains(136, 68)
    cut = answer(embedding, Prompts((PointPrompt(136, 68), PointPrompt(136, 136, False))))[0]
    assert cut.contains(136, 68)
    assert not cut.contains(136, 136)


def test_candidates_differ_in_extent() -> None:
    """A disc on a disc: both are offered."""
    picture = disc_picture(272, 136, 136, 100) // 2 + disc_picture(272, 136, 136, 30) // 4
    found = answer(ENGINE.encode(picture, Task()), Prompts((PointPrompt(136, 136),)))
    areas = sorted(shape.area for shape in found)
    assert any(area == pytest.approx(np.pi * 30**2, rel=0.05) for area in areas)
    assert any(area == pytest.approx(np.pi * 100**2, rel=0.05) for area in areas)
    assert all(large > 1.2 * small for small, large in pairwise(areas))


def test_a_clear_object_scores_higher_than_noise() -> None:
    noise = np.random.default_rng(2).normal(128, 25, (200, 200, 1)).clip(0, 255).astype(np.uint8)
    clear = ENGINE.encode(disc_picture(200, 100, 100, 40), Task())
    vague = ENGINE.encode(np.repeat(noise, 3, axis=2), Task())
    prompt = Prompts((PointPrompt(100, 100),))
    best = ENGINE.predict(clear, prompt, Task())[0].score
    assert best > 0.6
    assert all(found.score < best - 0.2 for found in ENGINE.predict(vague, prompt, Task()))


def test_an_object_cut_by_the_border_reaches_it() -> None:
    best = answer(ENGINE.encode(disc_picture(200, 0, 100, 60), Task()), Prompts((PointPrompt(20, 100),)))[0]
    assert best.bounds.x0 == 0
    assert best.area == pytest.approx(np.pi * 60**2 / 2, rel=0.01)


@pytest.mark.parametrize("gray", [0, 128, 255])
@pytest.mark.parametrize("side", [40, 1024])
def test_an_even_picture_holds_nothing(gray: int, side: int) -> None:
    embedding = ENGINE.encode(np.full((side, side, 3), gray, np.uint8), Task())
    box = BoxPrompt(Bounds(5, 5, 30, 30))
    assert ENGINE.predict(embedding, Prompts((PointPrompt(20, 20),)), Task()) == []
    assert ENGINE.predict(embedding, Prompts(boxes=(box,)), Task()) == []


def test_points_of_both_signs_on_one_even_area_part_it() -> None:
    embedding = ENGINE.encode(disc_picture(200, 100, 100, 60), Task())
    prompts = Prompts((PointPrompt(80, 100), PointPrompt(130, 100, False)))
    for found in ENGINE.predict(embedding, prompts, Task()):
        assert found.logits[100, 80] > 0 > found.logits[100, 130]


def test_a_negative_box_is_left_out() -> None:
    embedding = ENGINE.encode(disc_picture(200, 100, 100, 60), Task())
    prompts = Prompts((PointPrompt(80, 100),), (BoxPrompt(Bounds(120, 0, 200, 200), False),))
    for found in ENGINE.predict(embedding, prompts, Task()):
        assert found.logits[100, 80] > 0
        assert (found.logits[:, 120:] < 0).all()


def test_two_boxes_make_one_object() -> None:
    picture = np.concatenate((disc_picture(150, 75, 75, 40), disc_picture(150, 75, 75, 30)), axis=1)
    boxes = tuple(BoxPrompt(Bounds(x - r, 75 - r, x + r, 75 + r)) for x, r in ((75, 42), (225, 32)))
    best = answer(ENGINE.encode(picture, Task()), Prompts(boxes=boxes))[0]
    assert len(best.parts) == 3
    assert best.area == pytest.approx(np.pi * (40**2 + 30**2), rel=0.01)


def test_a_box_without_size_is_a_point() -> None:
    embedding = ENGINE.encode(disc_picture(200, 100, 100, 40), Task())
    point = Prompts(boxes=(BoxPrompt(Bounds(100, 100, 100, 100)),))
    assert answer(embedding, point)[0].area == pytest.approx(np.pi * 40**2, rel=0.01)


def test_a_prior_is_moved_to_the_edge_and_kept_elsewhere() -> None:
    """Half of the disc was drawn, a little too large: its round side snaps, its straight side stays."""
    embedding = ENGINE.encode(disc_picture(200, 100, 100, 60), Task())
    angles = np.linspace(-np.pi / 2, np.pi / 2, 60)
    half = Shape.polygon(np.stack((100 + 62 * np.cos(angles), 100 + 62 * np.sin(angles)), axis=1))
    found = answer(embedding, Prompts(prior=half))
    assert found[0].area == pytest.approx(np.pi * 60**2 / 2, rel=0.03)
    assert found[0].contains(101, 100)
    assert not found[0].contains(99, 100)


def test_a_point_adds_to_a_prior_and_another_takes_away() -> None:
    picture = np.concatenate((disc_picture(150, 75, 75, 40), disc_picture(150, 75, 75, 30)), axis=1)
    embedding = ENGINE.encode(picture, Task())
    prior = answer(embedding, Prompts((PointPrompt(75, 75),)))[0]
    more = answer(embedding, Prompts((PointPrompt(75, 75), PointPrompt(225, 75)), prior=prior))[0]
    assert more.area == pytest.approx(np.pi * (40**2 + 30**2), rel=0.02)
    less = answer(embedding, Prompts((PointPrompt(225, 75, False),), prior=more))[0]
    assert less.area == pytest.approx(np.pi * 40**2, rel=0.02)


def test_an_embedding_of_a_full_chip_is_small_enough_to_keep_many() -> None:
    embedding = slide_chip()[0]
    assert 3 * 1024**2 < embedding.nbytes < 32 << 20


PIXELS = st.integers(0, 2**32 - 1)
PLACES = st.floats(-20, 90, allow_nan=False)
POINTS = st.builds(PointPrompt, PLACES, PLACES, st.booleans())
BOXES = st.builds(
    BoxPrompt, st.builds(Bounds, PLACES, PLACES, PLACES, PLACES), st.sampled_from([True, True, False])
)


@settings(deadline=None, max_examples=60)
@given(
    PIXELS,
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.sampled_from([1, 3, 9]),
    st.lists(POINTS, max_size=5),
    st.lists(BOXES, max_size=2),
    st.booleans(),
)
def test_any_prompt_on_any_chip_is_obeyed(
    seed: int,
    shape: tuple[int, int],
    grain: int,
    points: list[PointPrompt],
    boxes: list[BoxPrompt],
    prior: bool,
) -> None:
    """Whatever is asked: no error, finite logits, and every point on its side."""
    h, w = shape
    coarse = np.random.default_rng(seed).integers(0, 256, (h // grain + 1, w // grain + 1, 3))
    chip = np.kron(coarse, np.ones((grain, grain, 1), np.int64))[:h, :w].astype(np.uint8)
    start = Shape.box(w * 0.2, h * 0.3, w * 0.7, h * 1.4) if prior else None
    prompts = Prompts(tuple(points), tuple(boxes), prior=start)
    signs = {}
    for x, y, positive in points:
        if 0 <= x <= w and 0 <= y <= h:
            signs[min(int(x), w - 1), min(int(y), h - 1)] = positive
    for found in ENGINE.predict(ENGINE.encode(chip, Task()), prompts, Task()):
        assert found.logits.shape == (h, w)
        assert np.isfinite(found.logits).all()
        assert 0 <= found.score <= 1
        for (x, y), positive in signs.items():
            assert (found.logits[y, x] > 0) == positive
