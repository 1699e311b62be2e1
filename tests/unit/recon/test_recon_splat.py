from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from plyfile import PlyData, PlyElement

from samdesk.domain.errors import SamdeskError
from samdesk.recon.ply import read_header
from samdesk.recon.pose import Pose
from samdesk.recon.splat import COLUMNS, SH_C0, Splats, is_splat, read_splats, write_splats


def some(n: int, seed: int = 0) -> Splats:
    rng = np.random.default_rng(seed)
    turns = rng.normal(size=(n, 4))
    return Splats(
        rng.uniform(-0.5, 0.5, (n, 3)),
        np.exp(rng.normal(-4, 1, (n, 3))),
        turns / np.linalg.norm(turns, axis=1, keepdims=True),
        rng.uniform(-0.2, 1.2, (n, 3)),
        rng.uniform(0.01, 0.99, n),
    )


def raw_rows(n: int, kind: str = "<f4", names: tuple[str, ...] = COLUMNS) -> np.ndarray:
    rows = np.zeros(n, [(name, kind) for name in names])
    rng = np.random.default_rng(3)
    for name in names:
        rows[name] = rng.normal(size=n)
    return rows


def save(path: Path, rows: np.ndarray, **how: object) -> None:
    PlyData([PlyElement.describe(rows, "vertex")], **how).write(str(path))


def assert_same(found: Splats, expected: Splats, places: float = 1e-5) -> None:
    np.testing.assert_array_equal(found.means, expected.means)
    np.testing.assert_allclose(found.scales, expected.scales, rtol=1e-4)
    np.testing.assert_allclose(found.rotations, expected.rotations, atol=1e-6)
    np.testing.assert_allclose(found.colors, expected.colors, atol=places)
    np.testing.assert_allclose(found.opacities, expected.opacities, atol=1e-6)


# the file, read by another library


def test_the_file_has_the_layout_that_splat_viewers_expect(tmp_path: Path) -> None:
    splats, path = some(50), tmp_path / "a.ply"
    write_splats(path, splats, ["Relief (not SAM 3D)"])
    data = PlyData.read(str(path))
    assert not data.text
    assert data.byte_order == "<"
    assert [element.name for element in data.elements] == ["vertex"]
    assert data.comments == ["Relief (not SAM 3D)"]
    rows = data["vertex"].data
    assert rows.dtype.names == COLUMNS
    assert all(rows.dtype[name] == "<f4" for name in COLUMNS)
    assert path.stat().st_size == read_header(path).size + 68 * 50


def test_the_file_holds_what_other_programs_activate(tmp_path: Path) -> None:
    splats, path = some(50), tmp_path / "a.ply"
    write_splats(path, splats)
    rows = PlyData.read(str(path))["vertex"]
    for axis in range(3):
        np.testing.assert_array_equal(rows["xyz"[axis]], splats.means[:, axis])
        np.testing.assert_array_equal(rows["n" + "xyz"[axis]], 0)
        np.testing.assert_allclose(np.exp(rows[f"scale_{axis}"]), splats.scales[:, axis], rtol=1e-5)
        np.testing.assert_allclose(0.5 + SH_C0 * rows[f"f_dc_{axis}"], splats.colors[:, axis], atol=1e-6)
    np.testing.assert_allclose(1 / (1 + np.exp(-rows["opacity"])), splats.opacities, atol=1e-6)
    for part in range(4):
        np.testing.assert_array_equal(rows[f"rot_{part}"], splats.rotations[:, part])


@pytest.mark.parametrize(
    "how", [{}, {"byte_order": ">"}, {"text": True}], ids=["little endian", "big endian", "text"]
)
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_files_of_other_programs_are_read(tmp_path: Path, how: dict[str, object], kind: str) -> None:
    names = (*reversed(COLUMNS), "f_rest_0", "f_rest_1", "extra")
    rows, path = raw_rows(40, kind, names), tmp_path / "a.ply"
    save(path, rows, **how)
    found = read_splats(path)
    means = np.stack([rows[name] for name in "xyz"], 1)
    np.testing.assert_allclose(found.means, means, rtol=1e-6)
    turns = np.stack([rows[f"rot_{k}"] for k in range(4)], 1)
    unit = turns / np.linalg.norm(turns, axis=1, keepdims=True)
    np.testing.assert_allclose(found.rotations, unit, atol=1e-6)
    np.testing.assert_allclose(found.scales[:, 2], np.exp(rows["scale_2"]), rtol=1e-5)
    np.testing.assert_allclose(found.colors[:, 1], 0.5 + SH_C0 * rows["f_dc_1"], atol=1e-6)
    np.testing.assert_allclose(found.opacities, 1 / (1 + np.exp(-rows["opacity"])), atol=1e-6)


