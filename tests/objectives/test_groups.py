"""Groups of pictures: diversity, and how the optimization keeps groups together."""

from typing import ClassVar

from types import SimpleNamespace

import keras
import numpy as np
import pytest

import tfviz
from tfviz import objectives, params, transforms
from tfviz.optimize.diverse import _search_weight
from tfviz.optimize.job import Job
from tfviz.optimize.options import Options

SMALL = params.fourier(32, 32)
MILD = transforms.jitter(2)


def diverse_channels(channels, n=3, weight=1.0):
    repeated = [channel for channel in channels for _ in range(n)]
    unit = objectives.channel("conv_b", repeated)
    return unit + weight * objectives.diversity("conv_b", n)


def render(adapter, objective, **options):
    return tfviz.render(adapter, objective, SMALL, MILD, **({"steps": 12} | options))


class TestBatches:
    def test_a_group_shares_a_batch(self, toy_adapter):
        result = render(toy_adapter, diverse_channels(range(4)))

        assert len(result) == 12
        assert [p["batch_size"] for p in result.spec["pictures"]] == [6] * 12
        assert [p["repeat"] for p in result.spec["pictures"]] == [0, 1, 2] * 4

    def test_groups_do_not_influence_each_other(self, toy_adapter):
        first = render(toy_adapter, diverse_channels([3]), batch_size=6)
        second = render(toy_adapter, diverse_channels([3, 5]), batch_size=6)

        np.testing.assert_array_equal(first.images, second.images[:3])

    def test_a_batch_that_would_split_a_group_is_refused(self, toy_adapter):
        with pytest.raises(ValueError, match=r"multiples of 3.*batch_size=4"):
            render(toy_adapter, diverse_channels([3]), batch_size=4)

    def test_pictures_are_rendered_for_the_rest_of_their_group(self, toy_adapter):
        def job():
            return Job(
                toy_adapter,
                diverse_channels(range(3)),
                SMALL,
                MILD,
                Options(steps=8, batch_size=6),
            )

        whole = {
            p: i for b in job().run() for p, i in zip(b.places, b.outcome.pictures)
        }
        left = {0, 1, 2, 4, 6}
        part = {
            p: i for b in job().run(left) for p, i in zip(b.places, b.outcome.pictures)
        }
        assert sorted(part) == [3, 5, 7, 8]
        for place, image in part.items():
            np.testing.assert_array_equal(image, whole[place])

    def test_a_group_can_take_its_place_in_another_job(self, toy_adapter):
        whole = render(toy_adapter, diverse_channels([1, 5]), batch_size=6)
        job = Job(
            toy_adapter,
            diverse_channels([5]),
            SMALL,
            MILD,
            Options(steps=12),
            at=(1, 4, 6),
        )
        (again,) = job.run()

        assert [picture.repeat for picture in job.pictures] == [0, 1, 2]
        np.testing.assert_array_equal(
            again.outcome.pictures / np.float32(255), whole.images[3:]
        )


class TestDistances:
    def test_they_compare_the_saved_pictures(self, toy_adapter):
        result = render(toy_adapter, diverse_channels([3]))
        values = toy_adapter(result.images, "conv_b")["conv_b"].numpy()
        flat = values.reshape(3, -1, 12)
        gram = np.einsum("npc,npd->ncd", flat, flat).reshape(3, -1)
        gram /= np.linalg.norm(gram, axis=1, keepdims=True)

        np.testing.assert_allclose(result.distances, 1 - gram @ gram.T, atol=1e-5)
        assert result.picture_spec(1)["distances"][1] == pytest.approx(0, abs=1e-5)

    @pytest.mark.slow
    def test_units_without_diversity_have_none(self, toy_adapter):
        assert render(toy_adapter, "conv_b:1").distances is None
        mixed = render(
            toy_adapter, [diverse_channels([3]), objectives.channel("conv_b", 1)]
        )
        assert np.isfinite(mixed.distances[:3]).all()
        assert np.isnan(mixed.distances[3]).all()
        assert "distances" not in mixed.picture_spec(3)

    def test_diversity_pushes_pictures_diverse_channels(self, toy_adapter):
        plain = render(toy_adapter, diverse_channels([3], weight=0.0), steps=64)
        pushed = render(toy_adapter, diverse_channels([3], weight=1.0), steps=64)

        assert pushed.distances.mean() > 1.5 * plain.distances.mean()

    @pytest.mark.slow
    def test_a_minimized_unit_is_pushed_apart_too(self, toy_adapter):
        unit = objectives.channel("conv_b:pre", [3] * 3)
        other = objectives.diversity("conv_b", 3)
        plain, pushed = (
            render(toy_adapter, -unit + weight * other, steps=48)
            for weight in (0.0, 0.1)
        )
        assert pushed.distances.mean() > plain.distances.mean()
        assert (pushed.unit_scores > pushed.history[0]).all()


