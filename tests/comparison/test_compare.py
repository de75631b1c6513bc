"""Comparisons of methods on a network whose units are known: colours."""

import gc
import io
import json
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from support import noted_runners

import tfviz
from tfviz import Contender, compare, images, measures, params, priors, transforms
from tfviz.comparison import compare as _compare
from tfviz.comparison.baselines import draw_random_pictures
from tfviz.comparison.summary import interval
from tfviz.comparison.storage import make_job
from tfviz.comparison.methods import (
    ablations,
    on_random_weights,
    random_networks,
    randomized,
)
from tfviz.comparison.records import Unit
from tfviz.optimize import runner
from tfviz.optimize.job import Job
from tfviz.params._base import Param
from tfviz.optimize.batch import picture_seed
from tfviz.report.rows import read
from tfviz.comparison.evaluation import UnitScorer
from tfviz.judges import Judge

HEIGHT, WIDTH, STEPS, SEEDS, COUNT = 32, 40, 8, 2, 60
# The cost of a picture: one start, and steps that cost 3.2 forward passes each.
PASSES = 27
# How much each unit likes red, green and blue.
LIKES = np.float32(
    [
        [2, -1, -1],
        [-1, 2, -1],
        [-1, -1, 2],
        [1, 1, -2],
        [-2, 1, 1],
        [1, -2, 1],
    ]
)
# What the units of another network like.
OTHER_LIKES = np.roll(-LIKES, 1, axis=1)
UNITS = [f"known:{k}" for k in range(len(LIKES))]
UNSPECIFIC = "pictures not shown to be specific to their units, "


def field(seed):
    """A picture of a few soft colours, as a photo would be."""
    rng = np.random.default_rng(seed)
    tone = rng.uniform(0.2, 0.8, 3) + 0.25 * rng.normal(size=(4, 5, 3))
    return np.kron(tone.clip(0, 1), np.ones((8, 8, 1))).astype(np.float32)


PHOTOS = np.stack([field(seed) for seed in range(COUNT)])
OTHERS = np.stack([field(COUNT + seed) for seed in range(40)])


