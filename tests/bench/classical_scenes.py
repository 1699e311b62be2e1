"""Pictures with known objects: synthetic ones with exact truth, and real ones that scikit-image ships.

The truth of real pictures is a careful threshold where that is beyond doubt (coins, the cell,
galaxies at half their height) and a polygon drawn by hand where it is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage as ndi
from scipy.interpolate import splev, splprep
from scipy.spatial import cKDTree
from skimage import data
from skimage.measure import label, regionprops
from skimage.segmentation import watershed

Mask = NDArray[np.bool_]
Plane = NDArray[np.float64]
Rng = np.random.Generator

HEMATOXYLIN = np.array([0.65, 0.70, 0.29])
EOSIN = np.array([0.07, 0.99, 0.11])
"""Optical densities per dye (Ruifrok & Johnston 2001)."""


@dataclass(frozen=True)
class Scene:
    """An RGB picture (h, w, 3) uint8 and the masks of some objects in it."""

    name: str
    group: str
    image: NDArray[np.uint8]
    truths: list[Mask]


def as_rgb(picture: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Round and clip a gray (h, w) or color (h, w, 3) picture to RGB uint8."""
    picture = picture * 255 if picture.dtype == bool else picture
    rounded = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return np.repeat(rounded[..., None], 3, axis=2) if rounded.ndim == 2 else rounded


def noise(rng: Rng, shape: tuple[int, int], sigma: float) -> Plane:
    """Blurred Gaussian noise of unit deviation."""
    found = cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(found / found.std())


def blob(
    rng: Rng, shape: tuple[int, int], center: ArrayLike, radius: float, rough: float = 0.1, aspect: float = 1
) -> Plane:
    """Coverage 0..1 of a star-shaped blob with an anti-aliased outline."""
    turn = rng.uniform(0, 2 * np.pi)
    wave = np.arange(2, 7)
    height, phase = rng.normal(0, rough / wave**0.7, 5), rng.uniform(0, 2 * np.pi, 5)
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    cx, cy = np.asarray(center)
    u = ((x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)) * aspect**0.5
    v = (-(x - cx) * np.sin(turn) + (y - cy) * np.cos(turn)) / aspect**0.5
    angle = np.arctan2(v, u)
    edge = radius * (1 + sum(h * np.cos(k * angle + p) for h, k, p in zip(height, wave, phase, strict=True)))
    return np.asarray(np.clip(edge - np.hypot(u, v) + 0.5, 0, 1))


def scattered(
    rng: Rng, count: int, size: int, low: float, high: float, gap: float = 6, margin: float = 8
) -> list[tuple[float, float, float]]:
    """x, y, radius of blobs that do not touch."""
    found: list[tuple[float, float, float]] = []
    for _ in range(4000):
        r = rng.uniform(low, high)
        if 2 * (m := r * 1.3 + margin) >= size:
            continue
        x, y = rng.uniform(m, size - m, 2)
        if all(np.hypot(x - a, y - b) > 1.35 * (r + c) + gap for a, b, c in found):
            found.append((x, y, r))
        if len(found) == count:
            break
    return found


def blobs(
    name: str, seed: int, contrast: float, grain: float, *, texture: float = 0, light: float = 0,
    color: bool = False, rough: float = 0.12, count: int = 8, size: int = 384, blur: float = 0.8,
) -> Scene:  # fmt: skip
    """Bright and dark blobs on an even, textured or unevenly lit ground, with noise."""
    rng = np.random.default_rng(seed)
    shape = (size, size)
    picture = np.zeros((*shape, 3)) + (rng.uniform(70, 180, 3) if color else 110)
    if texture:
        picture += texture * noise(rng, shape, 6)[..., None]
    truths = []
    for x, y, r in scattered(rng, count, size, 12, 48):
        cover = blob(rng, shape, (x, y), r, rough, rng.uniform(0.7, 1.4))
        step = rng.uniform(0.2, 1, 3) * rng.choice((-1, 1), 3) if color else rng.choice((-1, 1))
        inner = contrast * step + texture * noise(rng, shape, 3)[..., None]
        picture += cover[..., None] * inner
        truths.append(cover > 0.5)
    ramp = np.linspace(-1, 1, size)
    picture += light * (ramp * np.cos(1) + ramp[:, None] * np.sin(1))[..., None]
    picture = cv2.GaussianBlur(picture, (0, 0), blur)
    return Scene(
        name, "synthetic", as_rgb(picture + grain * rng.standard_normal((*shape, 3 if color else 1))), truths
    )


