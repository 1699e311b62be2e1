"""SAM 2 and 2.1 through frames, against the package's own video predictor on seeded weights.

The network is built for pictures of 128 px, which is 64 times as quick and changes nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Shape
from samdesk.domain.outline import iou
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.domain.tasks import Cancelled, Progress, Task
from samdesk.engines.base import ENGINES, TrackedFrame, TrackPrompt, load_tracker
from samdesk.engines.checkpoint import recognise
from samdesk.engines.sam2_video import PROMPTED, Memory, Sam2Tracker
from samdesk.engines.torchvision_ops import disarm_torchvision
from samdesk.sdk.tracking import TrackerPool, track
from samdesk.sdk.tracking import load_tracker as sdk_tracker

from .seeded import hollow_state, save_pt
from .seeded_sam2 import sam2_watcher

SIDE = 128
COUNT = 4

CLOSE = 2e-4
"""What other orders of float32 sums may change in logits of about -20 to 20 over some frames; the
memory is rounded to bfloat16 in between, by both."""

POINT = Prompts((PointPrompt(50.5, 65.5),))
BOX = Prompts(boxes=(BoxPrompt(Bounds(30, 40, 75, 95)),))
OTHER_BOX = Prompts(boxes=(BoxPrompt(Bounds(15.5, 10.25, 110, 120)),))
LEFT_OUT = Prompts((PointPrompt(60.5, 30.5, False), PointPrompt(45.5, 70.5)))

Truth = Mapping[int, Mapping[int, NDArray[Any]]]
"""The package's masks (h, w) float32 by frame and object."""


class SmallTracker(Sam2Tracker):
    side = SIDE


class Film:
    """A disc that moves over waves, as frames that count how often they are read."""

    def __init__(self, count: int = COUNT, size: tuple[int, int] = (SIDE, SIDE)) -> None:
        self.count, self.size = count, size
        self.read: list[int] = []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        self.read.append(index)
        y, x = np.mgrid[: self.size[1], : self.size[0]].astype(np.float64)
        red = 128 + 100 * np.sin((x + 5 * index) / 9) * np.cos(y / 12)
        green = 128 + 100 * np.cos((x + y) / 16)
        blue = 60 + 180 * (np.hypot(x - 50 - 4 * index, y - 65) < 23)
        return np.stack([red, green, blue], axis=-1).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Pair:
    """The tracker and the package's predictor with the same weights, and frames that both read."""

    tracker: Sam2Tracker
    predictor: Any
    folder: Path

    @property
    def frames(self) -> list[NDArray[np.uint8]]:
        return [np.array(Image.open(self.folder / f"{k}.jpg")) for k in range(COUNT)]

    def ours(self, *asked: TrackPrompt, **span: int) -> dict[int, TrackedFrame]:
        return {one.frame: one for one in self.tracker.track(self.frames, asked, Task(), **span)}

    def of_package(self, *steps: TrackPrompt | range) -> Truth:
        """What the package says when it is told prompts and frames to go through, in this order."""
        state = self.predictor.init_state(str(self.folder))
        truth: dict[int, dict[int, NDArray[Any]]] = {}
        for step in steps:
            if isinstance(step, TrackPrompt):
                self._tell(state, step)
                continue
            for frame, ids, masks in self.predictor.propagate_in_video(state, step.start, len(step) - 1):
                truth[frame] = dict(zip(ids, masks[:, 0].numpy(), strict=True))
        return truth

    def _tell(self, state: Any, said: TrackPrompt) -> None:
        prompts = said.prompts
        if prompts.prior is not None:
            box = prompts.prior.bounds
            mask = np.zeros((SIDE, SIDE), np.bool_)
            mask[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)] = True
            self.predictor.add_new_mask(state, said.frame, said.object_id, mask)
            return
        self.predictor.add_new_points_or_box(
            state,
            said.frame,
            said.object_id,
            [(p.x, p.y) for p in prompts.points] if prompts.points else None,
            [int(p.positive) for p in prompts.points] if prompts.points else None,
            box=prompts.boxes[0].bounds if prompts.boxes else None,
        )


