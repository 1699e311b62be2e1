"""How long a job will still take, from how its progress went so far.

Must not know jobs or clocks: the time is given to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FIRST_S = 3.0
"""Nothing is said before a job has run for so long."""

MEMORY_S = 20.0
"""How far back progress counts, roughly; a third of the time that a job runs, if that is longer."""

LEAST = 0.005
"""Of a job at least, before its speed means anything."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The speed of one job. Immutable: every report gives a new one.

    Attributes
    ----------
    since, first : float
        When it began, in seconds of some clock, and how far it was then.
    last, fraction : float
        The same for the last report.
    done, took : float
        Progress and the seconds that it took, those long ago weighing less.
    gap : float
        Seconds between the last report and the one before.
    """

    since: float
    first: float
    last: float
    fraction: float
    done: float = 0.0
    took: float = 0.0
    gap: float = 0.0

    @classmethod
    def started(cls, now: float, fraction: float = 0.0) -> Pace:
        return cls(now, fraction, now, fraction)

    def reported(self, now: float, fraction: float) -> Pace:
        """After another report; a fraction that went back begins anew."""
        if fraction < self.fraction:
            return Pace.started(now, fraction)
        passed = max(now - self.last, 0.0)
        kept = self._kept(now)
        return Pace(
            self.since,
            self.first,
            now,
            fraction,
            self.done * kept + fraction - self.fraction,
            self.took * kept + passed,
            passed,
        )

    def remaining(self, now: float) -> float | None:
        """Seconds until the job will have ended; None while that is a guess.

        A report that is late makes it longer.
        """
        if now - self.since < FIRST_S or self.fraction - self.first < LEAST:
            return None
        silent, kept = now - self.last, self._kept(now)
        late = max(silent - 2 * self.gap, 0.0)
        if not self.done * kept > 0:
            return None
        needed = (1 - self.fraction) * (self.took * kept + late) / (self.done * kept)
        return max(needed - silent, 0.0)

    def _kept(self, now: float) -> float:
        """What is left of the weight of what was known at the last report."""
        memory = max(MEMORY_S, (now - self.since) / 3)
        return math.exp(-max(now - self.last, 0.0) / memory)


def remaining_text(seconds: float | None) -> str:
    """In round words that do not change with every report; empty for None."""
    if seconds is None:
        return ""
    if seconds < 8:
        return "a few seconds left"
    if seconds < 55:
        return f"about {10 * max(1, round(seconds / 10))} s left"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"about {max(1, minutes)} min left"
    if minutes >= 600:
        return f"about {round(seconds / 3600)} h left"
    hours, minutes = divmod(10 * round(seconds / 600), 60)
    return f"about {hours} h {minutes} min left" if minutes else f"about {hours} h left"
