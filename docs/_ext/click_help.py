"""The help of commands, which is written for a terminal, as reStructuredText.

What click leaves as it is, after a backspace, becomes a block of code; and `*` and `|`,
which units contain, are no markup.
"""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def describe(app: Sphinx, ctx: Any, lines: list[str]) -> None:
    """Make blocks of code of the lines that click would leave as they are."""
    new: list[str] = []
    for line in lines:
        kept = line.startswith("| ")
        if kept and not (new and new[-1].startswith("   ")):
            new += ["", f".. code-block:: {language(line)}", ""]
        new.append(f"   {line[2:]}" if kept else escape(line))
    lines[:] = new


def language(line: str) -> str:
    """Return the language of a block by its first line."""
    return "sh" if line.startswith("| tfviz ") else "text"


def list_commands(app: Sphinx, ctx: Any, lines: list[str]) -> None:
    """End the help of a group by links to the sections of its commands."""
    for name, command in getattr(ctx.command, "commands", {}).items():
        section = nodes.make_id(f"{ctx.command_path} {name}")
        text = escape(command.get_short_help_str(200))
        lines += [f"* `{name} <#{section}>`__: {text}"]
    lines.append("")


def describe_options(app: Sphinx, ctx: Any, lines: list[str]) -> None:
    """Show what the values of options are, and defaults without quotation marks."""
    metavars = {
        f"<{option.name}>": f"<{option.make_metavar(ctx).strip('[]')}>"
        for option in ctx.command.params
    }
    for i, line in enumerate(lines):
        default = re.fullmatch(r"(\s*:default: )``(['\"])(.*)\2``", line)
        if line.startswith(".. option::"):
            for name, metavar in metavars.items():
                lines[i] = lines[i].replace(name, metavar)
        elif default:
            lines[i] = default[1] + escape(default[3])
        else:
            lines[i] = escape(line)


def escape(line: str) -> str:
    """Escape what is markup only for reStructuredText, but not code or `**bold**`."""
    parts = re.split(r"(`+[^`]*`+|\*\*Required\*\*)", line)
    escaped = [re.sub(r"[*|]", r"\\\g<0>", part) for part in parts[::2]]
    parts[::2] = escaped
    return "".join(parts)


def setup(app: Sphinx) -> dict[str, bool]:
    """Listen to sphinx-click."""
    app.connect("sphinx-click-process-description", describe)
    app.connect("sphinx-click-process-epilog", describe)
    app.connect("sphinx-click-process-epilog", list_commands)
    app.connect("sphinx-click-process-options", describe_options)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
