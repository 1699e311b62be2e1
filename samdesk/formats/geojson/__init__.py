"""GeoJSON in and out, by the rules of QuPath's reader and writer.

Must not know documents on screen, projects or clipboards.
"""

from __future__ import annotations

from samdesk.formats.report import Imported, ImportReport

from .objects import feature, validate
from .reader import loads, read_geojson
from .writer import dumps, write_geojson

__all__ = [
    "ImportReport",
    "Imported",
    "dumps",
    "feature",
    "loads",
    "read_geojson",
    "validate",
    "write_geojson",
]
