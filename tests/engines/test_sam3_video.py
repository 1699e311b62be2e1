"""SAM 3 through frames against the package on the same seeded weights, CPU, float32.

Single objects are compared with the package's `Sam3TrackerPredictor`, one state for each: the logits
are the same. All instances of a text are compared with the loop of its `Sam3VideoBase`, which scales
masks and judges presence otherwise on the way to the memory: as many instances, and nearly the
same masks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Shape
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.domain.tasks import Cancelled, Progress, Task
from samdesk.engines.base import MaskLogits, TrackedFrame, TrackPrompt, load_tracker

torch = pytest.importorskip("torch")
if not (find_spec("sam3") and find_spec("open_clip")):
    pytest.skip("needs the packages of the models", allow_module_level=True)

from samdesk.engines.sam3.compat import sam3_module  # noqa: E402
from samdesk.engines.sam3.model import INTERACTIVE, build_model, fill  # noqa: E402
from samdesk.engines.sam3.video import Sam3Tracker  # noqa: E402
from samdesk.engines.sam3.video.following import FOLLOWED, PROMPTED, Follower, Memory, Sight, View  # noqa: E402
from samdesk.engines.sam3.video.instances import (  # noqa: E402
    DOUBTS,
    PATIENCE,
    Instances,
    _apart,
    _overlaps,
)
from tests.engines.seeded import save_pt  # noqa: E402
from tests.engines.seeded_sam3 import (  # noqa: E402
    SMALL,
    ReferenceSearch,
    ReferenceVideo,
    reference_model,
    seeded_sam3_state,
)

COUNT = 4
SIDE = 4 * SMALL.grid
CLICK = Prompts((PointPrompt(120, 80),))
BOX = Prompts(boxes=(BoxPrompt(Bounds(40, 30, 150, 120)),))
TEXT = Prompts(text="cell")


class Pictures:
    """Frames that count how often each is read."""

    def __init__(self, width: int = 300, height: int = 200, count: int = COUNT) -> None:
        self.read: list[int] = []
        self._size, self._count = (height, width), count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        self.read.append(index)
        height, width = self._size
        y, x = np.mgrid[:height, :width]
        x = x - 6 * index
        waves = [
            np.sin(x / 17) * np.cos(y / 23),
            np.cos((x + y) / 31),
            np.sin(np.hypot(x - 90, y - 120) / 11),
        ]
        picture: NDArray[np.uint8] = (128 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)
        return picture


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Layers this small are slower on several threads, far slower where cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def state() -> dict[str, Any]:
    return seeded_sam3_state()


@pytest.fixture(scope="module")
def weights(state: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pt(tmp_path_factory.mktemp("sam3") / "sam3.pt", state)


@pytest.fixture(scope="module")
def tracker(weights: Path) -> Sam3Tracker:
    made = load_tracker("sam3", weights=weights, device="cpu", precision="float32", config=SMALL)
    assert isinstance(made, Sam3Tracker)
    return made


@pytest.fixture(scope="module")
def model(weights: Path) -> Any:
    return reference_model(weights)


@pytest.fixture(scope="module")
def reference(model: Any) -> ReferenceVideo:
    return ReferenceVideo(model, _all(Pictures()))


def _all(pictures: Pictures) -> list[NDArray[np.uint8]]:
    return [pictures[index] for index in range(len(pictures))]


def _ask(reference: ReferenceVideo, state: Any, frame: int, prompts: Prompts) -> None:
    box = tuple(prompts.boxes[0].bounds) if prompts.boxes else None
    reference.prompt(state, frame, points=prompts.points, box=box)


def _agree(
    found: Sequence[TrackedFrame], expected: Sequence[NDArray[np.float32]], object_id: int = 1
) -> None:
    assert len(found) == len(expected)
    for one, logits in zip(found, expected, strict=True):
        ours = one.found[object_id]
        assert ours.logits.shape == (SIDE, SIDE)
        assert np.abs(ours.logits - logits).max() < 1e-3
        assert 0 < ours.score <= 1
        # a comparison of empty or full masks would prove nothing
        assert 0.01 < (logits > 0).mean() < 0.99
    masks = [logits > 0 for logits in expected]
    assert len({mask.tobytes() for mask in masks}) == len(masks)


@pytest.mark.parametrize(
    "prompts",
    [
        CLICK,
        Prompts((PointPrompt(120, 80), PointPrompt(20.5, 150.25, False))),
        Prompts((PointPrompt(60, 60),), BOX.boxes),
    ],
    ids=["click", "points", "box and point"],
)
def test_object_is_followed_as_by_the_package(
    tracker: Sam3Tracker, reference: ReferenceVideo, prompts: Prompts
) -> None:
    state = reference.new_object()
    _ask(reference, state, 0, prompts)
    expected = reference.follow(state, 0, COUNT)
    _agree(list(tracker.track(Pictures(), [TrackPrompt(0, 1, prompts)], Task())), expected)


def test_later_points_correct_as_in_the_package(tracker: Sam3Tracker, reference: ReferenceVideo) -> None:
    correction = Prompts((PointPrompt(20, 150, False),))
    state = reference.new_object()
    _ask(reference, state, 0, BOX)
    before = reference.follow(state, 0, 3)
    _ask(reference, state, 2, correction)
    expected = before[:2] + reference.follow(state, 2, COUNT)
    asked = [TrackPrompt(0, 1, BOX), TrackPrompt(2, 1, correction)]
    _agree(list(tracker.track(Pictures(), asked, Task())), expected)
    assert np.abs(before[2] - expected[2]).max() > 0.1


def test_objects_do_not_know_of_each_other(tracker: Sam3Tracker, reference: ReferenceVideo) -> None:
    other = Prompts((PointPrompt(200, 60),))
    state = reference.new_object()
    _ask(reference, state, 1, other)
    expected = reference.follow(state, 1, 3)
    asked = [TrackPrompt(1, 7, other), TrackPrompt(0, 1, BOX)]
    found = list(tracker.track(Pictures(), asked, Task(), count=3))
    assert [sorted(one.found) for one in found] == [[1], [1, 7], [1, 7]]
    _agree(found[1:], expected, 7)
    alone = list(tracker.track(Pictures(), asked[1:], Task(), count=3))
    for one, two in zip(found, alone, strict=True):
        assert np.array_equal(one.found[1].logits, two.found[1].logits)


def test_prior_mask_is_the_package_s_new_mask(tracker: Sam3Tracker, model: Any) -> None:
    # a frame of the size of the network's masks: the package goes by way of the frame's own size
    pictures = Pictures(256, 256, 3)
    mask = np.zeros((256, 256), bool)
    mask[60:120, 80:170] = True
    prior = Shape.from_parts([[np.array([(80, 60), (170, 60), (170, 120), (80, 120)], float)]])
    reference = ReferenceVideo(model, _all(pictures))
    state = reference.new_object()
    reference.mask(state, 0, mask)
    expected = reference.follow(state, 0, 3)
    found = list(tracker.track(pictures, [TrackPrompt(0, 1, Prompts(prior=prior))], Task()))
    assert np.array_equal(found[0].found[1].logits > 0, expected[0] > 0)
    assert found[0].found[1].score == 1
    _agree(found[1:], expected[1:])
    roughly = Prompts((PointPrompt(100, 100),), prior=prior)
    (first,) = tracker.track(pictures, [TrackPrompt(0, 1, roughly)], Task(), count=1)
    assert first.found[1].score < 1


def test_what_is_forgotten_would_not_be_asked_for(
    tracker: Sam3Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty frames that look alike, with a few of them prompted: with all memories, and with few."""
    pixels = Pictures()[0]
    with torch.inference_mode():
        maps = tracker._interactive(tracker._features(pixels, Task()), Task())
    said = tracker._said(CLICK, (300, 200), 16 * SMALL.grid)
    ends = []
    for forgets in (True, False):
        follower, memory = tracker._follower(), Memory()
        if not forgets:
            monkeypatch.setattr(Follower, "_forget", lambda *_: None)
        with torch.inference_mode():
            for frame in range(21):
                view = View.of(frame, 40, maps)
                was_prompted = frame in (0, 1, 2, 4, 5)
                if was_prompted:
                    sight = follower.point_out(view, said.points, Task())
                else:
                    sight = follower.recall(view, memory, Task())
                follower.remember(memory, view, sight, Task(), was_prompted)
        ends.append(sight.logits)
        kept = [len(memory.frames[kind]) for kind in (PROMPTED, FOLLOWED)]
        assert kept == ([4, 15] if forgets else [5, 16])
    # the order in which they are read differs, and so does the rounding
    assert (ends[0] - ends[1]).abs().max() < 1e-4


