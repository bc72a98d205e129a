"""Data in a .nrw file and back: images of any size, kept if a model only makes them longer, found one by one."""

import io
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.coding.container import CODED, STORED, Reader, Writer
from narrows.coding.salvage import salvage
from narrows.compression import archive
from narrows.compression.archive import Archive, packed, stored, unstored, written
from narrows.compression.compressor import Work
from narrows.compression.files import fingerprint
from narrows.data.frames import Block, Form, Frames
from narrows.data.schema import Schema
from narrows.errors import InputError

SCHEMA = Schema((1, 8, 8), 0.0, 255.0, 1.0, "hw")


def frames_of(*blocks):
    blocks = [block if isinstance(block, Block) else Block(block) for block in blocks]
    return Frames(SCHEMA, Form("array"), sum(len(block.values) for block in blocks), (), lambda: iter(blocks))


def file_of(codec, *blocks, **work):
    file = io.BytesIO()
    list(written(file, codec, frames_of(*blocks), Work(**work)))
    return file.getvalue()


def opened(file):
    return Archive.of(Reader.open(file, "it.nrw"))


def decoded(codec, file, chunks=None):
    return list(opened(file).blocks(codec, Work(), chunks))


def same(blocks, known):
    return len(blocks) == len(known) and all(
        np.array_equal(block.values, values) for block, values in zip(blocks, known, strict=True)
    )


def noise(n, shape=(1, 8, 8), levels=256, seed=0):
    return np.random.default_rng(seed).integers(0, levels, (n, *shape), dtype=np.uint8)


# --- What goes in comes out ------------------------------------------------------------------------------------------


@given(
    n=st.integers(1, 3),
    channels=st.sampled_from([1, 3]),
    height=st.integers(1, 19),
    width=st.integers(1, 19),
    kind=st.integers(0, 3),
)
@settings(max_examples=20)
def test_images_of_any_size_and_channels(codec, golden, n, channels, height, width, kind):
    shape = (channels, height, width)
    values = [noise(n, shape), np.zeros((n, *shape), np.uint8), np.full((n, *shape), 255, np.uint8)]
    values.append(np.tile(golden.images(n, height, width), (1, channels, 1, 1)))
    found = decoded(codec, file_of(codec, values[kind]))
    assert same(found, [values[kind]])
    assert found[0].values.dtype == np.uint8


def test_chunks_of_different_shapes_in_one_file(codec, golden):
    values = [golden.images(9), golden.images(1, 21, 17), noise(4, (3, 5, 9)), golden.images(12)]
    assert same(decoded(codec, file_of(codec, *values)), values)


def test_no_examples_and_one(codec, golden):
    empty = file_of(codec)
    assert decoded(codec, empty) == []
    assert opened(empty).schema == SCHEMA
    assert opened(empty).reader.total == 0
    assert same(decoded(codec, file_of(codec, golden.images(1))), [golden.images(1)])


def test_bytes_do_not_depend_on_the_work(codec, golden):
    values = [golden.images(3), golden.images(5), noise(3), golden.images(2), golden.images(4)]
    whole, threads = file_of(codec, *values), torch.get_num_threads()
    try:
        torch.set_num_threads(2)  # two chunks at a time
        assert file_of(codec, *values, batch=2, compiled=False) == whole
        assert same(decoded(codec, whole), values)
    finally:
        torch.set_num_threads(threads)


# --- What a model only makes longer ----------------------------------------------------------------------------------


def test_noise_is_kept_at_one_percent_above_raw_at_most(codec):
    values = noise(1500)
    file = file_of(codec, values)
    assert opened(file).reader.read(0).frame.method == STORED
    assert len(file) < 1.01 * values.size == 1.01 * 96_000
    assert same(decoded(codec, file), [values])


