"""How far a transfer is, how fast, and how long it will take. Must not know what is transferred."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from samdesk.domain.tasks import Task

WINDOW_S = 4.0

Stage = Literal["waiting", "receiving", "checking", "done"]


@dataclass(frozen=True, slots=True)
class Transfer:
    """Where a download is.

    Attributes
    ----------
    stage : {"waiting", "receiving", "checking", "done"}
    received : int
        Bytes on the disk.
    total : int or None
        Bytes of the whole file.
    rate : float or None
        Bytes per second over the last few seconds.
    remaining_s : float or None
        Seconds until it is complete, at that rate.
    message : str
        All of it in words.
    """

    stage: Stage
    received: int = 0
    total: int | None = None
    rate: float | None = None
    remaining_s: float | None = None
    message: str = ""

    @property
    def fraction(self) -> float | None:
        return min(1.0, self.received / self.total) if self.total else None


class Meter:
    """Reports a transfer to a task and a listener, not more often than can be read.

    Parameters
    ----------
    every_s : float
        Seconds between two reports while bytes arrive.
    """

    def __init__(
        self, name: str, task: Task, listener: Callable[[Transfer], None] | None, every_s: float
    ) -> None:
        self._name = name
        self._task = task
        self._listener = listener
        self._every_s = every_s
        self._seen: deque[tuple[float, int]] = deque()
        self._told = -1e9

    def say(self, stage: Stage, message: str, received: int = 0, total: int | None = None) -> None:
        """Report now: a change of stage."""
        self._seen.clear()
        self._tell(Transfer(stage, received, total, message=message))

    def received(self, received: int, total: int | None) -> None:
        """So many bytes are there."""
        now = time.monotonic()
        if now - self._told < self._every_s:
            return
        self._told = now
        if self._seen and received < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now, received))
        while now - self._seen[0][0] > WINDOW_S and len(self._seen) > 2:
            self._seen.popleft()
        first, start = self._seen[0]
        rate = (received - start) / (now - first) if now > first else None
        left = (total - received) / rate if rate and total is not None else None
        words = transfer_text(received, total, rate, left)
        self._tell(Transfer("receiving", received, total, rate, left, f"{self._name}: {words}"))

    def _tell(self, transfer: Transfer) -> None:
        self._task.progress(transfer.fraction, transfer.message)
        if self._listener is not None:
            self._listener(transfer)


def transfer_text(received: int, total: int | None, rate: float | None, remaining_s: float | None) -> str:
    """For example "41 %, 154 of 375 MB, 12.3 MB/s, 18 s left"."""
    parts = [size_text(received)]
    if total:
        parts = [f"{100 * received / total:.0f} %", f"{size_text(received)} of {size_text(total)}"]
    if rate is not None:
        parts.append(f"{size_text(rate)}/s")
    if remaining_s is not None:
        parts.append(f"{duration_text(remaining_s)} left")
    return ", ".join(parts)


def size_text(size: float) -> str:
    """Bytes in decimal units, three digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" or size >= 99.5 else f"{size:.3g} {unit}"
        size /= 1000
    raise AssertionError


def duration_text(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 5940:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
