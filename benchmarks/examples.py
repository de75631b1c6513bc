"""Measure how much longer a pass for dataset examples takes than the network alone.

Both read and decode the same photos in the same way, and run the same network:

    python benchmarks/examples.py photos
    python benchmarks/examples.py photos --layers 'fire*' --model efficientnet-lite0

The bare pass only computes the activations of the layers. The times begin with the
second batch; the start, which does not depend on the number of photos, is printed by
itself: tracing and the receptive fields.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import tfviz  # first, so that it can choose TensorFlow's convolutions
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
    for _ in range(options.repeats):
        start, full = time_examples(adapter, options.folder, options.layers)
        paths = list(
            tfviz.dataset_examples(
                adapter, [first_photo(adapter, options.folder)], options.layers
            ).layers
        )
        bare = time_forward(adapter, options.folder, paths)
        print(
            f"start {start:.1f} s; pass {full:.1f} s; bare pass {bare:.1f} s; ratio "
            f"{full / bare:.2f}",
            flush=True,
        )


def first_photo(adapter: Any, folder: Path) -> Path:
    """Return a photo of the folder."""
    return folder / Folder(adapter, folder).files[0]


def time_examples(
    adapter: Any, folder: Path, layers: list[str] | None
) -> tuple[float, float]:
    """Return the times until the first batch, and from there to the end."""
    times = [time.perf_counter()]

    def note(done: int, total: int | None) -> None:
        times.append(time.perf_counter())

    tfviz.dataset_examples(adapter, folder, layers, batch_size=BATCH, progress=note)
    return times[1] - times[0], time.perf_counter() - times[1]


def time_forward(adapter: Any, folder: Path, paths: list[str]) -> float:
    """Return the time that the activations of the same photos take."""
    forward = tf.function(lambda x: adapter.forward(x, paths), autograph=False)
    first = None
    for batch in Folder(adapter, folder).stream(BATCH):
        forward(tf.constant(batch.pictures))
        first = first or time.perf_counter()
    return time.perf_counter() - (first or 0.0)


if __name__ == "__main__":
    main()
