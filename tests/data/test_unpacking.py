"""Data that are too many to hold: what few rows tell of them, the file they are written into, and training on it."""

import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import feather, parquet

from narrows import load
from narrows.data import counting, filed, first_pass, kinds, read
from narrows.data.request import Request
from narrows.data.sizes import is_large
from narrows.data.unpacking import Unpacked, unpack
from narrows.errors import InputError
from narrows.fit import fit
from narrows.plan import Plan


@pytest.fixture(autouse=True)
def any_size(monkeypatch, tmp_path_factory):
    """As if all data were large and a part were of few cells, in a temporary folder of the test's own."""
    monkeypatch.setattr(filed, "SMALLEST_BYTES", 1)
    monkeypatch.setattr(first_pass, "CELLS", 90)
    monkeypatch.setattr("narrows.data.parts.CELLS", 90)
    monkeypatch.setattr("narrows.data.parts.BLOCK", 16)
    folder = tmp_path_factory.mktemp("scratch")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def unpacked(data, **asked):
    """All rows through the file, as they would be trained on, and what they are."""
    kind = asked.pop("kind", None)
    found = unpack(str(data), Request(**asked), kind)
    again = Unpacked.from_json(found.to_json())
    rows = again.filed()
    assert rows.notes == found.notes
    values = np.concatenate(list(rows.blocks(7)))
    places = np.unique(np.random.default_rng(0).integers(0, len(rows), 9))
    assert np.array_equal(rows.take(places), values[places], equal_nan=True)
    return values, rows.schema(), rows.notes


def same(data, **asked):
    """Whether they are as they are read whole."""
    values, schema, notes = unpacked(data, **asked)
    whole = read(data, **asked)
    assert schema == whole.schema
    assert values.dtype == whole.values.dtype
    assert np.array_equal(values, whole.values, equal_nan=True)
    assert notes == whole.notes


CELLS = {
    "date": st.sampled_from(["2026-01-02", "2026-03-04T10:00:00", "never", "7"]),
    "float": st.one_of(st.floats(-100, 100, width=32), st.just(float("nan"))),
    "whole": st.integers(0, 3),
    "large": st.integers(2**24, 2**40),
    "text": st.sampled_from(["tcp", "udp", "icmp", "gre", None]),
    "written": st.sampled_from(["1", "2.5", "-", "word", None]),
    "flag": st.booleans(),
    "gaps": st.one_of(st.none(), st.integers(-5, 5)),
}


@given(data=st.data(), names=st.sets(st.sampled_from(sorted(CELLS)), min_size=1), rows=st.integers(2, 120))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_a_table_is_what_it_is_read_whole(tmp_path, data, names, rows):
    """Whatever comes late: a gap, a fraction, a text, a number larger than all before."""
    columns = {}
    for name in sorted(names):
        usual = data.draw(CELLS[name].filter(lambda cell: cell is not None and cell == cell), label=name)
        cells = [usual] * rows
        for place in data.draw(st.sets(st.integers(0, rows - 1), max_size=8), label=f"rows of {name}"):
            cells[place] = data.draw(CELLS[name], label=f"{name} there")
        columns[name] = cells
    columns["noise"] = np.random.default_rng(rows).normal(size=rows)
    parquet.write_table(pa.table(columns), tmp_path / "x.parquet", row_group_size=37)
    same(tmp_path / "x.parquet")


def test_columns_that_number_the_rows_are_left_out(tmp_path):
    random = np.random.default_rng(0)
    table = pa.table({"id": random.permutation(500), "x": random.normal(size=500), "p": ["a", "b"] * 250})
    feather.write_feather(table, tmp_path / "x.feather", chunksize=60)
    same(tmp_path / "x.feather")
    assert unpacked(tmp_path / "x.feather", kinds={"id": "numeric"})[1].names == ("id", "x", "p")


def many_texts():
    """More texts than are categories, each ten times; numbers as text, and one word after all of them."""
    return {
        "user": [f"user {place % 300}" for place in range(3000)],
        "code": [str(place) for place in range(2999)] + ["word"],
        "when": [f"2026-01-{1 + place % 28:02d}" for place in range(2999)] + ["never"],
        "session": [f"session {place}" for place in range(3000)],
        "quarter": [f"{place // 4}x" for place in range(3000)],
    }


