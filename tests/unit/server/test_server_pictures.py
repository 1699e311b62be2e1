"""Pictures as clients send them: known again, decoded once, and what no decoder must be trusted with."""

from __future__ import annotations

import base64
import hashlib
import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from samdesk.domain.geometry import Region
from samdesk.sdk import Image
from samdesk.server.errors import RequestError
from samdesk.server.options import Limits
from samdesk.server.pictures import Pictures
from tests.images_samples import exif_orientation, noise, png_chunk, smooth_rgb

RGB = smooth_rgb(61, 40)
START = 33
"""Where the header of a PNG ends."""
NO_PICTURES: list[bytes | str] = [
    *(b"", b"\0", b"not a picture at all", b"II*\0" + bytes(100), b"GIF89a" + bytes(100)),
    *("", "A", "A=A=A", "****", "data:", "data:image/png;base64,", "iVBORw0KGgo", "aGVsbG8-"),
    *("äöü", "\ud800", "\0" * 9),
]


def encoded(pixels: NDArray[np.generic], suffix: str = ".png") -> bytes:
    bgr = pixels[..., ::-1] if pixels.ndim == 3 and pixels.shape[2] == 3 else pixels
    flags = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []
    return cv2.imencode(suffix, bgr, flags)[1].tobytes()


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def shown(image: Image) -> NDArray[np.uint8]:
    return image.read(Region(0, 0, *image.size))


def read(data: bytes | str, **limits: int) -> NDArray[np.uint8]:
    return shown(Pictures(Limits(**limits)).read(data))


def png_header(width: int, height: int, depth: int = 8, color: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)


class TestWhatIsSent:
    @pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp"])
    def test_color(self, suffix: str) -> None:
        data = encoded(RGB, suffix)
        np.testing.assert_array_equal(read(data), RGB)
        np.testing.assert_array_equal(read(text_of(data)), RGB)

    def test_jpeg(self) -> None:
        assert np.abs(read(encoded(RGB, ".jpg")).astype(int) - RGB).mean() < 4

    def test_one_pixel(self) -> None:
        assert read(encoded(np.uint8([[[7, 8, 9]]]))).tolist() == [[[7, 8, 9]]]

    def test_gray_is_shown_as_it_is(self) -> None:
        gray = np.clip(RGB[..., 0], 90, 140)
        np.testing.assert_array_equal(read(encoded(gray)), np.dstack([gray] * 3))

    @pytest.mark.parametrize("color", [True, False])
    def test_16_bits_are_shown_over_the_range_that_they_use(self, color: bool) -> None:
        deep = (RGB if color else RGB[..., 0]).astype(np.uint16) * 4
        found = read(encoded(deep))
        assert (found.min(), found.max()) == (0, 255)
        wanted = (RGB if color else np.dstack([RGB[..., 0]] * 3)).astype(float)
        assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.999

    def test_transparency_is_laid_on_white(self) -> None:
        bgra = np.full((4, 4, 4), (10, 60, 200, 255), np.uint8)
        bgra[:2, :, 3] = 0
        found = read(encoded(bgra))
        assert (found[:2] == 255).all()
        assert found[3, 3].tolist() == [200, 60, 10]

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
    def test_png_of_any_kind(self, mode: str) -> None:
        drawn = PIL.Image.fromarray(RGB).convert(mode)
        file = io.BytesIO()
        drawn.save(file, "PNG")
        np.testing.assert_array_equal(read(file.getvalue()), np.asarray(drawn.convert("RGB")))

    def test_jpeg_of_a_printer(self) -> None:
        file = io.BytesIO()
        PIL.Image.fromarray(RGB).convert("CMYK").save(file, "JPEG", quality=95)
        assert np.abs(read(file.getvalue()).astype(int) - RGB).mean() < 4

    def test_the_orientation_is_applied(self) -> None:
        data = encoded(RGB)
        turned = data[:START] + png_chunk(b"eXIf", exif_orientation(6)) + data[START:]
        np.testing.assert_array_equal(read(turned), np.rot90(RGB, -1))

    @pytest.mark.parametrize("format", ["PNG", "WebP"])
    def test_of_an_animation_it_is_the_first_picture(self, format: str) -> None:
        frames = [PIL.Image.fromarray(one) for one in (RGB, RGB[::-1].copy(), RGB[:, ::-1].copy())]
        file = io.BytesIO()
        frames[0].save(file, format, save_all=True, append_images=frames[1:], lossless=True)
        np.testing.assert_array_equal(read(file.getvalue()), RGB)

    def test_base64_with_line_breaks_without_padding_and_as_a_data_url(self) -> None:
        data = encoded(RGB)
        while len(data) % 3 == 0:
            data += b"\0"
        text = text_of(data)
        broken = "\r\n".join(text[k : k + 76] for k in range(0, len(text), 76))
        for sent in (text.rstrip("="), broken, f" {text}\n", f"data:image/png;base64,{text}"):
            np.testing.assert_array_equal(read(sent), RGB)


