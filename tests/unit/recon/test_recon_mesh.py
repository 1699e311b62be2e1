from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from plyfile import PlyData

from samdesk.domain.errors import SamdeskError
from samdesk.recon.mesh import Mesh, read_mesh, write_glb, write_obj, write_ply, write_stl
from samdesk.recon.mesh.paint import atlas, linear_to_srgb, sample, srgb_to_linear
from samdesk.recon.pose import Pose
from samdesk.recon.splat import Splats, write_splats

WRITERS: dict[str, Callable[[Path, Mesh], None]] = {
    "glb": write_glb,
    "obj": write_obj,
    "ply": write_ply,
    "stl": lambda path, mesh: write_stl(path, mesh, 80),
}


def egg(**more: Any) -> Mesh:
    """Longest along x, shortest along z, and pointed upwards."""
    sphere = trimesh.creation.icosphere(2)
    places = sphere.vertices * [0.5, 0.3, 0.2]
    places[:, 2] *= np.where(places[:, 2] > 0, 1.5, 1)
    return Mesh(places, sphere.faces, **more)


def colored(seed: int = 0) -> Mesh:
    plain = egg()
    colors = np.random.default_rng(seed).integers(0, 256, plain.vertices.shape)
    return Mesh(plain.vertices, plain.faces, colors=colors)


def textured(seed: int = 0, height: int = 20, width: int = 33) -> Mesh:
    rng = np.random.default_rng(seed)
    plain = egg()
    uv = rng.random((len(plain.vertices), 2))
    return Mesh(plain.vertices, plain.faces, uv=uv, texture=rng.integers(0, 256, (height, width, 3)))


def corners(mesh: Mesh) -> np.ndarray:
    """Corners of the triangles: what stays when a reader numbers vertices anew."""
    return mesh.vertices[mesh.faces]


