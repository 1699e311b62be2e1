"""`list_weights`, `get_weight`, `download_weight`: the weights registry for scripts and notebooks.

Joins the registry, which knows no engine, with the recognition of files, which knows no registry.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from samdesk.domain.tasks import Progress, Task
from samdesk.weights import Recognise, Registry, Weight, default_registry
from samdesk.weights.verification import Recognised


def list_weights(type: str | None = None) -> tuple[Weight, ...]:
    """The weights that are known, shipped and the user's; those of one model type when it is given."""
    registry = default_registry()
    return registry.weights if type is None else registry.of_type(type)


def get_weight(name: str) -> Weight:
    """The weight of a name, a part of it that fits one only, or the best of a model type.

    Raises
    ------
    SamdeskError
        When there is none, or several fit.
    """
    return default_registry().find(name)


def download_weight(
    name: str,
    progress: Callable[[Progress], None] | None = None,
    task: Task | None = None,
    *,
    token: str | None = None,
    registry: Registry | None = None,
) -> Path:
    """Fetch a weight that is not on this computer yet; the path of its file.

    Parameters
    ----------
    name : str
        As for `get_weight`.
    progress : callable, optional
        Receives a `Progress` with the fraction and, in words, rate and remaining time.
    task : Task, optional
        To cancel from another thread with `task.cancel()`; what came until then is kept, and the
        next call goes on from there. It reports to itself, so `progress` is not used then.
    token : str, optional
        For a gated weight; by default the one that was saved or the login of Hugging Face.
    registry : Registry, optional
        By default the user's.

    Raises
    ------
    SamdeskError
        When it cannot be fetched, or what came is not what was published.
    Cancelled
        When the task was cancelled.
    """
    from samdesk.weights.download import download

    registry = registry or default_registry()
    weight = registry.find(name)
    return download(registry, weight, task or Task(progress), recognise=recogniser(), token=token)


def recogniser(task: Task | None = None) -> Recognise | None:
    """What tells the model type of a file; None without torch, which reads the files."""
    if importlib.util.find_spec("torch") is None:
        return None

    def recognise(path: Path) -> Recognised:
        from samdesk.engines.checkpoint import recognise

        return recognise(path, task)

    return recognise
