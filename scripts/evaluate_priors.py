"""Measure the priors that come with the package, for their model cards.

    python scripts/evaluate_priors.py reconstruct DATA PRIOR... -o folder
    python scripts/evaluate_priors.py logits DATA PRIOR... -o folder
    python scripts/evaluate_priors.py channels DATA PRIOR... -o folder --layer fire8

DATA holds `imagenet-1000-samples.zip`, `models/classifiers/` and `evaluators/`. PRIOR
is what `tfviz.priors.load` takes, with a size behind a colon: `autoencoder:128`.

`reconstruct` asks two networks what they see in photos after `decode(encode(photo))`,
in 8 bits: photos at the prior's size are the ceiling, and a linear code of as many
numbers as the prior's, found on other photos, is the floor. `logits` renders classes
drawn by a seed under `fourier` and under each prior with as many steps, and asks
networks that had no part in it for the rank of the class, with an interval over
classes by a paired bootstrap. `channels` tells how much channels of a layer respond,
at the start and at the end.
"""

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

import tfviz  # first, so that it can choose TensorFlow's convolutions
from tfviz import images, judges, measures, priors
from tfviz.comparison.summary import paired
from tfviz.models.inputs import resize

Judge = Callable[[NDArray], NDArray]
UNITS, SEEDS, STEPS = 24, (0, 1), 150
PATCH, SHOWN = 8, 10


def main() -> None:
    """Read the arguments and run one of both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["reconstruct", "logits", "channels"])
    parser.add_argument("data", type=Path)
    parser.add_argument("priors", nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--model", default="squeezenet")
    parser.add_argument("--preprocess", help="of the model: --preprocess=-1,1")
    parser.add_argument("--layer", default="fire8")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--units", type=int, default=UNITS, help="classes or channels")
    parser.add_argument("--photos", type=int, default=1000)
    options = parser.parse_args()
    {"reconstruct": reconstruct, "logits": logits, "channels": channels}[options.what](
        options
    )


def loaded(source: str) -> Any:
    """Return the prior of `NAME` or `NAME:SIZE`, where a name may be a file."""
    name, _, size = source.rpartition(":")
    return priors.load(name, int(size)) if size.isdigit() else priors.load(source)


def stem(source: str) -> str:
    """Return what files about a prior are called."""
    return Path(source).name.replace(":", "-")


def reconstruct(options: argparse.Namespace) -> None:
    """Write what networks see in photos that went through each prior, and a sheet."""
    options.output.mkdir(parents=True, exist_ok=True)
    found = {}
    asked = {"squeezenet": judge(tfviz.load_model("squeezenet"))}
    mobilenet = options.data / "models/classifiers/imagenet_mobilenet_v1_075_224.keras"
    asked["mobilenet"] = judge(tfviz.load_model(mobilenet), (-1, 1))
    for source in options.priors:
        prior = loaded(source)
        originals = photos(options.data, prior.shape[0], options.photos)
        decoded = np.concatenate(
            [
                np.asarray(prior.decode(prior.encode(originals[i : i + 20])))
                for i in range(0, len(originals), 20)
            ]
        )
        numbers = sum(int(np.prod(v.shape)) for v in prior.latents.values())
        linear = patch_pca(originals, numbers / np.prod(prior.shape[:2]) * PATCH**2)
        for kind, made in (("photos", originals), ("prior", decoded), ("pca", linear)):
            pictures = np.round(np.clip(made, 0, 1) * 255) / 255
            slopes = measures.spectrum_slope(pictures)
            line = {"psnr": psnr(pictures, originals), "slope": float(slopes.mean())}
            for name, ask in asked.items():
                ranks = ranks_of(ask(pictures), np.arange(len(pictures)))
                line[f"{name}_top1"] = float((ranks < 1).mean())
                line[f"{name}_top5"] = float((ranks < 5).mean())
            found[f"{source} {kind}"] = line
            print(source, kind, json.dumps(line), flush=True)
        random = np.clip(prior.sample(256), 0, 1)
        slope = float(measures.spectrum_slope(random).mean())
        found[f"{source} random"] = {"slope": slope}
        print(source, "random", found[f"{source} random"], flush=True)
        some = np.linspace(0, len(originals) - 1, SHOWN).round().astype(int)
        rows = np.concatenate([originals[some], decoded[some], random[:SHOWN]])
        sheet = images.sheet(np.clip(rows, 0, 1), [""] * len(rows), SHOWN)
        images.save(sheet, options.output / f"{stem(source)}.webp")
    (options.output / "scores.json").write_text(json.dumps(found, indent=2))


def logits(options: argparse.Namespace) -> None:
    """Render classes under each prior, and ask the evaluators for their ranks."""
    options.output.mkdir(parents=True, exist_ok=True)
    adapter = visualized(options)
    targets = drawn(adapter.classes, options.units)
    units = [f"logit:{index}" for index in targets]
    methods = {"fourier": None} | {source: loaded(source) for source in options.priors}
    asked = evaluators(options.data)
    found: dict[str, Any] = {"classes": targets.tolist(), "steps": options.steps}
    ranks: dict[str, list[NDArray]] = {}
    sheets = []
    for name, param in methods.items():
        own, others = [], []
        for seed in SEEDS:
            result = tfviz.render(
                adapter, units, param, steps=options.steps, seed=seed, batch_size=8
            )
            own.append(ranks_of(adapter.logits(result.views), targets))
            others.append([ranks_of(a(result.views), targets) for a in asked.values()])
            if seed == SEEDS[0]:
                sheets.extend(to_size(result.images, 112))
            result.save(options.output / f"{stem(name)}-{seed}.png")
        # (seeds, judges, classes) -> one number for each class
        ranks[name] = np.log1p(np.array(others)).mean(axis=(0, 1))
        found[name] = {
            "own_top1": float((np.array(own) < 1).mean()),
            "mean_log_rank": float(ranks[name].mean()),
            "judges": {
                judge: np.log1p(np.array(others))[:, i].mean().item()
                for i, judge in enumerate(asked)
            },
        }
        print(name, json.dumps(found[name]), flush=True)
    for name in options.priors:
        sure = paired(ranks[name], ranks["fourier"])
        found[name]["difference_to_fourier"] = [sure.low, sure.high]
        print(f"{name} - fourier: 95 % interval {sure.low:.2f} to {sure.high:.2f}")
    captions = [str(index) for _ in methods for index in targets]
    sheet = images.sheet(sheets, captions, len(targets))
    images.save(sheet, options.output / "all.png")
    (options.output / "scores.json").write_text(json.dumps(found, indent=2))


def channels(options: argparse.Namespace) -> None:
    """Render channels of a layer under each prior."""
    options.output.mkdir(parents=True, exist_ok=True)
    adapter = visualized(options)
    layer = options.layer
    targets = drawn(adapter.layer(layer).units, options.units)
    units = [f"{layer}:{index}" for index in targets]
    found: dict[str, Any] = {"layer": layer, "channels": targets.tolist()}
    for name in ("fourier", *options.priors):
        param = None if name == "fourier" else loaded(name)
        result = tfviz.render(adapter, units, param, steps=options.steps, batch_size=8)
        found[name] = {"scores": result.unit_scores.tolist()}
        if result.start_scores is not None:
            risen = result.unit_scores > result.start_scores
            found[name]["starts"] = result.start_scores.tolist()
            found[name]["risen"] = float(risen.mean())
        print(name, json.dumps(found[name]), flush=True)
        result.save(options.output / f"{stem(name)}.png")
    (options.output / "scores.json").write_text(json.dumps(found, indent=2))


def visualized(options: argparse.Namespace) -> Any:
    """Return the adapter of the model whose units are rendered."""
    preprocess = options.preprocess
    if preprocess and "," in preprocess:
        preprocess = tuple(float(end) for end in preprocess.split(","))
    return tfviz.adapt(tfviz.load_model(options.model), preprocess)


def drawn(among: int, count: int) -> NDArray:
    """Return some units, fixed in advance."""
    picked = np.random.default_rng(0).choice(among, min(count, among), replace=False)
    return np.sort(picked)


def photos(data: Path, size: int, count: int) -> NDArray[np.float32]:
    """Return the middle squares of the sample photos, in the order of the classes."""
    with ZipFile(data / "imagenet-1000-samples.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".JPEG"))[:count]
        found = [images.read(io.BytesIO(archive.read(name))) for name in names]
    large = [images.centre_crop(photo, (227, 227)) for photo in found]
    return to_size(np.stack(large), size)


def to_size(pictures: Any, size: int) -> NDArray[np.float32]:
    """Return pictures at another size."""
    return np.clip(np.asarray(resize(pictures, (size, size))), 0, 1)


def judge(model: Any, preprocess: Any = None) -> Judge:
    """Return what gives the logits `(n, classes)` of pictures of any size."""
    adapter = tfviz.adapt(model, preprocess)

    def ask(pictures: NDArray) -> NDArray:
        size = adapter.input_size or (227, 227)
        shown = resize(pictures, size)
        parts = [adapter.logits(shown[i : i + 50]) for i in range(0, len(shown), 50)]
        return np.concatenate([np.asarray(part) for part in parts])

    return ask


def evaluators(data: Path) -> dict[str, Judge]:
    """Return the networks that take no part in any optimization."""
    found: dict[str, Judge] = {}
    for path in sorted((data / "evaluators").glob("*.tflite")):
        if "embedding" not in path.name:
            found[path.stem] = judges.tflite(path).scores
    return found


def ranks_of(answers: Any, targets: NDArray) -> NDArray:
    """Return how many classes are ahead of each picture's own; half of those level."""
    answers = np.asarray(answers)
    own = answers[np.arange(len(answers)), targets][:, None]
    level = (answers == own).sum(axis=1) - 1
    return (answers > own).sum(axis=1) + level / 2


