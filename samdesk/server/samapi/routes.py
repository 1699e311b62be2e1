"""How the paths of samapi are spelled. Must not know what they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter

TAG = "QuPath and samapi"


def serve(router: APIRouter, method: str, path: str, endpoint: Callable[..., Any], **told: Any) -> None:
    """Answer at `/sam/PATH/`, and at the same without its last slash.

    The extension sends prompts to the address as the user typed it; where that lacks the slash at
    its end, an older one asks for `/samPATH/`.

    Parameters
    ----------
    router : APIRouter
    method : str
    path : str
        "" for prompts, else as "weights" or "weights/cancel".
    endpoint : async callable
        Its docstring is what /docs tells.
    **told
        More for `/docs`, as `APIRouter.add_api_route` takes it.
    """
    shown = f"/sam/{path}/" if path else "/sam/"
    router.add_api_route(shown, endpoint, methods=[method], tags=[TAG], **told)
    for spelled in {shown.rstrip("/"), f"/sam{path}/", f"/sam{path}"} - {shown}:
        router.add_api_route(spelled, endpoint, methods=[method], include_in_schema=False)
