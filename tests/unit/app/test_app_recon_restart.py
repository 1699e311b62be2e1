"""3D jobs over the end of the program: closed, crashed, several windows, old ones, damaged ones."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from samdesk import paths
from samdesk.app.reconstruction import ReconJob
from samdesk.app.reconstruction.folders import KEPT, RECORD, JobFolders
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Shape
from tests.recon_rig import ENGINE, WAIT_S, Rig, add_stand_in, write_picture

DISC, BOX = Shape.box(60, 90, 180, 210), Shape.box(250, 50, 350, 120)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    add_stand_in(monkeypatch)
    write_picture(tmp_path / "picture.png")
    return tmp_path


class Windows:
    """Windows that are closed in the end."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.all: list[Rig] = []

    def new(self, restore: bool = True, open_: bool = True) -> Rig:
        """A window that has started, with the picture open."""
        made = Rig(self._home)
        self.all.append(made)
        if restore:
            made.recon.restore()
        if open_:
            made.open(self._home / "picture.png")
        return made


@pytest.fixture
def windows(home: Path) -> Iterator[Windows]:
    made = Windows(home)
    yield made
    for one in made.all:
        one.close()
        assert not any(worker.running for worker in one.workers)


def gone(pid: int | None) -> bool:
    """Whether there is no such process any more."""
    assert pid is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_closing_ends_the_worker_and_the_next_start_goes_on(windows: Windows) -> None:
    first = windows.new()
    first.tell(do="hang")
    one, other = first.add(DISC, BOX)
    running, waiting = first.make(one), first.make(other)
    first.running(running)
    pid = first.workers[0].pid
    first.close()
    assert gone(pid)
    assert first.troubles == []
    for job in (running, waiting):
        record = json.loads((first.folder / job.id / RECORD).read_text("utf-8"))
        assert record["state"] == "queued"
    assert not (first.folder / running.id / "starts").exists()

    second = windows.new()
    second.tell()
    second.settle()
    assert [job.id for job in second.finished] == [running.id, waiting.id]
    assert [len(second.known(one)) for one in (one, other)] == [1, 1]
    assert not list((first.folder / ".owners").glob(f"{first.recon._folders.owner}*"))


def test_what_ended_is_listed_at_the_next_start(windows: Windows) -> None:
    first = windows.new()
    done = first.make(*first.add(DISC))
    first.settle()
    first.tell(do="fail")
    failed = first.make(*first.add(BOX))
    first.settle()
    first.close()
    second = windows.new(open_=False)
    second.settle()
    assert [job.id for job in second.recon.jobs] == [failed.id, done.id]
    assert second.recon.jobs[0].error == first.job(failed).error
    assert second.recon.jobs[1] == first.job(done)
    second.tell()
    second.recon.retry(failed.id)
    second.settle()
    assert second.job(failed).state == "done"
    assert not second.job(failed).attached


def test_a_job_during_which_samdesk_died_is_tried_once_more(windows: Windows) -> None:
    window = windows.new()
    window.tell(do="hang")
    job = window.make(*window.add(DISC))
    for times in (1, 2):
        window.running(job)
        assert (window.folder / job.id / "starts").read_text("utf-8") == str(times)
        window.crash(job)
        window = windows.new(open_=False)
    window.settle()
    assert window.job(job).state == "failed"
    assert "ended twice" in window.job(job).error
    window.tell()
    window.recon.retry(job.id)
    window.settle()
    assert window.job(job).state == "done"


def test_another_window_leaves_the_jobs_of_a_living_one(windows: Windows) -> None:
    first = windows.new()
    first.tell(do="be_slow")
    job = first.make(*first.add(DISC))
    first.running(job)
    second = windows.new(open_=False)
    second.settle()
    assert second.recon.jobs == ()
    first.recon.cancel(job.id)
    first.settle()
    third = windows.new(open_=False)
    third.settle()
    assert [one.state for one in third.recon.jobs] == ["cancelled"]
    # now the first one takes it up again, and the third does not know
    first.recon.retry(job.id)
    first.running(job)
    third.recon.retry(job.id)
    third.settle()
    assert third.troubles == ["“Annotation” is being made in another window."]
    assert third.job(job).state == "cancelled"
    assert first.job(job).state == "running"
    first.recon.cancel(job.id)


def test_what_another_window_made_is_attached_when_the_image_is_opened_here(windows: Windows) -> None:
    first = windows.new()
    second = windows.new(open_=False)
    (one,) = first.add(DISC)
    job = first.make(one)
    first.workspace.close_image()
    first.settle()
    assert not first.job(job).attached
    second.open(first.job(job).image)
    assert len(second.known(one)) == 1
    assert second.job(job).attached
    second.workspace.history.undo()
    second.workspace.close_image()
    second.settle()
    first.open(first.job(job).image)
    assert first.known(one) == []
    assert first.job(job).attached


def test_old_jobs_go_but_none_whose_object_is_nowhere_else(home: Path) -> None:
    folder = paths.data_dir() / "3d"
    folders = JobFolders(folder)
    for number in range(KEPT + 5):
        _put(folders, _record(f"job{number}", created=float(number), attached=number != 2))
    left = {job.id for job in folders.take_over()}
    assert left == {"job2", *(f"job{number}" for number in range(5, KEPT + 5))}
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == left
    folders.close()


