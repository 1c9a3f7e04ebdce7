"""`phantom`: eight types of blood cells drawn by a program, for use without a download.

THIS IS SYNTHETIC, NOT CLINICAL DATA. No image shows a patient's cell, and no accuracy measured on
`phantom` says anything about diagnosis. It has the classes and the framing of a public collection
of real cells, and about its difficulty for an ImageNet-pretrained network; `cell_types` has the
facts about them, and where they are from.

How an image is made: everything lies on a field 20 um wide. Each structure is a soft mask times an
*optical density* (how much light the stain swallows, per colour channel), and the image is
`background * exp(-density)`, as in a real microscope. Uneven light, blur and sensor noise come
last. All arithmetic is float64, so rounding to bytes hides differences between processors.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from dynammo.data import cell_types as cells
from dynammo.data.cell_types import CLASS_NAMES, MORPHOLOGIES, Morphology, Range
from dynammo.errors import InputError
from dynammo.stream import SPLITS

FIELD_UM = 20.0  # width of the drawn field; a red cell (7.3 um) then spans a good third of it
RED_CELL_UM = 7.3  # diameter, the natural ruler of a blood smear


def _density(colour: cells.Colour) -> np.ndarray:
    """Optical density [3] of a structure that looks like `colour` on the cream background."""
    return -np.log((np.asarray(colour) + 1.0) / (np.asarray(cells.CREAM) + 1.0))


@cache
def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """x [1, W] and y [H, 1] of the pixel centres in um, with 0 in the middle of the field."""
    axis = ((np.arange(size) + 0.5) / size - 0.5) * FIELD_UM
    return axis[None, :], axis[:, None]


@cache
def _bumps(size: int, grain_um: float) -> np.ndarray:
    """Gaussian bumps [size, knots] one width apart along an edge, each row of unit length."""
    x, _ = _grid(size)
    width = 0.4 * grain_um
    knots = np.linspace(-0.5, 0.5, min(size, int(FIELD_UM / width) + 2)) * FIELD_UM
    weights = np.exp(-0.5 * ((x.T - knots) / width) ** 2)
    return weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))


def _noise(g: np.random.Generator, size: int, grain_um: float) -> np.ndarray:
    """Smooth random field [H, W], mean 0, spread 1, with bumps about `grain_um` wide."""
    weights = _bumps(size, grain_um)
    return weights @ g.standard_normal((weights.shape[1],) * 2) @ weights.T


def _cover(distance: np.ndarray, soft_um: float) -> np.ndarray:
    """Coverage 0..1 from a signed distance in um (negative inside), with an edge `soft_um` wide."""
    return np.clip(0.5 - distance / soft_um, 0.0, 1.0)


def _oval(g: np.random.Generator, x: np.ndarray, y: np.ndarray, spread: float) -> np.ndarray:
    """Distance [H, W] from the origin, stretched by about `spread` along a random direction."""
    turn, squeeze = g.uniform(0, np.pi), np.exp(g.normal(0, spread))
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return np.sqrt((u * squeeze) ** 2 + (v / squeeze) ** 2)


def _nucleus_distance(
    g: np.random.Generator, kind: Morphology, radius: float, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Signed distance [H, W] in um to the worm-shaped nucleus of a cell of this `radius`."""
    lobes, steps = int(g.integers(kind.lobes[0], kind.lobes[1] + 1)), 14
    along = np.linspace(0.0, 1.0, steps)
    heading = g.uniform(0, 2 * np.pi) + np.deg2rad(g.uniform(*kind.bend_deg)) * along
    heading += 0.3 * np.interp(along, np.linspace(0, 1, 4), g.standard_normal(4))
    stride = g.uniform(*kind.length) * radius / steps
    path = np.cumsum([np.cos(heading), np.sin(heading)], axis=1) * stride
    phase = 0.5 / lobes + (1 - 1 / lobes) * along  # the path starts and ends in mid-lobe
    necks = g.uniform(*kind.pinch) * np.cos(np.pi * lobes * phase) ** 2
    half = radius * g.uniform(*kind.width) * (1 - necks)
    half *= np.interp(along, np.linspace(0, 1, 5), g.uniform(0.88, 1.1, 5))
    # The nucleus lies off-centre, but no further than leaves it inside the cell.
    spare = max(0.0, 0.95 * radius - half.max() - 0.5 * np.hypot(*np.ptp(path, axis=1)))
    shift, towards = spare * g.uniform(0.1, 1.0), g.uniform(0, 2 * np.pi)
    path -= (path.max(axis=1, keepdims=True) + path.min(axis=1, keepdims=True)) / 2
    path += shift * np.array([[np.cos(towards)], [np.sin(towards)]])
    circles = zip(*path, half, strict=True)
    nearest = np.min([np.sqrt((x - cx) ** 2 + (y - cy) ** 2) - r for cx, cy, r in circles], axis=0)
    return nearest + 0.025 * radius * _noise(g, len(nearest), 1.8)


