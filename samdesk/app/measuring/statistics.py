"""What many numbers come to, in a few; and how they are spread. Must not know annotations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.geometry import FloatArray

MOST_BINS = 80
FEWEST_BINS = 8


@dataclass(frozen=True, slots=True)
class Summary:
    """Of the numbers that are finite.

    Attributes
    ----------
    count : int
    mean, sd, min, median, max, sum : float
        `sd` is that of a sample (n - 1). NaN where there are too few numbers.
    """

    count: int
    mean: float = math.nan
    sd: float = math.nan
    min: float = math.nan
    median: float = math.nan
    max: float = math.nan
    sum: float = 0.0


def summary(values: FloatArray) -> Summary:
    """Sum up an array (n,); what is not finite is left out."""
    numbers = values[np.isfinite(values)]
    if not len(numbers):
        return Summary(0)
    return Summary(
        len(numbers),
        float(numbers.mean()),
        float(numbers.std(ddof=1)) if len(numbers) > 1 else math.nan,
        float(numbers.min()),
        float(np.median(numbers)),
        float(numbers.max()),
        float(numbers.sum()),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How numbers are spread.

    Attributes
    ----------
    edges : ndarray, (k + 1,)
        Of the bins; the last one has both its edges.
    counts : ndarray, (k,)
    chosen : ndarray, (k,)
        How many of them are chosen.
    """

    edges: FloatArray
    counts: NDArray[np.int64]
    chosen: NDArray[np.int64]


def histogram(values: FloatArray, chosen: FloatArray) -> Histogram | None:
    """Count numbers in bins; None where none is finite.

    Parameters
    ----------
    values : ndarray, (n,)
        The bins are made for these: by the rule of Freedman and Diaconis (1981), but no fewer than
        `FEWEST_BINS` and no more than `MOST_BINS`, and none narrower than 1 for whole numbers.
    chosen : ndarray, (m,)
        Some of them.
    """
    numbers = values[np.isfinite(values)]
    if not len(numbers):
        return None
    edges = _edges(numbers)
    counts, _ = np.histogram(numbers, edges)
    among, _ = np.histogram(chosen[np.isfinite(chosen)], edges)
    return Histogram(edges, counts, among)


def _edges(numbers: FloatArray) -> FloatArray:
    low, high = float(numbers.min()), float(numbers.max())
    if low == high:
        around = max(abs(low) * 1e-3, 0.5)
        return np.array([low - around, low + around])
    quarter, three_quarters = np.percentile(numbers, (25, 75))
    width = 2 * (three_quarters - quarter) / len(numbers) ** (1 / 3)
    bins = (high - low) / width if width > 0 else math.inf
    count = math.ceil(min(max(bins, FEWEST_BINS), MOST_BINS))
    if (numbers == np.rint(numbers)).all():
        step = max(1, math.ceil((high - low + 1) / count))
        return np.arange(low - 0.5, high + step, step, dtype=np.float64)
    return np.linspace(low, high, count + 1, dtype=np.float64)
