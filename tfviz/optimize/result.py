"""The result of a rendering: pictures that can be shown, saved, and made again."""

import base64
import html
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tfviz import images
from tfviz._optional import import_optional
from tfviz.images import file_names

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Result:
    """Pictures, with their scores and their description.

    Attributes:
        images: `(n, height, width, channels)` in [0, 1], in steps of 1/255: exactly
            what an 8-bit file holds.
        scores: `(n,)`, the scores of these images, without transforms.
        unit_scores: `(n,)`, the scores of the units alone, where penalties or diversity
            are part of the objective.
        history: `(steps, n)`, the scores of the transformed images before each step;
            NaN for steps that a picture did not need.
        steps: `(n,)`, how many steps were taken.
        stopped: For each picture the name of the rule that ended it early, `callback`,
            or None.
        stuck: `(n,)`, whether the unit is dead: it never had a gradient, so that the
            picture means nothing.
        names: The unit that each picture shows.
        spec: Everything that is needed to make the pictures again, as JSON values.
        distances: `(n, group)`, the distances from each picture to those of its group,
            itself included: 1 minus the cosine of their Gram matrices, 0 for equal
            pictures. None without diversity.
        alpha: `(n, height, width)` in [0, 1], how much each pixel counted over all
            steps: the mean absolute gradient, scaled so that its 99th percentile is 1.
            None unless it was asked for.
        restart: `(n,)`, the number of the attempt that made each picture, from 0.
        start_scores: `(n,)`, the score of the unit alone in the best of the starts that
            were drawn for each picture. None if only one was drawn.
        drawn: `(n,)`, how many starts were drawn. None if only one was.
        diagnostics: `(n,)` by name: what the param measures of its latents at the end,
            and `clip_rate`, the share of latents that a step moved out of their domain,
            on average over the steps.
        view: The function that `views` applies to the images.
    """

    images: NDArray[np.float32]
    scores: NDArray[np.float32]
    unit_scores: NDArray[np.float32]
    history: NDArray[np.float32]
    steps: NDArray[np.int32]
    stopped: tuple[str | None, ...]
    stuck: NDArray[np.bool_]
    names: tuple[str, ...]
    spec: dict[str, Any]
    distances: NDArray[np.float32] | None = None
    alpha: NDArray[np.float32] | None = None
    restart: NDArray[np.int32] | None = None
    start_scores: NDArray[np.float32] | None = None
    drawn: NDArray[np.int32] | None = None
    diagnostics: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    view: Callable[[Any], Any] | None = field(default=None, repr=False)

    @property
    def views(self) -> NDArray[np.float32]:
        """The images as the model was shown them, before any transform."""
        return self.images if self.view is None else np.asarray(self.view(self.images))

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.images)

    def picture_spec(self, place: int) -> dict[str, Any]:
        """Return the description of one picture, as its file holds it."""
        common = {key: v for key, v in self.spec.items() if key != "pictures"}
        outcome: dict[str, Any] = {
            "name": self.names[place],
            "score": float(self.scores[place]),
            "unit_score": float(self.unit_scores[place]),
            "stuck": bool(self.stuck[place]),
            "steps_taken": int(self.steps[place]),
            "stopped": self.stopped[place],
        }
        if self.distances is not None and np.isfinite(self.distances[place]).any():
            known = self.distances[place][np.isfinite(self.distances[place])]
            outcome["distances"] = [round(float(distance), 6) for distance in known]
        if self.restart is not None and self.spec.get("restarts", 1) > 1:
            outcome["restart"] = int(self.restart[place])
        if self.drawn is not None and self.start_scores is not None:
            outcome["drawn"] = int(self.drawn[place])
            outcome["start_score"] = float(self.start_scores[place])
        if self.diagnostics:
            outcome["diagnostics"] = {
                name: float(f"{values[place]:.4g}")
                for name, values in self.diagnostics.items()
            }
        return common | self.spec["pictures"][place] | outcome

    def picture(self, place: int) -> Image.Image:
        """Return one picture as a Pillow image, with its transparency if recorded."""
        alpha = None if self.alpha is None else self.alpha[place]
        return images.to_pil(self.images[place], alpha)

    def save(self, path: str | os.PathLike[str], *, format: str = "png") -> list[Path]:
        """Write the pictures, with their description in each file's metadata.

        Args:
            path: A path that ends in `.png` or `.webp` is a file for the picture, or
                for a sheet of several pictures. Any other path is a folder, which gets
                a file for each picture.
            format: The format of the files in a folder, `png` or `webp`.

        Returns:
            The files that were written.

        Raises:
            ValueError: If the format is neither `png` nor `webp`.
        """
        path = Path(path)
        if path.suffix.lower() in images.FORMATS:
            path.parent.mkdir(parents=True, exist_ok=True)
            if len(self) == 1:
                images.save(self.picture(0), path, self.picture_spec(0))
            else:
                images.save(self.sheet(), path, self.spec | {"names": self.names})
            return [path]
        images.check_format(Path(f"picture.{format}"))
        path.mkdir(parents=True, exist_ok=True)
        files = []
        for place, name in enumerate(file_names(self.names)):
            files.append(path / f"{name}.{format}")
            images.save(self.picture(place), files[-1], self.picture_spec(place))
        return files

    def sheet(self, columns: int | None = None) -> Image.Image:
        """Return all pictures in one image, with their names and scores."""
        captions = [
            f"{name}  {score:.4g}" + ("  (dead unit)" if stuck else "")
            for name, score, stuck in zip(
                self.names, self.scores, self.stuck, strict=True
            )
        ]
        return images.sheet(list(self.images), captions, columns)

    def plot(
        self, *, columns: int | None = None, size: float = 2.2, history: bool = False
    ) -> "Figure":
        """Draw the pictures with their names and scores as a figure of Matplotlib.

        The figure is not one of `pyplot`: nothing is shown, and no global style or
        backend is changed or left behind. A notebook shows it as the value of a cell;
        elsewhere, `figure.savefig("units.png")` writes it to a file.

        Args:
            columns: The number of columns; by default the grid is about square.
            size: The width of a picture, in inches.
            history: Whether the scores before each step are drawn below the pictures.
                They are those of the transformed images, so they jump, and the last
                ones are usually below the scores in the titles.

        Raises:
            RuntimeError: If Matplotlib is not installed.

        >>> import tfviz
        >>> model = tfviz.load_model("squeezenet")
        >>> small = tfviz.params.fourier(64, 64)
        >>> result = tfviz.render(model, "fire5:3-5", small, steps=4)
        >>> [axes.get_title() for axes in result.plot(columns=3).axes][0].split()[0]
        'fire5:3'
        """
        import_optional("matplotlib", "result.plot()")
        from tfviz.optimize.figures import draw_result  # noqa: PLC0415

        return draw_result(self, columns=columns, size=size, history=history)

    def to_dataframe(self, *, history: bool = False) -> "pd.DataFrame":
        """Return a table of Pandas with one row for each picture.

        Its columns are `unit`, `repeat` (the number of the picture among those of equal
        units), `seed`, `score`, `unit_score`, `dead`, `steps` (those that were taken),
        `stopped`, `height` and `width`; further `drawn` and `start_score` where several
        starts were drawn, and the param's diagnostics.

        Args:
            history: Whether to return a row for each picture and step instead, with the
                columns `unit`, `repeat`, `step` and `score`: the score of the
                transformed image before that step. Steps that a picture did not need
                have no row.

        Raises:
            RuntimeError: If Pandas is not installed.

        >>> import tfviz
        >>> model = tfviz.load_model("squeezenet")
        >>> small = tfviz.params.fourier(64, 64)
        >>> result = tfviz.render(model, "fire5:3-5", small, steps=4)
        >>> result.to_dataframe()["unit"].tolist()
        ['fire5:3', 'fire5:4', 'fire5:5']
        >>> len(result.to_dataframe(history=True))
        12
        """
        pandas = import_optional("pandas", "result.to_dataframe()")
        repeats = [picture["repeat"] for picture in self.spec["pictures"]]
        if history:
            step, place = np.nonzero(np.isfinite(self.history).T)[::-1]
            rows = {
                "unit": [self.names[i] for i in place],
                "repeat": [repeats[i] for i in place],
                "step": step,
                "score": self.history[step, place],
            }
            return pandas.DataFrame(rows)
        columns: dict[str, Any] = {
            "unit": list(self.names),
            "repeat": repeats,
            "seed": self.spec["seed"],
            "score": self.scores,
            "unit_score": self.unit_scores,
            "dead": self.stuck,
            "steps": self.steps,
            "stopped": list(self.stopped),
            "height": self.images.shape[1],
            "width": self.images.shape[2],
        }
        if self.drawn is not None:
            columns |= {"drawn": self.drawn, "start_score": self.start_scores}
        return pandas.DataFrame(columns | self.diagnostics)

    def _repr_html_(self) -> str:
        """Show the pictures in a notebook."""
        figures = []
        for place, (name, score) in enumerate(
            zip(self.names, self.scores, strict=True)
        ):
            file = io.BytesIO()
            self.picture(place).save(file, "PNG")
            data = base64.b64encode(file.getvalue()).decode()
            figures.append(
                '<figure style="display:inline-block;margin:4px">'
                f'<img src="data:image/png;base64,{data}" alt="{html.escape(name)}">'
                f"<figcaption>{html.escape(name)} &middot; {score:.4g}</figcaption>"
                "</figure>"
            )
        return "".join(figures)
