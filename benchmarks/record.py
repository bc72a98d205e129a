"""What a benchmark measured, and on what: one JSON file a benchmark, beside it in ``results/``."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def record(
    name: str,
    figures: dict[str, Any],
    *,
    command: str | None = None,
    seconds: float,
    protocol: str | None = None,
) -> Path:
    """Write the figures of one benchmark, with all that is needed to judge or repeat them.

    Parameters
    ----------
    name : str
        Stem of the file to write: ``results/<name>.json``. A file of that name is replaced.
    figures : dict
        What was measured, units in the names; NumPy and torch values are written as plain ones.
    command : str, optional
        The line that makes these figures again; the line that is running now unless given.
    seconds : float
        Time that the measurement took.
    protocol : str, optional
        How it was measured: data, split, seeds, what was left out.

    Returns
    -------
    Path
        The file written. It appears whole or not at all.

    Raises
    ------
    ValueError
        If a figure is NaN or infinite, or ``name`` is more than a file's stem.
    TypeError
        If a figure is of a type that JSON has no word for.
    """
    if name != Path(name).name or name in {"", ".", ".."}:
        raise ValueError(f"name is {name!r}; give the stem of a file, such as 'train_speed'")
    page = {
        "command": _running_command() if command is None else command,
        "commit": MEASURED,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "figures": figures,
        "machine": _machine(),
        "name": name,
        "protocol": protocol,
        "seconds": round(float(seconds), 3),
        "versions": _versions(),
    }
    text = json.dumps(page, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False, default=_plain) + "\n"
    return _write_whole(RESULTS / f"{name}.json", text)


def _write_whole(path: Path, text: str) -> Path:
    """Write beside, then rename: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def _plain(value: Any) -> Any:
    """Return what JSON can hold in place of an array, a tensor, a NumPy scalar or a path."""
    if isinstance(value, Path):
        return _without_home(str(value))
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a figure of type {type(value).__name__} cannot be written; give numbers, text, lists or dicts")


def _running_command() -> str:
    """Return the line that is running, with nothing in it that holds on this machine alone."""
    program, *rest = sys.argv
    shown = [_without_home(part) for part in rest]
    if Path(program).suffix == ".py":
        shown = ["python", _without_home(program), *shown]
    elif program == "-c":
        shown = ["python", "-c", "...", *shown]
    else:
        shown = [Path(program).name, *shown]
    return " ".join(part if part.startswith("$") else shlex.quote(part) for part in shown)


def _without_home(part: str) -> str:
    """Return an argument whose absolute path is cut: from the repository, from $NARROWS_DATA, or to its last name."""
    option, equals, value = part.partition("=") if part.startswith("-") else ("", "", part)
    path = Path(value)
    if not path.is_absolute():
        return part
    path = path.resolve()
    data = os.environ.get("NARROWS_DATA")
    if path.is_relative_to(ROOT):
        value = str(path.relative_to(ROOT))
    elif data and path.is_relative_to(Path(data).resolve()):
        value = str(Path("$NARROWS_DATA", path.relative_to(Path(data).resolve())))
    else:
        value = path.name
    return f"{option}{equals}{value}"


def _git(*words: str) -> str | None:
    """Return what git answers, or None where there is no git or no repository."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _commit() -> str | None:
    """Return the commit measured, "-dirty" after it where files differ from it; other results do not count."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None
    changed = _git("status", "--porcelain", "--", ".", f":(exclude){RESULTS.relative_to(ROOT).as_posix()}")
    return f"{commit}-dirty" if changed else commit


def _machine() -> dict[str, Any]:
    """Return what the speed of a run depends on; never the machine's name."""
    machine: dict[str, Any] = {
        "cores": _cores(),
        "memory_gib": _memory_gib(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        machine["torch_threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            machine["accelerator"] = torch.cuda.get_device_name()
    return machine


def _cores() -> int | None:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def _processor() -> str:
    """Return the processor's model."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    """Return the versions of python and of every installed library that the run has imported."""
    imported = {module.partition(".")[0] for module in list(sys.modules)}
    owners = importlib.metadata.packages_distributions()
    libraries = {library for module in imported for library in owners.get(module, [])} | {"narrows", "numpy", "torch"}
    versions = {library.lower(): _version(library) for library in libraries}
    return {"python": platform.python_version()} | {name: found for name, found in versions.items() if found}


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


MEASURED = _commit()  # at the start: a commit that comes in meanwhile is not what was measured
