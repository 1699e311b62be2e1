"""From the shell to the first outline: `python -m tests.bench.model_start [FILE.pth]`.

`samdesk segment` against a bare script that loads the same SAM ViT-B with the package, encodes the
same picture, asks the same click and traces the mask with OpenCV. Each in a process of its own,
turn and turn about; medians. Without a file, a ViT-B with seeded weights is made.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
from skimage import data

ROUNDS = 3
BARE = """
import sys, cv2, numpy as np
from samdesk.engines.torchvision_ops import disarm_torchvision
disarm_torchvision()
import torch
from segment_anything import SamPredictor, sam_model_registry
model = sam_model_registry["vit_b"](checkpoint=sys.argv[1]).eval()
predictor = SamPredictor(model)
picture = cv2.cvtColor(cv2.imread(sys.argv[2]), cv2.COLOR_BGR2RGB)
predictor.set_image(picture)
masks, scores, _ = predictor.predict(np.array([[100, 56]]), np.array([1]), multimask_output=True)
cv2.findContours(masks[scores.argmax()].astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
"""


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if len(sys.argv) > 1:
            weights = Path(sys.argv[1])
        else:
            from tests.engines.seeded_sam import sam_checkpoint

            weights = sam_checkpoint(folder)
        picture = folder / "coins.png"
        cv2.imwrite(str(picture), data.coins())
        ours = [sys.executable, "-m", "samdesk", "segment", str(picture), "--weights", str(weights),
                "--point", "100.5,56.5", "--out", str(folder / "out.geojson")]  # fmt: skip
        bare = [sys.executable, "-c", BARE, str(weights), str(picture)]
        took: dict[str, list[float]] = {"bare script": [], "samdesk, first time": [], "samdesk, again": []}
        for number in range(ROUNDS):
            home = folder / f"home{number}"
            took["bare script"].append(_seconds(bare, home))
            took["samdesk, first time"].append(_seconds(ours, home))
            took["samdesk, again"].append(_seconds(ours, home))
    reference = statistics.median(took["bare script"])
    for title, seconds in took.items():
        middle = statistics.median(seconds)
        print(f"{title:<22} {middle:6.2f} s   {middle / reference:.2f}")
    return 0


def _seconds(command: list[str], home: Path) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "SAMDESK_HOME": str(home)})
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
