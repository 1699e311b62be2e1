"""The 3D view: splats, meshes and points beside the picture they were made from.

The one place that knows VTK and PyVista. They are imported on a lane when the first scene is
shown: of the modules here, `gaussians`, `actors`, `scene`, `stage` and `surface` need them, and
`view` imports those late. `viewpoint` and `contents` are plain NumPy.
"""

from .platform import keep_apart, share_surface_format
from .view import View3D

__all__ = ["View3D", "keep_apart", "share_surface_format"]
