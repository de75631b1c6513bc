"""Build the site of an atlas from files: pictures, examples and facts."""

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tfviz._errors import argument, count_of
from tfviz.site import records
from tfviz.site.examples import DatasetExamples, ShownImages, used_images
from tfviz.site.facts import NetworkFacts
from tfviz.site.folder import SiteFolder
from tfviz.site.layers import ShownLayer, gather_layers
from tfviz.site.pages import ASSETS, check_installed, read_asset, render_pages
from tfviz.site.pictures import Picture, read_pictures
from tfviz.site.sprites import (
    PER_SHEET,
    QUALITY,
    encode_example,
    encode_picture,
    encode_sheet,
    output_size,
)

# The number of files that a warning names.
_NAMED = 3

# Called with the number of files that are done, the number of all, and a name.
Progress = Callable[[int, int, str], Any]


def build_atlas(
    folder: str | os.PathLike[str],
    pictures: Sequence[str | os.PathLike[str]] = (),
    *,
    network: NetworkFacts | None = None,
    examples: DatasetExamples | None = None,
    images: str | os.PathLike[str] | None = None,
    judged: Mapping[str, float] | None = None,
    title: str = "",
    quality: int = QUALITY,
    progress: Progress | None = None,
) -> Path:
    """Build a site to browse the units of a network, after OpenAI's Microscope.

    The site opens from disk and from any web server, and requests nothing from other
    hosts. It has a page of the network, with a strip of units for each layer; one of
    all units at once, as in the appendix of "Feature Visualization"
    (https://distill.pub/2017/feature-visualization/appendix/); a page for each layer,
    unit and class; a search; and a comparison of two units.

    The site is made from files alone, so it can be extended, by more pictures for
    example, without rendering anything again. Only files whose inputs changed are
    written, and an interrupted build goes on.

    Args:
        folder: The folder to write to, which must be new or empty, or hold an atlas.
        pictures: Folders with pictures that `tfviz render` wrote. A unit's pictures
            are shown by their kind, those of learned priors last, and within a kind in
            the order of the folders. The first one that maximizes the unit stands for
            it in grids. Whether a picture is negative, one of a diverse
            set, or of a learned prior is read from its file.
        network: The facts about the network: the order of its layers, the names of
            its classes, and the weights of its last layer.
        examples: The dataset examples of the units.
        images: The folder of the data set's images; by default where they were when
            the examples were collected.
        judged: The machine two-alternative value of each unit that has one, by the
            unit's name, such as `fire8:20`.
        title: The title; by default the name of the network.
        quality: The quality of large pictures and of images, from 1 to 100; a lower
            one makes a smaller site.
        progress: Called after each file with the number of files that are done, the
            number of all files, and the name of the file.

    Returns:
        The first page, `index.html` in the folder.

    Raises:
        RuntimeError: If the extra `report` is not installed.
        FileNotFoundError: If a folder of pictures does not exist.
        ValueError: If there is nothing to show, the parts belong to different
            networks, or the folder holds something else.

    Warns:
        UserWarning: If there are pictures of anything but single channels and
            classes, or images of the data set that cannot be read.

    >>> import tempfile, tfviz
    >>> model, small = tfviz.load_model("squeezenet"), tfviz.params.fourier(64, 64)
    >>> result = tfviz.render(model, "fire5:3", small, steps=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = result.save(f"{folder}/pictures")
    ...     page = tfviz.build_atlas(f"{folder}/site", [f"{folder}/pictures"])
    >>> page.name
    'index.html'
    """
    check_installed()
    if not 1 <= quality <= 100:
        raise ValueError(f"`quality` must be from 1 to 100. Received: {quality!r}")
    if not pictures and examples is None:
        raise ValueError(
            "There is nothing to show. Give folders of pictures, dataset examples, or "
            "both."
        )
    paths = [layer.path for layer in network.layers] if network else None
    found, others = read_pictures(pictures, paths)
    if others:
        warnings.warn(
            f"{count_of(len(others), 'picture')} of other units than single channels "
            f"or classes {'is' if len(others) == 1 else 'are'} left out: "
            f"{_names(others)}",
            stacklevel=2,
        )
    layers = gather_layers(found, network, examples)
    model = network.name if network else _model_name(found, examples)
    site = records.site_record(
        title or model or "Atlas", model, layers, network, examples
    )
    with SiteFolder(Path(folder)) as target:
        shown = _Writer(
            target,
            layers,
            site=site,
            network=network,
            examples=examples,
            quality=quality,
            progress=progress,
        )
        shown.write_examples(images)
        for layer in layers:
            shown.write_layer(layer, judged or {})
        shown.write_pages()
    return Path(folder) / "index.html"


