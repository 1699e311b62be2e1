"""Trees of regions: which superpixels make a part, which parts an object. Must not know prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .graph import Graph
from .merging import Floats, Index, Linkage, group_sums, merge_rounds


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A hierarchy over the n superpixels of a graph; its m nodes are regions.

    Attributes
    ----------
    parent : ndarray, (m,) int64
        Nodes 0..n - 1 are the superpixels, parents come after their children; -1 for the root.
    order, place : ndarray, (n,) int64
        The superpixels arranged so that every node is one stretch, and where each one is.
    start, end : ndarray, (m,) int64
        Node k is ``order[start[k]:end[k]]``.
    inside : ndarray, (m, b) float64
        What lies between two superpixels of the node, summed as in `Graph.border`.
    box : ndarray, (m, 4) float64
        x0, y0, x1, y1 on pixel edges.
    """

    parent: Index
    order: Index
    place: Index
    start: Index
    end: Index
    inside: Floats
    box: Floats

    def path(self, leaf: int) -> Index:
        """The nodes that hold a superpixel, smallest first."""
        nodes = [leaf]
        while (up := int(self.parent[nodes[-1]])) >= 0:
            nodes.append(up)
        return np.array(nodes)

    def members(self, nodes: Index) -> NDArray[np.bool_]:
        """Which superpixels each node holds, (len(nodes), n)."""
        start, end = self.start[nodes, None], self.end[nodes, None]
        held: NDArray[np.bool_] = (self.place >= start) & (self.place < end)
        return held

    def sums(self, values: Floats) -> Floats:
        """Sum of the rows of `values` (n, k) over each node, (m, k)."""
        running = np.concatenate((np.zeros((1, values.shape[1])), values[self.order].cumsum(axis=0)))
        sums: Floats = running[self.end] - running[self.start]
        return sums


class _Family(NamedTuple):
    """The nodes that one round joined, and the new node of each; sorted by parent."""

    child: Index
    parent: Index


def build_tree(graph: Graph, linkage: Linkage) -> Tree:
    """Join the superpixels of a graph until one region is left."""
    leaves = len(graph.area)
    node, edge = np.arange(leaves), np.arange(len(graph.first))
    holder = np.zeros(len(graph.first), np.int64)
    families: list[_Family] = []
    total = leaves
    for step in merge_rounds(graph.regions(), linkage):
        grown = np.bincount(step.group) > 1
        new = int(grown.sum())
        after = np.empty(len(grown), np.int64)
        after[step.group] = node
        after[grown] = total + np.arange(new)
        total += new
        child = np.flatnonzero(grown[step.group])
        child = child[np.argsort(step.group[child], kind="stable")]
        families.append(_Family(node[child], after[step.group[child]]))
        live = np.flatnonzero(edge >= 0)
        side = step.group[step.before.first[edge[live]]]
        edge[live] = step.border[edge[live]]
        swallowed = edge[live] < 0
        holder[live[swallowed]] = after[side[swallowed]]
        node = after
    return _arranged(families, total, group_sums(holder, graph.border, total), graph.box)


def _arranged(families: list[_Family], total: int, inside: Floats, leaf_box: Floats) -> Tree:
    leaves = len(leaf_box)
    parent = np.full(total, -1, np.int64)
    size = np.zeros(total, np.int64)
    size[:leaves] = 1
    low, high = np.full((total, 2), np.inf), np.full((total, 2), -np.inf)
    low[:leaves], high[:leaves] = leaf_box[:, :2], leaf_box[:, 2:]
    for child, up in families:
        parent[child] = up
        np.add.at(size, up, size[child])
        np.add.at(inside, up, inside[child])
        np.minimum.at(low, up, low[child])
        np.maximum.at(high, up, high[child])
    start = np.zeros(total, np.int64)
    for child, up in reversed(families):
        before = np.cumsum(size[child]) - size[child]
        eldest = np.flatnonzero(np.diff(up, prepend=-1))
        siblings = np.diff(eldest, append=len(up))
        start[child] = start[up] + before - np.repeat(before[eldest], siblings)
    order = np.empty(leaves, np.int64)
    order[start[:leaves]] = np.arange(leaves)
    place, box = start[:leaves].copy(), np.concatenate((low, high), axis=1)
    return Tree(parent, order, place, start, start + size, inside, box)
