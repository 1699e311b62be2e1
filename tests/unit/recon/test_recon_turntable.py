from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Cancelled, Progress, Task
from samdesk.recon.mesh import Mesh
from samdesk.recon.splat import Splats
from samdesk.recon.turntable import turntable, write_gif

RED, GREEN = (255, 0, 0), (0, 255, 0)


def painted(solid: trimesh.Trimesh, color: tuple[int, int, int], at: tuple[float, ...] = (0, 0, 0)) -> Mesh:
    places = solid.vertices + np.array(at)
    return Mesh(places, solid.faces, colors=np.tile(color, (len(places), 1)))


def frame(obj: Mesh | Splats, turn: float = 0, side: int = 96) -> np.ndarray:
    """The picture after this part of a turn."""
    frames = list(turntable(obj, side, 4))
    return frames[round(4 * turn)].astype(int)


def is_red(picture: np.ndarray) -> np.ndarray:
    return (picture[..., 0] > picture[..., 1] + 60) & (picture[..., 0] > picture[..., 2] + 60)


def is_green(picture: np.ndarray) -> np.ndarray:
    return (picture[..., 1] > picture[..., 0] + 60) & (picture[..., 1] > picture[..., 2] + 60)


def ball(n: int, radius: float, color: tuple[float, ...]) -> Splats:
    """Flat splats that lie on a sphere."""
    k = np.arange(n) + 0.5
    polar, around = np.arccos(1 - 2 * k / n), np.pi * (1 + 5**0.5) * k
    out = np.stack((np.cos(around) * np.sin(polar), np.sin(around) * np.sin(polar), np.cos(polar)), 1)
    turns = np.stack((1 + out[:, 2], -out[:, 1], out[:, 0], np.zeros(n)), 1)
    width = 2 * radius * (np.pi / n) ** 0.5
    scales = np.tile([width, width, width / 8], (n, 1))
    unit = turns / np.linalg.norm(turns, axis=1, keepdims=True)
    return Splats(radius * out, scales, unit, np.tile(color, (n, 1)), np.full(n, 0.95))


def test_the_first_picture_is_the_view_of_the_photograph() -> None:
    boxes = [
        painted(trimesh.creation.box((0.4, 0.4, 0.4)), RED, (-0.6, 0, 0.6)),  # left, above
        painted(trimesh.creation.box((0.4, 0.4, 0.4)), GREEN, (0.6, 0, -0.6)),
    ]
    picture = frame(Mesh.concat(boxes))
    rows, columns = np.nonzero(is_red(picture))
    assert rows.max() < 48
    assert columns.max() < 48
    rows, columns = np.nonzero(is_green(picture))
    assert rows.min() > 48
    assert columns.min() > 48


def test_what_is_nearer_hides_what_is_behind_and_a_half_turn_swaps_them() -> None:
    boxes = [
        painted(trimesh.creation.box((1, 0.2, 1)), RED, (0, -0.4, 0)),
        painted(trimesh.creation.box((1, 0.2, 1)), GREEN, (0, 0.4, 0)),
    ]
    front, behind = frame(Mesh.concat(boxes)), frame(Mesh.concat(boxes), 0.5)
    assert is_red(front).sum() > 4 * is_green(front).sum()
    assert is_green(behind).sum() > 4 * is_red(behind).sum()


def test_the_near_side_moves_to_the_right() -> None:
    near = painted(trimesh.creation.icosphere(2, 0.15), RED, (0, -1, 0))
    far = painted(trimesh.creation.icosphere(2, 0.15), GREEN, (0, 1, 0))
    picture = frame(Mesh.concat([near, far]), 0.25)
    assert np.nonzero(is_red(picture))[1].min() > 48 > np.nonzero(is_green(picture))[1].max()


def slender(count: int = 9) -> trimesh.Trimesh:
    """A tall cylinder of few long triangles."""
    return trimesh.creation.cylinder(0.5, 1.4, sections=count)


@pytest.mark.parametrize(
    "shell",
    [
        trimesh.creation.box(),
        slender(),
        trimesh.creation.icosphere(2, 0.6),
        trimesh.creation.icosphere(6, 0.6),
    ],
    ids=["box", "slender", "round", "fine"],
)
def test_nothing_shows_through_a_closed_surface(shell: trimesh.Trimesh) -> None:
    inside = painted(trimesh.creation.icosphere(4, 0.3), GREEN)
    whole = Mesh.concat([painted(shell, RED), inside])
    for picture in turntable(whole, 96, 5):
        assert not is_green(picture.astype(int)).any()


@pytest.mark.parametrize("solid", [trimesh.creation.icosphere(1), trimesh.creation.icosphere(5)])
def test_no_speckles_of_the_background_are_left(solid: trimesh.Trimesh) -> None:
    picture = next(turntable(painted(solid, (90, 90, 90)), 128, 1, background=(255, 0, 255)))
    drawn = ~np.all(picture == (255, 0, 255), axis=-1)
    for row in drawn:
        filled = np.flatnonzero(row)
        assert len(filled) == 0 or row[filled[0] : filled[-1] + 1].all()


