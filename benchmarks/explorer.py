"""Frames of the explorer in a browser: milliseconds from a place of the map to its decoded image, while a hand drags.

2,000 of the test images that come with the package; Chromium, driven by Playwright, on the same machine as the server.
A frame is what the page itself measures: from the request of a code to the image drawn. Beside it stands what the
server takes for the same request, asked one after the other without a browser, a connection each. Then the pictures of
docs/explorer.md are made: desktop and phone, light and dark.

    narrows train fashion-sample -o model.safetensors --preset variational --epochs 60 --batch-size 256 --rate 0.002 \
        --set network=mlp network.width=400 latent.size=2 likelihood=gaussian
    python benchmarks/explorer.py model.safetensors

records the figures; with ``--pictures`` it makes the pictures alone. It needs playwright, and chromium on the path.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from playwright.sync_api import Page

from browsing import browser
from narrows.data import read
from record import ROOT, record
from running import Served, served

DATA = "fashion-sample:test"
PICTURES = ROOT / "docs" / "pictures"
DESKTOP, PHONE = (1200, 940), (390, 844)
VIEWS = {
    "desktop_light": (DESKTOP, "light"),
    "desktop_dark": (DESKTOP, "dark"),
    "phone_light": (PHONE, "light"),
    "phone_dark": (PHONE, "dark"),
}
MOVES = 300
REQUESTS = 200
BITS = 6  # of a colour in a picture, which makes it a third smaller
WAITS = 120_000  # milliseconds at most, for a machine that is busy


def until(page: Page, expression: str) -> None:
    """Wait until an expression holds; Playwright's own way is an eval, which the policy of the page forbids."""
    end = time.monotonic() + WAITS / 1000
    while not page.evaluate(expression):
        if time.monotonic() > end:
            raise SystemExit(f"{expression} did not come to hold")
        page.wait_for_timeout(20)


def visit(chromium: Any, address: str, size: tuple[int, int], scheme: str, dots: float = 1) -> Page:
    viewport = {"width": size[0], "height": size[1]}
    page: Page = chromium.new_page(viewport=viewport, color_scheme=scheme, device_scale_factor=dots)
    page.set_default_timeout(WAITS)
    page.goto(address)
    until(page, "performance.getEntriesByName('decode').length > 0")
    page.wait_for_selector("#near-tiles button")
    page.wait_for_selector("#draw-tiles button")
    return page


def dragged(page: Page, moves: int) -> list[float]:
    """Milliseconds of each frame while the hand goes round the map."""
    page.evaluate("performance.clearMeasures('decode')")
    box = page.locator("#map").bounding_box()
    assert box is not None
    middle, reach = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2), box["width"] / 3
    turns = np.linspace(0, 4 * np.pi, moves)
    page.mouse.move(middle[0] + reach, middle[1])
    page.mouse.down()
    for turn in turns:
        page.mouse.move(middle[0] + reach * np.cos(turn), middle[1] + reach * np.sin(2 * turn) / 2)
        page.wait_for_timeout(16)
    page.mouse.up()
    found: list[float] = page.evaluate("performance.getEntriesByName('decode').map((one) => one.duration)")
    return found


def asked(server: Served, codes: np.ndarray) -> list[float]:
    """Milliseconds of each request without a browser, a connection each."""
    seconds = []
    for code in codes:
        began = time.perf_counter()
        server.ask("/decode", json.dumps(code.tolist()).encode())
        seconds.append(1000 * (time.perf_counter() - began))
    return seconds


def spread(milliseconds: list[float]) -> dict[str, float]:
    median, slow = np.quantile(milliseconds, (0.5, 0.95))
    return {"frames": len(milliseconds), "ms_median": round(float(median), 2), "ms_95": round(float(slow), 2)}


def photograph(page: Page, name: str) -> None:
    """A picture of what is seen; how fast it was is measured otherwise, without a camera."""
    page.evaluate("document.getElementById('pace').textContent = ''")
    path = PICTURES / f"explorer_{name}.png"
    whole = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    ImageOps.posterize(whole, BITS).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


def move_a_little(page: Page) -> None:
    """A row with its code, as a person who has just clicked it."""
    page.locator("#map").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('seen-told').textContent.startsWith('row ')")
    page.locator("#map").blur()
    page.wait_for_timeout(1500)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    options.add_argument("model", type=Path)
    options.add_argument("--pictures", action="store_true", help="make the pictures alone")
    given = options.parse_args()
    began = time.perf_counter()
    with served(given.model, "--data", DATA) as server, browser() as chromium:
        address = f"http://127.0.0.1:{server.port}"
        for name, (size, scheme) in VIEWS.items():
            page = visit(chromium, address, size, scheme)
            move_a_little(page)
            photograph(page, name)
            page.close()
        if given.pictures:
            return
        page = visit(chromium, address, DESKTOP, "light")
        dragged(page, MOVES // 5)  # what is made at the first time
        frames = dragged(page, MOVES)
        code_size = len(json.loads(server.ask("/embed", json.dumps(read(DATA).values[0, 0].tolist()).encode())))
        alone = asked(server, np.random.default_rng(0).normal(size=(REQUESTS, code_size)))
    figures = {"dragging": spread(frames), "requests_without_browser": spread(alone), "code_size": code_size}
    print(json.dumps(figures, indent=2))
    record(
        "explorer",
        figures,
        command="python benchmarks/explorer.py model.safetensors",
        seconds=time.perf_counter() - began,
        protocol=f"codes of two numbers, an MLP; 2,000 of {DATA}; {MOVES} moves of the hand, 16 ms apart; one browser",
    )


if __name__ == "__main__":
    main()
