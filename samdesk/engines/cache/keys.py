"""`EmbeddingKey`: what an embedding was made from, and how that is written in a file.

Must not know images: it holds their identities.
"""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

from samdesk.domain.geometry import Plane, Region


class EmbeddingKey(NamedTuple):
    """Everything that decides what an embedding is; equal keys mean equal embeddings.

    Attributes
    ----------
    source : str
        Identity of the image, made without reading its pixels.
    display : str
        Key of the display: other ranges or colors give the engine another picture.
    plane : Plane
    chip : Region
        Place and level.
    engine : str
        Identity of the engine, with the digest of its weights.
    device : str
        Where the embedding lies in memory; on disk it is for all devices, so not in `text`.
    """

    source: str
    display: str
    plane: Plane
    chip: Region
    engine: str
    device: str = ""

    @property
    def text(self) -> str:
        """The same for equal keys in every run, and different for different ones."""
        z, t = self.plane
        chip = self.chip
        # 1 and 1.0 are equal and must not be written in two ways
        place = [float(chip.x), float(chip.y), int(chip.width), int(chip.height), float(chip.downsample)]
        values = [self.source, self.display, [int(z), int(t)], place, self.engine]
        return json.dumps(values, separators=(",", ":"))


def digest(text: str) -> str:
    """32 hexadecimal digits that stand for a key in a file name."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