def glb_parts(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    magic, version, size, head, kind = struct.unpack("<4sIII4s", data[:20])
    assert (magic, version, size, kind) == (b"glTF", 2, len(data), b"JSON")
    length, kind = struct.unpack("<I4s", data[20 + head : 28 + head])
    assert kind == b"BIN\0"
    assert 28 + head + length == len(data)
    return json.loads(data[20 : 20 + head]), data[28 + head :]


def load(path: Path) -> trimesh.Trimesh:
    (part,) = trimesh.load_scene(path, process=False).geometry.values()
    assert isinstance(part, trimesh.Trimesh)
    return part


# colours


def test_every_display_value_survives_light() -> None:
    values = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(linear_to_srgb(srgb_to_linear(values)), values)


@pytest.mark.parametrize(
    ("shown", "light"), [(0, 0), (10, 0.003035), (128, 0.215861), (188, 0.502886), (255, 1)]
)
def test_light_is_what_the_standard_says(shown: int, light: float) -> None:
    assert srgb_to_linear(np.array([shown], np.uint8))[0] == pytest.approx(light, abs=1e-6)


@given(hnp.arrays(np.float32, 9, elements=st.floats(-2, 3, width=32)))
def test_light_beyond_the_range_is_clipped(light: np.ndarray) -> None:
    back = srgb_to_linear(linear_to_srgb(light))
    np.testing.assert_allclose(back, np.clip(light, 0, 1), atol=0.005)


def test_a_texture_is_looked_up_from_its_lower_left() -> None:
    texture = np.zeros((2, 2, 3), np.uint8)
    texture[0, 0], texture[1, 1] = (255, 0, 0), (0, 0, 255)
    found = sample(texture, np.array([[0, 1], [1, 0], [0, 0], [0.5, 0.5], [1.25, -0.75]], np.float32))
    np.testing.assert_array_equal(found[:3], [[255, 0, 0], [0, 0, 255], [0, 0, 0]])
    np.testing.assert_array_equal(found[3], [64, 0, 64])
    np.testing.assert_array_equal(found[4], [0, 0, 0])  # it repeats: the same as (0.25, 0.25)
    rounded = sample(texture, np.array([[-1e-6, 1 + 1e-6]], np.float32))
    np.testing.assert_array_equal(rounded, [[255, 0, 0]])  # and does not for what was rounded


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=7))
@settings(deadline=None, max_examples=30)
def test_an_atlas_holds_every_texture(sizes: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(0)
    textures = [rng.integers(0, 256, (*size, 3)).astype(np.uint8) for size in sizes]
    whole, places = atlas(textures)
    uv = rng.random((50, 2)).astype(np.float32)
    for texture, (scale, offset) in zip(textures, places, strict=True):
        found, expected = sample(whole, uv * scale + offset), sample(texture, uv)
        assert np.abs(found.astype(int) - expected).max() <= 2  # float32 places


# GLB


def test_glb_is_y_up_matt_and_has_normals(tmp_path: Path) -> None:
    mesh = colored()
    write_glb(tmp_path / "a.glb", mesh, {"engine": "Relief (not SAM 3D)", "seed": 1})
    document, _ = glb_parts(tmp_path / "a.glb")
    assert document["asset"]["extras"] == document["scenes"][0]["extras"]
    assert document["asset"]["extras"] == {"engine": "Relief (not SAM 3D)", "seed": 1}
    surface = document["materials"][0]["pbrMetallicRoughness"]
    assert (surface["metallicFactor"], surface["roughnessFactor"]) == (0, 1)
    found = load(tmp_path / "a.glb")
    np.testing.assert_array_equal(found.faces, mesh.faces)
    x, y, z = mesh.vertices.T
    np.testing.assert_allclose(found.vertices, np.stack((x, z, -y), 1))
    np.testing.assert_allclose(found.bounds[1], (0.5, 0.3, 0.3), atol=1e-6)  # y is the height of the tip
    outwards = np.einsum("ij,ij->i", found.vertex_normals, found.vertices)
    assert outwards.min() > 0
    assert found.is_volume


def test_glb_colors_are_light(tmp_path: Path) -> None:
    mesh = colored()
    assert mesh.colors is not None
    write_glb(tmp_path / "a.glb", mesh)
    document, data = glb_parts(tmp_path / "a.glb")
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    assert (accessor["componentType"], accessor["type"]) == (5126, "VEC3")
    start = document["bufferViews"][accessor["bufferView"]]["byteOffset"]
    light = np.frombuffer(data, "<f4", 3 * accessor["count"], start).reshape(-1, 3)
    shown = mesh.colors / 255
    expected = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(light, expected, atol=1e-6)
    # trimesh knows the numbers as 8 bit of light
    seen = load(tmp_path / "a.glb").visual.vertex_attributes["color"]
    np.testing.assert_allclose(np.asarray(seen)[:, :3], expected, atol=1e-6)


def test_glb_keeps_the_texture_and_its_places(tmp_path: Path) -> None:
    mesh = textured()
    write_glb(tmp_path / "a.glb", mesh)
    found = load(tmp_path / "a.glb")
    picture = np.asarray(found.visual.material.baseColorTexture.convert("RGB"))
    np.testing.assert_array_equal(picture, mesh.texture)
    np.testing.assert_allclose(found.visual.uv, mesh.uv, atol=1e-6)
    document, _ = glb_parts(tmp_path / "a.glb")
    assert "COLOR_0" not in document["meshes"][0]["primitives"][0]["attributes"]


@pytest.mark.parametrize("count", [65_532, 65_535, 65_538])
def test_glb_of_more_vertices_than_16_bits_number(tmp_path: Path, count: int) -> None:
    places = np.random.default_rng(0).random((count, 3))
    faces = np.arange(count).reshape(-1, 3)
    write_glb(tmp_path / "a.glb", Mesh(places, faces))
    np.testing.assert_array_equal(read_mesh(tmp_path / "a.glb").faces, faces)


def test_glb_views_begin_at_whole_words(tmp_path: Path) -> None:
    write_glb(tmp_path / "a.glb", textured(), {"é": "木" * 3})
    document, data = glb_parts(tmp_path / "a.glb")
    assert all(view["byteOffset"] % 4 == 0 for view in document["bufferViews"])
    assert document["buffers"][0]["byteLength"] == len(data)
    low, high = document["accessors"][0]["min"], document["accessors"][0]["max"]
    np.testing.assert_allclose([low, high], load(tmp_path / "a.glb").bounds)


# OBJ, STL, PLY


def test_obj_names_its_material_and_the_material_its_texture(tmp_path: Path) -> None:
    mesh = textured()
    write_obj(tmp_path / "my horse.obj", mesh, ["Relief (not SAM 3D)", "two\nlines"])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["my horse.obj", "my_horse.mtl", "my_horse_texture.png"]
    assert "mtllib my_horse.mtl" in (tmp_path / "my horse.obj").read_text().splitlines()
    assert "map_Kd my_horse_texture.png" in (tmp_path / "my_horse.mtl").read_text().splitlines()
    for name in names[:2]:
        assert "# two lines" in (tmp_path / name).read_text().splitlines()
    found = load(tmp_path / "my horse.obj")
    np.testing.assert_array_equal(np.asarray(found.visual.material.image.convert("RGB")), mesh.texture)
    x, y, z = mesh.vertices.T
    expected = np.stack((x, z, -y), 1)[mesh.faces]
    np.testing.assert_allclose(found.vertices[found.faces], expected, atol=1e-6)
    assert mesh.uv is not None
    np.testing.assert_allclose(found.visual.uv[found.faces], mesh.uv[mesh.faces], atol=1e-5)


def test_obj_of_vertex_colors_has_no_picture(tmp_path: Path) -> None:
    mesh = colored()
    write_obj(tmp_path / "a.obj", mesh)
    assert not list(tmp_path.glob("*.png"))
    first = (tmp_path / "a.obj").read_text().split("\nv ")[1].splitlines()[0].split()
    assert mesh.colors is not None
    np.testing.assert_allclose([float(v) for v in first[3:]], mesh.colors[0] / 255, atol=1e-4)


def test_a_failed_obj_leaves_none_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.mtl").mkdir()
    with pytest.raises(SamdeskError, match=r"a\.mtl cannot be written: it is a folder"):
        write_obj(tmp_path / "a.obj", textured())
    assert [path.name for path in tmp_path.iterdir()] == ["a.mtl"]


def test_stl_is_z_up_and_has_a_size(tmp_path: Path) -> None:
    write_stl(tmp_path / "a.stl", colored(), 80, "Relief (not SAM 3D)")
    head = (tmp_path / "a.stl").read_bytes()[:80]
    assert b"mm" in head
    assert b"Relief (not SAM 3D)" in head
    assert not head.startswith(b"solid")
    found = trimesh.load_mesh(tmp_path / "a.stl")
    np.testing.assert_allclose(found.extents, (80, 48, 40), atol=1e-4)
    np.testing.assert_allclose(found.bounds[0], 0, atol=1e-4)
    assert found.is_volume  # closed, and its outside outside
    assert found.center_mass[2] > 16  # the larger half is above


@pytest.mark.parametrize("size", [0, -1, float("nan"), float("inf")])
def test_stl_wants_a_size(tmp_path: Path, size: float) -> None:
    with pytest.raises(SamdeskError, match="not a size"):
        write_stl(tmp_path / "a.stl", egg(), size)


def test_stl_of_a_point_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SamdeskError, match="single point"):
        write_stl(tmp_path / "a.stl", Mesh(np.ones((3, 3)), np.array([[0, 1, 2]])), 10)


