"""Measure the bundled priors for their model cards.

    python scripts/evaluate_priors.py reconstruct DATA PRIOR... -o folder
    python scripts/evaluate_priors.py logits DATA PRIOR... -o folder
    python scripts/evaluate_priors.py channels DATA PRIOR... -o folder --layer fire8

DATA contains `imagenet-1000-samples.zip`, `evaluation-leaks.json`,
`models/classifiers/`, `evaluators/` and, for TAESD, `taesd/`. PRIOR is a name or file
for `tfviz.priors.load`, or `taesd`, optionally with a size: `autoencoder:128`.

`reconstruct` classifies photos with several networks after `decode(encode(photo))`, in
8 bits. The photos themselves, at the prior's size, are the upper bound; the lower bound
is a principal component analysis that was fitted to other photos, with as many
components as the prior has latents. Photos which nearly equal a photo of a training set
are left out. Of random images, it measures the slope of the spectrum and the lattice:
the largest share of the power at an oblique frequency that is common to 256 images. It
is 1/256 in the mean and about 0.03 at most for independent images, and up to 1 for a
pattern that a generator puts into all images. Its `amplitude` in levels of 8 bits says
whether it can be seen.

`logits` renders randomly chosen classes with `fourier` and with each prior, for the
same number of steps. Networks that took no part in the optimization rank the classes;
the difference to `fourier` has an interval from a paired bootstrap over classes.

`channels` records the scores of channels of a layer, before and after the
optimization.
"""

import argparse
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

import tfviz  # first, so that it can choose TensorFlow's convolutions
from tfviz import images, judges, measures, priors
from tfviz.comparison.kinship import is_trained_with
from tfviz.comparison.summary import paired
from tfviz.models.inputs import resize
from tfviz.models.sources import BUNDLED

Classifier = Callable[[NDArray], NDArray]
UNITS, SEEDS, STEPS = 24, (0, 1), 150
# The side of the patches of the principal component analysis in pixels, and the number
# of pictures in a row of the sheet.
PATCH, SHOWN = 8, 10
# The number of random images, and the name of TAESD, whose files are in DATA.
RANDOM, TAESD = 256, "taesd"
# More than this share of the power at a frequency is not common by chance.
COMMON = 0.1