def fluorescence(name: str, seed: int, gain: float) -> Scene:
    """Cells on a dark ground, many of them touching, with photon noise."""
    rng = np.random.default_rng(seed)
    shape = (384, 384)
    cells = []
    for x, y, r in scattered(rng, 9, 384, 16, 26, gap=12):
        cells.append((x, y, r))
        if rng.random() < 0.7:
            turn, other = rng.uniform(0, 6.28), r * rng.uniform(0.8, 1.1)
            away = 0.97 * (r + other)
            cells.append((x + np.cos(turn) * away, y + np.sin(turn) * away, other))
    picture, taken, truths = np.full(shape, 12.0), np.zeros(shape, bool), []
    for x, y, r in cells:
        cover = np.where(taken, 0, blob(rng, shape, (x, y), r, 0.05, rng.uniform(0.85, 1.2)))
        mask = cover > 0.5
        if mask.sum() < 150:
            continue
        taken |= mask
        truths.append(mask)
        profile = 0.75 + 0.25 * np.minimum(ndi.distance_transform_edt(mask) / (0.6 * r), 1)
        picture += cover * rng.uniform(50, 150) * profile * (1 + 0.12 * noise(rng, shape, 4))
    blurred = np.maximum(cv2.GaussianBlur(picture, (0, 0), 1.3), 0)
    shot = rng.poisson(blurred / (2 * gain)) * 2 * gain + rng.normal(0, 2, shape)
    return Scene(name, "synthetic", as_rgb(shot), truths)


def stained(name: str, seed: int, count: int) -> Scene:
    """Nuclei in hematoxylin on fibrous stroma in eosin."""
    rng = np.random.default_rng(seed)
    shape = (384, 384)
    fibers = ndi.gaussian_filter(rng.standard_normal(shape), (1.5, 14))
    eosin = 0.28 + 0.07 * noise(rng, shape, 18) + 0.06 * fibers / fibers.std()
    hematoxylin = 0.06 + 0.02 * noise(rng, shape, 5)
    truths = []
    for x, y, r in scattered(rng, count, 384, 8, 15, gap=0, margin=3):
        cover = blob(rng, shape, (x, y), r, 0.07, rng.uniform(0.6, 1.7))
        truths.append(cover > 0.5)
        dye = rng.uniform(0.45, 0.9) * (1 + 0.22 * noise(rng, shape, 2))
        hematoxylin = hematoxylin * (1 - cover) + cover * dye
        eosin = eosin * (1 - 0.4 * cover)
    density = (
        np.maximum(eosin, 0.02)[..., None] * EOSIN + np.maximum(hematoxylin, 0.01)[..., None] * HEMATOXYLIN
    )
    picture = cv2.GaussianBlur(245 * np.exp(-1.6 * density), (0, 0), 1.1)
    grain = rng.normal(0, 3.5, (*shape, 1)) + rng.normal(0, 1.5, (*shape, 3))
    return Scene(name, "synthetic", as_rgb(picture + grain), truths[:18])


def membranes(name: str, seed: int, grain: float) -> Scene:
    """Cells of one gray, parted by dark membranes, as in electron micrographs."""
    rng = np.random.default_rng(seed)
    shape = (384, 384)
    y, x = np.mgrid[:384, :384]
    seeds = rng.uniform(0, 384, (46, 2))
    for _ in range(3):  # Lloyd's relaxation
        _, cell = cKDTree(seeds).query(np.stack((y, x), axis=-1))
        seeds = np.array(ndi.center_of_mass(np.ones(shape), cell, range(len(seeds))))
    bent = np.stack((y + 3 * noise(rng, shape, 9), x + 3 * noise(rng, shape, 9)), axis=-1)
    distance, nearest = cKDTree(seeds).query(bent, k=2)
    membrane = np.clip(3.7 - (distance[..., 1] - distance[..., 0]) / 2, 0, 1)
    picture = 165 - 95 * membrane
    for _ in range(40):
        spot = blob(rng, shape, rng.uniform(10, 374, 2), rng.uniform(2, 6), 0.1, 1.2)
        picture -= rng.uniform(15, 45) * spot * (membrane < 0.1)
    picture = cv2.GaussianBlur(picture, (0, 0), 0.9) + rng.normal(0, grain, shape)
    truths = []
    for k in range(len(seeds)):
        rows, columns = np.nonzero(nearest[..., 0] == k)
        if min(rows.min(), columns.min()) > 2 and max(rows.max(), columns.max()) < 381:
            truths.append(ndi.binary_fill_holes((nearest[..., 0] == k) & (membrane < 0.5)))
    return Scene(name, "synthetic", as_rgb(picture), truths[:14])


