"""Files of every version are decoded for ever, and written with the same bytes as long as their version is."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from payloads import TWINS

from narrows.coding.container import CODED, STORED, Reader
from narrows.coding.framing import VERSION
from narrows.compression.archive import Archive
from narrows.compression.compressor import Work
from narrows.compression.files import COMPRESSORS, codec_bytes, load_codec

GOLDEN = Path(__file__).parents[1] / "golden"
ALL = sorted(GOLDEN.glob("*.codec"))
FILES = [path for path in ALL if not path.stem.startswith("table-")]  # those of images
# Of the levels that a lossy file gives; those of the others are known.
DIGESTS = {"quantised-v1": "a575eb98a4bc080cff80e7ba7558c24a11ffe50668352631d67022a80502fa0f"}


def test_there_is_one_of_each_kind_and_version():
    found = {path.stem for path in ALL}
    assert {f"{kind}-v{version}" for kind in COMPRESSORS for version in range(1, VERSION + 1)} <= found
    assert all(path.with_suffix(".nrw").exists() for path in ALL)


@pytest.mark.parametrize("compiled", TWINS)
@pytest.mark.parametrize("codec", FILES, ids=lambda path: path.stem)
def test_golden_files_are_decoded(codec, compiled, golden):
    archive = Archive.of(Reader.open(codec.with_suffix(".nrw").read_bytes()))
    compressor = load_codec(codec)
    assert codec.stem.startswith(compressor.kind)
    assert archive.form.kind == "folder"
    blocks = list(archive.blocks(compressor, Work(compiled=compiled)))
    assert len(blocks) == len(golden.BLOCKS)
    for block, known in zip(blocks, golden.BLOCKS, strict=True):
        assert compressor.lossy or np.array_equal(block.values, known.values)
        assert (block.values.shape, block.names) == (known.values.shape, known.names)
    if compressor.lossy:
        levels = b"".join(block.values.tobytes() for block in blocks)
        assert hashlib.sha256(levels).hexdigest() == DIGESTS[codec.stem]
    methods = [archive.reader.read(i).frame.method for i in range(len(blocks))]
    assert methods == [CODED, CODED, STORED]


@pytest.mark.parametrize("codec", FILES, ids=lambda path: path.stem)
def test_as_long_as_the_version_is_written_the_bytes_are_these(codec, golden):
    if not codec.stem.endswith(f"-v{VERSION}"):
        pytest.skip("an older version")
    compressor = load_codec(codec)
    assert codec_bytes(compressor) == codec.read_bytes()
    # What is lost, floats decide, which need not be the same on every machine.
    for compiled in () if compressor.lossy else TWINS:
        file = io.BytesIO()
        golden.write(file, compressor, Work(batch=3, compiled=compiled))
        assert file.getvalue() == codec.with_suffix(".nrw").read_bytes()
