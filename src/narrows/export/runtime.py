"""onnxruntime-web as its package holds it: the script and the program that run graphs in a browser."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from narrows.errors import InputError

SCRIPT = "ort.wasm.bundle.min.mjs"
PROGRAM = "ort-wasm-simd-threaded.wasm"
PLACES = ("", "dist", "package/dist", "onnxruntime-web/dist", "node_modules/onnxruntime-web/dist")
GET = "get it by npm pack onnxruntime-web, and give the .tgz file"
MOST_BYTES = 2**28
_VERSION = re.compile(r"ONNX Runtime Web v([\w.-]+)")
# All that the module exports, as one object.
_NAMESPACE = re.compile(r"export\s*\{[^{}]*?([\w$]+) as default\b[^{}]*\}")


@dataclass(frozen=True)
class Runtime:
    """What runs ONNX graphs in a browser.

    Parameters
    ----------
    script : str
        A module, after which ``globalThis.ort`` is the library.
    program : bytes
        In WebAssembly, which the script needs.
    version : str
        Of the library.
    """

    script: str
    program: bytes
    version: str


def read_runtime(path: Path) -> Runtime:
    """Read the npm package onnxruntime-web: its .tgz file, its folder, or a folder that it is installed in.

    Raises
    ------
    InputError
        If it is none, or of a version that is laid out otherwise.
    """
    try:
        read = _from_archive(path) if path.is_file() else _from_folder(path)
        script, program = read(SCRIPT).decode(), read(PROGRAM)
    except (OSError, KeyError, tarfile.TarError, EOFError, UnicodeDecodeError) as error:
        said = f"does not hold {SCRIPT} and {PROGRAM}" if path.exists() else "is not there"
        raise InputError(f"{path} {said}, which a page needs of onnxruntime-web; {GET}") from error
    version, namespace = _VERSION.search(script), _NAMESPACE.search(script)
    if version is None or namespace is None or "\r" in script or re.search(r"</script|<!--", script, re.IGNORECASE):
        raise InputError(
            f"{SCRIPT} of {path} is not laid out as that of onnxruntime-web 1.30; get that by npm pack "
            f"onnxruntime-web@1.30, and give the .tgz file"
        )
    # What debuggers would fetch lies beside the script, not in a page.
    body = script.partition("//# sourceMappingURL")[0]
    return Runtime(f"{body}\nglobalThis.ort = {namespace[1]};\n", program, version[1])


def _from_folder(folder: Path) -> Callable[[str], bytes]:
    found = [folder / place for place in PLACES if (folder / place / SCRIPT).is_file()]
    if not found:
        raise FileNotFoundError(folder)
    return lambda name: (found[0] / name).read_bytes()


def _from_archive(path: Path) -> Callable[[str], bytes]:
    def read(name: str) -> bytes:
        with tarfile.open(path) as archive:
            member = archive.getmember(f"package/dist/{name}")
            held = archive.extractfile(member) if member.size <= MOST_BYTES else None
            if held is None:
                raise KeyError(name)
            return held.read()

    return read
