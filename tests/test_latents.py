import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import tensorflow as tf
from conftest import seeds_for

from tfviz.priors import _domains as domains
from tfviz.priors import _latents as latents

EVERY = {
    "gaussian": lambda: latents.gaussian(5, mean=2.0, stddev=3.0, rate=0.5),
    "truncated": lambda: latents.gaussian(5, truncation=1.5),
    "waves": lambda: latents.waves(6, 9, 2, mean=[1.0, -2.0], stddev=[0.5, 3.0]),
    "odd waves": lambda: latents.waves(7, 5, 1, decay=0.5, rate=2.0),
    "chosen": lambda: latents.chosen(2, 4),
}


@pytest.mark.parametrize("name", EVERY)
class TestEveryLatent:
    def test_values_have_the_shape(self, name):
        latent = EVERY[name]()

        assert latent.values(latent.start(seeds_for(3))).shape == (3, *latent.shape)

    def test_alone_and_in_a_batch_agree(self, name):
        latent = EVERY[name]()
        together = latent.start(seeds_for(4)).numpy()

        np.testing.assert_array_equal(latent.start(seeds_for(4)[2:3])[0], together[2])

    def test_what_is_stored_gives_back_the_values(self, name):
        latent = EVERY[name]()
        values = latent.values(latent.start(seeds_for(3)))

        np.testing.assert_allclose(
            latent.values(latent.stored(values)), values, atol=1e-4
        )


class TestGaussian:
    def test_mean_and_deviation_are_as_asked(self):
        latent = latents.gaussian(4, mean=[0, 1, 2, 3], stddev=[1, 2, 3, 4])
        values = latent.values(latent.start(seeds_for(4000))).numpy()

        np.testing.assert_allclose(values.mean(0), [0, 1, 2, 3], atol=0.3)
        np.testing.assert_allclose(values.std(0), [1, 2, 3, 4], rtol=0.05)

    def test_truncated_numbers_are_distributed_as_in_scipy(self):
        values = latents.gaussian(50, truncation=1.2).start(seeds_for(200)).numpy()

        assert np.abs(values).max() <= 1.2
        expected = scipy.stats.truncnorm(-1.2, 1.2)
        assert scipy.stats.kstest(values.ravel(), expected.cdf).pvalue > 1e-3

    def test_the_rate_is_how_far_a_step_goes(self):
        slow, fast = (latents.gaussian(3, rate=rate) for rate in (0.1, 1.0))
        moved = [
            v.values(v.start(seeds_for(1)) + 1) - v.values(v.start(seeds_for(1)))
            for v in (slow, fast)
        ]

        np.testing.assert_allclose(moved[0], 0.1 * moved[1], rtol=1e-5)

    @pytest.mark.parametrize("rate", [0, -1, float("nan")])
    def test_a_rate_must_be_above_zero(self, rate):
        with pytest.raises(ValueError, match="`rate` must be above 0"):
            latents.gaussian(3, rate=rate)


