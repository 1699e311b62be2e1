"""The review: what is shown, what is ticked, and one commit for all of it."""

from __future__ import annotations

import numpy as np
import pytest

from samdesk.app.review import HIDDEN, LOOKS, Batch, Review, State
from samdesk.domain.columns import Annotation, Table
from samdesk.domain.document import Document
from samdesk.domain.geometry import Plane, Region, Shape
from samdesk.domain.prompts import Candidate

CHIP = Region(0, 0, 1024, 1024)


def candidate(x: float, score: float, side: float = 10) -> Candidate:
    return Candidate(Shape.box(x, 0, x + side, side), score, CHIP, engine="fake")


FOUR = [candidate(100 * k, score) for k, score in enumerate((0.9, 0.7, 0.5, 0.3))]


class Keeper:
    def __init__(self) -> None:
        self.kept: list[list[Candidate]] = []
        self.willing = True

    def __call__(self, candidates: list[Candidate]) -> bool:
        if self.willing:
            self.kept.append(candidates)
        return self.willing


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


@pytest.fixture
def review(keeper: Keeper) -> Review:
    made = Review(keeper)
    made.begin("Searching")
    made.add(Batch.of(FOUR))
    made.end()
    return made


def looks(review: Review) -> list[str | None]:
    return [one.class_name for one in review.document.annotations()]


def test_the_slider_filters_what_is_there(review: Review) -> None:
    assert review.shown().tolist() == [0, 1, 2]
    review.min_score = 0.2
    assert review.shown().tolist() == [0, 1, 2, 3]
    review.min_score = 0.8
    assert review.shown().tolist() == [0]
    assert looks(review) == ["Proposed", HIDDEN, HIDDEN, HIDDEN]


def test_all_that_is_ticked_is_handed_over_at_once(review: Review, keeper: Keeper) -> None:
    review.set(1, State.REJECTED)
    assert review.accept()
    assert keeper.kept == [[FOUR[0], FOUR[2]]]
    assert len(review) == 0
    assert not review.title
    assert len(review.document) == 0


def test_a_refused_commit_and_an_empty_one_keep_the_review(review: Review, keeper: Keeper) -> None:
    keeper.willing = False
    assert not review.accept()
    assert len(review) == 4
    keeper.willing = True
    review.reject_all()
    assert not review.accept()
    assert keeper.kept == []


def test_what_a_person_kept_stays_whatever_the_slider_says(review: Review, keeper: Keeper) -> None:
    review.set(2, State.KEPT)
    review.min_score = 0.95
    assert review.shown().tolist() == [2]
    assert review.accept()
    assert keeper.kept == [[FOUR[2]]]


def test_ticking_many(review: Review) -> None:
    review.reject_all()
    assert review.ticked().tolist() == []
    review.keep_all()
    assert review.ticked().tolist() == [0, 1, 2]
    review.keep_above(0.6)
    assert review.ticked().tolist() == [0, 1]
    review.min_score = 0.0
    assert review.ticked().tolist() == [0, 1, 3]


def test_what_is_there_already_begins_unticked(keeper: Keeper) -> None:
    document = Document()
    document.apply(
        document.adding(
            [
                Annotation(Shape.box(0, 0, 10, 9.5)),
                Annotation(Shape.box(100, 0, 110, 8)),
                Annotation(Shape.box(200, 0, 210, 10), plane=Plane(1, 0)),
            ]
        )
    )
    review = Review(keeper)
    review.begin("Searching")
    review.add(Batch.of(FOUR[:3], known=document.snapshot()))
    assert [review.is_there(k) for k in range(3)] == [True, False, False]
    assert review.ticked().tolist() == [1, 2]
    assert review.shown().tolist() == [0, 1, 2]
    review.set(0, State.KEPT)
    assert review.ticked().tolist() == [0, 1, 2]


def test_what_has_no_area_is_left_out() -> None:
    batch = Batch.of([FOUR[0], Candidate(Shape.empty(), 0.9, CHIP), FOUR[1]])
    assert batch.candidates == (FOUR[0], FOUR[1])
    assert batch.areas.tolist() == [100, 100]


def test_results_that_hold_no_more_go_and_what_was_said_of_the_others_stays(review: Review) -> None:
    review.set(1, State.REJECTED)
    review.current = 2
    review.add(Batch.of([candidate(500, 0.8)]), gone=[FOUR[0]])
    assert len(review) == 4
    assert review.scores.tolist() == [0.7, 0.5, 0.3, 0.8]
    assert review.state(0) is State.REJECTED
    assert review.current == 1
    assert looks(review) == ["Rejected", "Proposed", HIDDEN, "Proposed"]


def test_a_point_finds_the_candidate_that_is_shown_there(review: Review) -> None:
    assert review.at(105, 5) == 1
    assert review.at(305, 5) is None
    assert review.at(50, 5) is None
    review.min_score = 0.0
    assert review.at(305, 5) == 3


def test_the_current_one_is_let_go_when_it_is_hidden(review: Review) -> None:
    review.current = 2
    review.min_score = 0.6
    assert review.current is None


def test_listeners_hear_of_marks_and_of_other_changes(review: Review) -> None:
    heard: list[str] = []
    review.changed.connect(lambda: heard.append("changed"))
    review.marked.connect(lambda index: heard.append(f"marked {index}"))
    review.set(0, State.REJECTED)
    review.min_score = 0.6
    review.min_score = 0.6
    review.set(2, State.KEPT)
    assert heard == ["marked 0", "changed", "changed"]


