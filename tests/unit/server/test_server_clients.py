"""The clients of other services: bodies as they send them, answers read as they read them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import plyfile
import pytest
import trimesh
from numpy.typing import NDArray
from PIL import Image as Pillow

from samdesk import paths
from samdesk.app.settings import Settings
from samdesk.recon.client import Worker
from samdesk.recon.engines import WorkerSpec
from samdesk.recon.turntable import turntable
from samdesk.server.jobs3d import jobs3d
from tests.fakes import BrightEngine, FakeEngine
from tests.recon_rig import ENGINE, add_stand_in
from tests.server_rig import Rig, base64_text, disc, png

TESTS = Path(__file__).parents[2]
SIZE = (256, 192)
CENTER, RADIUS = (100.0, 90.0), 40.0
PICTURE = disc(SIZE, CENTER, RADIUS)
SENT = base64_text(png(PICTURE))
INSIDE = PICTURE[..., 0] > 128
MASK = base64_text(png(INSIDE.astype(np.uint8) * np.uint8(255)))


def new_worker(spec: WorkerSpec, log: Path) -> Worker:
    return Worker(replace(spec, path=(str(TESTS),)), log, cancel_grace_s=0.3, term_grace_s=0.3)


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMDESK_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setattr("samdesk.server.jobs3d.jobs.new_worker", new_worker)
        patch.setattr("samdesk.recon.turntable.turntable", partial(turntable, side=48, frames=3))
        add_stand_in(patch)
        yield


@pytest.fixture(scope="module")
def served(_home: None, rig: Rig) -> Iterator[Rig]:
    """The server, whose model without weights answers whatever is bright."""
    rig.use(BrightEngine())
    yield rig
    jobs3d(rig.service).stop()


@pytest.fixture(autouse=True)
def _told(_home: None) -> None:
    tell()


def tell(**told: Any) -> None:
    """What the engine of this test, the best that is set up, is to do from now on."""
    settings = Settings(paths.config_dir() / "settings.json")
    settings["recon"] = {ENGINE: {"steps": 2, "step_s": 0, **told}}


def pixels(text: str) -> NDArray[np.uint8]:
    """A picture in base64 as Pillow reads it."""
    with Pillow.open(io.BytesIO(base64.b64decode(text, validate=True))) as picture:
        return np.asarray(picture)


def photograph() -> str:
    """The picture as a phone saves it: turned by a quarter, and a tag that says so."""
    file = io.BytesIO()
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.fromarray(np.rot90(PICTURE)).save(file, "JPEG", exif=exif)
    return base64_text(file.getvalue())


# Sam3D Mobile


def test_segment(served: Rig) -> None:
    answer = served.client.post("/segment", json={"image": SENT, "x": 100.0, "y": 90.5})
    assert answer.status_code == 200
    told = answer.json()
    assert told["success"] is True
    assert told["input_point"] == [100.0, 90.5]
    assert told["image_shape"] == [192, 256]
    best = max(told["masks"], key=lambda one: one["score"])
    assert best["mask_shape"] == [192, 256]
    mask = pixels(best["mask"])
    assert mask.shape == (192, 256)
    assert (mask == INSIDE * np.uint8(255)).all()


def test_segment_inverted_and_one_only(served: Rig) -> None:
    served.use(FakeEngine())
    body = {"image": SENT, "x": 60.0, "y": 60.0, "mask_threshold": 0.5}
    several = served.client.post("/segment", json=body).json()["masks"]
    assert [one["score"] for one in several] == pytest.approx([0.9, 0.8, 0.7])
    (one,) = served.client.post("/segment", json={**body, "multimask_output": False}).json()["masks"]
    (other,) = served.client.post(
        "/segment", json={**body, "multimask_output": False, "invert_mask": True}
    ).json()["masks"]
    served.use(BrightEngine())
    assert (pixels(one["mask"]) == 255 - pixels(other["mask"])).all()


def test_a_photograph_is_seen_upright(served: Rig) -> None:
    told = served.client.post("/segment", json={"image": photograph(), "x": 100, "y": 90}).json()
    assert told["image_shape"] == [192, 256]
    mask = pixels(told["masks"][0]["mask"]) > 0
    assert (mask != INSIDE).mean() < 0.002


def test_segment_binary(served: Rig) -> None:
    body = {"image": SENT, "points": [{"x": 100.0, "y": 90.0}]}
    told = served.client.post("/segment-binary", json=body).json()
    assert told["success"] is True
    assert told["score"] == pytest.approx(1.0)
    cut = pixels(told["mask"])
    assert (cut[INSIDE] == PICTURE[INSIDE]).all()
    assert not cut[~INSIDE].any()


def test_segment_binary_joins_points_and_what_was_before(served: Rig) -> None:
    served.use(FakeEngine())
    black = base64_text(png(np.zeros((192, 256, 3), np.uint8)))
    points = [{"x": 50, "y": 50}, {"x": 200, "y": 50, "label": 1.0}]
    body: dict[str, Any] = {"image": black, "points": points, "previous_mask": None, "mask_threshold": 0.0}
    first = served.client.post("/segment-binary", json=body).json()["mask"]
    ys, xs = np.mgrid[:192, :256] + 0.5
    discs = [np.hypot(xs - x, ys - 50) < 20 for x in (50, 200)]
    assert ((pixels(first) > 0).any(axis=2) == discs[0] | discs[1]).mean() > 0.999
    # the picture that came back is the mask from before, also where the object is black
    body |= {"points": [{"x": 128, "y": 150}], "previous_mask": first}
    second = pixels(served.client.post("/segment-binary", json=body).json()["mask"]) > 0
    served.use(BrightEngine())
    assert second[pixels(first) > 0].all()
    assert second[150, 128].all()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/segment", {"image": SENT, "x": 500, "y": 5}),
        ("/segment", {"image": SENT, "x": "NaN", "y": 5}),
        ("/segment", {"image": "https://example.org/a.png", "x": 5, "y": 5}),
        ("/segment-binary", {"image": SENT, "points": []}),
        ("/segment-binary", {"image": SENT, "points": [{"x": 5}]}),
        ("/segment-binary", {"image": SENT, "points": [{"x": 5, "y": 5}], "previous_mask": "rubbish"}),
        (
            "/segment-binary",
            {"image": SENT, "points": [{"x": 5, "y": 5}], "previous_mask": base64_text(png(PICTURE[:9]))},
        ),
        ("/generate-3d", {"image": SENT, "mask": base64_text(png(PICTURE[:, :9]))}),
        ("/generate-3d", {"image": SENT, "mask": base64_text(png(np.zeros((192, 256), np.uint8)))}),
        ("/generate-3d", {"image": "rubbish", "mask": MASK}),
        ("/generate-3d", {"image": SENT}),
    ],
)
def test_the_app_is_told_what_is_wrong(served: Rig, path: str, body: dict[str, Any]) -> None:
    answer = served.client.post(path, json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]


def test_generate_3d(served: Rig) -> None:
    answer = served.client.post("/generate-3d", json={"image": SENT, "mask": MASK, "seed": -1})
    assert answer.status_code == 200
    task = answer.json()
    assert (task["success"], task["status"]) == (True, "queued")
    seen = []

    def completed() -> bool:
        seen.append(served.client.get(f"/generate-3d-status/{task['task_id']}").json())
        return bool(seen[-1]["status"] == "completed")

    served.wait(completed)
    assert {one["status"] for one in seen} <= {"queued", "processing", "completed"}
    told = seen[-1]
    assert (told["task_id"], told["progress"]) == (task["task_id"], 100)
    assert "Stand-in" in told["engine"]
    ply = base64.b64decode(told["ply_b64"])
    assert len(ply) == told["ply_size_bytes"] == told["output_size_bytes"]
    assert (told["output_type"], told["output_b64"]) == ("ply", told["ply_b64"])
    assert len(plyfile.PlyData.read(io.BytesIO(ply))["vertex"]) == 4
    mesh = base64.b64decode(told["mesh_b64"])
    assert (told["mesh_format"], told["mesh_size_bytes"]) == ("glb", len(mesh))
    assert len(trimesh.load(io.BytesIO(mesh), file_type="glb", force="mesh").faces) == 4
    gif = base64.b64decode(told["gif_b64"])
    assert (gif[:3], told["gif_size_bytes"]) == (b"GIF", len(gif))
    for kind, file in (("ply", ply), ("mesh", mesh), ("gif", gif)):
        assert served.client.get(told[f"{kind}_url"]).content == file

    listed = served.client.get("/assets-list").json()
    assert listed["total_files"] == len(listed["files"]) >= 3
    assert listed["total_size_bytes"] == sum(one["size_bytes"] for one in listed["files"])
    newest = listed["files"][0]
    assert newest["url"] == f"/assets/{newest['name']}"
    assert newest["created_at"][:4].isdigit()
    assert len(served.client.get(newest["url"]).content) == newest["size_bytes"]


def test_generate_3d_of_the_cut_out_picture(served: Rig) -> None:
    body = {"image": SENT, "points": [{"x": 100.0, "y": 90.0}]}
    cut = served.client.post("/segment-binary", json=body).json()["mask"]
    task = served.client.post("/generate-3d", json={"image": SENT, "mask": cut}).json()["task_id"]
    status = f"/generate-3d-status/{task}"
    served.wait(lambda: served.client.get(status).json()["status"] == "completed")
    mask = pixels(base64_text(served.client.get(f"/api/v1/assets/{task}/mask.png").content))
    assert np.count_nonzero(mask) == np.count_nonzero(INSIDE)


def test_generate_3d_that_fails_or_is_cancelled(served: Rig) -> None:
    tell(do="fill_card")
    task = served.client.post("/generate-3d", json={"image": SENT, "mask": MASK}).json()["task_id"]
    served.wait(lambda: served.client.get(f"/generate-3d-status/{task}").json()["status"] == "failed")
    told = served.client.get(f"/generate-3d-status/{task}").json()
    assert told["error"] == "The graphics card ran out of memory."
    tell(do="be_slow")
    task = served.client.post("/generate-3d", json={"image": SENT, "mask": MASK}).json()["task_id"]
    served.client.delete(f"/api/v1/reconstructions/{task}")
    told = served.client.get(f"/generate-3d-status/{task}").json()
    assert (told["status"], told["error"]) == ("failed", "It was cancelled.")
    assert served.client.get("/generate-3d-status/nothing").status_code == 404


# perceptra-seg


def segment(rig: Rig, path: str, model: str | None = None, **body: Any) -> httpx.Response:
    """As `SegmentorClient` asks."""
    body = {"image": SENT, "output_formats": ["rle", "polygons", "png"], **body}
    return rig.client.post(f"/v1{path}", params={"model": model} if model else None, json=body)


def decoded(told: dict[str, Any]) -> NDArray[np.bool_]:
    """The mask of an object, which is the same in both formats that have pixels."""
    drawn = pixels(told["png_base64"]) > 0
    height, width = told["rle"]["size"]
    counts = told["rle"]["counts"]
    runs = np.repeat(np.arange(len(counts)) % 2 == 1, counts)  # COCO's: column by column, background first
    assert (drawn == runs.reshape(width, height).T).all()
    return drawn


def test_a_box(served: Rig) -> None:
    told = segment(served, "/segment/box", box=[50, 40, 150, 140]).json()
    assert (decoded(told) == INSIDE).all()
    assert told["area"] == INSIDE.sum()
    assert told["bbox"] == [60, 50, 139, 129]
    assert told["score"] == pytest.approx(1.0)
    assert told["model_info"]["name"] == "classical"
    assert told["latency_ms"] > 0
    assert len(told["request_id"]) == 36
    (ring,) = told["polygons"]
    xs, ys = np.array(ring).T
    area = abs(np.dot(xs, np.roll(ys, 1)) - np.dot(ys, np.roll(xs, 1))) / 2
    assert area == pytest.approx(np.pi * RADIUS**2, rel=0.01)


def test_only_what_is_asked_for(served: Rig) -> None:
    told = served.client.post(
        "/v1/segment/points",
        json={"image": f"data:image/png;base64,{SENT}", "points": [{"x": 100, "y": 90, "label": 1}]},
    ).json()
    assert "rle" in told
    assert not {"png_base64", "polygons"} & told.keys()
    assert segment(served, "/segment/box", box=[5, 5, 9, 9], output_formats=["numpy"]).status_code == 200


def test_points_are_pixels(served: Rig) -> None:
    served.use(FakeEngine())
    mask = decoded(segment(served, "/segment/points", points=[{"x": 60, "y": 70, "label": 1}]).json())
    beside = [{"x": 60, "y": 70, "label": 1}, {"x": 90, "y": 70, "label": 0}]
    less = decoded(segment(served, "/segment/points", points=beside).json())
    served.use(BrightEngine())
    rows, columns = np.nonzero(mask)
    assert (columns.mean(), rows.mean()) == pytest.approx((60, 70), abs=0.1)
    assert mask[70, 75]
    assert not less[70, 75]


def test_several_boxes(served: Rig) -> None:
    served.use(FakeEngine())
    boxes = [[20, 20, 40, 40], [60, 20, 120, 80], [150, 100, 170, 120]]
    body: dict[str, Any] = {"boxes": boxes, "points": [{"x": 200, "y": 40, "label": 1}]}
    every = segment(served, "/segment", strategy="all", **body).json()
    (largest,) = segment(served, "/segment", **body).json()
    (merged,) = segment(served, "/segment", strategy="merge", output_formats=["rle", "png"], **body).json()
    served.use(BrightEngine())
    assert len(every) == 4
    assert largest["area"] == max(one["area"] for one in every) == every[1]["area"]
    assert (decoded(merged) == np.any([decoded(one) for one in every], axis=0)).all()
    assert len({one["request_id"] for one in every}) == 4


def test_nothing_found(served: Rig) -> None:
    dark = base64_text(png(np.zeros((192, 256, 3), np.uint8)))
    told = segment(served, "/segment/box", image=dark, box=[5, 5, 50, 50]).json()
    assert (told["area"], told["bbox"], told["polygons"]) == (0, None, [])
    assert not decoded(told).any()
    assert len(segment(served, "/segment", image=dark, boxes=[[5, 5, 50, 50]]).json()) == 1


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/segment/box", {"box": [300, 10, 400, 90]}, 422),
        ("/segment/box", {"box": [50, 50, 50, 90]}, 422),
        ("/segment/box", {"box": [50, 50, 90]}, 422),
        ("/segment/box", {"box": [1, 1, 5, 5], "image": "not-base64!!"}, 422),
        ("/segment/box", {"box": [1, 1, 5, 5], "image": "http://127.0.0.1:1/a.png"}, 422),
        ("/segment/points", {"points": []}, 422),
        ("/segment/points", {"points": [{"x": 5, "y": 5, "label": 0}]}, 422),
        ("/segment/points", {"points": [{"x": 5, "y": 5, "label": 2}]}, 422),
        ("/segment/points", {"points": [{"x": -9, "y": 5, "label": 1}]}, 422),
        ("/segment", {}, 422),
        ("/segment", {"boxes": [[1, 1, 5, 5]], "strategy": "first"}, 422),
        ("/segment/box", {"box": [1, 1, 5, 5], "model": "sam_v9"}, 404),
        ("/segment/box", {"box": [1, 1, 5, 5], "model": "sam_v2"}, 503),
    ],
)
def test_the_client_is_told_what_is_wrong(served: Rig, path: str, body: dict[str, Any], status: int) -> None:
    answer = segment(served, path, **body)
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_healthz(served: Rig) -> None:
    told = served.client.get("/v1/healthz").json()
    assert (told["status"], told["model_loaded"], told["model_name"]) == ("ok", True, "classical")
    assert {"device", "precision", "gpu_memory_used_mb", "primary_model", "models", "build"} <= told.keys()
    assert "sam3" not in served.service._segmenters  # nothing was loaded to say so


# sam3-sam3d-pipeline

WIDE = png(np.full((1024, 1024, 3), 90, np.uint8))


def generate(rig: Rig, file: bytes | None = WIDE, **form: Any) -> httpx.Response:
    name = "image" if file is not None else "other"
    files = {name: ("photo.jpg", file or WIDE, "image/jpeg")}
    return rig.client.post("/api/generate_3d", data={"text_prompt": "horse", **form}, files=files)


def test_text_without_the_model(served: Rig) -> None:
    point = {"image": SENT, "x": 100, "y": 90}
    for answer in (generate(served), served.client.post("/segment-sam3d", json=point)):
        assert answer.status_code == 503
        assert "not on this computer" in answer.json()["detail"]


@pytest.fixture
def with_text(served: Rig, tmp_path: Path) -> Iterator[Rig]:
    """SAM 3 is here, and finds a disc in each corner."""
    name = "SAM 3 of this test"
    file = tmp_path / "sam3.pt"
    file.write_bytes(b"weights")
    url = "https://example.org/sam3.pt"
    weight = served.on_main(lambda: served.registry.add(name, type="sam3", url=url, reference=file))
    served.use(FakeEngine(), name)
    yield served
    served.forget()
    served.on_main(lambda: served.registry.remove(weight))


def test_the_app_asks_sam_3(with_text: Rig) -> None:
    told = with_text.client.post("/segment-sam3d", json={"image": SENT, "x": 100, "y": 90}).json()
    assert (told["model"], len(told["masks"])) == ("sam3", 3)
    points = [{"x": 100, "y": 90}]
    told = with_text.client.post("/segment-binary-sam3d", json={"image": SENT, "points": points}).json()
    assert (told["model"], told["success"]) == ("sam3", True)


def test_one_object_of_a_text(with_text: Rig) -> None:
    told = generate(with_text, seed=7, max_objects=1).json()
    assert (told["success"], told["num_objects"]) == (True, 1)
    assert told["elapsed_time"] > 0
    assert told["glb_url"].startswith(f"/objects/{told['job_id']}/")
    answer = with_text.client.get(told["glb_url"])
    assert answer.headers["content-type"] == "model/gltf-binary"
    assert len(trimesh.load(io.BytesIO(answer.content), file_type="glb", force="mesh").faces) == 4
    for kind in ("obj_url", "ply_url", "mask_url", "preview_url"):
        assert with_text.client.get(told[kind]).status_code == 200
    (one,) = told["objects"]
    assert (one["index"], one["ply_url"]) == (0, told["ply_url"])


def test_all_objects_of_a_text_in_one_scene(with_text: Rig) -> None:
    told = generate(with_text).json()
    assert told["num_objects"] == len(told["objects"]) == 3
    assert "3 of 3" in told["message"]
    splats = plyfile.PlyData.read(io.BytesIO(with_text.client.get(told["ply_url"]).content))
    assert len(splats["vertex"]) == 3 * 4
    assert told["obj_url"] is None
    for kind in ("glb_url", "mask_url", "preview_url"):
        assert with_text.client.get(told[kind]).status_code == 200
    for number, one in enumerate(told["objects"]):
        assert one["index"] == number
        for kind in ("glb_url", "obj_url", "ply_url", "mask_url"):
            assert with_text.client.get(one[kind]).status_code == 200


def test_who_leaves_makes_nothing(with_text: Rig) -> None:
    tell(do="be_slow")
    jobs = jobs3d(with_text.service)
    before = {one.id for one in jobs.all()}
    with with_text.another(timeout=1.0) as impatient, pytest.raises(httpx.ReadTimeout):
        impatient.post("/api/generate_3d", data={"text_prompt": "horse"}, files={"image": ("a.png", WIDE)})
    (job,) = (one for one in jobs.all() if one.id not in before)
    with_text.wait(lambda: (now := jobs.get(job.id)) is not None and now.state == "cancelled")


def test_an_engine_that_fails(with_text: Rig) -> None:
    tell(do="fail")
    answer = generate(with_text)
    assert answer.status_code == 503
    assert "the sky fell" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("file", "form"),
    [
        (None, {}),
        (b"no picture", {}),
        (WIDE, {"text_prompt": " "}),
        (WIDE, {"text_prompt": "horse" * 200}),
        (WIDE, {"seed": "many"}),
        (WIDE, {"max_objects": "9" * 30}),
    ],
)
def test_a_form_that_cannot_be_used(with_text: Rig, file: bytes | None, form: dict[str, Any]) -> None:
    answer = generate(with_text, file, **form)
    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_nothing_of_that_name(with_text: Rig) -> None:
    class Blind(FakeEngine):
        def find(self, *args: Any, **more: Any) -> list[Any]:
            return []

    with_text.use(Blind(), "SAM 3 of this test")
    answer = generate(with_text)
    assert (answer.status_code, "horse" in answer.json()["detail"]) == (422, True)


# what no name leads to


@pytest.mark.parametrize(
    "path",
    [
        "/assets/..%2F..%2Fsettings.json", "/assets/../settings.json", "/assets/%2Fetc%2Fpasswd", "/assets/x",
        "/assets/{id}_job.json", "/assets/{id}_..%2Fjob.json", "/assets/{id}", "/assets/_", "/assets/",
        "/objects/{id}/job.json", "/objects/{id}/..%2Fjob.json", "/objects/{id}/../job.json",
        "/objects/..%2F{id}/mesh.glb", "/objects/{id}/..%2F{id}%2Fmesh.glb", "/objects/{id}/%2Fetc%2Fpasswd",
        "/objects/{id}", "/objects/{id}/", "/objects/x/..",
    ],
)  # fmt: skip
def test_no_name_leads_elsewhere(served: Rig, path: str) -> None:
    id = next(one.id for one in jobs3d(served.service).all() if one.state == "done")
    asked = f"GET {path.format(id=id)} HTTP/1.1\r\nHost: localhost:{served.port}\r\nConnection: close\r\n\r\n"
    status, _, body = served.raw(asked.encode())
    assert status == 404
    assert b"error" in body
