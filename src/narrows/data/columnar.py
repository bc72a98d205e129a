"""Tables in Parquet, Arrow IPC and Feather files -> Arrow tables, whole or some rows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from narrows.data.limits import refuse_bomb
from narrows.data.wording import brief, short
from narrows.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa


def read_parquet(path: Path) -> pa.Table:
    """Read a Parquet file.

    Raises
    ------
    InputError
        If the file is damaged, or declares far more cells than its size can hold.
    """
    with _parquet(path) as file:
        return file.read()


def parquet_blocks(path: Path, rows: int) -> Iterator[pa.Table]:
    """Read a Parquet file some rows at once, holding one row group and what was asked for; raises as `read_parquet`."""
    with _parquet(path) as file:
        # Of all row groups at once, Arrow would hold as many as it has come to.
        groups = range(file.num_row_groups)
        batches = (batch for group in groups for batch in file.iter_batches(rows, row_groups=[group]))
        yield from _regrouped(batches, rows)


def parquet_weight(path: Path) -> int:
    """How many bytes a Parquet file takes in memory, of 8 for each cell; raises as `read_parquet`."""
    with _parquet(path) as file:
        return int(file.metadata.num_rows * file.metadata.num_columns * 8)


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    """Open a Parquet file; what goes wrong in the block is said in one line."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            record = file.metadata
            refuse_bomb(record.num_rows * record.num_columns * 8, path.stat().st_size, str(path))
            yield file
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"{short(str(path))} cannot be read as a Parquet file ({brief(error)}); write it again"
        ) from error


def read_arrow(path: Path) -> pa.Table:
    """Read an Arrow IPC file or stream; Feather version 2 is the former.

    Raises
    ------
    InputError
        If the file is damaged or of another kind.
    """
    with _arrow(path) as (_, reader):
        table = reader.read_all()
        # Offsets that point outside their buffers are found only by looking at every cell.
        table.validate(full=True)
        return table


def arrow_blocks(path: Path, rows: int) -> Iterator[pa.Table]:
    """Read an Arrow file or stream some rows at once, holding one of its batches; raises as `read_arrow`."""
    import pyarrow as pa

    with _arrow(path) as (is_file, reader):
        batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
        for batch in batches:
            batch.validate(full=True)
            for first in range(0, batch.num_rows, rows):
                yield pa.Table.from_batches([batch.slice(first, rows)])


def stream_blocks(stream: IO[bytes], name: str, rows_for: Callable[[int], int]) -> Iterator[pa.Table]:
    """Read an Arrow stream as it comes, in tables of as many rows, the last one aside, as so many columns want.

    Raises
    ------
    InputError
        If it is none, or damaged; ``name`` says what is.
    """
    import pyarrow as pa

    try:
        reader = pa.ipc.open_stream(stream)
        yield from _regrouped(map(_validated, reader), rows_for(len(reader.schema)))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{name} cannot be read as an Arrow stream ({brief(error)}); write it again") from error


def _regrouped(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """The rows of batches in tables of so many, the last one aside."""
    import pyarrow as pa

    held, count = list[pa.RecordBatch](), 0
    for batch in batches:
        held.append(batch)
        count += batch.num_rows
        while count >= rows:
            table = pa.Table.from_batches(held)
            held, count = table.slice(rows).to_batches(), count - rows
            yield table.slice(0, rows)
    if count:
        yield pa.Table.from_batches(held)


def _validated(batch: pa.RecordBatch) -> pa.RecordBatch:
    batch.validate(full=True)
    return batch


@contextmanager
def _arrow(path: Path) -> Iterator[tuple[bool, Any]]:
    """Open an Arrow file: whether it is one, not a stream, and its reader; errors in the block as in `_parquet`."""
    import pyarrow as pa

    try:
        with pa.OSFile(str(path)) as source:
            is_file = source.read(6) == b"ARROW1"
            source.seek(0)
            yield is_file, pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"{short(str(path))} cannot be read as an Arrow or Feather file ({brief(error)}); write it again"
        ) from error
