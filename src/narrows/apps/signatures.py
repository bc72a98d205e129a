"""What signature and docstring of an application say of it, for the command line and for HTTP."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from narrows.errors import InputError, unknown

FLAGS: Mapping[str, tuple[str, ...]] = {
    "output": ("--output", "-o"),
    "n": ("-n",),
    "settings": ("--set",),
    "first": ("--from",),
    "last": ("--to",),
    "form": ("--format",),
    "shown": ("--data",),
    "browser": ("--open",),
}
ARGUMENTS = ("models", "model", "data", "expression", "file", "name")
MANY = ("models", "settings", "ignore", "column")

# What stands for a value in help and in messages.
PLACEHOLDERS: Mapping[type, str] = {int: "N", float: "X", Path: "PATH", str: "NAME"}
SPOKEN: Mapping[type, str] = {int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Value:
    """One option or argument: its name, the type that the signature gives it, its default and what is said of it."""

    name: str
    kind: Any
    default: Any
    written: str  # the type as the docstring has it
    text: str

    @property
    def flags(self) -> tuple[str, ...]:
        """How it is called on the command line."""
        return FLAGS.get(self.name, ("--" + self.name.replace("_", "-"),))

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The types that a value may have, besides none."""
        union = get_origin(self.kind) in (Union, types.UnionType)
        return tuple(kind for kind in (get_args(self.kind) if union else (self.kind,)) if kind is not type(None))

    @property
    def placeholder(self) -> str:
        """Words to choose from, or a letter: ``adam|adamw|sgd``, ``N|full``, ``PATH``."""
        if self.name in ARGUMENTS:
            return self.name.upper()
        if self.name == "settings":
            return "CHOICE=VALUE"
        words = get_args(self.kind) if get_origin(self.kind) is Literal else re.findall(r'"([\w-]+)"', self.written)
        open_kinds = [] if "{" in self.written else self.kinds[:1]
        return "|".join([*(PLACEHOLDERS.get(kind, "NAME") for kind in open_kinds), *words])

    def read(self, given: Any) -> Any:
        """Read text as the first of the types that takes it.

        Raises
        ------
        InputError
            If none does.
        """
        if not isinstance(given, str):
            return tuple(map(get_args(self.kinds[0])[0], given)) if self.name in MANY else given
        if get_origin(self.kind) is Literal:
            if given not in get_args(self.kind):
                raise unknown(f"value of {self.flags[0]}", given, get_args(self.kind))
            return given
        for kind in self.kinds:
            try:
                return kind(given)
            except ValueError:
                continue
        raise InputError(f"{self.flags[0]} was given as {given!r}; it takes {SPOKEN[self.kinds[0]]}")


def values_of(thing: Any, members: Any) -> Iterator[Value]:
    """Parameters of a function or fields of a dataclass, with what the docstring says of them."""
    hints, described = get_type_hints(thing), _described(thing)
    for member in members:
        yield Value(member.name, hints[member.name], member.default, *described.get(member.name, ("", "")))


def summary_of(function: Callable[..., Any]) -> str:
    """Return the first paragraph of the docstring, on one line."""
    return inspect.cleandoc(function.__doc__ or "").split("\n\n")[0].replace("\n", " ")


def _described(thing: Any) -> dict[str, tuple[str, str]]:
    """The type and the text that the docstring's sections give each parameter, without its quotation marks."""
    section = re.split(r"\n[A-Z]\w+\n-{3,}\n", inspect.cleandoc(thing.__doc__ or ""))
    found: dict[str, tuple[str, str]] = {}
    entries = re.findall(r"^(\w[\w, ]*?) ?(?:: ([^\n]*))\n((?:    [^\n]*\n?)+)", "\n".join(section[1:]), re.M)
    for names, written, text in entries:
        for name in names.split(", "):
            found[name] = written, re.sub(r'``"?(.*?)"?``', r"\1", " ".join(text.split()))
    return found
