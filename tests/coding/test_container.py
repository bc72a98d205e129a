"""The .nrw file: what goes in comes out, the same bytes each time, and as the format is written down."""

import io
import json
import runpy
import tracemalloc
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.atomic import writing
from narrows.coding import framing
from narrows.coding.container import CODED, STORED, Bits, Reader, Writer
from narrows.coding.salvage import salvage
from narrows.errors import InputError

GOLDEN = Path(__file__).parents[1] / "golden"

whole = st.integers(0, 2**62) | st.integers(0, 300)
chunks = st.lists(
    st.fixed_dictionaries(
        {"payload": st.binary(max_size=300), "examples": st.integers(1, 2**40) | st.integers(1, 200), "size": whole},
        optional={
            "shape": st.lists(whole, max_size=8).map(tuple),
            "method": st.integers(0, 127),
            "notes": st.binary(max_size=50) | st.binary(min_size=1, max_size=9).map(lambda name: name * 200),
        },
    ),
    max_size=5,
)
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
headers = st.dictionaries(st.text(), st.recursive(plain, lambda v: st.lists(v) | st.dictionaries(st.text(), v)))


def written(header, added) -> bytes:
    file = io.BytesIO()
    with Writer(file, header) as writer:
        for chunk in added:
            writer.add(**chunk)
    return file.getvalue()


def check_read(reader: Reader, header, added) -> None:
    assert reader.header == header
    assert len(reader.entries) == len(added)
    first = 0
    for i, chunk in enumerate(added):
        read = reader.read(i)
        assert (read.payload, read.notes) == (chunk["payload"], chunk.get("notes", b""))
        assert (read.frame.shape, read.frame.method) == (chunk.get("shape", ()), chunk.get("method", CODED))
        assert (read.frame.first, read.frame.examples, read.frame.size) == (first, chunk["examples"], chunk["size"])
        assert (reader.entries[i].first, reader.entries[i].stop) == (first, first + chunk["examples"])
        first += chunk["examples"]
    assert reader.total == first
    assert reader.lost == ()


# --- There and back --------------------------------------------------------------------------------------------------


@given(header=headers, added=chunks)
def test_what_goes_in_comes_out_and_its_bits_add_up(header, added):
    file = written(header, added)
    check_read(Reader.open(file), header, added)
    check_read(salvage(file), header, added)
    bits = Reader.open(file).bits()
    assert bits.payload == 8 * sum(len(chunk["payload"]) for chunk in added)
    assert bits.header + bits.payload + bits.notes + bits.framing + bits.footer == 8 * len(file)
    assert (bits.notes == 0) == all(not chunk.get("notes") for chunk in added)


@given(header=headers, added=chunks)
def test_equal_input_gives_equal_bytes_in_whatever_order_the_header_comes(header, added):
    assert written(dict(reversed(header.items())), added) == written(header, added)


def test_a_file_on_the_disk(tmp_path):
    added = [{"payload": b"ab" * 40, "examples": 2, "size": 80, "shape": (40,), "method": STORED, "notes": b"x\ny"}] * 3
    path = tmp_path / "some.nrw"
    with writing(path) as beside, beside.open("wb") as file, Writer(file, {"a": 1}) as writer:
        for chunk in added:
            writer.add(**chunk)
    assert path.read_bytes() == written({"a": 1}, added)
    with path.open("rb") as file:
        check_read(Reader.open(file, str(path)), {"a": 1}, added)


def test_no_chunks_at_all():
    reader = Reader.open(written({"n": 0}, []))
    check_read(reader, {"n": 0}, [])
    assert reader.bits().payload == reader.bits().framing == 0
    with pytest.raises(InputError, match="example 0 is not in"):
        reader.holding(0)


