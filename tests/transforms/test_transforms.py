import json

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from support import seeds_for

from tfviz import transforms
from tfviz.transforms._base import normal, uniform, warp

EVERY = {
    "pad": transforms.pad(3),
    "crop": transforms.crop(2),
    "jitter": transforms.jitter(3),
    "rotate": transforms.rotate(range(-20, 21)),
    "turn": transforms.rotate([90, 180, 45, 200]),
    "scale": transforms.scale([0.7, 1.0, 1.6]),
    "flip": transforms.flip(),
    "box": transforms.box(0.4, 0.9),
    "blur": transforms.blur(0.5, 1.5),
    "noise": transforms.noise(0.1),
    "none": transforms.none(),
    "distill": transforms.distill(),
    "lucid": transforms.lucid(),
    "maco": transforms.maco(),
    "mixed": transforms.chain(
        transforms.jitter(2), transforms.noise(0.1), transforms.rotate([5, -5])
    ),
}
GROWTH = {"pad": 6, "crop": -4, "lucid": 12}


@pytest.mark.parametrize("name", EVERY)
class TestEveryTransform:
    def test_sizes_change_by_a_fixed_number_of_pixels(self, name, rng):
        images = rng.uniform(size=(2, 11, 14, 2)).astype(np.float32)
        growth = GROWTH.get(name, 0)

        seen = EVERY[name](images, seeds_for(2))
        assert seen.shape == (2, 11 + growth, 14 + growth, 2)
        assert seen.dtype == tf.float32

    def test_each_image_depends_on_its_own_seed_alone(self, name, rng):
        images = rng.uniform(size=(1, 11, 14, 3)).astype(np.float32)
        images = np.repeat(images, 6, axis=0)
        together = EVERY[name](images, seeds_for(6)).numpy()
        alone = EVERY[name](images[4:5], seeds_for(6)[4:5]).numpy()

        np.testing.assert_allclose(together[4:5], alone, atol=1e-6)
        if name not in ("pad", "crop", "none"):
            assert len({image.tobytes() for image in together}) > 1

    def test_eager_and_compiled_agree(self, name, rng):
        images = rng.uniform(size=(2, 9, 12, 3)).astype(np.float32)
        compiled = tf.function(EVERY[name].apply)

        np.testing.assert_allclose(
            compiled(images, seeds_for(2)), EVERY[name](images, seeds_for(2)), atol=1e-6
        )

    def test_gradient_is_the_exact_adjoint(self, name, rng):
        """<A x, y> = <x, A* y> for the linear part A of the transform."""
        transform, seeds = EVERY[name], seeds_for(3)
        images = tf.constant(rng.normal(size=(3, 13, 10, 2)).astype(np.float32))
        with tf.GradientTape() as tape:
            tape.watch(images)
            seen = transform(images, seeds)
            other = rng.normal(size=seen.shape).astype(np.float32)
            total = tf.reduce_sum(seen * other)
        gradient = tape.gradient(total, images)
        direction = rng.normal(size=images.shape).astype(np.float32)
        linear = transform(direction, seeds) - transform(0 * direction, seeds)
        size = np.linalg.norm(direction) * np.linalg.norm(other)

        difference = np.sum(gradient * direction) - np.sum(linear * other)
        assert abs(difference) < 1e-5 * size

    def test_the_description_recreates_it(self, name, rng):
        spec = json.loads(json.dumps(EVERY[name].spec))
        again = transforms.from_spec(spec)
        images = rng.uniform(size=(2, 40, 40, 3)).astype(np.float32)

        assert json.loads(json.dumps(again.spec)) == spec
        if len(spec) > 1 or not spec:  # a chain derives other seeds for its step
            np.testing.assert_array_equal(
                again(images, seeds_for(2)), EVERY[name](images, seeds_for(2))
            )


