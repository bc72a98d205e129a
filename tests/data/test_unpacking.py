"""Data that are too many to hold: what few rows tell of them, the file they are written into, and training on it."""

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
from narrows.data import filed, read, telling, unpacking
from narrows.data.request import Request
from narrows.data.unpacking import Unpacked, is_large, unpack
from narrows.errors import InputError
from narrows.fit import fit
from narrows.plan import Plan


@pytest.fixture(autouse=True)
def any_size(monkeypatch, tmp_path_factory):
    """As if all data were large and a part were of few cells, in a temporary folder of the test's own."""
    monkeypatch.setattr(filed, "SMALLEST_BYTES", 1)
    monkeypatch.setattr(telling, "CELLS", 200)
    monkeypatch.setattr(unpacking, "CELLS", 90)
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
    rows = again.opened()
    found.forget()
    assert not found.path.exists()
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
    "float": st.one_of(st.floats(-100, 100, width=32), st.just(float("nan"))),
    "whole": st.integers(0, 3),
    "large": st.integers(2**24, 2**40),
    "text": st.sampled_from(["tcp", "udp", "icmp", None]),
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
        for place in data.draw(st.sets(st.integers(0, rows - 1), max_size=4), label=f"rows of {name}"):
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


def test_rows_that_tell_are_few(tmp_path):
    rows = telling.TellingRows()
    random = np.random.default_rng(0)
    for _ in range(200):
        rows.see(pa.table({"a": random.normal(size=100), "b": random.integers(0, 9, 100).astype(str)}))
    assert rows.rows == 20_000
    assert 100 <= rows.table().num_rows <= 200 + 100  # spread, and each new end of a column


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


def test_the_command_line(here, done, refused, any_size):
    random = np.random.default_rng(0)
    table = {"bytes": random.lognormal(size=300), "proto": random.choice(["tcp", "udp"], 300), "late": [1.0] * 300}
    table["late"][299] = None
    table["kind"] = random.choice(["a", "b"], 300)
    parquet.write_table(pa.table(table), "x.parquet", row_group_size=40)
    few = ["--epochs", "2", "--set", "network.width=4"]
    told = done("train", "x.parquet", "-o", "m.safetensors", "--label", "kind", *few)
    assert "blocks of them are read" in told
    assert f"into a temporary file in {any_size}" in told
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
        rows = found.opened()
        found.forget()
        return fit(rows, found.schema, "variational", ["network.width=4", "latent.size=2"], plan, watch)

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
