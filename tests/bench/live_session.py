"""A scripted session with a model in the real window: `python -m tests.bench.live_session [FILE.pt]`.

200 steps of what one does for an hour: pan, rest, hover, click, refine, keep, pan back. Prints how
many clicks were answered without an encode, how many results came too late, the longest time the
window did not answer, and the peak memory. Without a file it makes a MobileSAM with seeded weights.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

STEPS = 200
BEAT_MS = 4


class Beat:
    """The longest pause between two turns of the event loop."""

    def __init__(self) -> None:
        from PySide6.QtCore import QTimer

        self._last = time.perf_counter()
        self.pauses: list[float] = []
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(BEAT_MS)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.pauses.append(1e3 * (now - self._last))
        self._last = now

    def restart(self) -> None:
        self._last = time.perf_counter()
        self.pauses.clear()


class Script:
    """Drives one window."""

    def __init__(self, window: object, app: object) -> None:
        from samdesk.ui.main_window import MainWindow

        assert isinstance(window, MainWindow)
        self.window = window
        self.app = app
        self.session = window.workspace.session
        self.clicks: list[float] = []
        self.random = random.Random(1)
        self.places: list[tuple[float, float]] = []

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        end = time.perf_counter() + seconds
        while not condition():
            if time.perf_counter() > end:
                return False
            self.app.processEvents()  # type: ignore[attr-defined]
            time.sleep(0.001)
        return True

    def pointer(self, kind: str, x: float, y: float, **held: object) -> None:
        from samdesk.app.tools import Pointer

        scale = self.window.canvas.view.scale
        self.window._pointer(Pointer(x, y, scale=scale, **held), kind)  # type: ignore[arg-type]

    def click(self, x: float, y: float, alt: bool = False) -> None:
        answered: list[int] = []
        self.session.answered.connect(answered_slot := (lambda: answered.append(1)))
        started = time.perf_counter()
        self.pointer("press", x, y, button="left", alt=alt)
        self.pointer("release", x, y, button="left", alt=alt)
        self.wait(lambda: bool(answered), 120)
        self.clicks.append(1e3 * (time.perf_counter() - started))
        self.session.answered.disconnect(answered_slot)

    def go_to(self, x: float, y: float) -> None:
        canvas = self.window.canvas
        at = canvas.view.bounds.center
        for _ in range(8):
            canvas.pan_by((at[0] - x) / canvas.view.scale / 8, (at[1] - y) / canvas.view.scale / 8)
            self.wait(lambda: False, 0.01)

    def hover(self, x: float, y: float) -> None:
        for k in range(20):
            self.pointer("move", x + 2 * k, y + k)
            self.wait(lambda: False, 0.008)

    def rest(self) -> None:
        self.wait(lambda: False, 0.35)
        self.wait(lambda: not self.session._ahead.active, self.random.choice((0.2, 5.0, 20.0)))

    def step(self, number: int) -> None:
        canvas, workspace = self.window.canvas, self.window.workspace
        width, height = workspace.image.size  # type: ignore[union-attr]
        kind = number % 10
        if kind in (0, 5) or not self.places:
            x, y = self.random.uniform(0.2, 0.8) * width, self.random.uniform(0.2, 0.8) * height
            if self.places and kind == 5:
                px, py = self.places[-1]
                x, y = min(px + 300, width - 500), min(py + 120, height - 500)
            self.places.append((x, y))
            self.go_to(x, y)
            self.rest()
        elif kind == 9 and len(self.places) > 1:
            self.go_to(*self.places[-2])
            self.rest()
        elif kind in (1, 6):
            self.hover(*canvas.view.bounds.center)
        elif kind in (2, 4, 7):
            x, y = canvas.view.bounds.center
            self.click(x + self.random.uniform(-60, 60), y + self.random.uniform(-60, 60))
        elif kind == 3:
            x, y = canvas.view.bounds.center
            self.click(x + self.random.uniform(-90, 90), y + self.random.uniform(-90, 90), alt=True)
        else:
            workspace.session.accept()
            self.hover(*canvas.view.bounds.center)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.live_session", description=__doc__)
    parser.add_argument("weights", nargs="?", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SAMDESK_HOME"] = folder
        weights = options.weights
        if weights is None:
            from tests.engines.seeded_sam import mobile_sam_checkpoint

            weights = mobile_sam_checkpoint(Path(folder))
        return run(weights, options.steps)


def run(weights: Path, steps: int) -> int:
    """Do the session and print the figures."""
    from samdesk import paths
    from samdesk.images.sample import sample_slide
    from samdesk.ui.start import application, open_window, share_the_interpreter

    share_the_interpreter()
    app = application()
    slide = sample_slide(paths.cache_dir() / "samples").path
    window = open_window([slide], (None, str(weights)))
    window.resize(1400, 900)
    script = Script(window, app)
    beat = Beat()
    script.wait(lambda: window.workspace.image is not None, 60)
    script.wait(lambda: not window.workspace.models.is_loading, 120)
    loading = max(beat.pauses, default=0.0)
    window.zoom_to(1.0)
    script.rest()
    beat.restart()
    for number in range(steps):
        script.step(number)
    counts = script.session.counts
    asked = len(script.clicks)
    print(f"{window.workspace.models.title}, {steps} steps, {asked} clicks")
    print(f"clicks answered without an encode   {counts.warm} of {counts.warm + counts.cold}")
    print(f"chips encoded ahead                 {counts.encoded}")
    print(f"sketched by the classical engine    {counts.sketched}")
    print(f"results that came too late          {counts.dropped}")
    print(f"click to shape, median              {statistics.median(script.clicks):.0f} ms")
    print(f"longest pause while loading         {loading:.0f} ms")
    print(f"longest pause of the window         {max(beat.pauses):.0f} ms")
    pauses = sorted(beat.pauses)
    print(f"  99 % of the pauses below          {pauses[int(0.99 * len(pauses))]:.0f} ms")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory                         {peak:.0f} MB")
    window.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
