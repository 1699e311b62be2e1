"""The 3D view: splats, meshes and points beside the picture they were made from.

The one place that knows VTK and PyVista. They are imported on a lane when the first scene is
shown: of the modules here, `gaussians`, `actors`, `scene`, `stage` and `surface` need them, and
`view` imports those late. `viewpoint` and `contents` are plain NumPy. The widget is
`view.View3D`; it is not imported here, so that the window comes up without it.
"""

from .platform import keep_apart, share_surface_format

__all__ = ["keep_apart", "share_surface_format"]