class TestKnownAgain:
    def test_a_picture_is_known_by_what_was_sent(self) -> None:
        pictures, data = Pictures(Limits()), encoded(RGB)
        assert pictures.sent(data) is None
        assert pictures.sent(text_of(data)) is None
        image = pictures.read(text_of(data))
        assert pictures.sent(text_of(data)) is image
        assert pictures.sent(data) is image
        assert pictures.read(data) is image
        assert pictures.sent(text_of(data).rstrip("=") + "\n") is None

    def test_its_id_is_the_hash_of_the_file(self) -> None:
        pictures, data = Pictures(Limits()), encoded(RGB)
        image = pictures.read(data)
        assert pictures.id_of(image) == image.source.identity == hashlib.sha256(data).hexdigest()
        assert pictures.get(pictures.id_of(image)) is image
        assert Pictures(Limits()).read(text_of(data)).source.identity == pictures.id_of(image)

    @pytest.mark.parametrize("id", ["", "0" * 64, "../../etc/passwd", "\ud800"])
    def test_an_id_that_is_not_known(self, id: str) -> None:
        assert Pictures(Limits()).get(id) is None

    def test_the_least_recently_used_are_forgotten(self) -> None:
        pictures = Pictures(Limits(picture_bytes=2 * RGB.nbytes))
        first, second, third = (encoded(RGB + np.uint8(k)) for k in range(3))
        kept = pictures.read(text_of(first))
        pictures.read(second)
        pictures.sent(text_of(first))
        pictures.read(third)
        assert pictures.sent(text_of(first)) is kept
        assert pictures.sent(second) is None
        assert pictures.nbytes == 2 * RGB.nbytes

    def test_the_newest_is_kept_however_large(self) -> None:
        pictures = Pictures(Limits(picture_bytes=10))
        image = pictures.read(encoded(RGB))
        assert pictures.sent(encoded(RGB)) is image

    def test_who_sends_the_same_at_once_gets_the_same(self) -> None:
        pictures, texts = Pictures(Limits()), [text_of(encoded(RGB + np.uint8(k))) for k in range(3)]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(pictures.read, texts * 8))
        assert len({id(image) for image in found}) == 3

    def test_texts_are_not_kept_forever(self) -> None:
        text = text_of(encoded(np.zeros((1, 1), np.uint8)))
        pictures = Pictures(Limits(picture_bytes=10 * len(text)))
        for count in range(30):
            pictures.read(text + "\n" * count)
        assert pictures.sent(text) is None
        assert pictures.sent(text + "\n" * 29) is not None
        assert pictures.nbytes == 1