def rings(name: str, seed: int) -> Scene:
    rng = np.random.default_rng(seed)
    shape = (256, 256)
    picture, truths = np.full(shape, 90.0), []
    for x, y, r in ((70, 70, 40), (180, 80, 28), (90, 185, 50), (195, 190, 36)):
        outer = blob(rng, shape, (x, y), r, 0.03)
        cover = np.clip(outer - blob(rng, shape, (x, y), 0.55 * r, 0.03), 0, 1)
        picture += 70 * cover
        truths.append(cover > 0.5)
    return Scene(
        name, "synthetic", as_rgb(cv2.GaussianBlur(picture, (0, 0), 0.8) + rng.normal(0, 5, shape)), truths
    )


def stripes(name: str, seed: int) -> Scene:
    """Objects that differ from the ground in texture only."""
    rng = np.random.default_rng(seed)
    shape = (320, 320)
    y, x = np.mgrid[:320, :320]
    picture, truths = 128 + 12 * rng.standard_normal(shape), []
    for cx, cy, r in scattered(rng, 4, 320, 34, 56):
        cover = blob(rng, shape, (cx, cy), r, 0.08)
        turn = rng.uniform(0, 3)
        picture += cover * 38 * np.sin((x * np.cos(turn) + y * np.sin(turn)) * 2 * np.pi / 9)
        truths.append(cover > 0.5)
    return Scene(name, "synthetic", as_rgb(picture), truths)


def _surface(rng: Rng, shape: tuple[int, int], kind: int) -> Plane:
    if kind == 0:
        return np.zeros(shape)
    if kind in (1, 2):
        return noise(rng, shape, rng.uniform(*((1, 3), (4, 12))[kind - 1]))
    if kind == 3:
        y, x = np.mgrid[: shape[0], : shape[1]]
        turn, period = rng.uniform(0, np.pi), rng.uniform(5, 16)
        return np.asarray(1.2 * np.sin((x * np.cos(turn) + y * np.sin(turn)) * 2 * np.pi / period))
    return np.asarray(0.6 * sum(noise(rng, shape, sigma) for sigma in (1.0, 3.0, 9.0)))


def leaves(
    seed: int, *, gray: bool = False, size: int = 320, texture: float = 8, grain: float = 4,
    low: float = 9, high: float = 90, count: int = 120, spread: float = 45,
) -> Scene:  # fmt: skip
    """Overlapping textured blobs of all sizes ("dead leaves"), which share the statistics of photographs."""
    rng = np.random.default_rng(seed)
    shape = (size, size)
    picture, owner = np.zeros((*shape, 3)), np.full(shape, -1)
    base = rng.uniform(40, 215, 3)
    y, x = np.mgrid[:size, :size] / size - 0.5
    for k in range(count):
        radius = (low**-1.4 + (high**-1.4 - low**-1.4) * rng.random()) ** (-1 / 1.4)
        radius = radius if k > 12 else rng.uniform(0.5, 1) * high
        center = rng.uniform(-10, size + 10, 2)
        cover = blob(rng, shape, center, radius, rng.choice((0.03, 0.1, 0.25)), rng.uniform(0.5, 2))
        color = np.clip((base[:1] if gray else base) + rng.normal(0, spread, 1 if gray else 3), 8, 247)
        turn = rng.uniform(0, 2 * np.pi)
        shade = rng.uniform(0, 60) * (x * np.cos(turn) + y * np.sin(turn))
        shade = shade + rng.uniform(0, 1.5) * texture * _surface(rng, shape, int(rng.integers(5)))
        picture = picture * (1 - cover[..., None]) + cover[..., None] * (color + shade[..., None])
        owner[cover > 0.5] = k
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.6, 1.4))
    picture += grain * rng.standard_normal((*shape, int(rng.choice((1, 3)))))
    truths = [m for k in range(count) for m in components(owner == k, 120, size**2, 0, border=1)[:1]]
    truths = [m for m in truths if cv2.distanceTransform(m.astype(np.uint8), 2, 5).max() >= 3.5]
    rng.shuffle(truths)  # type: ignore[arg-type]
    return Scene(f"leaves {seed}", "leaves", as_rgb(picture), truths[:16])


