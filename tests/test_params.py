import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from conftest import seeds_for

from tfviz import params
from tfviz.color import correlation

FACTORIES = [params.pixels, params.fourier]
SHAPES = [(8, 8, 3), (7, 5, 3), (5, 8, 1), (6, 9, 6), (1, 1, 3), (2, 1, 2)]


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("shape", SHAPES)
class TestEveryParam:
    def test_images_have_the_shape_and_lie_in_the_unit_range(self, factory, shape):
        param = factory(*shape)
        images = param.decode(param.init(seeds_for(3))).numpy()

        assert param.shape == shape
        assert images.shape == (3, *shape)
        assert images.dtype == np.float32
        assert images.min() > 0
        assert images.max() < 1
        assert abs(images.mean() - 0.5) < 0.05

    def test_extreme_latents_stay_in_range_and_finite(self, factory, shape):
        param = factory(*shape)
        latents = {k: v * 1e6 for k, v in param.init(seeds_for(2)).items()}
        images = param.decode(latents).numpy()

        assert np.isfinite(images).all()
        assert images.min() >= 0
        assert images.max() <= 1

    def test_start_depends_on_the_seed_alone(self, factory, shape):
        param = factory(*shape)
        together = param.init(seeds_for(3))
        alone = param.init(seeds_for(3)[1:2])
        again = param.init(seeds_for(3))

        for name, value in together.items():
            np.testing.assert_array_equal(value[1:2], alone[name])
            np.testing.assert_array_equal(value, again[name])
            assert value.dtype == tf.float32
            assert len(np.unique(value.numpy()[:, ...].reshape(3, -1)[:, 0])) == 3

    def test_gradient_agrees_with_finite_differences(self, factory, shape, rng):
        param = factory(*shape)
        latents = {k: 30 * v for k, v in param.init(seeds_for(2)).items()}
        weights = rng.normal(size=(2, *shape)).astype(np.float32)
        (name,) = latents

        def score(value):
            return tf.reduce_sum(param.decode({name: value}) * weights)

        with tf.GradientTape() as tape:
            tape.watch(latents[name])
            total = score(latents[name])
        gradient = tape.gradient(total, latents[name])
        step = rng.normal(size=latents[name].shape).astype(np.float32)
        size = 1e-2
        up, down = (score(latents[name] + s * size * step) for s in (1, -1))
        measured = float(up - down) / (2 * size)

        assert measured == pytest.approx(
            float(tf.reduce_sum(gradient * step)), rel=2e-2, abs=2e-3
        )

    def test_encoding_an_image_gives_it_back(self, factory, shape, rng):
        param = factory(*shape)
        images = rng.uniform(0.02, 0.98, (2, *shape)).astype(np.float32)

        np.testing.assert_allclose(
            param.decode(param.encode(images)), images, atol=1e-5
        )

    def test_description_makes_it_again(self, factory, shape):
        param = factory(*shape, stddev=0.02)
        again = params.from_spec(param.spec)

        assert again.spec == param.spec
        start = param.init(seeds_for(2))
        np.testing.assert_array_equal(again.decode(start), param.decode(start))


@pytest.mark.parametrize("factory", FACTORIES)
def test_gradient_descent_fits_an_image(factory, rng):
    # Smooth, as photographs are: in `fourier` white noise takes longer.
    noise = scipy.ndimage.gaussian_filter(rng.normal(size=(1, 9, 7, 3)), (0, 1, 1, 0))
    target = (0.5 + 0.4 * noise / np.abs(noise).max()).astype(np.float32)
    param = factory(9, 7)
    latents = {k: tf.Variable(v) for k, v in param.init(seeds_for(1)).items()}
    optimizer = tf.keras.optimizers.Adam(0.1)
    for _ in range(300):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((param.decode(latents) - target) ** 2)
        variables = list(latents.values())
        optimizer.apply(tape.gradient(loss, variables), variables)

    assert float(loss) < 1e-4


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


def test_start_is_as_far_from_grey_at_every_size():
    spread = []
    for size in (32, 64, 128, 224):
        param = params.fourier(size, size)
        images = param.decode(param.init(seeds_for(2))).numpy()
        spread.append(np.std(np.log(images / (1 - images))))

    # Lucid's start has 0.0155 to 0.0203 before the colours, which keep 0.6 of it.
    assert min(spread) > 0.6 * 0.0140
    assert max(spread) < 0.6 * 0.0225


def test_no_column_of_the_spectrum_starts_with_less_energy():
    """Guards against a first and middle column of half the variance."""
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


def test_own_colour_matrix_is_used():
    param = params.pixels(2, 2, 2, color=[[1.0, 0.5], [0.0, 1.0]])
    pixels = tf.constant([[[[0.3, -0.2]] * 2] * 2])
    expected = 1 / (1 + np.exp(-np.array([0.3 - 0.1, -0.2])))

    seen = param.decode({"pixels": pixels})[0, 0, 0]
    np.testing.assert_allclose(seen, expected, rtol=1e-6)


@pytest.mark.parametrize("factory", FACTORIES)
def test_bad_settings_are_refused(factory):
    with pytest.raises(ValueError, match="height=0, width=8"):
        factory(0, 8)
    with pytest.raises(ValueError, match="whole numbers"):
        factory(8, 8.5)
    with pytest.raises(ValueError, match="stddev=-1"):
        factory(8, 8, stddev=-1)
    with pytest.raises(ValueError, match=r"invertible matrix of shape \(3, 3\)"):
        factory(8, 8, color=np.ones((3, 3)))
    with pytest.raises(ValueError, match=r"color of shape \(2, 2\)"):
        factory(8, 8, color=np.eye(2))


def test_a_standard_deviation_of_zero_means_zero():
    param = params.fourier(6, 6, stddev=0)

    np.testing.assert_array_equal(param.decode(param.init(seeds_for(1))), 0.5)


def test_unknown_description_is_refused():
    with pytest.raises(ValueError, match="no param 'wavelet'"):
        params.from_spec({"name": "wavelet"})
