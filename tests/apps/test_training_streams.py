"""Rows on standard input: trained on in one pass, and coded, as the same rows in a file are."""

import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from narrows import load
from narrows.data import parts as in_parts

SMALL = ("--batch-size", "64", "--set", "network=mlp", "network.width=8", "latent.size=2", "likelihood=gaussian")


def rows(n=4000, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 2)) @ random.normal(size=(2, 5)) + 0.1 * random.normal(size=(n, 5))
    return pa.table({f"c{place}": x[:, place].astype(np.float32) for place in range(5)})


@pytest.fixture
def given(monkeypatch):
    """Put a table, or bytes, on standard input."""

    def put(content, at_once=1000):
        stream = io.BytesIO(content if isinstance(content, bytes) else b"")
        if not isinstance(content, bytes):
            with pa.ipc.new_stream(stream, content.schema) as writer:
                writer.write_table(content, at_once)
            stream.seek(0)
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))

    return put


def test_one_pass_learns(given, here, done, monkeypatch):
    monkeypatch.setattr(in_parts, "CELLS", 5000)
    monkeypatch.setattr(in_parts, "BLOCK", 500)
    given(rows())
    told = json.loads(done("train", "-", "-o", "m.safetensors", *SMALL, "--json"))
    assert (told["rows"], told["held_out"], told["notes"]) == (4000, 100, [])
    assert told["steps"] == -(-900 // 64) + 3 * -(-1000 // 64)
    parquet.write_table(rows(seed=0), "d.parquet")
    untrained = json.loads(done("train", "d.parquet", "-o", "u.safetensors", *SMALL, "--minutes", "1e-9", "--json"))
    assert told["held_out_nats"] < untrained["held_out_nats"]
    fitted = load("m.safetensors")
    np.testing.assert_allclose(fitted.model.transform.mean, np.mean(np.c_[*rows().columns], 0), atol=0.1)


def test_the_size_of_batches_that_come_does_not_matter(given, done):
    for name, at_once in (("a", 7), ("b", 4000)):
        given(rows(), at_once)
        done("train", "-", "-o", f"{name}.safetensors", *SMALL)
    one, other = (load(f"{name}.safetensors").model.state_dict() for name in "ab")
    assert all((one[name] == other[name]).all() for name in one)


def test_codes_are_those_of_a_file(given, done, monkeypatch):
    given(rows())
    done("train", "-", "-o", "m.safetensors", *SMALL)
    parquet.write_table(rows(300), "d.parquet")
    done("embed", "m.safetensors", "d.parquet", "-o", "file.npy")
    given(rows(300), at_once=64)
    assert json.loads(done("embed", "m.safetensors", "-", "-o", "stream.npy", "--json"))["rows"] == 300
    np.testing.assert_allclose(np.load("stream.npy"), np.load("file.npy"), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "words", "says"),
    [
        (rows(), ("--epochs", "2"), "--epochs was given for standard input, which is read once"),
        (rows(), ("--preset", "detector-fast"), "preset detector-fast looks at rows more than once"),
        (rows(), ("--contaminated",), "--contaminated is for a file"),
        (rows(0), (), "standard input has no rows"),
        (b"a,b\n1,2\n", (), "standard input cannot be read as an Arrow stream"),
        (b"", (), "standard input cannot be read as an Arrow stream"),
    ],
)
def test_refused(given, refused, content, words, says):
    given(content)
    refused("train", "-", "-o", "m.safetensors", *words, says=says)
