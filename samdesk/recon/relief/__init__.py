"""Relief: an object without weights, blown up from its outline. Not SAM 3D.

The outline is smoothed (`cutout`), a membrane is inflated over it (`inflate`), its surface becomes
a closed mesh (`surface`) and splats (`gaussians`); the picture is laid on both, mirrored on the
back. `making` joins them, `engine` offers it to the worker. Must not know the wire or the program
at its other end. Nothing is imported before it is used: the worker must answer at once.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .making import Relief, relief

__all__ = ["Relief", "relief"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import making

    return getattr(making, name)
