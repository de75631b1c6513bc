"""Help texts in sections: the most used options first, then the others by purpose.

This is our own, rather than a package such as cloup or rich-click, because it is all
that the command line needs of them: commands stay those of click, with its parser, its
error messages and its completion, so that every tool that reads click commands works,
and `tfviz --help` imports nothing more.
"""

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

import click

from tfviz.cli.console import style

# What the options that belong to no section are listed under.
_OTHERS = "Other options"


class Group(click.Group):
    """A group of commands that its help lists under several headings.

    Args:
        headings: The names of the commands under each heading. Other commands, if
            there are any, come last.
        **settings: As for `click.Group`.
    """

    def __init__(
        self, *args: Any, headings: Mapping[str, Sequence[str]], **settings: Any
    ) -> None:
        super().__init__(*args, **settings)
        self.headings = headings

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command, whose help calls numbers N rather than by their types."""
        _name_numbers(cmd)
        super().add_command(cmd, name)

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the commands under their headings."""
        listed = [name for names in self.headings.values() for name in names]
        others = [name for name in self.list_commands(ctx) if name not in listed]
        limit = formatter.width - 6 - max(map(len, self.commands))
        for heading, names in {**self.headings, "Others": others}.items():
            rows = [
                (_term(name), self.commands[name].get_short_help_str(limit))
                for name in names
            ]
            _write_section(formatter, heading, rows)


class Command(click.Command):
    """A command whose help lists its options in sections.

    `--help` shows all of them; `-h` only the first section, which is that of the most
    used options, so that it fits on a screen.

    Args:
        sections: The options in each section, such as `--output`, by its heading.
            Without sections, the help is that of click. Options that no section names
            come last.
        **settings: As for `click.Command`.
    """

    def __init__(
        self,
        *args: Any,
        sections: Mapping[str, Sequence[str]] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        self.sections = sections or {}
        if self.sections:
            self.params.append(
                click.Option(
                    ["-h"],
                    is_flag=True,
                    is_eager=True,
                    expose_value=False,
                    callback=self._show_short_help,
                    help="Show the most used options and exit.",
                )
            )

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the summary, the most used options, the explanations, the others."""
        if not self.sections:
            super().format_help(ctx, formatter)
            return
        summary, *explanations = _paragraphs(self)
        records = self._records(ctx)
        most_used, *headings = self.sections
        self.format_usage(ctx, formatter)
        _write_text(formatter, summary)
        self._write_options(formatter, most_used, records)
        _write_text(formatter, "\n\n".join(explanations))
        for heading in headings:
            self._write_options(formatter, heading, records)
        _write_section(formatter, _OTHERS, list(records.values()))

    def format_short_help(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the summary, examples, and the most used options in a line or two."""
        summary, *explanations = _paragraphs(self)
        examples = [text for text in explanations if "\ntfviz " in text]
        records = {
            name: (term, _first_sentence(text))
            for name, (term, text) in self._records(ctx).items()
        }
        self.format_usage(ctx, formatter)
        _write_text(formatter, "\n\n".join([summary, *examples]))
        self._write_options(formatter, next(iter(self.sections)), records)
        _write_text(
            formatter, f"{ctx.command_path} --help explains all {self._count} options."
        )

    def _show_short_help(
        self, ctx: click.Context, _: click.Parameter, value: bool
    ) -> None:
        if value and not ctx.resilient_parsing:
            formatter = ctx.make_formatter()
            self.format_short_help(ctx, formatter)
            click.echo(formatter.getvalue().rstrip("\n"), color=ctx.color)
            ctx.exit()

    @property
    def _count(self) -> int:
        return sum(isinstance(param, click.Option) for param in self.params)

    def _records(self, ctx: click.Context) -> dict[str, tuple[str, str]]:
        """Return the term and the text of each option, by its longest name."""
        records = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                records[max(param.opts, key=len)] = (_term(record[0]), record[1])
        return records

    def _write_options(
        self,
        formatter: click.HelpFormatter,
        heading: str,
        records: dict[str, tuple[str, str]],
    ) -> None:
        """Write the options of a section, and take them out of the records."""
        rows = [records.pop(name) for name in self.sections[heading] if name in records]
        _write_section(formatter, heading, rows)


def _name_numbers(command: click.Command) -> None:
    """Let the help of a command call numbers N, instead of INTEGER RANGE and such."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _name_numbers(inner)
    numbers = (click.types.IntParamType, click.types.FloatParamType)
    for param in command.params:
        if isinstance(param.type, numbers) and param.metavar is None:
            param.metavar = "N"
            # Which click says in messages: 'ten' is not a valid integer range.
            param.type.name = (
                "whole number"
                if isinstance(param.type, click.types.IntParamType)
                else "number"
            )


def _paragraphs(command: click.Command) -> list[str]:
    """Return the paragraphs of a command's help."""
    return inspect.cleandoc(command.help or "").split("\n\n")


def _first_sentence(text: str) -> str:
    """Return the first sentence of an option's help, with what stands in brackets.

    >>> _first_sentence("The size in pixels: N. Larger is slower.  [default: 224]")
    'The size in pixels: N.  [default: 224]'
    """
    match = re.match(r"(.+?\.)(?: .*?)??(  \[.*\])?$", text, re.DOTALL)
    return f"{match[1]}{match[2] or ''}" if match else text


def _term(text: str) -> str:
    return style(text, fg="cyan")


def _write_text(formatter: click.HelpFormatter, text: str) -> None:
    if text:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(text)


def _write_section(
    formatter: click.HelpFormatter, heading: str, rows: list[tuple[str, str]]
) -> None:
    if rows:
        with formatter.section(style(heading, bold=True)):
            formatter.write_dl(rows)
