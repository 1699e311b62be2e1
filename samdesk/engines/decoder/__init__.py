"""The prompt encoder and mask decoder that the SAM models share, arranged for many prompts on one image.

`FastDecoder` computes, `Frame` converts coordinates, `Asker` turns `Prompts` into its input and
its output into `MaskLogits`. Must not know any encoder, nor where the weights come from.
"""

from __future__ import annotations

from .asking import Asker, Frame, Question, questions, wants_several
from .fast import Decoded, FastDecoder, ImageTerms

__all__ = [
    "Asker",
    "Decoded",
    "FastDecoder",
    "Frame",
    "ImageTerms",
    "Question",
    "questions",
    "wants_several",
]
