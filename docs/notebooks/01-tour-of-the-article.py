# %% [markdown]
# # A tour of the article
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/tfviz/tfviz/blob/main/docs/notebooks/01-tour-of-the-article.ipynb)
#
# The ideas of [Feature
# Visualization](https://distill.pub/2017/feature-visualization/) (2017) one by one,
# with the network that comes with tfviz: what a unit is, how its picture comes about,
# and how much a picture says.
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

# %%
import tfviz
from tfviz import objectives, params, transforms

model = tfviz.adapt(tfviz.load_model("squeezenet"))
size = params.fourier(160, 160)

# %% [markdown]
# `load_model` returns SqueezeNet, a small network that was trained on a million photos
# of 1,000 classes and comes with tfviz. `adapt` finds out how the network wants its
# images, and keeps what was compiled, so that further pictures start faster.
#
# ## A first picture
#
# A *unit* is anything in the network that gives a number: a channel of a layer, a class.
# `render` starts from a nearly grey image and changes it, step by step, until the unit
# responds as strongly as it can.

# %%
result = tfviz.render(model, ["logit:goldfish", "logit:lion", "fire8:20"], size)
result.plot(columns=3, history=True)

# %% [markdown]
# Nobody drew these pictures, and there is no photo behind them: they are what the network
# asks for. The curves show how the score of each unit rose over 128 steps. They jump,
# as the image is moved at random before each step. More on that below.
#
# ## What is optimized: the objective
#
# From the smallest unit to the largest: a *neuron* is a channel at one position of its
# map, a *channel* is the mean over the map, a *layer* is the mean of the squares of all
# its activations (DeepDream). A class can be shown before the softmax (*logit*) or after
# it (*probability*).

# %%
units = ["fire8:20@4,4", "fire8:20", "fire8", "logit:strawberry", "prob:strawberry"]
tfviz.render(model, units, size).plot(columns=5, size=1.8)

# %% [markdown]
# The neuron sees only a part of the image, so the rest of it stays empty. The picture of
# the probability is pale: once the probability is nearly 1, nothing is left to gain, and
# on the way there it can also grow by making *other* classes less likely. Prefer logits.
#
# ## From a start to a picture
#
# A callback is called after every 16 steps. This one keeps the pictures on the way.

# %%
seen = {}


def keep(progress):
    if progress.step in (16, 32, 64, 256):
        seen[f"{progress.step} steps: {progress.scores[0]:.0f}"] = progress.images()[0]


tfviz.render(model, "logit:strawberry", size, steps=256, callbacks=[keep])
tfviz.images.sheet(list(seen.values()), list(seen), 4)

# %% [markdown]
# ## Why not just the pixels?
#
# If each pixel is optimized by itself, the result is noise that excites the unit and
# means nothing to us. Two remedies lead from noise to pictures: to optimize the *Fourier
# spectrum* of the image in place of its pixels, so that slow and fast waves move at the
# same speed; and to *transform* the image at random before each step (move it, turn it,
# scale it), so that a pattern must work wherever it lies.

# %%
pixels = params.pixels(160, 160)
ways = {
    "pixels": (pixels, transforms.none()),
    "pixels, transformed": (pixels, transforms.distill()),
    "spectrum": (size, transforms.none()),
    "spectrum, transformed": (size, transforms.distill()),
}
results = {
    name: tfviz.render(model, "logit:strawberry", *way) for name, way in ways.items()
}
captions = [f"{name}: {result.scores[0]:.0f}" for name, result in results.items()]
tfviz.images.sheet([result.images[0] for result in results.values()], captions, 4)

# %% [markdown]
# The numbers are the logits. The best picture is not the one with the highest number:
# noise often excites a unit more than a strawberry does. A high score alone says little.
#
# ## One unit, several pictures
#
# A unit may respond to different things, and one picture shows one of them. `diverse` asks
# for pictures that differ from each other. Above: four pictures from four random starts.
# Below: with diversity.

# %%
alone = tfviz.render(model, ["fire8:25"] * 4, size)
apart = tfviz.diverse(model, "fire8:25", n=4, weight=50.0, param=size)
captions = [f"alone: {score:.0f}" for score in alone.scores]
captions += [f"diverse: {score:.0f}" for score in apart.unit_scores]
tfviz.images.sheet([*alone.images, *apart.images], captions, 4)

# %% [markdown]
# Diversity has a price: the scores in the lower row are lower. Without `weight`,
# `diverse` searches for the largest weight at which this price stays small.
#
# ## Two units at once
#
# Objectives can be added. What excites two channels together is often more than the two
# pictures side by side.

# %%
a, b = objectives.channel("fire7", 12), objectives.channel("fire7", 6)
tfviz.render(model, [a, b, a + b], size).plot(columns=3)

# %% [markdown]
# ## What a unit does *not* want
#
# The opposite of a unit is a unit as well. After a ReLU the lowest value is zero, which
# even a grey image may reach, so `neg:` minimizes the value before it.

# %%
tfviz.render(model, ["neg:fire8:20", "fire8:20"], size).plot(columns=2)

# %% [markdown]
# ## What to keep in mind
#
# - A picture shows what a unit responds to *most*. It shows neither all that the unit
#   responds to, nor what the network does with it. Look at photos as well: see
#   [dataset examples](../guides/dataset-examples.md).
# - Another seed gives another picture: try `tfviz.render(..., seed=1)`. What stays the
#   same belongs to the unit.
# - The pictures depend on how they are made. How to compare such methods is the topic of
#   [an honest comparison](04-honest-comparison.ipynb).
#
# Next: [your own model](02-your-own-model.ipynb). All of this follows
# [Feature Visualization](https://distill.pub/2017/feature-visualization/) (Olah,
# Mordvintsev and Schubert, 2017).
