"""Cut the embedded Fashion-MNIST sample: the first 800 training and 100 test images of each class, in file order.

    NARROWS_DATA=FOLDER python benchmarks/cut_fashion_sample.py [OUT]

FOLDER/fashion_mnist holds the published files and their LICENSE, which is copied beside the sample. Measured on the
9000 images: LZMA over the plain cells takes 3.39 MB, one WebP sheet 3.55 MB, one PNG sheet 3.57 MB, deflate 3.92 MB.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np

import narrows.data
from narrows.data.published import FASHION_MNIST

CLASSES = 10
IMAGES = {"train": 8000, "test": 1000}
# The time stamp of every member, so that the same cut gives the same bytes.
STAMP = (2017, 8, 25, 0, 0, 0)


def cut(split: str) -> dict[str, np.ndarray]:
    """The first images of each class, in the order of the file."""
    found = FASHION_MNIST.load(split)
    assert found.labels is not None
    each = IMAGES[split] // CLASSES
    rows = np.sort(np.concatenate([np.flatnonzero(found.labels == label)[:each] for label in range(CLASSES)]))
    return {f"x_{split}": found.values[rows], f"y_{split}": found.labels[rows]}


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """An .npz file packed with LZMA, which numpy.load reads as any other."""
    with zipfile.ZipFile(path, "w") as archive:
        for key, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{key}.npy", STAMP)
            entry.compress_type = zipfile.ZIP_LZMA
            archive.writestr(entry, member.getvalue())


def main() -> None:
    """Write the sample and its licence."""
    if "NARROWS_DATA" not in os.environ:
        sys.exit("set NARROWS_DATA to a folder that has fashion_mnist/ with the published files and their LICENSE")
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(narrows.data.__file__).parent / "embedded"
    out.mkdir(parents=True, exist_ok=True)
    write(out / "fashion-sample.npz", cut("train") | cut("test"))
    shutil.copyfile(Path(os.environ["NARROWS_DATA"], "fashion_mnist", "LICENSE"), out / "LICENSE.fashion-mnist")
    print(f"{out / 'fashion-sample.npz'}: {(out / 'fashion-sample.npz').stat().st_size} bytes")


if __name__ == "__main__":
    main()
