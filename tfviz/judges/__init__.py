"""Judges: networks that evaluate finished pictures, independently of their making.

The network that a picture of a lion was optimized for cannot tell whether the picture
shows a lion: it was optimized to say so. A judge is another network, of which only the
outputs are used.

    judge = tfviz.judges.load("efficientnet-lite0")
    judge.scores(result.images)  # (n, 1000)

Pictures are resized to the judge's input without keeping their proportions; crop
photos with `tfviz.images.centre_crop` first.
"""

from tfviz.judges._base import Judge, check, keras, load, tflite

__all__ = ["Judge", "check", "keras", "load", "tflite"]
