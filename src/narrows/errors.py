"""The one error a person meets: what was given, what is allowed, what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class InputError(ValueError):
    """Something a person gave cannot be used; the message is one sentence fit for a terminal.

    The command line prints it after ``narrows: error:`` and exits with status 2. It is a ``ValueError``, so
    that scikit-learn's conventions hold in Python.
    """


class SaidByAnother(InputError):
    """An error of several processes, of which another one tells the user."""


def unknown(what: str, given: object, allowed: Iterable[str]) -> InputError:
    """Make the error for a name that is not on the list, naming the nearest one that is.

    Parameters
    ----------
    what : str
        What the name should have named, for example ``"preset"``.
    given : object
        The name that was given.
    allowed : iterable of str
        The names that would have done.
    """
    names = list(allowed)
    near = difflib.get_close_matches(str(given), names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return InputError(f"unknown {what} {str(given)!r}{hint} allowed: {', '.join(names) or 'none'}")


# What torch says, in errors of many types, of sizes that no machine has.
_TOO_LARGE = re.compile("(not enough|allocate|out of) memory|calculation overflowed|Overflow when unpacking")


def lack_of_memory(error: BaseException) -> str | None:
    """The sentence for an error that tells of too little memory; None for any other."""
    if isinstance(error, MemoryError) or _TOO_LARGE.search(str(error)):
        return "the data or the model do not fit into memory; take fewer rows or a smaller network"
    return None


def at_least(name: str, value: float, low: float, *, above: bool = False) -> None:
    """Check a configured number, ``value >= low`` (``> low`` if ``above``), and name it if it is not so."""
    if not (value > low if above else value >= low):
        raise InputError(f"{name} was given as {value}; it must be {'above' if above else 'at least'} {low}")


def at_most(name: str, value: float, high: float) -> None:
    """Check a configured number, ``value <= high``, and name it if it is not so."""
    if not value <= high:
        raise InputError(f"{name} was given as {value}; it must be at most {high}")


def check_seed(seed: int) -> None:
    """Check that a number can seed a generator."""
    at_least("seed", seed, 0)
    at_most("seed", seed, 2**63 - 1)
