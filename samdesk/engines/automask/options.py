"""What automask can be told, with the names and defaults that samapi and the SAM packages use.

Must not know engines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from samdesk.domain.errors import SamdeskError

Output = Literal["all", "largest", "smallest", "best", "single"]
"""Which of an engine's proposals for a point are kept where they overlap; see `OUTPUTS`."""

OUTPUTS: Mapping[Output, str] = {
    "single": "Single mask",
    "all": "Multi-mask (all)",
    "largest": "Multi-mask (largest)",
    "smallest": "Multi-mask (smallest)",
    "best": "Multi-mask (best quality)",
}
"""Every output with the text that QuPath's SAM extension shows and sends for it.

single: one proposal for each point, smaller ones preferred where they overlap.
all: every proposal, overlaps included.
largest, smallest, best: three proposals for each point; of those whose boxes overlap, the one
with the largest area, the smallest area or the highest score stays. "best" is what the SAM
packages do.
"""


def read_output(text: str) -> Output:
    """The output of this name or wire text, in upper or lower case.

    Raises
    ------
    SamdeskError
        When there is none.
    """
    wanted = text.strip().casefold()
    for name, wire in OUTPUTS.items():
        if wanted in (name, wire.casefold()):
            return name
    raise SamdeskError(f"There is no output type “{text}”.", f"Known: {', '.join(OUTPUTS)}.")


@dataclass(frozen=True, slots=True)
class AutomaskOptions:
    """How densely to ask, and what to keep.

    Attributes
    ----------
    points_per_side : int
        Points along each side of what is looked at: `points_per_side`² prompts.
    points_per_batch : int
        Prompts that the engine answers at once; more need more memory.
    pred_iou_thresh : float
        Masks that the engine scores no higher are dropped; 0 keeps all.
    stability_score_thresh : float
        Masks less stable are dropped; 0 keeps all. Stability is the area above the threshold
        plus `stability_score_offset` over the area above the threshold minus it.
    stability_score_offset : float
        In logits.
    box_nms_thresh : float
        Of two masks whose boxes have a larger IoU, one is dropped.
    crop_n_layers : int
        Layer i looks again at 2^i x 2^i crops, each encoded on its own.
    crop_nms_thresh : float
        As `box_nms_thresh`, between crops and between tiles.
    crop_overlap_ratio : float
        Overlap of the crops of the first layer, as a part of the shorter side.
    crop_n_points_downscale_factor : int
        Layer i is asked at `points_per_side` / factor^i points on a side.
    min_mask_region_area : float
        Smaller holes are filled and smaller pieces dropped; pixels that the engine sees, squared.
    include_image_edge : bool
        Also keep masks that reach (nearly) all four edges of what is looked at, most often the
        background. The SAM packages do; samapi does not unless told.

    Raises
    ------
    SamdeskError
        When a value makes no sense; says which and what is allowed.
    """

    points_per_side: int = 32
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    min_mask_region_area: float = 0
    include_image_edge: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            whole = name in WHOLE
            if not (math.isfinite(value) and low <= value <= high) or (whole and value != int(value)):
                kind = "a whole number" if whole else "a number"
                raise SamdeskError(
                    f"Automask's {name} is {value:g}.", f"Give {kind} from {low:g} to {high:g}."
                )
        if self.points_in_layer(self.crop_n_layers) < 1:
            raise SamdeskError(
                f"Automask's crop layer {self.crop_n_layers} would have no points.",
                "Lower crop_n_points_downscale_factor or raise points_per_side.",
            )

    def points_in_layer(self, layer: int) -> int:
        """Points on each side of a crop of that layer."""
        return int(self.points_per_side / self.crop_n_points_downscale_factor**layer)


LIMITS: Mapping[str, tuple[float, float]] = {
    "points_per_side": (1, 512),
    "points_per_batch": (1, 4096),
    "pred_iou_thresh": (0, 1),
    "stability_score_thresh": (0, 1),
    "stability_score_offset": (0, 100),
    "box_nms_thresh": (0, 1),
    "crop_n_layers": (0, 4),
    "crop_nms_thresh": (0, 1),
    "crop_overlap_ratio": (0, 0.9),
    "crop_n_points_downscale_factor": (1, 64),
    "min_mask_region_area": (0, 1e9),
}
"""The smallest and largest value of each option that is a number."""

WHOLE = frozenset(("points_per_side", "points_per_batch", "crop_n_layers", "crop_n_points_downscale_factor"))
"""Options that must be whole numbers."""
