"""Rows from lines: the same as from a file of them, whatever their batch; and what is no row says why."""

import json

import numpy as np
import pytest

from narrows.data.readers import read
from narrows.data.rows import parser_of
from narrows.data.schema import Column, mixed_schema
from narrows.errors import InputError

MIXED = """amount,kind,day,seen,flag,at
1.5,a,3,5,true,2024-01-01 10:00:00
,b,1,6,false,2024-01-02T11:00:00
-2e3,?,2,7,True,2024-01-02 11:00:00
NA, a ,3,8,,2024-01-01 10:00:00
7,"a",,-,FALSE,
8,NULL,2,10,true,2024-01-01T10:00:00
"""
KINDS = {"kind": "category", "day": "category", "flag": "binary", "at": "category", "seen": "numeric"}


def written(folder, text, name="data.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.fixture
def mixed(tmp_path):
    """A mixed table, and its schema."""
    data = read(written(tmp_path, MIXED), kinds=KINDS)
    assert [column.kind for column in data.schema.columns] == [
        *("numeric", "category", "category", "numeric", "binary", "category")
    ]
    return data


def parsed(schema, text, **options):
    head, *rest = text.encode().splitlines() if isinstance(text, str) else text.split(b"\n")
    parser = parser_of(schema, head, **options)
    return parser.parse(rest if parser.skips_head else [head, *rest])


def test_a_mixed_table_is_read_as_its_file_is(mixed):
    found = parsed(mixed.schema, MIXED)
    np.testing.assert_array_equal(found.values, mixed.values)
    assert found.values.dtype == mixed.values.dtype
    assert (found.places, dict(found.errors)) == (list(range(6)), {})


def test_so_is_every_line_alone(mixed):
    head, *lines = MIXED.encode().splitlines()
    parser = parser_of(mixed.schema, head)
    alone = [parser.parse([line]).values for line in lines]
    np.testing.assert_array_equal(np.concatenate(alone), mixed.values)


def test_columns_in_another_order_and_further_ones(mixed, tmp_path):
    lines = [line.split(",") for line in MIXED.splitlines()]
    turned = "\n".join(",".join([*reversed(line), str(i) if i else "more"]) for i, line in enumerate(lines))
    parser = parser_of(mixed.schema, turned.encode().splitlines()[0])
    assert parser.further == ("more",)
    np.testing.assert_array_equal(parser.parse(turned.encode().splitlines()[1:]).values, mixed.values)


@pytest.mark.parametrize("mark", [";", "\t"])
def test_other_separators(mixed, mark):
    np.testing.assert_array_equal(parsed(mixed.schema, MIXED.replace(",", mark)).values, mixed.values)


def test_numbers_without_a_kind_of_their_own(tmp_path):
    random = np.random.default_rng(0)
    text = "a,b,c\n" + "".join(f"{a:.5g},{int(9 * b)},{c!r}\n" for a, b, c in random.normal(size=(500, 3)).tolist())
    data = read(written(tmp_path, text))
    np.testing.assert_array_equal(parsed(data.schema, text).values, data.values)


@pytest.mark.parametrize("form", ["objects", "arrays"])
def test_json_is_read_as_the_table_is(mixed, form):
    cells = [
        [1.5, "a", 3, 5, True, "2024-01-01 10:00:00"],
        [None, "b", 1, 6, False, "2024-01-02T11:00:00"],
        [-2000, None, 2, 7, "True", "2024-01-02 11:00:00"],
        ["NA", " a ", "3", 8, None, "2024-01-01 10:00:00"],
        ["7", "a", None, None, "FALSE", None],
        [8, "NULL", 2.0, 10, "true", "2024-01-01T10:00:00"],
    ]
    objects = [dict(reversed([*zip(mixed.schema.names, row, strict=True), ("more", {"x": 1})])) for row in cells]
    text = "\n".join(json.dumps(row) for row in (objects if form == "objects" else cells))
    np.testing.assert_array_equal(parsed(mixed.schema, text).values, mixed.values)


BAD = [
    (b"1,2", "Expected 3 columns, got 2"),
    (b"1,2,3,4", "Expected 3 columns, got 4"),
    (b"1,word,3", "has 'word'"),
    (b"1,,3", "holds NaN or infinite values in 1 cell, column 'b'"),
    (b"inf,2,3", "column 'a'"),
    (b"1e39,2,3", "beyond 3.4e38"),
    (b"1,\xff,3", "not UTF-8"),
    (b"1,2\r4,5,6", "carriage return"),
    (None, "longer than 1 MiB"),
]


def test_bad_lines_are_told_apart_from_good_ones(tmp_path):
    schema = read(written(tmp_path, "a,b,c\n1,2,3\n4,5,6.5\n7,9,8\n")).schema
    parser = parser_of(schema, b"a,b,c")
    texts = [line for bad, _ in BAD for line in (b"1,2,3", b"", bad)] + [b'4,"5",6', b"\r", b'"1,2,3', b'4,5,6"']
    found = parser.parse(texts)
    assert found.places == [*range(0, 27, 3), 27]
    np.testing.assert_array_equal(found.values, [[1, 2, 3]] * 9 + [[4, 5, 6]])
    assert sorted(found.errors) == [*range(2, 27, 3), 29, 30]
    for (_, said), place in zip(BAD, range(2, 27, 3), strict=True):
        told = found.errors[place]
        assert said in told
        assert "\n" not in told
        assert "row" not in told or "CSV parse error" in told


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"a": 1, "b": 2}', "lacks 'c'"),
        (b'{"a": 1, "b": "x", "c": 3}', "has 'x'"),
        (b"[1, 2]", "an array of 2 cells, not 3"),
        (b"5", "neither a JSON object nor an array"),
        (b"{", "delimiter|Expecting"),
        (b'{"a": [1], "b": 2, "c": 3}', "column 'a'"),
        (b"[" * 100_000, "recursion"),
        (b'{"a": 1' + b"0" * 5000 + b', "b": 2, "c": 3}', ""),
        (b"\xff", "not UTF-8"),
    ],
)
def test_bad_json(tmp_path, line, said):
    schema = read(written(tmp_path, "a,b,c\n1,2,3\n4,5,6.5\n7,9,8\n")).schema
    good = b'{"a": 1, "b": 2, "c": 3}'
    found = parser_of(schema, good).parse([good, line, good])
    assert found.places == [0, 2]
    np.testing.assert_array_equal(found.values, [[1, 2, 3]] * 2)
    (told,) = found.errors.values()
    assert any(one in told for one in said.split("|"))


