"""Models and params as plain data, from which a worker elsewhere makes them again."""

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfviz import params
from tfviz.models.adapter import Adapter, adapt
from tfviz.models.labels import Labels
from tfviz.models.load import fetch_module, load_file, load_model
from tfviz.models.saved_model import load_saved_model
from tfviz.models.sources import (
    BUNDLED,
    HUB,
    KERAS,
    SUFFIXES,
    is_saved_model,
    split_signature,
)
from tfviz.params import Param
from tfviz.priors._sources import NAME as PRIOR
from tfviz.priors._sources import from_spec as prior_from_spec
from tfviz.priors._sources import own_files

# The contents of files by their paths in a folder, with `/`. Ray passes arrays to all
# workers of a node without a copy, but not bytes.
Files = Mapping[str, NDArray[np.uint8]]
# Where the encoder of a prior is put: it may have the name of another of its files.
_ENCODER = "encoder"


@dataclass(frozen=True)
class ShippedModel:
    """A model and how it takes images.

    Attributes:
        source: The name of a bundled model, or the name of the file or folder in
            `files`, with the signature of a SavedModel.
        files: The contents of that file, or of the files in that folder.
        name: The name of the model.
        recorded: The source that pictures record, if there is one.
        allow_unsafe: Whether the file may contain Python code.
        preprocess: The name of the range of its input.
        labels: The names of the classes, or None.
        options: The arguments `held`, `image_input` and `output` of `adapt`.
    """

    source: str
    files: Files
    name: str
    recorded: str | None
    allow_unsafe: bool
    preprocess: str
    labels: Labels | None
    options: Mapping[str, Any]

    def load(self) -> Adapter:
        """Make the model again, and return its adapter."""
        if not self.files:
            model = load_model(self.source)
        else:
            source, signature = split_signature(self.source)
            with tempfile.TemporaryDirectory() as folder:
                _unpack(self.files, Path(folder))
                path = Path(folder, source)
                if is_saved_model(path):
                    model = load_saved_model(path, signature, self.name)
                else:
                    model = load_file(path, allow_unsafe=self.allow_unsafe)
            if self.recorded is not None:
                model.tfviz_source = self.recorded
        return adapt(model, self.preprocess, labels=self.labels, **self.options)


def ship_model(
    adapter: Adapter, source: str, *, allow_unsafe: bool = False
) -> ShippedModel:
    """Return a model as plain data.

    Args:
        adapter: The adapter of the model.
        source: What the model was loaded from, as for `load_model`. If it is neither a
            file nor the name of a module, the model is saved as it is in memory.
        allow_unsafe: Whether its file may contain Python code.

    Raises:
        ValueError: If it has a preprocessing function, which cannot be sent, or cannot
            be saved.
    """
    if adapter.preprocess.name == "custom":
        raise ValueError(
            "A preprocessing function cannot be sent to the workers on a cluster. Name "
            "an input range instead, or render without Ray."
        )
    files: Files = {}
    base, signature = split_signature(source)
    if source.startswith(HUB):
        path = fetch_module(base.removeprefix(HUB))
    else:
        path = Path(base)
    path = path.resolve() if path.is_dir() else path  # `.` has no name
    if source in BUNDLED:
        shipped = source
    elif not source.startswith(KERAS) and path.exists():
        files = _pack([path])
        shipped = path.name + (f"?signature={signature}" if signature else "")
    else:
        shipped = "model.keras"
        files = _save(adapter.model, shipped)
    return ShippedModel(
        shipped,
        files,
        adapter.name,
        getattr(adapter.model, "tfviz_source", None),
        allow_unsafe,
        adapter.preprocess.name,
        adapter.labels,
        {
            "held": adapter.held or None,
            "image_input": adapter.image_input,
            "output": adapter.output,
        },
    )


