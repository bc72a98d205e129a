"""The command line: verbs, options and help are read from the applications' signatures and docstrings."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import inspect
import logging
import os
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from narrows.apps.showing import show
from narrows.errors import InputError, SaidByAnother, unknown
from narrows.launch import check_verb, silent

BAD_INPUT = 2

# One row a verb: the application's module and name.
VERBS: Mapping[str, tuple[str, str]] = {
    "demo": ("demo", "demo"),
    "train": ("train", "train"),
    "evaluate": ("evaluate", "evaluate"),
    "fit-prior": ("fit_prior", "fit_prior"),
    "generate": ("generate", "generate"),
    "interpolate": ("generate", "interpolate"),
    "vary": ("generate", "vary"),
    "combine": ("generate", "combine"),
    "reconstruct": ("reconstruct", "reconstruct"),
    "embed": ("embed", "embed"),
    "compress": ("compress", "compress"),
    "decompress": ("decompress", "decompress"),
    "inspect": ("decompress", "inspect"),
    "export": ("export", "export"),
    "denoise": ("denoise", "denoise"),
    "impute": ("impute", "impute"),
    "detect": ("detect", "detect"),
    "report": ("report", "report"),
    "stream": ("stream", "stream"),
    "study": ("study", "study"),
    "data": ("listing", "data"),
    "parts": ("listing", "parts"),
    "presets": ("listing", "presets"),
}
FLAGS: Mapping[str, tuple[str, ...]] = {
    "output": ("--output", "-o"),
    "n": ("-n",),
    "settings": ("--set",),
    "first": ("--from",),
    "last": ("--to",),
    "form": ("--format",),
}
ARGUMENTS = ("models", "model", "data", "expression", "file", "name")
MANY = ("models", "settings", "ignore", "column")

# What torch says, in errors of many types, of sizes that no machine has.
TOO_LARGE = re.compile("(not enough|allocate|out of) memory|calculation overflowed|Overflow when unpacking")

# What stands for a value in help and in messages.
PLACEHOLDERS: Mapping[type, str] = {int: "N", float: "X", Path: "PATH", str: "NAME"}
SPOKEN: Mapping[type, str] = {int: "a whole number", float: "a number"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 on success, 2 and one line on bad input."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # libraries warn of what a person at a terminal cannot change
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # the one line of the error says it
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by the shell
            setattr(sys, stream, Path(os.devnull).open("w"))  # noqa: SIM115
        getattr(sys, stream).reconfigure(errors="backslashreplace")  # a name need not fit the terminal's alphabet
    status = run(list(sys.argv[1:] if arguments is None else arguments))
    if status:
        # What standard output did not take would be flushed, and complained of, once more at exit.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def run(words: list[str]) -> int:
    """Run one command line; return its exit status."""
    verb = next((word for word in words if not word.startswith("-")), None)
    try:
        check_verb(verb, VERBS)
        command = typer.main.get_command(application([verb] if verb is not None else list(VERBS)))
        work = command.main(args=spread(words) or ["--help"], prog_name="narrows", standalone_mode=False)
        if callable(work):  # outside of typer, which prints a line of its own when it is interrupted
            work()
        sys.stdout.flush()
        return 0
    except BrokenPipeError:
        return 1  # the reader of our output has gone, as in `narrows parts | head -1`
    except (KeyboardInterrupt, typer.Abort, SaidByAnother):
        return BAD_INPUT if silent() else _complain("interrupted; nothing was left half-written")
    except Exception as error:
        sentence = _sentence(error, verb)
        if sentence is None:
            raise
        return _complain(sentence)


def _sentence(error: Exception, verb: str | None) -> str | None:
    """What to tell a person of an error; None for a fault of ours, whose traceback is wanted."""
    if isinstance(error, InputError):
        return str(error)
    if hasattr(error, "format_message"):  # typer's own
        said = error.format_message().strip().rstrip(".")
        return f"{said[:1].lower()}{said[1:]}; see narrows {verb + ' ' if verb else ''}--help"
    if isinstance(error, MemoryError) or TOO_LARGE.search(str(error)):
        return "the data or the model do not fit into memory; take fewer rows or a smaller network"
    if isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        return f"could not read or write{where}: {error.strerror or error}; nothing was left half-written"
    return None


def application(verbs: Sequence[str]) -> typer.Typer:
    """Build the typer application from verbs; each one left out saves its import."""
    app = typer.Typer(
        name="narrows",
        help="Autoencoders put to work: train on your own images or table; then measure, generate, embed, reconstruct.",
        epilog="narrows VERB --help says what a verb takes. Every verb takes --json.",
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    for verb in verbs:
        module, name = VERBS[verb]
        function = getattr(importlib.import_module(f"narrows.apps.{module}"), name)
        app.command(verb, cls=_Command, help=_summary(function), short_help=_summary(function))(command(function))
    app.callback(invoke_without_command=True)(_version)
    return app


class _Command(typer.core.TyperCommand):
    """A command whose help writes an argument as DATA, where typer has ``{DATA}``, ``DATA <str>`` or a list of it."""

    def get_help(self, ctx: Any) -> str:
        """Return the text, its columns where they were."""
        text = re.sub(r"{(\w+)}", r"\1", super().get_help(ctx))
        return re.sub(r" <(str|list\[str\])>", lambda kind: " " * len(kind[0]), text)


def _version(version: Annotated[bool, typer.Option("--version", help="Say which version this is.")] = False) -> None:
    if version:
        import narrows

        print(f"narrows {narrows.__version__}")  # noqa: T201


@dataclass(frozen=True)
class _Value:
    """One option or argument: its name, the type that the signature gives it, its default and what is said of it."""

    name: str
    kind: Any
    default: Any
    written: str  # the type as the docstring has it
    text: str

    @property
    def flags(self) -> tuple[str, ...]:
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

    def parameter(self) -> inspect.Parameter:
        """For typer: everything but flags and lists is text, which `read` reads."""
        default, given = self.default, self.default not in (None, ()) and self.default is not False
        kind: Any = bool if self.kind is bool else str | None if default is None else str
        if self.name in MANY:
            kind, default = list[str], default if default is inspect.Parameter.empty else []
        elif kind is str and default is not inspect.Parameter.empty:
            default = str(default)
        if self.name in ARGUMENTS:
            metadata: Any = typer.Argument(metavar=self.placeholder, help=self.text, show_default=False)
        else:
            shown = None if self.kind is bool else self.placeholder
            metadata = typer.Option(*self.flags, metavar=shown, help=self.text, show_default=given)
        hint: Any = Annotated[kind, metadata]
        return inspect.Parameter(self.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)

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


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap an application as a typer command, which returns the work to do: dataclasses become one option a field."""
    values: list[_Value] = []
    groups: dict[str, Any] = {}
    for value in _values(function, inspect.signature(function).parameters.values()):
        if dataclasses.is_dataclass(value.kind):
            groups[value.name] = value.kind
            values += _values(value.kind, dataclasses.fields(value.kind))
        else:
            values.append(value)
    values.append(_Value("json", bool, False, "bool", "Print the result as JSON."))

    def call(**given: Any) -> Callable[[], None]:
        read = {value.name: value.read(given[value.name]) for value in values}
        as_json = read.pop("json")
        for name, kind in groups.items():
            read[name] = kind(**{field.name: read.pop(field.name) for field in dataclasses.fields(kind)})
        return lambda: show(function(**read), as_json=as_json)

    options = sorted((value.parameter() for value in values), key=lambda one: one.default is not one.empty)
    call.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    call.__annotations__ = {option.name: option.annotation for option in options}
    return call


def _values(thing: Any, members: Any) -> Iterator[_Value]:
    """Parameters of a function or fields of a dataclass, with what the docstring says of them."""
    hints, described = get_type_hints(thing), _described(thing)
    for member in members:
        yield _Value(member.name, hints[member.name], member.default, *described.get(member.name, ("", "")))


def _summary(function: Callable[..., Any]) -> str:
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


def spread(words: list[str]) -> list[str]:
    """Let one ``--set`` take several settings: ``--set a=1 b=2`` becomes ``--set a=1 --set b=2``."""
    result: list[str] = []
    in_settings = False
    for word in words:
        if in_settings and "=" in word and not word.startswith("-") and result[-1] != "--set":
            result.append("--set")
        elif result[-1:] != ["--set"]:
            in_settings = word == "--set" or word.startswith("--set=")
        result.append(word)
    return result


def _complain(message: str) -> int:
    """Print one line on standard error, without what a damaged file would do to the terminal."""
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(message.split()))
    print(f"narrows: error: {line}", file=sys.stderr)  # noqa: T201
    return BAD_INPUT


if __name__ == "__main__":
    main()
