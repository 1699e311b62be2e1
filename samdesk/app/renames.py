"""What a change of the classes of one image means where its class names are used as well.

Pure functions over class lists and edits. Must not know documents, projects or the disk.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from samdesk.domain.columns import AnnotationClass
from samdesk.domain.columns.table import Classes
from samdesk.domain.document import Edit


def renamed_between(before: Classes, after: Classes) -> dict[str, str]:
    """Which classes have another name afterwards: those whose name was replaced in its place.

    A rename that is undone counts as one; classes that were joined do not.
    """
    if len(before) != len(after):
        return {}
    known, left = {one.name for one in before}, {one.name for one in after}
    return {
        old.name: new.name
        for old, new in zip(before, after, strict=True)
        if old.name not in left and new.name not in known
    }


def joined_by(edit: Edit) -> tuple[str, str] | None:
    """The class that an edit removes and the one that its annotations get instead, if it does that."""
    if edit.classes is None or len(edit.classes[1]) >= len(edit.classes[0]) or not edit.keeps_ids:
        return None
    left = {one.name for one in edit.classes[1]}
    for number, one in enumerate(edit.before.classes, 1):
        rows = np.flatnonzero(edit.before.class_id == number)
        if one.name not in left and len(rows) and (then := int(edit.after.class_id[rows[0]])):
            return one.name, edit.after.classes[then - 1].name
    return None


def following(waiting: Mapping[str, str], renamed: Mapping[str, str]) -> dict[str, str]:
    """Renames that wait for an image, and those that came after them, as one.

    A class that has its first name again is not among them.
    """
    result = {old: renamed.get(new, new) for old, new in waiting.items()}
    passed = set(waiting.values())
    result.update((old, new) for old, new in renamed.items() if old not in passed and old not in waiting)
    return {old: new for old, new in result.items() if old != new}


def shared_after(shared: Classes, before: Classes, after: Classes) -> Classes:
    """The classes of a project once those of one of its images have changed.

    Where both were the same they stay so; else the project follows in what has changed.
    """
    if shared == before:
        return after
    renamed = renamed_between(before, after)
    old, new = {one.name: one for one in before}, {one.name: one for one in after}
    gone = old.keys() - new.keys() - renamed.keys()
    result: dict[str, AnnotationClass] = {}
    for one in shared:
        if one.name not in gone:
            name = renamed.get(one.name, one.name)
            recolored = name in new and new[name].color != old.get(one.name, one).color
            result.setdefault(name, AnnotationClass(name, new[name].color if recolored else one.color))
    for one in after:
        if one.name not in old and one.name not in renamed.values():
            result.setdefault(one.name, one)
    return tuple(result.values())
