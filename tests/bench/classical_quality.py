"""How well the classical engine finds objects, beside well-known methods on the same prompts.

Run with ``python -m tests.bench.classical_quality [FOLDER]``; with a folder, overlays are written
to it. IoU is the mean over objects, then over pictures. "of 3" is the best of the three candidates,
"3 clicks" is one click in the middle and two at the deepest point of the largest error, as long as
there is one that a user would see (2.5 px deep, IoU below 0.97).
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import flood, random_walker, watershed

from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import CHIP, load_engine

from .classical_scenes import Scene, real, synthetic

Mask = NDArray[np.bool_]
Picture = NDArray[np.uint8]
Segment = Callable[[Picture, list[PointPrompt], Bounds | None], list[Mask]]

OBJECTS = 8
"""Objects taken of each picture."""
WINDOW = 1.0
"""Baselines see a box and this part of its size around it."""


def overlap(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def deepest(mask: Mask) -> tuple[float, float, float]:
    """The point of a mask farthest from its outline, and how far that is."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), mask.shape)
    return float(x) + 0.5, float(y) + 0.5, float(depth.max())


def tight_box(mask: Mask, slack: int = 2) -> Bounds:
    rows, columns = np.nonzero(mask)
    h, w = mask.shape
    return Bounds(
        max(0, int(columns.min()) - slack), max(0, int(rows.min()) - slack),
        min(w, int(columns.max()) + 1 + slack), min(h, int(rows.max()) + 1 + slack),
    )  # fmt: skip


def gray_of(picture: Picture) -> NDArray[np.float32]:
    return cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (0, 0), 1.0).astype(np.float32)


