"""The front page says what was measured, in few words and few numbers."""

import json
import re
from itertools import compress
from pathlib import Path

import pandas as pd
import pytest
from helpers_for_figures import committed

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
FINDINGS = README.partition("## What we found\n")[2].partition("\n## ")[0]


def sentences(text):
    """Sentences of a page's prose, without code, tables, pictures and addresses."""
    text = re.sub(
        r"```.*?```|^\|.*?$|^#.*?$|`(?:[^`\n]|\n(?!\n))*`", "", text, flags=re.DOTALL | re.MULTILINE
    )
    text = re.sub(r"!?\[([^][]*)\]\([^)]*\)", r"\1", text)
    blocks = re.split(r"\n\n|\n\* ", text)
    return [s for block in blocks for s in re.split(r"(?<=[.:;])\s", " ".join(block.split())) if s]


def test_it_is_short_and_has_few_numbers():
    assert len(README.splitlines()) <= 150
    found = sentences(README.replace("404.14099", ""))
    assert len(found) > 30
    for sentence in found:
        if "notebooks 0" not in sentence:  # those to take, and no measurements
            assert len(re.findall(r"\d[\d.,]*", sentence)) <= 2, sentence


@pytest.mark.parametrize("name", ["STUDY", "BEYOND", "CARDS", "SPEED", "GUARANTEES"])
def test_pages_have_few_numbers_in_a_sentence(name):
    text = (ROOT / f"notebooks/{name}.md").read_text()
    text = re.sub(
        r"arXiv \d+\.\d+|ResNet-18|CIFAR-100|[A-Z]\w+ \d{4}", "", text
    )  # names, and years
    for sentence in sentences(text):
        assert len(re.findall(r"\d[\d.,]*", sentence)) <= 2, sentence


def test_it_says_of_the_demo_what_was_measured():
    gaps = committed("figures/demo/intervals.csv")
    gaps = gaps.set_index(["method", "other", "measure"])
    average, last = (-gaps.loc[("dynammo", "acl", part), "mean"] for part in ("average", "last"))
    said = f"costs {average:.1f} points on average over the sessions of the demo, and {last:.1f}"
    assert said in " ".join(FINDINGS.split())
    ends = committed("figures/demo/sessions.csv").query("session == 4 and order_seed == 0")
    ends = 100 * ends.set_index("method").accuracy
    said = (
        f"{ends.fine_tuning:.0f} % of",
        f"DynaMMo {ends.dynammo:.0f} %",
        f"{ends.replay:.0f} %.",
    )
    assert all(number in README for number in said)
    macs = committed("figures/demo/summary.csv").set_index("method").macs
    assert 1.35 < macs.dynammo / macs.fine_tuning < 1.45 and "two fifths more" in FINDINGS


def test_it_says_of_the_study_what_was_measured():
    claims = pd.read_csv(ROOT / "figures/study/claims.csv")
    claims = claims[~claims.stream.str.match("blood8|resnet")]  # the same data, in other ways
    against = {name: own.set_index("stream") for name, own in claims.groupby("other")}
    words = " ".join(FINDINGS.split())
    assert "on the five data sets" in words and len(against["acl"]) == 5
    assert "it is one to three" in words and (-against["acl"]["mean"]).between(1, 3).all()
    newest = against["last_adapter"].verdict.rename(lambda stream: stream.partition(",")[0])
    assert "ahead of the mean on blood cells, behind it on skin images" in words
    assert (newest["blood"], newest["skin"]) == ("✗", "✓")
    rows = (ROOT / "figures/study/average_differences.md").read_text().splitlines()
    streams, found = [cell.strip() for cell in rows[0].strip("|").split("|")][1:], {}
    for row in rows[2:]:
        name, *cells = (cell.strip() for cell in row.strip("|").split("|"))
        bounds = [[float(x) for x in re.findall(r"([-+][\d.]+)[,\]]", cell)] for cell in cells]
        for sign, which in ((1, 0), (-1, -1)):  # all of the interval above zero, or below it
            clear = [bool(pair) and sign * pair[which] > 0 for pair in bounds]
            found[name, sign] = {s.partition(",")[0] for s in compress(streams, clear)}
    main = {"blood", "mixed", "cifar", "skin", "histology"}
    newest = found["DynaMMo, ridge head − last adapter, ridge head", 1] & main
    beyond = " ".join((ROOT / "notebooks/BEYOND.md").read_text().split())
    assert "beat the newest set on four of the five" in beyond and len(newest) == 4
    gentle = "DynaMMo, gentle, ridge head − ridge, several depths"
    said = "beat the frozen network on two of the five, skin and CIFAR-100, and lose on none"
    assert said in words
    assert found[gentle, 1] & main == {"skin", "cifar"} and not found[gentle, -1]
    last = (ROOT / "figures/study/last_differences.md").read_text()
    (row,) = (line for line in last.splitlines() if line.startswith("| DynaMMo − ACL  "))
    lost = [-float(cell.split()[0]) for cell in row.strip("|").split("|")[1:]]
    assert "after the last session one to five" in words and 1 <= min(lost) <= max(lost) <= 5


def test_one_address_stands_for_the_repository():
    cells = json.loads((ROOT / "notebooks/00_dynammo_in_ten_minutes.ipynb").read_text())["cells"]
    source = "".join("".join(cell["source"]) for cell in cells)
    address = re.search(r'project = "https://github.com/([^"]+)"', source)[1]
    hosts = r"codespaces\.new|mybinder\.org/v2/gh|colab\.research\.google\.com/github"
    assert re.findall(rf"(?:{hosts})/([^/)]+/[^/)]+)", README) == [address] * 3