def test_a_sphere_is_as_large_as_it_should_be() -> None:
    picture = next(turntable(Mesh(*_sphere(5)), 200, 1))
    diameter = np.any(picture < 200, axis=(0, 2)).sum()
    drawn = np.any(picture < 250, axis=2).sum()
    assert drawn == pytest.approx(np.pi / 4 * diameter**2, rel=0.04)


def _sphere(fineness: int) -> tuple[np.ndarray, np.ndarray]:
    sphere = trimesh.creation.icosphere(fineness)
    return sphere.vertices, sphere.faces


def test_an_edge_of_a_box_is_sharp() -> None:
    box = trimesh.creation.box()
    picture = frame(Mesh(box.vertices, box.faces), side=64)[..., 0]
    shades = np.unique(picture[picture < 250], return_counts=True)[1]
    assert np.sort(shades)[-2:].sum() > 0.9 * shades.sum()  # two faces are seen, each of one shade


def test_a_texture_is_seen_the_right_way_round() -> None:
    # a wall that faces the viewer, red in the texture's upper left
    places = [[-0.5, 0, -0.5], [0.5, 0, -0.5], [0.5, 0, 0.5], [-0.5, 0, 0.5]]
    texture = np.full((64, 64, 3), 20, np.uint8)
    texture[:32, :32] = RED
    uv = [[0, 0], [1, 0], [1, 1], [0, 1]]
    wall = Mesh(places, [[0, 1, 2], [0, 2, 3]], uv=np.array(uv), texture=texture)
    rows, columns = np.nonzero(is_red(frame(wall)))
    assert rows.max() <= 49
    assert columns.max() <= 49
    assert len(rows) > 700


def test_splats_are_drawn_and_hide_each_other() -> None:
    both = Splats.concat([ball(3000, 0.5, (1, 0, 0)), ball(2000, 0.35, (0, 1, 0))])
    for picture in turntable(both, 96, 3):
        assert not is_green(picture.astype(int)).any()
        assert is_red(picture.astype(int)).sum() > 3000


def test_a_few_stray_splats_do_not_make_the_object_small() -> None:
    stray = ball(4, 40, (0, 1, 0))
    picture = frame(Splats.concat([ball(4000, 0.5, (1, 0, 0)), stray]))
    assert is_red(picture).sum() > 2500


def test_nothing_is_nothing_to_draw() -> None:
    with pytest.raises(SamdeskError, match="nothing to draw"):
        next(turntable(Splats.concat([])))
    with pytest.raises(SamdeskError, match="nothing to draw"):
        next(turntable(Mesh(np.full((3, 3), np.nan), [[0, 1, 2]])))


def test_a_point_and_a_line_can_be_drawn() -> None:
    for places in ([[1, 1, 1]] * 3, [[0, 0, 0], [0, 0, 1], [0, 0, 2]]):
        picture = next(turntable(Mesh(places, [[0, 1, 2]]), 32, 1))
        assert (picture < 250).any()


def test_a_turn_reports_and_can_be_cancelled() -> None:
    seen: list[Progress] = []
    task = Task(seen.append)
    frames = turntable(painted(trimesh.creation.box(), RED), 32, 4, task=task)
    next(frames)
    next(frames)
    task.cancel()
    with pytest.raises(Cancelled):
        next(frames)
    assert [each.fraction for each in seen] == [0, 0.25]


def test_a_gif_turns_for_ever(tmp_path: Path) -> None:
    pictures = list(turntable(painted(trimesh.creation.box(), RED), 64, 6))
    write_gif(tmp_path / "a.gif", pictures, 12.5, "Relief (not SAM 3D)")
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.size) == (6, (64, 64))
        assert (gif.info["loop"], gif.info["duration"]) == (0, 80)
        assert gif.info["comment"] == b"Relief (not SAM 3D)"
        for number, picture in enumerate(pictures):
            gif.seek(number)
            found = np.asarray(gif.convert("RGB")).astype(int)
            assert np.abs(found - picture).mean() < 3
            np.testing.assert_array_equal(found[0, 0], 255)
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_a_gif_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SamdeskError, match=r"a\.gif cannot be written: there are no pictures"):
        write_gif(tmp_path / "a.gif", [])


def test_a_cancelled_gif_leaves_nothing(tmp_path: Path) -> None:
    task = Task()
    task.cancel()
    with pytest.raises(Cancelled):
        write_gif(tmp_path / "a.gif", turntable(painted(trimesh.creation.box(), RED), 32, 4, task=task))
    assert list(tmp_path.iterdir()) == []
