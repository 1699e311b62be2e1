"""`Weight`: one entry of the registry, and how it is written as JSON.

Must not know where files lie, nor how they come here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

TYPES = ("vit_b", "vit_l", "vit_h", "vit_t", "sam2_t", "sam2_s", "sam2_bp", "sam2_l", "sam3")
"""Model types that have an engine; the names are those that QuPath's SAM extension sends."""

ALGORITHMS = {"sha256": 64, "xxh128": 32}
"""Hash algorithms and their number of hexadecimal digits."""

Source = Literal["shipped", "user"]

_NAMED_BY_WINDOWS = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
_PLAIN_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+ -]{0,119}")


@dataclass(frozen=True, slots=True)
class Hash:
    """What a publisher says that a file hashes to.

    Attributes
    ----------
    algorithm : {"sha256", "xxh128"}
    value : str
        Lower-case hexadecimal digits.
    """

    algorithm: str
    value: str

    def __post_init__(self) -> None:
        digits = ALGORITHMS.get(self.algorithm)
        if digits is None:
            raise ValueError(f"the hash algorithm {self.algorithm!r} is not known")
        if not re.fullmatch(rf"[0-9a-f]{{{digits}}}", self.value):
            raise ValueError(f"{self.value!r} is not a {self.algorithm} in lower-case hexadecimal digits")

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"


@dataclass(frozen=True, slots=True)
class Weight:
    """An entry of the registry; the file itself may or may not be there.

    Attributes
    ----------
    type : str
        Model type, one of `TYPES`; empty while nobody knows (a user's link before it was fetched).
    name : str
        What the user reads; unique in a registry, whatever the case.
    file : str
        Name under which the file is stored. Never taken from `url`.
    url : str
        Where it comes from; empty for a file that was imported.
    hash : Hash or None
        As published.
    size : int or None
        Bytes, as published.
    licence : str
    homepage : str
        Where to read about it; for a gated weight the page on which its licence is accepted.
    gated : bool
        Whether it comes only to those who accepted its licence and say who they are.
    about : str
        One sentence on what it is good for.
    source : {"shipped", "user"}
        Which registry it is from.
    reference : str
        Absolute path of a file that is used where it lies; empty for a file in our folder.
    """

    type: str
    name: str
    file: str
    url: str = ""
    hash: Hash | None = None
    size: int | None = None
    licence: str = ""
    homepage: str = ""
    gated: bool = False
    about: str = ""
    source: Source = "user"
    reference: str = ""

    @property
    def sha256(self) -> str | None:
        """The published SHA-256, when that is what was published."""
        return self.hash.value if self.hash is not None and self.hash.algorithm == "sha256" else None


def check_file_name(name: str) -> None:
    """Raise ValueError when a stored name is not the plain name of a file."""
    if not _PLAIN_FILE.fullmatch(name) or name.endswith((".", " ")) or _NAMED_BY_WINDOWS.match(name):
        raise ValueError(f"{name!r} is not a plain file name")
    if name.endswith((".part", ".lock", ".json", ".aside", ".tmp")):
        raise ValueError(f"{name!r} ends like a file of our own")


def file_name_for(name: str, suffix: str = ".pt") -> str:
    """A plain file name for a weight that a user named.

    Examples
    --------
    >>> file_name_for("../../My nuclei: fine-tuned (2)")
    'My_nuclei_fine-tuned_2.pt'
    """
    plain = re.sub(r"[^A-Za-z0-9+-]+", "_", name).strip("_+-")[:80] or "weight"
    if _NAMED_BY_WINDOWS.match(plain):
        plain = f"weight_{plain}"
    return plain + suffix


def weight_from_json(entry: Mapping[str, Any], source: Source) -> Weight:
    """Read an entry; unknown keys are left alone.

    Raises
    ------
    ValueError
        When the entry cannot be used; says why.
    """
    type_, name, file = (_text(entry, key) for key in ("type", "name", "file"))
    if type_ and type_ not in TYPES:
        raise ValueError(f"the model type {type_!r} is not known")
    if not name.strip():
        raise ValueError("it has no name")
    check_file_name(file)
    size = entry.get("size")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size <= 0):
        raise ValueError(f"its size {size!r} is not a number of bytes")
    gated = entry.get("gated", False)
    if not isinstance(gated, bool):
        raise ValueError(f"gated is {gated!r} and neither true nor false")
    return Weight(
        type=type_,
        name=name,
        file=file,
        url=_text(entry, "url"),
        hash=_hash(entry),
        size=size,
        licence=_text(entry, "licence"),
        homepage=_text(entry, "homepage"),
        gated=gated,
        about=_text(entry, "about"),
        source=source,
        reference=_text(entry, "reference"),
    )


def weight_to_json(weight: Weight) -> dict[str, Any]:
    """The entry for a registry file, keys in the order of the shipped one."""
    entry: dict[str, Any] = {"type": weight.type, "name": weight.name, "file": weight.file}
    entry |= {"url": weight.url, "sha256": weight.sha256}
    if weight.hash is not None and weight.sha256 is None:
        entry["hash"] = {"algorithm": weight.hash.algorithm, "value": weight.hash.value}
    entry |= {"size": weight.size, "licence": weight.licence, "homepage": weight.homepage}
    entry |= {"gated": weight.gated, "about": weight.about}
    if weight.reference:
        entry["reference"] = weight.reference
    return entry


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{key} is {value!r} and not text")
    return value


def _hash(entry: Mapping[str, Any]) -> Hash | None:
    sha256 = _text(entry, "sha256")
    if sha256:
        return Hash("sha256", sha256.lower())
    other = entry.get("hash")
    if other is None:
        return None
    if not isinstance(other, Mapping):
        raise ValueError(f"hash is {other!r} and not an algorithm with a value")
    return Hash(_text(other, "algorithm"), _text(other, "value").lower())
