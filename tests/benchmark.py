"""How fast it is, as ratios measured in turn on this machine: a script, not a timed test.

    python tests/benchmark.py [--quick] [--device cuda] [--only inference,export]

Prints a table and writes figures/speed/speed.csv, .png and .svg. Whole, it takes about thirty
minutes on two cores; run nothing else beside it. ResNet-18 has random weights, at the same cost.
"""

from __future__ import annotations

import argparse
import platform
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from benchmark_growth import many_sessions_rows, patterned_images, storage_row
from benchmark_inference import SIZES, export_rows, inference_rows, make_backbones
from benchmark_learning import head_rows, limit_row, precision_rows, prefix_row, tuning_rows
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynammo.data.files import write_text
from dynammo.draw.style import PALETTE, canvas, finished, save_figure, styled
from dynammo.settings import Settings

FOLDER = Path(__file__).resolve().parent.parent / "figures" / "speed"
PARTS = ("inference", "export", "head", "tuning", "growth")


def rows_of(part: str, device: str, quick: bool) -> Iterator[dict]:
    """Rows of one part of the benchmark; quick ones are for trying the script."""
    budget = 1.0 if quick else 20.0
    backbones = make_backbones(list(SIZES), device)
    images = {
        name: patterned_images(np.arange(count) % 8, size)
        for (name, size), count in zip(SIZES.items(), (320, 64), strict=True)
    }
    if part == "inference":
        for backbone in backbones:
            sessions, batches = ([4], [1]) if quick else ([4, 10, 20], [1, 64])
            yield from inference_rows(backbone, sessions, batches, budget)
    elif part == "export":
        for backbone in backbones:
            yield from export_rows(backbone, [1, 64], budget)
    elif part == "head":
        settings = Settings(head_epochs=5) if quick else Settings()
        some = images["efficientnet_lite0"][: settings.memory_budget]
        yield from head_rows(backbones[0], some, [1, 4], settings, budget)
    elif part == "tuning":
        for backbone, epochs in zip(backbones, (3, 1), strict=True):
            settings = Settings(backbone=backbone.name, adapter_epochs=1 if quick else epochs)
            yield from tuning_rows(backbone, images[backbone.name], settings, budget)
            if device != "cpu":
                yield from precision_rows(backbone, images[backbone.name], settings, budget)
            yield limit_row(backbone, SIZES[backbone.name], 32, budget)
            yield prefix_row(backbone, SIZES[backbone.name], 32, budget)
    elif part == "growth":
        for backbone in backbones:
            yield storage_row(backbone, SIZES[backbone.name], 1, 50)
        yield from many_sessions_rows(14 if quick else 50, device)


def with_verdict(row: dict) -> dict:
    """Add whether the target was met; empty where there is none."""
    met = ""
    if "at_least" in row:
        met = "yes" if row["ratio"] >= row["at_least"] else "no"
    if "at_most" in row:
        met = "yes" if row["ratio"] <= row["at_most"] else "no"
    return row | {"met": met}


COLUMNS = (
    *("part", "what", "backbone", "sessions", "batch", "slow_seconds", "fast_seconds"),
    *("ratio", "lowest", "highest", "rounds", "at_least", "at_most", "met", "note"),
)


def machine(device: str) -> str:
    """The machine in words, from what it says of itself."""
    name = platform.processor() or platform.machine()
    processors = Path("/proc/cpuinfo")
    if device != "cpu":
        name = torch.cuda.get_device_name()
    elif processors.exists():
        found = re.search(r"model name\s*: (.*)", processors.read_text())
        name = found[1] if found else name
    threads = f", {torch.get_num_threads()} threads" if device == "cpu" else ""
    return f"{name}{threads}, torch {torch.__version__}"


@styled
def speed_figure(table: pd.DataFrame, note: str) -> Figure:
    """ACL's time over DynaMMo's by the number of sessions, and every other speed-up."""
    merged = table[table["what"].str.contains("against every set kept")]
    others = table[table["what"].str.contains("tuning: in batches|export|features computed")]
    told = "Ratio of seconds, median over rounds in turn; bar: lowest and highest round"
    figure, axes = canvas(f"{told} · {note}", 11, 4.6, 1, 2)
    _sessions_panel(axes[0, 0], merged)
    _others_panel(axes[0, 1], others)
    return finished(figure)


def _whiskers(own: pd.DataFrame) -> np.ndarray:
    return np.array([own["ratio"] - own["lowest"], own["highest"] - own["ratio"]])


