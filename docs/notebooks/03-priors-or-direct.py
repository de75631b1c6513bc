# %% [markdown]
# # Learned priors or direct optimization?
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/tfviz/tfviz/blob/main/docs/notebooks/03-priors-or-direct.ipynb)
#
# Pictures made through a trained image generator look more like photos. Do they show
# the network, or the generator? The same units with the same budget, and a test.
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

# %%
import keras
import numpy as np

import tfviz
from tfviz import params, priors

model = tfviz.adapt(tfviz.load_model("squeezenet"))
units = ["logit:goldfish", "logit:lion", "logit:strawberry", "fire8:20"]

# %% [markdown]
# ## Two ways to search for a picture
#
# *Direct*: every image is allowed. `params.fourier` only decides how it is stored.
#
# *With a learned prior*: only images that a trained generator can make are allowed. What
# is optimized is the generator's input. tfviz brings two of them. The `inverter` was
# trained to make photos from the activations of this very SqueezeNet; the `autoencoder`
# was trained to shrink photos and to restore them.
#
# All three get the same units and the same number of steps.

# %%
ways = {
    "direct": params.fourier(128, 128),
    "inverter": priors.load("inverter"),
    "autoencoder": priors.load("autoencoder", 128),
}
results = {
    name: tfviz.render(model, units, param, steps=96) for name, param in ways.items()
}
for name, result in results.items():
    print(f"{name:12}", *(f"{score:8.1f}" for score in result.scores))

# %%
pictures, captions = [], []
for name, result in results.items():
    for unit, image in zip(units, result.images, strict=True):
        small = tfviz.images.centre_crop(image, (128, 128))
        pictures.append(small)
        captions.append(f"{name}: {unit.removeprefix('logit:')}")
tfviz.images.sheet(pictures, captions, len(units))

# %% [markdown]
# The scores say how strongly the units respond to the finished pictures. Direct
# pictures usually win by this number: they may be anything. The prior's pictures look
# more like photos. That does not make them truer. *Whatever looks like a photo, the
# generator put there.*
#
# ## Does the prior show the network, or itself?
#
# A test: let the prior make pictures for a network that has learned nothing. We shuffle
# the weights of each layer of SqueezeNet. Its units are now meaningless.

# %%
shuffled = keras.models.clone_model(model.model)
rng = np.random.default_rng(0)
weights = [
    rng.permutation(w.ravel()).reshape(w.shape) if w.ndim == 4 else w
    for w in model.model.get_weights()
]
shuffled.set_weights(weights)
nothing = model.with_model(shuffled)

controls = {
    name: tfviz.render(nothing, units, param, steps=96) for name, param in ways.items()
}
pictures = [
    tfviz.images.centre_crop(image, (128, 128))
    for result in controls.values()
    for image in result.images
]
tfviz.images.sheet(pictures, captions, len(units))

# %% [markdown]
# The names are only numbers of units here. No picture shows a goldfish, and none should: this
# network has never seen one. So the fish and the lions of the first sheet were not invented by
# the priors.
#
# But look at *how* they fail. The direct pictures of meaningless units are meaningless
# noise. Those of the inverter are soft blots in strong colours, those of the autoencoder look
# painted, with shades and surfaces, even though no unit asks for any. That part of the look
# is the prior's, in the first sheet as well. What differs between the two sheets is what the
# network contributed.
#
# ## How a prior is related to the network
#
# A prior may know the network that it is used with: then its pictures may show what it
# learned *of* the network. tfviz records what each prior was trained with, and reports of
# comparisons name the relation.

# %%
for name in ("inverter", "autoencoder"):
    print(f"{name}: {ways[name].trained['about']}\n")

# %% [markdown]
# ## The start counts, too
#
# A prior draws several random images and begins with the best. How much of the final score
# was there before any optimization?

# %%
table = results["inverter"].to_dataframe()
table["gained"] = table["score"] - table["start_score"]
table[["unit", "start_score", "score", "gained", "drawn"]].round(1)

# %% [markdown]
# ## Which one to use
#
# - To see what a unit responds to, with as few assumptions as possible: *direct*. Expect
#   pictures that are hard to read.
# - To see which *photo-like* image a unit responds to: a prior. Expect that what the prior
#   cannot make is missing, and that what it likes to make is added.
# - To claim anything about the network: both, and a control like the one above.
#   [An honest comparison](04-honest-comparison.ipynb) does that with numbers.
#
# More in [learned priors](../guides/priors.md) and in the
# [study](../study.md), which compares ten methods on 120 units.
