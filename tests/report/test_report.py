import base64
import csv
import io
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tfviz import images
from tfviz.report import formatting, page as report_page, pictures, plots, rows
from tfviz.report.formatting import number, prose

SCRIPT = '<script>alert("x")</script>'
QUOTED = 'a/b"c'
# The name, kind, `of` and `kinship` of each method, the mean of its relative scores,
# and the slope of its spectrum (-2 for photos).
METHODS = [
    ("fourier", "method", None, None, 1.3, -1.2),
    (QUOTED, "method", None, "pixels only", 1.25, -1.6),
    ("inverter", "method", None, "same network", 0.9, -2.2),
    (SCRIPT, "method", None, None, 0.6, -0.2),
    ("random samples", "baseline", None, None, 0.1, -2.0),
    ("best of 64", "baseline", None, None, 0.4, -2.0),
    ("inverter, no penalty", "ablation", "inverter", "same network", 1.0, -1.9),
    ("fourier, shuffled weights", "control", "fourier", None, 0.05, -1.2),
    ("photos", "ceiling", None, None, 0.95, -2.0),
]
UNITS = [
    ("fire8:20", "fire8:20", None),
    ("logit:goldfish", "logit:1", 1),
    ("logit:</td><b>lion", "logit:291", 291),
    ("a/b:3", "a/b:3", None),
    ("a:b-3", "a:b-3", None),
    ("fire10:2", "fire10:2", None),
]
FAILED = ("a/b:3", "fourier", 1)
STUCK = ("fire10:2", QUOTED, 2)
ERROR = "ResourceExhausted: <img src=x onerror=alert(1)> & more"


def measure(label, better, level="picture", judge=None, **changed):
    return {
        "label": label,
        "summary": f"What {label} says, where `x` < 1.",
        "formula": "`score / max(scores of photos)`",
        "range": "0 and above",
        "better": better,
        "source": "Xiao and Kreiman 2020, https://doi.org/10.1371/journal.pcbi.1007973",
        "bias": "Grows with the number of photos.",
        "judge": judge,
        "level": level,
    } | changed


MEASURES = {
    "relative": measure("of the best photo", "higher"),
    "gain": measure("gain over samples", "higher"),
    "nearest@MobileNetV1": measure("nearest photo", "lower", judge="MobileNetV1"),
    "rank@MobileNetV1": measure("rank of the class", "lower", judge="MobileNetV1"),
    "spectrum_slope": measure("slope of the spectrum", "neither", source=""),
    "saturation": measure("saturated pixels", "lower"),
    "diversity": measure("diversity", "higher", "unit"),
    'kid@J"2<': measure("KID", "lower", "method", 'J"2<'),
}


REFERENCES = [
    {
        "measure": "nearest@MobileNetV1",
        "threshold": 1.15,
        "pictures": [
            {"name": "photos", "mean": 1.0, "low": 0.97, "high": 1.02, "pictures": 60},
            {"name": "grey pictures", "mean": None, "low": None, "high": None}
            | {"pictures": 0},
            {"name": "blurred photos", "mean": 1.3, "low": 1.2, "high": 1.4}
            | {"pictures": 24},
        ],
    },
    {
        "measure": "rank@MobileNetV1",
        "threshold": None,
        "pictures": [
            {"name": "photos", "mean": 0.9, "low": 0.8, "high": 1.1, "pictures": 60}
        ],
    },
]


def waves(rng, height, width, slope):
    """Return coloured noise whose power is the frequency to the power of `slope`."""
    rows, columns = np.fft.fftfreq(height), np.fft.fftfreq(width)
    frequency = np.maximum(np.hypot(rows[:, None], columns), 1 / max(height, width))
    noise = np.fft.fft2(rng.normal(size=(3, height, width)))
    planes = np.fft.ifft2(noise * frequency ** (slope / 2)).real
    planes = planes / planes.std() + 0.5 * rng.normal(size=(3, 1, 1))
    return np.moveaxis(1 / (1 + np.exp(-planes)), 0, -1)


