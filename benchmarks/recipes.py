"""Compare the recipes of Lucid and Horama with that of tfviz by quality at equal steps.

    python benchmarks/recipes.py -o recipes.json
    python benchmarks/recipes.py --size 128 --steps 64 512 --evaluators FOLDER

All recipes run within tfviz, on SqueezeNet, with the same units, seeds and numbers of
steps, so that nothing but the recipe differs:

* `lucid`: the spectrum, with Lucid's transforms, and Adam at a rate of 0.05 and a
  momentum of 0.9;
* `horama`: MaCo, with a box of 0.2 to 0.25 of the image and noise of 0.05, and NAdam at
  a rate of 1 radian. Horama averages the gradient over 6 boxes in each step, here it is
  one, as in all recipes. It shows units at the scale of a box, in images several times
  as large as the input of the network, so that the score of the whole picture is low;
* `horama-wide`: the same with boxes of 0.6 to 1 of the image, which suit a picture of
  the size of the input;
* `maco`: MaCo with the transforms and the rate that tfviz prefers for it;
* `tfviz`: what `tfviz.render` does by default.

The units are drawn by a seed: channels of two of the early and of two of the late
layers, and logits. Printed is the score of the unit in the final picture, as it is
saved and without transforms, relative to that which Lucid's recipe reaches with the
most steps, as the geometric mean over units; units whose score is not positive with
both are left out. For the logits follow judges that took no part: the probability that
each gives to the class, and the difference to Lucid's in percentage points. Intervals
are bootstrap intervals of 95 % over units.
"""

import argparse
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import machine
import tfviz
import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray
from tfviz.comparison.summary import Interval, interval, paired
from tfviz.params._maco import PHASE_GAIN

BASELINE = "lucid"
BUNDLED = "efficientnet-lite0"
EARLY = ("fire2", "fire3", "fire4", "fire5")
LATE = ("fire6", "fire7", "fire8", "fire9")
CLASSES = 1000
# Horama's, from its source (https://github.com/serre-lab/Horama).
HORAMA_BOX, HORAMA_NOISE, HORAMA_RATE = (0.2, 0.25), 0.05, 1.0
WIDE_BOX = (0.6, 1.0)
RECIPES = (BASELINE, "horama", "horama-wide", "maco", "tfviz")
KINDS = ("early", "late", "logit")


def main() -> None:
    """Render the units with each recipe, and compare the pictures."""
    options = arguments()
    about = machine.describe()
    machine.print_machine(about)
    adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
    units = draw_units(options.units, options.seed, adapter)
    print(f"{options.size}x{options.size} pixels, batch 8, units: {describe(units)}")
    judges = load_judges(options.evaluators)
    made = {}
    for steps in sorted(options.steps):
        for name, recipe in recipes(options.size).items():
            if name not in {BASELINE, *options.recipes}:
                continue
            made[name, steps] = render(adapter, units, recipe, steps, options.seed)
            print(
                f"{name:<12} {steps:4} steps: {made[name, steps]['seconds']:.0f} s",
                flush=True,
            )
    reference = made[BASELINE, max(options.steps)]
    rows = [
        row(name, steps, result, reference, judges)
        for (name, steps), result in made.items()
    ]
    print_scores(rows)
    print_judges(rows, judges)
    machine.write_json(
        options.output,
        {
            "machine": about,
            "options": {
                k: v for k, v in vars(options).items() if not isinstance(v, Path)
            },
            "units": units,
            "rows": rows,
        },
    )


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument(
        "--steps", type=int, nargs="+", default=[512], help="numbers of steps"
    )
    parser.add_argument(
        "--units", type=int, default=8, help="the number of units of each kind"
    )
    parser.add_argument(
        "--recipes",
        nargs="+",
        choices=RECIPES,
        default=RECIPES,
        help=f"the recipes to compare with {BASELINE}",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--evaluators",
        type=Path,
        default=Path(__file__).resolve().parents[2] / "shared/data/evaluators",
        help="a folder of .tflite classifiers, which judge the pictures of logits",
    )
    parser.add_argument("-o", "--output", type=Path, help="a JSON file")
    return parser.parse_args()


