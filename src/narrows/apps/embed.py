"""Write codes, draw them, and say what they are worth."""

from __future__ import annotations

import dataclasses
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from narrows.apps.reading import Reading
from narrows.apps.sharding import Sharded, Sharding, as_table, each_shard, of_one_shard
from narrows.apps.watching import waiting
from narrows.atomic import check_target, writing
from narrows.errors import InputError, check_seed
from narrows.records import CodeCheck, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from narrows.data.dataset import Dataset
    from narrows.persist import Fitted
    from narrows.study.tables import Table


@dataclass(frozen=True)
class Embedded:
    """Codes that were written.

    Parameters
    ----------
    file : str
        The file.
    rows : int
        Codes in it.
    shape : list of int
        Shape of one of them.
    plot : str or None
        The file of their map.
    shown : str or None
        What the map shows.
    """

    file: str
    rows: int
    shape: list[int]
    plot: str | None = None
    shown: str | None = None


@dataclass(frozen=True)
class Checked(Embedded):
    """Codes that were written, and what they are worth.

    Parameters
    ----------
    check : CodeCheck
        The figures.
    """

    check: CodeCheck = field(kw_only=True)

    def tables(self) -> list[Table]:
        """The codes of the model and those beside it, how they were measured, and what was written."""
        from narrows.study.tables import Table

        check = self.check
        title = f"codes of {check.code_size} numbers, {check.rows:,} rows; squared error a cell in {check.error_unit}"
        columns = ("codes", "squared error", "trustworthiness", "continuity", f"{check.neighbours}-NN", "linear probe")
        rows = [tuple(dataclasses.asdict(kept).values()) for kept in check.codes]
        files = [(file,) for file in (self.file, self.plot) if file is not None]
        notes = [(note,) for note in check.notes]
        return [
            Table(title, columns, rows),
            Table("how they were measured", ("note",), notes),
            Table("written", ("file",), files),
        ]

    def record(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return dict(plain(self))


def embed(
    model: Path,
    data: str,
    output: Path,
    plot: Path | None = None,
    colour: str | None = None,
    check: bool = False,
    train: str | None = None,
    seed: int = 0,
    sparse: bool = False,
    reading: Reading = Reading(),  # noqa: B008  frozen
    sharding: Sharding = Sharding(),  # noqa: B008  frozen
) -> Embedded | Checked | Sharded:
    """Write the code of each row: features for another program, fewer than the columns they came from.

    Parameters
    ----------
    model : Path
        A model file.
    data : str
        A file, a folder of images or of shards, or a named data set.
    output : Path
        .parquet or .csv (columns z0, z1, ... and the label, if there is one), or .npy; or, for a folder of shards, a
        folder (no suffix), with such a file for each of them.
    plot : Path, optional
        .png for a map of the codes: of two numbers as they are, of more along their first two principal components.
    colour : str, optional
        Column of a table, or array of an .npz file, by which points of the map are coloured, in place of the label.
    check : bool
        Measure the codes beside PCA and kernel PCA of equal size: squared error, trustworthiness and continuity, and
        how well labels are told by nearest neighbours and by a linear probe. The model must not know these rows.
    train : str, optional
        For the check: the data that the model was trained on, read as the others are. Without them there is no kernel
        PCA, and labels are told by cross-validation.
    seed : int
        For the check: of the folds, and of what is drawn where rows are many.
    sparse : bool
        Write only what is not 0, of a model with sparse codes such as preset dictionary: a table of the columns row,
        code and value, counted from 0, or .npz for scipy.sparse.load_npz.
    reading : Reading
        How to read the data.
    sharding : Sharding
        Who works on the shards of a folder.
    """
    work = Embedding(model, sparse, reading)
    if sharding.wanted(data, output):
        if plot is not None or check or train is not None or colour is not None:
            raise InputError(
                "--plot, --colour, --check and --train are for all rows together; leave them out of shards"
            )
        work = dataclasses.replace(work, reading=of_one_shard(reading))
        skip = reading.skip_bad_shards
        return each_shard(work, work.open(), data, output, work.suffix_for, sharding, skip=skip)[0]
    inputs: list[Path | str] = [model, data] if train is None else [model, data, train]
    _check_outputs(output, plot, inputs)
    check_seed(seed)
    if colour is not None and plot is None:
        raise InputError("--colour is for a map; give --plot map.png, or leave it out")
    if train is not None and not check:
        raise InputError("--train is for the check; give --check, or leave it out")

    from narrows.apps.code_files import code_file
    from narrows.data.writers import TABLE_WRITERS, check_suffix

    check_suffix(output, (".npz" if sparse else ".npy", *TABLE_WRITERS))
    at_work = work.open()
    if plot is None and not check:
        made = at_work(data, output, empty=False)
        return Embedded(str(output), made["rows"], [at_work.size])
    fitted = at_work.fitted
    dataset = reading.read(data, fitted.schema)
    figure, shown = (None, None) if plot is None else _drawn(fitted, data, dataset, colour, reading)
    measured = _measured(fitted, dataset, train, seed, reading) if check else None
    with code_file(output, fitted.model, dataset, sparse=sparse) as write:
        write(dataset, 0)
    if plot is not None and figure is not None:
        with writing(plot) as beside:
            figure.savefig(beside, format="png", metadata={"Software": None})
    written = (str(output), len(dataset), [at_work.size], None if plot is None else str(plot), shown)
    return Embedded(*written) if measured is None else Checked(*written, check=measured)


def _check_outputs(output: Path, plot: Path | None, inputs: list[Path | str]) -> None:
    """Refuse names of files that cannot be written, before any work."""
    check_target(output, inputs)
    if plot is None:
        return
    from narrows.data.writers import check_suffix

    check_suffix(plot, (".png",))
    check_target(plot, inputs)
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("a map needs matplotlib, which is not installed; pip install 'narrows[report]'")


@dataclass(frozen=True)
class Embedding:
    """What is to be written of rows, and by which model; the parameters are those of `embed`."""

    model: Path
    sparse: bool
    reading: Reading
    verb: ClassVar[str] = "embed"

    def suffix_for(self, suffix: str) -> str:
        """Suffix of the codes of a shard: an array of an array, a table of all else."""
        return (".npz" if self.sparse else ".npy") if suffix == ".npy" else as_table(suffix)

    def open(self) -> _AtWork:
        """Load the model; raises `InputError` if it is none, has no codes, or dense ones that were to be sparse."""
        from narrows.inference import check_code, check_sparse
        from narrows.persist import load

        fitted = load(self.model)
        check_code(fitted.model, "write")
        if self.sparse:
            check_sparse(fitted.model)
        return _AtWork(self, fitted)


@dataclass(frozen=True)
class _AtWork:
    """A model in memory, to which the rows of files come in parts."""

    work: Embedding
    fitted: Fitted

    def __call__(self, data: str, output: Path, *, empty: bool = True) -> dict[str, int]:
        """Write the codes of a file; how many there are."""
        from narrows.apps.code_files import code_file
        from narrows.data.parts import no_rows

        parts = self.work.reading.parts(data, self.fitted.schema)
        (first, part), count = next(parts, (0, None)), 0
        if part is None and not empty:
            raise no_rows(data)
        with code_file(output, self.fitted.model, part, sparse=self.work.sparse) as write:
            while part is not None:
                write(part, first)
                count += len(part)
                first, part = next(parts, (count, None))
        return {"rows": count}

    @property
    def size(self) -> int:
        """How many numbers a code has."""
        from narrows.apps.code_files import no_codes

        return int(no_codes(self.fitted.model).shape[1])


def _measured(fitted: Fitted, dataset: Dataset, train: str | None, seed: int, reading: Reading) -> CodeCheck:
    from narrows.evaluate import check_codes

    reference = None if train is None else reading.read(train, fitted.schema)
    with waiting("measuring"):
        return check_codes(fitted, dataset, reference, seed)


def _drawn(fitted: Fitted, data: str, dataset: Dataset, colour: str | None, reading: Reading) -> tuple[Figure, str]:
    """The map, and what it shows."""
    from narrows.apps.colouring import colouring
    from narrows.apps.maps import draw_map
    from narrows.inference import codes
    from narrows.tensors import tensor_of

    return draw_map(codes(fitted.model, tensor_of(dataset.values)).numpy(), *colouring(data, dataset, colour, reading))