def comparison(folder, side=48, units=UNITS, methods=METHODS, seeds=3):
    """Write the files of a comparison with invented content, and return its results."""
    rng = np.random.default_rng(0)

    def draw(name, height, width, slope):
        path = folder / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = images.to_pil(waves(rng, height, width, slope))
        picture.save(path, quality=90)
        return f"pictures/{name}"

    rows = []
    photos = {}
    for n, (unit, _, wanted) in enumerate(units):
        photos[unit] = [
            draw(f"{n}/photo-{k}.jpg", side + 5, side + 21, -2) for k in range(4)
        ]
        ease = rng.normal(0, 0.1)
        for m, (method, kind, _, _, level, slope) in enumerate(methods):
            for seed in range(seeds):
                row = {"unit": unit, "method": method, "seed": seed}
                if (unit, method, seed) == FAILED:
                    rows.append({**row, "score": None, "picture": None, "start": None})
                    rows[-1] |= {"error": ERROR, "seconds": None, "relative": None}
                    continue
                relative = level + ease + rng.normal(0, 0.1)
                stem = f"{n}/{m}-{seed}"
                optimized = kind not in ("baseline", "ceiling")
                row |= {
                    "score": 37 * relative,
                    "picture": draw(f"{stem}.png", side, side, slope),
                    "start": draw(f"{stem}-start.png", side, side, slope / 2)
                    if optimized and seed == 0
                    else None,
                    "error": None,
                    "seconds": rng.uniform(9, 12) * (1 + 4 * m),
                    "steps": 256 if optimized else 0,
                    "forward_passes": 820 if optimized else 64,
                    "relative": relative,
                    "gain": relative - 0.4,
                    "nearest@MobileNetV1": 1 + abs(slope + 2) + rng.normal(0, 0.05),
                    "rank@MobileNetV1": int(rng.integers(1, 40)) if wanted else None,
                    "spectrum_slope": slope + rng.normal(0, 0.05),
                    "saturation": 0.0,
                    "clip_rate": rng.uniform(),
                    "stuck": (unit, method, seed) == STUCK,
                }
                rows.append(row)
    names = [method[0] for method in methods]
    means = {key: unit_means(rows, key, units, names) for key in MEASURES}
    summary = [entry for key in MEASURES for entry in summarize(key, means[key], names)]
    summary += [
        {"method": name, "measure": "diversity", "median": 0.5 + 0.01 * n, "q1": 0.4}
        | {"q3": 0.7, "low": 0.45, "high": 0.6, "units": len(units)}
        for n, name in enumerate(names)
    ]
    summary += [
        {"method": name, "measure": 'kid@J"2<', "median": 0.01 * (n + 1)}
        | dict.fromkeys(("q1", "q3", "low", "high"))
        | {"units": len(units)}
        for n, name in enumerate(names)
    ]
    results = {
        "title": f"Priors & <b>pixels</b> of {SCRIPT}",
        "kinship": {
            "same network": "Was trained on what it is judged by.",
            "pixels only": "Knows photos < pixels.",
        },
        "settings": {"steps": 256, "seconds": None, "seeds": seeds, "size": [48, 48]},
        "provenance": {
            "model": {"name": "SqueezeNet", "digest": "ab" * 32},
            "priors": {"inverter": {"file": "inverter.npz", "licence": None}},
            "versions": {"tensorflow": "2.21.0"},
            "images": {"count": 1000},
            "command": "tfviz compare 'fire8:20' --images photos/ -o out",
        },
        "units": [
            {"name": n, "text": t, "class": c, "group": int(c is not None)}
            for n, t, c in units
        ],
        "methods": [
            {
                "name": name,
                "kind": kind,
                "of": of,
                "kinship": kinship,
                "related_judges": ["MobileNetV1"] if "inverter" in name else [],
            }
            | {"description": f"A {kind} that is described here."}
            for name, kind, of, kinship, _, _ in methods
        ],
        "judges": [
            {"name": "MobileNetV1", "classes": True, "features": True},
            {"name": 'J"2<', "classes": False, "features": True},
        ],
        "measures": MEASURES,
        "rows": rows,
        "photos": photos,
        "summary": summary,
        "differences": [
            pair for key in MEASURES for pair in pair_methods(key, means[key], names)
        ],
        "curves": {
            "path_similarity": {
                "layers": ["conv1", "fire2", "fire5", "fire9"],
                "methods": {
                    name: [
                        0.9,
                        None if n == 1 else 0.7,
                        0.55 - 0.05 * n,
                        0.2 + 0.02 * n,
                    ]
                    for n, name in enumerate(names[:4])
                },
            }
        },
        "references": REFERENCES if len(methods) > 2 else [],
        "verdicts": []
        if len(methods) < 3
        else [
            {
                "method": "fourier",
                "verdict": "mostly the unit",
                "because": ["Gains 0.9."],
            },
            {
                "method": "inverter",
                "verdict": "mostly the <i>prior</i>",
                "because": ["Its gain is 0.5 [0.4, 0.6].", "Its control is as near."],
            },
        ],
        "rule": "A gain whose interval holds 0 is the prior's.",
    }
    (folder / "results.json").write_text(json.dumps(results))
    return results


def unit_means(rows, key, units, names):
    """Return the means over seeds `(methods, units)`; nan where no seed has a value."""
    means = np.full((len(names), len(units)), np.nan)
    for m, name in enumerate(names):
        for u, (unit, _, _) in enumerate(units):
            values = [
                row[key]
                for row in rows
                if (row["unit"], row["method"]) == (unit, name)
                and row.get(key) is not None
            ]
            if values:
                means[m, u] = np.mean(values)
    return means


def interval(values):
    rng = np.random.default_rng(1)
    if len(values) < 5:
        return None, None
    means = rng.choice(values, (500, len(values))).mean(1)
    return tuple(float(end) for end in np.percentile(means, (2.5, 97.5)))


def summarize(key, means, names):
    for name, with_gaps in zip(names, means):
        values = with_gaps[~np.isnan(with_gaps)]
        if len(values):
            q1, median, q3 = (float(q) for q in np.percentile(values, (25, 50, 75)))
            low, high = interval(values)
            yield {
                "method": name,
                "measure": key,
                "median": median,
                "q1": q1,
                "q3": q3,
            } | {
                "low": low,
                "high": high,
                "units": len(values),
            }


def pair_methods(key, means, names):
    for n, first in enumerate(names):
        for m in range(n + 1, len(names)):
            values = means[n] - means[m]
            values = values[~np.isnan(values)]
            if not len(values):
                continue
            low, high = interval(values)
            yield {
                "measure": key,
                "first": first,
                "second": names[m],
                "mean": float(values.mean()),
                "low": low,
                "high": high,
                "distinct": low is not None and not low <= 0 <= high,
            }


class Page(HTMLParser):
    """The tags and texts of a page; a tag that is not closed is an error."""

    VOID = ("meta", "img", "br", "input", "path", "use", "rect")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag, **wanted):
        return [
            attrs
            for name, attrs in self.tags
            if name == tag and all(attrs.get(k) == v for k, v in wanted.items())
        ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison")
    comparison(folder)
    report_page.write(rows.read(folder), folder)
    return folder


@pytest.fixture(scope="module")
def results(folder):
    return rows.read(folder)


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "report.html").read_text("utf-8")


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def cells(text, start, end):
    """Return the text of the table cells between two marks in a page, by rows."""
    part = text[text.index(start) : text.index(end)]
    return [
        [
            re.sub(r"(\s|&nbsp;)+", " ", re.sub(r"<[^>]+>", " ", cell)).strip()
            for cell in re.findall(r"<t[hd][ >].*?</t[hd]>", row, re.DOTALL)
        ]
        for row in re.findall(r"<tr.*?</tr>", part, re.DOTALL)
    ]


