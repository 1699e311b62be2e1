"""Where the user looks, kept with the annotations so that one can go on there.

Must not know widgets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .journal import Journal

META = "view"
"""The name under which the project keeps it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A view: the image point at its middle, and image pixels per screen pixel."""

    x: float
    y: float
    scale: float


class LookedAt:
    """Where the open image was looked at last.

    Attributes
    ----------
    wanted : Place or None
        Where the window shall go once it shows the image; it then takes it.
    go_on : bool
        Whether the next image that is opened is shown where it was left.
    """

    def __init__(self) -> None:
        self.wanted: Place | None = None
        self.go_on = False
        self._now: Place | None = None
        self._kept: Place | None = None

    def opened(self, meta: Mapping[str, Any]) -> None:
        """Another image: take over what its project says."""
        self._kept, self._now = _place(meta.get(META)), None
        self.wanted = self._kept if self.go_on else None
        self.go_on = False

    def note(self, place: Place) -> None:
        """The view rests here."""
        self._now = place

    def keep(self, journal: Journal) -> None:
        """Let the project remember it, when it has changed."""
        if self._now is not None and self._now != self._kept:
            self._kept = self._now
            journal.note(META, [self._now.x, self._now.y, self._now.scale])

    def take(self) -> Place | None:
        """Where to go, once."""
        wanted, self.wanted = self.wanted, None
        return wanted


def _place(value: Any) -> Place | None:
    if not (isinstance(value, list) and len(value) == 3):
        return None
    if not all(isinstance(one, int | float) and math.isfinite(one) for one in value) or value[2] <= 0:
        return None
    return Place(*map(float, value))
