import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.ndimage
import scipy.special
import tensorflow as tf
from support import seeds_for

from tfviz import params, statistics
from tfviz.params._fourier import half_spectra
from tfviz.statistics import correlation

EVERY = {
    "pixels": params.pixels,
    "fourier": params.fourier,
    "aligned": partial(params.aligned, group=2),
    "laplacian": partial(params.laplacian, levels=3),
    "cppn": partial(params.cppn, layers=3, hidden=6),
    "maco": params.maco,
}
# Not `maco`, whose colours come from its statistics.
WITH_COLOR = [name for name in EVERY if name != "maco"]
WITH_STDDEV = ["pixels", "fourier", "aligned", "laplacian"]
SHAPES = [(8, 8, 3), (7, 5, 3), (5, 8, 1), (6, 9, 6), (1, 1, 3), (2, 1, 2), (3, 4, 5)]


def random_latents(param, rng, n=4):
    """Return latents without zeros, which the last layer of `cppn` starts with."""
    return {
        name: value + 0.3 * rng.normal(size=value.shape).astype(np.float32)
        for name, value in param.init(seeds_for(n)).items()
    }


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("shape", SHAPES)
class TestEveryParam:
    def test_images_have_the_shape_and_lie_in_the_unit_range(self, name, shape, rng):
        param = EVERY[name](*shape)
        images = param.decode(random_latents(param, rng)).numpy()

        assert param.shape == shape
        assert images.shape == (4, *shape)
        assert images.dtype == np.float32
        assert images.min() > 0
        assert images.max() < 1
        start = param.decode(param.init(seeds_for(4))).numpy()
        if name != "maco":  # starts with the contrast of photographs
            assert np.abs(start - 0.5).max() < 0.05

    def test_extreme_latents_stay_in_range_and_finite(self, name, shape, rng):
        param = EVERY[name](*shape)
        latents = {k: v * 1e6 for k, v in random_latents(param, rng).items()}
        images = param.decode(latents).numpy()

        assert np.isfinite(images).all()
        assert images.min() >= 0
        assert images.max() <= 1

    def test_the_start_depends_on_the_seed_alone(self, name, shape):
        param = EVERY[name](*shape)
        together = param.init(seeds_for(3))
        alone = param.init(seeds_for(3)[1:2])
        again = param.init(seeds_for(3))
        drawn = []
        for key, value in together.items():
            np.testing.assert_array_equal(value[1:2], alone[key])
            np.testing.assert_array_equal(value, again[key])
            assert value.dtype == tf.float32
            drawn.append(len(np.unique(value.numpy().reshape(3, -1)[:, 0])))

        assert max(drawn) == 3

    def test_an_image_does_not_depend_on_other_groups(self, name, shape, rng):
        param = EVERY[name](*shape)
        latents = random_latents(param, rng)
        alone = {key: value[2 : 2 + param.group] for key, value in latents.items()}

        np.testing.assert_allclose(
            param.decode(latents)[2 : 2 + param.group],
            param.decode(alone),
            atol=1e-5,
        )

    def test_gradient_agrees_with_finite_differences(self, name, shape, rng):
        param = EVERY[name](*shape)
        latents = random_latents(param, rng, n=2)
        weights = rng.normal(size=(2, *shape)).astype(np.float32)

        def score(latents):
            return tf.reduce_sum(param.decode(latents) * weights)

        with tf.GradientTape() as tape:
            tape.watch(latents)
            total = score(latents)
        gradients = tape.gradient(total, latents)
        size = 1e-3 if name == "maco" else 1e-2
        for key, value in latents.items():
            step = rng.normal(size=value.shape).astype(np.float32)
            up, down = (
                score(latents | {key: value + sign * size * step}) for sign in (1, -1)
            )
            measured = float(up - down) / (2 * size)

            assert measured == pytest.approx(
                float(tf.reduce_sum(gradients[key] * step)), rel=2e-2, abs=5e-3
            ), key

    def test_compiled_and_eager_agree(self, name, shape, rng):
        param = EVERY[name](*shape)
        latents = random_latents(param, rng)
        compiled = tf.function(param.decode)(latents)

        assert compiled.shape == (4, *shape)
        np.testing.assert_allclose(compiled, param.decode(latents), atol=1e-5)

    def test_encoded_images_decode_to_themselves(self, name, shape, rng):
        param = EVERY[name](*shape)
        if name in ("cppn", "maco"):
            return  # `cppn` has no `encode`; `maco` has a test of its own
        images = rng.uniform(0.02, 0.98, (1, *shape)).astype(np.float32)
        images = np.repeat(images, 2, axis=0)  # the same for a whole group

        np.testing.assert_allclose(
            param.decode(param.encode(images)), images, atol=1e-5
        )

    def test_a_description_restores_the_param(self, name, shape, rng):
        param = EVERY[name](*shape)
        spec = json.loads(json.dumps(param.spec))
        again = params.from_spec(spec)

        assert again.spec == spec
        assert again.group == param.group
        latents = random_latents(param, rng)
        np.testing.assert_array_equal(again.decode(latents), param.decode(latents))