def _sessions_panel(ax: Axes, table: pd.DataFrame) -> None:
    most = 1.1 * table["sessions"].max()
    ax.plot([0, most], [0, most], color="0.6", lw=1, ls=":", label="T times")
    ax.plot([0, most], [0, 0.9 * most], color="0.6", lw=1, label="target: 0.9 T times")
    groups = table.groupby(["backbone", "batch"])
    for i, ((backbone, batch), own) in enumerate(groups):
        ax.errorbar(
            own["sessions"] + 0.25 * (i - (groups.ngroups - 1) / 2),
            own["ratio"],
            _whiskers(own),
            color=PALETTE[(0, 9, 1, 3)[i % 4]],
            marker="oDs^"[i % 4],
            ls="",
            ms=5,
            label=f"{backbone}, {SIZES[backbone]} px, batch {batch:.0f}",
        )
    high = max(most, 1.02 * table["highest"].max())
    ax.set(xlim=(0, most), ylim=(0, high), xlabel="sessions learned, T")
    ax.set_ylabel("seconds of ACL / seconds of DynaMMo")
    ax.set_title("A prediction, merged against every set kept")
    ax.set_xticks([0, *table["sessions"].unique()])
    ax.grid(axis="y")
    ax.legend(loc="upper left")


def _others_panel(ax: Axes, table: pd.DataFrame) -> None:
    names = []
    for y, (_, row) in enumerate(table.iterrows()):
        kind, _, detail = row["what"].partition(": ")
        passes = f", T = {row['sessions']:.0f}" if kind == "head tuning" else ""
        names.append(f"{kind} ({row['backbone']}, batch {row['batch']:.0f}{passes})\n{detail}")
        ax.plot(row["ratio"], y, "o", color=PALETTE[0], ms=6)
        ax.plot([row["lowest"], row["highest"]], [y, y], color=PALETTE[0], lw=1.5)
        if pd.notna(row["at_least"]):
            ax.plot([row["at_least"]] * 2, [y - 0.3, y + 0.3], color=PALETTE[3], lw=2)
        right = np.nanmax([row["highest"], row["at_least"]])
        aside = {"textcoords": "offset points", "va": "center"}
        ax.annotate(f"{row['ratio']:.2g}", (right, y), (6, 0), **aside)
    ax.axvline(1, color="0.6", lw=1, ls=":")
    ax.set(xscale="log", xlabel="times as fast (logarithmic; orange: target)")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_yticks(range(len(names)), names, fontsize=7.5)
    ax.set_ylim(len(names) - 0.4, -0.7)
    ax.set_title("Everything else")


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="for trying the script: no target, no file"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine(options.device))
    parts, rows = options.only.split(","), []
    for part in parts:
        for row in rows_of(part, options.device, options.quick):
            rows.append({"part": part} | with_verdict(row))
            spread = f" ({row['lowest']:.2f} to {row['highest']:.2f})" if "lowest" in row else ""
            print(f"  {row['what']}: {row['ratio']:.2f}{spread}", flush=True)
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    if options.quick:  # too short a look for a target
        table = table.drop(columns=["at_least", "at_most", "met"])
    print(table.to_string(index=False, float_format="{:.3g}".format, na_rep=""))
    if options.quick:
        return
    place = FOLDER if options.device == "cpu" else FOLDER.with_name(f"speed_{options.device}")
    note = machine(options.device)
    table = with_other_parts(table, place / "speed.csv")
    paths = save_figure(speed_figure(table, note), table, place / "speed", {"machine": note})
    write_text(place / "speed.md", readable(table).to_markdown(index=False) + "\n")
    print("\n".join(map(str, paths)))


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table to print: what was compared, the ratio with its spread, the target."""
    rows = []
    for row in table.itertuples():
        where = [row.backbone]
        where += [f"T = {row.sessions:.0f}"] if pd.notna(row.sessions) else []
        where += [f"batch {row.batch:.0f}"] if pd.notna(row.batch) else []
        spread = f" ({row.lowest:.3g} to {row.highest:.3g})" if pd.notna(row.lowest) else ""
        bound = (
            f"at least {row.at_least:.3g}"
            if pd.notna(row.at_least)
            else f"at most {row.at_most:.3g}"
            if pd.notna(row.at_most)
            else ""
        )
        rows.append(
            {
                "what": row.what,
                "with": ", ".join(where),
                "ratio": f"{row.ratio:.3g}{spread}",
                "target": bound,
                "met": {"yes": "✓", "no": "✗"}.get(row.met, ""),
                "note": row.note if isinstance(row.note, str) else "",
            }
        )
    return pd.DataFrame(rows)


def with_other_parts(table: pd.DataFrame, saved: Path) -> pd.DataFrame:
    """The table with the parts that were measured before and not now, in order."""
    if saved.exists():
        before = pd.read_csv(saved)
        table = pd.concat([before[~before["part"].isin(table["part"])], table])
    return table.sort_values("part", key=lambda part: part.map(PARTS.index), kind="stable")


if __name__ == "__main__":
    main()
