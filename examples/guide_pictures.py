"""Make the pictures of docs/guides.

    python examples/guide_pictures.py docs/pictures              # all of them
    python examples/guide_pictures.py docs/pictures input_range  # one of them

The symptoms of docs/guides/troubleshooting.md are made on purpose, each beside what
mends it. All of them together take some minutes on two cores.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tfviz
from tfviz import params, priors, transforms
from tfviz.comparison.methods import randomized

SIZE = 160
SMALL = 128
MODEL = tfviz.adapt(tfviz.load_model("squeezenet"))


def render(units, size=SMALL, moves=None, model=MODEL, **options):
    """Return the images of some units, at the size of the symptoms."""
    return tfviz.render(model, units, params.fourier(size, size), moves, **options)


def pair(wrong, right, captions):
    """Draw a symptom beside the picture in which it is mended."""
    return tfviz.images.sheet([wrong.images[0], right.images[0]], captions, 2)


def input_range():
    """Show three units with the right input range, and with two wrong ones."""
    units = ["logit:goldfish", "logit:lion", "fire8:20"]
    ranges = {"0,255: right": (0, 255), "0,1: wrong": (0, 1), "-1,1: wrong": (-1, 1)}
    network = tfviz.load_model("squeezenet")
    rendered = [
        render(units, SIZE, model=tfviz.adapt(network, preprocess=values)).images
        for values in ranges.values()
    ]
    pictures = [images[i] for i in range(len(units)) for images in rendered]
    return tfviz.images.sheet(
        pictures, [f"{u}, {name}" for u in units for name in ranges], 3
    )


def units():
    """Show units of each kind of the grammar."""
    texts = [
        "fire8:20",
        "fire8:20@6,6",
        "fire8",
        "neg:fire8:20",
        "logit:lion",
        "prob:lion",
        "fire8:random:7",
        "fire7:12+fire7:6",
    ]
    return tfviz.images.sheet(render(texts, SIZE).images, texts, 4)


def methods():
    """Show a class and a channel by eight params."""
    sources = ["pixels", "laplacian", "fourier", "maco", "cppn"]
    learned = ["autoencoder", "inverter", "inverter+autoencoder"]
    made = {name: getattr(params, name)(SIZE, SIZE) for name in sources}
    for name in learned:
        made[name] = priors.load(name, None if name == "inverter" else SIZE)
    pictures, captions = [], []
    for unit in ("logit:lion", "fire9:300"):
        for name, param in made.items():
            pictures += enlarged(tfviz.render(MODEL, unit, param))
            captions.append(f"{unit} {name}")
    return tfviz.images.sheet(pictures, captions, 4)


def controls():
    """Show three units of the network, and of a copy with random weights."""
    units = ["goldfish", "lion", "strawberry"]
    networks = {"": MODEL, ", random weights": randomized(MODEL)}
    made = {"fourier": params.fourier(SIZE, SIZE), "inverter": priors.load("inverter")}
    pictures, captions = [], []
    for method, param in made.items():
        for name, network in networks.items():
            objectives = [f"logit:{unit}" for unit in units]
            pictures += enlarged(tfviz.render(network, objectives, param))
            captions += [f"{method}{name}"] * len(units)
    return tfviz.images.sheet(pictures, captions, len(units))


def enlarged(result):
    """Return pictures at the size of the others, as an inverter makes 64 pixels."""
    pictures = [result.picture(i).convert("RGB") for i in range(len(result.names))]
    return [np.asarray(picture.resize((SIZE, SIZE))) for picture in pictures]


def dream():
    """Show a painted landscape, and the dreams of an early and of a late layer."""
    photo = landscape(192, 288)
    dreams = [tfviz.dream(MODEL, photo, unit) for unit in ("fire3", "fire7", "fire9")]
    pictures = [photo, *(dream.images[0] for dream in dreams)]
    return tfviz.images.sheet(pictures, ["the picture", "fire3", "fire7", "fire9"], 2)


def landscape(height, width):
    """Paint a sky with clouds over three ranges of hills, without any photo."""
    rng = np.random.default_rng(4)
    rows = np.arange(height)[:, None] / height * np.ones(width)
    clouds = np.clip(_smoothed(rng, (height, width), 1.6, 0.4) - 0.3, 0, 1.5)[..., None]
    clouds /= 1.5
    sky = np.array([0.35, 0.55, 0.85]) + rows[..., None] * np.array([0.5, 0.3, 0.05])
    image = sky * (1 - clouds) + clouds * 0.95
    colours = ([0.45, 0.5, 0.6], [0.3, 0.42, 0.3], [0.25, 0.3, 0.12])
    for level, colour in zip((0.55, 0.68, 0.82), colours, strict=True):
        steps = np.cumsum(rng.normal(size=width)) / np.sqrt(width)
        ridge = level + 0.12 * (steps - np.linspace(0, steps[-1], width))
        grain = 1 + 0.15 * _smoothed(rng, (height, width), 0.9)[..., None]
        image = np.where((rows > ridge)[..., None], np.array(colour) * grain, image)
    return np.clip(image, 0, 1).astype(np.float32)


def _smoothed(rng, size, power, stretch=1.0):
    """Return noise whose waves are weaker the shorter they are; its deviation is 1."""
    rise = np.fft.fftfreq(size[0])[:, None]
    run = np.fft.rfftfreq(size[1]) / stretch
    waves = np.fft.rfft2(rng.normal(size=size)) / (np.hypot(rise, run) + 0.01) ** power
    noise = np.fft.irfft2(waves, size)
    return noise / noise.std()


def symptom_grey():
    """Show the unit that is dead in the bundled network, and a live one."""
    return pair(render("fire5:9"), render("fire5:10"), ["fire5:9", "fire5:10"])


def symptom_noise():
    """Show pixels without transforms."""
    plain = params.pixels(SMALL, SMALL)
    wrong = tfviz.render(MODEL, "logit:strawberry", plain, transforms.none())
    right = render("logit:strawberry")
    return pair(wrong, right, ["pixels, none", "fourier, distill"])


def symptom_pale():
    """Show a probability, which has nothing left to gain."""
    captions = ["prob:strawberry", "logit:strawberry"]
    return pair(render(captions[0]), render(captions[1]), captions)


def symptom_ceiling():
    """Show a channel whose ReLU6 is at its ceiling."""
    lite = tfviz.adapt(tfviz.load_model("efficientnet-lite0"))
    captions = ["head:77", "head:pre:77"]
    wrong, right = (render(unit, 224, model=lite) for unit in captions)
    return pair(wrong, right, captions)


def symptom_saturated():
    """Show a learning rate that is too high."""
    wrong = render("logit:goldfish", learning_rate=2.0)
    captions = ["learning rate 2", "learning rate 0.1"]
    return pair(wrong, render("logit:goldfish"), captions)


def symptom_grid():
    """Show the pattern that strides and pools leave where nothing moves, enlarged."""
    unit, size = "fire3:10", 64
    made = [render(unit, size, transforms.none()), render(unit, size, small_moves())]
    large = [np.kron(r.images[0], np.ones((3, 3, 1), np.float32)) for r in made]
    return tfviz.images.sheet(large, ["no transforms", "with transforms"], 2)


def small_moves():
    """Return the default transforms at a scale that fits small pictures."""
    moves = (transforms.pad(8), transforms.jitter(8), transforms.rotate(range(-5, 6)))
    return transforms.chain(*moves, transforms.jitter(4), transforms.crop(8))


def symptom_small():
    """Show a class at twice and at half the size of the network's photos."""
    wrong, right = render("logit:lion", 320), render("logit:lion", 96)
    small = tfviz.images.to_pil(right.images[0]).resize((320, 320))
    return tfviz.images.sheet(
        [wrong.images[0], np.asarray(small)], ["320 pixels", "96 pixels"], 2
    )


FIGURES: dict[str, Callable] = {
    "guide-input-range": input_range,
    "guide-units": units,
    "guide-methods": methods,
    "guide-controls": controls,
    "guide-dream": dream,
    "symptom-grey": symptom_grey,
    "symptom-noise": symptom_noise,
    "symptom-pale": symptom_pale,
    "symptom-ceiling": symptom_ceiling,
    "symptom-saturated": symptom_saturated,
    "symptom-grid": symptom_grid,
    "symptom-small": symptom_small,
}


def main() -> None:
    """Make the figures that are named, or all of them."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    names = set(sys.argv[2:])
    for file, figure in FIGURES.items():
        if names and figure.__name__ not in names:
            continue
        path = folder / f"{file}.webp"
        figure().save(path, quality=80, method=6)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