def _spots(
    g: np.random.Generator, size: int, count: int, reach: float, radii_um: Range, at: Range
) -> np.ndarray:
    """Sum [H, W] of `count` round dots strewn evenly over a disc of radius `reach` um."""
    out, angle = reach * np.sqrt(g.uniform(0, 1, (count, 1))), g.uniform(0, 2 * np.pi, (count, 1))
    radii = g.uniform(*radii_um, (count, 1))
    # A dot narrower than a pixel becomes a fainter dot as wide as a pixel.
    width = np.maximum(radii, 0.5 * FIELD_UM / size)
    x, y = _grid(size)
    along_x = np.exp(-0.5 * ((x - (at[0] + out * np.cos(angle))) / width) ** 2)
    along_y = np.exp(-0.5 * ((y.T - (at[1] + out * np.sin(angle))) / width) ** 2)
    return (along_y * (radii / width) ** 2).T @ along_x


def _paint_cell(g: np.random.Generator, density: np.ndarray, kind: Morphology, at: Range) -> None:
    """Draw a cell around the point `at`, in um, onto `density` [H, W, 3], in place."""
    size = len(density)
    edge = 1.3 * FIELD_UM / size
    # Where the smear is thin cells spread out, where it is thick they stay small.
    radius = g.uniform(*kind.diameter_um) / 2 * np.exp(g.normal(0, 0.08))
    x, y = _grid(size)
    x = x - at[0] + kind.ragged * _noise(g, size, 4.0)
    y = y - at[1] + kind.ragged * _noise(g, size, 4.0)
    outline = _oval(g, x, y, 0.06) - radius + kind.fringe * _noise(g, size, 1.3)
    cell = _cover(outline, edge)

    mix, fine = g.uniform(), _noise(g, size, 0.4)
    colour = mix * _density(kind.cytoplasm[0]) + (1 - mix) * _density(kind.cytoplasm[1])
    patchy = 1 + 0.15 * _noise(g, size, 1.5) + 0.15 * fine
    rim = 1 + 0.35 * np.exp(-((outline / 0.35) ** 2))  # the membrane, seen edge-on
    body = (patchy * rim)[..., None] * colour * g.uniform(0.75, 1.25)

    inside = np.zeros_like(cell)
    if kind.width is not None:
        distance = np.maximum(_nucleus_distance(g, kind, radius, x, y), outline + 0.25)
        inside = _cover(distance, edge)
        # How much chromatin a light ray meets: 1 on average, less in the pale specks.
        lacy = g.uniform(*kind.chromatin)
        specks = np.clip(_noise(g, size, 0.65) + lacy - 1.0, 0, 2) + 0.2 * fine
        envelope = 0.15 * np.exp(-((distance / 0.4) ** 2))  # it clings to the nuclear membrane
        thickness = np.clip(1 + envelope - (0.15 + 0.3 * lacy) * specks, 0.25, 1.4)
        thickness *= g.uniform(0.8, 1.1)
        body += inside[..., None] * (thickness[..., None] * _density(kind.nucleus) - body)

    count = g.poisson(g.uniform(*kind.granules_per_um2) * np.pi * radius**2)
    if count:
        sizes = (0.7 * kind.granule_um, 1.3 * kind.granule_um)
        hit = 1 - np.exp(-1.2 * _spots(g, size, count, radius, sizes, at))
        hit *= 1 - inside * (1 - kind.granule_over_nucleus)
        granules = _density(kind.granule) * g.uniform(0.7, 1.1)
        body += hit[..., None] * (granules - 0.6 * body)

    holes = int(g.integers(kind.vacuoles[0], kind.vacuoles[1] + 1))
    hit = np.clip(_spots(g, size, holes, 0.9 * radius, (0.3, 0.6), at), 0, 1)
    body *= 1 - 0.85 * hit[..., None]
    density += cell[..., None] * (body - density)  # a white cell pushes the red cells aside


def _paint_red_cells(g: np.random.Generator, density: np.ndarray, free_um: float) -> None:
    """Draw red cells around the middle, at least `free_um` from it, onto `density` in place."""
    size = len(density)
    x, y = _grid(size)
    stain = _density(cells.RED_CELL) * np.exp(g.normal(0, 0.07, 3)) * np.exp(g.normal(0, 0.25))
    pallor = g.uniform(0.1, 0.95)  # how pale the middle of the disc is; differs from smear to smear
    crowding = g.uniform(0.8, 1.05)  # under 1 neighbours overlap, as in the thick part of a smear
    layer, placed = np.zeros((size, size)), []
    for _ in range(int(g.integers(5, 70))):
        radius = RED_CELL_UM / 2 * g.uniform(0.85, 1.12)
        cx, cy = g.uniform(-0.65, 0.65, 2) * FIELD_UM
        gaps = [np.hypot(cx - px, cy - py) for px, py in placed]
        too_near = np.hypot(cx, cy) < free_um + radius * g.uniform(0.6, 1.1)
        if too_near or min(gaps, default=RED_CELL_UM) < RED_CELL_UM * crowding:
            continue
        placed.append((cx, cy))
        out = _oval(g, x - cx, y - cy, 0.09)
        thick = 1 - pallor * g.uniform(0.6, 1.0) * np.exp(-((out / (0.48 * radius)) ** 4))
        layer += _cover(out - radius, 2.5 * FIELD_UM / size) * thick
    density += layer[..., None] * stain


