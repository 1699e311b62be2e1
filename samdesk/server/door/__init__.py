"""What stands before all endpoints: who may ask, how much may be sent, and what happens when a client leaves.

Must not know any endpoint, nor what a model is.
"""

from .front import Door
from .refusing import refusal

__all__ = ["Door", "refusal"]
