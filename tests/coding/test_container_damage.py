"""Damaged and spliced .nrw files: refused in one sentence or read right, and salvaged chunk by chunk."""

import io
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from narrows.coding.container import Reader, Writer
from narrows.coding.framing import MAGIC
from narrows.coding.salvage import salvage
from narrows.errors import InputError

HEADER = {"model": "abc", "shape": [2, 2]}
EXAMPLES = (3, 1, 130, 2)


def chunks(seed: int, first: bytes) -> list[dict]:
    """Chunks with payloads of their own, the first one aside."""
    r = np.random.default_rng(seed)
    return [
        {
            "payload": first if i == 0 else r.bytes(10 + 7 * i),
            "examples": n,
            "size": 4 * n,
            "shape": (2, 2),
            "notes": b"a name\n" * i * 5,
        }
        for i, n in enumerate(EXAMPLES)
    ]


@cache
def written(seed: int = 0, first: bytes = b"the first", header: str = "abc") -> bytes:
    file = io.BytesIO()
    with Writer(file, {**HEADER, "model": header}) as writer:
        for chunk in chunks(seed, first):
            writer.add(**chunk)
    return file.getvalue()


@cache
def pieces(file: bytes) -> list[range]:
    """Where prefix, chunks and footer lie."""
    entries = Reader.open(file).entries
    edges = [0, *(entry.offset for entry in entries), entries[-1].offset + entries[-1].length, len(file)]
    return [range(a, b) for a, b in pairwise(edges)]


@cache
def contents(file: bytes) -> list[tuple]:
    reader = Reader.open(file)
    return [everything(reader, i) for i in range(len(reader.entries))]


def everything(reader: Reader, i: int) -> tuple:
    chunk = reader.read(i)
    return chunk.frame, chunk.payload, chunk.notes


def read_or_refused(file: bytes, *honest: bytes) -> int:
    """How many chunks are read; whatever is read must be what one honest file holds in that place."""
    try:
        reader = Reader.open(file, "it.nrw")
    except InputError as error:
        check_sentence(error)
        return 0
    read = {}
    for i in range(len(reader.entries)):
        try:
            read[i] = everything(reader, i)
        except InputError as error:
            check_sentence(error)
    wholes = [contents(h) for h in honest if Reader.open(h).prefix == reader.prefix]
    assert len(reader.entries) == len(EXAMPLES)
    assert any(all(whole[i] == chunk for i, chunk in read.items()) for whole in wholes)
    return len(read)


def check_sentence(error: InputError) -> None:
    text = str(error)
    assert text.count("it.nrw") == 1
    assert "\n" not in text
    assert "; " in text  # what is to be done
    assert "--salvage" in text or "upgrade" in text or "another copy" in text


def salvaged(file: bytes) -> list[tuple]:
    reader = salvage(file, "it.nrw")
    held = {example for entry in reader.entries for example in range(entry.first, entry.stop)}
    missing = {example for lost in reader.lost for example in lost}
    end = max(held, default=-1) + 1 if reader.total is None else reader.total
    assert held | missing == set(range(end))
    assert not held & missing
    return [everything(reader, i) for i in range(len(reader.entries))]


def outside(file: bytes, changed: range) -> list[tuple]:
    """Chunks that lie wholly before or behind the bytes that were changed."""
    places = pieces(file)[1:-1]
    untouched = [place.stop <= changed.start or place.start >= changed.stop for place in places]
    return [chunk for chunk, intact in zip(contents(file), untouched, strict=True) if intact]


# --- Every byte of a small file --------------------------------------------------------------------------------------


def test_cut_short_anywhere():
    file = written()
    prefix, *places, _ = pieces(file)
    assert len(file) < 700
    for length in range(len(file)):
        assert read_or_refused(file[:length], file) == 0
        if length < prefix.stop:
            with pytest.raises(InputError, match=r"nothing can be salvaged from it\.nrw"):
                salvage(file[:length], "it.nrw")
        else:
            whole = [chunk for chunk, place in zip(contents(file), places, strict=True) if place.stop <= length]
            assert salvaged(file[:length]) == whole
            assert salvage(file[:length]).total is None


def test_every_bit_flipped():
    file = written()
    prefix, *_, footer = pieces(file)
    for at in range(len(file)):
        for bit in range(8):
            altered = file[:at] + bytes([file[at] ^ 1 << bit]) + file[at + 1 :]
            read = read_or_refused(altered, file)
            assert read == (0 if at in prefix or at in footer else len(EXAMPLES) - 1)
            if bit == at % 8:
                assert salvaged(altered) == outside(file, range(at, at + 1))
                assert salvage(altered).total == (None if at in footer else sum(EXAMPLES))


