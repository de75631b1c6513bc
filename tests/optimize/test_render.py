import gc
import weakref
import warnings
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from support import build_toy, noted_runners

import tfviz
from tfviz.optimize import runner
from tfviz import objectives, params, transforms
from tfviz.optimize.runner import cache_of
from tfviz.optimize.step import Problem
from tfviz.optimize.job import Job
from tfviz.optimize.options import Options

SMALL = params.fourier(32, 32)
MILD = transforms.jitter(3)
# All that moves, within what the toy network is large enough for.
MOVES = transforms.chain(
    transforms.pad(3),
    transforms.jitter(3),
    transforms.rotate(range(-5, 6)),
    transforms.crop(3),
)


def render(adapter, objective, param=SMALL, moves=MILD, **options):
    return tfviz.render(adapter, objective, param, moves, **({"steps": 6} | options))


def test_the_result_has_what_it_says(toy_adapter):
    result = render(toy_adapter, "conv_b:0-2")

    assert len(result) == 3
    assert result.images.shape == (3, 32, 32, 3)
    assert result.images.dtype == np.float32
    assert result.scores.shape == result.stuck.shape == (3,)
    assert result.history.shape == (6, 3)
    assert result.names == ("conv_b:0", "conv_b:1", "conv_b:2")
    assert result.spec["pictures"][1] == {
        "unit": "conv_b:1",
        "repeat": 0,
        "slot": 1,
        "batch_size": 3,
        "xla": False,
    }


def test_scores_are_those_of_the_saved_bytes(toy_adapter):
    result = render(toy_adapter, "conv_b:0-2")
    as_bytes = result.images * 255

    np.testing.assert_allclose(as_bytes, np.round(as_bytes), atol=1e-4)
    activations = toy_adapter(result.images, "conv_b")["conv_b"].numpy()
    expected = activations.mean((1, 2))[np.arange(3), np.arange(3)]
    np.testing.assert_allclose(result.scores, expected, rtol=1e-5)


RISING = {
    "channel": lambda: objectives.channel("conv_b", [0, 1]),
    "neuron": lambda: objectives.neuron("conv_b", [0, 1]),
    "layer": lambda: objectives.layer("conv_b"),
    "logit": lambda: objectives.logit([0, 1]),
    "probability": lambda: objectives.probability([0, 1]),
    "negative": lambda: -objectives.logit([0, 1]),
    "difference": lambda: objectives.logit(0) - objectives.logit([1, 2]),
    "product": lambda: objectives.channel("conv_a", [0, 1]) * 3,
}


@pytest.mark.parametrize("name", RISING)
@pytest.mark.parametrize(
    "factory", [params.fourier, pytest.param(params.pixels, marks=pytest.mark.slow)]
)
def test_untransformed_scores_rise(name, factory, toy_adapter):
    """Guards against a sign that is lost: minimized images look plausible too."""
    objective, param = RISING[name](), factory(32, 32)
    before = tfviz.render(
        toy_adapter, objective, param, transforms.none(), steps=1, learning_rate=1e-9
    )
    after = tfviz.render(toy_adapter, objective, param, transforms.none(), steps=30)

    assert (after.scores > before.scores + 1e-3).all()
    assert (after.history[-1] > after.history[0]).all()


