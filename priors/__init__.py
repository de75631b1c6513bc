"""Learned priors: params whose decoder is a trained image generator.

A feature visualization optimizes an image until a unit of a network responds strongly.
With the plain params of `tfviz.params` the image can be anything, noise included. With
a learned prior the optimization instead changes the input (the latent) of a trained
generator, such as a GAN or the decoder of an autoencoder, so that only images that the
generator can make are reached (https://arxiv.org/abs/1605.09304):

    from tfviz import priors
    param = priors.load("faces.keras", value_range=(-1, 1))
    tfviz.render(model, "fire8:20", param)

Ways to get a prior:

* `load` takes the name of a bundled prior, a file, a folder or a URL; `from_spec` makes
  a prior again from the description in a saved picture.
* `gan`, `autoencoder`, `taesd` and `keras_hub_vae` wrap models in memory.
* `saved_model` and `hub` wrap SavedModels and modules of TF-Hub, such as BigGAN and
  ProGAN.
* `assembled` wraps any function that makes images.

`refined` adds detail to the images of a prior, in pixels or through an autoencoder.

All of them return a `Prior`, which `render` takes like any other param. `checked` tests
whether its random images look as they should.

A `Latent` describes one input of the generator: where the search starts, how large the
steps are and which values are allowed.

* Latents that are optimized: `gaussian`, `waves`, `mixture`, `embedding`.
* Latents that stay constant: `held`, `chosen`.
* Domains, to which latents are projected after each step: `box`, `shell`, `ball`,
  `simplex`; `usual_length` computes a radius.
* Penalties on latents: `near_shell`, `near_mean`, `near_moments`.
* `within` clips images to [0, 1], but lets clipped pixels return.
"""

from tfviz.priors._constraints import (
    ball,
    box,
    near_mean,
    near_moments,
    near_shell,
    shell,
    simplex,
    usual_length,
)
from tfviz.priors._diagnostics import checked
from tfviz.priors._generators import autoencoder, gan, keras_hub_vae, taesd
from tfviz.priors._latents import (
    Latent,
    chosen,
    embedding,
    gaussian,
    held,
    mixture,
    waves,
)
from tfviz.priors._prior import Prior, assembled, within
from tfviz.priors._refined import refined
from tfviz.priors._sources import from_spec, load
from tfviz.priors._tfhub import hub, saved_model

__all__ = [
    "Latent",
    "Prior",
    "assembled",
    "autoencoder",
    "ball",
    "box",
    "checked",
    "chosen",
    "embedding",
    "from_spec",
    "gan",
    "gaussian",
    "held",
    "hub",
    "keras_hub_vae",
    "load",
    "mixture",
    "near_mean",
    "near_moments",
    "near_shell",
    "refined",
    "saved_model",
    "shell",
    "simplex",
    "taesd",
    "usual_length",
    "waves",
    "within",
]
