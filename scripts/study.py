"""Compare learned priors with direct optimization, for docs/study.md.

    python scripts/study.py DATA -o study            # hours on 2 cores
    python scripts/study.py DATA -o study --quick    # 64 steps, no controls

DATA contains `imagenet-1000-samples.zip`, `evaluation-leaks.json`, `evaluators/`,
`taesd/` and `models/generators/`. Photos which nearly equal a training photo of the
bundled priors are left out. The units are chosen with a fixed random seed before
anything is rendered: 8 channels of early layers, 8 channels of late layers and 8
classes.

The script runs three comparisons, each in a folder of its own: `steps` (all units,
equal steps), `seconds` (8 units, equal time) and `controls` (all units: three networks
with random weights, a prior of another domain, and ablations of the methods). Most of
the 8 units are classes, because other networks can recognize only classes. If the
script is interrupted, running it again continues where it stopped.
"""

import argparse
import json
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

import tfviz  # first, so that it can choose TensorFlow's convolutions
from tfviz import Contender, judges, params, priors
from tfviz.comparison.storage import PictureStore
from tfviz.comparison.compare import STEPS as DEFAULT_STEPS
from tfviz.comparison.methods import ablations, on_random_weights, random_networks
from tfviz.report.rows import read
from tfviz._files import write_safely

# The random seed of the units, and the number of units of each sort.
SEED, EACH = 20_261, 8
EARLY = ("conv1", "fire2", "fire3", "fire4")
LATE = ("fire6", "fire7", "fire8", "fire9")
STEPS, QUICK, SEEDS = 100, 64, 3
# The places of 8 of the units: a channel of an early layer, two of late layers, and
# classes.
FEW = (0, 8, 11, 16, 17, 18, 19, 20)
SIZE = 224
# The bundled priors and their learning rates; None stands for the default. The default
# of the inverter was changed after the study had been made.
LEARNED = {"inverter": 0.1, "autoencoder": None}
TITLES = {
    "steps": "SqueezeNet, by equal steps",
    "seconds": "SqueezeNet, by equal time",
    "controls": "SqueezeNet, with controls and ablations",
}
JUDGES = {
    "MobileNetV1-0.75": "mobilenet_v1_0.75_192_quant.tflite",
    "MobileNetV2": "tf2_mobilenet_v2_1.0_224_ptq.tflite",
    "MobileNetV1-embedding": "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite",
}


