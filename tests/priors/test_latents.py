import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import tensorflow as tf
from support import seeds_for
from tfviz.priors import _calibration as calibration
from tfviz.priors import _constraints as constraints
from tfviz.priors import _latents as latents
from tfviz.priors._latents import waves

LATENTS = {
    "gaussian": lambda: latents.gaussian(5, mean=2.0, stddev=3.0, rate=0.5),
    "truncated": lambda: latents.gaussian(5, truncation=1.5),
    "waves": lambda: waves(6, 9, 2, mean=[1.0, -2.0], stddev=[0.5, 3.0]),
    "odd waves": lambda: waves(7, 5, 1, decay=0.5, rate=2.0),
    "chosen": lambda: latents.chosen(2, 4),
    "mixture": lambda: latents.mixture(4),
    "embedding": lambda: latents.embedding(np.eye(3, 5)),
    "held": lambda: latents.held(3),
    "held table": lambda: latents.held([[0.5, 1.0], [2.0, 3.0]]),
}


def start_values(latent, count, first=0):
    """Return the values of many random starts, from a compiled function."""
    start = tf.function(latent.start, autograph=False)
    parts = [start(seeds_for(50, first + done)) for done in range(0, count, 50)]
    return latent.values(tf.concat(parts, 0)).numpy()


@pytest.mark.parametrize("name", LATENTS)
class TestAllLatents:
    def test_values_have_the_shape(self, name):
        latent = LATENTS[name]()

        assert latent.values(latent.start(seeds_for(3))).shape == (3, *latent.shape)

    def test_a_start_does_not_depend_on_the_batch(self, name):
        latent = LATENTS[name]()
        together = latent.start(seeds_for(4)).numpy()

        np.testing.assert_array_equal(latent.start(seeds_for(4)[2:3])[0], together[2])

    def test_stored_inverts_values(self, name):
        latent = LATENTS[name]()
        values = latent.values(latent.start(seeds_for(3)))

        np.testing.assert_allclose(
            latent.values(latent.stored(values)), values, atol=1e-4
        )


class TestGaussian:
    def test_mean_and_deviation_are_those_of_the_arguments(self):
        latent = latents.gaussian(4, mean=[0, 1, 2, 3], stddev=[1, 2, 3, 4])
        values = start_values(latent, 2000)

        np.testing.assert_allclose(values.mean(0), [0, 1, 2, 3], atol=0.3)
        np.testing.assert_allclose(values.std(0), [1, 2, 3, 4], rtol=0.05)

    def test_truncated_starts_have_the_distribution_of_scipy(self):
        values = latents.gaussian(50, truncation=1.2).start(seeds_for(200)).numpy()

        assert np.abs(values).max() <= 1.2
        expected = scipy.stats.truncnorm(-1.2, 1.2)
        assert scipy.stats.kstest(values.ravel(), expected.cdf).pvalue > 1e-3

    def test_the_rate_scales_steps(self):
        slow, fast = (latents.gaussian(3, rate=rate) for rate in (0.1, 1.0))
        changes = [
            v.values(v.start(seeds_for(1)) + 1) - v.values(v.start(seeds_for(1)))
            for v in (slow, fast)
        ]

        np.testing.assert_allclose(changes[0], 0.1 * changes[1], rtol=1e-5)

    @pytest.mark.parametrize("rate", [0, -1, float("nan")])
    def test_a_rate_must_be_above_zero(self, rate):
        with pytest.raises(ValueError, match="`rate` must be above 0"):
            latents.gaussian(3, rate=rate)