class TestSameness:
    def test_one_seed_gives_the_same_bytes(self, toy_adapter):
        first, second = (
            render(toy_adapter, "conv_b:0-2", moves=MOVES, seed=4) for _ in range(2)
        )

        assert first.images.tobytes() == second.images.tobytes()
        assert first.history.tobytes() == second.history.tobytes()

    def test_other_seeds_give_other_pictures(self, toy_adapter):
        first, second = (render(toy_adapter, "conv_b:0", seed=s) for s in (4, 5))

        assert np.abs(first.images - second.images).max() > 0.01

    def test_a_unit_asked_for_twice_gives_two_pictures(self, toy_adapter):
        result = render(toy_adapter, ["conv_b:2", "conv_b:2"])

        assert np.abs(result.images[0] - result.images[1]).max() > 0.01
        assert [p["repeat"] for p in result.spec["pictures"]] == [0, 1]

    def test_neighbours_do_not_change_a_picture(self, toy_adapter):
        options = {"moves": MOVES, "steps": 40, "batch_size": 4}
        first = render(toy_adapter, "conv_b:3+conv_b:4", **options)
        units = ["conv_b:3+conv_b:4", "conv_b:7+conv_b:8", "conv_b:1+conv_b:2"]
        second = render(toy_adapter, units, **options)

        np.testing.assert_array_equal(first.images[0], second.images[0])
        np.testing.assert_array_equal(first.history[:, 0], second.history[:, 0])

    def test_alone_and_in_a_batch_agree_after_one_step(self, toy_adapter):
        units = [f"conv_b:{i}" for i in range(5)]
        batch = render(toy_adapter, units, steps=1)
        for place in (0, 3):
            alone = render(toy_adapter, units[place], steps=1)
            np.testing.assert_allclose(
                batch.images[place], alone.images[0], atol=1e-3 + 1 / 255
            )
            np.testing.assert_allclose(
                batch.history[:, place], alone.history[:, 0], rtol=1e-3
            )

    def test_another_order_of_units_gives_the_same_starts(self, toy_adapter):
        forth = render(toy_adapter, ["conv_b:1", "conv_b:2"], steps=1)
        back = render(toy_adapter, ["conv_b:2", "conv_b:1"], steps=1)

        np.testing.assert_allclose(forth.images, back.images[::-1], atol=1e-3 + 1 / 255)

    def test_a_class_by_name_is_the_class_by_index(self, toy_adapter):
        named, counted = (render(toy_adapter, f"logit:{t}") for t in ("bee", "1"))

        np.testing.assert_array_equal(named.images, counted.images)
        assert named.names == counted.names == ("logit:bee",)


class TestBatches:
    def test_more_units_than_a_batch_are_chunked_without_another_trace(
        self, toy_adapter, monkeypatch
    ):
        made = noted_runners(monkeypatch)
        cache_of(toy_adapter).clear()
        result = render(toy_adapter, "conv_b:0-10", batch_size=4, steps=3)

        assert len(result) == 11
        assert [each.traces for each in made] == [1]
        assert [p["slot"] for p in result.spec["pictures"]] == [0, 1, 2, 3] * 2 + [
            0,
            1,
            2,
        ]

    def test_transforms_are_traced_once(self, toy_adapter):
        calls = []

        def counted(images, seeds):
            calls.append(images.shape)
            return images

        transform = transforms.Transform(counted)
        render(toy_adapter, "conv_b:0-8", moves=transform, batch_size=3, steps=40)

        # Once to find out the size, once for the step and its redirected gradient.
        assert len(calls) == 2

    def test_different_layers_keep_the_order_asked_for(self, toy_adapter):
        units = ["conv_b:1", "logit:2", "conv_b:4"]
        together = render(toy_adapter, units, batch_size=2)

        assert together.names == ("conv_b:1", "logit:cat", "conv_b:4")
        for place, unit in enumerate(units):
            alone = render(toy_adapter, unit, batch_size=2)
            tolerance = {"rtol": 0.05, "atol": 1e-3}
            np.testing.assert_allclose(
                together.scores[place], alone.scores[0], **tolerance
            )

    def test_pictures_that_are_left_out_move_no_other(self, toy_adapter):
        def job():
            return Job(
                toy_adapter,
                [f"conv_b:{i}" for i in range(7)],
                SMALL,
                MILD,
                Options(steps=20, batch_size=3),
            )

        whole = {
            p: i for b in job().run() for p, i in zip(b.places, b.outcome.pictures)
        }
        part = {
            p: i
            for b in job().run({0, 1, 2, 4})
            for p, i in zip(b.places, b.outcome.pictures)
        }

        assert sorted(part) == [3, 5, 6]
        for place, image in part.items():
            np.testing.assert_array_equal(image, whole[place])

    def test_a_picture_can_be_put_where_another_job_had_it(self, toy_adapter):
        units = ["conv_b:5", "conv_b:1", "conv_b:5"]
        whole = render(toy_adapter, units, steps=20)
        job = Job(toy_adapter, "conv_b:5", SMALL, MILD, Options(steps=20), at=(1, 2, 3))
        (again,) = job.run()

        np.testing.assert_array_equal(
            again.outcome.pictures[0] / np.float32(255), whole.images[2]
        )


