"""`/api/v1/weights`: which weights there are, and their downloads.

Nothing but what the registry lists is ever fetched. Must not know how bytes come here.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from samdesk.app.downloads import TYPE_TITLES
from samdesk.server.errors import RequestError
from samdesk.server.service import Service
from samdesk.weights import Weight

from .messages import INVALID, Message, Refusal


class WeightInfo(Message):
    """A file of a model."""

    name: str = Field(description="Percent-encoded, it is the last part of the address.")
    type: str = Field(description="Model type, such as `sam2_t`; empty while nobody knows.")
    title: str = Field(description="The model type as a person reads it.")
    state: str = Field(
        description="`missing`; `gated`: missing, and its licence must be accepted first; `partial`: a "
        "download can go on; `queued`, `receiving`, `checking`: under way; `ready`; `unchecked`: here, but "
        "not compared with what was published; `damaged`."
    )
    text: str = Field(description="The state in a few words.")
    fraction: float | None = Field(
        description="Which part of what is under way is done, from 0 to 1; null when nothing is, or when it "
        "cannot be told."
    )
    detail: str = Field(description="More about the state; may be empty.")
    trouble: bool = Field(description="Whether `detail` tells of something that went wrong.")
    size: int | None = Field(description="Bytes; null when unknown.")
    licence: str
    gated: bool = Field(description="Comes only to those who accepted its licence and are logged in.")
    homepage: str
    about: str
    url: str = Field(description="Where it comes from; empty for an imported file.")


class WeightList(Message):
    """All weights that are known on this computer."""

    weights: list[WeightInfo]


_NONE: dict[int | str, dict[str, Any]] = {404: {"model": Refusal, "description": "There is no such weight."}}


def router(service: Service) -> APIRouter:
    """The endpoints."""
    router = APIRouter(prefix="/api/v1/weights", tags=["weights"], responses=INVALID)
    downloads = service.downloads

    def told(weight: Weight) -> WeightInfo:
        standing = downloads.standing(weight)
        return WeightInfo(
            name=weight.name,
            type=weight.type,
            title=TYPE_TITLES.get(weight.type, ""),
            state=standing.state,
            text=standing.text,
            fraction=standing.fraction,
            detail=standing.detail,
            trouble=standing.trouble,
            size=service.registry.size(weight),
            licence=weight.licence,
            gated=weight.gated,
            homepage=weight.homepage,
            about=weight.about,
            url=weight.url,
        )

    def named(name: str) -> Weight:
        for weight in service.registry.weights:
            if weight.name == name:
                return weight
        raise RequestError(404, f"There is no weight “{name[:200]}”.", "GET /api/v1/weights lists them.")

    @router.get("", summary="All weights")
    async def list_weights() -> WeightList:
        def read() -> WeightList:
            return WeightList(weights=[told(one) for one in service.registry.weights])

        return await service.on_main(read)

    # a name may have "/" in it, so the longer paths come first
    @router.post(
        "/{name:path}/download",
        status_code=202,
        summary="Start a download, or go on with it",
        responses={
            200: {"model": WeightInfo, "description": "It is here already."},
            **_NONE,
            422: {"model": Refusal, "description": "It has no address to come from."},
        },
    )
    async def start_download(name: str, response: Response) -> WeightInfo:
        """Answers at once; ask for the weight to see how far it is."""

        def start() -> tuple[bool, WeightInfo]:
            weight = named(name)
            if downloads.standing(weight).state == "ready":
                return True, told(weight)
            if not weight.url:
                raise RequestError(
                    422, f"“{weight.name}” has no address to come from.", "It was imported: import it again."
                )
            downloads.start(weight)
            return False, told(weight)

        is_here, info = await service.on_main(start)
        if is_here:
            response.status_code = 200
        return info

    @router.delete("/{name:path}/download", summary="Give up what is under way", responses=_NONE)
    async def cancel_download(name: str) -> WeightInfo:
        """What was received stays, and a later download goes on from there."""

        def cancel() -> WeightInfo:
            weight = named(name)
            downloads.cancel(weight)
            return told(weight)

        return await service.on_main(cancel)

    @router.get("/{name:path}", summary="One weight, and how far its download is", responses=_NONE)
    async def get_weight(name: str) -> WeightInfo:
        return await service.on_main(lambda: told(named(name)))

    return router
