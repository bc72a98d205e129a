"""Foreign, newer and forged .nrw files: whatever their numbers say, one sentence, little memory and little time."""

import bz2
import contextlib
import io
import time
import tracemalloc

import pytest

from narrows.coding.chunks import Entry, Frame, footer_bytes
from narrows.coding.container import Reader
from narrows.coding.framing import (
    DIGEST_BYTES,
    MAGIC,
    MAX_HEADER,
    VERSION,
    Damaged,
    Prefix,
    Source,
    digest_of,
    header_bytes,
    packed,
)
from narrows.coding.salvage import salvage
from narrows.errors import InputError

PREFIX = Prefix.of(header_bytes({}), bytes(8))


def test_foreign_and_newer_files():
    for foreign in (b"", b"\x89", b"PK\x03\x04" + bytes(100), b"text", bytes(1000), MAGIC[:7]):
        with pytest.raises(InputError, match=r"^it\.nrw does not begin as a \.nrw file does; give one that"):
            Reader.open(foreign, "it.nrw")
        with pytest.raises(InputError, match=r"^nothing can be salvaged from it\.nrw"):
            salvage(foreign, "it.nrw")
    file = (PREFIX.raw + footer_bytes(PREFIX, [])).replace(MAGIC + bytes([VERSION]), MAGIC + bytes([VERSION + 1]))
    for read in (Reader.open, salvage):
        with pytest.raises(InputError, match=r"^it\.nrw is of format 2, and this .* up to 1; upgrade it \(pip"):
            read(file, "it.nrw")


def forged(frame: bytes, payload: bytes = b"", claimed: int | None = None) -> bytes:
    """A file with one chunk whose digests are right, whatever its numbers say."""
    digest = digest_of("nrw chunk", PREFIX.identity, frame, payload)
    chunk = PREFIX.marker + frame + payload + digest
    entry = Entry(0, 1, len(PREFIX.raw), len(chunk) if claimed is None else claimed, digest)
    return PREFIX.raw + chunk + footer_bytes(PREFIX, [entry])


def with_footer(body: bytes, length: int | None = None) -> bytes:
    digest = digest_of("nrw footer", PREFIX.identity, body)
    return PREFIX.raw + body + (len(body) if length is None else length).to_bytes(4, "little") + digest


FORGED = {
    "long payload": forged(Frame(1, 0, 1, 0, 2**62, 0, ()).to_bytes()),
    "long notes": forged(Frame(1, 0, 1, 0, 0, 2**62, ()).to_bytes()),
    "long chunk": forged(Frame(1, 0, 1, 0, 2, 0, ()).to_bytes(), b"ab", claimed=2**62),
    "many axes": forged(packed([1, 0, 1, 0, 0, 0, 2**62]), bytes(500)),
    "number without end": forged(b"\xff" * 100_000),
    "frame without end": forged(b"\x80\x80"),
    "footer longer than the file": with_footer(PREFIX.raw, 2**32 - 1),
    "many chunks": with_footer(PREFIX.raw + packed([2**62])),
    "chunks without digests": with_footer(PREFIX.raw + packed([3, 1, 2**62, 1, 2**62, 1, 2**62])),
    "footer of another file": with_footer(Prefix.of(header_bytes({}), b"salt not").raw + packed([0])),
    "footer of one number": with_footer(PREFIX.raw + b"\xff" * 100_000),
    "chunk of another place": forged(Frame(1, 5, 1, 0, 0, 0, ()).to_bytes()),
    "notes that are not compressed": forged(Frame(1, 0, 1, 0, 0, 4, ()).to_bytes(), b"\x01BZh"),
    "header longer than the file": PREFIX.raw[:9] + MAX_HEADER.to_bytes(4, "little") + PREFIX.raw[13:],
    "header longer than is allowed": PREFIX.raw[:9] + (2**32 - 1).to_bytes(4, "little") + bytes(100),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_numbers_are_refused_without_memory_or_time(name):
    file = FORGED[name]
    tracemalloc.start()
    began = time.monotonic()
    with pytest.raises(InputError, match="is cut short or altered"):
        Reader.open(file).read(0)
    try:
        salvage(file)
    except InputError as error:
        assert "nothing can be salvaged" in str(error)  # noqa: PT017
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "header", [b"[1]", b"{", b"[" * 10_000, b"\xff", b"7", b"", b'{"a":"' + b"x" * MAX_HEADER + b'"}']
)
def test_a_header_that_is_no_object_or_too_long(header):
    check_prefix_refused(header, VERSION)


def test_there_is_no_version_0():
    check_prefix_refused(b"{}", 0)


def check_prefix_refused(header: bytes, version: int) -> None:
    raw = MAGIC + bytes([version]) + len(header).to_bytes(4, "little") + bytes(8) + header
    with pytest.raises(InputError, match="header of the file is cut short or altered"):
        Reader.open(raw + digest_of("nrw prefix", b"", raw))


def test_a_file_that_is_cut_while_it_is_open(tmp_path):
    path = tmp_path / "some.nrw"
    path.write_bytes(forged(Frame(1, 0, 1, 0, 10**5, 0, ()).to_bytes(), bytes(10**5)))
    with path.open("r+b") as file:
        reader = Reader.open(file)
        assert len(reader.read(0).payload) == 10**5
        file.truncate(10**4)
        with pytest.raises(InputError, match="examples 0 to 0 of the file is cut short or altered"):
            reader.read(0)
        source = Source(file, "it.nrw")
        file.truncate(10)
        with pytest.raises(Damaged, match=r"^it\.nrw is cut short"):
            source.take(5, 10)


class Counting(io.BytesIO):
    """Remembers the most bytes that it was asked for."""

    most = 0

    def read(self, n=-1) -> bytes:
        self.most = max(self.most, n if n >= 0 else 2**62)
        return super().read(n)


def test_no_more_is_asked_for_than_the_file_has():
    for content in FORGED.values():
        for read in (Reader.open, salvage):
            file = Counting(content)
            with contextlib.suppress(InputError):
                read(file).bits()
            assert file.most <= len(content)
    with pytest.raises(InputError):
        Source(Counting(bytes(10)), "it").take(5, 6)


def test_notes_that_unpack_without_end_stop_at_their_bound():
    notes = b"\x01" + bz2.compress(bytes(10**8))
    assert len(notes) < 200
    file = forged(Frame(1, 0, 1, 0, 0, len(notes), ()).to_bytes(), notes)
    tracemalloc.start()
    with pytest.raises(InputError, match="chunk of examples 0 to 0 of the file"):
        Reader.open(file).read(0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20


def test_salvage_looks_at_each_byte_once_whatever_the_markers_claim():
    """20,000 chunks that each claim all the rest: 10 GB to hash, if each were believed."""
    one = PREFIX.marker + Frame(1, 0, 1, 0, 10**6, 0, ()).to_bytes() + bytes(36)
    file = PREFIX.raw + one * 20_000 + bytes(10**6 + DIGEST_BYTES)
    began = time.monotonic()
    assert salvage(file).entries == ()
    assert time.monotonic() - began < 5
