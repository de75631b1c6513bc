"""Batches of which some pictures cannot be made."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from support import build_overflowing

import tfviz
from tfviz import params, transforms
from tfviz.optimize.attempts import HOPELESS, attempt_batches, describe
from tfviz.optimize.job import Job
from tfviz.optimize.options import Diversity, Options
from tfviz.optimize.runner import Runner, cache_of

SMALL = params.fourier(16, 16)
STILL = transforms.none()
# The channels whose scores are infinite.
BAD = (3, 10, 11)


@pytest.fixture(scope="module")
def adapter():
    keras.utils.set_random_seed(0)
    return tfviz.adapt(build_overflowing(BAD), (0, 1))


def job_of(adapter, units="far:*", **options):
    options = {"steps": 3, "batch_size": 8} | options
    return Job(adapter, units, SMALL, STILL, Options(**options))


def pictures_of(batches):
    """Return the bytes of pictures by their place."""
    return {
        place: batch.outcome.pictures[row].tobytes()
        for batch in batches
        for row, place in enumerate(batch.places)
    }


def test_pictures_that_fail_are_found_and_the_others_are_made(adapter):
    attempts = list(attempt_batches(job_of(adapter)))

    assert [attempt.number for attempt in attempts] == [0, 1]
    failed = {place for attempt in attempts for place in attempt.failures}
    assert failed == set(BAD)
    for attempt in attempts:
        for place, failure in attempt.failures.items():
            assert isinstance(failure, FloatingPointError)
            assert f"The score of far:{place} was not finite" in describe(failure)
    made = pictures_of([b for attempt in attempts for b in attempt.batches])
    assert set(made) == set(range(16)) - set(BAD)


def test_the_others_have_the_bytes_of_a_batch_without_failures(adapter):
    whole = pictures_of(job_of(adapter).run(skip=set(BAD)))
    attempts = attempt_batches(job_of(adapter))

    assert pictures_of(b for a in attempts for b in a.batches) == whole


def test_pictures_that_failed_before_are_skipped(adapter):
    (attempt,) = attempt_batches(job_of(adapter, "far:0-7"), skip={0, 1, 3})

    assert attempt.failures == {}
    assert [batch.places for batch in attempt.batches] == [(2, 4, 5, 6, 7)]


def test_one_runner_serves_all_attempts(adapter, monkeypatch):
    """A failure does not cost a compilation for each of its parts."""
    made = []
    original = Runner.__init__

    def noted(self, *args, **kwargs):
        original(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(Runner, "__init__", noted)
    job = job_of(adapter, steps=4)
    cache_of(adapter).clear()
    attempts = list(attempt_batches(job))

    assert len(attempts) == 2
    assert len(made) == 1
    assert made[0].traces == 1


def test_only_the_step_of_the_current_layer_is_kept(adapter):
    job = job_of(adapter, ["conv:*", "scaled:0-2", "conv:1@2,2"])
    cache_of(adapter).clear()
    kept = [len(cache_of(adapter)) for _ in attempt_batches(job)]

    assert kept == [1, 1, 1, 1]


def test_groups_fail_as_a_whole(adapter):
    diverse = Diversity(2, 1.0, "conv")
    job = job_of(adapter, "far:2-3", diversity=diverse, batch_size=4)
    (attempt,) = attempt_batches(job)

    assert set(attempt.failures) == {2, 3}
    assert [batch.places for batch in attempt.batches] == [(0, 1)]


def fail_in(monkeypatch, job, numbers, error):
    """Let some batches of a job fail, and return the calls."""
    calls = []
    original = Job.render_batch

    def render_batch(self, number, wanted, callbacks=()):
        calls.append((number, tuple(wanted)))
        if number in numbers:
            raise error
        return original(self, number, wanted, callbacks)

    monkeypatch.setattr(Job, "render_batch", render_batch)
    return calls


def test_a_lack_of_memory_fails_the_batch_at_once(adapter, monkeypatch):
    """Its parts have the same compiled shape, and would need as much."""
    job = job_of(adapter, "conv:*", batch_size=4)
    full = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating a tensor")
    calls = fail_in(monkeypatch, job, {1}, full)
    attempts = list(attempt_batches(job))

    assert calls == [(number, (0, 1, 2, 3)) for number in range(4)]
    assert set(attempts[1].failures) == {4, 5, 6, 7}
    assert describe(attempts[1].failures[4]) == (
        "ResourceExhaustedError: OOM when allocating a tensor Use smaller batches or "
        "smaller pictures, in another folder."
    )
    assert [bool(attempt.batches) for attempt in attempts] == [True, False, True, True]


def test_a_failure_of_all_first_batches_ends_the_run(adapter, monkeypatch):
    job = job_of(adapter, "conv:*", batch_size=2)
    broken = ValueError("The gradient is not defined.")
    calls = fail_in(monkeypatch, job, set(range(8)), broken)

    with pytest.raises(RuntimeError, match="None of the first 3 .*gradient is not def"):
        list(attempt_batches(job))
    assert {number for number, _ in calls} == set(range(HOPELESS))


def test_failures_after_a_success_do_not_end_the_run(adapter, monkeypatch):
    job = job_of(adapter, "conv:*", batch_size=2)
    fail_in(monkeypatch, job, {0, 1, 3, 4, 5, 6}, ValueError("no"))
    attempts = list(attempt_batches(job))

    assert [attempt.number for attempt in attempts] == list(range(8))
    assert [attempt.number for attempt in attempts if attempt.batches] == [2, 7]


def test_a_continued_run_has_succeeded_before(adapter, monkeypatch):
    """Else a run that was interrupted before a bad layer could never get past it."""
    job = job_of(adapter, "conv:*", batch_size=2)
    fail_in(monkeypatch, job, set(range(2, 7)), ValueError("no"))
    attempts = list(attempt_batches(job, {0, 1, 2, 3}, succeeded=True))

    assert [attempt.number for attempt in attempts] == [2, 3, 4, 5, 6, 7]
    assert [attempt.number for attempt in attempts if attempt.batches] == [7]


def test_fewer_batches_than_that_are_failures_of_their_pictures(adapter, monkeypatch):
    job = job_of(adapter, "conv:0-3", batch_size=2)
    fail_in(monkeypatch, job, {0, 1}, ValueError("no"))

    assert [set(a.failures) for a in attempt_batches(job)] == [{0, 1}, {2, 3}]


@pytest.mark.parametrize("error", [TypeError("a mistake"), OSError(28, "disk full")])
def test_mistakes_and_errors_of_files_end_the_run_at_once(adapter, monkeypatch, error):
    job = job_of(adapter, "conv:*", batch_size=2)
    calls = fail_in(monkeypatch, job, {1}, error)

    with pytest.raises(type(error), match=r"a mistake|disk full"):
        list(attempt_batches(job))
    assert [number for number, _ in calls] == [0, 1]


def test_a_picture_whose_final_score_is_not_finite_fails(adapter, monkeypatch):
    """The scores of the steps are those before each step, so the last is not seen."""
    original = Runner.outcome

    def outcome(self):
        made = original(self)
        made.scores[1] = np.nan
        return made

    monkeypatch.setattr(Runner, "outcome", outcome)
    with pytest.raises(FloatingPointError, match="The score of conv:1 was not finite"):
        list(job_of(adapter, "conv:0-3").run())
