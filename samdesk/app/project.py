"""The open project: a folder that lists images by reference and keeps their annotations.

Nothing has to be saved before another image is shown, as every edit is kept at once. Lives on
the main thread; files are read and written on lanes. Must not know widgets.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import cv2
from psygnal import Signal

from samdesk.domain.columns import AnnotationClass
from samdesk.domain.columns.table import Classes
from samdesk.domain.document import Edit
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Region
from samdesk.domain.history import History
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import replacing
from samdesk.formats.project import (
    FOLDER_FILE,
    Folder,
    ProjectImage,
    ProjectLock,
    ProjectStore,
    count_annotations,
    found_again,
    make_folder,
    new_id,
    read_folder,
    remove_files,
    shifted,
    write_folder,
)
from samdesk.images.readers import open_source
from samdesk.images.tiles import BlockCache
from samdesk.sdk import open_image

from . import desk
from .classes import Classes as DocumentClasses
from .jobs import Job, Lane
from .looking import LookedAt
from .reconstruction import carry_objects
from .renames import following, joined_by, renamed_between, shared_after

log = logging.getLogger(__name__)

PICTURE_PX = 96
"""The longer side of a small picture, twice what the list shows."""

_PICTURE_CACHE = 32 << 20


class Desk(desk.Desk, Protocol):
    """What a project needs of the window's workspace, and asks of it; the workspace is one."""

    @property
    def history(self) -> History: ...
    @property
    def classes(self) -> DocumentClasses: ...
    @property
    def looking(self) -> LookedAt: ...
    @property
    def image_changed(self) -> Any: ...
    def may_close(self) -> bool: ...
    def close_image(self) -> None: ...
    def open_kept(self, image: Path, annotations: Path) -> None: ...
    def keep_in(self, path: Path) -> None: ...
    def store_path(self, image: Path) -> Path: ...


@dataclass(frozen=True, slots=True)
class _Opened:
    folder: Folder
    lock: ProjectLock
    reason: str


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class _Carried:
    counts: dict[str, int]
    failed: dict[str, SamdeskError]


@dataclass(frozen=True, slots=True)
class _Relinked:
    images: tuple[ProjectImage, ...]
    strange: tuple[str, ...]


