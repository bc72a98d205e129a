"""Take noise out of images, and fill in their hidden pixels."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from narrows.apps.reading import Reading
from narrows.apps.sharding import Sharded, Sharding, each_shard, of_one_shard
from narrows.atomic import check_target
from narrows.errors import InputError

if TYPE_CHECKING:
    from narrows.persist import Fitted


@dataclass(frozen=True)
class Denoised:
    """Images whose noise was taken out.

    Parameters
    ----------
    file : str
        The file or folder written.
    images : int
        Images in it.
    noise : str
        The noise that the model learnt to take out.
    notes : list of str
        What is not as it was.
    """

    file: str
    images: int
    noise: str
    notes: list[str]


def denoise(
    model: Path,
    data: str,
    output: Path,
    hidden: str | None = None,
    reading: Reading = Reading(),  # noqa: B008  frozen
    sharding: Sharding = Sharding(),  # noqa: B008  frozen
) -> Denoised | Sharded:
    """Take the noise out of images, whatever their size; they keep their bits, 8 or 16, and their orientation.

    Parameters
    ----------
    model : Path
        A model file that learnt from noise, such as preset denoiser.
    data : str
        A folder or zip file of images, one image, an array, or a named data set; or a folder of shards, which are zip
        files or .npy files, and under Ray folders of images as well.
    output : Path
        A folder (no suffix), .zip or .png for images that come as such; .npy for an array; for shards, a folder, with
        such a file or folder for each of them.
    hidden : str, optional
        Pixels to fill in, by a model trained with corruption=mask: an image, above 0 where one is to be filled in, or a
        folder or zip file with one for each image, in the order of their names. Other pixels stay as they are. In an
        array, cells to fill in are NaN.
    reading : Reading
        How to read the data.
    sharding : Sharding
        Who works on the shards of a folder.
    """
    work = Denoising(model, hidden, reading)
    if sharding.wanted(data, output):
        if hidden is not None:
            raise InputError("--hidden is for the images of one source; leave it out of shards")
        work = dataclasses.replace(work, reading=of_one_shard(reading))
        return each_shard(work, work.open(), data, output, _suffix_for, sharding, skip=reading.skip_bad_shards)[0]
    check_target(output, [model, data] if hidden is None else [model, data, hidden], makes="a file or a new folder")
    at_work = work.open()
    total, notes = at_work.restore(data, output)
    corruption = at_work.fitted.model.recipe.corruption
    settings = ", ".join(f"{name}={value}" for name, value in corruption.get_params().items())
    return Denoised(str(output), total, f"{corruption.kind} ({settings})" if settings else corruption.kind, notes)


def _suffix_for(suffix: str) -> str:
    """Suffix of what is denoised of a shard: its own."""
    if suffix not in (".zip", ".npy", ""):
        raise InputError(f"shards to denoise are zip files or folders of images, or .npy files, and these are {suffix}")
    return suffix


@dataclass(frozen=True)
class Denoising:
    """What is to be denoised, and by which model; the parameters are those of `denoise`."""

    model: Path
    hidden: str | None
    reading: Reading
    verb: ClassVar[str] = "denoise"

    def open(self) -> _AtWork:
        """Load the model; raises `InputError` if it is none, or knows no noise."""
        from narrows.persist import load

        fitted = load(self.model)
        check_noise(fitted, self.model)
        if self.reading.tile is not None:
            raise InputError("tile was given for images to denoise, which come back whole: leave it out")
        return _AtWork(self, fitted)


@dataclass(frozen=True)
class _AtWork:
    """A model in memory."""

    work: Denoising
    fitted: Fitted

    def __call__(self, data: str, output: Path) -> dict[str, int]:
        """Restore the images of one source; how many there are."""
        return {"rows": self.restore(data, output)[0]}

    def restore(self, data: str, output: Path) -> tuple[int, list[str]]:
        """Restore the images of one source; how many there are, and what is not as it was."""
        from narrows.apps.restoring import hidden_in, restore_array, restore_pictures
        from narrows.data.images import Pictures
        from narrows.data.sources import located
        from narrows.data.stored import Stored
        from narrows.data.wording import short
        from narrows.restore import fills

        model, hidden = self.fitted.model, self.work.hidden
        found = located(data, self.work.reading.request(self.fitted.schema))
        source = found.open() if found.open else None
        if isinstance(source, Pictures):
            if hidden is None and fills(model):
                raise InputError(f"{self.work.model} learnt to fill in hidden pixels; say which with --hidden MASK")
            return restore_pictures(model, source, hidden_in(hidden, len(source)), output)
        if hidden is not None:
            raise InputError("hidden was given for an array, where cells to fill in are NaN: leave it out")
        return restore_array(model, source or Stored.of(found.read().values), short(data), output), []


def check_noise(fitted: Fitted, name: object) -> None:
    """Raise `InputError` unless a model, by its name, has learnt what noise is."""
    if not fitted.model.recipe.corruption.corrupts:
        raise InputError(
            f"{name} was trained on images as they are, and knows no noise; train preset denoiser, or another with "
            f"--set corruption=gaussian"
        )
