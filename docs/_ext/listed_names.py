"""Which public names the pages of the reference list; needs no Sphinx."""

import re


def listed_names(text: str) -> dict[str, list[str]]:
    """Return the names that a page lists by the directive `names`, by their modules."""
    names: dict[str, list[str]] = {}
    for block in re.finditer(r"^\.\. names:: (\S+)\n((?:\n|   .*\n)*)", text, re.M):
        names.setdefault(block[1], []).extend(block[2].split())
    return names
