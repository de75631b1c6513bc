"""Tests of the scripts of the study, with a small network."""

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import load_script
from PIL import Image

import tfviz
from tfviz import Contender, params

PHOTOS = np.random.default_rng(0).random((24, 32, 32, 3))


@pytest.fixture(scope="module")
def study():
    return load_script("study")


@pytest.mark.parametrize("name", ["squeezenet", "efficientnet"])
def test_the_choice_of_units_is_fixed(study, name):
    network = study.NETWORKS[name]
    adapter = study.load_network(network, None)
    units = study.choose_units(adapter, network)

    assert units == study.choose_units(adapter, network)
    assert len(set(units)) == len(units) == sum(network.counts)
    classes = [unit for unit in units if unit.startswith("logit:")]
    assert units[-24:] == classes
    early = [u for u in units if u.rpartition(":")[0] in network.early]
    assert units[: network.counts[0]] == early


def test_parts_of_the_study_have_units_of_each_sort(study, squeezenet, monkeypatch):
    runs = {}
    monkeypatch.setattr(
        study,
        "run",
        lambda options, name, title, adapter, units, methods, settings: runs.update(
            {name: (units, settings)}
        ),
    )
    monkeypatch.setattr(study, "load_judges", lambda data, visualized: [])
    monkeypatch.setattr(study, "time_budget", lambda folder, steps: 1.5)
    options = argparse.Namespace(data=None, output=Path(), steps=9, seeds=2)
    for part in ("squeezenet", "seconds", "ablations", "curve"):
        study.run_part(options, part, {}, [])

    assert list(runs) == [
        *("squeezenet", "seconds", "ablations"),
        *(f"curve-{steps}" for steps in (25, 50, 100, 200, 400, 800)),
    ]
    everything = runs["squeezenet"][0]
    assert len(everything) == 60
    for name, (units, settings) in runs.items():
        assert set(units) <= set(everything)
        classes = sum(unit.startswith("logit") for unit in units)
        assert 3 <= classes < len(units) - 4
        assert (settings["steps"] is None) == ("seconds" in settings)
        if name.startswith("curve"):
            assert settings["steps"] == int(name.removeprefix("curve-"))
    assert runs["seconds"][1]["seconds"] == 1.5
    assert runs["ablations"][1]["steps"] == 9
    assert len(runs["seconds"][0]) == 8
    assert len(runs["curve-25"][0]) == 12


@pytest.mark.slow
def test_the_time_budget_is_that_of_the_fastest_method_for_the_default_steps(
    study, toy_adapter, tmp_path
):
    fast = Contender(params.pixels(32, 32))
    methods = {"fast": fast, "slow": replace(fast, candidates=64)}
    settings = {"images": PHOTOS, "steps": 2, "seeds": 1, "folder": tmp_path}
    comparison = tfviz.compare(toy_adapter, "conv_b:1", methods, **settings)
    seconds = {r["method"]: r["seconds"] for r in comparison.table() if "seconds" in r}

    assert seconds["fast"] < seconds["slow"]  # choosing a start takes time
    expected = round(seconds["fast"] * study.DEFAULT_STEPS / study.STEPS, 1)
    assert study.time_budget(tmp_path, study.STEPS) == expected


def test_the_table_of_differences_is_paired_by_unit():
    tables = load_script("study_tables")
    # Per unit: the ranks of two seeds by fourier and of one by maco, which is always
    # two e-folds better; a unit without a rank; an unknown two alternatives.
    ranks = {"a": (2.0, 9.0), "b": (0.0, 99.0), "c": (4.0, 4.0), "d": (19.0, 0.0)}
    ranks["e"] = (7.0, 3.0)
    # Another judge ranks maco's pictures just as fourier's. A third is related to maco.
    rows = []
    for unit, own in ranks.items():
        mean = np.log1p(own).mean()
        for method, seen in (("fourier", own), ("maco", [np.expm1(mean - 2)])):
            rows += [
                {"unit": unit, "method": method, "rank@one": rank, "rank@three": rank}
                | {"rank@two": 5}
                for rank in seen
            ]
    rows += [
        {"unit": unit, "method": method, "two_alternative@one": value + place / 10}
        for method, value in (("fourier", 0.5), ("maco", 0.5))
        for place, unit in enumerate("abcde" if method == "maco" else "edcba")
    ]
    names = ("fourier", "maco", "maco: random")
    kinds = ("method", "method", "baseline")
    results = {
        "judges": [{"name": name} for name in ("one", "two", "three")],
        "methods": [
            {"name": name, "kind": kind, "related_judges": ["three"]}
            for name, kind in zip(names, kinds, strict=True)
        ],
        "units": [{"name": name} for name in (*ranks, "f")],
        "rows": rows,
    }
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in tables.difference_table(results)
    ]

    assert cells[0] == ["", "", "one", "two", "three", "mean of the unrelated"]
    by_measure = {row[1]: row for row in cells[2:]}
    assert by_measure["log(1 + rank)"] == [
        *("maco", "log(1 + rank)", "**-2.00 (-2.00 to -2.00)**"),
        *("+0.00 (+0.00 to +0.00)", "**-2.00 (-2.00 to -2.00)**"),
        "**-1.00 (-1.00 to -1.00)**",
    ]
    assert by_measure["two alternatives"][2].startswith("+0.00 (-0.")
    assert by_measure["two alternatives"][-1] == by_measure["two alternatives"][2]
    assert by_measure["above other units"][2:] == [""] * 4


@pytest.mark.slow
def test_tables_and_sheets_leave_out_missing_comparisons(
    toy_adapter, tmp_path, monkeypatch, capsys
):
    pytest.importorskip("jinja2")
    methods = {"pixels": Contender(params.pixels(32, 32))}
    units = ["conv_b:1", "conv_b:4", "conv_a:2"]
    settings = {"images": PHOTOS, "steps": 1, "seeds": 1, "title": "By steps"}
    folder = tmp_path / "squeezenet"
    comparison = tfviz.compare(toy_adapter, units, methods, folder=folder, **settings)
    comparison.save()
    for steps in (25, 100):
        shutil.copytree(folder, tmp_path / f"curve-{steps}")

    monkeypatch.setattr(sys, "argv", ["study_tables.py", str(tmp_path)])
    load_script("study_tables").main()
    lines = capsys.readouterr().out.splitlines()
    rows = [[c.strip() for c in x.strip("|").split("|")] for x in lines if x[:1] == "|"]
    assert lines[0] == "## By steps"
    scores = [r["relative"] for r in comparison.table() if r["method"] == "pixels"]
    line = next(row for row in rows if row[0] == "pixels")
    assert line[1] == f"{np.median(scores):.2f}"
    assert ["pixels: best random"] in [row[:1] for row in rows]
    # The comparisons by steps have a column each, in the order of the steps.
    gains = [r["gain"] for r in comparison.table() if r["method"] == "pixels"]
    place = next(i for i, row in enumerate(rows) if row[1:] == ["25", "100"])
    assert rows[place][0] == "gain over other units"
    assert rows[place + 2] == ["pixels", *[f"{np.median(gains):.2f}"] * 2]

    sheets = load_script("study_sheets")
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path), str(tmp_path)])
    sheets.main()
    assert [p.name for p in tmp_path.glob("*.webp")] == ["study-squeezenet.webp"]
    with Image.open(tmp_path / "study-squeezenet.webp") as sheet:  # all three in a row
        # There are 8 pixels around each picture, and 18 for the names below.
        assert sheet.size == (6 * (sheets.SIDE + 8) + 8, sheets.SIDE + 18 + 8 + 8)
