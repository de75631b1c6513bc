"""Train learned priors on your own photos.

A prior is a network that decodes latents into images. Used as a param, it restricts a
visualization to images like the photos it was trained on. Three kinds can be trained,
the first two in hours on two processor cores:

- An inverter (`train_inverter`) decodes a few hundred numbers, which say what some
  layers of a network show of a photo. It is a strong prior: every image is one scene.
- An autoencoder (`train_autoencoder`) decodes a small map of numbers, at any image
  size. It is a weak prior: it knows textures, edges and colours, but not layout.
- A GAN (`train_gan`) makes images that its discriminator cannot tell from photos. It
  needs no network that others trained, but a graphics card.

All of them need a folder of at least 1000 photos, a GAN with a subfolder for each
class, and the first two also a network, in which images are compared:

    import tfviz
    from tfviz import priors
    from tfviz.priors import training

    model = tfviz.load_model("squeezenet")
    training.train_inverter(tfviz.adapt(model), "photos", "mine")
    param = priors.load("mine/inverter.npz")
    tfviz.render(model, "logit:goldfish", param).save("out")

The output folder also holds `samples.png`, which shows held-out photos above their
reconstructions, `log.csv` with the losses, and a checkpoint: the same call resumes a
training that was interrupted, and ends with the same prior. A training that makes
nothing but one image raises `CollapsedError`. On the command line it is `tfviz priors
train`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = [
    "CollapsedError",
    "TrainingProgress",
    "train_autoencoder",
    "train_gan",
    "train_inverter",
]

if TYPE_CHECKING:
    from tfviz.priors.training.checkpoint import CollapsedError
    from tfviz.priors.training.gan_training import train_gan
    from tfviz.priors.training.loop import TrainingProgress
    from tfviz.priors.training.recipes import train_autoencoder, train_inverter
else:
    # Only when they are used: `tfviz.priors` itself needs a module of this package.
    _HOME = {
        "CollapsedError": "checkpoint",
        "TrainingProgress": "loop",
        "train_autoencoder": "recipes",
        "train_gan": "gan_training",
        "train_inverter": "recipes",
    }

    def __getattr__(name):
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)

    def __dir__():
        return sorted({*globals(), *__all__})
