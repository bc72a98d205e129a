"""What other formats make of data that were compressed, in words."""

from __future__ import annotations

from narrows.apps.comparing import Row, Sample, compared
from narrows.apps.comparing_tables import as_csv, compared_tables
from narrows.compression.compressor import Compressor
from narrows.data.frames import Frames


def in_other_formats(frames: Frames, compressor: Compressor) -> list[str]:
    """Other formats on the same data, or on a sample of many."""
    if frames.form.columns is not None:
        return _compared_table(frames, compressor)
    sample = Sample(len(frames))
    for block in frames:
        sample.add(block.values)
    said = list(map(_said, compared(sample.blocks)))
    return [*said, sample.note] if sample.note else said


def _compared_table(frames: Frames, compressor: Compressor) -> list[str]:
    """Other formats on the same table, or on its first rows."""
    text, rows = as_csv(frames, compressor.schema)
    said = list(map(_said, compared_tables(text, frames.form.header, rows * compressor.schema.size)))
    return said if rows == len(frames) else [*said, f"compared on the first {rows:,} of {len(frames):,} rows"]


def _said(row: Row) -> str:
    figures = f"{row.bytes:,} bytes, {row.bits_per_cell:.3f} bits a cell" if row.bits_per_cell is not None else ""
    return f"{row.format}, {row.layout}: {row.note or figures}"
