"""The small file that a decoder needs of a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from narrows.atomic import check_target
from narrows.errors import InputError


@dataclass(frozen=True)
class Exported:
    """A codec file.

    Parameters
    ----------
    file : str
        Its name.
    kind : str
        Of the codec.
    codec : str
        Its name, by which the files that it wrote call it.
    file_bytes : int
        Its length.
    """

    file: str
    kind: str
    codec: str
    file_bytes: int


def export(model: Path, output: Path, codec: bool = False) -> Exported:
    """Write the small file that is all that decompress needs of a model.

    Parameters
    ----------
    model : Path
        A model file of a preset that compresses, such as compressor.
    output : Path
        The file to write, by custom with the suffix .codec.
    codec : bool
        Write the codec; it is what there is to export.
    """
    if not codec:
        raise InputError("export was not told what to write; add --codec for the codec of a model that compresses")
    check_target(output, inputs=[model])

    from narrows.compression.files import fingerprint, open_compressor, save_codec

    compressor = open_compressor(model)
    size = save_codec(compressor, output)
    return Exported(str(output), compressor.kind, fingerprint(compressor), size)
