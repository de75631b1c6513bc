"""Make the atlas of SqueezeNet, and measure how fast and how large it gets.

    python scripts/atlas_squeezenet.py DATA -o SITE
    python scripts/atlas_squeezenet.py DATA -o SITE --param fourier --param inverter
    python scripts/atlas_squeezenet.py DATA -o SITE --part docs/atlas

The last one also writes a part of the site that is small enough for a repository: the
network page, all positive pictures of one layer, a few of the others, and no photos.

The atlas shows all channels of conv1 and of fire2 to fire9, and all classes, with
pictures of 128 pixels. The dataset examples are from `imagenet-1000-samples.zip` in
DATA, one photo of each class, of which none is left out; they are unpacked to
`SITE-photos` beside the site. The script can be stopped by Ctrl-C or SIGTERM at any
time, and goes on when it is started again.

At the end, or when it is stopped, it prints the pictures a minute of each layer, over
all starts of the script; the memory of the process after its first 100 pictures and at
the end; and the size of the site, with and without what it is made from.
"""

import argparse
import json
import shutil
import signal
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from zipfile import ZipFile

import tfviz  # first, so that it can choose TensorFlow's convolutions
from tfviz._files import write_safely
from tfviz.runs.picture_folder import MANIFEST
from tfviz.runs.recipe import POSITIVE
from tfviz.site import facts
from tfviz.site.folder import SOURCE

UNITS = ("conv1:*", "fire[2-9]:*", "logit:*")
PHOTOS = "imagenet-1000-samples.zip"
SIZE = 128
# The memory is measured after so many pictures, and lines of progress are printed in
# such an interval in seconds.
EARLY, INTERVAL = 100, 30.0
# The layer of which a part of the site shows all units, and the number of units that it
# shows of each other layer.
WHOLE_LAYER, FEW = "fire3", 5
# The quality of its pictures, so that it takes less than 3 MB.
QUALITY = 60