def polygon(
    shape: tuple[int, ...], vertices: ArrayLike, scale: float = 1, corner: ArrayLike = (0, 0)
) -> Mask:
    """Rasterize a polygon drawn on an enlarged crop: vertex / scale + corner is on pixel edges."""
    points = np.asarray(vertices, float) / scale + corner
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.rint((points - 0.5) * 256).astype(np.int32)], 1, shift=8)
    return mask.astype(bool)


def rounded(vertices: ArrayLike) -> NDArray[np.float64]:
    """A smooth closed curve through some vertices, nearly."""
    points = np.asarray(vertices, float)
    curve, _ = splprep(np.vstack((points, points[:1])).T, s=len(points), per=True)
    return np.array(splev(np.linspace(0, 1, 400), curve)).T


def components(mask: Mask, low: float, high: float, solidity: float, border: int = 2) -> list[Mask]:
    """The connected parts of a mask within some limits, largest first."""
    labels = label(mask, connectivity=1)
    h, w = mask.shape
    found = []
    for part in sorted(regionprops(labels), key=lambda p: -p.area):
        y0, x0, y1, x1 = part.bbox
        inside = min(y0, x0) >= border and y1 <= h - border and x1 <= w - border
        if low <= part.area <= high and inside and part.solidity >= solidity:
            found.append(labels == part.label)
    return found


def coins() -> Scene:
    picture = data.coins()
    smooth = cv2.GaussianBlur(picture, (0, 0), 1.0).astype(float)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (75, 75))
    ground = cv2.GaussianBlur(cv2.morphologyEx(picture, cv2.MORPH_OPEN, kernel).astype(float), (0, 0), 25)
    markers = np.where(smooth - ground < 22, 1, np.where(smooth - ground > 75, 2, 0))
    found = watershed(np.hypot(*np.gradient(smooth)), markers) == 2
    found = ndi.binary_opening(ndi.binary_fill_holes(found), iterations=3)
    return Scene("coins", "real", as_rgb(picture), components(found, 700, 6000, 0.9))


def galaxies() -> Scene:
    """Bright galaxies, each outlined at half its height."""
    picture = data.hubble_deep_field()
    light = cv2.GaussianBlur(picture, (0, 0), 0.8).max(axis=2).astype(float)
    ground, found = np.median(light), []
    for rough in components(light > 70, 120, 3000, 0.9)[:20]:
        half = (np.percentile(light[rough], 90) + ground) / 2
        parts = components((light > half) & ndi.binary_dilation(rough, iterations=4), 60, 3000, 0.85)
        found += parts[:1]
    return Scene("hubble", "real", picture, found)


