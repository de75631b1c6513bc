"""The options of an optimization: names, defaults, and their form in a picture's file.

The command line reads names and defaults from here before anything heavy is loaded, so
this module imports neither TensorFlow nor NumPy; functions import what they need.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tfviz._errors import argument

if TYPE_CHECKING:
    import keras

    from tfviz.params import Param
    from tfviz.stops import Stop

# The params, the transform presets and the penalties that can be chosen by name.
PARAMS = ("fourier", "pixels", "maco", "laplacian", "cppn")
TRANSFORMS = ("distill", "gentle", "lucid", "maco", "none")
PENALTIES = ("total_variation", "l1", "l2", "high_frequency", "blur_difference")
# The optimizers of Keras by their names there; Adam is our own faster form of it.
ADAM = "adam"
OPTIMIZERS = (ADAM, "sgd", "rmsprop", "nadam", "adamw", "adamax", "adagrad", "lion")
# Steps of equal size, as in DGN-AM (https://arxiv.org/abs/1605.09304).
NORMALIZED = "normalized"
# What the decoder of a learned prior can compute with, beside its own 32 bits.
PRECISIONS = ("bfloat16", "float16")

STEPS = 128
# The number of pictures that are optimized at once, unless another is asked for.
LARGEST_BATCH = 8
# As many pictures at once as the memory of the device allows.
AUTO = "auto"
# For params that do not bring a learning rate or a momentum of their own. With these,
# 128 steps lead as far as 256 do with Lucid's 0.05 and the usual momentum of 0.9: the
# transforms differ from step to step, and a long mean of gradients lags behind.
# `benchmarks/quality.py` compares them.
LEARNING_RATE = 0.1
MOMENTUM = 0.5


@dataclass(frozen=True)
class Diversity:
    """Several pictures of each unit that differ from each other.

    Attributes:
        n: The number of pictures of each unit.
        weight: The weight of the difference against the unit's own score.
        layer: The layer in which pictures are compared; None for the unit's own.
        tried: The weights that a search tried, if there was one.
    """

    n: int
    weight: float
    layer: str | None = None
    tried: Sequence[Any] | None = None

    def spec(self) -> dict[str, Any]:
        """Return the description as JSON values."""
        spec = {"n": self.n, "weight": self.weight, "layer": self.layer}
        return spec if self.tried is None else spec | {"tried": self.tried}


@dataclass(frozen=True)
class Options:
    """How pictures are optimized, apart from the model, the units and the param.

    Attributes:
        steps: The number of gradient steps.
        learning_rate: The learning rate; None for the param's own, or 0.1.
        momentum: The share of its mean gradient that Adam keeps at each step; None for
            the param's own, or 0.5.
        optimizer: A Keras optimizer, `normalized`, or None for Adam.
        gradient_blur: The standard deviation, in pixels, of a blur of the gradient in
            the image; 0 for none.
        normalize_gradient: Whether the gradient in each image is scaled to a root mean
            square of 1.
        smooth_pools: Whether max-pools share their gradient within a window.
        alpha: Whether to record where in the image the gradient was.
        deterministic: Whether TensorFlow uses only operations that give the same bytes
            each time.
        batch_size: The number of pictures that are optimized at once; None for up to
            `largest_batch`, `auto` for as many as the memory of the device allows.
        largest_batch: The largest number of pictures at once where none is asked for.
        xla: Whether XLA compiles the step; None for the faster way on a GPU, and for no
            XLA on a CPU.
        seed: The random seed.
        candidates: The number of starts that are drawn for each picture; None for the
            param's own, or 1.
        restarts: The number of attempts at each picture, of which the best is kept.
        stop: Rules that end the work on a picture early.
        penalties: Weights of penalties that are subtracted from the score, by name.
        diversity: Makes several different pictures of each unit; None for one each.
    """

    steps: int = STEPS
    learning_rate: float | None = None
    momentum: float | None = None
    optimizer: "keras.optimizers.Optimizer | str | None" = None
    gradient_blur: float = 0.0
    normalize_gradient: bool = False
    smooth_pools: bool = False
    alpha: bool = False
    deterministic: bool = False
    batch_size: int | str | None = None
    largest_batch: int = LARGEST_BATCH
    xla: bool | None = None
    seed: int = 0
    candidates: int | None = None
    restarts: int = 1
    stop: "Sequence[Stop]" = ()
    penalties: Mapping[str, float] = field(default_factory=dict)
    diversity: Diversity | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: If a value is out of its range.
        """
        counts = {"steps": self.steps, "restarts": self.restarts}
        counts["largest_batch"] = self.largest_batch
        check_numbers(self.learning_rate, self.batch_size, **counts)
        if self.candidates is not None:
            check_numbers(candidates=self.candidates)
        if self.momentum is not None and not 0 <= self.momentum < 1:
            raise ValueError(
                "`momentum` must be at least 0 and below 1. "
                f"Received: momentum={self.momentum}"
            )
        if isinstance(self.optimizer, str) and self.optimizer != NORMALIZED:
            raise ValueError(
                f"`optimizer` must be {NORMALIZED!r} or a Keras optimizer; None is "
                f"Adam. Received: optimizer={self.optimizer!r}"
            )

    def resolve(self, param: "Param", *, has_start: bool) -> "Options":
        """Replace each None by what the param prefers, or by the general default.

        Args:
            param: The param whose latents are optimized.
            has_start: Whether the pictures have a given start, so that none is drawn.

        Raises:
            ValueError: If `candidates` are asked for beside a start.
        """
        if has_start and (self.candidates or 1) > 1:
            raise ValueError(
                f"{argument('candidates')} draws starts, and {argument('start')} gives "
                "one. Leave out one of them."
            )
        rate, candidates = self.learning_rate, self.candidates
        momentum = self.momentum
        if rate is None:
            rate = param.defaults.get("learning_rate", LEARNING_RATE)
        if momentum is None:
            momentum = param.defaults.get("momentum", MOMENTUM)
        if candidates is None:
            candidates = 1 if has_start else param.defaults.get("candidates", 1)
        return replace(
            self,
            steps=int(self.steps),
            learning_rate=float(rate),
            momentum=float(momentum),
            candidates=int(candidates),
            restarts=int(self.restarts),
            seed=int(self.seed),
        )

    def spec(self) -> dict[str, Any]:
        """Return the description of resolved options as JSON values."""
        optimizer: Any = {"name": self.optimizer or ADAM}
        if not isinstance(self.optimizer, str | None):
            import keras  # noqa: PLC0415

            optimizer = keras.optimizers.serialize(self.optimizer)
        return {
            "steps": self.steps,
            "learning_rate": self.learning_rate,
            "momentum": self.momentum,
            "optimizer": optimizer,
            "gradient_blur": self.gradient_blur,
            "normalize_gradient": self.normalize_gradient,
            "alpha": self.alpha,
            "smooth_pools": self.smooth_pools,
            "deterministic": self.deterministic,
            "stop": [dict(rule.spec) for rule in self.stop],
            "batch": self.batch_size,
            "largest_batch": self.largest_batch,
            "xla": self.xla,
            "seed": self.seed,
            "candidates": self.candidates,
            "restarts": self.restarts,
            "penalties": dict(self.penalties),
            "diversity": None if self.diversity is None else self.diversity.spec(),
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "Options":
        """Return the options that a picture's description holds.

        Args:
            spec: The description; entries that are no options are ignored.

        >>> Options.from_spec(Options(steps=8, penalties={"l2": 0.5}).spec()).penalties
        {'l2': 0.5}
        """
        from tfviz import stops  # noqa: PLC0415

        optimizer: Any = None
        if spec["optimizer"] == {"name": NORMALIZED}:
            optimizer = NORMALIZED
        elif spec["optimizer"] != {"name": ADAM}:
            import keras  # noqa: PLC0415

            optimizer = keras.optimizers.deserialize(spec["optimizer"])
        diversity = spec.get("diversity")
        same = ["steps", "learning_rate", "gradient_blur", "normalize_gradient"]
        same += ["alpha", "smooth_pools", "deterministic", "seed"]
        return cls(
            **{name: spec[name] for name in same},
            optimizer=optimizer,
            momentum=spec["momentum"],
            batch_size=spec["batch"],
            largest_batch=spec["largest_batch"],
            xla=spec["xla"],
            candidates=spec.get("candidates") or 1,
            restarts=spec.get("restarts", 1),
            stop=[stops.from_spec(rule) for rule in spec["stop"]],
            penalties=spec.get("penalties") or {},
            diversity=Diversity(**diversity) if diversity else None,
        )


def make_optimizer(name: str, learning_rate: float | None = None) -> Any:
    """Return the optimizer of a name as `Options` takes it.

    Args:
        name: One of `OPTIMIZERS`, or `normalized`.
        learning_rate: The learning rate; 0.1 by default.
    """
    if name in (ADAM, NORMALIZED):
        return None if name == ADAM else name
    import keras  # noqa: PLC0415

    config = {"learning_rate": learning_rate or LEARNING_RATE}
    return keras.optimizers.get({"class_name": name, "config": config})


def check_numbers(
    learning_rate: float | None = None,
    batch_size: int | str | None = None,
    **counts: int,
) -> None:
    """Refuse numbers of steps, attempts or pictures under 1, and rates not above 0.

    Raises:
        ValueError: If one is out of its range.
    """
    from tfviz.params._base import check_positive_integers  # noqa: PLC0415

    check_positive_integers(**counts)
    if learning_rate is not None and not 0 < learning_rate < math.inf:
        raise ValueError(
            f"`learning_rate` must be above 0. Received: learning_rate={learning_rate}"
        )
    if isinstance(batch_size, str) and batch_size != AUTO:
        raise ValueError(
            f"`batch_size` must be a whole number of at least 1, {AUTO!r} or None. "
            f"Received: batch_size={batch_size!r}"
        )
    if not isinstance(batch_size, str | None):
        check_positive_integers(batch_size=batch_size)
