"""Measurements of all annotations as one table: kept up to date, sorted, summed up, exported.

Must not know widgets.
"""

from __future__ import annotations

from .live import Measuring
from .sheet import TEXTS, Sheet, Wanted
from .statistics import Histogram, Summary, histogram, summary

__all__ = ["TEXTS", "Histogram", "Measuring", "Sheet", "Summary", "Wanted", "histogram", "summary"]
