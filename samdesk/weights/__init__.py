"""Weights: which there are, what state their files are in, and how they come here.

Nothing is downloaded unless it is asked for. Must not know engines: what recognises a
checkpoint is given by the caller. The downloader is in `samdesk.weights.download`; importing
this room loads no HTTP client.
"""

from .importing import import_file
from .registry import Registry, State, default_registry
from .sources import GatedError
from .transfer import Transfer
from .verification import Recognise, verify
from .weight import TYPES, Hash, Weight

__all__ = [
    "TYPES",
    "GatedError",
    "Hash",
    "Recognise",
    "Registry",
    "State",
    "Transfer",
    "Weight",
    "default_registry",
    "import_file",
    "verify",
]
