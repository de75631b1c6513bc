"""The number of pictures that fit into the memory of a GPU."""

import numpy as np
import pytest
import tfviz
from support import build_toy
from tfviz import objectives, params, transforms
from tfviz.optimize import job as job_module
from tfviz.optimize import memory
from tfviz.optimize.job import Job
from tfviz.optimize.options import Options
from tfviz.optimize.step import Problem

GIGABYTE = 10**9


@pytest.mark.parametrize(
    ("free", "of_one", "expected"),
    [
        (80 * GIGABYTE, 100_000_000, 256),
        (16 * GIGABYTE, 100_000_000, 128),  # 12.8 of 16 GB
        (16 * GIGABYTE - 10, 100_000_000, 64),
        (1 * GIGABYTE, 400_000_000, 2),
        (1 * GIGABYTE, 500_000_000, 1),
        (1000, 500_000_000, 1),  # one must do
    ],
)
def test_a_power_of_two_of_pictures_fits(free, of_one, expected):
    assert memory.largest_fitting(free, of_one) == expected


def bytes_of(adapter, layer, size, n=1):
    unit = objectives.channel(layer, range(n)).bound(adapter, (size, size))
    param = params.pixels(size, size)
    problem = Problem(adapter, unit, param, transforms.none(), Options())
    return memory.step_bytes(problem, np.zeros((n, 2), np.int32))


def test_the_tensors_of_a_step_are_counted():
    adapter = tfviz.adapt(build_toy(size=None), (0, 1))
    small, large = (bytes_of(adapter, "conv_a", size) for size in (32, 64))
    # An image, its gradient, and the map of 15 x 15 x 8 with its gradient, at least.
    assert small > 4 * (2 * 32 * 32 * 3 + 2 * 15 * 15 * 8)
    assert large / small == pytest.approx(4, rel=0.15)
    assert bytes_of(adapter, "conv_b", 32) > small
    two = bytes_of(adapter, "conv_a", 32, n=2)
    assert two / small == pytest.approx(2, rel=0.1)


def job(adapter, units, **options):
    param = params.pixels(32, 32)
    return Job(adapter, units, param, transforms.none(), Options(**options))


def test_on_a_cpu_auto_is_the_default(toy_adapter):
    units = ["conv_a:0-7", "conv_b:0-11"]
    auto, default = job(toy_adapter, units, batch_size="auto"), job(toy_adapter, units)

    assert memory.free_memory_of_gpu() is None
    assert auto.settings == default.settings
    assert auto.settings["batch"] is None
    assert auto.settings["largest_batch"] == 8
    assert [b.size for b in auto.batches] == [b.size for b in default.batches]


def test_on_a_gpu_auto_is_what_fits(toy_adapter, monkeypatch):
    """The deepest layer decides, and no batch is larger than there are pictures."""
    units = ["conv_b:0-11", "conv_a:0-3"]
    of_one = bytes_of(toy_adapter, "conv_b", 32)
    monkeypatch.setattr(memory, "free_memory_of_gpu", lambda: 9 * of_one / 0.8)
    asked = []

    def noted(problem, seeds):
        asked.append(problem.objective.names)
        return memory.fitting_batch(problem, seeds)

    monkeypatch.setattr(job_module, "fitting_batch", noted)
    auto = job(toy_adapter, units, batch_size="auto")

    assert asked == [("conv_b:0",)]
    assert auto.settings["largest_batch"] == 8
    assert [(b.size, len(b.places)) for b in auto.batches] == [(8, 8), (8, 4), (4, 4)]
    monkeypatch.setattr(memory, "free_memory_of_gpu", lambda: 5 * of_one / 0.8)
    auto = job(toy_adapter, units, batch_size="auto")
    assert auto.settings["largest_batch"] == 4
    again = Options.from_spec(auto.settings)
    assert (again.batch_size, again.largest_batch) == (None, 4)
    assert [p.batch_size for p in auto.pictures] == [4] * 16


def test_other_words_are_refused():
    with pytest.raises(ValueError, match="'auto' or None. Received: batch_size='all'"):
        Options(batch_size="all")
