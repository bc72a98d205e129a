"""Cells as symbols and what they leave open: tables come back as they were written, whatever symbols were made for."""

import json
import string
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.data.alphabet_choice import alphabet_of
from narrows.data.alphabets import MOST_SYMBOLS, Alphabet
from narrows.data.leftovers import from_bits, from_bytes, in_bits, in_bytes
from narrows.data.numerals import decimals_of, least_of, parsed, written
from narrows.data.spelling import Spelling
from narrows.errors import InputError

NUMBERS = st.one_of(
    st.integers(-(10**40), 10**40).map(str),
    st.integers(-20, 20).map(str),
    st.integers(-9999, 9999).map(lambda k: f"{k / 100:.2f}"),
    st.floats(allow_nan=False).map(repr),
    st.sampled_from(["-0", "0", "00", "007", "-0.0", "1.", ".5", "+1", "1e5", "0.10", "9" * 19, "8" * 19, "1\n"]),
)
WORDS = st.one_of(st.text(max_size=6), st.sampled_from(["", "tcp", "Größe", '"q"', "a,b", "\0", "x\r\ny"]))
CELLS = st.one_of(st.none(), NUMBERS, WORDS).filter(lambda text: text is None or _utf8(text))


def _utf8(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def column(cells: list) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(cells, pa.string())])


# --- Numbers as they are written -------------------------------------------------------------------------------------


@given(numbers=st.lists(st.integers(-(9 * 10**18) + 1, 9 * 10**18 - 1)), decimals=st.integers(0, 18), data=st.data())
@settings(max_examples=40)
def test_a_number_is_written_as_decimal_has_it_and_read_again(numbers, decimals, data):
    least = data.draw(st.integers(0, decimals))
    texts = written(np.array(numbers, np.int64), decimals, least)
    for number, text in zip(numbers, texts.to_pylist(), strict=True):
        assert Decimal(text) == Decimal(number).scaleb(-decimals)
        digits = len(text.partition(".")[2])
        assert digits >= least
        assert digits == least or not text.endswith("0")
    again, are = parsed(texts, decimals, least)
    assert are.all()
    assert again.tolist() == numbers


@given(texts=st.lists(NUMBERS), decimals=st.integers(0, 18), data=st.data())
@settings(max_examples=40)
def test_what_is_taken_for_a_number_is_written_so(texts, decimals, data):
    least = data.draw(st.integers(0, decimals))
    numbers, are = parsed(pa.array(texts, pa.string()), decimals, least)
    assert np.array(texts, object)[are].tolist() == written(numbers[are], decimals, least).to_pylist()


@pytest.mark.parametrize(
    ("texts", "decimals", "least"),
    [
        (["1", "20", "-3"], 0, 0),
        (["1.50", "0.00", "2.25"], 2, 2),
        (["1.5", "0.0", "2.25"], 2, 1),
        (["1.5", "0", "2.25"], 2, 0),
        (["1.5"] * 99 + ["0.1234567890123456"], 1, 0),  # one that is longer does not make all others longer
        (["a", "b"], 0, 0),
        ([], 0, 0),
    ],
)
def test_digits_after_the_point(texts, decimals, least):
    given_texts, counts = pa.array(texts, pa.string()), np.ones(len(texts), np.int64)
    assert decimals_of(given_texts, counts) == decimals
    assert least_of(given_texts, counts, decimals) == least


# --- Symbols ---------------------------------------------------------------------------------------------------------


def test_symbols_that_suit_a_column():
    cells = [*["tcp"] * 50, *["udp"] * 30, "odd", *["0"] * 40, *map(str, range(1000, 1100)), None]
    alphabet = alphabet_of(column(cells))
    assert alphabet.texts == (None, "tcp", "udp")
    assert alphabet.values == (0,)
    assert alphabet.starts[0] == 1000
    assert alphabet.size == len(alphabet.names) + 1 <= MOST_SYMBOLS
    assert alphabet.names[:4] == ("(empty)", "tcp", "udp", "0")
    covered = {
        start + beyond
        for start, bits in zip(alphabet.starts, alphabet.bits, strict=True)
        for beyond in range(1 << bits)
    }
    assert set(range(1000, 1100)) <= covered


