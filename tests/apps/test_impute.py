"""Gaps filled from the command line: what is there stays as it is written, letter by letter."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from narrows import load, read
from narrows.inference import imputed
from narrows.tensors import tensor_of

ROWS = 120
SMALL = ["--epochs", "100", "--batch-size", "16", "--set", "network.width=32", "latent.size=8"]
GAPS = ("", "NA", "?")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table with gaps, in words that a program would write otherwise, and a model of it."""
    from narrows.cli import run

    folder = tmp_path_factory.mktemp("gaps")
    rng = np.random.default_rng(0)
    size = rng.normal(size=ROWS)
    rows = [
        [
            f"no. {i:03d}",
            f"{a:+.5f}0",
            f"{2 * a + 0.05 * b:.4e}",
            "cold; wet" if a < 0 else 'hot, "dry"',
            "yes" if a > 1 else "no",
        ]
        for i, (a, b) in enumerate(zip(size, rng.normal(size=ROWS), strict=True))
    ]
    for i, j in zip(*(rng.random((ROWS, 4)) < 0.2).nonzero(), strict=True):
        rows[i][j + 1] = GAPS[(i + j) % 3]
    with (folder / "gaps.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "a", "b", "weather", "extreme"], *rows])
    words = ["train", folder / "gaps.csv", "-o", folder / "m.safetensors", "--preset", "imputing", *SMALL]
    assert run([str(word) for word in words]) == 0
    return folder


def cells(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_observed_cells_stay_as_they_are_written_and_gaps_are_filled(folder, here, done):
    told = json.loads(done("impute", folder / "m.safetensors", folder / "gaps.csv", "-o", "full.csv", "--json"))
    before, after = cells(folder / "gaps.csv"), cells(here / "full.csv")
    assert [len(row) for row in after] == [5] * (ROWS + 1)
    gaps = [(i, j) for i, row in enumerate(before) for j, cell in enumerate(row) if cell in GAPS]
    assert told == {"file": "full.csv", "rows": ROWS, "gaps": len(gaps), "columns": ["a", "b", "weather", "extreme"]}
    for i, j in gaps:
        assert after[i][j] not in GAPS
        before[i][j] = after[i][j]
    assert before == after
    assert {row[3] for row in after[1:]} == {"cold; wet", 'hot, "dry"'}


def test_a_gap_follows_the_rest_of_its_row(folder, here, done):
    done("impute", folder / "m.safetensors", folder / "gaps.csv", "-o", "full.csv")
    before, after = cells(folder / "gaps.csv")[1:], cells(here / "full.csv")[1:]
    pairs = [(float(a[1]), float(a[2])) for b, a in zip(before, after, strict=True) if (b[1] in GAPS) != (b[2] in GAPS)]
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.9
    told = [(float(a[1]) < 0) == (a[3] == "cold; wet") for b, a in zip(before, after, strict=True) if b[3] in GAPS]
    assert np.mean(told) > 0.8


def test_spreads_stand_in_columns_of_their_own(folder, here, done):
    done("impute", folder / "m.safetensors", folder / "gaps.csv", "-o", "full.csv", "--draws", 20)
    before, after = cells(folder / "gaps.csv"), cells(here / "full.csv")
    assert after[0] == ["id", "a", "b", "weather", "extreme", "a_spread", "b_spread"]
    for place, spread in ((1, 5), (2, 6)):
        for given, row in zip(before[1:], after[1:], strict=True):
            assert (row[spread] != "") == (given[place] in GAPS)
            assert row[spread] == "" or 0 < float(row[spread]) < 10


def test_a_parquet_file_keeps_its_types(folder, here, done):
    numbers = pa.array([1, None, 3] * 40, pa.int16())
    texts = pa.array([None, "x", "y"] * 40).dictionary_encode()
    table = pa.table({"n": numbers, "other": [f"row {i}" for i in range(120)], "t": texts, "r": np.arange(120) * 0.5})
    parquet.write_table(table, here / "gaps.parquet")
    done("train", "gaps.parquet", "-o", "m.safetensors", "--preset", "imputing", "--epochs", 2)
    done("impute", "m.safetensors", "gaps.parquet", "-o", "full.parquet")
    full = parquet.read_table(here / "full.parquet")
    assert full.schema.types == table.schema.types
    assert full.column("other") == table.column("other")
    assert full.column("n").null_count == full.column("t").null_count == 0
    assert all(a == b for a, b in zip(numbers.to_pylist(), full.column("n").to_pylist(), strict=True) if a is not None)
    assert set(full.column("t").to_pylist()) == {"x", "y"}


def test_a_file_without_names_is_filled_by_the_order_of_its_columns(folder, here, done):
    (here / "bare.csv").write_text(
        "".join(",".join(f'"{c}"' for c in row[1:3]) + "\n" for row in [["", "1.50", ""]] * 3)
    )
    (here / "named.csv").write_text("u,v\n" + "".join(f"{i / 7},{i * i / 9}\n{i},\n" for i in range(20)))
    done("train", "named.csv", "-o", "m.safetensors", "--preset", "imputing", "--epochs", 2)
    done("impute", "m.safetensors", "bare.csv", "-o", "full.csv", "--no-header")
    rows = cells(here / "full.csv")
    assert [row[0] for row in rows] == ["1.50"] * 3
    assert len({row[1] for row in rows} - {""}) == 1


def test_rows_do_not_depend_on_their_neighbours_and_observed_cells_are_the_same_numbers(folder):
    fitted = load(folder / "m.safetensors")
    values = tensor_of(read(folder / "gaps.csv", schema=fitted.schema).values)
    together, spread = imputed(fitted.model, values)
    alone = imputed(fitted.model, values[5:6])[0]
    np.testing.assert_allclose(alone, together[5:6], rtol=1e-5)
    there = ~values.isnan()
    assert (together[there] == values[there]).all()
    assert (spread[there] == 0).all()
    assert together.isfinite().all()


def test_a_model_without_a_notion_of_gaps_is_refused(models, here, refused):
    refused("impute", models / "digits.safetensors", "digits", "-o", "full.csv", says="train it on a table with gaps")
    refused("impute", models / "table.safetensors", models / "table.csv", "-o", "full.png", says="suffix .png")
    refused(
        "impute", models / "digits.safetensors", "digits", "-o", "full.csv", "--draws", -1, says="draws was given as -1"
    )
