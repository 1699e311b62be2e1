"""POST /sam/: the object at points or in a box. Must not know the other endpoints."""

from __future__ import annotations

from fastapi import APIRouter, Response

from samdesk.domain.prompts import Prompts
from samdesk.server import asking
from samdesk.server.bounded import BoundedRoute
from samdesk.server.masks import shape_in
from samdesk.server.service import Service

from .bodies import PromptBody
from .models import chosen
from .replies import features
from .routes import serve

TITLE = "QuPath: an object"


def router(service: Service) -> APIRouter:
    """The endpoint of this file."""

    async def predict(body: PromptBody) -> Response:
        """The object at points or in a box, as Features; [] without a point or box inside the picture."""
        choice = await chosen(service, body.type, body.checkpoint)
        image = await service.picture(body.b64img)
        mask = body.b64mask
        prior = await service.run("requests", lambda task: shape_in(mask, image.size)) if mask else None
        asked = Prompts(body.points, body.boxes, prior=prior)
        multimask = body.multimask_output
        (found,) = await asking.segment(service, image, [asked], choice, multimask=multimask, title=TITLE)
        return await features(service, found if multimask else found[:1], choice, image)

    router = APIRouter(route_class=BoundedRoute)
    serve(router, "POST", "", predict)
    return router
