"""What is said about one object on a frame, in the numbers that the trackers' prompt encoders take.

Must not know frames, nor what is remembered of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from samdesk.domain.geometry import Bounds, Region, Shape
from samdesk.domain.outline import shape_to_mask
from samdesk.domain.prompts import Prompts

from .fast import BOTTOM_RIGHT, NEGATIVE, POSITIVE, TOP_LEFT


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """The prompts of one object on one frame as the network takes them.

    Attributes
    ----------
    points : dict of str to Tensor, or None
        "point_coords" (1, n, 2) and "point_labels" (1, n), corners of the box among them.
    prior : Tensor, (1, 1, side, side) float32 of 0 and 1, or None
    places : bool
        They say where the object is, whatever was known before.
    points_at : bool
        There is at least a positive point.
    """

    points: dict[str, Tensor] | None
    prior: Tensor | None
    places: bool
    points_at: bool


def said_on(
    prompts: Prompts,
    size: tuple[int, int],
    side: int,
    mask_side: int,
    device: torch.device,
    shift: float = 0.0,
) -> Said:
    """The prompts on the network's square; points outside the frame are left out, boxes cut.

    Parameters
    ----------
    prompts : Prompts
        In frame pixels.
    size : (width, height)
        Of the frame.
    side, mask_side : int
        Of the square, for points and for the prior.
    device : torch.device
    shift : float
        Added to the coordinates of points, in pixels of the square.
    """
    whole = Bounds(0, 0, *size)
    at: list[tuple[float, float]] = []
    labels: list[int] = []
    boxes = [box.bounds.intersection(whole) for box in prompts.boxes if box.positive]
    for x0, y0, x1, y1 in (box for box in boxes if not box.is_empty):
        at += [(x0, y0), (x1, y1)]
        labels += [TOP_LEFT, BOTTOM_RIGHT]
    for x, y, positive in prompts.points:
        if whole.contains(x, y):
            at.append((x, y))
            labels.append(POSITIVE if positive else NEGATIVE)
    points = None
    if at:
        places = np.array(at) * side / size + shift
        points = {
            "point_coords": torch.tensor(places[None], dtype=torch.float32, device=device),
            "point_labels": torch.tensor([labels], dtype=torch.int32, device=device),
        }
    prior = None if prompts.prior is None else _mask(prompts.prior, size, mask_side, device)
    return Said(points, prior, prior is not None or TOP_LEFT in labels, POSITIVE in labels)


def _mask(prior: Shape, size: tuple[int, int], side: int, device: torch.device) -> Tensor | None:
    """The prior as a mask of the whole frame; None when it covers no sample."""
    if prior.is_empty:
        return None
    scaled = Shape(prior.coords * side / np.array(size), prior.rings, prior.parts, prior.kind)
    mask = shape_to_mask(scaled, Region(0, 0, side, side))
    return torch.from_numpy(mask)[None, None].float().to(device) if mask.any() else None
