"""3D jobs in the window's state: made, cancelled, failed, attached, undone, carried along."""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from samdesk.app.jobs import Job
from samdesk.app.reconstruction import EXPORTS, MOST, SceneObject, carry_objects, objects_dir, scene_of
from samdesk.app.reconstruction.scene import in_one_frame, scene_object, scene_of_job
from samdesk.domain.columns import Annotation
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane, Shape
from samdesk.domain.tasks import Task
from samdesk.formats.project import ProjectStore
from samdesk.recon.client import RunRequest, RunResult, Worker, WorkerError
from samdesk.recon.mesh import read_mesh
from samdesk.recon.options import ReconOptions
from samdesk.recon.pose import Camera, Pose
from samdesk.recon.splat import is_splat, read_splats
from samdesk.recon.turntable import turntable
from samdesk.sdk.reconstruction import Preflight, load
from tests.recon_rig import ENGINE, WAIT_S, Rig, add_stand_in, write_picture

DISC, BOX = Shape.box(60, 90, 180, 210), Shape.box(250, 50, 350, 120)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    add_stand_in(monkeypatch)
    return tmp_path


@pytest.fixture
def rig(home: Path) -> Iterator[Rig]:
    made = Rig(home)
    made.open(write_picture(home / "picture.png"))
    yield made
    made.close()
    assert not any(worker.running for worker in made.workers)


def test_an_annotation_becomes_an_object_that_it_knows_of(rig: Rig) -> None:
    (one,) = rig.add(DISC, name="Coin")
    job = rig.make(one)
    assert (job.state, job.title) == ("queued", "Coin")
    rig.settle()
    done = rig.job(job)
    assert (done.state, done.attached, done.error) == ("done", True, "")
    assert rig.finished == [done]
    (entry,) = rig.known(one)
    assert entry["id"] == entry["folder"] == done.reconstructions[0]
    assert (entry["engine"], entry["label"], entry["job"]) == (ENGINE, "Stand-in (test)", job.id)
    project = rig.workspace.journal.path
    folder = objects_dir(project) / entry["folder"]
    assert all((folder / name).is_file() for name in entry["files"].values())
    (shown,) = scene_of([rig.workspace.document.get(one)], project)
    assert shown.title == "Coin"
    assert shown.splat == folder / "splat.ply"
    assert shown.mesh == folder / "mesh.glb"
    assert shown.picture is not None
    assert shown.pose is not None
    assert rig.troubles == []


def test_a_job_is_in_the_bar_and_tells_its_stages(rig: Rig) -> None:
    rig.tell(do="be_slow")
    (one,) = rig.add(DISC)
    told: list[str] = []
    previews: list[Path] = []
    rig.recon.progressed.connect(told.append)
    rig.recon.previewed.connect(lambda job, path: previews.append(path))
    job = rig.make(one)
    rig.running(job)
    assert [shown.title for shown in rig.jobs.visible] == ["Making Annotation in 3D"]
    assert set(told) == {job.id}
    rig.until(lambda: bool(previews))
    assert np.load(previews[0]).shape == (4, 3)
    rig.recon.cancel(job.id)
    assert rig.job(job).state == "cancelled"
    assert rig.jobs.visible == ()
    rig.settle()
    assert rig.job(job).state == "cancelled"
    assert rig.known(one) == []
    assert rig.troubles == []


def test_several_become_one_scene_of_one_picture(rig: Rig) -> None:
    ids = rig.add(DISC, BOX)
    job = rig.make(*ids)
    assert job.title == "2 × Annotation"
    rig.settle()
    project, document = rig.workspace.journal.path, rig.workspace.document
    scene = scene_of([document.get(one) for one in ids], project)
    assert [one.id for one in scene] == list(rig.job(job).reconstructions)
    assert scene[0].camera == scene[1].camera
    assert rig.workspace.history.undo_title == "Attach 2 3D objects"
    assert len(rig.workers) == 1


