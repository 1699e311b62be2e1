"""What a client says about the objects of a sequence, as a tracker is asked.

Must not know models, files or endpoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import BoxPrompt, Prompts
from samdesk.engines.base import TrackPrompt
from samdesk.server.asking import within

from .bodies import FollowedBody, FollowedConceptBody
from .concepts import said

Size = tuple[int, int]


@dataclass(slots=True)
class Followed:
    """The objects to follow, under numbers of our own.

    The extension gives annotations of one class one number, while each is an object of its own.

    Attributes
    ----------
    asked : list of TrackPrompt
    names : dict of int to int
        From our number to the client's.
    many : set of int
        Our numbers of what stands for all instances of a text.
    """

    asked: list[TrackPrompt] = field(default_factory=list)
    names: dict[int, int] = field(default_factory=dict)
    many: set[int] = field(default_factory=set)
    _numbers: dict[object, int] = field(default_factory=dict)

    def knows(self, key: object) -> bool:
        return key in self._numbers

    def add(self, frame: int, key: object, name: int, prompts: Prompts, *, many: bool = False) -> None:
        """Say something about the object of this key, which the client knows as `name`."""
        number = self._numbers.setdefault(key, len(self._numbers))
        self.names.setdefault(number, name)
        self.asked.append(TrackPrompt(frame, number, prompts))
        if many:
            self.many.add(number)


def placed(objs: Mapping[int, Sequence[FollowedBody]], size: Size) -> Followed:
    """Objects by points and boxes, each annotation of the client one of its own.

    The n-th of one number on a frame is the same object as the n-th on every other. Points that
    say only where something is not, under a number of their own, are the background for all
    others of their frame, as they are in a single picture.
    """
    followed = Followed()
    placeable = {one.obj_id for bodies in objs.values() for one in bodies if within(_prompts(one), size)}
    for frame, bodies in sorted(objs.items()):
        elsewhere = [one for one in bodies if one.obj_id not in placeable]
        background = tuple(point for one in elsewhere for point in one.points if not point.positive)
        count: dict[int, int] = {}
        for one in bodies:
            if one.obj_id not in placeable:
                continue
            key = one.obj_id, count.get(one.obj_id, 0)
            prompts = within(_prompts(one), size)
            if prompts:
                prompts = replace(prompts, points=(*prompts.points, *background))
            elif followed.knows(key):
                prompts = _prompts(one)  # a correction of what is known
            else:
                continue
            count[one.obj_id] = key[1] + 1
            followed.add(frame, key, one.obj_id, prompts)
    return followed


def _prompts(one: FollowedBody) -> Prompts:
    return Prompts(one.points, one.boxes)


def named(objs: Mapping[int, Sequence[FollowedConceptBody]], size: Size, start: int) -> Followed:
    """Objects by text and boxes.

    A text stands for all of its instances on all frames, and the boxes of a frame that come with
    it are its examples and counterexamples: the client says it once for every box. Without a text
    every positive box is an object.
    """
    followed = Followed()
    names: dict[str, int] = {}
    for bodies in objs.values():
        for one in sorted(bodies, key=lambda one: not any(box.positive for box in one.boxes)):
            names.setdefault(said(one.text), one.obj_id)
    for frame, bodies in sorted({start: [], **objs}.items()):
        boxes = {one: _boxes(bodies, one, size) for one in names}
        for text, name in names.items():
            if text and (boxes[text] or frame == start):
                followed.add(frame, text, name, Prompts(boxes=boxes[text], text=text), many=True)
        count: dict[int, int] = {}
        for one in bodies if "" in names else ():
            for box in _boxes([one], "", size):
                if box.positive:
                    key = one.obj_id, count.get(one.obj_id, 0)
                    count[one.obj_id] = key[1] + 1
                    followed.add(frame, key, one.obj_id, Prompts(boxes=(box,)))
    return followed


def _boxes(bodies: Sequence[FollowedConceptBody], text: str, size: Size) -> tuple[BoxPrompt, ...]:
    """What lies inside the frame of the boxes that were sent with a text."""
    whole = Bounds(0, 0, *size)
    sent = [box for one in bodies if said(one.text) == text for box in one.boxes]
    cut = [box._replace(bounds=box.bounds.intersection(whole)) for box in sent]
    return tuple(box for box in cut if not box.bounds.is_empty)
