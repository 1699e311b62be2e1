"""Reconstructions over the network: a real port, a real worker process, files as others read them."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import plyfile
import pytest
import trimesh
from PIL import Image as Pillow

from samdesk import paths
from samdesk.app.settings import Settings
from samdesk.domain.geometry import Shape
from samdesk.domain.tasks import Task
from samdesk.recon.client import Worker
from samdesk.recon.engines import WorkerSpec
from samdesk.recon.turntable import turntable
from samdesk.server import Limits, ServerOptions
from samdesk.server.errors import RequestError
from samdesk.server.jobs3d import Job3D, Jobs3D, jobs3d, order_of, prepare_job
from samdesk.server.native import reconstructions
from samdesk.server.results import coco_rle, coco_rle_uncompressed
from samdesk.server.results import png as mask_png
from tests.recon_rig import ENGINE, add_stand_in
from tests.server_rig import Rig, base64_text, disc, png, running

TESTS = Path(__file__).parents[2]
SIZE = (64, 48)
SQUARE = {"type": "Polygon", "coordinates": [[[16, 12], [48, 12], [48, 40], [16, 40], [16, 12]]]}
SHAPE = Shape.box(16, 12, 48, 40)
PICTURE = png(disc(SIZE, (32, 26), 12))
API = "/api/v1/reconstructions"


def new_worker(spec: WorkerSpec, log: Path) -> Worker:
    """As the program's, but it finds the stand-in, and no test waits long for its end."""
    return Worker(replace(spec, path=(str(TESTS),)), log, cancel_grace_s=0.3, term_grace_s=0.3)


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMDESK_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setattr("samdesk.server.jobs3d.jobs.new_worker", new_worker)
        add_stand_in(patch)
        yield


@pytest.fixture(scope="module")
def served(_home: None, rig: Rig) -> Iterator[Rig]:
    """The server; its worker is ended at the end."""
    yield rig
    jobs3d(rig.service).stop()


@pytest.fixture(autouse=True)
def _told(_home: None) -> None:
    tell()


@pytest.fixture
def jobs(served: Rig) -> Jobs3D:
    return jobs3d(served.service)


def tell(**told: Any) -> None:
    """What the stand-in is to do from now on."""
    settings = Settings(paths.config_dir() / "settings.json")
    settings["recon"] = {ENGINE: {"steps": 2, "step_s": 0, **told}}


def ask(rig: Rig, **more: Any) -> httpx.Response:
    body = {"data": base64_text(PICTURE), "mask": SQUARE, "engine": ENGINE, **more}
    return rig.client.post(API, json={name: value for name, value in body.items() if value is not None})


def start(rig: Rig, **more: Any) -> str:
    answer = ask(rig, **more)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"{API}/{answer.json()['id']}"
    return str(answer.json()["id"])


