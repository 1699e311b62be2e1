"""`refusal`: what every answer looks like that is not 200.

Must not know who refuses, or why.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse


def refusal(status: int, message: str, hint: str = "", detail: Any = None) -> JSONResponse:
    """An answer that is not 200: {"error": ..., "hint": ..., "detail": ...}.

    Parameters
    ----------
    status : int
    message, hint : str
        As in `SamdeskError`; may quote what the client sent.
    detail : optional
        What more a program can read; by default both texts.
    """
    message, hint = _readable(message), _readable(hint)
    text = f"{message} {hint}".strip()
    return JSONResponse({"error": message, "hint": hint, "detail": detail or text}, status)


def _readable(text: str) -> str:
    # JSON may hold halves of characters, which no answer can
    return text.encode("utf-8", "replace").decode("utf-8")
