# %% [markdown]
# # Your own model
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/tfviz/tfviz/blob/main/docs/notebooks/02-your-own-model.ipynb)
#
# Train a small network on shapes that are drawn here, check that tfviz reads it
# correctly, and see what its classes and layers look for, which of its units are
# dead, and how a class is learned.
#
# It runs in about 1 to 2 minutes on two processor cores. No graphics card is needed.

# %%
import os
import subprocess
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # no messages of TensorFlow's start
if "google.colab" in sys.modules:
    source = "tfviz[report] @ git+https://github.com/tfviz/tfviz"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source], check=True)

# %% [markdown]
# ## Data that explains itself
#
# To judge what a network has learned, it helps to know what there was to learn. So we
# draw our photos: six shapes, in any colours, anywhere, at any angle.

# %%
import tfviz  # before Keras, so that it can choose the faster convolutions

import keras
import numpy as np
from PIL import Image, ImageDraw

SIDE = 64
KINDS = ["disc", "ring", "square", "triangle", "star", "stripes"]


def draw(kind, rng):
    """Draw one shape somewhere, in one colour on another, with a little noise."""
    ground, colour = rng.integers(0, 256, (2, 3))
    while np.abs(ground - colour).sum() < 200:
        ground, colour = rng.integers(0, 256, (2, 3))
    side = 3 * SIDE  # drawn larger, for smooth edges
    image = Image.new("RGB", (side, side), tuple(map(int, ground)))
    pen, ink = ImageDraw.Draw(image), tuple(map(int, colour))
    radius, angle = rng.uniform(0.2, 0.36) * side, rng.uniform(0, 2 * np.pi)
    centre = rng.uniform(radius, side - radius, 2)
    box = [*(centre - radius), *(centre + radius)]
    if kind == "disc":
        pen.ellipse(box, ink)
    elif kind == "ring":
        pen.ellipse(box, outline=ink, width=int(0.35 * radius))
    elif kind == "stripes":
        across = radius * np.array([np.cos(angle), np.sin(angle)])
        along = np.array([-across[1], across[0]])
        for place in (-0.8, -0.27, 0.27, 0.8):
            middle = centre + place * across
            line = [*(middle - along), *(middle + along)]
            pen.line(line, ink, int(0.24 * radius))
    else:
        corners, inner = {"square": (4, 1), "triangle": (3, 1), "star": (10, 0.45)}[
            kind
        ]
        turns = angle + 2 * np.pi * np.arange(corners) / corners
        radii = radius * np.where(np.arange(corners) % 2, inner, 1.0)
        points = centre + np.stack([np.cos(turns), np.sin(turns)], 1) * radii[:, None]
        pen.polygon([tuple(point) for point in points], ink)
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), np.float32)
    return np.clip(small + rng.normal(0, 8, small.shape), 0, 255).astype("uint8")


def draw_many(count, seed):
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, len(KINDS), count)
    return np.stack([draw(KINDS[k], rng) for k in classes]), classes


# %%
photos, classes = draw_many(4000, seed=0)
unseen, truth = draw_many(500, seed=1)
tfviz.images.sheet(photos[:6], [KINDS[k] for k in classes[:6]], 6)

# %% [markdown]
# ## A small network
#
# Any Keras model will do. Note the `Rescaling` layer: the range of the input is part of
# the model, so nobody has to remember it, and tfviz finds it there.

