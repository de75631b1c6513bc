"""Feature visualization for Keras models: see what their units respond to.

Images have the shape `(n, height, width, channels)`, with RGB or other channels in
[0, 1]. Sizes are always in the order height, width.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from tfviz import _environment
from tfviz._version import __version__ as __version__

__all__ = [
    "Adapter",
    "Animation",
    "Comparison",
    "Contender",
    "DatasetExamples",
    "Progress",
    "Result",
    "adapt",
    "atlas",
    "build_atlas",
    "callbacks",
    "check_range",
    "compare",
    "dataset_examples",
    "directions",
    "diverse",
    "dream",
    "images",
    "judges",
    "levels",
    "load_examples",
    "load_model",
    "measures",
    "objectives",
    "params",
    "preprocessing",
    "priors",
    "render",
    "render_again",
    "statistics",
    "stops",
    "top_units",
    "transforms",
    "views",
]

_environment.prefer_onednn()

if TYPE_CHECKING:
    from tfviz import (
        callbacks,
        directions,
        images,
        judges,
        levels,
        measures,
        objectives,
        params,
        preprocessing,
        priors,
        statistics,
        stops,
        transforms,
        views,
    )
    from tfviz.analysis.dataset_examples import dataset_examples
    from tfviz.analysis.examples_file import DatasetExamples, load_examples
    from tfviz.analysis.input_range import check_range
    from tfviz.analysis.top_units import top_units
    from tfviz.comparison.compare import compare
    from tfviz.comparison.methods import Contender
    from tfviz.comparison.results import Comparison
    from tfviz.models.adapter import Adapter, adapt
    from tfviz.models.load import load_model
    from tfviz.optimize.animation import Animation
    from tfviz.optimize.batch import Progress
    from tfviz.optimize.diverse import diverse
    from tfviz.optimize.dream import dream
    from tfviz.optimize.render import render
    from tfviz.optimize.result import Result
    from tfviz.priors._again import render_again
    from tfviz.runs.atlas import atlas
    from tfviz.site.build import build_atlas
else:
    # Modules are imported on first use: TensorFlow takes seconds to import, and
    # `tfviz --help` must not wait for it.
    _MODULES = {
        "Adapter": "models.adapter",
        "Animation": "optimize.animation",
        "Comparison": "comparison.results",
        "Contender": "comparison.methods",
        "DatasetExamples": "analysis.examples_file",
        "Progress": "optimize.batch",
        "Result": "optimize.result",
        "adapt": "models.adapter",
        "atlas": "runs.atlas",
        "build_atlas": "site.build",
        "diverse": "optimize.diverse",
        "dream": "optimize.dream",
        "check_range": "analysis.input_range",
        "compare": "comparison.compare",
        "dataset_examples": "analysis.dataset_examples",
        "load_examples": "analysis.examples_file",
        "load_model": "models.load",
        "render": "optimize.render",
        "render_again": "priors._again",
        "top_units": "analysis.top_units",
    }

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module 'tfviz' has no attribute {name!r}")
        # These need no TensorFlow.
        if name not in ("build_atlas", "images", "measures", "statistics"):
            _environment.require_tensorflow_backend()
        if name in _MODULES:
            return getattr(import_module(f"tfviz.{_MODULES[name]}"), name)
        return import_module(f"tfviz.{name}")

    def __dir__():
        return sorted({*globals(), *__all__})
