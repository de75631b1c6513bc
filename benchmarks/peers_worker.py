"""A process of `peers.py`: one library that makes pictures when it is told to.

It needs no arguments but those that `peers.py` gives it. It makes a first picture, and
then one more for each line of its input. After each it prints a line of JSON that
starts with `ANSWER`.

The seconds of a step are those between the first timed step and the last. Steps before
them are not counted: the first ones trace and optimize the graph, and Xplique traces
anew in each run. tfviz tells the time after every 16 steps, and may need more for the
first 16, in which it looks for dead units; the time to the first picture contains them.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import machine

# Of the process, measured by the one that started it.
STARTED = float(os.environ.get("PEERS_STARTED", time.time()))
ANSWER = "@answer "
# Steps of a run that are not timed.
UNTIMED = {"tfviz": 16, "xplique": 2, "tf-keras-vis": 2}
_SEEDS = 7

# Makes a picture in so many steps, and returns the times after its steps as pairs of
# the number of steps and seconds.
Runner = Callable[[int], list[tuple[int, float]]]


def main() -> None:
    """Make pictures, and answer how long they took."""
    options = arguments()
    if options.save:
        save_network(options.network, options.layer, options.size)
        return
    runner = RUNNERS[options.library](options)
    steps = options.steps
    times = runner(steps)
    answer(
        first_picture=time.time() - STARTED,
        first_times=times[0],
        onednn=onednn_is_on(),
        versions=machine.versions(),
    )
    untimed = UNTIMED[options.library]
    for _ in sys.stdin:
        times = runner(untimed + steps)
        begin, end = dict(times)[untimed], dict(times)[untimed + steps]
        answer(seconds=(end - begin) / steps)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", choices=sorted(RUNNERS))
    parser.add_argument("--network", required=True, help="a .keras file")
    parser.add_argument("--layer", required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="without transforms")
    parser.add_argument("--param", default="fourier", help="of tfviz")
    parser.add_argument("--save", action="store_true", help="write the network only")
    return parser.parse_args()


def answer(**facts: Any) -> None:
    """Print a line for the process that started this one."""
    print(ANSWER + json.dumps(facts | {"megabytes": machine.peak_memory()}), flush=True)


def save_network(path: str, layer: str, size: int) -> None:
    """Write SqueezeNet up to a layer, for inputs of one size, with its weights."""
    import tfviz  # noqa: PLC0415
    import keras  # noqa: PLC0415

    whole = tfviz.load_model("squeezenet")
    part = keras.Model(whole.input, whole.get_layer(layer).output)
    inputs = keras.Input((size, size, 3))
    fixed = keras.models.clone_model(part, input_tensors=inputs)
    fixed.set_weights(part.get_weights())
    fixed.save(path)


def tfviz_runner(options: argparse.Namespace) -> Runner:
    """Return what makes pictures with tfviz."""
    import tfviz  # noqa: PLC0415

    adapter = tfviz.adapt(tfviz.load_model(options.network))
    param = getattr(tfviz.params, options.param)(options.size, options.size)
    transforms = tfviz.transforms.none() if options.plain else None
    units = f"{options.layer}:0-{options.batch - 1}"

    def run(steps: int) -> list[tuple[int, float]]:
        times = []

        def note(progress: Any) -> None:
            times.append((progress.step, time.perf_counter()))

        tfviz.render(
            adapter,
            units,
            param,
            transforms,
            steps=steps,
            batch_size=options.batch,
            callbacks=[note],
        )
        return times

    return run


def xplique_runner(options: argparse.Namespace) -> Runner:
    """Return what makes pictures with Xplique."""
    import keras  # noqa: PLC0415
    from xplique.features_visualizations import Objective, optimize  # noqa: PLC0415

    model = keras.models.load_model(options.network)
    objective = Objective.channel(model, options.layer, list(range(options.batch)))

    class Noting(keras.optimizers.Adam):
        """Adam that notes the time after each step."""

        def __init__(self, rate: float) -> None:
            super().__init__(rate)
            self.times: list[tuple[int, float]] = []

        def apply_gradients(self, *args: Any, **kwargs: Any) -> Any:
            result = super().apply_gradients(*args, **kwargs)
            self.times.append((len(self.times) + 1, time.perf_counter()))
            return result

    def run(steps: int) -> list[tuple[int, float]]:
        adam = Noting(0.05)  # the library's default
        transforms = {"transformations": None} if options.plain else {}
        optimize(
            objective,
            adam,
            nb_steps=steps,
            values_range=(0, 255),
            custom_shape=(options.size, options.size),
            **transforms,
        )
        return adam.times

    return run


def keras_vis_runner(options: argparse.Namespace) -> Runner:
    """Return what makes pictures with tf-keras-vis."""
    import keras  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415
    from tf_keras_vis.activation_maximization import (  # noqa: PLC0415
        ActivationMaximization,
    )
    from tf_keras_vis.activation_maximization.callbacks import (  # noqa: PLC0415
        Callback,
    )
    from tf_keras_vis.utils.scores import CategoricalScore  # noqa: PLC0415

    maximization = ActivationMaximization(keras.models.load_model(options.network))
    score = CategoricalScore(list(range(options.batch)))
    rng = np.random.default_rng(_SEEDS)
    shape = (options.batch, options.size, options.size, 3)

    class Noting(Callback):
        """Notes the time after each step."""

        def __init__(self) -> None:
            self.times: list[tuple[int, float]] = []

        def __call__(self, step: int, *_args: Any, **_kwargs: Any) -> None:
            self.times.append((step + 1, time.perf_counter()))

    def run(steps: int) -> list[tuple[int, float]]:
        noting = Noting()
        plain = {"input_modifiers": [], "regularizers": []} if options.plain else {}
        # The start that the library draws, for several images.
        start = rng.uniform(0, 255, shape).astype(np.float32)
        maximization(score, start, steps=steps, callbacks=[noting], **plain)
        return noting.times

    return run


def onednn_is_on() -> bool:
    """Return whether TensorFlow computes with oneDNN in this process."""
    from tensorflow.python.util import _pywrap_util_port  # noqa: PLC0415

    return bool(_pywrap_util_port.IsMklEnabled())


RUNNERS = {
    "tfviz": tfviz_runner,
    "xplique": xplique_runner,
    "tf-keras-vis": keras_vis_runner,
}

if __name__ == "__main__":
    main()