def build_known(classes=4):
    """The network whose units like known colours."""
    layers = keras.layers
    convolution = layers.Conv2D(len(LIKES), 1, use_bias=False, name="known")
    model = keras.Sequential(
        [
            keras.Input((HEIGHT, WIDTH, 3)),
            convolution,
            layers.ReLU(name="on"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(classes, name="head"),
        ],
        name="colours",
    )
    convolution.set_weights([LIKES.T[None, None]])
    return model


@pytest.fixture(scope="module")
def adapter():
    return tfviz.adapt(build_known(), (0, 1), labels=["ant", "bee", "cat", "cat"])


def colours(pictures):
    """Features of a judge: the colours of 4 x 5 fields."""
    fields = np.reshape(pictures, (len(pictures), 4, 8, 5, 8, 3)).mean(axis=(2, 4))
    return fields.reshape(len(pictures), -1).astype(np.float32) - 0.5


def brightest(pictures):
    """Scores of a judge: four classes, of which green is the second."""
    means = pictures.mean(axis=(1, 2))
    return np.concatenate([means, means[:, :1] - 1], axis=1).astype(np.float32)


EYE = Judge("eye", brightest, colours, 4, {"kind": "made for a test"})


def pixels(**changes):
    return replace(params.pixels(HEIGHT, WIDTH), **changes)


def chosen(pictures):
    """A param that shows some of the pictures as they are."""

    def init(seeds):
        return {"image": tf.gather(pictures, tf.abs(seeds[:, 0]) % len(pictures))}

    return Param(init, lambda latents: latents["image"], (HEIGHT, WIDTH, 3))


def trained(**networks):
    """What a decoder was trained with: networks, by their names."""
    return {"networks": networks, "data": [], "about": "Trained in a test."}


def still(param, **settings):
    """A contender that does not move."""
    return Contender(param, transforms.none(), learning_rate=1e-9, **settings)


def moving(param=None, **settings):
    return Contender(
        param or pixels(), transforms.none(), learning_rate=3.0, **settings
    )


def run(adapter, units, methods, folder=None, **changes):
    settings = {"images": PHOTOS, "judges": [EYE], "steps": STEPS, "seeds": SEEDS}
    return compare(adapter, units, methods, folder=folder, **(settings | changes))


@pytest.fixture(scope="module")
def found(adapter, tmp_path_factory):
    learned = pixels(trained=trained(colours=adapter.fingerprint()))
    noise = np.random.default_rng(5).uniform(size=(50, HEIGHT, WIDTH, 3))
    methods = {
        "pixels": moving(),
        "its/twin": moving(),
        "shuffled": moving(),
        "noise": still(chosen(noise.astype(np.float32))),
        "real": still(chosen(OTHERS)),
        "learned": moving(learned),
        "elsewhere": still(
            pixels(trained=trained(other="0")), kind="control", of="real"
        ),
    }
    folder = tmp_path_factory.mktemp("found")
    first = run(adapter, UNITS, methods, folder)
    # Each unit gets the pictures of the next one, and the last those of the first.
    files = [folder / row["picture"] for row in of(first.results, "shuffled")]
    contents = [file.read_bytes() for file in files]
    for place, file in enumerate(files):
        file.write_bytes(contents[(place + SEEDS) % len(files)])
    return run(adapter, UNITS, methods, folder)


def of(results, method, unit=None):
    return [
        row
        for row in results["rows"]
        if row["method"] == method and unit in (None, row["unit"])
    ]


def mean(results, method, measure):
    return np.mean([row[measure] for row in of(results, method)])


def without(row, *names):
    return {name: value for name, value in row.items() if name not in names}


def shown(folder, row):
    return images.read(folder / row["picture"])


class TestPlantedTruths:
    def test_scores_are_of_the_saved_pictures(self, found):
        known = images.to_floats(images.to_bytes(PHOTOS)).mean(axis=(1, 2)) @ LIKES.T
        for row in found.table():
            if row["picture"] is None:  # those of other units have no files
                continue
            place = UNITS.index(row["unit"])
            score = LIKES[place] @ shown(found.folder, row).mean(axis=(0, 1))
            photos = known[:, place]
            assert row["score"] == pytest.approx(score, abs=5e-5)
            assert row["relative"] == pytest.approx(score / photos.max(), abs=1e-4)
            share = (photos < row["score"]).mean() * 100
            assert row["percentile"] == pytest.approx(share, abs=100 / COUNT)

    def test_what_matches_ranks_above_noise(self, found):
        results = found.results
        for measure in (
            "relative", "percentile", "two_alternative@eye", "gain", "specificity@eye"
        ):  # fmt: skip
            assert mean(results, "pixels", measure) > mean(results, "noise", measure)
        assert mean(results, "pixels", "relative") > 1
        assert mean(results, "pixels", "percentile") == 100
        assert mean(results, "pixels", "two_alternative@eye") > 0.95
        assert abs(mean(results, "noise", "two_alternative@eye") - 0.5) < 0.2
        assert mean(results, "pixels", "robustness") > 0.5
        measure = "nearest_ratio@eye"
        assert mean(results, "noise", measure) > mean(results, "real", measure) + 0.05
        assert mean(results, "noise", "spectrum_slope") > -0.7
        assert mean(results, "real", "spectrum_slope") < -1

    def test_equal_methods_have_equal_rows_and_no_difference(self, found):
        own = ("method", "picture", "start", "seconds")
        for kind in ("", ": other units", ": random", ": best random"):
            first, second = (
                [without(row, *own) for row in of(found.results, name + kind)]
                for name in ("pixels", "its/twin")
            )
            assert first == second
            assert len(first) == len(UNITS) * SEEDS
        between = [
            d
            for d in found.results["differences"]
            if {d["first"], d["second"]} == {"pixels", "its/twin"}
        ]
        assert {d["measure"] for d in between} >= {"relative", "nearest_ratio@eye"}
        for d in between:
            assert (d["mean"], d["distinct"]) == (0, False)
            if d["units"] == len(UNITS):
                assert (d["low"], d["high"]) == (0, 0)

    def test_differences_are_paired(self, found):
        (between,) = (
            d
            for d in found.results["differences"]
            if (d["measure"], d["first"], d["second"]) == ("relative", "pixels", "real")
        )
        values = [
            np.mean([r["relative"] for r in of(found.results, "pixels", unit)])
            - np.mean([r["relative"] for r in of(found.results, "real", unit)])
            for unit in UNITS
        ]
        expected = interval(values)
        assert between["mean"] == pytest.approx(expected.value)
        assert between["low"] == pytest.approx(expected.low)
        assert between["distinct"]

    def test_held_out_photos_are_as_near_as_photos(self, found):
        values = [
            np.mean([r["nearest_ratio@eye"] for r in of(found.results, "real", unit)])
            for unit in UNITS
        ]
        told = interval(values)
        assert told.low < 1 < told.high
        assert found.verdicts()["real"].startswith(UNSPECIFIC)

    def test_pictures_of_the_wrong_unit_fail_and_those_of_the_right_one_pass(
        self, found
    ):
        """Each unit gets the picture of another: these are no random pictures."""
        told = found.verdicts()
        assert told["pixels"].startswith("pictures specific to their units, ")
        assert told["shuffled"].startswith(UNSPECIFIC)
        assert told["noise"].startswith(UNSPECIFIC)
        for measure in ("gain", "specificity@eye"):
            assert mean(found.results, "pixels", measure) > 0.5
            assert mean(found.results, "shuffled", measure) < -0.2

    def test_the_gain_is_over_the_pictures_of_all_other_units(self, found):
        """All units are in one layer, so that they are one group."""
        assert {unit["group"] for unit in found.results["units"]} == {0}
        photos = images.to_floats(images.to_bytes(PHOTOS))
        best = (photos.mean(axis=(1, 2)) @ LIKES.T).max(axis=0)
        made = {
            (row["unit"], row["seed"]): shown(found.folder, row)
            for row in of(found.results, "pixels")
        }
        others = of(found.results, "pixels: other units")
        assert len(others) == len(UNITS) * SEEDS
        for row, other in zip(of(found.results, "pixels"), others, strict=True):
            assert (row["unit"], row["seed"]) == (other["unit"], other["seed"])
            place = UNITS.index(row["unit"])
            scores = [
                made[unit, row["seed"]].mean(axis=(0, 1)) @ LIKES[place] / best[place]
                for unit in UNITS
            ]
            own = scores.pop(place)
            assert other["relative"] == pytest.approx(np.mean(scores), abs=1e-4)
            assert row["gain"] == pytest.approx(own - np.mean(scores), abs=1e-4)
            assert "gain" not in other
            assert other["picture"] is other["start"] is other["error"] is None

    def test_specificity_is_over_the_pictures_of_all_other_units(self, found):
        photos = images.to_floats(images.to_bytes(PHOTOS))
        scores = photos.mean(axis=(1, 2)) @ LIKES.T
        features = {
            unit: colours(
                np.stack(
                    [shown(found.folder, r) for r in of(found.results, "pixels", unit)]
                )
            )
            for unit in UNITS
        }
        for place, unit in enumerate(UNITS):
            values = [
                measures.two_alternative(
                    features[other], colours(photos), scores[:, place]
                )
                for other in UNITS
            ]
            own = values.pop(place)
            for row in of(found.results, "pixels", unit):
                assert row["two_alternative@eye"] == pytest.approx(own)
                above = own - np.mean(values)
                assert row["specificity@eye"] == pytest.approx(above)
            for row in of(found.results, "pixels: other units", unit):
                assert row["two_alternative@eye"] == pytest.approx(np.mean(values))

    def test_references_are_in_the_results(self, found):
        (entry,) = found.results["references"]
        assert entry["measure"] == "nearest_ratio@eye"
        assert [kind["name"] for kind in entry["pictures"]] == [
            *("photos", "grey pictures", "white noise", "blurred photos")
        ]
        # A judge that sees the colours of large fields takes blurred photos for photos.
        assert entry["threshold"] is None
        assert all("no judge has a threshold" in v for v in found.verdicts().values())

    def test_the_search_gain_is_over_the_best_random_picture_of_equal_cost(self, found):
        param, count = pixels(), PASSES
        draws = np.int32(
            [
                picture_seed(0, f"random {s}", k)
                for s in range(SEEDS)
                for k in range(count)
            ]
        )
        made = np.asarray(param.decode(param.init(tf.constant(draws))))
        made = images.to_floats(images.to_bytes(made))
        scores = (made.mean(axis=(1, 2)) @ LIKES.T).reshape(SEEDS, count, -1)
        best = scores.max(axis=1)
        photos = images.to_floats(images.to_bytes(PHOTOS)).mean(axis=(1, 2)) @ LIKES.T
        for place, unit in enumerate(UNITS):
            top = photos[:, place].max()
            rows = of(found.results, "pixels", unit)
            beside = of(found.results, "pixels: best random", unit)
            for seed, (row, other) in enumerate(zip(rows, beside)):
                assert other["score"] == pytest.approx(best[seed, place], abs=3e-5)
                gain = (row["score"] - best[seed, place]) / top
                assert row["search_gain"] == pytest.approx(gain, abs=1e-4)
        random = of(found.results, "pixels: random")
        assert all("search_gain" not in row for row in random)

    def test_costs_are_recorded(self, found):
        for row in of(found.results, "pixels"):
            assert (row["steps"], row["forward_passes"]) == (STEPS, PASSES)
            assert row["seconds"] > 0
        (best,) = (
            m for m in found.results["methods"] if m["name"] == "pixels: best random"
        )
        assert (best["kind"], best["of"]) == ("baseline", "pixels")
        assert "as many random pictures" in best["description"]

    def test_the_best_photos_are_a_baseline(self, found):
        scores = PHOTOS.mean(axis=(1, 2)) @ LIKES.T
        for place, unit in enumerate(UNITS):
            order = np.argsort(-scores[:, place])
            rows = of(found.results, "photos", unit)
            assert rows[0]["relative"] == pytest.approx(1)
            for row, photo in zip(rows, order):
                np.testing.assert_allclose(
                    shown(found.folder, row), PHOTOS[photo], atol=0.6 / 255
                )
            files = found.results["photos"][unit]
            assert len(files) == 9
            assert files[0] == rows[0]["picture"]

    def test_photos_are_judged_without_themselves(self, found):
        """Guards against distances of a set to itself, which are too small."""
        rows = of(found.results, "photos")
        # Some are the best for several units, and count for the first of them.
        own, units = {}, {}
        for row in rows:
            picture = shown(found.folder, row)
            own.setdefault(picture.tobytes(), picture)
            units.setdefault(picture.tobytes(), UNITS.index(row["unit"]))
        assert len(own) < len(rows)
        photos = images.to_floats(images.to_bytes(PHOTOS))
        places = [n for n, p in enumerate(photos) if p.tobytes() in own]
        others = np.delete(photos, places, axis=0)
        expected, _ = measures.kid_spread(
            colours(np.stack(list(own.values()))),
            colours(others),
            size=len(set(units.values())) // 2,
            units=list(units.values()),
            draws=20,
        )
        (kid,) = (
            s
            for s in found.results["summary"]
            if (s["method"], s["measure"]) == ("photos", "kid_spread@eye")
        )
        assert kid["mean"] == kid["median"] == pytest.approx(expected, abs=1e-6)
        assert (kid["low"], kid["units"]) == (None, len(UNITS))
        assert mean(found.results, "photos", "nearest_ratio@eye") > 0.7

    def test_how_priors_are_related_to_the_network_is_marked(self, found):
        levels = {m["name"]: m["kinship"] for m in found.results["methods"]}
        kinds = ("other units", "random", "best random", "photos")
        beside = {f"learned: {kind}" for kind in kinds}
        same = {name for name, level in levels.items() if level == "same network"}
        assert same == {"learned", *beside}
        assert levels["elsewhere"] == "other network"
        assert levels["pixels"] is levels["photos"] is None
        for part in ("rows", "summary"):
            for entry in found.results[part]:
                assert entry["kinship"] == levels[entry["method"]]
        because = {v["method"]: v["because"] for v in found.results["verdicts"]}
        assert "trained with this network" in because["learned"][-1]
        assert not any("trained" in reason for reason in because["pixels"])
        assert list(found.results["kinship"]) == ["same network", "other network"]
        assert not any(m["related_judges"] for m in found.results["methods"])

    def test_a_judge_that_a_prior_was_trained_with_is_marked(self, adapter, tmp_path):
        judge = replace(EYE, spec={"hash": "abc"})
        learned = pixels(trained=trained(other="abc"))
        methods = {"learned": still(learned), "pixels": still(pixels())}
        found = run(adapter, UNITS[:2], methods, tmp_path, steps=1, judges=[judge])

        related = {m["name"]: m["related_judges"] for m in found.results["methods"]}
        assert related["learned"] == related["learned: photos"] == ["eye"]
        assert related["pixels"] == related["photos"] == []
        because = {v["method"]: v["because"] for v in found.results["verdicts"]}
        assert because["learned"][-1].startswith(
            "Judge eye is a network that the prior"
        )

    def test_what_a_prior_makes_of_the_photos_is_a_ceiling(self, found):
        (ceiling,) = (m for m in found.results["methods"] if m["kind"] == "ceiling")
        assert (ceiling["name"], ceiling["of"]) == ("learned: photos", "learned")
        rows, photos = (of(found.results, n) for n in ("learned: photos", "photos"))
        for made, photo in zip(rows, photos, strict=True):
            assert made["picture"] != photo["picture"]
            np.testing.assert_allclose(
                shown(found.folder, made), shown(found.folder, photo), atol=2 / 255
            )

    def test_controls_have_no_verdict_and_no_baselines(self, found):
        names = [m["name"] for m in found.results["methods"]]
        assert "elsewhere" not in found.verdicts()
        assert "elsewhere: random" not in names
        assert len(of(found.results, "elsewhere")) == len(UNITS) * SEEDS

    def test_starts_are_pictures_before_the_first_step(self, found):
        for row in of(found.results, "real"):
            start = images.read(found.folder / row["start"])
            np.testing.assert_array_equal(start, shown(found.folder, row))
        for row in of(found.results, "pixels"):
            start = images.read(found.folder / row["start"])
            assert start.std() < 0.1 < shown(found.folder, row).std()

    def test_without_classes_judges_tell_no_rank(self, found):
        assert not any("rank@eye" in row for row in found.table())


class TestResults:
    def test_the_file_is_strict_json_of_what_is_returned(self, found):
        def refuse(name):
            raise AssertionError(name)

        text = (found.folder / "results.json").read_text()
        assert json.loads(text, parse_constant=refuse) == found.results
        assert read(found.folder) == found.results

    def test_each_measure_is_defined(self, found):
        defined = set(found.results["measures"])
        told = {s["measure"] for s in found.results["summary"]}
        assert told <= defined
        assert {
            "kid_spread@eye",
            "kid_floor@eye",
            "relative",
            "nearest_ratio@eye",
        } <= told
        assert found.results["measures"]["kid_spread@eye"]["judge"] == "eye"

    def test_all_files_that_are_named_are_there_and_no_others(self, found):
        named = {
            row[key]
            for row in found.table()
            for key in ("picture", "start")
            if row[key]
        }
        named |= {f for files in found.results["photos"].values() for f in files}
        files = {
            file.relative_to(found.folder).as_posix()
            for file in (found.folder / "pictures").rglob("*")
            if file.is_file()
        }
        assert files == named

    def test_a_report_is_written_beside_it_or_elsewhere(self, found, tmp_path):
        pytest.importorskip("jinja2")
        page = found.save(tmp_path / "copy")

        assert page == tmp_path / "copy" / "report.html"
        assert "its/twin" in page.read_text()
        lines = (tmp_path / "copy" / "results.csv").read_text().splitlines()
        assert len(lines) == 1 + len(found.table())
        assert read(tmp_path / "copy") == found.results
        assert found.save(tmp_path / "copy" / ".." / "copy").exists()

    def test_a_temporary_folder_is_gone_with_the_comparison(self, adapter):
        held = run(adapter, "known:0", {"pixels": moving()}, steps=1, seeds=1)
        folder = held.folder
        assert (folder / "results.json").exists()
        del held
        gc.collect()
        assert not folder.exists()


def test_other_units_change_only_what_compares_with_them(found, adapter, tmp_path):
    alone = run(adapter, "known:3", {"pixels": moving()}, tmp_path / "out")
    depends = ("seconds", "gain", "specificity@eye")
    rows = [without(row, "seconds") for row in alone.table()]
    expected = [
        without(row, *depends)
        for row in found.table()
        if row["unit"] == "known:3"
        and row["method"].split(":")[0] in ("pixels", "photos")
        and row["method"] != "pixels: other units"
    ]

    assert rows == expected
    assert len(rows) == 4 * SEEDS


def test_the_best_of_some_random_pictures_is_that_of_the_first_of_more(adapter):
    """Units for which more steps were taken do not change what others are held to."""
    units = [tfviz.objectives.channel("known", [unit]) for unit in range(2)]
    job = make_job(adapter, moving(), units, 2, steps=1, seed=0, stop=[])
    scorer = UnitScorer(adapter, units)
    told = [Unit(f"known:{unit}", f"known:{unit}", None) for unit in range(2)]

    def scores(counts):
        return draw_random_pictures(job, scorer, told, np.array(counts), 0).scores

    more = scores([[9, 9], [9, 9]])
    mixed = scores([[2, 9], [9, 1]])
    np.testing.assert_array_equal(mixed[[0, 1], [1, 0]], more[[0, 1], [1, 0]])
    np.testing.assert_array_equal(mixed[0, 0], scores([[2, 2], [2, 2]])[0, 0])
    assert (mixed <= more).all()
    assert (mixed < more).any()


def test_the_network_itself_is_no_judge(adapter):
    own = replace(EYE, spec={"hash": adapter.fingerprint()})
    with pytest.raises(ValueError, match="'eye' is the network that is visualized"):
        run(adapter, UNITS[:1], {"pixels": moving()}, judges=[own])


class TestResume:
    def test_an_interrupted_comparison_goes_on(self, adapter, tmp_path):
        methods = {"pixels": moving(), "fourier": moving(params.fourier(HEIGHT, WIDTH))}

        def pressed(at):
            if at.done == SEEDS and at.step == 0:
                raise KeyboardInterrupt

        whole = run(adapter, UNITS[:2], methods, tmp_path / "whole")
        with pytest.raises(KeyboardInterrupt):
            run(adapter, UNITS[:2], methods, tmp_path / "cut", callbacks=[pressed])
        assert not (tmp_path / "cut" / "results.json").exists()
        files = sorted((tmp_path / "cut" / "pictures").rglob("*.png"))
        assert len(files) == 2 * SEEDS
        # As if the second seed had been lost, too.
        lost = files.pop(-2)
        assert lost.name == "pixels-1.png"
        lost.unlink()
        times = [(f.stat().st_ino, f.stat().st_mtime_ns) for f in files]
        told = []
        again = run(
            adapter, UNITS[:2], methods, tmp_path / "cut", callbacks=[told.append]
        )

        files.remove(lost.with_name("pixels-1.start.png"))
        times.pop()
        assert [(f.stat().st_ino, f.stat().st_mtime_ns) for f in files] == times
        assert [without(row, "seconds") for row in again.table()] == [
            without(row, "seconds") for row in whole.table()
        ]
        for part in ("summary", "differences", "verdicts", "curves", "settings"):
            assert again.results[part] == whole.results[part]
        assert {at.total for at in told} == {8}
        assert {at.steps for at in told} == {STEPS}
        assert [
            (at.stage, at.method, at.unit, at.done) for at in told if at.step == 0
        ] == [
            ("rendering", "pixels", "known:0", 1),
            ("rendering", "pixels", "known:1", 2),
            ("rendering", "fourier", "known:0", 4),
            ("rendering", "fourier", "known:1", 6),
            ("judging", "photos", "", 0),
            ("judging", "pixels", "", 0),
            ("judging", "fourier", "", 4),
            ("judging", "", "", 8),
        ]
        rendering = [at.step for at in told if at.stage == "rendering"]
        assert rendering == 4 * [0, STEPS]

    @pytest.mark.slow
    def test_the_order_of_methods_does_not_matter(self, adapter, tmp_path):
        """Guards against files that are taken for those of a method of like name."""
        methods = {"a b": moving(), "a_b": still(chosen(OTHERS))}
        first = run(adapter, "known:0", methods, tmp_path, steps=1, seeds=1)
        turned = dict(reversed(methods.items()))
        second = run(adapter, "known:0", turned, tmp_path, steps=1, seeds=1)

        for name in methods:
            assert of(first.results, name) == of(second.results, name)


class TestFailures:
    @pytest.mark.parametrize(
        "kind", [pytest.param("traced", marks=pytest.mark.slow), "nan"]
    )
    def test_a_method_that_fails_is_told_and_tried_again(self, adapter, tmp_path, kind):
        broken = [True]
        plain = pixels()

        def decode(latents):
            made = plain.decode(latents)
            if not broken:
                return made
            if kind == "traced":
                raise RuntimeError("no such layer\nin the generator")
            return tf.where(made > 0.6, np.nan, made)

        methods = {"bad": moving(pixels(decode=decode)), "good": moving()}
        failed = run(adapter, UNITS[:2], methods, tmp_path)

        rows = of(failed.results, "bad")
        said = {"traced": "RuntimeError: no such layer", "nan": "FloatingPointError"}
        assert len(rows) == 2 * SEEDS
        for row in rows:
            assert row["error"].startswith(said[kind])
            assert "\n" not in row["error"]
            assert row["score"] is row["picture"] is None
        assert failed.verdicts()["bad"] == "no verdict: it has no pictures"
        assert [r["error"] for r in of(failed.results, "good")] == [None] * 4
        assert "bad: random" not in {m["name"] for m in failed.results["methods"]}
        assert read(tmp_path) == failed.results
        broken.clear()
        # A param of its own, as the compiled step of the other one is kept.
        methods["bad"] = moving(pixels(decode=decode))
        mended = run(adapter, UNITS[:2], methods, tmp_path)
        assert [r["error"] for r in of(mended.results, "bad")] == [None] * 4
        assert of(mended.results, "good") == of(failed.results, "good")

    def test_a_unit_that_fails_leaves_the_others(self, adapter, tmp_path, monkeypatch):
        original = _compare.render_unit

        def failing(job, cells, unit, note_step):
            if unit == 1:
                raise FloatingPointError("not finite")
            return original(job, cells, unit, note_step)

        monkeypatch.setattr(_compare, "render_unit", failing)
        failed = run(adapter, UNITS[:3], {"pixels": moving()}, tmp_path)

        errors = [row["error"] for row in of(failed.results, "pixels")]
        expected = [None, "FloatingPointError: not finite", None]
        assert errors == np.repeat(expected, SEEDS).tolist()

    def test_photos_that_cannot_be_remade_are_told_and_no_more(self, adapter):
        def encode(images):
            raise ValueError("the network is away")

        learned = pixels(trained={}, encode=encode)
        found = run(adapter, UNITS[:1], {"learned": moving(learned)})

        (told,) = [m for m in found.results["methods"] if m["kind"] == "ceiling"]
        assert told["description"].endswith("There are none: the network is away")
        assert of(found.results, "learned: photos") == []
        assert of(found.results, "learned")[0]["error"] is None

    def test_an_error_of_a_callback_is_no_fault_of_a_method(self, adapter, tmp_path):
        def failing(at):
            if at.step:
                raise RuntimeError(f"at step {at.step}")

        with pytest.raises(RuntimeError, match="at step 1"):
            run(
                adapter,
                "known:0",
                {"pixels": moving()},
                tmp_path,
                steps=1,
                seeds=1,
                callbacks=[failing],
            )

    def test_a_full_disk_is_no_fault_of_a_method(self, adapter, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("tfviz.comparison.storage.images.save", full)
        with pytest.raises(OSError, match="No space"):
            run(adapter, "known:0", {"pixels": moving()}, tmp_path, steps=1, seeds=1)


TWICE = np.repeat(PHOTOS[:10], 2, axis=0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": 0}, "`seeds` must be"),
        ({"steps": 0}, "`steps` must be"),
        ({"steps": 4, "seconds": 1}, "either `steps` or `seconds`: leave out one"),
        ({"steps": None, "seconds": 0}, "`seconds` must be above 0"),
        ({"units": "knwn:0"}, "Did you mean 'known'"),
        ({"units": "known:99"}, "99"),
        ({"units": ["known:1", "known:0-2"]}, "given twice: known:1. Leave out"),
        ({"units": tfviz.objectives.channel("known", 1) + tfviz.objectives.diversity("known", 2)},  # noqa: E501
         "groups of 2"),
        ({"methods": {"bad": Contender(pixels(), kind="baseline")}}, "one of method"),
        ({"methods": {"bad": Contender(pixels(), of="gone")}}, "'gone', which does"),
        ({"methods": {"bad": Contender(pixels(), of="bad")}}, "'bad', which does not"),
        ({"methods": {"photos": pixels()}}, "cannot be called 'photos'"),
        ({"methods": {"": pixels()}}, "cannot be called ''"),
        ({"methods": {"a": pixels(), "a: random": pixels()}}, "called 'a: random'"),
        ({"methods": {"bad": params.pixels(8, 8, 1)}}, "Method 'bad': .* 3 channels"),
        ({"methods": {"bad": Contender(pixels(), model=build_known(3))}},
         "other classes"),
        ({"images": PHOTOS[:19]}, "needs at least 20 photos.*Received: 19"),
        ({"images": [*PHOTOS[:30], "no.png"]}, "no.png"),
        ({"images": 300 * PHOTOS}, "floats in \\[0, 1\\]"),
        ({"images": TWICE}, "Leave out copies"),
        ({"judges": [EYE, EYE]}, "a name of its own.*eye, eye"),
        ({"units": "logit:1", "judges": [replace(EYE, classes=3)]}, "has 3 classes"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Input range unknown")
def test_what_is_wrong_is_refused_before_any_file_is_written(
    adapter, tmp_path, changes, said
):
    settings = {"units": "known:0", "methods": {"pixels": pixels()}} | changes
    units, methods = settings.pop("units"), settings.pop("methods")
    with pytest.raises((ValueError, FileNotFoundError), match=said) as raised:
        run(adapter, units, methods, tmp_path / "out", **settings)

    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("methods", [[pixels()], {}, {"bad": "fourier"}, pixels()])
def test_methods_must_be_named_params(adapter, methods):
    with pytest.raises(TypeError, match="[Pp]aram"):
        run(adapter, "known:0", methods)


class TestFolders:
    @pytest.fixture(scope="class")
    def folder(self, adapter, tmp_path_factory):
        folder = tmp_path_factory.mktemp("small")
        run(adapter, "known:0", {"pixels": moving()}, folder, steps=1, seeds=1)
        return folder

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"steps": 2}, "methods.pixels.steps is 1 there and 2"),
            ({"seed": 1}, "methods.pixels.seed is 0 there and 1"),
            ({"methods": {"other": moving()}}, "methods.other"),
            ({"units": "known:1"}, r'units is \["known:0"\] there and \["known:1"\]'),
        ],
    )
    def test_that_of_another_comparison_is_refused(
        self, adapter, folder, changes, said
    ):
        settings = {"steps": 1, "seeds": 1, "methods": {"pixels": moving()}} | changes
        units, methods = settings.pop("units", "known:0"), settings.pop("methods")
        with pytest.raises(ValueError, match=f"another comparison: {said}.*Choose"):
            run(adapter, units, methods, folder, **settings)

    def test_other_photos_are_no_other_pictures(self, adapter, folder):
        again = run(
            adapter,
            "known:0",
            {"pixels": moving()},
            folder,
            steps=1,
            seeds=1,
            images=OTHERS,
        )
        assert again.results["settings"]["photos"] == len(OTHERS)

    def test_one_that_is_cut_off_is_refused(self, adapter, folder):
        claim = folder / "comparison.json"
        text = claim.read_text()
        claim.write_text(text[: len(text) // 2])
        with pytest.raises(ValueError, match="cut off, or is not JSON. Choose another"):
            run(adapter, "known:0", {"pixels": moving()}, folder, steps=1, seeds=1)


def test_robustness_is_not_measured_under_transforms_of_the_method(adapter):
    own = transforms.Transform(lambda images, seeds: images)
    methods = {
        "plain": moving(description="Pixels."),
        "turned": replace(moving(), transforms=transforms.rotate([0, 20])),
        "own": replace(moving(), transforms=own),
    }
    results = run(adapter, "known:0", methods, seeds=1).results
    said = {m["name"]: (m.get("overlap"), m["description"]) for m in results["methods"]}

    assert said["plain"] == ("none", "Pixels.")
    assert said["turned"][0] == "some"
    assert said["turned"][1].startswith("Its robustness is not measured")
    assert said["own"][0] == "unknown"
    assert "transforms that are not described" in said["own"][1]
    measured = {m for m in methods if "robustness" in of(results, m)[0]}
    assert measured == {"plain", "own"}


def test_seconds_end_a_picture(adapter):
    held = run(
        adapter, "known:0", {"pixels": moving()}, steps=None, seconds=1e-6, seeds=1
    )
    (row,) = of(held.results, "pixels")

    assert (row["steps"], row["forward_passes"]) == (4, 14)  # one block
    assert held.results["settings"]["steps"] is None
    assert held.results["settings"]["seconds"] == 1e-6


def test_each_layer_is_compiled_once_whatever_the_order_of_units(adapter, monkeypatch):
    monkeypatch.setattr(runner, "KEPT", 1)
    runner.cache_of(adapter).clear()
    made = noted_runners(monkeypatch)
    units = ["known:0", "logit:ant", "known:1", "logit:bee", "known:2"]
    held = run(adapter, units, {"pixels": moving()}, steps=2, seeds=1)

    assert [each.traces for each in made] == [1, 1]
    assert [row["unit"] for row in of(held.results, "pixels")] == units


def test_starts_that_were_drawn_count_as_forward_passes(adapter):
    methods = {"drawn": moving(candidates=5)}
    held = run(adapter, "known:0", methods, steps=3, seeds=1)
    (row,) = of(held.results, "drawn")

    assert (row["steps"], row["forward_passes"]) == (3, 15)


def test_classes_are_asked_of_judges_that_have_them(adapter):
    """A class is its name and number; features-only judges are asked for features."""
    only = replace(EYE, name="features", scores=None, classes=None)
    held = run(
        adapter,
        ["logit:bee", "logit:2-3"],
        {"real": still(chosen(OTHERS))},
        judges=[EYE, only],
        steps=1,
    )
    told = [(u["name"], u["class"]) for u in held.results["units"]]
    assert told == [("logit:bee", 1), ("logit:cat (logit:2)", 2),
                    ("logit:cat (logit:3)", 3)]  # fmt: skip
    for row in of(held.results, "real"):
        scores = brightest(shown(held.folder, row)[None])[0]
        target = {"b": 1, "2": 2, "3": 3}[row["unit"].strip(")")[-1].replace("e", "b")]
        rank = 1 + np.sum(np.delete(scores, target) >= scores[target])
        assert row["rank@eye"] == rank
        assert row["top1@eye"] == (rank == 1)
        assert "rank@features" not in row
        assert row["nearest_ratio@features"] == row["nearest_ratio@eye"]


class TestRandomPictures:
    def test_there_may_be_more_of_them_than_are_made_at_once(self, adapter):
        unit = tfviz.objectives.channel("known", 0)
        job = Job(adapter, unit, pixels())
        scorer = UnitScorer(adapter, [unit])
        told = [Unit("known:0", "known:0", None)]
        counts = np.full((len(told), 19), 3)
        some = draw_random_pictures(job, scorer, told, counts, 7)

        assert len(some.random) == len(some.best) == 19
        assert len({e.picture.tobytes() for e in some.random}) == 19
        seen = np.stack([e.seen for e in some.best])
        np.testing.assert_allclose(scorer(seen)[:, 0], some.scores[0], atol=1e-6)
        other = draw_random_pictures(job, scorer, told, counts, 8)
        assert not np.array_equal(other.random[0].picture, some.random[0].picture)


class TestScorer:
    UNITS = ("conv_b:3", "-conv_a:2", "logit:bee", "conv_b:1@2,3", "prob:0")

    @pytest.fixture(scope="class")
    def loose(self):
        """The toy network for pictures of any size."""
        keras.utils.set_random_seed(7)
        layers = keras.layers
        model = keras.Sequential(
            [
                keras.Input((None, None, 3)),
                layers.Conv2D(8, 3, 2, activation="relu", name="conv_a"),
                layers.Conv2D(12, 3, 2, activation="relu", name="conv_b"),
                layers.GlobalAveragePooling2D(name="pool"),
                layers.Dense(5, activation="softmax", name="head"),
            ]
        )
        return tfviz.adapt(model, (-1, 1), labels=["ant", "bee", "cat", "dog", "eel"])

    @pytest.mark.parametrize(
        ("n", "size"), [(1, (32, 32)), (16, (32, 32)), (17, (31, 45)), (33, (31, 45))]
    )
    def test_it_agrees_with_the_activations(self, loose, rng, n, size):
        units = tfviz.objectives.parse("conv_b:3", loose) + [
            unit
            for text in self.UNITS[1:]
            for unit in tfviz.objectives.parse(text, loose)
        ]
        seen = rng.uniform(size=(n, *size, 3)).astype(np.float32)
        found = UnitScorer(loose, units)(seen)

        # The least of a rectified unit is nothing to see: a minus is before the ReLU.
        paths = [unit.bound(loose, size).layers[0] for unit in units]
        forward = tf.function(lambda images: loose.forward(images, set(paths)))
        values = {path: found.numpy() for path, found in forward(seen).items()}
        logits = loose.logits(seen).numpy()
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        expected = [
            values[paths[0]][..., 3].mean(axis=(1, 2)),
            -values[paths[1]][..., 2].mean(axis=(1, 2)),
            logits[:, 1],
            values[paths[3]][:, 2, 3, 1],
            (exponentials / exponentials.sum(axis=1, keepdims=True))[:, 0],
        ]
        assert found.shape == (n, len(units))
        np.testing.assert_allclose(found, np.stack(expected, axis=1), atol=2e-5)

    def test_penalties_are_left_out(self, loose, rng):
        unit = tfviz.objectives.channel("conv_b", 3)
        heavy = unit - 100 * tfviz.objectives.total_variation()
        seen = rng.uniform(size=(3, 32, 32, 3)).astype(np.float32)
        found = UnitScorer(loose, [unit, heavy])(seen)

        np.testing.assert_array_equal(found[:, 0], found[:, 1])

    def test_one_picture_does_not_depend_on_others(self, loose, rng):
        scorer = UnitScorer(loose, tfviz.objectives.parse("conv_b:0-3", loose))
        seen = rng.uniform(size=(20, 32, 32, 3)).astype(np.float32)
        seeds = np.int32([[k, 1] for k in range(20)])
        moved = transforms.chain(transforms.jitter(4), transforms.noise(0.1))
        together = scorer(seen, moved, seeds)
        alone = scorer(seen[18:19], moved, seeds[18:19])

        np.testing.assert_allclose(together[18:19], alone, rtol=1e-5)
        assert not np.allclose(together, scorer(seen), rtol=1e-3)


def build_normalized():
    keras.utils.set_random_seed(2)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(32, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(name="relu"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(40, name="head"),
        ]
    )
    model.get_layer("norm").moving_mean.assign(np.linspace(-1, 1, 32))
    return model


class TestControls:
    @pytest.mark.parametrize("frozen", [False, True])
    def test_weights_are_drawn_anew_and_statistics_are_kept(self, frozen):
        model = build_normalized()
        model.trainable = not frozen
        before = [np.array(w) for w in model.get_weights()]
        labels = [f"class{k}" for k in range(40)]
        control = randomized(tfviz.adapt(model, (-1, 1), labels=labels))

        for own, kept in zip(model.get_weights(), before):
            np.testing.assert_array_equal(own, kept)
        assert model.trainable is not frozen
        other = control.model
        norm = other.get_layer("norm")
        np.testing.assert_array_equal(
            norm.moving_mean, np.linspace(-1, 1, 32).astype(np.float32)
        )
        for layer in ("conv", "head"):
            own, drawn_anew = (
                np.array(m.get_layer(layer).kernel).ravel() for m in (model, other)
            )
            error = own.std() / np.sqrt(own.size)
            assert abs(np.corrcoef(own, drawn_anew)[0, 1]) < 4 / np.sqrt(own.size)
            assert drawn_anew.mean() == pytest.approx(own.mean(), abs=4 * error)
            assert drawn_anew.std() == pytest.approx(own.std(), rel=0.15)
        assert control.preprocess.name == "-1,1"
        assert control.labels.names == tuple(labels)
        assert control.fingerprint() == randomized(model_again(model)).fingerprint()
        seeded = randomized(model_again(model), seed=1)
        assert seeded.fingerprint() != control.fingerprint()

    def test_a_network_that_cannot_be_copied_is_refused(self):
        class Own(keras.Model):
            def __init__(self, width):
                super().__init__()
                self.layer = keras.layers.Conv2D(width, 3)

            def call(self, inputs):
                return keras.ops.mean(self.layer(inputs), axis=(1, 2))

        model = Own(4)
        model(np.zeros((1, 16, 16, 3), np.float32))
        with pytest.raises(ValueError, match="cannot be copied.*Contender"):
            randomized(tfviz.adapt(model, (0, 1)))

    @pytest.fixture(scope="class")
    def turned(self, adapter):
        """A comparison with a control on a network whose units like other colours."""
        model = build_known()
        model.get_layer("known").set_weights([OTHER_LIKES.T[None, None]])
        model.name = "turned"
        methods = {"pixels": moving()}
        methods["control"] = moving(
            kind="control", of="pixels", model=tfviz.adapt(model, (0, 1))
        )
        return run(adapter, ["known:0", "known:3"], methods)

    def test_a_control_is_rendered_and_scored_with_its_own_network(self, turned):
        bytes_ = images.to_floats(images.to_bytes(PHOTOS))
        photos = bytes_.mean(axis=(1, 2)) @ OTHER_LIKES.T
        draws = [
            picture_seed(0, f"random {s}", k) for s in range(2) for k in range(PASSES)
        ]
        param = pixels()
        random = np.asarray(param.decode(param.init(tf.constant(np.int32(draws)))))
        random = images.to_floats(images.to_bytes(random)).mean(axis=(1, 2))
        best = (random @ OTHER_LIKES.T).reshape(SEEDS, PASSES, -1).max(axis=1)
        for place in (0, 3):
            rows = of(turned.results, "control", f"known:{place}")
            pictures = np.stack([shown(turned.folder, row) for row in rows])
            scores = pictures.mean(axis=(1, 2)) @ OTHER_LIKES[place]
            top = np.argsort(-photos[:, place])[:9]
            for seed, (row, score) in enumerate(zip(rows, scores, strict=True)):
                relative = score / photos[:, place].max()
                gain = relative - best[seed, place] / photos[:, place].max()
                assert row["score"] == pytest.approx(score, abs=3e-5)
                assert row["relative"] == pytest.approx(relative, abs=1e-4)
                assert row["relative"] > 1
                assert row["percentile"] == 100
                assert row["search_gain"] == pytest.approx(gain, abs=1e-4)
                assert row["two_alternative@eye"] == pytest.approx(
                    measures.two_alternative(
                        colours(pictures), colours(bytes_), photos[:, place]
                    )
                )
                assert row["relative_diversity@eye"] == pytest.approx(
                    measures.relative_diversity(
                        colours(pictures), colours(bytes_[top])
                    ),
                    rel=1e-5,
                )
                assert row["scored_by"] == "turned"
        for name in ("photos", "pixels", "pixels: best random"):
            assert {r["scored_by"] for r in of(turned.results, name)} == {"colours"}

    def test_the_path_of_a_control_is_that_through_its_own_network(self, turned):
        curves = turned.results["curves"]["path_similarity"]
        assert set(curves["methods"]) >= {"pixels", "control"}
        # Both networks show their units well, each in its own pictures.
        own, other = (curves["methods"][name][0] for name in ("pixels", "control"))
        assert own > 0.5
        assert other > 0.5

    def test_a_method_has_three_controls_on_random_weights(self):
        model = tfviz.adapt(build_normalized(), (-1, 1))
        networks = random_networks(model)
        found = on_random_weights("m", Contender(pixels(), learning_rate=0.3), networks)

        assert list(found) == [f"m, random weights {draw}" for draw in (1, 2, 3)]
        assert len({c.model.fingerprint() for c in found.values()}) == 3
        for draw, control in enumerate(found.values(), 1):
            assert (control.kind, control.of) == ("control", "m")
            assert control.learning_rate == 0.3
            assert control.model.name == f"{model.name}-random-weights-{draw}"

    def test_a_method_without_each_of_its_parts(self):
        full = Contender(
            pixels(project=lambda latents: latents, penalty=lambda latents: 0.0),
            learning_rate=0.3,
        )
        found = ablations("full", full)

        assert list(found) == [
            "full without penalty",
            "full without projection",
            "full without transforms",
        ]
        assert all((c.kind, c.of) == ("ablation", "full") for c in found.values())
        assert all(c.learning_rate == 0.3 for c in found.values())
        penalty, projection, moved = found.values()
        assert penalty.param.penalty is None
        assert penalty.param.project is not None
        assert projection.param.project is None
        assert projection.param.penalty is not None
        assert moved.transforms.spec == transforms.none().spec

    def test_a_prior_of_maps_without_its_waves(self):
        prior = priors.assembled(
            {"map": priors.waves(4, 4, 3)},
            lambda values: values["map"],
            value_range=(-3, 3),
        )
        found = ablations("prior", Contender(prior))

        assert list(found) == ["prior without waves", "prior without transforms"]
        assert found["prior without waves"].param.latents["map"].white is None


def model_again(model):
    return tfviz.adapt(model, (-1, 1))


def read_photos(data, every):
    with zipfile.ZipFile(data / "imagenet-1000-samples.zip") as file:
        names = sorted(
            n for n in file.namelist() if n.lower().endswith((".jpg", ".jpeg"))
        )[::every]
        return [
            np.asarray(Image.open(io.BytesIO(file.read(name))).convert("RGB"))
            for name in names
        ]


JUDGE = "evaluators/mobilenet_v1_0.75_192_quant.tflite"


@pytest.fixture(scope="module")
def of_squeezenet(squeezenet, data):
    """Pixels without transforms, Fourier with, and that on random weights."""
    photos = read_photos(data, every=10)
    fourier = params.fourier(128, 128)
    methods = {
        "fourier": Contender(fourier),
        "adversary": Contender(params.pixels(128, 128), transforms.none()),
        "random": Contender(
            fourier, kind="control", of="fourier", model=randomized(squeezenet)
        ),
    }
    units = ["logit:goldfish", "logit:lemon", "fire5:3", "fire8:20", "fire3:7"]
    return compare(
        squeezenet,
        units,
        methods,
        images=photos,
        judges=[tfviz.judges.load(data / JUDGE)],
        steps=48,
        seeds=2,
    )


@pytest.mark.data
@pytest.mark.slow
class TestSqueezeNet:
    def test_an_adversarial_picture_deceives_the_network_alone(self, of_squeezenet):
        results = of_squeezenet.results
        judge = results["judges"][0]["name"]
        assert mean(results, "adversary", "relative") > 1
        robust = [
            mean(results, name, "robustness") for name in ("adversary", "fourier")
        ]
        assert robust[0] < 0.5 < robust[1]
        asked = [r for r in of(results, "adversary") if r["unit"].startswith("logit")]
        assert len(asked) == 4
        assert all(row[f"top5@{judge}"] == 0 for row in asked)
        assert mean(results, "adversary", f"nearest_ratio@{judge}") > 1.15
        because = {v["method"]: v["because"] for v in results["verdicts"]}
        fragile = "Other transforms than those they were made under leave"
        assert any(reason.startswith(fragile) for reason in because["adversary"])
        assert not any(reason.startswith(fragile) for reason in because["fourier"])

    def test_random_weights_show_nothing_that_the_network_looks_for(
        self, of_squeezenet, squeezenet
    ):
        results = of_squeezenet.results
        # It is excited as much, but by pictures in which no other network sees a class.
        classes = [r for r in of(results, "random") if r["unit"].startswith("logit")]
        assert min(row["relative"] for row in classes) > 2
        assert {row["scored_by"] for row in classes} == {
            f"{squeezenet.name}-random-weights-0"
        }
        judge = results["judges"][0]["name"]
        ranks = [
            np.median(
                [
                    r[f"rank@{judge}"]
                    for r in of(results, name)
                    if r["unit"].startswith("logit")
                ]
            )
            for name in ("fourier", "random")
        ]
        assert ranks[0] < ranks[1]

    def test_pictures_that_are_exchanged_between_units_fail(
        self, squeezenet, data, tmp_path
    ):
        """The same files, once for their own units and once each for another's."""
        names = ["goldfish", "lemon", "lion", "strawberry"]
        units = [f"logit:{name}" for name in names]
        units += ["fire5:3", "fire5:20", "fire8:20", "fire8:7"]
        settings = {
            "images": read_photos(data, every=16),
            "judges": [tfviz.judges.load(data / JUDGE)],
            "steps": 24,
            "seeds": 1,
            "folder": tmp_path,
        }
        methods = {"fourier": params.fourier(96, 96)}
        right = compare(squeezenet, units, methods, **settings)
        files = [tmp_path / row["picture"] for row in of(right.results, "fourier")]
        contents = [file.read_bytes() for file in files]
        # Each unit gets the picture of the next of its group, whose first is the last.
        for place, file in enumerate(files):
            file.write_bytes(contents[place // 4 * 4 + (place + 1) % 4])
        wrong = compare(squeezenet, units, methods, **settings)

        groups = [unit["group"] for unit in right.results["units"]]
        assert groups == [1, 1, 1, 1, 0, 0, 0, 0]
        assert right.verdicts()["fourier"].startswith(
            "pictures specific to their units, "
        )
        assert wrong.verdicts()["fourier"].startswith(UNSPECIFIC)
        # Random pictures would have been no baseline: the wrong pictures beat them.
        judge = right.results["judges"][0]["name"]
        measure = f"two_alternative@{judge}"
        of_wrong, of_random = (
            mean(wrong.results, name, measure)
            for name in ("fourier", "fourier: random")
        )
        assert of_wrong > of_random + 0.05
        assert mean(wrong.results, "fourier", "gain") < 0
        (entry,) = right.results["references"]
        by_name = {kind["name"]: kind["mean"] for kind in entry["pictures"]}
        assert 0.95 < by_name["photos"] < entry["threshold"] < by_name["grey pictures"]