def test_undo_forgets_the_object_and_redo_finds_it_again(rig: Rig) -> None:
    (one,) = rig.add(DISC)
    rig.make(one)
    rig.settle()
    entries = rig.known(one)
    rig.workspace.history.undo()
    assert rig.known(one) == []
    rig.recon.document_opened()
    rig.settle()
    assert rig.known(one) == []
    rig.workspace.history.redo()
    assert rig.known(one) == entries
    assert len(scene_of([rig.workspace.document.get(one)], rig.workspace.journal.path)) == 1


def test_the_worker_is_kept_for_the_next_job_and_another_is_closed_first(rig: Rig) -> None:
    (one,) = rig.add(DISC)
    rig.make(one)
    rig.settle()
    (worker,) = rig.workers
    first = worker.pid
    rig.make(one)
    rig.settle()
    assert worker.pid == first
    assert len(rig.known(one)) == 2
    rig.tell(step_s=0.01)
    rig.make(one)
    rig.settle()
    assert not worker.running
    assert len(rig.workers) == 2


def test_a_crash_is_told_once_and_the_job_can_be_tried_again(rig: Rig) -> None:
    rig.tell(do="exit_badly")
    (one,) = rig.add(DISC)
    job = rig.make(one)
    rig.settle()
    failed = rig.job(job)
    assert (failed.state, failed.kind) == ("failed", "crash")
    assert "last words 59" in failed.hint
    assert rig.troubles == [failed.error]
    rig.tell()
    rig.recon.retry(job.id)
    assert rig.job(job).error == ""
    rig.settle()
    assert rig.job(job).state == "done"
    assert len(rig.known(one)) == 1


def test_trying_again_forgives_a_worker_that_was_given_up(rig: Rig) -> None:
    rig.tell(do="exit_well")
    (one,) = rig.add(DISC)
    job = rig.make(one)
    rig.settle()
    for _ in range(2):
        rig.make(one)
    rig.settle()
    rig.make(one)
    rig.settle()
    kinds = [one.kind for one in rig.recon.jobs]
    assert kinds == ["stopped_trying", "crash", "crash", "crash"]
    rig.recon.retry(job.id)
    rig.settle()
    assert rig.job(job).kind == "crash"


def test_cancel_while_it_waits_and_while_it_is_prepared(rig: Rig) -> None:
    rig.tell(do="be_slow")
    first, second = (rig.make(*rig.add(shape)) for shape in (DISC, BOX))
    rig.running(first)
    rig.recon.cancel(second.id)
    third = rig.make(*rig.add(DISC))
    rig.recon.cancel(third.id)
    rig.recon.cancel(first.id)
    assert {job.state for job in rig.recon.jobs} == {"cancelled"}
    rig.settle()
    assert {job.state for job in rig.recon.jobs} == {"cancelled"}
    rig.tell()
    rig.recon.retry(second.id)
    rig.settle()
    assert rig.job(second).state == "done"


def test_a_worker_that_does_not_listen_is_ended(rig: Rig) -> None:
    rig.tell(do="hang")
    job = rig.make(*rig.add(DISC))
    rig.running(job)
    pid = rig.workers[0].pid
    rig.recon.cancel(job.id)
    rig.settle()
    assert pid is not None
    assert not rig.workers[0].running
    rig.tell()
    rig.recon.retry(job.id)
    rig.settle()
    assert rig.job(job).state == "done"


def test_an_annotation_that_was_deleted_meanwhile(rig: Rig) -> None:
    one, other = rig.add(DISC, BOX)
    job = rig.make(one)
    rig.workspace.do(rig.workspace.document.removing([one]))
    rig.settle()
    assert (rig.job(job).state, rig.job(job).attached) == ("done", False)
    shown = []
    rig.recon.scene_of(job.id, lambda job: shown.extend(job.result or ()))
    rig.settle()
    assert shown[0].mesh.is_file()
    rig.workspace.history.undo()
    rig.recon.retry(job.id)
    rig.settle()
    assert rig.job(job).attached
    assert len(rig.known(one)) == 1
    assert rig.known(other) == []
    assert rig.troubles == []


