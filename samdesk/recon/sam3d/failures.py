"""What went wrong inside SAM 3D, in words for the user.

Must not know how the model works.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from samdesk.domain.errors import MemoryFullError, SamdeskError
from samdesk.recon.worker.base import EngineError, Stopped

LESS_MEMORY = (
    "Make the splat only, take the light splat, or close what else uses the graphics card. "
    "Meta asks for a card with 32 GB."
)
_DOWNLOADS = frozenset(
    {
        "LocalEntryNotFoundError",
        "OfflineModeIsEnabled",
        "EntryNotFoundError",
        "RepositoryNotFoundError",
        "GatedRepoError",
        "URLError",
        "HTTPError",
        "ConnectionError",
    }
)
"""Errors of the libraries that fetch models, by name: they may not be installed."""
_OOM = re.compile(r"out of memory|_ALLOC_FAILED|std::bad_alloc|cannot allocate memory", re.I)
_CUDA = re.compile(
    r"CUDA error|CUDA driver|CUDA kernel|no kernel image|cudnn|cublas|NVIDIA driver|not compiled with CUDA",
    re.I,
)
_LONGEST = 300
_EMPTY = re.compile(
    r"numel\(\) == 0|zero-size array|Expected reduction dim|empty (tensor|sequence)|non-empty|no elements",
    re.I,
)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn whatever is raised inside into `EngineError` or `Stopped`.

    Parameters
    ----------
    doing : str
        Completes "SAM 3D failed while …".
    """
    try:
        yield
    except (EngineError, Stopped):
        raise
    except Exception as error:
        for one in _chain(error, contexts=True):
            traceback.clear_frames(one.__traceback__)  # they hold on to tensors
        told = explained(error, doing)
        told.__traceback__ = None
        raise told from None if told in _chain(error, contexts=True) else error


def explained(error: BaseException, doing: str) -> EngineError | Stopped:
    """The error for the user: hydra and the pipeline wrap the first cause, which tells most."""
    for one in _chain(error, contexts=True):
        if isinstance(one, EngineError | Stopped):
            return one
        if isinstance(one, SamdeskError):
            return told(one)
    causes = list(_chain(error, contexts=False))[::-1]
    for one in causes:
        known = _known(one)
        if known is not None:
            return known
    said = str(causes[0]).strip().splitlines()
    return EngineError(
        "internal",
        f"SAM 3D failed while {doing}: {type(causes[0]).__name__}{f': {said[0]}' if said else ''}.",
        "The log of the worker has the details.",
    )


def told(error: SamdeskError) -> EngineError:
    """One of our own errors as the worker tells it."""
    kind = "oom" if isinstance(error, MemoryFullError) else "internal"
    return EngineError(kind, error.message, error.hint)


def _chain(error: BaseException, *, contexts: bool) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (one.__context__ if contexts else None)


def _known(error: BaseException) -> EngineError | None:
    name, text = type(error).__name__, str(error)
    if name == "OutOfMemoryError" or (isinstance(error, RuntimeError) and _OOM.search(text)):
        return EngineError("oom", "The graphics memory is full.", LESS_MEMORY)
    if isinstance(error, MemoryError):
        return EngineError("oom", "The computer's memory is full.", "Close other programs.")
    if isinstance(error, ImportError):
        return _import(error)
    if any(base.__name__ in _DOWNLOADS for base in type(error).__mro__):
        return EngineError(
            "missing_weights",
            f"A model that SAM 3D builds on cannot be fetched: {_first_line(text)}",
            "MoGe and DINOv2 must be in the model caches, or the network must be allowed in the settings.",
        )
    if isinstance(error, FileNotFoundError):
        where = error.filename or _first_line(text)
        return EngineError(
            "missing_weights",
            f"{where} is not there.",
            "Press Check in the settings to see all that is missing.",
        )
    if isinstance(error, UnboundLocalError) and "gpu_name" in text:
        return no_cuda()
    if _CUDA.search(text):
        return EngineError(
            "cuda",
            f"The graphics card reports an error: {_first_line(text)}",
            "Try again. If it stays, the driver, torch and the card do not fit together; press Check.",
        )
    if isinstance(error, RuntimeError | ValueError | IndexError) and _EMPTY.search(text):
        return nothing_found()
    return None


def no_cuda() -> EngineError:
    return EngineError(
        "cuda",
        "SAM 3D Objects needs an NVIDIA card, and its Python environment finds none.",
        "Check the driver with nvidia-smi, and that the environment's torch is a CUDA build.",
    )


def nothing_found() -> EngineError:
    return EngineError(
        "mask_empty",
        "SAM 3D found no body in what the mask selects.",
        "Check that the outline covers the object; another seed may help.",
    )


def _import(error: ImportError) -> EngineError:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return EngineError(
            "missing_module",
            f"The Python environment of SAM 3D lacks “{error.name}”.",
            "Install it there as SAM 3D's doc/setup.md tells; press Check to see all that is missing.",
        )
    return EngineError(
        "missing_module",
        f"A package of SAM 3D cannot be imported: {_first_line(' '.join(str(error).split())[:_LONGEST])}",
        "Its packages must have been built for the same torch and CUDA.",
    )


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return f"{lines[0].rstrip('.')}." if lines else "no reason was given."
