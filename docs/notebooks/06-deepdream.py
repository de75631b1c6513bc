# %% [markdown]
# # DeepDream
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/tfviz/tfviz/blob/main/docs/notebooks/06-deepdream.ipynb)
#
# A photo is changed until the layers of a network see more in it of what they look
# for: octaves, tiles, several layers, and what distinguishes a dream from a picture
# of a unit.
#
# It runs in about 1 minute on two processor cores. No graphics card is needed.

# %%
import os
import subprocess
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # no messages of TensorFlow's start
if "google.colab" in sys.modules:
    source = "tfviz[report] @ git+https://github.com/tfviz/tfviz"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source], check=True)

# %%
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

import tfviz

model = tfviz.adapt(tfviz.load_model("squeezenet"))

# %% [markdown]
# ## A photo
#
# Put a photo beside this notebook and write its name here. Without one, an evening by the
# sea is drawn.

# %%
PHOTO = "photo.jpg"


def evening(height=240, width=360):
    """Draw a sky with clouds, a sun, hills and the sea."""
    rng = np.random.default_rng(4)
    down = np.linspace(0, 1, height)[:, None, None]
    sky = (1 - down) * [70, 110, 190] + down * [250, 190, 140] + np.zeros((1, width, 1))
    image = Image.fromarray(sky.astype("uint8"))
    pen = ImageDraw.Draw(image)
    horizon = int(0.62 * height)
    pen.ellipse(
        [0.62 * width, horizon - 62, 0.62 * width + 48, horizon - 14], (255, 235, 180)
    )
    for _ in range(40):
        x, y = rng.uniform(0, width), rng.uniform(0, 0.4 * height)
        w = rng.uniform(10, 45)
        tone = int(rng.uniform(190, 245))
        pen.ellipse([x, y, x + 2 * w, y + 0.35 * w], (tone, tone - 8, tone - 12))
    image = image.filter(ImageFilter.GaussianBlur(3))
    pen = ImageDraw.Draw(image)
    for base, tone in ((0.0, (96, 92, 120)), (0.06, (58, 72, 84))):
        x = np.arange(0, width + 6, 6)
        waves = sum(np.sin(x / s + rng.uniform(0, 6)) * s for s in (11, 23, 41)) * 0.35
        ridge = horizon - 24 + base * height + waves
        pen.polygon(
            [(0, horizon + 8), *zip(x, ridge, strict=True), (width, horizon + 8)], tone
        )
    sea = [46, 84, 110]
    pen.rectangle([0, horizon + 6, width, height], tuple(sea))
    for _ in range(500):
        y = rng.uniform(horizon + 8, height)
        x, w = rng.uniform(-20, width), rng.uniform(4, 10) + 0.3 * (y - horizon)
        near = 1 - abs(x + w / 2 - 0.66 * width) / width
        tone = [int(c + rng.uniform(0, 70) * near) for c in sea]
        pen.line([x, y, x + w, y], tuple(tone), 1 + int(y > 0.8 * height))
    noise = rng.normal(0, 5, (height, width, 1))
    return np.clip(np.asarray(image) + noise, 0, 255).astype("uint8") / 255


photo = tfviz.images.read(PHOTO) if Path(PHOTO).exists() else evening()
Image.fromarray(tfviz.images.to_bytes(photo))

# %% [markdown]
# ## The dream
#
# DeepDream changes the photo so that a whole *layer* responds more, whatever it is that it
# sees there. `fire7` is a late layer of SqueezeNet. It knows parts of things: eyes, fur,
# petals.

# %%
dreamed = tfviz.dream(model, photo, "fire7", octaves=3, steps=8)
print(f"score {dreamed.spec['photo_score']:.1f} -> {dreamed.scores[0]:.1f}")
dreamed.picture(0)

# %% [markdown]
# ## Layers
#
# An early layer knows dots and edges, a later one rings and eyes, a still later one heads
# and whole animals.

# %%
early = ("fire2", "fire4", "fire6", "fire8")
layers = {
    layer: tfviz.dream(model, photo, layer, octaves=3, steps=8) for layer in early
}
tfviz.images.sheet([r.images[0] for r in layers.values()], list(layers), 2)

# %% [markdown]
# ## Octaves
#
# A layer looks at a window of fixed size. To dream large things as well, the photo is
# first dreamed on when it is small, then enlarged, and dreamed on again. Each size is an
# octave.

# %%
counts = (1, 2, 4)
dreams = [tfviz.dream(model, photo, "fire8", octaves=n, steps=8) for n in counts]
captions = [f"{n} octave{'s' * (n > 1)}" for n in counts]
tfviz.images.sheet([dream.images[0] for dream in dreams], captions, 3)

# %% [markdown]
# ## One channel, or one class
#
# In place of a whole layer, a single unit can dream. The picture shows what *this unit*
# would like to see in the photo: here channel 20 of `fire8`, and the class *goldfish*.

# %%
units = ("fire8:20", "logit:goldfish")
dreams = [tfviz.dream(model, photo, unit, octaves=3, steps=8) for unit in units]
tfviz.images.sheet([dream.images[0] for dream in dreams], list(units), 2)

# %% [markdown]
# ## Large photos
#
# The gradient is computed tile by tile, on a grid that moves before each step, so the
# memory that is needed depends on the `tile`, not on the photo. No seams are visible. With
# a smaller tile the dream is different, as the network never sees more than one tile.

# %%
tiled = tfviz.dream(model, photo, "fire7", octaves=3, steps=8, tile=128)
tfviz.images.sheet(
    [dreamed.images[0], tiled.images[0]], ["tiles chosen by tfviz", "tile=128"], 2
)

# %% [markdown]
# ## A dream is not an explanation
#
# - It shows what a layer can see *into* a photo, not what the network thinks of the photo.
# - The photo decides as much as the layer: where nothing is similar, little appears.
# - For what a single unit looks for, render it:
#   [A tour of the article](01-tour-of-the-article.ipynb).
#
# More about sizes and steps: [DeepDream](../guides/deepdream.md). The method is that of
# Mordvintsev, Olah and Tyka,
# [Inceptionism](https://research.google/blog/inceptionism-going-deeper-into-neural-networks/)
# (2015).
