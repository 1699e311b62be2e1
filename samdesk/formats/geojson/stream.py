"""A JSON text of any size as lists of raw values, a window at a time.

The array of features is cut at places where a feature seems to end; a cut is right exactly when
the text since the last cut parses as an array of whole values, because JSON leaves no other way to
read that text. So memory holds a window and not the file, and no call holds the interpreter for
longer than a window takes. Must not know what a feature means.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

WINDOW = 1 << 17
"""Bytes of text that are parsed at a time, about 160 features of 30 vertices: what is made of them
fits in the cache of a processor core, which makes reading a third quicker than with 1 MB."""

Values = list[Any]

Quick = Callable[[bytes], list[Any] | None]

_BOM = b"\xef\xbb\xbf"
_FEATURES = re.compile(rb'"features"\s*:\s*\[')
_ENDS = (
    re.compile(rb'\}\s*,\s*(?=\{\s*"(?:type|id|geometry|properties)"\s*:)'),
    re.compile(rb"\}\s*,\s*(?=\{)"),
)
_TRIES = 3
_FIRST_OBJECT = re.compile(rb"\s*(?:(\])|[\s\[\],]*(?:(\{)|\Z))")
_LOOSE = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|-?\b(?:NaN|Infinity)\b', re.DOTALL)
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a surrogate pair
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"  # half of one
    rb"|\\."
    rb"|([\x00-\x1f])",
    re.DOTALL,
)
_LOOSENABLE = re.compile(rb"NaN|Infinity|\\u[dD]|[\x00-\x1f]")
_LONGEST_TOKEN = 16
"""No word, number sign or escape is longer; an error closer to the end of a piece may be due to the cut."""

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode_values = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Malformed(Exception):  # noqa: N818 - the reader turns it into a SamdeskError
    """The text is not JSON, or not JSON that can hold features.

    Attributes
    ----------
    reason : str
    byte : int or None
        Where, counted from the start of the unpacked text.
    feature : int
        About how many features come before it.
    """

    def __init__(self, reason: str, byte: int | None = None, feature: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.byte = byte
        self.feature = feature


class TextFile:
    """The bytes of a plain or gzip file, and how much of the file has been read.

    Whether the file is packed is told from its first bytes, not from its name.
    """

    def __init__(self, path: Path) -> None:
        with ExitStack() as opened:
            self._file = opened.enter_context(path.open("rb"))
            self._size = max(path.stat().st_size, 1)
            packed = self._file.read(2) == b"\x1f\x8b"
            self._file.seek(0)
            self._text: BinaryIO = self._file
            if packed:
                self._text = cast(BinaryIO, opened.enter_context(gzip.GzipFile(fileobj=self._file)))
            self._open = opened.pop_all()

    def __enter__(self) -> TextFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def fraction(self) -> float:
        """The part of the file that has been read, 0..1."""
        return min(self._file.tell() / self._size, 1.0)

    def read(self, size: int) -> bytes:
        """Return `size` bytes of text, fewer only at the end.

        Raises
        ------
        Malformed
            When the gzip stream is damaged or cut off.
        OSError
        """
        try:
            return self._text.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise Malformed(f"the gzip stream is damaged ({error})") from error


def split(
    read: Callable[[int], bytes],
    others: list[str],
    window: int = WINDOW,
    quick: Quick = lambda array: None,
) -> Iterator[Values]:
    """Yield the features of a text in order, as raw JSON values.

    Parameters
    ----------
    read : callable
        Gives the next bytes, fewer than asked only at the end.
    others : list of str
        Receives the names of the members beside ``features`` of the root object.
    window : int
        Bytes to parse at a time.
    quick : callable
        Reads a JSON array of many features at once, or gives None.

    Yields
    ------
    list of msgspec.Raw, or of what `quick` made
        The values of the root's member ``features`` or of the root array, in pieces. Any other
        root object is yielded as one value.

    Raises
    ------
    Malformed
        When the text is not JSON or its root cannot hold features. Values that were yielded before
        are whole, but the file is not.
    """
    done = 0
    try:
        for values in _split(read, others, window, quick):
            yield values
            done += len(values)
    except Malformed as error:
        error.feature += done
        raise


def _split(read: Callable[[int], bytes], others: list[str], window: int, quick: Quick) -> Iterator[Values]:
    text = read(max(window, len(_BOM)))
    offset = len(_BOM) if text.startswith(_BOM) else 0
    text = text[offset:]
    start = _array_start(text, offset)
    if start is None:
        yield _only_value(text, read, offset)
        return
    head, text, offset = text[:start], text[start:], offset + start
    while True:
        values, used = _cut(text, offset, quick)
        if values:
            yield values
        text, offset = text[used:], offset + used
        more = read(window if used else max(window, len(text)))
        if not more:
            break
        text += more
    values, tail = _parse(text, offset) or ([], None)
    if tail is None:
        raise Malformed("it ends in the middle", offset + len(text), text.count(b'"Feature"'))
    others += _other_members(head, tail, offset + len(text) - len(tail))
    yield values


def _array_start(text: bytes, offset: int) -> int | None:
    """Find where the first feature is expected; None when the root is one value of its own."""
    body = text.lstrip()
    if not body:
        raise Malformed("it is empty")
    start: int | None = None
    if body.startswith(b"["):
        start = len(text) - len(body) + 1
    elif body.startswith(b"{"):
        opened = (found.end() for found in islice(_FEATURES.finditer(text), 16))
        start = next((end for end in opened if _at_root(text, end)), None)
    else:
        raise Malformed("it does not start with { or [", offset + len(text) - len(body))
    if start is not None:
        first = _FIRST_OBJECT.match(text, start)
        if first is None or (first.lastindex is None and len(text) >= WINDOW):
            raise Malformed("its list does not hold objects", offset + start)
    return start


def _at_root(text: bytes, end: int) -> bool:
    """Tell whether the array that opens just before `end` belongs to the root object."""
    try:
        _decode_members(text[: end - 1] + b"null}")
    except _UNREADABLE:
        return False
    return True


def _only_value(text: bytes, read: Callable[[int], bytes], offset: int) -> Values:
    _refuse_garbage(text, offset)
    text += b"".join(iter(lambda: read(WINDOW), b""))
    parsed = _parse(text, offset)
    if parsed is None:
        raise Malformed("it ends in the middle", offset + len(text))
    values, tail = parsed
    if tail is not None or len(values) != 1:
        raise Malformed("it holds more than one value", offset + len(text))
    return values


def _cut(text: bytes, offset: int, quick: Quick) -> tuple[Values, int]:
    """Take the whole values at the start of `text`; ([], 0) when more text is needed."""
    for pattern in _ENDS:
        ends = [(found.start() + 1, found.end()) for found in pattern.finditer(text)]
        if ends and (made := quick(b"[" + text[: ends[-1][0]] + b"]")):
            return made, ends[-1][1]
        for end, following in reversed(ends[-_TRIES:]):
            parsed = _parse(text[:end], offset)
            if parsed is not None:
                values, tail = parsed
                return (values, following) if tail is None else ([], 0)
    _refuse_garbage(text, offset)
    return [], 0


def _refuse_garbage(text: bytes, offset: int) -> None:
    """Raise when no text that follows could make `text` right, before all that follows is read."""
    try:
        _parse(text, offset)
    except Malformed as error:
        if error.byte is None or error.byte < offset + len(text) - _LONGEST_TOKEN:
            raise


def _parse(text: bytes, offset: int) -> tuple[Values, bytes | None] | None:
    """Parse the inside of an array.

    Returns
    -------
    None
        When `text` ends within a value.
    (values, None)
        When it is a list of whole values.
    (values, tail)
        When the array is closed within it; `tail` follows the bracket.
    """
    try:
        return _decode_values(b"[" + text + b"]"), None
    except RecursionError as error:
        raise Malformed("it is nested too deeply", offset) from error
    except msgspec.DecodeError as error:
        reason = str(error).removeprefix("JSON is malformed: ")
    place = re.search(r" \(byte (\d+)\)", reason)
    if place is None:
        return None
    byte = int(place[1]) - 1
    if reason.startswith("trailing characters"):
        return _closed(text, byte)
    if byte >= len(text):
        return None
    close_by = text[max(0, byte - _LONGEST_TOKEN) : byte + _LONGEST_TOKEN]
    if _LOOSENABLE.search(close_by) and (loosened := _LOOSE.sub(_loosened, text)) != text:
        return _parse(loosened, offset)
    raise Malformed(reason[: place.start()], offset + byte, text.count(b'"Feature"', 0, byte))


def _closed(text: bytes, byte: int) -> tuple[Values, bytes]:
    """Split `text` behind the bracket that closes the array, the last or last but one up to `byte`."""
    end = byte + 1
    while True:
        end = text.rindex(b"]", 0, end)
        with suppress(msgspec.DecodeError):
            return _decode_values(b"[" + text[: end + 1]), text[end + 1 :]


def _loosened(found: re.Match[bytes]) -> bytes:
    """Write what other programs take for JSON (NaN, half surrogates, control characters) as JSON."""
    token = found[0]
    return _ESCAPE.sub(_escaped, token) if token.startswith(b'"') else b'"' + token + b'"'


def _escaped(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return b"\\ufffd"
    return b"\\u%04x" % ord(found[2]) if found[2] else found[0]


def _other_members(head: bytes, tail: bytes, offset: int) -> list[str]:
    """Check what stands around the array of features, and name the other members there."""
    if head.lstrip().startswith(b"["):
        if tail.strip():
            raise Malformed("something follows the list", offset)
        return []
    before = _decode_members(head[:-1] + b"null}")
    try:
        after = _decode_members(b'{"":0' + tail)
    except _UNREADABLE as error:
        raise Malformed("the text after the features is damaged", offset) from error
    if "features" in after:
        raise Malformed("it has two lists of features", offset)
    return [name for name in chain(before, after) if name not in ("", "type", "features")]
