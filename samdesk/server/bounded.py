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

PIECE = 1 << 20


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

    Each has a comma or a bracket before it, and base64 has neither.
    """
    found = 0
    for start in range(0, len(body), PIECE):
        found += sum(body.count(sign, start, start + PIECE) for sign in (b",", b"[", b"{"))
        if found > MOST_VALUES:
            raise RequestError(
                413,
                f"The body has more than {MOST_VALUES:,} values.",
                "Send outlines of fewer points, or masks as COCO's text.",
            )