def test_resampling_agrees_with_scipy(rng):
    image = rng.uniform(size=(17, 12)).astype(np.float32)
    angle, zoom = 0.4, 1.3
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn / zoom
    matrix = np.eye(3, dtype=np.float32)
    matrix[:2, :2], matrix[:2, 2] = linear, (1.7, -2.2)
    # SciPy counts rows first.
    swap = matrix[[1, 0, 2]][:, [1, 0, 2]]
    columns, rows = np.meshgrid(np.arange(10), np.arange(21))
    points = np.einsum("ij,jhw->ihw", swap, np.stack([rows, columns, 0 * rows + 1]))
    # Zero outside, but with the slope of the edge pixels as SciPy's grid-constant.
    expected = scipy.ndimage.map_coordinates(
        image - 0.5, points[:2], order=1, mode="grid-constant", cval=0
    )
    seen = warp(
        tf.constant(image)[None, ..., None],
        tf.constant(matrix)[None],
        (21, 10),
        reach=3,
        fill=0.5,
    )

    np.testing.assert_allclose(seen[0, ..., 0], expected + 0.5, atol=2e-5)


def test_rotation_is_counter_clockwise_about_the_centre(rng):
    images = rng.uniform(size=(1, 9, 9, 2)).astype(np.float32)
    seen = transforms.rotate([90])(images, seeds_for(1))

    np.testing.assert_allclose(seen[0], np.rot90(images[0]), atol=1e-5)


def test_rotation_agrees_with_scipy(rng):
    image = rng.uniform(size=(15, 15)).astype(np.float32)
    seen = transforms.rotate([12])(image[None, ..., None], seeds_for(1))
    expected = scipy.ndimage.rotate(
        image, 12, reshape=False, order=1, mode="grid-constant", cval=0.5
    )

    np.testing.assert_allclose(seen[0, ..., 0], expected, atol=1e-4)


def test_scale_above_one_magnifies():
    image = np.zeros((1, 21, 21, 1), np.float32)
    image[0, 8:13, 8:13] = 1
    seen = transforms.scale([2.0])(image, seeds_for(1)).numpy()

    assert seen.sum() == pytest.approx(4 * image.sum(), rel=0.02)


def test_jitter_shifts_by_whole_pixels_and_reaches_both_ends(rng):
    image = rng.uniform(size=(1, 9, 11, 1)).astype(np.float32)
    seen = transforms.jitter(2)(np.repeat(image, 300, axis=0), seeds_for(300)).numpy()
    padded = np.pad(image[0, ..., 0], 2, constant_values=0.5)
    windows = {
        (row, column): padded[row : row + 9, column : column + 11]
        for row in range(5)
        for column in range(5)
    }
    counts = dict.fromkeys(windows, 0)
    for picture in seen[..., 0]:
        (place,) = [p for p, w in windows.items() if np.allclose(picture, w, atol=1e-6)]
        counts[place] += 1

    assert min(counts.values()) >= 3  # of 12 on average: none of the 25 is missing


def test_flip_mirrors_half_of_the_images(rng):
    image = rng.uniform(size=(1, 5, 6, 3)).astype(np.float32)
    seen = transforms.flip()(np.repeat(image, 200, axis=0), seeds_for(200)).numpy()
    same = np.isclose(seen, image, atol=1e-6).all(axis=(1, 2, 3))
    mirrored = np.isclose(seen, image[:, :, ::-1], atol=1e-6).all(axis=(1, 2, 3))

    assert (same ^ mirrored).all()
    assert 70 < same.sum() < 130


def test_box_agrees_with_scipy(rng):
    image = rng.uniform(size=(14, 20))
    rows, columns = np.meshgrid(np.arange(14), np.arange(20), indexing="ij")
    # The ramps show where each pixel comes from.
    planes = np.stack([image, rows, columns], axis=-1).astype(np.float32)
    seen = transforms.box(0.3, 0.6)(np.stack([planes] * 5), seeds_for(5)).numpy()
    for picture in seen:
        places = np.moveaxis(picture[..., 1:], -1, 0)
        expected = scipy.ndimage.map_coordinates(image, places, order=1)
        np.testing.assert_allclose(picture[..., 0], expected, atol=1e-4)
        # The box has the shape of the image.
        height, width = places[0, -1, 0] - places[0, 0, 0], np.ptp(places[1])
        assert height / 13 == pytest.approx(width / 19, rel=1e-4)
        assert 0.3 <= width / 19 <= 0.6


