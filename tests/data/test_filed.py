"""Rows that stay in their file: which they are, how they are read, and training that meets each once an epoch."""

import itertools
import os
import threading

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from narrows import load
from narrows.data import division, filed, read
from narrows.data.arrays import filed_npy
from narrows.data.pools import FiledBatches, FiledRows
from narrows.data.request import Request
from narrows.data.unpacking import unpack
from narrows.errors import InputError
from narrows.fit import fit
from narrows.plan import Plan
from narrows.tensors import data_fingerprint

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    """As if every file were large, and a block were of 16 rows."""
    monkeypatch.setattr(filed, "SMALLEST_BYTES", 0)
    monkeypatch.setattr(filed, "BLOCK_ROWS", 16)
    monkeypatch.setattr("narrows.data.pools.POOL_BYTES", 2**12)


def stored(path, values):
    np.save(path / "x.npy", values)
    return filed_npy(path / "x.npy")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8])
def test_rows_are_read_as_they_train(tmp_path, dtype):
    values = (np.random.default_rng(0).random((100, 5)) * 200).astype(dtype)
    rows = stored(tmp_path, values)
    expected = values.astype(np.uint8 if dtype == np.uint8 else np.float32)
    assert rows.kind == ("levels" if dtype == np.uint8 else "reals")
    assert np.array_equal(np.concatenate(list(rows.blocks(7))), expected)
    places = np.array([0, 3, 15, 16, 50, 99])
    assert np.array_equal(rows.take(places), expected[places])
    assert rows.take(places[:0]).shape == (0, 5)
    assert rows.take(places).dtype == expected.dtype


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((4, 5), np.int32),
        np.zeros((4, 5, 3), np.int16),
        np.asfortranarray(np.ones((4, 5))),
        np.zeros((4, 5), ">f4"),
        np.zeros((4, 5), bool),
    ],
)
def test_others_are_read_whole(tmp_path, values):
    assert stored(tmp_path, values) is None


def test_a_small_file_is_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(filed, "SMALLEST_BYTES", 10_000)
    assert stored(tmp_path, np.zeros((4, 5))) is None


def test_large_images_stay_in_their_file_and_are_as_they_are_read_whole(tmp_path):
    for shape in ((40, 4, 3), (40, 2, 3, 3), (40, 3, 4, 2)):
        for values in (
            np.random.default_rng(0).integers(0, 256, shape),
            255 * np.random.default_rng(0).integers(0, 2, shape),
        ):
            rows = stored(tmp_path, values.astype(np.uint8))
            whole = read(tmp_path / "x.npy")
            assert rows.schema() == whole.schema
            assert rows.shape == whole.values.shape
            assert np.array_equal(np.concatenate(list(rows.blocks(7))), whole.values)


def test_the_system_may_give_fewer_bytes_at_once(tmp_path, monkeypatch):
    values = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
    np.save(tmp_path / "x.npy", values[:, :, None].repeat(2, 2).astype(">f4"))
    rows = unpack(str(tmp_path / "x.npy"), Request()).filed()
    pread = os.pread
    monkeypatch.setattr("os.pread", lambda file, count, offset: pread(file, min(count, 100), offset))
    assert np.array_equal(np.concatenate(list(rows.blocks(30))), read(tmp_path / "x.npy").values)


def test_a_fingerprint_does_not_hang_on_how_many_rows_are_read_at_once(tmp_path, monkeypatch):
    rows = FiledRows(stored(tmp_path, np.random.default_rng(0).normal(size=(90, 5))), CPU)
    whole = data_fingerprint(rows)
    monkeypatch.setattr("narrows.tensors.CELLS_AT_ONCE", 33)
    assert data_fingerprint(rows) == whole


def test_places_of_more_rows_than_memory_holds(monkeypatch):
    monkeypatch.setattr("narrows.data.division.ORDERED_ROWS", 10)
    counts = np.zeros(40)
    for seed in range(2000):
        places = division._held_out_places(40, Plan(validation=0.3, seed=seed), 8).numpy()
        assert len(places) == 8
        assert (np.diff(places) > 0).all()
        counts[places] += 1
    # 40 binomial counts of mean 400 and deviation 17.9: none is further off than 5 of it but in one of 40,000 trials.
    assert np.abs(counts - 400).max() < 5 * np.sqrt(2000 * 0.2 * 0.8)


def test_bad_rows_are_named(tmp_path):
    values = np.zeros((100, 5), np.float32)
    values[70, 2] = np.nan
    with pytest.raises(InputError, match="row 70, column 2"):
        stored(tmp_path, values).schema()
    rows = stored(tmp_path, np.ones((100, 5)))
    with (tmp_path / "x.npy").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(InputError, match="became shorter"):
        rows.schema()


