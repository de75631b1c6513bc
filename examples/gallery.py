"""Make the pictures of docs/gallery.md.

    python examples/gallery.py docs/pictures             # all of them
    python examples/gallery.py docs/pictures diversity   # one of them

Each figure repeats one of the article "Feature Visualization" with the bundled network.
All of them together take about a quarter of an hour on two cores.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tfviz
from tfviz import directions, objectives, params, stops, transforms

SIZE = 160
MODEL = tfviz.adapt(tfviz.load_model("squeezenet"))


def render(units, param=None, moves=None, **options) -> tfviz.Result:
    """Render units at the picture size of the gallery."""
    param = param or params.fourier(SIZE, SIZE)
    return tfviz.render(MODEL, units, param, moves, **options)


def sheet(pictures, captions, columns=None):
    """Arrange pictures and their captions on a sheet."""
    return tfviz.images.sheet(list(pictures), captions, columns)


def objective():
    """Show a neuron, a channel, a layer, and a class before and after the softmax."""
    units = ["fire8:20@4,4", "fire8:20", "fire8", "logit:strawberry", "prob:strawberry"]
    names = ["neuron fire8:20@4,4", "channel fire8:20", "layer fire8"]
    names += ["logit strawberry", "probability strawberry"]
    return sheet(render(units).images, names, 5)


def spectrum():
    """Show a channel held at activations from its lowest to its highest."""
    channel = objectives.channel("fire7:pre", 17)
    least, most = (sign * render(sign * channel).scores[0] for sign in (-1, 1))
    held = [least / 2, most / 6, most / 2]
    levels = [-(channel - level) * (channel - level) for level in held]
    pictures = render([-channel, *levels, channel]).images
    values = MODEL(pictures, "fire7:pre")["fire7:pre"].numpy()[..., 17].mean((1, 2))
    return sheet(pictures, [f"fire7:pre:17 at {value:.0f}" for value in values], 5)


def diversity():
    """Show four pictures of one unit, without and with diversity."""
    rows, captions = [], []
    for unit in ("fire8:25", "fire9:7"):
        options = {"n": 4, "param": params.fourier(SIZE, SIZE)}
        for weight, name in ((0.0, "no diversity"), (None, "diversity")):
            result = tfviz.diverse(MODEL, unit, weight=weight, **options)
            rows += list(result.images)
            captions += [f"{unit}, {name}: {score:.0f}" for score in result.unit_scores]
    return sheet(rows, captions, 4)


def joint():
    """Show units by themselves, and pairs of them."""
    a, b, c = (objectives.channel("fire7", i) for i in (12, 6, 40))
    units = [a, b, a + b, c, a + c, b + c]
    return sheet(render(units).images, [unit.names[0] for unit in units], 6)


def interpolation():
    """Interpolate between two units, without and with shared low frequencies."""
    a, b = objectives.channel("fire7", 12), objectives.channel("fire8", 20)
    line = objectives.interpolate(a, b, n=6)
    apart = render(line, batch_size=6)
    aligned = render(line, params.aligned(SIZE, SIZE, group=6), batch_size=6)
    shares = [f"{1 - t:.0%} to {t:.0%}" for t in np.linspace(0, 1, 6)]
    captions = [f"{s}, {name}" for name in ("alone", "aligned") for s in shares]
    return sheet([*apart.images, *aligned.images], captions, 6)


def grid():
    """Interpolate between four units, with shared low frequencies."""
    corners = [objectives.channel("fire8", i) for i in (20, 25, 100, 301)]
    square = objectives.interpolate(*corners, n=4)
    param = params.aligned(112, 112, group=16)
    return sheet(render(square, param, batch_size=16).images, [""] * 16, 4)


def random():
    """Show channels above random directions of the same layer."""
    channels = [f"fire8:{i}" for i in (3, 77, 150, 260, 333)]
    others = [f"fire8:random:{seed}" for seed in range(5)]
    return sheet(render([*channels, *others]).images, [*channels, *others], 5)


def arithmetic():
    """Show the directions of three pictures, and their sums and differences."""
    classes = ("goldfish", "orange", "lion")
    pictures = render([f"logit:{name}" for name in classes]).images
    fish, orange, lion = (
        directions.of_images(MODEL, "fire9", picture) for picture in pictures
    )
    vectors = {
        "goldfish": fish,
        "orange": orange,
        "lion": lion,
        "goldfish - orange": fish - orange,
        "goldfish - orange + lion": fish - orange + lion,
    }
    units = [
        objectives.direction("fire9", vector, power=2, name=name)
        for name, vector in vectors.items()
    ]
    return sheet(render(units).images, list(vectors), 5)


def regularizers():
    """Show a class in plain pixels, without and with each remedy against noise."""
    unit, none = objectives.logit("goldfish"), transforms.none()
    plain = params.pixels(SIZE, SIZE)
    penalized = {
        f"{weight:,} {name}": unit - weight * penalty
        for name, weight, penalty in (
            ("total variation", 5_000, objectives.total_variation()),
            ("L1", 10_000, objectives.l1()),
            ("L2", 40_000, objectives.l2()),
            ("high frequency", 100_000, objectives.high_frequency()),
            ("blur difference", 100_000, objectives.blur_difference()),
        )
    }
    results = {"nothing": render(unit, plain, none)}
    results |= {name: render(o, plain, none) for name, o in penalized.items()}
    results["gradient blur 2"] = render(unit, plain, none, gradient_blur=2.0)
    results["smoothed max-pools"] = render(unit, plain, none, smooth_pools=True)
    for name, moves in {
        "jitter": transforms.jitter(8),
        "rotation": transforms.rotate(range(-10, 11)),
        "scale": transforms.scale([0.9, 0.95, 1, 1.05, 1.1]),
        "all of the article's": transforms.distill(),
    }.items():
        results[name] = render(unit, plain, moves)
    return sheet([result.images[0] for result in results.values()], list(results), 6)


def parameterizations():
    """Show pixels, a Laplacian pyramid, the Fourier spectrum, MaCo and a CPPN."""
    units, rows, captions = ["fire8:20", "logit:goldfish"], [], []
    makers = {
        "pixels": params.pixels,
        "laplacian": params.laplacian,
        "fourier": params.fourier,
        "maco": params.maco,
        "cppn": params.cppn,
    }
    results = {}
    for name, make in makers.items():
        moves = transforms.maco() if name == "maco" else None
        options = {"alpha": True} if name == "maco" else {}
        if name == "cppn":  # whose weights take long to arrange themselves
            options = {"steps": 512}
        results[name] = render(units, make(SIZE, SIZE), moves, **options)
    for place, unit in enumerate(units):
        rows += [result.images[place] for result in results.values()]
        rows.append(faded(results["maco"], place))
        captions += [f"{name}, {unit}" for name in (*makers, "maco with alpha")]
    return sheet(rows, captions, 6)


def faded(result: tfviz.Result, place: int):
    """Blend a picture with white by its transparency."""
    alpha = result.alpha[place][..., None]
    return alpha * result.images[place] + 1 - alpha


def inversion():
    """Show inversions of a picture from four layers, and its caricatures there."""
    picture = render("logit:goldfish").images[0]
    mild = transforms.jitter(2)
    layers = ("fire3", "fire5", "fire7", "fire9")
    inverted = [
        render(objectives.inversion(layer, picture), moves=mild).images[0]
        for layer in layers
    ]
    exaggerated = [
        render(objectives.caricature(layer, picture, power=2)).images[0]
        for layer in layers
    ]
    captions = ["the picture", *(f"inverted from {layer}" for layer in layers)]
    captions += ["the picture", *(f"caricature at {layer}" for layer in layers)]
    return sheet([picture, *inverted, picture, *exaggerated], captions, 5)


def activations():
    """Show the direction of a layer's activations at each position of a picture."""
    picture = render("logit:goldfish", params.fourier(128, 128)).images[0]
    vectors = directions.at_positions(MODEL, "fire7", picture)
    rows, columns, channels = vectors.shape
    units = objectives.direction("fire7", vectors.reshape(-1, channels), power=1)
    result = render(units, params.fourier(48, 48), transforms.jitter(4))
    return sheet([*result.images], [""] * (rows * columns), columns)


def stopping():
    """Show one unit after few and many steps, and where its score stops rising."""
    counts = (16, 64, 256, 1024)
    results = [render("fire9:300", steps=count) for count in counts]
    results.append(render("fire9:300", steps=1024, stop=stops.plateau()))
    captions = [f"{r.steps[0]} steps: {r.scores[0]:.0f}" for r in results]
    captions[-1] = f"plateau, {captions[-1]}"
    return sheet([result.images[0] for result in results], captions, 5)


FIGURES: dict[str, Callable] = {
    figure.__name__: figure
    for figure in (
        objective,
        spectrum,
        diversity,
        joint,
        interpolation,
        grid,
        random,
        arithmetic,
        regularizers,
        parameterizations,
        inversion,
        activations,
        stopping,
    )
}


def main() -> None:
    """Write the named figures, or all of them."""
    folder, *names = sys.argv[1:]
    for name in names or FIGURES:
        path = Path(folder) / f"gallery-{name}.webp"
        FIGURES[name]().save(path, quality=85, method=6)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
