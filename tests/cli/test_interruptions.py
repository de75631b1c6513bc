"""`tfviz render` in processes that are killed, and on disks that are full."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support import build_toy, manifest, names, pictures, start_command, written

from tfviz.cli.lock import LOCK

UNITS = ["conv_*:*", "logit:*"]
COUNT = 8 + 12 + 5
JOB = ["render", *UNITS, "-m", "../toy.keras", "--preprocess=-1,1", "-o", "out"]
JOB += ["--transforms", "none", "--steps", "64", "--batch-size", "2"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the model, in which each test gets a folder of its own."""
    folder = tmp_path_factory.mktemp("interrupted")
    build_toy().save(folder / "toy.keras")
    return folder


@pytest.fixture
def place(home, request):
    folder = home / request.node.name.replace("[", "-").strip("]")
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def uninterrupted(home):
    folder = home / "whole"
    folder.mkdir()
    child = start_command(*JOB, cwd=folder)
    _, stderr = child.communicate()
    assert child.returncode == 0, stderr
    made = pictures(folder / "out")
    assert len(made) == COUNT
    return made


def wait_for(count, folder, child):
    """Wait until a folder has so many pictures, or its process has ended."""
    deadline = time.monotonic() + 240
    while child.poll() is None and len(list(folder.glob("*.png"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_runs_end_with_the_same_bytes(kills, place, uninterrupted):
    """At random moments; no finished picture is made again, and nothing is left."""
    moments = np.random.default_rng(kills)
    out = place / "out"
    before = {}
    for kill in range(kills):
        child = start_command(*JOB, cwd=place)
        wait_for(round(kill * COUNT / kills), out, child)
        time.sleep(moments.uniform(0, 0.1))
        child.kill()
        _, stderr = child.communicate()
        assert child.returncode in (-signal.SIGKILL, 0), stderr
        after = {file.name: written(file) for file in out.glob("*.png")}
        assert {name: after[name] for name in before} == before
        before = after
    assert before
    child = start_command(*JOB, cwd=place)
    _, stderr = child.communicate()

    assert child.returncode == 0, stderr
    assert f"{len(before)} of {COUNT} are finished already" in stderr
    assert pictures(out) == uninterrupted
    assert {name: written(out / name) for name in before} == before
    assert names(out) == sorted([*uninterrupted, "manifest.jsonl"])
    assert sorted(line["file"] for line in manifest(out)) == sorted(uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_the_batch(number, place, uninterrupted):
    child = start_command(*JOB, cwd=place)
    wait_for(3, place / "out", child)
    child.send_signal(number)
    _, stderr = child.communicate()

    made = pictures(place / "out")
    assert child.returncode == 1
    assert "stopping after this batch" in stderr
    assert f"interrupted: {len(made)} of {COUNT} pictures are in out." in stderr
    assert made.items() <= uninterrupted.items()
    assert names(place / "out") == sorted([*made, "manifest.jsonl"])
    assert "Traceback" not in stderr


def test_a_second_command_is_refused_before_it_loads_tensorflow(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    out = tmp_path / "out"
    out.mkdir()
    owner = {"pid": 7, "host": "far", "started": "2026-01-02 03:04:05"}
    (out / LOCK).write_text(json.dumps(owner))
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from tfviz.cli.main import main\n"
        "result = CliRunner().invoke(main, ['render', 'fire8:1', '-o', 'out'])\n"
        "assert 'tensorflow' not in sys.modules\n"
        "print(result.exit_code, result.output)\n"
    )
    with (out / LOCK).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        )

    assert result.stdout.strip() == (
        "1 Error: 'out' is in use by another tfviz (process 7 on far, since 2026-01-02 "
        "03:04:05). Wait until it is finished, or choose another folder."
    )
    assert names(out) == [LOCK]


@pytest.mark.slow
def test_two_processes_never_write_to_one_folder(place, uninterrupted):
    first = start_command(*JOB, cwd=place)
    deadline = time.monotonic() + 120
    while not (place / "out" / LOCK).exists():
        assert time.monotonic() < deadline
    began = time.monotonic()
    second = start_command(*JOB, cwd=place)
    _, stderr = second.communicate()
    seconds = time.monotonic() - began

    assert second.returncode == 1
    assert f"'out' is in use by another tfviz (process {first.pid} on " in stderr
    assert seconds < 4  # less than a second where nothing else runs
    _, stderr = first.communicate()
    assert first.returncode == 0, stderr
    assert pictures(place / "out") == uninterrupted


@pytest.fixture
def in_small_disk(place):
    """Run a script of the shell beside a folder `out` that is a disk of its own."""
    mount = 'mkdir -p out && mount -t tmpfs -o "size=$SIZE" tmpfs out'
    prefix = ["unshare", "--map-root-user", "--mount", "sh", "-ec"]
    command = f"{sys.executable} -m tfviz.cli"
    environment = os.environ | {"SIZE": "4096", "TFVIZ": command}
    quiet = {"cwd": place, "capture_output": True, "text": True}
    try:
        subprocess.run([*prefix, mount], env=environment, check=True, **quiet)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be mounted here: {error}")

    def run(script, size):
        return subprocess.run(
            [*prefix, f"{mount}\n{script}"],
            env=environment | {"SIZE": size},
            check=False,
            **quiet,
        )

    return run


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_run_goes_on(
    in_small_disk, place, uninterrupted
):
    job = "$TFVIZ " + " ".join(f"'{argument}'" for argument in JOB)
    result = in_small_disk(
        f"code=0; {job} 2> full.txt || code=$?; echo $code; cp -a out full\n"
        f"mount -o remount,size=10m out; {job} 2> after.txt; cp -a out after",
        "60k",
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["1", f"{COUNT} pictures in out"]
    errors = Path(place, "full.txt").read_text().splitlines()
    assert errors[-1].startswith("Error: No space left on device (out/")
    assert errors[-1].endswith(
        "). What is finished is kept; once the problem is solved, the same command "
        "goes on from there."
    )
    kept = pictures(place / "full")
    assert 0 < len(kept) < COUNT
    assert kept.items() <= uninterrupted.items()
    assert set(names(place / "full")) - set(kept) <= {"manifest.jsonl"}
    assert f"{len(kept)} of {COUNT} are" in Path(place, "after.txt").read_text()
    assert pictures(place / "after") == uninterrupted
    assert {line["file"] for line in manifest(place / "after")} == set(uninterrupted)


@pytest.mark.slow
def test_a_read_only_folder_is_refused_before_any_work(in_small_disk, place):
    job = "$TFVIZ " + " ".join(f"'{argument}'" for argument in JOB)
    result = in_small_disk(
        f"mount -o remount,ro out; code=0; {job} || code=$?; echo $code; ls -A out",
        "1m",
    )

    assert result.returncode == 0
    assert result.stdout.splitlines() == ["2"]
    assert result.stderr.splitlines()[-1] == (
        "Error: Invalid value for '-o' / '--output': cannot write to 'out' (Read-only "
        "file system). Choose another folder."
    )


@pytest.mark.slow
def test_the_cost_is_linear_and_the_memory_constant(tmp_path):
    """512 units against 256, and the memory from unit 100 to the last one."""
    import keras

    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(16, 5, 2, activation="relu", name="first")(inputs)
    keras.Model(inputs, keras.layers.Conv2D(512, 3, name="wide")(x)).save(
        tmp_path / "wide.keras"
    )
    code = (
        "import resource, sys, time\n"
        "from tfviz.cli import folder\n"
        "from tfviz.cli.main import main\n"
        "write, sizes, times = folder.PictureFolder.write, [], []\n"
        "def noted(self, *arguments, **facts):\n"
        "    pages = int(open('/proc/self/statm').read().split()[1])\n"
        "    sizes.append(pages * resource.getpagesize())\n"
        "    times.append(time.process_time())\n"
        "    return write(self, *arguments, **facts)\n"
        "folder.PictureFolder.write = noted\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "finally:\n"
        "    print(max(sizes[100:]) - sizes[100], len(sizes), times[-1] - times[0])\n"
    )
    seconds = {}
    for count in (256, 512):
        arguments = ["render", f"wide:0-{count - 1}", "-m", "wide.keras"]
        arguments += ["--preprocess=-1,1", "-o", str(count), "--steps", "16"]
        arguments += ["--transforms", "none"]
        result = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        )
        grown, written_files, spent = result.stdout.splitlines()[-1].split()
        assert int(written_files) == count
        assert int(grown) < 100e6
        # Of the processor, whatever else it does, and without the first batch.
        seconds[count] = float(spent) * count / (count - 8)

    assert seconds[512] < 2.1 * seconds[256]
