"""The progress of some work on stderr: a live bar on a terminal, lines elsewhere."""

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Self

import click

from tfviz._errors import count_of
from tfviz.cli.console import allows_colors, format_duration

# Where there is no bar, a line is printed if there was none for so long, in seconds.
LINE_SECONDS = 30.0


def is_live() -> bool:
    """Return whether stderr is a terminal on which a line can be written anew."""
    return sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


class Progress:
    """How far some work is: a context manager that shows it on stderr.

    On a terminal this is a bar, with what is being worked on, the time since the start
    and the time left. Elsewhere it is a line now and then, also while nothing moves, as
    in a long compilation, so that a log shows that the work goes on.

    Args:
        total: The amount of the work.
        noun: What is counted, such as `photo`.
        allows_bar: Whether a bar may be shown, if there is a terminal.

    Attributes:
        left: The time left in words; empty while it is not known.
    """

    def __init__(self, total: int, noun: str, *, allows_bar: bool = True) -> None:
        self.total, self.noun = total, noun
        self._count = f"0/{count_of(total, noun)}"
        self._text, self.left = "", ""
        # The time and the amount when the amount was shown first: what was done before
        # says nothing about the speed.
        self._first: tuple[float, float] | None = None
        has_bar = allows_bar and is_live()
        self._view: _Bar | _Lines = _Bar(total) if has_bar else _Lines(self._line)

    def __enter__(self) -> Self:
        self._view.start()
        # What shows its progress in a generator, as `track` does, may be held by the
        # traceback of the error that ends the command, and so never reach its end.
        context = click.get_current_context(silent=True)
        if context is not None:
            context.call_on_close(self._view.stop)
        return self

    def __exit__(self, *_: Any) -> None:
        self._view.stop()

    def show(
        self,
        done: float,
        text: str = "",
        *,
        count: str | None = None,
        seconds_left: float | None = None,
    ) -> None:
        """Show how much is done.

        Args:
            done: The amount of the work that is done.
            text: What is being worked on.
            count: What is done, in words, instead of `done`.
            seconds_left: The time left, instead of an estimate from the speed so far.
        """
        now = time.monotonic()
        start, done_then = self._first = self._first or (now, done)
        if seconds_left is None and done > done_then:
            seconds_left = (self.total - done) * (now - start) / (done - done_then)
        self._count = count or f"{done}/{count_of(self.total, self.noun)}"
        self._text = text
        self.left = (
            "" if seconds_left is None else f"{format_duration(seconds_left)} left"
        )
        if isinstance(self._view, _Bar):
            self._view.move(done, self._count, self._text, self.left)
        elif count is None and done >= self.total:
            self._view.print_line(self._count)

    def print_line(self, line: str) -> None:
        """Print a line, unless there is a bar."""
        if isinstance(self._view, _Lines):
            self._view.print_line(line)

    def _line(self, elapsed: float) -> str:
        so_far = f"{format_duration(elapsed)} so far"
        return "  ".join(filter(None, [self._count, self._text, so_far, self.left]))


def track(items: Sequence[Any], noun: str) -> Iterator[Any]:
    """Yield some items one by one, and show how many are done.

    Args:
        items: The items.
        noun: What they are, such as `photo`.
    """
    with Progress(len(items), noun) as progress:
        for number, item in enumerate(items):
            progress.show(number)
            yield item
        progress.show(len(items))


class LateProgress:
    """The progress of work whose amount is known once it has begun, perhaps repeatedly.

    It is a context manager, which ends what is shown.

    Args:
        noun: What is counted, such as `photo`.
    """

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.end()

    def __call__(
        self,
        done: float,
        total: int,
        text: str = "",
        *,
        count: str | None = None,
        seconds_left: float | None = None,
    ) -> None:
        """Show how much of the work is done; the arguments are those of `Progress`."""
        if self._progress is None:
            self._progress = Progress(total, self._noun).__enter__()
        self._progress.show(done, text, count=count, seconds_left=seconds_left)
        if done >= total:
            self.end()

    @property
    def left(self) -> str:
        """The time left in words; empty while it is not known."""
        return self._progress.left if self._progress is not None else ""

    def print_line(self, line: str) -> None:
        """Print a line, unless there is a bar."""
        if self._progress is not None:
            self._progress.print_line(line)

    def end(self) -> None:
        """End what is shown, if anything is."""
        if self._progress is not None:
            self._progress.__exit__()
            self._progress = None


class _Bar:
    """A live bar. Rich, which draws it, is there because Keras needs it, too."""

    def __init__(self, total: float) -> None:
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            Progress,
            ProgressColumn,
            TextColumn,
        )
        from rich.table import Column  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        class Elapsed(ProgressColumn):
            """The time since the start, which goes on while nothing moves."""

            def render(self, task: Any) -> Text:
                return Text(format_duration(task.elapsed or 0), style="dim")

        def words(name: str, **settings: Any) -> TextColumn:
            column = Column(no_wrap=True, **settings)
            return TextColumn(f"{{task.{name}}}", markup=False, table_column=column)

        self._progress = Progress(
            BarColumn(bar_width=12),
            words("fields[count]"),
            Elapsed(),
            words("fields[left]"),
            words("description", overflow="ellipsis", ratio=1),
            console=Console(
                stderr=True, force_terminal=True, no_color=not allows_colors()
            ),
            # What is printed on stderr meanwhile goes above the bar.
            redirect_stdout=False,
            expand=True,
        )
        self._task = self._progress.add_task("", total=total or 1, count="", left="")

    def start(self) -> None:
        self._progress.start()

    def stop(self) -> None:
        self._progress.stop()

    def move(self, done: float, count: str, text: str, left: str) -> None:
        self._progress.update(
            self._task, completed=done, description=text, count=count, left=left
        )


class _Lines:
    """Lines for a log file, the next one at the latest after `LINE_SECONDS`.

    Args:
        describe: Returns the line for a time in seconds since the start.
    """

    def __init__(self, describe: Any) -> None:
        self._describe = describe
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._print_regularly, daemon=True)

    def start(self) -> None:
        self._began = self._last = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def print_line(self, line: str) -> None:
        self._last = time.monotonic()
        click.echo(line, err=True)

    def _print_regularly(self) -> None:
        while not self._end.is_set():
            wait = self._last + LINE_SECONDS - time.monotonic()
            if wait > 0:
                self._end.wait(wait)
            else:
                self.print_line(self._describe(time.monotonic() - self._began))
