"""`recognise`, `read_state`, `load_into`: from a weight file to a module that has its weights.

Must not know the engines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task

from .digest import file_digest
from .families import CheckpointInfo, Match, match_family, without_prefix
from .foreign import kind_of_change, kind_of_keys
from .opening import open_tensors

SHOWN = 3
"""So many keys are listed in a message."""


def recognise(path: Path, task: Task | None = None) -> CheckpointInfo:
    """Tell which model a weight file holds, from the names and shapes of its weights.

    The weights themselves are read only for the digest, and for that once.

    Raises
    ------
    SamdeskError
        When it holds no SAM that can be run; says what it seems to be.
    Cancelled
        When the task was cancelled.
    """
    task = task or Task()
    task.progress(None, f"Reading {path.name}")
    match, tensors = _open(path)
    return _info(match, tensors, file_digest(path, task))


def read_state(path: Path, task: Task | None = None) -> tuple[CheckpointInfo, dict[str, torch.Tensor]]:
    """The weights of a file under the keys of the published model, on the CPU.

    Parameters
    ----------
    path : Path
    task : Task, optional

    Returns
    -------
    info : CheckpointInfo
    state : dict of str to tensor
        Floating point weights are float32, whatever the file holds. They may map the file: do not
        change them in place.

    Raises
    ------
    SamdeskError
        As `recognise`, and when a weight is not a finite number.
    Cancelled
        When the task was cancelled.
    """
    task = task or Task()
    task.progress(None, f"Reading {path.name}")
    match, tensors = _open(path)
    info = _info(match, tensors, file_digest(path, task))
    state: dict[str, torch.Tensor] = {}
    for done, (key, value) in enumerate(tensors.items()):
        task.progress(done / len(tensors), f"Reading {path.name}")
        state[key] = _checked(key, value, path)
    return info, state


def load_into(module: torch.nn.Module, state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Give a module its weights; every key must be there, and no other.

    A module that was built on the "meta" device receives copies of the weights on the CPU, which
    saves filling it with random numbers first.

    Parameters
    ----------
    module : Module
    state : mapping of str to tensor
        Under the module's own keys.
    path : Path
        For the message.

    Raises
    ------
    SamdeskError
        When keys are missing, unknown, or of another shape; the module is unchanged then.
    """
    wanted = module.state_dict()
    missing = [key for key in wanted if key not in state]
    unknown = [key for key in state if key not in wanted]
    shapes = [
        f"{key} is {_size(state[key])} and not {_size(wanted[key])}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    faults = [
        *_fault(len(missing), "missing", missing),
        *_fault(len(unknown), "unknown", unknown),
        *_fault(len(shapes), "of another shape", shapes),
    ]
    if faults:
        raise SamdeskError(
            f"The weights in {path} do not fit the model ({len(wanted)} weights): {'; '.join(faults)}.",
            "The file may be damaged, or made for a changed model; choose another one.",
        )
    if any(value.is_meta for value in wanted.values()):
        own = {key: value.clone(memory_format=torch.contiguous_format) for key, value in state.items()}
        module.load_state_dict(own, assign=True)
    else:
        module.load_state_dict(dict(state))


def _open(path: Path) -> tuple[Match, dict[str, torch.Tensor]]:
    tensors = open_tensors(path)
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    match = match_family(shapes)
    if match is None or kind_of_change(shapes):
        raise _unknown_model(path, shapes)
    return match, without_prefix(tensors, match.prefix)


def _info(match: Match, tensors: Mapping[str, torch.Tensor], digest: str) -> CheckpointInfo:
    numbers: Counter[str] = Counter()
    for value in tensors.values():
        numbers[str(value.dtype).removeprefix("torch.")] += value.numel()
    dtype = numbers.most_common(1)[0][0]
    return CheckpointInfo(match.type, match.family, match.version, match.title, digest, len(tensors), dtype)


def _checked(key: str, value: torch.Tensor, path: Path) -> torch.Tensor:
    if not value.is_floating_point():
        return value
    value = value.float()
    # one sum is far quicker than a test of every number, and is finite when they all are
    if not torch.isfinite(value.sum()) and not torch.isfinite(value).all():
        raise SamdeskError(
            f"{path} holds numbers that are not finite, in {key}.",
            "The file is damaged or the training that made it failed; choose another one.",
        )
    return value


def _unknown_model(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> SamdeskError:
    hint = "Give the weights of SAM, MobileSAM, SAM 2, SAM 2.1 or SAM 3."
    family = kind_of_change(shapes) or kind_of_keys(shapes)
    if "transformers" in family:
        hint = "Give the file as the authors of the model published it (.pt or .pth)."
    if family:
        return SamdeskError(f"{path} holds the weights of another model: {family}.", hint)
    names = ", ".join(list(shapes)[:SHOWN])
    return SamdeskError(
        f"{path} holds the weights of a model that is not known here "
        f"({len(shapes)} weights, the first are {names}).",
        hint,
    )


def _fault(count: int, what: str, names: Iterable[str]) -> list[str]:
    names = list(names)
    more = ", …" if count > SHOWN else ""
    return [f"{count} {what} ({', '.join(names[:SHOWN])}{more})"] if count else []


def _size(tensor: torch.Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "a single number"
