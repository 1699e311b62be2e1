"""A hand over the picture: gives tools the pointers that a canvas would, without a window."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import cv2
import numpy as np

from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.settings import Settings
from samdesk.app.tools import Pointer, Sketch
from samdesk.app.workspace import Workspace
from samdesk.domain.columns import Annotation
from samdesk.domain.geometry import Shape
from samdesk.sdk import Segmenter

from .fakes import FakeEngine


class Hand:
    """A pointer over the picture of a workspace."""

    def __init__(self, workspace: Workspace, main: MainQueue) -> None:
        self.workspace = workspace
        self.main = main

    @classmethod
    def over_gray(cls, folder: Path) -> Self:
        """Over a gray picture of 400 x 300 pixels, seen at full resolution."""
        picture = folder / "picture.png"
        cv2.imwrite(str(picture), np.full((300, 400, 3), 90, np.uint8))
        main = MainQueue()
        made = cls(Workspace(Jobs(main), Settings(folder / "settings.json"), Segmenter(FakeEngine())), main)
        made.workspace.open(picture)
        made.settle()
        return made

    def close(self) -> None:
        self.workspace.close()
        self.main.drain()

    def take(self, tool: str) -> None:
        self.workspace.select_tool(tool)

    def press(self, x: float, y: float, clicks: int = 1, **held: bool) -> None:
        self.workspace.tool.press(Pointer(x, y, "left", clicks=clicks, **held))

    def move(self, x: float, y: float, button: str = "", **held: bool) -> None:
        self.workspace.tool.move(Pointer(x, y, button, **held))

    def release(self, x: float, y: float, **held: bool) -> None:
        self.workspace.tool.release(Pointer(x, y, "left", **held))

    def click(self, *at: tuple[float, float], clicks: int = 1) -> None:
        for x, y in at:
            self.press(x, y, clicks)
            self.release(x, y)

    def drag(self, *path: tuple[float, float], **held: bool) -> None:
        self.press(*path[0], **held)
        for x, y in path[1:]:
            self.move(x, y, "left", **held)
        self.release(*path[-1], **held)

    @property
    def sketch(self) -> Sketch:
        assert self.workspace.sketch is not None
        return self.workspace.sketch

    def all(self) -> list[Annotation]:
        return list(self.workspace.document.annotations())

    def last(self) -> Annotation:
        return self.all()[-1]

    def add(self, *shapes: Shape) -> list[Annotation]:
        made = [Annotation(shape) for shape in shapes]
        assert self.workspace.do(self.workspace.document.adding(made))
        return made

    def settle(self) -> None:
        for _ in range(3):
            self.main.run_until(lambda: self.workspace.jobs.idle, 20)
            self.main.drain()
