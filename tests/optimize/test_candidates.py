from dataclasses import replace

import numpy as np
import pytest
import tfviz
import tensorflow as tf
from tfviz import params, transforms
from tfviz.optimize.step import MORE_CANDIDATES, best_start
from tfviz.optimize.optimizers import NormalizedSteps

SMALL = replace(params.pixels(32, 32), spec={})
# Starts that differ from each other.
WILD = replace(
    SMALL,
    init=lambda seeds: {k: 100 * v for k, v in SMALL.init(seeds).items()},
)


def rendered(adapter, units="conv_b:3-4", param=WILD, **options):
    settings = {"steps": 2, "learning_rate": 1e-6, **options}
    return tfviz.render(adapter, units, param, transforms.none(), **settings)


class TestBestStart:
    def draws(self, table):
        """Starts whose scores are the rows of a table."""
        table = tf.constant(table, tf.float32)
        return lambda number: ({"z": table[number][:, None]}, table[number])

    def test_each_image_keeps_its_best(self):
        table = [[1, 9, 3], [5, 2, 3.5], [4, 8, -1]]
        latents, scores, drawn = best_start(self.draws(table), tf.constant(3))

        np.testing.assert_array_equal(scores, [5, 9, 3.5])
        np.testing.assert_array_equal(latents["z"][:, 0], [5, 9, 3.5])
        np.testing.assert_array_equal(drawn, [3, 3, 3])

    def test_those_that_are_dead_draw_on(self):
        """Without a neighbour's start getting better by it."""
        table = [[0, 1], [0, 2], [0, 99], [7, 99], [8, 99], [9, 99], [9, 99], [9, 9]]
        latents, scores, drawn = best_start(self.draws(table), tf.constant(2))

        np.testing.assert_array_equal(scores, [7, 2])
        np.testing.assert_array_equal(drawn, [4, 2])
        np.testing.assert_array_equal(latents["z"][:, 0], [7, 2])

    def test_they_give_up(self):
        _, scores, drawn = best_start(self.draws(np.zeros((99, 1))), tf.constant(3))

        assert scores[0] == 0
        assert drawn[0] == 3 * MORE_CANDIDATES

    def test_what_is_not_finite_is_not_taken(self):
        table = [[np.nan], [-3], [np.inf], [-2]]
        _, scores, _ = best_start(self.draws(table), tf.constant(4))

        np.testing.assert_array_equal(scores, [-2])


class TestCandidates:
    def test_the_start_is_the_best_of_those_drawn(self, toy_adapter):
        result = rendered(toy_adapter, candidates=6)
        alone = rendered(toy_adapter)

        assert (result.drawn == 6).all()
        assert (result.start_scores >= alone.history[0]).all()
        assert (result.start_scores > alone.history[0]).any()
        np.testing.assert_allclose(result.history[0], result.start_scores, rtol=0.05)

    def test_one_is_the_usual_start(self, toy_adapter):
        result = rendered(toy_adapter, candidates=1)

        assert result.drawn is None
        np.testing.assert_array_equal(result.images, rendered(toy_adapter).images)

    def test_neighbours_do_not_matter(self, toy_adapter):
        both = rendered(toy_adapter, candidates=5, batch_size=2, steps=4)
        alone = rendered(toy_adapter, "conv_b:3", candidates=5, batch_size=2, steps=4)

        np.testing.assert_array_equal(alone.images[0], both.images[0])

    def test_it_is_in_the_description(self, toy_adapter):
        result = rendered(toy_adapter, candidates=3)
        told = result.picture_spec(1)

        assert told["candidates"] == told["drawn"] == 3
        assert told["start_score"] == pytest.approx(float(result.start_scores[1]))

    def test_a_param_can_say_how_many_suit_it(self, toy_adapter):
        param = replace(
            WILD,
            defaults={
                "candidates": 4,
                "learning_rate": 0.5,
                "transforms": transforms.jitter(2),
            },
        )
        told = tfviz.render(toy_adapter, "conv_b:3", param, steps=1).spec
        own = rendered(toy_adapter, "conv_b:3", param, steps=1, candidates=1).spec

        assert told["candidates"] == 4
        assert told["learning_rate"] == 0.5
        assert told["transforms"] == [{"name": "jitter", "pixels": 2}]
        assert own["candidates"] == 1
        assert own["learning_rate"] == 1e-6
        assert own["transforms"] == []

    @pytest.mark.parametrize("candidates", [0, -1, 1.5])
    def test_others_are_refused(self, toy_adapter, candidates):
        with pytest.raises(ValueError, match="`candidates` must be a whole number"):
            rendered(toy_adapter, candidates=candidates)

    def test_not_beside_a_start(self, toy_adapter):
        grey = np.full((32, 32, 3), 0.5)
        with pytest.raises(ValueError, match="`candidates` draws starts, and `start`"):
            rendered(toy_adapter, candidates=2, start=grey)
        param = replace(WILD, defaults={"candidates": 2})
        assert rendered(toy_adapter, param=param, start=grey).drawn is None


