from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from samdesk.recon.mesh import Mesh, read_mesh, write_glb
from samdesk.recon.pose import (
    CAMERA_TO_WORLD,
    FACING,
    Camera,
    Pose,
    quaternion_matrix,
    quaternion_product,
)
from samdesk.recon.splat import Splats, read_splats, write_splats

PARTS = st.floats(-1, 1, allow_nan=False)
QUATERNIONS = st.tuples(PARTS, PARTS, PARTS, PARTS).filter(lambda q: np.linalg.norm(q) > 0.1)


@st.composite
def poses(draw: st.DrawFn) -> Pose:
    rotation = np.array(draw(QUATERNIONS))
    w, x, y, z = (rotation / np.linalg.norm(rotation)).tolist()
    translation = draw(st.tuples(*[st.floats(-5, 5)] * 3))
    return Pose((w, x, y, z), translation, draw(st.floats(0.05, 8)))


def scipy_matrix(rotation: tuple[float, ...]) -> np.ndarray:
    w, x, y, z = rotation
    return Rotation.from_quat([x, y, z, w]).as_matrix()


def test_camera_to_world_is_a_rotation_and_its_own_inverse() -> None:
    assert np.linalg.det(CAMERA_TO_WORLD) == pytest.approx(1)
    np.testing.assert_array_equal(CAMERA_TO_WORLD @ CAMERA_TO_WORLD, np.eye(3))
    np.testing.assert_allclose(quaternion_matrix(FACING), CAMERA_TO_WORLD, atol=1e-15)


def test_the_facing_pose_leaves_everything_where_it_is() -> None:
    points = np.random.default_rng(0).normal(size=(9, 3))
    np.testing.assert_allclose(Pose().to_world(points), points, atol=1e-15)
    np.testing.assert_allclose(np.abs(Pose().world_quaternion), (1, 0, 0, 0), atol=1e-15)


def test_what_is_left_up_and_far_from_the_camera_is_so_in_the_world() -> None:
    left_up_far = np.array([1.0, 2.0, 3.0])  # PyTorch3D: x left, y up, z forward
    np.testing.assert_array_equal(CAMERA_TO_WORLD @ left_up_far, [-1, 3, 2])  # x right, y away, z up


@settings(deadline=None)
@given(QUATERNIONS, QUATERNIONS)
def test_products_turn_one_after_the_other(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    both = quaternion_matrix(quaternion_product(first, second))
    np.testing.assert_allclose(both, scipy_matrix(first) @ scipy_matrix(second), atol=1e-9)


@settings(deadline=None)
@given(poses())
def test_a_point_goes_where_pytorch3d_puts_it(pose: Pose) -> None:
    points = np.random.default_rng(1).uniform(-0.5, 0.5, (20, 3))
    camera = (pose.scale * points) @ scipy_matrix(pose.rotation) + np.array(pose.translation)
    world = np.stack((-camera[:, 0], camera[:, 2], camera[:, 1]), 1)
    np.testing.assert_allclose(pose.to_world(points), world, atol=1e-9)


@settings(deadline=None)
@given(poses())
def test_the_quaternion_and_the_matrix_of_a_pose_agree(pose: Pose) -> None:
    np.testing.assert_allclose(quaternion_matrix(pose.world_quaternion), pose.world_rotation, atol=1e-9)


def test_a_point_worked_out_by_hand() -> None:
    # a quarter turn about z; as a row vector (x, y, z) becomes (y, -x, z)
    pose = Pose((0.5**0.5, 0, 0, 0.5**0.5), (1, 2, 3), 2)
    # twice (.1, .2, .3) is (.2, .4, .6), turned (.4, -.2, .6), moved (1.4, 1.8, 3.6)
    np.testing.assert_allclose(pose.to_world([[0.1, 0.2, 0.3]]), [[-1.4, 3.6, 1.8]], atol=1e-12)


def some_splats(n: int) -> Splats:
    rng = np.random.default_rng(4)
    turns = rng.normal(size=(n, 4))
    unit = turns / np.linalg.norm(turns, axis=1, keepdims=True)
    scales = np.exp(rng.normal(-4, 1, (n, 3)))
    return Splats(rng.uniform(-0.5, 0.5, (n, 3)), scales, unit, rng.random((n, 3)), rng.random(n))


def covariances(splats: Splats) -> np.ndarray:
    axes = quaternion_matrix(splats.rotations) * splats.scales[:, None, :].astype(float)
    return axes @ axes.transpose(0, 2, 1)


@settings(deadline=None)
@given(poses())
def test_the_covariance_of_a_posed_splat_is_turned_and_scaled(pose: Pose) -> None:
    splats = some_splats(12)
    turn = pose.scale * pose.world_rotation
    posed = splats.posed(pose)
    expected = turn @ covariances(splats) @ turn.T
    np.testing.assert_allclose(covariances(posed), expected, rtol=1e-3, atol=1e-5 * expected.max())
    np.testing.assert_allclose(posed.means, pose.to_world(splats.means), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(posed.rotations, axis=1), 1, atol=1e-6)


def test_a_posed_splat_is_turned_as_sam_3d_turns_it() -> None:
    # there the rotation is multiplied on the left by the inverse quaternion, in the camera frame
    pose = Pose((0.8, 0.2, -0.4, 0.4), (0.3, -0.2, 1.5), 1.4)
    splats = some_splats(5)
    inverse = quaternion_matrix(pose.rotation).T
    camera = inverse @ quaternion_matrix(splats.rotations)
    world = np.stack((-camera[:, 0], camera[:, 2], camera[:, 1]), 1)
    np.testing.assert_allclose(quaternion_matrix(splats.posed(pose).rotations), world, atol=1e-6)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Splats, Mesh]:
    """One object, read from files as SAM 3D gives them: splats z up, the mesh y up."""
    folder = tmp_path_factory.mktemp("object")
    points = np.random.default_rng(2).uniform(-0.5, 0.5, (30, 3)).astype(np.float32)
    n = len(points)
    unit = np.tile(np.float32([1, 0, 0, 0]), (n, 1))
    splats = Splats(points, np.full((n, 3), 0.01), unit, np.full((n, 3), 0.5), np.full(n, 0.9))
    write_splats(folder / "splat.ply", splats)
    write_glb(folder / "mesh.glb", Mesh(points, np.arange(n).reshape(-1, 3)))
    return read_splats(folder / "splat.ply"), read_mesh(folder / "mesh.glb")