@given(added=chunks.filter(bool))
def test_an_example_is_found_in_its_chunk(added):
    reader = Reader.open(written({}, added))
    for i, entry in enumerate(reader.entries):
        assert reader.holding(entry.first) == reader.holding(entry.stop - 1) == i
    for outside in (-1, reader.total):
        with pytest.raises(InputError, match="is not in"):
            reader.holding(outside)


def test_reading_a_chunk_looks_at_no_other():
    added = [{"payload": bytes([i]) * 500, "examples": 1, "size": 500} for i in range(3)]
    file = bytearray(written({}, added))
    entries = Reader.open(bytes(file)).entries
    for i in (0, 2):
        file[entries[i].offset : entries[i].offset + entries[i].length] = bytes(entries[i].length)
    reader = Reader.open(bytes(file))
    assert reader.read(1).payload == added[1]["payload"]
    for i in (0, 2):
        with pytest.raises(InputError, match=f"^the chunk of examples {i} to {i} of the file is cut short or altered"):
            reader.read(i)


# --- The format, read by what its documentation says alone -----------------------------------------------------------


def blake(purpose: str, key: bytes, *pieces: bytes) -> bytes:
    return blake2b(b"".join(pieces), digest_size=16, key=key, person=purpose.encode()).digest()


class ByTheBook:
    """A cursor over a file, whose digests it checks as it goes."""

    def __init__(self, file: bytes) -> None:
        self.file, self.at = file, 0

    def take(self, n: int) -> bytes:
        self.at += n
        return self.file[self.at - n : self.at]

    def number(self) -> int:
        number, weight = 0, 1
        while (byte := self.take(1)[0]) >= 128:
            number, weight = number + (byte - 128) * weight, weight * 128
        return number + byte * weight

    def prefix(self) -> dict:
        start = self.at
        assert self.take(8) == bytes.fromhex("894e52570d0a1a0a")
        assert self.take(1) == b"\x01"
        length = int.from_bytes(self.take(4), "little")
        self.salt = self.take(8)
        header = json.loads(self.take(length))
        covered = self.file[start : self.at]
        self.identity = self.take(16)
        assert self.identity == blake("nrw prefix", b"", covered)
        return header

    def chunk(self) -> tuple:
        assert self.take(6) == blake("nrw marker", self.identity)[:6]
        start = self.at
        method, first, examples, size, payload_length, notes_length, axes = (self.number() for _ in range(7))
        shape = tuple(self.number() for _ in range(axes))
        payload, notes = self.take(payload_length), self.take(notes_length)
        covered = self.file[start : self.at]
        digest = self.take(16)
        assert digest == blake("nrw chunk", self.identity, covered)
        if not first:
            assert self.salt == blake("nrw salt", b"", covered)[:8]
        return (first, method, examples, size, shape, payload, notes), digest, self.at - start + 6


def test_the_format_is_as_it_is_written_down():
    golden = runpy.run_path(str(GOLDEN / "make_container.py"))
    book = ByTheBook((GOLDEN / "container-v1.nrw").read_bytes())
    assert book.prefix() == golden["HEADER"]
    read = [book.chunk() for _ in golden["CHUNKS"]]
    assert [row[0][0] for row in read] == [0, 4, 304]
    for (row, _, _), chunk in zip(read, golden["CHUNKS"], strict=True):
        shape = chunk.get("shape", ())
        assert row[1:6] == (chunk.get("method", 1), chunk["examples"], chunk["size"], shape, chunk["payload"])
    assert read[0][0][6] == b""
    assert read[1][0][6] == b"\x00a.png"  # too short to be worth compressing
    assert read[2][0][6].startswith(b"\x01BZh9")
    start = book.at
    assert book.prefix() == golden["HEADER"]
    assert book.number() == 3
    assert [(book.number(), book.number()) for _ in range(3)] == [(row[0][2], row[2]) for row in read]
    assert [book.take(16) for _ in range(3)] == [row[1] for row in read]
    covered = book.file[start : book.at]
    assert int.from_bytes(book.take(4), "little") == len(covered)
    assert book.take(16) == blake("nrw footer", book.identity, covered)
    assert book.at == len(book.file)


