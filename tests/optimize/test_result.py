import sys

import numpy as np
import pandas as pd
import pytest

import tfviz
from tfviz import params, stops, transforms
from tfviz.optimize.result import Result


@pytest.fixture(scope="module")
def result(toy_adapter):
    """Two channels, one of them twice, of which one ends early."""
    return tfviz.render(
        toy_adapter,
        ["conv_b:0", "conv_b:1", "conv_b:0"],
        params.fourier(24, 32),
        transforms.none(),
        steps=4,
        seed=3,
        candidates=2,
        stop=stops.Stop(lambda state: np.arange(2) == 1, {"name": "odd"}, every=2),
        batch_size=2,
    )


def test_the_table_has_a_row_for_each_picture(result):
    table = result.to_dataframe()

    assert table["unit"].tolist() == ["conv_b:0", "conv_b:1", "conv_b:0"]
    assert table["repeat"].tolist() == [0, 0, 1]
    assert set(table["seed"]) == {3}
    assert (table["height"] == 24).all()
    assert (table["width"] == 32).all()
    for column, values in {
        "score": result.scores,
        "unit_score": result.unit_scores,
        "dead": result.stuck,
        "steps": result.steps,
        "drawn": result.drawn,
        "start_score": result.start_scores,
    }.items():
        np.testing.assert_array_equal(table[column], values)
    assert table["stopped"].fillna("").tolist() == ["", "odd", ""]
    assert table["steps"].tolist() == [4, 2, 4]


def test_the_table_of_the_history_has_a_row_for_each_step_taken(result):
    table = result.to_dataframe(history=True)

    assert len(table) == result.steps.sum()
    for place, (unit, repeat) in enumerate(
        [("conv_b:0", 0), ("conv_b:1", 0), ("conv_b:0", 1)]
    ):
        own = table[(table["unit"] == unit) & (table["repeat"] == repeat)]
        taken = result.steps[place]
        assert own["step"].tolist() == list(range(taken))
        np.testing.assert_array_equal(own["score"], result.history[:taken, place])


def test_the_figure_shows_each_picture_with_its_name_and_score(result):
    figure = result.plot(columns=2)

    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [
        f"{name}\n{score:.4g}"
        for name, score in zip(result.names, result.scores, strict=True)
    ]
    for axes, image in zip(figure.axes, result.images):
        shown = axes.images[0].get_array() / np.float32(255)
        np.testing.assert_allclose(shown, image, atol=1e-6)
    assert figure._repr_png_().startswith(b"\x89PNG")
    for axes in figure.axes:  # nothing of a title is cut off
        assert axes.title.get_window_extent().y1 <= figure.bbox.height
    assert "matplotlib.pyplot" not in sys.modules or not (
        sys.modules["matplotlib.pyplot"].get_fignums()
    )


def test_the_figure_can_show_the_history(result):
    *pictures, curves = result.plot(history=True).axes

    assert len(pictures) == 3
    assert curves.get_xlabel() == "step"
    for line, scores in zip(curves.lines, result.history.T):
        np.testing.assert_array_equal(line.get_ydata(), scores)


def made_up(channels, name="a$b$:1"):
    """A result of one dead unit, which no network made."""
    return Result(
        images=np.full((1, 4, 6, channels), 0.2, np.float32),
        scores=np.float32([1.5]),
        unit_scores=np.float32([1.5]),
        history=np.float32([[1.0], [np.nan]]),
        steps=np.int32([1]),
        stopped=("plateau",),
        stuck=np.array([True]),
        names=(name,),
        spec={"seed": 0, "pictures": [{"repeat": 0}]},
        diagnostics={"clip_rate": np.float32([0.25])},
    )


@pytest.mark.parametrize(("channels", "shape"), [(1, (4, 6)), (2, (4, 12))])
def test_other_channels_dead_units_and_diagnostics(channels, shape):
    result = made_up(channels)
    figure = result.plot(history=True)

    assert figure.axes[0].images[0].get_array().shape == shape
    assert figure.axes[0].get_title() == "a$b$:1\n1.5  (dead unit)"
    assert figure._repr_png_()  # dollar signs are no formulas
    table = result.to_dataframe()
    assert table[["dead", "stopped", "clip_rate"]].values.tolist() == [
        [True, "plateau", 0.25]
    ]


@pytest.mark.parametrize(
    ("call", "package"),
    [
        (lambda result: result.plot(), "matplotlib"),
        (lambda result: result.to_dataframe(), "pandas"),
    ],
)
def test_a_missing_package_is_named(call, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    message = f"needs {package}, which is not installed. Install it: pip install "
    with pytest.raises(RuntimeError, match=message + package):
        call(made_up(3))


def test_a_comparison_is_a_table_as_well(tmp_path):
    rows = [{"unit": "a", "score": 1.0}, {"unit": "b", "score": None}]
    table = tfviz.Comparison(tmp_path, {"rows": rows}).to_dataframe()

    pd.testing.assert_frame_equal(table, pd.DataFrame(rows))
