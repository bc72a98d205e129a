"""Write the golden codec of tables and what it compressed; later versions decode it, and write the same while they can.

    python tests/golden/make_table.py

Run it for a new format only, under a new number: the files of old formats stay as they are.
"""

import tempfile
from pathlib import Path
from typing import BinaryIO

from narrows.coding.framing import VERSION
from narrows.compression.archive import written
from narrows.compression.compressor import Compressor, Work
from narrows.compression.files import compressor_for, save_codec
from narrows.data.frames import open_frames
from narrows.data.readers import read
from narrows.data.request import Request
from narrows.fit import fit
from narrows.plan import Plan

FOLDER = Path(__file__).parent
SMALL = {"network.width": 8, "latent.size": 3}
NAMES = "proto,port,bytes,rate,note,same"
# Text and numbers that no training row holds.
ODD = ['"a ""new"", one",007,1e9,-0,,2', "é,123456789012345678901,-5,0.125,x,1", ",,,,,"]
CELLS = 6 * 40  # of a chunk


def rows(n: int, first: int = 0) -> list[str]:
    """Lines that repeat themselves in part, of whole numbers alone."""
    lines = []
    for i in range(first, first + n):
        udp = i * i % 7 < 3
        proto, port = ("udp", 53) if udp else ("tcp", (80, 443, 22)[i % 3])
        size = (i * 2654435761 >> 7) % (50 if udp else 40000)
        note = "" if i % 5 else "ok" if i % 2 else "late"
        lines.append(f"{proto},{port},{size},{i * i % 13 / 4:.2f},{note},1")
    return lines


def text(training: bool = False) -> str:
    """A table to learn from, or another one to compress."""
    return "\n".join([NAMES, *(rows(400) if training else [*rows(90, 1000), *ODD, *rows(10, 2000)])]) + "\n"


def write(file: BinaryIO, compressor: Compressor, work: Work) -> None:
    """Compress the table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_text(text(), encoding="utf-8")
        for _ in written(file, compressor, open_frames(str(path), Request(schema=compressor.schema), CELLS), work):
            pass


def trained(epochs: int = 60) -> Compressor:
    """A small codec of such tables."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "training.csv"
        path.write_text(text(training=True), encoding="utf-8")
        dataset = read(path, symbols=True)
    plan = Plan(epochs=epochs, batch_size=16)
    return compressor_for(fit(dataset.values, dataset.schema, "compressor-table", SMALL, plan).model.eval())


def main() -> None:
    compressor = trained()
    save_codec(compressor, FOLDER / f"table-v{VERSION}.codec")
    with (FOLDER / f"table-v{VERSION}.nrw").open("wb") as file:
        write(file, compressor, Work())


if __name__ == "__main__":
    main()
