"""POST /sam/automask/: every object in the picture. Must not know the other endpoints."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from samdesk.engines.automask import AutomaskOptions, read_output
from samdesk.server import asking
from samdesk.server.bounded import BoundedRoute
from samdesk.server.service import Choice, Service

from .bodies import AutomaskBody
from .models import chosen
from .replies import features
from .routes import serve

TITLE = "QuPath: all objects"
NOT_OPTIONS = {"type", "checkpoint_url", "checkpoint_url_2", "b64img", "output_type"}
OF_NETWORKS = ("stability_score_thresh", "stability_score_offset")


def router(service: Service) -> APIRouter:
    """The endpoint of this file."""

    async def automask(body: AutomaskBody) -> Response:
        """Every object in the picture, as Features."""
        output = read_output(body.output_type)
        choice = await chosen(service, body.type, body.checkpoint)
        options = _options(body, choice)
        image = await service.picture(body.b64img)
        found = await asking.everything(service, image, choice, options, output=output, title=TITLE)
        return await features(service, found, choice, image)

    router = APIRouter(route_class=BoundedRoute)
    serve(router, "POST", "automask", automask)
    return router


def _options(body: AutomaskBody, choice: Choice) -> dict[str, Any]:
    """What was sent and makes sense for the model.

    Raises
    ------
    SamdeskError
        When a value is out of range; says what is allowed.
    """
    given = body.model_dump(exclude_none=True, exclude=NOT_OPTIONS)
    AutomaskOptions(**given)  # what is wrong is told before a model is loaded
    if choice.weight is None:
        # the extension always sends them; they are meant for the logits of a network
        given = {name: value for name, value in given.items() if name not in OF_NETWORKS}
    return given
