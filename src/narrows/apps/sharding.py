"""One output for each shard of a folder: made once, by this process or by workers under Ray, and found again."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from narrows.apps.watching import counted
from narrows.errors import InputError, at_least

if TYPE_CHECKING:
    from narrows.apps.engines import Opened, Work
    from narrows.apps.reading import Reading
    from narrows.apps.shard_folder import Task


@dataclass(frozen=True)
class Sharding:
    """Who works on the shards of a folder.

    Parameters
    ----------
    engine : {"local", "ray"}
        Who works on a folder of shards where the output is a folder, too: this process, or workers under Ray.
    workers : int, optional
        Of --engine ray: how many, of one core each; as many as there are cores, unless given.
    engine_address : str, optional
        Of --engine ray: a cluster's; else that of RAY_ADDRESS, else workers are started on this machine.
    """

    engine: Literal["local", "ray"] = "local"
    workers: int | None = None
    engine_address: str | None = None

    def wanted(self, data: str, output: Path) -> bool:
        """Whether each shard is to have an output of its own: under Ray, or where both are folders.

        Raises
        ------
        InputError
            If an option cannot be used.
        """
        from narrows.data.shard_files import shards_in

        if self.workers is not None:
            at_least("--workers", self.workers, 1)
        for option, given in (("--workers", self.workers), ("--engine-address", self.engine_address)):
            if self.engine != "ray" and given is not None:
                raise InputError(f"{option} is for --engine ray; add it, or leave {option} out")
        if self.engine == "ray":
            from narrows.apps.engines import check_cluster, check_ray

            check_ray()
            check_cluster(self.engine_address)
            return True
        return not output.suffix and Path(data).is_dir() and bool(shards_in(Path(data)))


@dataclass(frozen=True)
class Sharded:
    """Outputs of shards.

    Parameters
    ----------
    file : str
        The folder that they are in.
    shards : int
        Shards that were found.
    made, found : int
        Outputs of this run, and those that were there already.
    rows : int
        Rows or images of this run.
    notes : list of str
        Shards that were left out, and why.
    """

    file: str
    shards: int
    made: int
    found: int
    rows: int
    notes: list[str]


def of_one_shard(reading: Reading) -> Reading:
    """Return how one of several shards is read: it is not for its reader to pass over it."""
    return dataclasses.replace(reading, skip_bad_shards=False)


def each_shard(
    work: Work,
    opened: Opened,
    data: str,
    output: Path,
    suffix_for: Callable[[str], str],
    sharding: Sharding,
    *,
    skip: bool,
) -> tuple[Sharded, Counter[str]]:
    """Make the outputs of all shards that have none yet.

    Parameters
    ----------
    work : Work
        What is made of a shard. It is what the outputs hold for; see `ShardFolder`.
    opened : callable
        The same with its model in memory. Its figures tell of ``rows``.
    data : str
        A folder of shards.
    output : Path
        The folder for the outputs.
    suffix_for : callable
        From the suffix of a shard, none for a folder of images, to that of its output; raises `InputError`.
    sharding : Sharding
        Who does it.
    skip : bool
        Whether shards that cannot be read are left out.

    Returns
    -------
    sharded : Sharded
        What came of it.
    sums : Counter
        The figures of this run's outputs, added up.

    Raises
    ------
    InputError
        If something cannot be used, or a shard cannot be read and was not to be skipped.
    """
    from narrows.apps.engines import in_this_process, under_ray
    from narrows.apps.shard_folder import ShardFolder

    tasks = _tasks(data, output, suffix_for)
    folder = ShardFolder(output, tasks, _conditions(work))
    left = folder.begin()
    outcomes = (
        under_ray(work, left, sharding.workers, sharding.engine_address)
        if sharding.engine == "ray" and left
        else in_this_process(opened, left)
    )
    sums, notes = Counter[str](), list[str]()
    with closing(outcomes):
        for outcome in counted("working on shards", outcomes, len(left), lambda _: 1):
            if outcome.refused is None:
                sums.update(outcome.made)
            elif not outcome.bad:
                raise InputError(f"{outcome.refused}; finished shards are kept, and the same command goes on from them")
            elif skip:
                notes.append(f"shard {left[outcome.place].shard.path.name} was left out: {outcome.refused}")
            else:
                raise InputError(f"{outcome.refused}, or leave out shards that cannot be read (--skip-bad-shards)")
    if len(notes) == len(tasks):
        raise InputError(f"none of the shards can be read; of the first: {notes[0]}")
    folder.end()
    made = len(left) - len(notes)
    return Sharded(str(output), len(tasks), made, len(tasks) - len(left), sums["rows"], notes), sums


def _conditions(work: Work) -> dict[str, Any]:
    """What outputs hold for, by the names that a person knows: all that the work says but where its files are."""
    from narrows.detection.resuming import digest_of

    options = {name: value for name, value in vars(work).items() if name not in ("model", "reading")}
    return {
        "the verb": work.verb,
        "the model of SHA-256": digest_of(work.model),
        **{f"--{name.replace('_', '-')}": value for name, value in options.items()},
        "the options of reading": " ".join(work.reading.words()),
    }


def as_table(suffix: str) -> str:
    """Suffix of a table for a shard: text of text, Arrow of Arrow, and Parquet of all else."""
    return {".csv": ".csv", ".arff": ".csv", ".arrow": ".arrow"}.get(suffix, ".parquet")


def _tasks(data: str, output: Path, suffix_for: Callable[[str], str]) -> Sequence[Task]:
    """All shards of a folder, with their outputs.

    Raises
    ------
    InputError
        If there is no such folder, it holds no shards, or the output lies in it.
    """
    from narrows.apps.shard_folder import Task
    from narrows.data.shard_files import image_folders_in, shards_in

    folder = Path(data)
    if not folder.is_dir():
        raise InputError(f"{data} is no folder, and --engine works on folders of shards; give one, or leave it out")
    if output.suffix:
        raise InputError(f"{output} is the name of a file; each shard has an output of its own: give a folder's name")
    if output.exists() and output.samefile(folder):
        raise InputError(f"{output} would be written to, and it is read here; give the output another name")
    shards = shards_in(folder) or image_folders_in(folder)
    if not shards:
        raise InputError(
            f"{data} holds no shards; give a folder of Parquet, CSV, Arrow, ARFF or .npy files, of zip files of "
            f"images, or of folders of images"
        )
    return [Task(shard, output / f"{shard.stem}{suffix_for(shard.suffix)}") for shard in shards]
