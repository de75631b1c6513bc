"""Animations of how pictures come about."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from tfviz import images
from tfviz._files import write_safely
from tfviz._storage import AnyPath

if TYPE_CHECKING:
    from tfviz.optimize.batch import Progress


FORMATS = (".webp", ".gif")


class Animation:
    """A callback that writes an animation of each batch when it is finished.

    Where another callback may end a batch early, use it in a `with` statement, whose
    end writes the batch that is left.

    Args:
        path: A file that ends in `.webp` or `.gif`. If there are several batches, the
            second is written to `name-2.webp`, and so on.
        duration: The duration of a frame, in milliseconds.

    Attributes:
        files: The files that were written.

    Raises:
        ValueError: If the name ends in something else.

    >>> import tempfile, tfviz
    >>> small = tfviz.params.fourier(64, 64)
    >>> model = tfviz.load_model("squeezenet")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     movie = tfviz.Animation(f"{folder}/fire5.webp")
    ...     _ = tfviz.render(model, "fire5:3", small, steps=32, callbacks=[movie])
    ...     movie.files[0].name
    'fire5.webp'
    """

    def __init__(self, path: str | os.PathLike[str], *, duration: int = 100) -> None:
        self.path = Path(path)
        self.duration = duration
        self.files: list[Path] = []
        self._frames: list[Image.Image] = []
        self._batch = 0
        check_animation(self.path)

    def __call__(self, progress: "Progress") -> None:
        """Add a frame; write the file after the last step."""
        if progress.batch != self._batch:
            self.close()
            self._batch = progress.batch
        self._frames.append(images.sheet(list(progress.images()), progress.names))
        if progress.step == progress.steps:
            self.close()

    def close(self) -> None:
        """Write the frames that have not been written."""
        if not self._frames:
            return
        path = self.path
        if self._batch:
            path = path.with_stem(f"{path.stem}-{self._batch + 1}")
        write_animation(path, self._frames, self.duration)
        if path not in self.files:  # the steps that wake a dead unit replace the others
            self.files.append(path)
        self._frames = []

    def __enter__(self) -> "Animation":
        """Return the callback."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Write the frames that are left."""
        self.close()


def write_animation(
    path: AnyPath, frames: Sequence[Image.Image], duration: int | Sequence[int]
) -> None:
    """Write frames as an animation that repeats, complete or not at all.

    Args:
        path: A file that ends in `.webp` or `.gif`.
        frames: Images of equal sizes.
        duration: The duration of each frame, in milliseconds, or one for all.

    Raises:
        ValueError: If the name ends in something else.
    """
    check_animation(path)
    first, *others = frames

    def write(file: Any) -> None:
        first.save(
            file,
            path.suffix[1:].upper(),
            save_all=True,
            append_images=others,
            duration=duration if isinstance(duration, int) else list(duration),
            loop=0,
        )

    write_safely(path, write)


def check_animation(path: AnyPath) -> None:
    """Refuse a file name without a suffix of an animation."""
    if path.suffix.lower() not in FORMATS:
        raise ValueError(
            f"The name of an animation must end in {' or '.join(FORMATS)}. "
            f"Received: {path}"
        )
