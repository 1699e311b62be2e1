"""Automask: every object on a chip, found by asking an engine on a grid of points.

The rules (grid, thresholds, suppression, crops) are those of the generators that the SAM
packages bring; how they are computed is not: masks are sorted out on the engine's own small
logits, only what may be kept is looked at in chip pixels, and only what is kept is outlined.
Works with every engine through `encode` and `predict_batch`; must not know which one it is.
"""

from .generate import MaskFound, automask, automask_steps, last
from .options import OUTPUTS, AutomaskOptions, Output, read_output
from .suppress import rank

__all__ = [
    "OUTPUTS",
    "AutomaskOptions",
    "MaskFound",
    "Output",
    "automask",
    "automask_steps",
    "last",
    "rank",
    "read_output",
]
