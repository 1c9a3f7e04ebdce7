"""What tells eight types of blood cells apart: the facts that `phantom` draws from.

Lengths are those of haematology atlases, such as Bain, "Blood Cells: A Practical Guide"; colours
were matched by eye to May Gruenwald-Giemsa stained smears (Acevedo et al. 2020, Data in Brief 30,
105474). No pixel was copied, and nothing here is meant for diagnosis.
"""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]  # a value is drawn uniformly between the two
Colour = tuple[int, int, int]  # how the stained structure looks on the cream background

CREAM: Colour = (255, 229, 203)  # empty background under the usual warm lamp
DAYLIGHT: Colour = (222, 219, 238)  # the same under a cooler lamp, seen on a few slides
RED_CELL: Colour = (203, 166, 166)
PINK: Colour = (228, 190, 182)  # cytoplasm of ripe granulocytes
ROSE_GREY: Colour = (206, 174, 176)  # ... when it holds haemoglobin
LILAC: Colour = (192, 162, 186)
SLATE: Colour = (162, 142, 182)  # ... of monocytes
BLUE: Colour = (112, 106, 168)  # ... of young cells, rich in RNA
AZURE: Colour = (130, 56, 136)  # granules, as are the next three
PALE: Colour = (178, 110, 146)
EOSIN: Colour = (208, 106, 114)
BASO: Colour = (62, 18, 110)


@dataclass(frozen=True)
class Morphology:
    """What one variety of a cell type looks like. Lengths of the nucleus are in cell radii.

    The nucleus is a worm: a path `length` long, turning by `bend_deg` in all, with `lobes` thick
    parts of half-width `width`, and between them necks thinner by the share `pinch`.
    """

    cell_type: str
    variety: str
    share: float  # of the cells of this type, as drawn here
    diameter_um: Range
    cytoplasm: tuple[Colour, Colour]  # a mixture of the two is drawn
    ragged: float = 0.35  # how far the outline strays from an oval, um
    fringe: float = 0.1  # how far it strays in small steps: blebs, hairs, um
    width: Range | None = None  # None: no nucleus
    length: Range = (0.0, 0.2)
    bend_deg: Range = (0.0, 60.0)
    lobes: tuple[int, int] = (1, 1)
    pinch: Range = (0.0, 0.0)
    chromatin: Range = (0.3, 0.6)  # 0: smooth and dense; 1: open, lacy
    granule: Colour = AZURE
    granules_per_um2: Range = (0.0, 0.0)
    granule_um: float = 0.16  # radius
    granule_over_nucleus: float = 0.0  # 1: granules hide the nucleus
    nucleus: Colour = (72, 28, 126)
    vacuoles: tuple[int, int] = (0, 0)


