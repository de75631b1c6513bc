"""Errors, warnings, Ctrl-C, files, durations and numbers, as a terminal shows them."""

import os
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, NoReturn

import click


def report_errors(command: Callable) -> Callable:
    """Decorate a command so that errors are printed as one line, with exit code 1.

    Only errors that a user can do something about are caught: those that the library
    raises with a message, those of the file system, and a lack of memory. Others keep
    their traceback.
    """

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        print_warnings_as_lines()
        try:
            with _sigterm_as_ctrl_c():
                return command(*args, **kwargs)
        except (ValueError, RuntimeError, ArithmeticError) as error:
            fail(_first_line(error))
        except BrokenPipeError:
            # The reader of the output has ended, such as `head`. Click ends silently.
            raise
        except OSError as error:
            if error.errno is None:  # raised by tfviz, with advice of its own
                fail(_first_line(error))
            where = f" ({error.filename})" if error.filename else ""
            fail(
                f"{error.strerror or _first_line(error)}{where}. What is finished is "
                "kept; once the problem is solved, the same command goes on from there."
            )
        except Exception as error:
            names = [kind.__name__ for kind in type(error).__mro__]
            if "MemoryError" not in names and "ResourceExhaustedError" not in names:
                raise
            fail("There is not enough memory. Lower --batch-size or --size.")

    return run


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM interrupt a command like Ctrl-C, so that locks are released."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def print_warnings_as_lines() -> None:
    """Print each warning for users as one line, and no warnings for developers."""

    def show(message: Any, category: Any, *_: Any, **__: Any) -> None:
        if issubclass(category, UserWarning):
            warn(str(message))

    warnings.showwarning = show


def warn(message: str) -> None:
    """Print a warning on stderr."""
    click.echo(f"{style('Warning:', fg='yellow')} {message}", err=True)


def fail(message: str) -> NoReturn:
    """End the command with an error message and exit code 1."""
    raise Failure(message)


class Failure(click.ClickException):
    """The error of a command, whose first word is red on a terminal."""

    def show(self, file: Any = None) -> None:
        """Print the error on stderr."""
        label = style("Error:", fg="red")
        click.echo(f"{label} {self.format_message()}", file=file, err=file is None)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def defer_interrupt(portion: str) -> Iterator[Callable[[], bool]]:
    """Let the current portion of the work finish before Ctrl-C takes effect.

    SIGTERM, with which other programs end a process, is treated alike. The second of
    such signals interrupts at once.

    Args:
        portion: The name of a portion of the work, for the message: `"batch"`.

    Yields:
        A function that says whether the work is to end. The caller asks it after each
        portion, and stops.
    """
    received: list[int] = []

    def note_signal(number: int, frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        again = (
            "press Ctrl-C again" if number == signal.SIGINT else "send SIGTERM again"
        )
        click.echo(
            f"\nStopping after this {portion}; {again} to stop now and lose it.",
            err=True,
        )

    before = {
        number: signal.signal(number, note_signal)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def allows_colors() -> bool:
    """Return whether the environment lets a terminal show colours (NO_COLOR, TERM)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def style(text: str, **how: Any) -> str:
    """Return a text in the colours of `click.style`, where these are allowed."""
    return click.style(text, **how) if allows_colors() else text


def format_duration(seconds: float) -> str:
    """Return a duration as `minutes:seconds`, or with hours where it has them.

    >>> format_duration(245), format_duration(3845)
    ('4:05', '1:04:05')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
