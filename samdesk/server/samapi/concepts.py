"""POST /sam/sam3/: all instances of what a text or boxes around examples describe.

The boxes of several requests about one picture add up until they are reset; the text is always
the one just sent. Must not know the other endpoints.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from fastapi import APIRouter, Response

from samdesk.domain.prompts import BoxPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import engine_spec
from samdesk.server import asking
from samdesk.server.errors import RequestError
from samdesk.server.results import qupath_features
from samdesk.server.service import Choice, Service

from .bodies import ConceptBody
from .models import chosen, label
from .replies import features
from .routes import serve

TITLE = "QuPath: searching"

KEPT_PICTURES = 32
"""Pictures whose boxes are kept; the one asked about longest ago is forgotten first."""

KEPT_BOXES = 256
"""Boxes that are kept for a picture, the latest ones."""


class KeptBoxes:
    """The boxes of earlier requests, by picture."""

    def __init__(self) -> None:
        self._boxes: OrderedDict[str, tuple[BoxPrompt, ...]] = OrderedDict()

    def with_new(self, picture: str, boxes: tuple[BoxPrompt, ...], *, reset: bool) -> tuple[BoxPrompt, ...]:
        """The new boxes together with the kept ones, which a reset forgets; all are kept now."""
        earlier = () if reset else self._boxes.get(picture, ())
        total = tuple(dict.fromkeys((*earlier, *boxes)))[-KEPT_BOXES:]
        self._boxes[picture] = total
        self._boxes.move_to_end(picture)
        while len(self._boxes) > KEPT_PICTURES:
            self._boxes.popitem(last=False)
        return total


def router(service: Service) -> APIRouter:
    """The endpoint of this file."""
    kept = KeptBoxes()

    async def search(body: ConceptBody) -> Response:
        """Every instance of a text or of examples, as Features; [] when neither was ever sent."""
        choice = await chosen(service, body.type, body.checkpoint, "sam3")
        image = await service.picture(body.b64img)
        boxes = kept.with_new(service.pictures.id_of(image), body.boxes, reset=body.reset_prompts)
        asked = Prompts(boxes=boxes, text=said(body.text_prompt))
        if asked and not finds(choice):
            await service.refuse(
                RequestError(422, f"{choice.title} cannot search by text or example.", "Choose SAM 3.")
            )
        threshold = body.confidence_threshold
        found = await asking.find(service, image, asked, choice, min_score=threshold, title=TITLE)

        def written(task: Task) -> list[dict[str, Any]]:
            return qupath_features(found, label(choice), image.size, plane=None, object_id=None)

        return await features(service, written)

    router = APIRouter()
    serve(router, "POST", "sam3", search)
    return router


def finds(choice: Choice) -> bool:
    """Whether a model searches by text and example."""
    return bool(choice.type) and engine_spec(choice.type).finds


def said(text: str) -> str:
    """The text that was meant: "visual" is SAM 3's own word for none."""
    text = text.strip()
    return "" if text.casefold() == "visual" else text
