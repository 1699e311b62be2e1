"""The splitter agrees with the standard library on what the values of a text are, at every window size."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samdesk.formats.geojson.stream import Malformed, split

keys = st.sampled_from(["type", "id", "geometry", "properties", "features", "x", '"'])
awkward = st.sampled_from(
    ['a}, {"type": 1', "x],[", "\\", '"', '"features":[{}]', "é", "NaN", 'a\\"},{"id":', "\U0001f600", "\n"]
)
values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | awkward,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(keys, values, max_size=4)
layouts = st.sampled_from([{}, {"indent": 1}, {"separators": (",", ":")}, {"ensure_ascii": False}])


def parts_of(text: bytes, window: int) -> tuple[list[object], list[str]]:
    others: list[str] = []
    pieces = list(split(io.BytesIO(text).read, others, window))
    return [json.loads(bytes(value)) for piece in pieces for value in piece], others


@settings(deadline=None, max_examples=300)
@given(
    st.lists(objects, max_size=6),
    st.dictionaries(st.sampled_from(["a", "type", "crs"]), values),
    layouts,
    st.data(),
)
def test_a_text_splits_as_it_parses(features, others, layout, data) -> None:
    members = list(others.items())
    members.insert(data.draw(st.integers(0, len(members))), ("features", features))
    root = features if data.draw(st.booleans()) else dict(members)
    text = data.draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + json.dumps(root, **layout).encode()
    found, named = parts_of(text, data.draw(st.sampled_from([16, 40, 200, 1 << 20])))
    if found == [root]:  # too long a head for the window: taken as one value
        return
    assert found == features
    assert set(named) <= {"a", "crs"}


@settings(deadline=None, max_examples=200)
@given(st.lists(objects, min_size=1, max_size=6), layouts, st.data())
def test_a_text_that_is_cut_off_is_refused(features, layout, data) -> None:
    text = json.dumps({"features": features}, **layout).encode()
    end = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(Malformed):
        parts_of(text[:end], data.draw(st.sampled_from([16, 200, 1 << 20])))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "empty"),
        (b" \n ", "empty"),
        (b"hello", "does not start"),
        (b"[0,1,2]", "does not hold objects"),
        (b'{"features":[1]}', "does not hold objects"),
        (b'{"features":[{"a":1}] x', "after the features"),
        (b'{"features":[{"a":1}],"features":[]}', "two lists"),
        (b"[{}] []", "follows"),
        (b"{} {}", "more than one|trailing|expected"),
        (b'{"features":[{"a":tru}]}', "invalid character"),
        (b'{"features":[{"a":1},]}', "comma"),
        (b"[" * 5000 + b"{}" + b"]" * 5000, "deeply"),
        (b'[{"a":' * 5000 + b"{}" + b"}]" * 5000, "deeply"),
    ],
)
def test_what_is_wrong_is_said(text: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        parts_of(text, 1 << 20)


def test_the_place_is_told() -> None:
    text = b'{"type":"FeatureCollection","features":[' + b'{"type":"Feature"},' * 5 + b'{"type":!}]}'
    with pytest.raises(Malformed) as caught:
        parts_of(text, 64)
    assert caught.value.byte == text.index(b"!")
    assert caught.value.feature == 5


def test_numbers_that_json_lacks_and_broken_text_are_read() -> None:
    text = (
        rb'{"features":[{"a":NaN,"b":[-Infinity,Infinity],"c":"NaN, \ud800 \ud83d\ude00 \\ud800' + b'\t"}]}'
    )
    found, _ = parts_of(text, 1 << 20)
    assert found == [{"a": "NaN", "b": ["-Infinity", "Infinity"], "c": "NaN, \ufffd \U0001f600 \\ud800\t"}]


@pytest.mark.parametrize(
    "garbage",
    [b"\0", b"x", b"[", b"[[],", b"[0,", b'{"a":"', b'{"features":[{"a":"', b'{"features":[{"a":[', b"{\xff"],
)
def test_a_hundred_megabytes_of_garbage_are_refused(garbage: bytes) -> None:
    class Endless:
        """A file of 100 MB that holds the same bytes over and over."""

        left = 100_000_000
        start = garbage

        def read(self, size: int) -> bytes:
            size = min(size, self.left)
            self.left -= size
            piece, self.start = self.start, b""
            return (piece + garbage[-1:] * size)[:size]

    with pytest.raises(Malformed):
        list(split(Endless().read, []))
