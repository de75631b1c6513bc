"""Names of a classifier's outputs."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from tfviz._errors import did_you_mean


@dataclass(frozen=True)
class Labels:
    """The names of the classes, in the order of the outputs.

    Attributes:
        names: One for each output.
        wnids: WordNet identifiers such as `n01443537`, one for each output, or empty.
        source: In words, where they come from.
    """

    names: tuple[str, ...]
    wnids: tuple[str, ...] = ()
    source: str = "as given"

    def index(self, text: str) -> int:
        """Return the output that is called `text`.

        Case does not matter, and neither does `_` for a space.

        Raises:
            ValueError: If no output or more than one is called so.
        """
        if text in self.wnids:
            return self.wnids.index(text)
        plain = [_plain(name) for name in self.names]
        matches = [i for i, name in enumerate(plain) if name == _plain(text)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            candidates = ", ".join(
                f"{i} ({self.wnids[i]})" if self.wnids else str(i) for i in matches
            )
            raise ValueError(
                f"{len(matches)} classes are called {text!r}. Take one by its index or "
                f"identifier: {candidates}."
            )
        hint = did_you_mean(_plain(text), plain, most=3, cutoff=0.5)
        raise ValueError(f"There is no class {text!r}.{hint}")


def parse_labels(text: str, source: str) -> Labels:
    """Read names, one a line (`tench` or `n01440764 tench`) or as JSON.

    JSON holds a list of names, or an object from the index to a name or to a pair of
    identifier and name.
    """
    if text.lstrip().startswith(("[", "{")):
        data = json.loads(text)
        if isinstance(data, dict):
            data = [data[key] for key in sorted(data, key=int)]
        pairs = [item if isinstance(item, list) else ["", item] for item in data]
    else:
        pattern = re.compile(r"(?:(n\d{8})\s+)?(.+)")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        pairs = [list(pattern.fullmatch(line).groups(default="")) for line in lines]  # type: ignore[union-attr]
    wnids = tuple(str(wnid) for wnid, _ in pairs)
    names = tuple(str(name) for _, name in pairs)
    return Labels(names, wnids if all(wnids) else (), source)


def read_labels(path: str | os.PathLike[str]) -> Labels:
    """Read names from a text or JSON file.

    Raises:
        ValueError: If the file cannot be read as such.
    """
    path = Path(path)
    try:
        return parse_labels(path.read_text(encoding="utf-8"), f"from {path.name}")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} cannot be read as class names ({error}). Write one name a line, "
            "in the order of the model's outputs, or a JSON list."
        ) from error


@cache
def imagenet_labels() -> Labels:
    """Return the 1000 classes of ImageNet."""
    text = (
        files("tfviz.models")
        .joinpath("imagenet_labels.txt")
        .read_text(encoding="utf-8")
    )
    return parse_labels(text, "ImageNet's, as the model has 1000 outputs")


def as_labels(labels: "Labels | Sequence[str] | str | Path") -> Labels:
    """Turn what a user gives, names or a file, into `Labels`."""
    if isinstance(labels, Labels):
        return labels
    if isinstance(labels, (str, Path)):
        return read_labels(labels)
    return Labels(tuple(map(str, labels)))


def _plain(name: str) -> str:
    return name.strip().casefold().replace(" ", "_")
