r"""Find out how many steps a recipe needs for a picture as good as Lucid's.

    python benchmarks/quality.py -o quality
    python benchmarks/quality.py -o quality --only default --only rate-0.3 --size 128
    python benchmarks/quality.py -o transfer --early 0 --late 0 --logits 48 \\
        --judge a.tflite --judge b.tflite --only old --only default

Units are drawn by a seed: channels of an early and of a late layer, and logits. Each
recipe renders all of them. Every 16 steps the score of the pictures without transforms
is noted, as a share of the score that the recipe `lucid` reaches after 512 steps:
Lucid's transforms, and Adam with a rate of 0.05 and a momentum of 0.9. The table shows
the geometric mean of these shares after all steps of a recipe, in how many steps and
seconds the median unit reaches Lucid's score, and, with judges, how well other networks
recognize the pictures of logits: the mean of log(1 + rank) of the class, and its paired
difference from the recipe `old`, with a 95 % interval; less is better.

A high score alone is no proof of a good picture, since scores grow with the contrast.
The folder gets a sheet of each recipe's pictures; look at them. It also gets a figure
of the shares by the number of steps, `curves.svg`. What was computed before is read
from the folder.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tfviz  # first, so that it can choose TensorFlow's convolutions
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tfviz import images, judges, params, priors, transforms
from tfviz.objectives import channel, logit
from tfviz.objectives._base import join
from tfviz.optimize.options import LEARNING_RATE, MOMENTUM, STEPS, Options
from tfviz.optimize.runner import Runner
from tfviz.optimize.step import Problem

# One layer each, so that eight units share what is compiled.
EARLY, LATE = "fire3", "fire8"
BLOCK = 16  # the steps between two looks at the score
PARTS = 8  # the pictures of a batch

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda share: 1.0,
    "linear": lambda share: 1 - share,
    "cosine": lambda share: (1 + math.cos(math.pi * share)) / 2,
    "late": lambda share: min(1.0, 2 - 2 * share),  # falls over the second half
}


@dataclass(frozen=True)
class Recipe:
    """One way to optimize pictures.

    Attributes:
        steps: The number of steps.
        rate: The learning rate.
        momentum: The share of the mean gradient that tfviz's own Adam keeps.
        schedule: How the rate changes; one of `SCHEDULES`.
        optimizer: A Keras optimizer to take instead, or None.
        transforms: The name of a preset.
        stddev: The standard deviation of the starting spectrum.
        decay: The exponent with which amplitudes fall with the frequency.
        sizes: Shares of the full size at which equal parts of the steps are taken.
        candidates: The number of starts of which the best is taken.
        start: A prior whose pictures, after an eighth of the steps, are the start.
    """

    steps: int = STEPS
    rate: float = LEARNING_RATE
    momentum: float = MOMENTUM
    schedule: str = "constant"
    optimizer: Any = None
    transforms: str = "distill"
    stddev: float = 0.01
    decay: float = 1.0
    sizes: tuple[float, ...] = (1.0,)
    candidates: int = 1
    start: str | None = None


LUCID = {"rate": 0.05, "momentum": 0.9}
RECIPES = {
    "lucid": Recipe(512, **LUCID, transforms="lucid"),
    "old": Recipe(256, **LUCID),
    "default": Recipe(),
    "default-256": Recipe(256),
    "default-512": Recipe(512),
    "old-128": Recipe(128, **LUCID),
    "old-512": Recipe(512, **LUCID),
    "momentum-0": Recipe(momentum=0.0),
    "momentum-0.3": Recipe(momentum=0.3),
    "momentum-0.7": Recipe(momentum=0.7),
    "momentum-0.9": Recipe(momentum=0.9),
    "beta2-0.99": Recipe(optimizer=keras.optimizers.Adam(beta_1=0.5, beta_2=0.99)),
    "nadam": Recipe(optimizer=keras.optimizers.Nadam()),
    "rmsprop": Recipe(optimizer=keras.optimizers.RMSprop()),
    "lion": Recipe(rate=0.05, optimizer=keras.optimizers.Lion()),
    "rate-0.05": Recipe(rate=0.05),
    "rate-0.15": Recipe(rate=0.15),
    "rate-0.2": Recipe(rate=0.2),
    "rate-0.3": Recipe(rate=0.3),
    "linear-0.3": Recipe(rate=0.3, schedule="linear"),
    "cosine-0.3": Recipe(rate=0.3, schedule="cosine"),
    "late-0.2": Recipe(rate=0.2, schedule="late"),
    "stddev-0.1": Recipe(stddev=0.1),
    "decay-0.75": Recipe(decay=0.75),
    "decay-1.25": Recipe(decay=1.25),
    "gentle": Recipe(transforms="gentle"),
    "growing": Recipe(sizes=(0.5, 1.0)),
    "candidates-8": Recipe(candidates=8),
    "inverter-first": Recipe(start="inverter"),
}


@dataclass(frozen=True)
class Outcome:
    """What a recipe has made.

    Attributes:
        steps: The numbers of steps at which scores were noted.
        scores: `(len(steps), units)`, the scores without transforms at these steps.
        seconds: The time of all steps, without compilation.
        pictures: `(units, height, width, 3)`.
    """

    steps: list[int]
    scores: NDArray[np.float32]
    seconds: float
    pictures: NDArray[np.uint8]


def main() -> None:
    """Render with all recipes, and print the table."""
    options = arguments()
    options.output.mkdir(parents=True, exist_ok=True)
    adapter = tfviz.adapt(tfviz.load_model("squeezenet"))
    units, groups = draw_units(options)
    names = list(dict.fromkeys(["lucid", "old", *(options.only or RECIPES)]))
    panel = [judges.load(source) for source in options.judge]
    curves: dict[str, Outcome] = {}
    reference: Outcome | None = None
    ranks: dict[str, NDArray] = {}
    for name in names:
        outcome = load(options.output, name)
        if outcome is None:
            outcome = render(adapter, units, RECIPES[name], options.size)
            save(options.output, name, outcome)
        reference = reference or outcome
        curves[name] = outcome
        line = describe(outcome, reference, groups)
        if panel and "logits" in groups:
            classes = [
                int(number)
                for unit in units
                for number in unit.units.get("class", [-1])
            ]
            ranks[name] = log_ranks(panel, outcome, groups["logits"], classes)
            line += f"  rank {ranks[name].mean():.2f}"
            if name not in ("lucid", "old"):
                line += f" ({interval(ranks[name] - ranks['old'])})"
        print(f"{name:15} {line}", flush=True)
    svg = draw_curves(curves, curves["lucid"].scores[-1])
    (options.output / "curves.svg").write_text(svg, encoding="utf-8")


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--only", action="append", choices=RECIPES, metavar="RECIPE")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--seed", type=int, default=7, help="draws the units")
    for group in ("early", "late", "logits"):
        parser.add_argument(f"--{group}", type=int, default=8, help="how many units")
    parser.add_argument("--judge", action="append", default=[], metavar="FILE")
    return parser.parse_args()


def draw_units(options: argparse.Namespace) -> tuple[list[Any], dict[str, slice]]:
    """Return units drawn by the seed, and the slice of each group."""
    draw = np.random.default_rng(options.seed)
    model = tfviz.adapt(tfviz.load_model("squeezenet"))
    widths = {layer.path: layer.units for layer in model.layers((224, 224))}
    units: list[Any] = []
    groups = {}
    for group, layer in (("early", EARLY), ("late", LATE)):
        count, first = getattr(options, group), len(units)
        chosen = sorted(draw.choice(widths[layer], count, replace=False).tolist())
        units += [channel(layer, number) for number in chosen]
        groups[group] = slice(first, len(units))
    classes = sorted(draw.choice(1000, options.logits, replace=False).tolist())
    groups["logits"] = slice(len(units), len(units) + len(classes))
    units += [logit(number) for number in classes]
    return units, {
        name: part for name, part in groups.items() if part.stop > part.start
    }


def render(adapter: Any, units: list[Any], recipe: Recipe, size: int) -> Outcome:
    """Render the units of each layer in batches of one size."""
    results: dict[int, tuple[NDArray, NDArray]] = {}
    seconds = 0.0
    for layers in dict.fromkeys(unit.layers for unit in units):
        places = [i for i, unit in enumerate(units) if unit.layers == layers]
        for first in range(0, len(places), PARTS):
            part = places[first : first + PARTS]
            steps, scores, took, pictures = render_batch(
                adapter, [units[i] for i in part], part, recipe, size
            )
            seconds += took
            for row, place in enumerate(part):
                results[place] = scores[:, row], pictures[row]
    ordered = [results[place] for place in range(len(units))]
    scores = np.stack([scores for scores, _ in ordered], axis=1)
    return Outcome(steps, scores, seconds, np.stack([image for _, image in ordered]))


def render_batch(
    adapter: Any, units: list[Any], places: list[int], recipe: Recipe, size: int
) -> tuple[list[int], NDArray, float, NDArray]:
    """Return the steps, scores, seconds and pictures of units of one layer."""
    filled = units + [units[0]] * (PARTS - len(units))
    objective = join(filled)
    seeds = np.array([[0, i] for i in (*places, *[0] * PARTS)][:PARTS], np.int32)
    picture: Any = None
    if recipe.start:
        # The prior's own recipe, for the few steps that it needs.
        prior = priors.load(recipe.start)
        picture = tfviz.render(
            adapter, filled, prior, steps=recipe.steps // 8, batch_size=PARTS
        ).images
        picture = tf.image.resize(picture, (size, size), antialias=True)
    noted: list[int] = []
    scores, seconds = [], 0.0
    share = recipe.steps // len(recipe.sizes)
    for phase, factor in enumerate(recipe.sizes):
        side = int(size * factor)
        param = params.fourier(side, side, stddev=recipe.stddev, decay=recipe.decay)
        bound = objective.bound(adapter, (side, side))
        options = Options(optimizer=recipe.optimizer, momentum=recipe.momentum)
        preset = transforms.PRESETS[recipe.transforms]()
        runner = Runner(
            Problem(adapter, bound, param, preset, options), seeds, bound.units
        )
        start = None
        if picture is not None:
            start = param.encode(tf.image.resize(picture, (side, side)))
        runner.start(seeds, bound.units, start, recipe.candidates)
        seconds += runner.search_seconds
        for first in range(phase * share, (phase + 1) * share, BLOCK):
            began = time.monotonic()
            rate = recipe.rate * SCHEDULES[recipe.schedule](first / recipe.steps)
            if recipe.optimizer is not None:
                runner._update._optimizer.learning_rate = rate
            runner.run(first, BLOCK, rate)
            seconds += time.monotonic() - began
            noted.append(first + BLOCK)
            scores.append(runner.unit_scores()[: len(units)])
        picture = runner.images() / np.float32(255)
    return noted, np.stack(scores), seconds, runner.images()[: len(units)]


def save(folder: Path, name: str, outcome: Outcome) -> None:
    """Write what a recipe has made, with a sheet of its pictures."""
    images.sheet(list(outcome.pictures), [""] * len(outcome.pictures)).save(
        folder / f"{name}.png"
    )
    np.save(folder / f"{name}.npy", outcome.pictures, allow_pickle=False)
    text = json.dumps(
        {
            "steps": outcome.steps,
            "seconds": outcome.seconds,
            "scores": outcome.scores.tolist(),
        }
    )
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


def load(folder: Path, name: str) -> Outcome | None:
    """Read what a recipe made before, or return None."""
    file = folder / f"{name}.json"
    if not file.exists():
        return None
    saved = json.loads(file.read_text(encoding="utf-8"))
    pictures = np.load(folder / f"{name}.npy", allow_pickle=False)
    scores = np.array(saved["scores"], np.float32)
    return Outcome(saved["steps"], scores, saved["seconds"], pictures)


def describe(outcome: Outcome, reference: Outcome, groups: dict[str, slice]) -> str:
    """Return the shares of the reference's scores, and the time to reach them."""
    goal = reference.scores[-1]
    share = np.maximum(outcome.scores / np.where(goal > 0, goal, np.nan), 1e-3)
    columns = []
    for name, part in groups.items():
        with np.errstate(all="ignore"):
            mean = np.exp(np.nanmean(np.log(share[-1, part])))
        columns.append(f"{name} {mean:.3f}")
    reached = share >= 1
    first = np.where(reached.any(axis=0), reached.argmax(axis=0), len(share))
    steps = np.array([*outcome.steps, np.inf])[first]
    middle = np.median(steps)
    pace = outcome.seconds / outcome.steps[-1]
    columns.append(
        f"reached by {np.mean(np.isfinite(steps)):.0%}, median "
        + (f"{middle:.0f} steps, {middle * pace:.1f} s" if middle < np.inf else "never")
    )
    return "  ".join(
        [f"{outcome.steps[-1]:4} steps {outcome.seconds:6.1f} s", *columns]
    )