def test_ply_is_z_up_with_colors_and_normals(tmp_path: Path) -> None:
    mesh = colored()
    write_ply(tmp_path / "a.ply", mesh, ["Relief (not SAM 3D)"])
    data = PlyData.read(str(tmp_path / "a.ply"))
    rows = data["vertex"]
    np.testing.assert_array_equal(np.stack([rows[name] for name in "xyz"], 1), mesh.vertices)
    np.testing.assert_array_equal(np.stack([rows[name] for name in ("red", "green", "blue")], 1), mesh.colors)
    np.testing.assert_array_equal(np.stack(data["face"]["vertex_indices"]), mesh.faces)
    normals = np.stack([rows[name] for name in ("nx", "ny", "nz")], 1)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    assert data.comments == ["Relief (not SAM 3D)"]


def test_ply_takes_its_colors_from_the_texture(tmp_path: Path) -> None:
    mesh = textured()
    write_ply(tmp_path / "a.ply", mesh)
    np.testing.assert_array_equal(read_mesh(tmp_path / "a.ply").colors, mesh.vertex_colors())


@pytest.mark.parametrize("suffix", WRITERS)
def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"old")
    empty = Mesh(np.zeros((3, 3)), np.zeros((0, 3)))
    undefined = Mesh(np.full((3, 3), np.nan), np.array([[0, 1, 2]]))
    for mesh, message in ((empty, "no faces"), (undefined, "undefined")):
        with pytest.raises(SamdeskError, match=message) as caught:
            WRITERS[suffix](path, mesh)
        assert f"a.{suffix}" in caught.value.message
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


