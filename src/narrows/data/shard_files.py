"""The shards of a folder: files of one kind, or folders of images, each with the name that its output will have."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from narrows.data.formats import FORMATS, Format
from narrows.data.images import is_image
from narrows.data.shards import files_in
from narrows.data.wording import listed, short
from narrows.errors import InputError

ARCHIVES = (".zip",)  # of images
ENDS = 2**16  # bytes by which a file is known again: a Parquet file ends in what it holds


@dataclass(frozen=True)
class ShardFile:
    """A shard.

    Parameters
    ----------
    path : Path
        A file, or a folder of images.
    stem : str
        Its name without the suffix.
    suffix : str
        The first of those that files of its kind have, such as .csv for .tsv.gz; none of a folder.
    """

    path: Path
    stem: str
    suffix: str

    def mark(self) -> str:
        """By which it is known to be the same: a digest of size and both ends, or of all names and sizes in a folder.

        Raises
        ------
        OSError
            If it cannot be read.
        """
        digest = hashlib.sha256()
        if self.path.is_dir():
            for path in sorted(self.path.rglob("*")):
                digest.update(f"{path.relative_to(self.path)}\0{path.stat().st_size}\n".encode())
            return digest.hexdigest()
        size = self.path.stat().st_size
        digest.update(f"{size}\n".encode())
        with self.path.open("rb") as file:
            digest.update(file.read(ENDS))
            file.seek(max(0, size - ENDS))
            digest.update(file.read())
        return digest.hexdigest()


def of_one_kind(folder: Path, forms: Sequence[Format]) -> tuple[Format | None, list[Path]]:
    """Files of a folder that are shards, and their kind; None where there are none.

    Raises
    ------
    InputError
        If they are of several kinds.
    """
    kinds = {form: files for form in forms if (files := files_in(folder, form.suffixes))}
    if len(kinds) > 1:
        held = listed(str(files[0].name) for files in kinds.values())
        raise InputError(f"{short(str(folder))} holds files of several kinds ({held}); give a folder of one kind")
    return next(iter(kinds.items()), (None, []))


def shards_in(folder: Path) -> list[ShardFile]:
    """Files of one kind in a folder, by name: tables, .npy arrays or zip files of images; none where it has none.

    Raises
    ------
    InputError
        If they are of several kinds, or two have one name but for the suffix.
    """
    form, files = of_one_kind(folder, [form for form in FORMATS if form.shard or form.suffixes == ARCHIVES])
    if form is None:
        return []
    found = [ShardFile(path, _stem(path, form), form.suffixes[0]) for path in files]
    by_stem: dict[str, Path] = {}
    for one in found:
        other = by_stem.setdefault(one.stem, one.path)
        if other != one.path:
            raise InputError(
                f"{short(str(folder))} holds {other.name} and {one.path.name}, whose outputs would have one name; "
                f"rename one of them"
            )
    return found


def image_folders_in(folder: Path) -> list[ShardFile]:
    """Folders in a folder that hold images, by name; none where it has none.

    Raises
    ------
    InputError
        If images stand beside them.
    """
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith((".", "_"))]
    found = [ShardFile(path, path.name, "") for path in inside if any(map(is_image, _names_under(path)))]
    loose = next((path.name for path in sorted(folder.iterdir()) if path.is_file() and is_image(path.name)), None)
    if loose is not None:
        raise InputError(
            f"{short(str(folder))} holds images such as {loose}, and a shard is a zip file or a folder of some "
            f"thousands; put them into such, or leave out --engine"
        )
    return found


def _names_under(folder: Path) -> list[str]:
    return [name for _, _, names in os.walk(folder) for name in names]


def _stem(path: Path, form: Format) -> str:
    suffix = max((end for end in form.suffixes if path.name.lower().endswith(end)), key=len)
    return path.name[: -len(suffix)]
