"""The recipe of an atlas: its parts, made one by one in a folder beside the pages.

The folder `source` in the site holds what the site is built from:

    network.json    the facts about the network
    examples.npz    the dataset examples, if there are images
    positive/       a picture of each unit by the first param
    negative/       what each channel responds to least, by the same param
    NAME/           a picture of each unit by each further param

Each part continues where an earlier call stopped. The site is built again after each,
so that there is something to browse long before everything is made.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tfviz import params as core_params
from tfviz import priors
from tfviz.analysis.dataset_examples import RespondTo, dataset_examples
from tfviz.analysis.examples_file import load_examples
from tfviz.analysis.layer_selection import distinct_layers, unit_prefix
from tfviz.analysis.network import network_facts
from tfviz.analysis.photo_stream import Folder
from tfviz.images import FORMATS, file_names
from tfviz.models.adapter import Adapter, adapt
from tfviz.objectives._grammar import as_objectives
from tfviz.optimize.job import Job
from tfviz.optimize.options import PARAMS, Options
from tfviz.params import Param
from tfviz.runs.lock import lock_folder
from tfviz.runs.picture_folder import MANIFEST, keep_batch_size
from tfviz.runs.work import Work
from tfviz.site import facts
from tfviz.site.build import Progress, build_atlas
from tfviz.site.folder import SOURCE
from tfviz.site.pictures import CLASSES, method_name, parse_unit

EXAMPLES = "examples.npz"
POSITIVE, NEGATIVE = "positive", "negative"

# Renders what a run has to make, given its name and its work, and returns why it ended
# early, such as `interrupted`; None if it did not.
Render = Callable[[str, Work], str | None]


class Recipe:
    """All parts of an atlas, checked before any of them is made.

    To write a recipe changes no file.

    Args:
        model: A Keras model, or an adapter made by `adapt`.
        site: The folder of the site.
        units: As for `tfviz.atlas`.
        images: As for `tfviz.atlas`.
        params: As for `tfviz.atlas`.
        negative: As for `tfviz.atlas`.
        size: As for `tfviz.atlas`, as a height and a width.
        options: How the pictures are optimized.
        retry_failed: As for `tfviz.atlas`.

    Attributes:
        adapter: The adapter of the model.
        site: The folder of the site.
        source: The folder of the parts.
        images: The folder of the images, or None.
        files: The paths of the images in that folder.
        works: What there is to render, by the names of the folders, in order.
        needs_examples: Whether the dataset examples are to be collected.

    Raises:
        ValueError: If a unit is neither a channel nor a class, the folder holds the
            atlas of another network, or pictures with other settings, or the folder of
            the images holds none.
    """

    def __init__(
        self,
        model: Any,
        site: str | os.PathLike[str],
        units: Any = None,
        *,
        images: str | os.PathLike[str] | None = None,
        params: Sequence[str | Param] = ("fourier",),
        negative: bool = True,
        size: tuple[int, int] | None = None,
        options: Options | None = None,
        retry_failed: bool = False,
    ) -> None:
        self.adapter = adapt(model)
        self.site = Path(site)
        self.source = self.site / SOURCE
        self.images = None if images is None else Path(images)
        self.files: list[str] = []
        self._check_network()
        self._units = _read_units(self.adapter, units)
        self._examples = self._load_examples()
        self.needs_examples = self._find_missing_examples()
        self.works: dict[str, Work] = {}
        for name, param, texts in self._plan_runs(params, negative, size):
            folder = self.source / name
            same = keep_batch_size(options or Options(), folder)
            self.works[name] = Work(
                Job(self.adapter, texts, param, None, same),
                folder,
                ".png",
                retry_failed=retry_failed,
                remedy="delete the folder to have its pictures rendered again",
            )

    def make(
        self,
        render: Render,
        *,
        collecting: Callable[[int, int | None], Any] | None = None,
        building: Progress | None = None,
        respond_to: RespondTo | None = None,
        **of_site: Any,
    ) -> str | None:
        """Make all parts that are missing, and build the site after each.

        The caller holds the lock of the site.

        Args:
            render: Renders the pictures of a run.
            collecting: As `progress` of `dataset_examples`.
            building: As `progress` of `build_atlas`.
            respond_to: As for `dataset_examples`.
            **of_site: Other arguments of `build_atlas`, such as the title.

        Returns:
            What `render` returned if it ended early; the runs after that are not begun.
        """
        self.source.mkdir(parents=True, exist_ok=True)
        self._network.save(self.source / facts.FILE)
        self._collect_examples(collecting, respond_to)
        self.build(building, **of_site)
        for name, work in self.works.items():
            is_finished = len(work.skip) == len(work.files)
            folder = self.source / name
            folder.mkdir(exist_ok=True)
            with lock_folder(folder):
                stopped = render(name, work)
            if not is_finished:
                self.build(building, **of_site)
            if stopped is not None:
                return stopped
        return None

    def build(self, progress: Progress | None = None, **of_site: Any) -> Path | None:
        """Build the site from the parts that are there.

        Args:
            progress: As for `build_atlas`.
            **of_site: Other arguments of `build_atlas`, such as the title.

        Returns:
            The first page; None if there is neither a picture nor an example yet.
        """
        # The pictures of other calls, such as those of further params, stay.
        others = [folder.name for folder in self.source.iterdir()]
        names = dict.fromkeys([*self.works, *sorted(others)])
        folders = [self.source / name for name in names]
        folders = [folder for folder in folders if _has_pictures(folder)]
        if not folders and self._examples is None:
            return None
        return build_atlas(
            self.site,
            folders,
            network=self._network,
            examples=self._examples,
            images=self.images,
            progress=progress,
            **of_site,
        )

    @cached_property
    def _network(self) -> facts.NetworkFacts:
        return network_facts(self.adapter)

    def _check_network(self) -> None:
        """Refuse the folder of another network's atlas.

        Raises:
            ValueError: If it is one.
        """
        file = self.source / facts.FILE
        if not file.exists():
            return
        known = facts.load(file)
        if known.fingerprint != self.adapter.fingerprint():
            raise ValueError(
                f"{str(self.site)!r} holds the atlas of the network {known.name!r}, "
                f"whose weights differ from those of {self.adapter.name!r}. Choose "
                "another folder."
            )

    def _load_examples(self) -> Any:
        """Return the dataset examples of an earlier call, or None.

        Raises:
            ValueError: If they are those of another network.
        """
        file = self.source / EXAMPLES
        if not file.exists():
            return None
        examples = load_examples(file)
        try:
            examples.check(self.adapter)
        except ValueError as error:
            raise ValueError(
                f"{str(file)!r} does not belong to this atlas. {error}"
            ) from error
        return examples

    def _find_missing_examples(self) -> bool:
        """Return whether layers or images are missing in the dataset examples.

        Raises:
            ValueError: If there are no images in the folder.
        """
        if self.images is None:
            return False
        self.files = Folder(self.adapter, self.images).files
        if self._examples is None:
            return True
        known = [image.path for image in self._examples.images]
        known += [file for file, _ in self._examples.unreadable]
        layers = set(map(unit_prefix, self._examples.layers))
        return sorted(known) != sorted(self.files) or not layers.issuperset(
            self._units.values()
        )

    def _plan_runs(
        self,
        params: Sequence[str | Param],
        negative: bool,
        size: tuple[int, int] | None,
    ) -> Iterator[tuple[str, Param, list[str]]]:
        """Yield the name, the param and the units of each run."""
        params = (params,) if isinstance(params, str | Param) else tuple(params)
        if not params or len(set(map(_identify, params))) < len(params):
            raise ValueError(
                "`params` must name at least one param, and none twice. "
                f"Received: {params!r}"
            )
        first, *others = [load_param(param, self.adapter, size) for param in params]
        texts = list(self._units)
        yield POSITIVE, first, texts
        # What a class responds to least says nothing about it.
        channels = [text for text, layer in self._units.items() if layer != CLASSES]
        if negative and channels:
            yield NEGATIVE, first, [f"neg:{text}" for text in channels]
        names = [method_name(param.spec) for param in others]
        names = file_names((POSITIVE, NEGATIVE, *names))[2:]
        for name, param in zip(names, others, strict=True):
            yield name, param, texts

    def _collect_examples(
        self,
        progress: Callable[[int, int | None], Any] | None,
        respond_to: RespondTo | None,
    ) -> None:
        if not self.needs_examples:
            return
        layers = dict.fromkeys(self._units.values())
        if self._examples is not None:
            layers |= dict.fromkeys(map(unit_prefix, self._examples.layers))
        self._examples = dataset_examples(
            self.adapter,
            self.images,  # type: ignore[arg-type]
            list(layers),
            output=self.source / EXAMPLES,
            progress=progress,
            respond_to=respond_to,
        )
        self.needs_examples = False


def load_param(
    source: str | Param, adapter: Adapter, size: tuple[int, int] | None = None
) -> Param:
    """Return a param by its name.

    Args:
        source: The name of one of `tfviz.params`, what `tfviz.priors.load` takes, or a
            param, which is returned.
        adapter: The adapter of the model.
        size: The height and width of the pictures of a param of `tfviz.params`; by
            default those of the model's input.
    """
    if isinstance(source, Param):
        return source
    if source in PARAMS:
        return getattr(core_params, source)(*(size or adapter.size), adapter.channels)
    return priors.load(source)


def _identify(param: str | Param) -> Any:
    return param if isinstance(param, str) else id(param)


def _read_units(adapter: Adapter, units: Any) -> dict[str, str]:
    """Return the layer of each unit to show, by the unit's text.

    Raises:
        ValueError: If a unit is not a channel or a class, or is negative, or the model
            has none.
    """
    if units is None:
        units = [f"{path}:*" for path in distinct_layers(adapter)]
        units += ["logit:*"] * (adapter.classes is not None)
        if not units:
            raise ValueError(f"Model {adapter.name!r} has no channels or classes.")
    paths = [layer.path for layer in adapter.layers()]
    layers = {}
    for unit in as_objectives(units, adapter):
        for text in unit.bound(adapter, adapter.size).texts:
            layer, _, is_negative = parse_unit(text, paths) or ("", 0, False)
            if is_negative:
                raise ValueError(
                    f"An atlas shows what {text.removeprefix('-')} responds to least "
                    "beside what it responds to most. Leave out the sign."
                )
            if not layer:
                raise ValueError(
                    "An atlas shows single channels and classes, such as fire8:20, "
                    f"'fire8:*' or logit:goldfish. Received: {text}."
                    + f" Write '{text}:*' for all of its channels."
                    * (text in paths)
                )
            layers[text] = layer
    return layers


def _has_pictures(folder: Path) -> bool:
    """Return whether a folder holds pictures of a run."""
    return (folder / MANIFEST).is_file() and any(
        file.suffix in FORMATS for file in folder.iterdir()
    )