def draw_curves(curves: dict[str, Outcome], goal: NDArray) -> str:
    """Return a figure of the shares of a score by the number of steps, as SVG."""
    width, height, left, top = 640, 360, 50, 20
    steps = max(outcome.steps[-1] for outcome in curves.values())
    used = goal > 0

    def at(step: float, share: float) -> str:
        x = left + step / steps * (width - left - 130)
        return f"{x:.1f},{top + (1.2 - share) / 1.2 * (height - top - 40):.1f}"

    def text(step: float, share: float, words: str, anchor: str, colour: str) -> str:
        x, y = at(step, share).split(",")
        return (
            f'<text x="{x}" y="{float(y) + 4:.1f}" text-anchor="{anchor}" '
            f'fill="{colour}">{words}</text>'
        )

    lines = [
        f'<polyline points="{at(0, share)} {at(steps, share)}" stroke="#ccc"/>'
        + text(-0.01 * steps, share, f"{share:g}", "end", "#555")
        for share in (0, 0.5, 1)
    ]
    lines += [
        text(step, -0.07, str(step), "middle", "#555")
        for step in range(0, steps + 1, 128)
    ]
    for number, (name, outcome) in enumerate(curves.items()):
        shares = np.maximum(outcome.scores[:, used] / goal[used], 1e-3)
        means = np.exp(np.log(shares).mean(axis=1))
        colour = f"hsl({number * 360 // len(curves)} 70% 40%)"
        points = " ".join(map(at, outcome.steps, means))
        lines.append(f'<polyline points="{points}" stroke="{colour}"/>')
        lines.append(text(outcome.steps[-1] + 4, means[-1], name, "start", colour))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'fill="none" stroke-width="1.5" font-family="sans-serif" font-size="12">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{"".join(lines)}</svg>'
    )


def log_ranks(
    panel: list[Any], outcome: Outcome, part: slice, classes: list[int]
) -> NDArray:
    """Return log(1 + rank) of each logit's class, the mean over the judges."""
    shown = images.to_floats(outcome.pictures[part])
    numbers = np.array(classes[part])
    ranks = []
    for judge in panel:
        scores = judge.scores(shown)
        own = scores[np.arange(len(numbers)), numbers]
        ranks.append(np.log1p((scores > own[:, None]).sum(axis=1)))
    return np.mean(ranks, axis=0)


def interval(differences: NDArray) -> str:
    """Return the mean of paired differences with its 95 % interval."""
    mean = differences.mean()
    half = 1.96 * differences.std(ddof=1) / math.sqrt(len(differences))
    return f"{mean:+.2f}, {mean - half:+.2f} to {mean + half:+.2f}"


if __name__ == "__main__":
    main()