class TestPage:
    def test_ids_are_unique_and_all_links_have_a_target(self, page):
        ids = Counter(attrs["id"] for _, attrs in page.tags if "id" in attrs)
        links = {a["href"][1:] for a in page.all("a") if a["href"].startswith("#")}
        uses = {u["xlink:href"][1:] for u in page.all("use")}

        assert max(ids.values()) == 1
        assert links | uses <= set(ids)
        for name in ("aria-labelledby", "aria-describedby", "data-row"):
            references = {attrs[name] for _, attrs in page.tags if attrs.get(name)}
            assert references
            assert references <= set(ids)

    def test_the_page_loads_nothing(self, page, text):
        styles = " ".join(attrs.get("style", "") for _, attrs in page.tags)

        for _, attrs in page.tags:
            for name in ("src", "srcset", "data", "action", "poster", "xlink:href"):
                assert re.match(r"data:image/webp;base64,|#", attrs.get(name) or "#")
        assert not page.all("link")
        assert not page.all("iframe")
        assert {
            u for u in re.findall(r"url\(([^)]*)\)", styles) if u[0] != "#"
        } == set()
        assert "@import" not in text
        (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
        assert policy["content"].startswith("default-src 'none'; img-src data:;")
        outward = {a["href"] for a in page.all("a") if a["href"][0] != "#"}
        assert outward == {"https://doi.org/10.1371/journal.pcbi.1007973"}

    def test_hostile_names_are_text(self, page):
        visible_text = "".join(data for tag, data in page.texts if tag != "script")

        assert len(page.all("script")) == 1
        assert not page.all("b", src="x")
        assert not [a for _, a in page.tags if any(k.startswith("on") for k in a)]
        assert not [a for a in page.all("img") if a["src"] == "x"]
        for name in (SCRIPT, QUOTED, "logit:</td><b>lion", ERROR, 'J"2<'):
            assert name in visible_text
        assert f"Priors & <b>pixels</b> of {SCRIPT}" in visible_text
        options = [data for tag, data in page.texts if tag == "option"]
        assert [m[0] for m in METHODS if m[0] in options] == [m[0] for m in METHODS]
        assert page.all("tr", **{"data-method": QUOTED})

    def test_sections_come_in_their_order(self, page):
        headings = [data for tag, data in page.texts if tag == "h2"]

        assert headings == [
            "Verdicts",
            "Summary",
            "Paired differences",
            "Plots",
            "Pictures of each unit",
            "All numbers",
            "Definitions",
            "Failures and dead units",
            "Provenance and settings",
            "Reproduction",
        ]

    def test_the_first_paragraph_describes_the_comparison(self, text):
        assert (
            "4 methods rendered the same 6 units of SqueezeNet, with 3 seeds each and "
            "the same budget of 256 steps per picture. For reference, the report "
            "includes 2 baselines, 1 ablation, 1 control and 1 ceiling. Pictures were "
            "evaluated as saved, in 8 bits, in comparison with 1,000 photos, and by "
            "networks that took no part in the optimization: MobileNetV1 and "
            "J&#34;2&lt;."
        ) in text

    def test_every_measure_is_defined_and_linked_from_each_table(self, page, text):
        anchors = {a["id"] for a in page.all("article", **{"class": "measure"})}
        assert len(anchors) == len(MEASURES) + 5  # score, seconds, steps, ...
        definitions = text[text.index('id="definitions"') : text.index('id="failed"')]
        for entry in MEASURES.values():
            assert definitions.count(f"What {entry['label']} says") == 1
        assert definitions.count("<dt>bias</dt>") == len(MEASURES)
        assert definitions.count("<dt>source</dt>") == len(MEASURES) - 1
        for start, end, count in (
            ('id="summary"', 'id="differences"', len(MEASURES)),
            ('id="rows"', 'id="definitions"', 6 + 5),
        ):
            part = text[text.index(start) : text.index(end)]
            heads = re.findall(r"<thead>.*?</thead>", part, re.DOTALL)[0]
            links = re.findall(r'href="#([^"]*)"', heads)
            assert len(links) == count
            assert set(links) <= anchors

    def test_relations_of_priors_are_marked_wherever_a_table_names_them(self, text):
        badges = {
            "inverter": "same network",
            "fourier": None,
            QUOTED.replace('"', "&#34;"): "pixels only",
        }
        for name, level in badges.items():
            pattern = (
                rf'</span>&nbsp;{name}</span>(?: <span class="badge"[^>]*>([^<]*))?'
            )
            mentions = re.findall(pattern, text)
            assert len(mentions) > 20
            assert set(mentions) == {level or ""}
        notes = text[text.index("How priors are related") : text.index('id="summary"')]
        assert notes.count("Was trained on what it is judged by.") == 1
        assert notes.count("Knows photos &lt; pixels.") == 1

    def test_a_judge_that_a_prior_was_trained_with_is_marked(self, text):
        notes = text[text.index("How priors are related") : text.index('id="summary"')]
        assert (
            notes.count("The judge MobileNetV1 is a network that the prior of inver")
            == 1
        )
        (heads,) = re.findall(r'id="summary".*?<thead>(.*?)</thead>', text, re.DOTALL)
        marked = re.findall(
            r'>([^<]*)</a> <span class="badge">trained inverter</span>', heads
        )
        assert marked == [
            "nearest photo (MobileNetV1)",
            "rank of the class (MobileNetV1)",
        ]

    def test_verdicts_come_with_their_reasons_and_the_rule(self, text):
        part = text[text.index('id="verdicts"') : text.index('id="summary"')]

        assert "mostly the &lt;i&gt;prior&lt;/i&gt;" in part
        assert "<li>Its gain is 0.5 [0.4, 0.6].</li>" in part
        assert "A gain whose interval holds 0 is the prior&#39;s." in part

    def test_failures_and_dead_units_are_listed(self, text):
        (head, row) = cells(text, 'id="failed"', 'id="provenance"')

        assert head == ["Unit", "Method", "Seed", "Error"]
        assert row[0] == FAILED[0]
        assert row[2:] == [
            "1",
            "ResourceExhausted: &lt;img src=x onerror=alert(1)&gt; &amp; more",
        ]
        stuck = text[
            text.index("was zero in every step (dead unit)") : text.index(
                'id="provenance"'
            )
        ]
        assert re.findall(r"<li>(.*?),", stuck) == [STUCK[0]]
        assert text.count('<div class="missing">failed</div>') == 1

    def test_missing_parts_are_stated_or_left_out(self, tmp_path):
        results = comparison(tmp_path, 8, UNITS[:1], METHODS[:1], 1)
        results |= {key: [] for key in ("rows", "summary", "differences", "judges")}
        results |= {key: {} for key in ("curves", "photos", "provenance", "settings")}
        text = report_page.write(results, tmp_path).read_text()

        assert ">1 method rendered the same 1 unit, with 1 seed each." in text
        assert "Pictures were evaluated as saved, in 8 bits.</p>" in text
        assert "There are no verdicts." in text
        assert "There are no paired differences." in text
        assert Page(text).all("article", id="about-relative")  # defined nevertheless
        assert (tmp_path / "results.csv").read_text() == "unit,method,seed,score\n"

    def test_the_absence_of_failures_is_stated(self, tmp_path):
        results = comparison(tmp_path, 8, UNITS[:1], METHODS[:2], 1)
        text = report_page.write(results, tmp_path).read_text()

        assert "Nothing failed." in text
        assert "No unit was dead: every picture had a gradient." in text

    def test_colours_have_enough_contrast_with_the_background(self, text):
        roots = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
        assert len(roots) == 2  # light and dark
        for root in roots:
            colours = dict(re.findall(r"--([\w]+): (#\w{6})", root))
            paper = colours.pop("paper")
            card = colours.pop("card")
            for name, colour in colours.items():
                if name == "line":  # a thin line between rows
                    continue
                for ground in (paper, card):
                    assert contrast(colour, ground) > 4.5, name


def contrast(first, second):
    """Return the contrast ratio of the Web Content Accessibility Guidelines."""

    def luminance(colour):
        parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(
            parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4
        )
        return linear @ [0.2126, 0.7152, 0.0722] + 0.05

    low, high = sorted([luminance(first), luminance(second)])
    return high / low


def test_the_contrast_of_black_and_white_is_21():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


class TestTables:
    def test_the_summary_gives_median_quartiles_and_interval(self, text, results):
        rows = {r[0]: r for r in cells(text, 'id="summary"', 'id="differences"')}
        (entry,) = (
            e
            for e in results["summary"]
            if e["method"] == "fourier" and e["measure"] == "relative"
        )

        assert rows["● fourier"][1] == (
            f"{entry['median']:.3g} {entry['q1']:.3g} to {entry['q3']:.3g} "
            f"[{entry['low']:.3g}, {entry['high']:.3g}]"
        )
        rank = rows["● fourier"][list(MEASURES).index("rank@MobileNetV1") + 1]
        assert rank.endswith("no interval 2 of 6 units")

    def test_missing_numbers_of_a_summary_are_left_out(self, text):
        rows = {r[0]: r for r in cells(text, 'id="summary"', 'id="differences"')}

        assert rows["● fourier"][-1] == "0.01 no interval"

    def test_methods_are_grouped_by_kind_in_a_fixed_order(self, text):
        firsts = [r[0] for r in cells(text, 'id="summary"', 'id="differences"')]

        assert [f for f in firsts if f[0] not in "●■◆▲★"] == [
            "Method",
            "Baselines",
            "Methods",
            "Ablations",
            "Controls",
            "Ceilings",
        ]
        assert firsts.index("Baselines") + 1 == firsts.index("■ random samples")
        assert firsts.index("Controls") + 1 == firsts.index(
            "▲ fourier, shuffled weights control of fourier"
        )

    def test_differences_say_which_is_better(self, text, results):
        rows = cells(text, 'id="differences"', 'id="plots"')
        nearest = text[text.index('aria-label="Differences in nearest photo') :]
        nearest = {tuple(r[:2]): r for r in cells(nearest, "<thead>", "</table>")}
        badge = "same network"

        assert len([r for r in rows if r[0] == "First"]) == 6
        higher = {tuple(r[:2]): r for r in rows[: rows.index(rows[0], 1)]}
        pair = ("● fourier", f"● inverter {badge}")
        assert higher[pair][-1] == "● fourier"  # scores are higher
        assert nearest[pair][-1] == f"● inverter {badge}"  # distances lower
        (difference,) = (
            p
            for p in results["differences"]
            if (p["first"], p["second"], p["measure"])
            == ("fourier", "inverter", "relative")
        )
        assert higher[pair][2:4] == [
            f"{difference['mean']:.3g}",
            f"[{difference['low']:.3g}, {difference['high']:.3g}]",
        ]

    def test_rows_hold_all_numbers(self, text, results):
        head, *rows = cells(text, 'id="rows"', 'id="definitions"')

        assert len(rows) == len(results["rows"]) == 162
        assert [re.sub(" Sort by.*", "", h) for h in head] == [
            *("Unit", "Method", "Kind", "Seed", "score", "of the best photo"),
            *("gain over samples", "nearest photo (MobileNetV1)"),
            *("rank of the class (MobileNetV1)", "slope of the spectrum"),
            *("saturated pixels", "seconds", "steps", "forward passes", "clip rate"),
            "Note",
        ]
        for row, result in zip(rows, results["rows"]):
            assert row[3:6] == [str(result["seed"])] + [
                number(result[key]) for key in ("score", "relative")
            ]
        values = re.findall(r'<td class="value" data-value="([^"]*)"', text)
        expected = [repr(r["relative"]) for r in results["rows"] if r["score"]]
        assert [v for v in values[1::11] if v] == expected


def pair(first, second, mean, distinct=True, name="m"):
    ends = (mean - 0.1, mean + 0.1) if distinct else (mean - 9, mean + 9)
    return {"measure": name, "first": first, "second": second, "mean": mean} | {
        "low": ends[0],
        "high": ends[1],
        "distinct": distinct,
    }


@pytest.mark.parametrize(
    ("better", "pairs", "expected"),
    [
        (
            "higher",
            [("a", "b", 1, True), ("a", "c", 1, True), ("b", "c", 1, True)],
            "a",
        ),
        ("lower", [("a", "b", 1, True), ("a", "c", 1, True), ("b", "c", 1, True)], "c"),
        # b differs distinctly from neither, so it is among the best.
        (
            "higher",
            [("a", "b", 1, False), ("a", "c", 2, True), ("b", "c", 1, False)],
            "ab",
        ),
        (
            "higher",
            [("a", "b", 1, False), ("a", "c", 2, False), ("b", "c", 1, False)],
            "",
        ),
        (
            "neither",
            [("a", "b", 1, True), ("a", "c", 1, True), ("b", "c", 1, True)],
            "",
        ),
        # A method that was never compared is not among the best.
        ("higher", [("b", "c", -1, True)], "c"),
        # Other kinds do not count, however good they are.
        ("higher", [("a", "b", 1, True), ("a", "photos", -3, True)], "a"),
    ],
)
def test_the_best_set_needs_a_distinct_difference(better, pairs, expected):
    results = {
        "measures": {"m": {"better": better}},
        "methods": [
            *({"name": name, "kind": "method"} for name in "abc"),
            {"name": "photos", "kind": "ceiling"},
        ],
        "differences": [pair(*p) for p in pairs] + [pair("c", "a", 5, name="other")],
    }

    assert formatting.best_methods(results, "m") == set(expected)


def test_a_difference_without_an_interval_makes_no_best_set():
    results = {
        "measures": {"m": {"better": "higher"}},
        "methods": [{"name": name, "kind": "method"} for name in "ab"],
        "differences": [pair("a", "b", 1) | {"low": None, "high": None}],
    }

    assert formatting.best_methods(results, "m") == set()
    (table,) = formatting.difference_tables(results)
    assert table["lines"][0]["bar"] is None


def test_bars_share_the_scale_of_their_measure():
    results = {
        "measures": {"m": {"better": "higher"}},
        "differences": [pair("a", "b", -0.4), pair("a", "c", 0.1)],
    }
    results["differences"][0]["low"] = -1.0

    first, second = (
        line["bar"] for line in formatting.difference_tables(results)[0]["lines"]
    )

    assert first == pytest.approx({"left": 0, "width": 35, "mean": 30})
    assert second == pytest.approx({"left": 50, "width": 10, "mean": 55})


def test_references_are_a_table_of_kinds_by_judges(results, text):
    table = formatting.reference_table(results)
    assert table["keys"] == {"nearest@MobileNetV1": 1.15, "rank@MobileNetV1": None}
    assert [line["name"] for line in table["lines"]] == [
        *("photos", "grey pictures", "blurred photos")
    ]
    photos, _, blurred = (line["cells"] for line in table["lines"])
    assert [cell["mean"] for cell in photos] == [1.0, 0.9]
    assert (blurred[0]["high"], blurred[1]) == (1.4, {})
    part = text[text.index("What judges call near photos") : text.index('id="summary"')]
    assert part.count('<span class="value">') == 3 + 1
    assert "[0.97, 1.02]" in part
    assert ">none<" in part


def test_the_units_that_a_unit_is_compared_with_are_named(text):
    start = text.index('id="unit-1">fire8:20')
    part = text[start : text.index('id="unit-2"')]
    assert "Compared with the pictures of a/b:3, a:b-3, fire10:2.</p>" in part


class TestPictures:
    def test_all_pictures_of_the_results_are_embedded(self, page, results):
        rows = [row for row in results["rows"] if row["picture"]]
        starts = [row for row in results["rows"] if row["start"]]
        photos = sum(map(len, results["photos"].values()))

        assert len(page.all("img")) == len(rows) + len(starts) + photos
        assert (len(rows), len(starts), photos) == (161, 36, 24)
        assert all(image["alt"] for image in page.all("img"))

    def test_a_picture_matches_its_alternative_text(self, page, results, folder):
        by_alt = {image["alt"]: image["src"] for image in page.all("img")}
        for row in results["rows"][3:160:40]:
            alt = (
                f"{row['unit']} by {row['method']}, seed {row['seed']}, "
                f"of the best photo: {number(row['relative'])}"
            )
            data = base64.b64decode(by_alt[alt].partition(",")[2])
            with Image.open(io.BytesIO(data)) as image:
                embedded = np.asarray(image.convert("RGB"), float) / 255
            saved = images.read(folder / row["picture"])
            assert embedded.shape == saved.shape
            # WebP is lossy and halves the resolution of colour: compare block means.
            coarse = [
                p.mean(-1).reshape(6, 8, 6, 8).mean((1, 3)) for p in (embedded, saved)
            ]
            np.testing.assert_allclose(*coarse, atol=0.02)

    def test_large_pictures_are_scaled_down_and_keep_their_shape(self, tmp_path, rng):
        images.to_pil(waves(rng, 300, 451, -2)).save(tmp_path / "a.png")
        images.to_pil(waves(rng, 31, 57, -2)).save(tmp_path / "b.png")

        embedded = pictures.embed_pictures(tmp_path, ["a.png", "b.png"])

        assert (embedded["a.png"].width, embedded["a.png"].height) == (224, 149)
        assert (embedded["b.png"].width, embedded["b.png"].height) == (57, 31)

    def test_all_pictures_shrink_together_if_they_exceed_the_limit(self, tmp_path, rng):
        for name, slope in (("noise.png", 0), ("smooth.png", -4)):
            images.to_pil(waves(rng, 240, 240, slope)).save(tmp_path / name)
        names = ["noise.png", "smooth.png"]
        length = {}
        for side in (224, 176, 128):
            embedded = pictures.embed_pictures(
                tmp_path, names, limit=length.get("limit", 1e9)
            )
            assert {p.width for p in embedded.values()} == {side}
            length["limit"] = sum(len(p.uri) for p in embedded.values()) - 1
        embedded = pictures.embed_pictures(tmp_path, names, limit=1)
        assert {p.width for p in embedded.values()} == {128}

    def test_the_seed_of_the_lowest_score_is_marked(self, page, text, results):
        lowest = {}
        for row in results["rows"]:
            if row["score"] is not None:
                key = (row["unit"], row["method"])
                lowest[key] = min(lowest.get(key, row), row, key=lambda r: r["score"])

        marked = re.findall(
            r'<figure class="lowest">\n<button[^>]*data-row="row-(\d+)"', text
        )

        marked_rows = [results["rows"][int(n) - 1] for n in marked]
        assert len(marked_rows) == len(UNITS) * len(METHODS)
        for row in marked_rows:
            assert row["score"] == lowest[row["unit"], row["method"]]["score"]

    def test_one_seed_has_no_lowest(self, tmp_path):
        results = comparison(tmp_path, 8, UNITS[:1], METHODS[:2], 1)

        assert 'class="lowest"' not in report_page.write(results, tmp_path).read_text()

    def test_a_missing_picture_is_named(self, tmp_path):
        results = comparison(tmp_path, 8, UNITS[:1], METHODS[:1], 1)
        (tmp_path / results["rows"][0]["picture"]).unlink()

        with pytest.raises(FileNotFoundError, match=r"0-0\.png', to which the results"):
            report_page.write(results, tmp_path)
        assert not (tmp_path / "report.html").exists()

    @pytest.mark.parametrize("name", ["../secret.png", "/etc/secret.png"])
    def test_a_picture_outside_of_the_folder_is_refused(self, tmp_path, name):
        results = comparison(tmp_path / "in", 8, UNITS[:1], METHODS[:1], 1)
        Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
        results["photos"][UNITS[0][0]] = [name]

        with pytest.raises(ValueError, match="which is outside of their folder"):
            report_page.write(results, tmp_path / "in")


class TestPlots:
    def figures(self, results):
        methods = report_page._methods(results)
        return {t: figure for t, figure, _ in plots._figures(results, methods)}

    def test_there_is_a_plot_for_each_comparison_of_numbers(self, results):
        assert list(self.figures(results)) == [
            "score against naturalness: nearest photo (MobileNetV1)",
            "score against cost",
            "path similarity",
            "of the best photo",
            "gain over samples",
            "nearest photo (MobileNetV1)",
            "rank of the class (MobileNetV1)",
            "saturated pixels",
            "diversity",
            'KID (J"2<)',
        ]

    def test_intervals_are_those_of_the_summary(self, results):
        (axes,) = self.figures(results)["of the best photo"].axes
        entries = {
            e["method"]: e for e in results["summary"] if e["measure"] == "relative"
        }
        names = [label.get_text() for label in axes.get_yticklabels()]
        assert names[:3] == ["random samples", "best of 64", "fourier"]
        for place, name in enumerate(names[:5]):
            line, point = axes.lines[2 * place : 2 * place + 2]
            entry = entries[name]
            assert list(line.get_xdata()) == [entry["low"], entry["high"]]
            assert list(point.get_xdata()) == [entry["median"]]
            assert list(point.get_ydata()) == [place]

    def test_references_are_lines_in_the_plot_of_the_distance(self, results):
        (axes,) = self.figures(results)["nearest photo (MobileNetV1)"].axes
        upright = [x for x, _ in (line.get_data() for line in axes.lines)]
        drawn = [x[0] for x in upright if len(x) == 2 and x[0] == x[1]]
        assert drawn == [1.0, 1.3, 1.15]  # grey pictures have no value
        texts = {text.get_text(): text for text in axes.texts}
        assert list(texts) == ["photos", "threshold", "blurred photos"]
        places = [
            axes.transData.transform((text.xy[0], 0))[0] + text.get_position()[0]
            for text in texts.values()
        ]
        assert np.diff(places).min() > 14.9
        other = self.figures(results)["of the best photo"].axes[0]
        assert not other.texts

    def test_markers_without_an_interval_are_hollow(self, results):
        (axes,) = self.figures(results)['KID (J"2<)'].axes

        assert len(axes.lines) == len(METHODS)
        assert {line.get_markerfacecolor() for line in axes.lines} == {"#040404"}

    def test_points_are_at_their_medians(self, results):
        (axes,) = self.figures(results)["score against cost"].axes
        seconds = np.median(
            [r["seconds"] for r in results["rows"] if r["method"] == 'a/b"c']
        )
        (median,) = (
            e["median"]
            for e in results["summary"]
            if (e["method"], e["measure"]) == (QUOTED, "relative")
        )
        points = [
            (line.get_xdata()[0], line.get_ydata()[0])
            for line in axes.lines
            if line.get_marker() == "o"
        ]
        assert points[1] == pytest.approx((seconds, median))
        assert axes.get_xscale() == "log"  # from 10 to 350 seconds

    def test_a_curve_has_a_gap_where_a_value_is_missing(self, results):
        (axes,) = self.figures(results)["path similarity"].axes
        values = results["curves"]["path_similarity"]["methods"][QUOTED]

        np.testing.assert_array_equal(
            axes.lines[1].get_ydata(), [np.nan if v is None else v for v in values]
        )
        names = {note.xy[1]: note.get_text() for note in axes.texts}
        heights = sorted(names)
        assert set(names.values()) == {
            *("fourier", QUOTED, "inverter"),
            '<script>alert("x")<…',
        }
        assert min(np.diff(heights)) > 0.02  # they do not overlap

    def test_plots_use_the_colours_of_the_page(self, page):
        part = [attrs for tag, attrs in page.tags if tag in ("path", "use", "text")]
        colours = {
            colour
            for attrs in part
            for colour in re.findall(
                r"(?:fill|stroke): ([^;]+)", attrs.get("style", "")
            )
        }

        assert colours <= {
            *("none", "currentColor", "var(--muted)", "var(--line)", "var(--paper)"),
            *(f"var(--c{n})" for n in range(1, 5)),
        }
        assert {f"var(--c{n})" for n in range(1, 5)} <= colours
        assert len(page.all("svg", role="img")) == 10
        assert not page.all("style", type="text/css")  # would apply to the whole page

    def test_names_that_look_like_a_colour_or_an_id_are_unchanged(self, tmp_path):
        odd = '#0000c1 id="x" $a_1$ \N{SNOWMAN}'
        results = comparison(tmp_path, 8, UNITS[:2], [(odd[:19], *METHODS[0][1:])], 1)
        text = report_page.write(results, tmp_path).read_text()

        assert '>#0000c1 id="x" $a_1</text>' in text

    def test_letters_that_the_font_lacks_cause_no_warning(self, tmp_path):
        name = "\N{CJK UNIFIED IDEOGRAPH-6C34}\N{SNOWMAN WITHOUT SNOW}"
        results = comparison(tmp_path, 8, UNITS[:2], [(name, *METHODS[0][1:])], 1)

        assert f">{name}</text>" in report_page.write(results, tmp_path).read_text(
            "utf-8"
        )


class TestFiles:
    def test_the_table_contains_the_rows_with_all_digits(self, folder, results):
        with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))

        assert list(rows[0]) == [
            *("unit", "method", "seed", "score", "relative", "gain"),
            *("nearest@MobileNetV1", "rank@MobileNetV1", "spectrum_slope"),
            *("saturation", "picture", "start", "error", "seconds", "steps"),
            *("forward_passes", "clip_rate", "stuck"),
        ]
        assert len(rows) == len(results["rows"])
        for row, result in zip(rows, results["rows"]):
            for key, text in row.items():
                value = result.get(key)
                if value is None:
                    assert text == ""
                elif isinstance(value, bool):
                    assert text == str(value).lower()
                else:
                    assert type(value)(text) == value

    def test_values_that_are_not_finite_are_empty(self, tmp_path):
        results = comparison(tmp_path, 8, UNITS[:1], METHODS[:1], 1)
        results["rows"][0]["relative"] = float("nan")
        text = report_page.write(results, tmp_path).read_text()

        with (tmp_path / "results.csv").open(newline="") as file:
            assert next(csv.DictReader(file))["relative"] == ""
        assert "nan" not in re.sub(r"base64,[^\"]*", "", text).lower().split()

    def test_each_unit_has_a_sheet_with_its_pictures(self, folder, results):
        assert sorted(p.name for p in (folder / "sheets").iterdir()) == [
            "a-b-3.png",
            "a.b-3.png",
            "fire10-2.png",
            "fire8-20.png",
            "logit-_.td__b_lion.png",
            "logit-goldfish.png",
        ]
        sheet = images.read(folder / "sheets" / "fire8-20.png")
        # The photos and the starts take two lines each, every method takes one.
        assert sheet.shape == ((2 + 2 + 9) * (48 + 26) + 8, 3 * (48 + 8) + 8, 3)
        first = images.read(folder / results["rows"][0]["picture"])  # by fourier
        top = 8 + (2 + 2 + 2) * 74
        np.testing.assert_array_equal(sheet[top : top + 48, 8:56], first)

    def test_a_failed_picture_leaves_a_gap_in_the_sheet(self, folder, results):
        sheet = images.read(folder / "sheets" / "a.b-3.png")
        top = 8 + (2 + 2 + 2) * 74
        (last,) = (
            r["picture"]
            for r in results["rows"]
            if (r["unit"], r["method"], r["seed"]) == ("a/b:3", "fourier", 2)
        )
        assert (sheet[top : top + 48, 64:112] == 1).all()
        assert (
            sheet[top + 48 : top + 66, 64:112].min() < 0.2
        )  # the caption says that it failed
        np.testing.assert_array_equal(
            sheet[top : top + 48, 120:168], images.read(folder / last)
        )

    def test_writing_again_gives_the_same_files(self, folder, results, tmp_path):
        shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
        report_page.write(results, tmp_path)

        files = ["report.html", "results.csv", *(folder / "sheets").iterdir()]
        for file in files:
            name = str(file).removeprefix(f"{folder}/")
            assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
        kept = {p.name for p in tmp_path.iterdir()}
        assert kept == {p.name for p in folder.iterdir()}  # and no incomplete file

    @pytest.mark.slow
    def test_a_large_comparison_stays_below_15_megabytes(self, tmp_path):
        units = [(f"fire8:{n}", f"fire8:{n}", None) for n in range(24)]
        comparison(tmp_path, 224, units, METHODS[:6], 3)

        path = report_page.write(rows.read(tmp_path), tmp_path)

        assert 5e6 < path.stat().st_size < 15e6


