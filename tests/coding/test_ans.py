"""The entropy coder: its format spelt out again in Python's own numbers, inverses, lengths, damage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.coding import Ans, Exhausted, Tables, quantised
from narrows.errors import InputError

try:
    import numba  # noqa: F401
except ImportError:
    TWINS = [False]
else:
    TWINS = [False, True]

twins = pytest.mark.parametrize("compiled", TWINS, ids=["plain", "compiled"][: len(TWINS)])
both = pytest.mark.skipif(len(TWINS) < 2, reason="numba is not installed")


class Slow:
    """The format, word for word as it stands in the docstring of `Ans`."""

    def __init__(self, lanes):
        self.x, self.words = [1 << 16] * lanes, []

    def push(self, starts, freqs, p):
        for i, (start, f) in enumerate(zip(starts, freqs, strict=True)):
            x = self.x[i % len(self.x)]
            if x >= f << (32 - p):
                self.words.append(x & 0xFFFF)
                x >>= 16
            self.x[i % len(self.x)] = ((x // f) << p) + x % f + start

    def pop(self, n, cumulative, p):
        symbols = [0] * n
        for i in reversed(range(n)):
            x, row = self.x[i % len(self.x)], cumulative[i]
            slot = x & ((1 << p) - 1)
            s = next(s for s in range(len(row) - 1) if row[s] <= slot < row[s + 1])
            x = (row[s + 1] - row[s]) * (x >> p) + slot - row[s]
            if x < 1 << 16:
                x = x << 16 | self.words.pop()
            self.x[i % len(self.x)], symbols[i] = x, s
        return symbols

    def to_bytes(self):
        return b"".join([x.to_bytes(4, "little") for x in self.x] + [w.to_bytes(2, "little") for w in self.words])


def random_tables(r, k, symbols, precision):
    """Rows of frequencies from level to as uneven as can be: one symbol has all that the others leave."""
    total = 1 << precision
    rows = []
    for _ in range(k):
        if r.random() < 0.3:
            freqs = np.ones(symbols, dtype=np.int64)
            freqs[r.integers(symbols)] = total - symbols + 1
            rows.append(np.concatenate([[0], freqs.cumsum()]))
        else:
            inner = r.choice(total - 1, symbols - 1, replace=False) + 1
            rows.append(np.concatenate([[0], np.sort(inner), [total]]))
    return Tables(np.array(rows, dtype=np.int64).reshape(k, symbols + 1), precision)


@st.composite
def cases(draw):
    """A coder with something on it, and symbols for it with a table each, one for all, or shared by choice."""
    r = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lanes, precision = draw(st.integers(1, 70)), draw(st.integers(1, 16))
    n = draw(st.sampled_from([0, 1, 2, 60, 200]) | st.integers(0, 200))
    symbols = draw(st.integers(1, min(40, 1 << precision)))
    k, given_which = draw(st.sampled_from([(n, False), (1, False), (3, True)]))
    tables = random_tables(r, k, symbols, precision)
    which = r.integers(3, size=n) if given_which else None
    before = r.integers(1 << 16, size=draw(st.integers(0, 100)))
    # Symbols as likely as each other, whatever the tables say: the rarest have to come too.
    return lanes, before, r.integers(symbols, size=n), tables, which


def rows_of(tables, which, n):
    which = which if which is not None else [0] * n if len(tables) == 1 else range(n)
    return [tables.cumulative[k].tolist() for k in which]


def prepared(lanes, before, compiled):
    coder = Ans(lanes, compiled=compiled)
    coder.push_uniform(before, 16)
    return coder


@twins
@given(case=cases())
def test_a_round_trip_restores_symbols_and_bytes_and_is_what_the_format_says(compiled, case):
    lanes, before, symbols, tables, which = case
    coder = prepared(lanes, before, compiled)
    slow = Slow(lanes)
    slow.push(before.tolist(), [1] * len(before), 16)
    at_first = coder.to_bytes()
    assert at_first == slow.to_bytes()

    coder.push_symbols(symbols, tables, which)
    rows = rows_of(tables, which, len(symbols))
    slow.push(
        [row[s] for row, s in zip(rows, symbols, strict=True)],
        [row[s + 1] - row[s] for row, s in zip(rows, symbols, strict=True)],
        tables.precision,
    )
    written = coder.to_bytes()
    assert written == slow.to_bytes()
    assert coder.bits == 8 * len(written)

    read = Ans.from_bytes(written, lanes, compiled=compiled)
    assert (read.pop_symbols(len(symbols), tables, which) == symbols).all()
    assert read.to_bytes() == at_first
    assert (read.pop_uniform(len(before), 16) == before).all()
    assert read.empty


@twins
@given(case=cases())
def test_popping_what_was_never_pushed_is_undone_by_pushing_it(compiled, case):
    """The half of bits-back coding that a stack alone must grant: push(pop(bytes)) is those bytes, for any bytes."""
    lanes, before, symbols, tables, which = case
    r = np.random.default_rng(len(before))
    words = r.integers(1 << 16, size=len(symbols) + 1).astype("<u2").tobytes()
    states = r.integers(1 << 16, 1 << 32, size=lanes).astype("<u4").tobytes()
    coder = Ans.from_bytes(states + words, lanes, compiled=compiled)
    drawn = coder.pop_symbols(len(symbols), tables, which)
    slow = Slow(lanes)
    slow.x = np.frombuffer(states, dtype="<u4").tolist()
    slow.words = np.frombuffer(words, dtype="<u2").tolist()
    assert drawn.tolist() == slow.pop(len(symbols), rows_of(tables, which, len(symbols)), tables.precision)
    assert coder.to_bytes() == slow.to_bytes()
    coder.push_symbols(drawn, tables, which)
    assert coder.to_bytes() == states + words


def run_script(coder, script, seed):
    """Push and pop by turns as bits-back coding does: codes popped from one model, data and codes pushed by others."""
    r, trail = np.random.default_rng(seed), []
    for n, symbols, precision in script:
        posterior, prior = (random_tables(r, max(n, 1), symbols, precision) for _ in range(2))
        which = np.arange(n)
        z = coder.pop_symbols(n, posterior, which)
        x = r.integers(1 << precision, size=2 * n)
        coder.push_uniform(x, precision)
        coder.push_symbols(z, prior, which)
        trail.append((n, posterior, prior, which, z, x, precision))
    return trail


def undo_script(coder, trail):
    for n, posterior, prior, which, z, x, precision in reversed(trail):
        assert (coder.pop_symbols(n, prior, which) == z).all()
        assert (coder.pop_uniform(2 * n, precision) == x).all()
        coder.push_symbols(z, posterior, which)


SCRIPTS = st.lists(st.tuples(st.integers(0, 50), st.integers(2, 30), st.integers(5, 16)), min_size=1, max_size=5)


@given(script=SCRIPTS, seed=st.integers(0, 1000), lanes=st.integers(1, 70))
@settings(max_examples=50)
def test_bits_back_gives_the_very_bits_back_and_the_twins_agree_throughout(script, seed, lanes):
    written = []
    for compiled in TWINS:
        before = np.random.default_rng(seed).integers(1 << 16, size=600)
        coder = prepared(lanes, before, compiled)
        at_first = coder.to_bytes()
        trail = run_script(coder, script, seed)
        written.append(coder.to_bytes())
        undo_script(coder, trail)
        assert coder.to_bytes() == at_first
    assert len(set(written)) == 1


@both
def test_what_one_twin_wrote_the_other_reads():
    r = np.random.default_rng(0)
    tables, symbols = random_tables(r, 5000, 20, 14), r.integers(20, size=5000)
    for writes, reads in [(False, True), (True, False)]:
        coder = Ans(64, compiled=writes)
        coder.push_symbols(symbols, tables)
        other = Ans.from_bytes(coder.to_bytes(), 64, compiled=reads)
        assert (other.pop_symbols(5000, tables) == symbols).all()
        assert other.empty


@twins
def test_the_bytes_are_those_of_the_first_version(compiled):
    """A file of today is read tomorrow: if this fails, the format has changed."""
    coder = Ans(3, compiled=compiled)
    coder.push([0, 5, 9, 15, 1, 6, 2], [5, 4, 6, 1, 4, 3, 3], 4)
    coder.push_uniform([1, 65535, 77, 1234], 16)
    assert coder.to_bytes().hex() == "d2041101ffff10004d000e00a3101200f6380100"


@twins
def test_a_function_may_find_the_symbols(compiled):
    """Geometric frequencies, computed from the slot alone; groups come from the last to the first."""
    r = np.random.default_rng(1)
    symbols = np.minimum(r.geometric(0.5, size=333) - 1, 9)
    cumulative = np.append(1024 - (1024 >> np.arange(10)), 1024)
    coder = Ans(10, compiled=compiled)
    coder.push_symbols(symbols, Tables(cumulative, 10))
    seen = []

    def look(group, slots):
        seen.append((group.start, group.stop))
        assert slots.dtype == np.uint64
        found = (slots[:, None] >= cumulative[1:]).sum(axis=1)
        return found, cumulative[found], cumulative[found + 1] - cumulative[found]

    assert (coder.pop_by(333, 10, look) == symbols).all()
    assert coder.empty
    assert seen == [(330, 333)] + [(low, low + 10) for low in range(320, -1, -10)]


def test_a_function_that_finds_nonsense_is_caught_and_the_stack_left_alone():
    coder = prepared(4, np.arange(50), None)
    written = coder.to_bytes()
    for starts, freqs in [(1, 0), (300, 1), (-5, 1000), (0, 257)]:
        with pytest.raises(InputError, match="slot"):
            coder.pop_by(8, 8, lambda group, slots, a=starts, f=freqs: (slots, np.array([a]), np.array([f])))
    assert coder.to_bytes() == written


@both
def test_a_compiled_kernel_of_ones_own_reads_and_writes_the_format():
    from numba import njit

    from narrows.coding.compiled import advance, peek, push_one

    @njit
    def pop_halves(states, words, size, symbols):
        for i in range(len(symbols) - 1, -1, -1):
            lane = i % len(states)
            symbols[i] = peek(states, lane, 4) >= 8
            size = advance(states, words, size, lane, 8 * symbols[i], 8, 4)
            if size < 0:
                break
        return size

    @njit
    def push_halves(states, words, size, symbols):
        for i in range(len(symbols)):
            size = push_one(states, words, size, i % len(states), 8 * symbols[i], 8, 4)
        return size

    symbols = np.random.default_rng(2).integers(2, size=200)
    coder, usual = Ans(7), Ans(7)
    coder.run(push_halves, symbols, room=200)
    usual.push(8 * symbols, np.full(200, 8), 4)
    assert coder.to_bytes() == usual.to_bytes()
    popped = np.empty(200, dtype=np.int64)
    coder.run(pop_halves, popped)
    assert (popped == symbols).all()
    assert coder.empty
    with pytest.raises(Exhausted):
        coder.run(pop_halves, popped)


@pytest.mark.parametrize("precision", [8, 12, 16])
def test_the_length_is_the_entropy_and_that_of_another_coder(precision):
    """20,000 symbols with a table each: within 0.1 % of -log2 of the frequencies, and of `constriction`'s length.

    Beside it is what the lanes cost once, 16 bits each and a word.
    """
    r = np.random.default_rng(precision)
    n, lanes = 20_000, 16
    tables = Tables(quantised(r.dirichlet(np.full(12, 0.5), n), precision), precision)
    freqs = np.diff(tables.cumulative.astype(np.int64))
    # A symbol of each row by its own frequencies: the slot is uniform.
    symbols = (tables.cumulative[:, 1:] <= r.integers(1 << precision, size=n)[:, None]).sum(axis=1)
    coder = Ans(lanes)
    coder.push_symbols(symbols, tables)
    ideal = (precision - np.log2(freqs[np.arange(n), symbols])).sum()
    once = 32 * lanes + 16
    assert ideal - 1 <= coder.bits - 16 * lanes <= ideal * 1.001 + once

    constriction = pytest.importorskip("constriction")
    other = constriction.stream.stack.AnsCoder()
    model = constriction.stream.model.Categorical(perfect=False)
    other.encode_reverse(symbols.astype(np.int32), model, freqs / (1 << precision))
    assert abs(coder.bits - other.num_bits()) <= 0.001 * other.num_bits() + once


@twins
def test_an_empty_stack_says_so_and_stays_as_it_was(compiled):
    coder = Ans(5, compiled=compiled)
    assert coder.empty
    assert coder.bits == 160
    with pytest.raises(Exhausted):
        coder.pop_uniform(1, 16)
    coder.push_uniform([7] * 20, 16)
    written = coder.to_bytes()
    for pop in [
        lambda: coder.pop_uniform(30, 16),
        lambda: coder.pop_symbols(500, Tables(np.arange(17), 4)),
        lambda: coder.pop_by(30, 16, lambda group, slots: (slots, slots, np.uint64([1]))),
    ]:
        with pytest.raises(Exhausted, match="cut short or damaged"):
            pop()
        assert coder.to_bytes() == written
    assert issubclass(Exhausted, InputError)


@pytest.mark.parametrize(
    ("buffer", "lanes", "says"),
    [
        (b"", 1, "0 bytes"),
        (b"\0\0\1", 1, "3 bytes"),
        (b"\0\0\1\0\0", 1, "5 bytes"),
        (b"\0\0\1\0" * 3, 4, "12 bytes"),
        (b"\xff\xff\0\0", 1, "state of 65535"),
        (b"\0\0\1\0" + b"\0" * 4, 2, "state of 0"),
        (b"\0\0\1\0", 0, "lanes"),
        (b"\0\0\1\0", 2**16 + 1, "lanes"),
    ],
)
def test_bytes_that_cannot_be_are_refused(buffer, lanes, says):
    with pytest.raises(InputError, match=says):
        Ans.from_bytes(buffer, lanes)


@twins
@given(buffer=st.binary(max_size=60), lanes=st.integers(1, 5), n=st.integers(0, 100))
def test_any_bytes_are_refused_or_read_within_the_alphabet(compiled, buffer, lanes, n):
    tables = Tables([0, 1, 9, 14, 16], 4)
    try:
        symbols = Ans.from_bytes(memoryview(buffer), lanes, compiled=compiled).pop_symbols(n, tables)
    except InputError:
        return
    assert ((symbols >= 0) & (symbols < 4)).all()


BAD = [
    (lambda a: a.push([0], [0], 4), "frequencies go from 0"),
    (lambda a: a.push([-1], [1], 4), "starts go from -1"),
    (lambda a: a.push([10], [7], 4), "beyond"),
    (lambda a: a.push([0, 1], [1], 4), "2 starts came with 1"),
    (lambda a: a.push([0.5], [1], 4), "whole numbers"),
    (lambda a: a.push([[0]], [1], 4), "whole numbers"),
    (lambda a: a.push([0], [1], 17), "precision"),
    (lambda a: a.push([0], [1], 0), "precision"),
    (lambda a: a.push_uniform([16], 4), "values go from 16"),
    (lambda a: a.push_symbols([4], Tables([0, 1, 2, 4], 2)), "symbols go from 4"),
    (lambda a: a.push_symbols([1], Tables([0, 2, 4], 2), [1]), "tables go from 1"),
    (lambda a: a.push_symbols([1, 1, 1], Tables([[0, 2, 4], [0, 1, 4]], 2)), "2 tables came with 3"),
    (lambda a: a.pop_symbols(-1, Tables([0, 2, 4], 2)), "number of symbols"),
]


@pytest.mark.parametrize(("act", "says"), BAD)
def test_what_cannot_be_coded_is_refused_and_changes_nothing(act, says):
    coder = prepared(2, np.arange(9), None)
    written = coder.to_bytes()
    with pytest.raises(InputError, match=says):
        act(coder)
    assert coder.to_bytes() == written


def test_without_numba_numpy_does_the_work(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "narrows.coding.compiled", None)  # as an import that fails
    coder = Ans(4)
    coder.push_uniform([1, 2, 3], 8)
    assert coder.pop_uniform(3, 8).tolist() == [1, 2, 3]
    with pytest.raises(InputError, match="needs numba"):
        Ans(4, compiled=True)
