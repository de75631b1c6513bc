from dataclasses import replace

import keras
import numpy as np
import pytest
import tfviz
import tensorflow as tf
from tfviz import params, transforms, views


class TestResized:
    def test_enlarging_is_bilinear(self):
        images = tf.constant([[0.0, 1.0]])[None, ..., None]

        shown = views.resized()(images, (1, 4, 1))
        np.testing.assert_allclose(shown.numpy().ravel(), [0, 0.25, 0.75, 1])

    def test_shrinking_keeps_the_mean(self):
        """Guards against aliasing by dropping columns."""
        stripes = np.tile([0.0, 1.0, 0.0], (1, 24, 8))[..., None].astype(np.float32)

        shown = views.resized()(stripes, (8, 8, 1)).numpy()
        np.testing.assert_allclose(shown[0, 2:-2, 2:-2], 1 / 3, atol=0.02)

    @pytest.mark.parametrize("shape", [(5, 9), (9, 5), (7, 7)])
    def test_sizes_need_not_be_square(self, shape, rng):
        images = rng.uniform(size=(2, 7, 7, 3)).astype(np.float32)

        assert views.resized()(images, (*shape, 3)).shape == (2, *shape, 3)

    def test_grey_becomes_colour_and_back(self, rng):
        grey = rng.uniform(size=(2, 4, 4, 1)).astype(np.float32)
        colour = views.resized()(grey, (4, 4, 3)).numpy()

        np.testing.assert_array_equal(colour, np.repeat(grey, 3, axis=-1))
        np.testing.assert_allclose(views.resized()(colour, (4, 4, 1)), grey, atol=1e-6)

    def test_other_channels_are_refused(self):
        with pytest.raises(ValueError, match="2 channels cannot be shown .* takes 3"):
            views.resized()(tf.zeros((1, 4, 4, 2)), (4, 4, 3))


class TestCropped:
    def test_the_middle_is_shown(self):
        images = np.arange(7.0 * 6).reshape(1, 7, 6, 1).astype(np.float32)

        np.testing.assert_array_equal(
            views.cropped()(images, (3, 4, 1)), images[:, 2:5, 1:5]
        )

    def test_a_picture_that_is_too_small_is_refused(self):
        with pytest.raises(ValueError, match="5 x 9 pixels cannot be cut .* 6 x 6"):
            views.cropped()(tf.zeros((1, 6, 6, 1)), (5, 9, 1))


class TestPlaced:
    def test_the_rest_is_grey(self, rng):
        image = rng.uniform(size=(1, 3, 2, 3)).astype(np.float32)
        shown = views.placed(1, 4, 3, 2)(image, (6, 7, 3)).numpy()

        np.testing.assert_array_equal(shown[:, 1:4, 4:6], image)
        shown[:, 1:4, 4:6] = 0.5
        np.testing.assert_array_equal(shown, np.full((1, 6, 7, 3), 0.5))

    @pytest.mark.parametrize("box", [(-1, 0, 3, 3), (0, 5, 3, 3), (4, 0, 3, 3)])
    def test_the_box_lies_in_the_view(self, box):
        with pytest.raises(ValueError, match="does not lie in a view of 6 x 7"):
            views.placed(*box)(tf.zeros((1, 3, 3, 1)), (6, 7, 1))

    def test_a_box_has_a_size(self):
        with pytest.raises(
            ValueError, match="`height` must be a whole number of at least 1"
        ):
            views.placed(0, 0, 0, 3)


class TestReceptiveField:
    def test_it_follows_from_kernels_and_strides(self, toy_adapter):
        """Two convolutions of 3 pixels with stride 2: 7 pixels, 4 apart."""
        field = views.receptive_field
        assert field(toy_adapter, "conv_b", 0, 0) == (0, 0, 7, 7)
        assert field(toy_adapter, "conv_b", 2, 1) == (8, 4, 7, 7)
        assert field(toy_adapter, "conv_b") == field(toy_adapter, "conv_b", 3, 3)

    def test_inactive_units_do_not_hide_it(self):
        model = keras.Sequential(
            [
                keras.Input((12, 12, 3)),
                keras.layers.Conv2D(2, 3, activation="relu"),
                keras.layers.MaxPooling2D(2, name="pool"),
            ]
        )
        model.layers[0].bias.assign([-100.0, -100.0])

        adapter = tfviz.adapt(model, (0, 1))
        assert views.receptive_field(adapter, "pool", 1, 2) == (2, 4, 4, 4)

    def test_a_layer_without_a_map_is_refused(self, toy_adapter):
        with pytest.raises(ValueError, match="'pool' has no map"):
            views.receptive_field(toy_adapter, "pool")

    def test_a_position_outside_of_the_map_is_refused(self, toy_adapter):
        with pytest.raises(ValueError, match="7 rows and 7 columns .* row=7"):
            views.receptive_field(toy_adapter, "conv_b", 7, 0)


class TestInTheLoop:
    """The model sees the view; the picture that is saved stays as it is."""

    def render(self, adapter, view, size=16, channels=3, **options):
        param = params.pixels(size, size, channels)
        param = replace(param, view=view)
        settings = {"steps": 8, **options}
        return tfviz.render(adapter, "conv_b:3-4", param, transforms.none(), **settings)

    def test_pictures_have_their_own_size(self, toy_adapter):
        result = self.render(toy_adapter, views.resized())

        assert result.images.shape == (2, 16, 16, 3)
        assert result.views.shape == (2, 32, 32, 3)
        assert (result.scores > result.history[0]).all()

    def test_scores_are_those_of_the_views(self, toy_adapter):
        result = self.render(toy_adapter, views.placed(4, 3, 10, 20))
        activations = toy_adapter(result.views, "conv_b")["conv_b"]

        expected = [activations[i, ..., 3 + i].numpy().mean() for i in range(2)]
        np.testing.assert_allclose(result.scores, expected, rtol=1e-4)
        np.testing.assert_array_equal(result.views[:, 0], np.full((2, 32, 3), 0.5))

    def test_grey_pictures_for_a_model_of_colours(self, toy_adapter):
        result = self.render(toy_adapter, views.resized(), channels=1)

        assert result.images.shape == (2, 16, 16, 1)
        assert result.views.shape == (2, 32, 32, 3)

    def test_without_a_view_they_are_the_same(self, toy_adapter):
        result = self.render(toy_adapter, None)

        np.testing.assert_array_equal(result.views, result.images)

    def test_the_gradient_goes_through(self, toy_adapter):
        """A neuron that sees a corner of the view changes a corner of the picture."""
        param = replace(params.pixels(16, 16), view=views.resized())
        unit = tfviz.objectives.neuron("conv_b", 3, 0, 0)
        start = param.decode(param.init([[0, 0]])).numpy()
        result = tfviz.render(
            toy_adapter, unit, param, transforms.none(), steps=8, start=start[0]
        )
        moved = np.abs(result.images[0] - start[0]).max(-1) > 2 / 255

        assert moved[:4, :4].all()
        assert not moved[4:].any()
        assert not moved[:, 4:].any()
