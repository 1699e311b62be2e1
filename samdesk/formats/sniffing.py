"""How a file begins: its first bytes unpacked, and the members of a JSON text's root.

Must not know what the members mean.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

HEAD = 1 << 18
"""Bytes of text that are looked at."""

_TOKEN = re.compile(rb'"((?:[^"\\]|\\.)*+)("|\Z)|([{}\[\]:,])', re.DOTALL)


def head_of(path: Path) -> bytes:
    """The first bytes of a file, unpacked if it is gzip; fewer when the packed ones are damaged."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith(b"\x1f\x8b"):
        try:
            return zlib.decompressobj(wbits=31).decompress(head, HEAD)
        except zlib.error:
            return b""
    return head


def root_members(head: bytes) -> tuple[set[str], bool]:
    """Names of the root object's members as far as `head` shows them.

    Returns
    -------
    members : set of str
        Of a list, those of its first object.
    is_list : bool
    """
    is_list = head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    wanted = 2 if is_list else 1
    depth, text = 0, b""
    members: set[str] = set()
    for found in _TOKEN.finditer(head):
        sign = found[3]
        if sign is None:
            text = found[1]
        elif sign in b"{[":
            depth += 1
        elif sign in b"}]":
            depth -= 1
            if is_list and depth < wanted:
                break
        elif sign == b":" and depth == wanted:
            members.add(text.decode("utf-8", "replace"))
    return members, is_list
