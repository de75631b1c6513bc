"""The pages of the documentation: their texts, links and blocks of code."""

import json
import re
import shlex
from collections import Counter
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from support import ROOT

DOCS = ROOT / "docs"
NOT_RUN = re.compile(r"<!-- not run:(.*)-->")
FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*(\S*)")


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        language: The language, such as `sh`; empty for an indented block.
        line: The number of the first line of the code, from 1.
        code: The code.
        reason: Why the block is not to be run; None if it is.
    """

    language: str
    line: int
    code: str
    reason: str | None = None


def markdown_files():
    """Return all pages, and the texts of the repository that are read on GitHub."""
    pages = [p for p in sorted(DOCS.rglob("*.md")) if "_ext" not in p.parts]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *pages]


def notebooks():
    """Return the notebooks, which link to pages, too."""
    return sorted((DOCS / "notebooks").glob("*.ipynb"))


def read_text(file):
    """Return the Markdown of a page or of a notebook."""
    text = Path(file).read_text("utf-8")
    if Path(file).suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] != "code")


def read_blocks(text):
    """Return the fenced and the indented blocks of a text."""
    blocks = []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        fence = FENCE.match(lines[at])
        indented = lines[at].startswith("    ") and not lines[at - 1].strip()
        if not fence and not (indented and not _in_list(lines, at)):
            at += 1
            continue
        start, end = at + bool(fence), at + bool(fence)
        while end < len(lines) and not _ends(lines[end], fence):
            end += 1
        code = "\n".join(line.removeprefix(" " * 4) for line in lines[start:end])
        if fence:
            code = "\n".join(line.removeprefix(fence[1]) for line in lines[start:end])
        mark = NOT_RUN.fullmatch(lines[at - 1].strip()) if at else None
        reason = mark[1].strip() if mark else None
        blocks.append(Block(fence[3] if fence else "", start + 1, code, reason))
        at = end + 1
    return blocks


def _ends(line, fence):
    if fence:
        return line.strip().startswith(fence[2]) and not line.strip("`~ ")
    return bool(line.strip()) and not line.startswith("    ")


def _in_list(lines, at):
    """Return whether an indented line continues an item of a list."""
    for line in reversed(lines[:at]):
        if line.strip() and not line.startswith(" "):
            return bool(re.match(r"([-*+]|\d+\.) ", line))
    return False


def without_code(text):
    """Return a text without blocks and spans of code, in which nothing is a link."""
    text = re.sub(r"^(\s*)(`{3,}).*?^\1\2\s*$", "", text, flags=re.M | re.S)
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", text)


def links(text):
    """Return the targets of all links and pictures."""
    target = r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)"
    return re.findall(target, without_code(text))


def anchors(text):
    """Return the anchors of a text's headings, as GitHub and MyST make them."""
    text = re.sub(r"^(\s*)(`{3,}).*?^\1\2\s*$", "", text, flags=re.M | re.S)
    times = Counter()
    found = []
    for heading in re.findall(r"^#{1,6} +(.+?) *#* *$", text, re.M):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        found.append(f"{anchor}-{times[anchor]}" if times[anchor] else anchor)
        times[anchor] += 1
    return found


def commands(block):
    """Return the commands of a block with the numbers of their lines.

    A line that ends in a backslash continues in the next one.
    """
    found = []
    continued = False
    for number, line in enumerate(block.code.splitlines(), block.line):
        text = line.strip()
        if continued:
            first, start = found[-1]
            found[-1] = (first, start.removesuffix("\\") + text)
        elif text:
            found.append((number, text))
        continued = text.endswith("\\")
    return found


def split_command(line):
    """Return the words of a command, as a shell reads it, without what it pipes to."""
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    return list(takewhile(lambda word: not re.fullmatch(r"[|&;<>()]+", word), words))
