"""Keeping: candidates become annotations, or take the place of their shapes. Must not know widgets."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol
from uuid import UUID

from samdesk.domain.columns import Annotation
from samdesk.domain.document import Edit
from samdesk.domain.geometry import Plane
from samdesk.domain.outline import simplify
from samdesk.domain.prompts import Candidate, Prompts
from samdesk.sdk import provenance

from . import desk
from .finding import FindSession
from .refining import Seen, is_refinable, refined_annotation
from .review import Review
from .session import PromptSession


class Desk(desk.Desk, Protocol):
    """The open image with its document, and who proposes; the workspace is one."""

    @property
    def session(self) -> PromptSession: ...
    @property
    def review(self) -> Review: ...
    @property
    def finding(self) -> FindSession: ...
    @property
    def showing(self) -> Seen: ...
    def set_plane(self, plane: Plane) -> None: ...
    def select_tool(self, name: str) -> None: ...


class Keeping:
    """What the session and the review hand over, as edits of the document.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._counted: list[UUID] = []

    # What the session hands over

    def keep(self, candidate: Candidate, prompts: Prompts) -> bool:
        """Add a candidate, or give its shape to the annotation that is refined; False when refused."""
        w = self._desk
        if w.image is None:
            return False
        candidate = replace(candidate, shape=simplify(candidate.shape, w.settings["outline_tolerance"]))
        if w.session.refined is not None:
            return self._refine(w.session.refined, candidate, prompts)
        annotation = Annotation(
            shape=candidate.shape,
            class_name=w.session.class_name,
            plane=w.plane,
            provenance={**provenance(candidate, prompts), **w.showing.provenance},
        )
        if not w.do(w.document.adding([annotation], "Add annotation")):
            return False
        if w.session.auto:  # a selection would take the class keys
            w.selection.clear()
            self._counted.append(annotation.id)
        else:
            w.selection.set([annotation.id])
        return True

    def _refine(self, before: Annotation, candidate: Candidate, prompts: Prompts) -> bool:
        w = self._desk
        if before.id not in w.document:
            return False
        now = w.document.get(before.id)
        if now.locked:
            w.tell("info", "The annotation is locked.", "Unlock it first: Ctrl+K.")
            return False
        class_name = w.session.class_name if w.session.class_name != before.class_name else now.class_name
        new = refined_annotation(now, candidate, prompts, class_name, w.showing.provenance)
        return w.do(w.document.replacing([new], "Refine annotation"))

    def refine_selected(self, scale: float) -> None:
        """Make the one selected area a prompt again; scale in image px per screen px."""
        w = self._desk
        if w.editable and is_refinable(w.document.snapshot(), w.selection.ids):
            annotation = w.document.get(w.selection.ids[0])
            w.set_plane(annotation.plane)
            w.select_tool("segment")
            w.session.refine(annotation, scale)

    # What the review hands over

    def keep_found(self, candidates: list[Candidate]) -> bool:
        """Add what a search found, as one step."""
        w, prompts = self._desk, self._desk.finding.asked
        tolerance, contrast = w.settings["outline_tolerance"], w.showing.provenance
        found = [
            Annotation(
                shape=simplify(one.shape, tolerance),
                class_name=w.active_class,
                plane=w.review.plane,
                provenance={**provenance(one, prompts, of_many=True), **contrast},
            )
            for one in candidates
        ]
        count = f"{len(found):,} annotations" if len(found) > 1 else "annotation"
        return w.do(w.document.adding(found, f"Add {count}"))

    # Following the document

    def count_anew(self) -> None:
        """Begin to count what is accepted unasked."""
        self._counted.clear()

    def edited(self, edit: Edit) -> None:
        """Follow a change of the document: what was undone does not count, and what has another
        shape or is gone is not refined any more."""
        session, document = self._desk.session, self._desk.document
        if self._counted and len(edit.before) + len(edit.after):
            session.count_kept(int(document.snapshot().has(self._counted).sum()))
        refined = session.refined
        if refined is not None and not (
            refined.id in document and document.get(refined.id).shape == refined.shape
        ):
            session.drop()
