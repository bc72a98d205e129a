"""Data sets that are published as IDX files: found on disk, or fetched once from a mirror and checked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from narrows.data.columns import Raw
from narrows.data.idx import read_idx
from narrows.data.wording import brief, short
from narrows.errors import InputError

_VARIABLE = "NARROWS_DATA"
_TIMEOUT_SECONDS = 20
_PREFIXES = {"train": "train", "test": "t10k"}


@dataclass(frozen=True)
class File:
    """One published file.

    Parameters
    ----------
    name : str
        Its name.
    md5 : str
        Checksum of the packed file, for the download.
    sha256 : str
        Checksum of what is in it: packers differ, the content does not.
    """

    name: str
    md5: str
    sha256: str


@dataclass(frozen=True)
class Published:
    """A data set of four IDX files.

    Parameters
    ----------
    name : str
        Name of the data set, for messages.
    folder : str
        Folder under ``NARROWS_DATA`` and in the cache.
    mirrors : tuple of str
        Addresses to fetch the files from, in the order to try.
    files : dict
        Images and labels by split.
    system : str or None
        Folder where a Linux distribution's package puts the files.
    """

    name: str
    folder: str
    mirrors: tuple[str, ...]
    files: dict[str, tuple[File, File]]
    system: str | None = None

    def load(self, split: str) -> Raw:
        """Images and labels of one split.

        Raises
        ------
        InputError
            If the files are neither on disk nor to be had, or are not the published ones.
        """
        images, labels = (_checked(self._path(file), file) for file in self.files[split])
        return Raw(images, labels=labels)

    def origin(self) -> str:
        """Where the training images are, or would come from, for a person."""
        found = self._on_disk(self.files["train"][0])
        return f"on disk, {found.parent}" if found else f"fetched once from {self.mirrors[0]} (or set {_VARIABLE})"

    def _path(self, file: File) -> Path:
        return self._on_disk(file) or self._fetched(file)

    def _folders(self) -> Iterator[Path]:
        if os.environ.get(_VARIABLE):
            yield Path(os.environ[_VARIABLE], self.folder)
        if self.system:
            yield Path(self.system)

    def _on_disk(self, file: File) -> Path | None:
        places = (folder / name for folder in self._folders() for name in (file.name, file.name.removesuffix(".gz")))
        return next((place for place in places if place.is_file()), None)

    def _fetched(self, file: File) -> Path:
        """The file in the user's cache, fetched if it is not there yet."""
        import pooch

        pooch.get_logger().setLevel("WARNING")
        trouble = ""
        for mirror in self.mirrors:
            try:
                path = pooch.retrieve(
                    mirror + file.name,
                    known_hash=f"md5:{file.md5}",
                    fname=file.name,
                    path=Path(pooch.os_cache("narrows"), self.folder),
                    downloader=pooch.HTTPDownloader(timeout=_TIMEOUT_SECONDS),
                )
            except (OSError, ValueError) as error:
                trouble = brief(error)
            else:
                return Path(path)
        raise InputError(
            f"the data set {short(self.name)} is not on disk and its download failed ({trouble}); connect to the "
            f"network, or set {_VARIABLE} to a folder that has {self.folder}/{file.name}"
        )


def _checked(path: Path, file: File) -> np.ndarray:
    array = read_idx(path)
    # The header is a function of the array, so the checksum of the unpacked file needs no second reading.
    header = bytes((0, 0, 8, array.ndim)) + b"".join(side.to_bytes(4, "big") for side in array.shape)
    digest = hashlib.sha256(header)
    digest.update(array.data)
    if array.dtype != np.uint8 or digest.hexdigest() != file.sha256:
        raise InputError(
            f"{short(str(path))} is not the published file: its content has another checksum; "
            f"remove it and fetch it again"
        )
    return array


def _mnist_like(sums: dict[str, tuple[str, str]]) -> dict[str, tuple[File, File]]:
    """The four files under the names that MNIST gave them, with their checksums."""

    def file(name: str) -> File:
        return File(f"{name}-ubyte.gz", *sums[name])

    return {
        split: (file(f"{prefix}-images-idx3"), file(f"{prefix}-labels-idx1")) for split, prefix in _PREFIXES.items()
    }


FASHION_MNIST = Published(
    "fashion-mnist",
    "fashion_mnist",
    (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    _mnist_like(
        {
            "train-images-idx3": (
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            ),
            "train-labels-idx1": (
                "25c81989df183df01b3e8a0aad5dffbe",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
            "t10k-images-idx3": (
                "bef4ecab320f06d8554ea6380940ec79",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            ),
            "t10k-labels-idx1": (
                "bb300cfdad3c16e7a12a480ee83cd310",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        },
    ),
    system="/usr/share/datasets/fashion-mnist",
)

MNIST = Published(
    "mnist",
    "mnist",
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    _mnist_like(
        {
            "train-images-idx3": (
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            "train-labels-idx1": (
                "d53e105ee54ea40749a09fcbcd1e9432",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            "t10k-images-idx3": (
                "9fb629c4189551a2d022fa330f9573f3",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            "t10k-labels-idx1": (
                "ec29112dd5afa0611ce80d1b7f02629c",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        },
    ),
)