def test_one_of_two_that_was_deleted_meanwhile_gets_it_when_it_is_back(rig: Rig, home: Path) -> None:
    one, other = rig.add(DISC, BOX)
    job = rig.make(one, other)
    rig.workspace.do(rig.workspace.document.removing([other]))
    rig.settle()
    assert [len(rig.job(job).reconstructions), len(rig.known(one))] == [2, 1]
    assert not rig.job(job).attached
    assert rig.job(job).can_retry
    for title in ("Attach 3D object", "Delete annotations"):
        assert rig.workspace.history.undo_title == title
        rig.workspace.history.undo()
    rig.recon.retry(job.id)
    rig.settle()
    assert rig.job(job).attached
    assert [len(rig.known(found)) for found in (one, other)] == [1, 1]
    scene = scene_of(list(rig.workspace.document.annotations()), rig.workspace.journal.path)
    assert all(shown.mesh is not None for shown in scene)
    assert rig.troubles == []


def test_one_of_two_that_is_gone_for_good_is_waited_for_no_longer(rig: Rig, home: Path) -> None:
    one, other = rig.add(DISC, BOX)
    job = rig.make(one, other)
    rig.workspace.do(rig.workspace.document.removing([other]))
    rig.settle()
    rig.workspace.close_image()
    rig.settle()
    rig.open(home / "picture.png")
    assert rig.job(job).attached
    assert len(rig.known(one)) == 1


def test_what_cannot_be_attached_now_says_why(rig: Rig, home: Path) -> None:
    one, other = rig.add(DISC, BOX)
    lost, waiting = rig.make(one), rig.make(other)
    rig.workspace.do(rig.workspace.document.removing([one]))
    rig.settle()
    with pytest.raises(SamdeskError, match="annotation of “Annotation” was deleted"):
        rig.recon.retry(lost.id)
    rig.recon._known[waiting.id] = replace(rig.job(waiting), attached=False)
    second = Rig(home)
    second.open(home / "picture.png")
    second.recon.restore()
    second.settle()
    with pytest.raises(SamdeskError, match="cannot be changed"):
        second.recon.retry(lost.id)
    second.close()
    rig.workspace.close_image()
    rig.settle()
    with pytest.raises(SamdeskError, match=r"picture\.png is not open"):
        rig.recon.retry(waiting.id)


def test_a_job_that_is_removed_while_its_objects_move(rig: Rig) -> None:
    """They get where they belong; only the line of the list goes."""
    gate = threading.Event()
    (one,) = rig.add(DISC)
    rig.settle()
    rig.jobs.lane("journal").submit(lambda task: gate.wait(WAIT_S))
    job = rig.make(one)
    rig.until(lambda: rig.job(job).state == "done")
    rig.recon.remove(job.id)
    rig.until(lambda: rig.jobs.lane("io").idle)
    gate.set()
    rig.settle()
    assert rig.troubles == []
    assert rig.recon.jobs == ()
    assert not (rig.folder / job.id).exists()
    assert len(rig.known(one)) == 1
    (shown,) = scene_of([rig.workspace.document.get(one)], rig.workspace.journal.path)
    assert shown.mesh is not None


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_project_is_the_same_through_a_link(rig: Rig, home: Path) -> None:
    (one,) = rig.add(DISC)
    folder, project = home / "sub", home / "sub" / "study.gpkg"
    folder.mkdir()
    rig.workspace.save_as(project)
    rig.settle()
    (home / "folder").symlink_to(folder)
    (home / "link.gpkg").symlink_to(project)
    jobs = []
    for link in (home / "folder" / "study.gpkg", home / "link.gpkg", project):
        jobs.append(rig.make(one))
        rig.workspace.close_image()
        rig.settle()
        assert not rig.job(jobs[-1]).attached
        rig.open(link)
        assert rig.workspace.journal.path == link
        assert rig.job(jobs[-1]).attached
        assert len(rig.known(one)) == len(jobs)
        (shown,) = scene_of([rig.workspace.document.get(one)], link)
        assert shown.id == rig.job(jobs[-1]).reconstructions[0]
        assert rig.recon.folder(jobs[-1].id).is_dir()
    assert [path.name for path in home.rglob("*.3d")] == ["study.3d"]
    # one that is opened through a link while a job of it runs
    rig.tell(do="be_slow")
    job = rig.make(one)
    rig.running(job)
    rig.workspace.open(home / "link.gpkg")
    rig.until(lambda: rig.workspace.journal is not None and rig.workspace.journal.path.name == "link.gpkg")
    rig.until(lambda: rig.job(job).project.name == "link.gpkg")
    rig.recon.cancel(job.id)
    rig.tell()
    rig.recon.retry(job.id)
    rig.settle()
    assert rig.job(job).attached
    assert rig.troubles == []