class _Writer:
    """Writes the files of a site.

    Args:
        target: The folder of the site.
        layers: The layers to show.
        site: What all pages know.
        network: The facts about the network, or None.
        examples: The dataset examples, or None.
        quality: As for `build_atlas`.
        progress: As for `build_atlas`.
    """

    def __init__(
        self,
        target: SiteFolder,
        layers: Sequence[ShownLayer],
        *,
        site: dict[str, Any],
        network: NetworkFacts | None,
        examples: DatasetExamples | None,
        quality: int,
        progress: Progress | None,
    ) -> None:
        self._target, self._layers, self._site = target, layers, site
        self._network, self._examples, self._progress = network, examples, progress
        self._quality = quality
        self._images = ShownImages({})
        self._used = [] if examples is None else used_images(examples)
        pictures = sum(len(own) for layer in layers for own in layer.pictures.values())
        self._total, self._done = pictures + len(self._used), 0

    def write_examples(self, folder: str | os.PathLike[str] | None) -> None:
        """Write the images of the data set that examples show.

        Args:
            folder: The folder of the images; None for where they were.
        """
        if self._examples is None:
            return
        names: dict[int, str] = {}
        missing: list[int] = []
        for index in self._used:
            image_digest = str(self._examples.images[index].digest)
            inputs = [image_digest, self._site["imageSize"], self._quality]
            digest = blake2b(json.dumps(inputs).encode(), digest_size=8).hexdigest()
            name = f"images/{digest}.webp"

            def make(index: int = index) -> bytes:
                image = self._examples.picture(index, folder)  # type: ignore[union-attr]
                return encode_example(image, self._quality)

            try:
                self._write(name, inputs, make)
            except (OSError, ValueError):
                missing.append(index)
            else:
                names[index] = digest
        self._images = ShownImages(names)
        if missing:
            self._report_missing(missing, folder)

    def write_layer(self, layer: ShownLayer, judged: Mapping[str, float]) -> None:
        """Write the pictures and the data of a layer."""
        for unit, pictures in layer.pictures.items():
            for picture in pictures:
                self._write_picture(layer, unit, picture)
        main = list(layer.main.values())
        for place in range(0, len(main), PER_SHEET):
            name = f"sprites/{layer.slug}-{place // PER_SHEET}.webp"
            self._write_sheet(name, main[place : place + PER_SHEET])
        if layer.strip:
            strip = [layer.main[unit] for unit in layer.strip]
            self._write_sheet(f"sprites/{layer.slug}-strip.webp", strip)
        methods = records.methods_of(layer)
        self._put(layer.slug, records.layer_record(layer, methods, judged))
        for first in range(0, layer.units, records.CHUNK):
            units = range(first, min(first + records.CHUNK, layer.units))
            chunk = [
                records.unit_record(layer, unit, methods, self._network, self._images)
                for unit in units
            ]
            self._put(f"{layer.slug}-{first // records.CHUNK}", chunk)

    def write_pages(self) -> None:
        """Write the pages, their scripts and styles, and the data of the network."""
        self._put("site", self._site)
        of_classes = next((layer for layer in self._layers if layer.is_classes), None)
        self._put("classes", records.classes_record(self._network, of_classes))
        for name in ASSETS:
            self._target.write_text(name, read_asset(name))
        pages = render_pages(self._site, self._layers, self._network)
        for name, text in pages.items():
            self._target.write_text(name, text)

    def _write_picture(self, layer: ShownLayer, unit: int, picture: Picture) -> None:
        size = output_size(picture.size)
        self._write(
            records.picture_file(layer, picture),
            [picture.digest, size, self._quality],
            lambda: encode_picture(picture.file, size, picture.spec, self._quality),
        )

    def _write_sheet(self, name: str, pictures: Sequence[Picture]) -> None:
        digests = [picture.digest for picture in pictures]
        files = [picture.file for picture in pictures]
        self._target.write(name, digests, lambda: encode_sheet(files))

    def _put(self, name: str, value: Any) -> None:
        """Write data as a script, which pages can load from disk as well."""
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
        self._target.write_text(
            f"data/{name}.js", f"atlas.put({json.dumps(name)},{text});\n"
        )

    def _write(self, name: str, inputs: Any, make: Callable[[], bytes]) -> None:
        self._target.write(name, inputs, make)
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total, name)

    def _report_missing(
        self, missing: Sequence[int], folder: str | os.PathLike[str] | None
    ) -> None:
        """Warn of images that could not be read.

        Raises:
            ValueError: If none could be read.
        """
        examples = self._examples
        place = f"in {os.fspath(folder)!r}" if folder else "where they were"
        files = [Path(examples.images[index].path) for index in missing]  # type: ignore[union-attr]
        # Images that were given as arrays have no file.
        if len(missing) == len(self._used) and any(file.name for file in files):
            raise ValueError(
                f"None of {count_of(len(missing), 'image')} that the examples show can "
                f"be read {place}. Say where they are with {argument('images')}."
            )
        warnings.warn(
            f"{count_of(len(missing), 'image')} of the examples cannot be read "
            f"{place} and {'is' if len(missing) == 1 else 'are'} left out: "
            f"{_names(files)}",
            stacklevel=4,
        )


def _model_name(pictures: Sequence[Picture], examples: DatasetExamples | None) -> str:
    return examples.model if examples else str(pictures[0].spec["model"]["name"])


def _names(files: Sequence[Path]) -> str:
    """Return the first few names of files for a message."""
    more = ", ..." if len(files) > _NAMED else "."
    return ", ".join(file.name or "an array" for file in files[:_NAMED]) + more
