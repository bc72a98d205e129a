"""Tables by bits-back: every cell comes back, the same bytes however the work is done; what is damaged is refused."""

import bz2
import importlib.util
import io
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from payloads import TWINS

from narrows.coding.container import CODED, STORED, Reader, Writer
from narrows.coding.framing import VERSION
from narrows.compression.archive import Archive, written
from narrows.compression.compressor import Work
from narrows.compression.files import codec_bytes, compressor_for, fingerprint, load_codec, save_codec
from narrows.compression.tables import TableCompressor
from narrows.data.exact import table_of_block
from narrows.data.frames import open_frames
from narrows.data.readers import read
from narrows.data.request import Request
from narrows.errors import InputError
from narrows.fit import fit
from narrows.noise import Noise
from narrows.plan import Plan

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = sorted(GOLDEN.glob("table-v*.codec"))
CELLS = st.one_of(
    st.none(),
    st.sampled_from(["tcp", "udp", "53", "443", "0.25", "1", "ok", "0", "007", ""]),
    st.integers(-(10**25), 10**25).map(str),
    st.decimals(-1000, 1000, places=2).map(str),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)


@pytest.fixture(scope="module")
def made():
    """How the golden codec and its table were made."""
    spec = importlib.util.spec_from_file_location("make_table", GOLDEN / "make_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def codec():
    return load_codec(FILES[-1])


def compressed(codec, frames, **work):
    file = io.BytesIO()
    return list(written(file, codec, frames, Work(**work))), file.getvalue()


def back(codec, file, chunks=None, **work):
    """The table that a file holds."""
    archive = Archive.of(Reader.open(file, "it.nrw"))
    blocks = archive.blocks(codec, Work(**work), chunks)
    return pa.concat_tables(
        [table_of_block(codec.schema, archive.form.columns, block.values, block.rest) for block in blocks]
    )


def opened(codec, path, cells=10**6):
    return open_frames(str(path), Request(schema=codec.schema), cells)


# --- What goes in comes out ------------------------------------------------------------------------------------------


@given(rows=st.integers(0, 12), cells=st.sampled_from([1, 20, 10**6]), data=st.data())
@settings(max_examples=15)
def test_any_table_comes_back(codec, tmp_path_factory, rows, cells, data):
    path = tmp_path_factory.mktemp("table") / "t.arrow"
    names = data.draw(st.permutations(codec.schema.names))
    table = pa.table(
        {n: pa.array(data.draw(st.lists(CELLS, min_size=rows, max_size=rows)), pa.string()) for n in names}
    )
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)
    chunks, file = compressed(codec, opened(codec, path, cells))
    assert sum(len(chunk.block.values) for chunk in chunks) == rows
    if rows:
        assert back(codec, file).equals(table)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("compiled", TWINS)
def test_golden_files_are_decoded(path, compiled, made, tmp_path):
    (tmp_path / "t.csv").write_text(made.text(), encoding="utf-8")
    codec = load_codec(path)
    frames = opened(codec, tmp_path / "t.csv")
    known = pa.concat_tables(table_of_block(codec.schema, frames.form.columns, b.values, b.rest) for b in frames)
    assert known.num_rows == 103
    assert back(codec, path.with_suffix(".nrw").read_bytes(), compiled=compiled).equals(known)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_as_long_as_the_version_is_written_the_bytes_are_these(path, made):
    if not path.stem.endswith(f"-v{VERSION}"):
        pytest.skip("an older version")
    codec, threads = load_codec(path), torch.get_num_threads()
    assert codec_bytes(codec) == path.read_bytes()
    try:
        for count, batch, compiled in [(1, 1, False), (2, 1024, TWINS[-1]), (1, 7, TWINS[-1])]:
            torch.set_num_threads(count)
            file = io.BytesIO()
            made.write(file, codec, Work(batch=batch, compiled=compiled))
            assert file.getvalue() == path.with_suffix(".nrw").read_bytes()
    finally:
        torch.set_num_threads(threads)


