"""ARFF files: what is declared, how rows are written, and what is refused."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from narrows.data import limits, read
from narrows.data.schema import Column
from narrows.errors import InputError

FILE = """% a comment
@RELATION 'a test'

@attribute size NUMERIC
@Attribute 'odd, \\'name\\'' {u, 'v w', "x"}
@attribute code {1,2,3}
@attribute when date "yyyy-MM-dd HH:mm:ss"
@attribute text string
@data
% another
1.5, u, 1, '2020-01-01 10:00:00', 'it\\'s, so'

?,'v w',2,?,b
-3e2 , u,3,'2020-01-02 10:00:00',?
  4,x,3,'2020-01-03 10:00:00','?'
"""


def write(tmp_path: Path, content: str | bytes, name: str = "t.arff") -> Path:
    path = tmp_path / name
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("name", ["t.arff", "t.ARFF", "t.arff.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_is_read(tmp_path: Path, name: str, end: str) -> None:
    path = write(tmp_path, FILE.replace("\n", end), name)
    data = read(path)
    assert data.schema.columns == (
        Column("size", "numeric"),
        Column("odd, 'name'", "category", ("u", "v w", "x")),
        Column("code", "category", ("3", "1", "2")),
        Column("text", "binary", ("b", "it's, so")),
    )
    assert data.notes == ("column 'when' holds dates or times and was left out",)
    expected = [[1.5, 0, 1, 1], [np.nan, 1, 2, 0], [-300, 0, 0, np.nan], [4, 2, 0, np.nan]]
    np.testing.assert_array_equal(data.values, expected)
    np.testing.assert_array_equal(read(path, schema=data.schema).values, data.values)


def test_labels_kinds_and_columns_left_out(tmp_path: Path) -> None:
    path = write(
        tmp_path, "@relation r\n@attribute a real\n@attribute b integer\n@attribute y {p,q}\n@data\n1,4,p\n2,3,q\n"
    )
    data = read(path, label="y")
    assert data.labels.tolist() == ["p", "q"]
    assert data.schema.values == "reals"
    assert data.values.tolist() == [[1, 4], [2, 3]]
    assert read(path, ignore=["a"], kinds={"b": "count"}).schema.columns[0].kind == "count"


def test_double_quotes(tmp_path: Path) -> None:
    path = write(tmp_path, '@relation r\n@attribute "a b" {"x y",z}\n@attribute c real\n@data\n"x y", 1\nz,2\nz, 4\n')
    data = read(path)
    assert data.schema.columns[0] == Column("a b", "binary", ("x y", "z"))
    assert data.values.tolist() == [[0, 1], [1, 2], [1, 4]]


HEAD = "@relation r\n@attribute a real\n@attribute b {u,v}\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "has no line @data"),
        (HEAD, "has no line @data"),
        ("@relation r\n@data\n1\n", "declares no attributes"),
        (HEAD + "@attribute c relational\n@data\n1,u,2\n", "declares '@attribute c relational'"),
        (HEAD + "@attribute c\n@data\n1,u,2\n", "declares '@attribute c'"),
        (HEAD + "@data\n{0 1, 1 u}\n", "has sparse rows"),
        (HEAD + "@data\n1,u\n2\n", "Expected 2 columns, got 1"),
        (HEAD + "@data\n1,u\nfoo,v\n", "invalid value 'foo'"),
        (HEAD + "@data\n", "no rows"),
        (HEAD + "@data\n% nothing\n\n", "no rows"),
        (HEAD + "@attribute c string\n@data\n1,'u',\"x\"\n", "quotes some cells with ' and some with \""),
        (HEAD + "@attribute a real\n@data\n1,u,2\n", "two columns named 'a'"),
        (HEAD.encode() + b"@attribute c\xff real\n@data\n1,u,2\n", "cannot be read as an ARFF file"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: str | bytes, says: str) -> None:
    with pytest.raises(InputError) as caught:
        read(write(tmp_path, content))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FREE_BYTES", 1000)
    path = write(tmp_path, HEAD + "@data\n" + "1,u\n" * 10**6, "t.arff.gz")
    with pytest.raises(InputError, match="over 500 times its size"):
        read(path)


def test_bank_marketing(narrows_data: Path) -> None:
    data = read(narrows_data / "adrepo" / "bank-additional-ful-nominal.arff", label="y")
    assert data.values.shape == (41188, 10)
    assert data.schema.columns[1] == Column("marital", "category", ("married", "single", "divorced", "unknown"))
    assert not np.isnan(data.values).any()
