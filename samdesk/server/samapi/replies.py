"""Candidates as the array of Features that QuPath reads. Must not know how they were asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from fastapi import Response

from samdesk.domain.tasks import Task
from samdesk.server.service import Service


async def features(service: Service, make: Callable[[Task], list[dict[str, Any]]]) -> Response:
    """An answer with Features that are made and written on a lane: there may be thousands."""
    written = await service.run("requests", lambda task: orjson.dumps(make(task)))
    return Response(written, media_type="application/json")
