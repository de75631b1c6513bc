"""Animations of how pictures come about."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from tfviz import images

if TYPE_CHECKING:
    from tfviz.optimize.job import Progress


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

    def __init__(self, path: str | os.PathLike, *, duration: int = 100) -> None:
        self.path = Path(path)
        self.duration = duration
        self.files: list[Path] = []
        self._frames: list[Image.Image] = []
        self._batch = 0
        if self.path.suffix.lower() not in FORMATS:
            raise ValueError(
                f"The name of an animation must end in {' or '.join(FORMATS)}. "
                f"Received: {self.path}"
            )

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
        first, *others = self._frames
        images.write_safely(
            path,
            lambda file: first.save(
                file,
                path.suffix[1:].upper(),
                save_all=True,
                append_images=others,
                duration=self.duration,
                loop=0,
            ),
        )
        self.files.append(path)
        self._frames = []

    def __enter__(self) -> "Animation":
        """Return the callback."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Write the frames that are left."""
        self.close()