DRAWN: dict[str, list[tuple[float, tuple[int, int], bool, list[tuple[int, int]]]]] = {
    "immunohistochemistry": [
        (2.1328, (0, 0), True, [
            (590, 660), (612, 645), (640, 665), (680, 675), (720, 690), (760, 725), (785, 745), (800, 800),
            (812, 850), (820, 920), (815, 960), (800, 1010), (780, 1070), (720, 1090), (645, 1085),
            (630, 1040), (600, 980), (570, 920), (550, 880), (538, 840), (535, 790), (540, 740), (560, 705),
            (575, 685)]),
        (7, (270, 0), False, [
            (40, 0), (75, 0), (110, 80), (165, 140), (200, 230), (245, 330), (285, 400), (330, 470),
            (380, 560), (430, 670), (500, 735), (555, 775), (600, 870), (640, 990), (700, 1060), (720, 1150),
            (760, 1220), (780, 1300), (760, 1365), (720, 1370), (690, 1330), (610, 1270), (560, 1160),
            (490, 1060), (440, 970), (410, 880), (365, 810), (330, 760), (285, 690), (250, 560), (215, 470),
            (205, 380), (165, 270), (130, 200), (90, 110)]),
        (9.243, (160, 240), True, [
            (78, 240), (85, 208), (105, 207), (130, 230), (165, 262), (180, 285), (140, 287), (95, 280)]),
        (9.243, (160, 240), True, [
            (845, 230), (870, 218), (920, 218), (1000, 235), (960, 250), (900, 250), (860, 242)]),
        (9.243, (160, 240), True, [
            (1100, 515), (1130, 485), (1180, 462), (1235, 460), (1215, 500), (1150, 540), (1110, 535)]),
        (9.243, (160, 240), True, [
            (285, 740), (305, 732), (318, 760), (325, 800), (338, 830), (310, 855), (290, 840), (283, 790)]),
        (9.243, (160, 240), True, [
            (715, 740), (740, 705), (765, 725), (765, 790), (775, 830), (750, 800), (725, 775)]),
        (9.045, (400, 0), True, [
            (375, 275), (395, 268), (420, 300), (445, 350), (460, 395), (445, 412), (420, 395), (395, 350),
            (378, 310)]),
        (9.045, (400, 0), True, [
            (480, 530), (505, 510), (525, 560), (530, 630), (500, 635), (482, 590)]),
        (9.045, (400, 0), True, [
            (560, 150), (585, 190), (600, 240), (588, 285), (572, 250), (558, 200)]),
        (9.045, (400, 0), True, [
            (105, 1060), (130, 1010), (190, 965), (260, 945), (330, 965), (320, 1000), (270, 1030),
            (200, 1075), (130, 1085)]),
    ],
    "coffee": [
        (2.24, (0, 0), True, [
            (388, 240), (400, 180), (430, 125), (480, 85), (540, 55), (635, 40), (720, 52), (800, 90),
            (860, 140), (900, 200), (914, 260), (905, 320), (870, 380), (820, 420), (750, 455), (665, 467),
            (590, 455), (520, 425), (460, 380), (420, 330), (395, 280)]),
        (2.24, (0, 0), True, [
            (458, 320), (475, 288), (500, 252), (540, 226), (600, 214), (660, 213), (720, 222), (770, 245),
            (800, 275), (820, 310), (828, 345), (822, 368), (790, 398), (740, 420), (680, 432), (620, 432),
            (570, 420), (520, 395), (480, 360)]),
        (2.24, (0, 0), True, [
            (730, 640), (740, 600), (770, 570), (815, 545), (845, 530), (870, 550), (900, 590), (910, 630),
            (900, 670), (870, 705), (820, 727), (780, 720), (745, 690)]),
    ],
    "astronaut": [
        (2.1328, (0, 0), True, [
            (round(365 + 79 * np.cos(t)), round(822 + 79 * np.sin(t))) for t in np.arange(0, 6.2, 0.2)]),
        (2.1328, (0, 0), False, [(592, 724), (704, 739), (698, 806), (600, 797)]),
        (2.1328, (0, 0), True, [
            (327, 180), (335, 140), (360, 105), (400, 70), (440, 48), (485, 33), (540, 45), (590, 75),
            (625, 110), (642, 160), (643, 200), (630, 240), (600, 272), (580, 292), (565, 320), (545, 365),
            (538, 395), (470, 402), (400, 380), (390, 330), (385, 290), (365, 270), (360, 250), (340, 225)]),
    ],
    "chelsea": [
        (2.987, (0, 0), True, [
            (415, 300), (425, 275), (455, 258), (500, 256), (545, 270), (580, 290), (605, 325), (605, 370),
            (590, 405), (560, 425), (520, 432), (480, 420), (450, 395), (425, 355)]),
        (2.987, (0, 0), True, [
            (885, 400), (900, 365), (930, 340), (970, 330), (1010, 335), (1018, 370), (1010, 420),
            (990, 460), (955, 480), (920, 480), (895, 470), (882, 440)]),
        (2.987, (0, 0), True, [
            (720, 705), (740, 685), (780, 680), (830, 695), (870, 705), (855, 725), (825, 755), (790, 790),
            (768, 775), (750, 745), (735, 720)]),
        (2.987, (0, 0), True, [
            (488, 320), (500, 290), (525, 278), (540, 295), (545, 330), (535, 365), (510, 383), (495, 365),
            (487, 345)]),
    ],
    "rocket": [
        (4.5, (240, 100), False, [
            (370, 120), (400, 150), (418, 190), (421, 260), (420, 340), (408, 360), (408, 1375), (330, 1380),
            (333, 362), (322, 340), (320, 220), (330, 170), (350, 135)]),
    ],
    "camera": [
        (2.1328, (0, 0), False, [(880, 278), (920, 278), (920, 410), (880, 410)]),
    ],
}  # fmt: skip
"""Objects of pictures by `skimage.data` name: enlargement, corner, whether to smooth, vertices drawn."""


def drawn(name: str, title: str = "", objects: slice = slice(None)) -> Scene:
    """A real picture with polygons drawn by hand."""
    picture = getattr(data, name)()
    truths = [
        polygon(picture.shape, rounded(v) if smooth else v, scale, corner)
        for scale, corner, smooth, v in DRAWN[name][objects]
    ]
    return Scene(title or name, "real", as_rgb(picture), truths)


