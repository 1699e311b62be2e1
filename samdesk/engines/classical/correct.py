"""Sets of superpixels brought into line with points. Must not know where the sets come from."""

from __future__ import annotations

import numpy as np

from .asked import Asked, Points
from .judge import Members, judge
from .merging import Floats, Index
from .scene import Scene
from .tree import Tree

CONTRADICTION = 8.0
"""What a set loses per point on its wrong side; see `contradicted`."""
DEPTH = 0.15
"""A point deeper on the wrong side than this part of the set's size counts fully."""
NEAR = 2
"""A point this close (px) to the outline moves it there and changes nothing else."""
APART = 16.0
"""What a piece loses that is added to a set without touching it."""
CHANGE = 2.0
"""What a correction loses per part of the set's area that it adds or takes off."""


def leaves(scene: Scene, asked: Asked) -> tuple[Index, Index]:
    """The superpixels of the positive and of the negative points; none is both."""
    labels = scene.graph.labels
    wanted = np.unique(labels[asked.positives[:, 1], asked.positives[:, 0]]).astype(np.int64)
    barred = np.unique(labels[asked.negatives[:, 1], asked.negatives[:, 0]]).astype(np.int64)
    return wanted, np.setdiff1d(barred, wanted)


def count(tree: Tree, nodes: Index, superpixels: Index) -> Index:
    """How many of some superpixels each node holds."""
    place = np.sort(tree.place[superpixels])
    return np.searchsorted(place, tree.end[nodes]) - np.searchsorted(place, tree.start[nodes])


def contradicted(scene: Scene, asked: Asked, members: Members) -> float:
    """What a set loses by points on its wrong side; one near its outline counts in part."""
    labels = scene.graph.labels
    reach = max(NEAR, int(DEPTH * np.sqrt(scene.graph.area[members].sum())))
    total = 0.0
    for points, inside in ((asked.positives, True), (asked.negatives, False)):
        for x, y in points[members[labels[points[:, 1], points[:, 0]]] != inside]:
            top, left = max(0, y - reach), max(0, x - reach)
            right_side = members[labels[top : y + reach + 1, left : x + reach + 1]] == inside
            rows, columns = np.nonzero(right_side)
            total += np.hypot(rows + top - y, columns + left - x).min(initial=reach) / reach
    return CONTRADICTION * total


def corrected(scene: Scene, asked: Asked, members: Members) -> Members:
    """The set with regions added or taken off until it agrees with every point; may become empty."""
    wanted, barred = leaves(scene, asked)
    for leaf in wanted.tolist():
        if not members[leaf] and not _at_outline(scene, members, asked.positives, leaf):
            pieces, worth = _around(scene, leaf, barred)
            worth = worth - APART * ~_touching(scene, members, pieces)
            members = _best(scene, asked, members, members | pieces, worth)
    for leaf in barred.tolist():
        if members[leaf] and not _at_outline(scene, members, asked.negatives, leaf):
            pieces, worth = _around(scene, leaf, wanted)
            members = _best(scene, asked, members, members & ~pieces, worth)
    return members


def _at_outline(scene: Scene, members: Members, points: Points, leaf: int) -> bool:
    """Whether all points in a superpixel are so near the outline that only that should move."""
    labels = scene.graph.labels
    for x, y in points[labels[points[:, 1], points[:, 0]] == leaf]:
        near = labels[max(0, y - NEAR) : y + NEAR + 1, max(0, x - NEAR) : x + NEAR + 1]
        if (members[near] == members[leaf]).all():
            return False
    return True


def _around(scene: Scene, leaf: int, without: Index) -> tuple[Members, Floats]:
    """The nodes that hold a superpixel and none of `without`, and how much they look like objects."""
    rows, worth = [], []
    for branch in scene.branches:
        nodes = branch.tree.path(leaf)
        nodes = nodes[count(branch.tree, nodes, without) == 0]
        rows.append(branch.tree.members(nodes))
        worth.append(branch.value[nodes])
    return np.concatenate(rows), np.concatenate(worth)


def meant_by(scene: Scene, leaf: int, without: Index) -> Members:
    """The region around a superpixel that looks most like an object and holds none of `without`."""
    pieces, worth = _around(scene, leaf, without)
    if not len(pieces):
        return np.asarray(np.arange(len(scene.graph.area)) == leaf)
    best: Members = pieces[np.argmax(worth)]
    return best


def _touching(scene: Scene, members: Members, pieces: Members) -> Members:
    """Which of some pieces (k, n) overlap a set or border on it; all do when it is empty."""
    first, second = scene.graph.first, scene.graph.second
    near = members.copy()
    near[first[members[second]]] = True
    near[second[members[first]]] = True
    return np.asarray((pieces & near).any(axis=1) | ~members.any())


def _best(scene: Scene, asked: Asked, members: Members, options: Members, worth: Floats) -> Members:
    """The best of some changes: what is left looks good, the piece looks good, and it is small."""
    left = options.any(axis=1)
    if not left.any():
        return np.zeros_like(members)
    options = options[left]
    area = scene.graph.area.astype(np.float32)
    change = (options ^ members).astype(np.float32) @ area / max(float(area[members].sum()), 1.0)
    value = (worth[left] + judge(scene, asked, options)) / 2 - CHANGE * change
    best: Members = options[np.argmax(value)]
    return best
