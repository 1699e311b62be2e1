"""NumPy arrays as VTK arrays, cells and points.

VTK gets copies: an array that it shared would be freed as soon as NumPy has no more use for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonCore import VTK_INT, vtkPoints
from vtkmodules.vtkCommonDataModel import vtkCellArray


def named(values: NDArray[np.generic], name: str) -> Any:
    """A data array of uint8 or float32."""
    array = numpy_to_vtk(np.ascontiguousarray(values), deep=1)
    array.SetName(name)
    return array


def points(places: NDArray[np.float32]) -> vtkPoints:
    held = vtkPoints()
    held.SetData(numpy_to_vtk(np.ascontiguousarray(places, np.float32), deep=1))
    return held


def cells(rows: NDArray[np.integer], size: int) -> vtkCellArray:
    """Cells of `size` points each, whose rows follow one another."""
    held = vtkCellArray()
    held.SetData(_ints(np.arange(0, rows.size + 1, size)), _ints(rows.ravel()))
    return held


def _ints(values: NDArray[np.integer]) -> Any:
    return numpy_to_vtk(np.ascontiguousarray(values, np.int32), deep=1, array_type=VTK_INT)
