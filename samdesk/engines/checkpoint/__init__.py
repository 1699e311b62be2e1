"""Weight files: what they hold, whether that is whole, and how it gets into a module.

A file is never trusted: no code in it is run, and everything that is not a SAM is refused with
what it seems to be. Must not know the engines that use the weights.
"""

from .digest import file_digest
from .families import CheckpointInfo
from .loading import load_into, read_state, recognise

__all__ = ["CheckpointInfo", "file_digest", "load_into", "read_state", "recognise"]
