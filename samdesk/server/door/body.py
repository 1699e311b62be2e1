"""What is sent along: its size and kind, as far as the headers tell.

Must not know who asks.
"""

from __future__ import annotations

from starlette.types import Scope

from samdesk.server.errors import RequestError
from samdesk.server.options import Limits

from .asker import header

KINDS = ("application/json", "multipart/form-data", "application/octet-stream", "image/")
"""Kinds of bodies. Not what a page can send without being asked, text and forms of key=value."""

TOGETHER = 4
"""All bodies under way may have so many times the bytes of the largest one."""


class Held:
    """The bytes of bodies whose requests are not answered yet.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        self._most = TOGETHER * limits.body_bytes
        self._bytes = 0

    def add(self, count: int) -> None:
        """So many more came.

        Raises
        ------
        RequestError
            503 when there is no room for them; they are counted all the same.
        """
        self._bytes += count
        if self._bytes > self._most:
            raise RequestError(
                503, "Too much is being sent at the same time.", "Ask again when some requests are answered."
            )

    def remove(self, count: int) -> None:
        """A request that had sent so many was answered."""
        self._bytes -= count


def has_body(scope: Scope) -> bool:
    """Whether anything follows the headers."""
    lengths = header(scope, b"content-length")
    return bool(header(scope, b"transfer-encoding")) or any(one.strip() != "0" for one in lengths)


def most_bytes(scope: Scope, limits: Limits) -> int:
    """How large the body of this request may be."""
    kinds = [one.partition(";")[0].strip().lower() for one in header(scope, b"content-type")]
    if any(_is_json(kind) for kind in kinds):
        return min(limits.body_bytes, limits.json_bytes)
    return limits.body_bytes


def check_body(scope: Scope, most: int) -> None:
    """Refuse a body before it is received.

    Raises
    ------
    RequestError
        413 when it is said to be larger than `most` bytes, 415 when it is compressed or of
        another kind than `KINDS`.
    """
    if not has_body(scope):
        return
    lengths = header(scope, b"content-length")
    if any(not one.isdecimal() or int(one) > most for one in lengths):
        raise too_large(most)
    for coding in header(scope, b"content-encoding"):
        if coding.strip().lower() not in ("", "identity"):
            raise RequestError(
                415, f"The body is compressed ({coding[:40]}), which is not supported.", "Send it as it is."
            )
    kinds = [one.partition(";")[0].strip().lower() for one in header(scope, b"content-type")]
    if len(kinds) != 1 or not _is_known(kinds[0]):
        raise RequestError(
            415,
            f"A body of type “{', '.join(kinds)[:100]}” is not understood."
            if kinds
            else "The body has no type.",
            "Send Content-Type: application/json.",
        )


def _is_known(kind: str) -> bool:
    return kind.startswith(KINDS) or _is_json(kind)


def _is_json(kind: str) -> bool:
    return kind.startswith("application/") and kind.endswith(("/json", "+json"))


def too_large(most: int) -> RequestError:
    """A body has more than `most` bytes."""
    return RequestError(
        413,
        f"A request may have {most / 1e6:,.1f} MB; this one has more.",
        "Send a smaller part of the image, or the same at a lower resolution.",
    )
