"""Measure how active the channels of the bundled network usually are.

Run once, by hand, to make `tfviz/levels.npz`:

    python scripts/measure_levels.py imagenet-1000-samples.zip tfviz/levels.npz

The archive holds one photo of each class of ImageNet, of about 256 pixels. Far more
photos are to be had at 64 pixels, but enlarged to the network's 224 they are blurred,
as no photo is that a user will compare with these levels: channels that look for fine
texture would seem to fire hardly ever. A thousand photos know a channel's mean to 3 %
of its deviation, which is enough to say how many deviations above it a response is.
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

LIMIT = 100_000  # bytes: it is a part of the package


def photos(archive: Path) -> Iterator[NDArray[np.float32]]:
    """Yield the photos in an archive in the order of their names."""
    with ZipFile(archive) as files:
        for name in sorted(files.namelist()):
            yield images.read(io.BytesIO(files.read(name)))


def main(archive: Path, target: Path) -> None:
    """Measure the levels on the photos in `archive` and write them to `target`."""
    found = levels.measure(tfviz.load_model("squeezenet"), photos(archive))
    found.save(target)
    size = target.stat().st_size
    print(f"{target}: {found.count} photos, {len(found.layers)} layers, {size} bytes")
    if size > LIMIT:
        raise SystemExit(f"more than {LIMIT} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
