"""Measure the usual activity of the bundled network's channels.

This script is run by hand to make `tfviz/models/squeezenet_levels.npz`:

    python scripts/measure_levels.py imagenet-1000-samples.zip \
        tfviz/models/squeezenet_levels.npz

The archive holds one photo of each class of ImageNet, of about 256 pixels. Far more
photos are available at 64 pixels, but enlarged to the network's 224 pixels they are
more blurred than any photo that users compare with these levels: channels for fine
texture would seem to be almost never active. With a thousand photos the standard error
of a channel's mean is 3 % of the channel's deviation, which is enough to say how many
deviations a response lies above the mean.

Methods are compared on the same photos. No comparison uses the levels: only
`tfviz top` does.
"""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

import tfviz
from tfviz import images, levels

# The largest size of the file in bytes, as it is a part of the package.
LIMIT = 100_000


def photos(archive: Path) -> Iterator[NDArray[np.float32]]:
    """Yield the photos of an archive in the order of their names."""
    with ZipFile(archive) as files:
        for name in sorted(files.namelist()):
            yield images.read(io.BytesIO(files.read(name)))


def main(archive: Path, target: Path) -> None:
    """Measure the levels on the photos in `archive` and write them to `target`."""
    measured = levels.measure(tfviz.load_model("squeezenet"), photos(archive))
    measured.save(target)
    size, layers = target.stat().st_size, len(measured.layers)
    print(f"{target}: {measured.count} photos, {layers} layers, {size} bytes")
    if size > LIMIT:
        raise SystemExit(f"{target} is larger than {LIMIT} bytes.")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