class TestRunnerCache:
    """What is compiled is kept, and nothing but time may tell."""

    @pytest.fixture
    def adapter(self):
        return tfviz.adapt(build_toy(), (-1, 1))

    def test_other_units_and_seeds_need_no_other(self, adapter, monkeypatch):
        made = noted_runners(monkeypatch)
        first = render(adapter, "conv_b:0-1", steps=20)
        render(adapter, "conv_b:7-8", steps=4, seed=3, learning_rate=0.2)
        again = render(adapter, "conv_b:0-1", steps=20)

        assert [each.traces for each in made] == [1]
        assert again.images.tobytes() == first.images.tobytes()
        assert again.history.tobytes() == first.history.tobytes()
        fresh = render(tfviz.adapt(build_toy(), (-1, 1)), "conv_b:0-1", steps=20)
        assert fresh.images.tobytes() == first.images.tobytes()
        assert len(made) == 2

    @pytest.mark.parametrize(
        "other",
        [
            {"objective": "conv_a:0-1"},
            {"objective": "logit:0-1"},
            {"objective": ["conv_b:0", "conv_b:1", "conv_b:2"]},
            {"param": params.fourier(32, 32)},
            {"moves": transforms.jitter(3)},
            {"options": Options(gradient_blur=1.0)},
            {"options": Options(smooth_pools=True)},
            {"options": Options(optimizer="normalized")},
            {"options": Options(optimizer=keras.optimizers.SGD(0.1))},
        ],
    )
    def test_what_is_another_gets_its_own(self, other, toy_adapter):
        def key(objective="conv_b:0-1", param=SMALL, moves=MILD, options=None):
            job = Job(toy_adapter, objective, param, moves, options)
            planned = job.batches[0]
            problem = Problem(
                toy_adapter, planned.objective, job.param, job.transforms, job.options
            )
            same = (id(job.param), id(job.transforms))
            return same, runner._key(problem, planned.size)

        assert key() == key(objective="conv_b:4-5")
        assert key() != key(**other)

    def test_settings_of_an_optimizer_count_and_not_the_object(self, adapter):
        optimizer = keras.optimizers.SGD(0.5)
        slow = render(adapter, "conv_b:0", optimizer=optimizer)
        optimizer.learning_rate = 5.0
        fast = render(adapter, "conv_b:0", optimizer=optimizer)
        again = render(adapter, "conv_b:0", optimizer=keras.optimizers.SGD(0.5))

        assert np.abs(fast.images - slow.images).max() > 0.01
        np.testing.assert_array_equal(again.images, slow.images)
        assert len(cache_of(adapter)) == 2

    def test_equal_params_that_are_other_objects_do_not_share_one(self, adapter):
        for _ in range(2):
            render(adapter, "conv_b:0", params.pixels(32, 32), steps=1)

        assert len(cache_of(adapter)) == 2

    def test_it_is_freed_with_its_adapter(self):
        adapter = tfviz.adapt(build_toy(), (-1, 1))
        render(adapter, "conv_b:0", steps=1)
        gone = weakref.ref(adapter)
        assert len(cache_of(adapter)) == 1
        del adapter
        gc.collect()

        assert gone() is None

    def test_weights_may_change_in_between(self, adapter):
        before = render(adapter, "conv_b:0")
        adapter.model.get_layer("conv_b").bias.assign([0.5] * 12)
        after = render(adapter, "conv_b:0")

        assert len(cache_of(adapter)) == 1
        assert after.history[0, 0] > before.history[0, 0] + 0.05

    @pytest.mark.slow
    def test_an_interrupted_one_is_not_kept_and_old_ones_are_let_go(self, adapter):
        def interrupt(progress):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            render(adapter, "conv_b:1", callbacks=[interrupt])
        assert not cache_of(adapter)
        # The next start replaces everything that such a one holds.
        with pytest.raises(FloatingPointError):
            render(adapter, objectives.channel("conv_b", 1) * 1e38 * 1e38)
        assert len(cache_of(adapter)) == 1
        for unit in ("conv_a:0", "conv_b:0", "pool:0", "head:0", "logit:0"):
            render(adapter, unit, moves=transforms.none(), steps=1)
        assert len(cache_of(adapter)) == 4
        kinds = [key[0] for key, _ in cache_of(adapter)._kept]
        assert ("channel", "conv_a") not in kinds

    def test_defaults_are_the_same_objects_in_each_call(self, adapter):
        none = transforms.none()
        for unit in ("conv_b:0", "conv_b:1"):
            tfviz.render(adapter, unit, transforms=none, steps=1)
        assert len(cache_of(adapter)) == 1
        job, other = (Job(adapter, "conv_b:0") for _ in range(2))
        assert job.transforms is other.transforms

    def test_two_jobs_at_once_do_not_share_one(self, adapter):
        options = Options(steps=18, batch_size=1)
        jobs = [
            Job(adapter, f"conv_b:{i}-{i + 1}", SMALL, MILD, options) for i in (0, 4)
        ]
        alone = [[b.outcome.pictures for b in job.run()] for job in jobs]
        mixed = list(zip(*(job.run() for job in jobs), strict=True))

        for number in (0, 1):
            for ours, theirs in zip(alone[number], mixed, strict=True):
                np.testing.assert_array_equal(ours, theirs[number].outcome.pictures)

        inner = []
        settings = {"steps": 32, "seed": 1}
        expected = render(adapter, "conv_b:3", **settings).images
        result = render(
            adapter,
            "conv_b:3",
            **settings,
            callbacks=[lambda p: inner.append(render(adapter, "conv_b:5"))],
        )
        np.testing.assert_array_equal(result.images, expected)