class TestReading:
    def test_a_folder_without_results_is_an_error(self, tmp_path):
        for path in (tmp_path, tmp_path / "none"):
            with pytest.raises(
                FileNotFoundError, match=r"There is no '.*results.json'"
            ):
                rows.read(path)

    @pytest.mark.parametrize("share", [0, 0.5, 0.999])
    def test_a_truncated_file_is_an_error_of_one_line(self, folder, tmp_path, share):
        data = (folder / "results.json").read_bytes()
        (tmp_path / "results.json").write_bytes(data[: int(share * len(data))])

        with pytest.raises(
            ValueError, match="is truncated or not valid JSON"
        ) as caught:
            rows.read(tmp_path)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"rows": None}, "expected 'rows', of type list. Received: None"),
            ({"measures": []}, "expected 'measures', of type dict"),
            (
                {"methods": [{"name": "x", "kind": "trick"}]},
                "gives 'x' the kind 'trick'",
            ),
            ({"rows": [{"unit": "x"}]}, "names 'x' as unit in 'rows'"),
            ({"verdicts": [{"method": "y"}]}, "names 'y' as method in 'verdicts'"),
            ({"differences": [{"second": "z"}]}, "'z' as second in 'differences'"),
            ({"summary": [{"measure": "m"}]}, "'m' as measure in 'summary'"),
        ],
    )
    def test_results_that_contradict_themselves_are_refused(
        self, results, tmp_path, changed, message
    ):
        (tmp_path / "results.json").write_text(json.dumps(results | changed))

        with pytest.raises(ValueError, match=re.escape(message)):
            rows.read(tmp_path)
        with pytest.raises(ValueError, match=re.escape(message)):
            report_page.write(results | changed, tmp_path)

    def test_another_json_file_is_refused(self, tmp_path):
        (tmp_path / "results.json").write_text("[1, 2]")

        with pytest.raises(
            ValueError, match=r"results of a comparison:.*Received: \[1, 2\]"
        ):
            rows.read(tmp_path)

    @pytest.mark.parametrize("module", ["jinja2", "matplotlib"])
    def test_a_missing_extra_is_named(self, monkeypatch, results, tmp_path, module):
        monkeypatch.setitem(sys.modules, module, None)

        with pytest.raises(
            RuntimeError, match=f"{module}.*pip install jinja2 matplotlib"
        ):
            report_page.write(results, tmp_path)
        assert not list(tmp_path.iterdir())

    def test_reading_needs_neither_tensorflow_nor_the_extra(self, folder):
        code = (
            f"import sys; from tfviz.report import rows; rows.read({str(folder)!r}); "
            "print({'tensorflow', 'jinja2', 'matplotlib'} & set(sys.modules))"
        )
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == "set()"


