"""The native API: `/api/v1` with `/health` and `/metrics`, documented at `/docs`.

Must not know the clients of other services.
"""

from __future__ import annotations

from fastapi import APIRouter

from samdesk.server.service import Service

from . import images, models, reconstructions, segment, weights


def routers(service: Service) -> list[APIRouter]:
    """The endpoints of this package."""
    return [one.router(service) for one in (models, images, segment, reconstructions, weights)]
