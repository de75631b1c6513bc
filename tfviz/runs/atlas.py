"""Make an atlas of a network: render, collect examples, and build the site."""

import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tfviz._errors import argument, count_of
from tfviz.optimize.dead_units import warn_of_dead_units
from tfviz.optimize.options import STEPS, Options
from tfviz.params import Param
from tfviz.runs.lock import lock_folder
from tfviz.runs.picture_folder import MANIFEST
from tfviz.runs.recipe import Recipe
from tfviz.runs.run import Batches, Run, make_batches
from tfviz.runs.work import Work
from tfviz.site.folder import check_folder
from tfviz.site.pages import check_installed

# The number of failures that a warning names.
_NAMED = 3

# Called with the part of the work, how much of it is done, how much there is, and the
# name of what was finished last.
Progress = Callable[[str, int, int, str], Any]


def atlas(
    model: Any,
    output: str | os.PathLike[str],
    units: Any = None,
    *,
    images: str | os.PathLike[str] | None = None,
    params: Sequence[str | Param] = ("fourier",),
    negative: bool = True,
    steps: int = STEPS,
    size: int | tuple[int, int] | None = None,
    seed: int = 0,
    deterministic: bool = False,
    batch_size: int | str | None = None,
    title: str = "",
    retry_failed: bool = False,
    progress: Progress | None = None,
    batches: Batches = make_batches,
) -> Path:
    """Make a site to browse the units of a network, after OpenAI's Microscope.

    Renders a picture of each unit, collects the images of a data set that it responds
    to, and builds the site (`build_atlas`) after each part of the work. What the site
    is built from is in `output/source`. The same call continues one that was
    interrupted or killed, and makes nothing again that is finished; with more units or
    params, it extends the atlas. A picture that cannot be made does not end the work.

    Args:
        model: A Keras model, or an adapter made by `adapt`.
        output: The folder of the site: new, empty, or an atlas.
        units: Channels and classes, as `render` takes them: a text such as `'fire8:*'`
            or `'logit:*'`, or a list. By default all channels of all layers whose units
            differ from those of other layers, and all classes.
        images: A folder of images, also in subfolders, of which each unit's examples
            are shown. Without it, the atlas has none.
        params: What makes the pictures, such as `fourier` or `maco`; the name or file
            of a learned prior, as `tfviz.priors.load` takes it; or a param. The first
            stands for a unit wherever it is shown small.
        negative: Whether the first param also shows what each channel responds to
            least.
        steps: The number of gradient steps for each picture.
        size: The size of the pictures in pixels: one number, or height and width. By
            default it is that of the model's input, or 224. Pictures of learned priors
            have the size of the prior.
        seed: The random seed; another seed gives other pictures.
        deterministic: Whether TensorFlow uses only operations that give the same bytes
            each time; see `render`.
        batch_size: The number of pictures that are optimized together; by default up
            to 8. `auto` for as many as the memory of the device allows: on a GPU up to
            256. A later call keeps the number.
        title: The title of the site; by default the name of the network.
        retry_failed: Whether pictures that could not be made in an earlier call are
            tried again.
        progress: Called as `progress(part, done, total, name)` after each batch of
            images, each picture, and each file of the site. The part is `examples`,
            `positive`, `negative`, the name of a further param, or `site`; so
            `progress=print` prints a line for each.
        batches: What makes the pictures; by default this process.

    Returns:
        The first page, `index.html` in the folder.

    Raises:
        ValueError: If a unit is neither a channel nor a class, there are no images, the
            folder holds something else, another network's atlas, or pictures with other
            settings.
        RuntimeError: If the extra `report` is not installed, another process writes to
            the folder, or no picture can be made.

    Warns:
        UserWarning: If pictures cannot be made, or units are dead.

    >>> import tempfile, tfviz
    >>> model = tfviz.load_model("squeezenet")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = tfviz.atlas(model, folder, "fire2:0-1", size=64, steps=2)
    >>> page.name
    'index.html'
    """
    check_installed()
    site = Path(output)
    check_folder(site)
    report = progress or _ignore
    site.mkdir(parents=True, exist_ok=True)
    with lock_folder(site):
        recipe = Recipe(
            model,
            site,
            units,
            images=images,
            params=params,
            negative=negative,
            size=(size, size) if isinstance(size, int) else size,
            options=Options(
                steps=steps,
                seed=seed,
                deterministic=deterministic,
                batch_size=batch_size,
            ),
            retry_failed=retry_failed,
        )

        def render(name: str, work: Work) -> None:
            run = Run(work)
            source = getattr(recipe.adapter.model, "tfviz_source", None)
            for batch in batches(work, source or recipe.adapter.name, ()):
                run.note(batch)
                done = len(work.files) - run.left
                for place in batch.places:
                    report(name, done, len(work.files), work.job.pictures[place].name)
            warn_of_dead_units(run.dead_units)
            _warn_of_failures(run)

        def collecting(done: int, total: int | None) -> None:
            report("examples", done, total or done, f"{done} images")

        def building(done: int, total: int, name: str) -> None:
            report("site", done, total, name)

        try:
            recipe.make(render, collecting=collecting, building=building, title=title)
        except KeyboardInterrupt:
            with suppress(KeyboardInterrupt):
                recipe.build(building, title=title)
            raise
    page = site / "index.html"
    if not page.exists():
        raise RuntimeError(
            "None of the pictures could be made, so there is no site. The warnings and "
            f"the files {MANIFEST!r} in {str(recipe.source)!r} name the reasons."
        )
    return page


def _warn_of_failures(run: Run) -> None:
    """Warn of pictures that could not be made, now or in an earlier call."""
    work = run.work
    reasons = {work.keys[place]: reason for place, reason in run.failed.items()}
    for place in work.failed:
        reasons[work.keys[place]] = work.pictures.failed[work.keys[place]]
    if reasons:
        named = [f"{unit} ({reason})" for (unit, _), reason in reasons.items()]
        more = ", ..." * (len(named) > _NAMED)
        warnings.warn(
            f"{len(reasons)} of {count_of(len(work.files), 'picture')} in "
            f"{str(work.pictures.path)!r} could not be made: "
            f"{', '.join(named[:_NAMED])}{more}. {argument('retry_failed')} tries them "
            "again.",
            stacklevel=5,
        )


def _ignore(*_: Any) -> None:
    """Report nothing."""
