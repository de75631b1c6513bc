"""See what the units of a Keras model look for.

Images hold RGB or other channels in [0, 1] and are shaped
`(n, height, width, channels)`; sizes are always given as height, width.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from tfviz import _environment

__version__ = "0.1.0"

__all__ = [
    "Adapter",
    "Animation",
    "Comparison",
    "Contender",
    "Progress",
    "Result",
    "adapt",
    "check_range",
    "compare",
    "directions",
    "diverse",
    "dream",
    "images",
    "judges",
    "levels",
    "load_model",
    "measures",
    "objectives",
    "params",
    "preprocessing",
    "render",
    "statistics",
    "stops",
    "top_units",
    "transforms",
    "views",
]

_environment.prefer_onednn()

if TYPE_CHECKING:
    from tfviz import (
        directions,
        images,
        judges,
        levels,
        measures,
        objectives,
        params,
        preprocessing,
        statistics,
        stops,
        transforms,
        views,
    )
    from tfviz._adapter import Adapter, adapt
    from tfviz._animation import Animation
    from tfviz._batch import Progress
    from tfviz._compare import compare
    from tfviz._comparison import Comparison
    from tfviz._contender import Contender
    from tfviz._diverse import diverse
    from tfviz._dream import dream
    from tfviz._models import load_model
    from tfviz._range_check import check_range
    from tfviz._render import render
    from tfviz._result import Result
    from tfviz._top import top_units
else:
    # TensorFlow takes seconds to import; `tfviz --help` must not wait for it.
    _HOME = {
        "Adapter": "_adapter",
        "Animation": "_animation",
        "Comparison": "_comparison",
        "Contender": "_contender",
        "Progress": "_batch",
        "Result": "_result",
        "adapt": "_adapter",
        "diverse": "_diverse",
        "dream": "_dream",
        "check_range": "_range_check",
        "compare": "_compare",
        "load_model": "_models",
        "render": "_render",
        "top_units": "_top",
    }

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module 'tfviz' has no attribute {name!r}")
        if name not in ("images", "measures", "statistics"):  # without TensorFlow
            _environment.require_tensorflow_backend()
        if name in _HOME:
            return getattr(import_module(f"tfviz.{_HOME[name]}"), name)
        return import_module(f"tfviz.{name}")

    def __dir__():
        return sorted({*globals(), *__all__})
