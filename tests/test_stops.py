import numpy as np
import pytest

import tfviz
from tfviz.optimize import job as _job
from tfviz import objectives, params, stops, transforms
from tfviz.optimize.runner import Runner, cache_of
from tfviz.stops import State

SMALL = params.fourier(32, 32)


def state(history, seconds=0.0, unit_scores=None):
    history = np.asarray(history, np.float32)
    history = history[:, None] if history.ndim == 1 else history
    return State(history, seconds, lambda: np.asarray(unit_scores))


class TestPlateau:
    rule = stops.plateau(window=4, tolerance=0.1)

    def test_a_steady_rise_goes_on(self):
        assert not self.rule.reached(state(np.arange(40.0))).any()

    def test_a_plateau_after_a_rise_stops(self):
        plateau = np.concatenate([np.arange(10.0), np.full(12, 10.0)])
        assert self.rule.reached(state(plateau)).all()

    def test_noise_about_a_plateau_is_smoothed(self):
        noise = np.tile([1.0, -1, 0.5, -0.5], 3)
        plateau = np.concatenate([np.arange(10.0), 10 + noise])
        assert self.rule.reached(state(plateau)).all()

    def test_a_dead_unit_has_no_plateau(self):
        assert not self.rule.reached(state(np.zeros(40))).any()

    def test_nothing_stops_before_three_windows(self):
        plateau = np.concatenate([np.arange(3.0), np.full(8, 3.0)])
        assert not self.rule.reached(state(plateau)).any()
        assert self.rule.reached(state([*plateau, 3.0])).all()

    def test_each_picture_is_evaluated_by_itself(self):
        both = np.stack([np.arange(40.0), np.minimum(np.arange(40.0), 10)], axis=1)
        assert self.rule.reached(state(both)).tolist() == [False, True]


def test_time_and_target():
    assert stops.seconds(2).reached(state(np.zeros((3, 2)), 2.5)).tolist() == [True] * 2
    assert not stops.seconds(2).reached(state(np.zeros((3, 2)), 1.5)).any()
    reached = stops.target(3).reached(state(np.zeros((3, 3)), 0, [2.9, 3, 4]))
    assert reached.tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: stops.plateau(window=1), "window=1"),
        (lambda: stops.plateau(tolerance=0), "tolerance=0"),
        (lambda: stops.seconds(0), "limit=0"),
        (lambda: stops.target(float("nan")), "score=nan"),
        (lambda: stops.from_spec({"name": "luck"}), "no stop rule 'luck'"),
    ],
)
def test_bad_settings_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def render(adapter, units, **options):
    options = {"steps": 64, "stop": ()} | options
    return tfviz.render(adapter, units, SMALL, transforms.none(), **options)


class TestInTheLoop:
    def test_a_picture_that_is_finished_stays_while_others_go_on(self, toy_adapter):
        whole = render(toy_adapter, "conv_b:0-3")
        goal = float(np.sort(whole.scores)[1]) * 0.9
        result = render(toy_adapter, "conv_b:0-3", stop=stops.target(goal))

        early = np.array([reason == "target" for reason in result.stopped])
        assert early.any()
        assert not early.all()
        assert (result.unit_scores[early] >= goal).all()
        assert (result.steps == np.where(early, result.steps, 64)).all()
        assert (result.steps % 16 == 0).all()
        np.testing.assert_array_equal(result.images[~early], whole.images[~early])
        for place, steps in enumerate(result.steps):
            # Equal to a rendering of just this number of steps.
            short = render(toy_adapter, "conv_b:0-3", steps=int(steps))
            np.testing.assert_array_equal(result.images[place], short.images[place])
            assert np.isfinite(result.history[:steps, place]).all()
            assert np.isnan(result.history[steps:, place]).all()

    def test_the_target_applies_to_the_untransformed_picture(self, toy_adapter):
        """Guards against comparing the score of the jittered image."""
        goal = 0.3 * float(render(toy_adapter, "conv_b:3").scores[0])
        result = tfviz.render(
            toy_adapter,
            "conv_b:3",
            SMALL,
            transforms.jitter(4),
            steps=256,
            stop=stops.target(goal),
        )
        assert result.stopped == ("target",)
        activation = toy_adapter(result.images, "conv_b")["conv_b"][..., 3]
        assert float(np.mean(activation)) >= goal
        np.testing.assert_allclose(result.scores[0], np.mean(activation), rtol=1e-5)

    def test_time_ends_a_batch(self, toy_adapter):
        result = render(toy_adapter, "conv_b:0-1", stop=stops.seconds(1e-6), steps=640)

        assert result.steps.tolist() == [4, 4]
        assert result.stopped == ("seconds", "seconds")

    def test_the_time_to_choose_a_start_counts(self, toy_adapter, monkeypatch):
        times = iter(range(0, 1000, 10))
        monkeypatch.setattr(_job.time, "monotonic", lambda: next(times))
        options = {"stop": stops.seconds(15), "steps": 640}
        plain = render(toy_adapter, "conv_b:0", **options)
        drawn = render(toy_adapter, "conv_b:0", candidates=4, **options)

        # Each reading of the clock takes ten seconds here; two measure the choice.
        assert plain.steps.tolist() == [8]
        assert drawn.steps.tolist() == [4]

    def test_time_starts_after_the_graph_is_optimized(self, toy_adapter, monkeypatch):
        """The first call optimizes it, which takes longer than many steps."""
        log, run, now = [], Runner.run, _job.time.monotonic

        def logged_run(self, first, count, *rates):
            log.append(("run", count))
            return run(self, first, count, *rates)

        def logged_now():
            log.append(("time", None))
            return now()

        before = render(toy_adapter, "conv_b:0-1", batch_size=1, steps=4)
        cache_of(toy_adapter).clear()
        monkeypatch.setattr(Runner, "run", logged_run)
        monkeypatch.setattr(_job.time, "monotonic", logged_now)
        again = render(toy_adapter, "conv_b:0-1", batch_size=1, steps=4)

        assert log[:3] == [("run", 1), ("time", None), ("run", 4)]
        assert [entry for entry in log if entry[0] == "run"] == [
            ("run", n) for n in (1, 4, 4)
        ]
        np.testing.assert_array_equal(before.images, again.images)
        alone = render(toy_adapter, "conv_b:1", batch_size=1, steps=4)
        np.testing.assert_array_equal(again.images[1:], alone.images)

    @pytest.mark.slow
    def test_the_first_of_several_rules_is_named(self, toy_adapter):
        rules = [stops.target(-1e9), stops.seconds(1e-6)]
        result = render(toy_adapter, "conv_b:0", stop=rules)

        assert result.stopped == ("target",)
        assert result.spec["stop"] == [dict(rule.spec) for rule in rules]

    @pytest.mark.slow
    def test_groups_stop_together(self, toy_adapter):
        unit = objectives.channel("conv_b", 3)
        total = unit + 0.1 * objectives.diversity("conv_b", 3)
        whole = render(toy_adapter, total)
        goal = float(np.median(whole.unit_scores))
        result = render(toy_adapter, total, stop=stops.target(goal))

        assert len(set(result.steps.tolist())) == 1

    def test_without_a_rule_all_steps_are_taken(self, toy_adapter):
        result = render(toy_adapter, "conv_b:0", steps=20)

        assert result.steps.tolist() == [20]
        assert result.stopped == (None,)