def test_leftovers_and_damage_do_not_get_in_the_way(windows: Windows, home: Path) -> None:
    folder = paths.data_dir() / "3d"
    folders = JobFolders(folder)
    _put(folders, _record("unprepared", state="queued", owner="dead"))
    _put(folders, _record("good"))
    folders.close()
    whole = json.dumps(_record("x").to_json())
    texts = {
        "cut": whole[:40],
        "list": "[]",
        "other": whole.replace('"x"', '"y"'),
        "state": whole.replace('"done"', '"flying"'),
        "number": whole.replace('"created": 0.0', '"created": NaN'),
        "image": whole.replace('"image": {', '"image": 3, "was": {'),
        "huge": whole.replace('"created": 0.0', f'"created": {10**400}'),
        "deep": "[" * 200_000,
        "nul": whole.replace("a.gpkg", "a\\u0000b.gpkg"),
        "lone": whole.replace("a.gpkg", "a\\ud800b.gpkg"),
    }
    for name, text in texts.items():
        (folder / name).mkdir()
        (folder / name / RECORD).write_text(text, "utf-8")
    (folder / "empty").mkdir()
    (folder / ".gone-old").mkdir()
    window = windows.new(open_=False)
    window.settle()
    assert {job.id: job.state for job in window.recon.jobs} == {"good": "done", "unprepared": "failed"}
    assert window.recon.get("unprepared") == JobFolders(folder).read("unprepared")
    assert not (folder / ".gone-old").exists()
    assert window.troubles == []


def test_a_job_that_was_removed_elsewhere_says_so(windows: Windows) -> None:
    first = windows.new()
    first.tell(do="fail")
    job = first.make(*first.add(DISC))
    first.settle()
    second = windows.new(open_=False)
    second.settle()
    first.recon.remove(job.id)
    first.settle()
    second.recon.project_moved(job.project, job.project.with_name("other.gpkg"))
    second.settle()
    assert not (first.folder / job.id).exists()
    second.recon.retry(job.id)
    second.settle()
    assert second.job(job).state == "failed"
    assert "does not exist" in second.troubles[0]


def test_a_window_that_is_closed_while_all_is_on_its_way(windows: Windows) -> None:
    """Nothing is written after the end, and nothing is told."""
    first = windows.new()
    (one,) = first.add(DISC)
    jobs = [first.make(one) for _ in range(3)]
    first.recon.cancel(jobs[1].id)
    first.close()
    first.main.drain()
    assert first.finished == []
    second = windows.new()
    second.settle()
    states = {job.id: job.state for job in second.recon.jobs}
    assert states.get(jobs[1].id, "cancelled") == "cancelled"
    assert set(states.values()) <= {"done", "cancelled"}
    assert {jobs[0].id, jobs[2].id} <= states.keys()
    assert second.troubles == []


def test_a_picture_that_was_not_kept_before_the_end_is_told_at_the_next_start(
    windows: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("samdesk.app.reconstruction.queue.KEEPING_S", 0.05)
    first = windows.new()
    (one,) = first.add(DISC)
    gate = threading.Event()
    first.jobs.lane("io").submit(lambda task: gate.wait(WAIT_S))  # a long import
    job, given_up = first.make(one), first.make(one)
    first.recon.cancel(given_up.id)
    first.recon.close()
    gate.set()
    first.close()
    second = windows.new(open_=False)
    second.settle()
    (told,) = [found for found in second.recon.jobs if found.id == job.id]
    assert (told.state, told.owner) == ("failed", "")
    assert told.error == "samdesk ended before the picture of “Annotation” was kept."
    assert told.hint == "Make the object again."
    assert {found.state for found in second.recon.jobs} <= {"failed", "cancelled"}
    assert second.troubles == []
    second.recon.remove(job.id)
    second.settle()
    assert not (second.folder / job.id).exists()


def test_a_job_that_cannot_be_taken_over_does_not_stop_the_others(
    windows: Windows, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = windows.new()
    first.tell(do="be_slow")
    jobs = [first.make(one) for one in first.add(DISC, BOX)]
    first.running(jobs[0])
    first.close()
    write = JobFolders._put

    def refused(self: JobFolders, job: ReconJob) -> None:
        if job.id == jobs[0].id:
            raise SamdeskError("It cannot be written.")
        write(self, job)

    with monkeypatch.context() as patch:
        patch.setattr(JobFolders, "_put", refused)
        folders = JobFolders(first.folder)
        assert [job.id for job in folders.take_over()] == [jobs[1].id]
        folders.close()


def test_a_record_survives_the_way_to_disk(home: Path) -> None:
    folder = paths.data_dir() / "3d"
    folders = JobFolders(folder)
    job = _record("one", error="So.", hint="Do.", kind="oom", seconds=2.5)
    folders.write(job)
    assert not (folder / "one").exists()
    folders.write(replace(job, owner=folders.owner))
    folders.write(replace(job, state="running", fraction=0.5, message="Finding"))
    assert folders.read("one") == replace(job, state="queued")
    folders.write(job)
    assert folders.read("one") == job
    with pytest.raises(SamdeskError, match="does not exist"):
        folders.read("two")
    folders.close()
    folders.write(replace(job, error="Late."))
    assert folders.read("one") == job


def _put(folders: JobFolders, job: ReconJob) -> None:
    """As it would be found on disk."""
    folders.path(job.id).mkdir(parents=True)
    (folders.path(job.id) / RECORD).write_text(json.dumps(job.to_json()), "utf-8")


def _record(name: str, **changes: object) -> ReconJob:
    from uuid import UUID

    known = ReconJob(
        id=name,
        title="Coin",
        engine=ENGINE,
        state="done",
        image=Path("/pictures/a.png"),
        image_name="a.png",
        image_identity="a",
        project=Path("/pictures/a.gpkg"),
        annotations=(UUID(int=1),),
        names=("Coin",),
        created=0.0,
        reconstructions=(f"{name}-0",),
        attached=True,
    )
    return replace(known, **changes)  # type: ignore[arg-type]
