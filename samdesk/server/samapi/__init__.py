"""The endpoints of samapi under `/sam`, as QuPath's SAM extension asks for them.

One file for each concern. Coordinates are pixels of the picture that was sent.
"""

from __future__ import annotations

from fastapi import APIRouter

from samdesk.server.service import Service

from . import automask, concepts, prompts, video, weights


def routers(service: Service) -> list[APIRouter]:
    """The endpoints of this package."""
    return [one.router(service) for one in (prompts, automask, concepts, weights, video)]