class TestRestarts:
    def test_the_best_attempt_is_kept(self, toy_adapter):
        one = rendered(toy_adapter)
        best = rendered(toy_adapter, restarts=5)

        assert (best.scores >= one.scores).all()
        first = best.restart == 0
        np.testing.assert_array_equal(best.images[first], one.images[first])
        assert not first.all()
        assert best.spec["restarts"] == 5
        assert best.picture_spec(0)["restart"] == best.restart[0]

    def test_neighbours_do_not_matter(self, toy_adapter):
        both = rendered(toy_adapter, restarts=3, batch_size=2, steps=4)
        alone = rendered(toy_adapter, "conv_b:3", restarts=3, batch_size=2, steps=4)

        np.testing.assert_array_equal(alone.images[0], both.images[0])
        assert alone.restart[0] == both.restart[0]

    def test_progress_counts_all_steps(self, toy_adapter):
        seen = []
        rendered(
            toy_adapter,
            restarts=2,
            steps=20,
            callbacks=[lambda p: seen.append((p.step, p.steps))],
        )
        assert seen == [(16, 40), (20, 40), (36, 40), (40, 40)]

    @pytest.mark.slow
    def test_histories_of_different_lengths(self, toy_adapter):
        """A picture that was stopped early keeps its own steps."""
        result = rendered(
            toy_adapter,
            restarts=3,
            steps=48,
            learning_rate=0.05,
            stop=tfviz.stops.target(float(rendered(toy_adapter).scores[0])),
        )
        steps = np.isfinite(result.history).sum(axis=0)
        np.testing.assert_array_equal(steps, result.steps)

    def test_others_are_refused(self, toy_adapter):
        with pytest.raises(ValueError, match="`restarts` must be a whole number"):
            rendered(toy_adapter, restarts=0)


