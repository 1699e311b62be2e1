"""Candidates as the array of Features that QuPath reads. Must not know how they were asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from fastapi import Response

from samdesk.domain.prompts import Candidate
from samdesk.sdk import Image
from samdesk.server.results import qupath_features
from samdesk.server.service import Choice, Service

from .models import label


async def features(service: Service, found: Sequence[Candidate], choice: Choice, image: Image) -> Response:
    """An answer with what a model found in a picture."""
    return await written(
        service, lambda: qupath_features(found, label(choice), image.size, plane=None, object_id=None)
    )


async def written(service: Service, make: Callable[[], list[dict[str, Any]]]) -> Response:
    """An answer with Features that are made and written on a lane: there may be thousands."""
    text = await service.run("requests", lambda task: orjson.dumps(make()), counted=False)
    return Response(text, media_type="application/json")
