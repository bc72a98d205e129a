"""Write the golden .nrw file; later versions keep reading it, and as long as this format is written, write it so.

    python tests/golden/make_container.py

Run it for a new format only, under a new number: the files of old formats stay as they are.
"""

from pathlib import Path
from typing import BinaryIO

from narrows.coding.container import CODED, STORED, Writer
from narrows.coding.framing import VERSION

FOLDER = Path(__file__).parent
HEADER = {
    "what": "golden",
    "levels": [0, 255],
    "scale": 0.1,
    "model": None,
    "name": "Zoë",
    "nested": {"b": 1, "a": True},
}
CHUNKS = [
    {"payload": bytes(range(256)), "examples": 4, "size": 256, "shape": (1, 8, 8), "method": STORED},
    {"payload": b"coded", "examples": 300, "size": 2**40, "method": CODED, "notes": b"a.png"},
    {"payload": b"", "examples": 1, "size": 0, "shape": (0, 2**62), "notes": b"image-0001.png\n" * 40},
]


def write(file: BinaryIO) -> None:
    with Writer(file, HEADER) as writer:
        for chunk in CHUNKS:
            writer.add(**chunk)


if __name__ == "__main__":
    with (FOLDER / f"container-v{VERSION}.nrw").open("wb") as golden:
        write(golden)