class TestWaves:
    @pytest.mark.parametrize("shape", [(8, 8), (7, 5), (6, 9), (9, 6), (1, 8)])
    def test_values_have_the_mean_and_the_deviation(self, shape):
        latent = waves(*shape, 2, mean=[3.0, -1.0], stddev=[0.5, 2.0])
        values = start_values(latent, 1000)

        np.testing.assert_allclose(values.mean((0, 1, 2)), [3, -1], atol=0.1)
        deviation = np.sqrt(((values - [3, -1]) ** 2).mean((0, 1, 2)))
        np.testing.assert_allclose(deviation, [0.5, 2.0], rtol=0.1)

    def test_power_falls_with_the_frequency(self):
        latent = waves(16, 16, 1, decay=1.0)
        values = start_values(latent, 2000)[..., 0]
        power = (np.abs(np.fft.fft2(values)) ** 2).mean(0)

        for wave in (2, 4):  # power falls with the squared frequency
            assert power[0, wave] / power[0, 1] == pytest.approx(wave**-2, rel=0.15)
            assert power[wave, 0] / power[1, 0] == pytest.approx(wave**-2, rel=0.15)

    def test_each_channel_can_have_its_own_decay(self):
        latent = waves(12, 10, 2, stddev=[2.0, 1.0], decay=[0.0, 1.0])
        alone = [
            waves(12, 10, 1, stddev=stddev, decay=decay)
            for stddev, decay in ((2.0, 0.0), (1.0, 1.0))
        ]
        stored = tf.random.stateless_normal((3, 2, 12, 6, 2), (0, 1))
        for channel, one in enumerate(alone):
            np.testing.assert_allclose(
                latent.values(stored)[..., channel : channel + 1],
                one.values(stored[:, channel : channel + 1]),
                atol=1e-6,
            )

    def test_white_positions_are_independent_with_the_same_deviation(self):
        latent = waves(8, 7, 2, mean=[3.0, -1.0], stddev=[0.5, 2.0], decay=1.0)
        white = latent.white()
        values = start_values(white, 1000)
        standard = (values - [3, -1]) / [0.5, 2.0]

        # Around the given mean, as the constant wave is as strong as the others.
        np.testing.assert_allclose((standard**2).mean((0, 1, 2)), 1, rtol=0.05)
        products = (standard[:, :, 1:] * standard[:, :, :-1]).mean((0, 1, 2))
        np.testing.assert_allclose(products, 0, atol=0.03)
        assert white.white is None

    def test_gradients_agree_with_finite_differences(self, rng):
        latent = waves(5, 6, 2, stddev=[1.0, 2.0])
        stored = tf.constant(rng.normal(size=(1, 2, 5, 4, 2)).astype(np.float32))
        direction = tf.constant(rng.normal(size=stored.shape).astype(np.float32))
        weights = rng.normal(size=(1, 5, 6, 2)).astype(np.float32)

        def total(stored):
            return tf.reduce_sum(weights * tf.sin(latent.values(stored)))

        with tf.GradientTape() as tape:
            tape.watch(stored)
            value = total(stored)
        slope = tf.reduce_sum(tape.gradient(value, stored) * direction)
        step = 1e-2
        ahead, behind = (total(stored + sign * step * direction) for sign in (1, -1))
        np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=2e-2)


class TestChosen:
    @pytest.mark.parametrize("index", [-1, 4])
    def test_a_class_must_exist(self, index):
        with pytest.raises(ValueError, match="4 classes, with numbers from 0 to 3"):
            latents.chosen(index, 4)


class TestMixture:
    def test_starts_are_uniform_over_mixtures(self):
        """Each of three shares then has the distribution beta(1, 2)."""
        latent = latents.mixture(3)
        shares = start_values(latent, 600)

        np.testing.assert_allclose(shares.sum(1), 1, atol=1e-5)
        assert (
            scipy.stats.kstest(shares[:, 0], scipy.stats.beta(1, 2).cdf).pvalue > 0.01
        )

    def test_a_mixture_needs_two_classes(self):
        with pytest.raises(
            ValueError, match="needs at least 2 classes. Received: classes=1"
        ):
            latents.mixture(1)


class TestEmbedding:
    TABLE = np.array([[0.0, 1.0, -2.0], [2.0, 1.0, 0.0], [1.0, 4.0, 5.0]])

    def test_it_starts_near_the_mean_class(self):
        latent = latents.embedding(self.TABLE, spread=0.2)
        values = start_values(latent, 2000)

        np.testing.assert_allclose(values.mean(0), self.TABLE.mean(0), atol=0.05)
        np.testing.assert_allclose(values.std(0), 0.2 * self.TABLE.std(0), rtol=0.1)

    def test_it_stays_between_the_bounds_of_the_classes(self):
        inside = latents.embedding(self.TABLE, reach=0.5).domain

        np.testing.assert_allclose(inside(tf.fill((1, 3), 99.0)), [[1.5, 3, 3]])
        np.testing.assert_allclose(inside(tf.fill((1, 3), -99.0)), [[0.5, 1.5, -0.5]])

    def test_a_table_must_have_two_axes(self):
        with pytest.raises(ValueError, match=r"shape \(classes, d\). Received: \(3,\)"):
            latents.embedding([1.0, 2.0, 3.0])