def test_an_image_that_was_closed_meanwhile_gets_it_when_it_is_opened_again(rig: Rig, home: Path) -> None:
    one, other = rig.add(DISC, BOX)
    job, lost = rig.make(one), rig.make(other)
    rig.workspace.do(rig.workspace.document.removing([other]))
    rig.workspace.close_image()
    rig.settle()
    assert (rig.job(job).state, rig.job(job).attached) == ("done", False)
    project = rig.job(job).project
    assert {found.id for found in rig.recon.pending_for(project)} == {job.id, lost.id}
    rig.open(home / "picture.png")
    assert rig.job(job).attached
    assert len(rig.known(one)) == 1
    assert rig.job(lost).attached
    assert rig.recon.pending_for(project) == ()
    assert rig.troubles == []


def test_a_document_that_is_only_read_gets_nothing_until_it_can_be_changed(rig: Rig, home: Path) -> None:
    (one,) = rig.add(DISC)
    rig.settle()
    second = Rig(home)
    second.open(home / "picture.png")
    assert not second.workspace.editable
    job = second.make(one)
    second.settle()
    assert (second.job(job).state, second.job(job).attached) == ("done", False)
    assert second.known(one) == []
    second.close()
    rig.workspace.close_image()
    rig.settle()
    rig.open(home / "picture.png")
    assert len(rig.known(one)) == 1
    assert rig.job(job).attached


