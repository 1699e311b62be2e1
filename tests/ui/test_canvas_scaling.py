"""Other device pixel ratios, each in a process of its own: Qt takes the ratio when it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

SCRIPT = """
import json, sys
import numpy as np
from PySide6.QtCore import QPoint
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QWidget
from samdesk.app.jobs import Jobs
from samdesk.domain.columns import Annotation
from samdesk.domain.document import Document, Selection
from samdesk.domain.geometry import Shape
from samdesk.ui.bridge import Bridge
from samdesk.ui.canvas import Canvas, View
from tests.ui.sources import ArraySource, coordinates

application = QApplication([])
jobs = Jobs(Bridge())
frame = QWidget()
canvas = Canvas(jobs, frame)
canvas.show_overview = canvas.show_scale_bar = False
# the corner of the canvas lies between two device pixels at a ratio of 1.5
canvas.setGeometry(7, 5, 400, 300)
frame.resize(420, 320)
frame.show()
picture = coordinates(1500, 1300)
source = ArraySource(picture, levels=3)
canvas.set_image(source, source.display)
document = Document()
selection = Selection(document)
box = Annotation(Shape.box(605, 605, 615, 615))
document.apply(document.adding([box]))
canvas.set_document(document, selection)
ratio = canvas.devicePixelRatioF()

def look(widget, width, height):
    seen = QImage(round(width * ratio), round(height * ratio), QImage.Format.Format_RGB32)
    seen.setDevicePixelRatio(ratio)
    widget.render(seen)
    pixels = np.frombuffer(seen.constBits(), np.uint8).reshape(seen.height(), seen.width(), 4)
    return pixels[..., 2::-1].astype(int)

def settle():
    while not canvas.is_settled():
        application.processEvents()

def lines(seen):
    red = (seen[..., 0] > 230) & (seen[..., 1] < 80) & (seen[..., 2] < 80)
    yellow = (seen[..., 0] > 230) & (seen[..., 1] > 230) & (seen[..., 2] < 80)
    found = []
    for mask in (red, yellow):
        ys, xs = np.nonzero(mask)
        found.append([int(v) for v in (xs.min(), xs.max() + 1, ys.min(), ys.max() + 1)] if len(xs) else None)
    return found

report = {"ratio": ratio}
canvas.set_view(View(610, 610, 1 / 16))
settle()
report["tiles"] = lines(look(canvas, 400, 300))[0]
selection.set([box.id])
settle()
report["live"] = lines(look(canvas, 400, 300))[1]
report["corners"] = [v * ratio for v in (*canvas.view.to_screen(605, 605), *canvas.view.to_screen(615, 615))]
selection.clear()
document.apply(document.removing([box.id]))

# one image pixel per device pixel: the picture itself must appear, nothing interpolated
canvas.set_view(View(700, 600, ratio))
settle()
seen = look(canvas, 400, 300)
left, top = canvas.view.origin
report["exact"] = bool((seen == picture[top : top + seen.shape[0], left : left + seen.shape[1]]).all())
inner = look(frame, 420, 320)
x, y = round(7 * ratio), round(5 * ratio)
part = inner[y + 2 : y + 202, x + 2 : x + 202]
steps = [np.unique(np.diff(part[..., k], axis=1 - k) % 256).tolist() for k in (0, 1)]
report["exact in a window"] = steps == [[1], [1]]
jobs.close()
print(json.dumps(report))
"""


def run(ratio: str) -> dict[str, Any]:
    environment = {**os.environ, "QT_SCALE_FACTOR": ratio, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


@pytest.mark.parametrize(("ratio", "half"), [("1", 1), ("1.5", 2), ("2", 2)])
def test_the_picture_and_outlines_are_exact_at_any_device_pixel_ratio(ratio: str, half: int) -> None:
    report = run(ratio)
    assert report["ratio"] == float(ratio)
    left, top, right, bottom = report["corners"]
    for name in ("tiles", "live"):
        x0, x1, y0, y1 = report[name]
        # the line covers `half` device pixels (or less, faintly) on each side of the edge
        for found, edge in ((x0, left - half), (x1, right + half), (y0, top - half), (y1, bottom + half)):
            assert abs(found - edge) <= (half == 2)
        assert (x0 + x1, y0 + y1) == (left + right, top + bottom)
    assert report["exact"]
    assert report["exact in a window"]
