"""Time from the start of the process to a window on the screen, as a ratio to a bare PySide6 window.

Run with ``python -m tests.bench.test_window_bench`` under a display or Xvfb.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

BARE = """
import time
from PySide6.QtWidgets import QApplication, QMainWindow
app = QApplication([])
window = QMainWindow()
window.resize(1400, 900)
window.show()
"""
OURS = """
import time
from samdesk.ui.start import application, open_window
app = application()
window = open_window()
"""
UNTIL_EXPOSED = """
while not window.windowHandle().isExposed():
    app.processEvents()
app.processEvents()
print(time.time())
import os; os._exit(0)
"""
ROUNDS = 7


def shown_ms(script: str, home: str) -> float:
    """Wall milliseconds from starting the interpreter to the exposed window."""
    started = time.time()
    done = subprocess.run(
        [sys.executable, "-c", script + UNTIL_EXPOSED],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "SAMDESK_HOME": home},
    )
    return 1e3 * (float(done.stdout.split()[-1]) - started)


def measure() -> dict[str, float]:
    """Medians in ms, taken in turns, and their ratio."""
    times: dict[str, list[float]] = {"bare": [], "samdesk": []}
    with tempfile.TemporaryDirectory() as home:
        for _ in range(ROUNDS):
            times["bare"].append(shown_ms(BARE, home))
            times["samdesk"].append(shown_ms(OURS, home))
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {**medians, "ratio": medians["samdesk"] / medians["bare"]}


def test_window_shown(benchmark) -> None:  # type: ignore[no-untyped-def]
    found = benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info.update(found)
    assert found["ratio"] > 0


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:<10} {value:8.2f}")
