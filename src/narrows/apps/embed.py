"""Write codes, draw them, and say what they are worth."""

from __future__ import annotations

import dataclasses
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.apps.reading import Reading
from narrows.apps.watching import waiting
from narrows.atomic import check_target, writing
from narrows.errors import InputError, check_seed
from narrows.records import CodeCheck, plain

if TYPE_CHECKING:
    import numpy as np
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
) -> Embedded | Checked:
    """Write the code of each row: features for another program, fewer than the columns they came from.

    Parameters
    ----------
    model : Path
        A model file.
    data : str
        A file, a folder of images, or a named data set.
    output : Path
        .parquet or .csv (columns z0, z1, ... and the label, if there is one), or .npy.
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
    """
    inputs: list[Path | str] = [model, data] if train is None else [model, data, train]
    _check_outputs(output, plot, inputs)
    check_seed(seed)
    if colour is not None and plot is None:
        raise InputError("--colour is for a map; give --plot map.png, or leave it out")
    if train is not None and not check:
        raise InputError("--train is for the check; give --check, or leave it out")

    from narrows.data import writers
    from narrows.persist import load

    writers.check_suffix(output, (".npz" if sparse else ".npy", *writers.TABLE_WRITERS))
    fitted = load(model)
    dataset = reading.read(data, fitted.schema)
    figure, shown = (None, None) if plot is None else _drawn(fitted, data, dataset, colour, reading)
    measured = _measured(fitted, dataset, train, seed, reading) if check else None
    size = (_write_sparse if sparse else _write)(fitted, dataset, output)
    if plot is not None and figure is not None:
        with writing(plot) as beside:
            figure.savefig(beside, format="png", metadata={"Software": None})
    written = (str(output), len(dataset.values), [size], None if plot is None else str(plot), shown)
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


def _codes(fitted: Fitted, dataset: Dataset) -> np.ndarray:
    from narrows.inference import codes
    from narrows.tensors import tensor_of

    return codes(fitted.model, tensor_of(dataset.values)).numpy()


def _write(fitted: Fitted, dataset: Dataset, output: Path) -> int:
    """Write codes, and return how many numbers one has."""
    from narrows.data.writers import write_columns

    z = _codes(fitted, dataset)
    labels = {} if dataset.labels is None else {"label": dataset.labels}
    write_columns(z, [f"z{i}" for i in range(z.shape[1])], output, labels)
    return int(z.shape[1])


def _write_sparse(fitted: Fitted, dataset: Dataset, output: Path) -> int:
    """Write what of codes is not 0, and return how many numbers one has."""
    from narrows.data.writers import write_sparse
    from narrows.inference import sparse_codes
    from narrows.tensors import tensor_of

    rows, units, numbers = (part.numpy() for part in sparse_codes(fitted.model, tensor_of(dataset.values)))
    size = fitted.model.latent.size
    write_sparse(rows, units, numbers, (len(dataset.values), size), output)
    return size


def _measured(fitted: Fitted, dataset: Dataset, train: str | None, seed: int, reading: Reading) -> CodeCheck:
    from narrows.evaluate import check_codes

    reference = None if train is None else reading.read(train, fitted.schema)
    with waiting("measuring"):
        return check_codes(fitted, dataset, reference, seed)


def _drawn(fitted: Fitted, data: str, dataset: Dataset, colour: str | None, reading: Reading) -> tuple[Figure, str]:
    """The map, and what it shows."""
    from narrows.apps.colouring import colouring
    from narrows.apps.maps import draw_map

    return draw_map(_codes(fitted, dataset), *colouring(data, dataset, colour, reading))
