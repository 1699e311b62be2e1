"""What 3D jobs need to know of the window's workspace, and what they ask of it.

Must not know widgets or workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from samdesk.app.jobs import Jobs
from samdesk.domain.columns import Annotation
from samdesk.domain.document import Document, Edit
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane
from samdesk.recon.engines import ReconSpec
from samdesk.sdk import Image


class Values(Protocol):
    """The settings."""

    def __getitem__(self, name: str, /) -> Any: ...


class OpenProject(Protocol):
    """The project file of the open document; a journal is one."""

    @property
    def path(self) -> Path: ...
    @property
    def reason(self) -> str:
        """Why it cannot be changed."""


class Desk(Protocol):
    """The open image with its document; the workspace is one. Read on the main thread."""

    @property
    def jobs(self) -> Jobs: ...
    @property
    def settings(self) -> Values: ...
    @property
    def image(self) -> Image | None: ...
    @property
    def document(self) -> Document: ...
    @property
    def journal(self) -> OpenProject | None: ...
    @property
    def editable(self) -> bool: ...

    def do(self, edit: Edit) -> bool: ...


MOST = 500
"""So many objects are made at once; for more there is the command line."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is to be made: annotations of one plane of an open image.

    Attributes
    ----------
    image : Image
    project : Path
    annotations : tuple of Annotation
    plane : Plane
    """

    image: Image
    project: Path
    annotations: tuple[Annotation, ...]
    plane: Plane


def config_of(settings: Values, engine: str) -> Mapping[str, Any]:
    """What the user told an engine; empty when nothing."""
    kept = settings["recon"]
    found = kept.get(engine, {}) if isinstance(kept, Mapping) else {}
    return dict(found) if isinstance(found, Mapping) else {}


def refuse_when_lacking(spec: ReconSpec, config: Mapping[str, Any]) -> None:
    """Raise `SamdeskError` when the user has yet to tell an engine what it needs."""
    lacking = [row.title for row in spec.fields if row.needed and not config.get(row.name, row.default)]
    if lacking:
        raise SamdeskError(
            f"{spec.title} is not set up yet; not chosen: {', '.join(lacking)}.",
            "Open 3D > 3D Engines… in samdesk, and choose it there.",
        )


def name_of(annotation: Annotation) -> str:
    """What the user calls an annotation."""
    return annotation.name or annotation.class_name or "Annotation"


def title_of(names: tuple[str, ...]) -> str:
    """What the user calls what is made of annotations of these names."""
    if len(names) == 1:
        return names[0]
    same = set(names)
    return f"{len(names)} × {names[0]}" if len(same) == 1 else f"{len(names)} objects"