def compare(ours: Mapping[int, TrackedFrame], truth: Truth) -> None:
    assert sorted(ours) == sorted(truth)
    for frame, theirs in truth.items():
        assert sorted(ours[frame].found) == sorted(theirs), f"frame {frame}"
        for object_id, expected in theirs.items():
            answer = ours[frame].found[object_id]
            assert answer.extent is None
            assert 0 <= answer.score <= 1
            assert answer.logits.dtype == np.float32
            shown = torch.nn.functional.interpolate(
                torch.from_numpy(answer.logits)[None, None], expected.shape, mode="bilinear"
            )[0, 0].numpy()
            difference = np.abs(shown - expected).max()
            print(f"frame {frame}, object {object_id}: largest difference of logits {difference:.2g}")
            assert difference < CLOSE
            assert ((shown > 0) != (expected > 0)).sum() < 10
    shares = [(mask > 0).mean() for masks in truth.values() for mask in masks.values()]
    assert 0.05 < np.median(shares) < 0.95, "the masks say nothing"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sam2_video")


@pytest.fixture(scope="module")
def newer(folder: Path) -> Pair:
    return paired(folder, "2.1")


@pytest.fixture(scope="module")
def older(folder: Path) -> Pair:
    return paired(folder, "2")


def paired(folder: Path, version: str) -> Pair:
    weights = sam2_watcher(folder, version)
    tracker = SmallTracker(weights, device="cpu", precision="float32")
    frames = folder / "frames"
    if not frames.is_dir():
        frames.mkdir()
        film = Film()
        for k in range(COUNT):
            Image.fromarray(film[k]).save(frames / f"{k}.jpg")
    disarm_torchvision()
    from sam2.build_sam import build_sam2_video_predictor

    predictor = build_sam2_video_predictor(
        f"configs/sam{version}/sam{version}_hiera_t.yaml",
        str(weights),
        device="cpu",
        hydra_overrides_extra=[f"++model.image_size={SIDE}"],
    )
    predictor.fill_hole_area = 0  # wants a CUDA kernel, and warns for each frame without
    predictor.add_all_frames_to_correct_as_cond = True  # else what is corrected is forgotten again
    return Pair(tracker, predictor, frames)


def test_object_of_a_click_is_followed_as_the_package_does(newer: Pair) -> None:
    said = TrackPrompt(0, 7, POINT)
    ours = newer.ours(said)
    compare(ours, newer.of_package(said, range(COUNT)))
    masks = [ours[frame].found[7].logits for frame in range(COUNT)]
    assert np.abs(masks[1] - masks[2]).max() > 0.1, "the frames say nothing"


def test_two_objects_of_boxes_are_followed_as_the_package_does(newer: Pair) -> None:
    said = (TrackPrompt(1, 3, BOX), TrackPrompt(1, 5, OTHER_BOX))
    compare(newer.ours(*said, start=1, count=3), newer.of_package(*said, range(1, 4)))


def test_first_version_follows_as_the_package_does(older: Pair) -> None:
    said = TrackPrompt(0, 7, BOX)
    compare(older.ours(said, count=3), older.of_package(said, range(3)))


def test_points_on_a_later_frame_correct_as_in_the_package(newer: Pair) -> None:
    first, later = TrackPrompt(0, 1, BOX), TrackPrompt(2, 1, LEFT_OUT)
    plain, corrected = newer.ours(first), newer.ours(later, first)
    truth = newer.of_package(first, range(3), later, range(2, COUNT))
    compare(corrected, truth)
    for frame in range(COUNT):
        same = np.array_equal(plain[frame].found[1].logits, corrected[frame].found[1].logits)
        assert same is (frame < 2)


def test_box_on_a_later_frame_starts_anew_as_in_the_package(newer: Pair) -> None:
    first, later = TrackPrompt(0, 1, BOX), TrackPrompt(2, 1, OTHER_BOX)
    truth = newer.of_package(first, range(2), later, range(2, 4))
    compare(newer.ours(first, later, count=4), truth)


def test_prior_mask_is_taken_as_it_is_as_in_the_package(newer: Pair) -> None:
    said = TrackPrompt(0, 1, Prompts(prior=Shape.box(30, 40, 75, 95)))
    ours = newer.ours(said, count=3)
    compare(ours, newer.of_package(said, range(3)))
    assert ours[0].found[1].score == 1
    assert ((ours[0].found[1].logits > 0).mean() * SIDE**2) == pytest.approx(45 * 55, rel=0.05)


@contextmanager
def blind(tracker: Sam2Tracker) -> Iterator[None]:
    """The network sees no object anywhere."""
    bias = tracker._model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias
    kept = bias.clone()
    bias.fill_(-20)
    yield
    bias.copy_(kept)


def test_object_that_is_not_seen_is_left_out_and_found_again(newer: Pair) -> None:
    steps = newer.tracker.track(Film(), [TrackPrompt(0, 1, BOX)], Task())
    assert next(steps).found
    with blind(newer.tracker):
        assert next(steps).found == {}
    assert next(steps).found


