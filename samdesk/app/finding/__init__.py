"""Finding many objects at once: by words, by examples, or everything there is.

`FindSession` keeps what to find and runs the search; what it finds goes to the review. Must not
know widgets or files.
"""

from .gathering import Gathering
from .looks import OVERLAP, Look, Where, many_looks, single_look
from .session import FindSession
from .tool import ExampleTool

__all__ = [
    "OVERLAP",
    "ExampleTool",
    "FindSession",
    "Gathering",
    "Look",
    "Where",
    "many_looks",
    "single_look",
]