def test_a_full_disk_keeps_what_was_made(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    (one,) = rig.add(DISC)
    with monkeypatch.context() as patch:
        patch.setattr("samdesk.app.reconstruction.objects._rename", full)
        job = rig.make(one)
        rig.settle()
    assert (rig.job(job).state, rig.job(job).attached) == ("done", False)
    assert rig.known(one) == []
    assert "the disk is full" in rig.troubles[0]
    assert rig.job(job).can_retry
    rig.recon.retry(job.id)
    rig.settle()
    assert rig.job(job).attached
    assert len(rig.known(one)) == 1


def test_a_full_disk_while_files_are_kept_fails_the_job(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    job = rig.make(*rig.add(DISC))
    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfileobj", full)
        rig.settle()
    assert rig.job(job).state == "failed"
    assert "the disk is full" in rig.job(job).error
    assert not list(rig.folder.rglob("*.tmp"))
    rig.recon.retry(job.id)
    rig.settle()
    assert rig.job(job).attached


def test_a_picture_that_cannot_be_kept_fails_the_job(rig: Rig) -> None:
    rig.folder.parent.mkdir(exist_ok=True)
    rig.folder.write_text("in the way", "utf-8")
    job = rig.make(*rig.add(DISC))
    rig.settle()
    assert rig.job(job).state == "failed"
    assert str(rig.folder) in rig.job(job).error
    assert rig.troubles == [rig.job(job).error]
    rig.folder.unlink()


def test_some_of_several_fail(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Worker.run

    def second_fails(self: Worker, request: RunRequest, *rest: object) -> RunResult:
        if request.out == "1":
            raise WorkerError("oom", "The graphics card ran out of memory.", "Make fewer steps.")
        return run(self, request, *rest)  # type: ignore[arg-type]

    ids = rig.add(DISC, BOX)
    with monkeypatch.context() as patch:
        patch.setattr(Worker, "run", second_fails)
        job = rig.make(*ids)
        rig.settle()
    done = rig.job(job)
    assert (done.state, len(done.reconstructions)) == ("done", 1)
    assert done.error == "1 of 2 objects were made: The graphics card ran out of memory."
    assert [len(rig.known(one)) for one in ids] == [1, 0]
    rig.recon.retry(job.id)
    rig.settle()
    assert rig.job(job).error == ""
    assert [len(rig.known(one)) for one in ids] == [1, 1]


def test_what_cannot_be_made_is_said_at_once(rig: Rig) -> None:
    document = rig.workspace.document
    with pytest.raises(SamdeskError, match="No annotation is selected"):
        rig.make()
    with pytest.raises(SamdeskError, match="There is no 3D engine “wood”"):
        rig.recon.make(rig.add(DISC), "wood")
    with pytest.raises(SamdeskError, match="not set up yet; not chosen: Python, Repository"):
        rig.recon.make(document.ids(), "sam3d")
    apart = [Annotation(DISC), Annotation(BOX, plane=Plane(1, 0))]
    rig.workspace.do(document.adding(apart))
    with pytest.raises(SamdeskError, match="different slices"):
        rig.make(*[one.id for one in apart])
    rig.workspace.close_image()
    rig.settle()
    with pytest.raises(SamdeskError, match="No image is open"):
        rig.make(apart[0].id)
    assert rig.recon.jobs == ()


def test_a_selection_of_any_size_is_looked_at_beside_the_main_thread(rig: Rig) -> None:
    (one,) = rig.add(DISC)
    rig.make(one)
    rig.settle()
    many = [*(uuid.uuid4() for _ in range(30_000)), one]
    shown: list[SceneObject] = []
    begun = time.perf_counter()
    rig.recon.scene(many, lambda job: shown.extend(job.result or ()))
    with pytest.raises(SamdeskError, match=f"At most {MOST} objects"):
        rig.recon.make(many, ENGINE)
    with pytest.raises(SamdeskError, match=f"At most {MOST} objects"):
        rig.recon.preflight(many, ENGINE, lambda job: None)
    assert time.perf_counter() - begun < 0.2
    rig.settle()
    assert [found.id for found in shown] == [rig.known(one)[0]["id"]]
    assert shown[0].color == rig.workspace.document.class_color(None)


def test_preflight_and_check_answer_while_a_job_runs(rig: Rig) -> None:
    rig.tell(do="be_slow")
    (one,) = rig.add(DISC)
    job = rig.make(one)
    rig.running(job)
    told: list[Job[Preflight]] = []
    rig.recon.preflight([one], ENGINE, told.append)
    rig.until(lambda: bool(told))
    assert told[0].result is not None
    assert told[0].result.ok
    items: list[str] = []
    rig.recon.check(ENGINE, {}, lambda job: items.extend(item.name for item in job.result or ()))
    rig.until(lambda: bool(items))
    assert items == ["Python", "Weights", "Graphics card", "Licence"]
    assert rig.job(job).state == "running"


def test_a_job_that_is_removed_leaves_no_file_but_the_objects(rig: Rig) -> None:
    (one,) = rig.add(DISC)
    done = rig.make(one)
    rig.settle()
    rig.tell(do="be_slow")
    busy = rig.make(one)
    rig.running(busy)
    for job in (done, busy):
        rig.recon.remove(job.id)
    assert rig.recon.jobs == ()
    rig.settle()
    left = {path.name for path in rig.folder.iterdir() if not path.name.startswith(".")}
    assert left == {"times.json"}
    assert len(list(objects_dir(rig.workspace.journal.path).iterdir())) == 1
    assert len(scene_of([rig.workspace.document.get(one)], rig.workspace.journal.path)) == 1


def test_a_job_that_is_done_keeps_no_second_copy(rig: Rig) -> None:
    job = rig.make(*rig.add(DISC), options=ReconOptions(mesh=False))
    rig.settle()
    left = sorted(path.name for path in (rig.folder / job.id).rglob("*") if path.is_file())
    assert left == ["image.png", "job.json", "picture.json"]
    assert rig.known(job.annotations[0])[0]["files"].keys() == {"splat", "picture", "mask"}


def test_the_project_takes_its_objects_along(rig: Rig, home: Path) -> None:
    (one,) = rig.add(DISC)
    first = rig.make(one)
    rig.settle()
    rig.tell(do="be_slow")
    second = rig.make(one)
    rig.running(second)
    old, new, later = rig.workspace.journal.path, home / "study.gpkg", home / "later.gpkg"
    rig.workspace.save_as(new)
    rig.until(lambda: rig.job(first).project == new and not objects_dir(old).exists())
    rig.recon.cancel(second.id)
    rig.tell()
    rig.recon.retry(second.id)
    rig.settle()
    assert rig.job(second).attached
    (shown,) = scene_of([rig.workspace.document.get(one)], new)
    assert shown.id == rig.job(second).reconstructions[0]
    rig.workspace.save_as(later)
    rig.settle()
    assert [len(list(objects_dir(path).iterdir())) for path in (new, later)] == [2, 2]
    assert {job.project for job in rig.recon.jobs} == {later}
    assert rig.troubles == []


def test_carrying_is_whole_or_not_at_all(tmp_path: Path) -> None:
    old, new = tmp_path / "a.gpkg", tmp_path / "b.gpkg"
    carry_objects(old, new, Task())
    assert not objects_dir(new).exists()
    for name in ("one", "two"):
        folder = objects_dir(old) / name
        folder.mkdir(parents=True)
        (folder / "mesh.glb").write_bytes(b"mesh")
    (objects_dir(old) / ".two.1234.tmp").mkdir()
    for _ in range(2):
        carry_objects(old, new, Task())
    assert sorted(path.name for path in objects_dir(new).iterdir()) == ["one", "two"]
    assert (objects_dir(old) / "one" / "mesh.glb").is_file()
    shutil.rmtree(objects_dir(new))
    objects_dir(new).write_text("in the way", "utf-8")
    with pytest.raises(SamdeskError, match=r"b\.3d"):
        carry_objects(old, new, Task())


def test_objects_of_several_pictures_stand_in_one_frame(rig: Rig) -> None:
    """With a parallel camera; the stand-in's is not, so that theirs are left as they are."""
    ids = rig.add(DISC, BOX)
    for one in ids:
        rig.make(one)
    rig.settle()
    folder = objects_dir(rig.workspace.journal.path)
    made = [load(folder / rig.known(one)[0]["folder"]) for one in ids]
    apart = in_one_frame([(scene_object(one, ""), one) for one in made])
    assert [one.pose for one in apart] == [one.pose for one in made]

    def seen(pixel: tuple[float, float], index: int) -> np.ndarray:
        """Where a picture's own frame has an image pixel, as a point of an object that stands there."""
        region = flat[index].provenance["region"]
        height = region["height"] * region["downsample"]
        x = (pixel[0] - region["x"] - region["width"] * region["downsample"] / 2) / height
        z = (region["y"] + height / 2 - pixel[1]) / height
        return np.array([[x, 0.0, z]])

    flat = [replace(one, pose=Pose(), camera=Camera("parallel", 1.0, 1.0)) for one in made]
    together = in_one_frame([(scene_object(one, ""), one) for one in flat])
    assert together[0].pose == Pose()
    assert together[1].pose is not None
    for pixel in ((100.0, 100.0), (333.0, 71.0)):
        np.testing.assert_allclose(together[1].pose.to_world(seen(pixel, 1)), seen(pixel, 0), atol=1e-9)


def test_objects_of_no_known_place_stand_side_by_side(rig: Rig) -> None:
    ids = rig.add(DISC, BOX, DISC)
    job = rig.make(*ids)
    rig.settle()
    project = rig.workspace.journal.path
    folders = [objects_dir(project) / rig.known(one)[0]["folder"] for one in ids]
    known = scene_of_job(rig.job(job), rig.folder)
    assert [one.pose for one in known] == [load(folder).pose for folder in folders]

    for folder in folders[1:]:
        _rewrite(folder, pose=None)
    for scene in (_scene(rig, ids), scene_of_job(rig.job(job), rig.folder)):
        assert scene[0] == replace(known[0], color=scene[0].color)
        assert [one.camera for one in scene[1:]] == [None, None]
        spans = [_span(one) for one in scene]
        assert all(left[1] < right[0] for left, right in pairwise(spans))
        assert spans[2][1] - spans[2][0] == pytest.approx(spans[0][1] - spans[0][0])

    _rewrite(folders[0], pose=None)
    apart = _scene(rig, ids)
    assert all(left[1] < right[0] for left, right in pairwise(_span(one) for one in apart))
    assert all(one.mesh is not None for one in apart)
    (alone,) = _scene(rig, ids[1:2])
    assert alone.pose is None


def _scene(rig: Rig, ids: list[uuid.UUID]) -> tuple[SceneObject, ...]:
    return scene_of([rig.workspace.document.get(one) for one in ids], rig.workspace.journal.path)


def _span(one: SceneObject) -> tuple[float, float]:
    """From its left to its right."""
    assert one.mesh is not None
    assert one.pose is not None
    x = one.pose.to_world(read_mesh(one.mesh).vertices)[:, 0]
    return float(x.min()), float(x.max())


def _rewrite(folder: Path, **changes: object) -> None:
    path = folder / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")


REGION = {"x": 0, "y": 0, "width": 9, "height": 9, "downsample": 1}
CAMERA = {"kind": "parallel", "extent": 1.0, "aspect": 1.0}
DAMAGE = {
    "seconds": {"seconds": 10**400},
    "width": {"camera": CAMERA, "region": {**REGION, "width": 10**400}},
    "endless": {"camera": CAMERA, "region": {**REGION, "width": float("inf")}},
    "far": {"camera": CAMERA, "region": {**REGION, "x": 10**400}},
    "flat": {"camera": {**CAMERA, "extent": 0}, "region": REGION},
    "list": {"camera": [], "region": []},
}


def test_one_damaged_object_does_not_hide_the_others(rig: Rig) -> None:
    one, other = rig.add(DISC, BOX)
    job = rig.make(one, other)
    rig.settle()
    project = rig.workspace.journal.path
    bad, good = (objects_dir(project) / rig.known(found)[0]["folder"] for found in (one, other))
    whole = json.loads((bad / "provenance.json").read_text("utf-8"))
    texts = {name: json.dumps(whole | changes).encode() for name, changes in DAMAGE.items()}
    texts |= {"deep": b"[" * 200_000, "cut": b'{"schema"', "letters": b"\xff"}
    looks = (lambda: _scene(rig, [one, other]), lambda: scene_of_job(rig.job(job), rig.folder))
    for text in texts.values():
        (bad / "provenance.json").write_bytes(text)
        for look in looks:
            assert good.name in [shown.id for shown in look()], text[:200]
    shutil.rmtree(good)
    for text in texts.values():
        (bad / "provenance.json").write_bytes(text)
        for look in looks:
            with contextlib.suppress(SamdeskError):  # alone it is shown, or why not is told
                assert [shown.id for shown in look()] == [bad.name]


def test_objects_become_files_of_every_kind(rig: Rig, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samdesk.recon.turntable.turntable", partial(turntable, side=64, frames=4))
    ids = rig.add(DISC, BOX)
    rig.make(*ids)
    rig.settle()
    scene = scene_of(list(rig.workspace.document.annotations()), rig.workspace.journal.path)
    flat = [replace(one, mesh=None) for one in scene]
    for suffix in EXPORTS:
        rig.recon.export(flat if suffix == ".gif" else scene, home / f"scene{suffix}")
    rig.recon.export(scene[:1], home / "alone.glb")
    rig.recon.export([replace(one, splat=None) for one in scene], home / "mesh.ply")
    rig.settle()
    assert rig.troubles == []
    assert len(read_splats(home / "scene.ply")) == 8
    for name in ("scene.glb", "scene.obj", "scene.stl", "mesh.ply"):
        assert len(read_mesh(home / name).faces) == 8
    alone, both = (read_mesh(home / name) for name in ("alone.glb", "scene.glb"))
    np.testing.assert_allclose(alone.bounds(), [(-0.5, -0.5, -0.5), (0.5, 0.5, 0.5)], atol=1e-6)
    assert scene[0].pose is not None
    np.testing.assert_allclose(both.vertices[:1], scene[0].pose.to_world(alone.vertices[:1]), atol=1e-5)
    assert (home / "scene.gif").read_bytes()[:6] == b"GIF89a"
    rig.recon.export(scene, home / "scene.doc")
    rig.recon.export(flat, home / "none.stl")
    rig.settle()
    assert [text.split()[0] for text in rig.troubles] == ["scene.doc", "There"]


def test_what_strangers_write_leads_nowhere(rig: Rig) -> None:
    (one,) = rig.add(DISC)
    rig.make(one)
    rig.settle()
    project = rig.workspace.journal.path
    good = rig.known(one)
    for bad in ("../..", "/etc", "a/b", "", 7, None):
        odd = Annotation(DISC, provenance={"reconstructions": [{"id": bad, "folder": bad}, "?"]})
        assert scene_of([odd], project) == ()
    gone = Annotation(DISC, provenance={"reconstructions": [{"id": "gone", "folder": "gone"}]})
    with pytest.raises(SamdeskError, match="gone"):
        scene_of([gone], project)
    both = Annotation(DISC, provenance={"reconstructions": [*good, {"id": "gone"}]})
    assert [shown.id for shown in scene_of([both, gone], project)] == [good[0]["id"]]


def test_an_object_in_the_project_file_after_all_is_closed(rig: Rig) -> None:
    (one,) = rig.add(DISC)
    rig.make(one)
    rig.settle()
    entries, project = rig.known(one), rig.workspace.journal.path
    rig.close()
    with ProjectStore.open(project, read_only=True) as store:
        (kept,) = store.load().table.annotations()
    assert kept.provenance["reconstructions"] == entries


def test_the_main_thread_reads_and_writes_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    main = threading.get_ident()
    touched: dict[bool, list[str]] = {True: [], False: []}

    def watch(name: str) -> None:
        real = getattr(Path, name)

        def watched(self: Path, *given: object, **more: object) -> object:
            if self.is_relative_to(rig.home):
                touched[threading.get_ident() == main].append(f"{name} {self.name}")
            return real(self, *given, **more)

        monkeypatch.setattr(Path, name, watched)

    (one,) = rig.add(DISC)
    for name in ("open", "mkdir", "rename", "unlink", "iterdir", "stat", "replace"):
        watch(name)
    job = rig.make(one)
    rig.recon.preflight([one], ENGINE, lambda job: None)
    rig.settle()
    rig.recon.scene([one], lambda job: None)
    rig.recon.document_opened()
    rig.recon.retry(job.id)
    rig.recon.remove(job.id)
    rig.settle()
    assert touched[True] == []
    assert len(touched[False]) > 20


def test_the_relief_engine_makes_a_body_of_what_is_outlined(rig: Rig) -> None:
    (one,) = rig.add(DISC, name="Coin")
    job = rig.recon.make([one], "relief")
    rig.settle()
    assert (rig.job(job).state, rig.job(job).error) == ("done", "")
    (shown,) = scene_of([rig.workspace.document.get(one)], rig.workspace.journal.path)
    assert shown.label == "Relief (not SAM 3D)"
    assert shown.mesh is not None
    assert shown.mesh.stat().st_size > 100_000
    assert shown.splat is not None
    assert is_splat(shown.splat)
    assert rig.troubles == []
