"""The search for many objects at once: by words, by examples, or for everything there is.

Lives on the main thread; all inference goes to lane `model`. For words and examples it goes chip
by chip, so that a click made meanwhile waits for one chip at most. What is found goes to the
review. Must not know widgets, documents or files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from psygnal import Signal

from samdesk.app.jobs import Job, Jobs
from samdesk.app.review import Batch, Review
from samdesk.domain.document import Snapshot
from samdesk.domain.geometry import Bounds, Plane
from samdesk.domain.prompts import BoxPrompt, Candidate, Prompts
from samdesk.engines.automask import AutomaskOptions
from samdesk.sdk import Image, MaskOptions, Segmenter
from samdesk.sdk.automask import options_for

from .looks import Where
from .search import Everything, Search, Steps

FLOOR = 0.2
"""An engine is asked for this score or less, so that the slider needs not ask it again."""


class FindSession:
    """What to search for, and the search that runs.

    Parameters
    ----------
    jobs : Jobs
    segmenter : Segmenter
    review : Review
        Receives what is found.
    known : callable
        Gives the annotations that are there already.

    Attributes
    ----------
    changed : Signal()
        The words, the examples, or whether a search runs.
    example_added : Signal()
        The user drew another example.
    text : str
        What to find, in words.
    examples : tuple of BoxPrompt
        Boxes around what to find and, negative, around what not to.
    dragged : BoxPrompt or None
        The example that is being drawn.
    asked : Prompts
        What the candidates in the review were found by.
    options : MaskOptions
        How the answers to words and examples become shapes.
    """

    changed = Signal()
    example_added = Signal()

    def __init__(
        self, jobs: Jobs, segmenter: Segmenter, review: Review, known: Callable[[], Snapshot]
    ) -> None:
        self._jobs = jobs
        self._lane = jobs.lane("model")
        self._segmenter = segmenter
        self._known = known
        self._image: Image | None = None
        self._plane = Plane()
        self._run: object | None = None
        self._job: Job[Any] | None = None
        self._text = ""
        self.review = review
        self.examples: tuple[BoxPrompt, ...] = ()
        self.dragged: BoxPrompt | None = None
        self.asked = Prompts()
        self.options = MaskOptions()

    # What is looked at

    @property
    def image(self) -> Image | None:
        return self._image

    @property
    def finds(self) -> bool:
        """Whether the engine searches by words and examples."""
        return self._segmenter.finds

    @property
    def busy(self) -> bool:
        return self._run is not None

    def set_image(self, image: Image | None, plane: Plane = Plane()) -> None:
        """Look at another picture, or at the same one displayed differently; examples stay where they
        still mean something, and so do the candidates until another image comes."""
        before, plane_before = self._image, self._plane
        self._image, self._plane = image, plane
        same = image is not None and before is not None and image.source is before.source
        if same and plane == plane_before:
            return
        self.stop()
        self.examples, self.dragged = (), None
        if not same:
            self.review.clear()
        self.changed.emit()

    def set_levels(self, image: Image) -> None:
        """The same picture with more levels: everything stays."""
        self._image = image

    def set_segmenter(self, segmenter: Segmenter) -> None:
        """Search with another engine from now on; the same one may have become ready since."""
        if segmenter is not self._segmenter:
            self.stop()
            self._segmenter = segmenter
        self.changed.emit()

    # What to find

    @property
    def text(self) -> str:
        return self._text

    @text.setter
    def text(self, text: str) -> None:
        if text != self._text:
            self._text = text
            self.changed.emit()

    @property
    def prompts(self) -> Prompts:
        return Prompts(boxes=self.examples, text=" ".join(self._text.split()))

    @property
    def can_search(self) -> bool:
        """Whether there is something to search for, and an engine that can."""
        prompts = self.prompts
        asks = bool(prompts.text) or any(box.positive for box in prompts.boxes)
        return self._image is not None and self.finds and asks

    def drag_example(self, box: BoxPrompt | None) -> None:
        """Show the example that is being drawn."""
        if box != self.dragged:
            self.dragged = box
            self.changed.emit()

    def add_example(self, box: BoxPrompt) -> None:
        """Take an example, cut to the image."""
        self.dragged = None
        if self._image is not None:
            cut = box.bounds.intersection(Bounds(0, 0, *self._image.size))
            if not cut.is_empty:
                self.examples = (*self.examples, BoxPrompt(cut, box.positive))
                self.changed.emit()
                self.example_added.emit()
                return
        self.changed.emit()

    def remove_example(self, index: int) -> None:
        self.examples = (*self.examples[:index], *self.examples[index + 1 :])
        self.changed.emit()

    # Searching

    def search(self, where: Where) -> None:
        """Find what the words and examples describe. Returns at once; a running search is given up.

        What cannot be searched for fails as a job.
        """
        if self._image is None:
            return
        prompts = self.prompts
        what = f"Searching “{_short(prompts.text)}”" if prompts.text else "Searching by example"
        floor = min(FLOOR, self.review.search_score)
        known = self._known()
        search = Search(self._segmenter, self._image, self._plane, prompts, where, floor, known, self.options)
        self._begin(what, prompts, floor, search.steps)

    def automask(self, where: Where, options: AutomaskOptions | None = None) -> None:
        """Find everything there is. Returns at once; a running search is given up.

        Parameters
        ----------
        where : Where
        options : AutomaskOptions, optional
            By default those that suit the engine.
        """
        if self._image is None:
            return
        chosen = options or options_for(self._segmenter)
        everything = Everything(self._segmenter, self._image, self._plane, where, chosen, self._known())
        self._begin(f"Finding everything in {where.title}", Prompts(), 0.0, everything.steps)

    def _begin(self, title: str, prompts: Prompts, floor: float, steps: Steps) -> None:
        self.stop()
        self.asked = prompts
        self.review.begin(title, floor, self._plane)
        run = self._run = object()
        dispatch = self._jobs.dispatch

        def found(batch: Batch, gone: Sequence[Candidate] = ()) -> None:
            dispatch(partial(self._arrived, run, batch, gone))

        self._job = self._lane.submit_steps(
            lambda task: steps(task, found), title=title, key="find", done=lambda job: self._ended(run)
        )
        self.changed.emit()

    def _arrived(self, run: object, batch: Batch, gone: Sequence[Candidate]) -> None:
        if run is self._run:
            self.review.add(batch, gone)

    def _ended(self, run: object) -> None:
        if run is self._run:
            self._run = self._job = None
            self.review.end()
            self.changed.emit()

    def stop(self) -> None:
        """Give up the running search; what it found stays in the review."""
        if self._run is None:
            return
        job, self._job, self._run = self._job, None, None
        if job is not None:
            job.cancel()
        self.review.end()
        self.changed.emit()


def _short(text: str, most: int = 40) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