def test_elements_before_the_vertices_are_passed_over(tmp_path: Path) -> None:
    rows, path = raw_rows(10), tmp_path / "a.ply"
    other = PlyElement.describe(np.zeros(3, [("a", "f8"), ("b", "u1")]), "camera")
    for text in (False, True):
        PlyData([other, PlyElement.describe(rows, "vertex")], text=text).write(str(path))
        np.testing.assert_allclose(read_splats(path).means[:, 0], rows["x"], rtol=1e-6)


# round trips


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(0, 70))
def test_splats_survive_the_file(data: st.DataObject, n: int) -> None:
    def floats(low: float, high: float, *shape: int) -> np.ndarray:
        return data.draw(hnp.arrays(np.float32, shape, elements=st.floats(low, high, width=32)))

    turns = floats(-1, 1, n, 4)
    lengths = np.linalg.norm(turns, axis=1, keepdims=True)
    turns = np.where(lengths > 0.1, turns / np.where(lengths > 0.1, lengths, 1), np.float32([1, 0, 0, 0]))
    splats = Splats(
        floats(-1e6, 1e6, n, 3), floats(2**-16, 1024, n, 3), turns, floats(-4, 4, n, 3), floats(0, 1, n)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ply"
        write_splats(path, splats)
        assert_same(read_splats(path), splats)


def test_more_splats_than_one_block(tmp_path: Path) -> None:
    splats = some(70_001)
    write_splats(tmp_path / "a.ply", splats)
    assert_same(read_splats(tmp_path / "a.ply"), splats)


def test_the_ends_of_the_ranges_stay_finite(tmp_path: Path) -> None:
    one = np.ones((3, 1))
    edge = Splats(
        one * [[1, 2, 3]],
        one * [[0, 1e-30, 1]],
        one * [[1, 0, 0, 0]],
        one * [[0, 1, 2]],
        np.array([0, 1, 0.5]),
    )
    write_splats(tmp_path / "a.ply", edge)
    rows = PlyData.read(str(tmp_path / "a.ply"))["vertex"].data
    assert all(np.isfinite(rows[name]).all() for name in COLUMNS)
    found = read_splats(tmp_path / "a.ply")
    np.testing.assert_allclose(found.opacities, edge.opacities, atol=1e-6)
    np.testing.assert_allclose(found.scales, edge.scales, atol=1e-9)


@pytest.mark.parametrize(
    "comment", ["é — 木", "two\nlines\r\nelement vertex 9", "end_header", "", "a\x00b", "x" * 5000]
)
def test_no_comment_breaks_the_header(tmp_path: Path, comment: str) -> None:
    path = tmp_path / "a.ply"
    write_splats(path, some(4), [comment, "second"])
    data = PlyData.read(str(path))
    assert len(data.comments) == 2
    assert data.comments[1] == "second"
    assert len(read_splats(path)) == 4
    assert path.read_bytes().count(b"end_header") == 1


# what is not fit to be shown


def test_splats_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    rows, path = raw_rows(10), tmp_path / "a.ply"
    rows["x"][1], rows["scale_0"][3], rows["opacity"][5] = np.nan, 1000, np.nan
    rows["f_dc_2"][6], rows["rot_1"][8] = np.inf, np.inf
    rows["opacity"][9] = np.inf  # an opacity of 1
    save(path, rows)
    found = read_splats(path)
    np.testing.assert_array_equal(found.means[:, 1], rows["y"][[0, 2, 4, 7, 9]])
    assert found.opacities[-1] == 1


def test_a_file_of_nothing_but_undefined_splats_is_refused(tmp_path: Path) -> None:
    rows = raw_rows(3)
    rows["x"] = np.nan
    save(tmp_path / "a.ply", rows)
    with pytest.raises(SamdeskError, match=r"a\.ply holds no splat"):
        read_splats(tmp_path / "a.ply")


def test_a_rotation_of_no_length_is_none(tmp_path: Path) -> None:
    rows = raw_rows(2)
    for part in range(4):
        rows[f"rot_{part}"][0] = 0
    save(tmp_path / "a.ply", rows)
    np.testing.assert_array_equal(read_splats(tmp_path / "a.ply").rotations[0], [1, 0, 0, 0])


def test_a_cut_off_file_tells_how_many_bytes_are_there(tmp_path: Path) -> None:
    path = tmp_path / "cut.ply"
    write_splats(path, some(100))
    size = read_header(path).size
    path.write_bytes(path.read_bytes()[: size + 6_000])
    with pytest.raises(SamdeskError, match=r"cut\.ply is cut off: .*6,800 bytes, 6,000 are there"):
        read_splats(path)


@pytest.mark.parametrize("order", ["binary_little_endian", "ascii"])
def test_a_header_that_promises_too_much_is_refused_before_memory_is_taken(
    tmp_path: Path, order: str
) -> None:
    path = tmp_path / "huge.ply"
    properties = "".join(f"property float {name}\n" for name in COLUMNS)
    path.write_text(f"ply\nformat {order} 1.0\nelement vertex {10**12}\n{properties}end_header\n1 2 3\n")
    with pytest.raises(SamdeskError, match=r"huge\.ply is cut off"):
        read_splats(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a PLY"),
        (b"solid x\n", "not a PLY"),
        (b"ply\nformat ascii 1.0\nelement vertex 1\n", "does not end"),
        (b"ply\nformat ascii 1.0\n" + b"comment x\n" * 200_000, "does not end"),
        (b"ply\nformat middle_endian 1.0\nend_header\n", "not right"),
        (b"ply\nend_header\n", "not right"),
        (b"ply\nformat ascii 1.0\nproperty float x\nend_header\n", "not right"),
        (b"ply\nformat ascii 1.0\nelement vertex -1\nend_header\n", "not right"),
        (b"ply\nformat ascii 1.0\nelement vertex 1e3\nend_header\n", "not right"),
        (
            b"ply\nformat ascii 1.0\nelement vertex 0\nproperty float x\nproperty float x\nend_header\n",
            "twice",
        ),
        (b"ply\nformat ascii 1.0\nelement vertex 0\nproperty float x\nend_header\n", "holds no splats"),
        (
            b"ply\nformat ascii 1.0\nelement vertex 0\nproperty uint packed_position\nend_header\n",
            "Compressed",
        ),
    ],
)
def test_what_is_no_file_of_splats_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "odd.ply"
    path.write_bytes(content)
    with pytest.raises(SamdeskError, match=message) as caught:
        read_splats(path)
    assert "odd.ply" in caught.value.message
    assert not is_splat(path)


