"""Fit the constants of `samdesk.engines.classical.rank` on synthetic pictures and print them.

The weights maximize the overlap that is expected when the region is drawn with probability
softmax(value) from those that hold the click. The logistic function is then fitted to the overlap
of the best one, with clicks on nothing but noise among them.

Run with ``python -m tests.bench.classical_fit``.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from samdesk.domain.tasks import Task
from samdesk.engines.classical import rank
from samdesk.engines.classical.scene import build_scene

from .classical_scenes import Scene, empty, training

Floats = NDArray[np.float64]

OFF_CENTER_CLICKS = 2
OFF_CENTER_WEIGHT = 0.5
PENALTY = 1e-3


@dataclass(frozen=True)
class Click:
    """The regions that hold one click.

    Attributes
    ----------
    features : ndarray, (k, f)
    overlap : ndarray, (k,)
        With the truth; 0 when there is none.
    clear : ndarray, (k,)
        See `rank.clearness`.
    weight : float
    """

    features: Floats
    overlap: Floats
    clear: Floats
    weight: float


def clicks_of(picture: Scene, seed: int) -> list[Click]:
    """One click at each object's deepest point, and some elsewhere in its inner half."""
    rng = np.random.default_rng(seed)
    scene = build_scene(picture.image, Task())
    labels = scene.graph.labels
    found = []
    table = rank.leaf_table(scene.graph)
    sums = [rank.totals(b.tree.sums(table), b.tree.inside, b.tree.box) for b in scene.branches]
    described = [(rank.features(s), rank.clearness(s)) for s in sums]
    for truth in picture.truths:
        covered = np.bincount(labels[truth], minlength=len(scene.graph.area)).astype(float)[:, None]
        depth = cv2.distanceTransform(np.pad(truth, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
        depth = depth if truth.any() else rng.random(depth.shape)
        rows, columns = np.nonzero(depth >= 0.5 * depth.max())
        others = rng.integers(len(rows), size=OFF_CENTER_CLICKS)
        places = [divmod(int(depth.argmax()), depth.shape[1])]
        places += list(zip(rows[others].tolist(), columns[others].tolist(), strict=True))
        for k, (y, x) in enumerate(places):
            leaf = int(labels[y, x])
            clicked = scene.graph.color[leaf, :3] / scene.graph.area[leaf]
            features, overlap, clear = [], [], []
            for branch, (table, clearness) in zip(scene.branches, described, strict=True):
                nodes = branch.tree.path(leaf)[:-1]
                common = branch.tree.sums(covered)[nodes, 0]
                overlap.append(common / (branch.area[nodes] + truth.sum() - common))
                place = rank.off_center(branch.area[nodes], branch.center[nodes], x + 0.5, y + 0.5)
                color = rank.off_color(branch.color[nodes], clicked)
                features.append(np.column_stack((table[nodes], place, color)))
                clear.append(clearness[nodes])
            weight = (OFF_CENTER_WEIGHT if k else 1.0) / len(picture.truths)
            found.append(
                Click(np.concatenate(features), np.concatenate(overlap), weight, np.concatenate(clear))
            )
    return found


def fit_weights(clicks: list[Click]) -> Floats:
    features = np.concatenate([c.features for c in clicks])
    overlap = np.concatenate([c.overlap for c in clicks])
    owner = np.repeat(np.arange(len(clicks)), [len(c.overlap) for c in clicks])
    start = np.flatnonzero(np.diff(owner, prepend=-1))
    weight = np.array([c.weight for c in clicks])
    weight /= weight.sum()
    scale = features.std(axis=0)
    scaled = features / scale

    def loss(w: Floats) -> tuple[float, Floats]:
        value = scaled @ w
        chance = np.exp(value - np.maximum.reduceat(value, start)[owner])
        chance /= np.bincount(owner, chance)[owner]
        expected = np.bincount(owner, chance * overlap)
        slope = (weight[owner] * chance * (overlap - expected[owner])) @ scaled
        return PENALTY * w @ w - weight @ expected, 2 * PENALTY * w - slope

    return np.asarray(minimize(loss, np.zeros(scaled.shape[1]), jac=True, method="L-BFGS-B").x / scale)


def fit_logistic(clicks: list[Click], weights: Floats) -> Floats:
    """Offset, slope and clarity of `rank.overlap`, for the best region of each click."""
    rows = []
    for click in clicks:
        value = click.features @ weights
        best = int(value.argmax())
        rows.append((value[best], click.clear[best], click.overlap[best], click.weight))
    value, clear, overlap, weight = np.array(rows).T

    def loss(p: Floats) -> float:
        expected = 1 / (1 + np.exp(-(p[0] + p[1] * value + p[2] * clear)))
        return float((weight * (expected - overlap) ** 2).sum())

    return np.asarray(minimize(loss, np.array((0.0, 0.2, 0.2)), method="Nelder-Mead").x)


def main() -> None:
    clicks = [c for k, scene in enumerate(training()) for c in clicks_of(scene, k)]
    nothing = [c for k, scene in enumerate(empty()) for c in clicks_of(scene, k)]
    weights = fit_weights(clicks)
    for name, weight in zip((*rank.FEATURES, "off_center", "off_color"), weights, strict=True):
        print(f"{name:<12} {weight:7.2f}")
    print("OFFSET, SLOPE, CLARITY =", fit_logistic(clicks + nothing, weights).round(3))
    picked = [c.overlap[np.argmax(c.features @ weights)] for c in clicks]
    print(f"mean overlap of the best region over {len(clicks)} clicks: {np.mean(picked):.3f}")


if __name__ == "__main__":
    main()
