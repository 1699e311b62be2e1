"""Commands: looking through what a search found or a file holds.

Must not know widgets.
"""

from __future__ import annotations

from samdesk.app.review import State

from .table import Command, Context


def _look_at(c: Context, index: int | None) -> None:
    """Bring the candidate into view that one came to."""
    if index is not None:
        c.workspace.set_plane(c.workspace.review.plane_of(index))
        c.view.bring_into_view(c.workspace.review.bounds(index))


def _judge(c: Context, state: State) -> None:
    _look_at(c, c.workspace.review.judge(state))


def _step(c: Context, by: int) -> None:
    _look_at(c, c.workspace.review.step(by))


ROWS = (
    Command("review.accept", "Accept", ("A",), "Segment/7", "reviewing", lambda c: _judge(c, State.KEPT),
            "Tick what is stressed in the picture, and go on to the next"),
    Command("review.reject", "Reject", ("R",), "Segment/7", "reviewing",
            lambda c: _judge(c, State.REJECTED), "Leave it out, and go on to the next"),
    Command("review.next", "Next Found", ("Alt+Down",), "Segment/7", "reviewing", lambda c: _step(c, 1)),
    Command("review.previous", "Previous Found", ("Alt+Up",), "Segment/7", "reviewing",
            lambda c: _step(c, -1)),
    Command("review.keep", "Keep What Is Ticked", ("Ctrl+Shift+Return",), "Segment/7", "review ready",
            lambda c: c.workspace.review.accept(), "All of it, as one step"),
    Command("review.drop", "Drop What Was Found", (), "Segment/7", "reviewing",
            lambda c: c.workspace.review.clear()),
)  # fmt: skip
