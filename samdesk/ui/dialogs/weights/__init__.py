"""The Weights dialog: `table` holds its rows, `adding` the small dialog for weights of one's own."""

from .dialog import WeightsDialog

__all__ = ["WeightsDialog"]
