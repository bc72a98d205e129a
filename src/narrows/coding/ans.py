"""Asymmetric numeral systems: a stack of symbols that takes as many bits as they carry information."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from narrows.coding import plain
from narrows.coding.frequencies import Tables, check_precision
from narrows.errors import InputError, at_least, at_most

_EMPTY = 1 << 16
_MOST_LANES = 1 << 16

Look = plain.Look


class Exhausted(InputError):
    """More was popped than is there: data are cut short or damaged, or bits-back coding began with too few bits."""


class _Implementation(Protocol):
    """What `plain` and `compiled` both are."""

    push: Callable[..., int]
    pop: Callable[..., int]
    pop_uniform: Callable[..., int]


class Ans:
    """Range asymmetric numeral system (rANS): symbols go onto a stack and come off it last in, first out.

    A symbol of frequency f out of 2^p costs p - log2 f bits; popping one from bits that are random draws it with
    probability f / 2^p, and takes that many bits off, which is what bits-back coding needs (Townsend et al. 2019).

    **Format.** There are L lanes, each a state 2^16 <= x < 2^32, at first 2^16, and one stack of words of 16 bits for
    all. Pushing symbols (start_i, f_i), i = 0..n-1, with precision p is, for each i in this order, in lane i mod L::

        if x >= f_i << (32 - p):  push word x & 0xffff;  x >>= 16
        x = ((x // f_i) << p) + x % f_i + start_i

    Popping n symbols is, for i = n-1..0, in lane i mod L::

        slot = x & (2^p - 1), and from it the symbol, which is the one with start_i <= slot < start_i + f_i
        x = f_i * (x >> p) + slot - start_i
        if x < 2^16:  x = x << 16 | popped word

    and either is the exact inverse of the other. The lanes are counted anew in each call, so that symbols have to come
    off in calls of the lengths in which they went on. As bytes: the L states, little-endian, 4 bytes each, lane 0
    first; then the words, 2 bytes each, the bottom of the stack first. No float takes part.

    A failed call leaves the stack as it was.

    Parameters
    ----------
    lanes : int
        L, from 1 to 65536. More of them are faster in plain NumPy, and each costs 2 to 4 bytes once.
    compiled : bool, optional
        With numba (extra ``codec``) or in NumPy, with the same result; left out, with numba where it is installed.

    Raises
    ------
    InputError
        If numba was asked for and is not there.

    References
    ----------
    Duda 2013, arXiv:1311.2540; Giesen 2014, arXiv:1402.3392 (interleaved lanes); Townsend, Bird and Barber 2019,
    arXiv:1901.04866.
    """

    def __init__(self, lanes: int = 64, *, compiled: bool | None = None) -> None:
        at_least("lanes", lanes, 1)
        at_most("lanes", lanes, _MOST_LANES)
        self._twin = cast(_Implementation, compiled_twin(compiled) or plain)
        self._states = np.full(lanes, _EMPTY, dtype=np.uint64)
        self._words = np.empty(0, dtype=np.uint16)
        self._size = 0

    @classmethod
    def from_bytes(cls, buffer: bytes | bytearray | memoryview, lanes: int, *, compiled: bool | None = None) -> Ans:
        """Read what `to_bytes` gave; all of the buffer is the stack.

        Raises
        ------
        InputError
            If no stack with so many lanes has these bytes.
        """
        coder = cls(lanes, compiled=compiled)
        length = memoryview(buffer).nbytes
        if length < 4 * lanes or length % 2:
            raise InputError(
                f"coded data of {length} bytes cannot be: with {lanes} lanes they are {4 * lanes} bytes and words of 2"
            )
        coder._states = np.frombuffer(buffer, dtype="<u4", count=lanes).astype(np.uint64)
        coder._words = np.frombuffer(buffer, dtype="<u2", offset=4 * lanes).astype(np.uint16)
        coder._size = len(coder._words)
        least = coder._states.min()
        if least < _EMPTY:
            raise InputError(f"coded data hold a state of {least}, and none is below {_EMPTY}: they are damaged")
        return coder

    def to_bytes(self) -> bytes:
        """States and words, as the format says."""
        return self._states.astype("<u4").tobytes() + self._words[: self._size].astype("<u2").tobytes()

    @property
    def compiled(self) -> bool:
        """Whether it is the one compiled by numba."""
        return self._twin is not plain

    @property
    def bits(self) -> int:
        """Length of `to_bytes`, in bits."""
        return 32 * len(self._states) + 16 * self._size

    @property
    def empty(self) -> bool:
        """Whether nothing is left, as it must be when all that was pushed has been popped."""
        return self._size == 0 and bool((self._states == _EMPTY).all())

    def push(self, starts: ArrayLike, freqs: ArrayLike, precision: int) -> None:
        """Push n symbols, given as ranges of 2^precision.

        Parameters
        ----------
        starts, freqs : arrays of whole numbers, shape (n,)
            Symbol i is [start, start + freq), within [0, 2^precision) and not empty.
        precision : int
            From 1 to 16.
        """
        check_precision(precision)
        total = 1 << precision
        start, freq = _whole("starts", starts, 0, total - 1), _whole("frequencies", freqs, 1, total)
        if len(start) != len(freq):
            raise InputError(f"{len(start)} starts came with {len(freq)} frequencies; each symbol has one of both")
        if len(start) and (start + freq).max() > total:
            raise InputError(f"a symbol reaches beyond 2^{precision}; starts and frequencies must add up to no more")
        self.run(self._twin.push, start, freq, precision, room=len(start))

    def push_symbols(self, symbols: ArrayLike, tables: Tables, which: ArrayLike | None = None) -> None:
        """Push n symbols, given by their numbers.

        Parameters
        ----------
        symbols : array of whole numbers, shape (n,)
            Each from 0 to ``tables.symbols - 1``.
        tables : Tables
            One table for all symbols, or one each, or whatever ``which`` says.
        which : array of whole numbers, shape (n,), optional
            The table of each symbol.
        """
        number = _whole("symbols", symbols, 0, tables.symbols - 1)
        row = _rows(len(number), tables, which)
        start = tables.cumulative[row, number]
        self.push(start, tables.cumulative[row, number + 1] - start, tables.precision)

    def push_uniform(self, values: ArrayLike, precision: int) -> None:
        """Push n numbers below 2^precision at ``precision`` bits each."""
        check_precision(precision)
        start = _whole("values", values, 0, (1 << precision) - 1)
        self.push(start, np.ones_like(start), precision)

    def pop_symbols(self, n: int, tables: Tables, which: ArrayLike | None = None) -> NDArray[np.int64]:
        """Pop n symbols (n,), the inverse of `push_symbols`; `Exhausted` if there are not so many."""
        symbols = _room(n)
        row = _rows(n, tables, which)
        self.run(self._twin.pop, tables.cumulative, row, tables.precision, symbols)
        return symbols

    def pop_uniform(self, n: int, precision: int) -> NDArray[np.int64]:
        """Pop n numbers (n,) below 2^precision, the inverse of `push_uniform`; `Exhausted` if there are not so many."""
        check_precision(precision)
        symbols = _room(n)
        self.run(self._twin.pop_uniform, precision, symbols)
        return symbols

    def pop_by(self, n: int, precision: int, look: Look) -> NDArray[np.int64]:
        """Pop n symbols (n,) that a function finds, in NumPy whichever the implementation.

        Parameters
        ----------
        n : int
            How many.
        precision : int
            With which they were pushed.
        look : callable
            ``look(group, slots) -> symbols, starts, freqs`` is called for groups of at most L symbols, from the last
            to the first. ``group`` is their slice of 0..n-1 and ``slots`` (g,), uint64 below 2^precision, what their
            lanes show; it answers with whole numbers (g,), such that start <= slot < start + freq for each.

        Raises
        ------
        Exhausted
            If there are not so many symbols.
        InputError
            If an answer leaves out its slot: decoding by another model than that of the encoder, or a fault in it.
        """
        check_precision(precision)
        symbols = _room(n)

        def checked(group: slice, slots: NDArray[np.uint64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
            found, starts, freqs = look(group, slots)
            ends = starts + freqs
            if not ((starts >= 0) & (starts <= slots) & (slots < ends) & (ends <= 1 << precision)).all():
                raise InputError("a symbol was found that lacks its slot; frequencies must be those of the encoder")
            return found, starts, freqs

        self.run(plain.pop_by, precision, symbols, checked)
        return symbols

    def run(self, kernel: Callable[..., int], *arguments: object, room: int = 0) -> None:
        """Let a kernel push or pop: ``kernel(states, words, size, *arguments)`` returns the new size, -1 if exhausted.

        ``states`` (L,) uint64 are the lanes, ``words`` uint16 the stack, ``size`` how many of them are on it; the
        kernel changes states and words in place. This is how compiled code that looks symbols up in its own way comes
        to the stack: it is made of `push_one`, `peek` and `advance` of `narrows.coding.compiled`, and keeps to the
        order of the format. A kernel pushes or pops, never both: a failed one is undone by forgetting its states.

        Parameters
        ----------
        kernel : callable
            As said; what it is given must have been checked.
        *arguments : object
            For the kernel.
        room : int
            The most words that it pushes: one a symbol.

        Raises
        ------
        Exhausted
            If the kernel says so.
        """
        if self._size + room > len(self._words):
            longer = np.empty(max(self._size + room, 2 * len(self._words)), dtype=np.uint16)
            longer[: self._size] = self._words[: self._size]
            self._words = longer
        states = self._states.copy()
        size = kernel(states, self._words, self._size, *arguments)
        if size < 0:
            raise Exhausted("coded data end before the last symbol: they are cut short or damaged, or were too few")
        self._states, self._size = states, size


def compiled_twin(compiled: bool | None) -> ModuleType | None:
    """Return `narrows.coding.compiled`, or None where NumPy is to do the work; see `Ans` for what was asked for."""
    if compiled is False:
        return None
    try:
        return import_module("narrows.coding.compiled")
    except ImportError as missing:
        if compiled:
            raise InputError("the compiled coder needs numba; pip install 'narrows[codec]' brings it") from missing
        return None


def _whole(name: str, values: ArrayLike, low: int, high: int) -> NDArray[np.uint32]:
    """Check an array of whole numbers from ``low`` to ``high``, shape (n,)."""
    given = np.asarray(values)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise InputError(f"{name} are {given.dtype} of shape {given.shape}; they must be a row of whole numbers")
    if given.size and (given.min() < low or given.max() > high):
        raise InputError(f"{name} go from {given.min()} to {given.max()}; allowed are {low} to {high}")
    return np.ascontiguousarray(given, dtype=np.uint32)


def _rows(n: int, tables: Tables, which: ArrayLike | None) -> NDArray[np.uint32]:
    """Table of each of n symbols (n,)."""
    if which is None and len(tables) == 1:
        return np.zeros(n, dtype=np.uint32)
    rows = _whole("tables", np.arange(len(tables)) if which is None else which, 0, len(tables) - 1)
    if len(rows) != n:
        raise InputError(f"{len(rows)} tables came with {n} symbols; give one for all, or one each")
    return rows


def _room(n: int) -> NDArray[np.int64]:
    at_least("the number of symbols", n, 0)
    return np.empty(n, dtype=np.int64)
