"""Reconstructions that clients asked for, from a picture and outlines to files that stay.

They wait on the same lane as those of the window, and one worker is kept for the next of them.
Must not know HTTP, nor what a client's messages look like.
"""

from __future__ import annotations

from .job import File3D, Job3D
from .jobs import Jobs3D, jobs3d
from .order import OBJECTS, PLAIN, best_engine, order_of
from .prepared import Prepared, prepare_job

__all__ = [
    "OBJECTS",
    "PLAIN",
    "File3D",
    "Job3D",
    "Jobs3D",
    "Prepared",
    "best_engine",
    "jobs3d",
    "order_of",
    "prepare_job",
]
