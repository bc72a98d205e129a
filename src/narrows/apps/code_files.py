"""Codes of rows that come in parts, written as they come: an array, a table, or the cells that are not 0."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from narrows.data.dataset import Dataset
from narrows.data.writers import growing_npy, growing_table, write_sparse
from narrows.errors import InputError
from narrows.inference import codes, sparse_codes
from narrows.model import Model
from narrows.tensors import tensor_of

Write = Callable[[Dataset, int], None]  # a part, and the place of its first row


def code_file(output: Path, model: Model, first: Dataset | None, *, sparse: bool) -> AbstractContextManager[Write]:
    """Open a file for codes; it is there when the block ends well.

    Parameters
    ----------
    output : Path
        Its suffix chooses.
    model : Model
        Whose codes they are.
    first : Dataset or None
        The first part, which tells whether there are labels, and of what type; None of a file of no rows.
    sparse : bool
        Write only what is not 0.
    """
    if sparse:
        return (_matrix if output.suffix.lower() == ".npz" else _cells)(output, model)
    if output.suffix.lower() == ".npy":
        return _array(output, model)
    return _table(output, model, None if first is None else first.labels)


def no_codes(model: Model) -> np.ndarray:
    """Codes (0, d) of no rows, of the type that all have."""
    row = np.full((1, *model.schema.shape), model.schema.low, np.float32)
    return _codes(model, row)[:0]


def _codes(model: Model, rows: np.ndarray) -> np.ndarray:
    return codes(model, tensor_of(rows)).numpy()


@contextmanager
def _array(output: Path, model: Model) -> Iterator[Write]:
    with growing_npy(output, no_codes(model)) as write:
        yield lambda part, _: write(_codes(model, part.values))


@contextmanager
def _table(output: Path, model: Model, labels: np.ndarray | None) -> Iterator[Write]:
    schema = _columns(no_codes(model), None if labels is None else labels[:0]).schema

    def write(part: Dataset, _: int) -> None:
        table = _columns(_codes(model, part.values), part.labels)
        try:
            put(table.cast(schema))
        except pa.ArrowInvalid as error:
            raise InputError(f"labels of {part.source} are of several types ({error}); leave out --label") from error

    with growing_table(output, schema) as put:
        yield write


def _columns(z: np.ndarray, labels: np.ndarray | None) -> pa.Table:
    columns = {f"z{place}": pa.array(np.ascontiguousarray(z[:, place])) for place in range(z.shape[1])}
    # A gap among whole numbers makes floats of them, one of which is NaN; as a null it fits any type.
    return pa.table(columns if labels is None else {**columns, "label": pa.array(labels, from_pandas=True)})


@contextmanager
def _cells(output: Path, model: Model) -> Iterator[Write]:
    schema = pa.schema({"row": pa.int64(), "code": pa.int64(), "value": pa.float32()})
    with growing_table(output, schema) as put:
        yield lambda part, first: put(pa.table(_not_zero(model, part, first), schema))


def _not_zero(model: Model, part: Dataset, first: int) -> list[np.ndarray]:
    """Rows, codes and values of the cells that are not 0."""
    rows, units, values = (found.numpy() for found in sparse_codes(model, tensor_of(part.values)))
    return [rows + first, units, values]


@contextmanager
def _matrix(output: Path, model: Model) -> Iterator[Write]:
    """A file of scipy's, which holds all rows at once: so does this, until the end."""
    found, ends = list[list[np.ndarray]](), [0]

    def write(part: Dataset, first: int) -> None:
        found.append(_not_zero(model, part, first))
        ends.append(first + len(part))

    yield write
    none = [np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)]
    rows, units, values = map(np.concatenate, zip(none, *found, strict=True))
    write_sparse(rows, units, values, (ends[-1], model.latent.size), output)
