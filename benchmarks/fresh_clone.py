"""What a newcomer meets: a fresh clone, a fresh virtual environment, ``make demo``, ``make test``, ``narrows --help``.

    python benchmarks/fresh_clone.py

clones the repository that this file stands in; what is not committed is not measured.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from record import ROOT, record

HELP_RUNS = 15
IMPORT = "import time; began = time.perf_counter(); import narrows; print(time.perf_counter() - began)"


def timed(*words: str, folder: Path) -> tuple[float, str]:
    """Run a command in a folder; return its seconds and what it printed."""
    began = time.perf_counter()
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return time.perf_counter() - began, done.stdout


def main() -> None:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        clone = Path(temporary) / "narrows"
        timed("git", "clone", "--quiet", str(ROOT), str(clone), folder=ROOT)
        core, _ = timed("make", ".venv/.core", folder=clone)
        demo, printed = timed("make", "demo", "DEMO_ARGS=--json", folder=clone)
        development, _ = timed("make", "setup", folder=clone)
        check, _ = timed("make", "check", folder=clone)
        test, tested = timed("make", "test", folder=clone)
        starts = [timed(".venv/bin/narrows", "--help", folder=clone)[0] for _ in range(HELP_RUNS)]
        imports = [float(timed(".venv/bin/python", "-c", IMPORT, folder=clone)[1]) for _ in range(HELP_RUNS)]
    figures = {
        "install_core_seconds": core,
        "demo_seconds_after_install": demo,
        "demo": json.loads(printed[printed.index("{") :]),
        "install_development_seconds": development,
        "check_seconds": check,
        "test_seconds": test,
        "tests": tested.strip().splitlines()[-1].strip("= "),
        "help_seconds_median": statistics.median(starts),
        "help_seconds_highest": max(starts),
        "import_seconds_median": statistics.median(imports),
    }
    protocol = f"fresh clone and virtual environment; wall seconds; help, import: {HELP_RUNS} runs"
    print(record("fresh_clone", figures, seconds=time.perf_counter() - began, protocol=protocol).read_text())


if __name__ == "__main__":
    main()
