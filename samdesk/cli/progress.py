"""How a long command shows its progress. Must not know the commands."""

from __future__ import annotations

import sys
from collections.abc import Callable

from samdesk.domain.tasks import Progress


def progress_line() -> Callable[[Progress], None]:
    """Shows progress: on one line of a terminal, else a line for each tenth."""
    live = sys.stderr.isatty()
    tenth = -1

    def show(progress: Progress) -> None:
        nonlocal tenth
        percent = "" if progress.fraction is None else f"{100 * progress.fraction:3.0f} %  "
        if live:
            print(f"\r\x1b[K{percent}{progress.message}", end="", file=sys.stderr, flush=True)
        elif progress.fraction is not None and int(10 * progress.fraction) > tenth:
            tenth = int(10 * progress.fraction)
            print(f"{percent}{progress.message}", file=sys.stderr)

    return show


def end_line() -> None:
    """Wipe the line of a terminal on which progress was shown."""
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
