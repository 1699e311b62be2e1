"""The words that SAM 3 reads: the vocabulary file, and how long a text may be.

The package sam3 comes without its vocabulary. It is the one of CLIP (49,408 tokens), which
open_clip_torch brings. Must not know torch.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path
from typing import Protocol

from samdesk.domain.errors import SamdeskError

FILE = "open_clip/bpe_simple_vocab_16e6.txt.gz"
SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
"""Of the file that CLIP was published with (https://github.com/openai/CLIP)."""

LONGEST = 1000
"""Characters that are cut into tokens at all: the time grows with their square."""

ALONE = "visual"
"""What SAM 3 was trained to read where there are examples and no words."""

_AGAIN = "Run ./installer/run --with models, or: pip install --no-deps --force-reinstall open_clip_torch"


class Tokenizer(Protocol):
    """Words to numbers; `encode` leaves out the two tokens around every text."""

    def encode(self, text: str) -> list[int]: ...


def vocabulary_path() -> Path:
    """The vocabulary file; does not import open_clip, which would take seconds.

    Raises
    ------
    SamdeskError
        When open_clip_torch is not installed, or its file is missing or not CLIP's.
    """
    try:
        found = importlib.metadata.distribution("open_clip_torch").locate_file(FILE)
    except importlib.metadata.PackageNotFoundError as error:
        raise SamdeskError("SAM 3 needs open_clip_torch, which is not installed.", _AGAIN) from error
    return checked(Path(str(found)))


def checked(path: Path) -> Path:
    """The path of a vocabulary file, when it is CLIP's; errors as `vocabulary_path`."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SamdeskError(f"The vocabulary of SAM 3 cannot be read: {error}.", _AGAIN) from error
    if digest != SHA256:
        raise SamdeskError(f"{path} is not the vocabulary that SAM 3 was trained with.", _AGAIN)
    return path


def readable(text: str, tokenizer: Tokenizer, context: int) -> str:
    """The text as SAM 3 shall read it: trimmed, and empty where there are no words.

    Parameters
    ----------
    text : str
    tokenizer : Tokenizer
    context : int
        Tokens that the model reads, the first and the last of which are not the text's.

    Raises
    ------
    SamdeskError
        When it is longer: the model would not see its end.
    """
    # half a surrogate pair has no bytes to cut into tokens
    text = text.encode("utf-8", "ignore").decode("utf-8").strip()
    hint = "Name what to find in a few words, such as “red car”; commas do not make a list."
    if len(text) > LONGEST:
        raise SamdeskError(f"The text is too long for SAM 3: {len(text):,} characters.", hint)
    count = len(tokenizer.encode(text))
    if count > context - 2:
        raise SamdeskError(
            f"The text is too long for SAM 3: it reads {context - 2} parts of words at most, "
            f"and this text has {count}.",
            hint,
        )
    return text if count else ""
