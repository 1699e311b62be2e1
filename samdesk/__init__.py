"""samdesk: outlines that can be trusted, in images of any size.

In a notebook::

    import samdesk
    image = samdesk.open_image("slide.ome.tif")
    segmenter = samdesk.load_segmenter("classical")
    best = segmenter.segment(image, samdesk.Prompts(points=(samdesk.PointPrompt(1200, 800),)))[0]
    document = samdesk.Document()
    document.apply(document.adding([samdesk.Annotation(best.shape, class_name="Tumor")]))
    samdesk.write_geojson("slide.geojson", document)
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "open_image": "samdesk.sdk",
    "load_segmenter": "samdesk.sdk",
    "Segmenter": "samdesk.sdk",
    "list_weights": "samdesk.sdk",
    "get_weight": "samdesk.sdk",
    "download_weight": "samdesk.sdk",
    "Task": "samdesk.domain.tasks",
    "Document": "samdesk.domain.document",
    "Annotation": "samdesk.domain.columns",
    "Shape": "samdesk.domain.geometry",
    "Bounds": "samdesk.domain.geometry",
    "Prompts": "samdesk.domain.prompts",
    "PointPrompt": "samdesk.domain.prompts",
    "BoxPrompt": "samdesk.domain.prompts",
    "SamdeskError": "samdesk.domain.errors",
    "read_geojson": "samdesk.formats.geojson",
    "write_geojson": "samdesk.formats.geojson",
}

__all__ = ["__version__", *_EXPORTS]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import samdesk` and `samdesk --help` stay quick."""
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'samdesk' has no attribute {name!r}")