def seeds_of(shape: tuple[int, ...], points: list[PointPrompt], box: Bounds | None) -> NDArray[np.int32]:
    """1 inside, 2 outside: discs at points, the middle of a box and all beyond it, and the frame."""
    seeds = np.zeros(shape[:2], np.int32)
    if box is not None:
        x0, y0, x1, y1 = map(int, box)
        seeds[:] = 2
        seeds[y0:y1, x0:x1] = 0
        axes = (max(1, (x1 - x0) // 6), max(1, (y1 - y0) // 6))
        cv2.ellipse(seeds, ((x0 + x1) // 2, (y0 + y1) // 2), axes, 0, 0, 360, 1, -1)
    seeds[[0, -1]] = 2
    seeds[:, [0, -1]] = 2
    for x, y, positive in points:
        cv2.circle(seeds, (int(x), int(y)), 2, 1 if positive else 2, -1)
    return seeds


def by_flood(picture: Picture, points: list[PointPrompt], box: Bounds | None) -> list[Mask]:
    gray = gray_of(picture)
    found = np.zeros(gray.shape, bool)
    for x, y, positive in points:
        part = flood(gray, (int(y), int(x)), tolerance=0.12 * np.ptp(gray))
        found = found | part if positive else found & ~part
    return [found]


def by_watershed(picture: Picture, points: list[PointPrompt], box: Bounds | None) -> list[Mask]:
    gray = gray_of(picture)
    relief = np.hypot(cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1))
    return [watershed(relief, seeds_of(gray.shape, points, box)) == 1]


def by_random_walker(picture: Picture, points: list[PointPrompt], box: Bounds | None) -> list[Mask]:
    seeds = seeds_of(picture.shape, points, box)
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return [random_walker(lab, seeds, beta=130, mode="cg_j", tol=1e-2, channel_axis=-1) == 1]


def by_grabcut(picture: Picture, points: list[PointPrompt], box: Bounds | None) -> list[Mask]:
    mask = np.full(picture.shape[:2], cv2.GC_BGD, np.uint8)
    if box is None:
        mask[:] = cv2.GC_PR_BGD
    else:
        x0, y0, x1, y1 = map(int, box)
        mask[y0:y1, x0:x1] = cv2.GC_PR_FGD
    for x, y, positive in points:
        cv2.circle(mask, (int(x), int(y)), 2, cv2.GC_FGD if positive else cv2.GC_BGD, -1)
    model = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(picture, mask, None, *model, 3, cv2.GC_INIT_WITH_MASK)
    return [(mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)]


def in_window(segment: Segment, truth: Mask) -> Segment:
    """Let a baseline see only the surroundings of the object, which helps it and saves time."""
    box = tight_box(truth)
    margin = int(WINDOW * max(box.width, box.height)) + 8
    h, w = truth.shape
    x0, y0 = max(0, int(box.x0) - margin), max(0, int(box.y0) - margin)
    x1, y1 = min(w, int(box.x1) + margin), min(h, int(box.y1) + margin)

    def run(picture: Picture, points: list[PointPrompt], box: Bounds | None) -> list[Mask]:
        here = [PointPrompt(x - x0, y - y0, positive) for x, y, positive in points]
        inner = box and Bounds(box.x0 - x0, box.y0 - y0, box.x1 - x0, box.y1 - y0)
        found = np.zeros(truth.shape, bool)
        found[y0:y1, x0:x1] = segment(np.ascontiguousarray(picture[y0:y1, x0:x1]), here, inner)[0]
        return [found]

    return run


def ask(segment: Segment, picture: Picture, truth: Mask, box: bool = False) -> tuple[float, float]:
    """IoU of the first answer and of the best one."""
    x, y, _ = deepest(truth)
    found = segment(picture, [] if box else [PointPrompt(x, y)], tight_box(truth) if box else None)
    overlaps = [overlap(mask, truth) for mask in found] or [0.0]
    return overlaps[0], max(overlaps)


def correct(segment: Segment, picture: Picture, truth: Mask, clicks: int = 3) -> float:
    """IoU after some clicks, each after the first where the answer is most wrong."""
    x, y, _ = deepest(truth)
    points = [PointPrompt(x, y)]
    while True:
        found = segment(picture, points, None)
        mask = found[0] if found else np.zeros_like(truth)
        missing, extra = deepest(truth & ~mask), deepest(mask & ~truth)
        worst = max(missing, extra, key=lambda p: p[2])
        if len(points) == clicks or worst[2] < 2.5 or overlap(mask, truth) > 0.97:
            return overlap(mask, truth)
        points.append(PointPrompt(worst[0], worst[1], worst is missing))


BASELINES: dict[str, tuple[Segment, bool]] = {
    "flood": (by_flood, False),
    "watershed": (by_watershed, True),
    "random walker": (by_random_walker, True),
    "grabCut": (by_grabcut, True),
}
"""The methods, and whether they can answer a box."""


def classical(picture: Picture, times: list[float]) -> Segment:
    """The engine on one picture, encoded once; appends the milliseconds of each prompt to `times`."""
    engine = load_engine("classical")
    embedding = engine.encode(picture, Task())

    def run(_: Picture, points: list[PointPrompt], box: Bounds | None) -> list[Mask]:
        started = time.thread_time()
        found = engine.predict(embedding, Prompts(tuple(points), (BoxPrompt(box),) if box else ()), Task())
        times.append(1e3 * (time.thread_time() - started))
        return [answer.logits > 0 for answer in found]

    return run


def measure(scene: Scene, times: list[float]) -> dict[str, float]:
    """Mean IoU of every method and kind of prompt over the objects of one picture."""
    found: dict[str, list[float]] = defaultdict(list)
    engine = classical(scene.image, times)
    for truth in scene.truths[:OBJECTS]:
        for kind, box in (("click", False), ("box", True)):
            first, best = ask(engine, scene.image, truth, box)
            found[f"{kind} classical"].append(first)
            found[f"{kind} of 3"].append(best)
        found["3 clicks classical"].append(correct(engine, scene.image, truth))
        for name, (method, takes_box) in BASELINES.items():
            windowed = in_window(method, truth)
            if name != "grabCut":
                found[f"click {name}"].append(ask(windowed, scene.image, truth)[0])
                found[f"3 clicks {name}"].append(correct(windowed, scene.image, truth))
            if takes_box:
                found[f"box {name}"].append(ask(windowed, scene.image, truth, True)[0])
    return {name: statistics.mean(values) for name, values in found.items()}


def chip_times() -> dict[str, float]:
    """Milliseconds of the calling thread on chips of 1024 px, by what was done."""
    rng = np.random.default_rng(0)
    engine = load_engine("classical")
    encode, hover, box = [], [], []
    for scene in real():
        picture = scene.image
        tiles = [-(-CHIP // side) for side in picture.shape[:2]]
        chip = np.ascontiguousarray(np.tile(picture, (*tiles, 1))[:CHIP, :CHIP])
        started = time.thread_time()
        embedding = engine.encode(chip, Task())
        encode.append(time.thread_time() - started)
        for x, y in rng.uniform(0, CHIP, (20, 2)):
            started = time.thread_time()
            engine.predict(embedding, Prompts((PointPrompt(x, y),)), Task())
            hover.append(time.thread_time() - started)
        for truth in scene.truths[:OBJECTS]:
            started = time.thread_time()
            engine.predict(embedding, Prompts(boxes=(BoxPrompt(tight_box(truth)),)), Task())
            box.append(time.thread_time() - started)
    return {
        "encode, median": 1e3 * statistics.median(encode),
        "encode, slowest": 1e3 * max(encode),
        "hover prompt, median": 1e3 * statistics.median(hover),
        "hover prompt, 95 %": 1e3 * float(np.quantile(hover, 0.95)),
        "hover prompt, slowest": 1e3 * max(hover),
        "box prompt, median": 1e3 * statistics.median(box),
    }


def draw_overlays(scenes: list[Scene], folder: Path, enlarge: int = 2) -> None:
    """The best answer to a click in the middle of each object, in green, and the truth in white."""
    folder.mkdir(parents=True, exist_ok=True)
    for scene in scenes:
        engine = classical(scene.image, [])
        picture = cv2.resize(scene.image[..., ::-1], None, fx=enlarge, fy=enlarge)
        for truth in scene.truths[:OBJECTS]:
            x, y, _ = deepest(truth)
            answer = engine(scene.image, [PointPrompt(x, y)], None)
            for mask, color in ((truth, (255, 255, 255)), *((m, (0, 255, 0)) for m in answer[:1])):
                large = cv2.resize(mask.astype(np.uint8), None, fx=enlarge, fy=enlarge, interpolation=0)
                lines, _ = cv2.findContours(large, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
                cv2.drawContours(picture, lines, -1, color, 1)
        cv2.imwrite(str(folder / f"{scene.name.replace(' ', '_').replace('&', '')}.png"), picture)


def main() -> None:
    cv2.setNumThreads(1)  # so that a thread's time is all the time that is spent
    scenes = [*synthetic(), *real()]
    times: list[float] = []
    rows = {scene.name: measure(scene, times) for scene in scenes}
    columns = [
        f"{kind} {method}"
        for kind in ("click", "box", "3 clicks")
        for method in ("classical", "of 3", *BASELINES)
        if f"{kind} {method}" in rows[scenes[0].name]
    ]
    print("| mean IoU |", " | ".join(columns), "|")
    print("|---" * (len(columns) + 1), "|", sep="")
    for scene in scenes:
        print(f"| {scene.name} |", " | ".join(f"{rows[scene.name][c]:.2f}" for c in columns), "|")
    for group in ("synthetic", "real"):
        names = [scene.name for scene in scenes if scene.group == group]
        means = [statistics.mean(rows[name][c] for name in names) for c in columns]
        print(f"| **{group}** |", " | ".join(f"**{mean:.3f}**" for mean in means), "|")
    for name, value in chip_times().items():
        print(f"{name:<24} {value:8.1f} ms")
    if len(sys.argv) > 1:
        draw_overlays(scenes, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
