"""torchvision beside a torch that it was not compiled for."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samdesk.domain.errors import SamdeskError
from samdesk.engines.torchvision_ops import check_versions, disarm_torchvision, matching_torchvision


@pytest.fixture(scope="module")
def ops() -> ModuleType:
    disarm_torchvision()
    import torchvision.ops

    return torchvision.ops


def run_fresh(code: str) -> str:
    """What a fresh interpreter prints; a warning is an error there."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def naive_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(not overlap(boxes[i], boxes[j]) > np.float32(threshold) for j in kept):
            kept.append(i)
    return kept


def overlap(a: np.ndarray, b: np.ndarray) -> np.float32:
    zero = np.float32(0)
    width = max(zero, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(zero, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union > 0 else zero


@st.composite
def scored_boxes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Boxes on a small grid, so that many touch, coincide, are empty, or share a score."""
    count = draw(st.integers(0, 24))
    corner, side = st.integers(0, 12), st.integers(0, 8)
    rows = draw(st.lists(st.tuples(corner, corner, side, side), min_size=count, max_size=count))
    scores = draw(st.lists(st.integers(0, 6), min_size=count, max_size=count))
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in rows], np.float32).reshape(-1, 4)
    return boxes, np.array(scores, np.float32) / 6


def test_fresh_interpreter_imports_what_needs_torchvision() -> None:
    wanted = [name for name in ("timm", "sam2", "segment_anything") if importlib.util.find_spec(name)]
    code = "from samdesk.engines.torchvision_ops import disarm_torchvision as d; d(); d(); "
    code += f"import torchvision, {', '.join(wanted)}; print(torchvision.ops.nms.__name__)"
    assert run_fresh(code) == "nms"


def test_an_import_that_failed_before_does_no_harm() -> None:
    code = """
try:
    import torchvision
except RuntimeError:
    pass
from samdesk.engines.torchvision_ops import disarm_torchvision
disarm_torchvision()
import torch, torchvision.ops as ops
print(ops.nms(torch.tensor([[0., 0, 4, 4], [0, 0, 4, 4]]), torch.tensor([1., 2]), .5).tolist())
"""
    assert run_fresh(code) == "[1]"


def test_missing_torchvision_says_what_to_run() -> None:
    code = """
import sys
sys.modules["torchvision"] = None
from samdesk.domain.errors import SamdeskError
from samdesk.engines.torchvision_ops import disarm_torchvision
try:
    disarm_torchvision()
except SamdeskError as error:
    print(error)
"""
    told = run_fresh(code)
    assert "torchvision is not installed" in told
    assert f"torchvision=={matching_torchvision(torch.__version__)}" in told


@given(scored_boxes(), st.sampled_from([0.0, 0.25, 0.5, 0.7, 1.0]))
@settings(deadline=None, max_examples=100)
def test_nms_keeps_what_the_definition_keeps(
    ops: ModuleType, given_boxes: tuple[np.ndarray, np.ndarray], threshold: float
) -> None:
    boxes, scores = given_boxes
    kept = ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold)
    assert kept.dtype == torch.int64
    assert kept.tolist() == naive_nms(boxes, scores, threshold)


@given(scored_boxes(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=50)
def test_batched_nms_keeps_groups_apart(
    ops: ModuleType, given_boxes: tuple[np.ndarray, np.ndarray], random: object
) -> None:
    boxes, scores = given_boxes
    groups = np.array([random.randrange(3) for _ in scores], np.int64)  # type: ignore[attr-defined]
    kept = ops.batched_nms(*map(torch.from_numpy, (boxes, scores, groups)), 0.5).tolist()
    expected = []
    for group in range(3):
        members = np.flatnonzero(groups == group)
        expected += [int(members[i]) for i in naive_nms(boxes[members], scores[members], 0.5)]
    assert sorted(kept) == sorted(expected)
    assert [scores[i] for i in kept] == sorted((scores[i] for i in kept), reverse=True)


def test_batched_nms_of_many_boxes_takes_the_other_way_and_agrees(ops: ModuleType) -> None:
    draw = np.random.default_rng(0)
    corners = draw.uniform(0, 100, (1500, 2))
    boxes = np.hstack([corners, corners + draw.uniform(1, 12, (1500, 2))]).astype(np.float32)
    scores, groups = draw.uniform(size=1500).astype(np.float32), draw.integers(0, 2, 1500)
    kept = ops.batched_nms(*map(torch.from_numpy, (boxes, scores, groups)), 0.4).tolist()
    expected = []
    for group in range(2):
        members = np.flatnonzero(groups == group)
        expected += [int(members[i]) for i in naive_nms(boxes[members], scores[members], 0.4)]
    assert kept == sorted(expected, key=lambda i: -scores[i])


@pytest.mark.parametrize(
    ("boxes", "scores"), [((3, 5), (3,)), ((3, 4), (2,)), ((12,), (3,)), ((3, 4), (3, 1))]
)
def test_nms_refuses_wrong_shapes(ops: ModuleType, boxes: tuple[int, ...], scores: tuple[int, ...]) -> None:
    with pytest.raises((ValueError, RuntimeError), match=r"should|dimension"):
        ops.nms(torch.zeros(boxes), torch.zeros(scores), 0.5)


def naive_roi_align(image: np.ndarray, box: np.ndarray, out: int, scale: float, ratio: int, aligned: bool):
    """Bilinear samples on a regular grid in each bin, averaged (He et al. 2017, Mask R-CNN)."""
    x0, y0, x1, y1 = box * scale - (0.5 if aligned else 0.0)
    width, height = x1 - x0, y1 - y0
    if not aligned:
        width, height = max(width, 1.0), max(height, 1.0)
    nx = ratio if ratio > 0 else int(np.ceil(width / out))
    ny = ratio if ratio > 0 else int(np.ceil(height / out))
    pooled = np.zeros((image.shape[0], out, out))
    for i in range(out):
        for j in range(out):
            for v in range(ny):
                for u in range(nx):
                    y = y0 + (i + (v + 0.5) / ny) * height / out
                    x = x0 + (j + (u + 0.5) / nx) * width / out
                    pooled[:, i, j] += bilinear(image, y, x) / (nx * ny)
    return pooled


def bilinear(image: np.ndarray, y: float, x: float) -> np.ndarray:
    height, width = image.shape[1:]
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    fy, fx = y - top, x - left
    upper = image[:, top, left] * (1 - fx) + image[:, top, right] * fx
    lower = image[:, bottom, left] * (1 - fx) + image[:, bottom, right] * fx
    return upper * (1 - fy) + lower * fy


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [-1, 2])
def test_roi_align_samples_as_defined(ops: ModuleType, aligned: bool, ratio: int) -> None:
    draw = np.random.default_rng(1)
    images = draw.normal(size=(2, 3, 10, 12)).astype(np.float32)
    boxes = np.array([[2.0, 1.0, 17.0, 11.0], [0.5, 3.25, 6.0, 18.5], [8.0, 8.0, 9.0, 9.5]], np.float32)
    which = [0, 1, 1]
    rois = torch.from_numpy(np.hstack([np.array(which, np.float32)[:, None], boxes]))
    found = ops.roi_align(torch.from_numpy(images), rois, 3, 0.5, ratio, aligned).numpy()
    for n, box in enumerate(boxes):
        expected = naive_roi_align(images[which[n]], box, 3, 0.5, ratio, aligned)
        np.testing.assert_allclose(found[n], expected, atol=2e-6)


def test_roi_align_takes_a_list_of_boxes_for_each_image(ops: ModuleType) -> None:
    images = torch.arange(2 * 16.0).reshape(2, 1, 4, 4)
    found = ops.RoIAlign(1, spatial_scale=1.0, sampling_ratio=1, aligned=True)(
        images, [torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[0.0, 0, 2, 2]])]
    )
    assert found.flatten().tolist() == [7.5, 18.5]


@pytest.mark.parametrize(
    ("torch_version", "expected"),
    [("2.4.0", "0.19.0"), ("2.6.0+cu124", "0.21.0"), ("2.13.0+cpu", "0.28.0"), ("2.7.1", "0.22.1")],
)
def test_torchvision_counts_in_step_with_torch(torch_version: str, expected: str) -> None:
    assert matching_torchvision(torch_version) == expected


@pytest.mark.parametrize("unknown", ["3.0.0", "2.14.0a0+git1234", "2.14"])
def test_versions_that_cannot_be_paired_are_left_alone(unknown: str) -> None:
    assert matching_torchvision(unknown) == ""
    check_versions(unknown, "0.28.0")


def test_a_torchvision_of_another_torch_is_refused_with_the_command_to_run() -> None:
    check_versions("2.13.0+cpu", "0.28.0")
    check_versions("2.13.1", "0.28.0+cu130")
    with pytest.raises(SamdeskError, match=r"torchvision 0\.19\.1 is not made for torch 2\.13\.0") as caught:
        check_versions("2.13.0+cpu", "0.19.1")
    assert caught.value.hint.endswith("-m pip install --no-deps --force-reinstall torchvision==0.28.0")