class TestColumns:
    def schema(self, tmp_path):
        return read(written(tmp_path, "a,b,c\n1,2,3\n4,5,6.5\n7,9,8\n")).schema

    @pytest.mark.parametrize(
        ("head", "said"),
        [
            (b"a,b", "lacks the column 'c'"),
            (b"a,b,d", "lacks the column 'c'"),
            (b"1,2,3", "lacks the column 'a'"),
            (b"a,b,c,c", "two columns named 'c'"),
            (b'{"a": 1, "b": 2}', "lacks the column 'c'"),
            (b"\xff\xfea\0,\0b\0,\0c", "send UTF-8 text"),
        ],
    )
    def test_a_column_that_is_not_there_is_refused(self, tmp_path, head, said):
        with pytest.raises(InputError, match=said):
            parser_of(self.schema(tmp_path), head)

    def test_without_a_header_columns_go_by_their_order(self, tmp_path):
        found = parsed(self.schema(tmp_path), "1,2,3\n4,5,6\n", header=False)
        np.testing.assert_array_equal(found.values, [[1, 2, 3], [4, 5, 6]])
        with pytest.raises(InputError, match="lacks the column"):
            parser_of(self.schema(tmp_path), b"1,2", header=False)

    def test_a_model_without_names_takes_lines_without(self, tmp_path):
        np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32))
        schema = read(str(tmp_path / "x.npy")).schema
        np.testing.assert_array_equal(parsed(schema, "1,2,3\n4,5,6\n").values, [[1, 2, 3], [4, 5, 6]])
        np.testing.assert_array_equal(parsed(schema, "[1,2,3]\n[4,5,6]\n").values, [[1, 2, 3], [4, 5, 6]])
        with pytest.raises(InputError, match="has 2 cells; the model was trained on 3 columns"):
            parser_of(schema, b"1,2")

    def test_images_and_unknown_formats_are_refused(self, tmp_path):
        with pytest.raises(InputError, match="use narrows detect"):
            parser_of(read("digits").schema, b"1,2")
        with pytest.raises(InputError, match="unknown format 'xml'"):
            parser_of(self.schema(tmp_path), b"a,b,c", form="xml")


def test_categories_are_texts_even_if_they_look_like_numbers():
    schema = mixed_schema((Column("port", "category", ("01", "1", "true")),))
    assert parsed(schema, "port\n1\n01\n2\nTrue\n").values.flatten().tolist() == [1, 0, 3, 2]
    lines = '{"port": 1}\n{"port": "01"}\n{"port": 2}\n{"port": true}\n{"port": null}'
    np.testing.assert_array_equal(parsed(schema, lines).values.flatten(), [1, 0, 3, 2, np.nan])
