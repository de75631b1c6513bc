"""What `compare` returns."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Temporary:
    """A folder that is gone with the last reference to this."""

    def __init__(self) -> None:
        self.name = tempfile.mkdtemp(prefix="tfviz-")
        weakref.finalize(self, shutil.rmtree, self.name, ignore_errors=True)


@dataclass(frozen=True)
class Comparison:
    """What became of a comparison.

    Attributes:
        folder: Where its pictures are, and `results.json`.
        results: Everything that is known, as JSON values.
    """

    folder: Path
    results: Mapping[str, Any]
    _temporary: Temporary | None = field(default=None, repr=False)

    def save(self, folder: str | os.PathLike | None = None) -> Path:
        """Write the report: `report.html`, `results.csv` and a sheet for each unit.

        Args:
            folder: By default that of the comparison; another gets a copy of it.

        Returns:
            The page.

        Raises:
            RuntimeError: If the extra `report` is not installed.
        """
        from tfviz import _report  # noqa: PLC0415

        _report.check_installed()
        target = self.folder if folder is None else Path(folder)
        if target.resolve() != self.folder.resolve():
            shutil.copytree(self.folder, target, dirs_exist_ok=True)
        return _report.write(self.results, target)

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each unit, method and seed: its measures, and its files."""
        return [dict(row) for row in self.results["rows"]]

    def summary(self) -> list[dict[str, Any]]:
        """Return a row for each method and measure: quartiles, and the interval."""
        return [dict(row) for row in self.results["summary"]]

    def verdicts(self) -> dict[str, str]:
        """Return what the numbers say of each method."""
        return {told["method"]: told["verdict"] for told in self.results["verdicts"]}
