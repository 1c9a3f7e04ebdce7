"""Published numbers with tolerances, and how what was learned here compares with them.

Training follows the processor's arithmetic: another one, or another number of threads, rounds
otherwise, and a trained network carries that further. ``figures/expected.csv`` says by how much.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dynammo.catalogue import METHODS
from dynammo.data.files import entry_point, write_csv
from dynammo.errors import InputError
from dynammo.run.jobs import settings_behind
from dynammo.run.places import ROOT
from dynammo.run.profiles import load_profile
from dynammo.run.settings import RunSettings

EXPECTED = ROOT / "figures" / "expected.csv"
VARIANTS = EXPECTED.with_name("expected_variants.csv")
PAIRED = (("dynammo", "acl"), ("dynammo", "last_adapter"), ("dynammo", "frozen_features"))
KEY = ["method", "order_seed", "train_seed", "session"]
# A number of another machine differs from the published one by as much as two draws of the same
# number do; three times their root mean square leaves out less than one in a hundred.
WIDTH = 3.0
ARITHMETIC = ("threads", "device")  # what a number may be compared across


def numbers(sessions: pd.DataFrame) -> pd.Series:
    """Accuracy over the classes seen in percent, of each run and on average, by :data:`KEY`.

    Args:
        sessions: ``method``, ``order_seed``, ``train_seed``, ``session`` and ``accuracy`` (0..1).

    Returns:
        For each session and for their "average"; with "dynammo - acl" and its like as methods, in
        points; and with "mean of n" as seeds, where a method has n runs.
    """
    wide = 100 * sessions.pivot_table("accuracy", KEY[:3], "session")
    wide["average"] = wide.mean(axis=1)
    for one, other in PAIRED:
        if {one, other} <= set(wide.index.unique("method")):
            gap = (wide.loc[one] - wide.loc[other]).dropna()
            wide = pd.concat([wide, pd.concat({f"{one} - {other}": gap}, names=["method"])])
    runs = wide.groupby("method").size()
    mean = wide.groupby("method").mean()[runs > 1].reset_index()
    several = "mean of " + runs[runs > 1].astype(str).to_numpy()
    mean = mean.assign(order_seed=several, train_seed=several).set_index(KEY[:3])
    long = pd.concat([wide, mean]).reset_index().melt(KEY[:3], var_name="session")
    return long.dropna().astype(dict.fromkeys(KEY, str)).set_index(KEY).value.rename("found")


def published_numbers() -> pd.DataFrame:
    """The demo's numbers by :data:`KEY`: ``published`` and ``tolerance``, in percent."""
    if EXPECTED.exists():
        return pd.read_csv(EXPECTED, dtype=dict.fromkeys(KEY, str)).set_index(KEY)
    nothing = pd.MultiIndex.from_arrays([[]] * len(KEY), names=KEY)  # the library alone
    return pd.DataFrame(columns=["published", "tolerance"], index=nothing, dtype=float)


def compare(sessions: pd.DataFrame, settings: RunSettings) -> pd.DataFrame:
    """What was found beside what is published, wherever the same was learned.

    A method is compared if all that its result depends on is as in the demo, threads and device
    apart: the processor's arithmetic is what tolerances are for.

    Returns:
        By :data:`KEY`: ``found``, ``published``, ``tolerance`` (all in percent) and ``within``.
    """
    published, demo = published_numbers(), load_profile("demo")
    known = sessions[sessions.method.isin(METHODS)]
    known = known[known.method.map(lambda name: _alike(settings, demo, name)).astype(bool)]
    found = numbers(known) if len(known) else published.published[:0].rename("found")
    if len(known.session.unique()) < len(published.index.unique("session")) - 1:
        found = found.drop("average", level="session", errors="ignore")  # of some sessions only
    both = pd.concat([found, published], axis=1, join="inner")
    within = (both.found - both.published).abs() <= both.tolerance + 1e-9
    return both.assign(within=within)


def _alike(one: RunSettings, other: RunSettings, method: str) -> bool:
    """Whether a method's results depend on the same settings, threads and device apart."""
    now, then = (settings_behind(each, method) for each in (one, other))
    return all(now[name] == then[name] for name in now if name not in ARITHMETIC)


