"""Run the notebooks of docs/notebooks, and write them with their outputs.

    python scripts/notebooks.py                 # all of them
    python scripts/notebooks.py 06-deepdream    # one of them
    python scripts/notebooks.py --text          # after changes of nothing but text

The sources are the `.py` files, in the percent format of Jupytext. Each is run from top
to bottom in an empty folder, and an error ends the work. What would differ in each run,
such as times, is left out of the `.ipynb` files, and pictures become JPEGs, so that
these files are small and change only where the results do.
"""

import base64
import io
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

from tfviz._files import write_safely

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"
# The size that no notebook may exceed, in bytes: GitHub shows small ones only.
LARGEST = 700_000
_QUALITY = 75
_TIMEOUT = 1200  # seconds, for a single cell on a busy machine
# What TensorFlow says when it is imported, whatever the level of its log.
_STARTING = re.compile(r"WARNING: All log messages before absl::|I0000 |\s*$")
_PNG_IN_HTML = re.compile(r"data:image/png;base64,([\w+/=]+)")


def read_source(path: Path) -> Any:
    """Return the notebook of a source file, with no outputs, always the same."""
    notebook = jupytext.read(path)
    notebook.metadata = {
        "kernelspec": {
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        },
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02}"
        cell.metadata = {}
    return notebook


def execute(path: Path) -> Any:
    """Run a notebook in an empty folder, and return it with its outputs.

    Args:
        path: The source file.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
    """
    notebook = read_source(path)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=_TIMEOUT,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": folder}},
        )
        client.execute()
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [out for out in cell.outputs if not _is_start(out)]
            for output in cell.outputs:
                output.pop("transient", None)
                if "metadata" in output:
                    output.metadata = {}
                _shrink(output.get("data", {}))
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def _is_start(output: Any) -> bool:
    """Return whether an output is only what TensorFlow says when it starts."""
    lines = output.get("text", "").splitlines()
    return output.get("name") == "stderr" and all(map(_STARTING.match, lines))


def _shrink(data: dict[str, Any]) -> None:
    """Turn the pictures of an output into JPEGs."""
    if "image/png" in data:  # Pillow offers both
        data["image/jpeg"] = _as_jpeg(data.pop("image/png"))
    if "text/html" in data:
        data["text/html"] = _PNG_IN_HTML.sub(
            lambda match: f"data:image/jpeg;base64,{_as_jpeg(match[1])}",
            data["text/html"],
        )


def _as_jpeg(png: str) -> str:
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        file = io.BytesIO()
        image.convert("RGB").save(file, "JPEG", quality=_QUALITY, optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def update_text(path: Path) -> Any:
    """Return an executed notebook with the text of its source, without running it.

    Args:
        path: The source file.

    Raises:
        ValueError: If the code has changed since the notebook was run.
    """
    notebook = read_source(path)
    before = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    code, run = (
        [cell for cell in other.cells if cell.cell_type == "code"]
        for other in (notebook, before)
    )
    if [cell.source for cell in code] != [cell.source for cell in run]:
        raise ValueError(
            f"The code of {path.name} has changed: run it, without --text."
        )
    for cell, other in zip(code, run, strict=True):
        cell.outputs, cell.execution_count = other.outputs, other.execution_count
    return notebook


def main() -> None:
    """Run the named notebooks, or all of them."""
    names = [name for name in sys.argv[1:] if name != "--text"]
    make = update_text if "--text" in sys.argv else execute
    for name in names or sorted(path.stem for path in FOLDER.glob("*.py")):
        began = time.monotonic()
        notebook = make(FOLDER / f"{name}.py")
        text = nbformat.writes(notebook) + "\n"
        if len(text) > LARGEST:
            sys.exit(f"{name}.ipynb would have {len(text):,} bytes: show less in it.")
        write_safely(
            FOLDER / f"{name}.ipynb",
            lambda file, text=text: file.write(text.encode()),
        )
        seconds = time.monotonic() - began
        print(f"{name}: {seconds:.0f} s, {len(text) / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
