"""Serve a model over HTTP."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from narrows.apps.output import note
from narrows.errors import InputError, at_least, at_most
from narrows.serve.limits import Limits

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
    limits: Limits = Limits(),  # noqa: B008  frozen
) -> None:
    """Serve a model over HTTP until it is interrupted: detect, embed, reconstruct, denoise, impute, generate.

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
    limits : Limits
        What clients may ask.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"serving needs {', '.join(missing)}, not installed here; pip install 'narrows[serve]'")
    at_least("--port", port, 0)
    at_most("--port", port, 65_535)
    limits.check()
    token = None if token_file is None else read_token(token_file)
    local = host.lower() in LOOPBACK
    if not local and token is None and not unprotected:
        raise InputError(f"--host was given as {host}, which others can reach; give --token-file, or --unprotected")

    from narrows.serve.application import LOOPBACK as NAMES
    from narrows.serve.application import application
    from narrows.serve.running import listening, run
    from narrows.serve.verbs import open_loaded

    app = application(open_loaded(model), limits, token=token, batching=not no_batching, hosts=NAMES if local else None)
    with listening(host, port) as opened:
        address = opened.getsockname()
        shown = f"[{host}]" if ":" in host else host
        run(app, opened, limits, lambda: note(f"serving {model} at http://{shown}:{address[1]}"))


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
