"""Tests of what the benchmarks time, on small pictures."""

import argparse

import numpy as np
import pytest
import tensorflow as tf
import tfviz
from support import load_script, tolerance
from tfviz import priors

workload = load_script("workload", "benchmarks")
SIZE = 32
CLOSE = tolerance(1e-4, 2e-2, "gradients through a network")


@pytest.fixture(scope="module")
def adapter():
    return tfviz.adapt(tfviz.load_model("squeezenet"))


@pytest.fixture(scope="module")
def problem(adapter):
    return workload.build_problem(adapter, "conv1", 2, SIZE)


def gradients_of(problem, images_of, held):
    """Return the gradients of the mean activations that a problem asks for."""
    with tf.GradientTape() as tape:
        tape.watch(held)
        activations = problem.adapter.forward(images_of(held), ["conv1"])["conv1"]
        means = tf.reduce_mean(activations, axis=(1, 2))
        score = means[0, 0] + means[1, 1]
    return tape.gradient(score, held)


def test_a_problem_shows_the_first_channels_of_a_layer(problem):
    assert problem.objective.layers == ("conv1",)
    np.testing.assert_array_equal(problem.objective.units["channel"], [0, 1])
    assert problem.param.shape == (SIZE, SIZE, 3)
    np.testing.assert_array_equal(workload.seeds_of(problem), [[0, 0], [1, 1]])


def test_the_command_line_requests_a_problem():
    parser = argparse.ArgumentParser()
    workload.add_arguments(parser)
    options = parser.parse_args(["--batch=3", "--size=48"])
    requested = workload.requested_problem("fire2", options)
    assert requested.objective.layers == ("fire2",)
    assert len(requested.objective) == 3
    assert requested.param.shape == (48, 48, 3)


@pytest.mark.parametrize("by_xla", [False, True])
def test_a_bare_gradient_is_that_of_the_images(problem, by_xla):
    bare = workload.BareSteps(problem, SIZE, by_xla=by_xla)
    # Near 0, float32 keeps the small steps.
    images = 1e-3 * np.random.default_rng(0).random((2, SIZE, SIZE, 3), np.float32)
    bare._held["images"].assign(images)
    bare(1)
    moved = bare._held["images"].numpy() - images
    expected = 1e-6 * gradients_of(problem, lambda x: x, tf.constant(images)).numpy()
    assert np.abs(moved - expected).max() < CLOSE * np.abs(expected).max()


def test_with_a_prior_it_is_that_of_the_latents(adapter):
    prior = priors.load("inverter")
    problem = workload.build_problem(adapter, "conv1", 2, SIZE, prior)
    bare = workload.BareSteps(problem, SIZE)
    start = {name: 1e-3 * value.numpy() for name, value in bare._held.items()}
    for name, value in start.items():
        bare._held[name].assign(value)
    bare(1)

    def images_of(latents):
        return prior.view(prior.decode(latents), (SIZE, SIZE, 3))

    held = {name: tf.constant(value) for name, value in start.items()}
    for name, gradient in gradients_of(problem, images_of, held).items():
        moved, expected = bare._held[name].numpy() - start[name], 1e-6 * gradient
        difference = np.abs(moved - expected).max()
        assert difference < CLOSE * np.abs(expected).max(), name


def test_a_forward_pass_has_no_gradient(problem):
    forward = workload.BareSteps(problem, SIZE, gradient=False)
    before = forward._held["images"].numpy()
    forward(2)
    np.testing.assert_array_equal(forward._held["images"].numpy(), before)
    kinds = {
        name: {operation.type for operation in steps.graph.get_operations()}
        for name, steps in (
            ("forward", forward),
            ("gradient", workload.BareSteps(problem, SIZE)),
        )
    }
    assert "Conv2D" in kinds["forward"]
    assert kinds["gradient"] - kinds["forward"] >= {"Conv2DBackpropInput"}


@pytest.mark.slow
def test_steps_in_one_computation_are_the_same_steps(problem):
    apart = workload.full_steps(problem)(3)
    together = workload.steps_of_one_computation(problem, 3)(3)
    assert apart.shape == (3, 2)
    assert apart[2, 0] > apart[0, 0]
    scale = tolerance(1e-3, 5e-2, "scores of a network after 3 steps")
    np.testing.assert_allclose(together, apart, rtol=scale, atol=1e-6)


def test_seconds_of_a_step_are_the_median(monkeypatch):
    times = iter([0.0, 4.0, 10.0, 12.0, 20.0, 120.0])
    monkeypatch.setattr(workload.time, "perf_counter", lambda: next(times))
    counts = []
    assert workload.seconds_of_a_step(counts.append, 2, repeats=3) == 2.0
    assert counts == [2, 2, 2]