@given(n=st.integers(1, 300), size=st.integers(1, 60), seed=st.integers(0, 3), left=st.integers(0, 20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_every_row_comes_once_an_epoch_and_training_resumes_anywhere(tmp_path, n, size, seed, left):
    rows = FiledRows(stored(tmp_path, np.arange(n + left, dtype=np.float32)[:, None]), CPU)
    chosen = torch.randperm(n + left, generator=torch.Generator().manual_seed(seed))[:n].sort().values

    def batches():
        return FiledBatches(rows, size, seed=seed, chosen=chosen)

    order = batches()
    epoch = [batch.flatten().tolist() for batch in itertools.islice(iter(order), order.per_epoch)]
    assert sorted(itertools.chain(*epoch)) == chosen.tolist()
    following = next(iter(order))
    resumed = batches()
    resumed.go_to(order.epoch if order.position else order.epoch - 1, max(order.position - order.size, 0))
    again = next(iter(resumed))
    assert torch.equal(again, following) or order.per_epoch == 1
    assert torch.equal(torch.cat(list(order.chunks(7))).flatten().long(), chosen)


def test_a_batch_holds_rows_of_many_blocks(tmp_path):
    rows = FiledRows(stored(tmp_path, np.arange(2000, dtype=np.float32)[:, None]), CPU)
    batch = next(iter(FiledBatches(rows, 64, seed=0, chosen=torch.arange(2000))))
    assert len((batch // 16).unique()) > 30


def test_the_next_pool_is_read_while_training_goes_on_with_this_one(tmp_path, monkeypatch):
    rows = FiledRows(stored(tmp_path, np.arange(3000, dtype=np.float32)[:, None]), CPU)
    take, reads = filed.Filed.take, []

    def watched(self, places):
        reads.append((threading.current_thread() is threading.main_thread(), len(places)))
        return take(self, places)

    monkeypatch.setattr(filed.Filed, "take", watched)
    batches = FiledBatches(rows, 64, seed=0, chosen=torch.arange(3000))
    order = iter(batches)
    next(order)
    assert batches._coming.pool == (0, 1024)
    batches._coming.rows.result(timeout=60)  # nothing of it has been asked for
    assert reads == [(True, 1024), (False, 1024)]
    met = [next(order) for _ in range(batches.per_epoch - 1)]
    assert reads == [(True, 1024), (False, 1024), (False, 952)]
    assert sum(map(len, met)) == 3000 - 64
    next(order)  # of the next epoch, whose order was not known
    batches._coming.rows.result(timeout=60)
    assert reads[3:] == [(True, 1024), (False, 1024)]


def test_a_file_that_became_shorter_is_told_of_when_its_rows_are_due(tmp_path):
    rows = FiledRows(stored(tmp_path, np.arange(3000, dtype=np.float32)[:, None]), CPU)
    order = iter(FiledBatches(rows, 64, seed=0, chosen=torch.arange(3000)))
    next(order).sum()
    with (tmp_path / "x.npy").open("r+b") as file:
        file.truncate(500)
    with pytest.raises(InputError, match="became shorter"):
        list(itertools.islice(order, 47))


def test_training_reaches_what_it_does_on_rows_in_memory(tmp_path):
    """Which differ in their order alone; noise is the floor of both."""
    random = np.random.default_rng(0)
    signal = random.standard_normal((600, 3)) @ random.standard_normal((3, 8))
    values = (signal + 0.5 * random.standard_normal((600, 8))).astype(np.float32)
    rows, plan = stored(tmp_path, values), Plan(epochs=20, batch_size=50, rate=0.01)
    settings = ["network.depth=0", "latent.size=3"]
    kept, held = (
        fit(rows, rows.schema(), "autoencoder", settings, plan),
        fit(values, rows.schema(), "autoencoder", settings, plan),
    )
    assert kept.record["data"]["fingerprint"] == held.record["data"]["fingerprint"]
    assert kept.record["data"]["held_out"] == held.record["data"]["held_out"]
    one, other = (min(entry["validation"]["nats"] for entry in each.record["history"]) for each in (kept, held))
    assert one == pytest.approx(other, abs=0.3)
    untrained = kept.record["history"][0]["training"]["nats"]
    assert one < untrained - 5


def test_the_command_line(here, done, refused):
    np.save("x.npy", np.random.default_rng(0).standard_normal((300, 6)).astype(np.float16))
    told = done("train", "x.npy", "-o", "m.safetensors", "--preset", "sparse-features", "--epochs", "1", "--set",
                "latent.size=12", "latent.k=2")  # fmt: skip
    assert "blocks of them are read" in told
    assert load(here / "m.safetensors").schema.shape == (6,)
    np.save("x.npy", np.full((300, 6), 3.0))
    refused("train", "x.npy", "-o", "n.safetensors", says="every row of the data is the same")
    np.save("x.npy", np.where(np.eye(300, 6) > 0, np.inf, 0.0))
    refused("train", "x.npy", "-o", "n.safetensors", says="holds NaN or infinite values")
