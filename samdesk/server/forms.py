"""Forms with files in them. Must not know what is asked with them."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from .errors import RequestError

HOW = "Send multipart/form-data."

FILE: Mapping[str, Any] = {"type": "string", "format": "binary"}
"""A member of a form that is a file, as OpenAPI describes it."""


def form_content(members: Mapping[str, Any], required: Sequence[str]) -> dict[str, Any]:
    """A form as OpenAPI describes it, for the `content` of a body: its members and those it must have."""
    schema = {"type": "object", "required": [*required], "properties": dict(members)}
    return {"multipart/form-data": {"schema": schema}}


class _InMemory(MultiPartParser):
    """Keeps parts in memory, whose size the server limits: files on the disk would need threads."""

    spool_max_size = sys.maxsize


@asynccontextmanager
async def read_form(request: Request, *, files: int, fields: int) -> AsyncIterator[FormData]:
    """The form that a request brings, until it is done with.

    Parameters
    ----------
    request : Request
    files, fields : int
        How many there may be at most.

    Raises
    ------
    RequestError
        422 when it is none, or cannot be read.
    """
    kind = request.headers.get("content-type", "").lower()
    if not kind.startswith("multipart/form-data"):
        raise RequestError(422, "The body is no form.", HOW)
    try:
        form = await _InMemory(request.headers, request.stream(), max_files=files, max_fields=fields).parse()
    except MultiPartException as error:
        raise RequestError(422, f"The form cannot be read: {error.message}", HOW) from error
    except ClientDisconnect as error:
        raise RequestError(400, "The form did not come to its end.", "Send it again.") from error
    try:
        yield form
    finally:
        await form.close()
