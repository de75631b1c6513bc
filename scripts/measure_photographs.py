"""Measure the statistics of photographs for `tfviz/statistics.npz`.

This script is run by hand:

    python scripts/measure_photographs.py PHOTOS tfviz/statistics.npz

PHOTOS is a folder or a zip file. Its JPEG, PNG and WebP files are used whose shorter
side has at least `--size` pixels, unless they are framed: if more than a quarter of the
pixels along a picture's border are white or black, it is a drawing, an object that was
cut out, or a photograph that was turned.

The file in the package was measured on `photos-160px.zip`: photographs whose shorter
side has 160 pixels, of the 10 classes of Imagenette and the 102 of Caltech-101, in WebP
of quality 80. None of them is among the photographs on which methods are compared, nor
nearly equals one of these. Of 9,908 files, 228 are too small and 2,588 are framed (36 %
of Caltech's and 17 % of Imagenette's). With the framed ones, the contrast would be 0.50
instead of 0.44, mostly because of white grounds.

Frequencies are in cycles per pixel, and the spectrum of a picture of another size is
interpolated at its own frequencies. That a spectrum which was measured at 160 pixels
suits pictures of 224 was tested with 934 photographs of ImageNet, measured at 224
pixels and again after they had been scaled to 160: scenes have nearly the same spectrum
at every scale. Up to 0.18 cycles per pixel, the amplitudes of brightness at 160 pixels
are 0.97 to 1.04 times those at 224. Above, where 4 % of the variance is, they are 1.1
to 1.5 times as large, because small pictures are sharper than large ones. The
amplitudes of colour are less certain. Up to 0.08 cycles per pixel they agree within
5 %. Above, scaling raises them by up to 1.7 times, while WebP, which stores colour at
half the size, reduces them to as little as 0.6 times; both together give 0.84 to 1.27
times the amplitudes at 224 pixels.

Compared with these 934 photographs at 224 pixels, the photographs that were used have
0.96 to 1.07 times the amplitudes of brightness up to 0.18 cycles per pixel, 1.1 to 1.4
times above, and 0.7 to 1 times the amplitudes of colour up to a quarter of a cycle per
pixel. Their mean colour differs by up to 0.02, their contrast by 0.002, and their
colour matrix by up to 0.015.
"""

import argparse
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tfviz import statistics

SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")
# The largest share of a border that may be white or black, and the values that count as
# white and black, in 8 bits.
PLAIN_BORDER, WHITE, BLACK = 0.25, 245, 10


def photographs(source: Path, size: int) -> Iterator[np.ndarray]:
    """Yield the large enough photographs of a folder or a zip file, without frames.

    Args:
        source: The folder or the zip file.
        size: The least number of pixels of the shorter side.
    """
    if source.is_dir():
        files = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES)
        contents = (file.read_bytes() for file in files)
    else:
        archive = zipfile.ZipFile(source)
        names = sorted(n for n in archive.namelist() if n.lower().endswith(SUFFIXES))
        contents = (archive.read(name) for name in names)
    for content in contents:
        with Image.open(io.BytesIO(content)) as image:
            if min(image.size) < size:
                continue
            picture = np.asarray(image.convert("RGB"))
        if not is_framed(picture):
            yield picture


def is_framed(picture: np.ndarray) -> bool:
    """Return whether much of the border of a picture `(h, w, 3)` is white or black."""
    first_and_last = ([0, -1], slice(None)), (slice(None), [0, -1])
    border = np.concatenate([picture[ends].reshape(-1, 3) for ends in first_and_last])
    plain = (border.min(axis=1) >= WHITE) | (border.max(axis=1) <= BLACK)
    return bool(plain.mean() > PLAIN_BORDER)


def main() -> None:
    """Measure the statistics, save them, and print a summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--size", type=int, default=160)
    options = parser.parse_args()
    pictures = photographs(options.photos, options.size)
    stats = statistics.measure(pictures, size=options.size).save(options.target)
    print(f"{options.target}: {stats.count} photographs of {stats.size} pixels")
    print(f"mean {stats.mean.round(3)}, contrast {stats.contrast:.3f}")
    print(f"colour matrix\n{stats.color.round(3)}")
    print(f"slopes {stats.slope().round(2)}, digest {stats.digest}")
    print(f"{options.target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
