"""Lanes: order, newest-wins, cancel, errors, and the way back to the main thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator

import pytest

from samdesk.app.jobs import Job, Jobs, MainQueue
from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task


@pytest.fixture
def main() -> MainQueue:
    return MainQueue()


@pytest.fixture
def jobs(main: MainQueue):
    made = Jobs(main)
    yield made
    made.close()


def test_result_comes_back_on_the_main_thread(jobs: Jobs, main: MainQueue) -> None:
    heard: list[tuple[int, int]] = []
    jobs.lane("io").submit(
        lambda task: threading.get_ident(),
        done=lambda job: heard.append((job.result, threading.get_ident())),
    )
    main.run_until(lambda: bool(heard), 5)
    worker, listener = heard[0]
    assert listener == threading.get_ident() != worker


def test_jobs_of_one_lane_run_in_order_and_priority_goes_first(jobs: Jobs, main: MainQueue) -> None:
    gate, order = threading.Event(), []
    lane = jobs.lane("io")
    lane.submit(lambda task: gate.wait(5))
    for name, priority in (("a", 0), ("late", 5), ("b", 0), ("first", -1)):
        lane.submit(lambda task, n=name: order.append(n), priority=priority)
    gate.set()
    main.run_until(lambda: lane.idle, 5)
    assert order == ["first", "a", "b", "late"]


def test_newer_job_with_the_same_key_cancels_the_queued_one(jobs: Jobs, main: MainQueue) -> None:
    gate, ran = threading.Event(), []
    lane = jobs.lane("io")
    lane.submit(lambda task: gate.wait(5))
    made = [lane.submit(lambda task, k=k: ran.append(k), key="same") for k in range(5)]
    gate.set()
    main.run_until(lambda: lane.idle, 5)
    assert ran == [4]
    assert [job.state for job in made] == ["cancelled"] * 4 + ["done"]


def test_cancel_of_a_running_job_returns_at_once_and_its_result_is_discarded(
    jobs: Jobs, main: MainQueue
) -> None:
    gate, inside, thrown, heard = threading.Event(), threading.Event(), [], []

    def stubborn(task: Task) -> str:
        inside.set()
        gate.wait(5)
        return "too late"

    job = jobs.lane("io").submit(
        stubborn, title="Stubborn", done=lambda j: heard.append(j.state), discard=thrown.append
    )
    assert inside.wait(5)
    assert jobs.visible == (job,)
    started = time.perf_counter()
    job.cancel()
    assert time.perf_counter() - started < 0.1
    assert jobs.visible == ()
    gate.set()
    main.run_until(lambda: jobs.idle and bool(heard), 5)
    assert (heard, thrown, job.result) == (["cancelled"], ["too late"], "too late")


def test_cancelled_job_stops_at_its_next_check(jobs: Jobs, main: MainQueue) -> None:
    inside, steps = threading.Event(), []

    def long(task: Task) -> None:
        for step in range(10**9):
            steps.append(step)
            inside.set()
            task.check()

    job = jobs.lane("io").submit(long)
    assert inside.wait(5)
    job.cancel()
    main.run_until(lambda: jobs.idle, 5)
    assert len(steps) < 10**9


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SamdeskError("a.tif is broken.", "Convert it."), "a.tif is broken."),
        (MemoryError(), "“Reading” ran out of memory."),
    ],
)
def test_failures_reach_the_user_as_one_kind_of_error(
    jobs: Jobs, main: MainQueue, error: BaseException, message: str
) -> None:
    told: list[Job[object]] = []
    jobs.failed.connect(told.append)

    def fail(task: Task) -> None:
        raise error

    jobs.lane("io").submit(fail, title="Reading")
    main.run_until(lambda: bool(told), 5)
    assert told[0].error is not None
    assert told[0].error.message == message


def test_an_unexpected_failure_is_logged_and_told(
    jobs: Jobs, main: MainQueue, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Job[object]] = []
    jobs.failed.connect(told.append)
    jobs.lane("io").submit(lambda task: 1 // 0, title="Dividing")
    main.run_until(lambda: bool(told), 5)
    assert "Dividing" in told[0].error.message
    assert "ZeroDivisionError" in caplog.text
    caplog.clear()


def test_progress_is_announced_for_titled_jobs_only(jobs: Jobs, main: MainQueue) -> None:
    seen: list[tuple[str, float | None]] = []
    jobs.changed.connect(lambda job: seen.append((job.state, job.progress.fraction)))

    def work(task: Task) -> None:
        task.progress(0.25, "reading")

    jobs.lane("io").submit(work, title="Reading")
    jobs.lane("io").submit(work)
    main.run_until(lambda: jobs.idle, 5)
    main.drain()
    assert seen[-1] == ("done", 0.25)
    assert {state for state, _ in seen} <= {"queued", "running", "done"}


def test_close_leaves_no_thread(main: MainQueue) -> None:
    jobs = Jobs(main)
    gate = threading.Event()
    jobs.lane("model").submit(lambda task: gate.wait(5))
    waiting = jobs.lane("model").submit(lambda task: None)
    gate.set()
    jobs.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("samdesk-")]
    assert waiting.finished
    assert jobs.lane("model").submit(lambda task: None).state == "cancelled"


def test_between_two_steps_more_urgent_jobs_go_first(jobs: Jobs, main: MainQueue) -> None:
    lane, order, gate = jobs.lane("model"), [], threading.Event()

    def steps(task: Task) -> Generator[None, None, str]:
        gate.wait(5)
        for number in range(3):
            order.append(f"step {number}")
            if number == 0:
                lane.submit(lambda task: order.append("click"), priority=-1)
                lane.submit(lambda task: order.append("later"), priority=99)
            yield
        return "result"

    job = lane.submit_steps(steps, title="Preparing", priority=9)
    gate.set()
    main.run_until(lambda: jobs.idle, 5)
    assert order == ["step 0", "click", "step 1", "step 2", "later"]
    assert (job.state, job.result) == ("done", "result")


def test_a_job_in_steps_is_one_job_with_one_end(jobs: Jobs, main: MainQueue) -> None:
    told: list[tuple[Job[object], str]] = []
    ends: list[str] = []
    jobs.changed.connect(lambda job: told.append((job, job.state)))

    def steps(task: Task) -> Generator[None, None, None]:
        for number in range(4):
            task.progress(number / 4, f"{number} of 4")
            yield

    job = jobs.lane("model").submit_steps(steps, title="Preparing", done=lambda j: ends.append(j.state))
    assert jobs.visible == (job,)
    main.run_until(lambda: jobs.idle, 5)
    main.drain()
    assert ends == ["done"]
    assert {one for one, _ in told} == {job}
    assert job.progress.message == "3 of 4"
    assert jobs.visible == ()


def test_cancelled_between_two_steps_it_is_not_resumed(jobs: Jobs, main: MainQueue) -> None:
    lane, ran, ends = jobs.lane("model"), [], []
    between, gate = threading.Event(), threading.Event()

    def hold(task: Task) -> None:
        between.set()
        gate.wait(5)

    def steps(task: Task) -> Generator[None, None, None]:
        for number in range(100):
            ran.append(number)
            lane.submit(hold)
            yield

    job = lane.submit_steps(steps, title="Preparing", done=lambda j: ends.append(j.state), priority=9)
    assert between.wait(5)
    job.cancel()
    assert jobs.visible == ()
    gate.set()
    main.run_until(lambda: jobs.idle and bool(ends), 5)
    assert (ends, ran) == (["cancelled"], [0])


def test_a_step_that_fails_ends_the_job(jobs: Jobs, main: MainQueue) -> None:
    told: list[Job[object]] = []
    jobs.failed.connect(told.append)

    def steps(task: Task) -> Generator[None, None, None]:
        yield
        raise SamdeskError("The room is used up.")

    job = jobs.lane("model").submit_steps(steps, title="Preparing")
    main.run_until(lambda: bool(told), 5)
    assert told == [job]
    assert job.error is not None


def test_close_ends_a_job_in_steps(main: MainQueue) -> None:
    jobs = Jobs(main)
    started = threading.Event()

    def steps(task: Task) -> Generator[None, None, None]:
        while True:
            started.set()
            yield

    job = jobs.lane("model").submit_steps(steps)
    assert started.wait(5)
    jobs.close()
    assert job.state == "cancelled"
    assert not [t for t in threading.enumerate() if t.name.startswith("samdesk-")]