def psnr(pictures: NDArray, originals: NDArray) -> float:
    """Return the mean peak signal-to-noise ratio, in dB."""
    errors = ((pictures - originals) ** 2).mean(axis=(1, 2, 3))
    return float(-10 * np.log10(np.maximum(errors, 1e-10)).mean())


def patch_pca(pictures: NDArray, numbers: float) -> NDArray:
    """Return pictures after a linear code of `numbers` for each patch."""
    n, size = len(pictures), pictures.shape[1] // PATCH
    patches = pictures.reshape(n, size, PATCH, size, PATCH, 3).transpose(
        0, 1, 3, 2, 4, 5
    )
    flat = patches.reshape(-1, PATCH * PATCH * 3)
    half = flat[: len(flat) // 2], flat[len(flat) // 2 :]
    made = []
    for own, other in (half, half[::-1]):  # the code is found on other photos
        mean = other.mean(axis=0)
        _, vectors = np.linalg.eigh(np.cov(other - mean, rowvar=False))
        basis = vectors[:, ::-1][:, : max(round(numbers), 1)]
        made.append((own - mean) @ basis @ basis.T + mean)
    flat = np.concatenate(made).reshape(n, size, size, PATCH, PATCH, 3)
    return flat.transpose(0, 1, 3, 2, 4, 5).reshape(pictures.shape).astype(np.float32)


if __name__ == "__main__":
    main()