def test_another_search_drops_the_last_one(review: Review) -> None:
    review.begin("Again", floor=0.1, plane=Plane(2, 0))
    assert (len(review), review.busy, review.floor, review.plane) == (0, True, 0.1, Plane(2, 0))
    review.add(Batch.of(FOUR[:1], Plane(2, 0)))
    review.end()
    assert not review.busy
    assert next(iter(review.document.annotations())).plane == Plane(2, 0)


def test_each_state_has_its_look() -> None:
    assert [one.name for one in LOOKS[: len(State)]] == [state.name.capitalize() for state in State]
    assert len({one.color for one in LOOKS}) == len(LOOKS)


def test_ten_thousand_are_filtered_in_columns(keeper: Keeper) -> None:
    scores = np.linspace(0, 1, 10_000)
    many = [candidate(20.0 * (k % 100), float(score)) for k, score in enumerate(scores)]
    review = Review(keeper)
    review.begin("Searching")
    review.add(Batch.of(many))
    review.min_score = 0.9
    assert len(review.shown()) == (scores >= 0.9).sum()
    assert review.document.counts()[HIDDEN] == (scores < 0.9).sum()


# Going through the list


def test_accept_and_reject_go_on_in_the_order_of_the_list(review: Review) -> None:
    assert review.judge(State.KEPT) == 0  # nothing is judged before it was looked at
    assert review.judge(State.REJECTED) == 1
    assert review.judge(State.KEPT) == 2
    assert review.judge(State.REJECTED) == 2
    assert [review.state(k) for k in range(3)] == [State.REJECTED, State.KEPT, State.REJECTED]
    assert review.step(-1) == 1
    assert review.step(-5) == 0


def test_the_order_follows_what_it_is_listed_by(review: Review) -> None:
    review.min_score = 0.0
    assert review.listed().tolist() == [0, 1, 2, 3]
    review.list_by("score", descending=False)
    assert review.listed().tolist() == [3, 2, 1, 0]
    review.list_by("area")
    review.add(Batch.of([candidate(500, 0.6, side=20)]))
    assert review.listed().tolist()[0] == 4
    review.min_score = 0.65
    assert review.listed().tolist() == [0, 1]


def test_one_whose_tick_shows_it_is_left_for_the_next_when_it_is_rejected(review: Review) -> None:
    review.min_score = 0.2
    review.set(3, State.KEPT)
    review.min_score = 0.6
    review.current = 3
    assert review.judge(State.REJECTED) is None
    assert not review.is_shown(3)


# Annotations of a file


def imported() -> Table:
    return Table.from_annotations(
        [
            Annotation(Shape.box(0, 0, 10, 10), class_name="Tumor", measurements={"Mean": 3.0}),
            Annotation(Shape.box(20, 0, 30, 10), provenance={"score": 0.4}),
            Annotation(Shape.points([(50, 50), (60, 60)]), plane=Plane(1, 0)),
        ]
    )


def test_annotations_of_a_file_are_shown_whatever_nobody_scored(keeper: Keeper) -> None:
    review = Review(keeper)
    kept: list[list[int]] = []
    review.begin("Import", keep=lambda rows: bool(kept.append(rows)) or True)
    review.add(Batch.of_table(imported()))
    review.end()
    assert review.shown().tolist() == [0, 2]
    assert (review.note(0), review.note(2)) == ("Tumor", "")
    assert review.plane_of(2) == Plane(1, 0)
    assert review.at(50, 50, 2, Plane(1, 0)) == 2
    assert review[1].score == pytest.approx(0.4)
    review.keep_above(0.5)
    review.set(2, State.REJECTED)
    assert review.accept()
    assert kept == [[0]]
    assert keeper.kept == []


def test_annotations_of_a_file_are_shown_whatever_their_score(keeper: Keeper) -> None:
    rows = [Annotation(Shape.box(20 * k, 0, 20 * k + 9, 9), provenance={"score": s})
            for k, s in enumerate((0.9, 0.45, 0.0))]  # fmt: skip
    kept: list[list[int]] = []
    review = Review(keeper)
    review.min_score = 0.6
    review.begin("Import", keep=lambda rows: not kept.append(rows), any_score=True)
    assert review.min_score == 0
    review.add(Batch.of_table(Table.from_annotations(rows)))
    review.end()
    assert len(review.ticked()) == 3
    review.min_score = 0.4  # one may filter all the same
    assert len(review.ticked()) == 2
    assert review.accept()
    assert kept == [[0, 1]]
    assert review.min_score == 0.6  # as searches had it
    review.begin("Import", any_score=True)
    assert review.search_score == 0.6
    review.begin("Find")
    assert review.min_score == 0.6


def test_those_that_are_there_are_said_to_be(keeper: Keeper) -> None:
    document = Document()
    table = imported()
    twin = Annotation(Shape.box(20, 0, 30, 10))
    document.apply(document.adding([table.annotation(0), twin]))
    batch = Batch.of_table(table, document.snapshot())
    assert batch.replaces.tolist() == [True, False, False]
    assert batch.there.tolist() == [False, True, False]
