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
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from narrows.allocation import keep_freed_memory
from narrows.apps.showing import show
from narrows.apps.signatures import ARGUMENTS, MANY, Value, summary_of, values_of
from narrows.errors import InputError, SaidByAnother, lack_of_memory
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
    "decode": ("decode", "decode"),
    "compress": ("compress", "compress"),
    "decompress": ("decompress", "decompress"),
    "inspect": ("decompress", "inspect"),
    "export": ("export", "export"),
    "denoise": ("denoise", "denoise"),
    "impute": ("impute", "impute"),
    "detect": ("detect", "detect"),
    "report": ("report", "report"),
    "stream": ("stream", "stream"),
    "serve": ("serve", "serve"),
    "study": ("study", "study"),
    "data": ("listing", "data"),
    "parts": ("listing", "parts"),
    "presets": ("listing", "presets"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 on success, 2 and one line on bad input."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # libraries warn of what a person at a terminal cannot change
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # the one line of the error says it
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by the shell
            setattr(sys, stream, Path(os.devnull).open("w"))  # noqa: SIM115
        getattr(sys, stream).reconfigure(errors="backslashreplace")  # a name need not fit the terminal's alphabet
    keep_freed_memory()
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
    if (said := lack_of_memory(error)) is not None:
        return said
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
        app.command(verb, cls=_Command, help=summary_of(function), short_help=summary_of(function))(command(function))
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


def _parameter(value: Value) -> inspect.Parameter:
    """For typer: everything but flags and lists is text, which `read` reads."""
    default, given = value.default, value.default not in (None, ()) and value.default is not False
    kind: Any = bool if value.kind is bool else str | None if default is None else str
    if value.name in MANY:
        kind, default = list[str], default if default is inspect.Parameter.empty else []
    elif kind is str and default is not inspect.Parameter.empty:
        default = str(default)
    if value.name in ARGUMENTS:
        metadata: Any = typer.Argument(metavar=value.placeholder, help=value.text, show_default=False)
    else:
        shown = None if value.kind is bool else value.placeholder
        metadata = typer.Option(*value.flags, metavar=shown, help=value.text, show_default=given)
    hint: Any = Annotated[kind, metadata]
    return inspect.Parameter(value.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap an application as a typer command, which returns the work to do: dataclasses become one option a field."""
    values: list[Value] = []
    groups: dict[str, Any] = {}
    for value in values_of(function, inspect.signature(function).parameters.values()):
        if dataclasses.is_dataclass(value.kind):
            groups[value.name] = value.kind
            values += values_of(value.kind, dataclasses.fields(value.kind))
        else:
            values.append(value)
    values.append(Value("json", bool, False, "bool", "Print the result as JSON."))

    def call(**given: Any) -> Callable[[], None]:
        read = {value.name: value.read(given[value.name]) for value in values}
        as_json = read.pop("json")
        for name, kind in groups.items():
            read[name] = kind(**{field.name: read.pop(field.name) for field in dataclasses.fields(kind)})
        return lambda: show(function(**read), as_json=as_json)

    options = sorted((_parameter(value) for value in values), key=lambda one: one.default is not one.empty)
    call.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    call.__annotations__ = {option.name: option.annotation for option in options}
    return call


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