def as_expected(
    found: Mapping[str, tuple[str, bool]],
    settings: RunSettings | None = None,
    sessions: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """A notebook's expectations as a table: each in words, with what came out and whether it is so.

    Args:
        found: for each expectation what came out, in words, and whether that agrees.
        settings: of what was run. Where they are not the demo's, the table's heading says so: the
            expectations are the demo's.
        sessions: accuracies of the one run that was made; the published ones are rows, too.
    """
    found = dict(found)
    if sessions is not None:
        for (method, _, _, session), row in compare(sessions, settings).iterrows():
            when = session if session == "average" else f"session {session}"
            words = f"{method}, {when}: {row.published:.1f} ± {row.tolerance:.1f} %"
            found[words] = (f"{row.found:.1f} %", row.within)
    rows = [(words, got, "✓" if so else "✗") for words, (got, so) in found.items()]
    if sessions is not None:
        there = published_numbers().index.unique("method")
        rows += [
            (f"{m}: the demo has no numbers", "", "") for m in sorted({*sessions.method} - {*there})
        ]
    known = [name for name in settings.methods if name in METHODS] if settings else []
    demo = load_profile("demo")
    other = any(not _alike(settings, demo, name) for name in known)
    heading = "expected in the demo; these settings are others" if other else "expected"
    return pd.DataFrame(rows, columns=[heading, "here", "so?"]).set_index(heading)


def told(compared: pd.DataFrame) -> str:
    """In words, how many numbers are within tolerance, which are not, and what that means."""
    if compared.empty:
        return (
            "Other settings or methods than the published ones: there is nothing to compare with."
        )
    outside = compared[~compared.within]
    text = f"{len(compared) - len(outside)} of {len(compared)} numbers within tolerance."
    if outside.empty:
        return text + " These results are the published ones."
    rows = outside.drop(columns="within").round(1).reset_index().to_string(index=False)
    # Averages, means and differences follow from the others: one number takes several along.
    own = compared[_of_one_session(compared.index)]
    many = (~own.within).sum() > max(2, len(own) / 50)
    meaning = (
        "That is more than another processor does: something else is different here (changed code, "
        "other package versions)."
        if many
        else "One in a hundred may be: a processor that rounds otherwise trains another network."
    )
    return f"{text} Outside, in percent:\n{rows}\n{meaning}"


def _of_one_session(index: pd.MultiIndex) -> np.ndarray:
    """Which numbers are of one method, run and session, bool [N]."""
    method, order, session = (index.get_level_values(name) for name in (KEY[0], KEY[1], KEY[3]))
    several = method.str.contains(" - ") | order.str.startswith("mean of") | (session == "average")
    return ~np.asarray(several)


def publish(figures: Path, variants: dict[str, Path], path: Path) -> pd.DataFrame:
    """Write the numbers of a run, with tolerances by how the same run made otherwise differs.

    Differences are pooled over class orders, since each is one more draw; the mean of n runs is
    allowed what a run is, divided by the root of n, and no number less than one test image.

    Args:
        figures: of the published run, with ``sessions.csv``.
        variants: a label, and the figures of the same run made with other arithmetic or seeds.

    Returns:
        A row per variant: how many of its numbers are within tolerance, and their spread.
    """
    sessions = pd.read_csv(figures / "sessions.csv")
    table = numbers(sessions).rename("published").to_frame()
    gaps = {}
    for label, folder in variants.items():
        other = pd.read_csv(folder / "sessions.csv").assign(train_seed=sessions.train_seed[0])
        gaps[label] = numbers(other) - table.published
    gaps = pd.DataFrame(gaps).reindex(table.index)
    several = table.index.get_level_values("order_seed").str.extract(r"mean of (\d+)")[0]
    squares = (gaps[several.isna().to_numpy()] ** 2).groupby(KEY[::3])
    spread = np.sqrt(squares.sum().sum(axis=1) / squares.count().sum(axis=1))
    pooled = [spread[method, session] for method, _, _, session in table.index]
    images = sessions.groupby(sessions.session.astype(str)).images.first()
    image = [100 / images.get(session, images.iloc[-1]) for *_, session in table.index]
    root = np.sqrt(several.astype(float).fillna(1).to_numpy())
    table["tolerance"] = np.maximum(WIDTH * np.array(pooled) / root, image).round(1)
    write_csv(path, table.round(3).reset_index())
    within = (gaps.abs().le(table.tolerance + 1e-9, axis=0) & gaps.notna()).sum()
    rows = {"within tolerance": within, "of": gaps.notna().sum()}
    rows["root mean square of differences (points)"] = np.sqrt((gaps**2).mean()).round(2)
    return pd.DataFrame(rows).rename_axis("variant").reset_index()


@entry_point
def main(arguments: Sequence[str]) -> int:
    """``python -m dynammo.run.expected FIGURES LABEL=FIGURES ...``, the published run first."""
    first, *others = arguments or [""]
    if not first or not all("=" in each for each in others):
        raise InputError(main.__doc__)
    variants = dict(each.split("=", 1) for each in others)
    folders = {label: Path(folder) for label, folder in variants.items()}
    rows = publish(Path(first), folders, EXPECTED)
    write_csv(VARIANTS, rows)
    print(rows.to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
