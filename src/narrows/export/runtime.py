"""onnxruntime-web as its package holds it: the script and the program that run graphs in a browser."""

from __future__ import annotations

import re
import tarfile
import zlib
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
        held = _from_archive(path) if path.is_file() else _from_folder(path)
        script, program = held[SCRIPT].decode(), held[PROGRAM]
    except (OSError, KeyError, tarfile.TarError, zlib.error, EOFError, UnicodeDecodeError) as error:
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


def _from_folder(folder: Path) -> dict[str, bytes]:
    places = (folder / place for place in PLACES)
    found = next((place for place in places if (place / SCRIPT).is_file()), folder)
    return {name: (found / name).read_bytes() for name in (SCRIPT, PROGRAM)}


def _from_archive(path: Path) -> dict[str, bytes]:
    """Read both files on one way through the archive, which is large."""
    held: dict[str, bytes] = {}
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            folder, _, name = member.name.rpartition("/")
            if folder == "package/dist" and name in (SCRIPT, PROGRAM) and member.isfile() and member.size <= MOST_BYTES:
                file = archive.extractfile(member)
                assert file is not None  # it is a file
                held[name] = file.read()
    return held
