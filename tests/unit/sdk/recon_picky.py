"""A 3D engine for tests of whole jobs: the stand-in, but it refuses small objects and stands them in a row.

Runs in the real worker process.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from samdesk.recon.worker.base import EngineError, Made, Report, Request
from tests.recon_standin import StandIn

LEAST_PIXELS = 200


class Picky(StandIn):
    """Refuses masks of less than `LEAST_PIXELS`; the pose tells where the mask lies in the picture.

    Config: ``only``, the one kind of file to give.
    """

    title = "Picky"

    def run(self, request: Request, report: Report) -> Made:
        rows, columns = np.nonzero(cv2.imread(str(request.mask), cv2.IMREAD_UNCHANGED))
        if len(rows) < LEAST_PIXELS:
            raise EngineError("internal", "The object is too small for Picky.", "Take a larger one.")
        pointmap = "none"
        if request.pointmap is not None:
            pointmap = "found" if request.pointmap.exists() else "made"
            request.pointmap.touch()
        made = super().run(request, report)
        pose = {
            "rotation_wxyz": [0, 0, 0.5**0.5, 0.5**0.5],
            "translation": [-float(columns.mean()), -float(rows.mean()), 5.0],
            "scale": 2.0,
        }
        if only := self._config.get("only"):
            made = replace(made, files={only: made.files[only]})
        return replace(made, pose=pose, details={**made.details, "pointmap": pointmap})