class TestHeld:
    def test_each_image_gets_the_same_constant(self):
        held = latents.held([0.5, 2.0])

        assert held.shape == (2,)
        assert not held.optimized
        np.testing.assert_array_equal(held.start(seeds_for(3)), [[0.5, 2.0]] * 3)


class TestDomains:
    ALL = (
        constraints.box(-1, [1.0, 2.0, 0.5]),
        constraints.shell(2.0),
        constraints.simplex(),
    )

    @pytest.mark.parametrize("domain", ALL, ids=["box", "shell", "simplex"])
    def test_projecting_twice_is_projecting_once(self, domain, rng):
        values = tf.constant(3 * rng.normal(size=(20, 3)).astype(np.float32))
        once = domain(values)

        np.testing.assert_allclose(domain(once), once, atol=1e-6)
        assert np.abs(once - values).max() > 0.1

    def test_the_simplex_projects_to_the_nearest_point(self, rng):
        for point in 2 * rng.normal(size=(6, 4)):
            found = constraints.simplex()(tf.constant(point[None], tf.float32))
            expected = scipy.optimize.minimize(
                lambda x, point=point: ((x - point) ** 2).sum(),
                np.full(4, 0.25),
                bounds=[(0, 1)] * 4,
                constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
            ).x
            np.testing.assert_allclose(found[0], expected, atol=1e-3)

    def test_a_shell_keeps_the_direction(self, rng):
        values = rng.normal(size=(5, 2, 3)).astype(np.float32)
        found = constraints.shell(3.0)(tf.constant(values)).numpy()
        length = np.sqrt((values**2).sum((1, 2), keepdims=True))

        np.testing.assert_allclose(found, 3 * values / length, rtol=1e-5)

    def test_a_ball_changes_only_longer_latents(self, rng):
        values = rng.normal(size=(5, 2, 3)).astype(np.float32)
        values[0] *= 0.01
        found = constraints.ball(2.0)(tf.constant(values)).numpy()
        length = np.sqrt((values**2).sum((1, 2), keepdims=True))

        np.testing.assert_allclose(found, values * np.minimum(1, 2 / length), rtol=1e-5)
        again = constraints.ball(2.0)(tf.constant(found))
        np.testing.assert_allclose(again, found, rtol=1e-5)

    @pytest.mark.parametrize("size", [2, 16, 128, 3000])
    def test_the_usual_length_agrees_with_scipy(self, size):
        expected = np.sqrt(scipy.stats.chi2.ppf(0.95, size))

        np.testing.assert_allclose(constraints.usual_length(size), expected, rtol=5e-3)

    def test_bounds_of_a_box_must_be_ordered(self):
        with pytest.raises(ValueError, match="`low` must nowhere be above `high`"):
            constraints.box([0, 3], [1, 2])

    def test_a_radius_must_be_above_zero(self):
        with pytest.raises(ValueError, match="`radius` must be above 0"):
            constraints.shell(0)


class TestPenalties:
    def test_near_shell_agrees_with_numpy(self, rng):
        values = rng.normal(size=(4, 3, 2)).astype(np.float32)
        length = np.sqrt((values**2).sum((1, 2)))
        expected = 2.5 * (length / np.sqrt(6) - 1) ** 2

        found = constraints.near_shell(2.5)(tf.constant(values))
        np.testing.assert_allclose(found, expected, rtol=1e-4)

    def test_near_mean_agrees_with_numpy(self, rng):
        values = rng.normal(size=(4, 3, 2)).astype(np.float32)
        mean, stddev = np.array([0.5, -1.0]), np.array([2.0, 0.5])
        expected = 1.5 * (((values - mean) / stddev) ** 2).mean((1, 2))

        latent = latents.gaussian(
            3, 2, mean=mean, stddev=stddev, penalty=constraints.near_mean(1.5)
        )
        found = latent.penalty(tf.constant(values))
        np.testing.assert_allclose(found, expected, rtol=1e-4)

    def test_near_moments_agrees_with_numpy(self, rng):
        values = rng.normal(0.3, 2, size=(4, 5, 3, 2)).astype(np.float32)
        mean, stddev = values.mean((1, 2)), values.std((1, 2))
        expected = 0.7 * (mean**2 + (stddev - 1) ** 2).mean(-1)

        found = constraints.near_moments(0.7)(tf.constant(values))
        np.testing.assert_allclose(found, expected, rtol=1e-4)

    def test_penalties_of_waves_use_standardized_values(self, rng):
        mean, stddev = np.array([0.5, -1.0]), np.array([2.0, 0.5])
        latent = waves(
            3, 4, 2, mean=mean, stddev=stddev, penalty=constraints.near_mean(1.0)
        )
        values = rng.normal(size=(2, 3, 4, 2)).astype(np.float32)
        expected = (((values - mean) / stddev) ** 2).mean((1, 2, 3))

        found = latent.penalty(tf.constant(values))
        np.testing.assert_allclose(found, expected, rtol=1e-4)


