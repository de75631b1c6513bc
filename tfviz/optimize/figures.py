"""Figures of Matplotlib that show the pictures of a result.

Nothing here uses `pyplot`, which keeps every figure that it made, opens windows, and
has one style and backend for the whole process.
"""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from tfviz import images

if TYPE_CHECKING:
    from tfviz.optimize.result import Result

# The height of the curves of scores, in pictures.
_CURVES = 1.2
# As many curves can be told apart by their colours.
_MOST_CURVES = 10
_TITLE_POINTS = 9
# The height of a title of two lines and its margins, in inches.
_TITLE = 0.4
# With a smaller one, the first line of a title would be cut off by a pixel.
_MARGIN = 0.08


class ResultFigure(Figure):
    """A figure that notebooks show, whether or not `pyplot` was imported."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def draw_result(
    result: "Result", *, columns: int | None, size: float, history: bool
) -> Figure:
    """Return a figure of all pictures, as `Result.plot` describes it."""
    count = len(result)
    columns = min(columns or int(np.ceil(np.sqrt(count))), count)
    rows = int(np.ceil(count / columns))
    height, width = result.images.shape[1:3]
    heights = [height / width] * rows + [_CURVES] * history
    # A single picture is too narrow for curves and their names.
    wide = max(columns, 2 if history else 1)
    figure = ResultFigure(
        figsize=(wide * size, sum(heights) * size + rows * _TITLE),
        layout=ConstrainedLayoutEngine(h_pad=_MARGIN, w_pad=0.03),
    )
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    for place in range(count):
        axes = figure.add_subplot(grid[divmod(place, columns)])
        picture = images.to_pil(result.images[place])
        axes.imshow(np.asarray(picture), cmap="gray", vmin=0, vmax=255)
        axes.set_axis_off()
        title = f"{result.names[place]}\n{result.scores[place]:.4g}"
        if result.stuck[place]:
            title += "  (dead unit)"
        # A name may contain dollar signs, which are no formulas.
        axes.set_title(title, fontsize=_TITLE_POINTS, parse_math=False)
    if history:
        _draw_history(figure.add_subplot(grid[rows, :]), result)
    return figure


def _draw_history(axes: Any, result: "Result") -> None:
    """Draw how the score of each picture rose from step to step."""
    steps = np.arange(len(result.history))
    for name, scores in zip(result.names, result.history.T, strict=True):
        axes.plot(steps, scores, label=name, linewidth=1.2)
    axes.set_xlabel("step", fontsize=_TITLE_POINTS)
    axes.set_ylabel("score of the transformed image", fontsize=_TITLE_POINTS)
    axes.tick_params(labelsize=_TITLE_POINTS - 1)
    if len(result) <= _MOST_CURVES:
        legend = axes.legend(fontsize=_TITLE_POINTS - 1)
        for text in legend.get_texts():
            text.set_parse_math(False)