def events(rig: Rig, id: str) -> list[tuple[str, dict[str, Any]]]:
    """All events of a job, as a browser reads them."""
    found, name = [], ""
    with rig.client.stream("GET", f"{API}/{id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                found.append((name, json.loads(value)))
    return found


def ended(rig: Rig, id: str) -> dict[str, Any]:
    return events(rig, id)[-1][1]


def until(rig: Rig, id: str, holds: Callable[[dict[str, Any]], bool]) -> None:
    rig.wait(lambda: holds(rig.client.get(f"{API}/{id}").json()))


def works(rig: Rig, id: str) -> None:
    """Until the engine has begun."""
    until(rig, id, lambda job: job["state"] == "running" and "shape" in job["stage"])


def small_turn(patch: pytest.MonkeyPatch) -> None:
    """A turntable that is drawn at once."""
    patch.setattr("samdesk.recon.turntable.turntable", partial(turntable, side=48, frames=3))


# from a picture to files


def test_relief_from_end_to_end(served: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    small_turn(monkeypatch)
    id = start(served, engine="relief", formats=["ply", "glb", "gif"])
    told = events(served, id)
    assert {name for name, _ in told} <= {"queued", "running", "done"}
    percents = [data["percent"] for _, data in told]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert percents[-2] < 100
    assert {"Making the mesh", "Writing PLY"} <= {data["stage"] for _, data in told}
    name, last = told[-1]
    assert name == last["state"] == "done"

    known = served.client.get(f"{API}/{id}").json()
    assert known["label"] == "Relief (not SAM 3D)"
    assert known["files"] == last["files"]
    assert id in [one["id"] for one in served.client.get(API).json()["reconstructions"]]
    assets = [one for one in served.client.get("/api/v1/assets").json()["assets"] if one["id"] == id]
    assert {one["name"] for one in assets} == {
        "splat.ply", "mesh.glb", "turntable.gif", "picture.png", "mask.png", "provenance.json",
    }  # fmt: skip
    for one in assets:
        assert len(served.client.get(one["url"]).content) == one["size"]

    def result(format: str) -> io.BytesIO:
        answer = served.client.get(f"{API}/{id}/result.{format}")
        assert answer.status_code == 200
        return io.BytesIO(answer.content)

    vertices = plyfile.PlyData.read(result("ply"))["vertex"]
    assert len(vertices) > 100
    assert {"x", "f_dc_0", "opacity", "scale_0", "rot_3"} <= set(vertices.data.dtype.names)
    mesh = trimesh.load(result("glb"), file_type="glb", force="mesh")
    assert mesh.is_watertight
    wide, high, _ = mesh.extents
    assert wide / high == pytest.approx(32 / 28, rel=0.05)
    with Pillow.open(result("gif")) as gif:
        assert (gif.format, gif.size, getattr(gif, "n_frames", 1)) == ("GIF", (48, 48), 3)
    assert served.client.get(f"{API}/{id}/result.stl").status_code == 404


def test_one_mask_in_all_its_encodings(served: Rig) -> None:
    outlines = [
        SQUARE,
        {"type": "MultiPolygon", "coordinates": [SQUARE["coordinates"]]},
        coco_rle(SHAPE, SIZE),
        coco_rle_uncompressed(SHAPE, SIZE),
        {"png": base64_text(mask_png(SHAPE, SIZE))},
        {"png": "data:image/png;base64," + base64_text(mask_png(SHAPE, SIZE))},
    ]
    hashes = set()
    for outline in outlines:
        id = start(served, mask=outline)
        assert ended(served, id)["state"] == "done"
        told = served.client.get(f"/api/v1/assets/{id}/provenance.json").json()
        hashes.add((told["mask_sha256"], told["image"]["crop_sha256"]))
    assert len(hashes) == 1


def test_a_mask_with_transparency_or_few_shades(served: Rig) -> None:
    inside = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    inside[12:40, 16:48] = 1
    drawn = np.zeros((SIZE[1], SIZE[0], 4), np.uint8)
    drawn[inside > 0] = (10, 20, 30, 255)
    for pixels in (inside, inside * np.uint8(7)):
        assert ended(served, start(served, mask={"png": base64_text(png(pixels))}))["state"] == "done"
    file = io.BytesIO()
    Pillow.fromarray(drawn).save(file, "PNG")
    id = start(served, mask={"png": base64_text(file.getvalue())})
    assert ended(served, id)["state"] == "done"
    mask = Pillow.open(io.BytesIO(served.client.get(f"/api/v1/assets/{id}/mask.png").content))
    assert np.count_nonzero(np.asarray(mask)) == 28 * 32


def test_an_image_that_was_sent_before(served: Rig) -> None:
    sent = served.client.post("/api/v1/images", content=PICTURE, headers={"Content-Type": "image/png"})
    id = start(served, data=None, image=sent.json()["id"], formats=["stl", "obj"], size_mm=20)
    assert ended(served, id)["state"] == "done"
    answer = served.client.get(f"{API}/{id}/result.stl")
    mesh = trimesh.load(io.BytesIO(answer.content), file_type="stl")
    assert max(mesh.extents) == pytest.approx(20, rel=1e-4)
    obj = served.client.get(f"{API}/{id}/result.obj").text
    assert "mtllib mesh.mtl" in obj
    assert served.client.get(f"/api/v1/assets/{id}/mesh.mtl").status_code == 200


def test_several_objects_are_one_scene(served: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    small_turn(monkeypatch)
    left = {"type": "Polygon", "coordinates": [[[16, 12], [30, 12], [30, 40], [16, 40]]]}
    right = {"type": "Polygon", "coordinates": [[[34, 12], [48, 12], [48, 40], [34, 40]]]}
    id = start(served, mask=None, masks=[left, right], formats=["ply", "glb", "gif"])
    last = ended(served, id)
    assert last["state"] == "done"
    names = {one["name"] for one in last["files"]}
    assert {"scene.ply", "scene.glb", "scene.gif", "mask.png", "0/mesh.glb", "1/splat.ply"} <= names
    splats = plyfile.PlyData.read(io.BytesIO(served.client.get(f"{API}/{id}/result.ply").content))
    assert len(splats["vertex"]) == 2 * 4
    url = next(one["url"] for one in last["files"] if one["name"] == "1/mesh.glb")
    assert served.client.get(url).content[:4] == b"glTF"
    joined = Pillow.open(io.BytesIO(served.client.get(f"/api/v1/assets/{id}/mask.png").content))
    assert np.count_nonzero(np.asarray(joined)) == 2 * 14 * 28


# how it goes


def test_cancel_while_it_runs_and_while_it_waits(served: Rig, jobs: Jobs3D) -> None:
    tell(do="be_slow")
    first, second = start(served), start(served)
    works(served, first)
    assert served.client.get(f"{API}/{second}").json()["state"] == "queued"
    for id in (second, first):
        answer = served.client.delete(f"{API}/{id}")
        assert (answer.status_code, answer.json()) == (200, {"id": id, "state": "cancelled"})
        assert ended(served, id)["state"] == "cancelled"
        assert served.client.get(f"{API}/{id}/result.glb").status_code == 409
    served.rest()
    assert not jobs._working
    assert not jobs._kept.place(first).exists()
    tell()
    assert ended(served, start(served))["state"] == "done"  # the same worker goes on


def test_what_needs_no_model_is_answered_while_many_wait_for_one(
    served: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = start(served)
    file = ended(served, id)["files"][0]
    monkeypatch.setattr(served.service, "waiting", served.service.options.limits.waiting)
    assert ask(served).status_code == 503
    assert len(served.client.get(file["url"]).content) == file["size"]
    assert served.client.get(f"/generate-3d-status/{id}").json()["status"] == "completed"
    assert served.client.delete(f"{API}/{id}").status_code == 200


def test_addresses_have_the_token_where_the_request_had_it(tmp_path: Path) -> None:
    token = "0123456789abcdef" * 2
    with running(tmp_path, ServerOptions(token=token)) as rig, rig.another(token="") as bare:
        body = {"data": base64_text(PICTURE), "mask": SQUARE, "formats": ["ply"]}
        made = bare.post(f"/t/{token}{API}", json=body)
        place = made.headers["location"]
        assert place == f"/t/{token}{API}/{made.json()['id']}"
        events = bare.get(f"{place}/events").text
        lists = bare.get(place).json()["files"], bare.get(f"/t/{token}/api/v1/assets").json()["assets"]
        told = bare.get(f"/t/{token}/generate-3d-status/{made.json()['id']}").json()
        files = bare.get(f"/t/{token}/assets-list").json()["files"]
        for url in (*(one["url"] for one in (*lists[0], *lists[1], *files)), told["ply_url"]):
            assert bare.get(url).status_code == 200
        assert lists[0][0]["url"] in events
        jobs3d(rig.service).stop()


def test_what_is_over_is_removed_with_its_files(served: Rig, jobs: Jobs3D) -> None:
    id = start(served)
    ended(served, id)
    assert jobs._kept.place(id).is_dir()
    assert served.client.delete(f"{API}/{id}").json() == {"id": id, "state": "removed"}
    assert not jobs._kept.place(id).exists()
    for path in ("", "/events", "/result.glb"):
        assert served.client.get(f"{API}/{id}{path}").status_code == 404
    assert served.client.delete(f"{API}/{id}").status_code == 404


def test_events_say_now_and_then_that_they_are_there(
    served: Rig, jobs: Jobs3D, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconstructions, "HEARTBEAT_S", 0.02)
    tell(do="hang")
    id = start(served)
    with served.client.stream("GET", f"{API}/{id}/events") as answer:
        comments = (line for line in answer.iter_lines() if line.startswith(":"))
        assert {next(comments), next(comments)} == {": still there"}
    # and they stop when nobody reads them
    served.wait(lambda: not jobs._listeners)
    served.client.delete(f"{API}/{id}")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not there")
def test_events_with_curl(served: Rig) -> None:
    tell(do="be_slow")
    id = start(served)
    command = ["curl", "-sN", "--max-time", "20", f"{served.url}{API}/{id}/events"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as curl:
        assert curl.stdout is not None
        assert curl.stdout.readline().startswith("event: ")
        served.client.delete(f"{API}/{id}")
        assert "event: cancelled\n" in curl.stdout.read().splitlines(keepends=True)
    assert curl.returncode == 0


def test_the_end_of_a_job_that_is_removed_meanwhile(served: Rig, jobs: Jobs3D) -> None:
    tell(do="be_slow")
    id = start(served)
    works(served, id)
    with served.client.stream("GET", f"{API}/{id}/events") as answer:
        lines = answer.iter_lines()
        next(lines)
        assert jobs.remove(id)
        assert all("done" not in line for line in lines)
    served.rest()
    assert not jobs._kept.place(id).exists()


# what cannot be made

BLACK = base64_text(png(np.zeros((SIZE[1], SIZE[0]), np.uint8)))
OUTSIDE = {"type": "Polygon", "coordinates": [[[100, 100], [120, 100], [120, 120], [100, 120]]]}
LARGER = base64_text(mask_png(SHAPE, (128, 96)))


@pytest.mark.parametrize(
    ("more", "status", "says"),
    [
        ({"mask": {"png": BLACK}}, 422, "black everywhere"),
        ({"mask": OUTSIDE}, 422, "nothing of the image"),
        ({"mask": {"png": LARGER}}, 422, "128 × 96"),
        ({"mask": {"png": "no picture"}}, 422, "base64"),
        ({"mask": {"png": base64_text(b"no picture")}}, 422, "no picture"),
        ({"mask": {"png": base64_text(mask_png(SHAPE, SIZE)[:60])}}, 422, "mask"),
        ({"mask": coco_rle(SHAPE, (128, 96))}, 422, "128 × 96"),
        ({"mask": {"size": [48, 64], "counts": "?"}}, 422, "run lengths"),
        ({"masks": [SQUARE]}, 422, "either mask"),
        ({"mask": None}, 422, "either mask"),
        ({"mask": None, "masks": [SQUARE, OUTSIDE]}, 422, "nothing of the image"),
        ({"mask": None, "masks": [SQUARE, SQUARE], "formats": ["stl"]}, 422, "no scene"),
        ({"mask": None, "masks": [SQUARE] * 101}, 422, "masks"),
        ({"data": None}, 422, "image"),
        ({"data": None, "image": "0" * 32}, 404, "no image"),
        ({"data": base64_text(b"GIF89a")}, 422, "picture"),
        ({"engine": "magic"}, 422, "no 3D engine"),
        ({"engine": "sam3d"}, 503, "not set up"),
        ({"formats": ["usdz"]}, 422, "formats"),
        ({"formats": []}, 422, "formats"),
        ({"options": {"steps_shape": 0}}, 422, "steps_shape"),
        ({"z": 5}, 422, "no plane"),
    ],
)
def test_refused_at_once(served: Rig, more: dict[str, Any], status: int, says: str) -> None:
    answer = ask(served, **more)
    assert answer.status_code == status, answer.text
    assert says in answer.text


def test_an_engine_that_fails(served: Rig) -> None:
    tell(do="fail")
    last = ended(served, start(served))
    assert last["state"] == "failed"
    assert "the sky fell" in last["error"] + last["hint"]
    answer = served.client.get(f"{API}/{last['id']}/result.glb")
    assert answer.status_code == 409
    assert answer.json()["error"] == last["error"]
    tell()
    assert ended(served, start(served))["state"] == "done"


def test_too_many_wait(tmp_path: Path) -> None:
    tell(do="be_slow")
    with running(tmp_path, ServerOptions(limits=Limits(reconstructions=1))) as rig:
        start(rig)
        answer = ask(rig)
        assert answer.status_code == 503
        assert "waiting already" in answer.json()["error"]
        jobs3d(rig.service).stop()


def test_an_image_too_large_for_a_mask_of_its_pixels(served: Rig) -> None:
    with pytest.raises(RequestError) as refused:
        reconstructions._shape(reconstructions.PngMask(png=""), (20_000, 20_000), 100_000_000)
    assert refused.value.status == 413


def test_noise_is_no_outline(served: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samdesk.server.masks.EDGES", 500)
    noise = np.random.default_rng(5).integers(0, 2, (SIZE[1], SIZE[0])).astype(np.uint8)
    answer = ask(served, mask={"png": base64_text(png(noise))})
    assert (answer.status_code, "noise" in answer.text) == (422, True)
    teeth = [[x, 10 if x % 2 else 40] for x in range(60)]
    answer = ask(served, mask={"type": "Polygon", "coordinates": [teeth]})
    assert (answer.status_code, "to and fro" in answer.text) == (422, True)


# what stays


@pytest.mark.parametrize(
    "name",
    [
        "job.json", "..%2F..%2F..%2Fsettings.json", "%2e%2e/%2e%2e/job.json", "....//job.json",
        "%2Fetc%2Fpasswd", "..%5C..%5Cjob.json", "mesh.glb%00.png", ".", "0/mesh.glb", "mesh.glb/",
    ],
)  # fmt: skip
def test_no_name_leads_elsewhere(served: Rig, jobs: Jobs3D, name: str) -> None:
    done = next(one.id for one in jobs.all() if one.state == "done" and one.objects == 1)
    for path in (f"/api/v1/assets/{done}/{name}", f"/api/v1/assets/../{done}/{name}"):
        status, _, body = served.raw(
            f"GET {path} HTTP/1.1\r\nHost: localhost:{served.port}\r\nConnection: close\r\n\r\n".encode()
        )
        assert status == 404, path
        assert b"error" in body
    assert served.client.get(f"/api/v1/assets/../{name}").status_code == 404


def test_what_is_done_is_there_after_a_restart(served: Rig, jobs: Jobs3D) -> None:
    id = start(served)
    ended(served, id)
    damaged = jobs._kept.place("f" * 32)
    damaged.mkdir()
    (damaged / "job.json").write_text('{"id": 5}', "utf-8")
    again = Jobs3D(served.jobs, Limits())
    assert again.get(id) == jobs.get(id)
    assert again.get("f" * 32) is None
    assert {one.state for one in again.all()} == {"done"}
    path = again.path(id, "mesh.glb")
    assert path is not None
    assert path.is_file()


def test_the_oldest_make_room(served: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = Jobs3D(served.jobs, Limits(), folder=tmp_path / "3d")
    monkeypatch.setattr("samdesk.server.jobs3d.jobs.KEPT", 2)
    left = tmp_path / "3d" / ("e" * 32)  # by a program that was ended
    left.mkdir(parents=True)
    os.utime(left, (0, 0))

    def begin() -> Job3D:
        image = served.service.pictures.read(PICTURE)
        return few.start(prepare_job(image, [SHAPE], order_of(ENGINE), Task()))

    made = []
    for _ in range(3):
        made.append(begin().id)
        served.wait(lambda: all(one.is_over for one in few.all()))
    assert [one.id for one in few.all()] == made[:0:-1]
    assert {path.name for path in (tmp_path / "3d").iterdir()} == set(made[1:])
    few.stop()


def test_the_worker_ends_with_the_server_and_starts_again(tmp_path: Path) -> None:
    with running(tmp_path) as rig:
        jobs = jobs3d(rig.service)
        tell(do="be_slow")
        id, waiting = start(rig), start(rig)
        works(rig, id)
        worker = jobs._seat._worker
        assert worker is not None
        pid = worker.pid
        jobs.stop()
        assert pid is not None
        assert worker.pid is None
        assert [rig.client.get(f"{API}/{one}").json()["state"] for one in (id, waiting)] == ["cancelled"] * 2
        tell()
        assert ended(rig, start(rig))["state"] == "done"
        jobs.stop()