def synthetic() -> list[Scene]:
    """What the published table is measured on; other seeds than `training`."""
    return [
        blobs("blobs", 1, 60, 6),
        blobs("colored, textured", 2, 70, 8, texture=10, color=True),
        blobs("textured", 3, 55, 6, texture=9),
        blobs("low contrast", 4, 14, 4),
        blobs("noise", 5, 45, 25),
        blobs("heavy noise", 6, 60, 45),
        blobs("uneven light", 7, 35, 5, light=70),
        blobs("rough outline", 8, 50, 7, rough=0.35),
        fluorescence("touching cells", 9, 1),
        fluorescence("touching, noise", 10, 3),
        stained("nuclei, H&E", 11, 26),
        stained("nuclei, denser", 12, 34),
        membranes("membranes", 13, 14),
        membranes("membranes, noise", 14, 25),
        rings("rings", 15),
        stripes("texture only", 16),
    ]


def real() -> list[Scene]:
    """Pictures from scikit-image's wheel; nothing is fitted to them."""
    cell = data.cell()
    phantom = np.rint(255 * cv2.resize(data.shepp_logan_phantom(), (400, 400)))
    horse = data.horse()
    disc = ndi.binary_fill_holes(cv2.GaussianBlur(cell, (0, 0), 1.5) > 110)
    return [
        coins(),
        Scene("cell", "real", as_rgb(cell), components(disc, 2000, 60000, 0.9)),
        drawn("immunohistochemistry", "ihc, gland, lumen", slice(2)),
        drawn("immunohistochemistry", "ihc, nuclei", slice(2, None)),
        drawn("coffee"),
        drawn("astronaut"),
        drawn("chelsea"),
        drawn("rocket"),
        drawn("camera"),
        Scene("phantom", "real", as_rgb(phantom), components(phantom < 13, 800, 20000, 0.9)),
        Scene("horse", "real", as_rgb(horse), [~horse]),
        galaxies(),
    ]


def empty() -> list[Scene]:
    """Pictures of noise, fine and coarse; whatever is found in them is wrong."""
    found = []
    for k, (grain, blur) in enumerate(((2, 0), (6, 0), (15, 0), (30, 0), (60, 0), (10, 1), (20, 2), (30, 4))):
        rng = np.random.default_rng(900 + k)
        plane = noise(rng, (192, 192), blur) if blur else rng.standard_normal((192, 192))
        truths = [np.zeros((192, 192), bool) for _ in range(12)]
        found.append(Scene("nothing", "empty", as_rgb(128 + grain * plane), truths))
    return found


def training() -> list[Scene]:
    """What the weights are fitted on: dead leaves, and the synthetic kinds with other seeds."""
    scenes = [rings("rings", 533), rings("rings", 534)]
    for k in range(4):
        scenes += [
            leaves(200 + k, spread=45, texture=5, grain=3),
            leaves(220 + k, spread=30, texture=12, grain=5),
            leaves(240 + k, gray=True, spread=40, texture=6, grain=5),
            leaves(260 + k, gray=True, texture=3, grain=15, low=14),
        ]
    for k in range(3):
        scenes += [
            leaves(300 + k, size=200, low=25, high=70, count=14, texture=6, grain=3),
            leaves(310 + k, size=300, low=40, high=110, count=10, texture=10, grain=2, gray=k == 1),
            blobs("large", 560 + k, 50 + 30 * k, (0, 3, 8)[k], count=2, size=160),
            blobs("clean", 570 + k, 60, 0, count=6, size=300, blur=0.01 + 0.5 * (k > 0), color=k == 2),
        ]
    for seed in (500, 520):
        scenes += [
            blobs("blobs", seed + 1, 60, 6),
            blobs("colored", seed + 2, 70, 8, texture=10, color=True),
            blobs("textured", seed + 3, 55, 6, texture=9),
            blobs("low contrast", seed + 4, 14, 4),
            blobs("noise", seed + 5, 45, 25),
            blobs("uneven light", seed + 7, 35, 5, light=70),
            blobs("rough outline", seed + 8, 50, 7, rough=0.35),
            fluorescence("touching", seed + 9, 1),
            fluorescence("touching", seed + 10, 3),
            stained("nuclei", seed + 11, 26),
            stained("nuclei", seed + 12, 34),
            membranes("membranes", seed + 13, 14),
            membranes("membranes", seed + 14, 22),
            stripes("texture only", seed + 16),
        ]
    return scenes
