"""What a model is trained on: rows in memory, or in files where they are too many for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from narrows.apps.reading import Reading
from narrows.apps.watching import waiting
from narrows.plan import Plan

if TYPE_CHECKING:
    import numpy as np

    from narrows.data.filed import Filed
    from narrows.data.schema import Schema
    from narrows.data.unpacking import Unpacked
    from narrows.workers import Workers

READ_IN_BLOCKS = "the rows are too many to hold: blocks of them are read when they are trained on"
WRITTEN = "they were written one after the other into a temporary file of {:.1f} GiB"


@dataclass(frozen=True)
class Examples:
    """What is trained on: rows, their schema, what was left out, what is seen of each, and their labels."""

    rows: np.ndarray | Filed
    schema: Schema | None  # of rows in their file, None but for the first worker
    notes: tuple[str, ...]
    noisy: np.ndarray | None = None
    labels: np.ndarray | None = None


@dataclass(frozen=True)
class Asked:
    """Which rows were asked for, as `narrows.apps.train.train` takes it, and what they are for."""

    data: str
    values: str | None
    reading: Reading
    noisy: str | None
    preset: str
    settings: tuple[str, ...]
    plan: Plan

    def examples(self) -> Examples:
        """Read all rows."""
        dataset = self.reading.read(self.data, kind=self.values, symbols=self._symbols())
        beside = None if self.noisy is None else self.reading.read(self.noisy, dataset.schema).values
        return Examples(dataset.values, dataset.schema, dataset.notes, beside, dataset.labels)

    def stay_on_disk(self) -> bool:
        """Whether the rows are too many to hold, and can be read part by part for what they are for."""
        return self.noisy is None and not self._symbols() and self.reading.is_large(self.data)

    def on_disk(self, workers: Workers) -> Examples | Unpacked | None:
        """Rows in their own files, or unpacked by the first worker of each machine; None for its others."""
        from narrows.data.unpacking import can_share

        filed = self.reading.filed(self.data, self.values)
        if filed is not None:
            # To find the ends of their range, all rows are read: once for all workers.
            return Examples(filed, filed.schema() if workers.first else None, (READ_IN_BLOCKS, *filed.notes))
        if workers.local_rank and can_share():
            return None
        with waiting(f"writing the rows of {self.data} one after the other, as they are too many to hold"):
            return self.reading.unpacked(self.data, self.values, self._wants_labels)

    def _wants_labels(self, schema: Schema) -> bool:
        from narrows.fit import recipe_of

        return recipe_of(schema, self.preset, self.settings, self.plan).latent.conditional

    def _symbols(self) -> bool:
        from narrows.presets import PRESETS

        return self.preset in PRESETS and PRESETS[self.preset].symbols


def shared(found: Examples | Unpacked | None, workers: Workers) -> Examples:
    """Rows that the first worker of each machine has unpacked, opened by all of its workers; others as they are."""
    if isinstance(found, Examples):
        return found
    from narrows.data.unpacking import Unpacked

    records = workers.values(found and found.to_json())
    unpacked = found or Unpacked.from_json(records[workers.rank - workers.local_rank])
    rows, labels = unpacked.filed(), unpacked.read_labels()
    workers.values(None)  # all have opened it
    notes = (f"{READ_IN_BLOCKS}; {WRITTEN.format(rows.size / 2**30)}", *unpacked.notes)
    return Examples(rows, unpacked.schema if workers.first else None, notes, labels=labels)
