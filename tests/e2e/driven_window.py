"""`python -m samdesk` with a hand inside: runs the program, and answers questions about its window.

Started as ``python -m tests.e2e.driven_window FILE...``. Each line of the input is a Python
expression, or ``do`` and a statement; it is evaluated on the main thread with ``window``,
``canvas``, ``workspace``, ``key`` and ``point``, and answered by a line of JSON.
"""

from __future__ import annotations

import json
import queue
import runpy
import sys
import threading
from typing import Any

from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from samdesk.ui.start import application

TICK_MS = 5


def window() -> Any:
    """The main window, once it is there."""
    found = [one for one in QApplication.topLevelWidgets() if one.metaObject().className() == "MainWindow"]
    return found[0] if found and found[0].isVisible() else None


def key(name: str) -> None:
    """Press a key of the keyboard."""
    QTest.keyClick(window().windowHandle(), getattr(Qt.Key, f"Key_{name}"))


def point(x: float, y: float) -> None:
    """Click an image point."""
    shown = window()
    place = shown.canvas.mapTo(shown, QPoint(*(round(one) for one in shown.canvas.view.to_screen(x, y))))
    QTest.mouseClick(shown.windowHandle(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)


def names() -> dict[str, Any]:
    shown = window()
    known = {"window": shown, "key": key, "point": point}
    return known if shown is None else known | {"workspace": shown.workspace, "canvas": shown.canvas}


def answer(line: str) -> Any:
    """The value of an expression; what went wrong as an object with the member "wrong"."""
    try:
        if line.startswith("do "):
            exec(line[3:], names())
            return None
        return eval(line, names())
    except Exception as error:
        return {"wrong": f"{type(error).__name__}: {error}"}


def main() -> None:
    application()
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=lambda: [lines.put(one) for one in sys.stdin], daemon=True).start()

    def tick() -> None:
        while not lines.empty():
            print(json.dumps(answer(lines.get().strip()), default=str), flush=True)

    timer = QTimer()
    timer.timeout.connect(tick)
    timer.start(TICK_MS)
    runpy.run_module("samdesk", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
