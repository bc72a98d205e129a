import gzip
import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import feather, parquet

from narrows.data import read
from narrows.errors import InputError

TABLE = pa.table({"a": [1.0, 2.5, 3.0], "b": [4, 5, 6], "t": ["x", "y", "x"]})


def refusal(source: object, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    (tmp_path / "numbers.csv").write_text("a\n1\n")
    message = refusal(tmp_path / "nunbers.csv")
    assert message.startswith("no such file or data set: ")
    assert "named data sets are 'fashion-sample', 'digits', 'fashion-mnist', 'mnist'" in message
    assert "did you mean" in message
    assert message.endswith("numbers.csv'?")
    assert "did you mean 'digits'?" in refusal("digit")


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 5000, "no\nsuch"])
def test_names_that_no_file_can_have(name: str) -> None:
    assert "no such file or data set" in refusal(name)


def test_unknown_kind(tmp_path: Path) -> None:
    for name in ("model.pkl", "data.sas7bdat", "x.npy.gz"):
        (tmp_path / name).write_bytes(b"something else")
        assert "unknown kind" in refusal(tmp_path / name)
        assert ".parquet" in refusal(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("digits", {"label": "y"}, "label was given for the named data set 'digits'"),
        ("x.npy", {"key": "x"}, "key names an array of an .npz file"),
        ("x.npy", {"kinds": {"a": "count"}}, "column says what a column of a table holds"),
        ("x.npy", {"ignore": ["a"]}, "ignore names columns of a table"),
        ("x.npy", {"split": "test"}, "split is for named data sets"),
        ("x.parquet", {"header": False}, "header is for tables of text"),
        ("x.npy", {"split": "half"}, "unknown split 'half'; allowed are 'train', 'test'"),
    ],
)
def test_options_that_would_go_unheeded(tmp_path: Path, name: str, options: dict[str, object], words: str) -> None:
    np.save(tmp_path / "x.npy", np.eye(2))
    parquet.write_table(TABLE, tmp_path / "x.parquet")
    assert words in refusal(name if name == "digits" else tmp_path / name, **options)


def test_options_for_what_is_in_memory() -> None:
    assert "label was given for an array in memory" in refusal(np.eye(2), label="y")
    assert "key was given for a frame" in refusal(TABLE, key="x")


def written(write: Callable[[io.BytesIO], object]) -> bytes:
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()


def zip_of(content: bytes, stream: io.BytesIO) -> None:
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.png", content)


COLOUR = np.random.default_rng(0).integers(0, 256, (6, 5, 7, 3), dtype=np.uint8)
IDX = b"\0\0\x08\x02" + (30).to_bytes(4, "big") + (21).to_bytes(4, "big") + COLOUR.tobytes()
NUMBERS = TABLE.select(["a", "b"])
PNG = written(lambda stream: Image.fromarray(COLOUR[0]).save(stream, "PNG"))
FILES = {
    "x.npy": written(lambda stream: np.save(stream, COLOUR)),
    "x.npz": written(lambda stream: np.savez_compressed(stream, x=COLOUR)),
    "x-idx": IDX,
    "x-idx.gz": gzip.compress(IDX),
    "x.png": PNG,
    "x.tif": written(lambda stream: Image.fromarray(COLOUR[0]).save(stream, "TIFF")),
    "x.zip": written(lambda stream: zip_of(PNG, stream)),
    "x.csv": b"a,b\n1,4\n2.5,5\n3,6\n",
    "x.csv.gz": gzip.compress(b"a,b\n1,4\n2.5,5\n3,6\n"),
    "x.arff": b"@relation r\n@attribute a real\n@attribute b {u,v}\n@data\n1,u\n2.5,v\n?,u\n",
    "x.tsv": b"a\tb\n1\tu\n\tv\n3\tu\n",
    "x.pq": written(lambda stream: parquet.write_table(TABLE, stream)),
    "x.parquet": written(lambda stream: parquet.write_table(NUMBERS, stream)),
    "x.feather": written(lambda stream: feather.write_feather(NUMBERS, stream)),
    "x.arrow": written(lambda stream: feather.write_feather(NUMBERS, stream, compression="uncompressed")),
}


@pytest.mark.parametrize("name", FILES)
def test_damage_of_any_kind_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    """Bytes altered at random: what comes back is data or one sentence, never another exception."""
    path, chance = tmp_path / name, random.Random(name)
    path.write_bytes(FILES[name])
    read(path)
    for _ in range(40):
        damaged = bytearray(FILES[name][: chance.choice([len(FILES[name]), chance.randrange(len(FILES[name]))])])
        for _ in range(min(2, len(damaged))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            read(path)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017
