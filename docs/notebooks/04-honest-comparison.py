# %% [markdown]
# # An honest comparison
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/tfviz/tfviz/blob/main/docs/notebooks/04-honest-comparison.ipynb)
#
# Three ways to make pictures, the same units, and judges that took no part: how
# `tfviz.compare` finds out whether pictures show *their* unit, and how to read its
# report.
#
# It runs in about 2 minutes on two processor cores. No graphics card is needed.

# %%
import os
import subprocess
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # no messages of TensorFlow's start
if "google.colab" in sys.modules:
    source = "tfviz[report] @ git+https://github.com/tfviz/tfviz"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source], check=True)

# %% [markdown]
# ## A network whose photos we know
#
# We draw the photos ourselves: six shapes in any colours, anywhere.

# %%
import tfviz  # before Keras, so that it can choose the faster convolutions
from tfviz import judges, params, transforms

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


# %% [markdown]
# Two networks learn to tell the shapes apart. The pictures will be made for the first one.
# The second, of a different architecture and trained on other drawings, is the *judge*: it
# takes no part in making them.

# %%
layers = keras.layers


def train(name, window, seed):
    """Build a network with convolutions of a window's size, and train it."""
    keras.utils.set_random_seed(seed)
    photos, classes = draw_many(4000, seed)
    stack = [keras.Input((SIDE, SIDE, 3)), layers.Rescaling(1 / 127.5, offset=-1)]
    for number, width in enumerate((16, 32, 48, 64)):
        stack += [
            layers.Conv2D(
                width, window, padding="same", activation="relu", name=f"conv{number}"
            ),
            layers.MaxPooling2D(),
        ]
    stack += [
        layers.GlobalMaxPooling2D(),
        layers.Dense(len(KINDS), activation="softmax", name="classes"),
    ]
    network = keras.Sequential(stack, name=name)
    network.compile(
        keras.optimizers.Adam(2e-3),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    network.fit(photos, classes, batch_size=64, epochs=8, verbose=0)
    print(f"{name}: {network.evaluate(unseen, truth, verbose=0)[1]:.1%} right")
    return network


unseen, truth = draw_many(500, seed=100)
network = train("network", window=3, seed=0)
other = train("judge", window=5, seed=1)
model = tfviz.adapt(network, labels=KINDS)

# %% [markdown]
# ## The methods
#
# Three ways to make pictures, which all get the same 96 steps. The last is a *control*: it
# works like the first, but on a copy of the network with shuffled weights, which has
# learned nothing. If the comparison finds its pictures as good as those of the first, the
# comparison is worth nothing.

# %%
shuffled = keras.models.clone_model(network)
rng = np.random.default_rng(0)
shuffled.set_weights(
    [rng.permutation(w.ravel()).reshape(w.shape) for w in network.get_weights()]
)
spectrum = params.fourier(SIDE, SIDE)
methods = {
    "spectrum": tfviz.Contender(spectrum),
    "pixels": tfviz.Contender(params.pixels(SIDE, SIDE), transforms.none()),
    "shuffled": tfviz.Contender(
        spectrum,
        kind="control",
        of="spectrum",
        model=model.with_model(shuffled),
        description="The spectrum for a network with shuffled weights.",
    ),
}

# %% [markdown]
# ## The comparison
#
# Six classes, two seeds. For each unit, the photos to which it responds most are part of
# the comparison, too: what the network itself would call its best picture.

# %%
comparison = tfviz.compare(
    model,
    [f"logit:{kind}" for kind in KINDS],
    methods,
    images=unseen[:300],
    judges=[judges.keras(other, name="judge")],
    steps=96,
    seeds=2,
    folder="comparison",
)
for name, verdict in comparison.verdicts().items():
    print(f"{name}: {verdict}")

# %% [markdown]
# ## Look first
#
# Numbers come second. The first row has the unit's best photos.

# %%
table = comparison.to_dataframe()
shown = ["photos", "spectrum", "pixels", "shuffled"]
pictures, captions = [], []
for method in shown:
    for kind in KINDS:
        rows = table[(table["method"] == method) & (table["unit"] == f"logit:{kind}")]
        picture = tfviz.images.read(comparison.folder / rows.iloc[0]["picture"])
        pictures.append(picture.repeat(2, axis=0).repeat(2, axis=1))
        captions.append(f"{method}: {kind}")
tfviz.images.sheet(pictures, captions, len(KINDS))

# %% [markdown]
# ## The numbers, one by one
#
# *How strongly does the unit respond?* `relative` is the score relative to that of the
# best photo: 1 is as strong.

# %%
columns = ["relative", "gain", "rank@judge", "nearest_ratio@judge"]
numbers = table.groupby("method", sort=False)[columns].median()
numbers.loc[
    [
        name
        for name in numbers.index
        if name in (*shown, "spectrum: other units", "pixels: other units")
    ]
].round(2)

# %% [markdown]
# How to read the columns:
#
# - `relative` alone would make the pixels better than the spectrum, and the control the
#   best of all. (Its pictures are scored by the network that they were made for, the
#   shuffled one.) A number that can be had without having learned anything proves nothing.
# - `gain` asks whether a picture does better *for its unit* than the pictures that the same
#   method made of *other* units. Compare a method with its row `other units`.
# - `rank@judge` asks the second network: at which place does it put the class of the
#   picture? 1 means that it recognizes the class at once, as it does with photos. By chance,
#   it would be 3.5. In our run, only the pictures of the spectrum came out better than
#   that, and not by much.
# - `nearest_ratio@judge` is the distance to the nearest photos, as the judge sees it; 1 is
#   as near as photos are to each other.
#
# And the verdicts? *Not shown to be specific*, for both methods. Our eyes say otherwise: in
# the second row, we see round edges under *disc* and *ring*, and many small ones under
# *stripes*. Maybe we see them because we know what to look for. Maybe the judge, who only
# ever saw clean drawings, does not know what to make of such pictures. With six units and one
# judge this cannot be decided, and the verdict says no more than that. Nor is it tested
# whether the pictures are near photos: this judge does not even put plain grey pictures
# further from photos than photos are from each other, so its distances mean nothing.
#
# ## How certain is that?
#
# The sample consists of units, not of pictures: two seeds of a unit are not two facts about
# the network. Intervals come from drawing units anew (bootstrap), and differences are
# paired: the same unit by two methods.

# %%
import pandas as pd

pairs = pd.DataFrame(comparison.results["differences"])
chosen = pairs[pairs["measure"].isin(["relative", "rank@judge"])]
chosen.round(2)

# %% [markdown]
# Two methods are called different (`distinct`) only where the interval of their difference,
# from `low` to `high`, does not contain 0. With six units, many differences stay open. That
# is a result, too.
#
# ## The report
#
# `comparison.save()` writes a page with all of this: pictures, tables, plots, the rule
# behind the verdicts, and what each measure cannot see.

# %%
page = comparison.save()
print(
    page.name,
    "and",
    len(list(comparison.folder.rglob("*.png"))),
    "pictures in",
    page.parent,
)

# %% [markdown]
# ## What to take away
#
# - Say what would convince you of the opposite *before* you look. Here: that the
#   control does as well.
# - Compare with pictures of other units. Random pictures are too easy to beat.
# - A judge is a network as well, with blind spots of its own. Take several, and networks
#   that have seen more than six shapes. For networks of photos, tfviz brings one:
#   `judges.load("efficientnet-lite0")`.
# - *No verdict* is an honest answer.
#
# The guide [comparing](../guides/comparing.md) has the details, and the
# [study](../study.md) does it with ten methods and 120 units.
