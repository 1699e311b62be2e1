"""Pictures of the view as files: a still, an animated GIF, an MP4.

Runs on a lane. Must not know Qt or VTK.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import replacing
from samdesk.recon.turntable import write_gif

from .viewpoint import Viewpoint

Pixels = NDArray[np.uint8]

STILLS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
MOVIES = {".gif": (48, 20, 480), ".mp4": (90, 30, 960)}
"""Frames of a turn, frames per second, and longest side in pixels."""


class Recording:
    """One turn on its way to a file.

    Parameters
    ----------
    path : Path
    before : Viewpoint
        To come back to.
    first : Viewpoint
        Of the first frame.
    """

    def __init__(self, path: Path, before: Viewpoint, first: Viewpoint) -> None:
        self.path = path
        self.before = before
        self.frames: list[Pixels] = []
        self._first = first
        self._count, _, self._longest = MOVIES[path.suffix.lower()]

    @property
    def complete(self) -> bool:
        return len(self.frames) == self._count

    @property
    def text(self) -> str:
        return f"Recording the turntable: {len(self.frames)} of {self._count}"

    def next(self) -> Viewpoint:
        return self._first.turned(360 * len(self.frames) / self._count, 0.0, self._first.target)

    def add(self, pixels: Pixels) -> None:
        frame = shrink(pixels, self._longest)
        if self.frames and frame.shape != self.frames[0].shape:  # the window has another size by now
            height, width = self.frames[0].shape[:2]
            frame = np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        self.frames.append(frame)


def check_suffix(path: Path, allowed: Sequence[str]) -> Path:
    """`path`, with the first of these endings when it has none.

    Raises
    ------
    SamdeskError
        When it has another.
    """
    if not path.suffix:
        return path.with_suffix(allowed[0])
    if path.suffix.lower() not in allowed:
        raise SamdeskError(f"{path.name} cannot be written.", f"Choose a name that ends in {allowed[0]}.")
    return path


def shrink(pixels: Pixels, longest: int) -> Pixels:
    """No larger than `longest`, and of even sides, as films want it."""
    height, width = pixels.shape[:2]
    scale = min(1.0, longest / max(height, width))
    even = [max(2, 2 * round(scale * side / 2)) for side in (width, height)]
    if even == [width, height]:
        return pixels
    return np.asarray(cv2.resize(pixels, even, interpolation=cv2.INTER_AREA), np.uint8)


def write_picture(path: Path, pixels: Pixels) -> None:
    """Write a still.

    Raises
    ------
    SamdeskError
        When it cannot be written.
    """
    done, coded = cv2.imencode(path.suffix.lower(), np.ascontiguousarray(pixels[..., ::-1]))
    if not done:
        raise SamdeskError(f"{path} cannot be written as a picture.", "Choose a name that ends in .png.")
    with replacing(path) as fresh:
        fresh.write_bytes(coded.tobytes())


def write_movie(path: Path, frames: Sequence[Pixels], task: Task, note: str = "") -> None:
    """Write frames of one size as a film that runs for ever (GIF) or once (MP4).

    Parameters
    ----------
    note : str
        Kept in a GIF: what made the object.

    Raises
    ------
    SamdeskError
        When it cannot be written.
    """
    _, fps, _ = MOVIES[path.suffix.lower()]
    if path.suffix.lower() == ".gif":
        task.progress(None)
        write_gif(path, frames, fps, note)
        return
    with replacing(path) as fresh:
        # the writer goes by the ending
        draft = fresh.with_suffix(".mp4")
        try:
            _write_mp4(path, draft, frames, fps, task)
            draft.replace(fresh)
        finally:
            draft.unlink(missing_ok=True)


def _write_mp4(path: Path, draft: Path, frames: Sequence[Pixels], fps: int, task: Task) -> None:
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(draft), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
    try:
        if not writer.isOpened():
            raise SamdeskError(
                f"{path} cannot be written: this computer has no encoder for MP4.", "Choose a GIF."
            )
        for k, frame in enumerate(frames):
            task.progress(k / len(frames))
            writer.write(np.ascontiguousarray(frame[..., ::-1]))
    finally:
        writer.release()