class TestUnitScores:
    def test_they_leave_out_penalties_and_diversity(self, toy_adapter):
        unit = objectives.channel("conv_b", 3)
        result = render(
            toy_adapter,
            unit + objectives.diversity("conv_b", 2) - 3 * objectives.total_variation(),
        )
        activation = toy_adapter(result.images, "conv_b")["conv_b"].numpy()[..., 3]

        np.testing.assert_allclose(
            result.unit_scores, activation.mean((1, 2)), rtol=1e-5
        )
        assert (result.scores < result.unit_scores).all()

    def test_without_auxiliary_terms_they_are_the_scores(self, toy_adapter):
        result = render(toy_adapter, "conv_b:1-2")
        np.testing.assert_array_equal(result.scores, result.unit_scores)


class TestDiverse:
    options: ClassVar = {"param": SMALL, "transforms": transforms.none(), "steps": 48}

    @pytest.mark.slow
    def test_the_weakest_picture_keeps_its_share(self, toy_adapter):
        plain = tfviz.diverse(toy_adapter, "conv_b:3", n=3, weight=0.0, **self.options)
        result = tfviz.diverse(toy_adapter, "conv_b:3", n=3, share=0.7, **self.options)

        start = plain.history[0].mean()
        kept = (result.unit_scores.min() - start) / (plain.unit_scores.max() - start)
        assert kept >= 0.7
        assert result.distances.mean() > plain.distances.mean()
        note = result.spec["diversity"]
        assert note["layer"] == "conv_b"
        assert len(note["tried"]) == 7
        assert note["weight"] in [trial["weight"] for trial in note["tried"]]
        # Larger weights did not keep the share.
        for trial in note["tried"]:
            assert (trial["share"] >= 0.7) <= (trial["weight"] <= note["weight"])

    def test_the_search_is_for_the_weakest_picture_and_not_for_the_mean(self):
        """The weakest keeps `1 - 2 * weight` of its lead, the mean `1 - weight`."""
        tried = []

        def rendered(weight):
            tried.append(weight)
            scores = np.array([5 - 8 * weight, 5])  # the start scores 1
            return SimpleNamespace(history=np.ones((1, 2)), unit_scores=scores)

        weight, result, trials = _search_weight(rendered, 0.5)

        # Quarters until the share is kept, then geometric means.
        halved = [2 ** -(2 - 2**-n) for n in range(1, 4)]
        np.testing.assert_allclose(tried, [0, 4, 1, 0.25, 0.5, *halved])
        assert [trial["weight"] for trial in trials] == tried[1:]
        shares = [trial["share"] for trial in trials]
        np.testing.assert_allclose(shares, 1 - 2 * np.array(tried[1:]))
        assert weight == 0.25
        assert result.unit_scores.tolist() == [3, 5]

    def test_a_given_weight_is_used(self, toy_adapter):
        result = tfviz.diverse(toy_adapter, "conv_b:3", n=2, weight=0.5, **self.options)
        by_hand = tfviz.render(
            toy_adapter,
            diverse_channels([3], n=2, weight=0.5),
            SMALL,
            transforms.none(),
            steps=48,
        )
        assert result.names == ("conv_b:3", "conv_b:3")
        np.testing.assert_array_equal(result.distances, result.distances.T)
        np.testing.assert_allclose(result.unit_scores, result.scores, atol=0.5)
        assert by_hand.distances.shape == result.distances.shape

    @pytest.mark.slow
    def test_units_without_a_map_compare_in_the_last_layer_with_one(self, toy_adapter):
        for unit, layer in (("logit:1", "conv_b"), ("conv_a:1", "conv_a")):
            result = tfviz.diverse(
                toy_adapter, unit, n=2, weight=0.1, **self.options | {"steps": 2}
            )
            assert result.spec["diversity"]["layer"] == layer

    def test_bad_calls_are_refused(self, toy_adapter):
        with pytest.raises(ValueError, match="Received: 2 units"):
            tfviz.diverse(toy_adapter, "conv_b:1-2")
        with pytest.raises(ValueError, match="share=1"):
            tfviz.diverse(toy_adapter, "conv_b:1", share=1)
        with pytest.raises(ValueError, match="n=1"):
            tfviz.diverse(toy_adapter, "conv_b:1", n=1)
        with pytest.raises(ValueError, match="no layer 'conv_c'"):
            tfviz.diverse(toy_adapter, "conv_b:1", layer="conv_c", weight=1.0)


def test_a_penalty_does_not_hide_a_dead_start():
    """Guards against penalties whose gradient makes a dead unit look alive."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Conv2D(2, 3, activation="relu")],
        name="dead",
    )
    kernel = model.layers[0].get_weights()[0]
    kernel -= kernel.mean(axis=(0, 1, 2))  # so that only the bias responds to grey
    model.layers[0].set_weights([kernel, np.array([-0.3, -1e6], np.float32)])
    adapter = tfviz.adapt(model, (-1, 1))
    layer = adapter.layers()[-1].path
    unit = objectives.channel(layer, [0, 1]) - 0.01 * objectives.total_variation()
    with pytest.warns(UserWarning, match=r"1 dead unit,"):
        result = tfviz.render(
            adapter, unit, params.pixels(16, 16), transforms.none(), steps=64
        )

    assert result.stuck.tolist() == [False, True]
    assert result.unit_scores[0] > 0.05