class TestNormalizedSteps:
    def test_a_step_agrees_with_numpy(self, rng):
        a, b = rng.normal(size=(2, 3)), rng.normal(size=(2, 2, 2))
        slopes = {"a": tf.constant(a, tf.float32), "b": tf.constant(b, tf.float32)}
        moved = {name: tf.Variable(tf.zeros_like(v)) for name, v in slopes.items()}
        NormalizedSteps(moved)(slopes, tf.constant(0), tf.constant(0.5))

        for i in range(2):
            mean = np.abs(np.concatenate([a[i].ravel(), b[i].ravel()])).mean()
            np.testing.assert_allclose(moved["a"][i], 0.5 * a[i] / mean, rtol=1e-5)
            np.testing.assert_allclose(moved["b"][i], 0.5 * b[i] / mean, rtol=1e-5)

    def test_no_gradient_is_no_step(self):
        moved = {"a": tf.Variable([[1.0], [2.0]])}
        slopes = {"a": tf.constant([[0.0], [3.0]])}
        NormalizedSteps(moved)(slopes, tf.constant(0), tf.constant(1.0))

        np.testing.assert_allclose(moved["a"], [[1.0], [3.0]])

    def test_the_scale_of_the_objective_does_not_matter(self, toy_adapter):
        unit = tfviz.objectives.channel("conv_b", 3)
        one, other = (
            rendered(
                toy_adapter,
                scale * unit,
                steps=24,
                learning_rate=0.05,
                optimizer="normalized",
                start=np.full((32, 32, 3), 0.4),  # names make other starts
            )
            for scale in (1.0, 1024.0)  # a power of 2 changes no rounding
        )
        np.testing.assert_allclose(one.images, other.images, atol=2 / 255)
        assert one.scores[0] > one.history[0, 0] + 1e-3
        assert one.spec["optimizer"] == {"name": "normalized"}

    def test_the_rate_falls_to_nothing(self, toy_adapter):
        """The mean step of DGN-AM: 1, 3/4, 1/2 and 1/4 of the rate."""
        param = replace(SMALL, decode=lambda latents: latents["pixels"])
        start = np.full((32, 32, 3), 0.55, np.float32)
        param = replace(param, encode=lambda images: {"pixels": tf.constant(images)})
        unit = tfviz.objectives.l1()  # how far from grey: of one slope everywhere
        result = tfviz.render(
            toy_adapter,
            unit,
            param,
            transforms.none(),
            steps=4,
            learning_rate=0.04,
            optimizer="normalized",
            start=start,
        )
        np.testing.assert_allclose(result.images, 0.65, atol=1 / 255)

    def test_other_names_are_refused(self, toy_adapter):
        with pytest.raises(ValueError, match="must be 'normalized' or a Keras"):
            rendered(toy_adapter, optimizer="sgdd")


class TestBounded:
    def rms(self, a, b):
        return np.sqrt(((np.asarray(a) - np.asarray(b)) ** 2).mean(axis=(1, 2, 3)))

    @pytest.mark.parametrize(
        "factory", [pytest.param(params.pixels, marks=pytest.mark.slow), params.fourier]
    )
    def test_pictures_stay_near_their_start(self, factory, toy_adapter, rng):
        start = rng.uniform(0.2, 0.8, (2, 32, 32, 3)).astype(np.float32)
        free = rendered(
            toy_adapter,
            param=factory(32, 32),
            steps=40,
            learning_rate=0.1,
            start=start,
        )
        near = rendered(
            toy_adapter,
            param=params.bounded(factory(32, 32), 0.05),
            steps=40,
            learning_rate=0.1,
            start=start,
        )
        assert (self.rms(free.images, start) > 0.1).all()
        assert (self.rms(near.images, start) < 0.055).all()
        assert (self.rms(near.images, start) > 0.03).all()
        assert (near.scores > near.history[0] + 1e-3).all()

    def test_nothing_changes_within_the_bound(self, toy_adapter):
        inner = params.pixels(32, 32)
        bounded = params.bounded(inner, 10.0)
        seeds = [[0, 1], [0, 2]]

        np.testing.assert_allclose(
            bounded.decode(bounded.init(seeds)),
            inner.decode(inner.init(seeds)),
            atol=1e-6,
        )

    def test_it_goes_on_with_another_param_s_picture(self, toy_adapter):
        coarse = rendered(toy_adapter, param=params.pixels(16, 16), steps=4)
        fine = rendered(
            toy_adapter,
            param=params.bounded(params.fourier(32, 32), 0.1),
            start=coarse,
            steps=20,
            learning_rate=0.05,
        )
        large = tf.image.resize(coarse.images, (32, 32), antialias=True)

        assert (self.rms(fine.images, large) < 0.105).all()
        assert (fine.scores > fine.history[0]).all()

    def test_a_distance_is_above_zero(self):
        with pytest.raises(ValueError, match="`distance` must be above 0"):
            params.bounded(params.pixels(8, 8), 0)
