"""What a run of many units costs: its time, and the memory of its process."""

import json
import os
from pathlib import Path

import keras
import pytest
from support import start_command

OPTIONS = ["-m", "wide.keras", "--preprocess=-1,1", "--transforms", "none"]
OPTIONS += ["--steps", "16", "--json"]


@pytest.fixture
def place(tmp_path):
    """A folder with a network of five small layers, and one of 512 channels."""
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((32, 32, 3))
    for i in range(5):
        x = keras.layers.Conv2D(40, 3, 2 if i == 0 else 1, name=f"layer{i}")(x)
    outputs = keras.layers.Conv2D(512, 3, name="wide")(x)
    keras.Model(inputs, outputs).save(tmp_path / "wide.keras")
    return tmp_path


def observe(*units, place, folder):
    """Return the memory in bytes, and the processor's seconds, at each picture."""
    memory, seconds = [], []
    with start_command("render", *units, *OPTIONS, "-o", folder, cwd=place) as child:
        process = Path(f"/proc/{child.pid}")
        for line in child.stdout:
            if json.loads(line).get("status") == "finished":
                pages = int((process / "statm").read_text().split()[1])
                memory.append(pages * os.sysconf("SC_PAGE_SIZE"))
                times = (process / "stat").read_text().rpartition(")")[2].split()
                seconds.append(sum(map(int, times[11:13])) / os.sysconf("SC_CLK_TCK"))
        stderr = child.stderr.read()
    assert child.returncode == 0, stderr
    return memory, seconds


@pytest.mark.slow
def test_the_time_is_linear_in_the_units(place):
    """512 against 256 units, in the processor's time after the first batch."""
    spent = {}
    for count in (256, 512):
        _, seconds = observe(f"wide:0-{count - 1}", place=place, folder=count)
        assert len(seconds) == count
        spent[count] = (seconds[-1] - seconds[7]) / (count - 8) * count

    assert spent[512] < 2.1 * spent[256]


@pytest.mark.slow
def test_the_memory_grows_neither_with_the_units_nor_with_the_layers(place):
    """From unit 100 to the last one, in three more layers and in a wide one."""
    memory, _ = observe("layer*:*", "wide:*", place=place, folder="out")

    assert len(memory) == 5 * 40 + 512
    assert max(memory[100:]) - memory[100] < 100e6
