"""Endpoints under the names that clients of other segmentation services call; one file for each.

They translate to the questions that the native endpoints ask as well, and know nothing of their own.
"""

from __future__ import annotations

from fastapi import APIRouter

from samdesk.server.service import Service

from . import mobile, perceptra, sam3_sam3d


def routers(service: Service) -> list[APIRouter]:
    """The endpoints of this package."""
    return [module.router(service) for module in (mobile, perceptra, sam3_sam3d)]
