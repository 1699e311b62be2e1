"""Objects followed through frames without a model that knows time, and frames on the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Shape
from samdesk.domain.outline import iou, mask_to_shape
from samdesk.domain.prompts import BoxPrompt, Candidate, PointPrompt, Prompts
from samdesk.domain.tasks import Cancelled, Progress, Task
from samdesk.engines.base import TrackPrompt
from samdesk.engines.classical import ClassicalEngine
from samdesk.sdk.segmenter import MaskOptions
from samdesk.sdk.tracking import Following, PictureFrames, load_tracker, track
from tests.fakes import BrightEngine, FakeEngine

COUNT = 10
DISC, RING = 4, 9
"""Object ids."""

Mask = NDArray[np.bool_]


class Scene:
    """A disc and a ring that move and slowly grow, on a noisy ground.

    Parameters
    ----------
    step : (float, float)
        How far the disc moves per frame.
    last : int
        The last frame on which the disc is there.
    """

    def __init__(
        self,
        step: tuple[float, float] = (7, 3),
        last: int = COUNT,
        size: tuple[int, int] = (256, 240),
        light: Callable[[int], float] = lambda frame: 1.0,
    ) -> None:
        self.step, self.last, self.size, self.light = step, last, size, light
        self.read: list[int] = []

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        self.read.append(index)
        picture = np.full((self.size[1], self.size[0], 3), (200.0, 190.0, 180.0))
        if index <= self.last:
            picture[self.disc(index)] = (120, 40, 130)
        picture[self.ring(index)] = (40, 90, 150)
        picture += np.random.default_rng(index).normal(0, 8, picture.shape)
        return (picture * self.light(index)).clip(0, 255).astype(np.uint8)

    def disc(self, index: int) -> Mask:
        x, y = self.step
        return self._away(60 + x * index, 80 + y * index) < 24 + 1.2 * index

    def ring(self, index: int) -> Mask:
        away = self._away(185 - 2 * index, 165 + 2 * index)
        return (away < 34 + index) & (away > 14 + 0.5 * index)

    def _away(self, x: float, y: float) -> NDArray[np.float64]:
        ys, xs = np.mgrid[: self.size[1], : self.size[0]] + 0.5
        return np.hypot(xs - x, ys - y)


BY_BOX = TrackPrompt(0, DISC, Prompts(boxes=(BoxPrompt(Bounds(33, 53, 87, 107)),)))
BY_POINT = TrackPrompt(0, RING, Prompts((PointPrompt(185, 141),)))


@pytest.fixture(scope="module")
def classical() -> Following:
    return Following(ClassicalEngine())


def followed(
    tracker: Following, scene: Scene, *asked: TrackPrompt, **span: int
) -> dict[int, dict[int, Candidate]]:
    return dict(track(tracker, scene, asked, Task(), **span))


def test_disc_and_ring_are_followed(classical: Following) -> None:
    scene = Scene()
    found = followed(classical, scene, BY_BOX, BY_POINT)
    assert list(found) == list(range(COUNT))
    assert scene.read == list(range(COUNT))
    for frame, objects in found.items():
        assert sorted(objects) == [DISC, RING]
        for object_id, truth in ((DISC, scene.disc(frame)), (RING, scene.ring(frame))):
            one = objects[object_id]
            assert iou(one.shape, mask_to_shape(truth)) >= 0.9, f"frame {frame}, object {object_id}"
            assert 0 <= one.score <= 1
            assert one.engine == "classical"
        assert len(objects[RING].shape.rings) == 3, "the hole is kept"


def test_object_that_leaves_the_picture_is_lost_for_good(classical: Following) -> None:
    scene = Scene((-16, 0))
    found = followed(classical, scene, BY_BOX, BY_POINT)
    there = [frame for frame in found if DISC in found[frame]]
    gone = [frame for frame in range(COUNT) if not scene.disc(frame).any()]
    assert there == list(range(len(there)))
    assert 2 < len(there) <= gone[0]
    for frame in there:
        assert iou(found[frame][DISC].shape, mask_to_shape(scene.disc(frame))) >= 0.9
    assert all(RING in objects for objects in found.values())


def test_object_that_vanishes_is_not_replaced_by_the_ground(classical: Following) -> None:
    found = followed(classical, Scene(last=3), BY_BOX)
    assert [frame for frame in found if DISC in found[frame]] == [0, 1, 2, 3]


def test_light_may_change(classical: Following) -> None:
    scene = Scene(light=lambda frame: 1 - 0.05 * frame)
    found = followed(classical, scene, BY_BOX, count=6)
    for frame, objects in found.items():
        assert iou(objects[DISC].shape, mask_to_shape(scene.disc(frame))) >= 0.9


def test_lost_object_is_followed_again_from_a_new_prompt(classical: Following) -> None:
    class Blinking(Scene):
        def disc(self, index: int) -> Mask:
            return super().disc(index) & (index != 2)

    scene = Blinking((3, 0))
    again = TrackPrompt(4, DISC, Prompts((PointPrompt(72, 80),)))
    found = followed(classical, scene, BY_BOX, again, count=7)
    assert [frame for frame in found if DISC in found[frame]] == [0, 1, 4, 5, 6]
    assert iou(found[6][DISC].shape, mask_to_shape(scene.disc(6))) >= 0.9


def test_points_correct_what_is_followed(classical: Following) -> None:
    class Halves(Scene):
        """Two halves of a rectangle, of two colors."""

        def disc(self, index: int) -> Mask:
            return self._box(40, 60 + index, 90, 130 + index)

        def ring(self, index: int) -> Mask:
            return self._box(90, 60 + index, 150, 130 + index)

        def _box(self, x0: int, y0: int, x1: int, y1: int) -> Mask:
            mask = np.zeros(self.size[::-1], np.bool_)
            mask[y0:y1, x0:x1] = True
            return mask

    scene = Halves()
    first = TrackPrompt(0, DISC, Prompts(boxes=(BoxPrompt(Bounds(38, 58, 92, 132)),)))
    added = TrackPrompt(2, DISC, Prompts((PointPrompt(120, 100),)))
    found = followed(classical, scene, first, added, count=5)
    for frame, objects in found.items():
        truth = scene.disc(frame) | (scene.ring(frame) & (frame >= 2))
        assert iou(objects[DISC].shape, mask_to_shape(truth)) >= 0.9, f"frame {frame}"


def test_object_is_looked_for_from_its_first_prompt_on() -> None:
    scene = Scene()
    later = replace(BY_BOX, frame=5)
    found = followed(Following(FakeEngine()), scene, later, start=3, count=4)
    assert {frame: list(objects) for frame, objects in found.items()} == {3: [], 4: [], 5: [DISC], 6: [DISC]}
    assert scene.read == [5, 6]


def test_frames_are_read_and_encoded_once_for_all_objects() -> None:
    engine, scene = FakeEngine(), Scene()
    steps = track(Following(engine), scene, [BY_BOX, BY_POINT], Task())
    assert scene.read == []
    next(steps)
    next(steps)
    assert scene.read == [0, 1]
    assert (engine.encoded, engine.predicted) == (2, 4)


def test_large_frames_are_seen_on_fewer_pixels() -> None:
    class Large:
        """A bright square in a corner of frames of 2300 x 1150 px."""

        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> NDArray[np.uint8]:
            frame = np.zeros((1150, 2300, 3), np.uint8)
            frame[600:1000, 200:800] = 255
            return frame

    by_box = TrackPrompt(0, 1, Prompts(boxes=(BoxPrompt(Bounds(180, 580, 820, 1020)),)))
    for _, objects in track(Following(BrightEngine()), Large(), [by_box], Task()):
        assert iou(objects[1].shape, Shape.box(200, 600, 800, 1000)) > 0.99
        assert objects[1].region.bounds == (0, 0, 2300, 1150)


def test_options_shape_the_outline() -> None:
    options = MaskOptions(threshold=5.0)
    (_, plain), *_ = track(Following(FakeEngine()), Scene(), [BY_POINT], Task(), count=1)
    (_, smaller), *_ = track(Following(FakeEngine()), Scene(), [BY_POINT], Task(), count=1, options=options)
    assert smaller[RING].shape.area == pytest.approx(plain[RING].shape.area * (15 / 20) ** 2, rel=0.02)


def test_progress_and_cancel() -> None:
    told: list[Progress] = []
    task = Task(told.append)
    steps = track(Following(FakeEngine()), scene := Scene(), [BY_BOX], task, count=4)
    next(steps)
    next(steps)
    assert [(one.fraction, one.message) for one in told] == [(0, "Frame 1 of 4"), (0.25, "Frame 2 of 4")]
    task.cancel()
    with pytest.raises(Cancelled):
        next(steps)
    assert scene.read == [0, 1]


@pytest.mark.parametrize(
    ("asked", "span", "message"),
    [
        ([], {}, "nothing to follow"),
        ([BY_BOX], {"start": 1}, "frame 0 is on none of the frames 1 to 9"),
        ([BY_BOX], {"start": 10}, "no frames from 10 on"),
        ([BY_BOX], {"count": 0}, "no frames from 0 on"),
        ([TrackPrompt(0, 1, Prompts(text="cell"))], {}, "cannot search by text"),
        ([TrackPrompt(0, 7, Prompts((PointPrompt(9, 9, False),)))], {}, "where object 7 is"),
    ],
)
def test_what_cannot_be_followed_is_refused_at_once(
    asked: list[TrackPrompt], span: dict[str, int], message: str
) -> None:
    with pytest.raises(SamdeskError, match=message):
        track(Following(FakeEngine()), Scene(), asked, Task(), **span)


def test_tracker_without_weights_says_what_it_is() -> None:
    tracker = load_tracker()
    assert tracker.title == "Classical (no model), frame by frame"
    assert (tracker.name, tracker.identity, tracker.device, tracker.nbytes) == (
        "classical",
        "classical",
        "cpu",
        0,
    )


def test_tracker_of_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SamdeskError, match="no weight file"):
        load_tracker("sam2", tmp_path / "absent.pt")
    with pytest.raises(SamdeskError, match="takes no weights"):
        load_tracker("classical", tmp_path / "absent.pt")


def write(path: Path, frame: NDArray[np.uint8]) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, frame[..., ::-1] if frame.ndim == 3 else frame)[1].tobytes())
    return path


def test_pictures_are_frames_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    colors = {"frame 10.png": (9, 8, 7), "frame 9.png": (1, 2, 3), "frame 100.png": (5, 5, 6)}
    paths = [write(tmp_path / name, np.full((30, 40, 3), color, np.uint8)) for name, color in colors.items()]
    frames = PictureFrames(paths)
    assert (len(frames), frames.size) == (3, (40, 30))
    assert [path.name for path in frames.paths] == ["frame 9.png", "frame 10.png", "frame 100.png"]
    assert [tuple(frames[k][0, 0]) for k in range(3)] == [(1, 2, 3), (9, 8, 7), (5, 5, 6)]


def test_gray_and_deep_pictures_become_rgb(tmp_path: Path) -> None:
    deep = np.full((30, 40), 0x80FF, np.uint16)
    frames = PictureFrames(
        [
            write(tmp_path / "0.png", deep),
            write(tmp_path / "1.jpg", np.full((30, 40), 128, np.uint8)),
        ]
    )
    for k in range(2):
        assert (frames[k].shape, frames[k].dtype) == ((30, 40, 3), np.uint8)
        assert (frames[k] == 128).all()


def test_frame_that_does_not_fit_is_named(tmp_path: Path) -> None:
    good = write(tmp_path / "a.png", np.zeros((30, 40, 3), np.uint8))
    other = write(tmp_path / "b.png", np.zeros((40, 30, 3), np.uint8))
    with pytest.raises(SamdeskError, match=r"“b\.png” is 30 × 40 px, while “a\.png” is 40 × 30 px"):
        PictureFrames([good, other])
    with pytest.raises(SamdeskError, match=r"“a\.png” is too large"):
        PictureFrames([good], most_pixels=1000)
    for name, content in {
        "cut.png": good.read_bytes()[:60],
        "text.png": b"no picture at all",
        "empty.jpg": b"",
        "header.png": good.read_bytes()[:20],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SamdeskError, match=name.replace(".", r"\.")):
            PictureFrames([good, tmp_path / name])
    with pytest.raises(SamdeskError, match=r"absent\.png"):
        PictureFrames([good, tmp_path / "absent.png"])
    with pytest.raises(SamdeskError, match="no frames"):
        PictureFrames([])


def test_headers_are_read_in_steps(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{k}.png", np.zeros((30, 40, 3), np.uint8)) for k in range(4)]
    steps = PictureFrames.in_steps(paths)
    next(steps)
    write(paths[3], np.zeros((31, 40, 3), np.uint8))  # not looked at yet
    with pytest.raises(SamdeskError, match=r"“3\.png” is 40 × 31 px"):
        list(steps)
    steps = PictureFrames.in_steps(paths[:3])
    for _ in range(3):
        next(steps)
    with pytest.raises(StopIteration) as ended:
        next(steps)
    frames = ended.value.value
    assert (len(frames), frames.size, frames.paths) == (3, (40, 30), tuple(paths[:3]))


def test_frame_that_is_damaged_or_changed_later_is_named(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{k}.png", np.zeros((30, 40, 3), np.uint8)) for k in range(2)]
    frames = PictureFrames(paths)
    write(paths[1], np.zeros((31, 40, 3), np.uint8))
    with pytest.raises(SamdeskError, match=r"“1\.png” is 40 × 31 px"):
        frames[1]
    content = bytearray(paths[0].read_bytes())
    content[45:50] = b"\xff" * 5
    paths[0].write_bytes(bytes(content))
    with pytest.raises(SamdeskError, match=r"“0\.png” cannot be read"):
        frames[0]
