"""The words between program and worker: JSON lines, UTF-8, one message a line.

Standard library only and nothing of ours: the worker runs under an interpreter of the user's.
Must not know processes or engines.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

PROTOCOL = 1
"""Both sides must say the same number at `hello`."""

TO_WORKER = {
    "hello": ("protocol",),
    "check": ("config",),
    "load": ("config",),
    "run": ("job", "folder", "image", "mask", "out", "options"),
    "cancel": ("job",),
    "unload": (),
    "shutdown": (),
    "ping": ("n",),
}
FROM_WORKER = {
    "hello": ("protocol", "engine", "title", "version", "device", "capabilities"),
    "checked": ("items",),
    "stage": ("job", "name", "i", "n"),
    "ready": ("device",),
    "preview": ("job", "file"),
    "result": ("job", "files", "seconds"),
    "cancelled": ("job",),
    "error": ("job", "kind", "message", "hint"),
    "unloaded": (),
    "bye": (),
    "pong": ("n",),
}
"""Message types and the members each must have; others may be there and are ignored."""

ERROR_KINDS = (
    "mask_empty",
    "size_mismatch",
    "missing_weights",
    "missing_module",
    "oom",
    "cuda",
    "nan_mesh",
    "protocol",
    "internal",
)

MAX_LINE = 1 << 20
"""Bytes of one message; more is not a message of ours."""

IMAGE, MASK, SPLAT, MESH, PREVIEW, POINTMAP = (
    "image.png",
    "mask.png",
    "splat.ply",
    "mesh.glb",
    "preview.npy",
    "pointmap.npy",
)
"""File names in a job folder. A mask is a grey PNG of 0 and 255 of the image's size; a preview is
(n, 3) float32 in the object frame; a pointmap is (h, w, 3) float32 in the camera frame."""


class WireError(ValueError):
    """A line that is not a message of this protocol."""


def encode(message: Mapping[str, Any]) -> bytes:
    """One message as one line.

    Raises
    ------
    WireError
        When it holds what JSON cannot, or is too long.
    """
    try:
        line = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        _parsed(line)  # JSON takes whole numbers of any length, the other end does not
    except (TypeError, ValueError) as error:
        raise WireError(f"cannot be sent: {error}") from error
    if len(data) > MAX_LINE:
        raise WireError(f"a message of {len(data)} bytes is too long")
    return data


def decode(line: bytes, known: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Read one line; `known` is `TO_WORKER` or `FROM_WORKER`.

    Raises
    ------
    WireError
        When it is not a message of this protocol.
    """
    if len(line) > MAX_LINE:
        raise WireError("the line is too long")
    try:
        message = _parsed(line.decode("utf-8"))
    except WireError:
        raise
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {line[:80]!r}") from error
    if not isinstance(message, dict):
        raise WireError(f"not a message: {line[:80]!r}")
    members = known.get(str(message.get("type")))
    if members is None:
        raise WireError(f"unknown message: {line[:80]!r}")
    lacking = [name for name in members if name not in message]
    if lacking:
        raise WireError(f"“{message['type']}” lacks {', '.join(lacking)}")
    return message


def _parsed(text: str) -> Any:
    return json.loads(text, parse_float=_real, parse_int=_whole, parse_constant=_refused)


def _real(text: str) -> float:
    """A number. JSON itself knows no limit; what overflows would be infinite."""
    number = float(text)
    if math.isinf(number):
        raise WireError(f"{text[:20]} is too large")
    return number


def _whole(text: str) -> int:
    _real(text)  # whoever divides by it needs it so
    return int(text)


def _refused(text: str) -> float:
    raise WireError(f"{text} is not a number")