class TestStandard:
    """`standard`: the values as independent standard normal numbers."""

    @pytest.mark.parametrize("name", ["gaussian", "waves", "odd waves"])
    def test_the_squared_length_is_chi_squared(self, name):
        latent = LATENTS[name]()
        standard = latent.standard(latent.values(latent.start(seeds_for(400)))).numpy()
        squares = (standard.reshape(400, -1) ** 2).sum(1)

        expected = scipy.stats.chi2(np.prod(latent.shape))
        assert scipy.stats.kstest(squares, expected.cdf).pvalue > 0.01

    def test_latents_that_are_not_normal_have_none(self):
        assert latents.gaussian(3, truncation=1.0).standard is None
        assert latents.gaussian(3, stddev=0.0).standard is None
        assert latents.mixture(3).standard is None


class TestCalibrated:
    def test_units_start_and_stay_in_the_measured_range(self, rng):
        values = rng.normal([1, -2, 0], [0.5, 3, 1], size=(2000, 3)).astype(np.float32)
        latent = latents.gaussian(3, rate=0.5).calibrated(calibration.measure(values))
        found = start_values(latent, 2000)

        np.testing.assert_allclose(found.mean(0), values.mean(0), atol=0.2)
        np.testing.assert_allclose(found.std(0), values.std(0), rtol=0.05)
        expected = np.percentile(values, [0.1, 99.9], axis=0)
        np.testing.assert_allclose(latent.usual, expected, rtol=1e-5)
        far = latent.domain(tf.fill((1, 3), 1e6))
        np.testing.assert_allclose(far[0], expected[1], rtol=1e-5)

    @pytest.mark.parametrize("decay", [0.3, 1.0, [1.6, 0.5]])
    def test_waves_have_the_measured_decay(self, decay):
        made = waves(16, 11, 2, mean=[1, 0], stddev=[0.5, 2], decay=decay)
        values = start_values(made, 200)
        found = calibration.measure(values)

        np.testing.assert_allclose(found.decay, decay, atol=0.05)
        np.testing.assert_allclose(found.mean, [1, 0], atol=0.2)
        np.testing.assert_allclose(found.stddev, [0.5, 2], rtol=0.1)
        again = made.calibrated(found)
        more = start_values(again, 200, 7)
        np.testing.assert_allclose(more.std((0, 1, 2)), [0.5, 2], rtol=0.1)

    def test_a_file_restores_the_statistics(self, rng, tmp_path):
        found = {
            "z": calibration.measure(rng.normal(size=(9, 4)).astype(np.float32)),
            "map": calibration.measure(rng.normal(size=(3, 5, 4, 2)).astype("f4")),
        }
        calibration.save(tmp_path / "a.npz", found)
        again = calibration.load(tmp_path / "a.npz")

        assert list(again) == ["z", "map"]
        assert again["z"].decay is None
        np.testing.assert_array_equal(again["map"].decay, found["map"].decay)
        np.testing.assert_array_equal(again["z"].low, found["z"].low)
        assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]

    def test_other_files_are_refused(self, tmp_path):
        (tmp_path / "a.npz").write_bytes(b"not one")
        np.savez(tmp_path / "b.npz", mean=np.ones(3))
        for name in ("a.npz", "b.npz"):
            with pytest.raises(ValueError, match="not a calibration file"):
                calibration.load(tmp_path / name)
        with pytest.raises(ValueError, match=r"must end in .npz. Received: .*c.json"):
            calibration.save(tmp_path / "c.json", {})
