"""Codec files: what a decoder needs of a model, its whole numbers entropy-coded, in one small file."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path

from narrows.atomic import writing
from narrows.coding.container import Reader, Writer
from narrows.coding.framing import MAGIC
from narrows.coding.whole import packed, unpacked
from narrows.compression.bits import BitsBack
from narrows.compression.compressor import Compressor
from narrows.compression.local import LocalCompressor
from narrows.compression.local_bits import LocalBitsBack
from narrows.compression.lossy import QuantisedCompressor
from narrows.compression.tables import TableCompressor
from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.model import Model
from narrows.persist import load

FINGERPRINT_BYTES = 16
# By their names in codec files. Each serves the models that it says; the last one all others, or it says why not.
COMPRESSORS: Mapping[str, type[Compressor]] = {
    kind.kind: kind for kind in (LocalCompressor, LocalBitsBack, QuantisedCompressor, TableCompressor, BitsBack)
}


def compressor_for(model: Model) -> Compressor:
    """Convert a trained model to whole numbers, the same on every machine.

    Raises
    ------
    InputError
        If it is of a kind that cannot be; the sentence names one that can.
    """
    return next(kind for kind in COMPRESSORS.values() if kind.serves(model)).from_model(model)


def fingerprint(compressor: Compressor) -> str:
    """Name of a codec: a digest of all that decoding depends on, as hexadecimal digits."""
    said = {"kind": compressor.kind, "schema": _shape_and_grid(compressor.schema), "settings": compressor.settings()}
    digest = hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=FINGERPRINT_BYTES)
    for name, array in sorted(compressor.arrays().items()):
        digest.update(f"{name} {array.shape} ".encode() + array.astype("<i8").tobytes())
    return digest.hexdigest()


def codec_bytes(compressor: Compressor) -> bytes:
    """Return the codec file of a compressor."""
    arrays = compressor.arrays()
    description, payload = packed(arrays)
    header = {
        "what": "codec",
        "kind": compressor.kind,
        "schema": compressor.schema.plain.to_json(),
        "settings": compressor.settings(),
        "arrays": description,
        "fingerprint": fingerprint(compressor),
    }
    file = io.BytesIO()
    with Writer(file, header) as writer:
        writer.add(payload, examples=1, size=sum(4 * array.size for array in arrays.values()))
    return file.getvalue()


def save_codec(compressor: Compressor, path: Path | str) -> int:
    """Write a codec file, whole or not at all; return its length in bytes."""
    whole = codec_bytes(compressor)
    with writing(path) as beside:
        beside.write_bytes(whole)
    return len(whole)


def load_codec(path: Path | str) -> Compressor:
    """Read a codec file.

    Raises
    ------
    InputError
        If it is foreign, damaged, or of a kind that this version does not know.
    """
    with Path(path).open("rb") as file:
        reader = Reader.open(file, str(path))
        header = reader.header
        if header.get("what") != "codec" or len(reader.entries) != 1:
            raise InputError(f"{path} holds data and no codec; give the codec file that narrows export --codec wrote")
        payload = reader.read(0).payload
    try:
        kind = COMPRESSORS[header["kind"]]
        schema = Schema.from_json(header["schema"])
        compressor = kind.from_arrays(schema, header["settings"], unpacked(header["arrays"], payload))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        said = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path} holds a codec that this version cannot use ({said}); export it again") from None
    if fingerprint(compressor) != header.get("fingerprint"):
        raise InputError(f"{path} is not the codec that it says it is; export it again")
    return compressor


def open_compressor(path: Path) -> Compressor:
    """Read a codec file, or a model file, which is converted."""
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(MAGIC)) == MAGIC:
                return load_codec(path)
    return compressor_for(load(path).model)


def _shape_and_grid(schema: Schema) -> list[object]:
    return [list(schema.shape), schema.low, schema.high, schema.step]