@pytest.mark.parametrize("counted", [2**15, 50])
def test_texts_are_what_they_are_read_whole(tmp_path, monkeypatch, counted):
    monkeypatch.setattr(counting, "MOST_COUNTED", counted)
    monkeypatch.setattr(kinds, "MOST_CATEGORIES", 40)
    parquet.write_table(
        pa.table({**many_texts(), "x": np.arange(3000) % 7}), tmp_path / "x.parquet", row_group_size=700
    )
    if counted > 3000:
        same(tmp_path / "x.parquet")
        return
    _, schema, notes = unpacked(tmp_path / "x.parquet")  # the counts of rare texts are lost, not what the columns are
    whole = read(tmp_path / "x.parquet")
    assert [(column.name, column.kind) for column in schema.columns] == [
        (column.name, column.kind) for column in whole.schema.columns
    ]
    assert notes == whole.notes


@pytest.mark.parametrize("said", ["category", "count", "numeric", "ignore"])
def test_a_kind_that_is_said_is_as_in_a_table_read_whole(tmp_path, said):
    codes = np.random.default_rng(0).zipf(1.5, 900) % 80
    parquet.write_table(pa.table({"c": codes, "x": np.linspace(0, 1, 900)}), tmp_path / "x.parquet")
    same(tmp_path / "x.parquet", kinds={"c": said})


def test_an_index_that_is_asked_for_is_learnt_and_any_other_is_not(tmp_path):
    frame = pytest.importorskip("pandas").DataFrame({"x": np.arange(60.0) ** 2, "g": np.arange(60) % 5}).set_index("g")
    frame.to_parquet(tmp_path / "x.parquet")
    same(tmp_path / "x.parquet")
    same(tmp_path / "x.parquet", kinds={"g": "numeric"})


def test_numbers_number_rows_only_if_each_comes_once(tmp_path):
    random = np.random.default_rng(0)
    columns = {"once": random.permutation(400) - 50, "twice": np.r_[0, 0, 2:399, 399][:400], "p": ["a", "b"] * 200}
    parquet.write_table(pa.table(columns), tmp_path / "x.parquet", row_group_size=90)
    same(tmp_path / "x.parquet")
    assert unpacked(tmp_path / "x.parquet")[1].names == ("twice", "p")


def test_columns_of_one_name_and_of_no_kind_are_refused_as_in_a_table_read_whole(tmp_path):
    twice = pa.Table.from_arrays([pa.array([1.0, 2.0]), pa.array([3.0, 4.0])], names=["a", "a"])
    parquet.write_table(twice, tmp_path / "x.parquet")
    with pytest.raises(InputError, match="has two columns named 'a'"):
        unpack(str(tmp_path / "x.parquet"), Request())
    parquet.write_table(pa.table({"a": [[1], [2, 3]], "b": [1.0, 2.0]}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="column 'a' has"):
        unpack(str(tmp_path / "x.parquet"), Request())
    same(tmp_path / "x.parquet", ignore=("a",))


def test_no_rows_are_refused(tmp_path):
    for write in (parquet.write_table, feather.write_feather):
        write(pa.table({"a": pa.array([], pa.float32())}), tmp_path / "x.parquet")
        path = (tmp_path / "x.parquet").rename(tmp_path / ("x.parquet" if write is parquet.write_table else "x.arrow"))
        with pytest.raises(InputError, match="no rows"):
            unpack(str(path), Request())


@pytest.mark.parametrize("shape", [(500,), (0, 4), (7, 0)])
def test_an_array_without_examples_is_refused_by_its_shape(tmp_path, shape):
    np.save(tmp_path / "x.npy", np.zeros(shape))
    with pytest.raises(InputError, match=re.escape(f"x.npy' has the shape {shape}; give at least one example")):
        unpack(str(tmp_path / "x.npy"), Request())


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.int32, np.float64, ">f4"])
@pytest.mark.parametrize("shape", [(70, 5), (70, 4, 3), (70, 2, 3, 3)])
def test_an_array_is_what_it_is_read_whole(tmp_path, dtype, shape):
    np.save(tmp_path / "x.npy", (np.random.default_rng(0).random(shape) * 2.5).astype(dtype))
    same(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", np.asfortranarray(np.random.default_rng(0).integers(0, 200, shape).astype(dtype)))
    same(tmp_path / "x.npy")
    if dtype is not bool:
        same(tmp_path / "x.npy", kind="levels")


def images(folder, shape, dtype=np.uint8, count=20, high=256):
    folder.mkdir()
    for place in range(count):
        pixels = np.random.default_rng(place).integers(0, high, shape).astype(dtype)
        Image.fromarray(pixels).save(folder / f"{place:03d}.png")
    return folder


@pytest.mark.parametrize(("shape", "dtype"), [((6, 5), np.uint8), ((6, 5, 3), np.uint8), ((6, 5), np.uint16)])
def test_images_are_what_they_are_read_whole(tmp_path, shape, dtype):
    folder = images(tmp_path / "images", shape, dtype)
    same(folder)
    same(folder, tile=3)
    same(Path(shutil.make_archive(str(tmp_path / "x"), "zip", folder)))


def test_images_of_two_values_are_binary(tmp_path):
    folder = images(tmp_path / "images", (4, 4), high=1)
    Image.fromarray(np.full((4, 4), 255, np.uint8)).save(folder / "012.png")
    same(folder)


def test_shards_are_one_table(tmp_path):
    (tmp_path / "shards").mkdir()
    for place, cells in enumerate(([1, 2, 3], [4.5, None, 2.0], [7, 8, 90])):
        table = pa.table({"b": ["x", "y", "x"], "a": cells, "c": [0.5 + place, 1.0, 2.0]})
        parquet.write_table(
            table.select(["a", "b", "c"] if place else ["b", "a", "c"]), tmp_path / "shards" / f"{place}.parquet"
        )
    same(tmp_path / "shards")


def test_a_damaged_shard_is_named_and_left_out_only_if_asked(tmp_path, any_size):
    (tmp_path / "shards").mkdir()
    for place in range(3):
        columns = {name: np.random.default_rng([place, index]).normal(size=400) for index, name in enumerate("abc")}
        parquet.write_table(pa.table(columns), tmp_path / "shards" / f"{place}.parquet", row_group_size=50)
    damaged = tmp_path / "shards" / "1.parquet"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)  # in the middle: its first rows can be read
    damaged.write_bytes(content)
    with pytest.raises(InputError, match=r"1.parquet.*--skip-bad-shards"):
        unpack(str(tmp_path / "shards"), Request())
    values, schema, notes = unpacked(tmp_path / "shards", skip=True)
    assert "1.parquet' was left out" in notes[0]
    good = np.concatenate([read(tmp_path / "shards" / f"{place}.parquet").values for place in (0, 2)])
    assert np.array_equal(values, good)
    assert (schema.low, schema.high) == (good.min(), good.max())
    assert not list(any_size.iterdir())


