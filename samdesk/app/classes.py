"""The classes of the document: adding, renaming, coloring, ordering and removing them, and which are shown.

All changes of classes are edits; which are hidden is a matter of looking, and is kept with the
project. Lives on the main thread. Must not know widgets.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from psygnal import Signal

from samdesk.domain.columns import DEFAULT_CLASSES, AnnotationClass, Color, color_of_name
from samdesk.domain.document import Edit
from samdesk.domain.errors import SamdeskError
from samdesk.formats.classlist import read_classes, write_classes

from . import desk
from .jobs import Job
from .renames import renamed_between
from .session import PromptSession

META = "hidden_classes"
"""The name under which the project keeps which classes are hidden."""

KEYS = 9
"""So many classes, from the first on, have a number key; 0 is for no class."""


class Desk(desk.Desk, Protocol):
    """The open image with its document; the workspace is one."""

    @property
    def session(self) -> PromptSession: ...
    def choose_class(self, name: str | None) -> None: ...
    def set_class(self, name: str | None) -> None: ...


class Classes:
    """The classes of one workspace's document.

    Attributes
    ----------
    hidden : frozenset of str or None
        Classes whose annotations are not shown; None stands for unclassified.
    hidden_changed : Signal()
    """

    hidden_changed = Signal()

    def __init__(self, workspace: Desk) -> None:
        self._workspace = workspace
        self.hidden: frozenset[str | None] = frozenset()

    def opened(self, meta: Mapping[str, Any]) -> None:
        """Follow the document that was opened, and hide what was hidden when it was closed.

        Parameters
        ----------
        meta : mapping of str to JSON value
            What the project keeps beside the annotations.
        """
        workspace, kept, before = self._workspace, meta.get(META), self.hidden
        known: set[str | None] = {None, *self.names}
        named = kept if isinstance(kept, list) else ()
        self.hidden = frozenset(one for one in named if one is None or isinstance(one, str)) & known
        if workspace.active_class not in known:
            workspace.choose_class(None)
        workspace.document.changed.connect(self._edited)
        if self.hidden != before:
            self.hidden_changed.emit()

    # Reading

    @property
    def names(self) -> list[str]:
        """In order; the first nine have the number keys."""
        return [one.name for one in self._workspace.document.classes]

    def get(self, name: str) -> AnnotationClass:
        """A class by its name; KeyError when there is none."""
        for one in self._workspace.document.classes:
            if one.name == name:
                return one
        raise KeyError(name)

    def key_of(self, name: str | None) -> str:
        """The number key of a class, or nothing."""
        if name is None:
            return "0"
        names = self.names[:KEYS]
        return str(names.index(name) + 1) if name in names else ""

    def count(self, name: str | None) -> int:
        """How many annotations have it."""
        return self._workspace.document.counts().get(name, 0)

    # Changing; each is one undo step, and False when nothing was done

    def add(self, name: str, color: Color | None = None) -> bool:
        """Add a class at the end.

        Raises
        ------
        SamdeskError
            When there is one of this name, or it has no name.
        """
        name = _checked(name)
        if name in self.names:
            raise SamdeskError(f"There is a class “{name}” already.", "Choose another name.")
        added = AnnotationClass(name, color or color_of_name(name))
        return self._become([*self._classes, added], f"Add class {name}")

    def change(self, name: str, new: str, color: Color) -> bool:
        """Give a class another name and color; its annotations follow.

        A name that another class has already joins the two, when the user wants that.
        """
        new = _checked(new)
        if new == name:
            return self._become(
                [one._replace(color=color) if one.name == name else one for one in self._classes],
                f"Change color of {name}",
            )
        if new in self.names:
            return self._join(name, new)
        changed = [AnnotationClass(new, color) if one.name == name else one for one in self._classes]
        return self._renamed(name, new, changed, f"Rename class {name} to {new}")

    def rename(self, name: str, new: str) -> bool:
        """Give a class another name; see `change`."""
        return new.strip() != name and self.change(name, new, self.get(name).color)

    def recolor(self, name: str, color: Color) -> bool:
        return self.change(name, name, color)

    def _join(self, name: str, other: str) -> bool:
        ask = self._workspace.ask
        what = _annotations(self.count(name))
        if ask is None or ask.choose(
            f"There is a class “{other}” already.",
            f"Join “{name}” with it? {what} of “{name}” become “{other}”.",
            ("Join",),
        ) is None:  # fmt: skip
            return False
        left = [one for one in self._classes if one.name != name]
        return self._renamed(name, other, left, f"Join class {name} with {other}")

    def _renamed(self, name: str, new: str, classes: list[AnnotationClass], title: str) -> bool:
        workspace = self._workspace
        was_active = workspace.active_class == name
        if not self._become(classes, title, {name: new}):
            return False
        if was_active:
            workspace.choose_class(new)
        return True

    def remove(self, names: Iterable[str]) -> bool:
        """Remove classes; asks first when annotations have them, which become unclassified."""
        gone = [name for name in names if name in self.names]
        if not gone:
            return False
        what = f"class “{gone[0]}”" if len(gone) == 1 else f"{len(gone)} classes"
        used = sum(self.count(name) for name in gone)
        ask = self._workspace.ask
        if used and (ask is None or ask.choose(
            f"Remove {what}?", f"{_annotations(used)} will become unclassified.", ("Remove",)
        ) is None):  # fmt: skip
            return False
        title = f"Remove class {gone[0]}" if len(gone) == 1 else f"Remove {what}"
        return self._become([one for one in self._classes if one.name not in gone], title)

    def move(self, name: str, steps: int) -> bool:
        """Move a class up (negative) or down in the list; the order decides the number keys."""
        classes = self._classes
        place = self.names.index(name)
        target = min(max(place + steps, 0), len(classes) - 1)
        classes.insert(target, classes.pop(place))
        return target != place and self._become(classes, f"Move class {name}")

    def reset(self) -> bool:
        """Add those of QuPath's default classes that are missing."""
        known = set(self.names)
        missing = [one for one in DEFAULT_CLASSES if one.name not in known]
        return bool(missing) and self._become([*self._classes, *missing], "Add default classes")

    @property
    def _classes(self) -> list[AnnotationClass]:
        return list(self._workspace.document.classes)

    def _become(
        self, classes: list[AnnotationClass], title: str, renamed: Mapping[str, str] | None = None
    ) -> bool:
        if tuple(classes) == self._workspace.document.classes:
            return False
        return self._workspace.do(self._workspace.document.with_classes(classes, title, renamed))

    def _edited(self, edit: Edit) -> None:
        workspace = self._workspace
        if edit.classes is None:
            return
        if workspace.active_class not in {None, *self.names}:
            workspace.choose_class(None)
        self.go_on_hiding(self.hidden, renamed_between(*edit.classes))

    # Choosing

    def press(self, digit: int) -> None:
        """What a number key does: give its class to the selection, or make it the active class.

        While a candidate is being made the key is for the candidate. 0 is no class.
        """
        workspace, names = self._workspace, self.names
        if digit > len(names):
            return
        name = names[digit - 1] if digit else None
        if len(workspace.selection) and not workspace.session.has_prompts:
            workspace.set_class(name)
        else:
            workspace.choose_class(name)

    def select_all_of(self, names: Iterable[str | None]) -> None:
        """Select all annotations of these classes, in list order."""
        table, wanted = self._workspace.document.table(), set(names)
        every = [None, *(one.name for one in table.classes)]
        chosen = np.array([name in wanted for name in every])[table.class_id]
        self._workspace.selection.set_known(table.ids[chosen])

    # Showing

    def visible(self, ids: list[uuid.UUID]) -> list[uuid.UUID]:
        """Those of a few annotations that are not hidden, in the same order."""
        if not self.hidden:
            return ids
        document = self._workspace.document
        return [one for one in ids if document.get(one).class_name not in self.hidden]

    def hide(self, names: Iterable[str | None]) -> None:
        self._hide(self.hidden | set(names))

    def show(self, names: Iterable[str | None]) -> None:
        self._hide(self.hidden - set(names))

    def toggle(self, names: Iterable[str | None]) -> None:
        """Hide these classes, or show them again when all of them are hidden."""
        chosen = set(names)
        self._hide(self.hidden - chosen if chosen <= self.hidden else self.hidden | chosen)

    def show_only(self, names: Iterable[str | None]) -> None:
        """Hide all classes but these."""
        self._hide({None, *self.names} - set(names))

    def show_all(self) -> None:
        self._hide(())

    def go_on_hiding(self, hidden: Iterable[str | None], renamed: Mapping[str, str]) -> None:
        """Hide the classes that were hidden, under the names that they have now; others are shown."""
        now = {name if name is None else renamed.get(name, name) for name in hidden}
        self._hide(now & {None, *self.names})

    def _hide(self, names: Iterable[str | None]) -> None:
        hidden = frozenset(names)
        if hidden == self.hidden:
            return
        self.hidden = hidden
        if self._workspace.journal is not None:
            kept = sorted(hidden, key=lambda name: (name is not None, name or ""))
            self._workspace.journal.note(META, kept or None)
        self.hidden_changed.emit()

    # Files

    def export(self, path: Path) -> None:
        """Write the list of classes as JSON. Returns at once; a notice tells the end."""
        classes = self._workspace.document.classes

        def written(job: Job[None]) -> None:
            if job.state == "done":
                self._workspace.tell("info", f"{_classes_of(len(classes))} written to {path.name}.")

        self._workspace.jobs.lane("io").submit(lambda task: write_classes(path, classes), done=written)

    def import_from(self, path: Path) -> None:
        """Take over the classes of a list or of another project, as one undo step. Returns at once.

        Classes that are here already get the color that the file gives them.
        """
        document = self._workspace.document

        def read(job: Job[tuple[AnnotationClass, ...]]) -> None:
            if job.state == "done" and job.result is not None and self._workspace.document is document:
                self._take(job.result, path.name)

        self._workspace.jobs.lane("io").submit(lambda task: read_classes(path), done=read)

    def _take(self, found: Iterable[AnnotationClass], where: str) -> None:
        colors = {one.name: one.color for one in found}
        here = self._classes
        new = [AnnotationClass(*one) for one in colors.items() if one[0] not in self.names]
        recolored = [one for one in here if colors.get(one.name, one.color) != one.color]
        kept = [one._replace(color=colors.get(one.name, one.color)) for one in here]
        if not new and not recolored:
            self._workspace.tell("info", f"The classes of {where} are all here already.")
        elif self._become([*kept, *new], f"Import classes of {where}"):
            said = [f"{_classes_of(len(new))} added"] if new else []
            said += [f"the color of {_classes_of(len(recolored))} changed"] if recolored else []
            self._workspace.tell("info", f"{where}: {', '.join(said)}.")


def _checked(name: str) -> str:
    name = " ".join(name.split())
    if not name:
        raise SamdeskError("A class needs a name.", "Type one.")
    return name


def _annotations(count: int) -> str:
    return "1 annotation" if count == 1 else f"{count:,} annotations"


def _classes_of(count: int) -> str:
    return "1 class" if count == 1 else f"{count:,} classes"