def test_text_that_is_no_number_is_told(tmp_path: Path) -> None:
    path = tmp_path / "odd.ply"
    save(path, raw_rows(2), text=True)
    path.write_text(path.read_text().replace("end_header\n", "end_header\nhorse "))
    with pytest.raises(SamdeskError, match=r"odd\.ply cannot be read"):
        read_splats(path)


def test_lists_among_the_vertices_are_told(tmp_path: Path) -> None:
    path = tmp_path / "odd.ply"
    properties = "".join(f"property float {name}\n" for name in COLUMNS)
    head = f"ply\nformat ascii 1.0\nelement vertex 0\n{properties}property list uchar int a\nend_header\n"
    path.write_text(head)
    with pytest.raises(SamdeskError, match="lists"):
        read_splats(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SamdeskError, match=r"none\.ply cannot be read: it does not exist"):
        read_splats(tmp_path / "none.ply")
    assert not is_splat(tmp_path / "none.ply")
    with pytest.raises(SamdeskError, match="cannot be written"):
        write_splats(tmp_path / "none" / "a.ply", some(2))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 600))
def test_no_damage_brings_anything_but_a_message(junk: bytes, place: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ply"
        write_splats(path, some(5))
        data = path.read_bytes()
        path.write_bytes(data[:place] + junk + data[place + len(junk) :])
        try:
            read_splats(path)
        except SamdeskError as error:
            message = error.message
        else:
            message = "a.ply"
        assert "a.ply" in message


# values


def test_parts_and_sums() -> None:
    splats = some(20)
    again = Splats.concat([splats.subset(slice(0, 8)), splats.subset(np.arange(20) >= 8)])
    assert_same(again, splats)
    assert len(splats.subset(np.array([3, 1]))) == 2
    low, high = splats.bounds()
    np.testing.assert_array_equal(low, splats.means.min(0))
    np.testing.assert_array_equal(high, splats.means.max(0))


def test_no_splats_are_splats_too(tmp_path: Path) -> None:
    none = Splats.concat([])
    assert len(none) == 0
    assert len(none.posed(Pose())) == 0
    np.testing.assert_array_equal(none.bounds(), np.zeros((2, 3)))
    write_splats(tmp_path / "a.ply", none)
    assert is_splat(tmp_path / "a.ply")
    assert len(read_splats(tmp_path / "a.ply")) == 0


def test_arrays_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="splats of shapes"):
        Splats(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((3, 4)), np.zeros((2, 3)), np.zeros(2))