def test_a_first_shard_that_breaks_tells_nothing_and_one_of_no_rows_must_fit(tmp_path):
    (tmp_path / "shards").mkdir()
    random = np.random.default_rng(0)
    for place in (1, 2):
        parquet.write_table(
            pa.table({"a": random.normal(size=90), "b": [None] * 90}), tmp_path / f"shards/{place}.parquet"
        )
    parquet.write_table(
        pa.table({"a": random.normal(size=90), "b": ["x", "y", "z"] * 30}), tmp_path / "shards/3.parquet"
    )
    same(tmp_path / "shards")
    other = tmp_path / "shards" / "0.parquet"
    parquet.write_table(pa.table({"z": random.normal(size=400)}), other, row_group_size=50)
    content = bytearray(other.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    other.write_bytes(content)
    assert len(unpacked(tmp_path / "shards", skip=True)[0]) == 270
    parquet.write_table(pa.table({"z": pa.array([], pa.float32())}), other)
    with pytest.raises(InputError, match="other columns than the shards before it"):
        unpack(str(tmp_path / "shards"), Request())


def test_a_cell_that_is_no_number_is_no_reason_to_leave_a_shard_out(tmp_path):
    (tmp_path / "shards").mkdir()
    for place in range(3):
        np.save(tmp_path / f"shards/{place}.npy", np.full((9, 2), np.nan if place == 1 else place, ">f4"))
    with pytest.raises(InputError, match="holds NaN or infinite values in 18 cells, the first in row 9"):
        unpack(str(tmp_path / "shards"), Request(skip=True))


def test_what_cannot_be_trained_is_said_before_the_rows_are_written(tmp_path, monkeypatch):
    parquet.write_table(pa.table({"a": np.arange(50) / 7, "b": np.arange(50) % 3}), tmp_path / "x.parquet")
    monkeypatch.setattr("narrows.data.unpacking.parts", None)

    def refusing(schema):
        assert schema.names == ("a", "b")
        raise InputError("no such setting")

    with pytest.raises(InputError, match="no such setting"):
        unpack(str(tmp_path / "x.parquet"), Request(), None, refusing)


def test_a_full_disk_is_said_in_a_line(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.arange(600, dtype=np.int32).reshape(100, 6))

    class Full:
        def write(self, _):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())
    with pytest.raises(InputError, match=r"cannot be written .*No space left on device.*; make room"):
        unpack(str(tmp_path / "x.npy"), Request())


