"""Tests of how peers are compared, with workers that only say how long they took."""

import sys
from pathlib import Path

import pytest
from support import load_script

load_script("machine", "benchmarks")
peers = load_script("peers", "benchmarks")

# Takes 0.4 s a step, but 0.8 s in its second run; tfviz takes 0.1 s.
WORKER = """
import json, os, sys
own = sys.argv[1] == "tfviz"
def answer(**facts):
    print("some line of a library")
    print("@answer " + json.dumps(facts | {"megabytes": 100 * len(runs)}), flush=True)
runs = [0]
answer(first_picture=3.0, onednn=os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "1",
       versions={"told": " ".join(sys.argv[2:])})
for _ in sys.stdin:
    runs.append(0)
    answer(seconds=0.1 if own else 0.8 if len(runs) == 3 else 0.4)
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Replace the worker that loads a library by one that loads none."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    monkeypatch.setattr(peers, "WORKER", script)
    return script


def test_a_pair_is_a_run_of_the_peer_and_one_of_tfviz(worker):
    found = peers.compare(Path(sys.executable), "tf-keras-vis", ["--batch=8"], 3, 8)
    assert found["peer"]["seconds"] == [0.4, 0.8, 0.4]
    assert found["tfviz"]["seconds"] == [0.1, 0.1, 0.1]
    assert found["ratio"] == pytest.approx({"min": 4, "median": 4, "max": 8})
    assert found["peer"]["image_steps"] == pytest.approx(8 / 0.4)
    assert found["tfviz"]["image_steps"] == pytest.approx(8 / 0.1)
    assert found["goal"] == 9
    assert found["peer"]["megabytes"] == 400  # after the last run


def test_only_the_peer_is_given_onednn(worker):
    found = peers.compare(Path(sys.executable), "xplique-onednn", [], 1, 8)
    assert found["peer"]["onednn"]
    assert not found["tfviz"]["onednn"]


def test_both_are_told_to_leave_out_transforms(worker):
    found = peers.compare(Path(sys.executable), "tf-keras-vis-plain", ["--a"], 1, 1)
    assert found["peer"]["versions"]["told"] == "--a --plain"
    assert found["tfviz"]["versions"]["told"] == "--a --plain --param pixels"
    assert found["goal"] is None


def test_a_worker_that_ends_is_reported(worker):
    worker.write_text("print('no answer')")
    with pytest.raises(SystemExit, match="ended without an answer"):
        peers.compare(Path(sys.executable), "xplique", [], 1, 1)


def test_steps_come_in_sixteens(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["peers.py", "--steps", "20"])
    with pytest.raises(SystemExit, match="2"):
        peers.arguments()
    assert "must be a multiple of 16. Received: 20" in capsys.readouterr().err