class TestShapes:
    @pytest.mark.parametrize(
        "size", [(33, 47), pytest.param((40, 31), marks=pytest.mark.slow)]
    )
    @pytest.mark.parametrize(
        "factory", [params.fourier, pytest.param(params.pixels, marks=pytest.mark.slow)]
    )
    def test_any_size(self, size, factory, squeezenet):
        result = tfviz.render(squeezenet, "fire2:3", factory(*size), MILD, steps=2)

        assert result.images.shape == (1, *size, 3)

    @pytest.mark.parametrize(
        "channels", [1, 2, pytest.param(6, marks=pytest.mark.slow)]
    )
    def test_any_number_of_channels(self, channels):
        adapter = tfviz.adapt(build_toy(channels=channels), (0, 1))
        result = tfviz.render(adapter, "conv_b:1", None, MILD, steps=3)

        assert result.images.shape == (1, 32, 32, channels)

    def test_a_fixed_input_is_resized_to(self, toy_adapter):
        result = render(toy_adapter, "conv_b:1", params.fourier(48, 40))

        assert result.images.shape == (1, 48, 40, 3)

    def test_the_default_param_has_the_model_s_size(self, toy_adapter):
        result = tfviz.render(toy_adapter, "conv_b:1", transforms=MILD, steps=1)

        assert result.images.shape == (1, 32, 32, 3)
        assert result.spec["param"]["name"] == "fourier"

    def test_growing_transforms_show_the_model_a_larger_image(self, squeezenet):
        job = Job(
            squeezenet,
            objectives.neuron("fire2", 1),
            params.fourier(64, 64),
            transforms.lucid(),
            Options(steps=1),
        )
        (batch,) = job.run()

        assert job.pictures[0].text == "fire2:1@9,9"  # of 76 pixels, not of 64
        assert batch.outcome.pictures.shape == (1, 64, 64, 3)


class TestOptimizer:
    def test_a_keras_optimizer_is_used_and_keeps_its_state(self, toy_adapter):
        optimizer = keras.optimizers.SGD(5.0, momentum=0.9)
        before = optimizer.get_config(), [v.numpy() for v in optimizer.variables]
        first = render(toy_adapter, "conv_b:0", optimizer=optimizer)
        second = render(toy_adapter, "conv_b:0", optimizer=optimizer)

        np.testing.assert_array_equal(first.images, second.images)
        assert optimizer.get_config() == before[0]
        assert [v.numpy() for v in optimizer.variables] == before[1]
        assert first.spec["optimizer"]["class_name"] == "SGD"

    def test_our_adam_agrees_with_keras(self, toy_adapter):
        ours = render(
            toy_adapter, "conv_b:0", steps=5, learning_rate=0.03, momentum=0.9
        )
        theirs = render(
            toy_adapter,
            "conv_b:0",
            steps=5,
            optimizer=keras.optimizers.Adam(0.03, epsilon=1e-8),
        )

        np.testing.assert_allclose(ours.history, theirs.history, rtol=1e-3)
        np.testing.assert_allclose(ours.images, theirs.images, atol=2 / 255)

    def test_each_batch_begins_without_momentum(self, toy_adapter):
        for optimizer in (None, keras.optimizers.Adam(0.05)):
            result = render(
                toy_adapter,
                ["conv_b:3"] * 2,
                batch_size=1,
                optimizer=optimizer,
                param=replace(SMALL, init=lambda seeds: SMALL.init(0 * seeds)),
                moves=transforms.none(),
            )
            np.testing.assert_array_equal(result.images[0], result.images[1])


