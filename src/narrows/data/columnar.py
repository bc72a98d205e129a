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

MOST_ROWS, MOST_BYTES = 2**16, 2**27  # that are decoded at once, and held
SAMPLED_ROWS = 1000  # that tell how many bytes one takes


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
    """Read a Parquet file some rows at once, holding one row group and what was asked for; raises as `read_parquet`.

    A file of no rows gives one table of none. Of rows so wide that they take more than 128 MiB, fewer come at once.
    """
    with _parquet(path) as file:
        if not file.metadata.num_rows:
            yield file.schema_arrow.empty_table()
        # Of all row groups at once, Arrow would hold as many as it has come to.
        groups = range(file.num_row_groups)
        size = min(rows, MOST_ROWS)
        batches = (batch for group in groups for batch in file.iter_batches(size, row_groups=[group]))
        yield from _regrouped(batches, rows)


def parquet_weight(path: Path, _: int) -> int:
    """How many bytes a Parquet file takes in memory: 8 for each cell, or as many as those of its first rows.

    Raises
    ------
    InputError
        As `read_parquet`.
    """
    with _parquet(path) as file:
        rows, columns = file.metadata.num_rows, file.metadata.num_columns
        first = next(file.iter_batches(SAMPLED_ROWS), None) if rows else None
        of_a_row = first.nbytes / first.num_rows if first is not None and first.num_rows else 0
        return max(rows * columns * 8, int(rows * of_a_row))


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
        empty = True
        for batch in map(_validated, _batches(is_file, reader)):
            for first in range(0, batch.num_rows, rows):
                empty = False
                yield pa.Table.from_batches([batch.slice(first, rows)])
        if empty:
            yield reader.schema.empty_table()


def arrow_weight(path: Path, enough: int) -> int:
    """How many bytes an Arrow file takes in memory, as far as ``enough``: its batches may be compressed.

    Raises
    ------
    InputError
        As `read_arrow`.
    """
    total = 0
    with _arrow(path) as (is_file, reader):
        for batch in _batches(is_file, reader):
            total += batch.nbytes
            if total >= enough:
                break
    return total


def _batches(is_file: bool, reader: Any) -> Iterable[pa.RecordBatch]:
    return map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader


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
    """The rows of batches in tables of so many, the last one aside, and fewer where they take too many bytes."""
    import pyarrow as pa

    held, count = list[pa.RecordBatch](), 0
    for batch in batches:
        held.append(batch)
        count += batch.num_rows
        if count < rows and sum(one.nbytes for one in held) > MOST_BYTES:
            yield pa.Table.from_batches(held)
            held, count = [], 0
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
