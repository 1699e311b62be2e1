"""`BoundedRoute`: what has far too many values is refused before anyone reads it.

A picture is one value, however long. Must not know what the values are.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from samdesk.server.errors import RequestError

MOST_VALUES = 1_000_000
"""Of a body; read as JSON, each takes a hundred bytes and a microsecond in which nobody else is answered."""

FEW = 1_000


class BoundedRoute(APIRoute):
    """An endpoint whose bodies of JSON are counted first."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def counted(request: Request) -> Response:
            if "json" in request.headers.get("content-type", "").lower():
                check_values(await request.body())
            return await answer(request)

        return counted


def check_values(body: bytes) -> None:
    """Raise `RequestError` when a body of JSON has too many values.

    Each but the first of its list or object has a comma before it, and base64 has none; lists within
    lists without a comma are only as deep as the reader of JSON goes.
    """
    at = -1
    for _ in range(FEW):  # to search is ten times as quick as to count, and a picture has few
        at = body.find(b",", at + 1)
        if at < 0:
            return
    if body.count(b",", at) + FEW > MOST_VALUES:
        raise RequestError(
            413,
            f"The body has more than {MOST_VALUES:,} values.",
            "Send outlines of fewer points, or masks as COCO's text.",
        )