@settings(deadline=None)
@given(pose=poses())
def test_mesh_and_splats_of_one_object_meet_in_the_world(both: tuple[Splats, Mesh], pose: Pose) -> None:
    splats, mesh = both
    np.testing.assert_allclose(mesh.posed(pose).vertices, splats.posed(pose).means, atol=1e-4)


def test_a_pose_applied_to_the_y_up_mesh_would_miss_the_splats(both: tuple[Splats, Mesh]) -> None:
    pose = Pose((0.8, 0.2, -0.4, 0.4), (0.3, -0.2, 1.5), 1.4)
    splats, mesh = both
    v = mesh.vertices
    y_up = np.stack((v[:, 0], v[:, 2], -v[:, 1]), 1)  # as it lies in the file
    off = np.linalg.norm(pose.to_world(y_up) - splats.posed(pose).means, axis=1)
    assert np.median(off) > 0.3
    right = np.linalg.norm(mesh.posed(pose).vertices - splats.posed(pose).means, axis=1)
    assert right.max() < 1e-5


def test_the_transpose_of_the_rotation_would_miss_too(both: tuple[Splats, Mesh]) -> None:
    pose = Pose((0.8, 0.2, -0.4, 0.4), (0.3, -0.2, 1.5), 1.4)
    w, x, y, z = pose.rotation
    wrong = Pose((w, -x, -y, -z), pose.translation, pose.scale)
    splats, _ = both
    assert np.linalg.norm(splats.posed(pose).means - splats.posed(wrong).means, axis=1).max() > 0.3


@settings(deadline=None)
@given(poses())
def test_a_pose_survives_json(pose: Pose) -> None:
    assert Pose.from_json(pose.to_json()) == pose


NO_NUMBERS = [float("nan"), float("inf"), 10**400, 1e300, "large", None, [], {}]


@pytest.mark.parametrize(
    "change",
    [
        {"rotation_wxyz": [1, 0, 0]},
        {"rotation_wxyz": [0, 0, 0, 0]},
        {"rotation_wxyz": [1e-200, 0, 0, 0]},
        {"rotation_wxyz": None},
        {"translation": [0, 0, 0, 0]},
        {"scale": 0},
        {"scale": -1},
        {"scale": 1e-300},
        *({"scale": number} for number in NO_NUMBERS),
        *({"translation": [0, number, 0]} for number in NO_NUMBERS),
        *({"rotation_wxyz": [number, 0, 0, 1]} for number in NO_NUMBERS),
    ],
)
def test_what_is_no_pose_is_refused(change: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Pose.from_json({**Pose().to_json(), **change})


@pytest.mark.parametrize("kind", ["parallel", "perspective"])
@pytest.mark.parametrize(
    "change",
    [
        {"extent": 0},
        {"extent": -1},
        {"aspect": 0},
        {"aspect": -1.5},
        *({"extent": number} for number in NO_NUMBERS),
        *({"aspect": number} for number in NO_NUMBERS),
    ],
)
def test_what_is_no_camera_is_refused(kind: str, change: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Camera.from_json({"kind": kind, "extent": 1.0, "aspect": 1.0, **change})


def test_a_camera_sees_less_than_the_half_of_everything() -> None:
    assert Camera.from_json({"kind": "perspective", "extent": 179.5, "aspect": 1}).extent == 179.5
    assert Camera.from_json({"kind": "parallel", "extent": 400, "aspect": 1}).extent == 400
    with pytest.raises(ValueError, match="180"):
        Camera.from_json({"kind": "perspective", "extent": 180, "aspect": 1})


def test_cameras() -> None:
    parallel, wide = Camera(), Camera("perspective", 90, 1.5)
    assert parallel.height_at(7) == 1
    assert wide.height_at(2) == pytest.approx(4)
    assert Camera.from_json(wide.to_json()) == wide
    with pytest.raises(ValueError, match="fisheye"):
        Camera.from_json({**wide.to_json(), "kind": "fisheye"})
