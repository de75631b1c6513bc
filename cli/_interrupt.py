"""Ctrl-C that lets what was begun come to its end."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click


@contextmanager
def until_interrupted(what: str) -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C end the work after the current batch; a second one at once.

    Args:
        what: What comes to its end, in a word.

    Yields:
        A function that tells whether it was pressed.
    """
    asked: list[int] = []

    def ask(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        click.echo(
            f"\nstopping after this {what}; press Ctrl-C again to lose it", err=True
        )

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)