def main() -> None:
    """Parse the arguments and run the chosen measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measurement", choices=["reconstruct", "logits", "channels"])
    parser.add_argument("data", type=Path)
    parser.add_argument("priors", nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--model", default="squeezenet")
    parser.add_argument(
        "--preprocess", help="the preprocessing of the model, such as --preprocess=-1,1"
    )
    parser.add_argument("--layer", default="fire8")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument(
        "--units", type=int, default=UNITS, help="the number of classes or channels"
    )
    parser.add_argument("--photos", type=int, default=1000)
    options = parser.parse_args()
    measurements = {
        "reconstruct": reconstruct,
        "logits": logits,
        "channels": channels,
    }
    measurements[options.measurement](options)


def load_prior(source: str, data: Path) -> Any:
    """Load the prior of `NAME` or `NAME:SIZE`, where a name may be a file."""
    name, _, size = source.rpartition(":")
    if not size.isdigit():
        name, size = source, ""
    if name != TAESD:
        return priors.load(name, int(size) if size else None)
    folder = data / "taesd"
    return priors.load(
        folder / "taesd_decoder.safetensors",
        int(size) if size else None,
        encoder=folder / "taesd_encoder.safetensors",
    )


def stem(source: str) -> str:
    """Return the stem of the names of the files about a prior."""
    return Path(source).name.replace(":", "-")


def reconstruct(options: argparse.Namespace) -> None:
    """Write how well networks recognize reconstructed photos, and a sheet of them."""
    options.output.mkdir(parents=True, exist_ok=True)
    scores: dict[str, Any] = {}
    adapters = load_adapters(options.data)
    for source in options.priors:
        prior = load_prior(source, options.data)
        related = [
            name
            for name, adapter in adapters.items()
            if is_trained_with(prior, adapter.fingerprint())
        ]
        scores[f"{source} training"] = {"classifiers": related, **prior.trained}
        print(source, "was trained with", ", ".join(related) or "none of the networks")
        originals, classes = load_photos(options.data, prior.shape[0], options.photos)
        versions = {"photos": originals}
        if prior.encode is not None:
            versions |= reconstructions(prior, originals)
        for kind, version in versions.items():
            pictures = np.round(np.clip(version, 0, 1) * 255) / 255
            slopes = measures.spectrum_slope(pictures)
            line = {"psnr": psnr(pictures, originals), "slope": float(slopes.mean())}
            for name, adapter in adapters.items():
                ranks = class_ranks(classify(adapter, pictures), classes)
                line[f"{name}_top1"] = float((ranks < 1).mean())
                line[f"{name}_top5"] = float((ranks < 5).mean())
            scores[f"{source} {kind}"] = line
            print(source, kind, json.dumps(line), flush=True)
        random = np.clip(prior.sample(RANDOM), 0, 1)
        slope = float(measures.spectrum_slope(random).mean())
        scores[f"{source} random"] = {"slope": slope} | lattice(random)
        print(source, "random", json.dumps(scores[f"{source} random"]), flush=True)
        places = np.linspace(0, len(originals) - 1, SHOWN).round().astype(int)
        shown = [
            versions[kind][places] for kind in ("photos", "prior") if kind in versions
        ]
        rows = np.concatenate([*shown, random[:SHOWN]])
        sheet = images.sheet(np.clip(rows, 0, 1), [""] * len(rows), SHOWN)
        images.save(sheet, options.output / f"{stem(source)}.webp")
    (options.output / "scores.json").write_text(json.dumps(scores, indent=2))


def reconstructions(prior: Any, originals: NDArray) -> dict[str, NDArray]:
    """Return photos as a prior reconstructs them, and as a linear code does."""
    decoded = [
        np.asarray(prior.decode(prior.encode(originals[i : i + 20])))
        for i in range(0, len(originals), 20)
    ]
    numbers = sum(int(np.prod(v.shape)) for v in prior.latents.values())
    per_patch = numbers / np.prod(prior.shape[:2]) * PATCH**2
    return {
        "prior": np.concatenate(decoded),
        "pca": patch_pca(originals, per_patch),
    }


def lattice(pictures: NDArray) -> dict[str, float]:
    """Return the largest common share of the power of pictures at oblique waves.

    A pattern at the same position in all pictures survives their mean. The `amplitude`
    is the largest one of the mean picture's waves with more than `COMMON` of the power,
    in levels of 8 bits, or 0 if there are none.
    """
    grey = pictures.mean(axis=-1)
    waves = np.fft.rfft2(grey - grey.mean(axis=(1, 2), keepdims=True))[:, 4:-4, 4:]
    mean = np.abs(waves.mean(axis=0))
    common = mean**2 / (np.abs(waves) ** 2).mean(axis=0)
    amplitude = 255 * 2 * np.where(common > COMMON, mean, 0) / np.prod(grey.shape[1:])
    return {"lattice": float(common.max()), "amplitude": float(amplitude.max())}


def logits(options: argparse.Namespace) -> None:
    """Render classes with each prior and write the ranks that other networks give."""
    options.output.mkdir(parents=True, exist_ok=True)
    adapter = adapt_model(options)
    classes = choose_units(adapter.classes, options.units)
    units = [f"logit:{index}" for index in classes]
    methods = {"fourier": None} | {
        source: load_prior(source, options.data) for source in options.priors
    }
    evaluators = load_evaluators(options.data, adapter)
    scores: dict[str, Any] = {"classes": classes.tolist(), "steps": options.steps}
    ranks: dict[str, list[NDArray]] = {}
    pictures = []
    for name, param in methods.items():
        own, others = [], []
        for seed in SEEDS:
            result = tfviz.render(
                adapter, units, param, steps=options.steps, seed=seed, batch_size=8
            )
            own.append(class_ranks(adapter.logits(result.views), classes))
            others.append(
                [class_ranks(e(result.views), classes) for e in evaluators.values()]
            )
            if seed == SEEDS[0]:
                pictures.extend(to_size(result.images, 112))
            result.save(options.output / f"{stem(name)}-{seed}.png")
        # (seeds, judges, classes) -> one number for each class
        ranks[name] = np.log1p(np.array(others)).mean(axis=(0, 1))
        scores[name] = {
            "own_top1": float((np.array(own) < 1).mean()),
            "mean_log_rank": float(ranks[name].mean()),
            "judges": {
                evaluator: np.log1p(np.array(others))[:, i].mean().item()
                for i, evaluator in enumerate(evaluators)
            },
        }
        print(name, json.dumps(scores[name]), flush=True)
    for name in options.priors:
        interval = paired(ranks[name], ranks["fourier"])
        ends = interval.low, interval.high
        scores[name]["difference_to_fourier"] = list(ends)
        print(f"{name} - fourier: 95 % interval {ends[0]:.2f} to {ends[1]:.2f}")
    captions = [str(index) for _ in methods for index in classes]
    sheet = images.sheet(pictures, captions, len(classes))
    images.save(sheet, options.output / "all.png")
    (options.output / "scores.json").write_text(json.dumps(scores, indent=2))


def channels(options: argparse.Namespace) -> None:
    """Render channels of a layer with each prior and write their scores."""
    options.output.mkdir(parents=True, exist_ok=True)
    adapter = adapt_model(options)
    layer = options.layer
    indices = choose_units(adapter.layer(layer).units, options.units)
    units = [f"{layer}:{index}" for index in indices]
    scores: dict[str, Any] = {"layer": layer, "channels": indices.tolist()}
    for name in ("fourier", *options.priors):
        param = None if name == "fourier" else load_prior(name, options.data)
        result = tfviz.render(adapter, units, param, steps=options.steps, batch_size=8)
        scores[name] = {"scores": result.unit_scores.tolist()}
        if result.start_scores is not None:
            risen = result.unit_scores > result.start_scores
            scores[name]["starts"] = result.start_scores.tolist()
            scores[name]["risen"] = float(risen.mean())
        print(name, json.dumps(scores[name]), flush=True)
        result.save(options.output / f"{stem(name)}.png")
    (options.output / "scores.json").write_text(json.dumps(scores, indent=2))


def adapt_model(options: argparse.Namespace) -> Any:
    """Return the adapter of the model whose units are rendered."""
    preprocess = options.preprocess
    if preprocess and "," in preprocess:
        preprocess = tuple(float(end) for end in preprocess.split(","))
    return tfviz.adapt(tfviz.load_model(options.model), preprocess)


def choose_units(total: int, count: int) -> NDArray:
    """Choose units at random, always the same ones."""
    indices = np.random.default_rng(0).choice(total, min(count, total), replace=False)
    return np.sort(indices)


def load_photos(
    data: Path, size: int, count: int
) -> tuple[NDArray[np.float32], NDArray]:
    """Return the central squares of sample photos, and their classes.

    Those that nearly equal a training photo are left out.

    Args:
        data: The folder of the data.
        size: The height and width of the squares in pixels.
        count: The largest number of photos, spread evenly over the classes.
    """
    leaks = set(json.loads((data / "evaluation-leaks.json").read_text())["photos"])
    with ZipFile(data / "imagenet-1000-samples.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".JPEG"))
        clean = [k for k, n in enumerate(names) if n.partition("_")[0] not in leaks]
        print(
            f"{len(clean)} of {len(names)} photos nearly equal no training photo; "
            f"{min(count, len(clean))} of them are used"
        )
        spread = np.linspace(0, len(clean) - 1, min(count, len(clean))).round()
        classes = np.array(clean)[spread.astype(int)]
        photos = [images.read(io.BytesIO(archive.read(names[k]))) for k in classes]
    large = [images.centre_crop(photo, (227, 227)) for photo in photos]
    return to_size(np.stack(large), size), classes


def to_size(pictures: Any, size: int) -> NDArray[np.float32]:
    """Scale pictures to another size."""
    return np.clip(np.asarray(resize(pictures, (size, size))), 0, 1)


def classify(adapter: Any, pictures: NDArray) -> NDArray:
    """Return the logits `(n, classes)` of pictures of any size."""
    resized = resize(pictures, adapter.input_size or (227, 227))
    batches = [resized[i : i + 50] for i in range(0, len(resized), 50)]
    return np.concatenate([np.asarray(adapter.logits(batch)) for batch in batches])


def load_adapters(data: Path) -> dict[str, Any]:
    """Load the networks that classify reconstructions."""
    mobilenet = data / "models/classifiers/imagenet_mobilenet_v1_075_224.keras"
    bundled = {name: tfviz.adapt(tfviz.load_model(name)) for name in BUNDLED}
    return bundled | {"mobilenet": tfviz.adapt(tfviz.load_model(mobilenet), (-1, 1))}


def load_evaluators(data: Path, visualized: Any) -> dict[str, Classifier]:
    """Load the networks that take no part in any optimization.

    Of the bundled networks, these are the ones that no bundled prior was trained with.
    """
    evaluators: dict[str, Classifier] = {}
    for path in sorted((data / "evaluators").glob("*.tflite")):
        if "embedding" not in path.name:
            evaluators[path.stem] = judges.tflite(path).scores
    for name in BUNDLED:
        adapter = tfviz.adapt(tfviz.load_model(name))
        if name != "squeezenet" and adapter.fingerprint() != visualized.fingerprint():
            evaluators[name] = partial(classify, adapter)
    return evaluators


def class_ranks(logits: Any, classes: NDArray) -> NDArray:
    """Return the rank of each picture's own class, from 0; ties count half."""
    logits = np.asarray(logits)
    own = logits[np.arange(len(logits)), classes][:, None]
    ties = (logits == own).sum(axis=1) - 1
    return (logits > own).sum(axis=1) + ties / 2