class TestText:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (0.12345, "0.123"),
            (-0.5, "\N{MINUS SIGN}0.5"),
            (0, "0"),
            (-0.0, "0"),
            (999.6, "1,000"),
            (1234.5, "1,234"),
            (123456, "123,456"),
            (1e-7, "1e\N{MINUS SIGN}07"),
            (None, "\N{EN DASH}"),
            (float("inf"), "\N{EN DASH}"),
        ],
    )
    def test_numbers_have_three_significant_digits(self, value, expected):
        assert number(value) == expected

    def test_links_end_before_the_sentence_does(self):
        assert str(prose("See (https://arxiv.org/abs/2306.04719), `a<b`.")) == (
            'See (<a href="https://arxiv.org/abs/2306.04719" rel="noreferrer">'
            "https://arxiv.org/abs/2306.04719</a>), <code>a&lt;b</code>."
        )

    def test_only_links_to_pages_are_links(self):
        assert "<a" not in prose('javascript:alert(1) <a href="x"> ftp://a')
        assert prose('https://a.b/"onclick="c').startswith('<a href="https://a.b/" ')


@pytest.fixture
def open_page(browser, folder):
    """Open the page, and collect its requests, console messages and errors."""
    contexts = []

    def call(width=1280, **options):
        size = {"width": width, "height": 800}
        contexts.append(browser.new_context(viewport=size, **options))
        view = contexts[-1].new_page()
        view.messages = []
        view.on("console", lambda message: view.messages.append(message.text))
        view.on("pageerror", lambda error: view.messages.append(str(error)))
        view.on("request", lambda request: view.messages.append(request.url[:30]))
        view.goto((folder / "report.html").as_uri())
        return view

    yield call
    for context in contexts:
        context.close()