def test_meeting_masks_are_told_apart_as_by_the_package() -> None:
    draw = np.random.default_rng(3)
    detected = [_square(*draw.uniform(0, 40, 2), 14, score) for score in np.linspace(0.99, 0.55, 20)]
    masks = torch.from_numpy(np.stack([one.logits for one in detected]))
    scores = torch.tensor([one.score for one in detected])
    keep = sam3_module("sam3.perflib.nms").nms_masks(scores, masks, 0.5, 0.1)
    kept, logits = _apart(detected, torch.device("cpu"))
    assert kept == [one for one, is_kept in zip(detected, keep.tolist(), strict=True) if is_kept]
    assert 5 < len(kept) < 15
    assert torch.equal(logits, masks[keep])

    rules = SimpleNamespace(
        assoc_iou_thresh=0.1, trk_assoc_iou_thresh=0.5, new_det_thresh=0.7, o2o_matching_masklets_enable=False
    )
    known = torch.stack([torch.from_numpy(_square(20 * k, 20, 14, 1.0).logits) for k in range(3)])
    base = sam3_module("sam3.model.sam3_video_base").Sam3VideoBase
    new, *_ = base._associate_det_trk(rules, logits, scores[keep].numpy(), known, np.arange(3))
    shared = _overlaps(logits > 0, known > 0)
    ours = [n for n, one in enumerate(kept) if one.score >= 0.7 and not (shared[n] >= 0.1).any()]
    assert new.tolist() == ours
    assert 0 < len(ours) < len(kept)


