"""`track`: from the logits of a tracker to shapes in frame pixels.

Must not know which tracker answers, nor where frames come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.geometry import Region
from samdesk.domain.prompts import Candidate
from samdesk.domain.tasks import Task
from samdesk.engines.base import Frames, MaskLogits, TrackedFrame, Tracker, TrackPrompt
from samdesk.sdk.segmenter import MaskOptions, outline_of


def track(
    tracker: Tracker,
    frames: Frames,
    asked: Sequence[TrackPrompt],
    task: Task,
    start: int = 0,
    count: int | None = None,
    options: MaskOptions = MaskOptions(),
) -> Iterator[tuple[int, dict[int, Candidate]]]:
    """Follow objects from frame `start` on, each frame when it is asked for.

    Parameters
    ----------
    tracker : Tracker
    frames : Frames
        Each is read once.
    asked : sequence of TrackPrompt
        In frame pixels on pixel edges.
    task : Task
    start : int
    count : int, optional
    options : MaskOptions
        Lengths in frame pixels; `multimask` has no meaning here.

    Yields
    ------
    frame : int
    found : dict of int to Candidate
        By object id: those that are seen there. Shapes are valid and inside the frame.

    Raises
    ------
    SamdeskError
        As `Tracker.track`, at once for what is wrong with the prompts.
    """
    measured = _Measured(frames)
    steps = tracker.track(measured, asked, task, start=start, count=count)
    return _outlined(steps, measured, tracker, options)


class _Measured:
    """Frames that tell their size, once one was read."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self.size = (0, 0)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        frame = self._frames[index]
        self.size = (frame.shape[1], frame.shape[0])
        return frame


def _outlined(
    steps: Iterator[TrackedFrame], frames: _Measured, tracker: Tracker, options: MaskOptions
) -> Iterator[tuple[int, dict[int, Candidate]]]:
    for step in steps:
        shown = Region(0, 0, *frames.size)
        found = {name: _candidate(one, shown, tracker, options) for name, one in step.found.items()}
        yield step.frame, {name: one for name, one in found.items() if not one.shape.is_empty}


def _candidate(answer: MaskLogits, frame: Region, tracker: Tracker, options: MaskOptions) -> Candidate:
    shape = outline_of(answer, frame, (frame.width, frame.height), options)
    return Candidate(shape, answer.score, frame, False, tracker.name)
