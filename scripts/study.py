"""Compare learned priors with direct optimization, for docs/study.md.

    python scripts/study.py DATA -o study                       # many hours on 2 cores
    python scripts/study.py DATA -o study --parts squeezenet
    python scripts/study.py DATA -o study --steps 32 --seeds 1  # a quick look

DATA contains `imagenet-1000-samples.zip`, `evaluation-leaks.json`, `evaluators/`,
`taesd/` and `models/`. Photos which nearly equal a training photo of the bundled priors
are left out. The units are chosen with a fixed random seed before anything is rendered.

Each part is a comparison in a folder of its own. If the script is interrupted, running
it again continues where it stopped.

- `squeezenet`: 16 channels of early layers, 20 of late layers and 24 classes, with the
  defaults of each method.
- `efficientnet`: 12 channels and 24 classes of EfficientNet-Lite0.
- `mobilenet`: 12 channels and 12 classes of a MobileNet v1.
- `seconds`: 8 units of SqueezeNet, in the time in which the fastest method takes its
  default number of steps.
- `controls`: all units of SqueezeNet and three networks with random weights, one
  picture each; and a prior of another domain.
- `ablations`: 8 units of SqueezeNet, by the methods without each of their parts.
- `curve`: 12 units of SqueezeNet with 25 to 800 steps, in one folder for each number.
"""

import argparse
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

import tfviz  # first, so that it can choose TensorFlow's convolutions
from tfviz import Contender, judges, params, priors, views
from tfviz.comparison.compare import STEPS as DEFAULT_STEPS
from tfviz.comparison.methods import ablations, on_random_weights, random_networks
from tfviz.models.adapter import Adapter
from tfviz.params import Param
from tfviz.report.rows import read

# The random seed of the units.
SEED = 20_261
STEPS, SEEDS = 128, 3
# The numbers of steps of `curve`.
CURVE = (25, 50, 100, 200, 400, 800)
SIZE = 224
# The number of starts of which the best is optimized. Learned priors have as many by
# default.
CANDIDATES = 32


@dataclass(frozen=True)
class Network:
    """A network that is visualized, and the number of its units of each sort.

    Attributes:
        title: The name of the network.
        source: The name or file of the model; files are in DATA.
        early: Early layers with channels.
        late: Late layers with channels.
        counts: The numbers of channels of early layers, of late layers, and of classes.
        preprocess: The input range of the model, or None to detect it.
        relatives: The judges of the same architecture, which do not judge its units.
    """

    title: str
    source: str
    early: tuple[str, ...]
    late: tuple[str, ...]
    counts: tuple[int, int, int]
    preprocess: tuple[float, float] | None = None
    relatives: tuple[str, ...] = ()


# A channel after a ReLU6 has no gradient once it is 6 everywhere, so channels of such
# layers are visualized before it, or after a sum.
NETWORKS = {
    "squeezenet": Network(
        "SqueezeNet",
        "squeezenet",
        ("conv1", "fire2", "fire3", "fire4"),
        ("fire5", "fire6", "fire7", "fire8", "fire9"),
        (16, 20, 24),
    ),
    "efficientnet": Network(
        "EfficientNet-Lite0",
        "efficientnet-lite0",
        ("block3", "block5"),
        ("block8", "block11", "block15", "head:pre"),
        (4, 8, 24),
    ),
    "mobilenet": Network(
        "MobileNet v1",
        "models/classifiers/imagenet_mobilenet_v1_075_224.keras",
        ("conv_pw_2_relu:pre", "conv_pw_4_relu:pre"),
        (
            "conv_pw_7_relu:pre",
            "conv_pw_9_relu:pre",
            "conv_pw_11_relu:pre",
            "conv_pw_13_relu:pre",
        ),
        (4, 8, 12),
        (-1, 1),
        ("MobileNetV1-0.75", "MobileNetV1-embedding"),
    ),
}
# The judges that are files in `evaluators/`, by name.
FILES = {
    "MobileNetV1-0.75": "mobilenet_v1_0.75_192_quant.tflite",
    "MobileNetV2": "tf2_mobilenet_v2_1.0_224_ptq.tflite",
    "MobileNetV1-embedding": "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite",
}
# How many units `seconds` and `ablations` have, and how many `curve` has.
FEW, SOME = 8, 12
PARTS = (*NETWORKS, "seconds", "controls", "ablations", "curve")


