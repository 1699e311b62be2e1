"""Our splat files beside plyfile's: medians and ratios of one run.

Run with ``python -m tests.bench.test_splat_bench [SPLATS ...]``. To read is to come to the values
that are drawn (widths, colours, opacities, unit rotations), to write is the way back; plyfile does
the container (mapped into memory, its quick way), NumPy on whole columns the rest, as other viewers
do. "container" leaves the rest out, for plyfile alone. Ours drops what is not finite when it reads.
When it writes, it flushes to the disk; "flushed" has plyfile do so too.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from plyfile import PlyData, PlyElement

from samdesk.recon.splat import COLUMNS, SH_C0, Splats, read_splats, write_splats

SIZES = (20_000, 200_000, 1_000_000)
ROUNDS = 7


def random_splats(n: int) -> Splats:
    rng = np.random.default_rng(0)
    turns = rng.normal(size=(n, 4)).astype(np.float32)
    return Splats(
        rng.uniform(-0.5, 0.5, (n, 3)),
        np.exp(rng.normal(-5, 0.5, (n, 3))),
        turns / np.linalg.norm(turns, axis=1, keepdims=True),
        rng.random((n, 3)),
        rng.uniform(0.01, 0.99, n),
    )


def columns_of(splats: Splats) -> np.ndarray:
    """Rows as plyfile takes them."""
    rows = np.zeros(len(splats), [(name, "<f4") for name in COLUMNS])
    for axis in range(3):
        rows["xyz"[axis]] = splats.means[:, axis]
        rows[f"f_dc_{axis}"] = (splats.colors[:, axis] - 0.5) / SH_C0
        rows[f"scale_{axis}"] = np.log(splats.scales[:, axis])
    rows["opacity"] = np.log(splats.opacities / (1 - splats.opacities))
    for part in range(4):
        rows[f"rot_{part}"] = splats.rotations[:, part]
    return rows


def plyfile_write(path: Path, rows: np.ndarray, flush: bool = False) -> None:
    with path.open("wb") as file:
        PlyData([PlyElement.describe(rows, "vertex")]).write(file)
        if flush:
            file.flush()
            os.fsync(file.fileno())


def plyfile_read(path: Path) -> Splats:
    rows = PlyData.read(str(path))["vertex"]
    turns = np.stack([rows[f"rot_{k}"] for k in range(4)], 1)
    return Splats(
        np.stack([rows[name] for name in "xyz"], 1),
        np.exp(np.stack([rows[f"scale_{k}"] for k in range(3)], 1)),
        turns / np.linalg.norm(turns, axis=1, keepdims=True),
        0.5 + SH_C0 * np.stack([rows[f"f_dc_{k}"] for k in range(3)], 1),
        1 / (1 + np.exp(-rows["opacity"])),
    )


def timed(function: Callable[[], Any]) -> float:
    started = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - started)


def measure(n: int) -> dict[str, tuple[float, float]]:
    """Median milliseconds of ours and of plyfile's, by what was done; in turn, round by round."""
    splats = random_splats(n)
    rows = columns_of(splats)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.ply", Path(folder) / "theirs.ply"
        work: dict[str, Callable[[], Any]] = {
            "our write": lambda: write_splats(ours, splats),
            "write": lambda: plyfile_write(theirs, columns_of(splats)),
            "write flushed": lambda: plyfile_write(theirs, columns_of(splats), flush=True),
            "write container": lambda: plyfile_write(theirs, rows),
            "our read": lambda: read_splats(ours),
            "read": lambda: plyfile_read(theirs),
            "read container": lambda: np.array(PlyData.read(str(theirs))["vertex"].data),
        }
        took: dict[str, list[float]] = {name: [] for name in work}
        for _ in range(ROUNDS):
            for name, function in work.items():
                took[name].append(timed(function))
        np.testing.assert_allclose(plyfile_read(ours).opacities, read_splats(theirs).opacities, atol=1e-5)
    medians = {name: statistics.median(values) for name, values in took.items()}
    return {name: (medians[f"our {name.split()[0]}"], medians[name]) for name in medians if "our" not in name}


def report(*sizes: int) -> dict[str, float]:
    """Measure, print a line for each figure, and give the ratios."""
    ratios = {}
    for n in sizes or SIZES:
        for name, (ours, theirs) in measure(n).items():
            ratios[f"{name}, {n:,}"] = ours / theirs
            print(f"{n:>9,} {name:<16} {ours:8.1f} {theirs:8.1f} ms   ratio {ours / theirs:5.2f}")
    return ratios


def test_beside_plyfile(benchmark: Any) -> None:
    ratios = benchmark.pedantic(report, rounds=1)
    benchmark.extra_info.update(ratios)
    assert all(ratio > 0 for ratio in ratios.values())


if __name__ == "__main__":
    report(*map(int, sys.argv[1:]))
