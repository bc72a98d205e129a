"""What tests in a browser share: a server in a thread, and pages whose every error is kept."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from narrows.serve.limits import Limits
from narrows.serve.running import configured, listening

DESKTOP, PHONE = (1280, 900), (360, 740)


@contextmanager
def serving(app) -> Iterator[str]:
    """The address at which an application is served, by a thread of this process."""
    with listening("127.0.0.1", 0) as opened:
        server = uvicorn.Server(configured(app, Limits()))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{opened.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def until(page, expression: str, seconds: float = 60) -> None:
    """Wait until an expression holds; Playwright's own way is an eval, which the policy of the page forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"{expression} did not come to hold"
        page.wait_for_timeout(30)
