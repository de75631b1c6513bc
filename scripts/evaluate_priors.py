"""Measure the bundled priors for their model cards.

    python scripts/evaluate_priors.py reconstruct DATA PRIOR... -o folder
    python scripts/evaluate_priors.py units DATA PRIOR... -o folder

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

`units` renders randomly chosen classes and channels with `fourier` and with each prior,
by the defaults of each. Networks that took no part in the optimization, the judges,
rank the classes. They also tell, from the pictures of a unit, which of two photos it
responds to more; what pictures of other units of the same sort tell is subtracted.
Differences to `fourier` have intervals from a paired bootstrap over units. Finished
pictures are kept in the folder, so that an interrupted run goes on.
"""

import argparse
import io
import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

import tfviz  # first, so that it can choose TensorFlow's convolutions
from tfviz import images, judges, measures, priors
from tfviz._files import write_safely
from tfviz.comparison.evaluation import UnitScorer, evaluate_photos
from tfviz.comparison.kinship import is_trained_with
from tfviz.comparison.summary import paired
from tfviz.models.inputs import resize
from tfviz.models.sources import BUNDLED
from tfviz.objectives._grammar import as_objectives

# The number of classes and of channels, and the random seeds of their pictures.
UNITS, SEEDS = 24, (0, 1)
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
    parser.add_argument("measurement", choices=["reconstruct", "units"])
    parser.add_argument("data", type=Path)
    parser.add_argument("priors", nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--model", default="squeezenet")
    parser.add_argument(
        "--preprocess", help="the preprocessing of the model, such as --preprocess=-1,1"
    )
    parser.add_argument(
        "--layers",
        default="fire6,fire7,fire8,fire9",
        help="the layers of the channels, separated by commas",
    )
    parser.add_argument("--steps", type=int, help="by default as many as tfviz.render")
    parser.add_argument(
        "--units", type=int, default=UNITS, help="the number of classes and channels"
    )
    parser.add_argument("--photos", type=int, default=1000)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    {"reconstruct": reconstruct, "units": units}[options.measurement](options)


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


def units(options: argparse.Namespace) -> None:
    """Write what judges tell from pictures of units, by `fourier` and by each prior."""
    adapter = adapt_model(options)
    texts, classes = choose_units(adapter, options.layers.split(","), options.units)
    panel = load_judges(options.data, adapter)
    pictures, _ = load_photos(options.data, adapter.size[0], options.photos)
    bound = [as_objectives(t, adapter)[0].bound(adapter, adapter.size) for t in texts]
    photos = evaluate_photos(
        images.to_bytes(pictures), UnitScorer(adapter, bound), panel
    )
    values: dict[str, dict[str, NDArray]] = {}
    shown = []
    for name in ("fourier", *options.priors):
        seen, pictures = render_units(options, adapter, texts, name)
        shown.extend(to_size(pictures, 112))
        own = np.array(
            [class_ranks(adapter.logits(v[: len(classes)]), classes) for v in seen]
        )
        values[name] = {
            "own rank": own.mean(axis=0),
            "own top 1": (own < 1).mean(axis=0),
        }
        for judge in panel:
            if judge.scores:
                ranks = [
                    class_ranks(judge.scores(v[: len(classes)]), classes) for v in seen
                ]
                values[name][f"log rank@{judge.name}"] = np.log1p(ranks).mean(axis=0)
            features = np.stack([judge.features(v) for v in seen], axis=1)
            for sort, part in (
                ("classes", slice(len(classes))),
                ("channels", slice(len(classes), None)),
            ):
                values[name][f"told of {sort}@{judge.name}"] = told(
                    features[part], photos.features[judge.name], photos.scores[:, part]
                )
        ranks = [v for k, v in values[name].items() if k.startswith("log rank")]
        values[name]["log rank"] = np.mean(ranks, axis=0)
        print(
            name,
            json.dumps({k: round(float(v.mean()), 3) for k, v in values[name].items()}),
            flush=True,
        )
    scores: dict[str, Any] = {"units": texts, "seeds": SEEDS, "steps": options.steps}
    for name, measured in values.items():
        scores[name] = {
            key: {"mean": float(row.mean()), "values": row.round(4).tolist()}
            for key, row in measured.items()
        }
        for key, row in measured.items():
            interval = paired(row, values["fourier"][key])
            ends = [interval.value, interval.low, interval.high]
            scores[name][key]["difference to fourier"] = ends
            if name != "fourier":
                low_to_high = f"{ends[1]:+.3f} to {ends[2]:+.3f}"
                print(f"{name} - fourier, {key}: {ends[0]:+.3f} ({low_to_high})")
    sheet = images.sheet(shown, [t for _ in values for t in texts], len(texts) // 2)
    images.save(sheet, options.output / "all.webp")
    (options.output / "scores.json").write_text(json.dumps(scores, indent=2))


def render_units(
    options: argparse.Namespace, adapter: Any, texts: list[str], name: str
) -> tuple[list[NDArray], NDArray]:
    """Return the pictures of all units by a prior, or by `fourier`.

    Returns:
        For each seed the pictures as the network sees them; and those of the first seed
        as they are.
    """
    param = None if name == "fourier" else load_prior(name, options.data)
    seen, pictures = [], []
    for seed in SEEDS:
        file = options.output / f"{stem(name)}-{seed}.npz"
        if not file.exists():
            arguments = {} if options.steps is None else {"steps": options.steps}
            result = tfviz.render(
                adapter, texts, param, seed=seed, batch_size=8, **arguments
            )
            result.sheet(columns=12).save(file.with_suffix(".png"))
            made = {
                "images": images.to_bytes(result.images),
                "views": images.to_bytes(np.asarray(result.views)),
            }
            write_safely(file, lambda opened, made=made: np.savez(opened, **made))
        with np.load(file) as made:
            seen.append(images.to_floats(made["views"]))
            pictures.append(images.to_floats(made["images"]))
    return seen, pictures[0]


def told(features: NDArray, photos: NDArray, responses: NDArray) -> NDArray:
    """Return how much better pictures tell of their own unit than those of others do.

    Args:
        features: The features of the pictures, `(units, seeds, d)`.
        photos: The features of the photos, `(m, d)`.
        responses: The scores of the units for the photos, `(m, units)`.

    Returns:
        For each unit, the share of pairs of photos that its own pictures tell apart
        rightly, minus the mean share with the pictures of each other unit.
    """
    shares = np.array(
        [
            [measures.two_alternative(f, photos, unit) for f in features]
            for unit in responses.T
        ]
    )
    places = range(len(shares))
    return np.array(
        [measures.specificity(shares[k, k], np.delete(shares[k], k)) for k in places]
    )


def adapt_model(options: argparse.Namespace) -> Any:
    """Return the adapter of the model whose units are rendered."""
    preprocess = options.preprocess
    if preprocess and "," in preprocess:
        preprocess = tuple(float(end) for end in preprocess.split(","))
    return tfviz.adapt(tfviz.load_model(options.model), preprocess)


def choose_units(
    adapter: Any, layers: list[str], count: int
) -> tuple[list[str], NDArray]:
    """Choose classes and channels at random, always the same ones.

    Returns:
        The texts of the classes, followed by those of the channels; and the classes.
    """
    random = np.random.default_rng(0)
    classes = np.sort(random.choice(adapter.classes, count, replace=False))
    channels: list[str] = []
    while len(channels) < count:
        layer = layers[len(channels) % len(layers)]
        channel = f"{layer}:{random.integers(adapter.layer(layer).units)}"
        if channel not in channels:
            channels.append(channel)
    return [f"logit:{k}" for k in classes] + channels, classes


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


def load_judges(data: Path, visualized: Any) -> list[judges.Judge]:
    """Load the networks that take no part in any optimization.

    Of the bundled networks, these are the ones that no bundled prior was trained with.
    """
    panel = [
        judges.tflite(path, name=path.stem)
        for path in sorted((data / "evaluators").glob("*.tflite"))
    ]
    for name in BUNDLED:
        adapter = tfviz.adapt(tfviz.load_model(name))
        if name != "squeezenet" and adapter.fingerprint() != visualized.fingerprint():
            panel.append(judges.keras(adapter, name=name))
    return panel


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
