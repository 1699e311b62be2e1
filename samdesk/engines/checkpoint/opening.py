"""From a file of any kind to named tensors, or to words for why there are none.

Runs no code of the file: torch reads it with `weights_only`, safetensors has none. Tensors are
mapped, not read: what is not looked at stays on the disk. Must not know model families.
"""

from __future__ import annotations

import pickle
import re
import stat
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from samdesk.domain.errors import SamdeskError
from samdesk.formats.atomic import file_error

from .foreign import HEAD_BYTES, kind_of_archive, kind_of_bytes, kind_of_class

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_LEGACY = re.compile(
    rb"\x80[\x02-\x05](\x95.{8})?\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", re.DOTALL
)
"""How files begin that torch wrote before 1.6: the pickled number 0x1950a86a20f9469cfc6c."""

WRAPPERS = (
    "model",
    "state_dict",
    "model_state",
    "model_state_dict",
    "sam",
    "net",
    "network",
    "network_weights",
    "params",
    "weights",
    "module",
    "ema",
    "model_ema",
    "teacher",
    "student",
)
"""Names under which training programs put the weights, the likeliest first."""

_AGAIN = "Download it again."
_ALONE = "Save the weights alone with torch.save(model.state_dict(), …) in the program that made it."
_WHERE = "Give a weight file of a SAM (.pt, .pth or .safetensors)."