class TestParamsOfOnesOwn:
    def test_projection_is_applied_after_each_step(self, toy_adapter):
        param = params.pixels(32, 32)
        boxed = replace(
            param,
            project=lambda latents: {
                k: tf.clip_by_value(v, -0.1, 0.1) for k, v in latents.items()
            },
        )
        result = render(toy_adapter, "conv_b:0", boxed, steps=20)
        widest = param.decode({"pixels": np.full((1, 1, 1, 3), 0.1, np.float32)})

        assert result.images.max() <= np.max(widest) + 1 / 255
        free = render(toy_adapter, "conv_b:0", param, steps=20)
        assert free.images.max() > np.max(widest) + 0.05

    def test_penalty_is_subtracted_for_each_picture(self, toy_adapter):
        param = params.pixels(32, 32)
        flat = replace(
            param,
            penalty=lambda latents: (
                1e4 * tf.reduce_sum(latents["pixels"] ** 2, (1, 2, 3))
            ),
        )
        result = render(toy_adapter, "conv_b:0", flat, steps=60, learning_rate=0.001)

        assert np.abs(result.images - 0.5).max() < 0.02

    def test_several_latents_are_moved_together(self, toy_adapter):
        one = params.pixels(32, 32)
        both = replace(
            one,
            init=lambda seeds: {
                "a": one.init(seeds)["pixels"],
                "b": one.init(seeds + 1)["pixels"],
                "unused": tf.zeros((seeds.shape[0], 2)),
            },
            decode=lambda z: one.decode({"pixels": z["a"] + z["b"]}),
            spec={},
        )
        result = render(toy_adapter, "conv_b:0-1", both, steps=10)

        assert (result.history[-1] > result.history[0]).all()


class TestStart:
    def test_an_image_is_where_the_picture_begins(self, toy_adapter, rng):
        image = rng.uniform(0.1, 0.9, (32, 32, 3))
        for factory in (params.fourier, params.pixels):
            result = render(
                toy_adapter,
                "conv_b:0-1",
                factory(32, 32),
                steps=1,
                learning_rate=1e-6,
                start=image,
            )
            np.testing.assert_allclose(
                result.images, np.stack([image] * 2), atol=1 / 255
            )

    def test_each_picture_can_have_its_own(self, toy_adapter, rng):
        images = rng.uniform(0.1, 0.9, (3, 32, 32, 3))
        result = render(
            toy_adapter,
            "conv_b:0-2",
            steps=1,
            learning_rate=1e-6,
            start=images,
            batch_size=2,
        )

        np.testing.assert_allclose(result.images, images, atol=1 / 255)

    def test_bad_starts_are_refused(self, toy_adapter):
        bright = np.zeros((32, 32, 3))
        bright[0, 0] = 255
        closed = replace(SMALL, encode=None)

        with pytest.raises(ValueError, match=r"shape \(32, 32, 3\) or 1 of"):
            render(toy_adapter, "conv_b:0", start=np.zeros((31, 32, 3)))
        with pytest.raises(ValueError, match=r"lie in \[0, 1\]. Received: 0 to 255"):
            render(toy_adapter, "conv_b:0", start=bright)
        with pytest.raises(ValueError, match="no `encode`"):
            render(toy_adapter, "conv_b:0", closed, start=bright)


