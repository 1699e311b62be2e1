"""True splats beside PyVista's own, frame by frame; and our order beside VTK's depth sort.

`python -m tests.bench.test_view3d_bench` prints the tables; under pytest run with
``--benchmark-only``. The frames are those of the off-screen window at 800 x 600, taken in turns;
what they cost depends on the driver.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pytest
import pyvista
from numpy.typing import NDArray
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkFiltersHybrid import vtkDepthSortPolyData
from vtkmodules.vtkRenderingCore import vtkCamera

from samdesk.recon.splat import Splats
from samdesk.ui.view3d.arrays import cells, named, points
from samdesk.ui.view3d.contents import Contents, Part
from samdesk.ui.view3d.gaussians import back_to_front
from samdesk.ui.view3d.scene import SceneActors
from samdesk.ui.view3d.stage import Stage
from samdesk.ui.view3d.viewpoint import preset

SIZES = (20_000, 200_000, 1_000_000)
ROUNDS = 7
STEP_DEGREES = 7.0


def surface(n: int) -> Splats:
    """Overlapping flat splats on a ball, as an engine makes them."""
    rng = np.random.default_rng(n)
    places = rng.normal(size=(n, 3))
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    colors = 0.5 + 0.5 * places
    scales = np.exp(rng.normal(np.log(0.6 / np.sqrt(n)), 0.4, (n, 3)))
    turns = rng.normal(size=(n, 4))
    turns /= np.linalg.norm(turns, axis=1, keepdims=True)
    arrays = (0.45 * places, scales, turns, colors, rng.uniform(0.3, 0.99, n))
    return Splats(*(array.astype(np.float32) for array in arrays))


class Frames:
    """Seconds per frame of a window that turns."""

    def __init__(self, plotter: Any, turn: Callable[[], None]) -> None:
        self._window = plotter.render_window
        self._turn = turn
        self.seconds: list[float] = []
        for _ in range(2):  # the first frames fetch everything
            self.draw()
        self.seconds.clear()

    def draw(self) -> None:
        began = time.perf_counter()
        self._turn()
        self._window.Render()
        self._window.WaitForCompletion()
        self.seconds.append(time.perf_counter() - began)


def frame_times(n: int) -> dict[str, float]:
    """Median milliseconds of a frame: ours at rest, ours while dragging, PyVista's."""
    splats = surface(n)
    ours = pyvista.Plotter(off_screen=True, window_size=[800, 600], lighting="none")
    stage = Stage(ours)
    stage.show(SceneActors(Contents((Part("a", "a", splats=splats),))))
    stage.set_viewpoint(preset("home", splats.means[:1000], 4 / 3))

    def turn() -> None:
        stage.set_viewpoint(stage.viewpoint.turned(STEP_DEGREES, 0, (0, 0, 0)))

    theirs = pyvista.Plotter(off_screen=True, window_size=[800, 600])
    theirs.render_window.SetMultiSamples(0)
    cloud = pyvista.PolyData(splats.means)
    cloud["rgba"] = np.rint(255 * np.column_stack([splats.colors, splats.opacities])).astype(np.uint8)
    theirs.add_points(cloud, style="points_gaussian", scalars="rgba", rgba=True, point_size=4)
    theirs.camera_position = "xz"
    ours.render()
    theirs.render()
    true = Frames(ours, turn)
    naive = Frames(theirs, lambda: theirs.camera.Azimuth(STEP_DEGREES))
    for _ in range(ROUNDS):
        true.draw()
        naive.draw()
    assert stage.scene is not None
    stage.scene.set_light(True)
    light = Frames(ours, turn)
    for _ in range(ROUNDS):
        light.draw()
    stage.close()
    ours.close()
    theirs.close()
    named_frames = (("ours", true), ("theirs", naive), ("dragging", light))
    return {name: 1e3 * median(frames.seconds) for name, frames in named_frames}


def depth_sort(splats: Splats) -> Callable[[NDArray[np.float64]], None]:
    """VTK's own way to the same order."""
    data = vtkPolyData()
    data.SetPoints(points(splats.means))
    data.GetPointData().AddArray(named(splats.scales, "scale"))
    data.SetVerts(cells(np.arange(len(splats)), 1))
    camera = vtkCamera()
    camera.SetFocalPoint(0, 0, 0)
    sorter = vtkDepthSortPolyData()
    sorter.SetInputData(data)
    sorter.SetDirectionToBackToFront()
    sorter.SetCamera(camera)

    def sort(along: NDArray[np.float64]) -> None:
        camera.SetPosition(*(-3 * along))
        sorter.Modified()
        sorter.Update()

    return sort


def sort_times(n: int) -> dict[str, float]:
    """Median milliseconds of a sort: ours, VTK's."""
    splats = surface(n)
    theirs = depth_sort(splats)
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for k in range(ROUNDS):
        along = np.array([np.sin(k), np.cos(k), -0.3])
        along /= np.linalg.norm(along)
        began = time.perf_counter()
        back_to_front(splats.means, along)
        between = time.perf_counter()
        theirs(along)
        seconds["ours"].append(between - began)
        seconds["theirs"].append(time.perf_counter() - between)
    return {name: 1e3 * median(values) for name, values in seconds.items()}


@pytest.mark.parametrize("n", SIZES)
def test_frames_beside_points_gaussian(benchmark: Any, n: int) -> None:
    times = benchmark.pedantic(frame_times, (n,), rounds=1)
    benchmark.extra_info |= times | {"ratio": times["ours"] / times["theirs"]}
    print(f"\n{frame_row(n, times)}")
    assert times["ours"] < 4 * times["theirs"]


@pytest.mark.parametrize("n", SIZES)
def test_order_beside_depth_sort(benchmark: Any, n: int) -> None:
    times = benchmark.pedantic(sort_times, (n,), rounds=1)
    benchmark.extra_info |= times | {"ratio": times["ours"] / times["theirs"]}
    print(f"\n{sort_row(n, times)}")
    assert times["ours"] < times["theirs"]


def frame_row(n: int, ms: dict[str, float]) -> str:
    return (
        f"{n:>9,} splats: true {ms['ours']:.0f} ms, points_gaussian {ms['theirs']:.0f} ms"
        f" (x {ms['ours'] / ms['theirs']:.2f}), while dragging {ms['dragging']:.0f} ms"
        f" (x {ms['dragging'] / ms['theirs']:.2f})"
    )


def sort_row(n: int, ms: dict[str, float]) -> str:
    return (
        f"{n:>9,} splats: ours {ms['ours']:.1f} ms, vtkDepthSortPolyData {ms['theirs']:.1f} ms"
        f" ({ms['theirs'] / ms['ours']:.0f} times faster)"
    )


if __name__ == "__main__":
    for size in SIZES:
        print(frame_row(size, frame_times(size)))
    for size in SIZES:
        print(sort_row(size, sort_times(size)))
