"""Find the images of a data set that the units of a model respond to."""

import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from tfviz._errors import count_of
from tfviz.analysis.example_pass import Pass
from tfviz.analysis.examples_file import DatasetExamples, check_suffix
from tfviz.analysis.layer_selection import select_layers
from tfviz.analysis.photo_stream import (
    Batch,
    Description,
    Folder,
    stream_pictures,
)
from tfviz.analysis.receptive_field import map_shape, receptive_fields
from tfviz.analysis.responses import PEAK, RESPONSES, Responder, Responses
from tfviz.models.adapter import Adapter, adapt
from tfviz.models.introspection import LOGITS

# The time between two saved states of a pass, in seconds.
SAVE_SECONDS = 60

# What computes the responses to the images of a folder; see `respond_here`.
RespondTo = Callable[[Responder, Folder, Pass], Iterator[tuple[Batch, Responses]]]


def dataset_examples(
    model: Any,
    images: str | os.PathLike[str] | Iterable[Any],
    layers: str | Sequence[str] | None = None,
    *,
    k: int = 9,
    by: str = PEAK,
    spread: int = 5,
    bins: int = 64,
    sample: int = 1000,
    seed: int = 0,
    batch_size: int = 16,
    output: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int | None], Any] | None = None,
    respond_to: RespondTo | None = None,
) -> DatasetExamples:
    """Find the images that each unit responds to most, least and in between.

    The images are read once. Memory does not grow with their number, except for their
    index. Of equal responses, that to the earlier image comes first; the images of a
    folder are in the order of their paths.

    Args:
        model: A model or an adapter, as `adapt` takes it.
        images: A folder, whose subfolders are searched, too, and whose files are
            decoded while the network runs; or an iterable of files, and of pictures
            `(height, width, channels)` as bytes or floats in [0, 1]. The model sees
            the middle of each image.
        layers: Paths, patterns such as `fire*`, or `logit` for the logits of the
            classes. By default all layers that have units, and the logits.
        k: The number of images of each unit in the top list and in the bottom list.
        by: What the response of a unit is: `peak`, its highest activation in the map,
            or `mean`, the mean over the map, as `render` maximizes for `fire8:20`.
        spread: The number of images at evenly spaced quantiles of the responses: the
            middles of so many equal parts. They are taken from the sample.
        bins: The number of bins of each unit's histogram.
        sample: The largest number of images in the uniform random sample from which the
            spread images, the correlations between units, and the mean of the features
            are computed.
        seed: The random seed of the sample.
        batch_size: The number of images in a batch.
        output: The file to save the examples to, in a folder that exists; its name ends
            in `.npz`. An interrupted pass over a folder continues from the file
            `output.partial`, which is written every minute, and when `progress` raises
            an exception.
        progress: A function that is called after each batch, with the number of images
            so far and of all images, which is None for an iterable.
        respond_to: A function that computes the responses to the images of a folder
            elsewhere than in this process; see `respond_here`.

    Returns:
        The examples.

    Raises:
        ValueError: If an argument is out of range, there is no such layer, there are no
            images, no file can be read, an activation is not finite, or the
            interrupted pass had other settings or images.

    >>> import numpy as np, tfviz
    >>> model = tfviz.load_model("squeezenet")
    >>> photos = [np.full((64, 64, 3), grey, np.float32) for grey in (0, 0.5, 1)]
    >>> examples = dataset_examples(model, photos, "conv1", k=2)
    >>> examples.layers["conv1"].top.images.shape
    (64, 2)
    """
    adapter = adapt(model)
    k, spread = _whole_number("k", k), _whole_number("spread", spread)
    bins, sample = _whole_number("bins", bins, 2), _whole_number("sample", sample)
    batch_size = _whole_number("batch_size", batch_size)
    seed = _whole_number("seed", seed, None)
    if by not in RESPONSES:
        raise ValueError(f"`by` must be peak or mean. Received: {by!r}")
    output = None if output is None else Path(output)
    if output is not None:
        _check_output(output)
    shapes = _select_shapes(adapter, layers)
    respond = Responder(adapter, shapes, by, batch_size)
    folder = None
    if isinstance(images, (str, os.PathLike)):
        folder = Folder(adapter, Path(images))
    options: dict[str, Any] = {
        "k": k,
        "by": by,
        "bins": bins,
        "sample": sample,
        "seed": seed,
    }
    # The room for a sample is taken at once, however few images there are.
    largest = min(sample, len(folder.files)) if folder else sample
    state = Pass(respond.units, respond.features, **options | {"sample": largest})
    saved = _SavedState()
    files = {} if folder is None else folder.describe()
    if output is not None and folder is not None:
        settings = {
            "model": {"name": adapter.name, "weights": adapter.fingerprint()},
            "range": adapter.preprocess.name,
            "held": adapter.held,
            "image_input": adapter.image_input,
            "output": adapter.output,
            "size": adapter.size,
            "layers": list(shapes),
            "batch_size": batch_size,
            **options,
        }
        saved = _SavedState(output.with_name(f"{output.name}.partial"), settings, files)
        saved.restore(state, folder)
    fields = receptive_fields(adapter, list(shapes))
    if folder:
        found = (respond_to or respond_here)(respond, folder, state)
    else:
        pictures = stream_pictures(adapter, images, batch_size)  # type: ignore[arg-type]
        found = _respond(respond, pictures, state)
    for batch, responses in found:
        state.add(batch, responses)
        try:
            if progress is not None:
                progress(state.seen, len(folder.files) if folder else None)
        except BaseException:
            saved.save(state)
            raise
        saved.save_if_due(state)
    _check_images(state)
    if folder is not None and (changes := folder.changes(files)):
        warnings.warn(
            f"{str(folder.path)!r} changed during the pass: {changes}. The examples "
            "are those of the files as they were read; a new pass finds those of the "
            "folder as it is now.",
            stacklevel=2,
        )
    examples = DatasetExamples(
        images=tuple(state.images),
        layers=state.layers(respond.columns, shapes, fields, spread),
        folder=str(folder.path.resolve()) if folder else None,
        size=adapter.size,
        channels=adapter.channels,
        by=by,
        k=k,
        count=len(state.images),
        unreadable=tuple(state.unreadable),
        fingerprint=adapter.fingerprint(),
        preprocess=adapter.preprocess.name,
        model=adapter.name,
    )
    if output is not None:
        examples.save(output)
        saved.remove()
    return examples