def test_a_box_of_the_whole_image_is_the_image(rng):
    images = rng.uniform(size=(3, 9, 12, 2)).astype(np.float32)

    np.testing.assert_allclose(
        transforms.box(1, 1)(images, seeds_for(3)), images, atol=1e-5
    )


def test_boxes_are_drawn_as_published():
    """Sides are uniform, centres normal about the middle, and all of it inside."""
    ramp = np.broadcast_to(np.arange(60, dtype=np.float32)[:, None], (1500, 2, 60, 1))
    seen = transforms.box(0.1, 0.3)(ramp, seeds_for(1500)).numpy()
    first, last = seen[:, 0, 15, 0], seen[:, 0, 45, 0]
    share = (last - first) / 30
    centre = (first + last + 1 - share) / 120

    assert seen.min() >= 0
    assert seen.max() <= 59
    assert share.mean() == pytest.approx(0.2, abs=0.005)
    assert share.std() == pytest.approx(0.2 / np.sqrt(12), abs=0.005)
    assert centre.mean() == pytest.approx(0.5, abs=0.02)
    assert centre.std() == pytest.approx(0.15, abs=0.01)
    assert np.abs(np.corrcoef(share, centre)[0, 1]) < 0.1


@pytest.mark.parametrize("stddev", [0.6, 2.0])
def test_blur_agrees_with_scipy(stddev, rng):
    images = rng.uniform(size=(2, 7, 13, 5)).astype(np.float32)
    seen = transforms.blur(stddev)(images, seeds_for(2))
    expected = scipy.ndimage.gaussian_filter(
        images, (0, stddev, stddev, 0), radius=(0, *[int(np.ceil(4 * stddev))] * 2, 0)
    )

    np.testing.assert_allclose(seen, expected, atol=1e-5)


def test_noise_has_the_deviation_and_does_not_clip():
    seen = transforms.noise(0.2)(np.ones((3, 50, 60, 3), np.float32), seeds_for(3))

    assert np.std(seen) == pytest.approx(0.2, rel=0.02)
    assert np.mean(seen) == pytest.approx(1, abs=0.005)
    assert np.max(seen) > 1


def test_pad_then_crop_changes_nothing(rng):
    images = rng.uniform(size=(2, 6, 9, 3)).astype(np.float32)
    chain = transforms.chain(transforms.pad(5), transforms.crop(5))

    np.testing.assert_allclose(chain(images, seeds_for(2)), images, atol=1e-6)


def test_pad_fills_with_the_value_on_each_side():
    seen = transforms.pad(2, fill=0.25)(np.ones((1, 3, 4, 1), np.float32), seeds_for(1))
    expected = np.pad(np.ones((3, 4)), 2, constant_values=0.25)

    np.testing.assert_allclose(seen[0, ..., 0], expected)


def test_combined_motions_equal_the_product_of_their_matrices(rng):
    """A chain resamples once: rotating there and back loses nothing inside."""
    images = rng.uniform(size=(1, 31, 31, 1)).astype(np.float32)
    chain = transforms.chain(
        transforms.pad(20),
        transforms.rotate([33]),
        transforms.rotate([-33]),
        transforms.crop(20),
    )
    seen = chain(images, seeds_for(1))

    np.testing.assert_allclose(seen, images, atol=1e-4)
    once = transforms.rotate([33])(images, seeds_for(1))
    twice = transforms.rotate([-33])(once, seeds_for(1))
    assert np.abs(twice - images)[0, 10:20, 10:20].max() > 0.05