def psnr(pictures: NDArray, originals: NDArray) -> float:
    """Return the mean peak signal-to-noise ratio, in dB."""
    errors = ((pictures - originals) ** 2).mean(axis=(1, 2, 3))
    return float(-10 * np.log10(np.maximum(errors, 1e-10)).mean())


def patch_pca(pictures: NDArray, numbers: float) -> NDArray:
    """Reconstruct pictures from `numbers` principal components for each patch."""
    n, size = len(pictures), pictures.shape[1] // PATCH
    patches = pictures.reshape(n, size, PATCH, size, PATCH, 3).transpose(
        0, 1, 3, 2, 4, 5
    )
    flat = patches.reshape(-1, PATCH * PATCH * 3)
    half = flat[: len(flat) // 2], flat[len(flat) // 2 :]
    parts = []
    for own, other in (half, half[::-1]):  # the components come from other photos
        mean = other.mean(axis=0)
        _, vectors = np.linalg.eigh(np.cov(other - mean, rowvar=False))
        basis = vectors[:, ::-1][:, : max(round(numbers), 1)]
        parts.append((own - mean) @ basis @ basis.T + mean)
    flat = np.concatenate(parts).reshape(n, size, size, PATCH, PATCH, 3)
    return flat.transpose(0, 1, 3, 2, 4, 5).reshape(pictures.shape).astype(np.float32)


if __name__ == "__main__":
    main()