def draw_units(count: int, seed: int, adapter: Any) -> dict[str, list[str]]:
    """Draw the units of each kind: channels of two layers each, and logits."""
    rng = np.random.default_rng(seed)
    units: dict[str, list[str]] = {}
    for kind, layers in (("early", EARLY), ("late", LATE)):
        drawn = sorted(rng.choice(layers, 2, replace=False))
        units[kind] = []
        for layer, share in zip(drawn, (count - count // 2, count // 2), strict=True):
            channels = adapter.layer(layer).units
            picked = sorted(rng.choice(channels, share, replace=False))
            units[kind] += [f"{layer}:{channel}" for channel in picked]
    picked = sorted(rng.choice(CLASSES, count, replace=False))
    units["logit"] = [f"logit:{number}" for number in picked]
    return units


def describe(units: dict[str, list[str]]) -> str:
    """Return all units in a line."""
    return ", ".join(unit for kind in KINDS for unit in units[kind])


def recipes(size: int) -> dict[str, dict[str, Any]]:
    """Return the arguments of `tfviz.render` of each recipe."""
    fourier, maco = tfviz.params.fourier(size, size), tfviz.params.maco(size, size)

    def horama(low: float, high: float) -> dict[str, Any]:
        moves = tfviz.transforms.box(low, high), tfviz.transforms.noise(HORAMA_NOISE)
        return {
            "param": maco,
            "transforms": tfviz.transforms.chain(*moves),
            "optimizer": keras.optimizers.Nadam(HORAMA_RATE / PHASE_GAIN),
        }

    return {
        BASELINE: {
            "param": fourier,
            "transforms": tfviz.transforms.lucid(),
            "learning_rate": 0.05,
            "momentum": 0.9,
        },
        "horama": horama(*HORAMA_BOX),
        "horama-wide": horama(*WIDE_BOX),
        "maco": {"param": maco},
        "tfviz": {"param": fourier},
    }


def render(
    adapter: Any,
    units: dict[str, list[str]],
    recipe: dict[str, Any],
    steps: int,
    seed: int,
) -> dict[str, Any]:
    """Make the pictures of all units.

    Returns:
        The unit scores and which are dead by kind, the pictures of logits, and the
        seconds that it took.
    """
    began = time.perf_counter()
    with warnings.catch_warnings(action="ignore"):  # of dead units, which are counted
        results = {
            kind: tfviz.render(
                adapter, units[kind], steps=steps, seed=seed, batch_size=8, **recipe
            )
            for kind in KINDS
        }
    return {
        "scores": {kind: result.unit_scores for kind, result in results.items()},
        "dead": [n for r in results.values() for n in np.array(r.names)[r.stuck]],
        "pictures": results["logit"].images,
        "classes": [int(unit.removeprefix("logit:")) for unit in units["logit"]],
        "seconds": time.perf_counter() - began,
    }


def load_judges(folder: Path) -> dict[str, Callable[[Any], NDArray[np.float32]]]:
    """Load the bundled judge, and the classifiers in a folder if there is one."""
    judges = {BUNDLED: tfviz.judges.load(BUNDLED)}
    if not folder.is_dir():
        print(f"No judges beside {BUNDLED}: there is no folder {folder}.")
    elif find_spec("ai_edge_litert") is None:
        print(f"No judges beside {BUNDLED}: ai-edge-litert is not installed.")
    else:
        for path in sorted(folder.glob("*.tflite")):
            judge = tfviz.judges.load(path)
            if judge.scores is None:
                print(f"{judge.name} is no judge of classes: it returns features only.")
            else:
                judges[judge.name] = judge
    return {name: judge.scores for name, judge in judges.items()}


def row(
    name: str,
    steps: int,
    result: dict[str, Any],
    reference: dict[str, Any],
    judges: dict[str, Callable],
) -> dict[str, Any]:
    """Return what is known of a recipe after some steps, as JSON values."""
    logarithms = {
        kind: log_ratios(result["scores"][kind], reference["scores"][kind])
        for kind in KINDS
    }
    logarithms["all"] = np.concatenate(list(logarithms.values()))
    found: dict[str, Any] = {
        "recipe": name,
        "steps": steps,
        "seconds": result["seconds"],
        "dead": result["dead"],
        "scores": {kind: result["scores"][kind].tolist() for kind in KINDS},
        "relative": {
            kind: asdict(geometric(interval(values)))
            for kind, values in logarithms.items()
        },
        "judges": {},
    }
    for judge, scores in judges.items():
        own = class_probabilities(scores(result["pictures"]), result["classes"])
        other = class_probabilities(scores(reference["pictures"]), result["classes"])
        found["judges"][judge] = {
            "probabilities": own.tolist(),
            "mean": float(own.mean()),
            "difference": asdict(paired(own, other)),
        }
    return found


def log_ratios(scores: ArrayLike, reference: ArrayLike) -> NDArray[np.float64]:
    """Return the logarithms of ratios of scores; nan unless both are positive.

    >>> log_ratios([1.0, 0.0, 3.0], [1.0, 2.0, -1.0])
    array([ 0., nan, nan])
    """
    first, second = np.asarray(scores, float), np.asarray(reference, float)
    both = (first > 0) & (second > 0)
    ratios = np.divide(first, second, out=np.full_like(first, np.nan), where=both)
    return np.log(ratios)


def geometric(found: Interval) -> Interval:
    """Return the geometric mean of ratios from the interval of their logarithms."""
    ends = (math.exp(v) for v in (found.value, found.low, found.high))
    return Interval(*ends, found.units)


def class_probabilities(
    logits: NDArray[np.float32], classes: list[int]
) -> NDArray[np.float64]:
    """Return the probability of its class in each picture, `(n,)`.

    >>> class_probabilities(np.log([[1.0, 3.0], [1.0, 1.0]]), [1, 0]).round(3)
    array([0.75, 0.5 ])
    """
    powers = np.exp(logits.astype(float) - logits.max(axis=1, keepdims=True))
    return powers[np.arange(len(classes)), classes] / powers.sum(axis=1)


def print_scores(rows: list[dict[str, Any]]) -> None:
    """Print the scores relative to the baseline's."""
    print(f"\nscore relative to {BASELINE}, most steps" + " " * 8, end="")
    print("".join(f"{kind:<20} units " for kind in (*KINDS, "all")) + "dead")
    for found in rows:
        print(f"{found['recipe']:<12} {found['steps']:4} steps {'':<21}", end="")
        for kind in (*KINDS, "all"):
            r = found["relative"][kind]
            text = f"{r['value']:.3f} [{r['low']:.3f}, {r['high']:.3f}]"
            print(f"{text:<22} {r['units']:>2} ", end="")
        print(len(found["dead"]))


def print_judges(rows: list[dict[str, Any]], judges: dict[str, Any]) -> None:
    """Print the probability of the class in the pictures of logits."""
    for judge in judges:
        print(f"\n{judge}: probability of the class, and the difference to {BASELINE}")
        for found in rows:
            entry = found["judges"][judge]
            d = {k: 100 * v for k, v in entry["difference"].items()}
            print(
                f"{found['recipe']:<12} {found['steps']:4} steps "
                f"{100 * entry['mean']:6.1f} % {d['value']:+7.1f} "
                f"[{d['low']:+.1f}, {d['high']:+.1f}]"
            )


if __name__ == "__main__":
    main()