def test_text_finds_all_instances_and_follows_them(tracker: Sam3Tracker) -> None:
    pictures = Pictures(count=3)
    found = list(tracker.track(pictures, [TrackPrompt(0, 5, TEXT)], Task()))
    assert pictures.read == [0, 1, 2]
    assert list(found[0].found) == [5]
    embedding = tracker.encode(pictures[0], Task())
    instances, logits = _apart(tracker.find(embedding, TEXT, Task(), 0.5), torch.device("cpu"))
    union = found[0].found[5]
    assert union.logits.shape == (SIDE, SIDE)
    assert np.array_equal(union.logits, logits.amax(0).numpy())
    assert union.score == instances[0].score
    assert 0.01 < (union.logits > 0).mean() < 0.99
    # the tracker alone carries them on; the search on these frames finds what it meets
    assert 5 in found[1].found


def test_instances_are_those_of_the_package(
    tracker: Sam3Tracker, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its detector and its tracker in its own loop; numbers that let seeded weights find several."""
    monkeypatch.setattr("samdesk.engines.sam3.video.instances.NEW", 0.5)
    monkeypatch.setattr("samdesk.engines.sam3.video.instances.MEETS", 0.3)
    counts: list[int] = []
    step = Instances.step

    def counted(instances: Instances, *options: Any) -> MaskLogits | None:
        answer = step(instances, *options)
        counts.append(len(instances))
        return answer

    monkeypatch.setattr(Instances, "step", counted)
    pictures = Pictures(count=3)
    found = list(tracker.track(pictures, [TrackPrompt(0, 1, TEXT)], Task()))
    package = ReferenceSearch(model, _all(pictures), TEXT.text, found=0.5, new=0.5, meets=0.3)
    expected = list(package.follow())
    assert counts == [len(masks) for masks in expected]
    # some are there at once, and some appear later
    assert len(set(counts)) > 1
    for one, masks in zip(found, expected, strict=True):
        ours, theirs = one.found[1].logits > 0, masks.any(axis=0)
        # masks come into the memory by way of other sizes there
        assert (ours & theirs).sum() / (ours | theirs).sum() > 0.97
    assert np.array_equal(found[0].found[1].logits > 0, expected[0].any(axis=0))


def test_examples_count_on_their_frame(tracker: Sam3Tracker) -> None:
    asked: list[Prompts] = []
    find, example = tracker.find, BoxPrompt(Bounds(40, 30, 150, 120))
    counter = BoxPrompt(Bounds(200, 100, 260, 160), positive=False)

    def noted(embedding: Any, prompts: Prompts, task: Task, min_score: float = 0.5) -> list[MaskLogits]:
        asked.append(prompts)
        return find(embedding, prompts, task, min_score)

    tracker.find = noted  # type: ignore[method-assign]
    try:
        given = Prompts(boxes=(example, counter), text=" round cell ")
        later = TrackPrompt(1, 1, Prompts(text="gland"))
        list(tracker.track(Pictures(count=3), [TrackPrompt(0, 1, given), later], Task()))
    finally:
        del tracker.find  # type: ignore[method-assign]
    first, *rest = asked
    assert first == Prompts(boxes=(example, counter), text="round cell")
    assert rest == [Prompts(text="gland")] * 2


class Still:
    """A follower whose objects stay where they are."""

    mask_side = SIDE

    def recall(self, view: View, memory: Memory, task: Task) -> Sight:
        sight: Sight = memory.frames[PROMPTED][0]["sight"]
        return sight

    def take(self, view: View, mask: Any, task: Task) -> Sight:
        return _sight(20 * mask - 10)

    def remember(self, memory: Memory, view: View, sight: Sight, task: Task, was_prompted: bool) -> None:
        memory.frames[PROMPTED].setdefault(0, {"sight": sight})


class Leaving(Still):
    """A follower whose objects are gone on the next frame."""

    def recall(self, view: View, memory: Memory, task: Task) -> Sight:
        return _sight(torch.full((1, 1, SIDE, SIDE), -10.0))


def test_instances_that_meet_are_the_same() -> None:
    instances = Instances(Still())  # type: ignore[arg-type]
    left, right = _square(0, 0, 20, 0.9), _square(40, 0, 20, 0.6)
    first = _step(instances, 0, [left, right], was_prompted=True)
    assert len(instances) == 2
    assert first is not None
    assert first.score == 0.9
    assert (first.logits > 0).sum() == 2 * 20 * 20
    # found again a little aside; new ones must be surer than those that were asked for
    again = _step(instances, 1, [_square(2, 0, 20, 0.8), _square(0, 40, 20, 0.65)])
    assert len(instances) == 2
    assert again is not None
    assert again.score == 0.8
    grown = _step(instances, 2, [_square(0, 40, 20, 0.75)])
    assert len(instances) == 3
    assert grown is not None
    assert (grown.logits > 0).sum() == 3 * 20 * 20


def test_instance_on_trial_needs_to_be_found_again() -> None:
    instances = Instances(Still())  # type: ignore[arg-type]
    _step(instances, 0, [_square(0, 0, 20, 0.9)], was_prompted=True)
    _step(instances, 1, [_square(40, 40, 20, 0.9)])
    sizes = []
    for frame in range(2, 12):
        _step(instances, frame, [])
        sizes.append(len(instances))
    # the one that was there when the text was given is not on trial
    assert sizes == [2] * (DOUBTS - 1) + [1] * (11 - DOUBTS)


def test_instance_that_left_is_given_up_and_found_anew() -> None:
    instances = Instances(Leaving())  # type: ignore[arg-type]
    _step(instances, 0, [_square(0, 0, 20, 0.9)], was_prompted=True)
    for frame in range(1, PATIENCE + 1):
        assert _step(instances, frame, []) is None
    assert len(instances) == 1
    assert _step(instances, PATIENCE + 1, []) is None
    assert len(instances) == 0
    assert _step(instances, PATIENCE + 2, [_square(30, 0, 20, 0.9)]) is not None


def test_search_that_agrees_renews_the_memory() -> None:
    instances = Instances(Still())  # type: ignore[arg-type]
    _step(instances, 0, [_square(0, 0, 20, 0.9)], was_prompted=True)
    areas = []
    for frame in range(1, 18):
        found = _step(instances, frame, [_square(0, 0, 21, 0.85)])
        assert found is not None
        areas.append(int((found.logits > 0).sum()))
    assert areas == [400] * 15 + [441] + [400]


def test_frames_are_read_when_they_are_needed(tracker: Sam3Tracker) -> None:
    pictures, runs = Pictures(), []
    hook = tracker._network.neck.trunk.register_forward_hook(lambda *_: runs.append(1))
    try:
        asked = [TrackPrompt(1, 1, CLICK), TrackPrompt(1, 2, TEXT)]
        steps = tracker.track(pictures, asked, Task())
        assert pictures.read == []
        assert next(steps).found == {}
        assert pictures.read == []
        assert next(steps).frame == 1
        assert pictures.read == [1]
        assert len(runs) == 1
        assert not torch.is_inference_mode_enabled()
        steps.close()
    finally:
        hook.remove()
    assert pictures.read == [1]


def test_lost_objects_are_left_out_and_found_again(
    tracker: Sam3Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    recall = Follower.recall

    def lost(*options: Any) -> Sight:
        return replace(recall(*options), presence=torch.full((1, 1), -1.0))

    monkeypatch.setattr(Follower, "recall", lost)
    nothing = Prompts((PointPrompt(20, 150, False),))
    asked = [TrackPrompt(0, 1, CLICK), TrackPrompt(2, 1, nothing), TrackPrompt(3, 1, CLICK)]
    found = list(tracker.track(Pictures(), asked, Task()))
    assert [list(one.found) for one in found] == [[1], [], [], [1]]
    (afresh,) = tracker.track(Pictures(), asked[2:], Task(), start=3)
    assert np.array_equal(found[3].found[1].logits, afresh.found[1].logits)


def test_progress_is_told_by_frames_and_cancel_is_noticed(tracker: Sam3Tracker) -> None:
    seen: list[Progress] = []
    task = Task(seen.append)
    steps = tracker.track(Pictures(), [TrackPrompt(0, 1, CLICK)], task, start=0, count=3)
    next(steps)
    next(steps)
    assert seen == [Progress(0, "Frame 1 of 3"), Progress(1 / 3, "Frame 2 of 3")]
    task.cancel()
    with pytest.raises(Cancelled):
        next(steps)

    class Late(Pictures):
        def __getitem__(self, index: int) -> NDArray[np.uint8]:
            late.cancel()
            return super().__getitem__(index)

    late = Task()
    with pytest.raises(Cancelled):
        next(tracker.track(Late(), [TrackPrompt(0, 1, CLICK)], late))
    assert not [hook for part in tracker._network.modules() for hook in part._forward_pre_hooks]


def test_rough_numbers_give_about_the_same(tracker: Sam3Tracker) -> None:
    flash = torch.backends.cuda.flash_sdp_enabled()
    asked = [TrackPrompt(0, 1, BOX)]
    exact = list(tracker.track(Pictures(), asked, Task(), count=2))
    before, tracker._dtype = tracker._dtype, torch.bfloat16
    torch.backends.cuda.enable_flash_sdp(False)
    try:
        rough = list(tracker.track(Pictures(), asked, Task(), count=2))
        assert not torch.backends.cuda.flash_sdp_enabled()
    finally:
        torch.backends.cuda.enable_flash_sdp(flash)
        tracker._dtype = before
    for one, two in zip(exact, rough, strict=True):
        ours, theirs = one.found[1].logits, two.found[1].logits
        assert theirs.dtype == np.float32
        assert 0 < np.abs(ours - theirs).max() < 0.5
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(
    ("asked", "span", "message"),
    [
        ([], {}, "nothing to follow"),
        ([TrackPrompt(4, 1, CLICK)], {}, "frame 4 is on none of the frames 0 to 3"),
        ([TrackPrompt(0, 1, CLICK)], {"start": 1, "count": 2}, "frame 0 is on none of the frames 1 to 2"),
        ([TrackPrompt(0, 1, CLICK)], {"start": 4}, "no frames from 4 on"),
        ([TrackPrompt(0, 1, Prompts((PointPrompt(1, 1, False),)))], {}, "says where object 1 is"),
        ([TrackPrompt(0, 1, Prompts(text="  "))], {}, "says where object 1 is"),
        ([TrackPrompt(0, 1, Prompts(boxes=BOX.boxes * 2))], {}, "2 boxes around object 1"),
        ([TrackPrompt(0, 1, BOX), TrackPrompt(1, 1, TEXT)], {}, "by text on one frame and pointed out"),
        ([TrackPrompt(0, 1, Prompts(text="cell " * 50))], {}, "too long for SAM 3"),
    ],
)
def test_what_cannot_be_used_is_told_at_once(
    tracker: Sam3Tracker, asked: list[TrackPrompt], span: dict[str, int], message: str
) -> None:
    pictures = Pictures()
    with pytest.raises(SamdeskError, match=message):
        tracker.track(pictures, asked, Task(), **span)
    assert pictures.read == []


def test_prompt_beside_the_picture_is_told(tracker: Sam3Tracker) -> None:
    beside = Prompts((PointPrompt(400, 80),), (BoxPrompt(Bounds(310, 0, 350, 50)),))
    with pytest.raises(SamdeskError, match="Nothing on frame 0 says where object 1 is"):
        next(tracker.track(Pictures(), [TrackPrompt(0, 1, beside)], Task()))


def test_weights_for_videos_are_needed(state: dict[str, Any]) -> None:
    images = {k: v for k, v in state.items() if k.startswith(("detector.", *INTERACTIVE))}
    with pytest.raises(SamdeskError, match=r"mine\.pt .*missing \(tracker\."):
        fill(build_model(SMALL, follows=True), images, Path("mine.pt"), torch.device("cpu"))


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    from tests.engines.seeded import seeded_state

    shapes = {
        "image_encoder.trunk.patch_embed.proj.weight": (96, 3, 7, 7),
        "sam_prompt_encoder.no_mask_embed.weight": (1, 8),
        "sam_mask_decoder.iou_token.weight": (1, 8),
    }
    other = save_pt(tmp_path / "other.pt", seeded_state(shapes))
    with pytest.raises(SamdeskError, match=r"other\.pt holds weights of SAM 2 .*, not of SAM 3"):
        Sam3Tracker(other, device="cpu", config=SMALL)


def _step(
    instances: Instances, frame: int, detected: Sequence[MaskLogits], was_prompted: bool = False
) -> MaskLogits | None:
    view = View(frame, 100, [torch.zeros(1)], [])
    return instances.step(view, detected, was_prompted, Task())


def _square(x: float, y: float, side: int, score: float) -> MaskLogits:
    logits = np.full((SIDE, SIDE), -10, np.float32)
    logits[int(y) : int(y) + side, int(x) : int(x) + side] = 10
    return MaskLogits(logits, float(score))


def _sight(logits: Any) -> Sight:
    return Sight(logits, 1.0, torch.zeros(1, 8), torch.ones(1, 1), 1.0)