def test_one_row_is_found_by_decoding_its_chunk_alone(codec, made):
    file = FILES[-1].with_suffix(".nrw").read_bytes()
    archive = Archive.of(Reader.open(file))
    assert len(archive.reader.entries) > 2
    whole = back(codec, file)
    for row in (0, 39, 40, 92, 102):
        place = archive.reader.holding(row)
        (block,) = archive.blocks(codec, Work(), [place])
        one = archive.one(codec, block, row - archive.reader.entries[place].first)
        found = table_of_block(codec.schema, archive.form.columns, one.values, one.rest)
        assert found.equals(whole.slice(row, 1).combine_chunks())


def test_what_fits_no_symbol_costs_little_more_than_its_text(codec, tmp_path):
    r = np.random.default_rng(0)
    words = ["".join(map(chr, r.integers(97, 123, 30))) for _ in range(1200)]
    lines = [",".join(words[start : start + 6]) for start in range(0, 1200, 6)]
    (tmp_path / "t.csv").write_text("\n".join([",".join(codec.schema.names), *lines]) + "\n")
    _, file = compressed(codec, opened(codec, tmp_path / "t.csv"))
    assert len(file) < (tmp_path / "t.csv").stat().st_size
    assert back(codec, file)["proto"].to_pylist() == words[::6]


# --- What the model says ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "t.csv"
    path.write_text(made.text(training=True))
    dataset = read(path, symbols=True)
    model = fit(dataset.values, dataset.schema, "compressor-table", made.SMALL, Plan(epochs=20)).model.eval()
    return model, dataset.values


def test_files_are_as_long_as_minus_the_elbo_of_either_model(trained):
    model, rows = trained
    codec = compressor_for(model)
    assert isinstance(codec, TableCompressor)
    nats = 0.0
    with torch.no_grad():
        for seed in range(4):
            noise = Noise(seed, torch.device("cpu"))
            terms = model.terms(model.batch(torch.from_numpy(rows), noise), 1, noise)
            nats += float((terms.kl - terms.log_px).sum()) / 4
    floats, symbols = nats / math.log(2), rows.astype(np.uint8)
    whole = codec.bound(symbols, Work())
    assert whole == pytest.approx(floats, rel=0.02)
    net = 8 * len(codec.encode(symbols, Work()))
    assert net < 1.01 * whole + 3 * 10 + 64  # the first code gives no bits back, and a lane two bytes


def test_a_codec_is_made_again_from_plain_values(trained, tmp_path):
    model, rows = trained
    codec, x = compressor_for(model), rows[:50].astype(np.uint8)
    save_codec(codec, tmp_path / "c.codec")
    again = load_codec(tmp_path / "c.codec")
    assert again.schema == codec.schema
    assert fingerprint(again) == fingerprint(codec)
    assert again.encode(x, Work()) == codec.encode(x, Work())
    assert (again.decode(again.encode(x, Work()), 50, Work()) == x).all()


# --- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"latent": "point"}, "latent point has none"),
        ({"latent": "full-gaussian"}, "latent full-gaussian has none"),
    ],
)
def test_models_that_have_no_such_codec_are_refused_with_a_way_out(made, settings, says, tmp_path):
    (tmp_path / "t.csv").write_text(made.text(training=True))
    dataset = read(tmp_path / "t.csv", symbols=True)
    model = fit(dataset.values[:20], dataset.schema, "compressor-table", settings, Plan(epochs=1)).model
    with pytest.raises(InputError, match=says):
        compressor_for(model.eval())


@given(data=st.data())
@settings(max_examples=25)
def test_damage_is_refused_or_gives_other_cells_and_no_more(codec, data):
    file = FILES[-1].with_suffix(".nrw").read_bytes()
    honest = Reader.open(file)
    chunk = honest.read(0)
    payload, notes = bytearray(chunk.payload), bytearray(chunk.notes)
    for _ in range(data.draw(st.integers(1, 3))):
        part = data.draw(st.sampled_from([payload, notes]))
        what = data.draw(st.sampled_from(["bit", "cut", "insert"]))
        place = data.draw(st.integers(0, len(part)))
        if what == "bit" and part:
            part[place % len(part)] ^= 1 << data.draw(st.integers(0, 7))
        elif what == "cut":
            del part[place:]
        else:
            part[place:place] = data.draw(st.binary(min_size=1, max_size=9))
    forged = io.BytesIO()
    method = data.draw(st.sampled_from([STORED, CODED]))
    with Writer(forged, honest.header) as writer:
        writer.add(bytes(payload), examples=40, size=chunk.frame.size, shape=(6,), method=method, notes=bytes(notes))
    try:
        found = back(codec, forged.getvalue())
    except InputError:
        return
    assert found.num_rows == 40


