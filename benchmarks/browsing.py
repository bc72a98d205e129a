"""Pages in a browser: Playwright and the system's chromium."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATIENCE = 300_000  # milliseconds
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Opened:
    """A page of a file, with all that it complained of and asked for.

    Parameters
    ----------
    context : BrowserContext
        Of Playwright.
    path : Path
        The page.
    """

    def __init__(self, context: Any, path: Path) -> None:
        self.page = context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.resolve().as_uri())

    def beyond(self) -> list[str]:
        """What it asked for besides itself and what lies in it."""
        return [one for one in self.asked[1:] if not one.startswith(("data:", "blob:"))]

    def overflow(self) -> int:
        """Pixels by which it is wider than the window."""
        wide: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return wide


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Start a browser."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise SystemExit("there is no chromium to open pages with; install it, such as by apt install chromium")
    with sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            yield made
        finally:
            made.close()


@contextlib.contextmanager
def offline(**look: Any) -> Iterator[Any]:
    """Give pages that have no network; ``look`` is Playwright's, such as color_scheme and viewport."""
    with browser() as started:
        context = started.new_context(offline=True, **look)
        context.set_default_timeout(PATIENCE)
        yield context