def test_nothing_is_left_where_there_is_no_room_or_a_row_is_bad(tmp_path, monkeypatch, any_size):
    np.save(tmp_path / "x.npy", np.zeros((100, 4, 3), np.int32) + np.arange(100)[:, None, None])
    with monkeypatch.context() as context:
        context.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
        with pytest.raises(InputError, match="make room, or name a folder with more of it in TMPDIR"):
            unpack(str(tmp_path / "x.npy"), Request())
    folder = images(tmp_path / "images", (4, 4))
    (folder / "019.png").write_bytes(b"rubbish")
    with pytest.raises(InputError, match=r"'019\.png' cannot be read as an image"):
        unpack(str(folder), Request())
    values = np.ones((50, 3, 2, 2), np.float32)
    values[40, 1, 1, 0] = np.nan
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(InputError, match="row 40, column 1, 1, 0"):
        unpack(str(tmp_path / "x.npy"), Request())
    assert not list(any_size.iterdir())


def test_small_data_and_named_ones_are_read_whole(tmp_path, monkeypatch):
    folder = images(tmp_path / "images", (10, 10), count=30)
    assert is_large(str(folder), Request())
    assert not is_large("fashion-sample", Request())
    monkeypatch.setattr(filed, "SMALLEST_BYTES", 3001)
    assert not is_large(str(folder), Request())
    assert is_large(str(folder), Request(tile=4))
    feather.write_feather(pa.table({"a": np.zeros(1000)}), tmp_path / "x.feather", compression="lz4")
    parquet.write_table(pa.table({"a": ["long " * 100] * 10}), tmp_path / "x.parquet")
    assert (tmp_path / "x.feather").stat().st_size < 3000
    assert is_large(str(tmp_path / "x.feather"), Request())
    assert is_large(str(tmp_path / "x.parquet"), Request())


def test_the_command_line(here, done, refused, any_size):
    random = np.random.default_rng(0)
    table = {"bytes": random.lognormal(size=300), "proto": random.choice(["tcp", "udp"], 300), "late": [1.0] * 300}
    table["late"][299] = None
    table["kind"] = random.choice(["a", "b"], 300)
    parquet.write_table(pa.table(table), "x.parquet", row_group_size=40)
    few = ["--epochs", "2", "--set", "network.width=4"]
    told = done("train", "x.parquet", "-o", "m.safetensors", "--label", "kind", *few)
    assert "blocks of them are read" in told
    assert "into a temporary file of 0.0 GiB" in told
    assert "column 'late' holds one value and gaps" in told
    assert load(here / "m.safetensors").schema.names == ("bytes", "proto")
    images(here / "images", (14, 14))
    done("train", "images", "-o", "i.safetensors", "--preset", "convolutional", "--batch-size", "8", *few[:2])
    assert load(here / "i.safetensors").schema.shape == (1, 14, 14)
    done("train", "x.parquet", "-o", "c.safetensors", "--preset", "conditional", "--label", "kind", *few)
    assert set(load(here / "c.safetensors").model.latent.labels) == {"a", "b"}
    refused("train", "x.parquet", "-o", "n.safetensors", "--label", "no", says="has no column 'no'")
    refused("train", "x.parquet", "-o", "n.safetensors", "--members", 2, says="the rows of x.parquet are too many to")
    assert not list(any_size.iterdir())


class Killed(Exception):
    """What ends a training in the middle of an epoch."""


def test_a_training_goes_on_in_the_middle_of_a_file_that_is_written_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("narrows.train.INTERVAL_STEPS", 3)
    monkeypatch.setattr("narrows.data.pools.POOL_BYTES", 2**9)
    monkeypatch.setattr("narrows.filters.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    rows = np.random.default_rng(0).normal(size=(4, 200))
    parquet.write_table(pa.table(dict(zip("abcd", rows, strict=True))), tmp_path / "x.parquet", row_group_size=30)

    def trained(plan, watch=iter):
        found = unpack(str(tmp_path / "x.parquet"), Request())
        return fit(found.filed(), found.schema, "variational", ["network.width=4", "latent.size=2"], plan, watch)

    def until_killed(progress):
        for now in progress:
            yield now
            if now.step >= 15:
                raise Killed

    plan = Plan(epochs=4, batch_size=16, checkpoint=tmp_path / "state", resume=True)
    undisturbed = trained(Plan(epochs=4, batch_size=16)).model.state_dict()
    with pytest.raises(Killed):
        trained(plan, until_killed)
    resumed = trained(plan).model.state_dict()
    assert all(torch.equal(resumed[name], tensor) for name, tensor in undisturbed.items())
