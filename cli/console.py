"""Errors and warnings of the library as lines for people."""

import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, NoReturn

import click


def handled(command: Callable) -> Callable:
    """Turn the library's errors into one line and exit code 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        one_line_warnings()
        try:
            return command(*args, **kwargs)
        except (ValueError, RuntimeError, ArithmeticError) as error:
            fail(_one_line(error))
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            fail(
                f"{error.strerror or _one_line(error)}{where}. Finished pictures are "
                "kept; the same command goes on when this is mended."
            )
        except Exception as error:
            names = [kind.__name__ for kind in type(error).__mro__]
            if "MemoryError" not in names and "ResourceExhaustedError" not in names:
                raise
            fail("not enough memory. Lower --batch-size or --size.")

    return run


def one_line_warnings() -> None:
    """Print warnings as one line, and those for developers not at all."""

    def show(message: Any, category: Any, *_: Any, **__: Any) -> None:
        if issubclass(category, UserWarning):
            click.echo(f"Warning: {message}", err=True)

    warnings.showwarning = show


def fail(message: str) -> NoReturn:
    """End with one line and exit code 1."""
    raise click.ClickException(message)


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


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


def clock(seconds: float) -> str:
    """Return a time, `4:05`, or `1:04:05` from an hour on.

    >>> clock(245), clock(3845)
    ('4:05', '1:04:05')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
