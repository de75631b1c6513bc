"""The progress on stderr: a bar on a terminal, lines elsewhere, and its end."""

import io
import re
import sys
import threading
import time

import click
import pytest
from click.testing import CliRunner

from tfviz.cli import progress
from tfviz.cli.console import report_errors


class Terminal(io.StringIO):
    """What a terminal gets."""

    def isatty(self):
        return True


@pytest.mark.parametrize("colors", [True, False])
def test_a_terminal_shows_a_live_bar(monkeypatch, capsys, colors):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "" if colors else "1")
    monkeypatch.setattr("sys.stderr", Terminal())
    with progress.Progress(80, "picture") as bar:
        bar.show(0, "starting [unit]", count="0/5 pictures")
        bar.show(20, "step 20 of 80, [unit]", count="0/5 pictures", seconds_left=65)
        click.echo("a warning", err=True)
        click.echo('{"status": "finished"}')
        bar.print_line("for log files only")
        drawn = bar._view._progress
        (column,) = [task.percentage for task in drawn.tasks]
        assert column == 25
        drawn.refresh()
        sys.stderr.flush()
    text = drawn.console.file.getvalue()
    assert "0/5 pictures" in text
    assert "1:05 left step 20 of 80, [unit]" in click.unstyle(text)
    assert "a warning" in text
    assert "log files" not in text
    assert capsys.readouterr().out == '{"status": "finished"}\n'
    assert bool(re.search(r"\x1b\[[\d;]*3\d", text)) == colors


def test_a_dumb_terminal_gets_lines(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    for term, live in (("dumb", False), ("unknown", False), ("xterm", True)):
        monkeypatch.setenv("TERM", term)
        assert progress.is_live() == live


def test_a_log_file_gets_a_line_while_nothing_moves(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.05)
    with progress.Progress(3, "picture") as lines:
        lines.show(0, "starting")
        time.sleep(0.2)
    printed = capsys.readouterr().err.splitlines()
    time.sleep(0.1)

    assert set(printed) == {"0/3 pictures  starting  0:00 so far"}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError("no such photo")])
def test_progress_ends_before_an_error_is_printed(live, error, monkeypatch):
    """Also that of a loop which the frames of the error still hold."""
    monkeypatch.setattr(progress, "is_live", lambda: live)
    monkeypatch.setenv("TERM", "xterm-256color")
    stopped = []
    for view in (progress._Bar, progress._Lines):

        def stop(self, stop=view.stop):
            stop(self)
            stopped.append(self)

        monkeypatch.setattr(view, "stop", stop)

    @click.command()
    @report_errors
    def read():
        photos = progress.track(["a", "b"], "photo")
        next(photos)
        raise error

    result = CliRunner().invoke(read)
    view, *_ = stopped  # of a loop that ends later, twice
    assert result.exit_code == 1
    shown, _, after = result.stderr.rpartition("\x1b[?25h")  # the cursor is back
    assert bool(shown) == live
    assert after.strip() in ("Aborted!", "Error: no such photo")
    if not live:
        assert view._thread not in threading.enumerate()