def fit_error(param, target, steps=400):
    """Return the mean squared error after Adam at the default learning rate."""
    latents = {k: tf.Variable(v) for k, v in param.init(seeds_for(2)).items()}
    optimizer = tf.keras.optimizers.Adam(0.05)
    variables = list(latents.values())
    optimizer.build(variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((param.decode(latents) - target) ** 2)
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    for _ in range(steps):
        loss = step()
    return float(loss)


# The network of `cppn` cannot draw every image. The images have a variance of 0.03.
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("pixels", 1e-4),
        ("fourier", 1e-4),
        ("aligned", 1e-4),
        ("laplacian", 1e-4),
        ("cppn", 5e-3),
    ],
)
def test_gradient_descent_fits_an_image(name, error, rng):
    # Smooth, as photographs are: `fourier` takes longer to fit white noise.
    noise = scipy.ndimage.gaussian_filter(rng.normal(size=(1, 9, 7, 3)), (0, 1, 1, 0))
    target = (0.5 + 0.4 * noise / np.abs(noise).max()).astype(np.float32)

    assert fit_error(EVERY[name](9, 7), target) < error


def test_gradient_descent_fits_the_phases_of_an_image():
    """MaCo reaches an image with its own amplitudes from other phases."""
    param = params.maco(9, 7)
    target = param.decode(param.init(seeds_for(2, first=5)))
    start = param.decode(param.init(seeds_for(2)))

    assert np.mean((start - target) ** 2) > 0.02
    assert fit_error(param, target) < 1e-3