def main() -> None:
    """Parse the arguments and run the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--methods", help="comma-separated; all by default")
    options = parser.parse_args()
    adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
    # All methods are made first, so that a missing file is noticed within seconds and
    # not after hours.
    methods = make_methods(options.data)
    if options.methods:
        methods = {name: methods[name] for name in options.methods.split(",")}
    with_controls = methods | make_controls(adapter, methods, options.data)
    panel = [
        judges.tflite(options.data / "evaluators" / file, name=name)
        for name, file in JUDGES.items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        with ZipFile(options.data / "imagenet-1000-samples.zip") as archive:
            archive.extractall(folder)
        leaks = json.loads((options.data / "evaluation-leaks.json").read_text())
        photos = [
            photo
            for photo in sorted(Path(folder).rglob("*.JPEG"))
            if photo.name.partition("_")[0] not in leaks["photos"]
        ]
        shared = {"images": photos, "judges": panel}
        units = choose_units(adapter)
        steps = QUICK if options.quick else STEPS
        run(options, "steps", adapter, units, methods, steps=steps, **shared)
        if options.quick:
            return
        few = [units[place] for place in FEW]
        seconds = time_budget(options.output / "steps")
        run(options, "seconds", adapter, few, methods, seconds=seconds, **shared)
        copy_pictures(options.output, units, methods)
        run(options, "controls", adapter, units, with_controls, steps=steps, **shared)


def choose_units(adapter: Any) -> list[str]:
    """Choose channels of early layers, channels of late layers, and classes."""
    random = np.random.default_rng(SEED)
    units = []
    for layers in (EARLY, LATE):
        for place in range(EACH):
            layer = layers[place % len(layers)]
            channels = adapter.layer(layer).units
            units.append(f"{layer}:{random.integers(channels)}")
    return units + [f"logit:{i}" for i in random.choice(1000, EACH, replace=False)]


def make_methods(data: Path) -> dict[str, Contender]:
    """Make the methods that are compared."""
    methods = {
        "pixels": Contender(
            params.pixels(SIZE, SIZE), description="Pixels, as they are."
        ),
        "fourier": Contender(
            params.fourier(SIZE, SIZE), description="A decorrelated spectrum."
        ),
        "maco": Contender(
            params.maco(SIZE, SIZE),
            description="Phases alone, under the amplitudes of photos.",
        ),
    }
    for name, learning_rate in LEARNED.items():
        methods[name] = Contender(
            priors.load(name),
            learning_rate=learning_rate,
            description=f"The bundled {name}, trained on photos.",
        )
    taesd = {
        part: data / "taesd" / f"taesd_{part}.safetensors"
        for part in ("decoder", "encoder")
    }
    methods["taesd"] = Contender(
        priors.load(taesd["decoder"], 112, encoder=taesd["encoder"]),
        description="The decoder of TAESD, which others trained.",
    )
    return methods


def make_controls(
    adapter: Any, methods: dict[str, Contender], data: Path
) -> dict[str, Contender]:
    """Make the controls and ablations of all methods.

    They are each method on three networks with random weights, each method without each
    of its parts, and a prior of another domain.
    """
    networks = random_networks(adapter)
    faces = data / "models" / "generators" / "anime_faces_gan_64.h5"
    controls = {
        "drawn faces": Contender(
            priors.load(faces, value_range=(0, 1)),
            kind="control",
            description="A GAN of drawn faces, whatever the unit looks for.",
        )
    }
    for name, method in methods.items():
        controls |= on_random_weights(name, method, networks)
        controls |= ablations(name, method)
    return controls


def copy_pictures(
    output: Path, units: list[str], methods: dict[str, Contender]
) -> None:
    """Copy the pictures of `steps` that `controls` needs too.

    Rendering them again would give the same pictures.
    """
    names = [u["name"] for u in read(output / "steps")["units"] if u["text"] in units]
    source, target = (
        PictureStore(output / name, names, tuple(methods), SEEDS)
        for name in ("steps", "controls")
    )
    for method in methods:
        for old, new in zip(source.of(method), target.of(method), strict=True):
            if not old.file.exists() or new.file.exists():
                continue
            new.file.parent.mkdir(parents=True, exist_ok=True)
            # The start is copied first: a picture counts as complete once its file
            # exists.
            for file, copy in ((old.start, new.start), (old.file, new.file)):
                content = file.read_bytes()
                write_safely(copy, lambda file, content=content: file.write(content))


def time_budget(folder: Path) -> float:
    """Return the seconds that the default number of steps takes for one picture.

    This is the time of the fastest method; the others take fewer steps in it.

    Args:
        folder: The folder of a comparison with `STEPS` steps.
    """
    times: dict[str, list[float]] = {}
    for row in read(folder)["rows"]:
        if row.get("seconds") is not None:
            times.setdefault(row["method"], []).append(row["seconds"])
    fastest = min(float(np.median(seconds)) for seconds in times.values())
    return round(fastest * DEFAULT_STEPS / STEPS, 1)


def run(
    options: argparse.Namespace,
    name: str,
    adapter: Any,
    units: list[str],
    methods: dict[str, Contender],
    **settings: Any,
) -> None:
    """Run one comparison and write its report."""
    folder = options.output / name
    began = time.monotonic()

    def print_progress(at: Any) -> None:
        minutes = (time.monotonic() - began) / 60
        progress = f"{name}  {at.done}/{at.total}  {at.method}  {minutes:.0f} min"
        print(progress, flush=True)

    comparison = tfviz.compare(
        adapter,
        units,
        methods,
        seeds=SEEDS,
        folder=folder,
        title=TITLES[name],
        command=shlex.join(["python", *sys.argv]),
        callbacks=[print_progress],
        **settings,
    )
    print(comparison.save())
    for method, verdict in comparison.verdicts().items():
        print(f"{method}: {verdict}")


if __name__ == "__main__":
    main()