def test_the_golden_file_is_read_and_written_as_ever():
    golden = runpy.run_path(str(GOLDEN / "make_container.py"))
    file = (GOLDEN / "container-v1.nrw").read_bytes()
    check_read(Reader.open(file), golden["HEADER"], golden["CHUNKS"])
    again = io.BytesIO()
    golden["write"](again)
    assert again.getvalue() == file


def test_overhead_is_small():
    chunk = {"payload": bytes(355_000), "examples": 1250, "size": 980_000, "shape": (1, 28, 28)}
    assert len(written({}, [chunk] * 8)) - 8 * 355_000 < 600
    assert len(written({}, [{**chunk, "payload": b""}])) < 170
    assert Reader.open(written({}, [])).bits() == Bits(8 * 39, 0, 0, 0, 8 * 60)


# --- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", [{"a": float("nan")}, {"a": b"bytes"}, {"a": {1, 2}}, {"a": "x" * 2**20}, {(1, 2): 3}, {"a": 1, 2: 3}]
)
def test_a_header_that_is_no_json_or_too_long(header):
    with pytest.raises(InputError, match="header"):
        Writer(io.BytesIO(), header)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("examples", 0),
        ("size", -1),
        ("size", 2**63),
        ("shape", (1,) * 9),
        ("shape", (-1,)),
        ("method", 128),
        ("method", -1),
        ("notes", bytes(2**24 + 1)),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_chunk_with_a_number_out_of_its_bounds_leaves_the_file_as_it_was(name, value):
    file = io.BytesIO()
    with Writer(file, {}) as writer:
        with pytest.raises(InputError, match=r"was given as .*; it must be"):
            writer.add(**{"payload": b"", "examples": 1, "size": 0, name: value})
        writer.add(b"good", examples=1, size=4)
    check_read(Reader.open(file.getvalue()), {}, [{"payload": b"good", "examples": 1, "size": 4}])


def test_after_an_error_there_is_no_footer_and_after_the_footer_no_chunk():
    file = io.BytesIO()
    with pytest.raises(InputError, match="number of examples was given as 0"), Writer(file, {}) as writer:
        [writer.add(b"a", examples=n, size=1) for n in (1, 0)]
    with pytest.raises(InputError, match=r"^the file is cut short or altered"):
        Reader.open(file.getvalue())
    file = io.BytesIO()
    with Writer(file, {}) as writer:
        writer.close()
    assert file.getvalue() == written({}, [])
    with pytest.raises(ValueError, match="has its footer"):
        writer.add(b"a", examples=1, size=1)


# --- Memory and windows ----------------------------------------------------------------------------------------------


class Sink(io.RawIOBase):
    def write(self, piece) -> int:
        return len(piece)


def test_writing_takes_constant_memory():
    payload = bytes(10**6)
    tracemalloc.start()
    with Writer(Sink(), {}) as writer:
        for _ in range(50):
            writer.add(payload, examples=1, size=10**6)
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**5


@given(buffer=st.text("ab", max_size=40), pattern=st.text("ab", min_size=1, max_size=6), window=st.integers(1, 9))
def test_a_pattern_is_found_wherever_windows_end(buffer, pattern, window):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(framing, "_WINDOW", window)
        found = list(framing.Source(io.BytesIO(buffer.encode()), "it").find(pattern.encode()))
    assert found == [i for i in range(len(buffer)) if buffer.startswith(pattern, i)]


@given(numbers=st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 300)))
def test_numbers_come_back_and_cut_ones_do_not(numbers):
    text = framing.packed(numbers)
    assert list(framing.unpacked(text)) == numbers
    assert list(framing.unpacked(text[:-1])) == numbers[:-1]
    assert list(framing.unpacked(text + b"\x80" * 9 + b"\x00")) == numbers  # ten bytes are no number
