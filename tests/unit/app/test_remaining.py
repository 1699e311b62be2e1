"""How long a job will still take: with a clock of our own."""

from __future__ import annotations

import pytest

from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.remaining import Pace, remaining_text
from samdesk.domain.tasks import Task


def paced(reports: list[tuple[float, float]]) -> Pace:
    (start, first), *others = reports
    pace = Pace.started(start, first)
    for now, fraction in others:
        pace = pace.reported(now, fraction)
    return pace


def steady(seconds: float, upto: float, every: float = 0.5) -> Pace:
    """A job of so many seconds, as it is at `upto`."""
    return paced([(t * every, t * every / seconds) for t in range(int(upto / every) + 1)])


def test_nothing_is_said_at_first() -> None:
    assert steady(100, 2).remaining(2.0) is None
    assert Pace.started(0.0).remaining(60.0) is None
    assert paced([(0, 0.0), (10, 0.001)]).remaining(10.0) is None


@pytest.mark.parametrize("seconds", [20, 100, 1000, 20_000])
def test_a_steady_job_is_told_right(seconds: float) -> None:
    at = max(5.0, seconds / 50)
    told = steady(seconds, at).remaining(at)
    assert told == pytest.approx(seconds - at, rel=0.05)


def test_it_counts_down_between_two_reports() -> None:
    pace = paced([(0, 0.0), (10, 0.1), (20, 0.2)])
    assert pace.remaining(20.0) == pytest.approx(80, rel=0.01)
    assert pace.remaining(29.0) == pytest.approx(71, rel=0.02)


def test_a_job_that_hangs_takes_longer_and_longer() -> None:
    pace = steady(100, 50)
    told = [pace.remaining(50.0 + silent) for silent in (0, 30, 60, 300)]
    assert told == sorted(told)
    assert told[-1] > 3 * told[0]


def test_what_goes_slower_is_told_so_after_a_while() -> None:
    pace = steady(100, 40)
    for k in range(1, 121):  # from now on a quarter as fast
        pace = pace.reported(40 + k, 0.4 + k / 400)
    assert pace.remaining(160.0) == pytest.approx(0.3 * 400, rel=0.3)


def test_resuming_counts_only_what_was_done_now() -> None:
    pace = paced([(0, 0.9), (5, 0.92), (10, 0.94)])
    assert pace.remaining(10.0) == pytest.approx(15, rel=0.05)


def test_a_stage_that_begins_again_is_timed_anew() -> None:
    pace = steady(10, 9).reported(10.0, 0.0)
    assert pace.remaining(12.0) is None
    assert pace.reported(15.0, 0.5).remaining(15.0) == pytest.approx(5, rel=0.05)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0, "a few seconds left"),
        (7.9, "a few seconds left"),
        (12.0, "about 10 s left"),
        (54.0, "about 50 s left"),
        (58.0, "about 1 min left"),
        (170.0, "about 3 min left"),
        (3_500.0, "about 58 min left"),
        (5_000.0, "about 1 h 20 min left"),
        (7_190.0, "about 2 h left"),
        (40_000.0, "about 11 h left"),
    ],
)
def test_the_words_are_round(seconds: float | None, text: str) -> None:
    assert remaining_text(seconds) == text


def test_a_job_knows_it_from_what_it_reports() -> None:
    main = MainQueue()
    jobs = Jobs(main)

    def work(task: Task) -> None:
        task.progress(0.0)
        task.progress(0.25)
        task.progress(None, "tidying up")

    job = jobs.lane("io").submit(work, title="Working")
    paces = []
    jobs.changed.connect(lambda _: paces.append(job.remaining(job.started + 4.0)))
    main.run_until(lambda: job.finished)
    assert job.state == "done"
    assert job.remaining(job.started + 4.0) is None  # what cannot be told is not told
    jobs.close()
