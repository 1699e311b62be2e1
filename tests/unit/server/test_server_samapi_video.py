"""/sam/upload/, /sam/video/ and /sam/sam3video/: frames that stay in their folder, objects through them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from shapely.geometry import shape as geometry_of

from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import Frames, MaskLogits, TrackedFrame, TrackPrompt
from samdesk.sdk.tracking import pictures
from samdesk.server.samapi import video
from samdesk.server.samapi.bodies import FollowedBody, FollowedConceptBody
from samdesk.server.samapi.followed import Followed, named, placed
from samdesk.server.uploads import Uploads
from tests.server_rig import Rig, base64_text, disc, png

SIZE = (128, 96)
RADIUS = 14.0
CLASSICAL = "samdesk:classical"


def center(frame: int) -> tuple[float, float]:
    return 40.0 + 4 * frame, 48.0


def frame_of(number: int) -> bytes:
    """A disc that moves on by 4 px from frame to frame, as the extension sends it."""
    done, data = cv2.imencode(
        ".jpg", disc(SIZE, center(number), RADIUS)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95]
    )
    assert done
    return data.tobytes()


@pytest.fixture(scope="module")
def home(rig: Rig) -> Path:
    """Below which the server keeps frames."""
    return rig.folder / "home"


def upload(rig: Rig, name: str, data: bytes, dirname: str = "frames", slash: str = "/") -> httpx.Response:
    file = {"file": (name, data, "image/jpeg")}
    return rig.client.post(f"/sam/upload{slash}", data={"dirname": dirname}, files=file)


@pytest.fixture(scope="module")
def frames(rig: Rig) -> str:
    """Five frames of a moving disc, sent at once; the name under which they were uploaded."""

    def send(number: int) -> httpx.Response:
        return upload(rig, f"{number}.jpg", frame_of(number), slash="" if number else "/")

    with ThreadPoolExecutor(5) as pool:
        for number, answer in enumerate(pool.map(send, range(5))):
            assert (answer.status_code, answer.json()) == (200, {"filename": f"{number}.jpg"})
    return "frames"


class FakeTracker:
    """Answers for every object with the boxes it was asked with, on each frame a pixel less of them."""

    name, title, identity, device, nbytes = "fake", "Fake (boxes)", "fake", "cpu", 0

    def __init__(self) -> None:
        self.asked: list[TrackPrompt] = []
        self.seen: list[int] = []
        self.began = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def track(
        self,
        frames: Frames,
        asked: Sequence[TrackPrompt],
        task: Task,
        *,
        start: int = 0,
        count: int | None = None,
    ) -> Iterator[TrackedFrame]:
        self.asked = list(asked)
        end = len(frames) if count is None else min(len(frames), start + count)
        return self._frames(frames, range(start, end), task)

    def _frames(self, frames: Frames, span: range, task: Task) -> Iterator[TrackedFrame]:
        for frame in span:
            self.began.set()
            assert self.go_on.wait(20)
            task.progress((frame - span.start) / len(span))
            self.seen.append(frame)
            height, width = frames[frame].shape[:2]
            found: dict[int, MaskLogits] = {}
            for one in self.asked:
                nothing = MaskLogits(np.full((height, width), -1.0, np.float32), 0.75)
                answer = found.setdefault(one.object_id, nothing)
                for box, positive in one.prompts.boxes:
                    if positive:
                        x0, y0, x1, y1 = (int(value) for value in box)
                        answer.logits[y0 + frame : y1, x0:x1] = 1.0
            yield TrackedFrame(frame, found)


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> FakeTracker:
    """Whatever model is asked for: this one follows."""
    fake = FakeTracker()
    monkeypatch.setattr(video, "load_tracker", lambda *named, **more: fake)
    return fake


@pytest.fixture
def sam3(rig: Rig, tmp_path: Path) -> Iterator[str]:
    """The url of a weight for SAM 3 that is here."""
    path = tmp_path / "sam3.pt"
    path.write_bytes(b"weights")
    weight = rig.on_main(lambda: rig.registry.add("Three", type="sam3", reference=path))
    yield "samdesk:Three"
    rig.on_main(lambda: rig.registry.remove(weight))


def follow(rig: Rig, path: str = "video/", **body: Any) -> httpx.Response:
    sent = {"type": "sam2_t", "dirname": "frames", "axes": "XYT", "plane_position": 3, "start_frame_idx": 0}
    return rig.client.post(f"/sam/{path}", json=sent | {"checkpointUrl": CLASSICAL} | body)


def features(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return answer.json()


# uploads


@pytest.mark.parametrize(
    ("dirname", "name"),
    [("..", "0.jpg"), ("../frames", "0.jpg"), ("/tmp", "0.jpg"), ("", "0.jpg"), ("frames", "../../0.jpg")],
)
def test_nothing_is_written_elsewhere(rig: Rig, home: Path, dirname: str, name: str):
    before = sorted(home.rglob("*"))
    answer = upload(rig, name, frame_of(0), dirname)
    assert answer.status_code == 422
    assert sorted(home.rglob("*")) == before


def test_what_is_no_frame_is_refused(rig: Rig, home: Path):
    assert upload(rig, "0.jpg", b"no picture").status_code == 422
    assert upload(rig, "0.gif", frame_of(0)).status_code == 422
    form = "multipart/form-data; boundary=x"
    for content, kind in (
        (b"", form),
        (b"--x\r\n\r\nbad", form),
        (b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nb\r\n--x--\r\n', form),
        (b"{}", "application/json"),
        (b"", "multipart/form-data"),
    ):
        answer = rig.client.post("/sam/upload/", content=content, headers={"content-type": kind})
        assert answer.status_code == 422, (content, answer.text)
        assert "form" in answer.text or answer.json()["error"] == "A frame is missing."


def test_a_large_frame_makes_no_thread(rig: Rig):
    noise = np.random.default_rng(0).integers(0, 255, (900, 900, 3), np.uint8)
    data = png(noise)
    assert len(data) > 2_000_000
    assert upload(rig, "0.png", data, "large").status_code == 200
    assert not [one.name for one in threading.enumerate() if "AnyIO" in one.name]


# following


@pytest.mark.parametrize(("axes", "plane"), [("XYT", ("z", "t")), ("XYZ", ("t", "z"))])
def test_an_object_is_followed_through_uploaded_frames(
    rig: Rig, frames: str, axes: str, plane: tuple[str, str]
):
    x, y = center(0)
    objs = {"0": [{"obj_id": 7, "bbox": [int(x) - 18, int(y) - 18, int(x) + 18, int(y) + 18]}]}
    found = features(follow(rig, axes=axes, objs=objs))
    still, moving = plane
    assert [one["geometry"]["plane"] for one in found] == [{"c": -1, still: 3, moving: n} for n in range(5)]
    for number, one in enumerate(found):
        assert one["properties"]["object_idx"] == 7
        assert isinstance(one["properties"]["object_idx"], int)
        outline = geometry_of(one["geometry"])
        assert abs(outline.area / (np.pi * RADIUS**2) - 1) < 0.1
        x, y = center(number)
        assert np.hypot(outline.centroid.x - x, outline.centroid.y - y) < 0.6


def test_frames_may_come_with_the_request(rig: Rig, home: Path):
    sent = [base64_text(png(disc(SIZE, center(number), RADIUS))) for number in range(2)]
    x, y = center(0)
    objs = {"0": [{"obj_id": 1, "point_coords": [[int(x), int(y)]], "point_labels": [1]}]}
    found = features(follow(rig, dirname=None, b64imgs=sent, objs=objs, axes="XYZ", plane_position=None))
    assert [one["geometry"]["plane"]["z"] for one in found] == [0, 1]
    rig.rest()
    assert not list(home.rglob("*sent-*"))
    sent[0] = f"data:image/png;base64,{sent[0]}"
    assert len(features(follow(rig, dirname=None, b64imgs=sent, objs=objs))) == 2
    answer = follow(rig, dirname=None, b64imgs=[sent[0], "é"], objs=objs)
    assert (answer.status_code, answer.json()["error"]) == (422, "Frame 1 of b64imgs is no base64 text.")
    assert follow(rig, dirname=None, b64imgs=["aGVsbG8="], objs=objs).status_code == 422
    sent[1] = base64_text(png(disc((64, 64))))
    answer = follow(rig, dirname=None, b64imgs=sent, objs=objs)
    assert answer.status_code == 422
    assert "one size" in answer.json()["hint"]


def test_a_part_of_the_frames_can_be_asked_for(rig: Rig, frames: str, tracker: FakeTracker):
    objs = {"2": [{"obj_id": 0, "bbox": [10, 10, 60, 60]}]}
    for more, seen in (
        ({"start_frame_idx": 2, "max_frame_num_to_track": 1}, [2, 3]),
        ({"start_frame_idx": None, "max_frame_num_to_track": None}, [2, 3, 4]),
        ({"start_frame_idx": 1, "max_frame_num_to_track": 1}, [1, 2]),
    ):
        tracker.seen.clear()
        found = features(follow(rig, objs=objs, **more))
        assert tracker.seen == seen
        assert [one["geometry"]["plane"]["t"] for one in found] == seen
        assert found[0]["properties"]["quality"] == 0.75


@pytest.mark.parametrize("path", ["video/", "video", "sam3video/"])
@pytest.mark.parametrize("objs", [None, {}, {"0": []}])
def test_without_objects_there_is_nothing(rig: Rig, path: str, objs: object):
    assert features(follow(rig, path, objs=objs)) == []


def test_a_text_that_the_extension_does_not_send_is_told_in_the_window(rig: Rig):
    before = len(rig.failed)
    assert features(follow(rig, "sam3video/", type="sam3", objs={})) == []
    rig.wait(lambda: len(rig.failed) > before)
    assert "does not send the text" in str(rig.failed[-1].error)


@pytest.mark.parametrize("count", [1, 3])
def test_frames_of_a_client_that_leaves_while_they_are_kept_go(
    rig: Rig, home: Path, monkeypatch: pytest.MonkeyPatch, count: int
):
    began, go_on, add = threading.Event(), threading.Event(), Uploads.add

    def slow(*what: Any) -> None:
        began.set()
        assert go_on.wait(20)
        add(*what)

    monkeypatch.setattr(Uploads, "add", slow)
    body = {"b64imgs": [base64_text(frame_of(0))] * count, "objs": {"0": [{"bbox": [10, 10, 60, 60]}]}}
    with rig.another(timeout=0.3) as hasty, pytest.raises(httpx.ReadTimeout):
        hasty.post("/sam/video/", json=body | {"checkpointUrl": CLASSICAL})
    assert began.wait(10)
    rig.wait(lambda: not rig.service.waiting and rig.jobs.lane("io").idle)
    go_on.set()
    rig.rest()
    assert not list(home.rglob("*sent-*"))


@pytest.mark.parametrize("how", ["weights", "video"])
def test_old_frames_go_without_new_ones(rig: Rig, frames: str, home: Path, tracker: FakeTracker, how: str):
    assert upload(rig, "0.jpg", frame_of(0), "forgotten").status_code == 200
    (old,) = home.rglob("*-forgotten")
    then = time.time() - rig.service.options.limits.upload_age_s - 60
    os.utime(old, (then, then))
    if how == "weights":
        assert rig.client.get("/sam/weights/").status_code == 200
    else:
        features(follow(rig, objs={"0": [{"bbox": [10, 10, 60, 60]}]}))
    rig.rest()
    assert not old.exists()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"dirname": "none"}, 404),
        ({"dirname": "../.."}, 422),
        ({"dirname": None}, 422),
        ({"axes": "XYC"}, 422),
        ({"plane_position": -1}, 422),
        ({"objs": {"x": []}}, 422),
        ({"objs": {"-1": []}}, 422),
        ({"objs": {"9": [{"obj_id": 0, "bbox": [10, 10, 60, 60]}]}}, 422),
        ({"objs": [1]}, 422),
        ({"start_frame_idx": 99}, 422),
        ({"checkpointUrl": "https://example.org/none.pt"}, 404),
        ({"checkpointUrl": None}, 503),
        ({"type": "vit_x"}, 422),
    ],
)
def test_what_makes_no_sense_is_refused(rig: Rig, frames: str, body: dict[str, Any], status: int):
    objs = {"0": [{"obj_id": 0, "bbox": [10, 10, 60, 60]}]}
    answer = follow(rig, **({"objs": objs} | body))
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]


def test_a_client_that_leaves_ends_the_work(rig: Rig, frames: str, tracker: FakeTracker):
    tracker.go_on.clear()
    objs = {"0": [{"obj_id": 0, "bbox": [10, 10, 60, 60]}]}
    with rig.another(timeout=0.3) as hasty, pytest.raises(httpx.ReadTimeout):
        hasty.post("/sam/video/", json={"dirname": "frames", "objs": objs, "checkpointUrl": CLASSICAL})
    assert tracker.began.wait(10)
    rig.wait(lambda: not rig.service.waiting)
    tracker.go_on.set()
    rig.rest()
    assert tracker.seen in ([], [0])


def test_a_click_does_not_wait_for_all_frames(rig: Rig, frames: str, tracker: FakeTracker):
    tracker.go_on.clear()
    objs = {"0": [{"obj_id": 0, "bbox": [10, 10, 60, 60]}]}
    answers: list[httpx.Response] = []
    with rig.another() as other:
        thread = threading.Thread(
            target=lambda: answers.append(
                other.post(
                    "/sam/video/", json={"dirname": "frames", "objs": objs, "checkpointUrl": CLASSICAL}
                )
            )
        )
        thread.start()
        assert tracker.began.wait(10)
        (job,) = rig.jobs.visible
        assert job.title == "QuPath: following objects"
        lane = rig.jobs.lane("model")
        seen: list[int] = []
        click = lane.submit(lambda task: seen.append(len(tracker.seen)))
        tracker.go_on.set()
        rig.wait(lambda: click.finished)
        thread.join(20)
    assert seen == [1]
    assert len(features(answers[0])) == 5


def test_a_click_does_not_wait_for_all_headers(
    rig: Rig, frames: str, tracker: FakeTracker, monkeypatch: pytest.MonkeyPatch
):
    began, go_on, seen = threading.Event(), threading.Event(), []
    read_header = pictures.read_header

    def slow(data: bytes) -> object:
        seen.append(len(data))
        began.set()
        assert go_on.wait(20)
        return read_header(data)

    monkeypatch.setattr(pictures, "read_header", slow)
    objs = {"0": [{"obj_id": 0, "bbox": [10, 10, 60, 60]}]}
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(follow, rig, objs=objs)
        assert began.wait(10)
        click = rig.jobs.lane("model").submit(lambda task: len(seen))
        go_on.set()
        rig.wait(lambda: click.finished)
        assert len(features(answer.result(20))) == 5
    assert click.result == 1


# what is said about sam3


def test_text_and_boxes_reach_sam3(rig: Rig, frames: str, tracker: FakeTracker, sam3: str):
    objs = {
        "0": [{"obj_id": 4, "text": "cell", "boxes_xywh": [[10.5, 10, 30, 30]], "box_labels": [1], "x": 1}],
        "1": [{"obj_id": 5, "text": "cell", "boxes_xywh": [[60, 10, 30, 30]], "box_labels": [0]}],
    }
    found = features(follow(rig, "sam3video/", type="sam3", checkpointUrl=sam3, objs=objs))
    assert {one["properties"]["object_idx"] for one in found} == {4}
    assert tracker.asked[1].prompts.boxes == (BoxPrompt(Bounds(60, 10, 90, 40), False),)
    assert found[0]["properties"]["sam_model"] == "sam3"
    objs = {"0": [{"obj_id": 1, "text": None}]}  # neither text nor boxes
    assert features(follow(rig, "sam3video/", type="sam3", checkpointUrl=sam3, objs=objs)) == []
    features(follow(rig, "sam3video/", type="sam3", checkpointUrl=sam3, objs={}, text="cell"))
    assert tracker.asked == [TrackPrompt(0, 0, Prompts(text="cell"))]


def test_a_model_that_cannot_search_says_so(rig: Rig, frames: str):
    objs = {"0": [{"obj_id": 4, "text": "cell"}]}
    answer = follow(rig, "sam3video/", type="sam3", objs=objs)
    assert answer.status_code == 422
    assert "cannot follow what a text names" in answer.json()["error"]


def test_boxes_without_text_are_followed_by_any_model(rig: Rig, frames: str):
    x, y = center(0)
    objs = {
        "0": [{"obj_id": 2, "text": "visual", "boxes_xywh": [[x - 18, y - 18, 36, 36]], "box_labels": [1]}]
    }
    found = features(follow(rig, "sam3video/", type="sam3", objs=objs))
    assert [one["properties"]["object_idx"] for one in found] == [2] * 5


def sam2(objs: dict[int, list[dict[str, Any]]]) -> Followed:
    return placed(
        {frame: [FollowedBody.model_validate(one) for one in some] for frame, some in objs.items()}, SIZE
    )


def sam3_said(objs: dict[int, list[dict[str, Any]]], start: int = 0) -> Followed:
    return named(
        {frame: [FollowedConceptBody.model_validate(one) for one in some] for frame, some in objs.items()},
        SIZE,
        start,
    )


def test_annotations_of_one_class_are_objects_of_their_own():
    followed = sam2(
        {
            0: [{"obj_id": 9, "bbox": [0, 0, 10, 10]}, {"obj_id": 9, "bbox": [20, 20, 30, 30]}],
            3: [{"obj_id": 9, "point_coords": [[5, 5]], "point_labels": [0]}],
        }
    )
    assert [(one.frame, one.object_id) for one in followed.asked] == [(0, 0), (0, 1), (3, 0)]
    assert followed.names == {0: 9, 1: 9}
    assert followed.asked[2].prompts.points == (PointPrompt(5.5, 5.5, False),)


def test_background_points_are_for_all_others_of_their_frame():
    followed = sam2(
        {
            0: [
                {"obj_id": 5, "point_coords": [[1, 1], [2, 2]], "point_labels": [0, 0]},
                {"obj_id": 0, "bbox": [10, 10, 500, 50]},
                {"obj_id": 1, "point_coords": [[40, 40]], "point_labels": [1]},
                {"obj_id": 2, "bbox": [900, 900, 950, 950]},
            ],
            1: [{"obj_id": 5, "point_coords": [[1, 1]], "point_labels": [0]}],
        }
    )
    background = (PointPrompt(1.5, 1.5, False), PointPrompt(2.5, 2.5, False))
    assert [one.prompts for one in followed.asked] == [
        Prompts(background, (BoxPrompt(Bounds(10, 10, 128, 50)),)),
        Prompts((PointPrompt(40.5, 40.5), *background)),
    ]
    assert list(followed.names.values()) == [0, 1]


def test_a_text_is_asked_once_for_all_its_boxes_and_on_the_first_frame():
    followed = sam3_said(
        {
            2: [
                {"obj_id": 3, "text": "cell", "boxes_xywh": [[0, 0, 10, 10]], "box_labels": [0]},
                {"obj_id": 8, "text": " cell ", "boxes_xywh": [[20, 20, 10, 10]]},
            ]
        },
        start=1,
    )
    boxes = (BoxPrompt(Bounds(0, 0, 10, 10), False), BoxPrompt(Bounds(20, 20, 30, 30)))
    assert followed.asked == [
        TrackPrompt(1, 0, Prompts(text="cell")),
        TrackPrompt(2, 0, Prompts(text="cell", boxes=boxes)),
    ]
    assert followed.names == {0: 8}
    assert followed.many == {0}


@pytest.mark.parametrize("more", [{}, {"box_labels": [1]}, {"text": ""}, {"text": None, "box_labels": None}])
def test_what_is_missing_has_a_meaning(more: dict[str, Any]):
    followed = sam3_said({0: [{"obj_id": 3, "boxes_xywh": [[-5, 0, 10, 10]]} | more, {"obj_id": 4}]})
    assert followed.asked == [TrackPrompt(0, 0, Prompts(boxes=(BoxPrompt(Bounds(0, 0, 5, 10)),)))]
    assert followed.many == set()


def test_instances_of_a_text_are_objects_of_their_own(rig: Rig, frames: str, tracker: FakeTracker, sam3: str):
    boxes = [[5, 5, 20, 20], [60, 40, 20, 30]]
    objs = {"0": [{"obj_id": 4, "text": "cell", "boxes_xywh": boxes}]}
    answer = follow(
        rig, "sam3video/", checkpointUrl=sam3, objs=objs, start_frame_idx=0, max_frame_num_to_track=0
    )
    found = features(answer)
    assert [geometry_of(one["geometry"]).geom_type for one in found] == ["Polygon", "Polygon"]
    assert {one["properties"]["object_idx"] for one in found} == {4}
