"""The command line: verbs, options and help are read from the applications' signatures and docstrings."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import os
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from narrows.errors import InputError, unknown
from narrows.records import plain

BAD_INPUT = 2

# One row a verb: the application's module and name.
VERBS: Mapping[str, tuple[str, str]] = {
    "demo": ("demo", "demo"),
    "train": ("train", "train"),
    "evaluate": ("evaluate", "evaluate"),
    "generate": ("use", "generate"),
    "reconstruct": ("use", "reconstruct"),
    "embed": ("use", "embed"),
    "data": ("listing", "data"),
    "parts": ("listing", "parts"),
    "presets": ("listing", "presets"),
}
FLAGS: Mapping[str, tuple[str, ...]] = {"output": ("--output", "-o"), "n": ("-n",), "settings": ("--set",)}
ARGUMENTS = ("model", "data")
MANY = ("settings", "ignore")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 on success, 2 and one line on bad input."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(words))


def run(words: list[str]) -> int:
    """Run one command line; return its exit status."""
    verb = next((word for word in words if not word.startswith("-")), None)
    try:
        if verb is not None and verb not in VERBS:
            raise unknown("verb", verb, VERBS)
        command = typer.main.get_command(application([verb] if verb else list(VERBS)))
        result = command.main(args=spread(words), prog_name="narrows", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except (InputError, typer.TyperException) as error:
        return _complain(error.format_message() if isinstance(error, typer.TyperException) else str(error))
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _complain(f"could not read or write{where}: {error.strerror or error}; nothing was left half-written")
    except MemoryError:
        return _complain("the data or the model do not fit into memory; take fewer rows or a smaller network")
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted; nothing was left half-written")


def application(verbs: Sequence[str]) -> typer.Typer:
    """Build the typer application from verbs; each one left out saves its import."""
    app = typer.Typer(
        name="narrows",
        help="Autoencoders put to work: train on your own images or table, then compress, measure, generate and embed.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    for verb in verbs:
        module, name = VERBS[verb]
        function = getattr(importlib.import_module(f"narrows.apps.{module}"), name)
        app.command(verb, help=_summary(function), short_help=_summary(function).split(". ")[0])(command(function))
    app.callback(invoke_without_command=True)(_version)
    return app


def _version(version: Annotated[bool, typer.Option("--version", help="Say which version this is.")] = False) -> None:
    if version:
        import narrows

        print(f"narrows {narrows.__version__}")  # noqa: T201


def command(function: Callable[..., Any]) -> Callable[..., None]:
    """Wrap an application as a typer command: dataclass parameters become one option a field."""
    groups: dict[str, type] = {}
    options: list[inspect.Parameter] = []
    hints = get_type_hints(function)
    described = _described(function)
    for parameter in inspect.signature(function).parameters.values():
        kind = hints[parameter.name]
        if dataclasses.is_dataclass(kind):
            groups[parameter.name] = kind
            options += list(_fields(kind))
        else:
            options.append(_option(parameter.name, kind, parameter.default, described.get(parameter.name, "")))
    json_help = "Print the result as JSON."
    options.append(_option("json", bool, False, json_help))

    def call(**given: Any) -> None:
        as_json = given.pop("json")
        given = {name: tuple(value) if name in MANY else value for name, value in given.items()}
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in dataclasses.fields(kind)})
        show(function(**given), as_json=as_json)

    options.sort(key=lambda option: option.default is not inspect.Parameter.empty)
    call.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    call.__annotations__ = {option.name: option.annotation for option in options}
    return call


def _fields(kind: type) -> Iterator[inspect.Parameter]:
    """Options of a dataclass, one a field."""
    hints, described = get_type_hints(kind), _described(kind)
    for field in dataclasses.fields(kind):
        yield _option(field.name, hints[field.name], field.default, described.get(field.name, ""))


def _option(name: str, kind: Any, default: Any, text: str) -> inspect.Parameter:
    """One typer option or argument."""
    if name in MANY:
        kind, default = list[str], []
    elif get_origin(kind) in (Union, types.UnionType):
        kinds = [one for one in get_args(kind) if one is not type(None)]
        kind = (kinds[0] if len(kinds) == 1 else str) | None
        default = default if default is None else str(default) if len(kinds) > 1 else default
    if name in ARGUMENTS and kind in (str, Path, str | None):
        metadata: Any = typer.Argument(help=text, show_default=False)
    else:
        flags = FLAGS.get(name, ("--" + name.replace("_", "-"),))
        metadata = typer.Option(*flags, help=text, show_default=default not in (None, [], False))
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, metadata])


def _summary(function: Callable[..., Any]) -> str:
    return inspect.cleandoc(function.__doc__ or "").split("\n\n")[0].replace("\n", " ")


def _described(thing: Any) -> dict[str, str]:
    """What the docstring's section of parameters says of each of them."""
    section = re.split(r"\n[A-Z]\w+\n-{3,}\n", inspect.cleandoc(thing.__doc__ or ""))
    texts: dict[str, str] = {}
    for names, text in re.findall(r"^(\w[\w, ]*?) ?(?: : [^\n]*)\n((?:    [^\n]*\n?)+)", "\n".join(section[1:]), re.M):
        for name in names.split(", "):
            texts[name] = " ".join(text.split())
    return texts


def spread(words: list[str]) -> list[str]:
    """Let one ``--set`` take several settings: ``--set a=1 b=2`` becomes ``--set a=1 --set b=2``."""
    result: list[str] = []
    in_settings = False
    for word in words:
        if in_settings and "=" in word and not word.startswith("-") and result[-1] != "--set":
            result.append("--set")
        elif result[-1:] != ["--set"]:
            in_settings = word == "--set"
        result.append(word)
    return result


def show(result: Any, *, as_json: bool) -> None:
    """Print a result: a table for a person, JSON for a machine."""
    record = plain(result)
    if as_json:
        if set(record) == {"columns", "rows"}:
            record = [dict(zip(record["columns"], row, strict=True)) for row in record["rows"]]
        print(json.dumps(record, indent=2))  # noqa: T201
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "120")), highlight=False)
    if set(record) == {"columns", "rows"}:
        table = Table(*record["columns"], box=None, header_style="bold", pad_edge=False)
        rows = record["rows"]
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        rows = [(name.replace("_", " "), _text(value)) for name, value in record.items() if value not in (None, [])]
    for row in rows:
        table.add_row(*map(str, row))
    console.print(table)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"  # noqa: PLR2004
    if isinstance(value, list):
        texts = [_text(item) for item in value]
        return "\n".join(texts) if any(" " in text for text in texts) else ", ".join(texts)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _complain(message: str) -> int:
    line = " ".join(message.split())
    print(f"narrows: error: {line}", file=sys.stderr)  # noqa: T201
    return BAD_INPUT


if __name__ == "__main__":
    main()
