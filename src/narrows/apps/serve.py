"""Serve a model over HTTP."""

from __future__ import annotations

import importlib.util
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.apps.output import note
from narrows.apps.reading import Reading
from narrows.apps.watching import waiting
from narrows.errors import InputError, at_least, at_most
from narrows.serve.limits import Limits

if TYPE_CHECKING:
    from narrows.serve.explorer.routes import Explorer
    from narrows.serve.verbs import Loaded

LOOPBACK = ("localhost", "127.0.0.1", "::1")
SHORTEST_TOKEN = 16
NEEDED = ("fastapi", "uvicorn", "httptools", "prometheus_client")


def serve(
    model: Path,
    port: int = 8000,
    host: str = "127.0.0.1",
    token_file: Path | None = None,
    unprotected: bool = False,
    no_batching: bool = False,
    shown: str | None = None,
    colour: str | None = None,
    rows: int = 2000,
    browser: bool = False,
    reading: Reading = Reading(),  # noqa: B008  frozen
    limits: Limits = Limits(),  # noqa: B008  frozen
) -> None:
    """Serve a model over HTTP until it is interrupted: its verbs for programs, and the explorer, a page for people.

    Parameters
    ----------
    model : Path
        A model file, or a detector file.
    port : int
        To listen at; 0 takes a free one.
    host : str
        Address to listen at: others than this machine's own are reached by other machines, and want a token.
    token_file : Path, optional
        A file with a token of at least 16 letters, which clients must send: Authorization: Bearer TOKEN.
    unprotected : bool
        Let other machines in without a token.
    no_batching : bool
        Give every request a forward pass of its own, where small ones that come together share one.
    shown : str, optional
        Data for the explorer: their map, and rows to begin with. Without it the map is of codes drawn from the prior.
    colour : str, optional
        Column of a table, or array of an .npz file, by which points of the map are coloured, in place of the label.
    rows : int
        How many rows of the data to show at most, evenly spread.
    browser : bool
        Open the explorer in the browser of this machine.
    reading : Reading
        How to read the data.
    limits : Limits
        What clients may ask.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"serving needs {', '.join(missing)}, not installed here; pip install 'narrows[serve]'")
    at_least("--port", port, 0)
    at_most("--port", port, 65_535)
    limits.check()
    at_least("--rows", rows, 2)
    if colour is not None and shown is None:
        raise InputError("--colour is for the map of data; give --data, or leave it out")
    token = None if token_file is None else read_token(token_file)
    local = host.lower() in LOOPBACK
    if not local and token is None and not unprotected:
        raise InputError(f"--host was given as {host}, which others can reach; give --token-file, or --unprotected")

    from narrows.serve.application import LOOPBACK as NAMES
    from narrows.serve.application import application
    from narrows.serve.running import listening, run
    from narrows.serve.verbs import open_loaded

    loaded = open_loaded(model)
    explorer = _explorer(loaded, shown, colour, rows, reading)
    names = NAMES if local else None
    app = application(loaded, limits, token=token, batching=not no_batching, hosts=names, explorer=explorer)
    with listening(host, port) as opened:
        page = f"http://{f'[{host}]' if ':' in host else host}:{opened.getsockname()[1]}"

        def started() -> None:
            note(f"serving {model} at {page}, where a browser finds the explorer")
            if browser:
                webbrowser.open(page)

        run(app, opened, limits, started)


def _explorer(loaded: Loaded, data: str | None, colour: str | None, rows: int, reading: Reading) -> Explorer:
    """What the page shows: rows of the data or, without any, draws of the model; nothing where there is no prior."""
    from narrows.apps.colouring import colouring
    from narrows.serve.explorer.routes import Explorer
    from narrows.serve.explorer.shown import draws_shown, rows_shown

    with waiting("embedding"):
        if data is not None:
            dataset = reading.read(data, loaded.schema)
            name, colours = colouring(data, dataset, colour, reading)
            return Explorer(loaded, rows_shown(loaded, data, dataset, name, colours, rows))
        try:
            return Explorer(loaded, draws_shown(loaded, rows))
        except InputError as error:
            return Explorer(loaded, None, str(error))


def read_token(path: Path) -> str:
    """Read a token from a file.

    Raises
    ------
    InputError
        If there is none, or it can be guessed or cannot be sent.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or "it is not plain ASCII"
        raise InputError(f"--token-file {path} cannot be read ({said}); give a file that holds a token") from None
    if len(token) < SHORTEST_TOKEN or not token.isprintable() or " " in token:
        raise InputError(
            f"the token in {path} must be at least {SHORTEST_TOKEN} letters in one word; make a longer one"
        )
    return token
