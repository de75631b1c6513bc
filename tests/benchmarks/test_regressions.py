"""Tests of the rules of `make bench-check`; nothing is timed."""

import pytest
from support import load_script

regressions = load_script("regressions", "benchmarks")
LIMITS = {
    "early": regressions.Limit(1.5, 0.1),
    "late": regressions.Limit(1.2, 0.1),
}


def test_ratios_within_the_noise_are_no_regression():
    pairs = {"early": [(1.64, 1.0), (1.7, 1.0)], "late": [(2.6, 2.0)]}
    assert regressions.find_regressions(pairs, 1, LIMITS) == []


def test_runs_that_were_disturbed_are_no_regression():
    medians = [(9.0, 1.1), (1.25, 1.0), (1.9, 1.0)]  # most full runs are disturbed
    fastest = [(3.6, 3.0), (2.4, 2.0), (1.9, 1.0)]  # no full run is as fast as it can
    assert regressions.robust_ratio(medians) == 1.25
    assert regressions.robust_ratio(fastest) == pytest.approx(1.2)
    for pairs in (medians, fastest):
        assert regressions.find_regressions({"late": pairs}, 1, LIMITS) == []


def test_a_ratio_beyond_the_noise_is_told_with_its_layer_and_limit():
    pairs = {"early": [(1.5, 1.0)], "late": [(1.4, 1.0), (1.33, 1.0)]}
    (sentence,) = regressions.find_regressions(pairs, 1, LIMITS)
    assert sentence.startswith(
        "At late, a full step took 1.33 times as long as the bare gradient; usual is "
        "1.20, and up to 1.32 is noise."
    )
    assert "benchmarks/limit.py --layer late" in sentence


def test_a_second_trace_is_a_regression():
    (sentence,) = regressions.find_regressions({"late": [(1.0, 1.0)]}, 2, LIMITS)
    assert sentence.startswith("The step was traced 2 times for the units of one layer")


def test_each_regression_has_a_sentence():
    pairs = {"early": [(2.0, 1.0)], "late": [(2.0, 1.0)]}
    assert len(regressions.find_regressions(pairs, 3, LIMITS)) == 3


def test_a_layer_without_a_limit_is_refused():
    with pytest.raises(KeyError, match="other"):
        regressions.find_regressions({"other": [(1.0, 1.0)]}, 1, LIMITS)


def test_the_committed_limits_leave_room_for_noise_only():
    assert set(regressions.RATIOS) == {"fire8", "fire9"}
    for limit in regressions.RATIOS.values():
        assert 1 < limit.usual < 2
        assert 0.02 <= limit.noise <= 0.2