class TestWhatNoDecoderSees:
    @pytest.mark.parametrize("size", [(30_000, 30_000), (2**31 - 1, 2**31 - 1), (11_000, 10_000)])
    def test_too_many_pixels(self, size: tuple[int, int]) -> None:
        body = png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
        with pytest.raises(RequestError, match=r"too large.*100 megapixels") as caught:
            read(png_header(*size) + body)
        assert caught.value.status == 413

    def test_too_many_pixels_in_a_jpeg(self) -> None:
        data = bytearray(encoded(RGB, ".jpg"))
        frame = data.index(b"\xff\xc0")
        data[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
        with pytest.raises(RequestError, match="65,535 × 65,535 px is too large") as caught:
            read(bytes(data))
        assert caught.value.status == 413

    def test_a_header_that_its_bytes_cannot_fill(self) -> None:
        body = png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
        with pytest.raises(RequestError, match="so few bytes hold no 9,000 × 9,000 px") as caught:
            read(png_header(9_000, 9_000) + body)
        assert caught.value.status == 422

    @pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP"])
    def test_what_unpacks_to_gigabytes_is_left_packed(self, name: bytes) -> None:
        # together 7 GB, for which the decoder alone would take half a minute
        packed = zlib.compress(bytes(7_000_000), 9)
        start = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0"}[name]
        data = encoded(RGB)
        bomb = data[:START] + png_chunk(name, start + packed) * 999 + data[START:]
        np.testing.assert_array_equal(read(bomb), RGB)

    def test_a_jpeg_drawn_in_thousands_of_passes(self) -> None:
        data = encoded(RGB, ".jpg")
        scan = data.index(b"\xff\xda")
        with pytest.raises(RequestError, match="more than 100 passes") as caught:
            read(data[:scan] + data[scan:-2] * 1000 + data[-2:])
        assert caught.value.status == 422

    def test_a_jpeg_that_is_built_up_in_steps(self) -> None:
        data = cv2.imencode(".jpg", RGB[..., ::-1], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
        assert data.count(b"\xff\xda") > 5
        assert np.abs(read(data).astype(int) - RGB).mean() < 4

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
    def test_what_was_cut_off(self, suffix: str) -> None:
        data = encoded(RGB, suffix)
        for length in (13, 20, len(data) // 2, len(data) - 2):
            with pytest.raises(RequestError) as caught:
                read(data[:length])
            assert caught.value.status == 422

    @pytest.mark.parametrize("sent", NO_PICTURES)
    def test_what_is_no_picture(self, sent: bytes | str) -> None:
        pictures = Pictures(Limits())
        assert pictures.sent(sent) is None
        with pytest.raises(RequestError) as caught:
            pictures.read(sent)
        assert caught.value.status == 422
        assert caught.value.hint


SMALL = [encoded(smooth_rgb(9, 7), suffix) for suffix in (".png", ".jpg", ".webp", ".bmp")]
SMALL.append(encoded(noise((5, 6))))
SMALL.append(encoded(noise((5, 6, 4), np.uint8)))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A picture of which some bytes were changed, cut out, repeated or put elsewhere."""
    data = bytearray(draw(st.sampled_from(SMALL)))
    for _ in range(draw(st.integers(1, 6))):
        # most of what matters stands at the start
        at = draw(st.integers(0, min(60, len(data))) | st.integers(0, len(data)))
        to = at + draw(st.integers(0, 8))
        kind = draw(st.sampled_from(["change", "cut", "repeat", "end"]))
        if kind == "change":
            data[at:to] = draw(st.binary(min_size=to - at, max_size=to - at))
        elif kind == "cut":
            del data[at:to]
        elif kind == "repeat":
            data[to:to] = data[at:to] * draw(st.integers(1, 40))
        else:
            del data[len(data) - (to - at) :]
    return _with_sums(bytes(data)) if draw(st.booleans()) else bytes(data)


def _with_sums(data: bytes) -> bytes:
    """A PNG with the checksums that its decoder wants, so that it looks further."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    found, position = [data[:8]], 8
    while position + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, position)
        found.append(png_chunk(data[position + 4 : position + 8], data[position + 8 : position + 8 + size]))
        position += 12 + size
    return b"".join(found)


@given(damaged() | st.binary(max_size=64))
@settings(deadline=None, max_examples=400)
def test_whatever_is_sent_is_a_picture_or_refused(data: bytes) -> None:
    pictures, refused = Pictures(Limits(pixels=1_000_000)), set[int]()
    for sent in (data, text_of(data)):
        try:
            image = pictures.read(sent)
        except RequestError as error:
            refused.add(error.status)
        else:
            assert image.size[0] * image.size[1] <= 1_000_000
            assert shown(image).shape == (*image.size[::-1], 3)
    assert refused <= {413, 422}


@given(st.text(max_size=40) | st.text("ABab01+/= \n", max_size=40))
@settings(deadline=None)
def test_whatever_text_is_sent_is_refused(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        Pictures(Limits()).read(text)
    assert caught.value.status == 422