class TestWaves:
    @pytest.mark.parametrize("shape", [(8, 8), (7, 5), (6, 9), (9, 6), (1, 8)])
    def test_values_have_the_mean_and_the_deviation(self, shape):
        latent = latents.waves(*shape, 2, mean=[3.0, -1.0], stddev=[0.5, 2.0])
        values = latent.values(latent.start(seeds_for(3000))).numpy()

        np.testing.assert_allclose(values.mean((0, 1, 2)), [3, -1], atol=0.1)
        deviation = np.sqrt(((values - [3, -1]) ** 2).mean((0, 1, 2)))
        np.testing.assert_allclose(deviation, [0.5, 2.0], rtol=0.1)

    def test_power_falls_with_the_frequency(self):
        latent = latents.waves(16, 16, 1, decay=1.0)
        values = latent.values(latent.start(seeds_for(2000))).numpy()[..., 0]
        power = (np.abs(np.fft.fft2(values)) ** 2).mean(0)

        for wave in (2, 4):  # the square of one over the frequency
            assert power[0, wave] / power[0, 1] == pytest.approx(wave**-2, rel=0.15)
            assert power[wave, 0] / power[1, 0] == pytest.approx(wave**-2, rel=0.15)

    def test_gradients_agree_with_finite_differences(self, rng):
        latent = latents.waves(5, 6, 2, stddev=[1.0, 2.0])
        stored = tf.constant(rng.normal(size=(1, 2, 5, 4, 2)).astype(np.float32))
        direction = tf.constant(rng.normal(size=stored.shape).astype(np.float32))
        weights = rng.normal(size=(1, 5, 6, 2)).astype(np.float32)

        def total(stored):
            return tf.reduce_sum(weights * tf.sin(latent.values(stored)))

        with tf.GradientTape() as tape:
            tape.watch(stored)
            found = total(stored)
        slope = tf.reduce_sum(tape.gradient(found, stored) * direction)
        step = 1e-2
        ahead, behind = (total(stored + sign * step * direction) for sign in (1, -1))
        np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=2e-2)


class TestChosen:
    @pytest.mark.parametrize("index", [-1, 4])
    def test_a_class_must_be_there(self, index):
        with pytest.raises(ValueError, match="class from 0 to 3"):
            latents.chosen(index, 4)


class TestDomains:
    ALL = (domains.box(-1, [1.0, 2.0, 0.5]), domains.shell(2.0), domains.simplex())

    @pytest.mark.parametrize("domain", ALL, ids=["box", "shell", "simplex"])
    def test_what_is_inside_stays(self, domain, rng):
        values = tf.constant(3 * rng.normal(size=(20, 3)).astype(np.float32))
        once = domain(values)

        np.testing.assert_allclose(domain(once), once, atol=1e-6)
        assert np.abs(once - values).max() > 0.1

    def test_the_simplex_is_the_nearest_point(self, rng):
        for point in 2 * rng.normal(size=(6, 4)):
            found = domains.simplex()(tf.constant(point[None], tf.float32))
            expected = scipy.optimize.minimize(
                lambda x, point=point: ((x - point) ** 2).sum(),
                np.full(4, 0.25),
                bounds=[(0, 1)] * 4,
                constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
            ).x
            np.testing.assert_allclose(found[0], expected, atol=1e-3)

    def test_a_shell_keeps_the_direction(self, rng):
        values = rng.normal(size=(5, 2, 3)).astype(np.float32)
        found = domains.shell(3.0)(tf.constant(values)).numpy()
        length = np.sqrt((values**2).sum((1, 2), keepdims=True))

        np.testing.assert_allclose(found, 3 * values / length, rtol=1e-5)

    def test_a_box_must_not_be_inside_out(self):
        with pytest.raises(ValueError, match="`low` must nowhere be above `high`"):
            domains.box([0, 3], [1, 2])

    def test_a_shell_must_have_a_radius(self):
        with pytest.raises(ValueError, match="`radius` must be above 0"):
            domains.shell(0)


class TestPenalties:
    def test_near_shell_agrees_with_numpy(self, rng):
        values = rng.normal(size=(4, 3, 2)).astype(np.float32)
        length = np.sqrt((values**2).sum((1, 2)))
        expected = 2.5 * (length / np.sqrt(6) - 1) ** 2

        found = latents.near_shell(2.5)(tf.constant(values))
        np.testing.assert_allclose(found, expected, rtol=1e-4)

    def test_near_mean_agrees_with_numpy(self, rng):
        values = rng.normal(size=(4, 3, 2)).astype(np.float32)
        mean, stddev = np.array([0.5, -1.0]), np.array([2.0, 0.5])
        expected = 1.5 * (((values - mean) / stddev) ** 2).mean((1, 2))

        found = latents.near_mean(1.5, mean, stddev)(tf.constant(values))
        np.testing.assert_allclose(found, expected, rtol=1e-4)
