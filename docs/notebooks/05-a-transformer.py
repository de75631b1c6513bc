# %% [markdown]
# # A transformer
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/tfviz/tfviz/blob/main/docs/notebooks/05-a-transformer.ipynb)
#
# A small vision transformer is built and trained here, without downloads. What do its
# tokens, its attention and its classes look for?
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
# ## Data that explains itself
#
# Six shapes in any colours, anywhere, at any angle, drawn here.

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


photos, classes = draw_many(9000, seed=0)
unseen, truth = draw_many(500, seed=1)

# %% [markdown]
# ## The network
#
# A vision transformer cuts the image into patches, makes a vector (*token*) of each, and
# lets the tokens look at each other (*attention*). To learn from a few thousand images in
# a minute, ours makes its tokens with three small convolutions
# ([Xiao et al., 2021](https://arxiv.org/abs/2106.14881)); the rest is as usual: two blocks,
# each of attention and a small network (MLP) for each token.

# %%
layers = keras.layers
WIDTH, HEADS, BLOCKS = 64, 4, 2


class Positions(layers.Layer):
    """Adds to each token a vector that tells where its patch is."""

    def build(self, shape):
        normal = keras.initializers.RandomNormal(stddev=0.02)
        self.vectors = self.add_weight(
            shape=shape[1:], initializer=normal, name="vectors"
        )

    def call(self, tokens):
        return tokens + self.vectors


keras.utils.set_random_seed(0)
inputs = keras.Input((SIDE, SIDE, 3))
x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
for number, width in enumerate((16, 32, WIDTH)):
    x = layers.Conv2D(
        width, 3, 2, padding="same", use_bias=False, name=f"stem_{number}"
    )(x)
    x = layers.ReLU(name=f"stem_relu_{number}")(layers.BatchNormalization()(x))
x = Positions(name="positions")(layers.Reshape((-1, WIDTH), name="tokens")(x))
for number in range(BLOCKS):
    y = layers.LayerNormalization()(x)
    y = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name=f"attention_{number}")(
        y, y
    )
    x = layers.Add(name=f"mixed_{number}")([x, y])
    y = layers.LayerNormalization()(x)
    y = layers.Dense(2 * WIDTH, activation="gelu", name=f"mlp_{number}")(y)
    y = layers.Dense(WIDTH, name=f"mlp_out_{number}")(y)
    x = layers.Add(name=f"block_{number}")([x, y])
x = layers.GlobalMaxPooling1D(name="strongest")(layers.LayerNormalization()(x))
outputs = layers.Dense(len(KINDS), activation="softmax", name="classes")(x)
network = keras.Model(inputs, outputs, name="small_transformer")
network.compile(
    keras.optimizers.AdamW(1.5e-3, weight_decay=1e-2),
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
history = network.fit(photos, classes, batch_size=64, epochs=7, verbose=0)
print(f"right on {network.evaluate(unseen, truth, verbose=0)[1]:.1%} of unseen shapes")

# %% [markdown]
# ## Its layers
#
# Maps have the shape height x width x channels, tokens the shape tokens x channels: here
# 64 tokens, one for each of 8 x 8 patches.

# %%
model = tfviz.adapt(network, labels=KINDS)
for layer in model.layers():
    print(f"{layer.path:22} {layer.shape}")

# %% [markdown]
# ## What the classes look for

# %%
tfviz.render(model, [f"logit:{kind}" for kind in KINDS]).plot(columns=6, size=1.8)

# %% [markdown]
# Stripes fill the whole image, discs are large smooth areas, and rings, triangles and stars
# are marks with edges. The pictures are fainter and noisier than those of a convolutional
# network that learned the same ([your own model](02-your-own-model.ipynb)), and this network
# is wrong more often: what it has not learned, a picture cannot show.
#
# ## Channels, block by block
#
# A channel of tokens is the mean over all tokens, as a channel of a map is the mean over
# all positions. `mlp_0` is the inside of the first block's MLP, `mlp_2` that of the second.

# %%
units = [f"mlp_{number}:0-5" for number in range(BLOCKS)]
tfviz.render(model, units).plot(columns=6, size=1.5)

# %% [markdown]
# Single marks, edges, spots, and strokes over the whole image, in the first block already.
# In a convolutional network, large patterns would only come late.
#
# ## One token
#
# `mlp_0:1@2,5` is channel 1 at the token of the patch in row 2 and column 5. The same
# channel at another place should look for the same thing there.

# %%
places = ("1,1", "1,6", "6,1", "6,6")
tokens = [f"mlp_0:{channel}@{place}" for channel in (1, 4) for place in places]
tfviz.render(model, tokens).plot(columns=4, size=1.8)

# %% [markdown]
# The patterns follow the token to its corner of the image, and are much alike there: that is
# the work of attention and MLP, which are the same for all tokens. They are not quite equal,
# as each token also knows its position. And the rest of the image is not empty: other tokens
# have a say, by attention.
#
# ## What attention adds
#
# `attention_0` is what the attention of the first block adds to the tokens: a mixture of what the
# tokens that it looks at contain. To see from where, take one token and ask which pixels
# its value depends on.

# %%
import tensorflow as tf


def influence(layer, channel, token, images):
    """Return how strongly each pixel moves one channel of one token, on average."""
    images = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        value = tf.reduce_sum(model(images, layer)[layer][:, token, channel])
    return np.abs(tape.gradient(value, images)).mean(axis=(0, 3))


some = np.float32(unseen[:50]) / 255
maps, captions = [], []
for layer in ("tokens", "mixed_0", "block_0", "mixed_1"):
    strength = influence(layer, 7, 8 * 3 + 3, some)
    maps.append((strength / strength.max())[..., None] ** 0.5)
    captions.append(layer)
large = [m.repeat(3, 0).repeat(3, 1) for m in maps]
tfviz.images.sheet(large, captions, 4)

# %% [markdown]
# Bright pixels move the token of the patch in row 3 and column 3. Before the first attention,
# that is its own patch and a rim of some pixels. After it, it is the whole image, though the
# own patch still counts most: a token can know about all others from the first block on. A
# convolution needs many layers for that. So a channel of a transformer need not look for
# small things in early layers.

# %% [markdown]
# ## Pictures of attention outputs

# %%
units = [f"attention_{number}:0-5" for number in range(BLOCKS)]
tfviz.render(model, units).plot(columns=6, size=1.5)

# %% [markdown]
# These channels say *what* is collected, not from where: the picture is the sum over all
# tokens. The map above says from where.
#
# ## Other transformers
#
# Names differ, but units are written in the same way. `tfviz layers -m mine.keras` lists the
# layers. Three things to know:
#
# - With a class token, `layer:channel@cls` is that token.
# - The grid of patches shows in pictures, as each patch is read by itself. Larger images
#   and stronger `transforms` make it weaker.
# - Deep channels have negative values, too: the stream of tokens (`block_1`) goes through
#   no ReLU. `neg:block_1:5` is as much a unit as `block_1:5`.
#
# More in [special models](../guides/special-models.md).
