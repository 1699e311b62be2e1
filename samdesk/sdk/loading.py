"""`load_segmenter`: from the name of an engine or model type to a Segmenter.

Must not know the window or the command line.
"""

from __future__ import annotations

from samdesk.engines.base import engine_spec, load_engine

from .segmenter import Segmenter


def load_segmenter(name: str = "classical") -> Segmenter:
    """A segmenter for an engine of `samdesk.engines.base.ENGINES`, loaded when it is first used.

    Raises
    ------
    SamdeskError
        When there is no such engine, or it cannot run here.
    """
    spec = engine_spec(name)
    return Segmenter(spec, load=lambda task: load_engine(spec.name))
