"""All annotations of one image, the one door through which they change, and what is selected.

`Document` is the aggregate, `Edit` the only way it changes, `Snapshot` what other threads
read. Must not know files, widgets or threads.
"""

from __future__ import annotations

from .document import Document
from .edit import Edit
from .selection import Selection
from .snapshot import Ids, Snapshot

__all__ = ["Document", "Edit", "Ids", "Selection", "Snapshot"]
