"""Learned priors: params whose decoder is a trained network.

What is optimized is what a generator takes, so that only its images can be reached:

    from tfviz import priors
    param = priors.load("faces.keras", value_range=(-1, 1))
    tfviz.render(model, "fire8:20", param)

`load` finds out what a file or folder is. `gan`, `autoencoder`, `taesd` and
`keras_hub_vae` make params of models in memory; `saved_model` and `hub` of generators
of TF-Hub, such as BigGAN and ProGAN, and others in SavedModels; `assembled` of any
function, from latents that say where each starts, how fast it moves and where it may
go.
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
    "saved_model",
    "shell",
    "simplex",
    "taesd",
    "usual_length",
    "waves",
    "within",
]
