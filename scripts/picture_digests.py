"""Print a digest of small pictures of every kind, to show that a change keeps them.

Run it before and after a change that should not affect any picture, on the same
machine, and compare the output:

    python scripts/picture_digests.py > before.txt
    python scripts/picture_digests.py | diff before.txt -

Each line names a case and gives the digests of its pixels, of its scores, and of its
description as JSON. Other machines, and other versions of TensorFlow, have other
digests: what is compared is a commit with the one before it.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tfviz  # first, so that it can choose TensorFlow's convolutions
import keras
import numpy as np
import tensorflow as tf
from click.testing import CliRunner
from tfviz import objectives, params, priors, stops, transforms
from tfviz.cli.main import main as command_line

SIZE = 64
STEPS = 20


def digest(*parts: bytes) -> str:
    """Return a short digest of some bytes."""
    return hashlib.blake2b(b"\0".join(parts), digest_size=8).hexdigest()


def of_arrays(*arrays: Any) -> str:
    """Return a digest of arrays; None counts as an empty one."""
    return digest(*(np.ascontiguousarray(a).tobytes() for a in arrays if a is not None))


def of_json(value: Any) -> str:
    """Return a digest of JSON values."""
    return digest(json.dumps(value, sort_keys=True).encode())


def of_result(result: Any) -> tuple[str, str, str]:
    """Return the digests of a result: its pixels, its scores, its description."""
    specs = [result.picture_spec(place) for place in range(len(result))]
    diagnostics = [result.diagnostics[name] for name in sorted(result.diagnostics)]
    return (
        of_arrays(result.images, result.alpha),
        of_arrays(
            result.scores,
            result.unit_scores,
            result.history,
            result.steps,
            result.stuck,
            result.distances,
            result.restart,
            result.start_scores,
            result.drawn,
            *diagnostics,
        ),
        of_json([result.spec, specs, result.stopped, result.names]),
    )


def conditional_prior() -> Any:
    """Return a small seeded generator whose second input is a class."""
    keras.utils.set_random_seed(3)
    noise, label = keras.Input((16,), name="noise"), keras.Input((5,), name="label")
    x = keras.layers.Concatenate()([noise, label])
    x = keras.layers.Dense(8 * 8 * 8, activation="relu")(x)
    x = keras.layers.Reshape((8, 8, 8))(x)
    for _ in range(3):
        x = keras.layers.Conv2DTranspose(8, 4, 2, "same", activation="relu")(x)
    x = keras.layers.Conv2D(3, 3, padding="same", activation="tanh")(x)
    generator = keras.Model([noise, label], x)
    return priors.gan(generator, value_range=(-1, 1), latents={"label": 2})


def photos(count: int) -> np.ndarray:
    """Return seeded pictures, smooth enough to differ in their features."""
    random = np.random.default_rng(1)
    return random.random((count, 8, 8, 3)).repeat(8, 1).repeat(8, 2)


def of_comparison(adapter: Any) -> tuple[str, str, str]:
    """Return the digests of a comparison: its pictures, its rows, all else."""
    with tempfile.TemporaryDirectory() as folder:
        tfviz.compare(
            adapter,
            ["fire5:3", "logit:goldfish"],
            {
                "fourier": params.fourier(SIZE, SIZE),
                "autoencoder": priors.load("autoencoder", size=SIZE),
                "still": tfviz.Contender(
                    params.fourier(SIZE, SIZE),
                    transforms=transforms.none(),
                    kind="ablation",
                    of="fourier",
                ),
            },
            images=photos(24),
            steps=4,
            seeds=2,
            folder=folder,
        )
        files = sorted(Path(folder).rglob("*.png"))
        names = [file.relative_to(folder).as_posix() for file in files]
        pictures = digest(*(tfviz.images.read(file).tobytes() for file in files))
        results = json.loads((Path(folder) / "results.json").read_text())
    rows = [
        {k: v for k, v in row.items() if k != "seconds"} for row in results.pop("rows")
    ]
    return pictures, of_json([rows, names]), of_json(results | {"table": len(rows)})


def of_commands() -> tuple[str, str, str]:
    """Return the digests of pictures by the command line, made and made again."""
    with tempfile.TemporaryDirectory() as folder:
        made = ["render", "fire5:3", "neg:fire3:2", "-o", folder, "--size", str(SIZE)]
        made += ["--steps", "8", "--penalty", "total_variation=0.1", "--diverse", "2"]
        made += ["--diversity", "2", "--diversity-layer", "fire5", "--plateau"]
        first = Path(folder) / "fire5-3.png"
        again = ["render", "--from", str(first), "-o", f"{folder}/again"]
        for arguments in (made, again):
            outcome = CliRunner().invoke(command_line, arguments)
            if outcome.exit_code:
                raise SystemExit(outcome.output)
        files = sorted(Path(folder).rglob("*.png"))
        pictures = [tfviz.images.read(file).tobytes() for file in files]
        specs = [tfviz.images.read_spec(file) for file in files]
        names = [file.relative_to(folder).as_posix() for file in files]
    return digest(*pictures), of_json(names), of_json(specs)


def cases() -> dict[str, Callable[[], tuple[str, str, str]]]:
    """Return what is rendered, by the name of each case."""
    adapter = tfviz.adapt(tfviz.load_model("squeezenet"))

    def rendered(objective: Any, param: Any = None, *others: Any, **options: Any):
        param = params.fourier(SIZE, SIZE) if param is None else param
        options = {"steps": STEPS, **options}
        return lambda: of_result(
            tfviz.render(adapter, objective, param, *others, **options)
        )

    goldfish = objectives.logit("goldfish")
    return {
        "fourier": rendered(["fire5:3-4", "logit:goldfish", "prob:2"]),
        "other units": rendered(
            [
                "fire5:3@2,3",
                "fire5:random:7",
                "fire4",
                "neg:fire4:5",
                "fire3:pre:2",
                goldfish - 0.5 * objectives.channel("fire7", 1),
            ]
        ),
        "odd size": rendered("fire3:2", params.fourier(61, 75), batch_size=3),
        "pixels": rendered(
            "fire5:3",
            params.pixels(SIZE, SIZE),
            transforms.gentle(),
            optimizer=keras.optimizers.SGD(5.0),
            gradient_blur=1.0,
            normalize_gradient=True,
        ),
        "laplacian": rendered(
            "fire5:3", params.laplacian(SIZE, SIZE), transforms.lucid()
        ),
        "cppn": rendered("fire5:3", params.cppn(SIZE, SIZE), transforms.none()),
        "maco, alpha": rendered("fire5:3", params.maco(SIZE, SIZE), alpha=True),
        "dead units": rendered("fire9:0-15", steps=32),
        "diversity": lambda: of_result(
            tfviz.diverse(
                adapter,
                "fire5:3",
                n=3,
                weight=2.0,
                param=params.fourier(SIZE, SIZE),
                steps=STEPS,
            )
        ),
        "candidates, restarts": rendered(
            ["fire9:1", "fire5:4"], None, None, candidates=3, restarts=2
        ),
        "stop rules": rendered(
            ["fire5:3-4", "fire3:2"],
            stop=[stops.plateau(), stops.target(150.0)],
            steps=96,
        ),
        "normalized, pools": rendered(
            "fire5:3", optimizer="normalized", smooth_pools=True, learning_rate=0.1
        ),
        "penalties": rendered(
            objectives.channel("fire9", [1, 2]) - 0.1 * objectives.total_variation()
        ),
        "start": rendered(["fire5:3", "fire5:4"], start=photos(2).astype(np.float32)),
        "inverter": rendered(["fire5:3", "logit:lion"], priors.load("inverter")),
        "autoencoder": rendered(
            ["fire5:3", "logit:lion"], priors.load("autoencoder", size=SIZE)
        ),
        "conditional prior": rendered("fire5:3", conditional_prior()),
        "dream": lambda: of_result(
            tfviz.dream(adapter, photos(1)[0], "fire3", octaves=2, steps=4, seed=1)
        ),
        "comparison": lambda: of_comparison(adapter),
        "command line": of_commands,
    }


def main() -> None:
    """Render all cases, or those that are named, and print their digests."""
    # Several threads add up numbers in an order of their own on a busy machine.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for name, run in cases().items():
        if not sys.argv[1:] or name in sys.argv[1:]:
            print(f"{name:22}", *run(), flush=True)


if __name__ == "__main__":
    main()
