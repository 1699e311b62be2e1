"""`Instances`: all that a text describes, followed through frames as one answer.

On every frame the detector searches for the text, and the tracker looks for each instance that
is known; instances that meet are the same. When they meet, when a new one begins and when a search
renews a memory is as in the package's own video model, whose other rules (which of two instances
owns a place, holding back the first frames of a new one) serve to tell instances apart and are
not needed for their union. Must not know how a frame is searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

from samdesk.domain.tasks import Task
from samdesk.engines.base import MaskLogits

from .following import Follower, Memory, Sight, View

FOUND, NEW, STRONG = 0.5, 0.7, 0.8
"""Scores: of a search's answer, of one that begins an instance by itself, and of one that can renew it."""

MEETS, AGREES, SAME = 0.1, 0.5, 0.8
"""Intersections over union: of masks that cannot be two instances, of a search that confirms an
instance, and of one that can renew its memory."""

TRIAL, DOUBTS = 15, 8
"""For so many frames an instance that appears later is on trial; so many searches without it end it."""

PATIENCE = 30
"""Frames in a row without an instance after which it is no longer looked for: a search will find
it when it comes back."""

RENEWED = 16
"""Every so many frames a search renews the memory of the instances that it finds again."""


@dataclass(slots=True)
class Instance:
    """One of them.

    Attributes
    ----------
    since : int
        Its first frame.
    score : float
        Of the search that found it last.
    on_trial : bool
        It was not there when the text was given.
    sight : Sight
        On the latest frame.
    doubted, away : int
        Searches that did not find it where it is seen; frames in a row on which it is not seen.
    """

    since: int
    score: float
    on_trial: bool
    sight: Sight
    memory: Memory = field(default_factory=Memory)
    doubted: int = 0
    away: int = 0


class Instances:
    """The instances of one text.

    Parameters
    ----------
    follower : Follower
    """

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._known: list[Instance] = []

    def __len__(self) -> int:
        return len(self._known)

    def step(
        self, view: View, detected: Sequence[MaskLogits], was_prompted: bool, task: Task
    ) -> MaskLogits | None:
        """Look at the next frame.

        Parameters
        ----------
        view : View
        detected : sequence of MaskLogits
            What a search found there with a score of at least `FOUND`, best first.
        was_prompted : bool
            The text, or examples of it, were given on this frame.
        task : Task

        Returns
        -------
        MaskLogits or None
            The union of all instances; its score is that of the best one.
        """
        for one in self._known:
            one.sight = self._follower.recall(view, one.memory, task)
        device = view.tokens[0].device
        detected, masks = _apart(detected, device)
        shared = _overlaps(masks > 0, _stacked([one.sight.logits[0, 0] for one in self._known], masks) > 0)
        for place, one in enumerate(self._known):
            self._update(one, view, detected, masks, shared[:, place], task)
        for place, answer in enumerate(detected):
            wanted = was_prompted or answer.score >= NEW
            if wanted and not bool((shared[place] >= MEETS).any()):
                self._known.append(self._begun(view, answer.score, masks[place], not was_prompted, task))
        self._known = [one for one in self._known if not _is_over(one, view.frame)]
        return _union(self._known)

    def _update(
        self,
        one: Instance,
        view: View,
        detected: Sequence[MaskLogits],
        masks: Tensor,
        shared: Tensor,
        task: Task,
    ) -> None:
        """Take in what the search says about an instance, and remember it."""
        seen = one.sight.is_there
        one.away = 0 if seen else one.away + 1
        best = int(shared.argmax()) if len(shared) else -1
        agrees = best >= 0 and float(shared[best]) >= AGREES
        if agrees:
            one.score = detected[best].score
        elif seen:
            one.doubted += 1
        renews = (view.frame - one.since) % RENEWED == 0 and agrees and float(shared[best]) >= SAME
        if renews and detected[best].score >= STRONG:
            one.sight = self._taken(view, masks[best], task)
            self._follower.remember(one.memory, view, one.sight, task, was_prompted=True)
        else:
            self._follower.remember(one.memory, view, one.sight, task, was_prompted=False)

    def _begun(self, view: View, score: float, logits: Tensor, on_trial: bool, task: Task) -> Instance:
        begun = Instance(view.frame, score, on_trial, self._taken(view, logits, task))
        self._follower.remember(begun.memory, view, begun.sight, task, was_prompted=True)
        return begun

    def _taken(self, view: View, logits: Tensor, task: Task) -> Sight:
        """What the detector saw, as the tracker's own sight; with the detector's logits."""
        side = (self._follower.mask_side,) * 2
        mask = functional.interpolate(logits[None, None], side, mode="bilinear") > 0
        return replace(self._follower.take(view, mask.float(), task), logits=logits[None, None])


def _is_over(one: Instance, frame: int) -> bool:
    doubtful = one.on_trial and one.doubted >= DOUBTS and frame - one.since < TRIAL
    return doubtful or one.away > PATIENCE


def _apart(detected: Sequence[MaskLogits], device: torch.device) -> tuple[list[MaskLogits], Tensor]:
    """Of answers that meet the best one alone, and the logits (n, h, w) of those that are left."""
    if not detected:
        return [], torch.zeros(0, 1, 1, device=device)
    masks = torch.stack([torch.from_numpy(one.logits) for one in detected]).to(device)
    meets = (_overlaps(masks > 0, masks > 0) > MEETS).cpu()
    kept: list[int] = []
    for place in range(len(detected)):
        if not bool(meets[place, kept].any()):
            kept.append(place)
    return [detected[place] for place in kept], masks[kept]


def _stacked(logits: Sequence[Tensor], like: Tensor) -> Tensor:
    return torch.stack(list(logits)) if logits else like.new_zeros(0, *like.shape[1:])


def _overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union (n, m) of each of n masks with each of m; 0 for empty ones."""
    if not len(first) or not len(second):
        return torch.zeros(len(first), len(second), device=first.device)
    a, b = first.flatten(1).float(), second.flatten(1).float()
    both = a @ b.T
    either = a.sum(1)[:, None] + b.sum(1) - both
    return both / either.clamp(min=1)


def _union(known: Sequence[Instance]) -> MaskLogits | None:
    seen = [one for one in known if one.sight.is_there]
    if not seen:
        return None
    logits = torch.stack([one.sight.logits[0, 0] for one in seen]).amax(0)
    return MaskLogits(logits.cpu().numpy(), max(one.score for one in seen))
