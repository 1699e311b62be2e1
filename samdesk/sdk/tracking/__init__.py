"""Objects followed through the frames of a video or a z-stack.

`load_tracker` gives a `Tracker` for every engine there is, `track` turns its answers into shapes
in frame pixels, and `PictureFrames` are frames that lie on the disk. Must not know the window,
the server or the command line.
"""

from __future__ import annotations

from .following import Following
from .loading import TRACKERS, TrackerPool, load_tracker
from .pictures import PictureFrames
from .shapes import track

__all__ = ["TRACKERS", "Following", "PictureFrames", "TrackerPool", "load_tracker", "track"]