class Projects:
    """The project of one workspace, if one is open.

    Attributes
    ----------
    folder : Folder or None
    reason : str
        Why it is open for reading only; "" when it can be changed.
    missing : frozenset of str
        Ids of the images that were not found.
    counts : dict of str to int
        Annotations of each image, as far as they were counted.
    changed : Signal()
        Another project, or something about this one.
    pictured : Signal(str)
        The small picture of this image is there.
    """

    changed = Signal()
    pictured = Signal(str)

    def __init__(self, workspace: Desk) -> None:
        self._workspace = workspace
        self.folder: Folder | None = None
        self.reason = ""
        self.missing: frozenset[str] = frozenset()
        self.counts: dict[str, int] = {}
        self._lock: ProjectLock | None = None
        self._wanted = ""
        self._brought: tuple[Classes, Classes] | None = None
        workspace.image_changed.connect(self._image_changed)

    @property
    def is_open(self) -> bool:
        return self.folder is not None

    @property
    def editable(self) -> bool:
        return self.folder is not None and not self.reason

    @property
    def current(self) -> str:
        """The id of the image that is shown; "" when that is none of the project's."""
        journal = self._workspace.journal
        if self.folder is None or journal is None:
            return ""
        here = journal.path.stem
        return here if journal.path == self.folder.store_of(here) and self.folder.get(here) else ""

    def store_of(self, image: Path) -> Path | None:
        """Where the project keeps the annotations of this image; None when it is not in it."""
        if self.folder is None:
            return None
        return next((self.folder.store_of(one.id) for one in self.folder.images if one.path == image), None)

    # Opening and closing

    def new(self, path: Path) -> None:
        """Begin a project in a folder and open it. Returns at once."""
        classes = self._workspace.document.classes if self._workspace.image is not None else ()

        def made(job: Job[Folder]) -> None:
            if job.state == "done":
                self.open(path)

        self._lane.submit(lambda task: make_folder(path, classes=classes), done=made)

    def open(self, path: Path, show: str = "", otherwise: Callable[[], None] | None = None) -> None:
        """Open a project folder, and one of its images when its id is given. Returns at once.

        `otherwise` is called when that image cannot be shown that way.
        """
        if self.folder is not None and self.folder.path == path:
            if show:
                self.open_image(show, otherwise)
            return

        def read(task: Task) -> _Opened:
            folder = read_folder(path)
            lock = ProjectLock(path / FOLDER_FILE)
            return _Opened(folder, lock, lock.take())

        def opened(job: Job[_Opened]) -> None:
            if job.state == "done" and job.result is not None:
                self._opened(job.result, show, otherwise)
            elif otherwise is not None:
                otherwise()

        self._lane.submit(read, title=f"Opening {path.name}", key="project", done=opened, discard=_release)

    def close(self) -> None:
        """Close the project; the image that is shown stays."""
        self._forget()
        self.changed.emit()

    def _opened(self, opened: _Opened, show: str, otherwise: Callable[[], None] | None) -> None:
        self._forget()
        self.folder, self._lock, self.reason = opened.folder, opened.lock, opened.reason
        w = self._workspace
        w.settings.remember_file(opened.folder.file)
        if opened.reason:
            w.tell("warning", f"The project {opened.folder.name} is open for reading only.", opened.reason)
        self._remember(one for one in opened.folder.images if str(one.path) not in w.settings["projects"])
        self.changed.emit()
        if show:
            self.open_image(show, otherwise)
        self._look()
        self._picture(opened.folder.images)

    def _forget(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            self._lane.submit(lambda task: lock.release())
        self.folder, self.reason, self.missing, self.counts = None, "", frozenset(), {}

    # Images

    def open_image(self, one: str, otherwise: Callable[[], None] | None = None) -> None:
        """Show an image of the project. Returns at once; what was shown is kept already.

        `otherwise` is called in place of a message when it is not in the project, or not found.
        """
        folder, image = self.folder, self._image(one)
        if folder is None or image is None:
            if otherwise is not None:
                otherwise()
            return
        if one == self.current:
            return
        self._wanted = one

        def found(job: Job[Path | None]) -> None:
            if job.state != "done" or self.folder is None or self._wanted != one:
                return
            if job.result is None:
                self.missing |= {one}
                self.changed.emit()
                if otherwise is not None:
                    otherwise()
                    return
                text = f"{image.name} was not found: {image.path}."
                self._workspace.tell("warning", text, "Where is it now?", "project.relink", one)
            else:
                self._remember([folder.placed(image, job.result)])
                self._workspace.looking.go_on = True
                self._workspace.open_kept(job.result, folder.store_of(one))

        self._workspace.jobs.lane("pictures").submit(
            lambda task: found_again(folder, image), done=found, priority=-1
        )

    def add_images(self, paths: Sequence[Path], then: Callable[[], None] = _nothing) -> None:
        """Put images into the project, by reference, with the annotations that they have. Returns at once.

        `then` is called when they are in it, or could not be added.
        """
        folder, w = self.folder, self._workspace
        if folder is None or not self._may_change():
            return
        known = {one.path for one in folder.images}
        wanted = [path.absolute() for path in paths if path.absolute() not in known]
        if w.image is not None and w.editable and w.image.source.path in wanted:
            wanted.remove(w.image.source.path)
            self.add_current()

        def read(task: Task) -> tuple[list[ProjectImage], list[str]]:
            found, failed = [], []
            for number, path in enumerate(wanted):
                task.progress(number / len(wanted), path.name)
                try:
                    found.append(_described(folder, path))
                except SamdeskError as error:
                    failed.append(error.message)
            return found, failed

        def added(job: Job[tuple[list[ProjectImage], list[str]]]) -> None:
            if job.state != "done" or job.result is None or self.folder is None:
                then()
                return
            found, failed = job.result
            if self.folder.path == folder.path and found:
                self._carry_in(self.folder, found, then)
            else:
                then()
            if failed:
                more = f" {len(failed) - 1} others were not added either." if len(failed) > 1 else ""
                self._workspace.tell("warning", f"{failed[0]}{more}", "The other images are in the project.")

        if wanted:
            self._workspace.jobs.lane("pictures").submit(
                read, title=f"Adding {_counted(len(wanted))}", done=added, priority=-1
            )
        else:
            then()

    def _carry_in(self, folder: Folder, images: Sequence[ProjectImage], then: Callable[[], None]) -> None:
        """Let images be in the project once copies of the annotations that they have are."""
        # the journal's lane, as a file that was in use is closed there
        places = {one.id: self._workspace.store_path(one.path) for one in images}

        def carry(task: Task) -> _Carried:
            counts, failed = {}, {}
            for number, one in enumerate(images):
                task.progress(number / len(images), one.name)
                try:
                    counts[one.id] = _copied(places[one.id], folder.store_of(one.id), task)
                except SamdeskError as error:
                    counts[one.id], failed[one.name] = 0, error
            return _Carried(counts, failed)

        def carried(job: Job[_Carried]) -> None:
            same = self.folder is not None and self.folder.path == folder.path
            if same and job.state == "done" and job.result is not None:
                self._carried(folder, images, job.result)
            then()

        self._lane.submit(carry, done=carried)

    def _carried(self, folder: Folder, images: Sequence[ProjectImage], carried: _Carried) -> None:
        w = self._workspace
        self.counts.update(carried.counts)
        self._write((self.folder or folder).with_images(*images))
        self._remember(images)
        self._picture(images)
        self._tell_carried(images, carried)
        if w.image is not None and w.editable and not self.current:
            shown = w.image.source.path
            for one in images:
                if one.path == shown:  # it was opened meanwhile
                    w.keep_in(folder.store_of(one.id))

    def _tell_carried(self, images: Sequence[ProjectImage], carried: _Carried) -> None:
        w = self._workspace
        found = [one for one in images if carried.counts[one.id]]
        what = _annotations(sum(carried.counts.values()))
        if len(found) == 1:
            w.tell("info", f"{found[0].name} came in with its {what}.", "The project has a copy of its own.")
        elif found:
            text = f"{_counted(len(found))} came in with their {what}."
            w.tell("info", text, "The project has copies of its own.")
        for name, error in carried.failed.items():
            w.tell(
                "warning", f"{name} came in without the annotations that it has: {error.message}", error.hint
            )

    def add_current(self) -> None:
        """Put the image that is shown into the project, with its annotations."""
        folder, w = self.folder, self._workspace
        image, journal = w.image, w.journal
        if folder is None or image is None or journal is None or self.current or not self._may_change():
            return
        if self.store_of(image.source.path) is not None:
            w.tell("info", f"{image.source.name} is in the project already, with annotations of its own.")
            return
        source = image.source
        one = folder.placed(
            ProjectImage(
                new_id(),
                source.name,
                source.path,
                identity=source.identity,
                width=source.width,
                height=source.height,
                bytes=_bytes(source.path),
            ),
            source.path,
        )
        self.counts[one.id] = len(w.document)
        self._write(folder.with_images(one))
        self._remember([one])
        w.keep_in(folder.store_of(one.id))
        self._picture([one])

    def remove(self, one: str) -> None:
        """Take an image out of the project; its annotations go to the folder "removed"."""
        folder, w, image = self.folder, self._workspace, self._image(one)
        if folder is None or image is None or not self._may_change():
            return
        if one == self.current:
            if not w.may_close():
                return
            w.close_image()
        self._write(replace(folder, images=tuple(kept for kept in folder.images if kept.id != one)))
        if w.settings["projects"].get(str(image.path)) == str(folder.store_of(one)):
            w.settings.remember_projects({image.path: None})
        self._lane.submit(lambda task: remove_files(folder, one))

    def rename(self, name: str) -> None:
        """Give the project another name; its folder keeps its own."""
        if self.folder is not None and name.strip() and self._may_change():
            self._write(replace(self.folder, name=name.strip()))

    def describe(self, image: ProjectImage) -> None:
        """Change what the project says about an image."""
        if self.folder is not None and self.folder.get(image.id) and self._may_change():
            self._write(self.folder.with_images(image))

    # Images that were moved

    def relink(self, one: str, path: Path, show: bool = False) -> None:
        """Say where a missing image is now; others that were moved the same way are found too.

        With `show`, or when it was the last that was asked for, it is opened then.
        """
        folder, image = self.folder, self._image(one)
        if folder is None or image is None or not self._may_change():
            return
        missing = [other for other in folder.images if other.id in self.missing and other.id != one]

        def look(task: Task) -> _Relinked:
            found, strange = [], []
            places = [(image, [path]), *((other, shifted(image.path, path, other.path)) for other in missing)]
            for number, (other, candidates) in enumerate(places):
                task.progress(number / len(places), other.name)
                place = next((candidate for candidate in candidates if candidate.exists()), None)
                if place is None:
                    continue
                now = _described(folder, place, other.id)
                if not _alike(other, now):
                    if other.id != one:
                        continue
                    strange.append(other.name)
                found.append(now)
            return _Relinked(tuple(found), tuple(strange))

        def relinked(job: Job[_Relinked]) -> None:
            if job.state != "done" or job.result is None:
                return
            if self.folder is None or self.folder.path != folder.path:
                text = f"{image.name} was not relinked: {folder.name} was closed meanwhile."
                self._workspace.tell("warning", text, "Open it again, and relink the image.")
                return
            present = ((self.folder.get(now.id), now) for now in job.result.images)
            found = [_placed_as(other, now) for other, now in present if other is not None]
            self.missing -= {other.id for other in found}
            self._write(self.folder.with_images(*found))
            self._remember(found)
            self._picture(found)
            if (show or one == self._wanted) and not job.result.strange:
                self.open_image(one)
            if job.result.strange:
                self._workspace.tell(
                    "warning",
                    f"{path.name} is not the image that was annotated: its size differs.",
                    "Check that the annotations fit, or relink it to another file.",
                )
            elif found:
                what = f"{found[0].name} was" if len(found) == 1 else f"{_counted(len(found))} were"
                self._workspace.tell("info", f"{what} found and relinked.")

        self._workspace.jobs.lane("pictures").submit(
            look, title=f"Relinking {image.name}", done=relinked, priority=-1
        )

    def _look(self) -> None:
        """Find out which images are missing, and count the annotations of all."""
        folder = self.folder
        if folder is None:
            return

        def look(task: Task) -> tuple[dict[str, int], dict[str, Path | None]]:
            found = {one.id: found_again(folder, one) for one in folder.images}
            return {one.id: count_annotations(folder.store_of(one.id)) for one in folder.images}, found

        def looked(job: Job[tuple[dict[str, int], dict[str, Path | None]]]) -> None:
            if job.state != "done" or job.result is None or self.folder is None:
                return
            if self.folder.path != folder.path:
                return
            counts, places = job.result
            if self.current:
                counts[self.current] = len(self._workspace.document)
            self.counts = counts
            self.missing = frozenset(one for one, place in places.items() if place is None)
            moved = [
                self.folder.placed(image, place)
                for image in self.folder.images
                if (place := places.get(image.id)) is not None and place != image.path
            ]
            if moved and self.editable:
                self._write(self.folder.with_images(*moved))
                self._remember(moved)
            self.changed.emit()

        self._workspace.jobs.lane("pictures").submit(look, key="project images", done=looked, priority=-1)

    def _picture(self, images: Sequence[ProjectImage]) -> None:
        """Make the small pictures that are not there yet, one after the other."""
        if self.folder is not None:
            for image in images:
                self._make_picture(self.folder, image)

    def _make_picture(self, folder: Folder, image: ProjectImage) -> None:
        def made(job: Job[bool]) -> None:
            if job.result:
                self.pictured.emit(image.id)

        self._workspace.jobs.lane("pictures").submit(
            lambda task: _pictured(folder, image), done=made, priority=5
        )

    # Classes

    def share_classes(self, edit: Edit) -> None:
        """The classes of the shown image have changed: the other images get them when they are opened."""
        folder = self.folder
        if not self.current or not self.editable or edit.classes is None or folder is None:
            return
        before, after = edit.classes
        if self._brought == (after, before):
            return  # undone in this image: the others go on with those of the project
        if self._brought == (before, after):
            self._write(replace(folder, classes=after))
            return
        renamed = renamed_between(before, after)
        images = folder.images
        if renamed:
            images = tuple(
                one if one.id == self.current else replace(one, renamed=following(one.renamed, renamed))
                for one in images
            )
        if len(images) > 1 and (joined := joined_by(edit)) is not None:
            text = f"“{joined[0]}” is joined with “{joined[1]}” in {self._name_of_current()} alone."
            self._workspace.tell("info", text, "The other images keep both; join them there too.")
        classes = shared_after(folder.classes, before, after)
        self._write(replace(folder, classes=classes, images=images))

    def bring_classes(self) -> None:
        """Give the image that was just opened the classes of the project; its own stay while in use.

        Classes that got another name in other images get it here too, as a step that can be undone.
        """
        w, image = self._workspace, self._image(self.current)
        if image is None or self.folder is None or not w.editable:
            return
        document, shared = w.document, self.folder.classes
        counts, names = document.counts(), {one.name for one in shared}
        renamed = {old: new for old, new in image.renamed.items() if counts.get(old)}
        apart = {old: new for old, new in renamed.items() if old in names or counts.get(new)}
        renamed = {old: new for old, new in renamed.items() if old not in apart}
        used = [one for one in document.classes if counts.get(one.name)]
        own = [AnnotationClass(renamed.get(one.name, one.name), one.color) for one in used]
        wanted: Classes = (*shared, *(one for one in own if one.name not in names))
        if wanted != document.classes:
            self._bring(wanted, renamed)
        if image.renamed:
            self._write(self.folder.with_images(replace(image, renamed={})))
        for old, new in renamed.items():
            text = f"“{old}” is “{new}” now, as in the other images: {_annotations(counts[old])} changed."
            w.tell("info", text, "Undo takes it back in this image.")
        for old, new in apart.items():
            text = f"“{old}” is “{new}” in other images now, and stays here, as {image.name} has both."
            w.tell("warning", text, "Rename it here too if both mean the same.")

    def _name_of_current(self) -> str:
        image = self._image(self.current)
        return image.name if image is not None else ""

    def _bring(self, classes: Classes, renamed: dict[str, str]) -> None:
        w = self._workspace
        hidden = w.classes.hidden
        edit = w.document.with_classes(classes, "Classes of the project", renamed)
        self._brought = edit.classes
        # what can be undone or done again fits the document only where every step is among its own
        if renamed or w.history.can_undo or w.history.can_redo:
            w.do(edit)
        else:
            w.document.apply(edit)
        w.classes.go_on_hiding(hidden, renamed)

    # Helpers of the above

    def _image_changed(self) -> None:
        self._wanted, self._brought = "", None
        if self.folder is not None:
            self.bring_classes()
            self.changed.emit()

    def count_shown(self) -> None:
        """The shown image has got or lost annotations."""
        current, count = self.current, len(self._workspace.document)
        if current and self.counts.get(current) != count:
            self.counts[current] = count
            self.changed.emit()

    def _image(self, one: str) -> ProjectImage | None:
        return self.folder.get(one) if self.folder is not None else None

    @property
    def next_missing(self) -> ProjectImage | None:
        """The image that was wanted and not found, else the first one that is missing."""
        images = self.folder.images if self.folder is not None else ()
        missing = [one for one in images if one.id in self.missing]
        return next((one for one in missing if one.id == self._wanted), missing[0] if missing else None)

    def _remember(self, images: Iterable[ProjectImage]) -> None:
        """Note that the annotations of these are here, for when one is opened alone."""
        folder = self.folder
        if folder is not None and self.editable:
            stores = {one.path: folder.store_of(one.id) for one in images}
            self._workspace.settings.remember_projects(stores)

    def _may_change(self) -> bool:
        if self.reason:
            self._workspace.tell("warning", "This project cannot be changed.", self.reason)
        return self.editable

    def _write(self, folder: Folder) -> None:
        self.folder = folder
        self.changed.emit()
        self._lane.submit(lambda task: write_folder(folder))

    @property
    def _lane(self) -> Lane:
        return self._workspace.jobs.lane("journal")


def _described(folder: Folder, path: Path, one: str = "") -> ProjectImage:
    """An image as it is on the disk; SamdeskError when it cannot be read."""
    source = open_source(path)
    try:
        image = ProjectImage(
            one or new_id(),
            source.name,
            path,
            identity=source.identity,
            width=source.width,
            height=source.height,
            bytes=_bytes(path),
        )
        return folder.placed(image, path)
    finally:
        source.close()


def _placed_as(image: ProjectImage, now: ProjectImage) -> ProjectImage:
    """An image that is where the other one is; what the user says of it stays."""
    return replace(
        image,
        path=now.path,
        relative_path=now.relative_path,
        identity=now.identity,
        width=now.width,
        height=now.height,
        bytes=now.bytes,
    )


def _copied(old: Path, new: Path, task: Task) -> int:
    """Copy the annotations that an image has elsewhere, if there are any; return how many there are."""
    if not old.exists():
        return 0
    with ProjectStore.open(old) as store:  # which takes over what a program that died had accepted
        count = count_annotations(old)
        if count:
            carry_objects(old, new, task)
            store.save_copy(new)
        return count


def _alike(known: ProjectImage, now: ProjectImage) -> bool:
    """Whether this can be the image that was moved."""
    same_size = (known.width, known.height) == (now.width, now.height)
    return not known.width or (same_size and known.bytes in (0, now.bytes))


def _pictured(folder: Folder, image: ProjectImage) -> bool:
    """Make the small picture of an image unless it is there; False when it cannot be made."""
    path = folder.picture_of(image.id)
    if path.exists():
        return True
    try:
        opened = open_image(image.path, blocks=BlockCache(_PICTURE_CACHE))
    except SamdeskError:
        return False
    try:
        width, height = opened.size
        downsample = max(width, height, PICTURE_PX) / PICTURE_PX
        size = (max(1, round(width / downsample)), max(1, round(height / downsample)))
        pixels = opened.read(Region(0, 0, *size, downsample))
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as fresh:
            fresh.write_bytes(cv2.imencode(".png", pixels[..., ::-1])[1].tobytes())
    except (SamdeskError, OSError) as error:  # a folder that cannot be written has no pictures
        log.info("no small picture of %s: %s", image.name, error)
        return False
    finally:
        opened.close()
    return True


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _release(opened: _Opened) -> None:
    opened.lock.release()


def _annotations(count: int) -> str:
    return "1 annotation" if count == 1 else f"{count:,} annotations"


def _counted(images: int) -> str:
    return "1 image" if images == 1 else f"{images:,} images"