@dataclass(frozen=True)
class ShippedParam:
    """A param: its description, and the files that it is made from.

    Attributes:
        spec: The description.
        files: The contents of the files.
        allow_unsafe: Whether the files of a prior may contain Python code.
    """

    spec: Mapping[str, Any]
    files: Files
    allow_unsafe: bool

    def load(self) -> Param:
        """Make the param again.

        Raises:
            ValueError: If another param comes out.
        """
        with tempfile.TemporaryDirectory() as folder:
            _unpack(self.files, Path(folder))
            spec = _moved(self.spec, Path(folder)) if self.files else self.spec
            if spec["name"] == PRIOR:
                param: Param = prior_from_spec(spec, allow_unsafe=self.allow_unsafe)
            else:
                param = params.from_spec(spec)
        if param.spec.get("digest") != self.spec.get("digest"):
            raise ValueError(
                f"{self.spec['source']!r} is another prior on this machine: its files "
                "differ. Put the same files there."
            )
        return replace(param, spec=self.spec)


def ship_param(param: Param, *, allow_unsafe: bool = False) -> ShippedParam:
    """Return a param as plain data.

    Args:
        param: The param.
        allow_unsafe: Whether the files of a prior may contain Python code.

    Raises:
        ValueError: If it has no description, so that it cannot be sent.
    """
    if not param.spec:
        raise ValueError(
            "A param of your own cannot be sent to the workers on a cluster, because "
            "it has no description. Use a param of tfviz or a prior from a file, or "
            "render without Ray."
        )
    files: Files = {}
    if param.spec["name"] == PRIOR:
        paths = [Path(file) for file in own_files(param.spec)]
        encoder = param.spec["encoder"]
        files = _pack(path for path in paths if str(path) != encoder)
        if encoder is not None:
            files |= _pack([Path(encoder)], f"{_ENCODER}/")
    elif (statistics := _statistics_file(param.spec)) is not None:
        files = _pack([statistics])
    return ShippedParam(param.spec, files, allow_unsafe)


def _statistics_file(spec: Mapping[str, Any]) -> Path | None:
    """Return the file of measured statistics that a param needs, if there is one."""
    measured = spec.get("statistics")
    path = Path(measured["source"]) if isinstance(measured, Mapping) else None
    return path if path is not None and path.is_file() else None


def _moved(spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a description whose files are in another folder."""
    if spec["name"] != PRIOR:
        source = str(folder / Path(spec["statistics"]["source"]).name)
        return {**spec, "statistics": {**spec["statistics"], "source": source}}
    main = own_files(spec)[0]
    # What follows the path in the source selects a signature, or adds detail.
    source = f"{folder / Path(main).name}{spec['source'].removeprefix(main)}"
    encoder = spec["encoder"]
    if encoder is not None:
        encoder = str(folder / _ENCODER / Path(encoder).name)
    return {**spec, "source": source, "encoder": encoder}


def _pack(paths: Iterable[Path], prefix: str = "") -> dict[str, NDArray[np.uint8]]:
    """Return the contents of files, and of all files in folders, that exist."""
    contents = {}
    for path in paths:
        found = [path] if path.is_file() else path.rglob("*")
        for file in sorted(file for file in found if file.is_file()):
            name = f"{prefix}{file.relative_to(path.parent).as_posix()}"
            contents[name] = np.frombuffer(file.read_bytes(), np.uint8)
    return contents


def _unpack(files: Files, folder: Path) -> None:
    for name, contents in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents.tobytes())


def _save(model: Any, name: str) -> Files:
    """Return a model in memory as a file of this name.

    Raises:
        ValueError: If it cannot be saved.
    """
    if not hasattr(model, "save"):
        raise ValueError(
            f"The model {getattr(model, 'name', model)!r} cannot be sent to the "
            f"workers on a cluster. Load it from a file ({', '.join(SUFFIXES)}), or "
            "from the folder of a SavedModel."
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        model.save(path)
        return _pack([path])
