"""The same table in other formats: what a file of ours has to beat."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator

from narrows.apps.comparing import Row, xz_size
from narrows.data.exact import table_of_block
from narrows.data.frames import Frames
from narrows.data.schema import Schema
from narrows.data.table_sinks import csv_lines, names_line

MOST_BYTES = 2**28
ZSTD = 19


def as_csv(frames: Frames, schema: Schema) -> tuple[bytes, int]:
    """Write a table in the symbols of a model's columns as CSV, up to some 256 MiB of it; also say how many rows."""
    text, rows, columns = io.BytesIO(), 0, frames.form.columns or ()
    text.write(names_line(frames.form, schema))
    for block in frames:
        text.write(csv_lines(table_of_block(schema, columns, block.values, block.rest)))
        rows += len(block.values)
        if text.tell() > MOST_BYTES:
            break
    return text.getvalue(), rows


def compared_tables(text: bytes, header: bool, cells: int) -> Iterator[Row]:
    """Write a table in other formats without loss, and say how large they are; each row takes a while.

    Parameters
    ----------
    text : bytes
        The table as CSV.
    header : bool
        Whether its first line holds the names.
    cells : int
        How many it has.

    Yields
    ------
    Row
        One for each format: CSV, gzip and xz at their best, and Parquet with zstd at its best, its columns of the types
        that Arrow finds them to be of.
    """
    for name, size in (
        ("CSV", len(text)),
        ("CSV, gzip", len(gzip.compress(text, 9))),
        ("CSV, xz", xz_size([text], len(text))),
        ("Parquet, zstd", parquet_size(text, header)),
    ):
        yield Row(name, "all rows", size, 8 * size / cells if cells else None)


def parquet_size(text: bytes, header: bool) -> int:
    """Bytes of a CSV file as a Parquet file."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    reading = csv.ReadOptions(autogenerate_column_names=not header, block_size=max(1 << 20, len(text) + 1))
    table = csv.read_csv(pa.BufferReader(text), reading, csv.ParseOptions(newlines_in_values=True))
    stream = io.BytesIO()
    parquet.write_table(table, stream, compression="zstd", compression_level=ZSTD)
    return len(stream.getvalue())
