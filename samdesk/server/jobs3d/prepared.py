"""`Prepared`: a job that could be made, with all that it needs. Must not know workers or files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane, Shape
from samdesk.domain.tasks import Task
from samdesk.sdk import Image
from samdesk.sdk.reconstruction import Order, Picture, mask_of, picture_of, preflight
from samdesk.server.errors import RequestError

from .order import check_count, config


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """It holds the picture, so that the image may be closed.

    Attributes
    ----------
    order : Order
    config : mapping
        What the user told the engine.
    picture : Picture
    shapes : tuple of Shape
        One for each object.
    """

    order: Order
    config: Mapping[str, Any]
    picture: Picture
    shapes: tuple[Shape, ...]


def prepare_job(
    image: Image, shapes: Sequence[Shape], order: Order, task: Task, plane: Plane = Plane()
) -> Prepared:
    """Look at the picture and the outlines; what cannot be made is refused here and not later.

    Reads the image: for a lane.

    Raises
    ------
    RequestError
        503 when the engine is not set up.
    SamdeskError
        When there is nothing to make an object of.
    Cancelled
    """
    check_count(order, len(shapes))
    try:
        told = config(order.spec.name)
    except SamdeskError as error:
        raise RequestError(503, error.message, error.hint) from error
    for finding in preflight(image, shapes, order.spec, plane).findings:
        if finding.level == "error":
            raise SamdeskError(finding.text, finding.hint)
    task.check()
    picture = picture_of(image, shapes, order.spec, plane)
    for number, shape in enumerate(shapes, 1):
        task.check()
        if not mask_of(picture, shape).any():
            who = "The object" if len(shapes) == 1 else f"Object {number}"
            raise SamdeskError(f"{who} covers no pixel of the picture.", "Send a larger outline.")
    return Prepared(order, told, picture, tuple(shapes))