def test_ranges_are_narrow_where_numbers_are():
    r = np.random.default_rng(0)
    alphabet = alphabet_of(column([str(int(x)) for x in np.exp(r.normal(0, 6, 4000))]))
    assert alphabet.bits[0] < 8 < 20 < alphabet.bits[-1]  # dense near 0 and sparse beyond
    dense = alphabet_of(column([f"{x:.3f}" for x in r.normal(0, 1, 4000)]))
    middle = dense.bits[len(dense.bits) // 2]
    assert middle <= min(dense.bits[0], dense.bits[-1])


@given(st.lists(CELLS, max_size=30))
@settings(max_examples=20)
def test_an_alphabet_survives_json(cells):
    alphabet = alphabet_of(column(cells * 2))
    assert Alphabet.from_json(json.loads(json.dumps(alphabet.to_json()))) == alphabet
    assert alphabet.size <= MOST_SYMBOLS


@pytest.mark.parametrize(
    "change",
    [
        {"texts": ["a", "a"]},
        {"texts": [3]},
        {"texts": ["\ud800"]},
        {"texts": ["a" * 257]},
        {"starts": [0], "bits": [10**19]},
        {"starts": [0], "bits": [-1]},
        {"texts": list(map(str, range(300)))},
        {"decimals": 19},
        {"decimals": -1},
        {"decimals": True},
        {"values": [2, 1]},
        {"values": [1.5]},
        {"values": [10**19]},
        {"starts": [1], "bits": []},
        {"starts": [1], "bits": [65]},
        {"starts": [0, 1], "bits": [1, 0]},
        {"bits": [1]},
    ],
    ids=str,
)
def test_alphabets_that_are_forged_are_refused(change):
    honest = Alphabet(("a",), 1, (1,), (2, 4), (1, 2)).to_json()
    with pytest.raises(InputError):
        Alphabet.from_json(honest | change)


# --- There and back --------------------------------------------------------------------------------------------------


@given(seen=st.lists(CELLS, max_size=20), cells=st.lists(CELLS, max_size=20), least=st.integers(0, 3))
@settings(max_examples=40)
def test_any_cells_come_back_from_symbols_that_were_made_for_others(seen, cells, least):
    alphabet = alphabet_of(column(seen * 2))
    spelling = Spelling([alphabet], [min(least, alphabet.decimals)])
    table = pa.table({"a": column(cells)})
    symbols, rest = spelling.split(table)
    assert symbols.shape == (len(cells), 1)
    assert symbols.max(initial=0) <= alphabet.other
    assert spelling.joined(symbols, rest)[0].to_pylist() == cells
    assert Spelling.of([alphabet], table).joined(*Spelling.of([alphabet], table).split(table))[0].to_pylist() == cells


def test_what_was_seen_in_training_leaves_little_open():
    cells = {
        "flags": ["S0", "SF"] * 500,
        "port": [str(place % 7) for place in range(1000)],
        "rate": [f"{place % 10 / 10:.2f}" for place in range(1000)],
    }
    table = pa.table(cells)
    spelling = Spelling.of([alphabet_of(own) for own in table.columns], table)
    assert spelling.split(table)[1] == b""
    assert list(spelling.least) == [0, 0, 2]


@given(rows=st.integers(1, 20), data=st.data())
@settings(max_examples=20)
def test_rows_are_taken_out(rows, data):
    table = pa.table({name: column(data.draw(st.lists(CELLS, min_size=rows, max_size=rows))) for name in "abc"})
    spelling = Spelling.of([alphabet_of(own) for own in table.columns], table)
    row = data.draw(st.integers(0, rows - 1))
    taken = spelling.joined(*spelling.rows(*spelling.split(table), slice(row, row + 1)))
    assert [own.to_pylist() for own in taken] == [own.to_pylist() for own in table.slice(row, 1).columns]


@given(st.lists(st.integers(0, 2**64 - 1)), st.data())
def test_bits_and_texts_in_bytes(numbers, data):
    bits = np.array([max(1, number.bit_length()) for number in numbers], np.int64)
    row = in_bits(np.array(numbers, np.uint64), bits)
    assert len(row) == -(-int(bits.sum()) // 8)
    assert from_bits(row, bits).tolist() == numbers
    texts = data.draw(st.lists(st.one_of(st.none(), st.text(string.printable + "ü€😀"))))
    assert from_bytes(in_bytes([pa.array(texts, pa.string())]), len(texts)).to_pylist() == texts


@given(data=st.data())
@settings(max_examples=60)
def test_damage_is_refused_or_gives_other_cells_and_no_more(data):
    table = pa.table(
        {"a": ["x", "y", "", None] * 3, "b": [f"{place * 37 % 11}.5" for place in range(12)], "c": ["é"] * 12}
    )
    alphabets = [Alphabet(("x", None)), Alphabet((), 1, (5,), (16,), (6,)), Alphabet()]
    spelling = Spelling(alphabets, [0, 1, 0])
    symbols, rest = spelling.split(table)
    symbols, rest = symbols.copy(), bytearray(rest)
    for _ in range(data.draw(st.integers(1, 3))):
        what = data.draw(st.sampled_from(["symbol", "bit", "cut", "insert"]))
        if what == "symbol":
            symbols[data.draw(st.integers(0, 11)), data.draw(st.integers(0, 2))] = data.draw(st.integers(0, 255))
        elif what == "bit" and rest:
            rest[data.draw(st.integers(0, len(rest) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        elif what == "cut":
            del rest[data.draw(st.integers(0, len(rest))) :]
        else:
            rest += data.draw(st.binary(min_size=1, max_size=5))
    try:
        found = spelling.joined(symbols, bytes(rest))
    except InputError:
        return
    assert [len(own) for own in found] == [12, 12, 12]
