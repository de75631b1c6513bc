"""Read folders of pictures that `tfviz render` wrote, and sort them by their units."""

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from PIL import Image

from tfviz import images

# The path under which classes are listed, as in the grammar of units: `logit:3`.
CLASSES = "logit"
# What a picture shows of its unit.
POSITIVE, NEGATIVE, DIVERSE = "positive", "negative", "diverse"

# Longer numbers are no indices, and would make pages for as many units.
_NUMBER = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True)
class Picture:
    """A picture of one unit.

    Attributes:
        file: The file.
        layer: The path of the unit's layer, or `CLASSES`.
        index: The index of the unit.
        group: `POSITIVE`, `NEGATIVE`, or `DIVERSE` for one of several that differ.
        method: The name of the param, or the source of a learned prior.
        is_learned: Whether a learned prior made it.
        spec: The description in the file.
        size: The width and the height in pixels.
        digest: A digest of the file's bytes.
    """

    file: Path
    layer: str
    index: int
    group: str
    method: str
    is_learned: bool
    spec: Mapping[str, Any]
    size: tuple[int, int]
    digest: str

    @property
    def activation(self) -> float:
        """The unit's response to the picture, also where the picture minimizes it."""
        score = float(self.spec["unit_score"])
        return -score if self.group == NEGATIVE else score


def read_pictures(
    folders: Sequence[str | os.PathLike[str]], paths: Collection[str] | None = None
) -> tuple[list[Picture], list[Path]]:
    """Read the pictures in folders and their subfolders.

    Args:
        folders: The folders, in the order in which a unit's pictures are shown.
        paths: The paths of the network's layers, if they are known.

    Returns:
        The pictures of single channels and classes; and the files of other pictures
        that tfviz wrote, such as those of neurons or of whole layers.

    Raises:
        FileNotFoundError: If a folder does not exist.
        ValueError: If a folder contains no pictures of units, or the pictures are not
            all of the same network.
    """
    pictures: list[Picture] = []
    others: list[Path] = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise FileNotFoundError(
                f"There is no folder {str(folder)!r}. Give the folders to which "
                "`tfviz render` wrote pictures."
            )
        before = len(pictures)
        for file in sorted(folder.rglob("*")):
            if file.suffix.lower() not in images.FORMATS or not file.is_file():
                continue
            spec = _read_description(file)
            if spec is not None:
                picture = _as_picture(file, spec, paths)
                others += [file] * (picture is None)
                pictures += [picture] * (picture is not None)  # type: ignore[list-item]
        if len(pictures) == before:
            raise ValueError(
                f"{str(folder)!r} contains no pictures of channels or classes that "
                "tfviz wrote. Render some: tfviz render fire8:0-511 -o "
                f"{os.fspath(folder)}"
            )
    _check_one_network(pictures)
    return pictures, others


def parse_unit(
    text: str, paths: Collection[str] | None = None
) -> tuple[str, int, bool] | None:
    """Read the unit of a picture, without the network.

    Args:
        text: The unit in its canonical form, as descriptions of pictures hold it.
        paths: The paths of the network's layers, if they are known.

    Returns:
        The path of the layer, the index, and whether the unit is minimized; or None
        for anything but a channel or a class.

    >>> parse_unit("-fire8:pre:20"), parse_unit("prob:3"), parse_unit("fire8:20@3,4")
    (('fire8', 20, True), ('logit', 3, False), None)
    """
    head, _, tail = text.removeprefix("-").rpartition(":")
    if not head or not _NUMBER.fullmatch(tail):
        return None
    layer = _find_layer(head, paths)
    return None if layer is None else (layer, int(tail), text.startswith("-"))


def _find_layer(head: str, paths: Collection[str] | None) -> str | None:
    """Return the path of the layer in a unit, or None if there is none."""
    known = paths or ()
    if head in known:
        return head
    head = head.removesuffix(":pre")
    if head in ("logit", "prob") and head not in known:
        # A layer of this name is listed under it, so the classes are not.
        return None if CLASSES in known else CLASSES
    if paths is not None:
        return head if head in paths else None
    is_other = head.endswith(":random") or any(sign in head for sign in "+()")
    return None if is_other else head


def _read_description(file: Path) -> dict[str, Any] | None:
    """Return the description of a single picture, or None for other files."""
    try:
        spec = images.read_spec(file)
    except ValueError:
        return None  # not an image, so not written by tfviz
    return spec if spec and {"unit", "unit_score", "model"} <= spec.keys() else None


def _as_picture(
    file: Path, spec: dict[str, Any], paths: Collection[str] | None
) -> Picture | None:
    unit = parse_unit(spec["unit"], paths)
    if unit is None:
        return None
    layer, index, is_negative = unit
    group = DIVERSE if spec.get("diversity") else POSITIVE
    param = spec.get("param") or {}
    return Picture(
        file=file,
        layer=layer,
        index=index,
        group=NEGATIVE if is_negative else group,
        method=method_name(param),
        is_learned=param.get("name") == "prior",
        spec=spec,
        size=_size(file),
        digest=hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest(),
    )


def _size(file: Path) -> tuple[int, int]:
    with Image.open(file) as image:
        return image.size


def method_name(param: Mapping[str, Any]) -> str:
    """Return the name of a param or prior, without the folders of its file.

    >>> method_name({"name": "prior", "source": "models/gan.keras+autoencoder"})
    'gan.keras+autoencoder'
    """
    if not param:
        return "a param of your own"
    if param["name"] != "prior":
        return str(param["name"])
    source = str(param["source"])
    return source if "://" in source else PurePath(source).name


def _check_one_network(pictures: Iterable[Picture]) -> None:
    first: dict[str, Picture] = {}
    for picture in pictures:
        first.setdefault(picture.spec["model"]["hash"], picture)
    if len(first) > 1:
        one, other, *_ = first.values()
        raise ValueError(
            f"{str(one.file)!r} is a picture of the network "
            f"{one.spec['model']['name']!r} and {str(other.file)!r} of "
            f"{other.spec['model']['name']!r} with other weights. An atlas shows one "
            "network: leave out the folder of the other."
        )
