"""What is sent along: its size and kind, as far as the headers tell.

Must not know who asks.
"""

from __future__ import annotations

from starlette.types import Scope

from samdesk.server.errors import RequestError

from .asker import header

KINDS = ("application/json", "multipart/form-data", "application/octet-stream", "image/")
"""Kinds of bodies. Not what a page can send without being asked, text and forms of key=value."""


def has_body(scope: Scope) -> bool:
    """Whether anything follows the headers."""
    lengths = header(scope, b"content-length")
    return bool(header(scope, b"transfer-encoding")) or any(one.strip() != "0" for one in lengths)


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
    return kind.startswith(KINDS) or (kind.startswith("application/") and kind.endswith("+json"))


def too_large(most: int) -> RequestError:
    """A body has more than `most` bytes."""
    return RequestError(
        413,
        f"A request may have {most / 1e6:,.1f} MB; this one has more.",
        "Send a smaller part of the image, or the same at a lower resolution.",
    )