def respond_here(
    respond: Responder, folder: Folder, state: Pass
) -> Iterator[tuple[Batch, Responses]]:
    """Compute the responses to the images of a folder in this process.

    Args:
        respond: Computes the responses.
        folder: The folder.
        state: What is known of the images so far. The caller adds each batch to it
            before it asks for the next one.

    Yields:
        Each batch of the images after those that the state has seen, in their order,
        with the responses.
    """
    batches = folder.stream(respond.batch, first=state.seen)
    yield from _respond(respond, batches, state)


def _respond(
    respond: Responder, batches: Iterable[Batch], state: Pass
) -> Iterator[tuple[Batch, Responses]]:
    for batch in batches:
        limits = (state.top.threshold, state.bottom.threshold)
        yield batch, respond(batch, limits, state.sampled(batch))


class _SavedState:
    """The file from which an interrupted pass continues.

    Args:
        path: The file, or None if the pass cannot be continued.
        settings: The settings of the pass, as JSON values.
        files: The description of the folder of images.
    """

    def __init__(
        self,
        path: Path | None = None,
        settings: Mapping[str, Any] | None = None,
        files: Description | None = None,
    ) -> None:
        self._path, self._settings, self._files = path, settings or {}, files or {}
        self._time = time.monotonic()

    def restore(self, state: Pass, folder: Folder) -> None:
        """Continue from the file, if there is one.

        Raises:
            ValueError: If the settings or the images are not those of the pass.
        """
        if self._path is None or not self._path.exists():
            return
        before = state.restore(self._path, self._settings)
        digests = {image.path: image.digest for image in state.images}
        digests |= {file: "" for file, _ in state.unreadable}
        try:
            folder.check_unchanged(before, digests)
        except ValueError as error:
            raise ValueError(
                f"{error} Restore the folder to continue, or delete "
                f"{str(self._path)!r} to begin anew."
            ) from error

    def save(self, state: Pass) -> None:
        """Write the file."""
        if self._path is not None:
            state.save(self._path, self._settings, self._files)
        self._time = time.monotonic()

    def save_if_due(self, state: Pass) -> None:
        """Write the file if it was not written for a minute."""
        if time.monotonic() - self._time >= SAVE_SECONDS:
            self.save(state)

    def remove(self) -> None:
        """Delete the file."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _select_shapes(
    adapter: Adapter, layers: str | Sequence[str] | None
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the maps of the selected layers, by their paths."""
    if layers is not None:
        paths = select_layers(adapter, layers)
    else:
        paths = [
            x.path for x in adapter.layers() if x.units and None not in x.shape[1:]
        ]
        paths += [LOGITS] * (adapter.classes is not None)
    if not paths:
        raise ValueError("No layer is selected.")
    return {path: map_shape(adapter, path) for path in paths}


def _whole_number(name: str, value: Any, least: int | None = 1) -> int:
    """Return an option as an integer of Python, which JSON can hold.

    Raises:
        ValueError: If it is not a whole number, or smaller than `least`.
    """
    if not isinstance(value, Integral) or (least is not None and value < least):
        bound = "" if least is None else f" of at least {least}"
        raise ValueError(f"`{name}` must be a whole number{bound}. Received: {value!r}")
    return int(value)


def _check_output(path: Path) -> None:
    """Refuse a file that cannot be written, before the pass rather than after it.

    Raises:
        ValueError: If its name has another ending, its folder does not exist, or it is
            a folder itself.
    """
    check_suffix(path)
    if not path.parent.is_dir():
        raise ValueError(
            f"There is no folder {str(path.parent)!r} to write {path.name!r} to. "
            "Create it first."
        )
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder. Give the name of a file.")


def _check_images(state: Pass) -> None:
    """Refuse a pass that has found no image.

    Raises:
        ValueError: If there was none, or none could be read.
    """
    if state.images:
        return
    if not state.unreadable:
        raise ValueError("There are no images. Give at least one.")
    file, reason = state.unreadable[0]
    raise ValueError(
        f"None of {count_of(len(state.unreadable), 'image')} could be read. "
        f"{file}: {reason}"
    )
