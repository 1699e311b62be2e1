"""`Pictures`: what clients sent, decoded once and known by content.

A client asks many times about one picture and sends it every time. Must not know endpoints.
"""

from __future__ import annotations

import binascii
import hashlib
import threading
from dataclasses import dataclass

from samdesk.domain.memory import BytesCache
from samdesk.images.readers.decoding import decode
from samdesk.images.readers.picture import Header, read_header
from samdesk.images.source import Pixels
from samdesk.sdk import Image
from samdesk.sdk.image import image_of

from .errors import RequestError
from .options import Limits

FORMATS = "Send a PNG, JPEG, WebP or BMP file."

_LOCKS = 16


@dataclass(frozen=True, slots=True)
class _Kept:
    image: Image
    nbytes: int


@dataclass(frozen=True, slots=True)
class _Text:
    id: str
    nbytes: int


class Pictures:
    """Decoded pictures, the least recently used forgotten first. Thread-safe.

    Parameters
    ----------
    limits : Limits
        `pixels` of a picture; `picture_bytes` of all that are kept, and again of the texts that
        they came as; the newest always is.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept = BytesCache[_Kept](limits.picture_bytes)
        self._texts = BytesCache[_Text](limits.picture_bytes)  # looked up by themselves: no hash is as quick
        self._reading = [threading.Lock() for _ in range(_LOCKS)]

    @property
    def nbytes(self) -> int:
        """Memory of the decoded pictures."""
        return self._kept.nbytes

    def sent(self, data: bytes | str) -> Image | None:
        """The picture, when it is known; takes a millisecond for 4 MB of text, three for a file.

        Parameters
        ----------
        data : bytes or str
            A file, or its base64 text.
        """
        if isinstance(data, bytes):
            return self.get(_hash(data).hex())
        text = self._texts.get(data)
        return None if text is None else self.get(text.id)

    def read(self, data: bytes | str) -> Image:
        """The picture, decoded when it is not known; for a lane.

        Gray is shown as gray, 16 bits over the range that they use, transparency on white, EXIF
        orientation applied, and of several pictures in one file the first.

        Parameters
        ----------
        data : bytes or str
            A file, or its base64 text: line breaks, missing padding and the start of a data URL
            ("data:image/png;base64,") are all right.

        Raises
        ------
        RequestError
            413 when it has too many pixels, 422 when it is no picture or damaged.
        """
        file = data if isinstance(data, bytes) else from_base64(data)
        digest = _hash(file)
        id = digest.hex()
        with self._reading[digest[0] % _LOCKS]:  # who sent the same at the same time waits for it
            known = self._kept.get(id)
            if known is None:
                pixels = _decoded(file, self._limits.pixels)
                known = _Kept(image_of(pixels, id), pixels.nbytes)
                self._kept.put(id, known)
        if isinstance(data, str):
            self._texts.put(data, _Text(id, len(data)))
        return known.image

    def get(self, id: str) -> Image | None:
        """The picture of this id; None when it is not known, or not any more."""
        known = self._kept.get(id)
        return None if known is None else known.image

    def forget(self, id: str) -> None:
        """Let go of a picture, if it is known."""
        self._kept.forget(lambda key: key == id)

    @staticmethod
    def id_of(image: Image) -> str:
        """The sha256 of the file, in hex: how a client refers to a picture that it sent."""
        return image.source.identity


def _hash(file: bytes) -> bytes:
    return hashlib.sha256(file).digest()


def from_base64(text: str) -> bytes:
    """The file that a text holds, with or without the start of a data URL; RequestError (422) if none."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    if any(space in text for space in " \t\r\n"):
        text = "".join(text.split())
    text = text.rstrip("=")
    try:
        return binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError as error:
        raise RequestError(422, "The picture is no base64 text.", FORMATS) from error


def _decoded(file: bytes, most: int) -> Pixels:
    header = _header(file)
    if header.width * header.height > most:
        raise RequestError(
            413,
            f"A picture of {header.width:,} × {header.height:,} px is too large.",
            f"Send at most {most / 1e6:,g} megapixels, or open the image by its path.",
        )
    try:
        return decode(file, header)
    except ValueError as error:
        raise _unreadable(error) from error


def _header(file: bytes) -> Header:
    try:
        header = read_header(file)
    except ValueError as error:
        raise _unreadable(error) from error
    if header is None:
        raise RequestError(422, "What was sent is no picture.", FORMATS)
    return header


def _unreadable(error: ValueError) -> RequestError:
    return RequestError(422, f"The picture cannot be read: {error}.", FORMATS)
