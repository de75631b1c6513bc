"""Pictures on a Ray cluster of two nodes: equal bytes, deaths, resources."""

import dataclasses
import json
import os
import signal
import socket
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import tensorflow as tf
from support import build_toy, manifest, pictures

import tfviz
from tfviz import params, transforms
from tfviz.optimize.job import Job
from tfviz.optimize.options import Diversity, Options
from tfviz.optimize.plan import LayerPlan
from tfviz.runs import cluster as cluster_module
from tfviz.runs.cluster import Cluster, connect, count_workers
from tfviz.runs.remote_pictures import (
    BatchTask,
    LayerQueue,
    describe_job,
    make_batches_on,
)
from tfviz.runs.run import Run, make_batches
from tfviz.runs.work import Work
from tfviz.runs.workers import GivenUp, work_through

ray = pytest.importorskip("ray", reason="ray is not installed")

# The steps of a batch that takes long enough to be disturbed.
STEPS = 100
UNITS = ["conv_a:*", "conv_b:*", "logit:*"]
# A node of the clusters of these tests.
NODE = {"num_cpus": 1, "object_store_memory": 80 * 1024**2}


def job_of(units=UNITS, steps=3, model=None, **options):
    return Job(
        model or tfviz.adapt(build_toy(), (-1, 1), labels=list("abcde")),
        units,
        params.fourier(32, 32),
        transforms.gentle(),
        Options(steps=steps, batch_size=4, **options),
    )


def make(folder, batches=make_batches, job=None):
    """Make the pictures of a job in a folder, and return what became of the run."""
    folder.mkdir(exist_ok=True)
    run = Run(Work(job or job_of(), folder, ".png"))
    for batch in batches(run.work, "a toy"):
        run.note(batch)
    return run


@pytest.fixture
def _as_users():
    """Let TensorFlow optimize graphs, as it does in the workers; see conftest.py."""
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
    yield
    tf.config.optimizer.set_experimental_options(before)


@contextmanager
def nodes(count):
    """Start a Ray of some nodes on this machine, and connect to it."""
    from ray.cluster_utils import Cluster as Nodes

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    started = Nodes(
        initialize_head=True, head_node_args=NODE | {"include_dashboard": False}
    )
    try:
        for _ in range(count - 1):
            started.add_node(**NODE)
        started.wait_for_nodes()
        with connect(Cluster(started.address)):
            yield started
    finally:
        started.shutdown()


def wait_for(condition, seconds=20):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.2)