def test_equal_steps_of_a_chain_draw_differently():
    one = transforms.jitter(10)
    inner = transforms.chain(one, one)
    image = np.zeros((200, 81, 81, 1), np.float32)
    image[:, :, 40] = 1
    for chain in (inner, transforms.chain(inner, one)):
        row = chain(image, seeds_for(200)).numpy()[:, 40, :, 0]
        found = np.argmax(row, axis=1) - 40
        assert (row.max(axis=1) > 0.99).all()
        # If the draws were the same, all sums would be multiples of 2 or 3.
        assert len({int(p) % 2 for p in found}) == 2
        assert len({int(p) % 3 for p in found}) == 3


def test_presets_keep_or_grow_the_size_as_documented(rng):
    images = rng.uniform(size=(1, 64, 50, 3)).astype(np.float32)

    assert transforms.distill()(images, seeds_for(1)).shape == (1, 64, 50, 3)
    assert transforms.lucid()(images, seeds_for(1)).shape == (1, 76, 62, 3)
    assert transforms.maco()(images, seeds_for(1)).shape == (1, 64, 50, 3)
    np.testing.assert_array_equal(transforms.none()(images, seeds_for(1)), images)


def test_distill_has_the_ranges_of_the_footnote():
    assert [dict(entry) for entry in transforms.distill().spec] == [
        {"name": "pad", "pixels": 16},
        {"name": "jitter", "pixels": 16},
        {"name": "scale", "factors": (1, 0.975, 1.025, 0.95, 1.05)},
        {"name": "rotate", "degrees": tuple(range(-5, 6))},
        {"name": "jitter", "pixels": 8},
        {"name": "crop", "pixels": 16},
    ]


def test_maco_is_a_box_before_distill():
    box, *others = transforms.maco().spec

    assert dict(box) == {"name": "box", "low": 0.6, "high": 1.0}
    assert tuple(others) == transforms.distill().spec


def test_bad_options_are_refused(rng):
    with pytest.raises(
        ValueError, match=r"crop\(3\) leaves nothing of an image of 5x9"
    ):
        transforms.crop(3)(np.zeros((1, 5, 9, 3), np.float32), seeds_for(1))
    with pytest.raises(ValueError, match="pixels=-1"):
        transforms.jitter(-1)
    with pytest.raises(ValueError, match=r"pixels=1.5"):
        transforms.pad(1.5)
    with pytest.raises(ValueError, match="above 0"):
        transforms.scale([1, 0])
    for low, high in [(0, 0.5), (0.5, 0.4), (0.5, 1.1)]:
        with pytest.raises(ValueError, match=f"low={low}, high={high}"):
            transforms.box(low, high)
    with pytest.raises(ValueError, match="at least one"):
        transforms.rotate([])
    with pytest.raises(ValueError, match="low=2, high=1"):
        transforms.blur(2, 1)
    with pytest.raises(ValueError, match=r"stddev=-0.1"):
        transforms.noise(-0.1)
    with pytest.raises(ValueError, match="no transform 'swirl'"):
        transforms.from_spec([{"name": "swirl"}])


@pytest.mark.parametrize("by_xla", [False, True])
def test_random_numbers_are_the_same_with_and_without_xla(by_xla):
    """Those of TensorFlow outside of XLA, which makes others of the same bits."""
    seeds = seeds_for(3)

    def draw(seeds):
        return uniform(seeds, 5), normal(seeds, (5, 3)), normal(seeds, (2,))

    drawn = tf.function(draw, jit_compile=by_xla, autograph=False)(seeds)
    of_tensorflow = [
        [tf.random.stateless_uniform([5], seed) for seed in seeds],
        [tf.random.stateless_normal([5, 3], seed) for seed in seeds],
        [tf.random.stateless_normal([2], seed) for seed in seeds],
    ]
    np.testing.assert_array_equal(drawn[0], of_tensorflow[0])
    for numbers, expected in zip(drawn[1:], of_tensorflow[1:], strict=True):
        np.testing.assert_allclose(numbers, expected, atol=2e-6)