class TestCallbacks:
    def test_they_see_every_block(self, toy_adapter):
        seen = []
        result = render(
            toy_adapter,
            "conv_b:0-2",
            steps=40,
            batch_size=2,
            callbacks=[seen.append],
        )

        assert [(p.batch, p.step) for p in seen] == [
            (0, 16),
            (0, 32),
            (0, 40),
            (1, 16),
            (1, 32),
            (1, 40),
        ]
        assert {(p.steps, p.batches) for p in seen} == {(40, 2)}
        assert seen[0].names == ("conv_b:0", "conv_b:1")
        np.testing.assert_array_equal(seen[1].scores, result.history[31, :2])
        np.testing.assert_array_equal(seen[-1].scores, result.history[-1, 2:])

    def test_images_are_those_of_the_moment(self, toy_adapter):
        images = []
        result = render(
            toy_adapter,
            "conv_b:0",
            steps=32,
            callbacks=[lambda p: images.append(p.images())],
        )

        np.testing.assert_array_equal(images[-1], result.images)
        assert np.abs(images[0] - images[1]).max() > 0.01

    def test_true_ends_the_steps_of_the_batch(self, toy_adapter):
        result = render(
            toy_adapter,
            "conv_b:0-1",
            steps=48,
            batch_size=1,
            callbacks=[lambda p: p.batch == 0 and p.step == 16, lambda p: None],
        )

        assert np.isnan(result.history[16:, 0]).all()
        assert np.isfinite(result.history[:16, 0]).all()
        assert np.isfinite(result.history[:, 1]).all()

    def test_truthy_is_not_true(self, toy_adapter):
        result = render(toy_adapter, "conv_b:0", steps=20, callbacks=[lambda p: "go"])

        assert np.isfinite(result.history).all()


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"steps": 0},
                "`steps` must be a whole number of at least 1. Received: steps=0",
            ),
            ({"steps": 2.5}, "steps=2.5"),
            ({"learning_rate": 0}, "`learning_rate` must be above 0"),
            ({"learning_rate": float("nan")}, "learning_rate=nan"),
            ({"batch_size": 0}, "`batch_size` must be a whole number of at least 1"),
            ({"objective": "conv_x:1"}, "no layer 'conv_x'"),
            ({"objective": "conv_b:99"}, "channels 0 to 11. Received: 99"),
            (
                {"param": params.fourier(32, 32, 1)},
                "images of 3 channels, but `param` makes images of 1",
            ),
            (
                {"param": params.fourier(6, 6), "moves": transforms.crop(3)},
                "leaves nothing",
            ),
        ],
    )
    def test_is_refused_before_any_work(self, options, message, toy_adapter):
        with pytest.raises(ValueError, match=message):
            render(toy_adapter, **({"objective": "conv_b:0"} | options))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"objective": 3}, "`objective` must be an Objective, a text"),
            ({"objective": []}, "not empty"),
            ({"param": (32, 32)}, "`param` must be a Param"),
            ({"moves": [transforms.jitter(3)]}, "`transforms` must be a Transform"),
            ({"moves": ()}, "`transforms` must be a Transform"),
        ],
    )
    def test_of_a_wrong_type_is_refused(self, options, message, toy_adapter):
        with pytest.raises(TypeError, match=message):
            render(toy_adapter, **({"objective": "conv_b:0"} | options))

    def test_images_too_small_for_the_network_are_refused(self, squeezenet):
        with pytest.raises(ValueError, match="16x16 do not fit.*224x224 works"):
            tfviz.render(squeezenet, "fire9:0", params.fourier(16, 16), steps=1)

    def test_a_score_that_is_not_finite_is_an_error(self, toy_adapter):
        huge = objectives.channel("conv_b", 1) * 1e38 * 1e38
        with pytest.raises(FloatingPointError, match="score of .* was not finite"):
            render(toy_adapter, huge)


@pytest.mark.slow
def test_nothing_is_warned_of_when_many_layers_are_rendered(toy_adapter, capfd):
    """Guards against TensorFlow's warnings of repeated tracing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        units = [f"{name}:{i}" for i in (0, 1) for name in ("conv_a", "pool", "head")]
        units += ["logit:0", "prob:0", "conv_b"]
        render(toy_adapter, units, moves=transforms.none(), steps=1)

    assert "retracing" not in capfd.readouterr().err


def test_mixed_precision_models_render(rng):
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        adapter = tfviz.adapt(build_toy(), (0, 1))
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    result = render(adapter, "conv_b:0", steps=20)

    assert result.history[-1] > result.history[0]
    assert result.images.dtype == np.float32