FORGED = [
    None,
    3,
    [],
    {},
    *({"least": value} for value in (None, [0] * 5, [0] * 7, [19] * 6, [0.0] * 6, ["a"] * 6, 3)),
    *({"places": value} for value in ([0] * 6, [1, 2, 3, 4, 5, 6], [[]] * 6, "abcdef", 3)),
    *({"types": value} for value in ("list<item: int64>", "x", ["string"] * 5, [3] * 6, None, {"a": 1})),
]


@pytest.mark.parametrize("change", FORGED, ids=str)
def test_headers_that_are_forged_are_refused(codec, change):
    honest = Reader.open(FILES[-1].with_suffix(".nrw").read_bytes())
    columns = change if not isinstance(change, dict) or not change else honest.header["form"]["columns"] | change
    forged = io.BytesIO()
    with Writer(forged, honest.header | {"form": honest.header["form"] | {"columns": columns}}) as writer:
        chunk = honest.read(0)
        writer.add(chunk.payload, examples=40, size=240, shape=(6,), notes=chunk.notes)
    with pytest.raises(InputError):
        back(codec, forged.getvalue())


def test_a_type_that_no_cell_is_of_is_refused(codec):
    honest = Reader.open(FILES[-1].with_suffix(".nrw").read_bytes())
    columns = honest.header["form"]["columns"] | {"types": "int8"}
    forged = io.BytesIO()
    with Writer(forged, honest.header | {"form": honest.header["form"] | {"columns": columns}}) as writer:
        chunk = honest.read(0)
        writer.add(chunk.payload, examples=40, size=240, shape=(6,), notes=chunk.notes)
    with pytest.raises(InputError, match="holds a cell that is no int8"):
        back(codec, forged.getvalue())


def test_what_a_codec_file_may_bring_is_refused_where_it_does_not_fit(codec):
    schema, settings_of, arrays = codec.schema.plain, codec.settings(), codec.arrays()

    def told(columns):
        return {**arrays, "columns.bytes": np.frombuffer(bz2.compress(json.dumps(columns).encode()), np.int8)}

    def with_texts(column, *texts):
        return {**column, "alphabet": {**column["alphabet"], "texts": texts}}

    columns = [column.to_json() for column in codec.schema.columns]
    assert TableCompressor.from_arrays(schema, settings_of, told(columns)).schema == codec.schema
    for bad, own in (
        ({**settings_of, "more": 1}, arrays),
        ({**settings_of, "code_bits": 15}, arrays),
        ({**settings_of, "encoder": settings_of["decoder"]}, arrays),
        ({}, arrays),
        (settings_of, {**arrays, "columns.bytes": arrays["columns.bytes"][:-9]}),
        (settings_of, {**arrays, "columns.bytes": np.zeros(9, np.int8)}),
        (settings_of, told(columns[:-1])),
        (settings_of, told(columns[::-1])),
        (settings_of, told([columns[0]] * 6)),
        (settings_of, told([{"name": "a", "kind": "numeric", "categories": []}] * 6)),
        (settings_of, told([{**columns[0], "name": 3}, *columns[1:]])),
        (settings_of, told([{**columns[0], "name": "\ud800"}, *columns[1:]])),
        (settings_of, told([with_texts(columns[0], "\ud800"), *columns[1:]])),
        (settings_of, told([with_texts(columns[0], "a" * 257), *columns[1:]])),
        (settings_of, told([{**columns[0], "alphabet": {}}, *columns[1:]])),
        (settings_of, told(3)),
        (settings_of, told({"a": 1})),
    ):
        with pytest.raises(InputError):
            TableCompressor.from_arrays(schema, bad, own)
