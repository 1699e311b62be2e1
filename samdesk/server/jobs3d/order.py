"""What can be ordered: engines, formats and options, and which engines the user has set up.

Must not know jobs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from samdesk import paths
from samdesk.app.reconstruction.desk import config_of, refuse_when_lacking
from samdesk.app.settings import Settings
from samdesk.domain.errors import SamdeskError
from samdesk.recon.engines import RECON_ENGINES
from samdesk.recon.options import FORMATS, ReconOptions
from samdesk.sdk.reconstruction import SCENE, STL_MM, Order, refuse_scene
from samdesk.server.errors import RequestError

PLAIN = "relief"
"""The engine that needs nothing."""

OBJECTS = 100
"""So many objects are made together at most."""


def order_of(
    engine: str = PLAIN,
    formats: Sequence[str] = ("ply", "glb"),
    options: Mapping[str, Any] | None = None,
    size_mm: float = STL_MM,
) -> Order:
    """What is to be made.

    Parameters
    ----------
    engine : str
        Of `RECON_ENGINES`.
    formats : sequence of str
        Of `FORMATS`.
    options : mapping, optional
        Members of `ReconOptions` that differ from the defaults; `splat` and `mesh` follow from
        the formats.
    size_mm : float
        Longest side of an STL.

    Raises
    ------
    RequestError
        422 when there is no such engine or format.
    """
    spec = RECON_ENGINES.get(engine)
    if spec is None:
        raise RequestError(
            422, f"There is no 3D engine “{engine[:100]}”.", f"Choose one of: {', '.join(RECON_ENGINES)}."
        )
    chosen = tuple(dict.fromkeys(formats))
    unknown = [one for one in chosen if one not in FORMATS]
    if unknown or not chosen:
        what = f"There is no format “{unknown[0][:100]}”." if unknown else "No format is asked for."
        raise RequestError(422, what, f"Choose of: {', '.join(FORMATS)}.")
    splat = "ply" in chosen
    mesh = bool({"glb", "obj", "stl"} & set(chosen)) or not splat
    asked = ReconOptions.from_json({**(options or {}), "splat": splat, "mesh": mesh, "preview": False})
    return Order(spec, asked, chosen, size_mm)


def check_count(order: Order, count: int) -> None:
    """Raise `SamdeskError` when so many objects cannot be made together."""
    if count > OBJECTS:
        raise RequestError(413, f"{count:,} objects are too many.", f"Send at most {OBJECTS}.")
    if count > 1:
        refuse_scene(order.spec)
        in_scenes = [name.rpartition(".")[2] for name in SCENE.values()]
        if not set(in_scenes) & set(order.formats):
            raise RequestError(
                422,
                "There is no scene of several objects in these formats.",
                f"Ask for: {', '.join(in_scenes)}.",
            )


def config(engine: str) -> Mapping[str, Any]:
    """What the user told an engine in the window. Reads the settings: for a lane.

    Raises
    ------
    SamdeskError
        When something that it needs is missing.
    """
    told = config_of(Settings(paths.config_dir() / "settings.json"), engine)
    refuse_when_lacking(RECON_ENGINES[engine], told)
    return told


def best_engine() -> str:
    """Of the engines that are set up the one that sees most. Reads the settings: for a lane."""
    for name in RECON_ENGINES:
        if name != PLAIN:
            with contextlib.suppress(SamdeskError):
                config(name)
                return name
    return PLAIN
