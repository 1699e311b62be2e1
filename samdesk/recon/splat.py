"""Gaussian splats as a value, and their PLY file: the layout of 3D Gaussian Splatting, one colour each.

Must not know engines or windows. NumPy only, for it also runs in the worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.formats.atomic import replacing

from .ply import Header, header_text, read_header, read_rows
from .pose import Pose, quaternion_product

Floats = NDArray[np.float32]

SH_C0 = 0.28209479177387814
"""Constant of the spherical harmonic of degree 0: ``colour = 0.5 + SH_C0 * f_dc``."""

COLUMNS = (
    *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)
"""What a row of the file holds, as float32. The normals are zero; most readers want them there."""

_NEEDED = tuple(name for name in COLUMNS if name not in ("nx", "ny", "nz"))
_BLOCK = 1 << 15  # rows that stay in the cache while they are converted
_SURE = 1 - 2.0**-24  # the largest opacity below 1 whose logit is finite
_THIN = 1e-20  # the logarithm of no width is not finite


@dataclass(frozen=True, slots=True, eq=False)
class Splats:
    """Gaussians in the object's or the world frame, z up; see `samdesk.recon.pose`.

    Attributes
    ----------
    means : ndarray, (n, 3) float32
    scales : ndarray, (n, 3) float32
        Standard deviations along the own axes.
    rotations : ndarray, (n, 4) float32
        Unit quaternions w, x, y, z from the own axes to the frame.
    colors : ndarray, (n, 3) float32
        As displayed (sRGB), 0..1; a file may hold colours beyond.
    opacities : ndarray, (n,) float32
        0..1.
    """

    means: Floats
    scales: Floats
    rotations: Floats
    colors: Floats
    opacities: Floats

    def __post_init__(self) -> None:
        for field in fields(self):
            values = np.ascontiguousarray(getattr(self, field.name), np.float32)
            object.__setattr__(self, field.name, values)
        n = len(self.means)
        shapes = (self.means.shape, self.scales.shape, self.colors.shape, self.rotations.shape)
        if shapes != ((n, 3), (n, 3), (n, 3), (n, 4)) or self.opacities.shape != (n,):
            raise ValueError(f"splats of shapes {shapes}, {self.opacities.shape}")

    def __len__(self) -> int:
        return len(self.means)

    def posed(self, pose: Pose) -> Splats:
        """These splats, given in the object frame, in the world frame."""
        # the product with a quaternion is linear in the other one
        turn = quaternion_product(pose.world_quaternion, np.eye(4))
        return Splats(
            pose.to_world(self.means).astype(np.float32),
            self.scales * np.float32(pose.scale),
            _unit(self.rotations @ turn.astype(np.float32)),
            self.colors,
            self.opacities,
        )

    def subset(self, rows: NDArray[np.bool_] | NDArray[np.integer] | slice) -> Splats:
        """Some of the splats, by their numbers, a mask or a slice."""
        return Splats(
            self.means[rows],
            self.scales[rows],
            self.rotations[rows],
            self.colors[rows],
            self.opacities[rows],
        )

    def bounds(self) -> tuple[Floats, Floats]:
        """Lowest and highest mean along each axis; zeros when there are no splats."""
        if not len(self):
            return np.zeros(3, np.float32), np.zeros(3, np.float32)
        return self.means.min(0), self.means.max(0)

    @staticmethod
    def concat(parts: Sequence[Splats]) -> Splats:
        """The splats of all parts, which have one frame, in their order."""
        if not parts:
            return _empty(0)
        return Splats(
            np.concatenate([part.means for part in parts]),
            np.concatenate([part.scales for part in parts]),
            np.concatenate([part.rotations for part in parts]),
            np.concatenate([part.colors for part in parts]),
            np.concatenate([part.opacities for part in parts]),
        )


def is_splat(path: Path) -> bool:
    """Whether a file is a PLY file of splats; not whether it is whole."""
    try:
        return {"f_dc_0", "scale_0", "rot_0"} <= read_header(path).element("vertex").names
    except SamdeskError:
        return False


def read_splats(path: Path) -> Splats:
    """Read a PLY file of splats.

    Colours that depend on the view (``f_rest``) are left out, and so are splats that are not
    finite.

    Raises
    ------
    SamdeskError
        When it cannot be read, holds no splats, or is cut off.
    """
    header = read_header(path)
    _refuse(path, header)
    rows = read_rows(path, header, "vertex")
    splats = _empty(len(rows))
    sound = True
    for part in _blocks(len(rows)):
        sound &= _activate(rows[part], splats, part)
    return splats if sound else _finite(path, splats)


def write_splats(path: Path, splats: Splats, comments: Sequence[str] = ()) -> None:
    """Write a PLY file that other splat viewers read, whole or not at all.

    Raises
    ------
    SamdeskError
        When it cannot be written.
    """
    properties = ", ".join(f"float {name}" for name in COLUMNS)
    head = header_text("binary_little_endian", (("vertex", len(splats), properties),), tuple(comments))
    block = np.zeros((min(len(splats), _BLOCK), len(COLUMNS)), "<f4")
    with replacing(path) as fresh, fresh.open("wb") as file:
        file.write(head)
        for part in _blocks(len(splats)):
            rows = block[: part.stop - part.start]
            _deactivate(splats, part, rows)
            file.write(rows.data)


def _refuse(path: Path, header: Header) -> None:
    names = header.element("vertex").names
    lacking = [name for name in _NEEDED if name not in names]
    if lacking:
        packed = any(name.startswith("packed_") for name in names)
        raise SamdeskError(
            f"{path} holds no splats: {', '.join(lacking[:4])}{' and more' * (len(lacking) > 4)} lacking.",
            "Compressed splats cannot be read; save them as a plain PLY file first."
            if packed
            else "Choose a PLY file in the layout of 3D Gaussian Splatting.",
        )


def _blocks(rows: int) -> Iterator[slice]:
    for start in range(0, rows, _BLOCK):
        yield slice(start, min(start + _BLOCK, rows))


def _empty(n: int) -> Splats:
    three = (np.empty((n, 3), np.float32) for _ in range(3))
    means, scales, colors = three
    return Splats(means, scales, np.empty((n, 4), np.float32), colors, np.empty(n, np.float32))


def _activate(rows: np.ndarray, splats: Splats, part: slice) -> bool:
    """Convert rows of the file into `part` of `splats`; False when not all of it is finite."""
    means, scales, rotations = splats.means[part], splats.scales[part], splats.rotations[part]
    colors, opacities = splats.colors[part], splats.opacities[part]
    with np.errstate(over="ignore", invalid="ignore"):
        for axis, name in enumerate("xyz"):
            means[:, axis] = rows[name]
        for axis in range(3):
            scales[:, axis] = rows[f"scale_{axis}"]
            colors[:, axis] = rows[f"f_dc_{axis}"]
        for axis in range(4):
            rotations[:, axis] = rows[f"rot_{axis}"]
        np.exp(scales, out=scales)
        colors *= SH_C0
        colors += 0.5
        opacities[:] = 1 / (1 + np.exp(-rows["opacity"]))
        rotations[:] = _unit(rotations)
        # a sum is finite unless a term is not, or it overflows
        total = means.sum() + scales.sum() + colors.sum() + opacities.sum() + rotations.sum()
    return bool(np.isfinite(total))


def _deactivate(splats: Splats, part: slice, rows: Floats) -> None:
    rows[:, 0:3] = splats.means[part]
    rows[:, 6:9] = (splats.colors[part] - 0.5) / SH_C0
    opacities = np.clip(splats.opacities[part], 1 - _SURE, _SURE).astype(np.float64)
    rows[:, 9] = np.log(opacities / (1 - opacities))
    rows[:, 10:13] = np.log(np.maximum(splats.scales[part], _THIN))
    rows[:, 13:17] = splats.rotations[part]


def _unit(quaternions: Floats) -> Floats:
    """Normalised; those of no length become the identity."""
    lengths = np.sqrt(np.einsum("ij,ij->i", quaternions, quaternions))
    nothing = lengths == 0
    if nothing.any():
        quaternions = np.where(nothing[:, None], np.array([1, 0, 0, 0], np.float32), quaternions)
        lengths = np.where(nothing, np.float32(1), lengths)
    unit: Floats = quaternions / lengths[:, None]
    return unit


def _finite(path: Path, splats: Splats) -> Splats:
    keep = np.isfinite(splats.opacities)
    for values in (splats.means, splats.scales, splats.rotations, splats.colors):
        keep &= np.isfinite(values).all(1)
    if len(splats) and not keep.any():
        raise SamdeskError(f"{path} holds no splat that can be shown: all are infinite or undefined.")
    return splats.subset(keep)