def visible(view, selector):
    return view.locator(selector).filter(visible=True).count()


class TestInTheBrowser:
    def test_it_requests_nothing_but_itself(self, open_page, folder):
        view = open_page()
        view.wait_for_load_state("networkidle")

        requests = [n for n in view.messages if not n.startswith("data:")]
        assert requests == [(folder / "report.html").as_uri()[:30]]

    def test_all_pictures_are_shown(self, open_page):
        view = open_page()
        view.evaluate("Promise.all([...document.images].map((i) => i.decode()))")
        widths = view.evaluate("[...document.images].map((i) => i.naturalWidth)")

        assert len(widths) == 161 + 36 + 24
        assert min(widths) == 48
        shown = view.locator(".zoom img").first.bounding_box()
        assert 108 <= shown["width"] <= 130

    def test_columns_sort_by_keyboard(self, open_page, results):
        view = open_page()
        head = view.locator("#rows th").filter(has_text="of the best photo")
        scores = [r["relative"] for r in results["rows"] if r["relative"] is not None]

        def column():
            values = view.evaluate(
                "[...document.querySelectorAll('#rows tbody tr')]"
                ".map((row) => row.cells[5].dataset.value)"
            )
            assert values[-1] == ""  # the failed row comes last in both directions
            return [float(value) for value in values[:-1]]

        head.locator("button").focus()
        view.keyboard.press("Enter")
        assert column() == sorted(scores)
        assert head.get_attribute("aria-sort") == "ascending"
        view.keyboard.press("Space")
        assert column() == sorted(scores, reverse=True)
        assert head.get_attribute("aria-sort") == "descending"
        view.locator("#rows th").first.locator("button").press("Enter")
        assert head.get_attribute("aria-sort") == "none"
        units = view.locator("#rows tbody th").all_text_contents()
        # Numbers within names count: fire8 comes before fire10.
        assert list(dict.fromkeys(units)) == [
            *("a:b-3", "a/b:3", "fire8:20", "fire10:2"),
            *("logit:</td><b>lion", "logit:goldfish"),
        ]

    def test_a_filter_hides_pictures_and_rows(self, open_page):
        view = open_page()
        rows, groups = "#rows tbody tr", ".unit .group[data-method]"
        assert (visible(view, rows), visible(view, groups)) == (162, 54)

        view.get_by_label("Unit", exact=True).fill("FIRE")
        assert (visible(view, rows), visible(view, groups)) == (54, 18)
        assert visible(view, ".unit") == 2
        view.get_by_label("Method", exact=True).select_option(SCRIPT)
        assert (visible(view, rows), visible(view, groups)) == (6, 2)
        assert view.locator("#shown").inner_text() == "2 of 6 units, 6 of 162 rows"
        view.get_by_label("Kind", exact=True).select_option("baselines")
        assert visible(view, rows) == 0  # the method is no baseline
        view.get_by_label("Method", exact=True).select_option("all")
        view.get_by_label("Unit", exact=True).fill("")
        assert (visible(view, rows), visible(view, groups)) == (36, 12)

    def test_a_picture_opens_by_keyboard_with_its_numbers(self, open_page, results):
        view = open_page()
        button = view.locator('button[data-row="row-4"]')
        button.press("Enter")

        dialog = view.get_by_role("dialog")
        row = results["rows"][3]
        assert dialog.locator("h2").inner_text() == (
            f"{row['unit']}: {row['method']}, seed {row['seed']}"
        )
        facts = dict(
            zip(
                dialog.locator("dt").all_inner_texts(),
                dialog.locator("dd").all_inner_texts(),
            )
        )
        assert facts["of the best photo"] == number(row["relative"])
        assert len(facts) == 11
        large = dialog.locator("img").bounding_box()["width"]
        assert large > 2 * button.bounding_box()["width"]
        view.keyboard.press("Escape")
        assert not dialog.is_visible()
        assert button.evaluate("(b) => b === document.activeElement")

    @pytest.mark.parametrize("width", [360, 768, 1280])
    def test_nothing_exceeds_the_width_of_the_page(self, open_page, width):
        view = open_page(width)

        assert view.evaluate("document.documentElement.scrollWidth") == width
        # Wider tables scroll in a box that can be reached with the keyboard.
        boxes = view.locator(".scroll").evaluate_all(
            "(boxes) => boxes.map((b) => [b.scrollWidth > b.clientWidth, b.tabIndex])"
        )
        assert all(index == 0 for _, index in boxes)
        assert any(wide for wide, _ in boxes)
        view.locator('button[data-row="row-4"]').press("Enter")
        assert view.evaluate("document.querySelector('dialog').scrollWidth") <= width
        assert view.evaluate("document.documentElement.scrollWidth") == width

    def test_the_page_and_the_plots_follow_the_colour_scheme(self, open_page):
        styles = {}
        for scheme in ("light", "dark"):
            view = open_page(color_scheme=scheme)
            styles[scheme] = view.evaluate(
                "['body', '.plots text', '.plots use'].map((s) => {"
                " const style = getComputedStyle(document.querySelector(s));"
                " return [style.backgroundColor, style.color, style.stroke]})"
            )
        light, dark = styles["light"], styles["dark"]
        assert (light[0][0], dark[0][0]) == ("rgb(252, 251, 248)", "rgb(22, 22, 20)")
        assert light[1][1] != dark[1][1]
        assert light[2][2] != dark[2][2]

    def test_the_first_tab_skips_to_the_results(self, open_page):
        view = open_page()
        view.keyboard.press("Tab")
        link = view.locator(":focus")
        assert link.inner_text() == "Skip to the results"
        assert link.bounding_box()["x"] >= 0
        outline = link.evaluate("(e) => getComputedStyle(e).outlineStyle")
        assert outline == "solid"

    def test_it_is_readable_without_scripts(self, open_page):
        view = open_page(java_script_enabled=False)

        assert visible(view, "#rows tbody tr") == 162
        assert visible(view, ".unit img") == 161 + 36 + 24
        assert visible(view, ".filter") == 0  # controls that need scripts are hidden
        assert visible(view, ".sort") == 0

    def test_printing_shows_all_tables_whole(self, open_page):
        view = open_page()
        assert visible(view, "#differences tbody tr") == 36
        view.evaluate("dispatchEvent(new Event('beforeprint'))")
        view.emulate_media(media="print", color_scheme="dark")

        assert visible(view, "#differences tbody tr") > 200
        assert visible(view, ".filter") == 0
        style = view.evaluate("getComputedStyle(document.body).backgroundColor")
        assert style == "rgb(252, 251, 248)"
        overflow = view.locator(".scroll").first.evaluate(
            "(e) => getComputedStyle(e).overflowX"
        )
        assert overflow == "visible"