# round trips


@st.composite
def meshes(draw: st.DrawFn) -> Mesh:
    n = draw(st.integers(3, 30))
    places = draw(hnp.arrays(np.float32, (n, 3), elements=st.integers(-999, 999).map(lambda v: v / 128)))
    order = st.permutations(range(n)).map(lambda rows: rows[:3])
    faces = np.array(draw(st.lists(order, min_size=1, max_size=20)))
    kind = draw(st.sampled_from(["plain", "colored", "textured"]))
    if kind == "plain":
        return Mesh(places, faces)
    if kind == "colored":
        return Mesh(places, faces, colors=draw(hnp.arrays(np.uint8, (n, 3))))
    uv = draw(hnp.arrays(np.float32, (n, 2), elements=st.integers(0, 64).map(lambda v: v / 64)))
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))
    return Mesh(places, faces, uv=uv, texture=draw(hnp.arrays(np.uint8, size)))


@settings(max_examples=40, deadline=None)
@given(meshes(), st.sampled_from(["glb", "obj", "ply"]))
def test_meshes_survive_their_files(mesh: Mesh, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{suffix}"
        WRITERS[suffix](path, mesh)
        found = read_mesh(path)
    np.testing.assert_allclose(corners(found), corners(mesh), atol=1e-5)
    expected = mesh.vertex_colors()
    if expected is not None:
        colors = found.vertex_colors()
        assert colors is not None
        off = np.abs(colors[found.faces].astype(int) - expected[mesh.faces])
        assert off.max() <= (1 if suffix == "obj" or mesh.is_textured else 0)
    if suffix != "ply":
        assert found.is_textured == mesh.is_textured


@settings(max_examples=20, deadline=None)
@given(meshes())
def test_prints_keep_their_shape(mesh: Mesh) -> None:
    used = corners(mesh)
    size = np.ptp(mesh.vertices, axis=0).max()
    if size == 0:
        return
    with tempfile.TemporaryDirectory() as folder:
        write_stl(Path(folder) / "a.stl", mesh, 50)
        found = corners(read_mesh(Path(folder) / "a.stl"))
    np.testing.assert_allclose(found, (used - mesh.vertices.min(0)) * 50 / size, atol=1e-3)


# files of other programs


def test_nodes_of_a_scene_are_put_where_they_belong(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    box = trimesh.creation.box((0.2, 0.4, 0.6))  # y is up in the file
    scene.add_geometry(box, transform=trimesh.transformations.translation_matrix([1, 2, 3]))
    mirror = np.diag([-1.0, 1, 1, 1])
    mirror[:3, 3] = [-2, 0, 0]
    scene.add_geometry(box, transform=mirror)
    scene.export(tmp_path / "a.glb")
    mesh = read_mesh(tmp_path / "a.glb")
    assert len(mesh.faces) == 24
    low, high = mesh.bounds()
    np.testing.assert_allclose(low, (-2.1, -3.3, -0.2), atol=1e-6)
    np.testing.assert_allclose(high, (1.1, 0.3, 2.2), atol=1e-6)
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces)
    assert solid.volume == pytest.approx(2 * 0.048)  # the mirrored one is not inside out


def test_colors_of_programs_on_trimesh_are_display_values(tmp_path: Path) -> None:
    # SAM 3D writes its mesh so
    box = trimesh.creation.box()
    box.visual.vertex_colors = np.tile([100, 150, 200, 255], (8, 1)).astype(np.uint8)
    box.export(tmp_path / "a.glb")
    colors = read_mesh(tmp_path / "a.glb").colors
    assert colors is not None
    np.testing.assert_array_equal(np.unique(colors, axis=0), [[100, 150, 200]])


def write_gltf(folder: Path, generator: str, values: np.ndarray, code: int, **more: Any) -> Path:
    """A triangle of four vertices with these colours, and more members of its primitive."""
    places = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    data = places.tobytes() + values.tobytes()
    document = {
        "asset": {"version": "2.0", "generator": generator},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "COLOR_0": 1}, "indices": 2, **more}]}],
        "materials": [
            {"pbrMetallicRoughness": {"baseColorFactor": [1, 1, 1, 1]}},
            {"pbrMetallicRoughness": {"baseColorFactor": [1, 0, 0.2, 1]}},
        ],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
            {"bufferView": 1, "componentType": code, "normalized": True, "count": 4, "type": "VEC4"},
            {"bufferView": 2, "componentType": 5123, "count": 3, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": 48},
            {"buffer": 0, "byteOffset": 48, "byteLength": values.nbytes},
            {"buffer": 0, "byteOffset": 48 + values.nbytes, "byteLength": 6},
        ],
        "buffers": [{"byteLength": len(data) + 6, "uri": "a.bin"}],
    }
    (folder / "a.bin").write_bytes(data + np.array([0, 1, 2], "<u2").tobytes())
    (folder / "a.gltf").write_text(json.dumps(document))
    return folder / "a.gltf"


