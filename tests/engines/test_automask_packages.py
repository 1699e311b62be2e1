"""The masks of the SAM packages' own generators, and ours, from the same model.

The models answer by color (`color_models`), so that there are dozens of objects of all sizes and
every filter has something to drop; the generators are the packages', unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import data

from samdesk.domain.geometry import Region
from samdesk.domain.outline import shape_to_mask
from samdesk.domain.tasks import Task
from samdesk.engines.automask import AutomaskOptions, MaskFound, automask
from samdesk.engines.torchvision_ops import disarm_torchvision
from tests.bench.automask_models import sam_pair

from .color_models import ColorSam2, Sam2ColorEngine, SamColorEngine, color_sam, sam2_sizes

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")

OPTIONS = AutomaskOptions(
    points_per_side=6,
    pred_iou_thresh=0.55,
    stability_score_thresh=0.8,
    box_nms_thresh=0.3,
    include_image_edge=True,
)
"""Thresholds at which every filter drops something; the generators know no `include_image_edge`."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The models' steps are too small to be worth sharing."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def picture(name: str) -> NDArray[np.uint8]:
    if name == "coins":
        return np.repeat(data.coins()[..., None], 3, axis=2)
    tissue: NDArray[np.uint8] = data.immunohistochemistry()
    return tissue if name == "tissue" else np.asarray(cv2.resize(tissue, (1024, 1024)), np.uint8)


def both(
    package: str, pixels: NDArray[np.uint8], options: AutomaskOptions
) -> tuple[list[Any], list[MaskFound]]:
    """What the package's generator finds, and what ours finds with the same model."""
    disarm_torchvision()
    names = [name for name in AutomaskOptions.__dataclass_fields__ if name != "include_image_edge"]
    wanted = {name: getattr(options, name) for name in names}
    engine: Any
    if package == "sam":
        from segment_anything import SamAutomaticMaskGenerator

        model = color_sam()
        generator, engine = SamAutomaticMaskGenerator(model, **wanted), SamColorEngine(model)
    else:
        from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

        model = ColorSam2()
        generator, engine = SAM2AutomaticMaskGenerator(model, **wanted), Sam2ColorEngine(model)
        sam2_sizes(generator.predictor)
    return generator.generate(pixels), automask(engine, pixels, options, Task())


def same_masks(theirs: Sequence[Any], ours: Sequence[MaskFound], size: tuple[int, int]) -> None:
    """Assert that each of their masks is one of ours, to the pixel, and outlined faithfully."""
    assert len(theirs) == len(ours)
    known = {(*box_of(one), round(one.score, 5)): one for one in ours}
    assert len(known) == len(ours)
    overlaps = []
    for mask in theirs:
        x, y, width, height = mask["bbox"]
        one = known[(x, y, width, height, round(mask["predicted_iou"], 5))]
        assert one.area == mask["area"]
        assert one.stability == pytest.approx(mask["stability_score"], abs=1e-5)
        drawn = shape_to_mask(one.shape, Region(0, 0, size[1], size[0]))
        overlaps.append((drawn & mask["segmentation"]).sum() / (drawn | mask["segmentation"]).sum())
    large = np.array([mask["area"] for mask in theirs]) >= 500
    assert large.sum() > 10
    assert min(np.array(overlaps)[large]) >= 0.99
    # of a small mask the line through pixels that are neither in nor out is 1 % of it
    assert min(overlaps) >= 0.98


def box_of(one: MaskFound) -> tuple[float, ...]:
    """As the packages give it: corner, then last pixel less the first."""
    x0, y0, x1, y1 = one.box
    return x0, y0, x1 - x0 - 1, y1 - y0 - 1


@pytest.mark.parametrize(
    ("package", "name"), [("sam", "tissue"), ("sam", "coins"), ("sam2", "coins"), ("sam2", "large tissue")]
)
def test_a_chip(package: str, name: str) -> None:
    pixels = picture(name)
    theirs, ours = both(package, pixels, OPTIONS)
    assert len(theirs) >= 20
    same_masks(theirs, ours, pixels.shape[:2])


def test_every_filter_drops_something() -> None:
    disarm_torchvision()
    pixels, engine = picture("coins"), Sam2ColorEngine(ColorSam2())
    embedding = engine.encode(pixels, Task())

    def count(**changed: float) -> int:
        options = replace(OPTIONS, **changed)  # type: ignore[arg-type]
        return len(automask(engine, pixels, options, Task(), embedding=embedding))

    kept = count()
    assert count(pred_iou_thresh=0.0) > kept
    assert count(stability_score_thresh=0.0) > kept
    assert count(box_nms_thresh=1.0) > kept


@pytest.mark.parametrize(("package", "name"), [("sam", "tissue"), ("sam2", "coins")])
def test_crops(package: str, name: str) -> None:
    pixels = picture(name)
    options = replace(OPTIONS, points_per_side=4, crop_n_layers=1, crop_n_points_downscale_factor=2)
    theirs, ours = both(package, pixels, options)
    same_masks(theirs, ours, pixels.shape[:2])
    assert len({one.crop for one in ours}) == 5


def test_small_regions() -> None:
    """SAM 2's generator cleans with a kernel that needs a GPU, so only SAM's is compared."""
    pixels = picture("coins")
    options = replace(OPTIONS, min_mask_region_area=150)
    theirs, ours = both("sam", pixels, options)
    same_masks(theirs, ours, pixels.shape[:2])
    plain = automask(SamColorEngine(color_sam()), pixels, OPTIONS, Task())
    assert {one.area for one in ours} - {one.area for one in plain}


def test_the_real_decoder() -> None:
    """Ours has fewer operations, and so other roundings: masks are matched by what they cover."""
    disarm_torchvision()
    wanted = {"points_per_side": 3, "pred_iou_thresh": 0.72, "stability_score_thresh": 0.6}
    rest = {"stability_score_offset": 0.2, "box_nms_thresh": 1.0}
    generator, engine, _ = sam_pair({**wanted, **rest})
    pixels = picture("large tissue")
    theirs = generator.generate(pixels)
    options = AutomaskOptions(**wanted, **rest, include_image_edge=True)  # type: ignore[arg-type]
    ours = automask(engine, pixels, options, Task())
    assert 8 <= len(theirs) == len(ours) < 27
    drawn = [shape_to_mask(one.shape, Region(0, 0, 1024, 1024)) for one in ours]
    for mask in theirs:
        other = mask["segmentation"]
        assert max((one & other).sum() / (one | other).sum() for one in drawn) >= 0.99
