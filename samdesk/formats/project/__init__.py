"""The project file: one SQLite file that is also a valid GeoPackage; its edit log, its snapshots, and
the folder that holds the project files of several images.

Must not know documents on screen, or when to save.
"""

from __future__ import annotations

from .folder import (
    FOLDER_FILE,
    Folder,
    ProjectImage,
    folder_of,
    found_again,
    make_folder,
    new_id,
    read_folder,
    remove_files,
    shifted,
    title_of,
    write_folder,
)
from .lock import ProjectLock
from .opening import DamagedError
from .snapshots import (
    Snapshot,
    carry_snapshots,
    count_annotations,
    keep_snapshot,
    leave_snapshots,
    load_snapshot,
    newest_good_snapshot,
    put_aside,
    snapshots_of,
)
from .store import ImageReference, Loaded, ProjectStore

__all__ = [
    "FOLDER_FILE",
    "DamagedError",
    "Folder",
    "ImageReference",
    "Loaded",
    "ProjectImage",
    "ProjectLock",
    "ProjectStore",
    "Snapshot",
    "carry_snapshots",
    "count_annotations",
    "folder_of",
    "found_again",
    "keep_snapshot",
    "leave_snapshots",
    "load_snapshot",
    "make_folder",
    "new_id",
    "newest_good_snapshot",
    "put_aside",
    "read_folder",
    "remove_files",
    "shifted",
    "snapshots_of",
    "title_of",
    "write_folder",
]
