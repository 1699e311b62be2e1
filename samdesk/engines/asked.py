"""What is said about objects to follow: sorted by frame and object, and checked before a frame is read.

Must not know any tracker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from samdesk.domain.errors import SamdeskError
from samdesk.domain.prompts import Prompts
from samdesk.domain.tasks import PartTask, Task

from .base import TrackPrompt

Said = dict[int, dict[int, Prompts]]
"""Prompts by frame, and there by object."""


def prompts_by_frame(
    asked: Sequence[TrackPrompt], total: int, start: int, count: int | None
) -> tuple[range, Said]:
    """The frames to look at, and what is said on each about each object.

    Raises
    ------
    SamdeskError
        When there is nothing to follow, no such frame, or a prompt on none of them.
    """
    if not asked:
        raise SamdeskError("There is nothing to follow.", "Say on one of the frames where an object is.")
    end = total if count is None else min(total, start + count)
    if not 0 <= start < end:
        raise SamdeskError(
            f"There are no frames from {start} on to look at.", f"Frames are counted from 0 to {total - 1}."
        )
    said: Said = defaultdict(dict)
    for frame, object_id, prompts in ((one.frame, one.object_id, one.prompts) for one in asked):
        if not start <= frame < end:
            raise SamdeskError(
                f"The prompt on frame {frame} is on none of the frames {start} to {end - 1}.",
                "Look at that frame as well, or leave the prompt out.",
            )
        known = said[frame].get(object_id, Prompts())
        said[frame][object_id] = Prompts(
            known.points + prompts.points,
            known.boxes + prompts.boxes,
            prompts.text or known.text,
            known.prior if prompts.prior is None else prompts.prior,
        )
    return range(start, end), dict(said)


def places(prompts: Prompts) -> bool:
    """Whether they say where an object is, whatever was known of it before."""
    return prompts.prior is not None or any(box.positive for box in prompts.boxes)


def says_where(prompts: Prompts) -> bool:
    """Whether they say where an object is of which nothing is known."""
    return places(prompts) or any(point.positive for point in prompts.points)


def check_object(prompts: Prompts, object_id: int, frame: int, is_first: bool) -> None:
    """Raise `SamdeskError` when one object has two boxes, or its first prompt says not where it is."""
    boxes = sum(box.positive for box in prompts.boxes)
    if boxes > 1:
        raise SamdeskError(
            f"There are {boxes} boxes around object {object_id} on frame {frame}.",
            "Give one box, or follow them as objects of their own.",
        )
    if is_first and not says_where(prompts):
        raise astray(object_id, frame)


def refuse_text(title: str, prompts: Prompts, object_id: int, frame: int) -> None:
    """Raise `SamdeskError` when a tracker that cannot search is asked to."""
    if prompts.text.strip():
        raise SamdeskError(
            f"{title} cannot search by text, as asked for object {object_id} on frame {frame}.",
            "Give a point or a box, or choose SAM 3 as the model.",
        )


def astray(object_id: int, frame: int) -> SamdeskError:
    """Nobody has said where an object is."""
    return SamdeskError(
        f"Nothing on frame {frame} says where object {object_id} is.",
        "Its first prompt must be a box or a positive point within the picture.",
    )


def frame_task(task: Task, done: int, total: int) -> PartTask:
    """The task of one frame, when `done` of all were looked at."""
    return PartTask(task, done / total, 1 / total, lambda _: f"Frame {done + 1} of {total}")