def test_points_on_an_object_that_was_lost_start_anew(newer: Pair) -> None:
    alone = newer.ours(TrackPrompt(2, 1, POINT), count=3)
    background = Prompts((PointPrompt(30, 30, False),))
    asked = [TrackPrompt(0, 1, BOX), TrackPrompt(1, 1, background), TrackPrompt(2, 1, POINT)]
    model, dark = newer.tracker._model, ExitStack()
    hooks = [
        # no object is seen in what is recalled, but where a prompt is asked on its own
        model.memory_attention.register_forward_hook(lambda *_: dark.enter_context(blind(newer.tracker))),
        model.sam_mask_decoder.register_forward_hook(lambda *_: dark.close()),
    ]
    try:
        ours = newer.ours(*asked, count=3)
    finally:
        for hook in hooks:
            hook.remove()
    assert [list(ours[frame].found) for frame in range(3)] == [[1], [], [1]]
    assert np.array_equal(ours[2].found[1].logits, alone[2].found[1].logits)


def test_memory_does_not_grow_with_the_frames() -> None:
    memory = Memory(near=6, far=15)
    for frame in range(100):
        seen = {"maskmem_features": frame, "maskmem_pos_enc": [], "obj_ptr": frame}
        memory.keep(frame, seen, was_prompted=frame % 10 == 0)
    assert sorted(memory.prompted) == list(range(20, 100, 10))
    assert len(memory.prompted) == PROMPTED
    assert sorted(memory.followed) == [frame for frame in range(85, 100) if frame % 10]
    # the next frame, 100, asks for the pictures of 94 to 99 and the pointers of 85 to 99
    with_picture = [frame for frame, seen in memory.followed.items() if "maskmem_features" in seen]
    assert sorted(with_picture) == list(range(94, 100))


def test_frames_are_read_once_and_only_when_they_are_asked_for(newer: Pair) -> None:
    film = Film(20)
    steps = newer.tracker.track(film, [TrackPrompt(4, 1, POINT)], Task(), start=2, count=9)
    assert film.read == []
    assert [(one.frame, list(one.found)) for _, one in zip(range(4), steps, strict=False)] == [
        (2, []),
        (3, []),
        (4, [1]),
        (5, [1]),
    ]
    assert film.read == [4, 5]


