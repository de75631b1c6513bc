"""What a folder is for, noted in it, so that no other work is mixed with it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfviz._json import changes
from tfviz.images import write_safely


def check(path: Path, settings: Mapping[str, Any], work: str) -> None:
    """Refuse a folder that is for another work.

    Args:
        path: The note in the folder, which need not be there.
        settings: Of this work, as JSON values.
        work: What it is, such as `"training"`.

    Raises:
        ValueError: If it is, or does not tell.
    """
    if not path.exists():
        return
    try:
        known = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"{str(path)!r} is cut off or no JSON. Choose another folder."
        ) from error
    check_same(path.parent, known, settings, work)


def check_same(
    folder: Path, known: Mapping[str, Any], settings: Mapping[str, Any], work: str
) -> None:
    """Refuse settings other than those that a folder's work has."""
    others = changes(known, json.loads(json.dumps(settings)))
    if others:
        raise ValueError(
            f"{str(folder)!r} holds another {work}: {'; '.join(others)}. Choose "
            "another folder, or the same settings to go on."
        )


def claim(path: Path, settings: Mapping[str, Any]) -> None:
    """Note which work a folder is for, and clear what a killed run left there."""
    for part in path.parent.glob(".tfviz-*.part"):
        part.unlink()
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    write_safely(path, lambda file: file.write(text.encode()))
