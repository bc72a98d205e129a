"""The report of the demo's model, in chromium without a network: what it weighs, asks for, complains of, and says.

A model is trained as ``narrows demo`` trains its own (preset variational, the embedded Fashion-MNIST sample), the
report is made on the test images, and opened from its file at the width of a desk and of a phone, light and dark.
Every number of the section "All figures" is compared with ``narrows evaluate --json`` on the same rows with the same
seed: bit for bit.

    python benchmarks/report.py

records the figures. ``--model`` reports a model that is there, such as demo/model.safetensors, and records nothing;
``--pictures FOLDER`` keeps pictures of the page.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from browsing import Opened, offline
from record import record
from running import narrows

MINUTES = 2.0
MOST_BYTES = 5_000_000
WIDTHS = {"desk": (1280, 900), "phone": (390, 844)}
FIGURES = """() => Object.fromEntries([...document.querySelectorAll('#figures tbody tr')].map((line) =>
    [line.cells[0].textContent, line.cells[1].querySelector('data')?.value ?? null]))"""


def looked_at(page: Path, pictures: Path | None) -> list[dict[str, Any]]:
    """Open a page at each width, light and dark."""
    views = []
    for name, (width, height) in WIDTHS.items():
        for scheme in ("light", "dark"):
            with offline(viewport={"width": width, "height": height}, color_scheme=scheme) as context:
                one = Opened(context, page)
                views.append(
                    {
                        "view": f"{name}, {scheme}",
                        "console_messages": one.said,
                        "requests_besides_the_page": one.beyond(),
                        "pixels_wider_than_the_window": one.overflow(),
                        "pictures_not_shown": one.page.evaluate(
                            "[...document.images].filter((one) => !one.naturalWidth).length"
                        ),
                    }
                )
                if pictures is not None:
                    one.page.screenshot(path=pictures / f"report-{name}-{scheme}.png", full_page=True)
    return views


def compared(page: Path, model: str, data: str, seed: int) -> dict[str, Any]:
    """Numbers of the page beside those of evaluate."""
    with offline() as context:
        shown = Opened(context, page).page.evaluate(FIGURES)
    told = narrows("evaluate", model, data, "--seed", str(seed))
    numbers = {
        name.replace("_", " "): repr(value)
        for name, value in told.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    exact = {name: value for name, value in shown.items() if value is not None}
    names = sorted({*numbers, *exact})
    return {
        "figures_compared": len(names),
        "figures_that_differ": [name for name in names if numbers.get(name) != exact.get(name)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of training")
    parser.add_argument("--model", help="one that is there; then nothing is recorded")
    parser.add_argument("--data", default="fashion-sample:test", help="rows of the report")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=Path, help="a folder")
    options = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        model, page = options.model or str(Path(name, "model.safetensors")), Path(name, "report.html")
        if options.model is None:
            words = ("--preset", "variational", "--minutes", str(options.minutes))
            narrows("train", "fashion-sample", "-o", model, *words)
        started = time.perf_counter()
        told = narrows("report", model, options.data, "-o", str(page), "--seed", str(options.seed))
        figures = {
            "seconds_to_make": time.perf_counter() - started,
            "bytes": told["bytes"],
            "under_5_MB": told["bytes"] < MOST_BYTES,
            "sections": told["sections"],
            "rows": told["rows"],
            "views": looked_at(page, options.pictures),
            **compared(page, model, options.data, options.seed),
        }
    print(figures, flush=True)
    if options.model is None and options.minutes == MINUTES:
        protocol = (
            "the demo's model and its 1,000 test images; opened from its file in chromium without a network; figures "
            "compared as text, digit for digit"
        )
        record("report", figures, seconds=time.perf_counter() - began, protocol=protocol)


if __name__ == "__main__":
    main()