# The table a haematologist would correct first: one row per variety, in the order of the fields:
#   cell type, variety, share, diameter, cytoplasm, ragged, fringe; nucleus: width, length, bend,
#   lobes, pinch, chromatin; granules: colour, number per um2, radius, share over the nucleus.
# Neighbouring rows overlap on purpose, as in life: band neutrophil and metamyelocyte, large
# lymphocyte and small monocyte, small lymphocyte and erythroblast, promyelocyte and basophil.
M = Morphology
MORPHOLOGIES: tuple[Morphology, ...] = (
    M("basophil", "usual", 1.0, (10, 14.5), (LILAC, PINK), 0.35, 0.15,
      (0.4, 0.54), (0.6, 1.3), (40, 180), (1, 3), (0.1, 0.5), (0.3, 0.6), BASO, (0.8, 3.6), 0.25,
      granule_over_nucleus=0.7),
    M("eosinophil", "bilobed", 0.75, (12, 15.5), (PINK, LILAC), 0.25, 0.07,
      (0.31, 0.43), (0.9, 1.5), (50, 220), (2, 2), (0.3, 1.0), (0.5, 0.9), EOSIN, (1.2, 3.0), 0.3),
    M("eosinophil", "three lobes", 0.25, (12, 15.5), (PINK, LILAC), 0.35, 0.07,
      (0.28, 0.38), (1.2, 1.8), (120, 280), (3, 3), (0.4, 1.0), (0.5, 0.9), EOSIN, (1, 2.5), 0.28),
    M("erythroblast", "late", 0.5, (7, 10.5), (LILAC, ROSE_GREY), 0.4, 0.08,
      (0.42, 0.62), (0, 0.2), nucleus=(60, 26, 114), chromatin=(0.0, 0.4)),
    M("erythroblast", "intermediate", 0.35, (8.5, 12), (SLATE, LILAC), 0.4, 0.08,
      (0.48, 0.68), (0, 0.2), nucleus=(62, 27, 118), chromatin=(0.4, 0.9)),
    M("erythroblast", "early", 0.15, (10, 13), (BLUE, SLATE), 0.4, 0.1,
      (0.6, 0.75), (0, 0.2), chromatin=(0.6, 1.0)),
    M("immature granulocyte", "promyelocyte", 0.25, (13, 17), (BLUE, LILAC), 0.3, 0.08,
      (0.65, 0.8), (0, 0.3), (0, 60), (1, 1), (0, 0), (0.5, 1.0), AZURE, (0.5, 2.0), 0.14, 0.3),
    M("immature granulocyte", "myelocyte", 0.4, (11.5, 15.5), (LILAC, PINK), 0.35, 0.08,
      (0.52, 0.7), (0.1, 0.6), (0, 60), (1, 1), (0, 0), (0.4, 0.9), AZURE, (0.4, 2.0), 0.14, 0.15),
    M("immature granulocyte", "metamyelocyte", 0.35, (11.5, 15.5), (LILAC, PINK), 0.35, 0.08,
      (0.4, 0.56), (0.6, 1.1), (60, 180), (1, 2), (0, 0.25), (0.4, 0.9), AZURE, (0.3, 1.8), 0.14),
    M("lymphocyte", "small", 0.7, (8, 10.5), (BLUE, SLATE), 0.25, 0.17,
      (0.8, 0.95), (0, 0.2), nucleus=(68, 28, 124), chromatin=(0.1, 0.5)),
    M("lymphocyte", "large", 0.3, (10, 13), (BLUE, LILAC), 0.4, 0.15,
      (0.64, 0.82), (0, 0.35), chromatin=(0.2, 0.7), granules_per_um2=(0, 0.05)),
    M("monocyte", "folded", 0.65, (13, 17.5), (SLATE, LILAC), 0.8, 0.12,
      (0.34, 0.5), (0.9, 1.7), (80, 300), (2, 4), (0.05, 0.4), (0.5, 1.0), AZURE, (0, 0.4), 0.1,
      nucleus=(88, 38, 136), vacuoles=(0, 7)),
    M("monocyte", "oval", 0.35, (12, 15.5), (SLATE, BLUE), 0.6, 0.12,
      (0.5, 0.66), (0.3, 0.8), (20, 180), (1, 1), (0, 0), (0.5, 0.9), AZURE, (0, 0.4), 0.1,
      nucleus=(84, 36, 134), vacuoles=(0, 4)),
    M("neutrophil", "segmented", 0.7, (12, 15.5), (PINK, ROSE_GREY), 0.3, 0.07,
      (0.21, 0.28), (1.7, 2.7), (110, 290), (3, 5), (0.4, 0.9), (0.5, 0.9), PALE, (0.6, 2.5), 0.13),
    M("neutrophil", "band", 0.3, (12, 15.5), (PINK, ROSE_GREY), 0.3, 0.07,
      (0.22, 0.31), (1.4, 2.2), (110, 250), (1, 3), (0, 0.3), (0.5, 0.9), PALE, (0.6, 2.5), 0.13),
    M("platelet", "usual", 0.8, (3, 5.5), (LILAC, SLATE), 0.25, 0.25,
      granules_per_um2=(1.5, 5), granule_um=0.2),
    M("platelet", "giant", 0.2, (5.5, 8), (LILAC, SLATE), 0.5, 0.35,
      granules_per_um2=(0.8, 3), granule_um=0.2),
)  # fmt: skip
CLASS_NAMES = tuple(dict.fromkeys(kind.cell_type for kind in MORPHOLOGIES))  # by label
