"""Example boxes as SAM 3's detector takes them. Must not know torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import Prompts


def exemplars(prompts: Prompts, width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The boxes that meet a chip, clipped to it.

    Parameters
    ----------
    prompts : Prompts
        Pixels of the chip, on pixel edges.
    width, height : int
        Of the chip in pixels.

    Returns
    -------
    boxes : ndarray, (n, 4) float32
        Center x, center y, width and height as fractions of the chip.
    positive : ndarray, (n,) bool
    """
    chip = Bounds(0, 0, width, height)
    boxes, signs = [], []
    for box, positive in prompts.boxes:
        x0, x1 = sorted((box.x0, box.x1))
        y0, y1 = sorted((box.y0, box.y1))
        clipped = Bounds(x0, y0, x1, y1).intersection(chip)
        if not clipped.is_empty:
            boxes.append((*clipped.center, clipped.width, clipped.height))
            signs.append(positive)
    fractions = np.array(boxes, np.float64).reshape(-1, 4) / (width, height, width, height)
    return fractions.astype(np.float32), np.array(signs, bool)
