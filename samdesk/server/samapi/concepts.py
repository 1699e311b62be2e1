"""POST /sam/sam3/: all instances of what a text or boxes around examples describe.

The boxes of several requests about one picture add up until they are reset; the text is always
the one just sent. Must not know the other endpoints.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from fastapi import APIRouter, Response

from samdesk.domain.prompts import BoxPrompt, Prompts
from samdesk.engines.base import engine_spec
from samdesk.server import asking
from samdesk.server.bounded import BoundedRoute
from samdesk.server.errors import RequestError
from samdesk.server.service import Choice, Service

from .bodies import ConceptBody
from .models import chosen
from .replies import features
from .routes import serve

TITLE = "QuPath: searching"

KEPT_PICTURES = 32
"""Pictures whose boxes are kept; the one asked about longest ago is forgotten first."""

KEPT_BOXES = 256
"""Examples that are kept for a picture, and as many counterexamples: the latest ones."""


class KeptBoxes:
    """The boxes of earlier requests, by picture."""

    def __init__(self) -> None:
        self._boxes: OrderedDict[str, tuple[BoxPrompt, ...]] = OrderedDict()

    def with_new(self, picture: str, boxes: tuple[BoxPrompt, ...], *, reset: bool) -> tuple[BoxPrompt, ...]:
        """The new boxes after the kept ones, which a reset leaves out: examples, then counterexamples."""
        earlier = () if reset else self._boxes.get(picture, ())
        return (*_together(earlier, boxes, True), *_together(earlier, boxes, False))

    def keep(self, picture: str, boxes: tuple[BoxPrompt, ...]) -> None:
        """From now on, these are the boxes of a picture."""
        self._boxes[picture] = boxes
        self._boxes.move_to_end(picture)
        while len(self._boxes) > KEPT_PICTURES:
            self._boxes.popitem(last=False)


def _together(
    earlier: Iterable[BoxPrompt], boxes: Iterable[BoxPrompt], positive: bool
) -> tuple[BoxPrompt, ...]:
    """Those of one side: all new ones, before them as many earlier ones as there is space for."""
    new = dict.fromkeys(box for box in boxes if box.positive is positive)
    old = [box for box in earlier if box.positive is positive and box not in new]
    space = max(0, KEPT_BOXES - len(new))
    return (*old[max(0, len(old) - space) :], *new)


def router(service: Service) -> APIRouter:
    """The endpoint of this file."""
    kept = KeptBoxes()

    async def search(body: ConceptBody) -> Response:
        """Every instance of a text or of examples, as Features; [] when neither was ever sent."""
        choice = await chosen(service, body.type, body.checkpoint, "sam3")
        image = await service.picture(body.b64img)
        picture = service.pictures.id_of(image)
        boxes = kept.with_new(picture, body.boxes, reset=body.reset_prompts)
        asked = Prompts(boxes=boxes, text=said(body.text_prompt))
        if asked:
            await _check(service, choice)
        kept.keep(picture, boxes)
        threshold = body.confidence_threshold
        found = await asking.find(service, image, asked, choice, min_score=threshold, title=TITLE)
        return await features(service, found, choice, image)

    router = APIRouter(route_class=BoundedRoute)
    serve(router, "POST", "sam3", search)
    return router


async def _check(service: Service, choice: Choice) -> None:
    """Refuse a model that cannot search or is not here, before what was said is kept."""
    if not finds(choice):
        await service.refuse(
            RequestError(422, f"{choice.title} cannot search by text or example.", "Choose SAM 3.")
        )
    await service.segmenter(choice)


def finds(choice: Choice) -> bool:
    """Whether a model searches by text and example."""
    return bool(choice.type) and engine_spec(choice.type).finds


def said(text: str) -> str:
    """The text that was meant: "visual" is SAM 3's own word for none."""
    text = text.strip()
    return "" if text.casefold() == "visual" else text
