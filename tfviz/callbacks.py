"""Callbacks of Keras that show what units look for while a model is being trained."""

import io
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from tfviz import images, params
from tfviz._errors import reason_of
from tfviz._files import check_same_settings
from tfviz._optional import import_optional
from tfviz._storage import AnyPath, as_path
from tfviz.images import file_names
from tfviz.models.adapter import adapt
from tfviz.optimize.animation import FORMATS, write_animation
from tfviz.optimize.job import Job
from tfviz.optimize.options import Options
from tfviz.optimize.render import as_result
from tfviz.optimize.result import Result
from tfviz.optimize.runner import cache_of
from tfviz.params import Param
from tfviz.params._base import check_positive_integers
from tfviz.transforms import Transform

__all__ = ["Visualize"]

# A strip shows at most so many moments of a training, spread evenly over it.
_MOST_IN_STRIP = 10
# The width of a picture, in pixels, from which on a caption fits below it.
_LEAST_WIDTH = 120
_FILE = re.compile(r"epoch-(\d+)(?:-batch-(\d+))?")
# What differs between the pictures of a unit that a training makes, or may differ.
_OF_MOMENT = {
    *("score", "unit_score", "stuck", "steps_taken", "stopped", "distances"),
    *("start_score", "drawn", "restart", "diagnostics"),
    *("xla", "versions", "tfviz", "training"),
}


@dataclass(frozen=True, order=True)
class Moment:
    """A moment of a training.

    Attributes:
        epoch: The number of epochs that are over.
        batch: The number of batches of the next epoch that are over, too.
    """

    epoch: int
    batch: int = 0

    @property
    def stem(self) -> str:
        """The name of a file, without its suffix."""
        name = f"epoch-{self.epoch:04}"
        return f"{name}-batch-{self.batch:06}" if self.batch else name

    def __str__(self) -> str:
        """Return the moment in words."""
        name = f"epoch {self.epoch}"
        return f"{name}, batch {self.batch}" if self.batch else name


