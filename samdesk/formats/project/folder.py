"""The project folder: ``samdesk-project.json``, which lists images by reference, and one project
file for each in ``images``.

Members of the JSON file that this program does not know are written back as they were. Must not
know image formats or documents.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

import orjson

from samdesk import __version__
from samdesk.domain.columns import DEFAULT_CLASSES, AnnotationClass
from samdesk.domain.columns.table import Classes, checked_classes
from samdesk.domain.errors import SamdeskError
from samdesk.formats.atomic import file_error, replacing

from .rows import color_of_text, color_text

FOLDER_FILE = "samdesk-project.json"
FOLDER_VERSION = 1
"""Raised whenever an older program could not read the file any more."""

_IMAGES, _REMOVED, _PICTURES = "images", "removed", ".thumbnails"
_KNOWN = {"version", "name", "made_by", "classes", "images"}
_KNOWN_IMAGE = {
    *("id", "name", "path", "relative_path", "identity", "width", "height", "bytes"),
    *("description", "tags", "renamed"),
}


@dataclass(frozen=True, slots=True)
class ProjectImage:
    """One image of a project.

    Attributes
    ----------
    id : str
        Names its files in the folder.
    name : str
        What the user calls it.
    path : Path
        Where it was last.
    relative_path : str
        The same from the folder of the project, with slashes; "" when there is no such way.
    identity : str
        `ImageSource.identity` when it was added.
    width, height, bytes : int
        Of the image in pixels, and of its file; they tell another image when it was moved.
    description : str
    tags : tuple of str
    renamed : mapping of str to str
        Classes that got another name in other images since this one was open: old to new.
    extra : mapping
        Members that are not understood here.
    """

    id: str
    name: str
    path: Path
    relative_path: str = ""
    identity: str = ""
    width: int = 0
    height: int = 0
    bytes: int = 0
    description: str = ""
    tags: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Folder:
    """What the file of a project folder says.

    Attributes
    ----------
    path : Path
        The folder.
    name : str
    classes : tuple of AnnotationClass
        Shared by all images.
    images : tuple of ProjectImage
    extra : mapping
        Members that are not understood here.
    """

    path: Path
    name: str
    classes: Classes = ()
    images: tuple[ProjectImage, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.path / FOLDER_FILE

    def get(self, one: str) -> ProjectImage | None:
        """An image by its id."""
        return next((image for image in self.images if image.id == one), None)

    def store_of(self, one: str) -> Path:
        """The project file with the annotations of an image."""
        return self.path / _IMAGES / f"{one}.gpkg"

    def picture_of(self, one: str) -> Path:
        """The small picture of an image."""
        return self.path / _PICTURES / f"{one}.png"

    def with_images(self, *images: ProjectImage) -> Folder:
        """With these images in the place of those of the same id, and at the end when they are new."""
        new = {image.id: image for image in images}
        known = {image.id for image in self.images}
        kept = [new.get(image.id, image) for image in self.images]
        return replace(self, images=(*kept, *(one for one in images if one.id not in known)))

    def placed(self, image: ProjectImage, path: Path) -> ProjectImage:
        """An image that is at this place now."""
        return replace(image, path=path, relative_path=_relative(path, self.path))


def new_id() -> str:
    return uuid.uuid4().hex[:12]


def folder_of(path: Path) -> Path | None:
    """The project folder that a path means: its file, the folder itself, or a project file inside."""
    if path.name == FOLDER_FILE:
        folder = path.parent
    elif path.suffix == ".gpkg" and path.parent.name == _IMAGES:
        folder = path.parent.parent
    else:
        folder = path
    return folder if (folder / FOLDER_FILE).is_file() else None


def title_of(path: Path) -> str:
    """What the user calls a file: a project by its folder, all others by their names."""
    return f"{path.parent.name} (project)" if path.name == FOLDER_FILE else path.name


def make_folder(path: Path, name: str = "", classes: Classes = ()) -> Folder:
    """Begin a project in a folder, which is made when it is not there.

    Raises
    ------
    SamdeskError
        When there is a project in it, or it cannot be written.
    """
    if (path / FOLDER_FILE).exists():
        raise SamdeskError(f"There is a project in {path} already.", "Open it, or choose another folder.")
    folder = Folder(path, name or path.name, classes or DEFAULT_CLASSES)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise file_error(path, error, "written") from error
    write_folder(folder)
    return folder


def read_folder(path: Path) -> Folder:
    """Read the file of a project folder; nothing is written.

    Raises
    ------
    SamdeskError
        When it is missing, damaged, or of a newer program.
    """
    file = path / FOLDER_FILE
    try:
        read = orjson.loads(file.read_bytes())
        if not isinstance(read, dict) or not isinstance(read.get("version"), int):
            raise ValueError("it does not say which version it is of")
        if read["version"] > FOLDER_VERSION:
            raise SamdeskError(
                f"{file} was made by a newer samdesk ({read.get('made_by', 'unknown')}).",
                "Update samdesk to open it.",
            )
        classes = [AnnotationClass(str(one["name"]), color_of_text(one["color"])) for one in read["classes"]]
        images = tuple(_image(one, path) for one in read["images"])
        extra = {name: value for name, value in read.items() if name not in _KNOWN}
        return Folder(path, str(read["name"]), checked_classes(classes), images, extra)
    except OSError as error:
        raise file_error(file, error, "read") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SamdeskError(
            f"{file} is damaged: {error}.", "The annotations are in the folder “images” beside it."
        ) from error


def write_folder(folder: Folder) -> None:
    """Write the file of a project folder, whole or not at all.

    Raises
    ------
    SamdeskError
        When it cannot be written.
    """
    members = {
        "version": FOLDER_VERSION,
        "name": folder.name,
        "made_by": f"samdesk {__version__}",
        "classes": [{"name": one.name, "color": color_text(one.color)} for one in folder.classes],
        "images": [_members(one) for one in folder.images],
        **folder.extra,
    }
    with replacing(folder.file) as fresh:
        fresh.write_bytes(orjson.dumps(members, option=orjson.OPT_INDENT_2))
    (folder.path / _IMAGES).mkdir(exist_ok=True)


def remove_files(folder: Folder, one: str) -> None:
    """Take the annotations of an image out of the project; they go to ``removed``, nothing is deleted.

    Raises
    ------
    SamdeskError
        When they cannot be moved.
    """
    target = folder.path / _REMOVED
    store = folder.store_of(one)
    try:
        for part in sorted(store.parent.glob(f"{one}.*")) if store.parent.is_dir() else []:
            target.mkdir(exist_ok=True)
            part.replace(_free(target / part.name))
        folder.picture_of(one).unlink(missing_ok=True)
    except OSError as error:
        raise file_error(store, error, "written") from error


def found_again(folder: Folder, image: ProjectImage) -> Path | None:
    """Where an image is now, as far as the project alone can tell; None when it is missing."""
    try:
        if image.relative_path and (near := (folder.path / image.relative_path)).exists():
            return near.resolve()
        return image.path if image.path.exists() else None
    except OSError:
        return None


def shifted(old: Path, new: Path, other: Path) -> list[Path]:
    """Where another image may be, when one was moved from `old` to `new`.

    First the place to which the same move brings it, then the folder of the one that was moved.
    """
    places = [new.parent / other.name]
    before, after = list(old.parts[:-1]), list(new.parts[:-1])
    while before and after and before[-1] == after[-1]:
        before.pop()
        after.pop()
    if before and other.parts[: len(before)] == tuple(before):
        places.insert(0, Path(*after, *other.parts[len(before) :]))
    return places


def _free(path: Path) -> Path:
    number = 1
    while path.exists():
        number += 1
        path = path.with_name(f"{path.stem.split(' ')[0]} {number}{path.suffix}")
    return path


def _image(read: dict[str, Any], folder: Path) -> ProjectImage:
    one = str(read["id"])
    if PurePath(one).name != one or one.startswith("."):
        raise ValueError(f"{one!r} is not a name for an image")
    path = Path(read["path"])
    return ProjectImage(
        one,
        str(read["name"]),
        path if path.is_absolute() else folder / path,
        str(read.get("relative_path") or ""),
        str(read.get("identity") or ""),
        int(read.get("width") or 0),
        int(read.get("height") or 0),
        int(read.get("bytes") or 0),
        str(read.get("description") or ""),
        tuple(map(str, read.get("tags") or ())),
        {str(old): str(new) for old, new in (read.get("renamed") or {}).items()},
        {name: value for name, value in read.items() if name not in _KNOWN_IMAGE},
    )


def _members(image: ProjectImage) -> dict[str, Any]:
    return {
        "id": image.id,
        "name": image.name,
        "path": str(image.path),
        "relative_path": image.relative_path,
        "identity": image.identity,
        "width": image.width,
        "height": image.height,
        "bytes": image.bytes,
        "description": image.description,
        "tags": list(image.tags),
        **({"renamed": dict(image.renamed)} if image.renamed else {}),
        **image.extra,
    }


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive
        return ""