def _photograph(g: np.random.Generator, density: np.ndarray) -> np.ndarray:
    """Stain, light, focus and sensor: density [H, W, 3] to a uint8 image of the same shape."""
    size = len(density)
    strength = np.exp(g.normal(0, 0.16)) * np.exp(g.normal(0, 0.08, 3))
    lamp = np.asarray(cells.CREAM if g.uniform() > 0.05 else cells.DAYLIGHT)
    lamp = lamp * np.exp(g.normal(0, 0.011, 3)) * np.exp(-abs(g.normal(0, 0.05)))  # exposure
    x, y = _grid(size)
    tilt, towards = g.uniform(0, 0.06), g.uniform(0, 2 * np.pi)
    light = 1 + tilt * (x * np.cos(towards) + y * np.sin(towards)) / FIELD_UM
    image = light[..., None] * lamp * np.exp(-density * strength)
    out_of_focus = g.uniform(0.2, 0.5) if g.uniform() > 0.06 else g.uniform(0.5, 1.5)
    # A Gaussian blur; the edge pixels stand in for what lies outside.
    offset = np.arange(size)[:, None] - np.arange(size)
    kernel = np.exp(-0.5 * (offset / (out_of_focus * size / 64)) ** 2)
    kernel /= kernel.sum(1, keepdims=True)
    image = np.stack([kernel @ image[..., c] @ kernel.T for c in range(3)], axis=-1)
    image = image + g.normal(0, g.uniform(0.5, 2.5), image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _pick(g: np.random.Generator, cell_type: str) -> Morphology:
    """One variety of the cell type, by its share."""
    kinds = [kind for kind in MORPHOLOGIES if kind.cell_type == cell_type]
    shares = np.array([kind.share for kind in kinds])
    return kinds[int(g.choice(len(kinds), p=shares / shares.sum()))]


def draw_cell(cell_type: str, generator: np.random.Generator, image_size: int = 64) -> np.ndarray:
    """Draw one cell of a type in the middle of its field, uint8 [H, W, 3] with H = W = image_size.

    `cell_type` is one of `CLASS_NAMES`; all randomness comes from `generator`.
    """
    if cell_type not in CLASS_NAMES:
        raise InputError(f"Unknown cell type {cell_type!r}. Use one of: {', '.join(CLASS_NAMES)}.")
    if image_size < 16:
        raise InputError(f"image_size is {image_size}. Use at least 16 pixels.")
    g = generator
    density = np.zeros((image_size, image_size, 3))
    kind = _pick(g, cell_type)
    _paint_red_cells(g, density, free_um=np.mean(kind.diameter_um) / 2)
    if g.uniform() < 0.25:  # stray platelet
        _paint_cell(g, density, _pick(g, "platelet"), g.uniform(-9, 9, 2))
    if g.uniform() < 0.06:  # a second white cell looks in from the edge
        angle = g.uniform(0, 2 * np.pi)
        other = _pick(g, str(g.choice(CLASS_NAMES)))
        _paint_cell(g, density, other, (14 * np.cos(angle), 14 * np.sin(angle)))
    _paint_cell(g, density, kind, g.normal(0, 0.5, 2))  # framed a little off the middle
    return _photograph(g, density)


def draw_phantom(
    seed: int, per_class: Mapping[str, int], image_size: int = 64
) -> dict[str, np.ndarray]:
    """Draw the whole data set in the layout of a MedMNIST npz file.

    `per_class` gives the images per class of each split, such as `{"train": 150, "test": 50}`.
    For each of them the result holds `<split>_images` uint8 [N, H, W, 3] and `<split>_labels`
    uint8 [N, 1], the classes taking turns (0, 1, ..., 7, 0, 1, ...). Every image has its own
    random stream named by (seed, split, class, index): asking for more only appends images.
    """
    if seed < 0:
        raise InputError(f"The seed is {seed}. Use 0 or a positive whole number.")
    arrays: dict[str, np.ndarray] = {}
    for split, count in per_class.items():
        if split not in SPLITS or count < 1:
            raise InputError(
                f"{count} images per class asked for in {split!r}. Ask for 1 or more in "
                f"{', '.join(SPLITS)}."
            )
        images = np.empty((count * len(CLASS_NAMES), image_size, image_size, 3), dtype=np.uint8)
        for i in range(len(images)):
            index, label = divmod(i, len(CLASS_NAMES))
            key = np.random.SeedSequence(seed, spawn_key=(SPLITS.index(split), label, index))
            images[i] = draw_cell(CLASS_NAMES[label], np.random.default_rng(key), image_size)
        labels = np.tile(np.arange(len(CLASS_NAMES), dtype=np.uint8), count)
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = images, labels[:, None]
    return arrays