def main() -> None:
    """Parse the arguments and run the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--parts", default=",".join(PARTS), help="all by default")
    parser.add_argument("--methods", help="separated by commas; all by default")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args()
    # All methods are made first, so that a missing file is noticed within seconds and
    # not after hours.
    methods = make_methods(options.data)
    if options.methods:
        methods = {name: methods[name] for name in options.methods.split(",")}
    with tempfile.TemporaryDirectory() as folder:
        photos = unpack_photos(options.data, Path(folder))
        for part in options.parts.split(","):
            run_part(options, part, methods, photos)


def run_part(
    options: argparse.Namespace,
    part: str,
    methods: Mapping[str, Contender],
    photos: Sequence[Path],
) -> None:
    """Run the comparison, or the comparisons, of a part of the study."""
    network = NETWORKS.get(part, NETWORKS["squeezenet"])
    adapter = load_network(network, options.data)
    units = choose_units(adapter, network)
    settings: dict[str, Any] = {
        "images": photos,
        "judges": load_judges(options.data, network),
        "steps": options.steps,
        "seeds": options.seeds,
    }
    if part == "seconds":
        settings["steps"] = None
        settings["seconds"] = time_budget(options.output / "squeezenet", options.steps)
    few = units[:: -(-len(units) // FEW)]
    if part in NETWORKS:
        run(options, part, network.title, adapter, units, methods, settings)
    elif part == "seconds":
        run(options, part, "By equal time", adapter, few, methods, settings)
    elif part == "ablations":
        title = "Methods without each of their parts"
        run(options, part, title, adapter, few, with_ablations(methods), settings)
    elif part == "controls":
        settings["seeds"] = 1
        controls = with_controls(adapter, methods, options.data)
        run(options, part, "Random weights", adapter, units, controls, settings)
    else:
        some = units[:: len(units) // SOME]
        for steps in CURVE:
            title = f"{steps} steps"
            changed = settings | {"steps": steps, "seeds": 1}
            run(options, f"{part}-{steps}", title, adapter, some, methods, changed)


def load_network(network: Network, data: Path) -> Adapter:
    """Load a network that is visualized."""
    bundled = "/" not in network.source
    source = network.source if bundled else data / network.source
    return tfviz.adapt(tfviz.load_model(source), network.preprocess)


def load_judges(data: Path, visualized: Network) -> list[judges.Judge]:
    """Load the judges: networks of other architectures than the one that is visualized.

    SqueezeNet judges the other networks, although the bundled priors were trained with
    it; the report marks this.
    """
    panel = [
        judges.tflite(data / "evaluators" / file, name=name)
        for name, file in FILES.items()
        if name not in visualized.relatives
    ]
    for network in (NETWORKS["efficientnet"], NETWORKS["squeezenet"]):
        if network != visualized:
            adapter = load_network(network, data)
            panel.append(judges.keras(adapter, name=network.title))
    return panel


def choose_units(adapter: Adapter, network: Network) -> list[str]:
    """Choose channels of early layers, channels of late layers, and classes."""
    random = np.random.default_rng(SEED)
    early, late, classes = network.counts
    units: list[str] = []
    for layers, count in ((network.early, early), (network.late, late)):
        for place in range(count):
            layer = layers[place % len(layers)]
            channels = adapter.layer(layer).units
            unit = f"{layer}:{random.integers(channels)}"
            while unit in units:
                unit = f"{layer}:{random.integers(channels)}"
            units.append(unit)
    chosen = random.choice(adapter.classes, classes, replace=False)
    return units + [f"logit:{index}" for index in chosen]


def make_methods(data: Path) -> dict[str, Contender]:
    """Make the methods that are compared, which choose among as many starts."""
    taesd = {
        part: data / "taesd" / f"taesd_{part}.safetensors"
        for part in ("decoder", "encoder")
    }
    made = {
        "pixels": (params.pixels(SIZE, SIZE), "Pixels, as they are."),
        "fourier": (params.fourier(SIZE, SIZE), "A decorrelated spectrum."),
        "fourier at 112 px": (
            enlarged(params.fourier(112, 112)),
            "A decorrelated spectrum at half the size, enlarged as TAESD's pictures.",
        ),
        "fourier at 64 px": (
            enlarged(params.fourier(64, 64)),
            "A decorrelated spectrum at the size of the inverter's pictures.",
        ),
        "maco": (
            params.maco(SIZE, SIZE),
            "Phases alone, under the amplitudes of photos.",
        ),
        "inverter": (priors.load("inverter"), "The bundled inverter."),
        "inverter+fourier": (
            priors.load("inverter+fourier"),
            "The inverter, with detail in pixels.",
        ),
        "autoencoder": (
            priors.load("autoencoder", 128),
            "The decoder of the bundled autoencoder.",
        ),
        "inverter+autoencoder": (
            priors.load("inverter+autoencoder", 128),
            "The inverter, with detail through the autoencoder.",
        ),
        "taesd": (
            priors.load(taesd["decoder"], 112, encoder=taesd["encoder"]),
            "The decoder of TAESD, which others trained.",
        ),
    }
    return {
        name: Contender(param, candidates=CANDIDATES, description=description)
        for name, (param, description) in made.items()
    }


def enlarged(param: Param) -> Param:
    """Return a param whose pictures the network sees enlarged, as those of priors."""
    return replace(param, view=views.resized(), spec={})


def with_controls(
    adapter: Adapter, methods: Mapping[str, Contender], data: Path
) -> dict[str, Contender]:
    """Return methods with their controls on random weights, and drawn faces."""
    networks = random_networks(adapter)
    faces = data / "models" / "generators" / "anime_faces_gan_64.h5"
    extended = dict(methods)
    extended["drawn faces"] = Contender(
        priors.load(faces, value_range=(0, 1)),
        kind="control",
        description="A GAN of drawn faces, whatever the unit looks for.",
    )
    for name, method in methods.items():
        extended |= on_random_weights(name, method, networks)
    return extended


def with_ablations(methods: Mapping[str, Contender]) -> dict[str, Contender]:
    """Return methods with their ablations."""
    extended = dict(methods)
    for name, method in methods.items():
        extended |= ablations(name, method)
    return extended


def unpack_photos(data: Path, folder: Path) -> list[Path]:
    """Unpack the sample photos, and return those that are in no training set."""
    with ZipFile(data / "imagenet-1000-samples.zip") as archive:
        archive.extractall(folder)
    leaks = json.loads((data / "evaluation-leaks.json").read_text())["photos"]
    photos = sorted(folder.rglob("*.JPEG"))
    return [photo for photo in photos if photo.name.partition("_")[0] not in leaks]


def time_budget(folder: Path, steps: int) -> float:
    """Return the seconds that the default number of steps takes for one picture.

    This is the time of the fastest method; the others take fewer steps in it.

    Args:
        folder: The folder of a finished comparison.
        steps: The number of its steps.
    """
    times: dict[str, list[float]] = {}
    for row in read(folder)["rows"]:
        if row.get("seconds") is not None:
            times.setdefault(row["method"], []).append(row["seconds"])
    fastest = min(float(np.median(seconds)) for seconds in times.values())
    return round(fastest * DEFAULT_STEPS / steps, 1)


def run(  # noqa: PLR0917 (everything that makes a comparison)
    options: argparse.Namespace,
    name: str,
    title: str,
    adapter: Adapter,
    units: Sequence[str],
    methods: Mapping[str, Contender],
    settings: Mapping[str, Any],
) -> None:
    """Run one comparison and write its report."""
    began = time.monotonic()

    def print_progress(at: Any) -> None:
        if at.step:  # a line for each unit is enough
            return
        minutes = (time.monotonic() - began) / 60
        progress = f"{at.stage}  {at.done}/{at.total}  {at.method}  {minutes:.0f} min"
        print(f"{name}  {progress}", flush=True)

    comparison = tfviz.compare(
        adapter,
        units,
        methods,
        folder=options.output / name,
        title=title,
        command=shlex.join(["python", *sys.argv]),
        callbacks=[print_progress],
        **settings,
    )
    print(comparison.save())
    for method, verdict in comparison.verdicts().items():
        print(f"{method}: {verdict}")


if __name__ == "__main__":
    main()
