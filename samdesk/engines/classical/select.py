"""From prompts to sets of superpixels: which regions of a scene the prompts may mean.

Must not know pixels beyond the superpixel that each lies in.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from samdesk.domain.geometry import Bounds

from .asked import Asked, Mask
from .correct import contradicted, corrected, count, leaves
from .judge import Members, distinct, fit, judge
from .merging import Floats
from .scene import Scene

CANDIDATES = 3
"""Answers of different extent: a part, the object, the larger whole."""
POOL = 30
"""Nodes of each tree that are compared closely."""
BOX_POOL = 6
"""The same, for a box, to which each has to be cut first."""
CLASH = 4.0
"""What a node loses for each superpixel of a point that it should hold or should not."""
LOSS = 20.0
"""What a set loses per part of its area that the boxes cut off."""
BOX_SLACK = 0.03
"""An object may reach beyond its box by this part of the box's size."""


class Choice(NamedTuple):
    """A proposed set of superpixels.

    Attributes
    ----------
    members : ndarray, (n,) bool
    value : float
        How good it looks, see `rank`.
    before : ndarray, (n,) bool, or None
        The superpixels of the prior, when the prior was changed into this set.
    """

    members: Members
    value: float
    before: Members | None = None


def propose(scene: Scene, asked: Asked) -> list[Choice]:
    """The sets of superpixels that the prompts may mean, best first."""
    if asked.prior is not None:
        return _from_prior(scene, asked, asked.prior)
    if len(asked.boxes) > 1:
        return _together([propose(scene, replace(asked, boxes=(box,))) for box in asked.boxes])
    members, values = _nodes(scene, asked)
    if not len(members):
        return []
    if asked.boxes or asked.barred or len(asked.positives) + len(asked.negatives) > 1:
        members, values = _obeying(scene, asked, members, values)
    kept = distinct(scene, members, values, CANDIDATES)
    return [Choice(members[k], float(values[k])) for k in kept]


def _together(answers: list[list[Choice]]) -> list[Choice]:
    """One object of several boxes: the first answers to each joined, the second ones, and so on."""
    return [
        Choice(np.logical_or.reduce([c.members for c in choices]), min(c.value for c in choices))
        for choices in zip(*answers, strict=False)
    ]


def _from_prior(scene: Scene, asked: Asked, prior: Mask) -> list[Choice]:
    """The prior as the points change it, then the regions that are most like it."""
    area = scene.graph.area
    covered = np.bincount(scene.graph.labels[prior], minlength=len(area)).astype(np.float64)
    before = (covered > area / 2) | (covered == covered.max())
    rows = [_completed(scene, asked, prior, before)[None]]
    for branch in scene.branches:
        common = branch.tree.sums(covered[:, None])[:, 0]
        alike = common / (branch.area + covered.sum() - common)
        rows.append(branch.tree.members(np.argsort(-alike, kind="stable")[:2]))
    members = np.concatenate(rows)
    members, values = _obeying(scene, asked, members, judge(scene, asked, members))
    if not len(members):
        return []
    order = values.copy()
    order[0] = np.inf
    kept = distinct(scene, members, order, CANDIDATES)
    return [Choice(members[k], float(values[k]), before if k == 0 else None) for k in kept]


def _completed(scene: Scene, asked: Asked, prior: Mask, before: Members) -> Members:
    """The superpixels of the prior, changed around points that say otherwise than its pixels.

    A superpixel that the prior cuts is on one of its sides as a whole: there the point would
    change nothing.
    """
    labels, start = scene.graph.labels, before.copy()
    cut = np.zeros_like(before)
    for points, inside in ((asked.positives, True), (asked.negatives, False)):
        x, y = points[prior[points[:, 1], points[:, 0]] != inside].T
        cut[labels[y, x]] |= before[labels[y, x]] == inside
    start[cut] ^= True
    changed = corrected(scene, asked, start)
    return np.where(cut, before, changed) if cut.any() else before