@pytest.mark.parametrize("shape", [(8, 8), (7, 5), (6, 9), (5, 8)])
@pytest.mark.parametrize("decay", [0.0, 1.0, 1.5])
def test_fourier_agrees_with_numpy(shape, decay, rng):
    height, width = shape
    param = params.fourier(height, width, decay=decay)
    spectrum = rng.normal(size=(2, 3, height, width // 2 + 1, 2)).astype(np.float32)

    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    frequency = np.maximum(np.hypot(rows, columns), 1 / max(shape))
    scale = np.sqrt(height * width) / 4 / frequency**decay
    planes = np.fft.irfft2((spectrum[..., 0] + 1j * spectrum[..., 1]) * scale, shape)
    pixels = np.einsum("dc,nchw->nhwd", correlation(3), planes)
    expected = 1 / (1 + np.exp(-pixels))

    np.testing.assert_allclose(
        param.decode({"spectrum": spectrum}), expected, atol=2e-6
    )


@pytest.mark.parametrize("shape", [(8, 8), (7, 5), (6, 9)])
def test_fourier_gradient_is_that_of_the_plain_composition(shape, rng):
    height, width = shape
    param = params.fourier(height, width)
    spectrum = tf.constant(
        rng.normal(size=(2, 3, height, width // 2 + 1, 2)).astype(np.float32)
    )
    weights = rng.normal(size=(2, height, width, 3)).astype(np.float32)
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    frequency = np.maximum(np.hypot(rows, columns), 1 / max(shape))
    scale = (np.sqrt(height * width) / 4 / frequency).astype(np.float32)

    def plain(spectrum):
        waves = tf.complex(spectrum[..., 0] * scale, spectrum[..., 1] * scale)
        planes = tf.signal.irfft2d(waves, fft_length=shape)
        return tf.sigmoid(tf.einsum("dc,nchw->nhwd", correlation(3), planes))

    gradients = []
    for decode in (plain, lambda spectrum: param.decode({"spectrum": spectrum})):
        with tf.GradientTape() as tape:
            tape.watch(spectrum)
            total = tf.reduce_sum(decode(spectrum) * weights)
        gradients.append(tape.gradient(total, spectrum).numpy())

    np.testing.assert_allclose(gradients[1], gradients[0], atol=1e-5)


def test_the_start_is_equally_far_from_grey_at_every_size():
    spread = []
    for size in (32, 64, 128, 224):
        param = params.fourier(size, size)
        images = param.decode(param.init(seeds_for(2))).numpy()
        spread.append(np.std(np.log(images / (1 - images))))

    # Lucid's start has a spread of 0.0155 to 0.0203, of which the colours keep 0.6.
    assert min(spread) > 0.6 * 0.0140
    assert max(spread) < 0.6 * 0.0225


def test_all_columns_of_the_spectrum_start_with_the_same_energy():
    """Guards against half the variance in the first and the middle column."""
    param = params.fourier(16, 16, 1, decay=0.0, stddev=0.1, color=[[1.0]])
    images = param.decode(param.init(seeds_for(400))).numpy()[..., 0]
    waves = np.fft.fft2(np.log(images / (1 - images)))
    power = (np.abs(waves) ** 2).mean(axis=0)

    np.testing.assert_allclose(power / power.mean(), 1, atol=0.35)


def test_colours_have_the_covariance_of_natural_images():
    """Guards against a transposed colour matrix, whose pictures look plausible."""
    matrix = correlation(3)
    covariance = matrix @ matrix.T
    published = np.array(  # Lucid's covariance of ImageNet's colours
        [[0.0761, 0.0692, 0.0627], [0.0692, 0.0754, 0.0714], [0.0627, 0.0714, 0.0819]]
    )
    scale = covariance[0, 0] / published[0, 0]

    np.testing.assert_allclose(covariance, scale * published, atol=0.01 * scale)
    assert np.linalg.norm(matrix, axis=0).max() == pytest.approx(1)

    param = params.pixels(64, 64, stddev=0.05)
    pixels = param.decode(param.init(seeds_for(4))).numpy().reshape(-1, 3)
    measured = np.corrcoef(np.log(pixels / (1 - pixels)).T)
    deviation = np.sqrt(np.diag(published))
    np.testing.assert_allclose(
        measured, published / np.outer(deviation, deviation), atol=0.02
    )


def test_other_channel_counts_are_not_mixed():
    np.testing.assert_array_equal(correlation(1), [[1]])
    np.testing.assert_array_equal(correlation(6), np.eye(6))


def test_a_given_colour_matrix_is_used():
    param = params.pixels(2, 2, 2, color=[[1.0, 0.5], [0.0, 1.0]])
    pixels = tf.constant([[[[0.3, -0.2]] * 2] * 2])
    expected = 1 / (1 + np.exp(-np.array([0.3 - 0.1, -0.2])))

    seen = param.decode({"pixels": pixels})[0, 0, 0]
    np.testing.assert_allclose(seen, expected, rtol=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_bad_settings_are_refused(name):
    factory = EVERY[name]
    with pytest.raises(ValueError, match="height=0, width=8"):
        factory(0, 8)
    with pytest.raises(ValueError, match="whole numbers"):
        factory(8, 8.5)
    if name in WITH_STDDEV:
        with pytest.raises(ValueError, match="stddev=-1"):
            factory(8, 8, stddev=-1)
    if name in WITH_COLOR:
        with pytest.raises(ValueError, match=r"invertible matrix of shape \(3, 3\)"):
            factory(8, 8, color=np.ones((3, 3)))
        with pytest.raises(ValueError, match=r"color of shape \(2, 2\)"):
            factory(8, 8, color=np.eye(2))


def test_bad_numbers_are_refused():
    with pytest.raises(
        ValueError, match="`levels` must be a whole number of at least 1"
    ):
        params.laplacian(8, 8, levels=0)
    with pytest.raises(ValueError, match="hidden=1.5"):
        params.cppn(8, 8, hidden=1.5)
    with pytest.raises(ValueError, match="group=0"):
        params.aligned(8, 8, group=0)
    with pytest.raises(ValueError, match="`cycles` must be above 0"):
        params.aligned(8, 8, group=2, cycles=0)
    with pytest.raises(ValueError, match="decay=-1"):
        params.fourier(8, 8, decay=-1)


@pytest.mark.parametrize("name", WITH_STDDEV)
def test_a_standard_deviation_of_zero_means_zero(name):
    param = EVERY[name](6, 6, stddev=0)

    np.testing.assert_array_equal(param.decode(param.init(seeds_for(2))), 0.5)


@pytest.mark.parametrize("name", WITH_COLOR)
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_a_measured_colour_matrix_is_used_for_any_number_of_channels(
    name, channels, rng
):
    matrix = rng.normal(size=(channels, channels))
    mixed, plain = (
        EVERY[name](6, 5, channels, color=color) for color in (matrix, np.eye(channels))
    )
    latents = random_latents(plain, rng)
    unmixed = plain.decode(latents).numpy()
    expected = scipy.special.expit(scipy.special.logit(unmixed) @ matrix.T)

    np.testing.assert_allclose(mixed.decode(latents), expected, atol=1e-5)
    assert params.from_spec(mixed.spec).spec == mixed.spec


def test_an_unknown_description_is_refused():
    with pytest.raises(ValueError, match="no param 'wavelet'"):
        params.from_spec({"name": "wavelet"})


class TestFourier:
    """Guards against errors of other implementations."""

    def test_sizes_are_height_then_width(self):
        """Guards against a spectrum of (width, height // 2 + 1), cropped to fit."""
        param = params.fourier(6, 20)

        assert param.init(seeds_for(1))["spectrum"].shape == (1, 3, 6, 11, 2)
        spectrum = np.zeros((1, 3, 6, 11, 2), np.float32)
        spectrum[0, 0, 0, 1, 0] = 1  # one cycle along the width
        row = scipy.special.logit(param.decode({"spectrum": spectrum}))[0, ..., 0]
        expected = np.cos(2 * np.pi * np.arange(20) / 20)
        np.testing.assert_allclose(row / row.max(), [expected] * 6, atol=1e-4)

    def test_columns_are_frequencies_up_to_one_half(self):
        """Guards against a full spectrum, whose high columns count as negative."""
        param = params.fourier(8, 12, 1)
        spectrum = np.zeros((1, 1, 8, 7, 2), np.float32)
        spectrum[..., 0, 6, 0] = 1
        row = scipy.special.logit(param.decode({"spectrum": spectrum}))[0, 0, :, 0]

        np.testing.assert_allclose(row / row.max(), [1, -1] * 6, atol=1e-4)

    def test_an_odd_width_is_periodic(self):
        """Guards against a width that is one too large and then cropped."""
        param = params.fourier(4, 7, 1)
        assert param.init(seeds_for(1))["spectrum"].shape == (1, 1, 4, 4, 2)
        spectrum = np.zeros((1, 1, 4, 4, 2), np.float32)
        spectrum[..., 0, 2, 0] = 1
        row = scipy.special.logit(param.decode({"spectrum": spectrum}))[0, 0, :, 0]

        expected = np.cos(2 * np.pi * 2 * np.arange(7) / 7)
        np.testing.assert_allclose(row / row.max(), expected, atol=1e-4)

    def test_the_constant_wave_is_as_large_as_the_lowest(self):
        """Guards against a division by a frequency that is zero or tiny."""
        param = params.fourier(10, 20, 1)
        sizes = []
        for row, column in [(0, 0), (0, 1)]:
            spectrum = np.zeros((1, 1, 10, 11, 2), np.float32)
            spectrum[..., row, column, 0] = 1e-2
            image = scipy.special.logit(param.decode({"spectrum": spectrum}))
            sizes.append(np.abs(np.fft.fft2(image[0, ..., 0])[row, column]))

        assert sizes[0] == pytest.approx(sizes[1], rel=1e-3)
        assert sizes[0] > 0


class TestAligned:
    def test_low_frequencies_are_shared_and_high_ones_are_not(self, rng):
        param = params.aligned(32, 24, group=2, cycles=4)
        plain = params.fourier(32, 24)
        latents = {"spectrum": rng.normal(size=(4, 3, 32, 13, 2)).astype(np.float32)}
        rows, columns = np.fft.fftfreq(32)[:, None] * 32, np.fft.rfftfreq(24) * 32
        cycles = np.hypot(rows, columns)
        share = (1 / (1 + (cycles / 4) ** 4))[..., None]
        own = latents["spectrum"].reshape(2, 2, 3, 32, 13, 2)
        mean = own.mean(axis=1, keepdims=True)
        mixed = (share * mean + (1 - share) * own).reshape(4, 3, 32, 13, 2)

        np.testing.assert_allclose(
            param.decode(latents),
            plain.decode({"spectrum": mixed.astype(np.float32)}),
            atol=1e-5,
        )
        assert share[0, 0, 0] == 1
        assert np.interp(4, cycles[:17, 0], share[:17, 0, 0]) == pytest.approx(0.5)

    def test_only_images_of_the_same_group_agree_in_layout(self):
        param = params.aligned(48, 48, group=2, cycles=6, stddev=1.0)
        images = param.decode(param.init(seeds_for(4))).numpy()
        layout = scipy.ndimage.gaussian_filter(images, (0, 12, 12, 0))
        layout = layout.reshape(4, -1) - layout.mean(axis=(1, 2, 3))[:, None]
        alike = np.corrcoef(layout)

        assert alike[0, 1] > 0.95
        assert alike[2, 3] > 0.95
        assert np.abs(alike[:2, 2:]).max() < 0.7

    def test_a_batch_of_incomplete_groups_is_refused(self):
        param = params.aligned(8, 8, group=3)

        assert param.group == 3
        with pytest.raises(ValueError, match="multiples of 3. Received: 4 images"):
            param.decode(param.init(seeds_for(4)))

    def test_groups_of_one_are_fourier(self, rng):
        latents = random_latents(params.fourier(7, 6), rng)

        np.testing.assert_allclose(
            params.aligned(7, 6, group=1).decode(latents),
            params.fourier(7, 6).decode(latents),
            atol=1e-6,
        )


class TestMasked:
    @pytest.fixture
    def mask(self):
        mask = np.zeros((8, 6), np.float32)
        mask[2:6, 1:4] = 1
        mask[6] = 0.25
        return mask

    @pytest.fixture
    def image(self, rng):
        return rng.uniform(size=(8, 6, 3)).astype(np.float32)

    @pytest.mark.parametrize("flat", [True, False])
    def test_only_the_region_comes_from_the_param(self, image, mask, flat, rng):
        param = params.fourier(8, 6)
        region = params.masked(param, image, mask if flat else mask[..., None])
        latents = random_latents(param, rng)
        own = param.decode(latents).numpy()
        share = mask[None, ..., None]

        seen = region.decode(latents).numpy()
        np.testing.assert_allclose(seen, share * own + (1 - share) * image, atol=1e-6)
        np.testing.assert_array_equal(seen[:, :2], np.stack([image[:2]] * 4))

    def test_no_gradient_comes_from_outside(self, image, mask):
        region = params.masked(params.pixels(8, 6), image, mask)
        latents = region.init(seeds_for(1))
        with tf.GradientTape() as tape:
            tape.watch(latents)
            total = tf.reduce_sum(region.decode(latents) ** 2)
        moved = np.any(tape.gradient(total, latents)["pixels"][0] != 0, axis=-1)

        np.testing.assert_array_equal(moved, mask > 0)

    def test_only_decode_and_description_are_replaced(self, image, mask):
        param = replace(
            params.aligned(8, 6, group=2),
            project=lambda latents: latents,
            penalty=lambda latents: tf.zeros(2),
        )
        region = params.masked(param, image, mask)

        for name in ("init", "project", "penalty", "encode", "group", "shape"):
            assert getattr(region, name) is getattr(param, name)
        assert region.spec == {}

    def test_wrong_shapes_and_ranges_are_refused(self, image, mask):
        param = params.pixels(8, 6)
        with pytest.raises(ValueError, match=r"`image` must have the shape \(8, 6, 3"):
            params.masked(param, image[:7], mask)
        with pytest.raises(
            ValueError, match=r"`mask` must have .* Received: \(6, 8, 1"
        ):
            params.masked(param, image, mask.T)
        with pytest.raises(ValueError, match="`mask` must lie in .* Received: 0 to 2"):
            params.masked(param, image, 2 * mask)
        with pytest.raises(ValueError, match="`image` must lie in"):
            params.masked(param, 255 * image, mask)


class TestLaplacian:
    def test_levels_have_half_the_size_rounded_up(self):
        start = params.laplacian(9, 6, 2, levels=4).init(seeds_for(1))

        assert {name: tuple(value.shape) for name, value in start.items()} == {
            "level_0": (1, 9, 6, 2),
            "level_1": (1, 5, 3, 2),
            "level_2": (1, 3, 2, 2),
            "level_3": (1, 2, 1, 2),
        }
        flat = np.concatenate([value.numpy().ravel() for value in start.values()])
        assert len(np.unique(flat)) == len(flat)  # levels draw different numbers

    def test_each_level_acts_on_its_own_scale(self):
        """A number in level k changes about 2**k pixels along each axis."""
        param = params.laplacian(64, 64, 1, levels=4)
        for level in range(4):
            latents = {k: 0 * v for k, v in param.init(seeds_for(1)).items()}
            value = np.zeros(latents[f"level_{level}"].shape, np.float32)
            place = value.shape[1] // 2
            value[0, place, place] = 1
            latents[f"level_{level}"] = tf.constant(value)
            change = param.decode(latents).numpy()[0, ..., 0] - 0.5
            rows = change.sum(axis=1) / change.sum()
            centre = np.sum(rows * np.arange(64))
            spread = np.sqrt(np.sum(rows * (np.arange(64) - centre) ** 2))

            assert centre == pytest.approx((place + 0.5) * 2**level - 0.5, abs=0.1)
            assert spread < 0.75 * 2**level

    def test_smooth_images_are_in_the_coarsest_level(self):
        ramp = np.linspace(0.3, 0.7, 32, dtype=np.float32)
        images = np.broadcast_to(ramp[None, :, None, None], (1, 32, 32, 3))
        latents = params.laplacian(32, 32, levels=3).encode(images)
        sizes = [float(tf.reduce_mean(value**2)) for value in latents.values()]

        assert sizes[2] > 100 * max(sizes[:2])


class TestCppn:
    def test_agrees_with_numpy(self, rng):
        param = params.cppn(5, 8, layers=2, hidden=3)
        latents = random_latents(param, rng)
        unit = np.sqrt(3) / 8
        columns, rows = np.meshgrid(np.arange(-7, 8, 2), np.arange(-4, 5, 2))
        points = np.stack([columns, rows], axis=-1) * unit
        for image, seen in enumerate(param.decode(latents).numpy()):
            value = points
            for k in range(3):
                weight, bias = (latents[f"{n}_{k}"][image] for n in ("weight", "bias"))
                if k:
                    angle = np.arctan(value)
                    value = np.concatenate([angle / 0.67, angle**2 / 0.6], axis=-1)
                value = (value @ weight.numpy() + bias.numpy()) * (0.05, 0.05, 0.015)[k]
            expected = scipy.special.expit(value @ correlation(3).T)

            np.testing.assert_allclose(seen, expected, atol=1e-5)

    def test_values_keep_their_variance_through_the_layers(self):
        """Guards against a deep network that starts constant or saturated."""
        sizes = []
        for layers in (1, 4, 8):
            param = params.cppn(24, 24, 1, layers=layers)
            latents = param.init(seeds_for(20))
            last = f"weight_{layers}"
            scale = 1 / (0.015 * np.sqrt(48))
            latents[last] = scale * tf.random.stateless_normal(
                latents[last].shape, [1, 2]
            )
            images = scipy.special.logit(param.decode(latents).numpy())
            sizes.append(images.std(axis=(1, 2)).mean())

        assert min(sizes) > 0.2
        assert max(sizes) < 1.5

    def test_pixels_are_square_at_every_aspect_ratio(self, rng):
        """A wide image equals the middle rows of a square one."""
        wide, square = params.cppn(6, 12, layers=2), params.cppn(12, 12, layers=2)
        latents = random_latents(wide, rng)

        np.testing.assert_allclose(
            wide.decode(latents), square.decode(latents)[:, 3:9], atol=1e-5
        )


class TestMaco:
    @pytest.mark.parametrize("shape", [(16, 16), (9, 7), (10, 15), (15, 10), (1, 6)])
    def test_amplitudes_do_not_depend_on_the_phases(self, shape, rng):
        """Guards against columns with opposite frequencies, and odd sizes."""
        param = params.maco(*shape)
        powers = []
        for _ in range(2):
            images = param.decode(random_latents(param, rng)).numpy()
            values = scipy.special.logit(images.astype(np.float64))
            values = values @ np.linalg.inv(statistics.bundled().color).T
            powers.append(np.abs(np.fft.fft2(values, axes=(1, 2))))
        own_opposite = np.zeros(shape, bool)
        halves = [[0, n // 2] if n % 2 == 0 else [0] for n in shape]
        own_opposite[np.ix_(*halves)] = True

        np.testing.assert_allclose(
            powers[0][:, ~own_opposite], powers[1][:, ~own_opposite], rtol=2e-3
        )
        assert (powers[0][:, ~own_opposite].max(axis=0) > 0).all()
        # Waves that are their own opposites are real and keep the cosine.
        assert powers[0][:, own_opposite].std(axis=0).min() > 0

    def test_waves_that_are_their_own_opposite_have_the_energy_of_the_others(self):
        flat = flat_statistics(1)
        param = params.maco(8, 8, 1, statistics=flat)
        images = param.decode(param.init(seeds_for(600))).numpy()[..., 0]
        values = scipy.special.logit(images) - scipy.special.logit(0.5)
        power = (np.abs(np.fft.fft2(values, axes=(1, 2))) ** 2).mean(axis=0)

        np.testing.assert_allclose(power / power.mean(), 1, atol=0.15)

    @pytest.mark.parametrize("size", [(64, 64), (224, 224), (97, 130), (130, 97)])
    def test_contrast_is_that_of_photographs_at_every_size(self, size):
        """Guards against amplitudes that are resized without regard to energy."""
        param = params.maco(*size)
        images = param.decode(param.init(seeds_for(24))).numpy()
        photos = statistics.bundled()
        deviation = photos.contrast * np.linalg.norm(photos.color, axis=1)

        np.testing.assert_allclose(images.std(axis=(0, 1, 2)), deviation, rtol=0.06)
        np.testing.assert_allclose(images.mean(axis=(0, 1, 2)), photos.mean, atol=0.05)
        assert images.std(axis=(1, 2)).min() > 0.12
        assert np.mean((images < 0.01) | (images > 0.99)) < 0.01

    def test_frequencies_are_those_of_the_size(self):
        """Guards against resizing a spectrum that is not in order of frequency.

        A wave of the same frequency, in cycles per pixel, has the same amplitude at
        every size, up to one factor: where there are fewer octaves, each contributes a
        little more of the contrast.
        """
        photos = statistics.bundled()
        small, large = photos.amplitude(112, 112), photos.amplitude(224, 224)
        ratio = small[:, :, :-1] / large[:, ::2, ::2][:, :, :-1]
        frequency = np.hypot(np.fft.fftfreq(112)[:, None], np.fft.rfftfreq(112)[:-1])
        ratio = ratio[:, frequency > 2 / 112]

        np.testing.assert_allclose(ratio / np.median(ratio), 1, atol=0.35)
        assert 1 < np.median(ratio) < 1.25

    def test_height_and_width_are_not_confused(self):
        """Vertical stripes stay vertical at every size."""
        rows, columns = np.fft.fftfreq(32)[:, None], np.fft.rfftfreq(32)
        amplitude = np.exp(-0.5 * ((rows / 0.02) ** 2 + ((columns - 0.25) / 0.05) ** 2))
        stats = replace(flat_statistics(1), spectrum=amplitude[None] + 1e-3)
        for size in [(30, 57), (57, 30)]:
            param = params.maco(*size, 1, statistics=stats)
            images = param.decode(param.init(seeds_for(3))).numpy()
            down, across = (np.diff(images, axis=axis).std() for axis in (1, 2))
            assert across > 4 * down

    def test_encoding_keeps_the_phases_of_an_image(self, rng):
        param = params.maco(9, 12)
        images = param.decode(random_latents(param, rng))

        again = param.decode(param.encode(images))
        np.testing.assert_allclose(again, images, atol=2e-2)
        noise = scipy.ndimage.gaussian_filter(
            rng.normal(size=(2, 9, 12, 3)), (0, 1, 1, 0)
        )
        other = scipy.special.expit(3 * noise).astype(np.float32)
        seen = param.decode(param.encode(other)).numpy()
        alike = np.corrcoef(seen.reshape(2, -1), other.reshape(2, -1))
        assert alike[0, 2] > 0.5
        assert alike[1, 3] > 0.5

    def test_given_statistics_are_used(self):
        stats = replace(
            flat_statistics(2),
            mean=np.array([0.2, 0.7], np.float32),
            color=np.array([[0.8, 0.6], [-0.6, 0.8]], np.float32),
            contrast=0.1,
        )
        param = params.maco(20, 24, 2, statistics=stats)
        images = param.decode(param.init(seeds_for(30))).numpy()

        np.testing.assert_allclose(images.mean(axis=(0, 1, 2)), [0.2, 0.7], atol=0.01)
        assert images.std() > 0.1
        assert param.spec == {}  # the statistics are not in a file
        with pytest.raises(ValueError, match="must have 3 channels. Received: 2"):
            params.maco(8, 8, statistics=stats)

    def test_the_mean_is_kept_where_contrast_is_high(self):
        """Guards against a mean that the sigmoid pulls towards grey."""
        stats = replace(
            flat_statistics(2),
            mean=np.array([0.2, 0.7], np.float32),
            color=np.array([[0.8, 0.6], [-0.6, 0.8]], np.float32),
            contrast=0.2,
        )
        param = params.maco(32, 32, 2, statistics=stats)
        images = param.decode(param.init(seeds_for(100))).numpy()

        # Without the correction, the means would be 0.237 and 0.670.
        np.testing.assert_allclose(images.mean(axis=(0, 1, 2)), [0.2, 0.7], atol=0.01)

    def test_linearly_dependent_channels_are_handled(self, rng):
        grey = rng.uniform(size=(12, 16, 16, 1)).repeat(3, axis=-1)
        param = params.maco(7, 8, statistics=statistics.measure(grey, size=16))
        images = param.decode(param.init(seeds_for(3))).numpy()

        assert np.isfinite(images).all()
        np.testing.assert_allclose(images[..., 0], images[..., 2], atol=0.01)
        assert np.isfinite(param.encode(images)["phase"]).all()

    def test_other_channel_counts_are_not_mixed(self):
        param = params.maco(64, 64, 4)
        images = param.decode(param.init(seeds_for(16))).numpy()
        alike = np.corrcoef(images.reshape(-1, 4).T)

        assert np.abs(alike - np.eye(4)).max() < 0.2

    def test_a_description_refers_to_the_file_of_the_statistics(self, tmp_path, rng):
        images = rng.uniform(size=(12, 16, 16, 3))
        path = tmp_path / "mine.npz"
        stats = statistics.measure(images, size=16).save(path)
        param = params.maco(6, 8, statistics=stats)
        spec = json.loads(json.dumps(param.spec))
        latents = param.init(seeds_for(2))

        again = params.from_spec(spec)
        np.testing.assert_array_equal(again.decode(latents), param.decode(latents))
        assert again.spec == spec
        statistics.measure(images**2, size=16).save(path)
        with pytest.raises(ValueError, match="not those that the picture was made"):
            params.from_spec(spec)
        path.unlink()
        with pytest.raises(ValueError, match="mine.npz', a file that does not exist"):
            params.from_spec(spec)


def flat_statistics(channels):
    return statistics.Statistics(
        mean=np.full(channels, 0.5, np.float32),
        color=np.eye(channels, dtype=np.float32),
        contrast=0.1,
        spectrum=np.ones((channels, 32, 17), np.float32),
        count=100,
    )


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (3, 2), (1, 1)])
def test_half_spectra_and_their_gradient_are_those_of_numpy(size, rng):
    planes = rng.normal(size=(2, *size, 3)).astype(np.float32)
    tensor = tf.constant(planes)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        parts = half_spectra(tensor)
        upstream = rng.normal(size=parts.shape).astype(np.float32)
        total = tf.reduce_sum(parts * upstream)
    spectra = np.fft.rfft2(planes, axes=(1, 2)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(
        parts, np.stack([spectra.real, spectra.imag], -1), atol=1e-5
    )

    # The gradient is the sum of all waves, each with its part of what comes back.
    waves = upstream[..., 0] + 1j * upstream[..., 1]
    full = np.zeros((2, 3, *size), complex)
    full[..., : waves.shape[-1]] = waves
    expected = np.fft.ifft2(full).real * np.prod(size)
    gradient = tape.gradient(total, tensor).numpy().transpose(0, 3, 1, 2)
    np.testing.assert_allclose(gradient, expected, atol=1e-5)
