"""What the header of a PNG, JPEG, BMP or WebP file says, read without decoding.

Decoders believe the header: they reserve the memory that it asks for, and some fill what a
truncated file lacks with gray and say nothing. Must not know pixels.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Header:
    """Size and layout of a picture.

    Attributes
    ----------
    format : str
    width, height : int
        As stored, before the orientation is applied.
    pixel_bits : int
        Memory of one decoded pixel.
    orientation : int
        EXIF orientation, 1 to 8.
    complete : bool
        Whether the file holds all that the format asks for.
    least_bytes : int
        No valid file with this header is smaller.
    """

    format: str
    width: int
    height: int
    pixel_bits: int
    orientation: int = 1
    complete: bool = True
    least_bytes: int = 0

    @property
    def memory(self) -> int:
        """Bytes of the decoded picture."""
        return self.width * self.height * self.pixel_bits // 8


def picture_format(start: bytes) -> str | None:
    """The format, from the first 12 bytes of a file: "PNG", "JPEG", "WebP", "BMP" or None."""
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WebP"
    return "BMP" if start.startswith(b"BM") else None


def read_header(data: bytes | memoryview) -> Header | None:
    """The header of a picture file, from its whole content.

    Returns
    -------
    Header or None
        None when it is none of the four formats.

    Raises
    ------
    ValueError
        When the format is known and its header is damaged.
    """
    view = memoryview(data)
    parsers = {"PNG": _png, "JPEG": _jpeg, "WebP": _webp, "BMP": _bmp}
    parse = parsers.get(picture_format(bytes(view[:12])) or "")
    try:
        return None if parse is None else parse(view)
    except (struct.error, IndexError) as error:
        raise ValueError("it ends within its header") from error


MOST_BLOCKS = 1_000_000
"""Blocks of a file that are looked at: one of nothing but blocks would take minutes to read."""

_PNG_SAMPLES = {0: 1, 2: 3, 3: 3, 4: 4, 6: 4}  # palettes and gray with alpha are decoded to colors
_DEFLATE = 1032  # the best ratio that deflate can reach


def _png(view: memoryview) -> Header:
    width, height, depth, color = struct.unpack_from(">IIBB", view, 16)
    if bytes(view[12:16]) != b"IHDR" or color not in _PNG_SAMPLES or not (width and height):
        raise ValueError("its header is damaged")
    stored = depth * {2: 3, 4: 2, 6: 4}.get(color, 1)
    least = width * height * stored // 8 // _DEFLATE
    header = Header("PNG", width, height, max(depth, 8) * _PNG_SAMPLES[color], least_bytes=least)
    orientation, position = 1, 8
    for _ in range(MOST_BLOCKS):
        if position + 12 > len(view):
            break
        (size,) = struct.unpack_from(">I", view, position)
        name = bytes(view[position + 4 : position + 8])
        if name == b"eXIf":
            orientation = _exif(bytes(view[position + 8 : position + 8 + size]))
        if name == b"IEND":
            return replace(header, orientation=orientation)
        position += 12 + size
    return replace(header, orientation=orientation, complete=False)


def _jpeg(view: memoryview) -> Header:
    position, orientation, frame = 2, 1, None
    for _ in range(MOST_BLOCKS):
        if view[position] != 0xFF:
            raise ValueError("its header is damaged")
        marker = view[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        (size,) = struct.unpack_from(">H", view, position + 2)
        body = position + 4
        if marker == 0xE1 and bytes(view[body : body + 6]) == b"Exif\0\0":
            orientation = _exif(bytes(view[body + 6 : position + 2 + size]))
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            depth, height, width, samples = struct.unpack_from(">BHHB", view, body)
            frame = Header("JPEG", width, height, depth * (1 if samples == 1 else 3), orientation)
        if marker == 0xDA:
            break
        position += 2 + size
    if frame is None or not (frame.width and frame.height):
        raise ValueError("its header is damaged")
    # within the compressed data 0xff is always followed by 0 or a restart marker
    complete = bytes(view[position:]).find(b"\xff\xd9") >= 0
    return replace(frame, orientation=orientation, complete=complete)


def _webp(view: memoryview) -> Header:
    (riff,) = struct.unpack_from("<I", view, 4)
    name = bytes(view[12:16])
    bits = 24
    if name == b"VP8X":
        width, height = (1 + int.from_bytes(view[k : k + 3], "little") for k in (24, 27))
        bits = 32 if view[20] & 0x10 else 24
    elif name == b"VP8L":
        (packed,) = struct.unpack_from("<I", view, 21)
        width, height, bits = 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF), 32
    elif name == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", view, 26))
    else:
        raise ValueError("its header is damaged")
    orientation, position = 1, 12
    for _ in range(MOST_BLOCKS):
        if position + 8 > len(view):
            break
        (size,) = struct.unpack_from("<I", view, position + 4)
        if bytes(view[position : position + 4]) == b"EXIF":
            orientation = _exif(bytes(view[position + 8 : position + 8 + size]).removeprefix(b"Exif\0\0"))
        position += 8 + size + size % 2
    return Header("WebP", width, height, bits, orientation, complete=riff + 8 <= len(view))


def _bmp(view: memoryview) -> Header | None:
    data, info = struct.unpack_from("<II", view, 10)
    if info == 12:
        width, height, _, depth = struct.unpack_from("<HHHH", view, 18)
        packed = 0
    elif info in (40, 52, 56, 64, 108, 124):
        width, height, _, depth, packed = struct.unpack_from("<iiHHI", view, 18)
    else:
        return None  # two letters are not much of a signature
    height = abs(height)
    if width <= 0 or not height or depth not in (1, 4, 8, 16, 24, 32):
        raise ValueError("its header is damaged")
    stored = data + (width * depth + 31) // 32 * 4 * height if packed in (0, 3) else 0
    return Header("BMP", width, height, 32 if depth == 32 else 24, complete=stored <= len(view))


def _exif(block: bytes) -> int:
    """The orientation in an EXIF block; 1 when there is none or the block is damaged."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, directory)
        for k in range(count):
            tag, _, _, value = struct.unpack_from(order + "HHIH", block, directory + 2 + 12 * k)
            if tag == 0x0112:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
