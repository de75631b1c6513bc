"""Measure the latents that TAESD makes of photographs, for its prior's start.

This script is run by hand; `TAESD_MEAN` and `TAESD_STDDEV` in `priors/_generators.py`
are what it prints, rounded:

    python scripts/measure_taesd.py photos-160px.zip taesd

The first argument is a folder or a zip file of photographs, which
`measure_photographs.py` describes; the second one is the folder with TAESD's two files.
"""

import argparse
from pathlib import Path

import numpy as np

import tfviz  # noqa: F401 (first, so that it can choose TensorFlow's convolutions)
from measure_photographs import photographs
from tfviz import images, priors

# The size of the photographs that are encoded, in pixels, and how many at a time.
SIZE, BATCH = 128, 32


def main() -> None:
    """Encode the middle of each photograph, and print the moments of the channels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("taesd", type=Path)
    options = parser.parse_args()
    encoder = options.taesd / "taesd_encoder.safetensors"
    prior = priors.taesd(
        options.taesd / "taesd_decoder.safetensors", encoder, height=SIZE
    )
    crops = [
        images.centre_crop(images.to_floats(picture), (SIZE, SIZE))
        for picture in photographs(options.photos, SIZE)
    ]
    count, total, squares = len(crops), np.zeros(4), np.zeros(4)
    for first in range(0, count, BATCH):
        latents = prior.invert(np.stack(crops[first : first + BATCH]))["latent"]
        values = np.asarray(latents, np.float64)
        total += values.mean(axis=(1, 2)).sum(axis=0)
        squares += (values**2).mean(axis=(1, 2)).sum(axis=0)
    mean = total / count
    deviation = np.sqrt(squares / count - mean**2)
    print(f"{count} photographs of {SIZE} pixels")
    print(f"mean {mean.round(3)}, deviation {deviation.round(3)}")


if __name__ == "__main__":
    main()
