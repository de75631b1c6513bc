"""Measure how much longer a pass for dataset examples takes than the network alone.

Both read and decode the same photos in the same way, and run the same network:

    python benchmarks/examples.py photos
    python benchmarks/examples.py photos --layers 'fire*' --model efficientnet-lite0

The bare pass only computes the activations of the layers. Both are timed from the end
of the first batch to that of the last one. What does not depend on the number of photos
is printed by itself: the start (tracing, the receptive fields), and the end (the
correlations of units). On a busy machine, the ratio of processor time tells more.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import tfviz  # first, so that it can choose TensorFlow's convolutions
import numpy as np
import tensorflow as tf
from tfviz.analysis.photo_stream import Folder

BATCH = 16


def main() -> None:
    """Time both passes in turn, and print their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="squeezenet")
    parser.add_argument("--layers", action="append")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    adapter = tfviz.adapt(tfviz.load_model(options.model))
    photo = options.folder / Folder(adapter, options.folder).files[0]
    paths = list(tfviz.dataset_examples(adapter, [photo], options.layers).layers)
    for _ in range(options.repeats):
        start, full, end = time_examples(adapter, options.folder, options.layers)
        bare = time_forward(adapter, options.folder, paths)
        print(
            f"start {start[0]:.1f} s, pass {full[0]:.1f} s, end {end[0]:.1f} s; bare "
            f"pass {bare[0]:.1f} s; ratio {full[0] / bare[0]:.2f}, of processor time "
            f"{full[1] / bare[1]:.2f}",
            flush=True,
        )


def now() -> np.ndarray:
    """Return the time, and the processor time of all threads, in seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def time_examples(
    adapter: Any, folder: Path, layers: list[str] | None
) -> list[np.ndarray]:
    """Return the times to the first batch, from there to the last, and to the end."""
    times = [now()]

    def note(done: int, total: int | None) -> None:
        times.append(now())

    tfviz.dataset_examples(adapter, folder, layers, batch_size=BATCH, progress=note)
    return [times[1] - times[0], times[-1] - times[1], now() - times[-1]]


def time_forward(adapter: Any, folder: Path, paths: list[str]) -> np.ndarray:
    """Return the times that the activations of the same photos take."""
    forward = tf.function(lambda x: adapter.forward(x, paths), autograph=False)
    times = []
    for batch in Folder(adapter, folder).stream(BATCH):
        forward(tf.constant(batch.pictures))
        times.append(now())
    return times[-1] - times[0]


if __name__ == "__main__":
    main()