@pytest.mark.parametrize(("kind", "code"), [("<u1", 5121), ("<u2", 5123), ("<f4", 5126)])
def test_colors_of_other_programs_are_light(tmp_path: Path, kind: str, code: int) -> None:
    light = np.tile([0.2, 0.5, 1.0, 1.0], (4, 1))
    values = light.astype(kind) if kind == "<f4" else (light * np.iinfo(kind).max).round().astype(kind)
    colors = read_mesh(write_gltf(tmp_path, "another", values, code)).colors
    assert colors is not None
    np.testing.assert_allclose(colors[0], [124, 188, 255], atol=1)


@pytest.mark.parametrize(
    ("material", "expected"),
    [({}, (51, 128, 255)), ({"material": 0}, (51, 128, 255)), ({"material": 1}, (51, 0, 124))],
)
def test_a_material_tints_display_values_as_light(
    tmp_path: Path, material: dict[str, int], expected: tuple[int, ...]
) -> None:
    # sam3d.cpp has a white one beside its colours
    values = np.tile(np.float32([0.2, 0.5, 1.0, 1.0]), (4, 1))
    colors = read_mesh(write_gltf(tmp_path, "sam3d.cpp", values, 5126, **material)).colors
    assert colors is not None
    np.testing.assert_array_equal(colors, np.tile(expected, (4, 1)))


def test_a_material_without_a_texture_gives_its_color(tmp_path: Path) -> None:
    box = trimesh.creation.box()
    material = trimesh.visual.material.PBRMaterial(baseColorFactor=[55, 255, 0, 255])
    box.visual = trimesh.visual.TextureVisuals(uv=np.zeros((8, 2)), material=material)
    box.export(tmp_path / "a.glb")
    colors = read_mesh(tmp_path / "a.glb").colors
    assert colors is not None
    np.testing.assert_allclose(colors[0], [128, 255, 0], atol=1)


# what cannot be read


@pytest.mark.parametrize("suffix", ["glb", "gltf", "obj", "stl", "ply"])
@pytest.mark.parametrize("content", [b"", b"\0" * 200, b"nonsense\n" * 20, b"[]", b'{"meshes": 3}'])
def test_nonsense_is_told(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"odd.{suffix}"
    path.write_bytes(content)
    with pytest.raises(SamdeskError) as caught:
        read_mesh(path)
    assert f"odd.{suffix}" in caught.value.message


@pytest.mark.parametrize("suffix", ["glb", "stl", "ply"])
def test_a_cut_off_mesh_is_told(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut.{suffix}"
    WRITERS[suffix](path, colored())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SamdeskError, match=rf"cut\.{suffix}"):
        read_mesh(path)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["glb", "obj", "ply", "stl"]), st.binary(min_size=1, max_size=60), st.floats(0, 1))