def actors(name="PictureWorker"):
    """Return the worker processes of this machine's Ray by their ids."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if command.startswith(f"ray::{name}".encode()):
            found.append(int(path.parent.name))
    return found


class TestQueue:
    def queue(self, *counts):
        plans, first = [], 0
        for count in counts:
            numbers = tuple(range(first, first + count))
            plans.append(LayerPlan("layer", count, count, numbers=numbers))
            first += count
        return LayerQueue(plans, lambda layer, n: BatchTask(n, layer, (), ()))

    def test_a_worker_stays_in_its_layer_and_then_takes_the_longest(self):
        queue = self.queue(2, 3, 1)
        first, second = queue.take(None), queue.take(None)

        assert (first.number, second.number) == (2, 0)
        taken = []
        for _ in range(4):
            first = queue.take(first)
            taken.append(first.number)
        assert taken == [3, 4, 1, 5]
        assert len(queue) == 0

    def test_a_batch_that_comes_back_is_the_next_of_its_layer(self):
        queue = self.queue(3)
        first = queue.take(None)
        queue.put_back(first)

        assert len(queue) == 3
        assert queue.take(None) == first


class TestResources:
    def count(self, monkeypatch, cluster, *resources, most=100):
        listed = [{"Alive": True, "Resources": node} for node in resources]
        listed.append({"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}})
        fake = SimpleNamespace(nodes=lambda: listed)
        monkeypatch.setattr(cluster_module, "import_ray", lambda: fake)
        return count_workers(cluster, most)

    def test_as_many_workers_as_the_nodes_have_room_for(self, monkeypatch):
        large, small = {"CPU": 16.0, "GPU": 1.0}, {"CPU": 3.0}

        assert self.count(monkeypatch, Cluster(), large, small) == 19
        assert self.count(monkeypatch, Cluster(cpus=2), large, small) == 9
        assert self.count(monkeypatch, Cluster(gpus=0.25), large, small) == 4
        assert self.count(monkeypatch, Cluster(), large, small, most=5) == 5
        assert self.count(monkeypatch, Cluster(workers=2), large, small) == 2

    def test_no_room_is_an_error_unless_the_cluster_may_grow(self, monkeypatch):
        node = {"CPU": 2.0}
        with pytest.raises(RuntimeError, match=r"4 CPUs and 1 GPU: .* 2 CPU and 0 GPU"):
            self.count(monkeypatch, Cluster(cpus=4, gpus=1), node)

        assert self.count(monkeypatch, Cluster(gpus=1, workers=3), node) == 3


class TestAddress:
    def test_one_that_does_not_answer_is_an_error_within_seconds(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(
            RuntimeError, match=f"No Ray cluster answers at '{address}'"
        ):
            connect(Cluster(address)).__enter__()
        assert time.monotonic() - began < 10

    @pytest.mark.parametrize("address", ["ray://no-such-host.invalid:1", "a.invalid:2"])
    def test_unknown_hosts_are_named(self, address):
        with pytest.raises(
            RuntimeError, match=f"No Ray cluster answers at '{address}'"
        ):
            connect(Cluster(address)).__enter__()


class TestWhatCannotBeSent:
    def test_a_param_of_your_own(self):
        own = dataclasses.replace(params.fourier(32, 32), spec={})
        job = Job(tfviz.adapt(build_toy(), (0, 1)), "conv_a:0", own)
        with pytest.raises(ValueError, match="A param of your own cannot be sent"):
            describe_job(job, "a toy")

    def test_units_that_are_no_texts(self):
        job = job_of(tfviz.objectives.channel("conv_a", [0, 1]))
        with pytest.raises(ValueError, match="Only units that are given as texts"):
            describe_job(job, "a toy")

    def test_a_transform_of_your_own(self):
        job = job_of()
        job.settings = job.settings | {"transforms": [{"name": "mine"}]}
        with pytest.raises(ValueError, match=r"of your own cannot be sent.*'mine'"):
            describe_job(job, "a toy")

    def test_a_preprocessing_function(self):
        job = job_of(model=tfviz.adapt(build_toy(), lambda x: 2 * x - 1))
        with pytest.raises(ValueError, match="A preprocessing function cannot be sent"):
            describe_job(job, "a toy")


class TestRecipe:
    @pytest.mark.parametrize(
        "options",
        [
            {"optimizer": "normalized"},
            {"stop": [tfviz.stops.plateau()], "candidates": 2, "restarts": 2},
            {"penalties": {"l2": 0.1}, "gradient_blur": 1.0, "seed": 4},
            {"diversity": Diversity(2, 1.0)},
        ],
    )
    def test_it_makes_the_same_job(self, options):
        job = job_of(["conv_a:0-5", "logit:b"], **options)
        recipe = describe_job(job, "a toy")
        again = recipe.make_job()

        assert json.dumps(again.settings) == json.dumps(job.settings)
        assert again.pictures == job.pictures
        assert recipe.plan == describe_job(again, "a toy").plan
        assert recipe.plan != describe_job(job_of("conv_a:*", **options), "x").plan


@pytest.fixture(scope="module")
def two_nodes():
    with nodes(2) as started:
        yield started


class Tasks(list):
    """A queue of tasks that are alike."""

    def take(self, last):
        return self.pop(0)

    def put_back(self, task):
        self.insert(0, task)


@pytest.mark.slow
class TestWorkers:
    def test_a_task_whose_workers_always_die_is_given_up(self, two_nodes):
        class Fragile:
            def start(self):
                return "careful"

            def do(self, task):
                if task == 2:
                    os.kill(os.getpid(), signal.SIGKILL)
                return task * task

        found = work_through(Cluster(), Fragile, (), Tasks([1, 2, 3, 4]), lambda: False)
        with pytest.warns(UserWarning, match="^careful$") as warned:
            results = dict(found)

        assert len(warned) == 1
        given_up = results.pop(2)
        assert isinstance(given_up, GivenUp)
        assert given_up.reason.startswith("its worker died 3 times: ")
        assert results == {1: 1, 3: 9, 4: 16}

    def test_workers_that_die_at_once_end_the_work(self, two_nodes):
        class Broken:
            def start(self):
                os.kill(os.getpid(), signal.SIGKILL)

        with pytest.raises(RuntimeError, match="The workers on the Ray cluster die"):
            list(work_through(Cluster(), Broken, (), Tasks([1]), lambda: False))

    def test_an_exception_ends_the_work_and_all_workers(self, two_nodes):
        class Strict:
            def start(self):
                return None

            def do(self, task):
                raise KeyError(task)

        with pytest.raises(KeyError, match="7"):
            list(work_through(Cluster(), Strict, (), Tasks([7, 8]), lambda: False))
        wait_for(lambda: not actors("Strict"))

    def test_the_overhead_of_a_task_is_small(self, two_nodes):
        class Idle:
            def start(self):
                return None

            def do(self, task):
                return task

        times = []
        for task, result in work_through(
            Cluster(), Idle, (), Tasks(range(100)), lambda: False
        ):
            assert task == result
            times.append(time.monotonic())
        assert (times[-1] - times[0]) / 99 < 0.1


@pytest.mark.slow
@pytest.mark.usefixtures("_as_users")
class TestPictures:
    @pytest.fixture(scope="class")
    def plain(self, tmp_path_factory):
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
        folder = tmp_path_factory.mktemp("plain")
        make(folder, job=job_of(steps=STEPS))
        return pictures(folder)

    def make_on(self, started, folder, after_first=lambda: None):
        """Make the pictures on a cluster, with something that happens in the middle."""
        batches = make_batches_on(Cluster(started.address))

        def disturbed(work, model):
            for place, batch in enumerate(batches(work, model)):
                if place == 0:
                    after_first()
                yield batch

        run = make(folder, disturbed, job_of(steps=STEPS))
        assert run.failed == {}
        assert not list(folder.glob(".*"))
        listed = [entry["name"] for entry in manifest(folder)]
        assert sorted(listed) == sorted({p.name for p in run.work.job.pictures})
        return pictures(folder)

    def test_the_bytes_are_those_without_ray(self, two_nodes, plain, tmp_path):
        assert len(plain) == 25
        assert self.make_on(two_nodes, tmp_path) == plain
        wait_for(lambda: not actors())

    def test_a_worker_that_is_killed_is_replaced(self, two_nodes, plain, tmp_path):
        killed = []

        def kill():
            killed.append(actors()[0])
            os.kill(killed[0], signal.SIGKILL)

        assert self.make_on(two_nodes, tmp_path, kill) == plain
        assert killed

    def test_a_node_that_is_lost_is_done_without(self, two_nodes, plain, tmp_path):
        lost = two_nodes.add_node(**NODE)
        two_nodes.wait_for_nodes()

        def remove():
            assert len(actors()) > 1
            two_nodes.remove_node(lost, allow_graceful=False)

        assert self.make_on(two_nodes, tmp_path, remove) == plain

    def test_another_folder_of_the_same_path_is_an_error(
        self, two_nodes, tmp_path, monkeypatch
    ):
        """As on nodes that do not share it: the worker finds no file of ours."""
        original = Path.write_bytes
        monkeypatch.setattr(
            Path,
            "write_bytes",
            lambda path, data: path.suffix == ".part" or original(path, data),
        )
        batches = make_batches_on(Cluster(two_nodes.address))
        with pytest.raises(RuntimeError, match="is not the same one on"):
            make(tmp_path, batches)
        assert pictures(tmp_path) == {}
