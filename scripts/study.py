"""The comparison of learned priors with direct optimization in docs/study.md.

    python scripts/study.py DATA -o study            # hours on 2 cores
    python scripts/study.py DATA -o study --quick    # 64 steps, no controls

DATA holds `imagenet-1000-samples.zip`, `evaluators/`, `taesd/` and
`models/generators/`. Units are drawn by a fixed seed, before anything is rendered: 8
channels of early layers, 8 of late ones, 8 classes. Three comparisons are made, each in
a folder of its own, and each goes on where it was: `steps` (all units, equal steps),
`seconds` (8 units, equal time) and `controls` (8 units: random weights, a prior of
another domain, and methods without their parts). Most of the 8 are classes, of which
alone other networks can tell whether they are shown.
"""

import argparse
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
from tfviz.comparison.compare import STEPS as USUAL_STEPS
from tfviz.comparison.methods import ablations, on_random_weights, randomized
from tfviz.report.rows import read
from tfviz._files import write_safely

SEED, EACH = 20_261, 8
EARLY = ("conv1", "fire2", "fire3", "fire4")
LATE = ("fire6", "fire7", "fire8", "fire9")
STEPS, QUICK, SEEDS = 100, 64, 3
# Of an early layer, of two late ones, and classes.
FEW = (0, 8, 11, 16, 17, 18, 19, 20)
SIZE = 224
# The priors that come with tfviz, and their learning rates if not those they have by
# default. The inverter's became what it is after the study was made.
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
    """Read the arguments, and run the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--methods", help="comma-separated; all by default")
    options = parser.parse_args()
    adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
    # All at first: what is missing is to be known before hours have gone.
    contenders = methods(options.data)
    if options.methods:
        contenders = {name: contenders[name] for name in options.methods.split(",")}
    all_of_them = contenders | controls(adapter, contenders, options.data)
    panel = [
        judges.tflite(options.data / "evaluators" / file, name=name)
        for name, file in JUDGES.items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        with ZipFile(options.data / "imagenet-1000-samples.zip") as archive:
            archive.extractall(folder)
        photos = sorted(Path(folder).rglob("*.JPEG"))
        shared = {"images": photos, "judges": panel}
        drawn = units(adapter)
        steps = QUICK if options.quick else STEPS
        run(options, "steps", adapter, drawn, contenders, steps=steps, **shared)
        if options.quick:
            return
        few = [drawn[place] for place in FEW]
        seconds = seconds_of(options.output / "steps")
        run(options, "seconds", adapter, few, contenders, seconds=seconds, **shared)
        share(options.output, few, contenders)
        run(options, "controls", adapter, few, all_of_them, steps=steps, **shared)


def units(adapter: Any) -> list[str]:
    """Return the units: of early layers, of late ones, and classes."""
    random = np.random.default_rng(SEED)
    found = []
    for layers in (EARLY, LATE):
        for place in range(EACH):
            layer = layers[place % len(layers)]
            channels = adapter.layer(layer).units
            found.append(f"{layer}:{random.integers(channels)}")
    return found + [f"logit:{i}" for i in random.choice(1000, EACH, replace=False)]


def methods(data: Path) -> dict[str, Contender]:
    """Return what is compared."""
    found = {
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
    for name, rate in LEARNED.items():
        found[name] = Contender(
            priors.load(name),
            learning_rate=rate,
            description=f"The bundled {name}, trained on photos.",
        )
    taesd = {
        part: data / "taesd" / f"taesd_{part}.safetensors"
        for part in ("decoder", "encoder")
    }
    found["taesd"] = Contender(
        priors.load(taesd["decoder"], 112, encoder=taesd["encoder"]),
        description="The decoder of TAESD, which others trained.",
    )
    return found


def controls(
    adapter: Any, contenders: dict[str, Contender], data: Path
) -> dict[str, Contender]:
    """Return each method on random weights and without its parts, and a wrong prior."""
    random = randomized(adapter)
    faces = data / "models" / "generators" / "anime_faces_gan_64.h5"
    found = {
        "drawn faces": Contender(
            priors.load(faces, value_range=(0, 1)),
            kind="control",
            description="A GAN of drawn faces, whatever the unit looks for.",
        )
    }
    for name, contender in contenders.items():
        found |= on_random_weights(name, contender, random)
        found |= ablations(name, contender)
    return found


def share(output: Path, few: list[str], contenders: dict[str, Contender]) -> None:
    """Give `controls` the pictures of `steps`: made once more, they are the same."""
    named = [u["name"] for u in read(output / "steps")["units"] if u["text"] in few]
    source, target = (
        PictureStore(output / name, named, tuple(contenders), SEEDS)
        for name in ("steps", "controls")
    )
    for method in contenders:
        for old, new in zip(source.of(method), target.of(method), strict=True):
            if not old.file.exists() or new.file.exists():
                continue
            new.file.parent.mkdir(parents=True, exist_ok=True)
            # The start first: a picture that is there is complete.
            for given, kept in ((old.start, new.start), (old.file, new.file)):
                content = given.read_bytes()
                write_safely(kept, lambda file, content=content: file.write(content))


def seconds_of(folder: Path) -> float:
    """Return how long a picture takes to which `render` gives its usual steps.

    Of the quickest method: the others take fewer steps in that time.
    """
    times: dict[str, list[float]] = {}
    for row in read(folder)["rows"]:
        if row.get("seconds") is not None:
            times.setdefault(row["method"], []).append(row["seconds"])
    quickest = min(float(np.median(found)) for found in times.values())
    return round(quickest * USUAL_STEPS / STEPS, 1)


def run(
    options: argparse.Namespace,
    name: str,
    adapter: Any,
    drawn: list[str],
    contenders: dict[str, Contender],
    **settings: Any,
) -> None:
    """Run one comparison, and write its report."""
    folder = options.output / name
    began = time.monotonic()

    def tell(at: Any) -> None:
        spent = (time.monotonic() - began) / 60
        print(f"{name}  {at.done}/{at.total}  {at.method}  {spent:.0f} min", flush=True)

    found = tfviz.compare(
        adapter,
        drawn,
        contenders,
        seeds=SEEDS,
        folder=folder,
        title=TITLES[name],
        command=shlex.join(["python", *sys.argv]),
        callbacks=[tell],
        **settings,
    )
    print(found.save())
    for method, verdict in found.verdicts().items():
        print(f"{method}: {verdict}")


if __name__ == "__main__":
    main()
