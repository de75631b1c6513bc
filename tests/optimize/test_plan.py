"""The plan of a job, and the estimate of its time."""

import time
import tracemalloc

import keras
import pytest

import tfviz
from tfviz import params, transforms
from tfviz.optimize import plan
from tfviz.optimize.job import Job
from tfviz.optimize.options import Options
from tfviz.optimize.plan import Cost, estimate, measure_cost, plan_layers

SMALL = params.fourier(16, 16)
STILL = transforms.none()


def job_of(adapter, units, **options):
    return Job(adapter, units, SMALL, STILL, Options(**({"steps": 4} | options)))


def build_wide(*widths):
    """A network of 1x1 convolutions `layer0`, `layer1`, ... of these widths."""
    inputs = x = keras.Input((16, 16, 3))
    for number, width in enumerate(widths):
        x = keras.layers.Conv2D(width, 1, name=f"layer{number}")(x)
    return tfviz.adapt(keras.Model(inputs, x), (0, 1))


def test_pictures_are_counted_by_layer(toy_adapter):
    job = job_of(toy_adapter, ["conv_b:*", "conv_a:*", "logit:*", "neg:conv_b:3"])
    finished, failed = {0, 1, 2, 3, 4, 5, 6, 7, 12}, {8, 20}
    plans = plan_layers(job, finished, failed)

    counts = [
        (p.layer, p.units, p.batches, p.finished, p.failed, p.left) for p in plans
    ]
    assert counts == [
        ("conv_b", 12, 2, 8, 1, 3),
        ("conv_a", 8, 1, 1, 0, 7),
        ("logit", 5, 1, 0, 1, 4),
        ("-conv_b:pre", 1, 1, 0, 0, 1),
    ]
    # The first batch of conv_b is finished.
    assert [p.numbers for p in plans] == [(1,), (2,), (3,), (4,)]
    assert plans[0].spec == {
        "layer": "conv_b",
        "units": 12,
        "batches": 2,
        "finished": 8,
        "failed": 1,
        "left": 3,
        "seconds": None,
    }


def test_kinds_of_units_of_a_layer_are_told_apart(toy_adapter):
    units = ["conv_b:1", "conv_b:1@2,3", "conv_b", "conv_a:1+logit:2", "prob:0"]

    assert [p.layer for p in plan_layers(job_of(toy_adapter, units))] == [
        "conv_b (as conv_b:1)",
        "conv_b (as conv_b:1@2,3)",
        "conv_b (as conv_b)",
        "conv_a+logit",
        "prob",
    ]


def test_the_cost_of_a_batch_is_linear_in_steps_and_restarts(toy_adapter, monkeypatch):
    """On a clock by which a step takes 2 s, a start 3 s and a compilation 10 s."""
    now = [0.0]
    monkeypatch.setattr(plan.time, "monotonic", lambda: now[0])

    class Runner:
        def outcome(self):
            now[0] += 1

        def run(self, first, count, rate):
            now[0] += 2 * count

    class OnAClock(Job):
        def lend_runner(self, number, wanted):
            return lend()

    from contextlib import contextmanager

    @contextmanager
    def lend():
        now[0] += 10
        yield Runner(), start

    def start(restart):
        now[0] += 3

    options = Options(steps=100, restarts=3)
    job = OnAClock(toy_adapter, "conv_b:0-3", SMALL, STILL, options)

    assert measure_cost(job, 0, [0, 1, 2, 3]) == Cost(14.0, 3 * (4 + 200))


def test_layers_that_are_not_tried_lie_between_their_neighbours(monkeypatch):
    adapter = build_wide(8, 16, 8, 24, 8)
    job = job_of(adapter, "layer*:*")
    tried = []

    def measured(job, number, wanted):
        """On a clock by which batches of layer k take k + 1 seconds."""
        layer = int(job.batches[number].objective.layers[0][-1])
        tried.append(layer)
        now[0] += 9
        return Cost(10.0 * layer, layer + 1.0)

    now = [0.0]
    monkeypatch.setattr(plan.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(plan, "measure_cost", measured)
    plans, count = estimate(job, plan_layers(job))

    # Two take 18 seconds, and a third would take more than 20.
    assert (tried, count) == ([4, 0], 2)
    batches = [1, 2, 1, 3, 1]
    expected = [10 * k + n * (k + 1) for k, n in enumerate(batches)]
    assert [p.seconds for p in plans] == pytest.approx(expected)


def test_finished_layers_cost_nothing_and_are_not_tried(monkeypatch):
    job = job_of(build_wide(8, 16, 8), "layer*:*")
    tried = []

    def measured(job, number, wanted):
        tried.append((number, wanted))
        return Cost(1.0, 8.0)

    monkeypatch.setattr(plan, "measure_cost", measured)
    done = {*range(8), *range(8, 18)}
    plans, count = estimate(job, plan_layers(job, done), done)

    assert (plans[0].seconds, count) == (0, 2)
    assert tried == [(3, list(range(8))), (2, list(range(2, 8)))]
    assert [p.seconds for p in plans[1:]] == [9, 9]
    everything = set(range(32))
    plans, count = estimate(job, plan_layers(job, everything), everything)
    assert ([p.seconds for p in plans], count) == ([0, 0, 0], 0)


def test_the_trial_changes_no_picture(toy_adapter):
    job = job_of(toy_adapter, "conv_b:*")
    before = [batch.outcome.pictures.tobytes() for batch in job.run()]
    plans, measured = estimate(job, plan_layers(job))

    assert measured == 1
    assert plans[0].seconds > 0
    assert [batch.outcome.pictures.tobytes() for batch in job.run()] == before


def test_a_job_of_thousands_of_units_is_made_in_seconds():
    """The time is linear in the units, and so is the memory: about 3 kB a unit."""
    adapter = build_wide(*[1000] * 6)
    seconds = {}
    for layers in ("[0-2]", "[0-5]"):
        began = time.process_time()
        job = job_of(adapter, f"layer{layers}:*")
        seconds[len(job.pictures)] = time.process_time() - began

    assert sorted(seconds) == [3000, 6000]
    assert seconds[6000] < 10
    assert seconds[6000] < 3 * seconds[3000] + 0.5
    tracemalloc.start()
    job = job_of(adapter, "layer*:*")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(job.batches) == 750
    assert held < 30e6


def test_one_image_as_the_start_of_thousands_is_held_once(toy_adapter, rng):
    image = rng.uniform(0.1, 0.9, (16, 16, 3))
    single = Job(toy_adapter, "conv_b:3", SMALL, STILL, start=image)
    many = Job(toy_adapter, ["conv_b:3"] * 500, SMALL, STILL, start=image)

    assert all(len(values) == 1 for values in many.start.values())
    # More units have the same start, so that a folder can be continued with them.
    assert many.settings["start"] == single.settings["start"]
