"""Meshes as values, and the files they come from and go to.

Must not know engines or windows. NumPy and Pillow only, for it also runs in the worker; trimesh is
imported when a file is read.
"""

from .glb import write_glb
from .plain import write_obj, write_ply, write_stl
from .reading import MESH_SUFFIXES, read_mesh
from .value import Mesh

__all__ = ["MESH_SUFFIXES", "Mesh", "read_mesh", "write_glb", "write_obj", "write_ply", "write_stl"]