@given(levels=st.sampled_from([2, 3, 4, 5, 200, 256]), cells=st.integers(0, 50), seed=st.integers(0, 99))
def test_levels_are_kept_in_as_many_bits_as_they_need(levels, cells, seed):
    values = np.random.default_rng(seed).integers(0, levels, cells, dtype=np.uint8)
    kept = stored(values, levels)
    bits = {2: 1, 3: 2, 4: 2, 5: 3}.get(levels, 8)
    assert len(kept) == -(-cells * bits // 8)
    assert np.array_equal(unstored(kept, cells, levels), values)
    with pytest.raises(InputError, match="fewer or more levels"):
        unstored(kept + b"\0", cells, levels)


def test_what_is_said_of_a_chunk(codec, golden):
    block = Block(golden.images(20), tuple("abcdefghijklmnopqrst"))
    made = packed(codec, block, Work())
    assert (made.method, made.block) == (CODED, block)
    assert made.bits == pytest.approx(codec.bound(block.values, Work()))
    assert 0.9 * made.bits < 8 * len(made.payload) < 1.1 * made.bits + 32
    rough = packed(codec, Block(noise(20)), Work())
    assert (rough.method, rough.bits, rough.payload) == (STORED, 8.0 * 20 * 64, noise(20).tobytes())


def test_a_chunk_that_does_not_decode_to_itself_is_not_written(codec, golden, monkeypatch):
    decode = type(codec).decode
    monkeypatch.setattr(type(codec), "decode", lambda *given: decode(*given) ^ (np.arange(64) == 9).reshape(8, 8))
    with pytest.raises(RuntimeError, match="nothing was written"):
        file_of(codec, golden.images(20))


# --- Names -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.text(st.characters(exclude_categories=[])), min_size=3, max_size=3))
@settings(max_examples=30)
def test_names_of_any_letters_come_back(codec, names):
    block = Block(noise(3), tuple(names))
    assert [found.names for found in decoded(codec, file_of(codec, block, noise(2)))] == [tuple(names), None]


@pytest.mark.parametrize(
    "notes",
    [b"[]", b'["a"]', b'["a", "b", "c"]', b'["a", 3]', b'"ab"', b"{}", b"a\nb", b"\xff", b"[" * 5000, b"null", b"\0"],
)
def test_names_that_are_forged_are_refused(codec, notes):
    file = io.BytesIO()
    with Writer(file, Reader.open(file_of(codec)).header) as writer:
        writer.add(noise(2).tobytes(), examples=2, size=128, shape=(1, 8, 8), method=STORED, notes=notes)
    with pytest.raises(InputError, match="does not name its images as a writer does"):
        decoded(codec, file.getvalue())


# --- One example, and what is left of a damaged file -----------------------------------------------------------------


class Watched(io.BytesIO):
    """A file that notes which bytes are read."""

    def __init__(self, content):
        super().__init__(content)
        self.seen = set()

    def read(self, n=-1):
        at = self.tell()
        taken = super().read(n)
        self.seen.update(range(at, at + len(taken)))
        return taken


def test_one_example_is_found_without_reading_another_chunk(codec, golden):
    values = [golden.images(7), golden.images(12)[7:], noise(9)]
    file = Watched(file_of(codec, *values))
    found = opened(file)
    file.seen.clear()
    places = [found.reader.holding(example) for example in (0, 6, 7, 11, 12, 20)]
    assert places == [0, 0, 1, 1, 2, 2]
    assert not file.seen
    assert same(list(found.blocks(codec, Work(), [1])), [values[1]])
    entry = found.reader.entries[1]
    assert file.seen <= set(range(entry.offset, entry.offset + entry.length))
    with pytest.raises(InputError, match=r"example 21 is not in it\.nrw; ask for one of the 21 in it"):
        found.reader.holding(21)


def test_chunks_that_are_intact_survive_the_damage_of_others(codec, golden):
    values = [golden.images(7), golden.images(12)[7:], noise(9)]
    file = file_of(codec, *values)
    entry = Reader.open(file).entries[1]
    at = entry.offset + entry.length // 2
    file = file[:at] + bytes([file[at] ^ 4]) + file[at + 1 :]
    with pytest.raises(InputError, match=r"the chunk of examples 7 to 11 of it\.nrw is cut short or altered"):
        decoded(codec, file)
    assert same(decoded(codec, file, [0, 2]), [values[0], values[2]])
    left = salvage(file)
    assert left.lost == (range(7, 12),)
    assert same(list(Archive.of(left).blocks(codec, Work())), [values[0], values[2]])


# --- What is refused -------------------------------------------------------------------------------------------------


def test_another_model_is_refused(codec, golden):
    file = file_of(codec, golden.images(3))
    arrays = {name: array.copy() for name, array in codec.arrays().items()}
    next(iter(arrays.values())).reshape(-1)[0] ^= 1
    other = type(codec).from_arrays(codec.schema, codec.settings(), arrays)
    with pytest.raises(InputError, match=rf"written with another model \({codec.kind} {fingerprint(codec)[:12]}\)"):
        decoded(other, file)


def test_shapes_that_no_pieces_make_up_are_refused(codec):
    for shape in ((64,), (8, 8), (1, 1, 8, 8)):
        with pytest.raises(InputError, match="give data like those that it was trained on"):
            file_of(codec, noise(2, shape))


def test_a_file_of_something_else_is_refused():
    file = io.BytesIO()
    Writer(file, {"what": "codec"}).close()
    with pytest.raises(InputError, match="holds a codec and no data"):
        opened(file)
    for header in ({}, {"schema": {}}, {"schema": SCHEMA.to_json()}, {"schema": SCHEMA.to_json(), "form": {"kind": 3}}):
        file = io.BytesIO()
        Writer(file, {"what": "data", **header}).close()
        with pytest.raises(InputError, match="fetch it again"):
            opened(file)


FORGED = [
    *({"schema": {"step": value}} for value in (0, 1e-308, -1, "x", None, 2.0)),
    *({"schema": {"low": value}} for value in (-1.0, "x", {}, None, 1e308)),
    *({"schema": {"high": value}} for value in (1.0, 1e308, None, [])),
    *({"schema": {"shape": value}} for value in ([64], "ab", [1, -8, -8], [1, 8, 8.0], [], 3, [1, 8, 9])),
    *({"schema": {"layout": value}} for value in ("x", None, 3)),
    *({"schema": {"names": value}} for value in (["a"], "ab", 3)),
    *({"form": {"dtype": value}} for value in ("|V5", "O", 3, "<M8")),
    *({"form": {"shape": value}} for value in ([0], ["a"], 3)),
    {"form": {"kind": "x"}},
    {"form": {"layout": 3}},
    {"form": {"more": 3}},
]


@pytest.mark.parametrize("parts", FORGED, ids=str)
def test_headers_that_are_forged_are_refused(codec, parts):
    honest = Reader.open(file_of(codec, noise(2)))
    chunk = honest.read(0)
    changed = {name: honest.header[name] | part for name, part in parts.items()}
    file = io.BytesIO()
    with Writer(file, honest.header | changed) as writer:
        writer.add(chunk.payload, examples=2, size=128, shape=(1, 8, 8), method=STORED)
    with pytest.raises(InputError, match="fetch it again"):
        decoded(codec, file.getvalue())


@pytest.mark.parametrize(
    ("frame", "payload"),
    [
        ({"examples": 1 << 40, "size": 1 << 46}, b"1234"),
        ({"examples": 1, "size": 1 << 60, "shape": (1, 1 << 30, 1 << 30)}, b"1234" * 9),
        ({"examples": 2, "size": 1 << 21, "shape": (1, 1024, 1024)}, b"1234" * 9),
        ({"examples": 1, "size": 0, "shape": (1, 0, 8)}, b""),
        ({"examples": 1, "size": 64, "shape": (1, 8, 8), "method": 2}, b"1234"),
        ({"examples": 2, "size": 64}, b"1234"),
        ({"examples": 1, "size": 64, "shape": (64,)}, b"1234"),
        ({"examples": 3, "size": 3 * 64, "method": STORED}, bytes(191)),
        ({"examples": 3, "size": 3 * 64}, b""),
        ({"examples": 3, "size": 3 * 64}, bytes(400)),
    ],
)
def test_chunks_that_lie_about_themselves_are_refused_in_little_memory(codec, frame, payload):
    file = io.BytesIO()
    with Writer(file, Reader.open(file_of(codec)).header) as writer:
        writer.add(payload, **{"shape": (1, 8, 8), "method": CODED, **frame})
    file = file.getvalue()
    tracemalloc.start()
    with pytest.raises(InputError):
        decoded(codec, file)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1 << 20


def test_a_constant_image_that_is_large_is_no_lie():
    """The least that a coder makes of a level is 2^-15.5 bits, of one of two."""
    assert 8 / np.log2(2**16 / (2**16 - 1)) < archive._CELLS_A_BYTE