# %%
keras.utils.set_random_seed(0)
layers = keras.layers
network = keras.Sequential(
    [
        keras.Input((SIDE, SIDE, 3)),
        layers.Rescaling(1 / 127.5, offset=-1),
        layers.Conv2D(16, 5, padding="same", activation="relu", name="edges"),
        layers.MaxPooling2D(),
        layers.Conv2D(32, 3, padding="same", activation="relu", name="corners"),
        layers.MaxPooling2D(),
        layers.Conv2D(48, 3, padding="same", activation="relu", name="parts"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, padding="same", activation="relu", name="shapes"),
        layers.GlobalMaxPooling2D(),
        layers.Dense(len(KINDS), activation="softmax", name="classes"),
    ],
    name="shapes_network",
)
network.compile(
    keras.optimizers.Adam(2e-3),
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
history = network.fit(photos, classes, batch_size=64, epochs=8, verbose=0)
accuracy = network.evaluate(unseen, truth, verbose=0)[1]
print(f"right on {accuracy:.1%} of the shapes that it has not seen")

# %% [markdown]
# ## What tfviz sees in it
#
# `adapt` reads the model and says what it found. Check these two lines whenever you bring
# a model: most bad pictures come from a wrong range, or from a softmax.

# %%
model = tfviz.adapt(network, labels=KINDS)
print("input range:", model.preprocess.name)
print("logits:     ", model.logits_source)
for layer in model.layers():
    print(f"{layer.path:25} {layer.shape}")

# %% [markdown]
# `check_range` tests the range on real images: the model gets them in several ranges, and
# a model that was trained in one of them behaves differently in the others.

# %%
check = tfviz.check_range(model, list(unseen[truth == 4][:5]), truth="star")
print(check.verdict, "-", check.reason)

# %% [markdown]
# ## What the classes look for

# %%
result = tfviz.render(model, [f"logit:{kind}" for kind in KINDS])
result.plot(columns=6, size=1.8)

# %% [markdown]
# A disc is a smooth area with a round edge, a ring two such edges close together. A square
# and a triangle have straight sides and corners; a star is many corners in one place, and
# stripes are edges without an end. No picture is one clean shape, and none has to be: the
# network never drew a shape. It only had to tell six of them apart, and a part that no
# other shape has is enough for that.
#
# ## What the layers look for
#
# Eight channels of each layer. Early layers see a few pixels: edges of one direction.
# Later ones combine them.

# %%
import warnings

units = [f"{layer}:0-7" for layer in ("edges", "corners", "parts", "shapes")]
with warnings.catch_warnings(record=True) as caught:
    channels = tfviz.render(model, units)
channels.plot(columns=8, size=1.2)

# %% [markdown]
# ## Dead units
#
# Some pictures are grey. A unit is *dead* if it is zero and has no gradient in any step.
# tfviz then starts it anew from a random image that excites it. If there is none, or that
# fails as well, the picture means nothing, and tfviz says so instead of passing it off as a
# result.

# %%
for warning in caught:
    print(warning.message)
channels.to_dataframe().query("dead")[["unit", "score", "steps", "dead"]]

# %% [markdown]
# A grey picture whose unit is not in this list is another matter: the unit had a gradient
# at times, but the optimization did not get far. Try another seed, or more steps.
#
# Are these units really dead, or did the optimization only fail to wake them? The photos
# can tell: a channel that is zero on all of them is of no use to the network.

# %%
answers = np.concatenate(
    [
        np.asarray(model(unseen[k : k + 100] / 255, "shapes")["shapes"]).max((1, 2))
        for k in range(0, 500, 100)
    ]
)
never = np.flatnonzero(answers.max(axis=0) == 0)
print(f"{len(never)} of 64 channels of `shapes` are zero on all 500 photos: {never}")

# %% [markdown]
# Dead channels come from the training, not from the picture: a large step pushes them below
# zero for all images, and without a gradient they never come back. A lower learning rate,
# or batch normalization, leaves fewer.
#
# ## Pictures while it learns
#
# A callback renders units after each epoch, from equal starts, so that all differences
# come from the training. Here a new network learns for six epochs.

# %%
keras.utils.set_random_seed(1)
beginner = keras.models.clone_model(network)
beginner.compile(
    keras.optimizers.Adam(1e-3),
    "sparse_categorical_crossentropy",
)
film = tfviz.callbacks.Visualize(
    ["logit:disc", "logit:star", "logit:stripes"], "film", labels=KINDS
)
beginner.fit(photos, classes, batch_size=64, epochs=6, verbose=0, callbacks=[film])
film.strip()

# %% [markdown]
# `film/film.webp` shows the same as a film. The guide
# [pictures during a training](../guides/training-callback.md) says more.
#
# ## Now yours
#
# Replace `network` by your own model, for example
# `tfviz.load_model("mine.keras")` or `keras.applications.MobileNetV2()`, give its class
# names as `labels`, and start with `check_range` on three of your photos. If something
# does not work, see [your own model](../guides/my-model.md).