class Visualize(keras.callbacks.Callback):
    """Renders units of a model while it is being trained.

    The pictures of a unit have equal seeds, so they differ only by what the training
    changed: together they are a film of the unit being learned. They are made before
    the first batch, after every few epochs, and after the last one.

    Each unit has a folder in `folder`, with a file for each moment, such as
    `conv_b-3/epoch-0012.png`, or `epoch-0012-batch-000200.png` after 200 batches of the
    next epoch. As always, a file contains its settings, and with these the epoch and
    the metrics of the training. At the end, `film.webp` shows all units, moment by
    moment, and `strip.png` is a sheet with a row for each unit.

    Models of tf_keras can be trained with it, too.

    The training goes on as it would without pictures: the model runs in inference mode,
    and no random number generator is touched. All errors in the arguments are raised
    when the training begins; if a picture fails later, such as when the weights are no
    longer finite or the disk is full, the callback warns, and the training goes on. A
    unit may be dead in one epoch and not in the next: that is noted in its files.

    A folder may be used again. Training on with `fit(..., initial_epoch=12)` adds to
    its pictures; a training from the start replaces them, one after the other, and the
    film shows only the new ones.

    The steps are compiled once. A picture of 128 steps takes seconds on a processor, so
    choose few units and a small `size`; 32 steps are enough to see changes.

    Args:
        units: The units, as `render` takes them: `"conv_b:3"`, a list of such texts, or
            objectives.
        folder: The folder for the files; None if only TensorBoard gets the pictures.
        every: The number of epochs from picture to picture.
        every_batches: The number of batches from picture to picture within an epoch;
            None for pictures after epochs only.
        log_dir: The folder where TensorBoard looks: the pictures are images under the
            name of their unit. Their step is the epoch, or with `every_batches` the
            number of batches since the training began.
        size: The height and width of the pictures, or one number for both; by default
            those of the model's input. It cannot be combined with `param`.
        param: As for `render`.
        transforms: As for `render`.
        steps: The number of gradient steps of each picture.
        film: The format of the film, `webp` or `gif`; None for no film.
        preprocess: How images in [0, 1] become the model's input, as for `adapt`.
        labels: The names of the model's classes, as for `adapt`.
        **options: Further options of `render`, from `learning_rate` to `deterministic`.

    Attributes:
        files: The files of pictures that this training wrote, in their order.

    Raises:
        ValueError: If there is neither a folder nor a `log_dir`, or a number or format
            is wrong. When the training begins: if a unit, size or option does not fit
            the model, or the folder holds pictures with other settings.
        RuntimeError: If there is a `log_dir`, but TensorBoard is not installed.

    >>> import keras, numpy as np, tempfile, tfviz
    >>> model = keras.Sequential([
    ...     keras.Input((16, 16, 3)),
    ...     keras.layers.Rescaling(2.0, offset=-1.0),
    ...     keras.layers.Conv2D(4, 5, activation="relu", name="conv"),
    ...     keras.layers.GlobalAveragePooling2D(),
    ...     keras.layers.Dense(2),
    ... ])
    >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(True))
    >>> x, y = np.random.rand(8, 16, 16, 3), np.arange(8) % 2
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     show = tfviz.callbacks.Visualize("conv:1", folder, steps=4)
    ...     _ = model.fit(x, y, epochs=2, verbose=0, callbacks=[show])
    ...     [file.name for file in show.files]
    ['epoch-0000.png', 'epoch-0001.png', 'epoch-0002.png']
    """

    def __init__(
        self,
        units: Any,
        folder: str | os.PathLike[str] | None = None,
        *,
        every: int = 1,
        every_batches: int | None = None,
        log_dir: str | os.PathLike[str] | None = None,
        size: int | tuple[int, int] | None = None,
        param: Param | None = None,
        transforms: Transform | None = None,
        steps: int = 64,
        film: str | None = "webp",
        preprocess: Any = None,
        labels: Any = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if folder is None and log_dir is None:
            raise ValueError(
                "Visualize needs a `folder` for its pictures, or a `log_dir` for "
                "TensorBoard. Received neither."
            )
        check_positive_integers(every=every)
        if every_batches is not None:
            check_positive_integers(every_batches=every_batches)
        if size is not None and param is not None:
            raise ValueError(
                "`size` is the size of the default param. Leave it out, and give "
                "`param` its size."
            )
        if film is not None and f".{film}" not in FORMATS:
            raise ValueError(
                f"`film` must be 'webp', 'gif' or None. Received: {film!r}"
            )
        if log_dir is not None:
            import_optional("tensorboard", "Visualize with `log_dir`")
        self.files: list[AnyPath] = []
        self._names: list[str] = []
        self._units = units
        self._folder = None if folder is None else as_path(folder)
        self._log_dir = None if log_dir is None else os.fspath(log_dir)
        self._every, self._every_batches = every, every_batches
        self._size, self._param, self._transforms = size, param, transforms
        self._film = film
        self._preprocess, self._labels = preprocess, labels
        self._options = Options(steps=steps, **options)

    # tf_keras asks its callbacks which of their functions it has to call.
    def _implements_train_batch_hooks(self) -> bool:
        return True

    def _implements_test_batch_hooks(self) -> bool:
        return False

    def _implements_predict_batch_hooks(self) -> bool:
        return False

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Render the first pictures, so that a mistake is found before the training."""
        self.files = []
        self._adapter = adapt(self.model, self._preprocess, labels=self._labels)
        if self._param is None and self._size is not None:
            size = (self._size,) * 2 if isinstance(self._size, int) else self._size
            self._param = params.fourier(*size, self._adapter.channels)
        # Compiled steps are kept for equal objects, and for all units, however many
        # layers they are in.
        cache_of(self._adapter).most = None
        # Saved as soon as the number of the first epoch is known.
        self._first: Result | None = self._render()
        self._units_shown = self._first.names
        self._names = file_names(self._units_shown)
        self._check_folder(self._first)
        self._start = self._shown = Moment(0)
        self._moment = Moment(0)
        self._batches = 0
        self._writer: Any = None
        if self._log_dir is not None:
            self._writer = tf.summary.create_file_writer(self._log_dir)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Save the pictures of the untrained model before the first epoch."""
        self._moment = Moment(epoch)
        self._save_first()

    def on_train_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Render after so many batches."""
        self._save_first()  # in a loop that does not tell when epochs begin
        done = batch + 1  # several batches may be over since the last call
        self._batches += done - self._moment.batch
        before, self._moment = self._moment, Moment(self._moment.epoch, done)
        every = self._every_batches
        if every is not None and done // every > before.batch // every:
            self._show(logs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Render after so many epochs."""
        self._save_first()
        self._moment = Moment(epoch + 1)
        if (epoch + 1) % self._every == 0:
            self._show(logs)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Render the trained model, and write the film and the strip."""
        self._save_first()  # after a training without epochs
        if self._moment != self._shown:
            self._show(logs)
        if self._writer is not None:
            self._writer.close()
        if self._folder is not None:
            with _warning_instead("The film of the training could not be written"):
                self.save_strip(self._folder / "strip.png")
                if self._film is not None:
                    self.save_film(self._folder / f"film.{self._film}")

    def save_film(
        self,
        path: str | os.PathLike[str],
        *,
        duration: int = 250,
        columns: int | None = None,
    ) -> None:
        """Write an animation of all units, with a frame for each moment.

        It is written at the end of a training anyway; this is for one that was
        interrupted, or for another speed.

        Args:
            path: A file that ends in `.webp` or `.gif`.
            duration: The duration of a frame, in milliseconds; the last frame stays
                four times as long.
            columns: The number of columns; by default the grid is about square.
        """
        frames = [
            images.sheet(map(_read, files), self._captions(moment), columns)
            for moment, files in self._moments()
        ]
        times = [duration] * (len(frames) - 1) + [4 * duration]
        write_animation(as_path(path), frames, times)

    def save_strip(self, path: str | os.PathLike[str]) -> None:
        """Write a sheet with a row for each unit, and up to ten moments of a training.

        Args:
            path: A file that ends in `.png` or `.webp`.
        """
        images.save(self.strip(), path)

    def strip(self) -> Image.Image:
        """Return that sheet as an image of Pillow."""
        moments = list(self._moments())
        chosen = np.linspace(0, len(moments) - 1, min(len(moments), _MOST_IN_STRIP))
        shown = [moments[round(place)] for place in chosen]
        pictures, captions = [], []
        for place in range(len(self._names)):  # a row
            for moment, files in shown:
                pictures.append(_read(files[place]))
                captions.append(self._captions(moment)[place])
        return images.sheet(pictures, captions, columns=len(shown))

    def _captions(self, moment: Moment) -> list[str]:
        return [f"{name}, {moment}" for name in self._units_shown]

    def _render(self) -> Result:
        """Render without the warning of dead units, which would come each time."""
        job = Job(
            *(self._adapter, self._units, self._param, self._transforms, self._options)
        )
        # Compiled steps are found again by these very objects.
        self._param, self._transforms = job.param, job.transforms
        return as_result(job, list(job.run()))

    def _save_first(self) -> None:
        if self._first is not None:
            self._start = self._shown = self._moment
            first, self._first = self._first, None
            self._save(first, {})

    def _show(self, logs: Mapping[str, Any] | None) -> None:
        """Render and save; a failure must not end a training that runs for hours."""
        self._shown = self._moment
        with _warning_instead(f"No pictures were made after {self._moment}"):
            self._save(self._render(), logs or {})

    def _save(self, result: Result, logs: Mapping[str, Any]) -> None:
        metrics = {name: float(value) for name, value in logs.items()}
        training = {"epoch": self._moment.epoch, "batch": self._moment.batch}
        if self._folder is not None:
            for place, name in enumerate(self._names):
                file = self._folder / name / f"{self._moment.stem}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                spec = result.picture_spec(place)
                spec["training"] = training | {"metrics": metrics}
                images.save(result.picture(place), file, spec)
                self.files.append(file)
        if self._writer is not None:
            step = self._moment.epoch if self._every_batches is None else self._batches
            with self._writer.as_default():
                for place, name in enumerate(result.names):
                    tf.summary.image(name, result.images[place][None], step=step)
            self._writer.flush()

    def _moments(self) -> Iterator[tuple[Moment, list[AnyPath]]]:
        """Yield the moments of this training, and of the one that it continues."""
        if self._folder is None:
            raise ValueError("There are no files to show: Visualize has no `folder`.")
        if not self._names:
            raise ValueError(
                "There are no files to show: no training has begun with this callback. "
                "Give it to model.fit first."
            )
        written = set(self.files)
        first = self._folder / self._names[0]
        moments = sorted(
            Moment(int(match[1]), int(match[2] or 0))
            for file in first.iterdir()
            if (match := _FILE.fullmatch(file.stem)) and file.suffix == ".png"
        )
        for moment in moments:
            files = [self._folder / name / f"{moment.stem}.png" for name in self._names]
            earlier = moment < self._start and all(file.exists() for file in files)
            if earlier or written.issuperset(files):
                yield moment, files

    def _check_folder(self, result: Result) -> None:
        """Refuse a folder with pictures that no film could show beside the new ones.

        Raises:
            ValueError: If there are pictures with other settings.
        """
        if self._folder is None:
            return
        for place, name in enumerate(self._names):
            unit = self._folder / name
            files: list[AnyPath] = [*unit.iterdir()] if unit.exists() else []
            for file in files:
                if _FILE.fullmatch(file.stem) and file.suffix == ".png":
                    settings = _shared(result.picture_spec(place))
                    saved = _shared(images.read_spec(file) or {})
                    check_same_settings(unit, saved, settings, "training's pictures")


def _shared(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that all pictures of a unit have in common."""
    shared = {name: value for name, value in spec.items() if name not in _OF_MOMENT}
    # The weights, and so their hash, are what a training changes.
    model = {k: v for k, v in shared.get("model", {}).items() if k != "hash"}
    return shared | {"model": model}


@contextmanager
def _warning_instead(what: str) -> Iterator[None]:
    """Warn of an error, which is worse than a picture that is missing if it is raised.

    Args:
        what: What is missing then, as a sentence.
    """
    try:
        yield
    except Exception as error:
        warnings.warn(
            f"{what}, and the training goes on. {type(error).__name__}: "
            f"{reason_of(error)}",
            stacklevel=2,
        )


def _read(file: AnyPath) -> NDArray[np.uint8]:
    """Return a picture as it was saved, enlarged if no caption would fit below it."""
    with Image.open(io.BytesIO(file.read_bytes())) as image:
        pixels = np.asarray(image)
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    times = -(-_LEAST_WIDTH // pixels.shape[1])
    return pixels.repeat(times, axis=0).repeat(times, axis=1)