def test_no_damage_brings_anything_but_a_message(suffix: str, junk: bytes, where: float) -> None:
    mesh = Mesh(np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]), np.array([[0, 1, 2], [0, 2, 3]]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{suffix}"
        WRITERS[suffix](path, mesh)
        data = path.read_bytes()
        place = int(where * len(data))
        path.write_bytes(data[:place] + junk + data[place + len(junk) :])
        message = path.name
        try:
            found = read_mesh(path)
            assert np.isfinite(found.vertices).all()
        except SamdeskError as error:
            message = error.message
        assert path.name in message


def test_a_header_that_promises_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.ply"
    path.write_text(
        f"ply\nformat binary_little_endian 1.0\nelement vertex 3\nproperty float x\nproperty float y\n"
        f"property float z\nelement face {10**12}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    with pytest.raises(SamdeskError, match=r"huge\.ply is cut off"):
        read_mesh(path)


def test_points_and_splats_are_no_mesh(tmp_path: Path) -> None:
    one = np.ones((1, 3))
    write_splats(tmp_path / "a.ply", Splats(one, one, np.ones((1, 4)), one, np.ones(1)))
    with pytest.raises(SamdeskError, match="splats, no triangles"):
        read_mesh(tmp_path / "a.ply")
    trimesh.PointCloud(one).export(tmp_path / "b.ply")
    with pytest.raises(SamdeskError, match="points, no triangles"):
        read_mesh(tmp_path / "b.ply")


def test_other_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(SamdeskError, match=r"a\.fbx cannot be opened"):
        read_mesh(tmp_path / "a.fbx")
    for suffix in ("glb", "obj", "ply"):
        with pytest.raises(SamdeskError, match="does not exist"):
            read_mesh(tmp_path / f"none.{suffix}")


# values


def test_normals_of_a_sphere_point_outwards() -> None:
    sphere = trimesh.creation.icosphere(3)
    normals = Mesh(sphere.vertices, sphere.faces).with_normals().normals
    assert normals is not None
    assert np.einsum("ij,ij->i", normals, sphere.vertices).min() > 0.999


def test_a_seam_is_not_seen_in_the_normals() -> None:
    whole = egg()
    apart = Mesh(whole.vertices[whole.faces].reshape(-1, 3), np.arange(3 * len(whole.faces)).reshape(-1, 3))
    expected = whole.with_normals().normals
    found = apart.with_normals().normals
    assert expected is not None
    np.testing.assert_allclose(found, expected[whole.faces].reshape(-1, 3), atol=1e-5)


def test_vertices_of_no_triangle_have_a_normal_too() -> None:
    normals = Mesh(np.zeros((4, 3)), np.array([[0, 1, 2]])).with_normals().normals
    assert normals is not None
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)


def test_a_pose_turns_the_normals_with_the_surface() -> None:
    pose = Pose((0.8, 0.2, -0.4, 0.4), (0.3, -0.2, 1.5), 1.4)
    mesh = egg()
    posed, anew = mesh.with_normals().posed(pose), mesh.posed(pose).with_normals()
    assert posed.normals is not None
    np.testing.assert_allclose(posed.normals, anew.normals, atol=1e-4)
    assert trimesh.Trimesh(posed.vertices, posed.faces).volume > 0  # not mirrored


def test_a_scene_of_textured_meshes_has_one_texture(tmp_path: Path) -> None:
    parts = [textured(1), textured(2, 50, 10), textured(3, 7, 90)]
    whole = Mesh.concat(parts)
    assert whole.is_textured
    np.testing.assert_array_equal(corners(whole), np.concatenate([corners(part) for part in parts]))
    expected = np.concatenate([part.vertex_colors() for part in parts])
    found = whole.vertex_colors()
    assert found is not None
    assert np.abs(found.astype(int) - expected).max() <= 2
    write_glb(tmp_path / "scene.glb", whole)
    assert read_mesh(tmp_path / "scene.glb").is_textured


def test_a_mixed_scene_has_vertex_colors() -> None:
    parts = [textured(), colored(), egg()]
    whole = Mesh.concat(parts)
    assert not whole.is_textured
    assert whole.colors is not None
    n = len(egg().vertices)
    np.testing.assert_array_equal(whole.colors[:n], parts[0].vertex_colors())
    np.testing.assert_array_equal(whole.colors[n : 2 * n], parts[1].colors)
    assert Mesh.concat([egg(), egg()]).colors is None
    assert len(Mesh.concat([]).faces) == 0


def test_a_texture_that_repeats_becomes_vertex_colors() -> None:
    plain = textured()
    assert plain.uv is not None
    wide = Mesh(plain.vertices, plain.faces, uv=plain.uv * 3, texture=plain.texture)
    assert not Mesh.concat([wide, plain]).is_textured


@pytest.mark.parametrize(
    "change",
    [
        {"faces": [[0, 1, 162]]},
        {"faces": [[0, -1, 2]]},
        {"vertices": np.zeros((5, 2))},
        {"colors": np.zeros((5, 3))},
        {"uv": np.zeros((162, 3))},
        {"texture": np.zeros((0, 4, 3))},
        {"texture": np.zeros((4, 4, 4))},
    ],
)
def test_arrays_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    plain = egg()
    with pytest.raises(ValueError, match=r"of shape|without vertices"):
        Mesh(**{"vertices": plain.vertices, "faces": plain.faces, **change})
