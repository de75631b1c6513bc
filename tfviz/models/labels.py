"""The names of a classifier's classes."""

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
        names: The name of each class.
        wnids: The WordNet identifier of each class, such as `n01443537`, or empty.
        source: A description, in words, of where the names come from.
    """

    names: tuple[str, ...]
    wnids: tuple[str, ...] = ()
    source: str = "as given"

    def index(self, text: str) -> int:
        """Return the index of the class that has a name or identifier.

        Args:
            text: The name, in any case and with `_` or spaces, or the identifier.

        Raises:
            ValueError: If there is no such class, or more than one.
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
                f"{len(matches)} classes are called {text!r}. Give the index or "
                f"identifier of one: {candidates}."
            )
        hint = did_you_mean(_plain(text), plain, most=3, cutoff=0.5)
        hint = hint or f" Give an index from 0 to {len(plain) - 1}, or another name."
        raise ValueError(f"There is no class {text!r}.{hint}")


def parse_labels(text: str, source: str) -> Labels:
    """Parse the content of a file of class names.

    Args:
        text: One name per line (`tench` or `n01440764 tench`), or JSON: a list of
            names, or an object from the index to a name or to a pair of identifier
            and name.
        source: A description, in words, of where the names come from.
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
    """Read class names from a text or JSON file.

    Raises:
        ValueError: If the file does not hold class names.
    """
    path = Path(path)
    try:
        return parse_labels(path.read_text(encoding="utf-8"), f"from {path.name}")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} cannot be read as class names ({error}). Write one name per line, "
            "in the order of the model's outputs, or a JSON list."
        ) from error


@cache
def imagenet_labels() -> Labels:
    """Return the names of the 1000 classes of ImageNet."""
    text = (
        files("tfviz.models")
        .joinpath("imagenet_labels.txt")
        .read_text(encoding="utf-8")
    )
    return parse_labels(text, "ImageNet's, as the model has 1000 outputs")


def as_labels(labels: "Labels | Sequence[str] | str | Path") -> Labels:
    """Turn a list of names, or the path of a file of names, into `Labels`."""
    if isinstance(labels, Labels):
        return labels
    if isinstance(labels, (str, Path)):
        return read_labels(labels)
    return Labels(tuple(map(str, labels)))


def _plain(name: str) -> str:
    return name.strip().casefold().replace(" ", "_")
