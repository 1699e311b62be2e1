"""`/health`, `/metrics` and `/api/v1/models`: that the server is there, and what it can be asked.

Answers at once and loads nothing. Must not know images.
"""

from __future__ import annotations

import time

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

import samdesk
from samdesk.engines.base import ENGINES
from samdesk.server.service import Choice, Service

from .messages import Message

CLASSICAL_ABOUT = "Regions of similar colour around a click. No model, no training, nothing to download."


class EngineInfo(Message):
    """The model that answers who names none."""

    key: str
    title: str


class Ability(Message):
    """Whether a kind of model is there, as a client of other SAM services asks it."""

    loaded: bool = Field(description="Whether it can be asked; it is loaded when it first is.")
    model_id: str | None
    routes: list[str]
    error: str | None


class Health(Message):
    """That the server is there."""

    status: str = Field(description="healthy")
    version: str
    engine: EngineInfo
    models_loaded: bool = Field(description="Whether any model is in memory; one is loaded when it is asked.")
    device: str = Field(description="Where the models compute; auto until one is loaded.")
    sam2: Ability
    sam3: Ability
    model_loaded: bool = Field(description="True: the server can be asked. For clients of other services.")
    pipeline_loaded: bool = Field(description="As model_loaded.")
    timestamp: float = Field(description="Seconds since 1970.")


class ModelInfo(Message):
    """A model that can be asked."""

    key: str = Field(description="What `model` in a request says.")
    title: str
    type: str = Field(description="Model type, which a request may name as well; empty without weights.")
    about: str = Field(description="What it is good for; may be empty.")
    is_default: bool = Field(description="Answers who names none.")
    here: bool = Field(description="Whether its file is on this computer; see /api/v1/weights.")
    loaded: bool = Field(description="Whether it is in memory. It is loaded when it is first asked.")
    device: str | None = Field(description="Where it computes; null while it is not loaded.")
    finds: bool = Field(description="Whether it can search by text and example.")
    licence: str
    size: int | None = Field(description="Bytes of its file; null when unknown or without one.")


class ModelList(Message):
    """Models, those that are here first."""

    models: list[ModelInfo]


def router(service: Service) -> APIRouter:
    """The endpoints."""
    router = APIRouter(tags=["server"])

    @router.get("/health", summary="Whether the server is there")
    @router.get("/api/v1/health", summary="Whether the server is there")
    async def health() -> Health:
        """Answers at once and loads nothing."""
        default = service.default_choice()
        return Health(
            status="healthy",
            model_loaded=True,
            pipeline_loaded=True,
            timestamp=time.time(),
            version=samdesk.__version__,
            engine=EngineInfo(key=default.key, title=default.title),
            models_loaded=service.loaded() is not None,
            device=_device(service, default) or service.options.device,
            sam2=_ability(service, "sam2", ["/segment", "/segment-binary"]),
            sam3=_ability(service, "sam3", ["/segment-sam3d", "/segment-binary-sam3d"]),
        )

    @router.get("/metrics", summary="Counts in the format of Prometheus", response_class=Response)
    async def metrics() -> Response:
        text = service.metrics.text(service.waiting, service.store.nbytes)
        return Response(text, media_type=service.metrics.media_type)

    @router.get("/api/v1/models", summary="Models that can be asked")
    async def models() -> ModelList:
        default = service.default_choice().key
        return ModelList(models=[_told(service, one, default) for one in service.choices()])

    return router


def _device(service: Service, choice: Choice) -> str | None:
    loaded = service.loaded(choice)
    return None if loaded is None else loaded.engine.device


def _ability(service: Service, engine: str, routes: list[str]) -> Ability:
    types = ENGINES[engine].types
    here = [
        one for one in service.choices() if one.type in types and one.weight and service.is_here(one.weight)
    ]
    return Ability(
        loaded=bool(here),
        model_id=here[0].key if here else None,
        routes=routes,
        error=None if here else f"No weights for {ENGINES[engine].title} are on this computer.",
    )


def _told(service: Service, choice: Choice, default: str) -> ModelInfo:
    weight = choice.weight
    types = [spec for spec in ENGINES.values() if choice.type and choice.type in spec.types]
    return ModelInfo(
        key=choice.key,
        title=choice.title,
        type=choice.type,
        about=CLASSICAL_ABOUT if weight is None else weight.about,
        is_default=choice.key == default,
        here=weight is None or service.is_here(weight),
        loaded=service.loaded(choice) is not None,
        device=_device(service, choice),
        finds=any(spec.finds for spec in types),
        licence="" if weight is None else weight.licence,
        size=None if weight is None else service.registry.size(weight),
    )
