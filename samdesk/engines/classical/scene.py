"""Everything that prompts on one chip share. Must not know prompts."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.tasks import Task

from . import rank
from .graph import Graph, build_graph
from .merging import Floats, mean_gradient, small_first, ward_gradient
from .tree import Tree, build_tree

HOLE_LEAST = 0.95
"""Holes count when the region has less than this part of its area without them."""
HOLE_LEVELS = 12
"""How many ancestors of a region are compared with it."""


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """One tree, and per node what prompts are compared with.

    Attributes
    ----------
    tree : Tree
    area : ndarray, (m,) float64
    center : ndarray, (m, 2) float64
    color : ndarray, (m, 3) float64
        Mean L, a, b.
    value : ndarray, (m,) float64
        How much the node looks like an object, see `rank`.
    """

    tree: Tree
    area: Floats
    center: Floats
    color: Floats
    value: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A chip (h, w, 3) RGB uint8, its superpixels, and the trees over them.

    `table` (n, c) float64 is `rank.leaf_table`.
    """

    chip: NDArray[np.uint8]
    graph: Graph
    table: Floats
    branches: tuple[Branch, ...]

    @property
    def nbytes(self) -> int:
        return _nbytes(self)


def _nbytes(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, tuple):
        return sum(map(_nbytes, value))
    if is_dataclass(value):
        return sum(_nbytes(getattr(value, f.name)) for f in fields(value))
    return 0


def build_scene(chip: NDArray[np.uint8], task: Task) -> Scene:
    """Cut a chip into superpixels and build the trees."""
    graph = build_graph(chip, task)
    table = rank.leaf_table(graph)
    branches = []
    for linkage in (mean_gradient, small_first, ward_gradient):
        task.check()
        tree = build_tree(graph, linkage)
        sums = rank.totals(tree.sums(table), tree.inside, tree.box)
        value = _with_holes(tree, sums, rank.value(rank.features(sums)))
        branches.append(Branch(tree, sums.area, sums.center, sums.mean_color, value))
    return Scene(chip, graph, table, tuple(branches))


def _with_holes(tree: Tree, sums: rank.Totals, value: Floats) -> Floats:
    """Let a region count like the same region without its holes, when the background shows in them.

    It does when the color changes by the same step across the holes' borders as across the outline.
    """
    better = value.copy()
    above = tree.parent
    for _ in range(HOLE_LEVELS):
        same = (above >= 0) & (np.abs(tree.box[above] - tree.box).max(axis=1) <= 2)
        node = np.flatnonzero(same & (sums.area < HOLE_LEAST * sums.area[above]))
        filled = above[node]
        outline = np.maximum(sums.outer[filled, :1], 1)
        step = sums.contrast[filled] / outline
        border = np.maximum(sums.outer[node, :1] - outline, 1)
        other = (sums.contrast[node] - sums.contrast[filled]) / border
        away = np.linalg.norm((other - step)[:, :3], axis=1)
        node = node[away < 0.5 * np.linalg.norm(step[:, :3], axis=1)]
        better[node] = np.maximum(better[node], value[above[node]] + 0.5)
        above = np.where(same, tree.parent[above], -1)
    return better