def open_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The weights in a file by name; they map the file and are read when they are used.

    Raises
    ------
    SamdeskError
        When the file is not a file of weights; says what it seems to be.
    """
    head = _head(path)
    if head.startswith(_ZIP):
        return flatten(_open_zip(path), path)
    if _looks_like_safetensors(head):
        return _open_safetensors(path)
    if _LEGACY.match(head):
        return flatten(_load(path, mapped=False), path)
    if _looks_like_pickle(head):
        raise _pickle_refused(path)
    kind = kind_of_bytes(head, path.name)
    if "pointer" in kind:
        raise SamdeskError(
            f"{path} is {kind}.", "Run git lfs pull in its folder, or download the file itself."
        )
    if "web page" in kind or "error message" in kind:
        raise SamdeskError(
            f"{path} is {kind}: the download gave a page and not the weights.",
            "Open the address in a browser to see why; a sign-in may be needed.",
        )
    if "zeros" in kind:
        raise SamdeskError(f"{path} is {kind}.", _AGAIN)
    raise SamdeskError(f"{path} is {kind or 'not a file of weights'}.", _WHERE)


def flatten(loaded: Any, path: Path) -> dict[str, torch.Tensor]:
    """The state dict in what was loaded, with training programs' wrappers taken off.

    Raises
    ------
    SamdeskError
        When there is none.
    """
    found = _state_in(loaded, depth=3)
    if found is None:
        raise SamdeskError(f"{path} holds {_describe(loaded)}, not the weights of a model.", _WHERE)
    return {str(key): value for key, value in found.items() if isinstance(value, torch.Tensor)}


def _state_in(loaded: Any, depth: int) -> Mapping[Any, Any] | None:
    if not isinstance(loaded, Mapping) or depth == 0:
        return None
    for name in WRAPPERS:
        inner = _state_in(loaded.get(name), depth - 1)
        if inner is not None:
            return inner
    tensors = sum(isinstance(value, torch.Tensor) for value in loaded.values())
    return loaded if tensors else None


def _describe(loaded: Any) -> str:
    if isinstance(loaded, torch.Tensor):
        return "a single tensor"
    if isinstance(loaded, Mapping):
        return f"a dictionary ({_few(loaded)})" if loaded else "an empty dictionary"
    return f"a {type(loaded).__name__}"


def _few(keys: Iterable[Any], count: int = 4) -> str:
    names = [str(key) for key in keys]
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")


def _head(path: Path) -> bytes:
    if path.is_dir():
        inner = sorted(p.name for p in path.iterdir() if p.suffix in (".pt", ".pth", ".safetensors"))
        hint = f"Give the file in it: {inner[0]}." if inner else _WHERE
        raise SamdeskError(f"{path} is a folder.", hint)
    try:
        # a pipe would be waited for
        if not stat.S_ISREG(path.stat().st_mode):
            raise SamdeskError(f"{path} is not a file but a device or a pipe.", _WHERE)
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise file_error(path, error, "read") from error
    if not head:
        raise SamdeskError(f"{path} is empty.", _AGAIN)
    return head


def _open_zip(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except OSError as error:
        raise file_error(path, error, "read") from error
    except Exception as error:
        # besides BadZipFile, damage raises NotImplementedError, ValueError, struct.error ...
        raise _damaged(path, str(error)) from error
    inner = {name.partition("/")[2] for name in names}
    if "data.pkl" not in inner or "constants.pkl" in inner:
        raise SamdeskError(f"{path} is {kind_of_archive(names)}.", _WHERE)
    return _load(path, mapped=True)


def _load(path: Path, *, mapped: bool) -> Any:
    try:
        with warnings.catch_warnings():
            # old files name storage classes whose deprecation torch reports at every use
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise _code_refused(path, str(error)) from error
    except OSError as error:
        raise file_error(path, error, "read") from error
    except MemoryError as error:
        raise SamdeskError(f"There is not enough memory to read {path}.", "Close other programs.") from error
    except Exception as error:
        # a damaged pickle can raise anything: KeyError, IndexError, struct.error, RuntimeError ...
        raise _damaged(path, f"{type(error).__name__}: {error}") from error


def _open_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from samdesk.engines.runtime import need

    safetensors = need("safetensors")
    try:
        with safetensors.safe_open(str(path), framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except safetensors.SafetensorError as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        raise file_error(path, error, "read") from error


def _looks_like_safetensors(head: bytes) -> bool:
    # eight bytes say how long the JSON is that follows; no other kind of file begins so
    return len(head) > 9 and head[8:9] == b"{" and head[5:8] == b"\0\0\0" and not head.startswith(b"\x80")


def _looks_like_pickle(head: bytes) -> bool:
    return len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5


def _damaged(path: Path, reason: str) -> SamdeskError:
    size = path.stat().st_size / 1e6
    short = reason.strip().splitlines()[0][:160] if reason.strip() else "unknown"
    return SamdeskError(f"{path} is damaged or incomplete ({size:.1f} MB): {short}.", _AGAIN)


def _pickle_refused(path: Path) -> SamdeskError:
    classes = _classes_in_pickle(path)
    kind = next((found for name in classes if (found := kind_of_class(name))), "a pickle of Python objects")
    named = f" ({_few(classes)})" if classes else ""
    return SamdeskError(
        f"{path} is {kind}{named}, not weights alone; loading it could run any code.",
        _ALONE,
    )


def _classes_in_pickle(path: Path) -> list[str]:
    """Classes that a pickle names, read without running it."""
    import pickletools

    found: list[str] = []
    strings: list[str] = []
    try:
        with path.open("rb") as file:
            for opcode, argument, _ in pickletools.genops(file):
                if opcode.name in ("SHORT_BINUNICODE", "BINUNICODE", "UNICODE"):
                    strings = [*strings[-1:], str(argument)]
                elif opcode.name == "GLOBAL":
                    found.append(str(argument).replace(" ", "."))
                elif opcode.name == "STACK_GLOBAL" and len(strings) == 2:
                    found.append(".".join(strings))
    except (ValueError, OSError, pickle.UnpicklingError):
        pass
    return list(dict.fromkeys(name for name in found if not name.startswith(("builtins.", "collections."))))


def _code_refused(path: Path, message: str) -> SamdeskError:
    named = re.search(r"GLOBAL (\S+) (?:was not an allowed|whose module)", message)
    if named is None:
        return _damaged(path, message.rpartition("WeightsUnpickler error:")[2])
    name = named[1]
    kind = kind_of_class(name)
    seems = f" It seems to be {kind}." if kind else ""
    return SamdeskError(
        f"{path} holds more than weights: loading it would call {name}, which is refused because such "
        f"a file can run any code.{seems}",
        _ALONE,
    )
