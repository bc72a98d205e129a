"""A folder of files of one kind is one data set; of rows that stay there, each worker reads its own, in one order."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import csv, parquet

from narrows.data import filed, read
from narrows.data.arrays import filed_shards
from narrows.data.pools import FiledBatches, FiledRows
from narrows.errors import InputError
from narrows.workers import Workers

CPU = torch.device("cpu")
ROWS = np.random.default_rng(0).normal(size=(90, 4)).astype("float32")


@pytest.fixture
def large(monkeypatch):
    """As if every file were large, a block were of 16 rows and a pool of 4 KiB."""
    monkeypatch.setattr(filed, "SMALLEST_BYTES", 0)
    monkeypatch.setattr(filed, "BLOCK_ROWS", 16)
    monkeypatch.setattr("narrows.data.pools.POOL_BYTES", 2**12)


def shards(folder, rows=ROWS, at=(17, 40, 41)):
    for place, part in enumerate(np.split(rows, at)):
        np.save(folder / f"part-{place}.npy", part)
    return folder


# --- Read whole ------------------------------------------------------------------------------------------------------


def test_arrays_are_one_after_the_other_by_name(tmp_path):
    (tmp_path / "README.txt").write_text("how these were made")
    (tmp_path / "_SUCCESS").write_text("")
    found = read(shards(tmp_path))
    assert np.array_equal(found.values, ROWS)
    assert found.notes == ()


@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow"])
def test_tables_are_those_of_one_file_whatever_the_order_of_columns_and_the_types_of_numbers(tmp_path, suffix):
    parts = [
        pa.table({"a": [1, 2, 3], "b": ["x", "y", "x"], "c": [0.5, 1.5, 2.5]}),
        pa.table({"c": [3.5, 4.5, 5.5], "a": [1.5, 2.5, None], "b": ["y", "x", "z"]}),
    ]
    whole = pa.concat_tables([parts[0], parts[1].select(["a", "b", "c"])], promote_options="permissive")
    write = {"parquet": parquet.write_table, "csv": csv.write_csv, "arrow": _ipc}[suffix]
    (tmp_path / "shards").mkdir()
    for place, part in enumerate(parts):
        write(part, tmp_path / "shards" / f"{place}.{suffix}")
    write(whole, tmp_path / f"whole.{suffix}")
    one, many = read(tmp_path / f"whole.{suffix}", label="b"), read(tmp_path / "shards", label="b")
    assert many.schema == one.schema
    assert np.array_equal(many.values, one.values, equal_nan=True)
    assert np.array_equal(many.labels, one.labels)


def _ipc(table: pa.Table, path) -> None:
    with pa.ipc.new_file(path, table.schema) as sink:
        sink.write_table(table)


def test_a_folder_with_an_image_in_it_is_one_of_images(tmp_path):
    shards(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="cannot be read as an image"):
        read(tmp_path)


# --- Damaged ---------------------------------------------------------------------------------------------------------


def test_a_damaged_shard_is_named_and_left_out_only_if_asked(here, done, refused):
    (here / "shards").mkdir()
    for place in range(3):
        columns = {name: np.random.default_rng([place, index]).normal(size=40) for index, name in enumerate("abc")}
        parquet.write_table(pa.table(columns), here / "shards" / f"{place}.parquet")
    damaged = here / "shards" / "1.parquet"
    damaged.write_bytes(damaged.read_bytes()[:500])
    words = ["train", "shards", "-o", "m.safetensors", "--epochs", "1", "--set", "network.width=4"]
    said = refused(*words, says="leave out shards that cannot be read (--skip-bad-shards)")
    assert "'shards/1.parquet' cannot be read as a Parquet file" in said
    told = done(*words, "--skip-bad-shards")
    assert "shard 'shards/1.parquet' was left out" in told
    assert "rows           80" in told
    refused("train", "shards/0.parquet", "-o", "m.safetensors", "--skip-bad-shards", says="is for a folder of shards")


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (pa.table({"a": [1.0], "d": [2.0]}), "1.parquet' has other columns than the shards before it ('b', 'd')"),
        (pa.table({"a": [1.0], "b": ["x"]}), "1.parquet' has other types than the shards before it"),
    ],
)
def test_a_shard_that_does_not_go_with_the_others_is_named(tmp_path, other, says):
    parquet.write_table(pa.table({"a": [1.0, 2.0], "b": [3.0, 4.0]}), tmp_path / "0.parquet")
    parquet.write_table(other, tmp_path / "1.parquet")
    with pytest.raises(InputError) as raised:
        read(tmp_path)
    assert says in str(raised.value)


def test_an_array_of_another_shape_is_named(tmp_path):
    np.save(shards(tmp_path) / "part-2.npy", ROWS[:5, :3])
    with pytest.raises(InputError, match=r"part-2.npy' has the shape \(5, 3\)"):
        read(tmp_path)


def test_nothing_is_left_if_all_are_damaged(tmp_path, large):
    (tmp_path / "0.npy").write_bytes(b"rubbish")
    with pytest.raises(InputError, match="none of the shards can be read"):
        filed_shards(tmp_path, skip=True)


# --- On the disk -----------------------------------------------------------------------------------------------------


def test_rows_of_several_files_are_read_as_those_of_one(tmp_path, large):
    rows = filed_shards(shards(tmp_path), skip=False)
    assert rows.shape == ROWS.shape
    assert np.array_equal(np.concatenate(list(rows.blocks(7))), ROWS)
    for start, stop in itertools.combinations(range(0, 91, 6), 2):
        assert np.array_equal(rows.read(start, stop), ROWS[start:stop])
    places = np.array([0, 16, 17, 39, 40, 41, 89])
    assert np.array_equal(rows.take(places), ROWS[places])
    assert rows.read(90, 95).shape == (0, 4)


def test_a_damaged_file_is_skipped_and_a_bad_row_is_named_by_its_file(tmp_path, large):
    (shards(tmp_path) / "part-1.npy").write_bytes(b"rubbish")
    with pytest.raises(InputError, match=r"part-1\.npy' cannot be read"):
        filed_shards(tmp_path, skip=False)
    rows = filed_shards(tmp_path, skip=True)
    assert len(rows) == 67
    assert "part-1.npy' was left out" in rows.notes[0]
    spoilt = ROWS[41:].copy()
    spoilt[3, 2] = np.nan
    np.save(tmp_path / "part-3.npy", spoilt)
    with pytest.raises(InputError, match=r"part-3.npy' .*row 3, column 2"):
        filed_shards(tmp_path, skip=True).schema()


def test_small_or_unlike_files_are_read_whole(tmp_path, large, monkeypatch):
    np.save(shards(tmp_path) / "part-9.npy", ROWS.astype("float64"))
    assert filed_shards(tmp_path, skip=False) is None
    monkeypatch.setattr(filed, "SMALLEST_BYTES", 10**6)
    assert filed_shards(tmp_path, skip=False) is None


@pytest.mark.parametrize("size", [7, 64, 100])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_workers_have_between_them_the_batches_of_one_process(tmp_path, large, size, count):
    rows = FiledRows(filed_shards(shards(tmp_path, np.arange(3000, dtype="float32")[:, None]), skip=False), CPU)
    chosen = torch.arange(0, 3000, 2)

    def batches(workers):
        return FiledBatches(rows, size, seed=1, chosen=chosen, workers=workers)

    one = batches(Workers())
    group = [batches(Workers(rank, count)) for rank in range(count)]
    parts = [iter(worker) for worker in group]
    for batch in itertools.islice(iter(one), 2 * one.per_epoch):
        found = [next(part) for part in parts]
        # Where there are fewer rows than workers, each has them all.
        assert torch.equal(torch.cat(found if len(batch) >= count else found[:1]), batch)
        assert len(batch) >= count or all(torch.equal(part, batch) for part in found)
        assert all(worker.met == len(batch) for worker in group)


def test_a_worker_reads_its_share_of_the_rows(tmp_path, large, monkeypatch):
    stored = filed_shards(shards(tmp_path, np.arange(8192, dtype="float32")[:, None]), skip=False)
    read_by = []
    whole = filed.Filed.read
    monkeypatch.setattr(filed.Filed, "read", lambda self, a, b: (read_by.append(range(a, b)), whole(self, a, b))[1])
    seen = []
    for rank in range(4):
        read_by.clear()
        batches = FiledBatches(FiledRows(stored, CPU), 64, seed=1, chosen=torch.arange(8192), workers=Workers(rank, 4))
        list(itertools.islice(iter(batches), batches.per_epoch))
        assert sum(map(len, read_by)) == 8192 // 4
        seen += [row for rows in read_by for row in rows]
    assert sorted(seen) == list(range(8192))
