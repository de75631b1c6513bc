"""What a run has to do: the pictures of a job, and what became of them before."""

from tfviz._storage import AnyPath
from tfviz.optimize.job import Job
from tfviz.optimize.plan import plan_layers
from tfviz.runs.picture_folder import PictureFolder


class Work:
    """What a run has to do: the pictures of a job, and what became of them before.

    Args:
        job: The job.
        folder: The folder to write to, which need not exist.
        suffix: The suffix of the files, `.png` or `.webp`.
        force: Whether to render pictures again that are in the folder.
        retry_failed: Whether to try those again that failed before.
        remedy: What a user can do about pictures with other settings, beside choosing
            another folder or the same settings.

    Attributes:
        pictures: The folder.
        keys: The unit of each picture, and its number among the pictures of that unit.
        files: The file of each picture.
        finished: The places of pictures that are finished.
        failed: The places of pictures that failed before, and are left out.
        plans: The plan by layer.

    Raises:
        ValueError: If the folder contains pictures with other settings.
    """

    def __init__(
        self,
        job: Job,
        folder: AnyPath,
        suffix: str,
        *,
        force: bool = False,
        retry_failed: bool = False,
        remedy: str = "",
    ) -> None:
        self.job = job
        self.pictures = PictureFolder(folder, job.settings)
        self.keys = [(picture.text, picture.repeat) for picture in job.pictures]
        self.pictures.check_settings(self.keys if force else (), remedy)
        self.files = self.pictures.choose_files(job.pictures, suffix)
        known, reasons = self.pictures.finished, self.pictures.failed
        self.finished: set[int] = set()
        self.failed: set[int] = set()
        if not force:
            self.finished = {i for i, key in enumerate(self.keys) if key in known}
            for place in self.finished:
                self.files[place] = known[self.keys[place]]
        if not force and not retry_failed:
            self.failed = {i for i, key in enumerate(self.keys) if key in reasons}
        self.plans = plan_layers(job, self.finished, self.failed)

    @property
    def skip(self) -> set[int]:
        """The places of the pictures that are not to be made."""
        return self.finished | self.failed

    @property
    def lost(self) -> dict[str, list[str]]:
        """The names of files that are `damaged` or `missing`, and are made again."""
        lost: dict[str, list[str]] = {"damaged": [], "missing": []}
        for place, key in enumerate(self.keys):
            name = self.files[place].name
            if place in self.finished:
                continue
            if name in self.pictures.damaged:
                lost["damaged"].append(name)
            elif key in self.pictures.listed and key not in self.pictures.finished:
                lost["missing"].append(name)
        return lost

    def repair_folder(self) -> None:
        """Delete what a killed run left, and make the manifest agree with the files."""
        skip = self.skip
        again = [key for place, key in enumerate(self.keys) if place not in skip]
        self.pictures.repair(again)