def test_frames_of_any_shape_are_stretched(newer: Pair) -> None:
    wide = Film(2, (400, 130))
    box = Prompts(boxes=(BoxPrompt(Bounds(60, -20, 900, 90)),))
    for one in newer.tracker.track(wide, [TrackPrompt(0, 1, box)], Task()):
        assert one.found[1].logits.shape == (SIDE // 4, SIDE // 4)
        assert one.found[1].extent is None


def test_cancel_is_noticed_between_frames_and_within_one(newer: Pair) -> None:
    task = Task()
    steps = newer.tracker.track(Film(), [TrackPrompt(0, 1, BOX)], task)
    next(steps)
    task.cancel()
    with pytest.raises(Cancelled):
        next(steps)

    told: list[Progress] = []

    def stop_within_the_second(progress: Progress) -> None:
        told.append(progress)
        if (progress.fraction or 0) > 1.2 / COUNT:
            inner.cancel()

    inner, film = Task(stop_within_the_second), Film()
    with pytest.raises(Cancelled):
        list(newer.tracker.track(film, [TrackPrompt(0, 1, BOX)], inner))
    assert film.read == [0, 1]
    fractions = [one.fraction or 0 for one in told]
    assert fractions == sorted(fractions)
    assert list(dict.fromkeys(one.message for one in told)) == ["Frame 1 of 4", "Frame 2 of 4"]
    assert len(newer.ours(TrackPrompt(0, 1, BOX), count=2)) == 2


def test_cancel_is_noticed_in_the_memory(newer: Pair) -> None:
    task, film = Task(), Film()
    steps = newer.tracker.track(film, [TrackPrompt(0, 1, BOX)], task)
    next(steps)
    reached: list[str] = []
    attention = newer.tracker._model.memory_attention
    hooks = [
        attention.register_forward_pre_hook(lambda *_: task.cancel()),
        attention.layers[0].register_forward_hook(lambda *_: reached.append("end of a layer")),
    ]
    try:
        with pytest.raises(Cancelled):
            next(steps)
    finally:
        for hook in hooks:
            hook.remove()
    assert not reached


REFUSED: dict[str, tuple[Sequence[TrackPrompt], dict[str, int], str]] = {
    "nothing": ([], {}, "nothing to follow"),
    "outside": ([TrackPrompt(3, 1, BOX)], {"count": 3}, "frame 3 is on none of the frames 0 to 2"),
    "before": ([TrackPrompt(1, 1, BOX)], {"start": 2}, "frame 1 is on none of the frames 2 to 3"),
    "no frames": ([TrackPrompt(0, 1, BOX)], {"start": 4}, "no frames from 4 on"),
    "count": ([TrackPrompt(0, 1, BOX)], {"count": 0}, "no frames from 0 on"),
    "text": ([TrackPrompt(0, 1, Prompts(text="cell"))], {}, "cannot search by text"),
    "boxes": (
        [TrackPrompt(0, 9, BOX), TrackPrompt(0, 9, OTHER_BOX)],
        {},
        "2 boxes around object 9 on frame 0",
    ),
    "negative": (
        [TrackPrompt(0, 9, Prompts((PointPrompt(9, 9, False),))), TrackPrompt(1, 9, BOX)],
        {},
        "frame 0 says where object 9 is",
    ),
}


@pytest.mark.parametrize(("asked", "span", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_followed_is_refused_at_once(
    newer: Pair, asked: Sequence[TrackPrompt], span: dict[str, int], message: str
) -> None:
    film = Film()
    with pytest.raises(SamdeskError, match=message):
        newer.tracker.track(film, asked, Task(), **span)
    assert film.read == []


def test_first_prompt_beside_the_picture_is_refused(newer: Pair) -> None:
    beside = TrackPrompt(1, 4, Prompts(boxes=(BoxPrompt(Bounds(900, 0, 990, 50)),)))
    with pytest.raises(SamdeskError, match="frame 1 says where object 4 is"):
        list(newer.tracker.track(Film(), [beside], Task()))


def test_tracker_tells_what_it_is(newer: Pair, older: Pair, folder: Path) -> None:
    tracker = newer.tracker
    assert (tracker.name, tracker.type, tracker.title, tracker.device) == (
        "sam2",
        "sam2_t",
        "SAM 2.1 Hiera-T",
        "cpu",
    )
    assert tracker.identity == f"sam2_t:{recognise(folder / 'watcher2.1.pt').digest}:float32"
    assert older.tracker.title == "SAM 2 Hiera-T"
    assert 4 * 38e6 < tracker.nbytes < 4 * 40e6
    assert Sam2Tracker.side == 1024


def test_weights_of_another_family_are_refused_by_the_tracker_of_the_table(tmp_path: Path) -> None:
    shapes = {
        "image_encoder.patch_embed.proj.weight": (768, 3, 16, 16),
        "prompt_encoder.no_mask_embed.weight": (1, 256),
        "mask_decoder.iou_token.weight": (1, 256),
        **{f"image_encoder.blocks.{i}.attn.rel_pos_h": (27, 64) for i in range(12)},
    }
    path = save_pt(tmp_path / "other.pt", hollow_state(shapes))
    assert ENGINES["sam2"].tracker
    with pytest.raises(SamdeskError, match=r"other\.pt holds SAM ViT-B, not SAM 2"):
        load_tracker("sam2", weights=path, device="cpu")


def test_tracker_of_a_file_is_kept_in_memory(newer: Pair, folder: Path) -> None:
    trackers, weights = TrackerPool(), folder / "watcher2.1.pt"
    tracker = sdk_tracker("sam2", weights, device="cpu", trackers=trackers)
    assert isinstance(tracker, Sam2Tracker)
    # by the type that is read from the file, too
    assert sdk_tracker(weights=weights, device="cpu", trackers=trackers) is tracker
    with pytest.raises(SamdeskError, match=r"watcher2\.1\.pt holds SAM 2\.1 Hiera-T, not SAM 2 Hiera-L"):
        sdk_tracker("sam2_l", weights, device="cpu", trackers=trackers)


def test_shapes_of_a_tracker_lie_in_frame_pixels(newer: Pair) -> None:
    film = Film(2, (400, 130))
    by_mask = TrackPrompt(0, 1, Prompts(prior=Shape.box(100, 30, 300, 100)))
    (frame, found), _ = track(newer.tracker, film, [by_mask], Task())
    assert frame == 0
    assert iou(found[1].shape, by_mask.prompts.prior) > 0.9
    assert found[1].region.bounds == (0, 0, 400, 130)
    assert found[1].engine == "sam2"
