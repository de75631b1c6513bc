"""Make the pictures of docs/guides/training-callback.md.

    python examples/training_film.py docs/pictures

A small network learns to tell drawn shapes apart, and `Visualize` makes pictures of its
classes meanwhile. It takes about a minute on two cores.
"""

import sys
import tempfile
from pathlib import Path

import tfviz  # before Keras, so that it can choose the faster convolutions
import keras
import numpy as np
from PIL import Image, ImageDraw

SIDE = 64
KINDS = ("disc", "square", "star", "stripes")
EPOCHS = 12


def draw(kind: str, rng: np.random.Generator):
    """Draw a shape in one colour on another, anywhere and at any angle."""
    ground, colour = rng.integers(0, 256, (2, 3))
    while np.abs(ground - colour).sum() < 200:
        ground, colour = rng.integers(0, 256, (2, 3))
    side = 3 * SIDE  # drawn larger, for smooth edges
    image = Image.new("RGB", (side, side), tuple(map(int, ground)))
    pen, ink = ImageDraw.Draw(image), tuple(map(int, colour))
    radius, angle = rng.uniform(0.2, 0.36) * side, rng.uniform(0, 2 * np.pi)
    centre = rng.uniform(radius, side - radius, 2)
    if kind == "stripes":
        across = radius * np.array([np.cos(angle), np.sin(angle)])
        along = np.array([-across[1], across[0]])
        for place in (-0.8, -0.27, 0.27, 0.8):
            middle = centre + place * across
            line = [*(middle - along), *(middle + along)]
            pen.line(line, ink, int(0.24 * radius))
    else:
        corners, inner = {"disc": (60, 1.0), "square": (4, 1.0), "star": (10, 0.45)}[
            kind
        ]
        turns = angle + 2 * np.pi * np.arange(corners) / corners
        radii = radius * np.where(np.arange(corners) % 2, inner, 1.0)
        points = centre + radii[:, None] * np.stack([np.cos(turns), np.sin(turns)], 1)
        pen.polygon([tuple(point) for point in points], ink)
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), np.float32)
    return np.clip(small + rng.normal(0, 8, small.shape), 0, 255)


def build() -> keras.Model:
    """Return a small network that has learned nothing."""
    layers = keras.layers
    stack = [keras.Input((SIDE, SIDE, 3)), layers.Rescaling(1 / 127.5, offset=-1)]
    for number, width in enumerate((16, 32, 48, 64)):
        convolution = layers.Conv2D(width, 3, padding="same", name=f"conv{number}")
        stack += [convolution, layers.ReLU(), layers.MaxPooling2D()]
    stack += [layers.GlobalMaxPooling2D(), layers.Dense(len(KINDS), "softmax")]
    return keras.Sequential(stack, name="shapes")


def main() -> None:
    """Train, and write the strip and the film."""
    (folder,) = sys.argv[1:]
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    classes = rng.integers(0, len(KINDS), 2400)
    photos = np.stack([draw(KINDS[k], rng) for k in classes])
    network = build()
    network.compile(
        keras.optimizers.Adam(5e-4),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    units = [f"logit:{kind}" for kind in KINDS]
    with tempfile.TemporaryDirectory() as work:
        show = tfviz.callbacks.Visualize(units, work, steps=128, labels=KINDS)
        network.fit(
            photos, classes, batch_size=48, epochs=EPOCHS, verbose=2, callbacks=[show]
        )
        path = Path(folder)
        show.strip().save(path / "training-strip.webp", quality=85, method=6)
        show.save_film(path / "training-film.webp", duration=400, columns=4)


if __name__ == "__main__":
    main()
