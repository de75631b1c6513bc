"""Measure photographs for ``tfviz/statistics.npz``.

    python scripts/measure_photographs.py PHOTOS tfviz/statistics.npz

PHOTOS is a folder or a zip file; every JPEG and PNG in it counts whose shorter side
has at least ``--size`` pixels.

The file in the package is of 934 photographs of ImageNet, one of each class whose
shorter side has 224 pixels or more, measured at 224. The other choice was Tiny
ImageNet, 64,000 photographs of 64 pixels. Its colour matrix is the same to 0.01, and
below an eighth of a cycle per pixel so is the brightness: resampled to 224 pixels,
0.9 to 1.05 of what the larger photographs have. In the highest octave it has 1.9
times their amplitude, as small pictures are sharper than large ones, and 0.8 of the
colour in the middle, which JPEG keeps at half the size. So the larger ones were used,
whose number is enough: halves of them differ by 4 to 8 percent from wave to wave, and
by 1 percent in brightness and 10 percent in colour as a whole.
"""

import argparse
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tfviz import statistics

SUFFIXES = (".jpeg", ".jpg", ".png")


def photographs(source: Path, size: int) -> Iterator[np.ndarray]:
    """Yield the photographs of a folder or a zip file that are large enough."""
    if source.is_dir():
        files = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES)
        contents = (file.read_bytes() for file in files)
    else:
        archive = zipfile.ZipFile(source)
        names = sorted(n for n in archive.namelist() if n.lower().endswith(SUFFIXES))
        contents = (archive.read(name) for name in names)
    for content in contents:
        with Image.open(io.BytesIO(content)) as image:
            if min(image.size) >= size:
                yield np.asarray(image.convert("RGB"))


def main() -> None:
    """Measure, save, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--size", type=int, default=224)
    options = parser.parse_args()
    found = photographs(options.photos, options.size)
    stats = statistics.measure(found, size=options.size).save(options.target)
    print(f"{options.target}: {stats.count} photographs of {stats.size} pixels")
    print(f"mean {stats.mean.round(3)}, contrast {stats.contrast:.3f}")
    print(f"colour matrix\n{stats.color.round(3)}")
    print(f"slopes {stats.slope().round(2)}, digest {stats.digest}")
    print(f"{options.target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