def main() -> None:
    """Parse the arguments, make the atlas, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--units", nargs="+", default=UNITS)
    parser.add_argument("--steps", type=int, default=256)
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument(
        "--param", action="append", help="fourier by default; can be repeated"
    )
    parser.add_argument("--no-negative", action="store_true")
    parser.add_argument("--no-images", action="store_true")
    parser.add_argument("--part", type=Path, help="where to write a part of the site")
    options = parser.parse_args()
    # So that SIGTERM ends the script as Ctrl-C does, with the site and the numbers.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    photos = None
    if not options.no_images:
        photos = unpack(options.data / PHOTOS, options.output)
    watch = Watch()
    try:
        page = tfviz.atlas(
            tfviz.load_model("squeezenet"),
            options.output,
            list(options.units),
            images=photos,
            params=options.param or ["fourier"],
            negative=not options.no_negative,
            steps=options.steps,
            size=options.size,
            title="SqueezeNet",
            progress=watch,
        )
        print(f"finished: {page}")
        if options.part:
            write_part(options.output / SOURCE, options.part)
            print_size(options.part)
    except KeyboardInterrupt:
        raise SystemExit("stopped; the same command goes on") from None
    finally:
        watch.print_summary()
        print_speed(options.output / SOURCE)
        print_size(options.output)


def unpack(archive: Path, site: Path) -> Path:
    """Unpack the photos of an archive beside the site, and return their folder."""
    folder = site.with_name(f"{site.name}-photos")
    folder.mkdir(parents=True, exist_ok=True)
    with ZipFile(archive) as files:
        for name in files.namelist():
            target = folder / Path(name).name
            if not name.endswith("/") and not target.exists():
                photo = files.read(name)
                write_safely(target, lambda file, photo=photo: file.write(photo))
    return folder


def write_part(source: Path, part: Path) -> None:
    """Build a site of some of the positive pictures, without photos.

    Args:
        source: The folder of what the whole site is made from.
        part: The folder of the part.
    """
    files: dict[str, list[str]] = defaultdict(list)
    for line in (source / POSITIVE / MANIFEST).read_text("utf-8").splitlines():
        entry = json.loads(line)
        if "file" in entry and not entry["stuck"]:
            files[entry["unit"].rpartition(":")[0]].append(entry["file"])
    with tempfile.TemporaryDirectory() as folder:
        for layer, names in files.items():
            step = 1 if layer == WHOLE_LAYER else len(names) // FEW
            for name in names[:: max(step, 1)][: None if step == 1 else FEW]:
                shutil.copy(source / POSITIVE / name, folder)
        tfviz.build_atlas(
            part,
            [folder],
            network=facts.load(source / facts.FILE),
            title="A part of the atlas of SqueezeNet",
            quality=QUALITY,
        )


class Watch:
    """Prints the progress now and then, and measures the time and the memory."""

    def __init__(self) -> None:
        self._began = self._printed = time.monotonic()
        self._made = 0
        self._part = ""
        self._spent: dict[str, float] = defaultdict(float)
        self._last = self._began
        self._early: int | None = None

    def __call__(self, part: str, done: int, total: int, name: str) -> None:
        """Note that a picture, a file, or a batch of images is finished."""
        now = time.monotonic()
        self._spent[part] += now - self._last
        self._last = now
        if part not in ("examples", "site"):
            self._made += 1
            if self._made == EARLY:
                self._early = memory()
        if part != self._part or now - self._printed > INTERVAL:
            self._part, self._printed = part, now
            minutes = (now - self._began) / 60
            print(f"{minutes:6.1f} min  {part}: {done}/{total}  {name}", flush=True)

    def print_summary(self) -> None:
        """Print the time by part, and the memory."""
        for part, seconds in self._spent.items():
            print(f"{part}: {seconds / 60:.1f} min in this process")
        early = "too few pictures" if self._early is None else f"{self._early} MB"
        print(f"memory after {EARLY} pictures: {early}; at the end: {memory()} MB")


def print_speed(source: Path) -> None:
    """Print the pictures a minute of each layer, from the manifests of the runs.

    The time of a picture is its share of its batch, with the compilation.
    """
    for manifest in sorted(source.glob(f"*/{MANIFEST}")):
        seconds: dict[str, list[float]] = defaultdict(list)
        failed = 0
        for line in manifest.read_text("utf-8").splitlines():
            entry = json.loads(line)
            failed += "failed" in entry
            if "seconds" in entry:
                layer = entry["unit"].removeprefix("-").rpartition(":")[0]
                seconds[layer].append(entry["seconds"])
        run = manifest.parent.name
        for layer, spent in seconds.items():
            speed = 60 * len(spent) / sum(spent)
            print(f"{run}  {layer:12} {len(spent):5} pictures  {speed:6.1f} a minute")
        spent = [value for values in seconds.values() for value in values]
        if spent:
            print(
                f"{run}  {'total':12} {len(spent):5} pictures  "
                f"{60 * len(spent) / sum(spent):6.1f} a minute  "
                f"{sum(spent) / 60:.0f} min  {failed} failed"
            )


def print_size(site: Path) -> None:
    """Print the size of the site, without and with what it is made from."""
    sizes = {file: file.stat().st_size for file in site.rglob("*") if file.is_file()}
    source = [file for file in sizes if file.is_relative_to(site / SOURCE)]
    of_source = sum(sizes[file] for file in source)
    total = sum(sizes.values())
    print(
        f"{site}: {len(sizes) - len(source)} files, {(total - of_source) / 1e6:.1f} "
        f"MB; {SOURCE}: {len(source)} files, {of_source / 1e6:.1f} MB"
    )


def memory() -> int:
    """Return the memory of the process in MB, as Linux counts it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    raise OSError("/proc/self/status has no VmRSS.")


if __name__ == "__main__":
    main()
