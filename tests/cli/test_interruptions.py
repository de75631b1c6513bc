"""`tfviz render` and `tfviz examples` when they are killed, and on full disks."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from support import manifest, names, pictures, start_command, written

import tfviz
from tfviz import images

LOCK = ".tfviz.lock"
BATCH = 4
COUNT = 16 + 24
MODEL = ["-m", "../two.keras", "--preprocess=-1,1"]
JOB = ["render", "first:*", "second:*", *MODEL, "-o", "out", "--size", "48"]
JOB += ["--transforms", "none", "--steps", "32", "--batch-size", BATCH]
PHOTOS = 44
PASS = ["examples", *MODEL, "--images", "../photos", "-k", "3", "--batch-size", BATCH]
PASS += ["-o", "e.npz"]
# The state of a pass is saved after each batch instead of every minute.
SAVE_OFTEN = """
from tfviz.analysis import dataset_examples
dataset_examples.SAVE_SECONDS = 0
"""
# A process that kills itself when it has written half of its Nth file.
KILLED_IN_FILE = """
import os, signal
fsync, left = os.fsync, [{number}]
def killed(handle):
    left[0] -= 1
    if not left[0]:
        os.ftruncate(handle, os.fstat(handle).st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(handle)
os.fsync = killed
"""
# The same when its Nth file is complete, before it is listed in the manifest.
KILLED_AFTER_FILE = """
import os, signal
from pathlib import Path
replace, left = Path.replace, [{number}]
def killed(path, target):
    replace(path, target)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
Path.replace = killed
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a model and photos, in which each test gets a folder of its own."""
    folder = tmp_path_factory.mktemp("interrupted")
    keras.utils.set_random_seed(7)
    inputs = keras.Input((48, 48, 3))
    x = keras.layers.Conv2D(16, 3, 2, activation="relu", name="first")(inputs)
    x = keras.layers.Conv2D(24, 3, 2, activation="relu", name="second")(x)
    keras.Model(inputs, x).save(folder / "two.keras")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for i in range(PHOTOS):
        photo = images.to_pil(rng.random((52, 50 + i, 3), np.float32))
        photo.save(folder / f"photos/{i:02}.png")
    return folder


@pytest.fixture
def place(home, request):
    folder = home / request.node.name.replace("[", "-").strip("]")
    folder.mkdir()
    return folder


def run_to_end(command, folder, code=0, setup=""):
    """Run a command in a process of its own, and return what it says on stderr."""
    child = start_command(*command, cwd=folder, setup=setup)
    _, stderr = child.communicate()
    assert child.returncode == code, stderr
    assert "Traceback" not in stderr
    return stderr


@pytest.fixture(scope="module")
def uninterrupted(home):
    """The pictures of a run that nothing interrupts."""
    folder = home / "whole"
    folder.mkdir()
    run_to_end(JOB, folder)
    made = pictures(folder / "out")
    assert len(made) == COUNT
    return made


@pytest.fixture(scope="module")
def whole_pass(home):
    """The file of dataset examples of a pass that nothing interrupts."""
    folder = home / "whole pass"
    folder.mkdir()
    run_to_end(PASS, folder)
    assert names(folder) == ["e.npz"]
    return (folder / "e.npz").read_bytes()


def wait_for(condition, child):
    """Wait until a condition holds, or the process has ended."""
    deadline = time.monotonic() + 240
    while child.poll() is None and not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def has_pictures(folder, count):
    """Return a condition: that a folder has so many pictures."""
    return lambda: len(list(folder.glob("*.png"))) >= count


def check_end(out, before, uninterrupted):
    """Run the same command to its end, and compare its folder with that of one run."""
    stderr = run_to_end(JOB, out.parent)

    assert f"{len(before)} of {COUNT} pictures are finished already" in stderr
    assert pictures(out) == uninterrupted
    assert {name: written(out / name) for name in before} == before
    assert names(out) == sorted([*uninterrupted, "manifest.jsonl"])
    assert sorted(line["file"] for line in manifest(out)) == sorted(uninterrupted)


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_runs_end_with_the_same_bytes(kills, place, uninterrupted):
    """At random moments; no finished picture is made again, and nothing is left.

    The first is before the first picture, and the others are within 50 milliseconds of
    a picture, as writing takes less time than the optimization and would be missed.
    """
    moments = np.random.default_rng(kills)
    goals = np.sort(moments.integers(0, COUNT - BATCH + 1, kills))
    goals[0] = 0
    out = place / "out"
    before, killed = {}, 0
    for goal in goals.tolist():
        child = start_command(*JOB, cwd=place)
        wait_for(has_pictures(out, goal) if goal else out.exists, child)
        time.sleep(moments.uniform(0, 0.05 if goal else 3))
        child.kill()
        _, stderr = child.communicate()
        assert child.returncode in (-signal.SIGKILL, 0), stderr
        killed += child.returncode != 0
        after = {file.name: written(file) for file in out.glob("*.png")}
        assert {name: after[name] for name in before} == before
        assert pictures(out).items() <= uninterrupted.items()
        before = after
    assert killed >= kills - 1  # the last moment may be too late
    check_end(out, before, uninterrupted)


@pytest.mark.slow
def test_killed_atlases_end_with_the_same_site(place):
    """Ten kills in the pass over photos, in the runs and in the builds of the site."""
    job = ["atlas", "first:*", "second:*", *MODEL, "--images", "../photos"]
    job += ["--size", "48", "--steps", "16", "--batch-size", BATCH]
    whole, site = place / "whole", place / "site"
    began = time.monotonic()
    run_to_end([*job, "-o", "whole"], place)
    seconds = time.monotonic() - began

    def finished():
        """The files of pictures, which are not to be made again."""
        found = site.glob("source/*/*.png")
        return {file.relative_to(site).as_posix(): written(file) for file in found}

    moments = np.random.default_rng(0)
    before, killed = {}, 0
    for _ in range(10):
        child = start_command(*job, "-o", "site", cwd=place)
        wait_for(site.exists, child)
        time.sleep(moments.uniform(0, 0.6 * seconds))
        child.kill()
        _, stderr = child.communicate()
        assert child.returncode in (-signal.SIGKILL, 0), stderr
        killed += child.returncode != 0
        after = finished()
        assert {name: after[name] for name in before} == before
        before = after
    assert killed >= 5  # the work may be finished before the last ones
    run_to_end([*job, "-o", "site"], place)
    assert {name: finished()[name] for name in before} == before

    def contents(folder):
        # Manifests have times.
        return {
            file.relative_to(folder).as_posix(): file.read_bytes()
            for file in folder.rglob("*")
            if file.is_file() and file.name != "manifest.jsonl"
        }

    assert contents(site) == contents(whole)


@pytest.mark.slow
def test_a_run_that_is_killed_while_it_writes_goes_on(place, uninterrupted):
    """In the middle of a picture, before its line in the manifest, and within it."""
    out = place / "out"
    run_to_end(JOB, place, -signal.SIGKILL, KILLED_IN_FILE.format(number=6))
    # The files of a batch are written at the same time.
    partials = list(out.glob(".tfviz-*.part"))
    assert any(partial.stat().st_size for partial in partials)
    # The manifest has the lines of whole batches, here of one.
    assert len(pictures(out)) in {4, 5}
    assert len(manifest(out)) == 4

    run_to_end(JOB, place, -signal.SIGKILL, KILLED_AFTER_FILE.format(number=5))
    assert not any(partial.exists() for partial in partials)
    assert len(pictures(out)) >= len(manifest(out)) >= 4

    with (out / "manifest.jsonl").open("a") as file:
        file.write('{"file": "first-8.png", "unit": "fir')
    before = {name: written(out / name) for name in pictures(out)}
    check_end(out, before, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_the_batch(number, place, uninterrupted):
    child = start_command(*JOB, cwd=place)
    wait_for(has_pictures(place / "out", 3), child)
    child.send_signal(number)
    _, stderr = child.communicate()

    made = pictures(place / "out")
    assert child.returncode == 1
    assert "Stopping after this batch" in stderr
    assert f"Interrupted: {len(made)} of {COUNT} pictures are in out." in stderr
    assert len(made) % BATCH == 0
    assert made.items() <= uninterrupted.items()
    assert names(place / "out") == sorted([*made, "manifest.jsonl"])
    assert "Traceback" not in stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_first_batch_ends_the_run_at_once(number, place):
    """While TensorFlow is imported; the lock is released."""
    lock = place / "out" / LOCK
    child = start_command(*JOB, cwd=place)
    wait_for(lambda: lock.exists() and lock.stat().st_size, child)
    time.sleep(0.3)
    child.send_signal(number)
    _, stderr = child.communicate()

    assert child.returncode == 1
    assert stderr.splitlines()[-1] == "Aborted!"
    assert "Traceback" not in stderr
    assert names(place / "out") == []


@pytest.mark.parametrize(
    ("command", "lock", "said"),
    [
        (["render", "fire8:1", "-o", "out"], LOCK, ("out", "folder")),
        (
            ["examples", "--images", "out", "-o", "out/e.npz"],
            f"e.npz{LOCK}",
            (str(Path("out/e.npz")), "file"),
        ),
    ],
)
def test_a_second_command_is_refused_before_it_loads_tensorflow(
    command, lock, said, tmp_path
):
    fcntl = pytest.importorskip("fcntl")
    out = tmp_path / "out"
    out.mkdir()
    owner = {"pid": 7, "host": "far", "started": "2026-01-02 03:04:05"}
    (out / lock).write_text(json.dumps(owner))
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from tfviz.cli.main import main\n"
        f"result = CliRunner().invoke(main, {command})\n"
        "assert 'tensorflow' not in sys.modules\n"
        "print(result.exit_code, result.output)\n"
    )
    with (out / lock).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        )

    assert result.stdout.strip() == (
        f"1 Error: '{said[0]}' is in use by another tfviz (process 7 on far, since "
        f"2026-01-02 03:04:05). Wait until it is finished, or choose another {said[1]}."
    )
    assert names(out) == [lock]


@pytest.mark.slow
def test_two_processes_never_write_to_one_folder(place, uninterrupted):
    first = start_command(*JOB, cwd=place)
    wait_for((place / "out" / LOCK).exists, first)
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


@pytest.mark.slow
@pytest.mark.parametrize("command", [JOB, PASS], ids=["render", "examples"])
def test_of_two_processes_that_start_at_once_one_does_the_work(
    command, place, uninterrupted, whole_pass
):
    both = [start_command(*command, cwd=place) for _ in range(2)]
    said = {child.communicate()[1]: child.returncode for child in both}

    assert sorted(said.values()) == [0, 1]
    (refused,) = [stderr for stderr, code in said.items() if code]
    assert "is in use by another tfviz (process" in refused
    if command is JOB:
        assert pictures(place / "out") == uninterrupted
        assert names(place / "out") == sorted([*uninterrupted, "manifest.jsonl"])
    else:
        assert (place / "e.npz").read_bytes() == whole_pass
        assert names(place) == ["e.npz"]


@pytest.mark.slow
def test_a_pass_for_examples_that_is_killed_goes_on(place, whole_pass):
    """Twice while it writes its state, and once while it writes its result."""
    state = place / "e.npz.partial"
    for number, done, is_state in ((3, 8, True), (4, 20, True), (7, PHOTOS, False)):
        setup = SAVE_OFTEN + KILLED_IN_FILE.format(number=number)
        run_to_end(PASS, place, -signal.SIGKILL, setup)
        (partial,) = place.glob(".tfviz-*.part")
        assert partial.stat().st_size
        with np.load(state) as arrays:
            facts = json.loads(arrays["facts"].item())
        assert len(facts["images"]) == done
        assert not (place / "e.npz").exists()
        assert is_state == (done < PHOTOS)
    stderr = run_to_end(PASS, place)

    assert "Continuing from e.npz.partial" in stderr
    assert (place / "e.npz").read_bytes() == whole_pass
    assert names(place) == ["e.npz"]


@pytest.mark.slow
def test_a_pass_for_examples_names_images_that_changed(home, place):
    """Between two runs: refused, until the folder is restored; during one: named."""
    photos = place / "photos"
    photos.mkdir()
    for file in (home / "photos").iterdir():
        (photos / file.name).write_bytes(file.read_bytes())
    command = [*PASS, "--images", "photos"]
    setup = SAVE_OFTEN + KILLED_IN_FILE.format(number=6)
    run_to_end(command, place, -signal.SIGKILL, setup)
    before = (photos / "03.png").read_bytes()
    (photos / "03.png").write_bytes((photos / "04.png").read_bytes())
    (photos / "new.png").write_bytes(before)
    error = run_to_end(command, place, 1).splitlines()[-1]

    assert error == (
        "Error: 'photos' has changed since the pass began: 1 file is new (new.png), 1 "
        "file is changed (03.png). Restore the folder to continue, or delete "
        "'e.npz.partial' to begin anew."
    )
    (photos / "03.png").write_bytes(before)
    (photos / "new.png").unlink()
    # The last photo is replaced once the first of those is read that were left.
    setup = (
        SAVE_OFTEN + "from pathlib import Path\n"
        "save = dataset_examples.Pass.save\n"
        "def replace(*arguments):\n"
        "    Path('photos/43.png').unlink(missing_ok=True)\n"
        "    save(*arguments)\n"
        "dataset_examples.Pass.save = replace\n"
    )
    stderr = run_to_end(command, place, setup=setup)
    assert "'photos' changed during the pass: 1 file is gone (43.png)" in stderr
    examples = tfviz.load_examples(place / "e.npz")
    assert examples.count == PHOTOS - len(examples.unreadable)
    assert [file for file, _ in examples.unreadable] in ([], ["43.png"])
    assert names(place) == ["e.npz", "photos"]


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


def as_shell(command):
    return "$TFVIZ " + " ".join(f"'{argument}'" for argument in command)


FULL = (
    "). What is finished is kept; once the problem is solved, the same command goes on "
    "from there."
)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_run_goes_on(
    in_small_disk, place, uninterrupted
):
    job = as_shell(JOB)
    result = in_small_disk(
        "head -c 800k /dev/zero > out/other.bin\n"
        f"code=0; {job} 2> full.txt || code=$?; echo $code; cp -a out full\n"
        f"code=0; {job} 2> again.txt || code=$?; echo $code; cp -a out again\n"
        f"mount -o remount,size=10m out; {job} 2> after.txt; cp -a out after",
        "1m",
    )

    assert result.returncode == 0, result.stderr
    first, again, last = result.stdout.splitlines()
    assert (first, last) == ("1", f"{COUNT} pictures in out")
    error = Path(place, "full.txt").read_text().splitlines()[-1]
    assert error.startswith("Error: No space left on device (out/")
    assert error.endswith(FULL)
    kept = pictures(place / "full")
    assert 8 < len(kept) < COUNT
    assert kept.items() <= uninterrupted.items()
    others = {"manifest.jsonl", "other.bin"}
    assert set(names(place / "full")) == {*kept, *others}
    # As long as the disk is full, nothing changes.
    assert again in ("1", "2")
    error = Path(place, "again.txt").read_text().splitlines()[-1]
    assert "No space left on device" in error
    assert pictures(place / "again").items() >= kept.items()
    assert set(names(place / "again")) == {*pictures(place / "again"), *others}

    assert " finished already" in Path(place, "after.txt").read_text()
    assert pictures(place / "after") == uninterrupted
    assert set(names(place / "after")) == {*uninterrupted, *others}
    assert {line["file"] for line in manifest(place / "after")} == set(uninterrupted)


@pytest.mark.slow
def test_a_pass_for_examples_on_a_full_disk_goes_on(in_small_disk, place, whole_pass):
    """A disk with room for one state of the pass, but not for two."""
    setup = f"{SAVE_OFTEN}\nfrom tfviz.cli.main import main\nmain()\n"
    (place / "often.py").write_text(setup)
    command = as_shell([*PASS, "-o", "out/e.npz"])
    often = command.replace("$TFVIZ", f"{sys.executable} often.py")
    result = in_small_disk(
        "head -c 944k /dev/zero > out/other.bin\n"
        f"code=0; {often} 2> full.txt || code=$?; echo $code; cp -a out full\n"
        f"mount -o remount,size=10m out; {command} 2> after.txt; cp -a out after",
        "1m",
    )

    assert result.returncode == 0, result.stderr
    error = Path(place, "full.txt").read_text().splitlines()[-1]
    assert result.stdout.splitlines()[0] == "1"
    assert error.startswith("Error: No space left on device (out/e.npz.partial")
    assert error.endswith(FULL)
    assert names(place / "full") == ["e.npz.partial", "other.bin"]
    assert "Continuing from out/e.npz.partial" in Path(place, "after.txt").read_text()
    assert names(place / "after") == ["e.npz", "other.bin"]
    assert (place / "after/e.npz").read_bytes() == whole_pass


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [JOB, [*PASS, "-o", "out/e.npz"]], ids=["render", "examples"]
)
def test_a_read_only_folder_is_refused_before_any_work(in_small_disk, command):
    result = in_small_disk(
        f"mount -o remount,ro out; code=0; {as_shell(command)} || code=$?; echo $code\n"
        "ls -A out",
        "1m",
    )

    assert result.returncode == 0
    assert result.stdout.splitlines() == ["2"]
    assert result.stderr.splitlines()[-1] == (
        "Error: Invalid value for '-o' / '--output': cannot write to the folder 'out' "
        "(Read-only file system). Choose another one."
    )