def _nodes(scene: Scene, asked: Asked) -> tuple[Members, Floats]:
    """The best nodes of the trees, whether or not they agree with every point."""
    wanted, barred = leaves(scene, asked)
    found, worth = [], []
    for branch in scene.branches:
        tree = branch.tree
        if asked.boxes:
            nodes = np.arange(len(tree.parent) - 1)
        else:
            nodes = np.unique(np.concatenate([tree.path(leaf)[:-1] for leaf in wanted.tolist()]))
        value = branch.value[nodes] + fit(
            scene, asked, branch.area[nodes], branch.center[nodes], branch.color[nodes], tree.box[nodes]
        )
        clash = CLASH * (count(tree, nodes, barred) + len(wanted) - count(tree, nodes, wanted))
        best = np.argsort(clash - value, kind="stable")[: BOX_POOL if asked.boxes else POOL]
        found.append(tree.members(nodes[best]))
        worth.append(np.stack((value, clash), axis=1)[best])
    members = np.concatenate(found)
    values, clash = np.concatenate(worth).T
    if asked.boxes:
        return members, values
    kept = distinct(scene, members, values - clash, CANDIDATES)
    return members[kept], values[kept]


def _obeying(scene: Scene, asked: Asked, members: Members, values: Floats) -> tuple[Members, Floats]:
    """The sets cut to the boxes and corrected by the points, without those that vanish."""
    allowed = _allowed(scene, asked)
    area = scene.graph.area
    against = np.array([contradicted(scene, asked, row) for row in members])
    lost = (members & ~allowed) @ area / (members @ area)
    changed = np.array([corrected(scene, asked, row & allowed) for row in members]) & ~_holes(scene, asked)
    redo = (changed != members).any(axis=1) & changed.any(axis=1)
    if redo.any():
        values[redo] = judge(scene, asked, changed[redo])
    left = changed.any(axis=1)
    return changed[left], (values - against - LOSS * lost)[left]


def _holes(scene: Scene, asked: Asked) -> Members:
    """The superpixels in holes of the prior, but for those in which a point is on the object.

    Whoever left a hole there meant it: what is added around it does not fill it.
    """
    area = scene.graph.area
    if asked.prior is None:
        return np.zeros(len(area), np.bool_)
    _, labels = cv2.connectedComponents((~np.pad(asked.prior, 1, constant_values=False)).astype(np.uint8))
    inside = ((labels > 0) & (labels != labels[0, 0]))[1:-1, 1:-1]
    at = asked.positives
    filled = np.unique(labels[1:-1, 1:-1][at[:, 1], at[:, 0]])
    inside &= ~np.isin(labels[1:-1, 1:-1], filled)
    covered = np.bincount(scene.graph.labels[inside], minlength=len(area))
    return np.asarray(covered > area / 2)


def _allowed(scene: Scene, asked: Asked) -> Members:
    """The superpixels that the boxes leave to the object."""
    allowed = np.ones(len(scene.graph.area), np.bool_)
    if asked.boxes:
        allowed = np.logical_or.reduce([_within(scene, slack(box)) for box in asked.boxes])
    for box in asked.barred:
        allowed &= ~_within(scene, box)
    return allowed


def slack(box: Bounds) -> Bounds:
    """How far an object may reach that a box is about."""
    return box.expanded(max(2.0, BOX_SLACK * max(box.width, box.height)))


def _within(scene: Scene, box: Bounds) -> Members:
    """The superpixels with more than half of their area in a box."""
    graph = scene.graph
    inside = graph.labels[rows_and_columns(box)]
    held: Members = np.bincount(inside.ravel(), minlength=len(graph.area)) > graph.area / 2
    return held


def rows_and_columns(box: Bounds) -> tuple[slice, slice]:
    """The pixels whose centers lie in a box."""
    x0, y0, x1, y1 = (max(0, round(v)) for v in box)
    return slice(y0, y1), slice(x0, x1)
