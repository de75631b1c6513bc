"""Learned priors: params whose decoder is a trained network.

What is optimized is what a generator takes, so that only its images can be reached:

    from tfviz import priors
    param = priors.gan("faces.keras", value_range=(-1, 1))
    tfviz.render(model, "fire8:20", param)

`gan` and `taesd` make params of generators that others trained; `assembled` of any
function, from latents that say where each starts, how fast it moves and where it may
go.
"""

from ._domains import box, shell, simplex
from ._families import gan, taesd
from ._latents import Latent, chosen, gaussian, near_mean, near_shell, waves
from ._prior import assembled, within

__all__ = [
    "Latent",
    "assembled",
    "box",
    "chosen",
    "gan",
    "gaussian",
    "near_mean",
    "near_shell",
    "shell",
    "simplex",
    "taesd",
    "waves",
    "within",
]
