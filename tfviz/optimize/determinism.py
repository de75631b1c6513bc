"""Let TensorFlow use only operations that give the same bytes each time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

# There is a public way to turn the setting on, but none to ask for it or turn it off.
from tensorflow.python.framework import config

from tfviz._errors import argument, reason_of

_lock = threading.Lock()
# How many threads need the setting now, and whether the user had turned it on before.
_users = 0
_was_on = False


@contextmanager
def deterministic_operations(wanted: bool = True) -> Iterator[None]:
    """Turn on TensorFlow's op determinism, and restore the user's setting at the end.

    On graphics cards, some operations add numbers in an order that changes from run to
    run, and convolutions use the algorithm that was the fastest in a trial. The setting
    is that of the whole process, and matters while functions are traced, while they are
    compiled, and while they run.

    Args:
        wanted: Whether to do so; otherwise nothing changes.

    Raises:
        ValueError: If an operation has no deterministic implementation.

    >>> with deterministic_operations():
    ...     total = tf.reduce_sum(tf.constant([1.0, 2.0]))
    """
    if not wanted:
        yield
        return
    _enter()
    try:
        yield
    except (RuntimeError, tf.errors.OpError) as error:
        if "determinis" not in str(error).lower():
            raise
        raise ValueError(
            f"{argument('deterministic')} allows only operations that give the same "
            "bytes each time, and the network or the objective contains one that "
            f"cannot do so here: {reason_of(error)} Leave it out; then the pictures "
            "may differ a little from run to run."
        ) from error
    finally:
        _leave()


def _enter() -> None:
    global _users, _was_on  # noqa: PLW0603 (the setting is one of the process)
    with _lock:
        if not _users:
            _was_on = config.is_op_determinism_enabled()
            tf.config.experimental.enable_op_determinism()
        _users += 1


def _leave() -> None:
    global _users  # noqa: PLW0603
    with _lock:
        _users -= 1
        if not _users and not _was_on:
            config.disable_op_determinism()