def test_a_byte_more_or_less_anywhere():
    file = written()
    for at in range(len(file)):
        for altered, changed in (
            (file[:at] + b"\x00" + file[at:], range(at, at)),
            (file[:at] + file[at + 1 :], range(at, at + 1)),
        ):
            if altered != file:
                assert read_or_refused(altered, file) == 0
            assert salvaged(altered) == outside(file, changed)


# --- Files put together from others ----------------------------------------------------------------------------------


def relatives() -> dict[str, bytes]:
    return {
        "another header": written(header="xyz"),
        "another first chunk": written(seed=1, first=b"the other"),
        "the same beginning": written(seed=1),
    }


def joined(file: bytes, order: list[int], others: dict[int, bytes]) -> bytes:
    """A file made of pieces of this one and, where so said, of others."""
    return b"".join(
        source[pieces(source)[i].start : pieces(source)[i].stop] for i in order for source in [others.get(i, file)]
    )


@pytest.mark.parametrize("other", relatives())
def test_a_chunk_of_another_file_is_never_read_as_one_of_this(other):
    file, second = written(), relatives()[other]
    spliced = joined(file, [0, 1, 2, 3, 4, 5], {3: second})
    assert read_or_refused(spliced, file) == 3
    assert salvaged(spliced) == outside(file, pieces(file)[3])
    if other != "the same beginning":  # from which only the footer tells it
        assert salvaged(joined(file, [0, 1, 2, 3, 4], {3: second})) == outside(file, pieces(file)[3])


def test_chunks_in_another_order_are_refused_and_salvaged():
    file = written()
    for order in ([0, 2, 1, 3, 4, 5], [0, 4, 3, 2, 1, 5], [5, 4, 3, 2, 1, 0], [0, 1, 2, 2, 3, 4, 5]):
        assert read_or_refused(joined(file, order, {}), file) < len(EXAMPLES)
        assert salvaged(joined(file, order, {})) == contents(file)
    assert salvaged(joined(file, [0, 4, 2, 1, 3], {})) == contents(file)  # without the footer


def test_of_two_chunks_that_claim_the_same_examples_neither_is_given_out_unless_the_footer_knows():
    file, second = written(), relatives()["the same beginning"]
    both = joined(file, [0, 1, 2, 3], {}) + joined(second, [3, 4], {})
    chunk = contents(file)
    assert salvaged(both) == [chunk[0], chunk[1], contents(second)[3]]
    assert salvage(both).lost == (range(4, 134),)
    assert salvaged(both + joined(file, [5], {})) == chunk[:3]
    assert salvage(both + joined(file, [5], {})).lost == (range(134, 136),)


def test_bytes_before_and_after_cost_nothing():
    file = written()
    for around in (b"", b"xyz", MAGIC, bytes(range(256)) * 3):
        assert salvaged(around + file) == contents(file)
        assert salvaged(file + around) == contents(file)
    assert salvaged(file + written(header="xyz")) == contents(file)


def mutation(r: np.random.Generator, file: bytes, others: list[bytes]) -> bytes:
    """Replace a stretch by nothing, zeros, random bytes, or a stretch of it or of others; or insert these before it."""
    other = others[r.integers(len(others))] if r.random() < 0.5 else file
    a, b = sorted(r.integers(0, len(file) + 1, 2))
    b = a + (b - a) // r.choice([1, 30])
    c, d = sorted(r.integers(0, len(other) + 1, 2))
    middle = (b"", bytes(b - a), r.bytes(r.integers(1, 9)), other[a:b], other[c:d])[r.integers(5)]
    return file[:a] + middle + file[b if r.random() < 0.7 else a :]


def test_thousands_of_mutations():
    """One byte given out that no file of this beginning holds in that place would fail it."""
    r = np.random.default_rng(0)
    honest = [written(), *relatives().values()]
    family = {}
    for file in honest:
        family.setdefault(Reader.open(file).prefix.raw, set()).update(contents(file))
    assert sorted(map(len, family.values())) == [4, 4, 7]
    read = found = 0
    for _ in range(5000):
        mutated = honest[0]
        for _ in range(r.integers(1, 4)):
            mutated = mutation(r, mutated, honest[1:])
        read += read_or_refused(mutated, *honest)
        try:
            chunks = salvaged(mutated)
        except InputError as error:
            check_sentence(error)
            continue
        assert set(chunks) <= family[salvage(mutated).prefix.raw]
        found += len(chunks)
    assert read > 2000
    assert found > 2 * read
